/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that reach the disk: reads, writes, flushes, verification, capacity.
 *
 * Theory of operation: a read or a write is one disk request with the initiator's own iovecs. VERIFY reads the blocks
 * piece by piece into the LUN's scratch buffer; one VERIFY of a LUN runs at a time, others wait in order.
 *
 * Limits: DISK_MAX_TRANSFER bytes for each READ and WRITE, as the block limits page says.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi_command.h"

struct extent {
	uint64_t lba;
	uint32_t blocks;
};

/* ---- errors of the host ---- */

struct host_error {
	int error;
	uint8_t key;
	uint16_t asc;
};

static const struct host_error host_errors[] = {
	{-ENOSPC, SCSI_SENSE_DATA_PROTECT, SCSI_ASC_SPACE_ALLOCATION_FAILED},
	{-EDQUOT, SCSI_SENSE_DATA_PROTECT, SCSI_ASC_SPACE_ALLOCATION_FAILED},
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
	[DISK_READ] = "read",
	[DISK_WRITE] = "write",
};

static void log_failure(struct scsi_request *request, int error)
{
	const struct disk_request *disk = &request->disk;
	const char *why = error == -ENODATA ? "the image is shorter than it was" : strerror(-error);
	const char *object = request->unit->object;

	if (!log_allowed(&request->unit->errors, object))
		return;
	if (disk->op == DISK_FLUSH)
		log_error(object, "flush failed: %s", why);
	else
		log_error(object, "%s of %u bytes at %llu failed: %s", op_names[disk->op], disk->len,
			  (unsigned long long)disk->offset, why);
}

static void host_failed(struct scsi_request *request, int error)
{
	log_failure(request, error);
	for (size_t i = 0; i < ARRAY_SIZE(host_errors); i++) {
		if (host_errors[i].error == error) {
			scsi_check(request, host_errors[i].key, host_errors[i].asc);
			return;
		}
	}
	scsi_check(request, SCSI_SENSE_MEDIUM_ERROR,
		   request->disk.op == DISK_READ ? SCSI_ASC_UNRECOVERED_READ_ERROR : SCSI_ASC_WRITE_ERROR);
}

/* ---- CDBs ---- */

/* LBA and length of READ, WRITE, VERIFY and SYNCHRONIZE CACHE, whose places follow from the group of the operation
 * code. */
static struct extent extent_of(const uint8_t *cdb)
{
	switch (cdb[0] >> 5) {
	case 0: /* six bytes; a length of 0 means 256 */
		return (struct extent){get_be32(&cdb[0]) & 0x1fffff, cdb[4] ? cdb[4] : 256};
	case 4: /* sixteen */
		return (struct extent){get_be64(&cdb[2]), get_be32(&cdb[10])};
	case 5: /* twelve */
		return (struct extent){get_be32(&cdb[2]), get_be32(&cdb[6])};
	default: /* ten */
		return (struct extent){get_be32(&cdb[2]), get_be16(&cdb[7])};
	}
}

static bool six_bytes(const uint8_t *cdb)
{
	return cdb[0] >> 5 == 0;
}

static bool extent_ok(struct scsi_request *request, const struct extent *extent)
{
	if (range_fits(extent->lba, extent->blocks, request->unit->disk->blocks))
		return true;
	scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_LBA_OUT_OF_RANGE);
	return false;
}

/* ---- reads, writes, flushes ---- */

static void disk_done(struct disk_request *disk, int result)
{
	struct scsi_request *request = CONTAINER_OF(disk, struct scsi_request, disk);

	request->on_disk = false;
	if (result < 0) {
		host_failed(request, result);
		return;
	}
	request->transferred = disk->len;
	scsi_good(request);
}

