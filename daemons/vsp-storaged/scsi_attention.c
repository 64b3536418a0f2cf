/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modes and unit attentions of a LUN.
 *
 * Theory of operation: the state holds what the initiator knows; where that is not what is so, a unit attention waits.
 * So a successor, which takes the state over and opens the disk anew, finds by itself what has changed meanwhile, and
 * nothing is forgotten or told twice: the state changes only together with the outcome of a request.
 * Spec: SAM-5 (5.14, unit attention condition), SPC-4, SBC-3.
 *
 * What other initiators of a shared disk change is told by its reservations (reservation.h), which count it.
 *
 * Limits: one initiator here: what it changes itself is no news to it.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "reservation.h"
#include "scsi_command.h"

static void changed(struct scsi_lun *lun)
{
	lun->state.sequence++;
	if (lun->state.sequence == 0)
		lun->state.sequence++;
}

static void start_over(struct scsi_lun *lun, enum scsi_lun_greeting greeting)
{
	uint16_t open = lun->type == SCSI_DVD ? lun->state.medium.open : 0;

	lun->state = (struct scsi_lun_state){.sequence = lun->state.sequence, .greeting = (uint8_t)greeting};
	if (lun->type == SCSI_DVD)
		lun->state.medium.open = open; /* a reset moves no tray */
	changed(lun);
}

void scsi_lun_start_over(struct scsi_lun *lun)
{
	start_over(lun, SCSI_POWERED_ON);
}

void scsi_state_changed(struct scsi_request *request)
{
	changed(request->unit);
	request->unit_changed = true;
}

void scsi_lun_power_on(struct scsi_lun *lun)
{
	lun->state = (struct scsi_lun_state){0};
}

void scsi_lun_reset(struct scsi_lun *lun)
{
	start_over(lun, SCSI_WAS_RESET);
}

static void hear_news(struct scsi_lun *lun)
{
	lun->state.news = reservation_us(lun->reservation)->attention;
	reservation_heard(lun->reservation, lun->state.news);
}

static void tell_all(struct scsi_lun *lun)
{
	lun->state.greeting = SCSI_GREETED;
	if (lun->type == SCSI_DVD)
		lun->state.medium.known = lun->state.medium.event = scsi_medium(lun);
	else
		lun->state.blocks = lun->disk->blocks;
	lun->state.write_through = lun->disk->write_through;
	if (lun->reservation)
		hear_news(lun);
	changed(lun);
}

void scsi_lun_greet(struct scsi_lun *lun)
{
	tell_all(lun);
}

int scsi_lun_restore(struct scsi_lun *lun, const struct scsi_lun_state *state)
{
	if ((state->modes & ~SCSI_MODES_ALL) || state->greeting > SCSI_WAS_RESET || state->write_through > 1)
		return -EPROTO;
	lun->state = *state;
	/* Who has not been greeted has opened no tray: what stands there is of another LUN. */
	if (lun->type == SCSI_DVD && state->greeting == SCSI_POWERED_ON)
		lun->state.blocks = 0;
	return 0;
}

/* Of another initiator's doing. */
static uint16_t news(const struct scsi_lun *lun)
{
	const struct reservation_nexus *us = reservation_us(lun->reservation);

	return us->attention == lun->state.news ? SCSI_ASC_NONE : (uint16_t)(RESERVATION_ASC | us->what);
}

uint16_t scsi_attention(const struct scsi_lun *lun)
{
	const struct scsi_lun_state *state = &lun->state;

	if (lun->reservation)
		reservation_look(lun->reservation);

	if (state->greeting == SCSI_POWERED_ON)
		return SCSI_ASC_POWER_ON_OCCURRED;
	if (state->greeting == SCSI_WAS_RESET)
		return SCSI_ASC_BUS_DEVICE_RESET_OCCURRED;
	if (lun->reservation && news(lun) != SCSI_ASC_NONE)
		return news(lun);
	if (lun->type == SCSI_DVD)
		return scsi_medium(lun) && scsi_medium(lun) != state->medium.known ? SCSI_ASC_MEDIUM_MAY_HAVE_CHANGED
										   : SCSI_ASC_NONE;
	if (state->blocks != lun->disk->blocks)
		return SCSI_ASC_CAPACITY_CHANGED;
	if (state->write_through != lun->disk->write_through)
		return SCSI_ASC_MODE_PARAMETERS_CHANGED;
	return SCSI_ASC_NONE;
}

void scsi_attention_told(struct scsi_request *request, uint16_t asc)
{
	struct scsi_lun *lun = request->unit;

	/* Whoever hears that the power was off or that there was a reset asks for the rest again. */
	if (lun->state.greeting != SCSI_GREETED) {
		tell_all(lun);
	} else {
		if (asc == SCSI_ASC_MEDIUM_MAY_HAVE_CHANGED)
			lun->state.medium.known = scsi_medium(lun);
		else if (asc == SCSI_ASC_CAPACITY_CHANGED)
			lun->state.blocks = lun->disk->blocks;
		else if (lun->reservation && asc == news(lun))
			hear_news(lun);
		else
			lun->state.write_through = lun->disk->write_through;
		changed(lun);
	}
	request->unit_changed = true;
}

void scsi_set_modes(struct scsi_request *request, uint8_t modes)
{
	if (request->unit->state.modes == modes)
		return;
	request->unit->state.modes = modes;
	scsi_state_changed(request);
}
