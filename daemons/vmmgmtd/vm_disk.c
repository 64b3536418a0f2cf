/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that come, go and change their size, their limits, their faults, their medium.
 *
 * Theory of operation: of a VM that is off only the definition changes. Of one that runs, what runs: the image is
 * opened here, the worker keeps it for each vsp-storaged and hands it on. Which disks the VM has, the worker knows;
 * definition.xml in the runtime folder has to say the same. So before the worker is asked, the plan is written beside
 * it: what runs then, and what is kept then if that is to change too. After the worker's answer first the kept
 * definition is replaced, then the plan becomes definition.xml, in one step; or it is dropped. If this process ends, or
 * the worker's connection, before all of that is done, vm_disks_settle() asks the worker which of both it is, and does
 * the rest.
 *
 * Limits: one change at a time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "reservations.h"
#include "vm_int.h"

struct vm_change {
	struct vm *vm;
	struct domain then; /* what runs then; xml is NULL: as now */
	struct domain kept; /* what is kept then; xml is NULL: as it follows */
	bool keeps;	    /* what is kept changes, too */
	char target[sizeof(((struct domain_disk *)0)->target)];
	vm_disk_fn done;
	void *arg;
};

static void change_free(struct vm_change *change)
{
	domain_done(&change->then);
	domain_done(&change->kept);
	free(change);
}

static void cleanup_change(struct vm_change **change)
{
	if (*change)
		change_free(*change);
}

static struct vm_change *change_new(struct vm *vm, vm_disk_fn done, void *arg)
{
	struct vm_change *change = calloc(1, sizeof(*change));

	if (change)
		*change = (struct vm_change){.vm = vm, .done = done, .arg = arg};
	return change;
}

static void move(struct domain *to, struct domain *from)
{
	domain_done(to);
	*to = *from;
	*from = (struct domain){0};
}

/* ---- what is on disk ---- */

/* The change is made: the definitions follow. */
static void made(struct vm *vm, struct vm_change *change)
{
	struct err err = {0};
	int r = 0;

	if (change->keeps && vm->persistent)
		r = vm->env->keep(vm, (change->kept.xml ? &change->kept : &change->then)->xml, &err, vm->env->arg);
	if (r < 0)
		log_error(vm->domain.name, "disk %s: it runs so, but the definition could not be kept: %s",
			  change->target, err.text);
	r = runtime_plan_made(vm->env->base, vm->domain.uuid);
	if (r < 0)
		log_error(vm->domain.name, "runtime folder: the definition cannot be replaced: %s", strerror(-r));
	if (change->kept.xml)
		move(&vm->kept, &change->kept);
	else if (!change->keeps && vm->persistent && !vm->kept.xml)
		move(&vm->kept, &vm->domain);
	move(&vm->domain, &change->then);
	vm_changed(vm);
}

static void finish(struct vm_change *change, int error, const char *text)
{
	struct vm *vm = change->vm;

	vm->change = NULL;
	change->done(error, error && !*text ? strerror(-error) : text, change->target, change->arg);
	change_free(change);
}

static void on_changed(int error, const char *text, void *arg)
{
	struct vm_change *change = arg;
	struct vm *vm = change->vm;
	char line[REASON_MAX];

	if (error == -ECONNRESET || error == -ECANCELED || error == -EPROTO) {
		vm_put_text(line, sizeof(line),
			    "VM %s: its vmworker was lost while it was asked: \"vmctl disk list %s\" tells what it has",
			    vm->domain.name, vm->domain.name);
		finish(change, error, line);
		return;
	}
	if (error) {
		vm_put_text(line, sizeof(line), "VM %s: %s", vm->domain.name, *text ? text : strerror(-error));
		if (change->then.xml)
			runtime_plan_dropped(vm->env->base, vm->domain.uuid);
		finish(change, error, line);
		return;
	}
	if (change->then.xml)
		made(vm, change);
	finish(change, 0, "");
}

/* ---- what an earlier vmmgmtd, or connection, left ---- */