static void to_disk(struct scsi_request *request)
{
	request->on_disk = true;
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

static void transfer(struct scsi_request *request, enum disk_op op)
{
	const struct disk *disk = request->unit->disk;
	struct extent extent = extent_of(request->cdb);
	bool flags = !six_bytes(request->cdb);
	uint64_t len = (uint64_t)extent.blocks * disk->block_bytes;

	if (flags && (request->cdb[1] & SCSI_RW_PROTECT_MASK)) {
		scsi_invalid_field(request);
		return;
	}
	if (!extent_ok(request, &extent))
		return;
	if (op == DISK_WRITE && disk->readonly) {
		scsi_check(request, SCSI_SENSE_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
		return;
	}
	if (len > DISK_MAX_TRANSFER || len > request->data_len) {
		/* Half a transfer would be a silent one. */
		scsi_invalid_field(request);
		return;
	}
	if (len == 0) {
		scsi_good(request);
		return;
	}
	cut_buffer(request, (uint32_t)len);
	request->disk.op = op;
	request->disk.fua = op == DISK_WRITE && flags && (request->cdb[1] & SCSI_RW_FUA);
	request->disk.offset = extent.lba * disk->block_bytes;
	request->disk.len = (uint32_t)len;
	request->disk.iov = request->iov;
	request->disk.iovs = request->iovs;
	request->disk.done = disk_done;
	to_disk(request);
}

void scsi_read(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	transfer(request, DISK_READ);
}

void scsi_write(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	transfer(request, DISK_WRITE);
}

static void flush(struct scsi_request *request)
{
	request->disk.op = DISK_FLUSH;
	request->disk.fua = false;
	request->disk.offset = 0;
	request->disk.len = 0;
	request->disk.iov = NULL;
	request->disk.iovs = 0;
	request->disk.done = disk_done;
	to_disk(request);
}

/* The whole cache, whatever the range. IMMED is not used: the guest waits a little longer, and knows more. */
void scsi_synchronize_cache(struct scsi_controller *controller, struct scsi_request *request)
{
	struct extent extent = extent_of(request->cdb);

	(void)controller;
	if (extent_ok(request, &extent))
		flush(request);
}

void scsi_start_stop_unit(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t what = request->cdb[4];

	(void)controller;
	if (what & (SCSI_START_STOP_LOEJ | SCSI_START_STOP_POWER_MASK))
		scsi_invalid_field(request);
	else if (what & (SCSI_START_STOP_START | SCSI_START_STOP_NO_FLUSH))
		scsi_good(request);
	else
		flush(request);
}

/* ---- VERIFY ---- */

static void verify_step(struct scsi_request *request);

/* The running VERIFY leaves; the next begins. */
static void verify_leave(struct scsi_request *request)
{
	struct scsi_lun *unit = request->unit;

	assert(unit->verify_head == request);
	unit->verify_head = request->next;
	if (!unit->verify_head)
		unit->verify_tail = NULL;
	else
		verify_step(unit->verify_head);
}

/* Compare the next @len bytes of the initiator's buffer, which it has, and use them up. */
static bool compare(struct scsi_request *request, const uint8_t *with, size_t len)
{
	while (len > 0) {
		struct iovec *iov = request->iov;
		size_t step = MIN(len, iov->iov_len);

		if (memcmp(with, iov->iov_base, step))
			return false;
		with += step;
		len -= step;
		iov->iov_base = (uint8_t *)iov->iov_base + step;
		iov->iov_len -= step;
		if (iov->iov_len == 0) {
			request->iov++;
			request->iovs--;
		}
	}
	return true;
}

static void verify_done(struct disk_request *disk, int result)
{
	struct scsi_request *request = CONTAINER_OF(disk, struct scsi_request, disk);

	request->on_disk = false;
	if (result < 0) {
		verify_leave(request);
		host_failed(request, result);
	} else if ((request->cdb[1] & SCSI_VERIFY_BYTCHK) && !compare(request, request->unit->scratch, disk->len)) {
		verify_leave(request);
		scsi_check(request, SCSI_SENSE_MISCOMPARE, SCSI_ASC_MISCOMPARE_DURING_VERIFY);
	} else {
		request->verify_at += disk->len;
		request->verify_left -= disk->len;
		verify_step(request);
	}
}

static void verify_step(struct scsi_request *request)
{
	if (request->abort) {
		verify_leave(request);
		scsi_end(request, SCSI_ABORTED);
		return;
	}
	if (request->verify_left == 0) {
		verify_leave(request);
		request->transferred = request->wanted;
		scsi_good(request);
		return;
	}
	request->disk.op = DISK_READ;
	request->disk.fua = false;
	request->disk.offset = request->verify_at;
	request->disk.len = (uint32_t)MIN(request->verify_left, (uint64_t)SCSI_VERIFY_CHUNK);
	request->verify_iov = (struct iovec){.iov_base = request->unit->scratch, .iov_len = request->disk.len};
	request->disk.iov = &request->verify_iov;
	request->disk.iovs = 1;
	request->disk.done = verify_done;
	to_disk(request);
}

void scsi_verify_10(struct scsi_controller *controller, struct scsi_request *request)
{
	struct scsi_lun *unit = request->unit;
	struct extent extent = extent_of(request->cdb);
	uint8_t check = request->cdb[1] & SCSI_VERIFY_BYTCHK;
	uint64_t len = (uint64_t)extent.blocks * unit->disk->block_bytes;

	(void)controller;
	request->wanted = check ? (uint32_t)len : 0;
	if ((request->cdb[1] & SCSI_RW_PROTECT_MASK) || (check && check != SCSI_VERIFY_BYTCHK_1) ||
	    request->wanted > request->data_len) {
		scsi_invalid_field(request);
		return;
	}
	if (!extent_ok(request, &extent))
		return;
	request->verify_at = extent.lba * unit->disk->block_bytes;
	request->verify_left = len;
	request->next = NULL;
	if (unit->verify_tail)
		unit->verify_tail->next = request;
	else
		unit->verify_head = request;
	unit->verify_tail = request;
	if (unit->verify_head == request)
		verify_step(request);
}

/* ---- abort ---- */

static bool verify_unqueue(struct scsi_request *request)
{
	struct scsi_lun *unit = request->unit;

	for (struct scsi_request *before = unit->verify_head; before; before = before->next) {
		if (before->next != request)
			continue;
		before->next = request->next;
		if (unit->verify_tail == request)
			unit->verify_tail = before;
		return true;
	}
	return false;
}

void scsi_block_abort(struct scsi_request *request)
{
	request->abort = true;
	if (request->on_disk) {
		if (!disk_cancel(request->unit->disk, &request->disk))
			return;
		request->on_disk = false;
		if (request->unit->verify_head == request)
			verify_leave(request);
	} else if (!verify_unqueue(request)) {
		return;
	}
	scsi_end(request, SCSI_ABORTED);
}

/* ---- capacity ---- */

void scsi_read_capacity_10(struct scsi_controller *controller, struct scsi_request *request)
{
	const struct disk *disk = request->unit->disk;
	uint8_t data[SCSI_READ_CAPACITY_10_LEN];

	(void)controller;
	if (get_be32(&request->cdb[2]) != 0 && !(request->cdb[8] & SCSI_READ_CAPACITY_10_PMI)) {
		scsi_invalid_field(request);
		return;
	}
	put_be32(&data[0], (uint32_t)MIN(disk->blocks - 1, (uint64_t)UINT32_MAX));
	put_be32(&data[4], disk->block_bytes);
	scsi_data_in(request, data, sizeof(data), sizeof(data));
}

static void read_capacity_16(struct scsi_request *request)
{
	const struct disk *disk = request->unit->disk;
	uint8_t data[SCSI_READ_CAPACITY_16_LEN] = {0};
	uint8_t exponent = 0;

	if (get_be64(&request->cdb[2]) != 0 && !(request->cdb[14] & SCSI_READ_CAPACITY_16_PMI)) {
		scsi_invalid_field(request);
		return;
	}
	while (exponent < 15 && disk->block_bytes << (exponent + 1) <= disk->physical_block_bytes)
		exponent++;
	put_be64(&data[0], disk->blocks - 1);
	put_be32(&data[8], disk->block_bytes);
	data[13] = exponent;
	scsi_data_in(request, data, sizeof(data), get_be32(&request->cdb[10]));
}

void scsi_service_action_in_16(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	if ((request->cdb[1] & SCSI_SERVICE_ACTION_MASK) == SCSI_SAI_READ_CAPACITY_16)
		read_capacity_16(request);
	else
		scsi_invalid_field(request);
}
