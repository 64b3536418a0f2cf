/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of integration services, and the provider that offers them on the bus.
 *
 * Limits: one instance of each; the state of a channel lives and dies with the worker, so that the state block that the
 * bus makes for it is not used.
 */
#include "ic/ic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/vmbus.h"
#include "base/bytes.h"
#include "ic/ic_int.h"

static const struct ic_service *const services[] = {
	&ic_shutdown_service,
	&ic_heartbeat_service,
	&ic_timesync_service,
};

_Static_assert(ARRAY_SIZE(services) == IC_SERVICES, "one channel for each service");

/* ---- changes ---- */

static void tell(struct ic *ic)
{
	ic->more = false;
	ic->pacing = true;
	loop_arm(ic->pace, IC_PACE_NS);
	ic->host.changed(ic->host.arg);
}

void ic_tell(struct ic *ic)
{
	if (ic->pacing)
		ic->more = true;
	else
		tell(ic);
}

void ic_pace_over(void *arg)
{
	struct ic *ic = arg;

	ic->pacing = false;
	if (ic->more)
		tell(ic);
}

/* ---- the bus's calls ---- */

static struct ic_channel *find(struct ic *ic, uint32_t offer_id)
{
	struct ic_channel *channel = ic->channel;

	while (channel->offer_id != offer_id)
		channel++;
	return channel;
}

static void provider_open(void *arg, uint32_t offer_id, const struct bus_open *open)
{
	struct ic *ic = arg;
	int r = ic_channel_open(find(ic, offer_id), open);

	bus_opened(ic->provider, offer_id, r);
}

static void provider_close(void *arg, uint32_t offer_id)
{
	struct ic *ic = arg;

	ic_channel_close(find(ic, offer_id));
	bus_closed(ic->provider, offer_id);
}

static void provider_retarget(void *arg, uint32_t offer_id, uint32_t target_vp)
{
	struct ic *ic = arg;

	channel_retarget(&find(ic, offer_id)->channel, target_vp);
	bus_retargeted(ic->provider, offer_id);
}

static void provider_quiesce(void *arg)
{
	struct ic *ic = arg;

	for (size_t i = 0; i < IC_SERVICES; i++)
		ic_channel_close(&ic->channel[i]);
	bus_quiesced(ic->provider);
}

static const struct bus_provider_ops provider_ops = {
	.open = provider_open,
	.close = provider_close,
	.retarget = provider_retarget,
	.quiesce = provider_quiesce,
};

/* ---- making ---- */

static int offer(struct ic_channel *channel)
{
	const struct ic_service *service = channel->service;
	struct bus_offer_desc desc = {
		.interface_guid = service->interface_guid,
		.instance_guid = service->instance_guid,
		.flags = VMBUS_OFFER_ENUMERATE_DEVICE_INTERFACE | VMBUS_OFFER_NAMED_PIPE_MODE,
		.user_defined = {IC_PIPE_MODE_MESSAGE},
		.block_bytes = GUEST_PAGE_SIZE,
	};
	int r = loop_add_timer(channel->ic->loop, ic_channel_on_timer, channel, &channel->timer);

	return r < 0 ? r : bus_offer_add(channel->ic->provider, &desc, &channel->offer_id);
}

int ic_new(struct loop *loop, struct bus *bus, const struct guest_mem *mem, const struct signal_map *cells,
	   const struct ic_host *host, struct ic **ret_ic)
{
	struct ic *ic = calloc(1, sizeof(*ic));
	int r;

	if (!ic)
		return -ENOMEM;
	ic->loop = loop;
	ic->mem = mem;
	ic->cells = cells;
	ic->host = *host;
	r = loop_add_timer(loop, ic_shutdown_overdue, ic, &ic->shutdown.deadline);
	if (!r)
		r = loop_add_timer(loop, ic_pace_over, ic, &ic->pace);
	if (!r)
		r = bus_provider_add(bus, "integration services", &provider_ops, ic, &ic->provider);
	for (size_t i = 0; i < IC_SERVICES && !r; i++) {
		ic->channel[i].ic = ic;
		ic->channel[i].service = services[i];
		r = offer(&ic->channel[i]);
	}
	if (r < 0) {
		ic_free(ic);
		return r;
	}
	bus_provider_back(ic->provider);
	*ret_ic = ic;
	return 0;
}

void ic_free(struct ic *ic)
{
	if (!ic)
		return;
	for (size_t i = 0; i < IC_SERVICES; i++) {
		if (ic->channel[i].service)
			ic_channel_close(&ic->channel[i]);
		loop_remove(&ic->channel[i].timer);
	}
	loop_remove(&ic->shutdown.deadline);
	loop_remove(&ic->pace);
	free(ic);
}

void ic_running(struct ic *ic, bool running)
{
	if (ic->running == running)
		return;
	ic->running = running;
	for (size_t i = 0; i < IC_SERVICES; i++)
		ic_channel_running(&ic->channel[i], running);
}

/* ---- looking ---- */

enum ic_heartbeat_state ic_heartbeat(const struct ic *ic)
{
	return ic->heartbeat.state;
}

bool ic_service(const struct ic *ic, size_t index, struct ic_service_status *ret_status)
{
	const struct ic_channel *channel = &ic->channel[index];

	if (index >= IC_SERVICES)
		return false;
	*ret_status = (struct ic_service_status){.name = channel->service->name};
	if (channel->state == IC_READY) {
		ret_status->major = channel->version.major;
		ret_status->minor = channel->version.minor;
	}
	return true;
}
