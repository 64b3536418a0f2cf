/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of pieces of guest memory, as they are made; for the files of this folder. */
#ifndef GUEST_IOV_H
#define GUEST_IOV_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/** iov_append - one piece more; it becomes a part of the last one if it lies just behind it.
 * @n: of @iov that are there, is counted up. Return: 0; -E2BIG: it would be more than @max. */
static inline int iov_append(struct iovec *iov, size_t *n, size_t max, uint8_t *base, size_t len)
{
	if (*n > 0 && (uint8_t *)iov[*n - 1].iov_base + iov[*n - 1].iov_len == base) {
		iov[*n - 1].iov_len += len;
		return 0;
	}
	if (*n == max)
		return -E2BIG;
	iov[(*n)++] = (struct iovec){.iov_base = base, .iov_len = len};
	return 0;
}

#endif
