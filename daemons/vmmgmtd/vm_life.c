/* SPDX-License-Identifier: Apache-2.0 */
/* How a VM starts and ends; vm.h has the picture. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "vm_int.h"
#include "vm_peer.h"

/* From STOP, or the guest's end, to SIGKILL: more than the worker itself waits for its providers, so that it leaves
 * word of the end, for a vmmgmtd that did not ask for it. */
#define STOP_GRACE_NS	(7 * NS_PER_SEC)
#define SERVER_GRACE_NS (5 * NS_PER_SEC) /* from the worker's end: its I/O may still be on its way */
#define DRAIN_GRACE_NS	(2 * NS_PER_SEC) /* from the worker's end to that of its connection */
#define RECONNECT_NS	(1 * NS_PER_SEC)
#define KILLED_NS	(5 * NS_PER_SEC) /* who was killed so long ago and is still there waits in the kernel */

static void end_begin(struct vm *vm);

/* ---- the end ---- */

static void last_set(struct vm *vm, enum vm_state state, int code, const char *reason)
{
	if (vm->last.known)
		return; /* the first reason is the cause */
	vm->last.known = true;
	vm->last.state = state;
	vm->last.code = code;
	vm_put_text(vm->last.reason, sizeof(vm->last.reason), "%s", reason);
}

/* Its images and memory are not free before it ends: nobody can do more than wait, and know why. */
static void tell_stuck(struct vm *vm)
{
	const struct vm_process *server = vm_server_serving(vm);
	struct launched *stuck = vm->worker ? vm->worker : server ? server->launched : NULL;
	const char *name = vm->worker || !server ? "vmworker" : vm_server_name(server->server);
	char text[REASON_MAX];
	pid_t pid;

	if (!stuck || !(vm->ending || vm->destroyed))
		return;
	pid = vm->env->launcher->ops->id(stuck).pid;
	if (pid)
		vm_put_text(text, sizeof(text),
			    "%s (process %d) was killed and does not end: it waits in the kernel, perhaps for a disk",
			    name, (int)pid);
	else /* it was being started */
		vm_put_text(text, sizeof(text), "%s: its unit was stopped and does not end: see \"systemctl status\"",
			    name);
	if (!strcmp(vm->reason, text))
		return; /* told */
	log_error(vm->domain.name, "%s", text);
	vm_set_reason(vm, text);
	vm_changed(vm);
}

void vm_kill_all(void *arg)
{
	struct vm *vm = arg;
	uint64_t now = clock_now_ns();

	if (vm->worker)
		vm->env->launcher->ops->kill(vm->worker);
	for (enum vm_server i = 0; i < VM_SERVERS; i++)
		if (vm->servers[i].launched)
			vm->env->launcher->ops->kill(vm->servers[i].launched);
	if (!vm->killed_ns)
		vm->killed_ns = now;
	else if (now - vm->killed_ns >= KILLED_NS)
		tell_stuck(vm);
	if (vm->worker || vm_server_serving(vm))
		loop_arm(vm->kill_timer, KILLED_NS);
}

/* Of an earlier run. */
static void forget_unsettled(struct vm *vm)
{
	vm->unsettled = vm->plan_made = vm->settle_told = false;
	vm->settle_pause_ns = 0;
}

/* Nothing of it is left. */
static void end_finish(struct vm *vm)
{
	bool was_starting = vm->starting;

	loop_disarm(vm->kill_timer);
	loop_disarm(vm->retry_timer);
	loop_disarm(vm->drain_timer);
	vm->killed_ns = 0;
	vm_files_close(vm);
	vm_nics_gone(vm);
	vm_changes_gone(vm);
	vm_log_close(vm);
	vm_again_plan(vm);
	vm_record_end(vm);
	runtime_remove(vm->env->base, vm->domain.uuid);
	vm->has_folder = vm->ending = vm->destroyed = false;
	vm->pty[0] = 0;
	vm->service_count = vm->integration_count = 0;
	vm->heartbeat = WORKER_HEARTBEAT_UNKNOWN;
	forget_unsettled(vm);
	if (!vm->again)
		vm_take_kept(vm);
	vm_set_state(vm, vm->last.state, vm->last.reason);
	if (was_starting) /* code 0: it ran, and ended at once */
		vm_start_finish(vm, vm->last.code, vm->last.reason);
	vm_waiters_done(&vm->waiters, 0, "");
	vm->env->events->ended(vm, vm->env->arg);
}

