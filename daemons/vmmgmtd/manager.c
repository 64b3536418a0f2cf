/* SPDX-License-Identifier: Apache-2.0 */
#include "manager.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "links.h"
#include "ovs.h"
#include "store.h"

#define SETTLE_NS      (5 * NS_PER_SEC)
#define ORPHAN_KILL_MS 2000u

/* A VM in the set; on the list, sorted by name. */
struct entry {
	struct entry *next;
	struct manager *manager;
	struct vm *vm;
	struct loop_source *linger; /* removes it; armed once it has ended and is transient */
	bool failed;		    /* its creation failed: nobody will ask for it */
};

struct manager {
	struct loop *loop;
	struct manager_config config;
	struct store *store;
	struct vm_env env;
	struct entry *entries;
	const struct manager_events *events;
	void *arg;
};

/* ---- the set ---- */

static struct entry *entry_of(const struct manager *m, const struct vm *vm)
{
	struct entry *e = m->entries;

	while (e && e->vm != vm)
		e = e->next;
	return e;
}

static void entry_free(struct entry *e)
{
	loop_remove(&e->linger);
	vm_free(e->vm);
	free(e);
}

static void entry_remove(struct entry *e)
{
	struct manager *m = e->manager;
	struct entry **at = &m->entries;

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	ended_remove(m->config.base, vm_domain(e->vm)->uuid);
	if (m->events)
		m->events->removed(e->vm, m->arg);
	entry_free(e);
}

static void on_linger(void *arg)
{
	entry_remove(arg);
}

static void entry_insert(struct manager *m, struct entry *e)
{
	const char *name = vm_domain(e->vm)->name;
	struct entry **at = &m->entries;

	while (*at && strcmp(vm_domain((*at)->vm)->name, name) < 0)
		at = &(*at)->next;
	e->next = *at;
	*at = e;
}

/* @domain is taken over. */
static struct entry *entry_add(struct manager *m, struct domain *domain, bool persistent)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->manager = m;
	if (loop_add_timer(m->loop, on_linger, e, &e->linger) == 0)
		e->vm = vm_new(&m->env, domain, persistent);
	if (!e->vm) {
		entry_free(e);
		return NULL;
	}
	entry_insert(m, e);
	if (m->events)
		m->events->added(e->vm, m->arg);
	return e;
}

struct vm *manager_next(const struct manager *m, const struct vm *vm)
{
	struct entry *e = vm ? entry_of(m, vm)->next : m->entries;

	return e ? e->vm : NULL;
}

struct vm *manager_find_name(const struct manager *m, const char *name)
{
	for (struct entry *e = m->entries; e; e = e->next) {
		if (!strcmp(vm_domain(e->vm)->name, name))
			return e->vm;
	}
	return NULL;
}

struct vm *manager_find_uuid(const struct manager *m, const char *text)
{
	char uuid[DOMAIN_UUID_MAX];

	if (domain_uuid_normalise(text, uuid) < 0)
		return NULL;
	for (struct entry *e = m->entries; e; e = e->next) {
		if (!strcmp(vm_domain(e->vm)->uuid, uuid))
			return e->vm;
	}
	return NULL;
}

unsigned int manager_busy(const struct manager *m)
{
	unsigned int n = 0;

	for (struct entry *e = m->entries; e; e = e->next) {
		struct vm_info info;

		vm_info(e->vm, &info);
		n += info.active || info.restarting;
	}
	return n;
}

const struct manager_config *manager_config(const struct manager *m)
{
	return &m->config;
}

const char *const *manager_quarantined(const struct manager *m)
{
	return store_quarantined(m->store);
}

void manager_set_events(struct manager *m, const struct manager_events *events, void *arg)
{
	m->events = events;
	m->arg = arg;
}

/* ---- what VMs tell and ask ---- */

static void on_changed(struct vm *vm, void *arg)
{
	struct manager *m = arg;

	if (m->events && entry_of(m, vm))
		m->events->changed(vm, m->arg);
}

/* For how long one that ended at @at_ns can still be asked. */
static uint64_t linger_ns(uint64_t at_ns)
{
	const uint64_t now = clock_now_ns(), all = MANAGER_LINGER_S * NS_PER_SEC;

	return at_ns <= now && now - at_ns < all ? all - (now - at_ns) : 0;
}

static void linger_if_over(struct entry *e)
{
	struct vm_info info;

	vm_info(e->vm, &info);
	if (info.persistent || info.active || info.restarting)
		loop_disarm(e->linger);
	else
		loop_arm(e->linger, e->failed ? 0 : MANAGER_LINGER_S * NS_PER_SEC);
}

