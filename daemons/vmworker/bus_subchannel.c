// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation: a device's further channels. Its provider offers them from the start, so that a successor finds
 * them as it finds the others; a guest sees them once it has asked for them by the device's own protocol, while the
 * primary channel is open: a guest that met one without its primary channel would warn of it, and drop it. A guest that
 * is done with a device closes and releases its sub-channels first and closes the primary channel then. Whatever it has
 * left is closed and rescinded by us, and hidden once it is released.
 */
#include <errno.h>
#include <string.h>

#include "bus_channel.h"

static bool is_primary_of(const struct bus_offer *offer, const struct bus_provider *provider,
			  const struct bus_offer_desc *desc)
{
	return offer->provider == provider && !offer->desc.subchannel_index && desc->subchannel_index &&
	       memcmp(&offer->desc.instance_guid, &desc->instance_guid, sizeof(desc->instance_guid)) == 0 &&
	       memcmp(&offer->desc.interface_guid, &desc->interface_guid, sizeof(desc->interface_guid)) == 0;
}

static const struct bus_offer *find_primary(const struct bus_provider *provider, const struct bus_offer_desc *desc)
{
	const struct bus_offer *offer;

	TAILQ_FOREACH(offer, &provider->bus->offers, link)
	if (is_primary_of(offer, provider, desc))
		return offer;
	return NULL;
}

bool bus_has_primary(const struct bus_provider *provider, const struct bus_offer_desc *desc)
{
	const struct bus_offer *primary = find_primary(provider, desc);

	return primary && primary->made;
}

static bool is_subchannel_of(const struct bus_offer *offer, const struct bus_offer *primary)
{
	return offer->provider && is_primary_of(primary, offer->provider, &offer->desc);
}

static bool is_running(const struct bus_offer *offer)
{
	return offer->state == CHAN_OPEN || offer->state == CHAN_RETARGETING || offer->state == CHAN_RESUMING;
}

int bus_subchannels(struct bus_provider *provider, uint32_t offer_id, uint32_t count)
{
	struct bus_offer *offer, *primary = NULL;

	TAILQ_FOREACH(offer, &provider->bus->offers, link)
	if (offer->provider == provider && offer->id == offer_id)
		primary = offer;
	if (!primary)
		return -ENOENT;
	if (primary->desc.subchannel_index)
		return -EINVAL;
	if (!is_running(primary))
		return -ENOTCONN;
	TAILQ_FOREACH(offer, &provider->bus->offers, link)
	if (is_subchannel_of(offer, primary) && offer->desc.subchannel_index <= count)
		offer->wanted = true;
	bus_pump(provider->bus);
	return 0;
}

void bus_subchannels_gone(struct bus_provider *provider)
{
	struct bus_offer *offer, *after;

	for (offer = TAILQ_FIRST(&provider->bus->offers); offer; offer = after) {
		after = TAILQ_NEXT(offer, link);
		if (offer->provider != provider || !offer->desc.subchannel_index)
			continue;
		if (!offer->made || !bus_has_primary(provider, &offer->desc))
			chan_event(offer, &(struct chan_event){.type = CHAN_EV_GONE});
	}
}

/* States in which a sub-channel is closed by the event with which a guest would do it. */
static const bool closable[CHAN_STATES] = {
	[CHAN_OPENING] = true,	   [CHAN_OPEN] = true, [CHAN_RESUMING] = true,
	[CHAN_RETARGETING] = true, [CHAN_DEAD] = true, [CHAN_CLOSING_REOPEN] = true,
};

static void withdraw(struct bus_offer *offer)
{
	offer->wanted = false;
	if (offer->state == CHAN_OFFERED) {
		chan_rescind(offer, false);
	} else if (closable[offer->state]) {
		offer->withdrawn = true;
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_CLOSE});
	} else {
		offer->withdrawn = offer->state == CHAN_CLOSING || offer->state == CHAN_OPENING_CLOSE;
	}
}

void bus_subchannels_withdraw(struct bus_offer *primary)
{
	struct bus_offer *offer;

	if (primary->desc.subchannel_index)
		return;
	TAILQ_FOREACH(offer, &primary->bus->offers, link)
	if (is_subchannel_of(offer, primary))
		withdraw(offer);
}
