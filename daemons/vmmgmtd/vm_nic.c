/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NICs that come, go, and are set otherwise; what is behind them at a start. vm_change.h has the theory.
 *
 * What Open vSwitch is asked takes its time (ovs.h): a change asks it first, and the worker once it has answered; a
 * start goes on meanwhile, and waits for it before the guest runs (vm_run()); an end waits for it last of all.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "broker_nic.h"
#include "links.h"
#include "ovs.h"
#include "vm_change.h"
#include "vm_peer.h"

/* ---- MAC addresses ---- */

static bool has_mac(const struct domain *d, const uint8_t mac[6])
{
	for (size_t i = 0; i < d->nic_count; i++) {
		if (!memcmp(d->nics[i].mac, mac, 6))
			return true;
	}
	return false;
}

bool vm_uses_mac(const struct vm *vm, const uint8_t mac[6])
{
	return has_mac(&vm->domain, mac) || (vm->kept.xml && has_mac(&vm->kept, mac));
}

int vm_check_mac(const struct vm_env *env, const struct vm *vm, const struct domain_nic *nic, struct err *err)
{
	const char *owner = env->mac_owner ? env->mac_owner(nic->mac, vm, env->arg) : NULL;
	char text[DOMAIN_MAC_TEXT];

	domain_mac_text(nic->mac, text);
	return owner ? err_set(err, -EEXIST,
			       "NIC %s: MAC address %s is that of a NIC of VM %s: give it another, or leave it out",
			       nic->alias, text, owner)
		     : 0;
}

/* ---- what is behind them ---- */

static int open_nic(struct vm *vm, struct domain_nic *nic, struct err *err, int *ret_fds)
{
	return domain_nic_streams(nic) ? vm_peer_open(vm, nic, err, &ret_fds[0]) : broker_open_nic(nic, err, ret_fds);
}

/* It was not attached, or is detached. */
static void close_nic(struct vm *vm, const struct domain_nic *nic)
{
	struct err err = {0};

	vm_peer_close(vm, nic->alias);
	if (nic->on_ovs && ovs_unplug(vm->env->ovs, vm->domain.uuid, nic, NULL, NULL, NULL, &err) < 0)
		log_error(vm->domain.name, "%s", err.text);
	broker_nic_gone(nic);
}

static int plug(struct vm *vm, const struct domain_nic *nic, ovs_done_fn done, void *arg, struct err *err)
{
	char name[DOMAIN_IFNAME_MAX];

	vm->on_ovs = true;
	broker_nic_name(nic, name);
	return ovs_plug(vm->env->ovs, nic, name, vm->domain.uuid, vm, done, arg, err);
}

static void on_plugged(int error, const char *text, void *arg)
{
	struct vm *vm = arg;

	vm->plugging--;
	if (error == -ECANCELED || vm->ending || vm->destroyed)
		return;
	if (error)
		vm_fail(vm, error, text);
	else if (vm->run_waits && vm->conn) /* else its loss ends the start */
		vm_run(vm);
}

int vm_nics_open(struct vm *vm, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < vm->domain.nic_count; i++) {
		struct domain_nic *nic = &vm->domain.nics[i];

		r = open_nic(vm, nic, err, vm->files.nics[i]);
		if (r < 0 || !nic->on_ovs)
			continue;
		r = plug(vm, nic, on_plugged, vm, err);
		vm->plugging += r == 0;
	}
	return r;
}

static void on_unplugged(int error, const char *text, void *arg)
{
	struct vm *vm = arg;

	vm->unplug = VM_UNPLUG_DONE;
	if (error == -ECANCELED)
		return;
	if (error)
		log_error(vm->domain.name, "%s", text);
	vm_end_check(vm);
}

bool vm_nics_unplug(struct vm *vm)
{
	struct err err = {0};

	for (size_t i = 0; i < vm->domain.nic_count; i++)
		vm->on_ovs |= vm->domain.nics[i].on_ovs;
	if (vm->unplug == VM_UNPLUG_DONE)
		return true;
	if (vm->unplug == VM_UNPLUG_ASKED)
		return false;
	if (!vm->on_ovs && !vm_changes_on_ovs(vm))
		return true;
	vm->unplug = VM_UNPLUG_ASKED;
	ovs_abandon(vm->env->ovs, vm);
	if (ovs_unplug(vm->env->ovs, vm->domain.uuid, NULL, vm, on_unplugged, vm, &err) == 0)
		return false;
	log_error(vm->domain.name, "%s", err.text);
	return true;
}

void vm_nics_gone(struct vm *vm)
{
	vm->on_ovs = vm->run_waits = false; /* a start that has failed waited, perhaps */
	vm->unplug = VM_UNPLUG_TO_DO;
	vm_peers_close(vm);
	for (size_t i = 0; i < vm->domain.nic_count; i++)
		broker_nic_gone(&vm->domain.nics[i]);
}

