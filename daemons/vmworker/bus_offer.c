/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: offers belong to providers and outlive connections. A guest gets all of them with REQUESTOFFERS,
 * and what is added later as soon as it may. A relid and an instance GUID whose offer was rescinded are held until
 * RELID_RELEASED: Linux finds channels by instance GUID alone. An offer that must wait for that, or for the pace, stays
 * HIDDEN and wanted; bus_pump() shows it. Of a provider that was away, offers that it makes again keep id, relid and
 * channel. Sub-channels are not in the list: bus_subchannel.c shows them.
 *
 * Limits: BUS_CHANNELS_MAX offers.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bus_int.h"

#define BLOCK_BYTES_MAX (64ull << 20)

void bus_offer_free(struct bus_offer *offer)
{
	assert(offer->relid == 0 && offer->kick_fd < 0);
	if (offer->provider)
		offer->bus->live--;
	TAILQ_REMOVE(&offer->bus->offers, offer, link);
	free(offer);
}

static uint32_t free_relid(const struct bus *bus)
{
	for (uint32_t relid = 1; relid <= BUS_CHANNELS_MAX; relid++)
		if (!bus->by_relid[relid])
			return relid;
	return 0;
}

static bool same_instance(const struct bus_offer *offer, const struct bus_offer_desc *desc)
{
	return offer->desc.subchannel_index == desc->subchannel_index &&
	       memcmp(&offer->desc.instance_guid, &desc->instance_guid, sizeof(desc->instance_guid)) == 0;
}

/* Whether the guest still holds a rescinded channel of the same instance. */
static bool instance_held(const struct bus *bus, const struct bus_offer *wanted)
{
	const struct bus_offer *offer;

	TAILQ_FOREACH(offer, &bus->offers, link)
	if (offer->state == CHAN_RESCINDED && same_instance(offer, &wanted->desc))
		return true;
	return false;
}

void bus_pump(struct bus *bus)
{
	struct bus_offer *offer;
	uint32_t relid;

	if (bus->state != BUS_CONNECTED || !bus->offers_sent || bus->pacing)
		return;
	TAILQ_FOREACH(offer, &bus->offers, link)
	{
		if (!offer->wanted || offer->state != CHAN_HIDDEN || instance_held(bus, offer))
			continue;
		relid = free_relid(bus);
		if (!relid)
			return;
		chan_offer(offer, relid);
		/* the guest has asked for sub-channels, and expects them all */
		if (offer->desc.subchannel_index)
			continue;
		bus_pace(bus);
		return;
	}
}

void bus_pace(struct bus *bus)
{
	bus->pacing = true;
	loop_arm(bus->pace, BUS_OFFER_PACE_NS);
}

void bus_pace_over(void *arg)
{
	struct bus *bus = arg;

	bus->pacing = false;
	bus_pump(bus);
}

/* By interface type, then as they were made: the same relids at every contact, in whatever order the providers came. */
static int compare_offers(const void *a, const void *b)
{
	const struct bus_offer *x = *(struct bus_offer *const *)a, *y = *(struct bus_offer *const *)b;
	int r = memcmp(&x->desc.interface_guid, &y->desc.interface_guid, sizeof(x->desc.interface_guid));

	return r ? r : x->id < y->id ? -1 : x->id > y->id;
}

void bus_on_request_offers(struct bus *bus, const struct bus_msg *msg)
{
	const struct vmbus_msg_header done = {.msgtype = VMBUS_MSG_ALLOFFERS_DELIVERED};
	_cleanup_free_ struct bus_offer **sorted = NULL;
	struct bus_offer *offer;
	size_t count = 0;

	if (bus->offers_sent) {
		bus_complain(bus, NULL, "REQUESTOFFERS twice");
		return;
	}
	bus->offers_sent = true;
	sorted = calloc(bus->live + 1, sizeof(struct bus_offer *));
	if (!sorted) {
		log_error("vmbus", "no memory for the list of offers");
		return;
	}
	TAILQ_FOREACH(offer, &bus->offers, link)
	if (offer->state == CHAN_HIDDEN && !offer->desc.subchannel_index)
		sorted[count++] = offer;
	qsort(sorted, count, sizeof(struct bus_offer *), compare_offers);
	for (size_t i = 0; i < count; i++)
		chan_offer(sorted[i], (uint32_t)i + 1);
	bus_post(bus, &done, sizeof(done));
}

