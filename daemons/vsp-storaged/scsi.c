/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses, the way of a command to its handler and to its end, and what is not a disk's own business.
 *
 * Limits: no task management but abort and reset.
 */
#include "scsi.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "reservation.h"
#include "scsi_command.h"
#include "vsp/stats.h"

#define LUNS_MAX 64u

/* ---- LUNs ---- */

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t fnv(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * FNV_PRIME;
	return hash;
}

static void set_name(struct scsi_lun *lun, uint64_t hash, const char *serial)
{
	lun->naa = (uint64_t)SCSI_NAA_LOCAL << 60 | hash >> 4;
	if (serial[0])
		snprintf(lun->serial, sizeof(lun->serial), "%s", serial);
	else
		snprintf(lun->serial, sizeof(lun->serial), "%016" PRIx64, lun->naa);
}

int scsi_lun_init(struct scsi_lun *lun, const struct abi_guid *instance, uint8_t target, uint8_t number,
		  const char *alias, const char *serial, struct disk *disk)
{
	uint8_t address[2] = {target, number};
	uint64_t hash = fnv(FNV_BASIS, instance, sizeof(*instance));

	hash = fnv(hash, address, sizeof(address));
	hash = fnv(hash, serial, strlen(serial));
	memset(lun, 0, sizeof(*lun));
	for (size_t i = 0; i < ARRAY_SIZE(lun->scratch); i++)
		lun->scratch[i] = aligned_alloc(4096, SCSI_SCRATCH_LEN);
	if (!lun->scratch[0] || !lun->scratch[1]) {
		scsi_lun_done(lun);
		return -ENOMEM;
	}
	lun->target = target;
	lun->lun = number;
	lun->disk = disk;
	snprintf(lun->alias, sizeof(lun->alias), "%s", alias);
	snprintf(lun->object, sizeof(lun->object), "disk %s", lun->alias);
	set_name(lun, hash, serial);
	return 0;
}

void scsi_lun_share(struct scsi_lun *lun, struct reservation *reservation, const char *serial)
{
	lun->reservation = reservation;
	set_name(lun, fnv(FNV_BASIS, reservation->id, sizeof(reservation->id)), serial);
}

void scsi_lun_done(struct scsi_lun *lun)
{
	for (size_t i = 0; i < ARRAY_SIZE(lun->scratch); i++) {
		free(lun->scratch[i]);
		lun->scratch[i] = NULL;
	}
}

/* By TEST UNIT READY, INQUIRY and REPORT LUNS an initiator looks whether a LUN is there. */
static struct scsi_lun *look_at(struct scsi_lun *lun, uint8_t opcode)
{
	if (lun->presence == SCSI_LEAVING && (opcode == SCSI_TEST_UNIT_READY || opcode == SCSI_INQUIRY)) {
		lun->missed |= opcode == SCSI_TEST_UNIT_READY;
		return NULL;
	}
	lun->commands++;
	return lun;
}

static struct scsi_lun *find_lun(struct scsi_controller *controller, const struct scsi_request *request)
{
	if (request->path != SCSI_PATH_WITH_LUNS)
		return NULL;
	for (size_t i = 0; i < controller->luns; i++) {
		struct scsi_lun *lun = &controller->lun[i];

		if (lun->target == request->target && lun->lun == request->lun && lun->presence != SCSI_GONE)
			return look_at(lun, request->cdb[0]);
	}
	return NULL;
}

/* ---- ends ---- */

void scsi_good(struct scsi_request *request)
{
	request->status = SCSI_STATUS_GOOD;
	scsi_end(request, SCSI_COMPLETE);
}

void scsi_fail(struct scsi_request *request)
{
	scsi_check(request, SCSI_SENSE_HARDWARE_ERROR, SCSI_ASC_INTERNAL_TARGET_FAILURE);
}

