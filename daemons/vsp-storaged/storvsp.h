/* SPDX-License-Identifier: Apache-2.0 */
/* The storage VSP: a SCSI controller behind a VMBus channel. */
#ifndef STORAGED_STORVSP_H
#define STORAGED_STORVSP_H

#include "engine.h"
#include "scsi.h"
#include "vsp/vsp.h"

#define STORVSP_STATE_VERSION 1u		/* of what a successor finds in the channel's state block */
#define STORVSP_MAX_TRANSFER  DISK_MAX_TRANSFER /* bytes, told to the guest */

/* A controller as it is offered; the argument of vsp_offer(). */
struct storvsp {
	struct scsi_controller scsi;
	struct engine *engine;	     /* what the disks submit to; NULL: nothing to flush (tests) */
	struct vsp_channel *channel; /* open now, or NULL */
	struct log_limit complaints, greetings;
};

extern const struct vsp_device_ops storvsp_ops;

/**
 * storvsp_bus_changed - tell the guest, if it listens, that LUNs came or went.
 * Return: 0; -EAGAIN (the ring is full: again later); -ENOTCONN (no guest is ready: it will find out by itself).
 */
int storvsp_bus_changed(struct storvsp *storvsp);

#endif
