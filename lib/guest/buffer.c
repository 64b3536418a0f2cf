/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "guest/iov.h"

static int count_pages(const struct guest_range *ranges, size_t count, size_t *ret_pages)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < count; i++) {
		if ((ranges[i].gpa | ranges[i].len) % GUEST_PAGE_SIZE != 0)
			return -EINVAL;
		pages += MIN(ranges[i].len / GUEST_PAGE_SIZE, GUEST_BUFFER_PAGES_MAX + 1u);
		if (pages > GUEST_BUFFER_PAGES_MAX)
			return -EINVAL;
	}
	*ret_pages = (size_t)pages;
	return pages > 0 ? 0 : -EINVAL;
}

int guest_buffer_init(struct guest_buffer *buffer, const struct guest_mem *mem, const struct guest_range *ranges,
		      size_t count)
{
	_cleanup_free_ uint8_t **page = NULL;
	size_t pages, n = 0;
	int r = count_pages(ranges, count, &pages);

	if (r < 0)
		return r;
	page = calloc(pages, sizeof(*page));
	if (!page)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		for (uint64_t at = 0; at < ranges[i].len; at += GUEST_PAGE_SIZE) {
			/* a run may go on in the region that adjoins */
			page[n] = guest_mem_ptr(mem, ranges[i].gpa + at, GUEST_PAGE_SIZE);
			if (!page[n++])
				return -EFAULT;
		}
	}
	*buffer = (struct guest_buffer){.page = take_ptr(page), .pages = pages, .len = pages * GUEST_PAGE_SIZE};
	return 0;
}

void guest_buffer_done(struct guest_buffer *buffer)
{
	free(buffer->page);
	memset(buffer, 0, sizeof(*buffer));
}

int guest_buffer_iov(const struct guest_buffer *buffer, size_t offset, size_t len, struct iovec *ret_iov, size_t max)
{
	size_t n = 0;

	if (!range_fits(offset, len, buffer->len))
		return -EFAULT;
	while (len > 0) {
		size_t in_page = offset % GUEST_PAGE_SIZE, step = MIN(len, GUEST_PAGE_SIZE - in_page);
		uint8_t *base = buffer->page[offset / GUEST_PAGE_SIZE] + in_page;

		if (iov_append(ret_iov, &n, max, base, step) < 0)
			return -E2BIG;
		offset += step;
		len -= step;
	}
	return (int)n;
}

int guest_buffer_read(const struct guest_buffer *buffer, size_t offset, void *ret, size_t len)
{
	uint8_t *to = ret;

	if (!range_fits(offset, len, buffer->len))
		return -EFAULT;
	while (len > 0) {
		size_t in_page = offset % GUEST_PAGE_SIZE, step = MIN(len, GUEST_PAGE_SIZE - in_page);

		memcpy(to, buffer->page[offset / GUEST_PAGE_SIZE] + in_page, step);
		to += step;
		offset += step;
		len -= step;
	}
	return 0;
}

int guest_buffer_write(const struct guest_buffer *buffer, size_t offset, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;

	if (!range_fits(offset, len, buffer->len))
		return -EFAULT;
	while (len > 0) {
		size_t in_page = offset % GUEST_PAGE_SIZE, step = MIN(len, GUEST_PAGE_SIZE - in_page);

		memcpy(buffer->page[offset / GUEST_PAGE_SIZE] + in_page, from, step);
		from += step;
		offset += step;
		len -= step;
	}
	return 0;
}
