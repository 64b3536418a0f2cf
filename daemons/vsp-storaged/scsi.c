/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of commands, and what is not a disk's own business: addresses, sense data, lists of LUNs.
 *
 * Limits: no task management, no reservations, no MODE SELECT, no thin provisioning; a unit attention is never
 * raised, for nothing changes under a guest yet. FUA of a read is ignored.
 */
#include "scsi.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi_command.h"

#define PATH_WITH_LUNS 0u /* storvsc scans eight paths; the disks are on the first */
#define LUNS_MAX       64u

struct scsi_command {
	const char *name;
	uint8_t cdb_len;
	enum scsi_direction direction;
	bool any_lun; /* answers for LUNs that are not there, too */
	void (*handler)(struct scsi_controller *controller, struct scsi_request *request);
};

static void test_unit_ready(struct scsi_controller *controller, struct scsi_request *request);
static void request_sense(struct scsi_controller *controller, struct scsi_request *request);
static void report_luns(struct scsi_controller *controller, struct scsi_request *request);

/* By operation code. */
static const struct scsi_command commands[256] = {
	[SCSI_TEST_UNIT_READY] = {"TEST UNIT READY", 6, SCSI_NONE, false, test_unit_ready},
	[SCSI_REQUEST_SENSE] = {"REQUEST SENSE", 6, SCSI_IN, false, request_sense},
	[SCSI_READ_6] = {"READ(6)", 6, SCSI_IN, false, scsi_read},
	[SCSI_WRITE_6] = {"WRITE(6)", 6, SCSI_OUT, false, scsi_write},
	[SCSI_INQUIRY] = {"INQUIRY", 6, SCSI_IN, true, scsi_inquiry},
	[SCSI_MODE_SENSE_6] = {"MODE SENSE(6)", 6, SCSI_IN, false, scsi_mode_sense_6},
	[SCSI_START_STOP_UNIT] = {"START STOP UNIT", 6, SCSI_NONE, false, scsi_start_stop_unit},
	[SCSI_READ_CAPACITY_10] = {"READ CAPACITY(10)", 10, SCSI_IN, false, scsi_read_capacity_10},
	[SCSI_READ_10] = {"READ(10)", 10, SCSI_IN, false, scsi_read},
	[SCSI_WRITE_10] = {"WRITE(10)", 10, SCSI_OUT, false, scsi_write},
	[SCSI_VERIFY_10] = {"VERIFY(10)", 10, SCSI_OUT, false, scsi_verify_10},
	[SCSI_SYNCHRONIZE_CACHE_10] = {"SYNCHRONIZE CACHE(10)", 10, SCSI_NONE, false, scsi_synchronize_cache},
	[SCSI_MODE_SENSE_10] = {"MODE SENSE(10)", 10, SCSI_IN, false, scsi_mode_sense_10},
	[SCSI_READ_16] = {"READ(16)", 16, SCSI_IN, false, scsi_read},
	[SCSI_WRITE_16] = {"WRITE(16)", 16, SCSI_OUT, false, scsi_write},
	[SCSI_SYNCHRONIZE_CACHE_16] = {"SYNCHRONIZE CACHE(16)", 16, SCSI_NONE, false, scsi_synchronize_cache},
	[SCSI_SERVICE_ACTION_IN_16] = {"SERVICE ACTION IN(16)", 16, SCSI_IN, false, scsi_service_action_in_16},
	[SCSI_REPORT_LUNS] = {"REPORT LUNS", 12, SCSI_IN, true, report_luns},
	[SCSI_READ_12] = {"READ(12)", 12, SCSI_IN, false, scsi_read},
	[SCSI_WRITE_12] = {"WRITE(12)", 12, SCSI_OUT, false, scsi_write},
};

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

int scsi_lun_init(struct scsi_lun *lun, const struct abi_guid *instance, uint8_t target, uint8_t number,
		  const char *alias, const char *serial, struct disk *disk)
{
	uint8_t address[2] = {target, number};
	uint64_t hash = fnv(FNV_BASIS, instance, sizeof(*instance));

	hash = fnv(hash, address, sizeof(address));
	hash = fnv(hash, serial, strlen(serial));
	memset(lun, 0, sizeof(*lun));
	lun->scratch = aligned_alloc(4096, SCSI_VERIFY_CHUNK);
	if (!lun->scratch)
		return -ENOMEM;
	lun->target = target;
	lun->lun = number;
	lun->disk = disk;
	lun->naa = (uint64_t)SCSI_NAA_LOCAL << 60 | hash >> 4;
	snprintf(lun->alias, sizeof(lun->alias), "%s", alias);
	snprintf(lun->object, sizeof(lun->object), "disk %s", lun->alias);
	if (serial[0])
		snprintf(lun->serial, sizeof(lun->serial), "%s", serial);
	else
		snprintf(lun->serial, sizeof(lun->serial), "%016" PRIx64, lun->naa);
	return 0;
}

