/* SPDX-License-Identifier: Apache-2.0 */
/* A channel while its provider is away, and once it is back. bus_channel.c has the table and the theory. */
#include "bus_channel.h"

#include <errno.h>
#include <string.h>

void chan_stay(struct bus_offer *offer, const struct chan_event *event)
{
}

void chan_resuming_away(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_OPEN;
	chan_retarget_more(offer);
}

void chan_closing_away(struct bus_offer *offer, const struct chan_event *event)
{
	offer->close_later = false;
}

void chan_opening_back(struct bus_offer *offer, const struct chan_event *event)
{
	chan_ask_open(offer, true);
}

void chan_opening_close_back(struct bus_offer *offer, const struct chan_event *event)
{
	chan_opening_close_opened(offer, &(struct chan_event){.type = CHAN_EV_OPENED, .status = -ECONNRESET});
}

void chan_open_back(struct bus_offer *offer, const struct chan_event *event)
{
	offer->state = CHAN_RESUMING;
	chan_ask_open(offer, true);
}

void chan_resuming_opened(struct bus_offer *offer, const struct chan_event *event)
{
	char name[24];

	if (event->status >= 0) {
		offer->state = CHAN_OPEN;
		chan_retarget_more(offer);
		return;
	}
	log_error(chan_name(offer, name),
		  "%s did not take it up again (%s): it does not answer until the guest closes it",
		  offer->provider->name, strerror(-event->status));
	offer->state = CHAN_DEAD;
	bus_lent_back(offer);
	if (offer->retarget_again) {
		offer->retarget_again = false;
		chan_retarget_alone(offer, offer->retarget_next);
	}
}

void chan_resuming_modify(struct bus_offer *offer, const struct chan_event *event)
{
	if (offer->retarget_again && offer->bus->version >= VMBUS_VERSION_5_3) {
		bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
		return;
	}
	offer->retarget_next = event->vp;
	offer->retarget_again = true;
}

void chan_resuming_close(struct bus_offer *offer, const struct chan_event *event)
{
	if (offer->retarget_again)
		bus_answer_modify(offer->bus, offer->relid, VMBUS_STATUS_UNSUCCESSFUL);
	offer->retarget_again = false;
	offer->close_later = true;
	offer->state = CHAN_CLOSING;
	bus_subchannels_withdraw(offer);
}

/* In whichever CLOSING state: only now it can be closed, or need not be. */
void chan_closing_opened(struct bus_offer *offer, const struct chan_event *event)
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
