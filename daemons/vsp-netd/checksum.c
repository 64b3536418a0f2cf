/* SPDX-License-Identifier: Apache-2.0 */
#include "checksum.h"

#include <stdbool.h>

#include "base/bytes.h"

/*
 * The sum does not care in which byte order it is made, but for the order of its own two bytes: it is made of what
 * x86 loads, and turned at the end.
 */
static uint64_t plus(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

static uint64_t sum_of(const uint8_t *at, size_t len)
{
	uint64_t a = 0, b = 0, c = 0, d = 0, tail = 0;

	for (; len >= 32; at += 32, len -= 32) {
		a = plus(a, get_le64(at));
		b = plus(b, get_le64(at + 8));
		c = plus(c, get_le64(at + 16));
		d = plus(d, get_le64(at + 24));
	}
	for (; len >= 8; at += 8, len -= 8)
		a = plus(a, get_le64(at));
	for (size_t i = 0; i < len; i++)
		tail |= (uint64_t)at[i] << (8 * i);
	return plus(plus(plus(a, b), plus(c, d)), tail);
}

static uint16_t fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)sum;
}

/* What begins at an odd place has its bytes the other way round. */
void checksum_add(struct checksum *sum, const void *bytes, size_t len)
{
	uint64_t more = sum_of(bytes, len);

	if (sum->len % 2)
		more = __builtin_bswap16(fold(more));
	sum->sum = plus(sum->sum, more);
	sum->len += len;
}

void checksum_add_iov(struct checksum *sum, const struct iovec *iov, unsigned int iovs, size_t from, size_t len)
{
	for (unsigned int i = 0; i < iovs && len; i++) {
		size_t piece = iov[i].iov_len, n;

		if (from >= piece) {
			from -= piece;
			continue;
		}
		n = MIN(piece - from, len);
		checksum_add(sum, (const uint8_t *)iov[i].iov_base + from, n);
		from = 0;
		len -= n;
	}
}

uint16_t checksum_fold(const struct checksum *sum)
{
	return __builtin_bswap16(fold(sum->sum));
}
