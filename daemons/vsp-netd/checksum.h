/* SPDX-License-Identifier: Apache-2.0 */
/* The Internet checksum (RFC 1071) of bytes that lie in pieces. Pure functions; any thread. */
#ifndef NETD_CHECKSUM_H
#define NETD_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* A sum so far. All zero at first. */
struct checksum {
	uint64_t sum;
	size_t len; /* bytes so far */
};

void checksum_add(struct checksum *sum, const void *bytes, size_t len);
/** checksum_add_iov - [@from, @from + @len) of what @iov holds; it holds so much. */
void checksum_add_iov(struct checksum *sum, const struct iovec *iov, unsigned int iovs, size_t from, size_t len);
/** checksum_fold - the sum in 16 bits, as put_be16() stores it; the field's value is its complement. */
uint16_t checksum_fold(const struct checksum *sum);

#endif
