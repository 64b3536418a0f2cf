/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the guest's kernel still answers: one number every IC_HEARTBEAT_PERIOD_NS. */
#include "base/bytes.h"
#include "ic/ic_int.h"

static void set_state(struct ic *ic, enum ic_heartbeat_state state)
{
	if (ic->heartbeat.state == state)
		return;
	if (state == IC_HEARTBEAT_LOST)
		log_warn(NULL, "the guest has not answered %u heartbeats", IC_HEARTBEAT_MISSED_MAX);
	else if (ic->heartbeat.state == IC_HEARTBEAT_LOST && state == IC_HEARTBEAT_OK)
		log_notice(NULL, "the guest answers heartbeats again");
	ic->heartbeat.state = state;
	ic_tell(ic);
}

static void beat(struct ic_channel *channel)
{
	const struct ic_heartbeat body = {.sequence = ++channel->ic->heartbeat.sequence};

	ic_channel_send(channel, &body, sizeof(body));
}

static void heartbeat_ready(struct ic_channel *channel)
{
	channel->ic->heartbeat.missed = 0;
	beat(channel);
}

static void heartbeat_answer(struct ic_channel *channel, const struct ic_message *message)
{
	channel->ic->heartbeat.missed = 0;
	set_state(channel->ic, IC_HEARTBEAT_OK);
}

static void heartbeat_tick(struct ic_channel *channel)
{
	struct ic *ic = channel->ic;

	if (!channel->waiting)
		beat(channel);
	else if (ic->heartbeat.missed < IC_HEARTBEAT_MISSED_MAX && ++ic->heartbeat.missed == IC_HEARTBEAT_MISSED_MAX)
		set_state(ic, IC_HEARTBEAT_LOST);
}

static void heartbeat_running(struct ic_channel *channel, bool running)
{
	channel->ic->heartbeat.missed = 0;
}

static void heartbeat_closed(struct ic_channel *channel)
{
	channel->ic->heartbeat.state = IC_HEARTBEAT_UNKNOWN; /* who closes tells */
}

static const struct ic_version versions[] = {{1, 0}, {3, 0}};

const struct ic_service ic_heartbeat_service = {
	.name = "heartbeat",
	.interface_guid = IC_HEARTBEAT_GUID,
	.instance_guid = IC_HEARTBEAT_INSTANCE_GUID,
	.type = IC_MESSAGE_HEARTBEAT,
	.versions = {versions, ARRAY_SIZE(versions)},
	.period_ns = IC_HEARTBEAT_PERIOD_NS,
	.ready = heartbeat_ready,
	.answer = heartbeat_answer,
	.tick = heartbeat_tick,
	.running = heartbeat_running,
	.closed = heartbeat_closed,
};
