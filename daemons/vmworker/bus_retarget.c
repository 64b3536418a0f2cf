/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts of a channel go to another vCPU. bus_channel.c has the table. */
#include "bus_channel.h"

#include <errno.h>
#include <string.h>

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
void chan_retarget_alone(struct bus_offer *offer, uint32_t vp)
{
	if (!retarget_irq(offer, vp))
		retarget_done(offer);
}

static void retarget_begin(struct bus_offer *offer, uint32_t vp)
{
	offer->state = CHAN_OPEN;
	if (chan_is_away(offer)) {
		chan_retarget_alone(offer, vp);
		return;
	}
	if (retarget_irq(offer, vp) < 0)
		return;
	offer->state = CHAN_RETARGETING;
	offer->provider->ops->retarget(offer->provider->arg, offer->id, vp);
}

void chan_open_modify(struct bus_offer *offer, const struct chan_event *event)
{
	retarget_begin(offer, event->vp);
}

void chan_retargeting_modify(struct bus_offer *offer, const struct chan_event *event)
{
	if (offer->bus->version >= VMBUS_VERSION_5_3) {
		bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
		return;
	}
	offer->retarget_next = event->vp;
	offer->retarget_again = true;
}

void chan_dead_modify(struct bus_offer *offer, const struct chan_event *event)
{
	chan_retarget_alone(offer, event->vp);
}

/* What came while the provider was busy. */
void chan_retarget_more(struct bus_offer *offer)
{
	if (!offer->retarget_again)
		return;
	offer->retarget_again = false;
	retarget_begin(offer, offer->retarget_next);
}

void chan_refuse_modify(struct bus_offer *offer, const struct chan_event *event)
{
	bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
}

void chan_retargeting_retargeted(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_OPEN;
	retarget_done(offer);
	chan_retarget_more(offer);
}
