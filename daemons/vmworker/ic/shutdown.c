/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shutdown and restart by request. The guest answers at once whether it will; how it goes on is for the VM to see.
 * Versions 1.0 to 3.2 differ in what we do not ask for (hibernation).
 */
#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"
#include "ic/ic_int.h"

void ic_shutdown_finish(struct ic *ic, int code, const char *text)
{
	ic_done_fn done = ic->shutdown.done;
	struct err err = {0};

	loop_disarm(ic->shutdown.deadline);
	ic->shutdown.done = NULL;
	if (!done)
		return;
	if (code)
		err_set(&err, code, "%s", text);
	done(ic->shutdown.arg, &err);
}

void ic_shutdown_overdue(void *arg)
{
	struct err err;

	err_set(&err, -ETIMEDOUT,
		"the guest has not answered the request for %llu s: it may hang; wait for it, or use force",
		IC_SHUTDOWN_ANSWER_NS / 1000000000);
	ic_shutdown_finish(arg, err.code, err.text);
}

static void shutdown_answer(struct ic_channel *channel, const struct ic_message *message)
{
	struct err err = {0};

	if (message->status != IC_STATUS_OK)
		err_set(&err, -EREMOTEIO, "the guest refuses the request (status %#x)", message->status);
	ic_shutdown_finish(channel->ic, err.code, err.text);
}

/* A guest that stands still is given its time when it goes on. */
static void shutdown_running(struct ic_channel *channel, bool running)
{
	struct ic *ic = channel->ic;

	if (!running)
		loop_disarm(ic->shutdown.deadline);
	else if (ic->shutdown.done)
		loop_arm(ic->shutdown.deadline, IC_SHUTDOWN_ANSWER_NS);
}

static void shutdown_closed(struct ic_channel *channel)
{
	ic_shutdown_finish(channel->ic, -ECANCELED,
			   "the guest has closed its shutdown service, or was reset, before it answered: try again");
}

static struct ic_channel *find(struct ic *ic)
{
	struct ic_channel *channel = ic->channel;

	while (channel->service != &ic_shutdown_service)
		channel++;
	return channel;
}

void ic_shutdown(struct ic *ic, uint32_t flags, uint32_t timeout_s, ic_done_fn done, void *arg)
{
	const struct ic_shutdown body = {
		.reason = IC_SHUTDOWN_REASON_PLANNED,
		.timeout_s = timeout_s,
		.flags = flags,
	};
	struct err err = {0};
	int r = ic_channel_send(find(ic), &body, sizeof(body));

	if (r == -EBUSY)
		err_set(&err, r,
			"the guest was asked to shut down before and has not answered yet: wait, or use force");
	else if (r < 0)
		err_set(&err, -EOPNOTSUPP,
			"the guest has no shutdown service (its driver is hv_utils, or it is still starting): use "
			"force");
	if (r < 0) {
		done(arg, &err);
		return;
	}
	ic->shutdown.done = done;
	ic->shutdown.arg = arg;
	if (ic->running)
		loop_arm(ic->shutdown.deadline, IC_SHUTDOWN_ANSWER_NS);
}

static const struct ic_version versions[] = {{1, 0}, {3, 0}, {3, 1}, {3, 2}};

const struct ic_service ic_shutdown_service = {
	.name = "shutdown",
	.interface_guid = IC_SHUTDOWN_GUID,
	.instance_guid = IC_SHUTDOWN_INSTANCE_GUID,
	.type = IC_MESSAGE_SHUTDOWN,
	.versions = {versions, ARRAY_SIZE(versions)},
	.period_ns = 2 * 1000 * 1000 * 1000ull,
	.answer = shutdown_answer,
	.running = shutdown_running,
	.closed = shutdown_closed,
};