static void on_settled(int error, const char *text, bool same, void *arg)
{
	struct vm_change *change = arg;
	struct vm *vm = change->vm;

	vm->change = NULL;
	if (error && error != -ECANCELED && error != -ECONNRESET)
		log_error(vm->domain.name, "its vmworker does not tell which disks it has: %s",
			  *text ? text : strerror(-error));
	if (!error && same)
		made(vm, change);
	else if (!error)
		runtime_plan_dropped(vm->env->base, vm->domain.uuid);
	if (!error)
		log_notice(vm->domain.name, "a change of its disks that was interrupted %s",
			   same ? "is made" : "is not");
	change_free(change);
}

static int read_plan(struct vm *vm, struct vm_change *change)
{
	_cleanup_free_ char *then = NULL, *kept = NULL;
	struct err err = {0};
	int r = runtime_plan_load(vm->env->base, vm->domain.uuid, &then, &kept);

	if (r < 0)
		return r;
	change->keeps = kept != NULL;
	r = domain_parse(then, strlen(then), &change->then, NULL, &err);
	if (r == 0 && kept && strcmp(kept, then) != 0)
		r = domain_parse(kept, strlen(kept), &change->kept, NULL, &err);
	if (r < 0)
		log_error(vm->domain.name, "a planned change of its disks is not usable: %s", err.text);
	return r;
}

void vm_disks_settle(struct vm *vm)
{
	_cleanup_(cleanup_change) struct vm_change *change = vm->change ? NULL : change_new(vm, NULL, NULL);
	int r;

	if (!change)
		return;
	r = read_plan(vm, change);
	if (r == 0)
		r = worker_has_disks(vm->conn, &change->then, vm->controllers, on_settled, change);
	if (r == 0)
		vm->change = take_ptr(change);
	else if (r != -ENOENT)
		log_error(vm->domain.name, "a change of its disks was interrupted, and is left as it is: %s",
			  strerror(-r));
}

/* ---- requests ---- */

/* Return: 0 if disks of what runs can be changed now; else with a line. */
static int check_running(const struct vm *vm, struct err *err)
{
	int r = vm_must_run(vm, err);

	if (r == 0 && vm->phase == WORKER_PHASE_CREATED)
		r = err_set(err, -EBADFD, "VM %s: it has not run yet: resume it first", vm->domain.name);
	else if (r == 0 && !vm_service_find(vm, VM_SERVICE_STORAGE))
		r = err_set(err, -EOPNOTSUPP,
			    "VM %s: it was started without a disk, and has no disk controller: add the first one with "
			    "--config, and start it anew",
			    vm->domain.name);
	else if (r == 0 && vm->change)
		r = err_set(err, -EBUSY, "VM %s: another change of its disks is under way: try again", vm->domain.name);
	return r;
}

static int check_flags(const struct vm *vm, unsigned int flags, struct err *err)
{
	if ((flags & (VM_DISK_PERSISTENT | VM_DISK_CONFIG)) && !vm->persistent)
		return err_set(err, -EBADFD, "VM %s: it is not defined: nothing of it is kept", vm->domain.name);
	return 0;
}

/* Only the definition: of a VM that is off, or not yet of one that runs. */
static int keep_only(struct vm *vm, struct domain *then, struct err *err)
{
	int r;

	if (!vm->persistent)
		return err_set(err, -EBADFD, "VM %s: it is not defined: nothing of it is kept", vm->domain.name);
	r = vm->env->keep(vm, then->xml, err, vm->env->arg);
	if (r == 0)
		vm_redefine(vm, then);
	return r;
}

static bool is_off(const struct vm *vm, unsigned int flags)
{
	return !vm->has_folder || (flags & VM_DISK_CONFIG);
}

