/* SPDX-License-Identifier: Apache-2.0 */
#include "vm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "worker.h"

#define READY_MS	 15000u
#define STOP_GRACE_NS	 (5 * NS_PER_SEC) /* from STOP, or the guest's end, to SIGKILL */
#define STORAGE_GRACE_NS (5 * NS_PER_SEC) /* from the worker's end: its I/O may still be on its way */
#define DRAIN_GRACE_NS	 (2 * NS_PER_SEC) /* from the worker's end to that of its connection */
#define RECONNECT_NS	 (1 * NS_PER_SEC)
#define REASON_MAX	 ERR_TEXT_MAX
#define LOG_MAX		 (1024 * 1024) /* a log that has grown over this starts anew with the VM */
#define LOG_TAIL_MAX	 4096

/* A request that waits for the end. */
struct waiter {
	struct waiter *next;
	vm_done_fn done;
	void *arg;
};

/* A request that the worker carries out. */
struct op {
	struct vm *vm;
	enum vm_state next; /* state when it has succeeded; VM_SHUT_OFF: as it is */
	const char *reason;
	vm_done_fn done;
	void *arg;
};

struct vm {
	const struct vm_env *env;
	struct domain domain; /* what it runs with */
	struct domain kept;   /* while it runs: a newer one from DefineVM; xml is NULL if there is none */
	void *user;

	enum vm_state state;
	bool persistent;
	char reason[REASON_MAX];
	char *guest_message;
	char pty[64];
	uint64_t resets;
	char log_path[PATH_MAX];
	off_t log_start; /* of what this run has said */
	int log_fd;

	struct launched *worker, *storage;
	pid_t worker_pid, storage_pid;
	struct worker *conn;
	enum worker_phase phase;
	struct worker_files files;
	bool has_folder;

	/* a start under way */
	bool starting, paused;
	vm_done_fn start_done;
	void *start_arg;

	/* the end: what it will be once everything is gone */
	bool ending, destroyed;
	char exit_text[REASON_MAX]; /* how the worker's process ended */
	struct {
		bool known;
		enum vm_state state;
		char reason[REASON_MAX];
		int code; /* of a failed start */
	} last;
	struct waiter *waiters;
	struct loop_source *kill_timer, *retry_timer, *drain_timer;
};

static void connect_again(void *arg);
static void kill_all(void *arg);
static void drain_over(void *arg);
static void end_begin(struct vm *vm);
static void end_check(struct vm *vm);

/* Text for a person may be cut off. */
static void put_text(char *ret, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void put_text(char *ret, size_t size, const char *fmt, ...)
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

static void files_init(struct vm *vm)
{
	vm->files.kvm = vm->files.kernel = vm->files.initrd = vm->files.console_log = -1;
	for (size_t i = 0; i < DOMAIN_DISKS_MAX; i++)
		vm->files.disks[i] = -1;
}

static void files_close(struct vm *vm)
{
	fd_close(&vm->files.kvm);
	fd_close(&vm->files.kernel);
	fd_close(&vm->files.initrd);
	fd_close(&vm->files.console_log);
	for (size_t i = 0; i < DOMAIN_DISKS_MAX; i++)
		fd_close(&vm->files.disks[i]);
}

struct vm *vm_new(const struct vm_env *env, struct domain *domain, bool persistent)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->env = env;
	vm->persistent = persistent;
	vm->log_fd = -1;
	files_init(vm);
	if (loop_add_timer(env->loop, kill_all, vm, &vm->kill_timer) < 0 ||
	    loop_add_timer(env->loop, connect_again, vm, &vm->retry_timer) < 0 ||
	    loop_add_timer(env->loop, drain_over, vm, &vm->drain_timer) < 0) {
		vm_free(vm);
		return NULL;
	}
	vm->domain = *domain;
	*domain = (struct domain){0};
	snprintf(vm->log_path, sizeof(vm->log_path), "%s/%s.log", env->logs, vm->domain.uuid);
	return vm;
}

static void waiters_done(struct vm *vm, int error, const char *text)
{
	while (vm->waiters) {
		struct waiter *waiter = vm->waiters;

		vm->waiters = waiter->next;
		waiter->done(error, text, waiter->arg);
		free(waiter);
	}
}