void vm_end_check(struct vm *vm)
{
	if (!vm->ending || vm->worker || vm->conn)
		return;
	if (vm_server_serving(vm)) {
		/* It ends by itself when the worker is gone; what it has submitted to the disk must come to its end. */
		loop_arm(vm->kill_timer, SERVER_GRACE_NS);
		return;
	}
	if (vm_nics_unplug(vm))
		end_finish(vm);
}

/* From here on there is only one way. The processes may be given time by arming kill_timer before. */
static void end_begin(struct vm *vm)
{
	assert(vm->last.known);
	if (!vm->ending) {
		vm->ending = true;
		loop_disarm(vm->retry_timer);
		if (vm->state != VM_STOPPING)
			vm_set_state(vm, VM_STOPPING, vm->last.reason);
	}
	vm_end_check(vm);
}

/* What the worker has written down, else @fallback. */
static void last_from_worker(struct vm *vm, const char *fallback)
{
	char reason[REASON_MAX];
	bool crashed;

	if (runtime_last(vm->env->base, vm->domain.uuid, &crashed, reason, sizeof(reason)) == 0)
		last_set(vm, crashed ? VM_CRASHED : VM_SHUT_OFF, 0, reason);
	else
		last_set(vm, VM_CRASHED, -EREMOTEIO, fallback);
}

static void disconnect(struct vm *vm)
{
	worker_free(take_ptr(vm->conn));
	vm_changes_lost(vm);
}

/* Once the worker is gone and its connection read to the end: it is over, even if the worker has not said so. */
static void gone_check(struct vm *vm)
{
	if (vm->worker || vm->conn || !vm->has_folder)
		return;
	if (!vm->last.known)
		last_from_worker(vm, vm->exit_text);
	end_begin(vm);
}

void vm_drain_over(void *arg)
{
	struct vm *vm = arg;

	disconnect(vm);
	gone_check(vm);
}

void vm_fail(struct vm *vm, int code, const char *text)
{
	last_set(vm, VM_SHUT_OFF, code, text);
	/* Its answer must not wait for a worker that may not answer any more. */
	disconnect(vm);
	vm_kill_all(vm);
	end_begin(vm);
}

/* ---- processes ---- */

void vm_describe_failure(struct vm *vm, int error, const char *text, char *ret, size_t size)
{
	char line[REASON_MAX];

	text = *text ? text : strerror(-error);
	vm_log_last_line(vm, "vmworker", line, sizeof(line));
	if (error != -EREMOTEIO)
		vm_put_text(ret, size, "%s", text);
	else if (*line && !strstr(text, "killed"))
		vm_put_text(ret, size, "%s (%s)", line, text);
	else
		vm_put_text(ret, size, "%s: see %s", text, vm->log_path);
}

static void describe_exit(struct vm *vm, const char *program, const char *why, char *ret, size_t size)
{
	char line[REASON_MAX];

	vm_log_last_line(vm, NULL, line, sizeof(line));
	if (*line && strcmp(why, "ended") != 0 && strncmp(why, "was killed", 10))
		vm_put_text(ret, size, "%s (%s %s)", line, program, why);
	else
		vm_put_text(ret, size, "%s %s: see %s", program, why, vm->log_path);
}

static void on_worker_ended(struct launched *process, const char *why, void *arg)
{
	struct vm *vm = arg;
	char text[REASON_MAX];

	describe_exit(vm, "vmworker", why, text, sizeof(text));
	vm->env->launcher->ops->release(process);
	vm->worker = NULL;
	vm->worker_pid = 0;
	vm_put_text(vm->exit_text, sizeof(vm->exit_text), "%s", text);
	if (vm->starting)
		last_set(vm, VM_SHUT_OFF, -EREMOTEIO, text);
	if (vm->destroyed)
		last_set(vm, VM_SHUT_OFF, 0, "destroyed");
	/* Its last words may still be in the socket. */
	if (vm->conn)
		loop_arm(vm->drain_timer, DRAIN_GRACE_NS);
	gone_check(vm);
}

