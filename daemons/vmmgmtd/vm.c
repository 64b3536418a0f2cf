/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "links.h"
#include "ovs.h"
#include "vm_int.h"
#include "vm_peer.h"

#define LOG_MAX	     (1024 * 1024) /* a log that has grown over this starts anew with the VM */
#define LOG_TAIL_MAX 4096
#define SAVE_PACE_NS (500 * NS_PER_MS)

static const struct syscall_rule rules[] = {
	/* the log of its daemons, and the folder of logs */
	{SYS_openat}, {SYS_mkdir}, {SYS_ftruncate}, {SYS_unlink}, {-1},
};

const struct syscall_list vm_calls = {.name = "VMs", .rules = rules};

/* A request that the worker carries out. */
struct op {
	struct vm *vm;
	enum worker_command command;
	enum vm_state next; /* state when it has succeeded; VM_SHUT_OFF: as it is */
	const char *reason;
	vm_done_fn done;
	void *arg;
};

void vm_put_text(char *ret, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ret, size, fmt, ap);
	va_end(ap);
}

/* ---- the object ---- */

const char *vm_state_name(enum vm_state state)
{
	static const char *const names[] = {
		[VM_SHUT_OFF] = "shut-off", [VM_STARTING] = "starting", [VM_RUNNING] = "running",
		[VM_PAUSED] = "paused",	    [VM_STOPPING] = "stopping", [VM_CRASHED] = "crashed",
	};

	return names[state];
}

const char *vm_service_state_name(enum worker_service_state state)
{
	static const char *const names[] = {
		[WORKER_SERVICE_NOT_STARTED] = "not-started", [WORKER_SERVICE_STARTING] = "starting",
		[WORKER_SERVICE_SERVING] = "serving",	      [WORKER_SERVICE_RECOVERING] = "recovering",
		[WORKER_SERVICE_WAITING] = "waiting",
	};

	return names[state];
}

static void files_init(struct vm *vm)
{
	vm->files.kvm = vm->files.kernel = vm->files.initrd = vm->files.console_log = -1;
	vm->files.storage_program = vm->files.network_program = -1;
	for (size_t i = 0; i < DOMAIN_DISKS_MAX; i++)
		vm->files.disks[i] = vm->files.reservations[i] = -1;
	for (size_t i = 0; i < DOMAIN_NICS_MAX; i++)
		for (size_t queue = 0; queue < DOMAIN_NIC_QUEUES_MAX; queue++)
			vm->files.nics[i][queue] = -1;
}

void vm_files_close(struct vm *vm)
{
	fd_close(&vm->files.kvm);
	fd_close(&vm->files.kernel);
	fd_close(&vm->files.initrd);
	fd_close(&vm->files.console_log);
	fd_close(&vm->files.storage_program);
	for (size_t i = 0; i < DOMAIN_DISKS_MAX; i++) {
		fd_close(&vm->files.disks[i]);
		fd_close(&vm->files.reservations[i]);
	}
	fd_close(&vm->files.network_program);
	for (size_t i = 0; i < DOMAIN_NICS_MAX; i++)
		for (size_t queue = 0; queue < DOMAIN_NIC_QUEUES_MAX; queue++)
			fd_close(&vm->files.nics[i][queue]);
}

/* Where people are sent to see what its daemons said. Heap; NULL without memory. */
static char *make_log_path(const struct vm_env *env, const struct domain *domain)
{
	char *path;
	int n = env->launcher->ops->runs_services ? asprintf(&path, "\"journalctl BULKHEAD_VM=%s\"", domain->name)
						  : asprintf(&path, "%s/%s.log", env->logs, domain->uuid);

	return n < 0 ? NULL : path;
}

static void on_save(void *arg);

struct vm *vm_new(const struct vm_env *env, struct domain *domain, bool persistent)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->env = env;
	vm->persistent = persistent;
	vm->log_fd = -1;
	for (enum vm_server i = 0; i < VM_SERVERS; i++)
		vm->servers[i] = (struct vm_process){.vm = vm, .server = i};
	files_init(vm);
	vm->log_path = make_log_path(env, domain);
	if (!vm->log_path || loop_add_timer(env->loop, vm_kill_all, vm, &vm->kill_timer) < 0 ||
	    loop_add_timer(env->loop, vm_connect_again, vm, &vm->retry_timer) < 0 ||
	    loop_add_timer(env->loop, vm_drain_over, vm, &vm->drain_timer) < 0 ||
	    loop_add_timer(env->loop, on_save, vm, &vm->save_timer) < 0 ||
	    loop_add_timer(env->loop, vm_again_over, vm, &vm->again_timer) < 0) {
		vm_free(vm);
		return NULL;
	}
	vm->domain = *domain;
	*domain = (struct domain){0};
	return vm;
}

