// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation: the helper is the parent of what was started, so it tells of each end, once, with the status.
 * Its messages may also come while spawner_spawn() waits for an answer: an end is noted then, and the callback is made
 * later, from the timer, one at a time, so that a callback may release any process. The pipe that daemon_ready() writes
 * to stays between the process and us; before an end is told, it is looked at once more: `ready` never comes late.
 *
 * A helper that is killed is replaced by its keeper. What it was about to start then is asked for again; if the first
 * request was served all the same, its process is killed. When both are gone, a pidfd for each process that was left
 * tells of its end.
 *
 * A helper that does not answer in time, because it is stopped or cannot get at the program, is given up for that
 * request, and for all that follow until it answers after all: none waits again, and none lies in its socket. What it
 * then turns out to have started is killed.
 */
#include "daemon/spawner.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "daemon/spawner_msg.h"

#define TRIES	    3 /* to start a process, when helpers are killed meanwhile */
#define DEADLINE_NS (5 * NS_PER_SEC)
#define RETRY_NS    (100 * NS_PER_MS)

struct spawned {
	struct spawner *spawner;
	struct spawned *next;
	const struct spawn_events *events;
	void *arg;
	pid_t pid;
	int pidfd, ready_fd;
	struct loop_source *ready, *end; /* end: only without a helper */
	bool has_ended, told;
	int status;
};

struct spawner {
	struct loop *loop;
	int fd; /* -1: the helper is gone */
	struct loop_source *source, *later;
	struct spawned *processes;
	uint32_t serial; /* of the last request */
	bool overdue;	 /* its answer is: nothing is asked for meanwhile */
};

int spawner_fork(struct err *err)
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return err_set(err, -errno, "cannot make the spawner's socket: %s", strerrordesc_np(errno));
	pid = fork();
	if (pid == 0)
		spawner_helper(fds[1]);
	close(fds[1]);
	if (pid < 0) {
		int r = -errno;

		close(fds[0]);
		return err_set(err, r, "cannot fork the spawner: %s", strerrordesc_np(-r));
	}
	return fds[0];
}

/* ---- events ---- */

static void stop_ready(struct spawned *p)
{
	loop_remove(&p->ready);
	fd_close(&p->ready_fd);
}

