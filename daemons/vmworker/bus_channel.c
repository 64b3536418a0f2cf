/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: each offer is one row of a table of states and events. Guest events are messages, provider
 * events are answers to what bus_provider_ops asked. A handler changes the state first and calls the provider last, so
 * that a provider may answer before its function returns. An empty cell is an event out of place: it changes nothing
 * and is logged.
 *
 *   HIDDEN --offer--> OFFERED --OPEN--> OPENING --opened--> OPEN --CLOSE--> CLOSING --closed--> OFFERED
 *
 * CLOSECHANNEL has no answer; what a guest waits for is GPADL_TORNDOWN, and that is held back while a channel runs on
 * the GPADL. Answers that a channel has stopped waiting for (the guest left, or closed during a retarget) are counted
 * in offer.stale and swallowed.
 *
 * A provider that is away is not called and answers nothing. Its channels keep their states, which say what it is owed:
 * what the guest asks for meanwhile is noted as if it had been called (OPENING, CLOSING, DRAINING), or, for a retarget,
 * done at once. When it is back, the states are settled: what was closing or draining is closed, for its predecessor's
 * I/O has ended; OPENING is asked for now; OPEN goes through RESUMING, in which the provider takes up the channel where
 * its predecessor left it. If it cannot, the channel is DEAD until the guest closes it or another successor tries.
 *
 *   OPEN --away, back--> RESUMING --opened--> OPEN
 *                            +------failed--> DEAD --CLOSE--> OFFERED
 *
 * A channel that is not offered again is rescinded, and stays RESCINDED until the guest releases the relid.
 *
 * Limits: one retarget is under way; below 5.3, where it has no answer, the latest of those that follow is kept.
 */
#include "bus_int.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/bytes.h"
#include "base/fd.h"

#define RING_PAGES_MIN 2u /* each ring: its header and a page of data */

static uint32_t connection_id(const struct bus_offer *offer)
{
	return BUS_CONNECTION_BASE + offer->relid;
}

static const char *chan_name(const struct bus_offer *offer, char buf[24])
{
	snprintf(buf, 24, "channel %u", offer->relid);
	return buf;
}

void bus_answer_open(struct bus *bus, uint32_t relid, uint32_t open_id, uint32_t status)
{
	struct vmbus_msg_open_result msg = {
		.header.msgtype = VMBUS_MSG_OPENCHANNEL_RESULT,
		.child_relid = relid,
		.openid = open_id,
		.status = status,
	};

	bus_post(bus, &msg, sizeof(msg));
}

void bus_answer_modify(struct bus *bus, uint32_t relid, uint32_t status)
{
	struct vmbus_msg_modify_response msg = {
		.header.msgtype = VMBUS_MSG_MODIFYCHANNEL_RESPONSE,
		.child_relid = relid,
		.status = status,
	};

	if (bus->version >= VMBUS_VERSION_5_3)
		bus_post(bus, &msg, sizeof(msg));
}

static void post_rescind(struct bus_offer *offer)
{
	struct vmbus_msg_relid msg = {
		.header.msgtype = VMBUS_MSG_RESCIND_CHANNELOFFER,
		.child_relid = offer->relid,
	};

	bus_post(offer->bus, &msg, sizeof(msg));
}

static void post_torndown(struct bus *bus, uint32_t gpadl)
{
	struct vmbus_msg_gpadl_torndown msg = {
		.header.msgtype = VMBUS_MSG_GPADL_TORNDOWN,
		.gpadl = gpadl,
	};

	bus_post(bus, &msg, sizeof(msg));
}

void chan_init(struct bus_offer *offer)
{
	offer->state = CHAN_HIDDEN;
	offer->kick_fd = offer->irq_fd = offer->block_fd = -1;
}

void chan_done(struct bus_offer *offer)
{
	struct bus *bus = offer->bus;

	if (offer->kick_fd >= 0)
		bus->guest->kick_release(bus->guest_arg, connection_id(offer), offer->kick_fd);
	if (offer->irq_fd >= 0)
		bus->guest->irq_release(bus->guest_arg, offer->irq_fd);
	fd_close(&offer->kick_fd);
	fd_close(&offer->irq_fd);
	fd_close(&offer->block_fd);
	free(offer->ring);
	offer->ring = NULL;
}

