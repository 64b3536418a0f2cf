/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_gpadl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

static struct gpadl **bucket_of(struct gpadl_table *table, uint32_t id)
{
	return &table->bucket[id % GPADL_BUCKETS];
}

struct gpadl *gpadl_find(const struct gpadl_table *table, uint32_t id)
{
	struct gpadl *gpadl = table->bucket[id % GPADL_BUCKETS];

	while (gpadl && gpadl->id != id)
		gpadl = gpadl->next;
	return gpadl;
}

int gpadl_begin(struct gpadl_table *table, const struct bus_msg_gpadl *msg, struct gpadl **ret_gpadl)
{
	struct gpadl *gpadl;
	int r;

	if (gpadl_find(table, msg->gpadl))
		return -EEXIST;
	if (table->count >= GPADL_MAX || msg->total_words > GPADL_WORDS_MAX - table->words)
		return -ENOSPC;
	gpadl = calloc(1, sizeof(*gpadl) + (size_t)msg->total_words * sizeof(gpadl->word[0]));
	if (!gpadl)
		return -ENOSPC;
	gpadl->id = msg->gpadl;
	gpadl->relid = msg->relid;
	gpadl->state = GPADL_FILLING;
	gpadl->ranges = msg->ranges;
	gpadl->words_max = msg->total_words;
	r = gpadl_append(gpadl, msg);
	if (r < 0) {
		free(gpadl);
		return r;
	}

	gpadl->next = *bucket_of(table, gpadl->id);
	*bucket_of(table, gpadl->id) = gpadl;
	table->count++;
	table->words += gpadl->words_max;
	*ret_gpadl = gpadl;
	return 0;
}

int gpadl_append(struct gpadl *gpadl, const struct bus_msg_gpadl *msg)
{
	if (gpadl->state != GPADL_FILLING || msg->words_here > gpadl->words_max - gpadl->words)
		return -EPROTO;
	memcpy(gpadl->word + gpadl->words, msg->words, (size_t)msg->words_here * sizeof(gpadl->word[0]));
	gpadl->words += msg->words_here;
	return 0;
}

int gpadl_check(struct gpadl *gpadl, const struct guest_mem *mem)
{
	struct bus_gpa_cursor cursor = {gpadl->word, gpadl->words};

	assert(gpadl->state == GPADL_FILLING && gpadl_complete(gpadl));
	for (uint32_t i = 0; i < gpadl->ranges; i++) {
		struct bus_gpa_range range;
		int r = bus_gpa_next(&cursor, &range);

		if (r < 0)
			return r;
		for (uint32_t page = 0; page < range.pages; page++) {
			uint64_t pfn = range.pfn[page];

			if (pfn > UINT64_MAX >> GUEST_PAGE_SHIFT ||
			    !guest_mem_ptr(mem, pfn << GUEST_PAGE_SHIFT, GUEST_PAGE_SIZE))
				return -EFAULT;
		}
	}
	if (cursor.count)
		return -EPROTO;
	gpadl->state = GPADL_READY;
	return 0;
}

void gpadl_remove(struct gpadl_table *table, struct gpadl *gpadl)
{
	struct gpadl **link = bucket_of(table, gpadl->id);

	while (*link != gpadl)
		link = &(*link)->next;
	*link = gpadl->next;
	table->count--;
	table->words -= gpadl->words_max;
	free(gpadl);
}

static void each(struct gpadl_table *table, bool all, uint32_t relid, void (*fn)(struct gpadl *gpadl, void *arg),
		 void *arg)
{
	for (unsigned int i = 0; i < GPADL_BUCKETS; i++) {
		struct gpadl *gpadl = table->bucket[i];

		while (gpadl) {
			struct gpadl *next = gpadl->next;

			if (all || gpadl->relid == relid)
				fn(gpadl, arg);
			gpadl = next;
		}
	}
}

void gpadl_each(struct gpadl_table *table, uint32_t relid, void (*fn)(struct gpadl *gpadl, void *arg), void *arg)
{
	each(table, false, relid, fn, arg);
}

static void remove_it(struct gpadl *gpadl, void *arg)
{
	gpadl_remove(arg, gpadl);
}

void gpadl_remove_owned(struct gpadl_table *table, uint32_t relid)
{
	each(table, false, relid, remove_it, table);
}

void gpadl_clear(struct gpadl_table *table)
{
	each(table, true, 0, remove_it, table);
	assert(table->count == 0 && table->words == 0);
}

int gpadl_pages(const struct gpadl *gpadl, struct guest_range **ret_ranges, size_t *ret_count, uint32_t *ret_pages)
{
	struct bus_gpa_cursor cursor = {gpadl->word, gpadl->words};
	_cleanup_free_ struct guest_range *ranges = NULL;
	struct bus_gpa_range range;
	size_t count = 0;

	if (gpadl->state != GPADL_READY || gpadl->ranges != 1 || bus_gpa_next(&cursor, &range) < 0 ||
	    range.byte_offset || range.byte_count % GUEST_PAGE_SIZE)
		return -EINVAL;
	ranges = calloc(range.pages, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	for (uint32_t page = 0; page < range.pages; page++) {
		uint64_t gpa = range.pfn[page] << GUEST_PAGE_SHIFT;

		if (count && ranges[count - 1].gpa + ranges[count - 1].len == gpa)
			ranges[count - 1].len += GUEST_PAGE_SIZE;
		else
			ranges[count++] = (struct guest_range){gpa, GUEST_PAGE_SIZE};
	}
	*ret_ranges = take_ptr(ranges);
	*ret_count = count;
	*ret_pages = range.pages;
	return 0;
}