/* The worker replaces it, and tells; here only the end of the VM depends on it. */
static void on_server_ended(struct launched *process, const char *why, void *arg)
{
	struct vm_process *server = arg;
	struct vm *vm = server->vm;
	bool no_start = !vm->env->launcher->ops->id(process).pid;

	vm->env->launcher->ops->release(process);
	server->launched = NULL;
	if (vm->starting && !vm->ending && vm->env->launcher->ops->runs_services) {
		char text[REASON_MAX];

		describe_exit(vm, vm_server_name(server->server), why, text, sizeof(text));
		vm_fail(vm, -EREMOTEIO, text);
		return;
	}
	if (!vm->ending && vm->env->launcher->ops->runs_services)
		log_info(vm->domain.name, "%s %s", vm_server_name(server->server), why);
	if (vm->ending) {
		vm_end_check(vm);
	} else {
		if (no_start) /* another one may have come meanwhile */
			vm_server_follow(vm, server);
		vm_save_runtime_soon(vm);
	}
}

static void on_worker_ready(struct launched *process, void *arg);

static const struct launch_events worker_launch_events = {on_worker_ready, on_worker_ended};
static void on_server_ready(struct launched *process, void *arg)
{
	struct vm *vm = ((struct vm_process *)arg)->vm;

	vm_save_runtime(vm, !vm->starting);
}

const struct launch_events vm_server_launch_events = {on_server_ready, on_server_ended};

static void get_folder(const struct vm *vm, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/%s", vm->env->base, vm->domain.uuid);
}

static int launch_worker(struct vm *vm, struct err *err)
{
	char folder[PATH_MAX];
	const char *args[] = {"--name", vm->domain.name, "--runtime-dir", folder, "--uuid", vm->domain.uuid, NULL};
	struct launch_request request = {
		.program = "vmworker",
		.args = args,
		.uuid = vm->domain.uuid,
		.vm = vm->domain.name,
		.clears = vm_server_clears,
		.clear_ms = VM_CLEAR_MS,
		.log_fd = vm->log_fd,
		.ready_ms = VM_READY_MS,
	};

	get_folder(vm, folder);
	return vm->env->launcher->ops->start(vm->env->launcher, &request, &worker_launch_events, vm, err, &vm->worker);
}

/* ---- what the worker says ---- */

static void on_off(struct vm *vm, const struct worker_status *status)
{
	bool crashed = status->phase == WORKER_PHASE_CRASHED;

	if (crashed && vm->domain.on_crash == DOMAIN_EVENT_PRESERVE && !vm->destroyed && !vm->ending) {
		vm_set_state(vm, VM_CRASHED, status->reason);
		return;
	}
	last_set(vm, crashed && !vm->destroyed ? VM_CRASHED : VM_SHUT_OFF, 0,
		 vm->destroyed ? "destroyed" : status->reason);
	loop_arm(vm->kill_timer, STOP_GRACE_NS);
	end_begin(vm);
}

static void on_status(const struct worker_status *status, void *arg)
{
	struct vm *vm = arg;

	vm->phase = status->phase;
	vm->resets = status->resets;
	/* A worker runs a guest and is not believed: this is shown on terminals. */
	snprintf(vm->pty, sizeof(vm->pty), "%s", status->console_pty);
	text_clean(vm->pty);
	free(vm->guest_message);
	vm->guest_message = *status->guest_message ? strdup(status->guest_message) : NULL;
	if (vm->guest_message)
		text_clean_lines(vm->guest_message);
	vm_services_set(vm, status);
	vm_integration_set(vm, status);
	if (status->phase == WORKER_PHASE_OFF || status->phase == WORKER_PHASE_CRASHED)
		on_off(vm, status);
	else if (!vm->starting && !vm->ending && !vm->destroyed)
		vm_set_told_state(vm, status->phase == WORKER_PHASE_RUNNING ? VM_RUNNING : VM_PAUSED,
				  *status->reason ? status->reason : vm->reason);
	else
		vm_changed(vm);
}