void scsi_end(struct scsi_request *request, enum scsi_outcome outcome)
{
	struct scsi_lun *unit = request->unit;
	bool go_on = scsi_lane_leave(request);

	if (request->ticket)
		scsi_reserve_leave(request);
	if (outcome != SCSI_COMPLETE || request->status != SCSI_STATUS_GOOD)
		request->transferred = 0;
	request->outcome = outcome;
	request->done(request);
	if (go_on)
		scsi_lane_go_on(unit);
}

void scsi_data_in(struct scsi_request *request, const void *data, size_t len, uint32_t allocation_len)
{
	const uint8_t *at = data;

	len = MIN(len, (size_t)MIN(allocation_len, request->data_len));
	request->transferred = (uint32_t)len;
	for (unsigned int i = 0; i < request->iovs && len > 0; i++) {
		size_t step = MIN(len, request->iov[i].iov_len);

		memcpy(request->iov[i].iov_base, at, step);
		at += step;
		len -= step;
	}
	request->transferred -= (uint32_t)len;
	scsi_good(request);
}

/* ---- commands ---- */

void scsi_test_unit_ready(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	scsi_good(request);
}

/* Sense data always comes with the command that it is about; what is left are unit attentions. */
void scsi_request_sense(struct scsi_controller *controller, struct scsi_request *request)
{
	uint16_t attention = scsi_attention(request->unit);
	uint8_t sense[SCSI_SENSE_LEN_MAX];
	uint8_t len =
		scsi_build_sense(sense, request->cdb[1] & SCSI_REQUEST_SENSE_DESC,
				 attention ? SCSI_SENSE_UNIT_ATTENTION : SCSI_SENSE_NO_SENSE, attention, NULL, NULL);

	(void)controller;
	if (attention)
		scsi_attention_told(request, attention);
	scsi_data_in(request, sense, len, request->cdb[4]);
}

void scsi_report_luns(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t list[SCSI_REPORT_LUNS_HEADER_LEN + LUNS_MAX * SCSI_REPORT_LUNS_ENTRY_LEN] = {0};
	uint32_t allocation_len = get_be32(&request->cdb[6]);
	uint8_t what = request->cdb[2];
	size_t len = SCSI_REPORT_LUNS_HEADER_LEN;

	if (allocation_len < SCSI_REPORT_LUNS_ALLOC_MIN || what > SCSI_REPORT_LUNS_ALL) {
		scsi_invalid_field(request, what > SCSI_REPORT_LUNS_ALL ? 2 : 6, 7);
		return;
	}
	/* On the other paths there is nothing: an empty list, or storvsc removes LUN 0 of the first path. */
	for (size_t i = 0; i < controller->luns && len < sizeof(list); i++) {
		struct scsi_lun *lun = &controller->lun[i];

		if (request->path != SCSI_PATH_WITH_LUNS || lun->target != request->target ||
		    what == SCSI_REPORT_LUNS_WELL_KNOWN)
			continue;
		lun->missed |= lun->presence == SCSI_LEAVING;
		if (lun->presence != SCSI_PRESENT)
			continue;
		list[len + 1] = lun->lun;
		len += SCSI_REPORT_LUNS_ENTRY_LEN;
	}
	put_be32(list, (uint32_t)(len - SCSI_REPORT_LUNS_HEADER_LEN));
	scsi_data_in(request, list, len, allocation_len);
}

/* ---- dispatch ---- */

/*
 * On the path that has LUNs, the transport says so itself, and the guest removes the device. Elsewhere that would make
 * storvsc remove the device of the same number on the first path: there it is the command that fails.
 */
static void absent(struct scsi_request *request)
{
	if (request->path == SCSI_PATH_WITH_LUNS)
		scsi_end(request, SCSI_NO_LUN);
	else
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_LUN_NOT_SUPPORTED);
}

static bool contradicts(const struct scsi_command *command, const struct scsi_request *request)
{
	if (request->cdb_len < command->cdb_len)
		return true;
	if (request->data_len == 0 || command->direction == SCSI_NONE || request->direction == SCSI_NONE)
		return false;
	return command->direction != request->direction;
}

