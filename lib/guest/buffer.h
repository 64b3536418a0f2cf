/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run of bytes that a guest has made of pages of its memory, in the order of a page list. The pages lie anywhere, so
 * the run is reached in pieces. What lies there may change under us at any moment: copy once, check the copy, use the
 * copy.
 *
 * Limits: GUEST_BUFFER_PAGES_MAX pages.
 */
#ifndef GUEST_BUFFER_H
#define GUEST_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "guest/mem.h"

#define GUEST_BUFFER_PAGES_MAX 16384u

struct guest_buffer {
	uint8_t **page; /* host address of each */
	size_t pages;
	size_t len; /* pages * GUEST_PAGE_SIZE */
};

/**
 * guest_buffer_init - @ranges: whole pages, in order. @mem: outlives the buffer.
 * Return: 0; -EINVAL (no page, unaligned, too many); -EFAULT (not guest memory); -ENOMEM.
 */
int guest_buffer_init(struct guest_buffer *buffer, const struct guest_mem *mem, const struct guest_range *ranges,
		      size_t count);
/** guest_buffer_done - a zeroed one is allowed. */
void guest_buffer_done(struct guest_buffer *buffer);

/**
 * guest_buffer_iov - [@offset, @offset + @len) as iovecs, neighbours merged.
 * Return: their number; -EFAULT (beyond the end); -E2BIG (more than @max). Context: any thread.
 */
int guest_buffer_iov(const struct guest_buffer *buffer, size_t offset, size_t len, struct iovec *ret_iov, size_t max);

/** guest_buffer_read, guest_buffer_write - copy. Return: 0 or -EFAULT (beyond the end: nothing is copied). Context: any
 * thread. */
int guest_buffer_read(const struct guest_buffer *buffer, size_t offset, void *ret, size_t len);
int guest_buffer_write(const struct guest_buffer *buffer, size_t offset, const void *bytes, size_t len);

#endif