/* The provider is through with the open: its GPADL is free again, and a teardown that waited for this is answered. */
static void release_open(struct bus_offer *offer)
{
	struct bus *bus = offer->bus;
	struct gpadl *gpadl;

	chan_done(offer);
	offer->close_later = offer->retarget_again = false;
	if (!offer->on_gpadl)
		return;
	offer->on_gpadl = false;
	gpadl = gpadl_find(&bus->gpadls, offer->gpadl);
	gpadl->in_use = false;
	if (gpadl->state == GPADL_TEARDOWN) {
		post_torndown(bus, gpadl->id);
		gpadl_remove(&bus->gpadls, gpadl);
	}
}

static void drop_relid(struct bus_offer *offer)
{
	offer->bus->by_relid[offer->relid] = NULL;
	offer->relid = 0;
	offer->state = CHAN_HIDDEN;
}

void chan_offer(struct bus_offer *offer, uint32_t relid)
{
	struct bus *bus = offer->bus;
	struct vmbus_msg_offer_channel msg = {
		.header.msgtype = VMBUS_MSG_OFFERCHANNEL,
		.offer.if_type = offer->desc.interface_guid,
		.offer.if_instance = offer->desc.instance_guid,
		.offer.chn_flags = offer->desc.flags,
		.offer.mmio_megabytes = offer->desc.mmio_megabytes,
		.offer.sub_channel_index = offer->desc.subchannel_index,
		.child_relid = relid,
		.monitorid = 0xff,
		.is_dedicated_interrupt = 1,
	};

	assert(offer->state == CHAN_HIDDEN && !bus->by_relid[relid]);
	offer->state = CHAN_OFFERED;
	offer->wanted = false;
	offer->relid = relid;
	bus->by_relid[relid] = offer;
	msg.connection_id = connection_id(offer);
	memcpy(msg.offer.user_def, offer->desc.user_defined, sizeof(msg.offer.user_def));
	bus_post(bus, &msg, sizeof(msg));
}

bool chan_uses_vp(const struct bus_offer *offer, uint32_t vp)
{
	return (offer->state == CHAN_OPEN || offer->state == CHAN_RESUMING || offer->state == CHAN_RETARGETING) &&
	       offer->target_vp == vp;
}

/* ---- open ---- */

/* What the host must give. On failure the caller calls chan_done(). */
static int open_resources(struct bus_offer *offer, uint32_t vp)
{
	struct bus *bus = offer->bus;
	int fd, r;

	offer->block_fd = fd_memfd("bulkhead-channel", offer->desc.block_bytes);
	if (offer->block_fd < 0)
		return offer->block_fd;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = bus->guest->kick_assign(bus->guest_arg, connection_id(offer), fd);
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	offer->kick_fd = fd;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = bus->guest->irq_assign(bus->guest_arg, vp, fd);
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	offer->irq_fd = fd;
	return 0;
}

/* @ret_gpadl is unused so far and gives at least two pages to each ring. */
static int open_ring(struct bus_offer *offer, const struct bus_msg_open *open, struct gpadl **ret_gpadl,
		     struct guest_range **ret_ring, size_t *ret_count)
{
	struct bus *bus = offer->bus;
	struct gpadl *gpadl = gpadl_find(&bus->gpadls, open->gpadl);
	struct guest_range *ring;
	uint32_t pages;
	size_t count;
	int r;

	if (!gpadl || gpadl->relid != offer->relid || gpadl->in_use ||
	    open->target_vp >= bus->guest->cpus(bus->guest_arg))
		return -EINVAL;
	r = gpadl_ring(gpadl, &ring, &count, &pages);
	if (r < 0)
		return r;
	if (open->downstream_page < RING_PAGES_MIN || open->downstream_page > pages ||
	    pages - open->downstream_page < RING_PAGES_MIN) {
		free(ring);
		return -EINVAL;
	}
	*ret_gpadl = gpadl;
	*ret_ring = ring;
	*ret_count = count;
	return 0;
}

