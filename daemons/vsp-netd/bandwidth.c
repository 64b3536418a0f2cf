/* SPDX-License-Identifier: Apache-2.0 */
#include "bandwidth.h"

/* Seconds' worth that may pass at once. */
#define AVERAGE_AT_ONCE 0.02
#define PEAK_AT_ONCE	0.005

static void pass_time(struct bandwidth *bandwidth, uint64_t now_ns)
{
	double seconds = (double)(now_ns - bandwidth->at_ns) / (double)NS_PER_SEC;

	bucket_pass(&bandwidth->average, seconds);
	bucket_pass(&bandwidth->peak, seconds);
	bandwidth->at_ns = now_ns;
}

void bandwidth_set(struct bandwidth *bandwidth, const struct nic_bandwidth *limits, uint64_t now_ns)
{
	double at_once = (double)limits->average * AVERAGE_AT_ONCE;

	pass_time(bandwidth, now_ns);
	bucket_set(&bandwidth->average, limits->average, limits->burst ? (double)limits->burst : at_once);
	bucket_set(&bandwidth->peak, limits->peak, (double)limits->peak * PEAK_AT_ONCE);
}

uint64_t bandwidth_wait(struct bandwidth *bandwidth, uint64_t now_ns)
{
	pass_time(bandwidth, now_ns);
	return bucket_wait_ns(MAX(bucket_wait(&bandwidth->average), bucket_wait(&bandwidth->peak)));
}

void bandwidth_take(struct bandwidth *bandwidth, size_t bytes)
{
	bucket_take(&bandwidth->average, (double)bytes);
	bucket_take(&bandwidth->peak, (double)bytes);
}
