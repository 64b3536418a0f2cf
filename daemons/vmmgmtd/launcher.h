/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the processes of a VM are started and ended. One interface, one implementation for each kind of host.
 *
 * What is started:
 *
 *	vmworker --name NAME --runtime-dir <runtime> --uuid UUID
 *
 * What serves its devices it starts itself, and here that is only watched (adopt); but where the service manager runs
 * all of them (runs_services), vsp-storaged is started like the worker, and restarted by that manager.
 *
 * A process is ready when daemon_ready() says so. It belongs to a session of its own, has / as its folder, /dev/null as
 * its input, the VM's log file as its output and errors, and outlives vmmgmtd.
 *
 * Invariants: a process is named by its pid and its start time, so a pid that was used again is never mistaken for it.
 */
#ifndef VMMGMTD_LAUNCHER_H
#define VMMGMTD_LAUNCHER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "ipc/loop.h"

struct launcher;
struct launched;
struct msgbus;
struct spawner;
struct systemd;

/* A process as it is written down for a later vmmgmtd. pid 0: none. */
struct launch_id {
	pid_t pid;
	uint64_t start_time; /* field 22 of /proc/<pid>/stat */
};

struct launch_request {
	const char *program;	 /* "vmworker" */
	const char *path;	 /* of a program that is not ours and never says that it is ready; NULL: ours */
	const char *unit;	 /* the name of such a one among those of its VM: "net0" */
	int in_fd;		 /* standard input of such a one; stays the caller's; 0: none */
	const char *const *args; /* behind the program's name, NULL-terminated */
	const char *uuid, *vm;	 /* the VM's */
	const char *unit_args;	 /* what of @args a unit does not know by itself: words; NULL: none */
	/* runs_services: programs whose units may still be busy with an earlier run of the VM: that is ended first.
	 * Constant, NULL-terminated; NULL: none */
	const char *const *clears;
	unsigned int clear_ms; /* how long all of that may take */
	bool clears_own;       /* what is cleared is of this run: its end is waited for, even by one that is killed */
	int log_fd;	       /* standard output and error; stays the caller's */
	unsigned int ready_ms; /* how long it may take until it is ready; of one that is not ours 0 */
};

/* Neither comes from inside start or adopt; @process may be released in both. */
struct launch_events {
	/* It serves now. At most once. */
	void (*ready)(struct launched *process, void *arg);
	/* It has ended, before or after it was ready; @why: "ended with status 1", "was killed by signal 9", "was not
	 * ready within 30 s". Once. */
	void (*ended)(struct launched *process, const char *why, void *arg);
};

struct launcher_ops {
	/* It also starts what serves a VM's devices, and restarts that when it dies. */
	bool runs_services;
	/**
	 * start - start a process.
	 * Return: 0 and *@ret_process; or a negative errno with one line, and neither event comes.
	 */
	int (*start)(struct launcher *launcher, const struct launch_request *request,
		     const struct launch_events *events, void *arg, struct err *err, struct launched **ret_process);
	/** adopt - take over a process that an earlier vmmgmtd started. Only `ended` comes. Return: 0, -ESRCH if it is
	 * not there any more. */
	int (*adopt)(struct launcher *launcher, const struct launch_id *id, const struct launch_events *events,
		     void *arg, struct launched **ret_process);
	/** identify - the identity of a process that serves the VM of @worker. Return: 0; -ESRCH (gone); -EPERM (it is
	 * none). */
	int (*identify)(pid_t pid, pid_t worker, struct launch_id *ret_id);
	/** id - pid 0 until it is ready, where it is not known before. */
	struct launch_id (*id)(const struct launched *process);
	/** kill - SIGKILL; `ended` follows. */
	void (*kill)(struct launched *process);
	/** release - forget it: no event comes any more; the process goes on. */
	void (*release)(struct launched *process);
};

struct launcher {
	const struct launcher_ops *ops;
	struct loop *loop;
	struct spawner *spawner; /* launcher_fork's */
	struct systemd *systemd; /* launcher_systemd's */
};

/** launcher_fork_init - the implementation by fork and exec, for session mode and hosts without systemd. @spawner:
 * outlives it. */
void launcher_fork_init(struct launcher *launcher, struct loop *loop, struct spawner *spawner);
/** launcher_fork_calls - what it and the functions below need in the sandbox. */
extern const struct syscall_list launcher_fork_calls;

/**
 * launcher_systemd_init - the implementation by units of the system's service manager. @bus: the system bus; outlives
 * it. @base: of the runtime folders. Return: 0; a negative errno with one line.
 */
int launcher_systemd_init(struct launcher *launcher, struct loop *loop, struct msgbus *bus, const char *base,
			  struct err *err);
/** launcher_systemd_done - all processes are released before. Nothing is done for another launcher. */
void launcher_systemd_done(struct launcher *launcher);

/** launch_identity - of a process that runs. Return: 0, -ESRCH. */
int launch_identity(pid_t pid, struct launch_id *ret_id);
/** launch_open - a pidfd of a process that is known by its identity. Return: 0, -ESRCH. */
int launch_open(const struct launch_id *id, int *ret_pidfd);

/** launch_identify - the identity of a process that @ancestor, directly or not, has started. Return: 0; -ESRCH; -EPERM
 * if it is not below @ancestor. */
int launch_identify(pid_t pid, pid_t ancestor, struct launch_id *ret_id);

/** launch_find - a process whose identity nobody has written down: @program with @argument among its arguments. Return:
 * 0 and one of them; -ESRCH. */
int launch_find(const char *program, const char *argument, struct launch_id *ret_id);

/** launch_kill_id - SIGKILL a process by its identity and wait until it is gone (@timeout_ms). Return: 0, also if it
 * was not there; -ETIMEDOUT. */
int launch_kill_id(const struct launch_id *id, unsigned int timeout_ms);

#endif
