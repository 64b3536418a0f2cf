/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The links of a guest's NICs follow the devices of the host's behind them: what a switch does whose port is
 * disconnected, the guest sees at its NIC. A link is down while its tap or macvtap is down, gone, or off its bridge;
 * while that bridge is down; while what is below a macvtap has no carrier.
 *
 * Theory of operation: broker_nic_plugged() looks, links.h says when. What has changed is told to vsp-netd by a change
 * (vm_change.h) that changes nothing of the definition; `unplugged` is written down beside it before, for a later
 * vmmgmtd, as what is behind a stream is (vm_peer.c).
 *
 * Limits: one NIC at a time; while nobody manages, links stay as they are. Whether a port of Open vSwitch leads
 * anywhere only the switch knows.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker_nic.h"
#include "links.h"
#include "vm_change.h"
#include "vm_peer.h"

static int send_nic(struct worker *worker, const void *what, worker_done_fn done, void *arg)
{
	return worker_change_nic(worker, what, done, arg);
}

/* It is as it was, or nobody knows: it is told again, which does no harm. */
static void take_back(struct vm *vm, const char *alias)
{
	size_t index;

	if (domain_find_nic(&vm->domain, alias, &index, NULL) < 0)
		return;
	vm->domain.nics[index].unplugged = !vm->domain.nics[index].unplugged;
	vm_peers_save(vm);
}

static void on_told(int error, const char *text, const char *name, void *arg)
{
	struct vm *vm = arg;

	if (!error) {
		links_look(vm->env->links); /* there may be another one */
		return;
	}
	if (error != -ECANCELED && error != -ECONNRESET && log_allowed(&vm->told, vm->domain.name))
		log_error(vm->domain.name, "NIC %s: its link cannot be set: %s", name, text);
	take_back(vm, name);
	links_look_later(vm->env->links);
}

static int tell(struct vm *vm, struct domain_nic *nic, struct err *err)
{
	_cleanup_(vm_change_cleanup) struct vm_change *change = vm_change_new(vm, &vm_change_nics, on_told, vm);
	const struct worker_nic_change what = {
		.kind = WORKER_NIC_SET,
		.domain = &vm->domain,
		.then = &vm->domain,
		.index = (size_t)(nic - vm->domain.nics),
	};
	int r = change ? 0 : err_set(err, -ENOMEM, "no memory");

	if (r < 0)
		return r;
	change->own = true;
	strcpy(change->name, nic->alias);
	nic->unplugged = !nic->unplugged;
	vm_peers_save(vm);
	r = vm_change_ask(change, send_nic, &what, err);
	if (r == 0)
		(void)take_ptr(change);
	else
		nic->unplugged = !nic->unplugged;
	if (r < 0)
		vm_peers_save(vm);
	return r;
}

/* Else the change would wait, and keep others from being made: that it serves is told, and brings us here again. */
static bool is_served(const struct vm *vm)
{
	const struct worker_service *service = vm_service_find(vm, VM_SERVICE_NETWORK);

	return service && service->state == WORKER_SERVICE_SERVING;
}

bool vm_links_follow(struct vm *vm)
{
	struct err err = {0};

	if ((vm->state != VM_RUNNING && vm->state != VM_PAUSED) || vm->ending || vm->destroyed || !is_served(vm))
		return false;
	for (size_t i = 0; i < vm->domain.nic_count; i++) {
		struct domain_nic *nic = &vm->domain.nics[i];

		if (domain_nic_streams(nic) || broker_nic_plugged(nic) != nic->unplugged)
			continue;
		if (vm->change)
			return true;
		if (vm_change_check(vm, &vm_change_nics, &err) < 0 || tell(vm, nic, &err) < 0)
			return false; /* what the worker tells next brings us here again */
		if (log_allowed(&vm->told, vm->domain.name))
			log_notice(vm->domain.name, "NIC %s: what it is plugged into is %s: so is its link", nic->alias,
				   nic->unplugged ? "down, or gone" : "up again");
	}
	return false;
}