/* ---- changes ---- */

/* What is asked; valid during the request. */
struct nic_edit {
	const char *xml;	     /* of one more */
	const char *alias;	     /* else of which */
	const char *const *settings; /* that is set otherwise; else it goes */
};

static int edit(const struct domain *from, const struct nic_edit *what, struct domain *ret, struct err *err)
{
	size_t index;
	int r;

	if (what->xml)
		return domain_add_nic(from, what->xml, ret, err);
	r = domain_find_nic(from, what->alias, &index, err);
	if (r < 0)
		return r;
	return what->settings ? domain_set_nic(from, index, what->settings, ret, err)
			      : domain_remove_nic(from, index, ret, err);
}

static int send_nic(struct worker *worker, const void *what, worker_done_fn done, void *arg)
{
	return worker_change_nic(worker, what, done, arg);
}

static struct domain_nic *last_nic(const struct domain *d)
{
	return &d->nics[d->nic_count - 1];
}

/* Both get the same NIC: what is made for it is made once. */
static int edit_kept(struct vm_change *change, const struct nic_edit *what, struct err *err)
{
	struct vm *vm = change->vm;
	_cleanup_free_ char *xml = NULL;
	struct nic_edit again = *what;

	if (!change->keeps || !vm->kept.xml)
		return 0;
	if (what->xml) {
		xml = domain_nic_xml(&change->then, change->then.nic_count - 1);
		if (!xml)
			return err_set(err, -ENOMEM, "no memory");
		again.xml = xml;
	}
	return edit(&vm->kept, &again, &change->kept, err);
}

static int edit_running(struct vm_change *change, const struct nic_edit *what, unsigned int flags, struct err *err)
{
	struct vm *vm = change->vm;
	int r = vm_change_check(vm, &vm_change_nics, err);

	change->keeps = flags & VM_CHANGE_PERSISTENT;
	if (r == 0)
		r = edit(&vm->domain, what, &change->then, err);
	if (r == 0 && what->xml)
		r = vm_check_mac(vm->env, vm, last_nic(&change->then), err);
	return r < 0 ? r : edit_kept(change, what, err);
}

static int edit_off(struct vm_change *change, const struct nic_edit *what, struct err *err)
{
	struct vm *vm = change->vm;
	int r = edit(vm_kept(vm), what, &change->then, err);

	if (r == 0 && what->xml)
		r = vm_check_mac(vm->env, vm, last_nic(&change->then), err);
	if (r == 0 && what->xml)
		strcpy(change->name, last_nic(&change->then)->alias);
	return r < 0 ? r : vm_change_keep_only(vm, &change->then, err);
}

/* Whether the worker was asked is told by vm->change. */
static void answer(struct vm_change **change, int r, const struct err *err)
{
	struct vm_change *own = *change;

	if (r == 0 && own->vm->change == own)
		*change = NULL;
	else
		own->done(r, err->text, own->name, own->arg);
}

/* ---- Open vSwitch, then the worker ---- */

/* The change is the VM's meanwhile. */
struct nic_request {
	struct vm_change *change;
	struct worker_nic_change what;
	int fds[DOMAIN_NIC_QUEUES_MAX]; /* ATTACH */
};

static struct nic_request *request_new(struct vm_change *change, const struct worker_nic_change *what)
{
	struct nic_request *request = malloc(sizeof(*request));

	if (!request)
		return NULL;
	*request = (struct nic_request){.change = change, .what = *what};
	for (size_t i = 0; i < ARRAY_SIZE(request->fds); i++)
		request->fds[i] = -1;
	request->what.fds = request->fds;
	return request;
}

static void request_free(struct nic_request *request)
{
	if (!request)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(request->fds); i++)
		fd_close(&request->fds[i]);
	free(request);
}

/* @request is freed; what has been made for it goes, if the worker cannot be asked. */
static int ask_worker(struct nic_request *request, struct err *err)
{
	struct vm_change *change = request->change;
	int r = vm_change_ask(change, send_nic, &request->what, err);

	request_free(request);
	if (r < 0)
		vm_nics_changed(change->vm, &change->then, &change->vm->domain);
	return r;
}

static void on_switched(int error, const char *text, void *arg)
{
	struct nic_request *request = arg;
	struct vm_change *change = request->change;
	struct vm *vm = change->vm;
	struct err err = {0};
	int r;

	vm->change = NULL;
	r = error ? err_set(&err, error, "VM %s: %s", vm->domain.name, text) : vm_must_run(vm, &err);
	if (r == 0 && ask_worker(request, &err) == 0)
		return;
	if (r < 0) {
		request_free(request);
		vm_nics_changed(vm, &change->then, &vm->domain);
	}
	change->done(err.code, err.text, change->name, change->arg);
	vm_change_cleanup(&change);
}

