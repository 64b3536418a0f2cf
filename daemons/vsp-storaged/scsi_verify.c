/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VERIFY, WRITE AND VERIFY, COMPARE AND WRITE: commands that read what is on the disk to compare it.
 *
 * Theory of operation: piece by piece, in the lane, through its scratch buffers: the first holds what came from the
 * initiator, the second what was read.
 *
 * COMPARE AND WRITE cannot be told by a successor from one that was not begun: after its write the blocks are not what
 * it compares with. So when they were found equal, it leaves a mark with the request before it writes; a successor that
 * finds the mark writes (again) without comparing. No other write of this process comes between.
 *
 * Limits: what other hosts write to a shared disk may come between the two halves of COMPARE AND WRITE; so may, after a
 * death in the middle of one, a write that was under way on another channel of this disk at that moment.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi_command.h"

enum { GOT = 0, READ = 1 }; /* which scratch buffer */

/* The next piece of a walk from request->at over request->left bytes. */
static size_t next_piece(const struct scsi_request *request)
{
	return (size_t)MIN(request->left, (uint64_t)SCSI_SCRATCH_LEN);
}

static void miscompare(struct scsi_request *request)
{
	scsi_check(request, SCSI_SENSE_MISCOMPARE, SCSI_ASC_MISCOMPARE_DURING_VERIFY);
}

/* What the three have in common: range and buffer are checked, the walk is set up. Return: false: it has ended. */
static bool begin_walk(struct scsi_request *request, uint32_t wanted)
{
	uint32_t block = request->unit->disk->block_bytes;
	struct scsi_extent extent = scsi_extent_of(request->cdb);

	if (!scsi_extent_ok(request, &extent))
		return false;
	if (wanted > request->data_len) {
		scsi_invalid_field(request, scsi_length_byte(request->cdb), 7);
		return false;
	}
	request->wanted = wanted;
	request->at = extent.lba * block;
	request->left = (uint64_t)extent.blocks * block;
	return true;
}

static void advance(struct scsi_request *request)
{
	size_t len = next_piece(request);

	request->at += len;
	request->left -= len;
}

/* ---- VERIFY ---- */

/* Whether the piece that was read is what it should be. */
static bool verified(struct scsi_request *request)
{
	struct scsi_lun *unit = request->unit;
	size_t len = next_piece(request), block = unit->disk->block_bytes;

	switch (request->cdb[1] & SCSI_VERIFY_BYTCHK) {
	case SCSI_VERIFY_BYTCHK_1:
		scsi_data_out(request, unit->scratch[GOT], len);
		return !memcmp(unit->scratch[GOT], unit->scratch[READ], len);
	case SCSI_VERIFY_BYTCHK_3:
		for (size_t i = 0; i < len; i += block)
			if (memcmp(unit->scratch[GOT], unit->scratch[READ] + i, block))
				return false;
		return true;
	default:
		return true;
	}
}

static void verify_step(struct scsi_request *request, int result)
{
	struct scsi_lun *unit = request->unit;

	if (result < 0) {
		scsi_host_failed(request, result);
		return;
	}
	if (request->phase > 0) {
		if (!verified(request)) {
			miscompare(request);
			return;
		}
		advance(request);
	} else if ((request->cdb[1] & SCSI_VERIFY_BYTCHK) == SCSI_VERIFY_BYTCHK_3 && request->left > 0) {
		scsi_data_out(request, unit->scratch[GOT], unit->disk->block_bytes);
	}
	request->phase = 1;
	if (request->left == 0) {
		request->transferred = request->wanted;
		scsi_good(request);
		return;
	}
	scsi_lane_io(request, DISK_READ, request->at, next_piece(request), unit->scratch[READ]);
}

/* Bytes of the buffer that VERIFY compares with. */
static uint64_t verify_wants(const struct scsi_request *request, const struct scsi_extent *extent)
{
	uint32_t block = request->unit->disk->block_bytes;

	switch (request->cdb[1] & SCSI_VERIFY_BYTCHK) {
	case SCSI_VERIFY_BYTCHK_1:
		return (uint64_t)extent->blocks * block;
	case SCSI_VERIFY_BYTCHK_3:
		return extent->blocks ? block : 0;
	default:
		return 0;
	}
}

void scsi_verify(struct scsi_controller *controller, struct scsi_request *request)
{
	struct scsi_extent extent = scsi_extent_of(request->cdb);
	uint8_t check = request->cdb[1] & SCSI_VERIFY_BYTCHK;
	uint64_t wanted = verify_wants(request, &extent);

	(void)controller;
	if (check && check != SCSI_VERIFY_BYTCHK_1 && check != SCSI_VERIFY_BYTCHK_3)
		scsi_invalid_field(request, 1, 2);
	else if (begin_walk(request, (uint32_t)MIN(wanted, (uint64_t)UINT32_MAX)))
		scsi_lane_enter(request, verify_step);
}