void vm_waiters_done(struct waiter **waiters, int error, const char *text)
{
	while (*waiters) {
		struct waiter *waiter = *waiters;

		*waiters = waiter->next;
		loop_remove(&waiter->timer);
		waiter->done(error, text, waiter->arg);
		free(waiter);
	}
}

void vm_start_finish(struct vm *vm, int error, const char *text)
{
	vm_done_fn done = vm->start_done;

	vm->starting = false;
	vm->start_done = NULL;
	if (done)
		done(error, text, vm->start_arg);
}

void vm_free(struct vm *vm)
{
	static const char why[] = "vmmgmtd is ending";

	if (!vm)
		return;
	worker_free(take_ptr(vm->conn));
	vm_start_finish(vm, -ECANCELED, why);
	vm_waiters_done(&vm->waiters, -ECANCELED, why);
	vm_waiters_done(&vm->behind, -ECANCELED, why);
	if (vm->worker)
		vm->env->launcher->ops->release(vm->worker);
	vm_peers_close(vm);
	ovs_abandon(vm->env->ovs, vm);
	for (struct vm_process *server; (server = vm_server_serving(vm)); server->launched = NULL)
		vm->env->launcher->ops->release(server->launched);
	loop_remove(&vm->kill_timer);
	loop_remove(&vm->retry_timer);
	loop_remove(&vm->drain_timer);
	loop_remove(&vm->again_timer);
	loop_remove(&vm->save_timer);
	vm_files_close(vm);
	fd_close(&vm->log_fd);
	domain_done(&vm->domain);
	domain_done(&vm->kept);
	free(vm->guest_message);
	free(vm->services);
	free(vm->log_path);
	free(vm);
}

const struct domain *vm_domain(const struct vm *vm)
{
	return &vm->domain;
}

const struct domain *vm_kept(const struct vm *vm)
{
	return vm->kept.xml ? &vm->kept : &vm->domain;
}

void vm_info(const struct vm *vm, struct vm_info *ret)
{
	const struct worker_service *storage = vm_service_find(vm, VM_SERVICE_STORAGE);

	*ret = (struct vm_info){
		.state = vm->state,
		.reason = vm->reason,
		.guest_message = vm->guest_message ? vm->guest_message : "",
		.console_pty = vm->pty,
		.log_file = vm->env->launcher->ops->runs_services ? "" : vm->log_path,
		.resets = vm->resets,
		.persistent = vm->persistent,
		.autostart = vm->autostart,
		.active = vm->has_folder,
		.restarting = vm->again,
		.worker_pid = vm->worker_pid,
		.storage_pid = storage ? storage->pid : 0,
		.services = vm->services,
		.service_count = vm->service_count,
		.heartbeat = vm->heartbeat,
		.integration = vm->integration,
		.integration_count = vm->integration_count,
	};
}

void vm_set_user(struct vm *vm, void *user)
{
	vm->user = user;
}

void *vm_user(const struct vm *vm)
{
	return vm->user;
}

void vm_changed(struct vm *vm)
{
	vm->env->events->changed(vm, vm->env->arg);
}

void vm_set_reason(struct vm *vm, const char *reason)
{
	if (reason == vm->reason)
		return; /* it stays as it is */
	vm_put_text(vm->reason, sizeof(vm->reason), "%s", reason);
	text_clean(vm->reason);
}

void vm_set_state(struct vm *vm, enum vm_state state, const char *reason)
{
	vm->state = state;
	vm_set_reason(vm, reason);
	log_info(vm->domain.name, "%s: %s", vm_state_name(state), vm->reason);
	links_look(vm->env->links);
	vm_changed(vm);
}

void vm_set_told_state(struct vm *vm, enum vm_state state, const char *reason)
{
	const enum vm_state state_before = vm->state;
	char before[REASON_MAX];

	strcpy(before, vm->reason);
	vm->state = state;
	vm_set_reason(vm, reason);
	if ((state != state_before || strcmp(vm->reason, before) != 0) && log_allowed(&vm->told, vm->domain.name))
		log_info(vm->domain.name, "%s: %s", vm_state_name(state), vm->reason);
	vm_changed(vm);
}

bool vm_uses_image(const struct vm *vm, const struct stat *st)
{
	for (size_t i = 0; vm->has_folder && i < vm->domain.disk_count; i++) {
		if (vm->domain.disks[i].image && broker_same_image(vm->domain.disks[i].image, st))
			return true;
	}
	return false;
}