/* Write the plan, ask the worker. @change is taken over on success. */
static int ask(struct vm_change *change, const struct worker_disk_change *what, struct err *err)
{
	struct vm *vm = change->vm;
	const char *kept = !change->keeps ? NULL : (change->kept.xml ? &change->kept : &change->then)->xml;
	int r = 0;

	if (change->then.xml) {
		r = runtime_plan(vm->env->base, vm->domain.uuid, change->then.xml, kept);
		if (r < 0)
			return err_set(err, r, "VM %s: runtime folder: the plan cannot be written: %s", vm->domain.name,
				       strerror(-r));
	}
	r = worker_change_disk(vm->conn, what, on_changed, change);
	if (r == 0) {
		vm->change = change;
		return 0;
	}
	if (change->then.xml)
		runtime_plan_dropped(vm->env->base, vm->domain.uuid);
	return err_set(err, r, "VM %s: its vmworker cannot be asked: %s", vm->domain.name, strerror(-r));
}

/* ---- attach ---- */

int vm_open_disk(const struct vm *vm, const struct domain_disk *disk, struct err *err, int *ret_fd,
		 int *ret_reservations)
{
	_cleanup_close_ int fd = -1;
	int r = broker_open_disk(disk, &vm->env->owners, err, &fd);

	if (r == 0 && domain_reserves(disk))
		r = reservations_open(vm->env->reservations, fd, disk->target, err, ret_reservations);
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

static int check_image(const struct domain_disk *disk, int fd, struct err *err)
{
	struct stat st;

	if (!disk->cdrom && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size % disk->block_bytes)
		return err_set(
			err, -EINVAL,
			"disk %s: image %s has %lld bytes, which is not a multiple of its sectors of %u: give it "
			"another size (truncate -s), or name another",
			disk->target, disk->image, (long long)st.st_size, disk->block_bytes);
	return 0;
}

static int add_disk(const struct domain *from, const char *xml, struct domain *ret, struct err *err)
{
	int r = domain_add_disk(from, xml, ret, err);

	if (r == 0 && ret->disks[ret->disk_count - 1].faults.text[0])
		r = err_set(err, -EINVAL, "disk %s: faults are for tests: see \"vmctl disk fault\"",
			    ret->disks[ret->disk_count - 1].target);
	return r;
}

static int attach_running(struct vm_change *change, const char *xml, unsigned int flags, struct err *err)
{
	struct vm *vm = change->vm;
	struct worker_disk_change what = {.kind = WORKER_DISK_ATTACH,
					  .domain = &change->then,
					  .then = &change->then,
					  .controllers = vm->controllers};
	const struct domain_disk *disk;
	_cleanup_close_ int fd = -1, reservations = -1;
	int r = check_running(vm, err);

	if (r == 0)
		r = add_disk(&vm->domain, xml, &change->then, err);
	if (r < 0)
		return r;
	what.index = change->then.disk_count - 1;
	disk = &change->then.disks[what.index];
	strcpy(change->target, disk->target);
	change->keeps = flags & VM_DISK_PERSISTENT;
	if (change->then.io != vm->domain.io)
		return err_set(err, -EOPNOTSUPP,
			       "disk %s: driver io: what serves the disks of a VM that runs cannot change",
			       disk->target);
	if (disk->controller >= vm->controllers)
		return err_set(
			err, -EOPNOTSUPP,
			"disk %s: VM %s was started with %u disk controller%s, and controllers do not come while it "
			"runs: name another place, or use --config and start it anew",
			disk->target, vm->domain.name, vm->controllers, vm->controllers == 1 ? "" : "s");
	if (change->keeps && vm->kept.xml)
		r = add_disk(&vm->kept, xml, &change->kept, err);
	if (r == 0 && change->kept.xml &&
	    strcmp(change->kept.disks[change->kept.disk_count - 1].target, disk->target) != 0)
		r = err_set(err, -EINVAL, "disk: the target that is free is %s now, and %s in the definition: name one",
			    disk->target, change->kept.disks[change->kept.disk_count - 1].target);
	if (r == 0)
		r = vm_open_disk(vm, disk, err, &fd, &reservations);
	if (r == 0)
		r = check_image(disk, fd, err);
	what.fd = fd;
	what.reservations = reservations;
	return r < 0 ? r : ask(change, &what, err);
}

void vm_attach_disk(struct vm *vm, const char *xml, unsigned int flags, vm_disk_fn done, void *arg)
{
	_cleanup_(cleanup_change) struct vm_change *change = change_new(vm, done, arg);
	struct err err = {0};
	int r = change ? check_flags(vm, flags, &err) : err_set(&err, -ENOMEM, "no memory");

	if (r == 0 && !is_off(vm, flags)) {
		r = attach_running(change, xml, flags, &err);
		if (r == 0) {
			(void)take_ptr(change);
			return;
		}
	} else if (r == 0) {
		r = add_disk(vm_kept(vm), xml, &change->then, &err);
		if (r == 0) {
			strcpy(change->target, change->then.disks[change->then.disk_count - 1].target);
			r = keep_only(vm, &change->then, &err);
		}
	}
	done(r, err.text, change ? change->target : "", arg);
}

/* ---- detach ---- */

static int detach_running(struct vm_change *change, const char *target, unsigned int flags, uint32_t timeout_s,
			  struct err *err)
{
	struct vm *vm = change->vm;
	struct worker_disk_change what = {
		.kind = WORKER_DISK_DETACH,
		.domain = &vm->domain,
		.then = &change->then,
		.controllers = vm->controllers,
		.fd = -1,
		.timeout_ms = flags & VM_DISK_FORCE ? 0 : timeout_s * 1000,
	};
	size_t kept_index;
	int r = check_running(vm, err);

	if (r == 0)
		r = domain_find_disk(&vm->domain, target, &what.index, err);
	if (r == 0 && vm->state == VM_PAUSED && !(flags & VM_DISK_FORCE))
		r = err_set(err, -EBADFD,
			    "VM %s: it is paused, and its guest cannot let go of disk %s: resume it first, or use "
			    "--force",
			    vm->domain.name, target);
	if (r == 0)
		r = domain_remove_disk(&vm->domain, what.index, &change->then, err);
	change->keeps = flags & VM_DISK_PERSISTENT;
	if (r == 0 && change->keeps && vm->kept.xml) {
		r = domain_find_disk(&vm->kept, target, &kept_index, err);
		if (r < 0)
			return err_set(err, r, "VM %s: its definition has no disk %s: leave --persistent out",
				       vm->domain.name, target);
		r = domain_remove_disk(&vm->kept, kept_index, &change->kept, err);
	}
	return r < 0 ? r : ask(change, &what, err);
}

static int detach_kept(struct vm *vm, const char *target, struct err *err)
{
	_cleanup_(domain_done) struct domain then = {0};
	size_t index;
	int r = domain_find_disk(vm_kept(vm), target, &index, err);

	if (r == 0)
		r = domain_remove_disk(vm_kept(vm), index, &then, err);
	return r < 0 ? r : keep_only(vm, &then, err);
}

void vm_detach_disk(struct vm *vm, const char *target, unsigned int flags, uint32_t timeout_s, vm_disk_fn done,
		    void *arg)
{
	_cleanup_(cleanup_change) struct vm_change *change = change_new(vm, done, arg);
	struct err err = {0};
	int r = change ? check_flags(vm, flags, &err) : err_set(&err, -ENOMEM, "no memory");

	if (r == 0 && !is_off(vm, flags) && (timeout_s < 1 || timeout_s > VM_DISK_TIMEOUT_MAX_S) &&
	    !(flags & VM_DISK_FORCE))
		r = err_set(&err, -EINVAL, "timeout: %u s: 1 to %u", timeout_s, VM_DISK_TIMEOUT_MAX_S);
	if (r == 0 && !is_off(vm, flags)) {
		r = detach_running(change, target, flags, timeout_s, &err);
		if (r == 0) {
			(void)take_ptr(change);
			return;
		}
	} else if (r == 0) {
		r = detach_kept(vm, target, &err);
	}
	done(r, err.text, "", arg);
}

/* ---- resize ---- */

/* Of a VM that is off: as what serves it would. */
static int resize_image(const struct vm *vm, const struct domain_disk *disk, uint64_t bytes, unsigned int flags,
			struct err *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (disk->type != DOMAIN_DISK_FILE || disk->readonly || !bytes || bytes > INT64_MAX)
		return err_set(err, -EINVAL, "disk %s: only an image file that is not read-only can be given a size",
			       disk->target);
	if (bytes % disk->block_bytes)
		return err_set(err, -EINVAL, "disk %s: %" PRIu64 " bytes are not a multiple of its sectors of %u",
			       disk->target, bytes, disk->block_bytes);
	r = broker_open_disk(disk, &vm->env->owners, err, &fd);
	if (r < 0)
		return r;
	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size > bytes && !(flags & VM_DISK_SHRINK))
		return err_set(err, -EINVAL,
			       "disk %s: it has %lld bytes: what is beyond %" PRIu64
			       " would be lost: say --shrink if it may be",
			       disk->target, (long long)st.st_size, bytes);
	if (ftruncate(fd, (off_t)bytes) < 0)
		return err_set(err, -errno, "disk %s: it cannot be made of %" PRIu64 " bytes: %s", disk->target, bytes,
			       strerror(errno));
	return 0;
}

