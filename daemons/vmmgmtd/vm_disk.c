/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that come, go and change their size, their limits, their faults, their medium; vm_change.h has the theory. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "reservations.h"
#include "vm_change.h"

static int send_disk(struct worker *worker, const void *what, worker_done_fn done, void *arg)
{
	return worker_change_disk(worker, what, done, arg);
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
	int r = vm_change_check(vm, &vm_change_disks, err);

	if (r == 0)
		r = add_disk(&vm->domain, xml, &change->then, err);
	if (r < 0)
		return r;
	what.index = change->then.disk_count - 1;
	disk = &change->then.disks[what.index];
	strcpy(change->name, disk->target);
	change->keeps = flags & VM_CHANGE_PERSISTENT;
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
	return r < 0 ? r : vm_change_ask(change, send_disk, &what, err);
}

void vm_attach_disk(struct vm *vm, const char *xml, unsigned int flags, vm_change_fn done, void *arg)
{
	_cleanup_(vm_change_cleanup) struct vm_change *change = vm_change_new(vm, &vm_change_disks, done, arg);
	struct err err = {0};
	int r = change ? vm_change_check_flags(vm, flags, &err) : err_set(&err, -ENOMEM, "no memory");

	if (r == 0 && !vm_change_is_off(vm, flags)) {
		r = attach_running(change, xml, flags, &err);
		if (r == 0) {
			(void)take_ptr(change);
			return;
		}
	} else if (r == 0) {
		r = add_disk(vm_kept(vm), xml, &change->then, &err);
		if (r == 0) {
			strcpy(change->name, change->then.disks[change->then.disk_count - 1].target);
			r = vm_change_keep_only(vm, &change->then, &err);
		}
	}
	done(r, err.text, change ? change->name : "", arg);
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
		.timeout_ms = flags & VM_CHANGE_FORCE ? 0 : timeout_s * 1000,
	};
	size_t kept_index;
	int r = vm_change_check(vm, &vm_change_disks, err);

	if (r == 0)
		r = domain_find_disk(&vm->domain, target, &what.index, err);
	if (r == 0 && vm->state == VM_PAUSED && !(flags & VM_CHANGE_FORCE))
		r = err_set(err, -EBADFD,
			    "VM %s: it is paused, and its guest cannot let go of disk %s: resume it first, or use "
			    "--force",
			    vm->domain.name, target);
	if (r == 0)
		r = domain_remove_disk(&vm->domain, what.index, &change->then, err);
	change->keeps = flags & VM_CHANGE_PERSISTENT;
	if (r == 0 && change->keeps && vm->kept.xml) {
		r = domain_find_disk(&vm->kept, target, &kept_index, err);
		if (r < 0)
			return err_set(err, r, "VM %s: its definition has no disk %s: leave --persistent out",
				       vm->domain.name, target);
		r = domain_remove_disk(&vm->kept, kept_index, &change->kept, err);
	}
	return r < 0 ? r : vm_change_ask(change, send_disk, &what, err);
}

static int detach_kept(struct vm *vm, const char *target, struct err *err)
{
	_cleanup_(domain_done) struct domain then = {0};
	size_t index;
	int r = domain_find_disk(vm_kept(vm), target, &index, err);

	if (r == 0)
		r = domain_remove_disk(vm_kept(vm), index, &then, err);
	return r < 0 ? r : vm_change_keep_only(vm, &then, err);
}

