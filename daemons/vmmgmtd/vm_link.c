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
 * What is refused is told again, after a pause that doubles up to a minute; meanwhile the others are. A vmmgmtd that
 * finds a VM tells each link once: what the former one has written down it may not have told.
 *
 * Limits: one NIC at a time; while nobody manages, links stay as they are. Whether a port of Open vSwitch leads
 * anywhere only the switch knows.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "broker_nic.h"
#include "links.h"
#include "vm_change.h"
#include "vm_peer.h"

static int send_nic(struct worker *worker, const void *what, worker_done_fn done, void *arg)
{
	return worker_change_nic(worker, what, done, arg);
}

/* It is as it was, or nobody knows: it is told again, which does no harm. In the log it is once. */
static void refused(struct vm *vm, struct domain_nic *nic, const char *text)
{
	if (!nic->tell_logged && log_allowed(&vm->told, vm->domain.name)) {
		log_error(vm->domain.name, "NIC %s: its link cannot be set: %s", nic->alias, text);
		nic->tell_logged = true;
	}
	nic->tell_pause_ns = vm_again_pause(nic->tell_pause_ns, 0);
	nic->tell_at_ns = clock_now_ns() + nic->tell_pause_ns;
	links_look_in(vm->env->links, nic->tell_pause_ns);
}

static void on_told(int error, const char *text, const char *name, void *arg)
{
	struct vm *vm = arg;
	struct domain_nic *nic;
	size_t index;

	if (domain_find_nic(&vm->domain, name, &index, NULL) < 0)
		return;
	nic = &vm->domain.nics[index];
	if (!error) {
		nic->untold = nic->tell_logged = false;
		nic->tell_at_ns = nic->tell_pause_ns = 0;
	} else if (!vm_is_lost(vm)) { /* else it is told once there is a connection again */
		refused(vm, nic, text);
	}
}

static void set_unplugged(struct vm *vm, struct domain_nic *nic, bool unplugged)
{
	nic->untold = true;
	if (nic->unplugged == unplugged)
		return;
	nic->unplugged = unplugged;
	vm_peers_save(vm);
	if (log_allowed(&vm->told, vm->domain.name))
		log_notice(vm->domain.name, "NIC %s: what it is plugged into is %s: so is its link", nic->alias,
			   unplugged ? "down, or gone" : "up again");
}

static int tell(struct vm *vm, const struct domain_nic *nic, struct err *err)
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
	r = vm_change_ask(change, send_nic, &what, err);
	if (r == 0)
		(void)take_ptr(change);
	return r;
}

/* Else the change would wait, and keep others from being made: that it serves is told, and brings us here again. */
static bool is_served(const struct vm *vm)
{
	const struct worker_service *service = vm_service_find(vm, VM_SERVICE_NETWORK);

	return service && service->state == WORKER_SERVICE_SERVING;
}

void vm_links_adopt(struct vm *vm)
{
	for (size_t i = 0; i < vm->domain.nic_count; i++)
		vm->domain.nics[i].untold = true;
}

bool vm_links_follow(struct vm *vm)
{
	const uint64_t now_ns = clock_now_ns();
	struct err err = {0};

	if ((vm->state != VM_RUNNING && vm->state != VM_PAUSED) || vm->ending || vm->destroyed || !is_served(vm))
		return false;
	for (size_t i = 0; i < vm->domain.nic_count; i++) {
		struct domain_nic *nic = &vm->domain.nics[i];
		bool plugged;

		if (domain_nic_streams(nic))
			continue;
		plugged = broker_nic_plugged(nic);
		if (!nic->untold && plugged != nic->unplugged)
			continue;
		if (now_ns < nic->tell_at_ns) {
			links_look_in(vm->env->links, nic->tell_at_ns - now_ns);
			continue;
		}
		if (vm->change)
			return !vm->change->own; /* the end of its own brings us here again */
		if (vm_change_check(vm, &vm_change_nics, &err) < 0)
			return false; /* what the worker tells next does */
		set_unplugged(vm, nic, !plugged);
		if (tell(vm, nic, &err) == 0)
			return false; /* its answer does */
		refused(vm, nic, err.text);
	}
	return false;
}