void scsi_lun_done(struct scsi_lun *lun)
{
	free(lun->scratch);
	lun->scratch = NULL;
}

static struct scsi_lun *find_lun(struct scsi_controller *controller, const struct scsi_request *request)
{
	if (request->path != PATH_WITH_LUNS)
		return NULL;
	for (size_t i = 0; i < controller->luns; i++)
		if (controller->lun[i].target == request->target && controller->lun[i].lun == request->lun)
			return &controller->lun[i];
	return NULL;
}

/* ---- ends ---- */

void scsi_good(struct scsi_request *request)
{
	request->status = SCSI_STATUS_GOOD;
	scsi_end(request, SCSI_COMPLETE);
}

void scsi_check(struct scsi_request *request, uint8_t key, uint16_t asc)
{
	memset(request->sense, 0, sizeof(request->sense));
	request->sense[0] = SCSI_SENSE_FIXED_CURRENT;
	request->sense[2] = key;
	request->sense[7] = SCSI_SENSE_FIXED_ADDITIONAL;
	put_be16(&request->sense[12], asc);
	request->sense_len = SCSI_SENSE_FIXED_LEN;
	request->status = SCSI_STATUS_CHECK_CONDITION;
	scsi_end(request, SCSI_COMPLETE);
}

void scsi_fail(struct scsi_request *request)
{
	scsi_check(request, SCSI_SENSE_HARDWARE_ERROR, SCSI_ASC_INTERNAL_TARGET_FAILURE);
}

void scsi_invalid_field(struct scsi_request *request)
{
	scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD_IN_CDB);
}

void scsi_end(struct scsi_request *request, enum scsi_outcome outcome)
{
	if (outcome != SCSI_COMPLETE || request->status != SCSI_STATUS_GOOD)
		request->transferred = 0;
	request->outcome = outcome;
	request->done(request);
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

static void test_unit_ready(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	scsi_good(request);
}

/* Sense data always comes with the command that it is about, so there is never any left. */
static void request_sense(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t fixed[SCSI_SENSE_FIXED_LEN] = {[0] = SCSI_SENSE_FIXED_CURRENT, [7] = SCSI_SENSE_FIXED_ADDITIONAL};
	uint8_t descriptor[SCSI_SENSE_DESCRIPTOR_LEN] = {[0] = SCSI_SENSE_DESCRIPTOR_CURRENT};

	(void)controller;
	if (request->cdb[1] & SCSI_REQUEST_SENSE_DESC)
		scsi_data_in(request, descriptor, sizeof(descriptor), request->cdb[4]);
	else
		scsi_data_in(request, fixed, sizeof(fixed), request->cdb[4]);
}

static void report_luns(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t list[SCSI_REPORT_LUNS_HEADER_LEN + LUNS_MAX * SCSI_REPORT_LUNS_ENTRY_LEN] = {0};
	uint32_t allocation_len = get_be32(&request->cdb[6]);
	uint8_t what = request->cdb[2];
	size_t len = SCSI_REPORT_LUNS_HEADER_LEN;

	if (allocation_len < SCSI_REPORT_LUNS_ALLOC_MIN || what > SCSI_REPORT_LUNS_ALL) {
		scsi_invalid_field(request);
		return;
	}
	/* On the other paths there is nothing: an empty list, or storvsc removes LUN 0 of the first path. */
	for (size_t i = 0; i < controller->luns && len < sizeof(list); i++) {
		if (request->path != PATH_WITH_LUNS || controller->lun[i].target != request->target ||
		    what == SCSI_REPORT_LUNS_WELL_KNOWN)
			continue;
		list[len + 1] = controller->lun[i].lun;
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
	if (request->path == PATH_WITH_LUNS)
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

void scsi_execute(struct scsi_controller *controller, struct scsi_request *request)
{
	const struct scsi_command *command = &commands[request->cdb[0]];

	request->outcome = SCSI_COMPLETE;
	request->status = SCSI_STATUS_GOOD;
	request->sense_len = 0;
	request->transferred = 0;
	request->on_disk = false;
	request->abort = false;
	request->unit = find_lun(controller, request);
	if (!request->unit && !command->any_lun)
		absent(request);
	else if (!command->handler)
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_INVALID_OPCODE);
	else if (contradicts(command, request))
		scsi_end(request, SCSI_BAD_REQUEST);
	else if (request->cdb[command->cdb_len - 1] & SCSI_CONTROL_NACA)
		scsi_invalid_field(request);
	else
		command->handler(controller, request);
}

void scsi_abort(struct scsi_request *request)
{
	scsi_block_abort(request);
}