static void on_lost(int error, const char *why, void *arg)
{
	struct vm *vm = arg;

	disconnect(vm);
	if (vm->starting && !vm->ending) {
		char text[REASON_MAX];

		/* If it has ended, its end says more, and comes next. */
		if (error == -ECONNRESET && vm->worker) {
			loop_arm(vm->kill_timer, NS_PER_SEC);
			return;
		}
		vm_put_text(text, sizeof(text), "vmworker: the connection was lost: %s", why);
		vm_fail(vm, -EREMOTEIO, text);
		return;
	}
	gone_check(vm);
	if (vm->worker && !vm->ending)
		loop_arm(vm->retry_timer, error == -ECONNRESET ? NS_PER_SEC / 10 : RECONNECT_NS);
}

static const struct worker_events worker_events = {on_status, on_lost};

static int connect_worker(struct vm *vm)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s/worker.sock", vm->env->base, vm->domain.uuid);
	return worker_connect(vm->env->loop, path, &worker_events, vm, &vm->conn);
}

/* ---- start ---- */

static void on_started(int error, const char *text, void *arg)
{
	struct vm *vm = arg;

	if (error == -ECANCELED || !vm->starting)
		return; /* the connection went away: that is handled */
	if (error) {
		char line[REASON_MAX];

		vm_describe_failure(vm, error, text, line, sizeof(line));
		if (!vm->last.known)
			vm_fail(vm, error, line);
		else
			vm->last.code = error;
		return;
	}
	vm_save_runtime(vm, true);
	if (!vm->ending)
		vm_set_state(vm, VM_RUNNING, "started");
	vm_start_finish(vm, 0, "");
}

void vm_run(struct vm *vm)
{
	int r;

	vm->run_waits = vm->plugging > 0;
	if (vm->run_waits)
		return;

	if (vm->paused) {
		vm_save_runtime(vm, true);
		vm_set_state(vm, VM_PAUSED, "started paused");
		vm_start_finish(vm, 0, "");
		return;
	}
	r = worker_do(vm->conn, WORKER_DO_START, on_started, vm);
	if (r < 0)
		vm_fail(vm, r, strerror(-r));
}

static void on_subscribed(int error, const char *text, void *arg)
{
	struct vm *vm = arg;

	if (error == -ECANCELED || vm->ending)
		return;
	if (error) {
		vm_fail(vm, error, *text ? text : strerror(-error));
		return;
	}
	vm_run(vm);
}

static void on_created(int error, const char *text, void *arg)
{
	struct vm *vm = arg;
	struct err err = {0};
	int r;

	vm_files_close(vm); /* the worker has its own */
	if (error == -ECANCELED || vm->ending)
		return;
	if (!error && vm_servers_launch(vm, &err) < 0) {
		vm_fail(vm, err.code, err.text);
		return;
	}
	r = error ? error : worker_do(vm->conn, WORKER_DO_SUBSCRIBE, on_subscribed, vm);
	if (r < 0)
		vm_fail(vm, r, error && *text ? text : strerror(-r));
}

static void on_worker_ready(struct launched *process, void *arg)
{
	struct vm *vm = arg;
	char folder[PATH_MAX];
	int r;

	if (!vm->starting || vm->ending)
		return;
	vm->worker_pid = vm->env->launcher->ops->id(vm->worker).pid;
	vm_save_runtime(vm, false);
	get_folder(vm, folder);
	r = connect_worker(vm);
	forget_unsettled(vm);
	if (r == 0)
		r = worker_create(vm->conn, &vm->domain, &vm->files, folder, on_created, vm);
	if (r < 0) {
		char text[REASON_MAX];

		vm_put_text(text, sizeof(text), "vmworker: cannot be reached: %s", strerror(-r));
		vm_fail(vm, r, text);
	}
}

static int open_files(struct vm *vm, struct err *err)
{
	const struct domain *d = &vm->domain;
	struct worker_files *f = &vm->files;
	int r = broker_open_read("kernel", d->kernel, err, &f->kernel);

	if (r == 0 && d->initrd)
		r = broker_open_read("initrd", d->initrd, err, &f->initrd);
	for (size_t i = 0; r == 0 && i < d->disk_count; i++)
		r = vm_open_disk(vm, &d->disks[i], err, &f->disks[i], &f->reservations[i]);
	if (r == 0)
		r = vm_service_open_programs(vm, err);
	if (r == 0)
		r = broker_check_memory(d->memory_bytes, d->huge_pages, err);
	if (r == 0)
		r = broker_open_kvm(vm->env->kvm, err, &f->kvm);
	/* The last: it empties the file. */
	if (r == 0 && d->console_log)
		r = broker_open_log(d->console_log, d->console_log_append, err, &f->console_log);
	return r;
}

