/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VSP's statistics as somebody else reads them, who trusts nothing in them: a copy, taken while the VSP goes on
 * counting, or after its death. Spec: stats_block.h.
 */
#ifndef VSP_STATS_READ_H
#define VSP_STATS_READ_H

#include <stdbool.h>

#include "vsp/stats_block.h"

/* Requests of one kind. Numbers are the VSP's word only. */
struct stats_requests {
	uint64_t reqs, bytes, errors, timed;
	uint64_t ns[STATS_PARTS];
	uint64_t bucket[STATS_PARTS][STATS_BUCKETS];
};

struct stats_unit_copy {
	uint64_t id;
	uint32_t kind;		       /* enum stats_kind, or another */
	char name[STATS_NAME_LEN + 1]; /* cleaned: printable ASCII */
	uint32_t queue, queue_peak;
	uint64_t count[STATS_COUNTS];
	struct stats_requests class[STATS_CLASSES];
};

struct stats_channel_copy {
	char name[STATS_NAME_LEN + 1]; /* cleaned */
	uint64_t kicks, wakes, interrupts, quiet, requests;
};

struct stats_copy {
	struct stats_unit_copy *unit;
	size_t units; /* at most STATS_UNITS_MAX */
	struct stats_channel_copy *channel;
	size_t channels; /* at most STATS_CHANNELS_MAX */
};

/** stats_read_fn - @len bytes at @offset of a block. Return: 0 or a negative errno. */
typedef int (*stats_read_fn)(void *arg, uint64_t offset, void *ret, size_t len);

/**
 * stats_read_from - a copy of what @read gives. Pure but for that.
 * @ret: the caller's; stats_copy_done().
 * Return: 0; -EPROTONOSUPPORT (of another version), -EPROTO (no such block), -ENOMEM, what @read gave.
 */
int stats_read_from(stats_read_fn read, void *arg, struct stats_copy *ret);

/** stats_read - the same of a memfd, which stays the caller's. No page of it is mapped: whoever made it can do nothing
 * to us by what he does to it. Return: as above; -EPROTO: it is no memfd. */
int stats_read(int fd, struct stats_copy *ret);

/** stats_copy_done - all zero is allowed. */
void stats_copy_done(struct stats_copy *copy);

#endif
