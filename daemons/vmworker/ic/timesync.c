/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's time for the guest: once it has loaded its driver, when it goes on after a pause, and when it asks, as
 * what its clock should be set to; every IC_TIMESYNC_PERIOD_NS for its information. From 4.0 on a sample says when it
 * was taken, so that it does not age on its way.
 */
#include <time.h>

#include "base/bytes.h"
#include "ic/ic_int.h"

#define UNITS_PER_SEC 10000000ull /* 100 ns */

static uint64_t host_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return IC_TIME_UNIX_EPOCH + (uint64_t)ts.tv_sec * UNITS_PER_SEC + (uint64_t)ts.tv_nsec / 100;
}

static void tell(struct ic_channel *channel, uint8_t flags)
{
	struct ic *ic = channel->ic;

	if (flags == IC_TIMESYNC_SYNC && channel->waiting) {
		ic->timesync.sync = true;
		return;
	}
	ic->timesync.sync = false;
	if (channel->version.major >= 4) {
		struct ic_timesync_ref body = {.flags = flags};

		body.reference_time = ic->host.reference_time(ic->host.arg);
		body.host_time = host_time();
		ic_channel_send(channel, &body, sizeof(body));
	} else {
		const struct ic_timesync body = {.host_time = host_time(), .flags = flags};

		ic_channel_send(channel, &body, sizeof(body));
	}
}

static void timesync_ready(struct ic_channel *channel)
{
	tell(channel, IC_TIMESYNC_SYNC);
}

static void timesync_answer(struct ic_channel *channel, const struct ic_message *message)
{
	if (channel->ic->timesync.sync)
		tell(channel, IC_TIMESYNC_SYNC);
}

static void timesync_request(struct ic_channel *channel, const struct ic_message *message)
{
	tell(channel, IC_TIMESYNC_SYNC);
}

static void timesync_tick(struct ic_channel *channel)
{
	if (!channel->waiting)
		tell(channel, IC_TIMESYNC_SAMPLE);
}

static void timesync_running(struct ic_channel *channel, bool running)
{
	if (running)
		tell(channel, IC_TIMESYNC_SYNC);
}

static void timesync_closed(struct ic_channel *channel)
{
	channel->ic->timesync.sync = false;
}

static const struct ic_version versions[] = {{1, 0}, {3, 0}, {4, 0}};

const struct ic_service ic_timesync_service = {
	.name = "timesync",
	.interface_guid = IC_TIMESYNC_GUID,
	.instance_guid = IC_TIMESYNC_INSTANCE_GUID,
	.type = IC_MESSAGE_TIMESYNC,
	.versions = {versions, ARRAY_SIZE(versions)},
	.period_ns = IC_TIMESYNC_PERIOD_NS,
	.ready = timesync_ready,
	.answer = timesync_answer,
	.request = timesync_request,
	.tick = timesync_tick,
	.running = timesync_running,
	.closed = timesync_closed,
};