void vm_resize_disk(struct vm *vm, const char *target, uint64_t bytes, unsigned int flags, vm_disk_fn done, void *arg)
{
	_cleanup_(cleanup_change) struct vm_change *change = change_new(vm, done, arg);
	struct worker_disk_change what = {.kind = WORKER_DISK_RESIZE,
					  .domain = &vm->domain,
					  .fd = -1,
					  .bytes = bytes,
					  .shrink = flags & VM_DISK_SHRINK};
	struct err err = {0};
	int r = change ? domain_find_disk(&vm->domain, target, &what.index, &err) : err_set(&err, -ENOMEM, "no memory");

	if (r == 0 && vm->domain.disks[what.index].cdrom) {
		r = err_set(&err, -EINVAL, "disk %s: it is a drive: change its medium instead", target);
	} else if (r == 0 && !vm->has_folder) {
		r = resize_image(vm, &vm->domain.disks[what.index], bytes, flags, &err);
	} else if (r == 0) {
		r = check_running(vm, &err);
		strcpy(change->target, vm->domain.disks[what.index].target);
		if (r == 0)
			r = ask(change, &what, &err);
		if (r == 0) {
			(void)take_ptr(change);
			return;
		}
	}
	done(r, err.text, target, arg);
}

/* ---- set ---- */

