/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much I/O somebody may do: limits of bytes and of requests per second, for reads, for writes and for both, as
 * libvirt's <iotune> names them. Time comes from outside; nothing here waits.
 *
 * Theory of operation: each limit is a bucket (base/bucket.h). What may come at once is a tenth of a second's worth,
 * or, where a burst is allowed, what is over after going at the burst's rate for the burst's time. A second bucket
 * holds the burst to its own rate.
 */
#ifndef STORAGED_THROTTLE_H
#define STORAGED_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bucket.h"

enum throttle_kind {
	THROTTLE_TOTAL_BYTES,
	THROTTLE_READ_BYTES,
	THROTTLE_WRITE_BYTES,
	THROTTLE_TOTAL_IOPS,
	THROTTLE_READ_IOPS,
	THROTTLE_WRITE_IOPS,
	THROTTLE_KINDS,
};

#define THROTTLE_RATE_MAX	   UINT64_C(1000000000000000) /* per second, of any kind */
#define THROTTLE_BURST_SECONDS_MAX 3600u

/* In bytes or requests per second. 0: none. */
struct throttle_limit {
	uint64_t rate;
	uint64_t burst;		/* 0, or more than @rate */
	uint32_t burst_seconds; /* how long the burst's rate may be kept up; 0 is 1 */
};

struct throttle_settings {
	struct throttle_limit limit[THROTTLE_KINDS];
	uint64_t io_bytes; /* a request counts as one for each of these; 0: as one */
};

struct throttle {
	struct throttle_settings settings;
	struct bucket rate[THROTTLE_KINDS], burst[THROTTLE_KINDS];
	uint64_t at_ns; /* the buckets are of this time */
};

/** throttle_limits - whether @settings limit anything. */
bool throttle_limits(const struct throttle_settings *settings);

/** throttle_set - new limits from @now_ns on; what was let through before counts on. All zero: a new throttle. */
void throttle_set(struct throttle *throttle, const struct throttle_settings *settings, uint64_t now_ns);

/** throttle_wait - Return: nanoseconds from @now_ns until a read or @write may start; 0: now. */
uint64_t throttle_wait(struct throttle *throttle, bool write, uint64_t now_ns);

/** throttle_take - one of @bytes has started, at the time of the last throttle_wait(). */
void throttle_take(struct throttle *throttle, bool write, uint32_t bytes);

#endif
