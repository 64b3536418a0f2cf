/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting programs for a daemon whose sandbox forbids it: a helper process, forked before the sandbox, does the fork
 * and the exec, is the parent, and tells how each ended.
 *
 * Theory of operation: the helper holds one end of a SOCK_SEQPACKET pair and closes everything else but 0 to 2. A
 * keeper between it and the daemon replaces it if it is killed, and tells of the ends of what it had started. Both end
 * when the other end closes; what it has started goes on. Each process gets a session of its own, / as its folder, no
 * signal blocked or ignored, /dev/null, or @in_fd, as its input, @log_fd as output and errors, BULKHEAD_READY_FD as
 * daemon_ready() wants it, and no other descriptor. Nothing else of the daemon's is inherited: not its seccomp filter,
 * not its Landlock domain.
 *
 * Limits: SPAWNER_ARGS_MAX arguments, SPAWNER_BYTES_MAX bytes of them. If helper and keeper both die, nothing can be
 * started any more (-EPIPE), and spawn_events.ended of what was started comes by the pidfd, without a status. What a
 * dead helper had started is killed only where the daemon itself may.
 */
#ifndef DAEMON_SPAWNER_H
#define DAEMON_SPAWNER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "ipc/loop.h"

#define SPAWNER_ARGS_MAX  32u
#define SPAWNER_BYTES_MAX 16384u

struct spawner;
struct spawned;

/**
 * spawner_fork - fork the helper.
 * Return: the socket for spawner_new(), or a negative errno with a line.
 * Context: first thing after daemon_init(): no threads, no loop, no sandbox yet.
 */
int spawner_fork(struct err *err);

/** spawner_new - @fd: from spawner_fork(), taken over. Return: 0 or a negative errno. */
int spawner_new(struct loop *loop, int fd, struct spawner **ret_spawner);
/** spawner_free - the helper ends; processes go on, no event comes any more. All struct spawned are released before.
 * NULL is allowed. */
void spawner_free(struct spawner *spawner);

struct spawn_request {
	int exe_fd;		 /* the program, open for reading or O_PATH; stays the caller's */
	const char *name;	 /* argv[0] */
	const char *const *args; /* behind it, NULL-terminated */
	int log_fd;		 /* stays the caller's; -1: the daemon's own standard error */
	int in_fd;		 /* its standard input; stays the caller's; 0: /dev/null */
};

/* On the loop's thread, never from inside spawner_spawn(); the process may be released in both. */
struct spawn_events {
	void (*ready)(struct spawned *process, void *arg); /* daemon_ready() was called; at most once */
	/* It is gone, all threads of it. @status: as of waitpid(), -1 if unknown. Once. */
	void (*ended)(struct spawned *process, int status, void *arg);
};

/**
 * spawner_spawn - start a process; returns once the exec has happened or failed.
 * Return: 0 and *@ret_process; -EPIPE (no helper any more), -EAGAIN (killed again and again), -ETIMEDOUT (the helper
 * does not answer within 5 s; or, at once, has not done so yet), -E2BIG, what fork or exec refused, with a line.
 */
int spawner_spawn(struct spawner *spawner, const struct spawn_request *request, const struct spawn_events *events,
		  void *arg, struct err *err, struct spawned **ret_process);

pid_t spawned_pid(const struct spawned *process);
/** spawned_kill - SIGKILL; `ended` follows. */
void spawned_kill(struct spawned *process);
/** spawned_release - forget it: no event comes any more; it goes on. */
void spawned_release(struct spawned *process);

#endif