static bool is_away(const struct bus_offer *offer)
{
	return offer->provider->away;
}

static void ask_open(struct bus_offer *offer, bool recover)
{
	const struct bus_open call = {
		.relid = offer->relid,
		.target_vp = offer->target_vp,
		.ring = offer->ring,
		.ring_ranges = offer->ring_ranges,
		.downstream_page = offer->opened.downstream_page,
		.user_data = offer->opened.user_data,
		.kick_fd = offer->kick_fd,
		.irq_fd = offer->irq_fd,
		.block_fd = offer->block_fd,
		.recover = recover,
	};

	offer->provider->ops->open(offer->provider->arg, offer->id, &call);
}

static void open_begin(struct bus_offer *offer, const struct bus_msg_open *open)
{
	struct gpadl *gpadl;
	char name[24];
	int r;

	offer->state = CHAN_OFFERED;
	r = open_ring(offer, open, &gpadl, &offer->ring, &offer->ring_ranges);
	if (r == -EINVAL)
		bus_complain(offer->bus, chan_name(offer, name), "the guest opens it with a bad ring or vCPU %u",
			     open->target_vp);
	if (r == 0) {
		r = open_resources(offer, open->target_vp);
		if (r < 0)
			log_error(chan_name(offer, name), "cannot open: %s", strerror(-r));
	}
	if (r < 0) {
		chan_done(offer);
		bus_answer_open(offer->bus, offer->relid, open->open_id, VMBUS_STATUS_UNSUCCESSFUL);
		return;
	}
	gpadl->in_use = true;
	offer->on_gpadl = true;
	offer->gpadl = gpadl->id;
	offer->opened = *open;
	offer->target_vp = open->target_vp;
	offer->state = CHAN_OPENING;
	if (!is_away(offer))
		ask_open(offer, false);
}

static void on_open(struct bus_offer *offer, const struct chan_event *event)
{
	open_begin(offer, event->open);
}

static void refuse_open(struct bus_offer *offer, const struct chan_event *event)
{
	char name[24];

	bus_complain(offer->bus, chan_name(offer, name), "the guest opens it while it is not closed");
	bus_answer_open(offer->bus, offer->relid, event->open->open_id, VMBUS_STATUS_UNSUCCESSFUL);
}

static void opening_opened(struct bus_offer *offer, const struct chan_event *event)
{
	char name[24];

	if (event->status < 0) {
		log_warn(chan_name(offer, name), "%s did not open it: %s", offer->provider->name,
			 strerror(-event->status));
		offer->state = CHAN_OFFERED;
		bus_answer_open(offer->bus, offer->relid, offer->opened.open_id, VMBUS_STATUS_UNSUCCESSFUL);
		release_open(offer);
		return;
	}
	offer->state = CHAN_OPEN;
	bus_answer_open(offer->bus, offer->relid, offer->opened.open_id, VMBUS_STATUS_SUCCESS);
}

/* ---- close ---- */

static void close_begin(struct bus_offer *offer)
{
	offer->state = CHAN_CLOSING;
	if (is_away(offer))
		return;
	offer->provider->ops->close(offer->provider->arg, offer->id);
}

static void opening_close(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_OPENING_CLOSE;
}

static void opening_close_opened(struct bus_offer *offer, const struct chan_event *event)
{
	bus_answer_open(offer->bus, offer->relid, offer->opened.open_id, VMBUS_STATUS_UNSUCCESSFUL);
	if (event->status < 0) {
		offer->state = CHAN_OFFERED;
		release_open(offer);
		return;
	}
	close_begin(offer);
}

static void open_close(struct bus_offer *offer, const struct chan_event *event)
{
	close_begin(offer);
}

static void retargeting_close(struct bus_offer *offer, const struct chan_event *event)
{
	offer->stale[CHAN_EV_RETARGETED]++;
	bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
	close_begin(offer);
}

static void closing_open(struct bus_offer *offer, const struct chan_event *event)
{
	offer->reopen = *event->open;
	offer->state = CHAN_CLOSING_REOPEN;
}

