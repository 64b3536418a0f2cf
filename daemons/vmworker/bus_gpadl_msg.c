/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages that make and end GPADLs.
 *
 * Theory of operation: a guest may reuse the pages of a GPADL once it has GPADL_TORNDOWN. That is held back while the
 * GPADL is used: as a ring, until the channel is closed; lent to a device, which has asked for it by bus_lend(), until
 * its provider has answered bus_provider_ops.revoke(), or the channel is closed, or the provider's process has ended
 * (bus_provider_ended()). A process's successor asks for what it needs again.
 */
#include <errno.h>
#include <string.h>

#include "bus_int.h"

void bus_answer_gpadl(struct bus *bus, uint32_t relid, uint32_t gpadl, int r)
{
	struct vmbus_msg_gpadl_created msg = {
		.header.msgtype = VMBUS_MSG_GPADL_CREATED,
		.child_relid = relid,
		.gpadl = gpadl,
		.creation_status = r < 0 ? VMBUS_STATUS_UNSUCCESSFUL : VMBUS_STATUS_SUCCESS,
	};

	if (r < 0)
		bus_complain(bus, NULL, "GPADL %#x of channel %u refused: %s", gpadl, relid, strerror(-r));
	bus_post(bus, &msg, sizeof(msg));
}

/* @r: what its last part gave. Answers once it is whole or has failed. */
static void gpadl_step(struct bus *bus, struct gpadl *gpadl, int r)
{
	uint32_t relid = gpadl->relid, id = gpadl->id;

	if (r == 0 && !gpadl_complete(gpadl))
		return;
	if (r == 0)
		r = gpadl_check(gpadl, bus->mem);
	if (r < 0)
		gpadl_remove(&bus->gpadls, gpadl);
	bus_answer_gpadl(bus, relid, id, r);
}

void bus_on_gpadl_header(struct bus *bus, const struct bus_msg *msg)
{
	struct gpadl *gpadl;
	int r = -ENODEV;

	if (bus_find_relid(bus, msg->gpadl.relid))
		r = gpadl_begin(&bus->gpadls, &msg->gpadl, &gpadl);
	if (r < 0)
		bus_answer_gpadl(bus, msg->gpadl.relid, msg->gpadl.gpadl, r);
	else
		gpadl_step(bus, gpadl, 0);
}

void bus_on_gpadl_body(struct bus *bus, const struct bus_msg *msg)
{
	struct gpadl *gpadl = gpadl_find(&bus->gpadls, msg->gpadl.gpadl);

	if (!gpadl || gpadl->state != GPADL_FILLING) {
		bus_complain(bus, NULL, "GPADL_BODY for %#x, which takes none", msg->gpadl.gpadl);
		return;
	}
	gpadl_step(bus, gpadl, gpadl_append(gpadl, &msg->gpadl));
}

void bus_gpadl_unused(struct bus *bus, struct gpadl *gpadl)
{
	struct vmbus_msg_gpadl_torndown msg = {
		.header.msgtype = VMBUS_MSG_GPADL_TORNDOWN,
		.gpadl = gpadl->id,
	};

	gpadl->use = GPADL_UNUSED;
	gpadl->asked = false;
	if (gpadl->state != GPADL_TEARDOWN)
		return;
	gpadl_remove(&bus->gpadls, gpadl);
	bus_post(bus, &msg, sizeof(msg));
}

/* ---- lent to a device ---- */

/* States in which the provider has the channel, and is not asked to close it. */
static const bool has_channel[CHAN_STATES] = {
	[CHAN_OPENING] = true,
	[CHAN_OPEN] = true,
	[CHAN_RESUMING] = true,
	[CHAN_RETARGETING] = true,
};

/* In any other state its channel's end, or its provider's, gives it back. */
static void ask_back(struct bus *bus, struct gpadl *gpadl)
{
	struct bus_offer *offer = bus_find_relid(bus, gpadl->relid);

	if (!offer || !has_channel[offer->state] || offer->provider->away)
		return;
	gpadl->asked = true;
	offer->provider->ops->revoke(offer->provider->arg, offer->id, gpadl->id);
}

static void count_lent(struct gpadl *gpadl, void *arg)
{
	*(unsigned int *)arg += gpadl->use == GPADL_LENT;
}

int bus_lend(struct bus_provider *provider, uint32_t offer_id, uint32_t gpadl_id, struct guest_range **ret_ranges,
	     size_t *ret_count)
{
	struct bus_offer *offer = bus_find_offer(provider, offer_id);
	struct gpadl *gpadl;
	unsigned int lent = 0;
	uint32_t pages;
	int r;

	if (!offer)
		return -ENOENT;
	if (provider->away || !has_channel[offer->state])
		return -ENOTCONN;
	gpadl = gpadl_find(&provider->bus->gpadls, gpadl_id);
	if (!gpadl || gpadl->relid != offer->relid || gpadl->use == GPADL_RING)
		return -ENOENT;
	/* Each is asked back for by itself. */
	gpadl_each(&provider->bus->gpadls, offer->relid, count_lent, &lent);
	if (gpadl->use != GPADL_LENT && lent >= BUS_LENT_MAX)
		return -ENOSPC;
	r = gpadl_pages(gpadl, ret_ranges, ret_count, &pages);
	if (r < 0)
		return r == -EINVAL ? -ENOENT : r;
	gpadl->use = GPADL_LENT;
	return 0;
}

void bus_revoked(struct bus_provider *provider, uint32_t offer_id, uint32_t gpadl_id)
{
	struct bus_offer *offer = bus_find_offer(provider, offer_id);
	struct gpadl *gpadl = gpadl_find(&provider->bus->gpadls, gpadl_id);

	/* else the channel's close, or the guest's leave, has overtaken it */
	if (offer && gpadl && gpadl->relid == offer->relid && gpadl->asked)
		bus_gpadl_unused(provider->bus, gpadl);
}

static void give_back(struct gpadl *gpadl, void *arg)
{
	if (gpadl->use == GPADL_LENT)
		bus_gpadl_unused(arg, gpadl);
}

void bus_lent_back(struct bus_offer *offer)
{
	gpadl_each(&offer->bus->gpadls, offer->relid, give_back, offer->bus);
}

void bus_provider_ended(struct bus_provider *provider)
{
	struct bus_offer *offer;

	if (!provider->away)
		return;
	TAILQ_FOREACH(offer, &provider->bus->offers, link)
	if (offer->provider == provider && offer->relid)
		bus_lent_back(offer);
}

void bus_on_gpadl_teardown(struct bus *bus, const struct bus_msg *msg)
{
	struct gpadl *gpadl = gpadl_find(&bus->gpadls, msg->pair.value);

	if (!gpadl || gpadl->relid != msg->pair.relid || gpadl->state == GPADL_TEARDOWN) {
		bus_complain(bus, NULL, "GPADL_TEARDOWN for %#x of channel %u, which is not there", msg->pair.value,
			     msg->pair.relid);
		return;
	}
	gpadl->state = GPADL_TEARDOWN;
	if (gpadl->use == GPADL_UNUSED)
		bus_gpadl_unused(bus, gpadl);
	else if (gpadl->use == GPADL_LENT)
		ask_back(bus, gpadl);
}