static void start_finish(struct vm *vm, int error, const char *text)
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
	start_finish(vm, -ECANCELED, why);
	waiters_done(vm, -ECANCELED, why);
	if (vm->worker)
		vm->env->launcher->ops->release(vm->worker);
	if (vm->storage)
		vm->env->launcher->ops->release(vm->storage);
	loop_remove(&vm->kill_timer);
	loop_remove(&vm->retry_timer);
	loop_remove(&vm->drain_timer);
	files_close(vm);
	fd_close(&vm->log_fd);
	domain_done(&vm->domain);
	domain_done(&vm->kept);
	free(vm->guest_message);
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
	*ret = (struct vm_info){
		.state = vm->state,
		.reason = vm->reason,
		.guest_message = vm->guest_message ? vm->guest_message : "",
		.console_pty = vm->pty,
		.log_file = vm->log_path,
		.resets = vm->resets,
		.persistent = vm->persistent,
		.active = vm->has_folder,
		.worker_pid = vm->worker_pid,
		.storage_pid = vm->storage_pid,
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

static void changed(struct vm *vm)
{
	vm->env->events->changed(vm, vm->env->arg);
}

static void set_reason(struct vm *vm, const char *reason)
{
	put_text(vm->reason, sizeof(vm->reason), "%s", reason);
	text_clean(vm->reason);
}

static void set_state(struct vm *vm, enum vm_state state, const char *reason)
{
	vm->state = state;
	set_reason(vm, reason);
	log_info(vm->domain.name, "%s: %s", vm_state_name(state), vm->reason);
	changed(vm);
}

bool vm_uses_image(const struct vm *vm, const struct stat *st)
{
	for (size_t i = 0; vm->has_folder && i < vm->domain.disk_count; i++) {
		if (broker_same_image(vm->domain.disks[i].image, st))
			return true;
	}
	return false;
}

static void save_runtime(struct vm *vm, bool up)
{
	struct runtime_state state = {.up = up, .persistent = vm->persistent};
	int r;

	if (vm->worker)
		state.worker = vm->env->launcher->ops->id(vm->worker);
	if (vm->storage)
		state.storage = vm->env->launcher->ops->id(vm->storage);
	r = runtime_save(vm->env->base, vm->domain.uuid, &state);
	if (r < 0)
		log_error(vm->domain.name, "runtime folder: the state cannot be written: %s", strerror(-r));
}

static bool is_up(const struct vm *vm)
{
	return vm->has_folder && !vm->starting && !vm->ending;
}

void vm_redefine(struct vm *vm, struct domain *domain)
{
	struct domain *place = vm->has_folder ? &vm->kept : &vm->domain;

	domain_done(place);
	*place = *domain;
	*domain = (struct domain){0};
	vm->persistent = true;
	if (is_up(vm))
		save_runtime(vm, true);
	changed(vm);
}

void vm_set_running(struct vm *vm, struct domain *domain)
{
	if (!strcmp(vm->domain.xml, domain->xml))
		return;
	vm->kept = vm->domain;
	vm->domain = *domain;
	*domain = (struct domain){0};
}

void vm_set_transient(struct vm *vm)
{
	vm->persistent = false;
	domain_done(&vm->kept);
	if (is_up(vm))
		save_runtime(vm, true);
	changed(vm);
}

/* ---- the daemons' log ---- */

static int log_open(struct vm *vm, struct err *err)
{
	struct stat st;

	vm->log_fd = open(vm->log_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (vm->log_fd < 0 || fstat(vm->log_fd, &st) < 0)
		return err_set(err, -errno, "log file %s: %s", vm->log_path, strerror(errno));
	if (st.st_size > LOG_MAX && ftruncate(vm->log_fd, 0) == 0)
		st.st_size = 0;
	vm->log_start = st.st_size;
	return 0;
}

/* The last line that the daemons of this run have said: "" if there is none. */
static void log_last_line(struct vm *vm, char *ret, size_t size)
{
	char text[LOG_TAIL_MAX + 1];
	off_t end = vm->log_fd < 0 ? 0 : lseek(vm->log_fd, 0, SEEK_END);
	off_t from = MAX(vm->log_start, end - LOG_TAIL_MAX);
	ssize_t n = end > from ? pread(vm->log_fd, text, (size_t)(end - from), from) : 0;
	char *line;

	ret[0] = 0;
	while (n > 0 && text[n - 1] == '\n')
		n--;
	if (n <= 0)
		return;
	text[n] = 0;
	line = strrchr(text, '\n');
	put_text(ret, size, "%s", line ? line + 1 : text);
}

/* A log that nobody will ask for: of a transient VM whose daemons had no accident. */
static void log_close(struct vm *vm)
{
	struct stat st;

	if (vm->log_fd >= 0 && fstat(vm->log_fd, &st) == 0 &&
	    (st.st_size == 0 || (!vm->persistent && vm->last.state != VM_CRASHED)))
		unlink(vm->log_path);
	fd_close(&vm->log_fd);
}

/* ---- the end ---- */

static void last_set(struct vm *vm, enum vm_state state, int code, const char *reason)
{
	if (vm->last.known)
		return; /* the first reason is the cause */
	vm->last.known = true;
	vm->last.state = state;
	vm->last.code = code;
	put_text(vm->last.reason, sizeof(vm->last.reason), "%s", reason);
}

static void kill_all(void *arg)
{
	struct vm *vm = arg;

	if (vm->worker)
		vm->env->launcher->ops->kill(vm->worker);
	if (vm->storage)
		vm->env->launcher->ops->kill(vm->storage);
}

/* Nothing of it is left. */
static void end_finish(struct vm *vm)
{
	bool was_starting = vm->starting;

	loop_disarm(vm->kill_timer);
	loop_disarm(vm->retry_timer);
	loop_disarm(vm->drain_timer);
	files_close(vm);
	log_close(vm);
	runtime_remove(vm->env->base, vm->domain.uuid);
	vm->has_folder = vm->ending = vm->destroyed = false;
	vm->pty[0] = 0;
	if (vm->kept.xml) {
		domain_done(&vm->domain);
		vm->domain = vm->kept;
		vm->kept = (struct domain){0};
	}
	set_state(vm, vm->last.state, vm->last.reason);
	if (was_starting) /* code 0: it ran, and ended at once */
		start_finish(vm, vm->last.code, vm->last.reason);
	waiters_done(vm, 0, "");
	vm->env->events->ended(vm, vm->env->arg);
}

static void end_check(struct vm *vm)
{
	if (!vm->ending || vm->worker || vm->conn)
		return;
	if (vm->storage) {
		/* It ends by itself when the worker is gone; what it has submitted to the disk must come to its end. */
		loop_arm(vm->kill_timer, STORAGE_GRACE_NS);
		return;
	}
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
			set_state(vm, VM_STOPPING, vm->last.reason);
	}
	end_check(vm);
}

/* Once the worker is gone and its connection read to the end: it is over, even if the worker has not said so. */
static void gone_check(struct vm *vm)
{
	if (vm->worker || vm->conn || !vm->has_folder)
		return;
	last_set(vm, VM_CRASHED, -EREMOTEIO, vm->exit_text);
	end_begin(vm);
}

static void drain_over(void *arg)
{
	struct vm *vm = arg;

	worker_free(take_ptr(vm->conn));
	gone_check(vm);
}

static void fail_start(struct vm *vm, int code, const char *text)
{
	last_set(vm, VM_SHUT_OFF, code, text);
	/* Its answer must not wait for a worker that may not answer any more. */
	worker_free(take_ptr(vm->conn));
	kill_all(vm);
	end_begin(vm);
}

/* ---- processes ---- */

static void describe_exit(struct vm *vm, const char *program, const char *why, char *ret, size_t size)
{
	char line[REASON_MAX];

	log_last_line(vm, line, sizeof(line));
	if (*line && strncmp(why, "was killed", 10))
		put_text(ret, size, "%s (%s %s)", line, program, why);
	else
		put_text(ret, size, "%s %s: see %s", program, why, vm->log_path);
}

static void on_worker_ended(struct launched *process, const char *why, void *arg)
{
	struct vm *vm = arg;
	char text[REASON_MAX];

	describe_exit(vm, "vmworker", why, text, sizeof(text));
	vm->env->launcher->ops->release(process);
	vm->worker = NULL;
	vm->worker_pid = 0;
	put_text(vm->exit_text, sizeof(vm->exit_text), "%s", text);
	if (vm->starting)
		last_set(vm, VM_SHUT_OFF, -EREMOTEIO, text);
	if (vm->destroyed)
		last_set(vm, VM_SHUT_OFF, 0, "destroyed");
	/* Its last words may still be in the socket. */
	if (vm->conn)
		loop_arm(vm->drain_timer, DRAIN_GRACE_NS);
	gone_check(vm);
}

static void on_storage_ended(struct launched *process, const char *why, void *arg)
{
	struct vm *vm = arg;
	char text[REASON_MAX];

	describe_exit(vm, "vsp-storaged", why, text, sizeof(text));
	vm->env->launcher->ops->release(process);
	vm->storage = NULL;
	vm->storage_pid = 0;
	if (vm->ending) {
		end_check(vm);
	} else if (vm->starting) {
		fail_start(vm, -EREMOTEIO, text);
	} else if (vm->worker) {
		log_error(vm->domain.name, "%s: its disks do not answer any more", text);
		set_reason(vm, text);
		save_runtime(vm, true);
		changed(vm);
	}
}

static void on_worker_ready(struct launched *process, void *arg);
static void on_storage_ready(struct launched *process, void *arg);

static const struct launch_events worker_launch_events = {on_worker_ready, on_worker_ended};
static const struct launch_events storage_launch_events = {on_storage_ready, on_storage_ended};

static int launch(struct vm *vm, const char *program, bool with_uuid, const struct launch_events *events,
		  struct err *err, struct launched **ret)
{
	char folder[PATH_MAX];
	const char *args[] = {
		"--name", vm->domain.name, "--runtime-dir", folder, with_uuid ? "--uuid" : NULL, vm->domain.uuid, NULL};
	struct launch_request request = {.program = program, .args = args, .ready_ms = READY_MS};

	snprintf(folder, sizeof(folder), "%s/%s", vm->env->base, vm->domain.uuid);
	request.log_fd = vm->log_fd;
	return vm->env->launcher->ops->start(vm->env->launcher, &request, events, vm, err, ret);
}

/* ---- what the worker says ---- */

static void on_off(struct vm *vm, const struct worker_status *status)
{
	bool crashed = status->phase == WORKER_PHASE_CRASHED;

	if (crashed && vm->domain.on_crash == DOMAIN_EVENT_PRESERVE && !vm->destroyed && !vm->ending) {
		set_state(vm, VM_CRASHED, status->reason);
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
	snprintf(vm->pty, sizeof(vm->pty), "%s", status->console_pty);
	free(vm->guest_message);
	vm->guest_message = *status->guest_message ? strdup(status->guest_message) : NULL;
	if (status->phase == WORKER_PHASE_OFF || status->phase == WORKER_PHASE_CRASHED)
		on_off(vm, status);
	else if (!vm->starting && !vm->ending && !vm->destroyed)
		set_state(vm, status->phase == WORKER_PHASE_RUNNING ? VM_RUNNING : VM_PAUSED,
			  *status->reason ? status->reason : vm->reason);
	else
		changed(vm);
}

static void on_lost(int error, const char *why, void *arg)
{
	struct vm *vm = arg;

	worker_free(take_ptr(vm->conn));
	if (vm->starting && !vm->ending) {
		char text[REASON_MAX];

		/* If it has ended, its end says more, and comes next. */
		if (error == -ECONNRESET && vm->worker) {
			loop_arm(vm->kill_timer, NS_PER_SEC);
			return;
		}
		put_text(text, sizeof(text), "vmworker: the connection was lost: %s", why);
		fail_start(vm, -EREMOTEIO, text);
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
		if (!vm->last.known)
			fail_start(vm, error, *text ? text : strerror(-error));
		else
			vm->last.code = error;
		return;
	}
	save_runtime(vm, true);
	if (!vm->ending)
		set_state(vm, VM_RUNNING, "started");
	start_finish(vm, 0, "");
}

static void run(struct vm *vm)
{
	int r;

	if (vm->paused) {
		save_runtime(vm, true);
		set_state(vm, VM_PAUSED, "started paused");
		start_finish(vm, 0, "");
		return;
	}
	r = worker_do(vm->conn, WORKER_DO_START, on_started, vm);
	if (r < 0)
		fail_start(vm, r, strerror(-r));
}

static void on_storage_ready(struct launched *process, void *arg)
{
	struct vm *vm = arg;

	if (vm->starting && !vm->ending && vm->conn)
		run(vm);
}

static void on_subscribed(int error, const char *text, void *arg)
{
	struct vm *vm = arg;
	struct err err = {0};
	int r;

	if (error == -ECANCELED || vm->ending)
		return;
	if (error) {
		fail_start(vm, error, *text ? text : strerror(-error));
		return;
	}
	if (!vm->domain.disk_count) {
		run(vm);
		return;
	}
	r = launch(vm, "vsp-storaged", false, &storage_launch_events, &err, &vm->storage);
	if (r < 0) {
		fail_start(vm, r, err.text);
		return;
	}
	vm->storage_pid = vm->env->launcher->ops->id(vm->storage).pid;
	save_runtime(vm, false);
}

static void on_created(int error, const char *text, void *arg)
{
	struct vm *vm = arg;
	int r;

	files_close(vm); /* the worker has its own */
	if (error == -ECANCELED || vm->ending)
		return;
	r = error ? error : worker_do(vm->conn, WORKER_DO_SUBSCRIBE, on_subscribed, vm);
	if (r < 0)
		fail_start(vm, r, error && *text ? text : strerror(-r));
}

static void on_worker_ready(struct launched *process, void *arg)
{
	struct vm *vm = arg;
	int r;

	if (!vm->starting || vm->ending)
		return;
	r = connect_worker(vm);
	if (r == 0)
		r = worker_create(vm->conn, &vm->domain, &vm->files, on_created, vm);
	if (r < 0) {
		char text[REASON_MAX];

		put_text(text, sizeof(text), "vmworker: cannot be reached: %s", strerror(-r));
		fail_start(vm, r, text);
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
		r = broker_open_disk(&d->disks[i], &vm->env->owners, err, &f->disks[i]);
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
		r = runtime_make(vm->env->base, vm->domain.uuid, vm->domain.xml, err);
	if (r < 0)
		return r;
	vm->has_folder = true;
	r = log_open(vm, err);
	if (r == 0)
		r = launch(vm, "vmworker", true, &worker_launch_events, err, &vm->worker);
	if (r < 0)
		return r;
	vm->worker_pid = vm->env->launcher->ops->id(vm->worker).pid;
	save_runtime(vm, false);
	return 0;
}

static bool can_start(const struct vm *vm)
{
	return (vm->state == VM_SHUT_OFF || vm->state == VM_CRASHED) && !vm->has_folder;
}

void vm_start(struct vm *vm, bool paused, vm_done_fn done, void *arg)
{
	struct err err = {0};
	int r;

	if (!can_start(vm)) {
		err_set(&err, -EBADFD, "VM %s: it is %s already%s", vm->domain.name, vm_state_name(vm->state),
			vm->state == VM_CRASHED ? ": destroy it first" : "");
		done(err.code, err.text, arg);
		return;
	}
	vm->starting = true;
	vm->paused = paused;
	vm->start_done = done;
	vm->start_arg = arg;
	vm->last.known = false;
	vm->resets = 0;
	vm->phase = WORKER_PHASE_NEW;
	free(take_ptr(vm->guest_message));
	set_state(vm, VM_STARTING, "starting");
	r = prepare(vm, &err);
	if (r < 0)
		fail_start(vm, r, err.text);
}

/* ---- requests to a running VM ---- */

static int must_run(const struct vm *vm, struct err *err)
{
	if ((vm->state == VM_RUNNING || vm->state == VM_PAUSED) && vm->conn)
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
		set_state(vm, op->next, op->reason);
	op->done(error, error && !*text ? strerror(-error) : text, op->arg);
	free(op);
}

static void do_command(struct vm *vm, enum worker_command command, enum vm_state next, const char *reason,
		       vm_done_fn done, void *arg)
{
	struct err err = {0};
	struct op *op = NULL;
	int r = must_run(vm, &err);

	if (r == 0 && !(op = malloc(sizeof(*op))))
		r = err_set(&err, -ENOMEM, "no memory");
	if (r == 0) {
		*op = (struct op){vm, next, reason, done, arg};
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
		r = must_run(vm, &err);
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

/* ---- destroy ---- */

static void on_stopped(int error, const char *text, void *arg)
{
	struct vm *vm = arg;

	if (error && error != -ECANCELED)
		kill_all(vm); /* it cannot even do that */
}

void vm_destroy(struct vm *vm, vm_done_fn done, void *arg)
{
	struct waiter *waiter;

	if (!vm->has_folder && !vm->starting) {
		struct err err = {0};

		err_set(&err, -EBADFD, "VM %s: it is not running", vm->domain.name);
		done(err.code, err.text, arg);
		return;
	}
	waiter = malloc(sizeof(*waiter));
	if (!waiter) {
		done(-ENOMEM, "no memory", arg);
		return;
	}
	*waiter = (struct waiter){vm->waiters, done, arg};
	vm->waiters = waiter;
	if (vm->ending || vm->destroyed)
		return;
	if (vm->starting) {
		fail_start(vm, -ECANCELED, "destroyed while it was starting");
		return;
	}
	vm->destroyed = true;
	set_state(vm, VM_STOPPING, "destroyed");
	loop_arm(vm->kill_timer, STOP_GRACE_NS);
	if (!vm->conn || worker_do(vm->conn, WORKER_DO_STOP, on_stopped, vm) < 0)
		kill_all(vm);
}

/* ---- what an earlier vmmgmtd left ---- */

static void on_adopted(int error, const char *text, void *arg)
{
	struct vm *vm = arg;

	if (error && error != -ECANCELED && vm->conn && !vm->ending) {
		log_error(vm->domain.name, "vmworker does not tell its state: %s", *text ? text : strerror(-error));
		worker_free(take_ptr(vm->conn));
		loop_arm(vm->retry_timer, RECONNECT_NS);
	}
}

static void connect_again(void *arg)
{
	struct vm *vm = arg;
	int r;

	if (vm->ending || vm->conn || !vm->worker)
		return;
	r = connect_worker(vm);
	if (r == 0)
		r = worker_do(vm->conn, WORKER_DO_SUBSCRIBE, on_adopted, vm);
	if (r < 0) {
		worker_free(take_ptr(vm->conn));
		loop_arm(vm->retry_timer, RECONNECT_NS);
	}
}

static void adopt_log(struct vm *vm)
{
	struct err err = {0};

	if (log_open(vm, &err) < 0)
		log_warn(vm->domain.name, "%s", err.text);
}

void vm_adopt(struct vm *vm, const struct runtime_state *state)
{
	const struct launcher_ops *ops = vm->env->launcher->ops;

	vm->has_folder = true;
	vm->state = VM_STARTING;
	set_reason(vm, "found again");
	adopt_log(vm);
	if (ops->adopt(vm->env->launcher, &state->worker, &worker_launch_events, vm, &vm->worker) == 0)
		vm->worker_pid = state->worker.pid;
	if (ops->adopt(vm->env->launcher, &state->storage, &storage_launch_events, vm, &vm->storage) == 0)
		vm->storage_pid = state->storage.pid;
	if (!state->up) {
		last_set(vm, VM_SHUT_OFF, -ECANCELED, "vmmgmtd ended while it was starting");
		kill_all(vm);
		end_begin(vm);
	} else if (!vm->worker) {
		last_set(vm, VM_SHUT_OFF, 0, "ended while vmmgmtd was not there");
		end_begin(vm);
	} else {
		connect_again(vm);
	}
}