static bool same_vlans(const struct domain_nic *a, const struct domain_nic *b)
{
	return a->vlan == b->vlan && a->trunk == b->trunk && a->native_tagged == b->native_tagged &&
	       a->trunk_count == b->trunk_count &&
	       !memcmp(a->trunk_tags, b->trunk_tags, a->trunk_count * sizeof(a->trunk_tags[0]));
}

static int set_port(struct vm *vm, const struct domain_nic *nic, const void *owner, ovs_done_fn done, void *arg,
		    struct err *err)
{
	char name[DOMAIN_IFNAME_MAX];

	broker_nic_name(nic, name);
	return ovs_set(vm->env->ovs, nic, name, owner, done, arg, err);
}

/* As last_nic() or the one that is set, which the VM has. @request is taken over. */
static int ask(struct nic_request *request, struct err *err)
{
	const struct worker_nic_change *what = &request->what;
	const struct domain_nic *nic = &what->domain->nics[what->index];
	struct vm_change *change = request->change;
	struct vm *vm = change->vm;
	int r;

	if (nic->on_ovs && what->kind == WORKER_NIC_ATTACH)
		r = plug(vm, nic, on_switched, request, err);
	else if (nic->on_ovs && what->kind == WORKER_NIC_SET && !same_vlans(nic, &vm->domain.nics[what->index]))
		r = set_port(vm, nic, vm, on_switched, request, err);
	else
		return ask_worker(request, err);
	if (r == 0) {
		vm->change = change;
		return 0;
	}
	request_free(request);
	vm_nics_changed(vm, &change->then, &vm->domain);
	return r;
}

/* ---- attach ---- */

static int attach_running(struct vm_change *change, const struct nic_edit *edited, unsigned int flags, struct err *err)
{
	struct vm *vm = change->vm;
	int r = edit_running(change, edited, flags, err);
	struct worker_nic_change what = {.kind = WORKER_NIC_ATTACH, .domain = &change->then, .then = &change->then};
	struct nic_request *request;
	struct domain_nic *nic;

	if (r < 0)
		return r;
	nic = last_nic(&change->then);
	what.index = change->then.nic_count - 1;
	what.nfds = nic->queues;
	strcpy(change->name, nic->alias);
	request = request_new(change, &what);
	r = request ? vm_change_plan(change, err) : err_set(err, -ENOMEM, "no memory");
	if (r == 0)
		r = open_nic(vm, nic, err, request->fds);
	if (r < 0) {
		request_free(request);
		return r;
	}
	return ask(request, err);
}

void vm_attach_nic(struct vm *vm, const char *xml, unsigned int flags, vm_change_fn done, void *arg)
{
	_cleanup_(vm_change_cleanup) struct vm_change *change = vm_change_new(vm, &vm_change_nics, done, arg);
	const struct nic_edit what = {.xml = xml};
	struct err err = {0};
	int r;

	if (!change) {
		done(-ENOMEM, "no memory", "", arg);
		return;
	}
	r = vm_change_check_flags(vm, flags, &err);
	if (r == 0)
		r = vm_change_is_off(vm, flags) ? edit_off(change, &what, &err)
						: attach_running(change, &what, flags, &err);
	answer(&change, r, &err);
}

/* ---- detach, set ---- */

/* What its device must do otherwise for that is done before. */
static int set_device(const struct vm *vm, const struct domain_nic *nic, size_t index, struct err *err)
{
	const struct domain_nic *now = &vm->domain.nics[index];

	if (nic->mtu == now->mtu)
		return 0;
	if (nic->type == DOMAIN_NIC_USER)
		return err_set(err, -EOPNOTSUPP,
			       "VM %s: NIC %s: passt has its MTU from its start on: set it with --config for the next "
			       "start of the VM, or detach the NIC and attach it again",
			       vm->domain.name, nic->alias);
	return domain_nic_streams(nic) ? 0 : broker_nic_set_mtu(nic, err);
}

static int ask_running(struct vm_change *change, const struct nic_edit *edited, unsigned int flags, uint32_t timeout_s,
		       struct err *err)
{
	struct vm *vm = change->vm;
	struct worker_nic_change what = {
		.kind = edited->settings ? WORKER_NIC_SET : WORKER_NIC_DETACH,
		.domain = edited->settings ? &change->then : &vm->domain,
		.then = &change->then,
		.timeout_ms = flags & VM_CHANGE_FORCE ? 0 : timeout_s * 1000,
	};
	struct nic_request *request = NULL;
	int r = edit_running(change, edited, flags, err);

