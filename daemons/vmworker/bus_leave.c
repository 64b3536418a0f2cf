/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest leaves, or the provider does not offer a channel any more. bus_channel.c has the table.
 *
 * A guest is told that a channel is gone (RESCIND_CHANNELOFFER) only after its provider has let go of it: Linux frees
 * the rings of a rescinded channel without asking for its GPADLs' teardown. It also takes no answer out of them any
 * more: a driver that is waiting for one then waits for ever, and holds whatever it holds. So a provider withdraws what
 * its guest has done with; what a guest has not released after BUS_RELEASE_NS is in the log.
 */
#include "bus_channel.h"

#include "base/bytes.h"
#include "base/clock.h"

static void drop_relid(struct bus_offer *offer)
{
	offer->bus->by_relid[offer->relid] = NULL;
	offer->relid = 0;
	offer->state = CHAN_HIDDEN;
}

/* ---- the guest leaves ---- */

void chan_offered_released(struct bus_offer *offer, const struct chan_event *event)
{
	gpadl_remove_owned(&offer->bus->gpadls, offer->relid);
	drop_relid(offer);
}

void chan_release_closed(struct bus_offer *offer, const struct chan_event *event)
{
	chan_release_open(offer);
	chan_offered_released(offer, event);
}

void chan_rescinded_released(struct bus_offer *offer, const struct chan_event *event)
{
	struct bus *bus = offer->bus;

	gpadl_remove_owned(&bus->gpadls, offer->relid);
	drop_relid(offer);
	if (!offer->provider)
		bus_offer_free(offer);
	bus_pace(bus);
}

void chan_offered_disconnect(struct bus_offer *offer, const struct chan_event *event)
{
	drop_relid(offer);
}

void chan_hidden_disconnect(struct bus_offer *offer, const struct chan_event *event)
{
	offer->wanted = false;
}

void chan_rescinded_disconnect(struct bus_offer *offer, const struct chan_event *event)
{
	drop_relid(offer);
	offer->wanted = false;
	if (!offer->provider)
		bus_offer_free(offer);
}

/* What the provider still owes in @state nobody waits for any more: its answer to "quiesce" covers it. */
void chan_drain(struct bus_offer *offer, const struct chan_event *event)
{
	static const enum chan_event_type owed[CHAN_STATES] = {
		[CHAN_OPENING] = CHAN_EV_OPENED,	 [CHAN_OPENING_CLOSE] = CHAN_EV_OPENED,
		[CHAN_RETARGETING] = CHAN_EV_RETARGETED, [CHAN_CLOSING] = CHAN_EV_CLOSED,
		[CHAN_CLOSING_REOPEN] = CHAN_EV_CLOSED,	 [CHAN_CLOSING_RELEASE] = CHAN_EV_CLOSED,
		[CHAN_RESUMING] = CHAN_EV_OPENED,
	};
	enum chan_event_type type = offer->close_later ? CHAN_EV_OPENED : owed[offer->state];

	if (type && !chan_is_away(offer))
		offer->stale[type]++;
	offer->close_later = offer->retarget_again = offer->withdrawn = false;
	offer->on_gpadl = false; /* bus.c drops them all */
	offer->state = CHAN_DRAINING;
}

void chan_draining_quiesced(struct bus_offer *offer, const struct chan_event *event)
{
	chan_done(offer);
	drop_relid(offer);
}

/* ---- the provider offers it no more ---- */

static void post_rescind(struct bus_offer *offer)
{
	struct vmbus_msg_relid msg = {
		.header.msgtype = VMBUS_MSG_RESCIND_CHANNELOFFER,
		.child_relid = offer->relid,
	};

	bus_post(offer->bus, &msg, sizeof(msg));
}

static void forget(struct bus_offer *offer)
{
	offer->provider = NULL;
	offer->wanted = false;
	offer->bus->live--;
}

void chan_rescind(struct bus_offer *offer, bool forgotten)
{
	offer->withdrawn = false;
	chan_release_open(offer);
	post_rescind(offer);
	offer->state = CHAN_RESCINDED;
	offer->told_ns = clock_now_ns();
	if (!offer->bus->releasing)
		loop_arm(offer->bus->release, offer->bus->release_ns);
	offer->bus->releasing = true;
	if (forgotten)
		forget(offer);
}

void bus_release_late(void *arg)
{
	struct bus *bus = arg;
	uint64_t now_ns = clock_now_ns(), next_ns = UINT64_MAX;
	struct bus_offer *offer;
	char name[24];

	TAILQ_FOREACH(offer, &bus->offers, link)
	{
		if (offer->state != CHAN_RESCINDED || !offer->told_ns)
			continue;
		if (offer->told_ns + bus->release_ns > now_ns) {
			next_ns = MIN(next_ns, offer->told_ns + bus->release_ns - now_ns);
			continue;
		}
		bus_complain(
			bus, chan_name(offer, name),
			"the guest was told %llu s ago that it is gone, and has not let go of it: unless the VM is "
			"paused, its driver may hang",
			(unsigned long long)((now_ns - offer->told_ns) / NS_PER_SEC));
		offer->told_ns = 0;
	}
	bus->releasing = next_ns != UINT64_MAX;
	if (bus->releasing)
		loop_arm(bus->release, next_ns);
}

static void rescind(struct bus_offer *offer)
{
	chan_rescind(offer, true);
}

void chan_rescinded_gone(struct bus_offer *offer, const struct chan_event *event)
{
	forget(offer);
}

void chan_retargeting_gone(struct bus_offer *offer, const struct chan_event *event)
{
	bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
	rescind(offer);
}

void chan_resuming_gone(struct bus_offer *offer, const struct chan_event *event)
{
	if (offer->retarget_again)
		bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
	rescind(offer);
}

void chan_hidden_gone(struct bus_offer *offer, const struct chan_event *event)
{
	bus_offer_free(offer);
}

void chan_offered_gone(struct bus_offer *offer, const struct chan_event *event)
{
	rescind(offer);
}

void chan_opening_gone(struct bus_offer *offer, const struct chan_event *event)
{
	bus_answer_open(offer->bus, offer->relid, offer->opened.open_id, VMBUS_STATUS_UNSUCCESSFUL);
	rescind(offer);
}

void chan_reopen_gone(struct bus_offer *offer, const struct chan_event *event)
{
	bus_answer_open(offer->bus, offer->relid, offer->reopen.open_id, VMBUS_STATUS_UNSUCCESSFUL);
	rescind(offer);
}

void chan_release_gone(struct bus_offer *offer, const struct chan_event *event)
{
	chan_release_closed(offer, event);
	bus_offer_free(offer);
}

void chan_draining_gone(struct bus_offer *offer, const struct chan_event *event)
{
	chan_draining_quiesced(offer, event);
	bus_offer_free(offer);
}
