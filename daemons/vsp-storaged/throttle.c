/* SPDX-License-Identifier: Apache-2.0 */
#include "throttle.h"

#include "base/bytes.h"
#include "base/clock.h"

#define AT_ONCE 0.1 /* seconds' worth */

static const struct {
	bool reads, writes, bytes;
} kinds[] = {
	[THROTTLE_TOTAL_BYTES] = {true, true, true},  [THROTTLE_READ_BYTES] = {true, false, true},
	[THROTTLE_WRITE_BYTES] = {false, true, true}, [THROTTLE_TOTAL_IOPS] = {true, true, false},
	[THROTTLE_READ_IOPS] = {true, false, false},  [THROTTLE_WRITE_IOPS] = {false, true, false},
};

static bool concerns(unsigned int kind, bool write)
{
	return write ? kinds[kind].writes : kinds[kind].reads;
}

static double brim(const struct throttle_limit *limit)
{
	if (!limit->burst)
		return (double)limit->rate * AT_ONCE;
	return (double)(limit->burst - limit->rate) * (limit->burst_seconds ? limit->burst_seconds : 1);
}

bool throttle_limits(const struct throttle_settings *settings)
{
	for (unsigned int i = 0; i < THROTTLE_KINDS; i++)
		if (settings->limit[i].rate)
			return true;
	return false;
}

/* The clock may stand, it does not go back. */
static void pass_time(struct throttle *throttle, uint64_t now_ns)
{
	double seconds = (double)(now_ns - throttle->at_ns) / (double)NS_PER_SEC;

	for (unsigned int i = 0; i < THROTTLE_KINDS; i++) {
		bucket_pass(&throttle->rate[i], seconds);
		bucket_pass(&throttle->burst[i], seconds);
	}
	throttle->at_ns = now_ns;
}

void throttle_set(struct throttle *throttle, const struct throttle_settings *settings, uint64_t now_ns)
{
	pass_time(throttle, now_ns);
	throttle->settings = *settings;
	for (unsigned int i = 0; i < THROTTLE_KINDS; i++) {
		const struct throttle_limit *limit = &settings->limit[i];

		bucket_set(&throttle->rate[i], limit->rate, brim(limit));
		bucket_set(&throttle->burst[i], limit->rate ? limit->burst : 0, (double)limit->burst * AT_ONCE);
	}
}

uint64_t throttle_wait(struct throttle *throttle, bool write, uint64_t now_ns)
{
	double wait = 0;

	pass_time(throttle, now_ns);
	for (unsigned int i = 0; i < THROTTLE_KINDS; i++)
		if (concerns(i, write))
			wait = MAX(wait, MAX(bucket_wait(&throttle->rate[i]), bucket_wait(&throttle->burst[i])));
	return bucket_wait_ns(wait);
}

void throttle_take(struct throttle *throttle, bool write, uint32_t bytes)
{
	uint64_t io_bytes = throttle->settings.io_bytes;
	double requests = io_bytes ? (double)MAX((bytes + io_bytes - 1) / io_bytes, UINT64_C(1)) : 1;

	for (unsigned int i = 0; i < THROTTLE_KINDS; i++) {
		double cost = kinds[i].bytes ? bytes : requests;

		if (!concerns(i, write))
			continue;
		bucket_take(&throttle->rate[i], cost);
		bucket_take(&throttle->burst[i], cost);
	}
}
