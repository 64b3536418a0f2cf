/* SPDX-License-Identifier: Apache-2.0 */
#include "changes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

struct changes {
	const struct vsp *vsp;
	struct storaged *storaged;
	struct loop_source *tick;
	bool untold[SETTINGS_CONTROLLERS_MAX]; /* its guest, for want of room */

	/* a detach, a power cut or a change of a medium under way */
	struct storaged_controller *controller;
	struct scsi_lun *lun; /* NULL: there is none */
	bool cutting;
	uint64_t deadline_ns, quiet_ns;
	uint32_t commands;
	uint32_t timeout_ms;
	struct storaged_medium medium; /* that is to be in it; no disk: it is a detach */
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

/* ---- the guest is told ---- */

/* Return: whether it need not be tried again. */
static bool tell(struct changes *changes, struct storaged_controller *controller)
{
	bool *untold = &changes->untold[controller - changes->storaged->controller];

	*untold = storvsp_bus_changed(&controller->storvsp) == -EAGAIN;
	if (*untold)
		loop_arm(changes->tick, CHANGES_TICK_NS);
	return !*untold;
}

static void tell_again(struct changes *changes)
{
	for (size_t i = 0; i < changes->storaged->controllers; i++)
		if (changes->untold[i])
			(void)tell(changes, &changes->storaged->controller[i]);
}

/* ---- detach ---- */

static void change_end(struct changes *changes, const struct err *err)
{
	changes->lun = NULL;
	changes->done(changes->arg, err);
}

static void detach_give_up(struct changes *changes)
{
	struct scsi_lun *lun = changes->lun;
	struct err err;

	lun->presence = SCSI_PRESENT;
	(void)tell(changes, changes->controller);
	err_set(&err, -ETIMEDOUT,
		"disk %s: the guest %s within %u.%u s: it stays; stop its use in the guest, or force it out",
		lun->alias, lun->missed ? "was told to let go of it, and still used it" : "did not let go of it",
		changes->timeout_ms / 1000, changes->timeout_ms % 1000 / 100);
	log_warn(lun->object, "%s", err.text);
	change_end(changes, &err);
}

/* Whether the guest does not need it any more. */
static bool has_let_go(struct changes *changes, uint64_t now_ns)
{
	const struct scsi_lun *lun = changes->lun;

	if (!storvsp_guest_listens(&changes->controller->storvsp))
		return true;
	if (!lun->missed || lun->commands != changes->commands ||
	    storvsp_in_flight(&changes->controller->storvsp, lun)) {
		changes->commands = lun->commands;
		changes->quiet_ns = now_ns;
		return false;
	}
	return now_ns - changes->quiet_ns >= CHANGES_QUIET_NS;
}

static void detach_go(struct changes *changes)
{
	static const struct err none;
	struct scsi_lun *lun = changes->lun;
	uint64_t now_ns = clock_now_ns();

	if (lun->presence == SCSI_LEAVING) {
		if (has_let_go(changes, now_ns)) {
			lun->presence = SCSI_GONE;
		} else if (now_ns >= changes->deadline_ns) {
			detach_give_up(changes);
			return;
		}
	}
	if (lun->presence == SCSI_GONE && !storvsp_in_flight(&changes->controller->storvsp, lun)) {
		storaged_detach(changes->storaged, changes->controller, lun);
		change_end(changes, &none);
		return;
	}
	loop_arm(changes->tick, CHANGES_TICK_NS);
}

static void detach_begin(struct changes *changes, struct scsi_lun *lun, uint32_t timeout_ms)
{
	changes->lun = lun;
	changes->timeout_ms = timeout_ms;
	changes->quiet_ns = clock_now_ns();
	changes->deadline_ns = changes->quiet_ns + timeout_ms * NS_PER_MS;
	changes->commands = lun->commands;
	lun->missed = false;
	lun->presence = timeout_ms ? SCSI_LEAVING : SCSI_GONE;
	(void)tell(changes, changes->controller);
	if (!timeout_ms) {
		storvsp_abort(&changes->controller->storvsp, lun);
		engine_flush(changes->storaged->engine);
	}
	detach_go(changes);
}

/* ---- media ---- */

static void medium_go(struct changes *changes)
{
	static const struct err none;
	struct scsi_lun *lun = changes->lun;

	if (storvsp_in_flight(&changes->controller->storvsp, lun)) {
		loop_arm(changes->tick, CHANGES_TICK_NS);
		return;
	}
	storaged_set_medium(changes->storaged, changes->controller, lun, &changes->medium);
	if (lun->disk->blocks > 0)
		log_info(lun->object, "another medium: %" PRIu64 " blocks of %u bytes", lun->disk->blocks,
			 lun->disk->block_bytes);
	else
		log_info(lun->object, "no medium is in it any more");
	change_end(changes, &none);
}

static int check_drive(struct scsi_lun *lun, bool force, struct err *err)
{
	if (lun->type != SCSI_DVD)
		return err_set(err, -EINVAL, "disk %s: it is no CD or DVD drive: detach it, and attach another one",
			       lun->alias);
	if (force || !scsi_tray_locked(lun) || !scsi_medium(lun))
		return 0;
	lun->eject_wanted = true;
	return err_set(
		err, -EBUSY,
		"disk %s: the guest has locked its tray, as it does while the medium is in use: it has been asked "
		"to eject: try again, unmount it there, or use --force",
		lun->alias);
}

/* @fd is taken over. Return: 1: it is under way, and ends by itself; 0: it is so already; a negative errno with a line.
 */
static int medium_begin(struct changes *changes, struct scsi_lun *lun, const struct change_settings *change, int fd,
			struct err *err)
{
	int r = check_drive(lun, change->force, err);