static void on_ended(struct vm *vm, void *arg)
{
	struct entry *e = entry_of(arg, vm);

	if (e)
		linger_if_over(e);
}

static const struct vm_events vm_events = {on_changed, on_ended};

static int keep(struct vm *vm, const char *xml, struct err *err, void *arg)
{
	struct manager *m = arg;

	return store_save(m->store, vm_domain(vm)->uuid, xml, err);
}

static const char *find_owner(const struct stat *st, void *arg)
{
	struct manager *m = arg;

	for (struct entry *e = m->entries; e; e = e->next) {
		if (vm_uses_image(e->vm, st))
			return vm_domain(e->vm)->name;
	}
	return NULL;
}

/* ---- definitions ---- */

/* A transient VM that has ended gives its name and UUID away. */
static void displace(struct manager *m, struct vm *vm)
{
	struct vm_info info;

	if (!vm)
		return;
	vm_info(vm, &info);
	if (!info.persistent && !info.active && !info.restarting && info.state != VM_STARTING)
		entry_remove(entry_of(m, vm));
}

/* The name of another VM that has this MAC address, running or not; NULL: none. */
static const char *find_mac(const uint8_t mac[6], const struct vm *except, void *arg)
{
	const struct manager *m = arg;

	for (const struct entry *e = m->entries; e; e = e->next) {
		if (e->vm != except && vm_uses_mac(e->vm, mac))
			return vm_domain(e->vm)->name;
	}
	return NULL;
}

/* What a definition says that only the host's other VMs contradict. @vm: that it is of, NULL if it is new. */
static int check_others(const struct manager *m, const struct domain *d, const struct vm *vm, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->nic_count; i++)
		r = vm_check_mac(&m->env, vm, &d->nics[i], err);
	return r;
}

/* The VM that a definition is of, NULL if it is new. */
static int find_same(struct manager *m, const struct domain *d, struct err *err, struct vm **ret)
{
	struct vm *by_name, *by_uuid;

	displace(m, manager_find_name(m, d->name));
	displace(m, manager_find_uuid(m, d->uuid));
	by_name = manager_find_name(m, d->name);
	by_uuid = manager_find_uuid(m, d->uuid);
	if (by_name && by_name != by_uuid)
		return err_set(err, -EEXIST,
			       "VM %s: there is one of that name, with uuid %s: put that <uuid> into the definition, "
			       "or undefine it",
			       d->name, vm_domain(by_name)->uuid);
	if (by_uuid && !by_name)
		return err_set(err, -EEXIST, "VM %s: its uuid is that of VM %s: remove the <uuid>, or undefine that VM",
			       d->name, vm_domain(by_uuid)->name);
	*ret = by_name;
	return 0;
}

int manager_define(struct manager *m, const char *xml, struct domain_report *report, struct err *err,
		   struct vm **ret_vm)
{
	_cleanup_(domain_done) struct domain domain = {0};
	struct vm *vm = NULL;
	struct entry *e;
	int r = domain_parse(xml, strlen(xml), &domain, report, err);

	if (r == 0)
		r = domain_no_faults(&domain, err);
	if (r == 0)
		r = find_same(m, &domain, err, &vm);
	if (r == 0)
		r = check_others(m, &domain, vm, err);
	if (r == 0)
		r = store_save(m->store, domain.uuid, domain.xml, err);
	if (r < 0)
		return r;
	if (vm) {
		vm_redefine(vm, &domain);
		loop_disarm(entry_of(m, vm)->linger);
	} else {
		char uuid[DOMAIN_UUID_MAX];

		strcpy(uuid, domain.uuid);
		e = entry_add(m, &domain, true);
		if (!e) {
			store_remove(m->store, uuid, NULL);
			return err_set(err, -ENOMEM, "no memory for another VM");
		}
		vm = e->vm;
	}
	*ret_vm = vm;
	return 0;
}

/* A creation under way. */
struct creation {
	struct entry *entry;
	vm_done_fn done;
	void *arg;
};

static void on_created(int error, const char *text, void *arg)
{
	struct creation *c = arg;

	c->entry->failed = error != 0;
	c->done(error, text, c->arg);
	free(c);
}

int manager_create(struct manager *m, const char *xml, bool paused, struct domain_report *report, vm_done_fn done,
		   void *arg, struct err *err, struct vm **ret_vm)
{
	_cleanup_(domain_done) struct domain domain = {0};
	struct creation *c;
	struct vm *vm = NULL;
	int r = domain_parse(xml, strlen(xml), &domain, report, err);

	if (r == 0)
		r = domain_no_faults(&domain, err);
	if (r == 0)
		r = find_same(m, &domain, err, &vm);
	if (r == 0)
		r = check_others(m, &domain, vm, err);
	if (r < 0)
		return r;
	if (vm)
		return err_set(err, -EEXIST, "VM %s: there is one already: start that one, or choose another name",
			       domain.name);
	c = malloc(sizeof(*c));
	if (c)
		*c = (struct creation){entry_add(m, &domain, false), done, arg};
	if (!c || !c->entry) {
		free(c);
		return err_set(err, -ENOMEM, "no memory for another VM");
	}
	*ret_vm = c->entry->vm;
	vm_start(*ret_vm, paused, on_created, c);
	return 0;
}

