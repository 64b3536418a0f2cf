/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that outlives this process, PORT_MEMORY_LEN bytes for each NIC: a memfd among the worker's keepsakes. Pages
 * that nobody writes to cost nothing.
 *
 * Limits: SETTINGS_NICS_MAX NICs. A predecessor that was taken over may have left any content; what is in a NIC's
 * memory is checked by who uses it.
 */
#ifndef NETD_KEPT_H
#define NETD_KEPT_H

#include "abi/guid.h"
#include "base/err.h"
#include "base/syscalls.h"
#include "settings.h"
#include "vsp/vsp.h"

#define KEPT_KEY "ports"

struct kept;

extern const struct syscall_list kept_calls; /* of kept_new() */

/** kept_new - a predecessor's, or zeroed. After vsp_attach(). Return: 0, a negative errno with a line. */
int kept_new(struct vsp *vsp, struct kept **ret_kept, struct err *err);
/** kept_free - NULL is allowed; what it held stays with the worker. */
void kept_free(struct kept *kept);

/** kept_memory - the memory of the NIC @instance: as its predecessor left it, else zeroed. Return: NULL: there is no
 * room. It is the NIC's until kept_release(). */
void *kept_memory(struct kept *kept, const struct abi_guid *instance);
/** kept_release - the NIC is gone for good: its memory is zeroed, and another NIC's. */
void kept_release(struct kept *kept, const struct abi_guid *instance);

/** kept_map - of a descriptor, for tests. @fd: stays the caller's. Return: 0; -EPROTO: of another size; a negative
 * errno. */
int kept_map(int fd, struct kept **ret_kept);
/** kept_len - of such a descriptor. */
size_t kept_len(void);

#endif
