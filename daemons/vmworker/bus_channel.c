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
 * A channel that is not offered again, or that its provider withdraws, is rescinded, and stays RESCINDED until the
 * guest releases the relid. bus_subchannel.c has the sub-channels, which come and go with their primary channel.
 *
 * Limits: one retarget is under way; below 5.3, where it has no answer, the latest of those that follow is kept.
 */
#include "bus_channel.h"

static chan_handler *const table[CHAN_STATES][CHAN_EVENTS] = {
	[CHAN_HIDDEN] =
		{
			[CHAN_EV_DISCONNECT] = chan_hidden_disconnect,
			[CHAN_EV_AWAY] = chan_stay,
			[CHAN_EV_BACK] = chan_stay,
			[CHAN_EV_GONE] = chan_hidden_gone,
		},
	[CHAN_OFFERED] =
		{
			[CHAN_EV_OPEN] = chan_on_open,
			[CHAN_EV_MODIFY] = chan_refuse_modify,
			[CHAN_EV_RELEASED] = chan_offered_released,
			[CHAN_EV_DISCONNECT] = chan_offered_disconnect,
			[CHAN_EV_AWAY] = chan_stay,
			[CHAN_EV_BACK] = chan_stay,
			[CHAN_EV_GONE] = chan_offered_gone,
		},
	[CHAN_OPENING] =
		{
			[CHAN_EV_OPEN] = chan_refuse_open,
			[CHAN_EV_CLOSE] = chan_opening_close,
			[CHAN_EV_MODIFY] = chan_refuse_modify,
			[CHAN_EV_DISCONNECT] = chan_drain,
			[CHAN_EV_OPENED] = chan_opening_opened,
			[CHAN_EV_AWAY] = chan_stay,
			[CHAN_EV_BACK] = chan_opening_back,
			[CHAN_EV_GONE] = chan_opening_gone,
		},
	[CHAN_OPENING_CLOSE] =
		{
			[CHAN_EV_OPEN] = chan_refuse_open,
			[CHAN_EV_MODIFY] = chan_refuse_modify,
			[CHAN_EV_DISCONNECT] = chan_drain,
			[CHAN_EV_OPENED] = chan_opening_close_opened,
			[CHAN_EV_AWAY] = chan_stay,
			[CHAN_EV_BACK] = chan_opening_close_back,
			[CHAN_EV_GONE] = chan_opening_gone,
		},
	[CHAN_OPEN] =
		{
			[CHAN_EV_OPEN] = chan_refuse_open,
			[CHAN_EV_CLOSE] = chan_open_close,
			[CHAN_EV_MODIFY] = chan_open_modify,
			[CHAN_EV_DISCONNECT] = chan_drain,
			[CHAN_EV_AWAY] = chan_stay,
			[CHAN_EV_BACK] = chan_open_back,
			[CHAN_EV_GONE] = chan_offered_gone,
		},
	[CHAN_RETARGETING] =
		{
			[CHAN_EV_OPEN] = chan_refuse_open,
			[CHAN_EV_CLOSE] = chan_retargeting_close,
			[CHAN_EV_MODIFY] = chan_retargeting_modify,
			[CHAN_EV_DISCONNECT] = chan_drain,
			[CHAN_EV_RETARGETED] = chan_retargeting_retargeted,
			[CHAN_EV_AWAY] = chan_retargeting_retargeted,
			[CHAN_EV_GONE] = chan_retargeting_gone,
		},
	[CHAN_RESUMING] =
		{
			[CHAN_EV_OPEN] = chan_refuse_open,
			[CHAN_EV_CLOSE] = chan_resuming_close,
			[CHAN_EV_MODIFY] = chan_resuming_modify,
			[CHAN_EV_DISCONNECT] = chan_drain,
			[CHAN_EV_OPENED] = chan_resuming_opened,
			[CHAN_EV_AWAY] = chan_resuming_away,
			[CHAN_EV_GONE] = chan_resuming_gone,
		},
	[CHAN_DEAD] =
		{
			[CHAN_EV_OPEN] = chan_refuse_open,
			[CHAN_EV_CLOSE] = chan_closing_closed,
			[CHAN_EV_MODIFY] = chan_dead_modify,
			[CHAN_EV_DISCONNECT] = chan_drain,
			[CHAN_EV_AWAY] = chan_stay,
			[CHAN_EV_BACK] = chan_open_back,
			[CHAN_EV_GONE] = chan_offered_gone,
		},
	[CHAN_CLOSING] =
		{
			[CHAN_EV_OPEN] = chan_closing_open,
			[CHAN_EV_MODIFY] = chan_refuse_modify,
			[CHAN_EV_RELEASED] = chan_closing_released,
			[CHAN_EV_DISCONNECT] = chan_drain,
			[CHAN_EV_CLOSED] = chan_closing_closed,
			[CHAN_EV_OPENED] = chan_closing_opened,
			[CHAN_EV_AWAY] = chan_closing_away,
			[CHAN_EV_BACK] = chan_closing_closed,
			[CHAN_EV_GONE] = chan_offered_gone,
		},
	[CHAN_CLOSING_REOPEN] =
		{
			[CHAN_EV_OPEN] = chan_refuse_open,
			[CHAN_EV_CLOSE] = chan_reopen_close,
			[CHAN_EV_MODIFY] = chan_refuse_modify,
			[CHAN_EV_DISCONNECT] = chan_drain,
			[CHAN_EV_CLOSED] = chan_reopen_closed,
			[CHAN_EV_OPENED] = chan_closing_opened,
			[CHAN_EV_AWAY] = chan_closing_away,
			[CHAN_EV_BACK] = chan_reopen_closed,
			[CHAN_EV_GONE] = chan_reopen_gone,
		},
	[CHAN_CLOSING_RELEASE] =
		{
			[CHAN_EV_OPEN] = chan_refuse_open,
			[CHAN_EV_MODIFY] = chan_refuse_modify,
			[CHAN_EV_DISCONNECT] = chan_drain,
			[CHAN_EV_CLOSED] = chan_release_closed,
			[CHAN_EV_OPENED] = chan_closing_opened,
			[CHAN_EV_AWAY] = chan_closing_away,
			[CHAN_EV_BACK] = chan_release_closed,
			[CHAN_EV_GONE] = chan_release_gone,
		},
	[CHAN_DRAINING] =
		{
			[CHAN_EV_QUIESCED] = chan_draining_quiesced,
			[CHAN_EV_AWAY] = chan_stay,
			[CHAN_EV_BACK] = chan_draining_quiesced,
			[CHAN_EV_GONE] = chan_draining_gone,
		},
	[CHAN_RESCINDED] =
		{
			[CHAN_EV_OPEN] = chan_refuse_open,
			[CHAN_EV_CLOSE] = chan_stay,
			[CHAN_EV_MODIFY] = chan_refuse_modify,
			[CHAN_EV_RELEASED] = chan_rescinded_released,
			[CHAN_EV_DISCONNECT] = chan_rescinded_disconnect,
			[CHAN_EV_AWAY] = chan_stay,
			[CHAN_EV_BACK] = chan_stay,
			[CHAN_EV_GONE] = chan_rescinded_gone,
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