/* ---- providers ---- */

int bus_provider_add(struct bus *bus, const char *name, const struct bus_provider_ops *ops, void *arg,
		     struct bus_provider **ret_provider)
{
	struct bus_provider *provider = calloc(1, sizeof(*provider));

	if (!provider)
		return -ENOMEM;
	provider->name = strdup(name);
	if (!provider->name) {
		free(provider);
		return -ENOMEM;
	}
	provider->bus = bus;
	provider->ops = ops;
	provider->arg = arg;
	provider->away = true;
	TAILQ_INSERT_TAIL(&bus->providers, provider, link);
	*ret_provider = provider;
	return 0;
}

void bus_provider_away(struct bus_provider *provider)
{
	struct bus *bus = provider->bus;
	struct bus_offer *offer;

	provider->away = true;
	TAILQ_FOREACH(offer, &bus->offers, link)
	{
		if (offer->provider != provider)
			continue;
		offer->made = false;
		memset(offer->stale, 0, sizeof(offer->stale));
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_AWAY});
	}
	if (bus->ending)
		provider->quiescing = false;
	bus_disconnected(bus);
}

/* @event for those of its offers that were @made again, or not. */
static void settle(struct bus_provider *provider, bool made, enum chan_event_type event)
{
	struct bus_offer *offer, *after;

	for (offer = TAILQ_FIRST(&provider->bus->offers); offer; offer = after) {
		after = TAILQ_NEXT(offer, link);
		if (offer->provider == provider && offer->made == made)
			chan_event(offer, &(struct chan_event){.type = event});
	}
}

void bus_provider_back(struct bus_provider *provider)
{
	void (*resumed)(void *arg) = provider->ops->resumed;
	struct bus *bus = provider->bus;

	if (!provider->away)
		return;
	bus->hold++;
	bus_provider_ended(provider);
	bus_subchannels_gone(provider);
	settle(provider, false, CHAN_EV_GONE);
	provider->away = provider->quiescing = false;
	provider->resuming = resumed != NULL;
	settle(provider, true, CHAN_EV_BACK);
	provider->resuming = false;
	if (resumed)
		resumed(provider->arg);
	bus->hold--;
	bus_disconnected(bus);
	bus_pump(bus);
}

void bus_provider_forget(struct bus_provider *provider)
{
	struct bus *bus = provider->bus;
	struct bus_offer *offer;

	bus->hold++;
	TAILQ_FOREACH(offer, &bus->offers, link)
	if (offer->provider == provider)
		offer->made = false;
	bus_subchannels_gone(provider);
	settle(provider, false, CHAN_EV_GONE);
	provider->quiescing = false;
	bus->hold--;
	bus_disconnected(bus);
	bus_pump(bus);
}

bool bus_provider_resuming(const struct bus_provider *provider)
{
	const struct bus_offer *offer;

	TAILQ_FOREACH(offer, &provider->bus->offers, link)
	if (offer->provider == provider && offer->state == CHAN_RESUMING)
		return true;
	return false;
}

unsigned int bus_provider_dead(const struct bus_provider *provider)
{
	const struct bus_offer *offer;
	unsigned int n = 0;

	TAILQ_FOREACH(offer, &provider->bus->offers, link)
	n += offer->provider == provider && offer->state == CHAN_DEAD;
	return n;
}

struct bus_offer *bus_find_offer(const struct bus_provider *provider, uint32_t offer_id)
{
	struct bus_offer *offer;

	TAILQ_FOREACH(offer, &provider->bus->offers, link)
	if (offer->provider == provider && offer->id == offer_id)
		return offer;
	return NULL;
}

