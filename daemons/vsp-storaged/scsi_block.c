/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads, writes, flushes, start and stop.
 *
 * Theory of operation: a read or a write is one disk request with the initiator's own iovecs. They go past the lane,
 * but for writes while a command that wants to be alone is in there.
 *
 * Limits: DISK_MAX_TRANSFER bytes for each READ and WRITE, as the block limits page says. FUA of a read is ignored:
 * what is read is what a write before it has put there, wherever that lies.
 */
#include <assert.h>
#include <errno.h>

#include "base/bytes.h"
#include "scsi_command.h"

/* ---- CDBs ---- */

#define GROUP_6	 0u /* the top three bits of the operation code */
#define GROUP_16 4u
#define GROUP_12 5u

static unsigned int group(const uint8_t *cdb)
{
	return cdb[0] >> 5;
}

struct scsi_extent scsi_extent_of(const uint8_t *cdb)
{
	switch (group(cdb)) {
	case GROUP_6: /* a length of 0 means 256 */
		return (struct scsi_extent){get_be32(&cdb[0]) & 0x1fffff, cdb[4] ? cdb[4] : 256};
	case GROUP_16:
		return (struct scsi_extent){get_be64(&cdb[2]), get_be32(&cdb[10])};
	case GROUP_12:
		return (struct scsi_extent){get_be32(&cdb[2]), get_be32(&cdb[6])};
	default:
		return (struct scsi_extent){get_be32(&cdb[2]), get_be16(&cdb[7])};
	}
}

unsigned int scsi_length_byte(const uint8_t *cdb)
{
	static const uint8_t at[8] = {[GROUP_6] = 4, [1] = 7, [2] = 7, [GROUP_16] = 10, [GROUP_12] = 6};

	return at[group(cdb)];
}

bool scsi_extent_ok(struct scsi_request *request, const struct scsi_extent *extent)
{
	if (range_fits(extent->lba, extent->blocks, request->unit->disk->blocks))
		return true;
	scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
	return false;
}

bool scsi_no_cache(const struct scsi_lun *lun)
{
	return lun->state.modes & SCSI_MODES_NO_CACHE;
}

bool scsi_fua(const struct scsi_request *request)
{
	uint16_t flags = request->command->flags;

	return (flags & SCSI_ON_MEDIUM) || ((flags & SCSI_HAS_FUA) && (request->cdb[1] & SCSI_RW_FUA)) ||
	       scsi_no_cache(request->unit);
}

/* ---- reads, writes, flushes ---- */

static void disk_done(struct disk_request *disk, int result)
{
	struct scsi_request *request = CONTAINER_OF(disk, struct scsi_request, disk);

	request->on_disk = false;
	if (result < 0) {
		scsi_host_failed(request, result);
		return;
	}
	scsi_host_did(request);
	request->transferred = (uint32_t)disk->len;
	scsi_good(request);
}

static void to_disk(struct scsi_request *request)
{
	request->on_disk = true;
	request->disk.done = disk_done;
	disk_submit(request->unit->disk, &request->disk);
}

/* Cut the initiator's buffer down to @len bytes, which it has. */
static void cut_buffer(struct scsi_request *request, uint32_t len)
{
	unsigned int n = 0;

	while (len > 0) {
		request->iov[n].iov_len = MIN(request->iov[n].iov_len, (size_t)len);
		len -= (uint32_t)request->iov[n++].iov_len;
	}
	request->iovs = n;
}

/* Return: whether the disk is to be asked; if not, the command has ended. */
static bool prepare_transfer(struct scsi_request *request, enum disk_op op)
{
	const struct disk *disk = request->unit->disk;
	struct scsi_extent extent = scsi_extent_of(request->cdb);
	uint64_t len = (uint64_t)extent.blocks * disk->block_bytes;

	if (!scsi_extent_ok(request, &extent))
		return false;
	if (len > DISK_MAX_TRANSFER || len > request->data_len) {
		/* Half a transfer would be a silent one. */
		scsi_invalid_field(request, scsi_length_byte(request->cdb), 7);
		return false;
	}
	if (len == 0) {
		scsi_good(request);
		return false;
	}
	cut_buffer(request, (uint32_t)len);
	request->disk.op = op;
	request->disk.fua = op == DISK_WRITE && scsi_fua(request);
	request->disk.offset = extent.lba * disk->block_bytes;
	request->disk.len = len;
	request->disk.iov = request->iov;
	request->disk.iovs = request->iovs;
	return true;
}

void scsi_read(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	if (prepare_transfer(request, DISK_READ))
		to_disk(request);
}

/* In the lane. */
static void write_step(struct scsi_request *request, int result)
{
	if (request->phase++ == 0) {
		request->disk.fua = scsi_fua(request); /* the modes may have changed while it waited */
		scsi_lane_submit(request);
	} else if (result < 0) {
		scsi_host_failed(request, result);
	} else {
		request->transferred = (uint32_t)request->disk.len;
		scsi_good(request);
	}
}

void scsi_write(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	if (!prepare_transfer(request, DISK_WRITE))
		return;
	if (request->unit->alone > 0) {
		scsi_lane_enter(request, write_step);
		return;
	}
	request->place = SCSI_WRITING;
	request->unit->writers++;
	to_disk(request);
}

/* The whole cache, whatever the range. IMMED is not used: the guest waits a little longer, and knows more. */
void scsi_synchronize_cache(struct scsi_controller *controller, struct scsi_request *request)
{
	struct scsi_extent extent = scsi_extent_of(request->cdb);

	(void)controller;
	if (!scsi_extent_ok(request, &extent))
		return;
	request->disk.op = DISK_FLUSH;
	request->disk.fua = false;
	request->disk.offset = request->disk.len = 0;
	request->disk.iov = NULL;
	request->disk.iovs = 0;
	to_disk(request);
}

/* ---- start and stop ---- */

static void stop_step(struct scsi_request *request, int result)
{
	uint8_t modes = request->unit->state.modes;

	if (request->phase++ == 0) {
		scsi_lane_io(request, DISK_FLUSH, 0, 0, NULL);
	} else if (result < 0) {
		scsi_host_failed(request, result);
	} else {
		scsi_set_modes(request, modes | SCSI_MODES_STOPPED);
		scsi_good(request);
	}
}

void scsi_start_stop_unit(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t what = request->cdb[4], modes = request->unit->state.modes;

	if (what & SCSI_START_STOP_POWER_MASK) {
		scsi_invalid_field(request, 4, 7);
	} else if (request->unit->type == SCSI_DVD) {
		scsi_load_eject(controller, request);
	} else if (what & SCSI_START_STOP_LOEJ) {
		scsi_invalid_field(request, 4, 1); /* the medium cannot be taken out */
	} else if (what & SCSI_START_STOP_START) {
		scsi_set_modes(request, modes & (uint8_t)~SCSI_MODES_STOPPED);
		scsi_good(request);
	} else if (what & SCSI_START_STOP_NO_FLUSH) {
		scsi_set_modes(request, modes | SCSI_MODES_STOPPED);
		scsi_good(request);
	} else {
		scsi_lane_enter(request, stop_step);
	}
}

/* The medium of a disk cannot be taken out, whether that is prevented or not. */
void scsi_prevent_allow(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t modes = request->unit->state.modes & (uint8_t)~SCSI_MODES_LOCKED;

	(void)controller;
	if (request->unit->type == SCSI_DVD)
		scsi_set_modes(request, modes | (request->cdb[4] & SCSI_PREVENT ? SCSI_MODES_LOCKED : 0));
	scsi_good(request);
}
