/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bucket that holds somebody to a rate. Time comes from outside; nothing here waits.
 *
 * Theory of operation: what is let through fills the bucket, time empties it at its rate. As long as there is something
 * above the brim, nobody may start; who starts may overfill it, so that a piece of any size comes through and the rate
 * holds over time. The brim is what may come at once.
 */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"

/* rate: per second; 0: no limit, the bucket is always empty. */
struct bucket {
	uint64_t rate;
	double brim, level;
};

/** bucket_set - what is over the brim of a limit that is lowered, or new, would be a wait of any length: it starts at
 * the brim. */
static inline void bucket_set(struct bucket *bucket, uint64_t rate, double brim)
{
	bucket->rate = rate;
	bucket->brim = brim;
	bucket->level = rate ? MIN(bucket->level, brim) : 0;
}

/** bucket_pass - time has gone by. */
static inline void bucket_pass(struct bucket *bucket, double seconds)
{
	bucket->level = MAX(bucket->level - (double)bucket->rate * seconds, 0.0);
}

/** bucket_wait - Return: seconds until the next one may start; 0: now. */
static inline double bucket_wait(const struct bucket *bucket)
{
	return bucket->rate && bucket->level > bucket->brim ? (bucket->level - bucket->brim) / (double)bucket->rate : 0;
}

static inline void bucket_take(struct bucket *bucket, double amount)
{
	if (bucket->rate)
		bucket->level += amount;
}

/** bucket_wait_ns - the same as bucket_wait()'s, for a timer. */
static inline uint64_t bucket_wait_ns(double seconds)
{
	return seconds > 0 ? (uint64_t)(seconds * (double)NS_PER_SEC) + 1 : 0;
}

#endif