static void reopen_close(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_CLOSING;
	bus_answer_open(offer->bus, offer->relid, offer->reopen.open_id, VMBUS_STATUS_UNSUCCESSFUL);
}

static void closing_released(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_CLOSING_RELEASE;
}

static void closing_closed(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_OFFERED;
	release_open(offer);
}

static void reopen_closed(struct bus_offer *offer, const struct chan_event *event)
{
	struct bus_msg_open open = offer->reopen;

	release_open(offer);
	open_begin(offer, &open);
}

/* ---- retarget ---- */

/* Until the provider knows better it may have set the flag on the old vCPU, where nobody looks for it any more. */
static void retarget_done(struct bus_offer *offer)
{
	struct bus *bus = offer->bus;

	bus->guest->raise_event(bus->guest_arg, offer->target_vp, offer->relid);
	bus_answer_modify(bus, offer->relid, VMBUS_STATUS_SUCCESS);
}

/* Interrupts go to another vCPU. Return: 0; else the guest was told that it is refused. */
static int retarget_irq(struct bus_offer *offer, uint32_t vp)
{
	struct bus *bus = offer->bus;
	char name[24];
	int r = -EINVAL;

	if (vp < bus->guest->cpus(bus->guest_arg))
		r = bus->guest->irq_assign(bus->guest_arg, vp, offer->irq_fd);
	if (r < 0) {
		bus_complain(bus, chan_name(offer, name), "cannot move it to vCPU %u: %s", vp, strerror(-r));
		bus_answer_modify(bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
		return r;
	}
	offer->target_vp = vp;
	return 0;
}

/* Nobody is there who must know of it: an open that follows names the new vCPU. */
static void retarget_alone(struct bus_offer *offer, uint32_t vp)
{
	if (!retarget_irq(offer, vp))
		retarget_done(offer);
}

static void retarget_begin(struct bus_offer *offer, uint32_t vp)
{
	offer->state = CHAN_OPEN;
	if (is_away(offer)) {
		retarget_alone(offer, vp);
		return;
	}
	if (retarget_irq(offer, vp) < 0)
		return;
	offer->state = CHAN_RETARGETING;
	offer->provider->ops->retarget(offer->provider->arg, offer->id, vp);
}

static void open_modify(struct bus_offer *offer, const struct chan_event *event)
{
	retarget_begin(offer, event->vp);
}

static void retargeting_modify(struct bus_offer *offer, const struct chan_event *event)
{
	if (offer->bus->version >= VMBUS_VERSION_5_3) {
		bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
		return;
	}
	offer->retarget_next = event->vp;
	offer->retarget_again = true;
}

static void dead_modify(struct bus_offer *offer, const struct chan_event *event)
{
	retarget_alone(offer, event->vp);
}

/* What came while the provider was busy. */
static void retarget_more(struct bus_offer *offer)
{
	if (!offer->retarget_again)
		return;
	offer->retarget_again = false;
	retarget_begin(offer, offer->retarget_next);
}

static void refuse_modify(struct bus_offer *offer, const struct chan_event *event)
{
	bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
}

static void retargeting_retargeted(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_OPEN;
	retarget_done(offer);
	retarget_more(offer);
}

/* ---- the provider is away, and back ---- */

static void stay(struct bus_offer *offer, const struct chan_event *event)
{
}

static void resuming_away(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_OPEN;
	retarget_more(offer);
}

static void closing_away(struct bus_offer *offer, const struct chan_event *event)
{
	offer->close_later = false;
}

static void opening_back(struct bus_offer *offer, const struct chan_event *event)
{
	ask_open(offer, true);
}

static void opening_close_back(struct bus_offer *offer, const struct chan_event *event)
{
	opening_close_opened(offer, &(struct chan_event){.type = CHAN_EV_OPENED, .status = -ECONNRESET});
}

static void open_back(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_RESUMING;
	ask_open(offer, true);
}

static void resuming_opened(struct bus_offer *offer, const struct chan_event *event)
{
	char name[24];

	if (event->status >= 0) {
		offer->state = CHAN_OPEN;
		retarget_more(offer);
		return;
	}
	log_error(chan_name(offer, name),
		  "%s did not take it up again (%s): it does not answer until the guest closes it",
		  offer->provider->name, strerror(-event->status));
	offer->state = CHAN_DEAD;
	if (offer->retarget_again) {
		offer->retarget_again = false;
		retarget_alone(offer, offer->retarget_next);
	}
}

static void resuming_modify(struct bus_offer *offer, const struct chan_event *event)
{
	if (offer->retarget_again && offer->bus->version >= VMBUS_VERSION_5_3) {
		bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
		return;
	}
	offer->retarget_next = event->vp;
	offer->retarget_again = true;
}

static void resuming_close(struct bus_offer *offer, const struct chan_event *event)
{
	if (offer->retarget_again)
		bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
	offer->retarget_again = false;
	offer->close_later = true;
	offer->state = CHAN_CLOSING;
}

/* In whichever CLOSING state: only now it can be closed, or need not be. */
static void closing_opened(struct bus_offer *offer, const struct chan_event *event)
{
	char name[24];

	if (!offer->close_later) {
		bus_complain(offer->bus, chan_name(offer, name), "opened out of place");
		return;
	}
	offer->close_later = false;
	if (event->status < 0)
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_CLOSED});
	else
		offer->provider->ops->close(offer->provider->arg, offer->id);
}