static int prepare(struct vm *vm, struct err *err)
{
	int r = open_files(vm, err);

	if (r == 0)
		r = runtime_make(vm->env->base, vm->domain.uuid, vm->domain.xml, vm->env->launcher->ops->runs_services,
				 err);
	if (r < 0)
		return r;
	vm->has_folder = true;
	r = vm_log_open(vm, err);
	if (r == 0)
		r = vm_nics_open(vm, err);
	if (r == 0)
		vm_peers_begin(vm);
	if (r == 0)
		r = launch_worker(vm, err);
	if (r < 0)
		return r;
	vm->worker_pid = vm->env->launcher->ops->id(vm->worker).pid;
	vm_save_runtime(vm, false);
	ended_remove(vm->env->base, vm->domain.uuid);
	return 0;
}

static bool can_start(const struct vm *vm)
{
	return (vm->state == VM_SHUT_OFF || vm->state == VM_CRASHED) && !vm->has_folder;
}

void vm_start_begin(struct vm *vm, bool paused, vm_done_fn done, void *arg)
{
	struct err err = {0};
	int r;

	vm->starting = true;
	vm->paused = paused;
	vm->start_done = done;
	vm->start_arg = arg;
	vm->last.known = false;
	vm->resets = 0;
	vm->service_count = 0;
	vm->began_ns = clock_now_ns();
	vm->controllers = MAX(domain_controllers(&vm->domain), 1u);
	vm->phase = WORKER_PHASE_NEW;
	free(take_ptr(vm->guest_message));
	vm_set_state(vm, VM_STARTING, "starting");
	r = prepare(vm, &err);
	if (r < 0)
		vm_fail(vm, r, err.text);
}

void vm_start(struct vm *vm, bool paused, vm_done_fn done, void *arg)
{
	struct err err = {0};

	if (!can_start(vm)) {
		err_set(&err, -EBADFD, "VM %s: it is %s already%s", vm->domain.name, vm_state_name(vm->state),
			vm->state == VM_CRASHED ? ": destroy it first" : "");
		done(err.code, err.text, arg);
		return;
	}
	vm_again_cancel(vm);
	vm_start_begin(vm, paused, done, arg);
}

/* ---- destroy ---- */

static void on_stopped(int error, const char *text, void *arg)
{
	struct vm *vm = arg;

	if (error && error != -ECANCELED)
		vm_kill_all(vm); /* it cannot even do that */
}

int vm_wait_end(struct vm *vm, vm_done_fn done, void *arg)
{
	struct waiter *waiter = malloc(sizeof(*waiter));

	if (!waiter) {
		done(-ENOMEM, "no memory", arg);
		return -ENOMEM;
	}
	*waiter = (struct waiter){.next = vm->waiters, .vm = vm, .done = done, .arg = arg};
	vm->waiters = waiter;
	return 0;
}

void vm_destroy(struct vm *vm, vm_done_fn done, void *arg)
{
	if (vm->again) {
		vm_again_cancel(vm);
		vm->last.state = VM_SHUT_OFF;
		vm_put_text(vm->last.reason, sizeof(vm->last.reason), "destroyed");
		vm_record_end(vm);
		vm_set_state(vm, VM_SHUT_OFF, "destroyed");
		done(0, "", arg);
		vm->env->events->ended(vm, vm->env->arg);
		return;
	}
	if (!vm->has_folder && !vm->starting) {
		struct err err = {0};

		err_set(&err, -EBADFD, "VM %s: it is not running", vm->domain.name);
		done(err.code, err.text, arg);
		return;
	}
	if (vm_wait_end(vm, done, arg) < 0)
		return;
	if (vm->ending || vm->destroyed)
		return;
	/* Written down before it is done: who comes after us must not take it for a crash. */
	vm->destroyed = true;
	if (vm->has_folder)
		vm_save_runtime(vm, !vm->starting);
	if (vm->starting) {
		vm_fail(vm, -ECANCELED, "destroyed while it was starting");
		return;
	}
	vm_set_state(vm, VM_STOPPING, "destroyed");
	loop_arm(vm->kill_timer, STOP_GRACE_NS);
	if (!vm->conn || worker_do(vm->conn, WORKER_DO_STOP, on_stopped, vm) < 0)
		vm_kill_all(vm);
}