int manager_undefine(struct manager *m, struct vm *vm, struct err *err)
{
	struct vm_info info;
	int r;

	vm_info(vm, &info);
	if (!info.persistent)
		return err_set(err, -EBADFD, "VM %s: it is not defined: it is gone when it ends", vm_domain(vm)->name);
	r = store_remove(m->store, vm_domain(vm)->uuid, err);
	if (r < 0)
		return r;
	if (info.active)
		vm_set_transient(vm);
	else
		entry_remove(entry_of(m, vm));
	return 0;
}

int manager_set_autostart(struct manager *m, struct vm *vm, bool on, struct err *err)
{
	struct vm_info info;
	int r;

	vm_info(vm, &info);
	if (!info.persistent)
		return err_set(err, -EBADFD, "VM %s: it is not defined: define it to have it started with the host",
			       vm_domain(vm)->name);
	r = store_set_autostart(m->store, vm_domain(vm)->uuid, on, err);
	if (r == 0)
		vm_set_autostart(vm, on);
	return r;
}

/* ---- start-up ---- */

static int load_one(const char *uuid, const char *xml, size_t len, struct err *err, void *arg)
{
	struct manager *m = arg;
	struct domain domain = {0};
	const struct vm *other;
	struct entry *e;
	int r = domain_parse(xml, len, &domain, NULL, err);

	if (r < 0)
		return r;
	other = manager_find_name(m, domain.name);
	if (strcmp(domain.uuid, uuid))
		r = err_set(err, -EINVAL, "its uuid is not that of its name");
	else if (other)
		r = err_set(err, -EEXIST, "its name %s is that of %s, too", domain.name, vm_domain(other)->uuid);
	else if (!(e = entry_add(m, &domain, true)))
		r = err_set(err, -ENOMEM, "no memory for another VM");
	else
		vm_set_autostart(e->vm, store_autostart(m->store, uuid));
	domain_done(&domain);
	return r;
}

/* vmmgmtd may have been killed between the start of the worker and the writing down of that. */
static void find_worker(const struct manager *m, const char *uuid, struct launch_id *worker)
{
	char folder[PATH_MAX];

	if (!worker->pid && snprintf(folder, sizeof(folder), "%s/%s", m->config.base, uuid) < (int)sizeof(folder))
		launch_find("vmworker", folder, worker);
}

static void runtime_path(const struct manager *m, const char *uuid, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/%s", m->config.base, uuid);
}

/* What cannot be understood is not left to run: nobody could end it any more. */
static void drop_leftover(struct manager *m, const char *uuid, const struct runtime_state *state)
{
	struct launch_id worker = state->worker;
	char path[PATH_MAX];

	runtime_path(m, uuid, path);
	log_warn(path, "left over and not usable: removed");
	find_worker(m, uuid, &worker);
	launch_kill_id(&worker, ORPHAN_KILL_MS);
	launch_kill_id(&state->storage, ORPHAN_KILL_MS);
	launch_kill_id(&state->network, ORPHAN_KILL_MS);
	runtime_remove(m->config.base, uuid);
}

/* The VM of a runtime folder: the one of a kept definition, or a new transient one. */
static struct entry *entry_for_running(struct manager *m, struct domain *running)
{
	struct vm *vm = manager_find_uuid(m, running->uuid);

	if (vm) {
		vm_set_running(vm, running);
		return entry_of(m, vm);
	}
	return manager_find_name(m, running->name) ? NULL : entry_add(m, running, false);
}

static void find_one(const char *uuid, void *arg)
{
	struct manager *m = arg;
	struct runtime_state state = {0};
	struct domain domain = {0};
	_cleanup_free_ char *xml = NULL;
	struct err err = {0};
	struct entry *e = NULL;
	size_t len = 0;
	int r = runtime_load(m->config.base, uuid, &state, &xml, &len);
	char path[PATH_MAX];

	if (r == -EPROTONOSUPPORT) {
		runtime_path(m, uuid, path);
		log_warn(path, "of a VM that a later version of Bulkhead runs: it is left alone");
		return;
	}
	if (r == 0)
		r = domain_parse(xml, len, &domain, NULL, &err);
	if (r == 0 && !strcmp(domain.uuid, uuid))
		e = entry_for_running(m, &domain);
	domain_done(&domain);
	if (e && !state.up)
		find_worker(m, uuid, &state.worker);
	if (e)
		vm_adopt(e->vm, &state);
	else
		drop_leftover(m, uuid, &state);
}