void vm_save_runtime(struct vm *vm, bool up)
{
	struct runtime_state state = {
		.up = up,
		.persistent = vm->persistent,
		.again = vm->again_start,
		.again_pause_ns = vm->again_pause_ns,
		.began_ns = vm->began_ns,
		.controllers = vm->controllers,
		.destroyed = vm->destroyed,
	};
	int r;

	if (vm->worker)
		state.worker = vm->env->launcher->ops->id(vm->worker);
	if (vm->servers[VM_STORAGED].launched)
		state.storage = vm->env->launcher->ops->id(vm->servers[VM_STORAGED].launched);
	if (vm->servers[VM_NETD].launched)
		state.network = vm->env->launcher->ops->id(vm->servers[VM_NETD].launched);
	r = runtime_save(vm->env->base, vm->domain.uuid, &state);
	if (r < 0)
		log_error(vm->domain.name, "runtime folder: the state cannot be written: %s", strerror(-r));
	vm->save_waits = false;
	loop_disarm(vm->save_timer);
}

static void on_save(void *arg)
{
	struct vm *vm = arg;

	vm->save_waits = false;
	if (vm->has_folder)
		vm_save_runtime(vm, !vm->starting);
}

void vm_save_runtime_soon(struct vm *vm)
{
	unsigned int swallowed;

	if (vm->save_waits)
		return;
	if (log_limit_take(&vm->saves, clock_now_ns(), &swallowed)) {
		on_save(vm);
	} else {
		vm->save_waits = true;
		loop_arm(vm->save_timer, SAVE_PACE_NS);
	}
}

static bool is_up(const struct vm *vm)
{
	return vm->has_folder && !vm->starting && !vm->ending;
}

void vm_redefine(struct vm *vm, struct domain *domain)
{
	struct domain *place = vm->has_folder || vm->again ? &vm->kept : &vm->domain;

	domain_done(place);
	*place = *domain;
	*domain = (struct domain){0};
	vm->persistent = true;
	if (is_up(vm))
		vm_save_runtime(vm, true);
	vm_changed(vm);
}

void vm_set_running(struct vm *vm, struct domain *domain)
{
	if (!strcmp(vm->domain.xml, domain->xml))
		return;
	vm->kept = vm->domain;
	vm->domain = *domain;
	*domain = (struct domain){0};
}

void vm_take_kept(struct vm *vm)
{
	if (!vm->kept.xml)
		return;
	domain_done(&vm->domain);
	vm->domain = vm->kept;
	vm->kept = (struct domain){0};
}

void vm_set_transient(struct vm *vm)
{
	vm->persistent = vm->autostart = false;
	domain_done(&vm->kept);
	if (is_up(vm))
		vm_save_runtime(vm, true);
	vm_changed(vm);
}

void vm_set_autostart(struct vm *vm, bool on)
{
	if (vm->autostart == on)
		return;
	vm->autostart = on;
	vm_changed(vm);
}

/* ---- the daemons' log ---- */

