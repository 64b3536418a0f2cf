/* SPDX-License-Identifier: Apache-2.0 */
/* A channel's begin and end: its offer, what an open takes of the host, open and close. bus_channel.c has the table. */
#include "bus_channel.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/fd.h"

#define RING_PAGES_MIN 2u /* each ring: its header and a page of data */

static uint32_t connection_id(const struct bus_offer *offer)
{
	return BUS_CONNECTION_BASE + offer->relid;
}

const char *chan_name(const struct bus_offer *offer, char buf[24])
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

/* The provider is through with the open: its GPADLs are free again, and teardowns that waited for this are answered. */
void chan_release_open(struct bus_offer *offer)
{
	struct bus *bus = offer->bus;
	struct gpadl *gpadl;

	chan_done(offer);
	offer->close_later = offer->retarget_again = false;
	bus_subchannels_withdraw(offer);
	bus_lent_back(offer);
	if (!offer->on_gpadl)
		return;
	offer->on_gpadl = false;
	gpadl = gpadl_find(&bus->gpadls, offer->gpadl);
	bus_gpadl_unused(bus, gpadl);
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

/* The provider is through with it: the guest may open it again, unless it is to let go of it. */
static void closed(struct bus_offer *offer)
{
	offer->state = CHAN_OFFERED;
	chan_release_open(offer);
	if (offer->withdrawn)
		chan_rescind(offer, false);
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

	if (!gpadl || gpadl->relid != offer->relid || gpadl->use != GPADL_UNUSED ||
	    open->target_vp >= bus->guest->cpus(bus->guest_arg))
		return -EINVAL;
	r = gpadl_pages(gpadl, &ring, &count, &pages);
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

bool chan_is_away(const struct bus_offer *offer)
{
	return offer->provider->away;
}

void chan_ask_open(struct bus_offer *offer, bool recover)
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
		.was_open = offer->state == CHAN_RESUMING,
		.gather = offer->provider->resuming,
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
	gpadl->use = GPADL_RING;
	offer->on_gpadl = true;
	offer->gpadl = gpadl->id;
	offer->opened = *open;
	offer->target_vp = open->target_vp;
	offer->state = CHAN_OPENING;
	if (!chan_is_away(offer))
		chan_ask_open(offer, false);
}

void chan_on_open(struct bus_offer *offer, const struct chan_event *event)
{
	open_begin(offer, event->open);
}

void chan_refuse_open(struct bus_offer *offer, const struct chan_event *event)
{
	char name[24];

	bus_complain(offer->bus, chan_name(offer, name), "the guest opens it while it is not closed");
	bus_answer_open(offer->bus, offer->relid, event->open->open_id, VMBUS_STATUS_UNSUCCESSFUL);
}

void chan_opening_opened(struct bus_offer *offer, const struct chan_event *event)
{
	char name[24];

	if (event->status < 0) {
		log_warn(chan_name(offer, name), "%s did not open it: %s", offer->provider->name,
			 strerror(-event->status));
		offer->state = CHAN_OFFERED;
		bus_answer_open(offer->bus, offer->relid, offer->opened.open_id, VMBUS_STATUS_UNSUCCESSFUL);
		chan_release_open(offer);
		return;
	}
	offer->state = CHAN_OPEN;
	bus_answer_open(offer->bus, offer->relid, offer->opened.open_id, VMBUS_STATUS_SUCCESS);
}

/* ---- close ---- */

static void close_begin(struct bus_offer *offer)
{
	offer->state = CHAN_CLOSING;
	bus_subchannels_withdraw(offer);
	if (chan_is_away(offer))
		return;
	offer->provider->ops->close(offer->provider->arg, offer->id);
}

void chan_opening_close(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_OPENING_CLOSE;
}

void chan_opening_close_opened(struct bus_offer *offer, const struct chan_event *event)
{
	bus_answer_open(offer->bus, offer->relid, offer->opened.open_id, VMBUS_STATUS_UNSUCCESSFUL);
	if (event->status < 0)
		closed(offer);
	else
		close_begin(offer);
}

void chan_open_close(struct bus_offer *offer, const struct chan_event *event)
{
	close_begin(offer);
}

void chan_retargeting_close(struct bus_offer *offer, const struct chan_event *event)
{
	offer->stale[CHAN_EV_RETARGETED]++;
	bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
	close_begin(offer);
}

void chan_closing_open(struct bus_offer *offer, const struct chan_event *event)
{
	if (offer->withdrawn) {
		bus_answer_open(offer->bus, offer->relid, event->open->open_id, VMBUS_STATUS_UNSUCCESSFUL);
		return;
	}
	offer->reopen = *event->open;
	offer->state = CHAN_CLOSING_REOPEN;
}

void chan_reopen_close(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_CLOSING;
	bus_answer_open(offer->bus, offer->relid, offer->reopen.open_id, VMBUS_STATUS_UNSUCCESSFUL);
}

void chan_closing_released(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_CLOSING_RELEASE;
}

void chan_closing_closed(struct bus_offer *offer, const struct chan_event *event)
{
	closed(offer);
}

void chan_reopen_closed(struct bus_offer *offer, const struct chan_event *event)
{
	struct bus_msg_open open = offer->reopen;

	chan_release_open(offer);
	open_begin(offer, &open);
}
