/* SPDX-License-Identifier: Apache-2.0 */
/* Sense data, in both formats, and what the host's errors become. Spec: SPC-4 4.5. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi_command.h"

static uint8_t fixed_format(uint8_t *sense, uint8_t key, uint16_t asc, const uint8_t *specific,
			    const uint64_t *information)
{
	sense[0] = SCSI_SENSE_FIXED_CURRENT;
	sense[2] = key;
	sense[7] = SCSI_SENSE_FIXED_ADDITIONAL;
	put_be16(&sense[12], asc);
	if (information && *information <= UINT32_MAX) {
		sense[0] |= SCSI_SENSE_INFORMATION_VALID;
		put_be32(&sense[3], (uint32_t)*information);
	}
	if (specific)
		memcpy(&sense[15], specific, 3);
	return SCSI_SENSE_FIXED_LEN;
}

static uint8_t descriptor_format(uint8_t *sense, uint8_t key, uint16_t asc, const uint8_t *specific,
				 const uint64_t *information)
{
	uint8_t *descriptor = sense + SCSI_SENSE_DESCRIPTOR_LEN;

	sense[0] = SCSI_SENSE_DESCRIPTOR_CURRENT;
	sense[1] = key;
	put_be16(&sense[2], asc);
	if (information) {
		sense[7] = SCSI_SENSE_INFORMATION_LEN;
		descriptor[0] = SCSI_SENSE_INFORMATION_TYPE;
		descriptor[1] = SCSI_SENSE_INFORMATION_LEN - 2;
		descriptor[2] = SCSI_SENSE_INFORMATION_VALID;
		put_be64(&descriptor[4], *information);
	} else if (specific) {
		sense[7] = SCSI_SENSE_SPECIFIC_LEN;
		descriptor[0] = SCSI_SENSE_SPECIFIC_TYPE;
		descriptor[1] = SCSI_SENSE_SPECIFIC_LEN - 2;
		memcpy(&descriptor[4], specific, 3);
	}
	return SCSI_SENSE_DESCRIPTOR_LEN + sense[7];
}

uint8_t scsi_build_sense(uint8_t *sense, bool descriptors, uint8_t key, uint16_t asc, const uint8_t *specific,
			 const uint64_t *information)
{
	memset(sense, 0, SCSI_SENSE_LEN_MAX);
	return (descriptors ? descriptor_format : fixed_format)(sense, key, asc, specific, information);
}

static void check(struct scsi_request *request, uint8_t key, uint16_t asc, const uint8_t *specific,
		  const uint64_t *information)
{
	bool descriptors = request->unit && (request->unit->state.modes & SCSI_MODES_DESCRIPTORS);

	request->sense_len = scsi_build_sense(request->sense, descriptors, key, asc, specific, information);
	request->status = SCSI_STATUS_CHECK_CONDITION;
	scsi_end(request, SCSI_COMPLETE);
}

void scsi_check(struct scsi_request *request, uint8_t key, uint16_t asc)
{
	check(request, key, asc, NULL, NULL);
}

void scsi_check_at(struct scsi_request *request, uint8_t key, uint16_t asc, uint64_t information)
{
	check(request, key, asc, NULL, &information);
}

static void point_to(struct scsi_request *request, uint16_t asc, uint8_t where, unsigned int byte, unsigned int bit)
{
	uint8_t specific[3] = {(uint8_t)(SCSI_SENSE_SKSV | SCSI_SENSE_BIT_VALID | where | bit)};

	put_be16(&specific[1], (uint16_t)byte);
	check(request, SCSI_SENSE_ILLEGAL_REQUEST, asc, specific, NULL);
}

void scsi_invalid_field(struct scsi_request *request, unsigned int byte, unsigned int bit)
{
	point_to(request, SCSI_ASC_INVALID_FIELD_IN_CDB, SCSI_SENSE_IN_CDB, byte, bit);
}

void scsi_invalid_parameter(struct scsi_request *request, unsigned int byte, unsigned int bit)
{
	point_to(request, SCSI_ASC_INVALID_FIELD_IN_PARAMETERS, 0, byte, bit);
}

/* ---- errors of the host ---- */

struct host_error {
	int error;
	uint8_t key;
	uint16_t asc;
};

static const struct host_error host_errors[] = {
	{-ENOSPC, SCSI_SENSE_DATA_PROTECT, SCSI_ASC_SPACE_ALLOCATION_FAILED},
	{-EDQUOT, SCSI_SENSE_DATA_PROTECT, SCSI_ASC_SPACE_ALLOCATION_FAILED},
	{-EFBIG, SCSI_SENSE_DATA_PROTECT, SCSI_ASC_SPACE_ALLOCATION_FAILED},
	{-EROFS, SCSI_SENSE_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED},
	{-EPERM, SCSI_SENSE_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED},
	{-EBADF, SCSI_SENSE_HARDWARE_ERROR, SCSI_ASC_INTERNAL_TARGET_FAILURE},
	{-EINVAL, SCSI_SENSE_HARDWARE_ERROR, SCSI_ASC_INTERNAL_TARGET_FAILURE},
	{-EFAULT, SCSI_SENSE_HARDWARE_ERROR, SCSI_ASC_INTERNAL_TARGET_FAILURE},
	{-ENODEV, SCSI_SENSE_HARDWARE_ERROR, SCSI_ASC_INTERNAL_TARGET_FAILURE},
	{-ENXIO, SCSI_SENSE_HARDWARE_ERROR, SCSI_ASC_INTERNAL_TARGET_FAILURE},
	{-ENOMEM, SCSI_SENSE_ABORTED_COMMAND, SCSI_ASC_NONE},
	{-EAGAIN, SCSI_SENSE_ABORTED_COMMAND, SCSI_ASC_NONE},
	{-ECANCELED, SCSI_SENSE_ABORTED_COMMAND, SCSI_ASC_NONE},
};

static const char *const op_names[] = {
	[DISK_READ] = "read",	    [DISK_WRITE] = "write",  [DISK_FLUSH] = "flush",
	[DISK_DISCARD] = "discard", [DISK_ZERO] = "zeroing",
};

static void log_failure(struct scsi_request *request, int error)
{
	const struct disk_request *disk = &request->disk;
	const char *why = error == -ENODATA ? "the image is shorter than it was" : strerror(-error);
	const char *object = request->unit->object, *image = request->unit->image;

	if (!log_allowed(&request->unit->errors, object))
		return;
	if (disk->op == DISK_FLUSH)
		log_error(object, "%s: flush failed: %s", image, why);
	else
		log_error(object, "%s: %s of %llu bytes at %llu failed: %s", image, op_names[disk->op],
			  (unsigned long long)disk->len, (unsigned long long)disk->offset, why);
}

void scsi_host_failed(struct scsi_request *request, int error)
{
	log_failure(request, error);
	scsi_error_met(request, error);
	for (size_t i = 0; i < ARRAY_SIZE(host_errors); i++) {
		if (host_errors[i].error == error) {
			scsi_check(request, host_errors[i].key, host_errors[i].asc);
			return;
		}
	}
	scsi_check(request, SCSI_SENSE_MEDIUM_ERROR,
		   request->disk.op == DISK_READ ? SCSI_ASC_UNRECOVERED_READ_ERROR : SCSI_ASC_WRITE_ERROR);
}
