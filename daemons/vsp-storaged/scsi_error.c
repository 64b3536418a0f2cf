/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error state of a LUN: what the host has refused it, until that works again.
 *
 * Theory of operation: a request that the host refuses puts the LUN into the state that its error stands for, unless it
 * is in a worse one; what only concerns the request (no memory, cut short) does not count. The last such request is
 * remembered. The state ends when a request of the same kind that touches the same place has gone well; or any that
 * reads, or writes, as that one did, SCSI_ERROR_QUIET_NS after the host has refused the last one: the initiator may
 * never come back to that place. It ends also with the medium, and when the host says that the disk has another size.
 *
 * Limits: a successor does not know of it before the host refuses something again. Where an initiator gives up, the
 * state stays as it was last seen.
 */
#include <errno.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "scsi_command.h"

#define OF_THE_REQUEST SCSI_ERROR_NONE

static const struct {
	int error;
	enum scsi_error_kind kind;
} kinds[] = {
	{-ENOSPC, SCSI_ERROR_NO_SPACE}, {-EDQUOT, SCSI_ERROR_NO_SPACE}, {-EFBIG, SCSI_ERROR_NO_SPACE},
	{-EROFS, SCSI_ERROR_READ_ONLY}, {-EPERM, SCSI_ERROR_READ_ONLY}, {-ENODATA, SCSI_ERROR_SHRUNK},
	{-ENODEV, SCSI_ERROR_GONE},	{-ENXIO, SCSI_ERROR_GONE},	{-EBADF, SCSI_ERROR_GONE},
	{-ENOMEM, OF_THE_REQUEST},	{-EAGAIN, OF_THE_REQUEST},	{-ECANCELED, OF_THE_REQUEST},
	{-EOPNOTSUPP, OF_THE_REQUEST},
};

static enum scsi_error_kind kind_of(int error)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].error == error)
			return kinds[i].kind;
	return SCSI_ERROR_IO;
}

static void set(struct scsi_lun *lun, enum scsi_error_kind kind)
{
	if (lun->error.kind == kind)
		return;
	lun->error.kind = kind;
	if (lun->error_changed)
		lun->error_changed(lun->error_arg);
}

void scsi_error_met(struct scsi_request *request, int error)
{
	struct scsi_error *state = &request->unit->error;
	enum scsi_error_kind kind = kind_of(error);

	if (kind == SCSI_ERROR_NONE || kind < state->kind)
		return;
	state->op = request->disk.op;
	state->offset = request->disk.offset;
	state->len = request->disk.len;
	state->met_ns = clock_now_ns();
	set(request->unit, kind);
}

void scsi_error_retry(const struct scsi_request *request)
{
	const struct scsi_error *state = &request->unit->error;
	const struct disk_request *disk = &request->disk;
	bool same = disk->op == state->op && (disk->op == DISK_FLUSH || (disk->offset < state->offset + state->len &&
									 state->offset < disk->offset + disk->len));

	if (!same && ((disk->op == DISK_READ) != (state->op == DISK_READ) ||
		      clock_now_ns() - state->met_ns < SCSI_ERROR_QUIET_NS))
		return;
	scsi_lun_works(request->unit);
}

void scsi_lun_lost(struct scsi_lun *lun)
{
	lun->error = (struct scsi_error){.kind = lun->error.kind, .op = DISK_READ, .met_ns = clock_now_ns()};
	set(lun, SCSI_ERROR_GONE);
}

void scsi_lun_works(struct scsi_lun *lun)
{
	if (lun->error.kind == SCSI_ERROR_NONE)
		return;
	log_info(lun->object, "it works again");
	set(lun, SCSI_ERROR_NONE);
}
