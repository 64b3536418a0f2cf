/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes that serve a VM's guest, which the worker or systemd runs: what is told of them, and their upgrade.
 *
 * Theory of operation: the worker starts and replaces them, also while no vmmgmtd is there. Of the one that holds locks
 * on images vmmgmtd keeps track itself: the VM has not ended before that process has, however the worker ended. A
 * worker runs a guest and is not believed: only a process that descends from it, or is that of the VM's unit where the
 * service manager runs them, is watched, and killed at the end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "dbus/session.h"
#include "links.h"
#include "vm_int.h"
#include "vm_peer.h"

/* Which installed program serves what; of one that was started before in the same run, and did not come to serve, what
 * is ended first. */
static const struct {
	const char *service, *program;
	const char *const again[2];
} servers[] = {
	[VM_STORAGED] = {VM_SERVICE_STORAGE, "vsp-storaged", {"vsp-storaged"}},
	[VM_NETD] = {VM_SERVICE_NETWORK, "vsp-netd", {"vsp-netd"}},
};

const char *vm_server_name(enum vm_server server)
{
	return servers[server].program;
}

bool vm_server_wanted(const struct vm *vm, enum vm_server server)
{
	return server == VM_STORAGED ? vm->domain.disk_count > 0 : vm->domain.nic_count > 0;
}

struct vm_process *vm_server_serving(struct vm *vm)
{
	for (enum vm_server i = 0; i < VM_SERVERS; i++)
		if (vm->servers[i].launched)
			return &vm->servers[i];
	return NULL;
}

const struct worker_service *vm_service_find(const struct vm *vm, const char *name)
{
	for (size_t i = 0; i < vm->service_count; i++) {
		if (!strcmp(vm->services[i].name, name))
			return &vm->services[i];
	}
	return NULL;
}

/* ---- what the worker tells ---- */

static void tell_change(struct vm *vm, const struct worker_service *now)
{
	const struct worker_service *before = vm_service_find(vm, now->name);

	if (!before ||
	    (before->state == now->state && before->deaths == now->deaths && before->upgrades == now->upgrades) ||
	    !log_allowed(&vm->told, vm->domain.name))
		return;
	log_info(vm->domain.name, "service %s: %s%s%s", now->name, vm_service_state_name(now->state),
		 *now->message ? ": " : "", now->message);
}

/* The process that uses what is the VM's now. */
static void follow(struct vm *vm, struct vm_process *server, const struct worker_service *service)
{
	const struct launcher_ops *ops = vm->env->launcher->ops;
	struct launched *process;
	struct launch_id id;
	int r;

	if (!service->pid || !vm->worker)
		return;
	/* One without a pid is being started: it says itself what comes of that. */
	if (server->launched && (!ops->id(server->launched).pid || ops->id(server->launched).pid == service->pid))
		return;
	r = ops->identify(service->pid, vm->worker_pid, &id);
	if (r == -EPERM) {
		if (log_allowed(&vm->told, vm->domain.name))
			log_warn(vm->domain.name, "service %s: process %d is not the worker's: it is not watched",
				 service->name, (int)service->pid);
		return;
	}
	if (r < 0 || ops->adopt(vm->env->launcher, &id, &vm_server_launch_events, server, &process) < 0)
		return; /* gone already: the worker will tell */
	if (server->launched)
		ops->release(server->launched);
	server->launched = process;
	vm_save_runtime_soon(vm);
}

void vm_server_follow(struct vm *vm, struct vm_process *server)
{
	const struct worker_service *service = vm_service_find(vm, servers[server->server].service);

	if (service && vm->has_folder)
		follow(vm, server, service);
}

void vm_services_set(struct vm *vm, const struct worker_status *status)
{
	/* At the VM's end its processes go with it, which is no news. */
	const bool over = vm->ending || vm->destroyed || status->phase == WORKER_PHASE_OFF ||
			  status->phase == WORKER_PHASE_CRASHED;

	for (size_t i = 0; !over && i < status->service_count; i++)
		tell_change(vm, &status->services[i]);
	if (!vm->services && status->service_count)
		vm->services = calloc(WORKER_SERVICES_MAX, sizeof(*vm->services));
	vm->service_count = vm->services ? MIN(status->service_count, WORKER_SERVICES_MAX) : 0;
	if (vm->service_count)
		memcpy(vm->services, status->services, vm->service_count * sizeof(*vm->services));
	for (enum vm_server i = 0; i < VM_SERVERS; i++)
		vm_server_follow(vm, &vm->servers[i]);
	if (!over)
		vm_peers_told(vm);
	links_look(vm->env->links);
}

/* ---- upgrade ---- */

struct upgrade {
	vm_done_fn done;
	void *arg;
};

static void on_upgraded(int error, const char *text, void *arg)
{
	struct upgrade *upgrade = arg;

	if (error == -ETIMEDOUT)
		text = "the worker has not finished it yet: see \"vmctl service list\" and the VM's log";
	upgrade->done(error, error && !*text ? strerror(-error) : text, upgrade->arg);
	free(upgrade);
}