int vm_log_open(struct vm *vm, struct err *err)
{
	struct stat st;

	if (vm->env->launcher->ops->runs_services)
		return 0; /* the journal has it */
	vm->log_fd = open(vm->log_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (vm->log_fd < 0 || fstat(vm->log_fd, &st) < 0)
		return err_set(err, -errno, "log file %s: %s", vm->log_path, strerror(errno));
	if (st.st_size > LOG_MAX && ftruncate(vm->log_fd, 0) == 0)
		st.st_size = 0;
	vm->log_start = st.st_size;
	return 0;
}

void vm_log_last_line(struct vm *vm, const char *except, char *ret, size_t size)
{
	char text[LOG_TAIL_MAX + 1];
	off_t end = vm->log_fd < 0 ? 0 : lseek(vm->log_fd, 0, SEEK_END);
	off_t from = MAX(vm->log_start, end - LOG_TAIL_MAX);
	ssize_t n = end > from ? pread(vm->log_fd, text, (size_t)(end - from), from) : 0;
	char *line;

	ret[0] = 0;
	for (; n > 0; n = line - text) {
		while (n > 0 && text[n - 1] == '\n')
			n--;
		text[n] = 0;
		line = strrchr(text, '\n');
		line = line ? line + 1 : text;
		if (*line && (!except || strncmp(line, except, strlen(except)) != 0)) {
			vm_put_text(ret, size, "%s", line);
			return;
		}
	}
}

/* A log that nobody will ask for: of a transient VM whose daemons had no accident. */
void vm_log_close(struct vm *vm)
{
	struct stat st;

	if (vm->log_fd >= 0 && fstat(vm->log_fd, &st) == 0 &&
	    (st.st_size == 0 || (!vm->persistent && vm->last.state != VM_CRASHED)))
		unlink(vm->log_path);
	fd_close(&vm->log_fd);
}

/* ---- requests to a running VM ---- */

bool vm_is_lost(const struct vm *vm)
{
	return !vm->conn || !worker_usable(vm->conn);
}

int vm_must_run(const struct vm *vm, struct err *err)
{
	if ((vm->state == VM_RUNNING || vm->state == VM_PAUSED) && !vm_is_lost(vm))
		return 0;
	if (vm->state == VM_RUNNING || vm->state == VM_PAUSED)
		return err_set(err, -EBUSY, "VM %s: its vmworker does not answer now: try again", vm->domain.name);
	return err_set(err, -EBADFD, "VM %s: it is %s: start it first", vm->domain.name, vm_state_name(vm->state));
}

static void on_op(int error, const char *text, void *arg)
{
	struct op *op = arg;
	struct vm *vm = op->vm;

	if (!error && op->next != VM_SHUT_OFF && op->next != vm->state && is_up(vm) && !vm->destroyed)
		vm_set_state(vm, op->next, op->reason);
	if (op->command != WORKER_DO_START || (error != -EREMOTEIO && error != -ETIMEDOUT)) {
		op->done(error, error && !*text ? strerror(-error) : text, op->arg);
	} else {
		char line[REASON_MAX]; /* as a start that is not in two steps fails */

		vm_describe_failure(vm, error, text, line, sizeof(line));
		op->done(error, line, op->arg);
		vm_fail(vm, error, line);
	}
	free(op);
}

static void do_command(struct vm *vm, enum worker_command command, enum vm_state next, const char *reason,
		       vm_done_fn done, void *arg)
{
	struct err err = {0};
	struct op *op = NULL;
	int r = vm_must_run(vm, &err);

	if (r == 0 && !(op = malloc(sizeof(*op))))
		r = err_set(&err, -ENOMEM, "no memory");
	if (r == 0) {
		*op = (struct op){vm, command, next, reason, done, arg};
		r = worker_do(vm->conn, command, on_op, op);
		if (r < 0)
			err_set(&err, r, "VM %s: its vmworker cannot be asked: %s", vm->domain.name, strerror(-r));
	}
	if (r < 0) {
		free(op);
		done(r, err.text, arg);
	}
}

void vm_pause(struct vm *vm, vm_done_fn done, void *arg)
{
	if (vm->state == VM_PAUSED)
		done(0, "", arg);
	else
		do_command(vm, WORKER_DO_PAUSE, VM_PAUSED, "paused", done, arg);
}

void vm_resume(struct vm *vm, vm_done_fn done, void *arg)
{
	bool first = vm->phase == WORKER_PHASE_CREATED;

	if (vm->state == VM_RUNNING)
		done(0, "", arg);
	else
		do_command(vm, first ? WORKER_DO_START : WORKER_DO_RESUME, VM_RUNNING, first ? "started" : "resumed",
			   done, arg);
}

void vm_reset(struct vm *vm, vm_done_fn done, void *arg)
{
	do_command(vm, WORKER_DO_RESET, VM_SHUT_OFF, NULL, done, arg);
}

struct console_op {
	vm_console_fn fn;
	void *arg;
};

static void on_console(int error, const char *text, int fd, void *arg)
{
	struct console_op *op = arg;

	op->fn(error, error && !*text ? strerror(-error) : text, fd, op->arg);
	free(op);
}

void vm_open_console(struct vm *vm, bool backlog, vm_console_fn fn, void *arg)
{
	struct console_op *op = NULL;
	struct err err = {0};
	int r = 0;

	/* A guest that crashed and is preserved still has something to say. */
	if (!(vm->state == VM_CRASHED && vm->conn))
		r = vm_must_run(vm, &err);
	if (r == 0 && !(op = malloc(sizeof(*op))))
		r = err_set(&err, -ENOMEM, "no memory");
	if (r == 0) {
		*op = (struct console_op){fn, arg};
		r = worker_open_console(vm->conn, backlog, on_console, op);
		if (r < 0)
			err_set(&err, r, "VM %s: its console cannot be opened: %s", vm->domain.name, strerror(-r));
	}
	if (r < 0) {
		free(op);
		fn(r, err.text, -1, arg);
	}
}