/* ---- the guest leaves ---- */

static void offered_released(struct bus_offer *offer, const struct chan_event *event)
{
	gpadl_remove_owned(&offer->bus->gpadls, offer->relid);
	drop_relid(offer);
}

static void release_closed(struct bus_offer *offer, const struct chan_event *event)
{
	release_open(offer);
	offered_released(offer, event);
}

static void rescinded_released(struct bus_offer *offer, const struct chan_event *event)
{
	struct bus *bus = offer->bus;

	gpadl_remove_owned(&bus->gpadls, offer->relid);
	drop_relid(offer);
	bus_offer_free(offer);
	bus_pace(bus);
}

static void offered_disconnect(struct bus_offer *offer, const struct chan_event *event)
{
	drop_relid(offer);
}

static void hidden_disconnect(struct bus_offer *offer, const struct chan_event *event)
{
	offer->wanted = false;
}

static void rescinded_disconnect(struct bus_offer *offer, const struct chan_event *event)
{
	drop_relid(offer);
	bus_offer_free(offer);
}

/* What the provider still owes in @state nobody waits for any more: its answer to "quiesce" covers it. */
static void drain(struct bus_offer *offer, const struct chan_event *event)
{
	static const enum chan_event_type owed[CHAN_STATES] = {
		[CHAN_OPENING] = CHAN_EV_OPENED,	 [CHAN_OPENING_CLOSE] = CHAN_EV_OPENED,
		[CHAN_RETARGETING] = CHAN_EV_RETARGETED, [CHAN_CLOSING] = CHAN_EV_CLOSED,
		[CHAN_CLOSING_REOPEN] = CHAN_EV_CLOSED,	 [CHAN_CLOSING_RELEASE] = CHAN_EV_CLOSED,
		[CHAN_RESUMING] = CHAN_EV_OPENED,
	};
	enum chan_event_type type = offer->close_later ? CHAN_EV_OPENED : owed[offer->state];

	if (type && !is_away(offer))
		offer->stale[type]++;
	offer->close_later = offer->retarget_again = false;
	offer->on_gpadl = false; /* bus.c drops them all */
	offer->state = CHAN_DRAINING;
}

static void draining_quiesced(struct bus_offer *offer, const struct chan_event *event)
{
	chan_done(offer);
	drop_relid(offer);
}

/* ---- the provider offers it no more ---- */

static void rescind(struct bus_offer *offer)
{
	release_open(offer);
	post_rescind(offer);
	offer->provider = NULL;
	offer->state = CHAN_RESCINDED;
	offer->bus->live--;
}

