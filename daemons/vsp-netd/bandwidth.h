/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many bytes a second may pass in one direction: an average, which a burst of bytes may exceed, at the peak's speed
 * at most. Two buckets (base/bucket.h); time comes from outside.
 */
#ifndef NETD_BANDWIDTH_H
#define NETD_BANDWIDTH_H

#include "base/bucket.h"
#include "settings.h"

struct bandwidth {
	struct bucket average, peak;
	uint64_t at_ns; /* the buckets are of this time */
};

/** bandwidth_set - other limits from @now_ns on; what has passed counts on. All zero: a new one. */
void bandwidth_set(struct bandwidth *bandwidth, const struct nic_bandwidth *limits, uint64_t now_ns);
/** bandwidth_limits - whether there is any. */
static inline bool bandwidth_limits(const struct bandwidth *bandwidth)
{
	return bandwidth->average.rate || bandwidth->peak.rate;
}
/** bandwidth_wait - Return: nanoseconds from @now_ns until the next frame may pass; 0: now. */
uint64_t bandwidth_wait(struct bandwidth *bandwidth, uint64_t now_ns);
/** bandwidth_take - one of @bytes has passed. */
void bandwidth_take(struct bandwidth *bandwidth, size_t bytes);

#endif