static int check_service(const struct vm *vm, const char *name, struct err *err)
{
	char known[256] = "";

	if (vm_service_find(vm, name))
		return 0;
	for (size_t i = 0; i < vm->service_count; i++) {
		size_t len = strlen(known);

		snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "", vm->services[i].name);
	}
	return err_set(err, -ENOENT, "VM %s: it has no service %s: it has %s", vm->domain.name, name,
		       *known ? known : "none");
}

/* @path: "" for the installed program. */
static int open_program(const char *service, const char *path, struct err *err, int *ret_fd)
{
	char installed[PATH_MAX];
	int r = *path && *path != '/' ? err_set(err, -EINVAL, "program %s: give its absolute path", path) : 0;

	if (r == 0 && !*path) {
		size_t i = 0;

		while (i < ARRAY_SIZE(servers) && strcmp(servers[i].service, service) != 0)
			i++;
		r = i < ARRAY_SIZE(servers)
			    ? session_program(servers[i].program, installed, sizeof(installed), err)
			    : err_set(err, -EINVAL, "service %s: name its program: there is no installed one", service);
		path = installed;
	}
	return r < 0 ? r : broker_open_program(path, err, ret_fd);
}

void vm_upgrade(struct vm *vm, const char *service, const char *path, vm_done_fn done, void *arg)
{
	_cleanup_close_ int fd = -1;
	struct upgrade *upgrade = NULL;
	struct err err = {0};
	int r = vm_must_run(vm, &err);

	if (r == 0)
		r = check_service(vm, service, &err);
	/* The next process is one of the installed program, whatever runs now. */
	if (r == 0 && *path && vm->env->launcher->ops->runs_services)
		r = err_set(
			&err, -EOPNOTSUPP,
			"VM %s: systemd runs its services, and only the installed program: install the new one, then "
			"\"vmctl service upgrade %s %s\" without --exe",
			vm->domain.name, vm->domain.name, service);
	if (r == 0 && !vm->env->launcher->ops->runs_services)
		r = open_program(service, path, &err, &fd);
	if (r == 0 && !(upgrade = malloc(sizeof(*upgrade))))
		r = err_set(&err, -ENOMEM, "no memory");
	if (r == 0) {
		*upgrade = (struct upgrade){done, arg};
		r = worker_upgrade(vm->conn, service, fd, on_upgraded, upgrade);
		if (r < 0)
			err_set(&err, r, "VM %s: its vmworker cannot be asked: %s", vm->domain.name, strerror(-r));
	}
	if (r < 0) {
		free(upgrade);
		done(r, err.text, arg);
	}
}

/* ---- the start ---- */

int vm_service_open_programs(struct vm *vm, struct err *err)
{
	int *const fds[] = {[VM_STORAGED] = &vm->files.storage_program, [VM_NETD] = &vm->files.network_program};
	bool *const there[] = {[VM_STORAGED] = &vm->files.storage, [VM_NETD] = &vm->files.network};
	int r = 0;

	for (enum vm_server i = 0; r == 0 && i < VM_SERVERS; i++) {
		struct err unwanted = {0};
		bool wanted = vm_server_wanted(vm, i);

		if (!vm->env->launcher->ops->runs_services)
			r = open_program(servers[i].service, "", wanted ? err : &unwanted, fds[i]);
		*there[i] = r == 0;
		if (!wanted)
			r = 0;
	}
	return r;
}

/* The worker's is the last: a stop of it would wait for theirs, and what does not end would seem to be the worker. */
const char *const vm_server_clears[] = {"vsp-storaged", "vsp-netd", "vmworker", NULL};
_Static_assert(ARRAY_SIZE(vm_server_clears) == 1 + VM_SERVERS + 1, "the worker, and all of servers[]");

static int launch(struct vm *vm, enum vm_server server, const char *const *clears, struct err *err)
{
	static const char *const engines[] = {
		[DOMAIN_IO_URING] = "--engine io_uring", [DOMAIN_IO_THREADS] = "--engine threads"};
	const struct launch_request request = {
		.program = servers[server].program,
		.uuid = vm->domain.uuid,
		.vm = vm->domain.name,
		.unit_args = server == VM_STORAGED ? engines[vm->domain.io] : NULL,
		.clears = clears,
		.clear_ms = VM_CLEAR_MS,
		.clears_own = true,
		.log_fd = -1,
		.ready_ms = VM_SERVER_READY_MS,
	};

	return vm->env->launcher->ops->start(vm->env->launcher, &request, &vm_server_launch_events,
					     &vm->servers[server], err, &vm->servers[server].launched);
}

int vm_servers_launch(struct vm *vm, struct err *err)
{
	int r = 0;

	for (enum vm_server i = 0; r == 0 && i < VM_SERVERS && vm->env->launcher->ops->runs_services; i++)
		if (vm_server_wanted(vm, i))
			r = launch(vm, i, NULL, err);
	return r;
}

int vm_server_wake(struct vm *vm, const char *name, struct err *err)
{
	const struct worker_service *service = vm_service_find(vm, name);

	for (enum vm_server i = 0; vm->env->launcher->ops->runs_services && i < VM_SERVERS; i++)
		if (!strcmp(servers[i].service, name) && !vm->servers[i].launched && service && service->idle)
			return launch(vm, i, servers[i].again, err);
	return 0;
}