/* ---- WRITE AND VERIFY ---- */

enum { WAV_WRITE, WAV_READ, WAV_CHECK };

static void write_and_verify_step(struct scsi_request *request, int result)
{
	struct scsi_lun *unit = request->unit;
	size_t len = next_piece(request);

	if (result < 0) {
		scsi_host_failed(request, result);
		return;
	}
	if (request->phase == WAV_READ) {
		request->phase = WAV_CHECK;
		scsi_lane_io(request, DISK_READ, request->at, len, unit->scratch[READ]);
		return;
	}
	if (request->phase == WAV_CHECK) {
		if ((request->cdb[1] & SCSI_VERIFY_BYTCHK) && memcmp(unit->scratch[GOT], unit->scratch[READ], len)) {
			miscompare(request);
			return;
		}
		advance(request);
		len = next_piece(request);
	}
	if (len == 0) {
		request->transferred = request->wanted;
		scsi_good(request);
		return;
	}
	request->phase = WAV_READ;
	scsi_data_out(request, unit->scratch[GOT], len);
	scsi_lane_io(request, DISK_WRITE, request->at, len, unit->scratch[GOT]);
}

void scsi_write_and_verify(struct scsi_controller *controller, struct scsi_request *request)
{
	struct scsi_extent extent = scsi_extent_of(request->cdb);
	uint64_t len = (uint64_t)extent.blocks * request->unit->disk->block_bytes;

	(void)controller;
	if (begin_walk(request, (uint32_t)MIN(len, (uint64_t)UINT32_MAX)))
		scsi_lane_enter(request, write_and_verify_step);
}

/* ---- COMPARE AND WRITE ---- */

enum { CAW_BEGIN, CAW_COMPARE, CAW_DONE };

static void caw_write(struct scsi_request *request)
{
	struct scsi_lun *unit = request->unit;

	request->phase = CAW_DONE;
	scsi_data_out(request, unit->scratch[GOT], (size_t)request->left);
	scsi_lane_io(request, DISK_WRITE, request->at, request->left, unit->scratch[GOT]);
}

static void caw_compare(struct scsi_request *request)
{
	const uint8_t *got = request->unit->scratch[GOT], *read = request->unit->scratch[READ];
	size_t i = 0;

	while (i < request->left && got[i] == read[i])
		i++;
	if (i < request->left) {
		scsi_check_at(request, SCSI_SENSE_MISCOMPARE, SCSI_ASC_MISCOMPARE_DURING_VERIFY, i);
		return;
	}
	if (request->set_mark)
		request->set_mark(request, SCSI_MARK_MATCHED);
	caw_write(request);
}

static void caw_step(struct scsi_request *request, int result)
{
	struct scsi_lun *unit = request->unit;

	if (result < 0) {
		scsi_host_failed(request, result);
	} else if (request->phase == CAW_COMPARE) {
		caw_compare(request);
	} else if (request->phase == CAW_DONE) {
		request->transferred = request->wanted;
		scsi_good(request);
	} else {
		request->phase = CAW_COMPARE;
		scsi_data_out(request, unit->scratch[GOT], (size_t)request->left);
		if (request->mark == SCSI_MARK_MATCHED)
			caw_write(request);
		else
			scsi_lane_io(request, DISK_READ, request->at, request->left, unit->scratch[READ]);
	}
}

uint32_t scsi_compare_and_write_max(const struct disk *disk)
{
	return MIN(SCSI_SCRATCH_LEN / disk->block_bytes, UINT8_MAX);
}

void scsi_compare_and_write(struct scsi_controller *controller, struct scsi_request *request)
{
	const struct disk *disk = request->unit->disk;
	struct scsi_extent extent = {get_be64(&request->cdb[2]), request->cdb[13]};

	(void)controller;
	if (extent.blocks > scsi_compare_and_write_max(disk)) {
		scsi_invalid_field(request, 13, 7);
		return;
	}
	if (!scsi_extent_ok(request, &extent))
		return;
	request->at = extent.lba * disk->block_bytes;
	request->left = (uint64_t)extent.blocks * disk->block_bytes;
	request->wanted = (uint32_t)(2 * request->left);
	if (request->wanted > request->data_len)
		scsi_invalid_field(request, 13, 7);
	else if (request->wanted == 0)
		scsi_good(request);
	else
		scsi_lane_enter_alone(request, caw_step);
}
