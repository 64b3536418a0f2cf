/* SPDX-License-Identifier: Apache-2.0 */
/* Changes that an earlier vmmgmtd, or connection, has left: vm_change.h has the theory. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker_nic.h"
#include "vm_change.h"
#include "vm_peer.h"

/* If its connection has gone meanwhile, whoever connects again asks again. */
static void settled(struct vm_change *change)
{
	struct vm *vm = change->vm;

	vm->unsettled = vm_is_lost(vm);
	vm->settle_told = false;
	vm->settle_pause_ns = 0;
	vm_change_end(change);
}

static void not_settled(struct vm_change *change, const char *what, const char *why)
{
	struct vm *vm = change->vm;

	if (vm_is_lost(vm)) {
		settled(change);
		return;
	}
	vm_change_free(change);
	vm_change_unsettle(vm, what, why);
}

static void on_settled(int error, const char *text, bool same, void *arg)
{
	struct vm_change *change = arg;
	struct vm *vm = change->vm;
	int r = 0;

	vm->change = NULL;
	if (error == -ENOSYS && !vm_is_lost(vm)) { /* an older one, which never tells: what is known stays */
		log_error(vm->domain.name,
			  "a change of its %ss that was interrupted: its vmworker cannot tell whether "
			  "it is made, and it is taken as not made",
			  change->kind->what);
		settled(change);
		return;
	}
	if (error) {
		not_settled(change, "its vmworker does not tell what it has", *text ? text : strerror(-error));
		return;
	}
	if (same) {
		vm_nics_follow(vm, &change->then); /* of the ports' VLANs the worker knows nothing */
		r = vm_change_made(vm, change);
		vm_peers_look_after(vm); /* who attached a NIC has not lived to look after it */
		vm_peers_told(vm);
	} else {
		vm_nics_changed(vm, &change->then, &vm->domain);
		runtime_plan_dropped(vm->env->base, vm->domain.uuid);
	}
	if (r < 0) {
		not_settled(change, VM_CHANGE_NO_DEFINITION, strerror(-r));
		return;
	}
	log_notice(vm->domain.name, "a change of its %ss that was interrupted %s", change->kind->what,
		   same ? "is made" : "is not");
	settled(change);
}

/* Both of @change, or neither. Return: 0; -ENOENT: there is no plan; another negative errno with a line. */
static int read_plan(struct vm *vm, struct vm_change *change, struct err *err)
{
	_cleanup_free_ char *then = NULL, *kept = NULL;
	int r = runtime_plan_load(vm->env->base, vm->domain.uuid, &then, &kept);

	if (r < 0)
		return err_set(err, r, "%s", strerror(-r));
	change->keeps = kept != NULL;
	r = domain_parse(then, strlen(then), &change->then, NULL, err);
	if (r == 0 && kept && strcmp(kept, then) != 0)
		r = domain_parse(kept, strlen(kept), &change->kept, NULL, err);
	if (r < 0)
		domain_done(&change->then);
	return r == -ENOENT ? -EINVAL : r;
}

/* Nobody else will mend it: who reads that has to know what he can do. */
static void plan_unreadable(struct vm_change *change, const char *why)
{
	struct vm *vm = change->vm;
	char text[REASON_MAX];

	vm_put_text(text, sizeof(text),
		    "a change that was interrupted: its plan in %.200s/%s cannot be read (if then.xml is removed, the "
		    "change is taken as not made)",
		    vm->env->base, vm->domain.uuid);
	not_settled(change, text, why);
}

/* The worker tells whether the plan, if there is one, is made. @change is taken over. */
static void ask_plan(struct vm_change *change)
{
	struct vm *vm = change->vm;
	int r;

	if (!change->then.xml) {
		settled(change);
		return;
	}
	/* Each change is of one kind. */
	change->kind = worker_same_nics(&vm->domain, &change->then) ? &vm_change_disks : &vm_change_nics;
	r = worker_has(vm->conn, change->kind->service, &change->then, vm->controllers, on_settled, change);
	if (r == 0) {
		vm->change = change;
		return;
	}
	not_settled(change, "its vmworker cannot be asked what it has", strerror(-r));
}

static void on_peers(int error, const char *text, const struct worker_nic_peer *peers, size_t count, void *arg)
{
	struct vm_change *change = arg;
	struct vm *vm = change->vm;

	vm->change = NULL;
	if (vm_is_lost(vm)) {
		settled(change);
		return;
	}
	if (error && error != -ENOSYS) { /* an older one, which does not tell: what is known stays */
		not_settled(change, "its vmworker does not tell what is behind its NICs",
			    *text ? text : strerror(-error));
		return;
	}
	vm_peers_are(&vm->domain, peers, count);
	vm_nics_carry(&change->then, &vm->domain);
	vm_peers_are(&change->then, peers, count); /* of one that was being attached */
	ask_plan(change);
}

void vm_changes_settle(struct vm *vm)
{
	struct vm_change *change;
	struct err err = {0};
	int r;

	if (vm->change) { /* it has waited for Open vSwitch, and the worker was not asked for it before */
		vm->unsettled = false;
		vm_change_go_on(vm);
		return;
	}
	r = vm->plan_made ? runtime_plan_made(vm->env->base, vm->domain.uuid) : 0;
	if (r < 0 && r != -ENOENT) { /* -ENOENT: it was there already */
		vm_change_unsettle(vm, VM_CHANGE_NO_DEFINITION, strerror(-r));
		return;
	}
	vm->plan_made = false;
	change = vm_change_new(vm, &vm_change_nics, NULL, NULL);
	if (!change) {
		vm_change_unsettle(vm, "a change that was interrupted", "no memory");
		return;
	}
	change->own = true;
	r = read_plan(vm, change, &err);
	if (r < 0 && r != -ENOENT) {
		plan_unreadable(change, err.text);
		return;
	}
	if (!vm_service_find(vm, VM_SERVICE_NETWORK) || vm->domain.nic_count + change->then.nic_count == 0) {
		ask_plan(change);
		return;
	}
	r = worker_get_peers(vm->conn, on_peers, change);
	if (r == 0)
		vm->change = change;
	else
		not_settled(change, "its vmworker cannot be asked what is behind its NICs", strerror(-r));
}

bool vm_changes_on_ovs(struct vm *vm)
{
	struct vm_change *change = vm_change_new(vm, NULL, NULL, NULL);
	struct err err = {0};
	bool is = false;
	int r;

	if (!change)
		return true; /* at the worst there is none to remove */
	r = read_plan(vm, change, &err);
	if (r == 0)
		for (size_t i = 0; i < change->then.nic_count; i++)
			is |= change->then.nics[i].on_ovs;
	vm_change_free(change);
	return is || (r < 0 && r != -ENOENT);
}

void vm_changes_gone(struct vm *vm)
{
	struct vm_change *change = vm_change_new(vm, NULL, NULL, NULL);
	struct err err = {0};
	int r;

	if (!change)
		return;
	r = read_plan(vm, change, &err);
	for (size_t i = 0; r == 0 && i < change->then.nic_count; i++)
		broker_nic_gone(&change->then.nics[i]);
	if (r < 0 && r != -ENOENT)
		log_error(vm->domain.name, "a change that was interrupted: what was made for it may be left: %s",
			  err.text);
	vm_change_free(change);
}
