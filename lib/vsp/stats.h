/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VSP counts what it does: the writer's side of the statistics block (stats_block.h).
 *
 * Theory of operation: the block is one memfd of the process; a successor goes on with the one that it finds, or, if it
 * does not understand that, begins anew.
 *
 * Counts (requests, bytes, errors) are exact: each request that the guest gets an answer to is counted once, whoever
 * dies when. stats_count() runs before the outcome is stored in the channel's state block:
 *
 *   intent: what the counts become -> intent.state = VALID -> the unit's counts -> slot.counted -> intent.state = NONE
 *
 * A process that dies before VALID leaves an ACCEPTED request, which its successor does again and counts. If it dies
 * behind, the successor finds the intent and does the same stores again before it counts anything itself
 * (stats_continue()); that the request in the slot is counted it notes when it takes over the channel
 * (stats_channel_recover()), and does not count it another time. Of one thread at most one intent is VALID.
 *
 * Times are of those requests only that are executed and published by the same process: what it had executed and not
 * published when it died has no times, nor has what it was counting up then. A request that a successor does again was
 * first seen when its predecessor saw it (slot.seen_ns), so its time has the outage in it, as the guest's has.
 *
 * The clock is read once for many requests: when a ring is looked at, when what came from it was handed on, when
 * results are reaped, when answers are published. What the guest puts into a ring is seen with the next look there,
 * which each publication brings, too: a service that sleeps has to be woken by the guest's kick first, a busy one comes
 * by when it has done what it is at (bench storage, observed_*: how much of the guest's time that is). What waits in a
 * ring beyond the last free slot was seen all the same (marks).
 *
 * Limits: STATS_UNITS_MAX units and STATS_CHANNELS_MAX channels; further ones are not counted.
 */
#ifndef VSP_STATS_H
#define VSP_STATS_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/syscalls.h"
#include "vsp/stats_block.h"

/* The VSP's own. */
struct stats {
	struct stats_block *block;
	int fd;
	uint64_t now_ns; /* when the clock was last read */
	bool claimed[STATS_UNITS_MAX];
};

/* What a request counts as, from its device; all 0: nothing. */
struct stats_account {
	struct stats_unit *unit;
	uint64_t id; /* of the unit: another one may have its place before the answer is published */
	uint32_t bytes;
	uint8_t class;
	bool error;
};

/* When its steps were; 0: not yet. */
struct stats_times {
	uint64_t seen_ns, given_ns, done_ns;
};

/** stats_calls - what stats_new() and stats_continue() need in the sandbox. */
extern const struct syscall_list stats_calls;

/** stats_new - an empty block. Return: 0; what memfd_create() or mmap() refused. */
int stats_new(struct stats **ret_stats);

/**
 * stats_continue - go on with a predecessor's, of which nothing is under way any more.
 * @fd: a sealed memfd; stays the caller's.
 * Return: 0; -EPROTONOSUPPORT (of another version), -EPROTO, what mmap() refused, with *@ret_why.
 */
int stats_continue(int fd, struct stats **ret_stats, const char **ret_why);

/** stats_free - NULL is allowed. The block lives on with whoever keeps it. */
void stats_free(struct stats *stats);

/** stats_channel - the place of the channel of this name: a predecessor's, or a new one. @hint: where it may be.
 * Return: NULL: there is no room. */
struct stats_channel *stats_channel(struct stats *stats, const char *name, size_t hint);
void stats_channel_end(struct stats_channel *channel);

/** stats_slots - of this channel, STATS_SLOTS of them. */
static inline struct stats_slot *stats_slots(const struct stats *stats, const struct stats_channel *channel)
{
	return stats->block->slot[channel - stats->block->channel];
}

/** stats_channel_fresh - its state block is new: what is known of its slots is of other requests.
 * stats_channel_recover - it is a predecessor's. */
void stats_channel_fresh(struct stats *stats, struct stats_channel *channel);
void stats_channel_recover(struct stats *stats, struct stats_channel *channel);

/**
 * stats_unit - a unit's place.
 * @place: where the guest finds it: STATS_PLACE_LEN bytes. @fresh: it is another than whatever was there; else a
 * predecessor's of the same place, kind and name is gone on with.
 * Return: NULL: there is no room.
 */
struct stats_unit *stats_unit(struct stats *stats, enum stats_kind kind, const char *name,
			      const uint8_t place[STATS_PLACE_LEN], bool fresh);
/** stats_unit_end - it is gone. NULL is allowed. */
void stats_unit_end(struct stats *stats, struct stats_unit *unit);
/** stats_sweep - all units there are have called stats_unit(): what else a predecessor had is gone. */
void stats_sweep(struct stats *stats);

/* ---- counting ---- */

/* One writer: a load and a store. */
static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/** stats_tick - read the clock. */
static inline uint64_t stats_tick(struct stats *stats)
{
	return stats->now_ns = clock_now_ns();
}

/** stats_enter, stats_leave - a request is under way with @unit, which may be NULL; or no more. */
static inline void stats_enter(struct stats_unit *unit)
{
	uint32_t queue;

	if (!unit)
		return;
	queue = atomic_load_explicit(&unit->queue, memory_order_relaxed) + 1;
	atomic_store_explicit(&unit->queue, queue, memory_order_relaxed);
	if (queue > atomic_load_explicit(&unit->queue_peak, memory_order_relaxed))
		atomic_store_explicit(&unit->queue_peak, queue, memory_order_relaxed);
}

static inline void stats_leave(struct stats_unit *unit)
{
	if (unit)
		atomic_store_explicit(&unit->queue, atomic_load_explicit(&unit->queue, memory_order_relaxed) - 1,
				      memory_order_relaxed);
}

/**
 * stats_count - the request in slot @n of @channel, number @sequence, is about to have an outcome.
 * @account: what it counts as; its unit is not NULL.
 */
void stats_count(struct stats *stats, struct stats_channel *channel, uint32_t n, uint32_t sequence,
		 const struct stats_account *account);

/** stats_times_add - the answers of @count requests with this @account and these @times are published, now. */
void stats_times_add(const struct stats *stats, const struct stats_account *account, const struct stats_times *times,
		     uint32_t count);

#endif