/* What runs has change->then then. */
static int set_running(struct vm_change *change, const char *target, struct err *err)
{
	struct vm *vm = change->vm;
	struct worker_disk_change what = {
		.kind = WORKER_DISK_SET,
		.domain = &change->then,
		.then = &change->then,
		.controllers = vm->controllers,
		.fd = -1,
	};
	int r = domain_find_disk(&change->then, target, &what.index, err);

	if (r < 0)
		return r;
	strcpy(change->target, change->then.disks[what.index].target);
	return ask(change, &what, err);
}

/* @from with the disk set. */
static int set_in(const struct domain *from, const char *target, const char *const *settings, struct domain *ret,
		  struct err *err)
{
	size_t index;
	int r = domain_find_disk(from, target, &index, err);

	return r < 0 ? r : domain_set_disk(from, index, settings, ret, err);
}

static int set_disk(struct vm_change *change, const char *target, const char *const *settings, unsigned int flags,
		    struct err *err)
{
	struct vm *vm = change->vm;
	int r;

	if (is_off(vm, flags)) {
		r = set_in(vm_kept(vm), target, settings, &change->then, err);
		return r < 0 ? r : keep_only(vm, &change->then, err);
	}
	r = check_running(vm, err);
	if (r == 0)
		r = set_in(&vm->domain, target, settings, &change->then, err);
	change->keeps = flags & VM_DISK_PERSISTENT;
	if (r == 0 && change->keeps && vm->kept.xml)
		r = set_in(vm_kept(vm), target, settings, &change->kept, err);
	return r < 0 ? r : set_running(change, target, err);
}

/* Whether the worker was asked is told by vm->change. */
static void set_done(struct vm_change **change, int r, const struct err *err)
{
	struct vm_change *own = *change;

	if (r == 0 && own->vm->change == own)
		*change = NULL;
	else
		own->done(r, err->text, own->target, own->arg);
}

