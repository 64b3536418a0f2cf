/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/gpa.h"

#include <errno.h>

#include "abi/ring.h"
#include "base/bytes.h"

/* Ranges found so far. */
struct output {
	struct guest_range *ranges;
	size_t count, max;
	uint64_t total;
};

static int append(struct output *out, uint64_t gpa, uint64_t len)
{
	struct guest_range *last = out->count > 0 ? &out->ranges[out->count - 1] : NULL;

	out->total += len;
	if (last && last->gpa + last->len == gpa) {
		last->len += len;
		return 0;
	}
	if (out->count == out->max)
		return -E2BIG;
	out->ranges[out->count++] = (struct guest_range){.gpa = gpa, .len = len};
	return 0;
}

/* One struct gpa_range at @p with @left bytes behind it. Return: bytes that it takes up, or a negative errno. */
static int64_t parse_range(const uint8_t *p, size_t left, struct output *out)
{
	uint64_t byte_count, byte_offset, pages;

	if (left < sizeof(struct gpa_range))
		return -EPROTO;
	byte_count = get_le32(p + offsetof(struct gpa_range, byte_count));
	byte_offset = get_le32(p + offsetof(struct gpa_range, byte_offset));
	if (byte_offset >= GUEST_PAGE_SIZE)
		return -EPROTO;
	pages = (byte_offset + byte_count + GUEST_PAGE_SIZE - 1) >> GUEST_PAGE_SHIFT;
	p += sizeof(struct gpa_range);
	if (pages > (left - sizeof(struct gpa_range)) / sizeof(uint64_t))
		return -EPROTO;
	if (out->total + byte_count > GPA_LIST_BYTES_MAX)
		return -E2BIG;

	for (uint64_t i = 0; i < pages; i++) {
		uint64_t pfn = get_le64(p + i * sizeof(uint64_t));
		uint64_t len = MIN(byte_count, GUEST_PAGE_SIZE - byte_offset);
		int r;

		if (pfn > GPA_PFN_MAX)
			return -EPROTO;
		if (len == 0)
			continue;
		r = append(out, (pfn << GUEST_PAGE_SHIFT) + byte_offset, len);
		if (r < 0)
			return r;
		byte_count -= len;
		byte_offset = 0;
	}
	return (int64_t)(sizeof(struct gpa_range) + pages * sizeof(uint64_t));
}

int gpa_list_parse(const void *list, size_t len, struct guest_range *ret_ranges, size_t max, uint32_t *ret_data_len)
{
	const uint8_t *p = list;
	struct output out = {.ranges = ret_ranges, .max = max};
	uint32_t range_count;

	if (len < sizeof(struct gpa_direct_header))
		return -EPROTO;
	range_count = get_le32(p + offsetof(struct gpa_direct_header, range_count));
	if (range_count > GPA_LIST_RANGES_MAX)
		return -E2BIG;
	p += sizeof(struct gpa_direct_header);
	len -= sizeof(struct gpa_direct_header);

	for (uint32_t i = 0; i < range_count; i++) {
		int64_t used = parse_range(p, len, &out);

		if (used < 0)
			return (int)used;
		p += used;
		len -= (size_t)used;
	}
	*ret_data_len = (uint32_t)out.total;
	return (int)out.count;
}