	if (r == 0)
		r = domain_find_nic(&vm->domain, edited->alias, &what.index, err);
	if (r == 0 && !edited->settings && vm->state == VM_PAUSED && !(flags & VM_CHANGE_FORCE))
		r = err_set(
			err, -EBADFD,
			"VM %s: it is paused, and its guest cannot let go of NIC %s: resume it first, or use --force",
			vm->domain.name, edited->alias);
	if (r == 0)
		request = request_new(change, &what);
	if (r == 0 && !request)
		r = err_set(err, -ENOMEM, "no memory");
	if (r == 0 && edited->settings)
		r = vm_change_plan(change, err);
	if (r == 0 && edited->settings)
		r = set_device(vm, &change->then.nics[what.index], what.index, err);
	if (r == 0)
		return ask(request, err);
	request_free(request);
	return r;
}

static void change_nic(struct vm *vm, const struct nic_edit *what, unsigned int flags, uint32_t timeout_s,
		       vm_change_fn done, void *arg)
{
	_cleanup_(vm_change_cleanup) struct vm_change *change = vm_change_new(vm, &vm_change_nics, done, arg);
	struct err err = {0};
	int r;

	if (!change) {
		done(-ENOMEM, "no memory", what->alias, arg);
		return;
	}
	snprintf(change->name, sizeof(change->name), "%s", what->alias);
	r = vm_change_check_flags(vm, flags, &err);
	if (r == 0)
		r = vm_change_is_off(vm, flags) ? edit_off(change, what, &err)
						: ask_running(change, what, flags, timeout_s, &err);
	answer(&change, r, &err);
}

void vm_detach_nic(struct vm *vm, const char *alias, unsigned int flags, uint32_t timeout_s, vm_change_fn done,
		   void *arg)
{
	const struct nic_edit what = {.alias = alias};
	char text[ERR_TEXT_MAX];

	if (!vm_change_is_off(vm, flags) && !(flags & VM_CHANGE_FORCE) &&
	    (timeout_s < 1 || timeout_s > VM_CHANGE_TIMEOUT_MAX_S)) {
		vm_put_text(text, sizeof(text), "timeout: %u s: 1 to %u", timeout_s, VM_CHANGE_TIMEOUT_MAX_S);
		done(-EINVAL, text, alias, arg);
		return;
	}
	change_nic(vm, &what, flags, timeout_s, done, arg);
}

void vm_set_nic(struct vm *vm, const char *alias, const char *const *settings, unsigned int flags, vm_change_fn done,
		void *arg)
{
	const struct nic_edit what = {.alias = alias, .settings = settings};

	change_nic(vm, &what, flags, 0, done, arg);
}

/* ---- capture ---- */

void vm_capture_nic(struct vm *vm, const char *alias, const struct vm_capture *capture, vm_change_fn done, void *arg)
{
	_cleanup_(vm_change_cleanup) struct vm_change *change = vm_change_new(vm, &vm_change_nics, done, arg);
	struct worker_nic_change what = {
		.kind = WORKER_NIC_CAPTURE,
		.domain = &vm->domain,
		.fds = &capture->fd,
		.nfds = capture->fd >= 0,
		.snap_len = capture->snap_len,
		.filter = capture->filter,
		.filter_len = capture->filter_len,
	};
	struct err err = {0};
	int r;

	if (!change) {
		done(-ENOMEM, "no memory", alias, arg);
		return;
	}
	snprintf(change->name, sizeof(change->name), "%s", alias);
	r = vm_change_check(vm, &vm_change_nics, &err);
	if (r == 0)
		r = domain_find_nic(&vm->domain, alias, &what.index, &err);
	if (r == 0)
		r = vm_change_ask(change, send_nic, &what, &err);
	answer(&change, r, &err);
}

/* ---- after a change ---- */

/* Of a change that was not made after all, what was done for it before is undone. */
static void follow(struct vm *vm, const struct domain_nic *before, const struct domain_nic *after)
{
	struct err err = {0};

	if (before->mtu != after->mtu && !domain_nic_streams(after))
		broker_nic_set_mtu(after, &err);
	if (after->on_ovs && !same_vlans(before, after))
		set_port(vm, after, NULL, NULL, NULL, &err);
	if (err.code)
		log_error(vm->domain.name, "%s", err.text);
}

void vm_nics_changed(struct vm *vm, const struct domain *before, const struct domain *after)
{
	size_t index;

	links_look(vm->env->links);
	for (size_t i = 0; i < before->nic_count; i++) {
		if (domain_find_nic(after, before->nics[i].alias, &index, NULL) < 0)
			close_nic(vm, &before->nics[i]);
		else if (after == &vm->domain)
			follow(vm, &before->nics[i], &after->nics[index]);
	}
}

void vm_nics_follow(struct vm *vm, const struct domain *then)
{
	size_t index;

	for (size_t i = 0; i < vm->domain.nic_count; i++) {
		if (domain_find_nic(then, vm->domain.nics[i].alias, &index, NULL) == 0)
			follow(vm, &vm->domain.nics[i], &then->nics[index]);
	}
}