/* Bits that mean nothing here. Return: whether there are none; if there are, the command has ended. */
static bool known_bits(struct scsi_request *request, uint8_t action_bits)
{
	const struct scsi_command *command = request->command;
	uint8_t last = request->cdb[command->cdb_len - 1];

	for (unsigned int i = 1; i < command->cdb_len - 1u; i++) {
		uint8_t known = command->usage[i] | (i == 1 ? action_bits : 0);
		uint8_t wrong = request->cdb[i] & (uint8_t)~known;

		if (wrong) {
			scsi_invalid_field(request, i, 31u - (unsigned int)__builtin_clz(wrong));
			return false;
		}
	}
	if (last & SCSI_CONTROL_NACA)
		scsi_invalid_field(request, command->cdb_len - 1u, 2);
	return !(last & SCSI_CONTROL_NACA);
}

/* What the LUN has to say first. Return: whether nothing; if it has, the command has ended. */
static bool admitted(struct scsi_request *request)
{
	const struct scsi_lun *unit = request->unit;
	uint16_t flags = request->command->flags;
	uint8_t modes = unit->state.modes;
	uint16_t attention = (flags & SCSI_NO_ATTENTION) ? SCSI_ASC_NONE : scsi_attention(unit);

	if (attention) {
		scsi_attention_told(request, attention);
		scsi_check(request, SCSI_SENSE_UNIT_ATTENTION, attention);
		return false;
	}
	if (unit->reservation && !scsi_reserve_enter(request))
		return false;
	if ((flags & SCSI_NEEDS_MEDIUM) && (modes & SCSI_MODES_STOPPED)) {
		scsi_check(request, SCSI_SENSE_NOT_READY, SCSI_ASC_LOGICAL_UNIT_STOPPED);
		return false;
	}
	if ((flags & SCSI_NEEDS_MEDIUM) && unit->type == SCSI_DVD && !scsi_medium_there(request))
		return false;
	if ((flags & SCSI_WRITES) && (unit->disk->readonly || (modes & SCSI_MODES_PROTECTED))) {
		scsi_check(request, SCSI_SENSE_DATA_PROTECT,
			   unit->disk->readonly ? SCSI_ASC_WRITE_PROTECTED : SCSI_ASC_SOFTWARE_WRITE_PROTECTED);
		return false;
	}
	return true;
}

static void start(struct scsi_controller *controller, struct scsi_request *request, bool has_actions)
{
	if (contradicts(request->command, request))
		scsi_end(request, SCSI_BAD_REQUEST);
	else if (known_bits(request, has_actions ? SCSI_SERVICE_ACTION_MASK : 0) &&
		 (!request->unit || admitted(request)))
		request->command->handler(controller, request);
}

void scsi_execute(struct scsi_controller *controller, struct scsi_request *request)
{
	bool has_actions;

	request->outcome = SCSI_COMPLETE;
	request->status = SCSI_STATUS_GOOD;
	request->sense_len = 0;
	request->transferred = 0;
	request->unit_changed = false;
	request->on_disk = false;
	request->abort = false;
	request->ticket = 0;
	request->place = SCSI_NOWHERE;
	request->unit = find_lun(controller, request);
	if (request->unit)
		stats_enter(request->unit->stats);
	request->command = scsi_find_command(request->unit, request->cdb, &has_actions);
	if (!request->unit && !(request->command && (request->command->flags & SCSI_FOR_ANY_LUN)))
		absent(request);
	else if (request->command)
		start(controller, request, has_actions);
	else if (has_actions)
		scsi_invalid_field(request, 1, 4);
	else
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_INVALID_OPCODE);
}

void scsi_abort(struct scsi_request *request)
{
	request->abort = true;
	if (request->on_disk) {
		if (!disk_cancel(request->unit->disk, &request->disk))
			return;
		request->on_disk = false;
	} else if (request->place != SCSI_IN_LANE || request->running) {
		return;
	}
	scsi_end(request, SCSI_ABORTED);
}