static int offer_again(struct bus_offer *offer, const struct bus_offer_desc *desc, uint32_t *ret_offer_id)
{
	if (!offer->provider->away || offer->made ||
	    memcmp(&offer->desc.interface_guid, &desc->interface_guid, sizeof(desc->interface_guid)) != 0)
		return -EEXIST;
	offer->made = true;
	offer->desc = *desc;
	*ret_offer_id = offer->id;
	return 0;
}

int bus_offer_add(struct bus_provider *provider, const struct bus_offer_desc *desc, uint32_t *ret_offer_id)
{
	static const struct abi_guid none;
	struct bus *bus = provider->bus;
	struct bus_offer *offer;

	if (memcmp(&desc->instance_guid, &none, sizeof(none)) == 0 || desc->block_bytes == 0 ||
	    desc->block_bytes % GUEST_PAGE_SIZE || desc->block_bytes > BLOCK_BYTES_MAX)
		return -EINVAL;
	TAILQ_FOREACH(offer, &bus->offers, link)
	if (offer->provider && same_instance(offer, desc))
		return offer->provider == provider ? offer_again(offer, desc, ret_offer_id) : -EEXIST;
	if (desc->subchannel_index && !bus_has_primary(provider, desc))
		return -ENOENT;
	if (bus->live >= BUS_CHANNELS_MAX)
		return -ENOSPC;
	offer = calloc(1, sizeof(*offer));
	if (!offer)
		return -ENOMEM;
	offer->bus = bus;
	offer->provider = provider;
	offer->desc = *desc;
	offer->id = ++bus->next_offer_id;
	offer->made = true;
	chan_init(offer);
	bus->live++;
	TAILQ_INSERT_TAIL(&bus->offers, offer, link);
	*ret_offer_id = offer->id;
	offer->wanted = bus->state == BUS_CONNECTED && bus->offers_sent && !desc->subchannel_index;
	bus_pump(bus);
	return 0;
}

bool bus_offer_known(const struct bus_provider *provider, uint32_t offer_id)
{
	return bus_find_offer(provider, offer_id) != NULL;
}

int bus_offer_withdraw(struct bus_provider *provider, uint32_t offer_id)
{
	struct bus *bus = provider->bus;
	struct bus_offer *offer = bus_find_offer(provider, offer_id);

	if (!offer)
		return -ENOENT;
	offer->made = false;
	if (provider->away) /* bus_provider_back() sees to it */
		return 0;
	bus->hold++;
	if (!offer->desc.subchannel_index)
		bus_subchannels_gone(provider);
	chan_event(offer, &(struct chan_event){.type = CHAN_EV_GONE});
	bus->hold--;
	bus_disconnected(bus);
	bus_pump(bus);
	return 0;
}

static void answered(struct bus_provider *provider, uint32_t offer_id, enum chan_event_type type, int status)
{
	struct bus_offer *offer = bus_find_offer(provider, offer_id);

	if (offer)
		chan_event(offer, &(struct chan_event){.type = type, .status = status});
	else if (offer_id > provider->bus->next_offer_id)
		log_warn(provider->name, "answers for the unknown offer %u", offer_id);
	/* else it has withdrawn the offer meanwhile */
}

void bus_opened(struct bus_provider *provider, uint32_t offer_id, int status)
{
	answered(provider, offer_id, CHAN_EV_OPENED, status);
}

void bus_closed(struct bus_provider *provider, uint32_t offer_id)
{
	answered(provider, offer_id, CHAN_EV_CLOSED, 0);
}

void bus_retargeted(struct bus_provider *provider, uint32_t offer_id)
{
	answered(provider, offer_id, CHAN_EV_RETARGETED, 0);
}

void bus_quiesced(struct bus_provider *provider)
{
	struct bus_offer *offer;

	if (!provider->quiescing) {
		log_warn(provider->name, "has quiesced without being asked");
		return;
	}
	provider->quiescing = false;
	TAILQ_FOREACH(offer, &provider->bus->offers, link)
	if (offer->provider == provider && offer->state == CHAN_DRAINING)
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_QUIESCED});
	bus_disconnected(provider->bus);
}
