/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that come, go and change their size while the guest runs.
 *
 * Theory of operation: one change at a time. What there is to do with a LUN is done here; the guest is told by a packet
 * that it does not answer (storvsp_bus_changed()), which goes out as soon as its ring has room.
 *
 *   ATTACH   the disk is opened and is there; the guest is told, and finds it. Asked for a disk that is there (of a
 *            predecessor, which died before it could answer), the guest is told once more.
 *   RESIZE   the image, then the LUN; what the initiator hears of that is the LUN's own business (scsi.h).
 *   SET      the layers change (layers.h), for what comes from then on; a power cut ends when what it takes back is
 *            written. When the power comes back, the initiator hears of a reset.
 *   DETACH   PRESENT --> LEAVING --> GONE --> closed
 *            LEAVING: who looks whether the LUN is there finds that it is not, who uses it still can; the guest is
 * told, looks, and takes its device away. It says nothing more then: once it has looked, no request is under way and
 * none has come for CHANGES_QUIET_NS, it has let go. If it has not in time, the LUN is PRESENT again and the guest is
 * told. A guest without a driver that listens has nothing to let go of. GONE: requests get "no such LUN"; those that
 * the host has not begun are ended; what it has begun uses the guest's memory, and is waited for. Only then the image
 * is closed, and with it go its locks.
 *
 *   MEDIUM   a drive that the guest has locked refuses, and asks the guest to eject (scsi_medium.c). Else its tray is
 *            open, for who uses it there is no medium any more; once nothing is in flight, the other medium is in it
 * and the tray closed. What the initiator hears of that is the LUN's own business.
 *
 * Limits: CHANGES_TICK_NS between two looks. A host that never finishes a request keeps the change from its end.
 */
#ifndef STORAGED_CHANGES_H
#define STORAGED_CHANGES_H

#include "storaged.h"

#define CHANGES_TICK_NS	 (10 * NS_PER_MS)
#define CHANGES_QUIET_NS (300 * NS_PER_MS)

struct changes;

/** changes_new - @vsp and @storaged outlive it. When another process is about to serve, what is under way stands still.
 * Return: 0 or a negative errno. */
int changes_new(struct loop *loop, const struct vsp *vsp, struct storaged *storaged, struct changes **ret_changes);

/** changes_free - a change under way is done with -ECANCELED: who takes over is asked again. NULL is allowed. */
void changes_free(struct changes *changes);

/**
 * changes_begin - make a change.
 * @fds:  of ATTACH and MEDIUM; taken over. Else none.
 * @done: called once, perhaps before this returns: err->code is 0; -ENOENT (no such controller or LUN), -EEXIST, -EBUSY
 * (one is under way; the guest has locked the drive), -ETIMEDOUT (the guest keeps the disk), what the disk refuses;
 * with a line, and nothing has changed; but of SET that has no memory, some of it may have.
 */
void changes_begin(struct changes *changes, const struct change_settings *change, struct storaged_fds fds,
		   void (*done)(void *arg, const struct err *err), void *arg);

#endif
