/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a VM, shared by vm.c (the object, requests to it) and vm_life.c (start, end, what its processes say).
 */
#ifndef VMMGMTD_VM_INT_H
#define VMMGMTD_VM_INT_H

#include <limits.h>

#include "base/log.h"
#include "vm.h"
#include "worker.h"

#define REASON_MAX ERR_TEXT_MAX

#define VM_SERVICE_STORAGE "storage"
#define VM_SERVICE_NETWORK "network"

/* A request that waits for the end, or for that of a change. */
struct waiter {
	struct waiter *next;
	struct vm *vm;
	struct loop_source *timer; /* of a change: it does not wait for ever; else NULL */
	vm_done_fn done;
	void *arg;
};

/* Processes that serve the guest: a row of a table in vm_service.c each. */
enum vm_server {
	VM_STORAGED,
	VM_NETD,
	VM_SERVERS,
};

struct vm_process {
	struct vm *vm;
	enum vm_server server;
	struct launched *launched; /* NULL: none that is known */
};

enum vm_unplug {
	VM_UNPLUG_TO_DO,
	VM_UNPLUG_ASKED,
	VM_UNPLUG_DONE,
};

struct vm {
	const struct vm_env *env;
	struct domain domain; /* what it runs with */
	struct domain kept;   /* while it runs: a newer one from DefineVM; xml is NULL if there is none */
	void *user;

	enum vm_state state;
	bool persistent, autostart;
	char reason[REASON_MAX];
	char *guest_message;
	char pty[64];
	uint64_t resets;
	char *log_path;	 /* where people are sent: of a file; with units what to type */
	off_t log_start; /* of what this run has said */
	int log_fd;

	struct launched *worker;
	struct vm_process servers[VM_SERVERS];
	pid_t worker_pid;
	struct worker *conn;
	enum worker_phase phase;
	struct worker_files files;
	bool has_folder;
	struct worker_service *services; /* WORKER_SERVICES_MAX of them once it has run; NULL before */
	size_t service_count;
	enum worker_heartbeat heartbeat;
	struct worker_integration integration[WORKER_INTEGRATION_MAX];
	size_t integration_count;

	/* a start under way */
	bool starting, paused;
	vm_done_fn start_done;
	void *start_arg;

	/* the end: what it will be once everything is gone */
	bool ending, destroyed;
	uint64_t killed_ns;	    /* since when its processes are killed; 0: they are not */
	char exit_text[REASON_MAX]; /* how the worker's process ended */
	struct {
		bool known;
		enum vm_state state;
		char reason[REASON_MAX];
		int code; /* of a failed start */
	} last;
	struct waiter *waiters;

	unsigned int controllers; /* that it was started with: while it runs none comes or goes */
	unsigned int plugging;	  /* ports of Open vSwitch that are being made for a start */
	bool run_waits;		  /* for them */
	bool on_ovs;		  /* it may have such ports */
	enum vm_unplug unplug;	  /* of those of a VM that has ended */
	struct vm_peer *peers;	  /* of NICs that are streams: vm_peer.c */
	struct vm_change *change; /* of its disks or NICs, under way; NULL: none. Owner: the request to the worker */
	bool unsettled;		  /* connected again, what the last connection left is not known: vm_change.h */
	bool plan_made;		  /* the plan is what runs, but has not become definition.xml yet */
	bool settle_told;	  /* that it cannot be known yet, in the log */
	uint64_t settle_pause_ns; /* the last one before that is tried again; 0: none yet */
	struct waiter *behind;	  /* a change of vmmgmtd's own, or what is unsettled, in order */

	/* on_crash=restart */
	bool again;		 /* it has crashed, and starts again when again_timer says so */
	bool again_start;	 /* the start under way is that one */
	uint64_t began_ns;	 /* the start of this run; 0: not known, long ago */
	uint64_t again_pause_ns; /* the last pause; 0: none yet */
	uint64_t again_at_ns;	 /* the end of this one */

	/* A worker runs a guest: what it can provoke has a limit. */
	struct log_limit told, saves; /* lines; writes of the runtime state */
	bool save_waits;	      /* for save_timer */

