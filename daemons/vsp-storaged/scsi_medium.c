/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The medium of a drive: whether it is there, how the initiator hears of it, its tray and its lock.
 *
 * Theory of operation: each change of what is in the drive, also to nothing, gives it another name (scsi_lun.medium),
 * which follows from the configuration: a successor finds the same. The LUN's state, which changes only together with
 * an outcome, holds which medium the initiator knows, which one the last media event was about, and which one was in
 * the tray when the initiator opened it. So
 *
 *   there is a medium that it does not know   a unit attention waits, once: the medium may have changed
 *   there is none                             NOT READY, and from then on it knows none: even the same one is new again
 *   it differs from that of the last event    an event waits, once: new medium, or removal
 *   the tray's is what is in the drive        the tray is open; when the host changes the medium, it is closed by that
 *
 * The host opens the tray (scsi_lun.changing), waits for what is in flight, and changes the medium. If the initiator
 * has locked it, it gets an event: please eject.
 *
 * Limits: a request to eject that has not been fetched is forgotten when this process ends. The name has 16 bits: after
 * 65,535 changes that the initiator does not notice, a medium looks like the one before. Spinning up and down is
 * nothing.
 * Spec: MMC-6 6.5 (GET EVENT STATUS NOTIFICATION), 6.10 (MECHANISM STATUS), 6.42 (START STOP UNIT).
 */
#include <string.h>

#include "abi/mmc.h"
#include "base/bytes.h"
#include "scsi_command.h"

static uint16_t name_of(uint32_t number)
{
	return (uint16_t)(number % UINT16_MAX + 1);
}

void scsi_lun_make_drive(struct scsi_lun *lun, uint32_t number)
{
	lun->type = SCSI_DVD;
	lun->medium = name_of(number);
}

struct disk *scsi_lun_set_medium(struct scsi_lun *lun, struct disk *disk, uint32_t number)
{
	struct disk *before = lun->disk;

	lun->disk = disk;
	lun->medium = name_of(number);
	lun->changing = lun->eject_wanted = false;
	scsi_lun_works(lun);
	return before;
}

bool scsi_lun_has_medium(const struct scsi_lun *lun, uint32_t number)
{
	return lun->medium == name_of(number);
}

bool scsi_tray_open(const struct scsi_lun *lun)
{
	return lun->changing || lun->state.medium.open == lun->medium;
}

bool scsi_tray_locked(const struct scsi_lun *lun)
{
	return lun->state.modes & SCSI_MODES_LOCKED;
}

uint16_t scsi_medium(const struct scsi_lun *lun)
{
	return lun->disk->blocks > 0 && !scsi_tray_open(lun) ? lun->medium : 0;
}

bool scsi_medium_is_cd(const struct scsi_lun *lun)
{
	return lun->disk->blocks <= MMC_CD_BLOCKS_MAX;
}

/* The initiator hears that there is none. */
static void forget_medium(struct scsi_request *request)
{
	if (!request->unit->state.medium.known)
		return;
	request->unit->state.medium.known = 0;
	scsi_state_changed(request);
}

bool scsi_medium_there(struct scsi_request *request)
{
	if (scsi_medium(request->unit))
		return true;
	forget_medium(request);
	scsi_check(request, SCSI_SENSE_NOT_READY,
		   scsi_tray_open(request->unit) ? SCSI_ASC_NO_MEDIUM_TRAY_OPEN : SCSI_ASC_NO_MEDIUM_TRAY_CLOSED);
	return false;
}

/* ---- the tray ---- */

static void move_tray(struct scsi_request *request, uint16_t open)
{
	struct scsi_lun *lun = request->unit;

	if (lun->state.medium.open != open) {
		lun->state.medium.open = open;
		lun->state.medium.known = 0;
		scsi_state_changed(request);
	}
	scsi_good(request);
}

void scsi_load_eject(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t what = request->cdb[4] & (SCSI_START_STOP_LOEJ | SCSI_START_STOP_START);

	(void)controller;
	if (what == SCSI_START_STOP_LOEJ && scsi_tray_locked(request->unit)) {
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_MEDIUM_REMOVAL_PREVENTED);
	} else if (what == SCSI_START_STOP_LOEJ) {
		request->unit->eject_wanted = false;
		move_tray(request, request->unit->medium);
	} else if (what & SCSI_START_STOP_LOEJ) {
		move_tray(request, 0);
	} else if (what == 0 || scsi_medium_there(request)) {
		scsi_good(request);
	}
}

void scsi_mechanism_status(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t data[MMC_MECHANISM_LEN] = {[5] = 1}; /* one slot, and no table of slots */

	(void)controller;
	if (scsi_tray_open(request->unit))
		data[1] = MMC_MECHANISM_OPEN;
	scsi_data_in(request, data, sizeof(data), get_be16(&request->cdb[8]));
}

/* ---- events ---- */

/* What has happened since the last one. Return: its code; @request has it if @told. */
static uint8_t media_event(struct scsi_request *request, bool told)
{
	struct scsi_lun *lun = request->unit;
	uint16_t now = scsi_medium(lun);

	if (lun->eject_wanted) {
		lun->eject_wanted = !told;
		return MMC_MEDIA_EJECT_REQUEST;
	}
	if (now == lun->state.medium.event)
		return MMC_MEDIA_NO_CHANGE;
	if (told) {
		lun->state.medium.event = now;
		scsi_state_changed(request);
	}
	return now ? MMC_MEDIA_NEW : MMC_MEDIA_REMOVAL;
}

void scsi_get_event_status(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t data[MMC_EVENT_HEADER_LEN + MMC_EVENT_LEN] = {0}, *event = data + MMC_EVENT_HEADER_LEN;
	uint32_t len = get_be16(&request->cdb[7]);
	bool asked = request->cdb[4] & 1u << MMC_EVENT_MEDIA;
	size_t have = asked ? sizeof(data) : MMC_EVENT_HEADER_LEN;

	(void)controller;
	if (!(request->cdb[1] & MMC_EVENT_POLLED)) {
		scsi_invalid_field(request, 1, 0);
		return;
	}
	put_be16(data, (uint16_t)(have - 2));
	data[2] = asked ? MMC_EVENT_MEDIA : MMC_EVENT_NONE;
	data[3] = 1u << MMC_EVENT_MEDIA;
	if (asked) {
		event[0] = media_event(request, MIN(len, request->data_len) > MMC_EVENT_HEADER_LEN);
		event[1] = (scsi_tray_open(request->unit) ? MMC_MEDIA_STATUS_OPEN : 0) |
			   (scsi_medium(request->unit) ? MMC_MEDIA_STATUS_PRESENT : 0);
	}
	scsi_data_in(request, data, have, len);
}
