/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a channel share: the handlers that bus_channel.c's table names, each by state and event, and their
 * helpers. Event loop only.
 */
#ifndef VMWORKER_BUS_CHANNEL_H
#define VMWORKER_BUS_CHANNEL_H

#include "bus_int.h"

typedef void chan_handler(struct bus_offer *offer, const struct chan_event *event);

/* ---- bus_open.c ---- */

chan_handler chan_on_open, chan_refuse_open, chan_opening_opened, chan_opening_close, chan_opening_close_opened,
	chan_open_close, chan_retargeting_close, chan_closing_open, chan_reopen_close, chan_closing_released,
	chan_closing_closed, chan_reopen_closed;

/** chan_name - for the log. Return: @buf. */
const char *chan_name(const struct bus_offer *offer, char buf[24]);

/** chan_is_away - nothing may be asked of its provider. */
bool chan_is_away(const struct bus_offer *offer);

/** chan_ask_open - ask the provider. @recover: a predecessor was asked before. */
void chan_ask_open(struct bus_offer *offer, bool recover);

/** chan_release_open - the provider is through with the open: its GPADL is free again, and a teardown that waited for
 * this is answered. */
void chan_release_open(struct bus_offer *offer);

/* ---- bus_retarget.c ---- */

chan_handler chan_open_modify, chan_retargeting_modify, chan_dead_modify, chan_refuse_modify,
	chan_retargeting_retargeted;

/** chan_retarget_alone - nobody is there who must know of it: an open that follows names the new vCPU. */
void chan_retarget_alone(struct bus_offer *offer, uint32_t vp);

/** chan_retarget_more - go on to what was asked for while the provider was busy. */
void chan_retarget_more(struct bus_offer *offer);

/* ---- bus_away.c ---- */

chan_handler chan_stay, chan_resuming_away, chan_closing_away, chan_opening_back, chan_opening_close_back,
	chan_open_back, chan_resuming_opened, chan_resuming_modify, chan_resuming_close, chan_closing_opened;

/* ---- bus_leave.c ---- */

chan_handler chan_offered_released, chan_release_closed, chan_rescinded_released, chan_offered_disconnect,
	chan_hidden_disconnect, chan_rescinded_disconnect, chan_drain, chan_draining_quiesced, chan_hidden_gone,
	chan_rescinded_gone, chan_retargeting_gone, chan_resuming_gone, chan_offered_gone, chan_opening_gone,
	chan_reopen_gone, chan_release_gone, chan_draining_gone;

#endif