	struct loop_source *again_timer, *kill_timer, *retry_timer, *drain_timer, *save_timer;
};

/* ---- vm.c ---- */

/** vm_put_text - text for a person; it may be cut off. */
void vm_put_text(char *ret, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void vm_files_close(struct vm *vm);
/** vm_waiters_done - answer those who are in *@waiters, which is empty afterwards. */
void vm_waiters_done(struct waiter **waiters, int error, const char *text);
/** vm_start_finish - no start is under way any more: answer who asked for it. */
void vm_start_finish(struct vm *vm, int error, const char *text);
void vm_changed(struct vm *vm);
void vm_set_reason(struct vm *vm, const char *reason);
void vm_set_state(struct vm *vm, enum vm_state state, const char *reason);
/** vm_set_told_state - the same for what the worker says: logged if it is news, within limits. */
void vm_set_told_state(struct vm *vm, enum vm_state state, const char *reason);
/** vm_save_runtime - write down what a later vmmgmtd needs. @up: the start is finished. */
void vm_save_runtime(struct vm *vm, bool up);
/** vm_save_runtime_soon - the same for what a worker can bring about: at once, or, if that is often, in a moment. */
void vm_save_runtime_soon(struct vm *vm);
int vm_log_open(struct vm *vm, struct err *err);
/** vm_log_last_line - the last line that the daemons of this run have said: "" if there is none. @except: the beginning
 * of those that do not count, or NULL. */
void vm_log_last_line(struct vm *vm, const char *except, char *ret, size_t size);
/** vm_log_close - and remove a log that nobody will ask for. */
void vm_log_close(struct vm *vm);

/** vm_must_run - Return: 0 if it runs or is paused and its worker can be asked; else a negative errno with one line. */
int vm_must_run(const struct vm *vm, struct err *err);
/** vm_is_lost - whether its worker cannot be asked now: a failure may be the connection's end, not an answer. */
bool vm_is_lost(const struct vm *vm);
/** vm_take_kept - it is over: what is kept on disk is what it would run with. */
void vm_take_kept(struct vm *vm);

/* ---- vm_ask.c ---- */

/** vm_integration_set - what the worker tells of heartbeat and integration services. */
void vm_integration_set(struct vm *vm, const struct worker_status *status);

/* ---- vm_disk.c ---- */

/** vm_open_disk - its image, and, if it is shareable, its reservations. Return: 0; a negative errno with one line. */
int vm_open_disk(const struct vm *vm, const struct domain_disk *disk, struct err *err, int *ret_fd,
		 int *ret_reservations);

/* ---- vm_change.c ---- */

/** vm_changes_lost - the connection is gone: who waits is told. */
void vm_changes_lost(struct vm *vm);

/* ---- vm_settle.c ---- */

/** vm_changes_settle - if a change was interrupted, ask the worker how it has ended. */
void vm_changes_settle(struct vm *vm);
/** vm_changes_on_ovs - its end: whether a change that nobody answered was to make a port of Open vSwitch. */
bool vm_changes_on_ovs(struct vm *vm);
/** vm_changes_gone - its end, while its runtime folder is there: what was made for a change that nobody answered. */
void vm_changes_gone(struct vm *vm);

/* ---- vm_nic.c ---- */

/** vm_nics_open - what is behind the NICs of a VM that starts, into vm->files. Return: 0; a negative errno with a line:
 * vm_nics_gone() follows. */
int vm_nics_open(struct vm *vm, struct err *err);
/** vm_nics_unplug - its end, while something of it is there: remove what is known elsewhere. Return: whether there is
 * nothing any more; else vm_end_check() comes. */
bool vm_nics_unplug(struct vm *vm);
/** vm_nics_gone - its end. */
void vm_nics_gone(struct vm *vm);
/** vm_nics_changed - NICs that @before has and @after has not are gone; what is behind the others follows. */
void vm_nics_changed(struct vm *vm, const struct domain *before, const struct domain *after);
/** vm_nics_follow - NICs are set as @then says, which the worker has done: what is behind them may not have been. */
void vm_nics_follow(struct vm *vm, const struct domain *then);

/* ---- vm_link.c ---- */

/** vm_links_adopt - an earlier vmmgmtd has told of its links, or has not lived to: each is told once more. */
void vm_links_adopt(struct vm *vm);

/* ---- vm_service.c ---- */

/** vm_service_find - Return: NULL if the worker has told of none of that name. */
const struct worker_service *vm_service_find(const struct vm *vm, const char *name);
/** vm_server_follow - the process that the worker has told of last, unless one is being started. */
void vm_server_follow(struct vm *vm, struct vm_process *server);
/** vm_services_set - what the worker tells of its services. */
void vm_services_set(struct vm *vm, const struct worker_status *status);
/** vm_service_open_programs - the installed programs that a start needs, into vm->files. Return: 0; a negative errno
 * with a line. */
int vm_service_open_programs(struct vm *vm, struct err *err);
/** vm_server_name - "vsp-storaged" ... */
const char *vm_server_name(enum vm_server server);
/** vm_server_clears - what may be left of an earlier run, for its worker's launch_request. */
extern const char *const vm_server_clears[];
/** vm_server_wanted - whether the VM needs it. */
bool vm_server_wanted(const struct vm *vm, enum vm_server server);
/** vm_server_serving - one that is there; NULL: none. */
struct vm_process *vm_server_serving(struct vm *vm);
/** vm_servers_launch - where the worker does not. Return: 0; a negative errno with a line. */
int vm_servers_launch(struct vm *vm, struct err *err);
/** vm_server_wake - one of this service that the VM has not needed before: the same. */
int vm_server_wake(struct vm *vm, const char *service, struct err *err);

/* ---- vm_again.c ---- */

/** vm_again_pause - how long to wait before the next start. @before_ns: the pause before this run, 0 if there was none.
 * @lived_ns: how long this run was. */
uint64_t vm_again_pause(uint64_t before_ns, uint64_t lived_ns);
/** vm_again_plan - nothing of it is left: arm the next start if there is to be one, and put it into vm->last. */
void vm_again_plan(struct vm *vm);
/** vm_again_restore - it had crashed under an earlier vmmgmtd, and was to start again. */
void vm_again_restore(struct vm *vm, const struct ended *ended);
/** vm_again_cancel - somebody has decided otherwise. */
void vm_again_cancel(struct vm *vm);
void vm_again_over(void *arg);

/* ---- vm_ended.c ---- */

/** vm_record_end - write down, before nothing is left of it, what is in vm->last and what is to come. */
void vm_record_end(struct vm *vm);

/* ---- vm_life.c ---- */

/** vm_wait_end - @done comes once nothing of it is left; at once with -ENOMEM. Return: 0 or -ENOMEM. */
int vm_wait_end(struct vm *vm, vm_done_fn done, void *arg);
/** vm_fail - it cannot be started: it ends, with the reason. */
void vm_fail(struct vm *vm, int code, const char *text);
/** vm_describe_failure - one line for a start that the worker refused: if a service's process has ended (-EREMOTEIO),
 * what that said itself says more. */
void vm_describe_failure(struct vm *vm, int error, const char *text, char *ret, size_t size);
extern const struct launch_events vm_server_launch_events; /* their argument is a struct vm_process */
/* For the worker to come: its unit says the same. For what an earlier run has left: what serves a guest has 30 s to
 * end, in its unit. For what serves a guest: its worker waits no longer, and says what for. */
#define VM_READY_MS	   30000u
#define VM_CLEAR_MS	   40000u
#define VM_SERVER_READY_MS 30000u
/** vm_start_begin - vm_start(), where nothing forbids it. @done: may be NULL. */
void vm_start_begin(struct vm *vm, bool paused, vm_done_fn done, void *arg);

/** vm_end_check - go on with its end, if there is nothing to wait for. */
void vm_end_check(struct vm *vm);
/** vm_run - all that it needs is there: START. */
void vm_run(struct vm *vm);

/* ---- vm_life.c: the timers' callbacks; @arg is the VM ---- */

void vm_kill_all(void *arg);
void vm_connect_again(void *arg); /* retry_timer: or settle what the last connection left */
void vm_drain_over(void *arg);

#endif