/* ---- what an earlier vmmgmtd left ---- */

static void on_adopted(int error, const char *text, void *arg)
{
	struct vm *vm = arg;

	if (error && error != -ECANCELED && vm->conn && !vm->ending && !vm->destroyed) {
		if (log_allowed(&vm->told, vm->domain.name))
			log_error(vm->domain.name, "vmworker does not tell its state: %s",
				  *text ? text : strerror(-error));
		disconnect(vm);
		loop_arm(vm->retry_timer, RECONNECT_NS);
	}
	if (!error && vm->conn && !vm->ending)
		vm_changes_settle(vm);
}

void vm_connect_again(void *arg)
{
	struct vm *vm = arg;
	int r;

	if (vm->ending || !vm->worker)
		return;
	if (vm->conn) { /* it did not tell what it has */
		if (vm->unsettled)
			vm_changes_settle(vm);
		return;
	}
	r = connect_worker(vm);
	vm->unsettled = r == 0;
	vm->settle_pause_ns = 0;
	if (r == 0)
		r = worker_do(vm->conn, WORKER_DO_SUBSCRIBE, on_adopted, vm);
	if (r == 0 && vm->destroyed) /* it may have been asked before */
		r = worker_do(vm->conn, WORKER_DO_STOP, on_stopped, vm);
	if (r < 0) {
		disconnect(vm);
		loop_arm(vm->retry_timer, RECONNECT_NS);
	}
}

/* How it ended without us. */
static void adopt_end(struct vm *vm, const struct runtime_state *state)
{
	char text[REASON_MAX];

	if (state->destroyed) {
		last_set(vm, VM_SHUT_OFF, 0, "destroyed");
	} else if (!state->up) {
		last_set(vm, state->again ? VM_CRASHED : VM_SHUT_OFF, -ECANCELED,
			 state->again ? "vmmgmtd ended while it was starting again"
				      : "vmmgmtd ended while it was starting");
	} else {
		vm_put_text(text, sizeof(text), "vmworker was killed while vmmgmtd was not there: see %s",
			    vm->log_path);
		last_from_worker(vm, text);
	}
}

static void adopt_log(struct vm *vm)
{
	struct err err = {0};

	if (vm_log_open(vm, &err) < 0)
		log_warn(vm->domain.name, "%s", err.text);
}

static void adopt_server(struct vm *vm, enum vm_server server, const struct launch_id *id)
{
	struct vm_process *process = &vm->servers[server];

	vm->env->launcher->ops->adopt(vm->env->launcher, id, &vm_server_launch_events, process, &process->launched);
}

void vm_adopt(struct vm *vm, const struct runtime_state *state)
{
	const struct launcher_ops *ops = vm->env->launcher->ops;

	vm->has_folder = true;
	vm->destroyed = state->destroyed;
	vm->state = VM_STARTING;
	vm_set_reason(vm, "found again");
	vm->again_start = state->again && !state->up;
	vm->again_pause_ns = state->again_pause_ns;
	vm->began_ns = state->began_ns;
	vm->controllers = state->controllers ? state->controllers : domain_controllers(&vm->domain);
	adopt_log(vm);
	vm_peers_adopt(vm);
	vm_links_adopt(vm);
	if (ops->adopt(vm->env->launcher, &state->worker, &worker_launch_events, vm, &vm->worker) == 0)
		vm->worker_pid = state->worker.pid;
	adopt_server(vm, VM_STORAGED, &state->storage);
	adopt_server(vm, VM_NETD, &state->network);
	if (!state->up || !vm->worker) {
		adopt_end(vm, state);
		if (!state->up)
			vm_kill_all(vm);
		end_begin(vm);
		return;
	}
	if (vm->destroyed) {
		vm_set_state(vm, VM_STOPPING, "destroyed");
		loop_arm(vm->kill_timer, STOP_GRACE_NS);
	}
	vm_connect_again(vm);
}
