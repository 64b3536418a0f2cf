/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's GPADLs: page lists under handles of the guest's choice. Handles are unique over the bus. Owner: the bus;
 * event loop only.
 */
#ifndef VMWORKER_BUS_GPADL_H
#define VMWORKER_BUS_GPADL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus_msg.h"
#include "guest/mem.h"

/* What a guest can make us hold: 8 bytes a word; a page takes one word, a range one more. */
#define GPADL_MAX	4096u
#define GPADL_WORDS_MAX (512u * 1024u)

#define GPADL_BUCKETS 256u

enum gpadl_state {
	GPADL_FILLING,	/* words are missing */
	GPADL_READY,	/* checked: every page is guest memory */
	GPADL_TEARDOWN, /* the guest asked for its end while it was used: answered when it is not any more */
};

enum gpadl_use {
	GPADL_UNUSED,
	GPADL_RING, /* a channel runs on it: until that is closed */
	GPADL_LENT, /* its device may touch it: until it lets go, or the channel is closed, or its process has ended */
};

struct gpadl {
	struct gpadl *next; /* in its bucket */
	uint32_t id;
	uint32_t relid; /* of the channel that it was made for */
	enum gpadl_state state;
	enum gpadl_use use;
	bool asked; /* LENT, TEARDOWN: the provider was asked to let go */
	uint32_t ranges;
	uint32_t words, words_max;
	uint64_t word[];
};

/* Invariant: @count and @words are the sums over all buckets. */
struct gpadl_table {
	struct gpadl *bucket[GPADL_BUCKETS];
	unsigned int count;
	uint32_t words;
};

/** gpadl_find - NULL if there is none. */
struct gpadl *gpadl_find(const struct gpadl_table *table, uint32_t id);

/**
 * gpadl_begin - a GPADL_HEADER.
 * @ret_gpadl: the new GPADL, the table's; it may be complete at once.
 * Return: 0; -EEXIST (handle in use); -ENOSPC (a limit, or no memory).
 */
int gpadl_begin(struct gpadl_table *table, const struct bus_msg_gpadl *msg, struct gpadl **ret_gpadl);

/** gpadl_append - the words of a GPADL_BODY. Return: 0; -EPROTO: it is complete already, or these are too many. */
int gpadl_append(struct gpadl *gpadl, const struct bus_msg_gpadl *msg);

/** gpadl_complete - whether every word has arrived. */
static inline bool gpadl_complete(const struct gpadl *gpadl)
{
	return gpadl->words == gpadl->words_max;
}

/** gpadl_check - a complete GPADL becomes READY. Return: 0; -EPROTO (malformed ranges); -EFAULT (a page outside
 * memory). */
int gpadl_check(struct gpadl *gpadl, const struct guest_mem *mem);

/** gpadl_remove - forget it. */
void gpadl_remove(struct gpadl_table *table, struct gpadl *gpadl);

/** gpadl_each - call @fn for every GPADL that was made for @relid; it may remove the one that it is called for. */
void gpadl_each(struct gpadl_table *table, uint32_t relid, void (*fn)(struct gpadl *gpadl, void *arg), void *arg);

/** gpadl_remove_owned - forget all that were made for @relid. */
void gpadl_remove_owned(struct gpadl_table *table, uint32_t relid);

/** gpadl_clear - forget all. */
void gpadl_clear(struct gpadl_table *table);

/**
 * gpadl_pages - the page list of a ring buffer, or of what a device is lent: neighbours merged.
 * @ret_ranges: heap, the caller's; whole pages.
 * Return: 0; -EINVAL (not READY, more than one range, not whole pages); -ENOMEM.
 */
int gpadl_pages(const struct gpadl *gpadl, struct guest_range **ret_ranges, size_t *ret_count, uint32_t *ret_pages);

#endif
