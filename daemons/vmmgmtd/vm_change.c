/* SPDX-License-Identifier: Apache-2.0 */
#include "vm_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "links.h"
#include "vm_peer.h"

#define WAIT_NS	      (10 * NS_PER_SEC)
#define SETTLE_NS     (1 * NS_PER_SEC) /* the first pause; each is twice the last one */
#define SETTLE_MAX_NS (60 * NS_PER_SEC)

const struct vm_change_kind vm_change_disks = {
	.service = VM_SERVICE_STORAGE,
	.what = "disk",
	.verb = "disk",
	.none = "it was started without a disk, and without a vsp-storaged",
};

const struct vm_change_kind vm_change_nics = {
	.service = VM_SERVICE_NETWORK,
	.what = "NIC",
	.verb = "nic",
	.none = "it was started without a NIC, and without a vsp-netd",
};

void vm_change_free(struct vm_change *change)
{
	domain_done(&change->then);
	domain_done(&change->kept);
	free(change);
}

void vm_change_cleanup(struct vm_change **change)
{
	struct vm_change *own = *change;

	if (!own)
		return;
	if (own->planned)
		runtime_plan_dropped(own->vm->env->base, own->vm->domain.uuid);
	vm_change_free(own);
}

struct vm_change *vm_change_new(struct vm *vm, const struct vm_change_kind *kind, vm_change_fn done, void *arg)
{
	struct vm_change *change = calloc(1, sizeof(*change));

	if (change)
		*change = (struct vm_change){.vm = vm, .kind = kind, .done = done, .arg = arg};
	return change;
}

static void move(struct domain *to, struct domain *from)
{
	domain_done(to);
	*to = *from;
	*from = (struct domain){0};
}

/* ---- what is on disk ---- */

int vm_change_made(struct vm *vm, struct vm_change *change)
{
	struct err err = {0};
	int r = 0;

	vm_nics_changed(vm, &vm->domain, &change->then);
	if (change->keeps && vm->persistent)
		r = vm->env->keep(vm, (change->kept.xml ? &change->kept : &change->then)->xml, &err, vm->env->arg);
	if (r < 0)
		log_error(vm->domain.name, "%s %s: it runs so, but the definition could not be kept: %s",
			  change->kind->what, change->name, err.text);
	r = runtime_plan_made(vm->env->base, vm->domain.uuid);
	vm->plan_made = r < 0;
	if (change->kept.xml)
		move(&vm->kept, &change->kept);
	else if (!change->keeps && vm->persistent && !vm->kept.xml)
		move(&vm->kept, &vm->domain);
	move(&vm->domain, &change->then);
	vm_peers_save(vm);
	vm_changed(vm);
	return r;
}

void vm_change_unsettle(struct vm *vm, const char *what, const char *why)
{
	if (!vm->settle_told)
		log_error(vm->domain.name, "%s: %s: it is tried again, and no disk or NIC changes before", what, why);
	vm->settle_told = true;
	vm->unsettled = true;
	vm->settle_pause_ns = vm->settle_pause_ns ? MIN(2 * vm->settle_pause_ns, SETTLE_MAX_NS) : SETTLE_NS;
	loop_arm(vm->retry_timer, vm->settle_pause_ns);
}

void vm_change_go_on(struct vm *vm)
{
	struct waiter *behind = take_ptr(vm->behind);

	vm_waiters_done(&behind, 0, "");
	links_look(vm->env->links);
}

void vm_change_end(struct vm_change *change)
{
	struct vm *vm = change->vm;

	vm_change_free(change);
	vm_change_go_on(vm);
}

static void finish(struct vm_change *change, int error, const char *text)
{
	change->vm->change = NULL;
	change->done(error, error && !*text ? strerror(-error) : text, change->name, change->arg);
	vm_change_end(change);
}

static void on_changed(int error, const char *text, void *arg)
{
	struct vm_change *change = arg;
	struct vm *vm = change->vm;
	char line[REASON_MAX];

	if (error == -ECONNRESET || error == -ECANCELED || error == -EPROTO) {
		vm_put_text(line, sizeof(line),
			    "VM %s: its vmworker was lost while it was asked: \"vmctl %s list %s\" tells what it has",
			    vm->domain.name, change->kind->verb, vm->domain.name);
		finish(change, error, line);
		return;
	}
	if (error) {
		char why[REASON_MAX];

		vm_describe_failure(vm, error, text, why, sizeof(why));
		vm_put_text(line, sizeof(line), "VM %s: %s", vm->domain.name, why);
		if (change->then.xml) {
			vm_nics_changed(vm, &change->then, &vm->domain);
			runtime_plan_dropped(vm->env->base, vm->domain.uuid);
		}
		finish(change, error, line);
		return;
	}
	if (change->then.xml) {
		int r = vm_change_made(vm, change);

		if (r < 0)
			vm_change_unsettle(vm, VM_CHANGE_NO_DEFINITION, strerror(-r));
	}
	finish(change, 0, "");
}

void vm_changes_lost(struct vm *vm)
{
	struct waiter *behind = take_ptr(vm->behind);
	struct err err = {0};
	int r = vm_must_run(vm, &err);

	vm_waiters_done(&behind, r, err.text);
}