	if (r < 0 || scsi_lun_has_medium(lun, change->lun.medium)) {
		fd_close(&fd);
		return r;
	}
	r = storaged_open_medium(changes->storaged, &change->lun, fd, &changes->medium, err);
	if (r < 0)
		return r;
	changes->lun = lun;
	lun->changing = true;
	return 1;
}

static void on_tick(void *arg)
{
	struct changes *changes = arg;

	/* A guest whose channels are closed for a successor has not let go of anything: that is asked the same. */
	if (vsp_hands_over(changes->vsp))
		return;
	tell_again(changes);
	if (changes->lun && changes->medium.disk)
		medium_go(changes);
	else if (changes->lun && !changes->cutting)
		detach_go(changes);
}

/* ---- the others ---- */

static int attach(struct changes *changes, struct storaged_controller *controller, const struct lun_settings *settings,
		  struct storaged_fds fds, struct err *err)
{
	const struct scsi_lun *there = storaged_find_lun(controller, settings->target, settings->lun);
	int r = 0;

	/* of the configuration that a predecessor did not live to say that it had */
	if (there && !strcmp(there->alias, settings->alias) && there->disk->block_bytes == settings->block_bytes)
		storaged_close_fds(changes->storaged, &fds);
	else
		r = storaged_attach(changes->storaged, controller, settings, fds, err);
	if (r == 0)
		(void)tell(changes, controller);
	return r;
}

/* A guest that uses the disk hears of its size with its next command; one that does not is made to look. */
static int resize(struct changes *changes, struct storaged_controller *controller, struct scsi_lun *lun,
		  const struct change_settings *change, struct err *err)
{
	struct disk *disk = lun->disk;
	uint64_t before = disk->blocks * disk->block_bytes;
	int r;

	if (change->bytes % disk->block_bytes)
		return err_set(err, -EINVAL, "disk %s: %" PRIu64 " bytes are not a multiple of its blocks of %u",
			       lun->alias, change->bytes, disk->block_bytes);
	if (change->bytes && change->bytes < before && !change->shrink)
		return err_set(err, -EINVAL,
			       "disk %s: it has %" PRIu64 " bytes: what is beyond %" PRIu64
			       " would be lost: say --shrink if it may be",
			       lun->alias, before, change->bytes);
	if (change->bytes && disk->readonly)
		return err_set(err, -EROFS, "disk %s: it is read-only", lun->alias);
	if (lun->type == SCSI_DVD)
		return err_set(err, -EINVAL, "disk %s: it is a drive: change its medium instead", lun->alias);
	r = disk_resize(disk, change->bytes);
	if (r < 0)
		return err_set(err, r, "disk %s: it cannot be made of %" PRIu64 " bytes: %s", lun->alias, change->bytes,
			       r == -ENOSPC ? "what is behind it is smaller" : strerror(-r));
	log_info(lun->object, "%" PRIu64 " blocks of %u bytes now", disk->blocks, disk->block_bytes);
	scsi_lun_works(lun);
	(void)tell(changes, controller);
	return 0;
}

/* ---- set ---- */

static void on_cut(void *arg, const struct fault_cut *cut)
{
	struct changes *changes = arg;
	struct scsi_lun *lun = changes->lun;
	struct err err = {0};

	if (cut->error)
		err_set(&err, cut->error, "disk %s: its power cannot be cut: %s", lun->alias, strerror(-cut->error));
	else
		log_warn(lun->object, "its power is off; %zu blocks that were not flushed are lost", cut->blocks);
	if (cut->failed)
		log_error(lun->object, "%zu of them could not be taken back, and count as written", cut->failed);
	changes->cutting = false;
	change_end(changes, &err);
}

/* Return: whether it goes on. */
static bool set(struct changes *changes, struct scsi_lun *lun, const struct change_settings *change, struct err *err)
{
	bool was_off = layer_fault_is_off(layers_find(lun->disk, &layer_fault));
	struct disk *fault;

	if (storaged_set(changes->storaged, lun, &change->lun, err) < 0)
		return false;
	fault = layers_find(lun->disk, &layer_fault);
	if (was_off && !layer_fault_is_off(fault))
		scsi_lun_reset(lun);
	if (was_off || !change->lun.fault.power_off)
		return false;
	changes->lun = lun;
	changes->cutting = true;
	return true;
}

static int missing(const struct change_settings *change, struct err *err)
{
	return err_set(err, -ENOENT, "target %u, LUN %u: there is no such disk", change->lun.target, change->lun.lun);
}

void changes_begin(struct changes *changes, const struct change_settings *change, struct storaged_fds fds,
		   void (*done)(void *arg, const struct err *err), void *arg)
{
	struct storaged_controller *controller = storaged_find(changes->storaged, &change->instance);
	struct scsi_lun *lun = NULL;
	struct err err = {0};
	int r;

	if (controller)
		lun = storaged_find_lun(controller, change->lun.target, change->lun.lun);
	if (changes->lun) {
		err_set(&err, -EBUSY, "disk %s is being changed: try again", changes->lun->alias);
	} else if (!controller) {
		err_set(&err, -ENOENT, "there is no such disk controller");
	} else if (change->kind == CHANGE_ATTACH) {
		(void)attach(changes, controller, &change->lun, fds, &err);
		fds = (struct storaged_fds){-1, -1};
	} else if (!lun) {
		(void)missing(change, &err);
	} else if (change->kind == CHANGE_SET) {
		changes->done = done;
		changes->arg = arg;
		if (set(changes, lun, change, &err)) {
			layer_fault_when_cut(layers_find(lun->disk, &layer_fault), on_cut, changes);
			return;
		}
	} else if (change->kind == CHANGE_RESIZE) {
		(void)resize(changes, controller, lun, change, &err);
	} else {
		changes->controller = controller;
		changes->done = done;
		changes->arg = arg;
		if (change->kind == CHANGE_DETACH) {
			detach_begin(changes, lun, change->timeout_ms);
			return;
		}
		r = medium_begin(changes, lun, change, fds.image, &err);
		fds.image = -1;
		if (r > 0) {
			medium_go(changes);
			return;
		}
	}
	storaged_close_fds(changes->storaged, &fds);
	if (err.code)
		log_warn(NULL, "%s", err.text);
	done(arg, &err);
}

int changes_new(struct loop *loop, const struct vsp *vsp, struct storaged *storaged, struct changes **ret_changes)
{
	struct changes *changes = calloc(1, sizeof(*changes));
	int r = changes ? loop_add_timer(loop, on_tick, changes, &changes->tick) : -ENOMEM;

	if (r < 0) {
		free(changes);
		return r;
	}
	changes->vsp = vsp;
	changes->storaged = storaged;
	*ret_changes = changes;
	return 0;
}

void changes_free(struct changes *changes)
{
	struct err err;

	if (!changes)
		return;
	err_set(&err, -ECANCELED, "vsp-storaged is ending");
	if (changes->cutting)
		layer_fault_when_cut(layers_find(changes->lun->disk, &layer_fault), NULL, NULL);
	if (changes->medium.disk)
		storaged_close_medium(changes->storaged, &changes->medium);
	if (changes->lun)
		change_end(changes, &err);
	loop_remove(&changes->tick);
	free(changes);
}