static void hidden_gone(struct bus_offer *offer, const struct chan_event *event)
{
	bus_offer_free(offer);
}

static void offered_gone(struct bus_offer *offer, const struct chan_event *event)
{
	rescind(offer);
}

static void opening_gone(struct bus_offer *offer, const struct chan_event *event)
{
	bus_answer_open(offer->bus, offer->relid, offer->opened.open_id, VMBUS_STATUS_UNSUCCESSFUL);
	rescind(offer);
}

static void reopen_gone(struct bus_offer *offer, const struct chan_event *event)
{
	bus_answer_open(offer->bus, offer->relid, offer->reopen.open_id, VMBUS_STATUS_UNSUCCESSFUL);
	rescind(offer);
}

static void release_gone(struct bus_offer *offer, const struct chan_event *event)
{
	release_closed(offer, event);
	bus_offer_free(offer);
}

static void draining_gone(struct bus_offer *offer, const struct chan_event *event)
{
	draining_quiesced(offer, event);
	bus_offer_free(offer);
}

/* ---- the table ---- */

typedef void chan_handler(struct bus_offer *offer, const struct chan_event *event);

static chan_handler *const table[CHAN_STATES][CHAN_EVENTS] = {
	[CHAN_HIDDEN] =
		{
			[CHAN_EV_DISCONNECT] = hidden_disconnect,
			[CHAN_EV_AWAY] = stay,
			[CHAN_EV_BACK] = stay,
			[CHAN_EV_GONE] = hidden_gone,
		},
	[CHAN_OFFERED] =
		{
			[CHAN_EV_OPEN] = on_open,
			[CHAN_EV_MODIFY] = refuse_modify,
			[CHAN_EV_RELEASED] = offered_released,
			[CHAN_EV_DISCONNECT] = offered_disconnect,
			[CHAN_EV_AWAY] = stay,
			[CHAN_EV_BACK] = stay,
			[CHAN_EV_GONE] = offered_gone,
		},
	[CHAN_OPENING] =
		{
			[CHAN_EV_OPEN] = refuse_open,
			[CHAN_EV_CLOSE] = opening_close,
			[CHAN_EV_MODIFY] = refuse_modify,
			[CHAN_EV_DISCONNECT] = drain,
			[CHAN_EV_OPENED] = opening_opened,
			[CHAN_EV_AWAY] = stay,
			[CHAN_EV_BACK] = opening_back,
			[CHAN_EV_GONE] = opening_gone,
		},
	[CHAN_OPENING_CLOSE] =
		{
			[CHAN_EV_OPEN] = refuse_open,
			[CHAN_EV_MODIFY] = refuse_modify,
			[CHAN_EV_DISCONNECT] = drain,
			[CHAN_EV_OPENED] = opening_close_opened,
			[CHAN_EV_AWAY] = stay,
			[CHAN_EV_BACK] = opening_close_back,
			[CHAN_EV_GONE] = opening_gone,
		},
	[CHAN_OPEN] =
		{
			[CHAN_EV_OPEN] = refuse_open,
			[CHAN_EV_CLOSE] = open_close,
			[CHAN_EV_MODIFY] = open_modify,
			[CHAN_EV_DISCONNECT] = drain,
			[CHAN_EV_AWAY] = stay,
			[CHAN_EV_BACK] = open_back,
			[CHAN_EV_GONE] = offered_gone,
		},
	[CHAN_RETARGETING] =
		{
			[CHAN_EV_OPEN] = refuse_open,
			[CHAN_EV_CLOSE] = retargeting_close,
			[CHAN_EV_MODIFY] = retargeting_modify,
			[CHAN_EV_DISCONNECT] = drain,
			[CHAN_EV_RETARGETED] = retargeting_retargeted,
			[CHAN_EV_AWAY] = retargeting_retargeted,
		},
	[CHAN_RESUMING] =
		{
			[CHAN_EV_OPEN] = refuse_open,
			[CHAN_EV_CLOSE] = resuming_close,
			[CHAN_EV_MODIFY] = resuming_modify,
			[CHAN_EV_DISCONNECT] = drain,
			[CHAN_EV_OPENED] = resuming_opened,
			[CHAN_EV_AWAY] = resuming_away,
		},
	[CHAN_DEAD] =
		{
			[CHAN_EV_OPEN] = refuse_open,
			[CHAN_EV_CLOSE] = closing_closed,
			[CHAN_EV_MODIFY] = dead_modify,
			[CHAN_EV_DISCONNECT] = drain,
			[CHAN_EV_AWAY] = stay,
			[CHAN_EV_BACK] = open_back,
			[CHAN_EV_GONE] = offered_gone,
		},
	[CHAN_CLOSING] =
		{
			[CHAN_EV_OPEN] = closing_open,
			[CHAN_EV_MODIFY] = refuse_modify,
			[CHAN_EV_RELEASED] = closing_released,
			[CHAN_EV_DISCONNECT] = drain,
			[CHAN_EV_CLOSED] = closing_closed,
			[CHAN_EV_OPENED] = closing_opened,
			[CHAN_EV_AWAY] = closing_away,
			[CHAN_EV_BACK] = closing_closed,
			[CHAN_EV_GONE] = offered_gone,
		},
	[CHAN_CLOSING_REOPEN] =
		{
			[CHAN_EV_OPEN] = refuse_open,
			[CHAN_EV_CLOSE] = reopen_close,
			[CHAN_EV_MODIFY] = refuse_modify,
			[CHAN_EV_DISCONNECT] = drain,
			[CHAN_EV_CLOSED] = reopen_closed,
			[CHAN_EV_OPENED] = closing_opened,
			[CHAN_EV_AWAY] = closing_away,
			[CHAN_EV_BACK] = reopen_closed,
			[CHAN_EV_GONE] = reopen_gone,
		},
	[CHAN_CLOSING_RELEASE] =
		{
			[CHAN_EV_OPEN] = refuse_open,
			[CHAN_EV_MODIFY] = refuse_modify,
			[CHAN_EV_DISCONNECT] = drain,
			[CHAN_EV_CLOSED] = release_closed,
			[CHAN_EV_OPENED] = closing_opened,
			[CHAN_EV_AWAY] = closing_away,
			[CHAN_EV_BACK] = release_closed,
			[CHAN_EV_GONE] = release_gone,
		},
	[CHAN_DRAINING] =
		{
			[CHAN_EV_QUIESCED] = draining_quiesced,
			[CHAN_EV_AWAY] = stay,
			[CHAN_EV_BACK] = draining_quiesced,
			[CHAN_EV_GONE] = draining_gone,
		},
	[CHAN_RESCINDED] =
		{
			[CHAN_EV_OPEN] = refuse_open,
			[CHAN_EV_MODIFY] = refuse_modify,
			[CHAN_EV_RELEASED] = rescinded_released,
			[CHAN_EV_DISCONNECT] = rescinded_disconnect,
		},
};

static const char *const event_names[CHAN_EVENTS] = {
	[CHAN_EV_OPEN] = "OPENCHANNEL",
	[CHAN_EV_CLOSE] = "CLOSECHANNEL",
	[CHAN_EV_MODIFY] = "MODIFYCHANNEL",
	[CHAN_EV_RELEASED] = "RELID_RELEASED",
	[CHAN_EV_DISCONNECT] = "disconnect",
	[CHAN_EV_OPENED] = "opened",
	[CHAN_EV_CLOSED] = "closed",
	[CHAN_EV_RETARGETED] = "retargeted",
	[CHAN_EV_QUIESCED] = "quiesced",
	[CHAN_EV_AWAY] = "away",
	[CHAN_EV_BACK] = "back",
	[CHAN_EV_GONE] = "gone",
};

void chan_event(struct bus_offer *offer, const struct chan_event *event)
{
	chan_handler *handler = table[offer->state][event->type];
	char name[24];

	if (offer->stale[event->type]) {
		offer->stale[event->type]--;
		return;
	}
	if (!handler) {
		bus_complain(offer->bus, chan_name(offer, name), "%s out of place", event_names[event->type]);
		return;
	}
	handler(offer, event);
}