/* The VM whose end an earlier vmmgmtd has written down. Return: NULL if nobody can ask for it any more. */
static struct entry *entry_for_ended(struct manager *m, const char *uuid, const struct ended *ended)
{
	struct domain domain = {0};
	struct err err = {0};
	struct entry *e = NULL;
	struct vm *vm = manager_find_uuid(m, uuid);

	if (vm && !ended->again)
		return entry_of(m, vm);
	if (!vm && (ended->persistent || (!ended->again && linger_ns(ended->at_ns) == 0)))
		return NULL;
	if (domain_parse(ended->xml, strlen(ended->xml), &domain, NULL, &err) == 0 && !strcmp(domain.uuid, uuid))
		e = entry_for_running(m, &domain);
	domain_done(&domain);
	return e;
}

static void restore_one(const char *uuid, struct ended *ended, void *arg)
{
	struct manager *m = arg;
	const struct vm *vm = manager_find_uuid(m, uuid);
	struct vm_info info = {0};
	struct entry *e;

	if (vm)
		vm_info(vm, &info);
	/* One that was found by its folder runs, or has ended just now, and this is of before. */
	if (info.active || (info.reason && *info.reason))
		return;
	e = entry_for_ended(m, uuid, ended);
	if (!e) {
		ended_remove(m->config.base, uuid);
		return;
	}
	vm_restore(e->vm, ended);
	if (!ended->again && !vm)
		loop_arm(e->linger, linger_ns(ended->at_ns));
}

static bool follow_links(void *arg)
{
	const struct manager *m = arg;
	bool again = false;

	for (const struct entry *e = m->entries; e; e = e->next)
		again |= vm_links_follow(e->vm);
	return again;
}

int manager_new(struct loop *loop, const struct manager_config *config, struct err *err, struct manager **ret_manager)
{
	struct manager *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return err_set(err, -ENOMEM, "no memory");
	m->loop = loop;
	m->config = *config;
	m->env = (struct vm_env){
		.loop = loop,
		.launcher = config->launcher,
		.base = config->base,
		.logs = config->logs,
		.reservations = config->reservations,
		.kvm = config->kvm,
		.owners = {find_owner, m},
		.mac_owner = find_mac,
		.events = &vm_events,
		.keep = keep,
		.arg = m,
	};
	if (mkdir(config->logs, 0700) < 0 && errno != EEXIST)
		r = err_set(err, -errno, "log folder %s: cannot make it: %s", config->logs, strerror(errno));
	else
		r = store_open(config->vms, err, &m->store);
	/* Without it all else works. */
	if (r == 0 && links_new(loop, follow_links, m, &m->env.links) < 0)
		log_warn(NULL, "rtnetlink: links of NICs do not follow the host's devices");
	if (r == 0 && config->spawner && ovs_new(loop, config->spawner, config->base, &m->env.ovs) < 0)
		r = err_set(err, -ENOMEM, "no memory");
	if (r == 0)
		r = store_load(m->store, load_one, m, err);
	if (r < 0) {
		manager_free(m);
		return r;
	}
	ovs_sweep(m->env.ovs);
	runtime_scan(config->base, find_one, m);
	ended_scan(config->base, restore_one, m);
	*ret_manager = m;
	return 0;
}

static void on_settle_over(void *arg)
{
	*(bool *)arg = true;
}

static bool is_settled(const struct manager *m)
{
	for (struct entry *e = m->entries; e; e = e->next) {
		struct vm_info info;

		vm_info(e->vm, &info);
		if (info.state == VM_STARTING)
			return false;
	}
	return true;
}

void manager_settle(struct manager *m)
{
	struct loop_source *timer = NULL;
	bool over = false;

	if (loop_add_timer(m->loop, on_settle_over, &over, &timer) < 0)
		return;
	loop_arm(timer, SETTLE_NS);
	while (!over && !is_settled(m) && !loop_stopping(m->loop)) {
		if (loop_run_once(m->loop, true) < 0)
			break;
	}
	loop_remove(&timer);
}

void manager_free(struct manager *m)
{
	if (!m)
		return;
	m->events = NULL;
	while (m->entries) {
		struct entry *e = m->entries;

		m->entries = e->next;
		entry_free(e);
	}
	ovs_free(m->env.ovs);
	links_free(m->env.links);
	store_free(m->store);
	free(m);
}
