/* SPDX-License-Identifier: Apache-2.0 */
/* Page lists of GPA-direct packets. A pure function over a private copy; the bytes come from a guest and may be
 * anything. */
#ifndef GUEST_GPA_H
#define GUEST_GPA_H

#include <stddef.h>
#include <stdint.h>

#include "guest/mem.h"

#define GPA_LIST_RANGES_MAX 64u	       /* ranges that one packet may hold (netvsc sends up to 32, storvsc 1) */
#define GPA_LIST_BYTES_MAX  (1u << 24) /* bytes of data that one packet may name */
#define GPA_PFN_MAX	    ((UINT64_C(1) << 40) - 1)

/**
 * gpa_list_parse - page list of a GPA-direct packet to byte ranges of guest memory.
 * @list:       private copy of what lies between the packet's descriptor and its payload (struct gpa_direct_header
 * first).
 * @len:        bytes of it; bytes behind the last range are ignored.
 * @ret_ranges: room for @max ranges; in order, pages that follow each other are one range, none is empty.
 *              They are not yet checked against the guest's memory. Scratch on failure.
 * @ret_data_len: sum of their lengths.
 *
 * Return: number of ranges; -EPROTO (the list does not fit in its packet, an offset beyond the first page, a page
 * number beyond GPA_PFN_MAX); -E2BIG (more than @max pieces, or more than GPA_LIST_BYTES_MAX bytes). Context: any
 * thread. Spec: Linux include/linux/hyperv.h, struct vmdata_gpa_direct.
 */
int gpa_list_parse(const void *list, size_t len, struct guest_range *ret_ranges, size_t max, uint32_t *ret_data_len);

#endif
