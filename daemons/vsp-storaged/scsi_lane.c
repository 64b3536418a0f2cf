/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane of a LUN.
 *
 * Theory of operation: a command of several steps, or one that needs the LUN's scratch buffers, takes a place in the
 * lane and runs when it is first; the others wait in order. Reads, writes and flushes go past it. One that must not
 * have a write between two of its steps (COMPARE AND WRITE) says that it wants to be alone: from the moment that it is
 * in the lane further writes take a place behind it, and it begins when those before it are done. A place is given
 * back by scsi_end(), whatever the outcome.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi_command.h"

static void lane_io_done(struct disk_request *disk, int result)
{
	struct scsi_request *request = CONTAINER_OF(disk, struct scsi_request, disk);

	request->on_disk = false;
	if (result == 0)
		scsi_host_did(request);
	if (result < 0 && result != -EOPNOTSUPP)
		scsi_host_failed(request, result);
	else if (request->abort)
		scsi_end(request, SCSI_ABORTED);
	else
		request->step(request, result);
}

void scsi_lane_submit(struct scsi_request *request)
{
	request->on_disk = true;
	request->disk.done = lane_io_done;
	disk_submit(request->unit->disk, &request->disk);
}

void scsi_lane_io(struct scsi_request *request, enum disk_op op, uint64_t offset, uint64_t len, void *buffer)
{
	request->piece = (struct iovec){.iov_base = buffer, .iov_len = buffer ? len : 0};
	request->disk.op = op;
	request->disk.fua = op == DISK_WRITE && scsi_fua(request);
	request->disk.offset = offset;
	request->disk.len = len;
	request->disk.iov = &request->piece;
	request->disk.iovs = buffer ? 1 : 0;
	scsi_lane_submit(request);
}

void scsi_lane_go_on(struct scsi_lun *lun)
{
	struct scsi_request *first;

	/* A step that ends its request comes here again: the next one's turn is ours to give, not one level deeper. */
	if (lun->lane_moving)
		return;
	lun->lane_moving = true;
	while ((first = lun->lane_head) && !first->running && !(first->alone && lun->writers > 0)) {
		first->running = true;
		first->step(first, 0);
	}
	lun->lane_moving = false;
}

static void enter(struct scsi_request *request, void (*step)(struct scsi_request *request, int result), bool alone)
{
	struct scsi_lun *lun = request->unit;

	request->place = SCSI_IN_LANE;
	request->step = step;
	request->phase = 0;
	request->running = false;
	request->alone = alone;
	lun->alone += alone;
	request->next = NULL;
	if (lun->lane_tail)
		lun->lane_tail->next = request;
	else
		lun->lane_head = request;
	lun->lane_tail = request;
	scsi_lane_go_on(lun);
}

void scsi_lane_enter(struct scsi_request *request, void (*step)(struct scsi_request *request, int result))
{
	enter(request, step, false);
}

void scsi_lane_enter_alone(struct scsi_request *request, void (*step)(struct scsi_request *request, int result))
{
	enter(request, step, true);
}

static void unlink_from_lane(struct scsi_lun *lun, struct scsi_request *request)
{
	struct scsi_request *before = NULL;

	for (struct scsi_request *at = lun->lane_head; at != request; at = at->next)
		before = at;
	*(before ? &before->next : &lun->lane_head) = request->next;
	if (lun->lane_tail == request)
		lun->lane_tail = before;
	lun->alone -= request->alone;
}

bool scsi_lane_leave(struct scsi_request *request)
{
	enum scsi_place place = request->place;
	struct scsi_lun *lun = request->unit;

	if (place == SCSI_NOWHERE)
		return false;
	request->place = SCSI_NOWHERE;
	if (place == SCSI_IN_LANE) {
		unlink_from_lane(lun, request);
		return true;
	}
	assert(lun->writers > 0);
	lun->writers--;
	return lun->alone > 0;
}

void scsi_data_out(struct scsi_request *request, void *to, size_t len)
{
	uint8_t *at = to;

	while (len > 0) {
		struct iovec *iov = request->iov;
		size_t step = MIN(len, iov->iov_len);

		memcpy(at, iov->iov_base, step);
		at += step;
		len -= step;
		iov->iov_base = (uint8_t *)iov->iov_base + step;
		iov->iov_len -= step;
		if (iov->iov_len == 0) {
			request->iov++;
			request->iovs--;
		}
	}
}
