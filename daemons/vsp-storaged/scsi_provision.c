/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UNMAP and WRITE SAME.
 *
 * Theory of operation: in the lane. Blocks of zeroes are the disk's own operations where it has them; everything else,
 * and zeroes on a disk that has not, is written piece by piece from a scratch buffer. UNMAP is advice: where the disk
 * cannot follow it, the blocks stay as they are. All of a parameter list is checked before any of it is done. With the
 * write cache off, a flush comes last.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi_command.h"

enum { LIST = 0 }; /* which scratch buffer */

/* The last step; the second time, it has been flushed. */
static void finish(struct scsi_request *request, uint8_t flushed_phase)
{
	if (scsi_no_cache(request->unit) && request->phase != flushed_phase) {
		request->phase = flushed_phase;
		scsi_lane_io(request, DISK_FLUSH, 0, 0, NULL);
		return;
	}
	request->transferred = request->wanted;
	scsi_good(request);
}

/* ---- UNMAP ---- */

enum { UNMAP_CHECK, UNMAP_WALK, UNMAP_FLUSHED };

static struct scsi_extent descriptor(const struct scsi_request *request, size_t i)
{
	const uint8_t *at = request->unit->scratch[LIST] + SCSI_UNMAP_HEADER_LEN + i * SCSI_UNMAP_DESCRIPTOR_LEN;

	return (struct scsi_extent){get_be64(at), get_be32(at + 8)};
}

/* Copy the list and look at all of it; request->left: the descriptors. Return: whether it can be done. */
static bool take_list(struct scsi_request *request)
{
	uint8_t *list = request->unit->scratch[LIST];
	size_t count;

	scsi_data_out(request, list, MIN(request->wanted, SCSI_SCRATCH_LEN));
	count = MIN((size_t)get_be16(&list[2]), request->wanted - SCSI_UNMAP_HEADER_LEN) / SCSI_UNMAP_DESCRIPTOR_LEN;
	if (count > SCSI_UNMAP_DESCRIPTORS_MAX) {
		scsi_invalid_parameter(request, 2, 7);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		struct scsi_extent extent = descriptor(request, i);

		if (!scsi_extent_ok(request, &extent))
			return false;
	}
	request->at = 0;
	request->left = count;
	return true;
}

static void unmap_step(struct scsi_request *request, int result)
{
	uint32_t block = request->unit->disk->block_bytes;

	(void)result; /* 0, or that the disk cannot */
	if (request->phase == UNMAP_CHECK && !take_list(request))
		return;
	if (request->phase == UNMAP_CHECK)
		request->phase = UNMAP_WALK;
	while (request->at < request->left) {
		struct scsi_extent extent = descriptor(request, (size_t)request->at++);

		if (extent.blocks == 0)
			continue;
		scsi_lane_io(request, DISK_DISCARD, extent.lba * block, (uint64_t)extent.blocks * block, NULL);
		return;
	}
	finish(request, UNMAP_FLUSHED);
}

void scsi_unmap(struct scsi_controller *controller, struct scsi_request *request)
{
	uint32_t len = get_be16(&request->cdb[7]);

	(void)controller;
	request->wanted = len;
	if (len == 0)
		scsi_good(request);
	else if (len < SCSI_UNMAP_HEADER_LEN || len > request->data_len)
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_PARAMETER_LIST_LENGTH_ERROR);
	else
		scsi_lane_enter(request, unmap_step);
}

/* ---- WRITE SAME ---- */

enum { SAME_BEGIN, SAME_ZEROING, SAME_WRITING, SAME_FLUSHED };

static bool no_data(const struct scsi_request *request)
{
	return request->cdb[1] & request->command->usage[1] & SCSI_WRITE_SAME_NDOB;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return bytes[0] == 0 && !memcmp(bytes, bytes + 1, len - 1);
}

/* The first scratch buffer holds the block; all of it does afterwards. Blocks divide it evenly. */
static void repeat(struct scsi_lun *unit)
{
	uint8_t *scratch = unit->scratch[LIST];

	for (size_t len = unit->disk->block_bytes; len < SCSI_SCRATCH_LEN; len *= 2)
		memcpy(scratch + len, scratch, len);
}

static void same_write(struct scsi_request *request)
{
	uint64_t at = request->at, len = MIN(request->left, (uint64_t)SCSI_SCRATCH_LEN);

	request->at += len;
	request->left -= len;
	scsi_lane_io(request, DISK_WRITE, at, len, request->unit->scratch[LIST]);
}

static void same_begin(struct scsi_request *request)
{
	struct scsi_lun *unit = request->unit;
	uint32_t block = unit->disk->block_bytes;

	if (no_data(request))
		memset(unit->scratch[LIST], 0, block);
	else
		scsi_data_out(request, unit->scratch[LIST], block);
	if (is_zero(unit->scratch[LIST], block)) {
		request->phase = SAME_ZEROING;
		scsi_lane_io(request, (request->cdb[1] & SCSI_WRITE_SAME_UNMAP) ? DISK_DISCARD : DISK_ZERO, request->at,
			     request->left, NULL);
	} else {
		request->phase = SAME_WRITING;
		repeat(unit);
		same_write(request);
	}
}

static void same_step(struct scsi_request *request, int result)
{
	if (request->phase == SAME_BEGIN) {
		same_begin(request);
	} else if (request->phase == SAME_ZEROING && result == -EOPNOTSUPP) {
		request->phase = SAME_WRITING;
		repeat(request->unit);
		same_write(request);
	} else if (result < 0) {
		scsi_host_failed(request, result);
	} else if (request->phase == SAME_WRITING && request->left > 0) {
		same_write(request);
	} else {
		finish(request, SAME_FLUSHED);
	}
}

void scsi_write_same(struct scsi_controller *controller, struct scsi_request *request)
{
	const struct disk *disk = request->unit->disk;
	struct scsi_extent extent = scsi_extent_of(request->cdb);
	unsigned int length_byte = scsi_length_byte(request->cdb);

	(void)controller;
	request->wanted = no_data(request) ? 0 : disk->block_bytes;
	if ((request->cdb[1] & SCSI_WRITE_SAME_UNMAP) && !disk->discard) {
		scsi_invalid_field(request, 1, 3);
		return;
	}
	if (!scsi_extent_ok(request, &extent))
		return;
	if (extent.blocks == 0 || extent.blocks > SCSI_WRITE_SAME_MAX / disk->block_bytes ||
	    (request->wanted && request->data_len != request->wanted)) {
		scsi_invalid_field(request, length_byte, 7);
		return;
	}
	request->at = extent.lba * disk->block_bytes;
	request->left = (uint64_t)extent.blocks * disk->block_bytes;
	scsi_lane_enter(request, same_step);
}