/* ---- requests ---- */

static int fail_busy(const struct vm *vm, struct err *err)
{
	if (!vm->change)
		return err_set(err, -EBUSY, "VM %s: %s: try again", vm->domain.name,
			       vm->settle_told ? "an interrupted change is not settled yet, the log tells why"
					       : "its vmworker has not told yet what it has");
	return err_set(err, -EBUSY, "VM %s: another change of its %ss is under way: try again", vm->domain.name,
		       vm->change->kind->what);
}

/* @at: its place in the list. */
static void dismiss(struct waiter **at, int error, const char *text)
{
	struct waiter *waiter = *at;

	*at = take_ptr(waiter->next);
	vm_waiters_done(&waiter, error, text);
}

static void on_waited(void *arg)
{
	struct waiter *waiter = arg, **at = &waiter->vm->behind;
	struct err err = {0};
	int r = fail_busy(waiter->vm, &err);

	while (*at != waiter)
		at = &(*at)->next;
	dismiss(at, r, err.text);
}

void vm_change_wait_no_more(struct vm *vm, const void *arg)
{
	struct waiter **at = &vm->behind;

	while (*at && (*at)->arg != arg)
		at = &(*at)->next;
	if (*at)
		dismiss(at, -ECANCELED, "who has asked for it has gone");
}

static bool has_to_wait(const struct vm *vm)
{
	if (vm->change)
		return vm->change->own;
	return vm->unsettled && !vm_is_lost(vm) && !vm->ending && !vm->destroyed;
}

bool vm_change_wait(struct vm *vm, unsigned int flags, vm_done_fn done, void *arg)
{
	struct waiter *waiter, **at = &vm->behind;

	if (vm_change_is_off(vm, flags) || !has_to_wait(vm))
		return false;
	waiter = malloc(sizeof(*waiter));
	if (!waiter)
		return false;
	*waiter = (struct waiter){.vm = vm, .done = done, .arg = arg};
	if (loop_add_timer(vm->env->loop, on_waited, waiter, &waiter->timer) < 0) {
		free(waiter);
		return false;
	}
	loop_arm(waiter->timer, WAIT_NS);
	while (*at)
		at = &(*at)->next;
	*at = waiter;
	return true;
}

int vm_change_check(const struct vm *vm, const struct vm_change_kind *kind, struct err *err)
{
	int r = vm_must_run(vm, err);

	if (r == 0 && vm->phase == WORKER_PHASE_CREATED)
		r = err_set(err, -EBADFD, "VM %s: it has not run yet: resume it first", vm->domain.name);
	else if (r == 0 && !vm_service_find(vm, kind->service))
		r = err_set(err, -EOPNOTSUPP, "VM %s: %s: add the first one with --config, and start it anew",
			    vm->domain.name, kind->none);
	else if (r == 0 && (vm->change || vm->unsettled))
		r = fail_busy(vm, err);
	return r;
}

int vm_change_check_flags(const struct vm *vm, unsigned int flags, struct err *err)
{
	if ((flags & (VM_CHANGE_PERSISTENT | VM_CHANGE_CONFIG)) && !vm->persistent)
		return err_set(err, -EBADFD, "VM %s: it is not defined: nothing of it is kept", vm->domain.name);
	return 0;
}

int vm_change_keep_only(struct vm *vm, struct domain *then, struct err *err)
{
	int r;

	if (!vm->persistent)
		return err_set(err, -EBADFD, "VM %s: it is not defined: nothing of it is kept", vm->domain.name);
	r = vm->env->keep(vm, then->xml, err, vm->env->arg);
	if (r == 0)
		vm_redefine(vm, then);
	return r;
}

bool vm_change_is_off(const struct vm *vm, unsigned int flags)
{
	return !vm->has_folder || (flags & VM_CHANGE_CONFIG);
}

int vm_change_plan(struct vm_change *change, struct err *err)
{
	struct vm *vm = change->vm;
	const char *kept = !change->keeps ? NULL : (change->kept.xml ? &change->kept : &change->then)->xml;
	int r;

	if (change->planned || !change->then.xml)
		return 0;
	r = runtime_plan(vm->env->base, vm->domain.uuid, change->then.xml, kept);
	if (r < 0)
		return err_set(err, r, "VM %s: runtime folder: the plan cannot be written: %s", vm->domain.name,
			       strerror(-r));
	change->planned = true;
	return 0;
}

int vm_change_ask(struct vm_change *change, vm_change_send_fn send, const void *what, struct err *err)
{
	struct vm *vm = change->vm;
	int r = vm_server_wake(vm, change->kind->service, err);

	if (r < 0)
		return r;
	vm_nics_carry(&change->then, &vm->domain);
	r = vm_change_plan(change, err);
	if (r < 0)
		return r;
	r = send(vm->conn, what, on_changed, change);
	if (r == 0) {
		vm->change = change;
		return 0;
	}
	return err_set(err, r, "VM %s: its vmworker cannot be asked: %s", vm->domain.name, strerror(-r));
}