void vm_detach_disk(struct vm *vm, const char *target, unsigned int flags, uint32_t timeout_s, vm_change_fn done,
		    void *arg)
{
	_cleanup_(vm_change_cleanup) struct vm_change *change = vm_change_new(vm, &vm_change_disks, done, arg);
	struct err err = {0};
	int r = change ? vm_change_check_flags(vm, flags, &err) : err_set(&err, -ENOMEM, "no memory");

	if (r == 0 && !vm_change_is_off(vm, flags) && (timeout_s < 1 || timeout_s > VM_CHANGE_TIMEOUT_MAX_S) &&
	    !(flags & VM_CHANGE_FORCE))
		r = err_set(&err, -EINVAL, "timeout: %u s: 1 to %u", timeout_s, VM_CHANGE_TIMEOUT_MAX_S);
	if (r == 0 && !vm_change_is_off(vm, flags)) {
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

void vm_resize_disk(struct vm *vm, const char *target, uint64_t bytes, unsigned int flags, vm_change_fn done, void *arg)
{
	_cleanup_(vm_change_cleanup) struct vm_change *change = vm_change_new(vm, &vm_change_disks, done, arg);
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
		r = vm_change_check(vm, &vm_change_disks, &err);
		strcpy(change->name, vm->domain.disks[what.index].target);
		if (r == 0)
			r = vm_change_ask(change, send_disk, &what, &err);
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
	strcpy(change->name, change->then.disks[what.index].target);
	return vm_change_ask(change, send_disk, &what, err);
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

	if (vm_change_is_off(vm, flags)) {
		r = set_in(vm_kept(vm), target, settings, &change->then, err);
		return r < 0 ? r : vm_change_keep_only(vm, &change->then, err);
	}
	r = vm_change_check(vm, &vm_change_disks, err);
	if (r == 0)
		r = set_in(&vm->domain, target, settings, &change->then, err);
	change->keeps = flags & VM_CHANGE_PERSISTENT;
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
		own->done(r, err->text, own->name, own->arg);
}

void vm_set_disk(struct vm *vm, const char *target, const char *const *settings, unsigned int flags, vm_change_fn done,
		 void *arg)
{
	_cleanup_(vm_change_cleanup) struct vm_change *change = vm_change_new(vm, &vm_change_disks, done, arg);
	struct err err = {0};
	int r;

	if (!change) {
		done(-ENOMEM, "no memory", target, arg);
		return;
	}
	r = vm_change_check_flags(vm, flags, &err);
	if (r == 0)
		r = set_disk(change, target, settings, flags, &err);
	set_done(&change, r, &err);
}

void vm_set_disk_faults(struct vm *vm, const char *target, const char *faults, vm_change_fn done, void *arg)
{
	_cleanup_(vm_change_cleanup) struct vm_change *change = vm_change_new(vm, &vm_change_disks, done, arg);
	struct err err = {0};
	size_t index = 0;
	int r;

	if (!change) {
		done(-ENOMEM, "no memory", target, arg);
		return;
	}
	r = vm_change_check(vm, &vm_change_disks, &err);
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
		.force = flags & VM_CHANGE_FORCE,
	};
	_cleanup_close_ int fd = -1;
	size_t kept_index;
	int r = vm_change_check(vm, &vm_change_disks, err);

	if (r == 0)
		r = domain_find_disk(&vm->domain, target, &what.index, err);
	if (r == 0)
		r = domain_change_medium(&vm->domain, what.index, medium->image, medium->type,
					 vm->domain.disks[what.index].medium + 1, &change->then, err);
	change->keeps = flags & VM_CHANGE_PERSISTENT;
	if (r == 0 && change->keeps) {
		r = domain_find_disk(vm_kept(vm), target, &kept_index, err);
		if (r == 0)
			r = domain_change_medium(vm_kept(vm), kept_index, medium->image, medium->type, 0, &change->kept,
						 err);
	}
	if (r == 0)
		r = broker_open_disk(&change->then.disks[what.index], &vm->env->owners, err, &fd);
	what.fd = fd;
	return r < 0 ? r : vm_change_ask(change, send_disk, &what, err);
}

static int change_kept(struct vm *vm, const char *target, const struct medium *medium, struct err *err)
{
	_cleanup_(domain_done) struct domain then = {0};
	size_t index;
	int r = domain_find_disk(vm_kept(vm), target, &index, err);

	if (r == 0)
		r = domain_change_medium(vm_kept(vm), index, medium->image, medium->type, 0, &then, err);
	return r < 0 ? r : vm_change_keep_only(vm, &then, err);
}

void vm_change_medium(struct vm *vm, const char *target, const char *image, unsigned int flags, vm_change_fn done,
		      void *arg)
{
	_cleanup_(vm_change_cleanup) struct vm_change *change = vm_change_new(vm, &vm_change_disks, done, arg);
	struct medium medium = {.image = *image ? image : NULL, .type = DOMAIN_DISK_FILE};
	struct err err = {0};
	struct stat st;
	int r = change ? vm_change_check_flags(vm, flags, &err) : err_set(&err, -ENOMEM, "no memory");

	if (*image && stat(image, &st) == 0 && S_ISBLK(st.st_mode))
		medium.type = DOMAIN_DISK_BLOCK;
	if (r == 0 && !vm_change_is_off(vm, flags)) {
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