/* Return: whether the callback was made: the process may be released by now. */
static bool take_ready(struct spawned *p)
{
	char byte;
	ssize_t n;

	if (p->ready_fd < 0)
		return false;
	n = read(p->ready_fd, &byte, 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	stop_ready(p);
	if (n != 1)
		return false;
	p->events->ready(p, p->arg);
	return true;
}

static void on_ready(int fd, unsigned int events, void *arg)
{
	take_ready(arg);
}

static void watch_left(struct spawner *spawner);

/* One callback in each turn. */
static void on_later(void *arg)
{
	struct spawner *spawner = arg;
	struct spawned *p = spawner->processes;

	if (spawner->fd < 0)
		watch_left(spawner);
	while (p && (!p->has_ended || p->told))
		p = p->next;
	if (!p)
		return;
	loop_arm(spawner->later, 0);
	if (take_ready(p))
		return;
	stop_ready(p);
	p->told = true;
	p->events->ended(p, p->status, p->arg);
}

static void note_end(struct spawned *p, int status)
{
	if (p->has_ended)
		return;
	p->has_ended = true;
	p->status = status;
	loop_remove(&p->end);
	loop_arm(p->spawner->later, 0);
}

static void on_pidfd(int fd, unsigned int events, void *arg)
{
	note_end(arg, -1);
}

/* Nobody tells of them any more. One that cannot be watched now has not ended for that: it is tried again. */
static void watch_left(struct spawner *spawner)
{
	for (struct spawned *p = spawner->processes; p; p = p->next)
		if (!p->has_ended && !p->end &&
		    loop_add_fd(spawner->loop, p->pidfd, LOOP_READ, on_pidfd, p, &p->end) < 0)
			loop_arm(spawner->later, RETRY_NS);
}

static void helper_gone(struct spawner *spawner)
{
	loop_remove(&spawner->source);
	fd_close(&spawner->fd);
	watch_left(spawner);
}

/* It may do so also where we are not allowed to any more, but only to children of its own. */
static void kill_by_helper(const struct spawner *spawner, pid_t pid)
{
	const struct spawner_msg msg = {.kind = SPAWNER_KILL, .pid = pid};

	if (spawner->fd >= 0)
		(void)spawner_send(spawner->fd, &msg, sizeof(msg), NULL, 0);
}

/* The answer to a request that was given up: nobody knows this process. */
static void end_stray(struct spawner *spawner, const struct spawner_msg *msg, int pidfd)
{
	if (msg->value != 0)
		return;
	kill_by_helper(spawner, msg->pid);
	if (pidfd >= 0)
		pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
}

/* What came without being asked for. A process that was released has no record any more. */
static void take_message(struct spawner *spawner, const struct spawner_msg *msg, int pidfd)
{
	struct spawned *p = spawner->processes;

	if (msg->kind == SPAWNER_STARTED)
		end_stray(spawner, msg, pidfd);
	if (msg->kind == SPAWNER_AGAIN || (msg->kind == SPAWNER_STARTED && msg->serial == spawner->serial))
		spawner->overdue = false;
	while (p && (p->pid != msg->pid || p->has_ended))
		p = p->next;
	if (p && msg->kind == SPAWNER_ENDED)
		note_end(p, msg->value);
}

static void on_socket(int fd, unsigned int events, void *arg)
{
	struct spawner *spawner = arg;
	struct spawner_msg msg;
	int fds[SPAWNER_FDS];
	ssize_t n = spawner_receive(fd, &msg, sizeof(msg), MSG_DONTWAIT, fds);

	if (n == (ssize_t)sizeof(msg))
		take_message(spawner, &msg, fds[0]);
	for (size_t i = 0; i < SPAWNER_FDS; i++)
		fd_close(&fds[i]);
	if (n != (ssize_t)sizeof(msg) && n != -EAGAIN)
		helper_gone(spawner);
}

/* ---- the spawner ---- */

int spawner_new(struct loop *loop, int fd, struct spawner **ret_spawner)
{
	struct spawner *spawner = calloc(1, sizeof(*spawner));
	int r;

	if (!spawner)
		return -ENOMEM;
	spawner->loop = loop;
	r = loop_add_fd(loop, fd, LOOP_READ, on_socket, spawner, &spawner->source);
	if (r == 0)
		r = loop_add_timer(loop, on_later, spawner, &spawner->later);
	if (r < 0) {
		loop_remove(&spawner->source);
		free(spawner);
		return r;
	}
	spawner->fd = fd;
	*ret_spawner = spawner;
	return 0;
}

void spawner_free(struct spawner *spawner)
{
	if (!spawner)
		return;
	assert(!spawner->processes);
	loop_remove(&spawner->source);
	loop_remove(&spawner->later);
	fd_close(&spawner->fd);
	free(spawner);
}

static int add_string(struct spawner_start *start, const char *string)
{
	size_t len = strlen(string) + 1;

	if (start->msg.value > (int)SPAWNER_ARGS_MAX || len > sizeof(start->strings) - start->msg.len)
		return -E2BIG;
	memcpy(start->strings + start->msg.len, string, len);
	start->msg.len += (uint32_t)len;
	start->msg.value++;
	return 0;
}

static int send_start(struct spawner *spawner, const struct spawn_request *request, int ready_fd)
{
	_cleanup_free_ struct spawner_start *start = calloc(1, sizeof(*start));
	int fds[SPAWNER_FDS] = {
		[SPAWNER_FD_EXE] = request->exe_fd,
		[SPAWNER_FD_LOG] = request->log_fd >= 0 ? request->log_fd : STDERR_FILENO,
		[SPAWNER_FD_READY] = ready_fd,
		[SPAWNER_FD_IN] = request->in_fd,
	};
	int r;

	if (!start)
		return -ENOMEM;
	start->msg.kind = SPAWNER_START;
	start->msg.serial = ++spawner->serial;
	r = add_string(start, request->name);
	for (const char *const *arg = request->args; r == 0 && *arg; arg++)
		r = add_string(start, *arg);
	if (r < 0)
		return r;
	return spawner_send(spawner->fd, start, sizeof(start->msg) + start->msg.len, fds,
			    request->in_fd > 0 ? SPAWNER_FDS : SPAWNER_FD_IN);
}

/* Until a message is there. Return: 0 or -ETIMEDOUT. */
static int wait_message(struct spawner *spawner, uint64_t deadline_ns)
{
	struct pollfd pfd = {.fd = spawner->fd, .events = POLLIN};
	uint64_t now;

	while ((now = clock_now_ns()) < deadline_ns)
		if (poll(&pfd, 1, (int)((deadline_ns - now) / NS_PER_MS) + 1) > 0)
			return 0;
	spawner->overdue = true;
	return -ETIMEDOUT;
}

/* Ends of others come first. That the helper is gone is for on_socket() to find: no callback from here. */
static int receive_started(struct spawner *spawner, uint64_t deadline_ns, pid_t *ret_pid, int *ret_pidfd)
{
	for (;;) {
		struct spawner_msg msg;
		int fds[SPAWNER_FDS], r = wait_message(spawner, deadline_ns);
		ssize_t n;

		if (r < 0)
			return r;
		n = spawner_receive(spawner->fd, &msg, sizeof(msg), 0, fds);
		if (n != (ssize_t)sizeof(msg))
			return -EPIPE;
		if (msg.kind == SPAWNER_AGAIN)
			return -EAGAIN;
		if (msg.kind != SPAWNER_STARTED || msg.serial != spawner->serial) {
			take_message(spawner, &msg, fds[0]);
			fd_close(&fds[0]);
			continue;
		}
		if (msg.value < 0)
			return msg.value;
		if (fds[0] < 0) {
			/* There was no room for it here. */
			kill_by_helper(spawner, msg.pid);
			return -EMFILE;
		}
		*ret_pid = msg.pid;
		*ret_pidfd = fds[0];
		return 0;
	}
}

static int start(struct spawner *spawner, const struct spawn_request *request, struct spawned *p)
{
	uint64_t deadline_ns = clock_now_ns() + DEADLINE_NS;
	_cleanup_close_ int ready_write = -1;
	int fds[2], r;

	if (spawner->fd < 0)
		return -EPIPE;
	if (spawner->overdue)
		return -ETIMEDOUT;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	p->ready_fd = fds[0];
	ready_write = fds[1];
	r = fd_set_nonblock(p->ready_fd, true);
	if (r == 0)
		r = loop_add_fd(spawner->loop, p->ready_fd, LOOP_READ, on_ready, p, &p->ready);
	for (unsigned int i = 0; r == 0 && i < TRIES; i++) {
		r = send_start(spawner, request, ready_write);
		if (r == 0)
			r = receive_started(spawner, deadline_ns, &p->pid, &p->pidfd);
		if (r != -EAGAIN)
			break;
		r = i + 1 < TRIES ? 0 : -EAGAIN;
	}
	return r;
}

static void spawned_free(struct spawned *p)
{
	stop_ready(p);
	loop_remove(&p->end);
	fd_close(&p->pidfd);
	free(p);
}

int spawner_spawn(struct spawner *spawner, const struct spawn_request *request, const struct spawn_events *events,
		  void *arg, struct err *err, struct spawned **ret_process)
{
	struct spawned *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "%s: no memory to start it", request->name);
	p->spawner = spawner;
	p->events = events;
	p->arg = arg;
	p->pidfd = p->ready_fd = -1;
	r = start(spawner, request, p);
	if (r < 0) {
		const char *why = r == -EPIPE	    ? "the spawner has ended"
				  : r == -ETIMEDOUT ? "the spawner does not answer"
						    : strerrordesc_np(-r);

		spawned_free(p);
		return err_set(err, r, "%s: cannot be started: %s", request->name, why);
	}
	p->next = spawner->processes;
	spawner->processes = p;
	*ret_process = p;
	return 0;
}

/* ---- processes ---- */

pid_t spawned_pid(const struct spawned *process)
{
	return process->pid;
}

void spawned_kill(struct spawned *process)
{
	if (process->has_ended)
		return;
	kill_by_helper(process->spawner, process->pid);
	pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
}

void spawned_release(struct spawned *process)
{
	struct spawned **at = &process->spawner->processes;

	while (*at != process)
		at = &(*at)->next;
	*at = process->next;
	spawned_free(process);
}