void vm_set_disk(struct vm *vm, const char *target, const char *const *settings, unsigned int flags, vm_disk_fn done,
		 void *arg)
{
	_cleanup_(cleanup_change) struct vm_change *change = change_new(vm, done, arg);
	struct err err = {0};
	int r;

	if (!change) {
		done(-ENOMEM, "no memory", target, arg);
		return;
	}
	r = check_flags(vm, flags, &err);
	if (r == 0)
		r = set_disk(change, target, settings, flags, &err);
	set_done(&change, r, &err);
}

void vm_set_disk_faults(struct vm *vm, const char *target, const char *faults, vm_disk_fn done, void *arg)
{
	_cleanup_(cleanup_change) struct vm_change *change = change_new(vm, done, arg);
	struct err err = {0};
	size_t index = 0;
	int r;

	if (!change) {
		done(-ENOMEM, "no memory", target, arg);
		return;
	}
	r = check_running(vm, &err);
	if (r == 0)
		r = domain_find_disk(&vm->domain, target, &index, &err);
	if (r == 0)
		r = domain_set_faults(&vm->domain, index, faults, &change->then, &err);
	if (r == 0)
		r = set_running(change, target, &err);
	set_done(&change, r, &err);
}

/* ---- media ---- */

/* What is to be in the drive. */
struct medium {
	const char *image; /* NULL: nothing */
	enum domain_disk_type type;
};

static int change_running(struct vm_change *change, const char *target, const struct medium *medium, unsigned int flags,
			  struct err *err)
{
	struct vm *vm = change->vm;
	struct worker_disk_change what = {
		.kind = WORKER_DISK_MEDIUM,
		.domain = &vm->domain,
		.then = &change->then,
		.controllers = vm->controllers,
		.force = flags & VM_DISK_FORCE,
	};
	_cleanup_close_ int fd = -1;
	size_t kept_index;
	int r = check_running(vm, err);

	if (r == 0)
		r = domain_find_disk(&vm->domain, target, &what.index, err);
	if (r == 0)
		r = domain_change_medium(&vm->domain, what.index, medium->image, medium->type,
					 vm->domain.disks[what.index].medium + 1, &change->then, err);
	change->keeps = flags & VM_DISK_PERSISTENT;
	if (r == 0 && change->keeps) {
		r = domain_find_disk(vm_kept(vm), target, &kept_index, err);
		if (r == 0)
			r = domain_change_medium(vm_kept(vm), kept_index, medium->image, medium->type, 0, &change->kept,
						 err);
	}
	if (r == 0)
		r = broker_open_disk(&change->then.disks[what.index], &vm->env->owners, err, &fd);
	what.fd = fd;
	return r < 0 ? r : ask(change, &what, err);
}

static int change_kept(struct vm *vm, const char *target, const struct medium *medium, struct err *err)
{
	_cleanup_(domain_done) struct domain then = {0};
	size_t index;
	int r = domain_find_disk(vm_kept(vm), target, &index, err);

	if (r == 0)
		r = domain_change_medium(vm_kept(vm), index, medium->image, medium->type, 0, &then, err);
	return r < 0 ? r : keep_only(vm, &then, err);
}

void vm_change_medium(struct vm *vm, const char *target, const char *image, unsigned int flags, vm_disk_fn done,
		      void *arg)
{
	_cleanup_(cleanup_change) struct vm_change *change = change_new(vm, done, arg);
	struct medium medium = {.image = *image ? image : NULL, .type = DOMAIN_DISK_FILE};
	struct err err = {0};
	struct stat st;
	int r = change ? check_flags(vm, flags, &err) : err_set(&err, -ENOMEM, "no memory");

	if (*image && stat(image, &st) == 0 && S_ISBLK(st.st_mode))
		medium.type = DOMAIN_DISK_BLOCK;
	if (r == 0 && !is_off(vm, flags)) {
		r = change_running(change, target, &medium, flags, &err);
		if (r == 0) {
			(void)take_ptr(change);
			return;
		}
	} else if (r == 0) {
		r = change_kept(vm, target, &medium, &err);
	}
	done(r, err.text, target, arg);
}
