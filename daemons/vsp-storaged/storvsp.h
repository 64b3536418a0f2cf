/* SPDX-License-Identifier: Apache-2.0 */
/* The storage VSP: a SCSI controller behind a VMBus channel. */
#ifndef STORAGED_STORVSP_H
#define STORAGED_STORVSP_H

#include "engine.h"
#include "scsi.h"
#include "settings.h"
#include "vsp/vsp.h"

#define STORVSP_ADDRESSES     ((SETTINGS_TARGET_MAX + 1u) * SETTINGS_LUNS_MAX) /* where a controller's LUNs can be */
#define STORVSP_STATE_VERSION 3u		/* of what a successor finds in the channel's state block */
#define STORVSP_MAX_TRANSFER  DISK_MAX_TRANSFER /* bytes, told to the guest */

#define STORVSP_CHANNELS_MAX 1920u /* of one VM, of its 2,047: the rest is for other devices */

struct storvsp_request;

/* First in, first out. */
struct storvsp_list {
	struct storvsp_request *head, *tail;
};

/* A controller as it is offered; the argument of vsp_offer(), for its sub-channels too. */
struct storvsp {
	struct scsi_controller scsi;
	struct engine *engine;	     /* what the disks submit to; NULL: nothing to flush (tests) */
	struct vsp_channel *channel; /* the primary one, open now, or NULL */
	uint32_t sub_channels;	     /* that are offered: subchannel_index 1 to this */
	struct storvsp_list srbs;    /* of all its channels: given to SCSI, not done */
	struct storvsp_list resets;  /* waiting for older SRBs */
	uint64_t sequence;
	uint32_t lun_sequence[STORVSP_ADDRESSES]; /* where no LUN is: of the last one that was there */
	struct log_limit complaints, greetings;
	void (*units_changed)(void *arg); /* the state of a LUN has; NULL: nobody wants to know */
	void *units_arg;
};

/* Of the primary channel, and of the others. */
extern const struct vsp_device_ops storvsp_ops, storvsp_sub_ops;

/**
 * storvsp_sub_channels - how many sub-channels each of @controllers (at least 1) controllers of a VM with @cpus vCPUs
 * offers: one channel for each vCPU, but no more than STORVSP_CHANNELS_MAX divided by the controllers, the primary one
 * included.
 */
uint32_t storvsp_sub_channels(size_t controllers, uint32_t cpus);

/**
 * storvsp_bus_changed - tell the guest, if it listens, that LUNs came or went.
 * Return: 0; -EAGAIN (the ring is full: again later); -ENOTCONN (no guest is ready: it will find out by itself).
 */
int storvsp_bus_changed(struct storvsp *storvsp);

/** storvsp_lun_comes, storvsp_lun_goes - @lun is there from now on, or not any more: what is kept of the disk that was
 * at its address before is not taken for its own, by a successor either. */
void storvsp_lun_comes(const struct storvsp *storvsp, struct scsi_lun *lun);
void storvsp_lun_goes(struct storvsp *storvsp, struct scsi_lun *lun);

/** storvsp_guest_listens - whether there is a guest that storvsp_bus_changed() would tell. */
bool storvsp_guest_listens(const struct storvsp *storvsp);

/** storvsp_units_changed - the host has changed the state of a LUN, or LUNs have come or gone: who wants to know is
 * told.
 */
void storvsp_units_changed(const struct storvsp *storvsp);

/** storvsp_in_flight - whether a request is under way that @lun has. */
bool storvsp_in_flight(const struct storvsp *storvsp, const struct scsi_lun *lun);

/** storvsp_abort - end the requests of @lun that the host has not begun. */
void storvsp_abort(struct storvsp *storvsp, const struct scsi_lun *lun);

/** storvsp_abort_fenced - the same of those that reservations do not allow any more. */
void storvsp_abort_fenced(struct storvsp *storvsp, const struct scsi_lun *lun);

#endif
