/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: fork, a session of its own, exec. A pipe that closes on exec tells whether that worked; a second
 * one, named by BULKHEAD_READY_FD, carries the byte that daemon_ready() writes. A pidfd on the loop tells of the end,
 * also of processes that an earlier vmmgmtd started and that are not our children.
 */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "dbus/session.h"

#define ARGS_MAX      32
#define WHY_MAX	      128
#define READY_FD      3 /* in the child */
#define EOF_GRACE_NS  (1000 * NS_PER_MS)
#define ANCESTORS_MAX 8

struct launched {
	struct loop *loop;
	const struct launch_events *events;
	void *arg;
	struct launch_id id;
	bool is_child;
	bool is_ready;
	unsigned int ready_ms;
	char why[WHY_MAX]; /* of a kill of ours; "" if it ended by itself */
	int pidfd, ready_fd;
	struct loop_source *end, *ready, *timer;
};

/* From /proc/<pid>/stat: fields 4 and 22; the second one, in parentheses, may hold anything. */
static int read_stat(pid_t pid, pid_t *ret_parent, uint64_t *ret_start_time)
{
	char path[64], text[1024];
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long value;
	const char *at;
	int parent;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	text[n] = 0;
	at = n ? strrchr(text, ')') : NULL;
	if (!at || sscanf(at, ") %*c %d", &parent) != 1)
		return -ESRCH;
	at++;
	for (unsigned int field = 2; field < 21; field++) {
		at = strchr(at + 1, ' ');
		if (!at)
			return -ESRCH;
	}
	if (sscanf(at, " %llu", &value) != 1)
		return -ESRCH;
	*ret_parent = parent;
	*ret_start_time = value;
	return 0;
}

static int read_start_time(pid_t pid, uint64_t *ret)
{
	pid_t parent;

	return read_stat(pid, &parent, ret);
}

static void describe_end(const struct launched *p, char *why, size_t size)
{
	siginfo_t info = {0};

	if (*p->why)
		snprintf(why, size, "%s", p->why);
	else
		snprintf(why, size, "ended");
	/* Also takes the zombie away. */
	if (!p->is_child || waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid || *p->why)
		return;
	if (info.si_code == CLD_EXITED)
		snprintf(why, size, "ended with status %d", info.si_status);
	else
		snprintf(why, size, "was killed by signal %d (%s)", info.si_status,
			 sigabbrev_np(info.si_status) ? sigabbrev_np(info.si_status) : "?");
}

static void stop_watching(struct launched *p)
{
	loop_remove(&p->end);
	loop_remove(&p->ready);
	loop_remove(&p->timer);
	fd_close(&p->ready_fd);
}

static void on_end(int fd, unsigned int events, void *arg)
{
	struct launched *p = arg;
	char why[WHY_MAX];

	describe_end(p, why, sizeof(why));
	stop_watching(p);
	p->events->ended(p, why, p->arg);
}

static void fork_kill(struct launched *p)
{
	pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
}

static void on_timeout(void *arg)
{
	struct launched *p = arg;

	snprintf(p->why, sizeof(p->why), "was not ready within %u s", p->ready_ms / 1000);
	fork_kill(p);
}

static void on_ready(int fd, unsigned int events, void *arg)
{
	struct launched *p = arg;
	char byte;
	ssize_t n = read(fd, &byte, 1);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	loop_remove(&p->ready);
	fd_close(&p->ready_fd);
	if (n != 1) {
		/* It is ending, or has closed what it should not: its end says more. */
		loop_arm(p->timer, EOF_GRACE_NS);
		return;
	}
	loop_remove(&p->timer);
	p->is_ready = true;
	p->events->ready(p, p->arg);
}

static void free_launched(struct launched *p)
{
	stop_watching(p);
	fd_close(&p->pidfd);
	free(p);
}

static void fork_release(struct launched *p)
{
	siginfo_t info;

	if (p->is_child)
		waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG);
	free_launched(p);
}

static struct launch_id fork_id(const struct launched *p)
{
	return p->id;
}

/* ---- the child, between fork and exec ---- */

static void child_fail(int exec_fd)
{
	int error = errno;

	(void)!write(exec_fd, &error, sizeof(error));
	_exit(127);
}

/* The descriptors go to 0..3; everything else closes on exec. */
static void child_run(const char *path, char *const *argv, int log_fd, int ready_fd, int exec_fd)
{
	sigset_t none;
	int null;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	/* Out of the way of the numbers that they are to get. */
	log_fd = fcntl(log_fd, F_DUPFD_CLOEXEC, 10);
	ready_fd = fcntl(ready_fd, F_DUPFD_CLOEXEC, 10);
	exec_fd = fcntl(exec_fd, F_DUPFD_CLOEXEC, 10);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (log_fd < 0 || ready_fd < 0 || null < 0 || chdir("/") < 0)
		child_fail(exec_fd);
	if (dup2(null, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0 || dup2(ready_fd, READY_FD) < 0)
		child_fail(exec_fd);
	close_range(READY_FD + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	setenv("BULKHEAD_READY_FD", "3", 1);
	unsetenv("NOTIFY_SOCKET"); /* is ours, not its */
	unsetenv("JOURNAL_STREAM");
	execv(path, argv);
	child_fail(exec_fd);
}

static int make_argv(const char *path, const char *const *args, char *argv[ARGS_MAX])
{
	size_t n = 0;

	argv[n++] = (char *)path;
	for (; *args; args++) {
		if (n + 1 >= ARGS_MAX)
			return -E2BIG;
		argv[n++] = (char *)*args;
	}
	argv[n] = NULL;
	return 0;
}

/* Return: the child's pid once the exec has happened, or a negative errno. */
static pid_t spawn(const char *path, char *const *argv, int log_fd, int *ret_ready_fd)
{
	_cleanup_close_ int exec_read = -1, exec_write = -1, ready_read = -1, ready_write = -1;
	int fds[2], error = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	exec_read = fds[0];
	exec_write = fds[1];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	ready_read = fds[0];
	ready_write = fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child_run(path, argv, log_fd, ready_write, exec_write);
	fd_close(&exec_write);
	if (read(exec_read, &error, sizeof(error)) == sizeof(error)) {
		waitpid(pid, NULL, 0);
		return -error;
	}
	fd_set_nonblock(ready_read, true);
	*ret_ready_fd = take_fd(&ready_read);
	return pid;
}

static int watch(struct launched *p)
{
	int r = loop_add_fd(p->loop, p->pidfd, LOOP_READ, on_end, p, &p->end);

	if (r == 0 && p->ready_fd >= 0)
		r = loop_add_fd(p->loop, p->ready_fd, LOOP_READ, on_ready, p, &p->ready);
	if (r == 0 && p->ready_fd >= 0)
		r = loop_add_timer(p->loop, on_timeout, p, &p->timer);
	if (r == 0 && p->timer)
		loop_arm(p->timer, p->ready_ms * NS_PER_MS);
	return r;
}

static struct launched *launched_new(struct launcher *launcher, const struct launch_events *events, void *arg)
{
	struct launched *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->loop = launcher->loop;
	p->events = events;
	p->arg = arg;
	p->pidfd = p->ready_fd = -1;
	return p;
}

static int fork_start(struct launcher *launcher, const struct launch_request *request,
		      const struct launch_events *events, void *arg, struct err *err, struct launched **ret_process)
{
	struct launched *p;
	char path[PATH_MAX], *argv[ARGS_MAX];
	pid_t pid;
	int r = session_program(request->program, path, sizeof(path), err);

	if (r < 0)
		return r;
	r = make_argv(path, request->args, argv);
	p = r < 0 ? NULL : launched_new(launcher, events, arg);
	if (!p)
		return err_set(err, -ENOMEM, "%s: no memory to start it", request->program);
	p->ready_ms = request->ready_ms;
	pid = spawn(path, argv, request->log_fd, &p->ready_fd);
	if (pid < 0) {
		free_launched(p);
		return err_set(err, pid, "%s: cannot be started: %s: %s", request->program, path, strerror(-pid));
	}
	p->id.pid = pid;
	p->is_child = true;
	p->pidfd = pidfd_open(pid, 0);
	r = p->pidfd < 0 ? -errno : read_start_time(pid, &p->id.start_time);
	if (r == 0)
		r = watch(p);
	if (r < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		free_launched(p);
		return err_set(err, r, "%s: cannot be watched: %s", request->program, strerror(-r));
	}
	*ret_process = p;
	return 0;
}

/* The pidfd first, then the identity: from then on it cannot change under us. */
static int open_id(const struct launch_id *id, int *ret_pidfd)
{
	_cleanup_close_ int pidfd = id->pid > 0 ? pidfd_open(id->pid, 0) : -1;
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	uint64_t start_time;

	if (pidfd < 0 || read_start_time(id->pid, &start_time) < 0 || start_time != id->start_time ||
	    poll(&pfd, 1, 0) != 0)
		return -ESRCH;
	*ret_pidfd = take_fd(&pidfd);
	return 0;
}

static int fork_adopt(struct launcher *launcher, const struct launch_id *id, const struct launch_events *events,
		      void *arg, struct launched **ret_process)
{
	struct launched *p;
	int pidfd, r = open_id(id, &pidfd);

	if (r < 0)
		return r;
	p = launched_new(launcher, events, arg);
	if (!p) {
		close(pidfd);
		return -ENOMEM;
	}
	p->id = *id;
	p->pidfd = pidfd;
	p->is_ready = true;
	r = watch(p);
	if (r < 0)
		free_launched(p);
	else
		*ret_process = p;
	return r;
}

int launch_identify(pid_t pid, pid_t ancestor, struct launch_id *ret_id)
{
	struct launch_id id = {.pid = pid};
	pid_t parent;
	int r = pid > 1 ? read_stat(pid, &parent, &id.start_time) : -ESRCH;

	for (unsigned int depth = 1; r == 0 && parent != ancestor; depth++) {
		uint64_t start_time;

		if (parent <= 1 || depth == ANCESTORS_MAX)
			return -EPERM;
		r = read_stat(parent, &parent, &start_time);
	}
	if (r == 0)
		*ret_id = id;
	return r;
}

int launch_kill_id(const struct launch_id *id, unsigned int timeout_ms)
{
	_cleanup_close_ int pidfd = -1;
	struct pollfd pfd = {.events = POLLIN};

	if (open_id(id, &pidfd) < 0)
		return 0;
	pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	pfd.fd = pidfd;
	return poll(&pfd, 1, (int)timeout_ms) > 0 ? 0 : -ETIMEDOUT;
}

void launcher_fork_init(struct launcher *launcher, struct loop *loop)
{
	static const struct launcher_ops ops = {
		.start = fork_start,
		.adopt = fork_adopt,
		.id = fork_id,
		.kill = fork_kill,
		.release = fork_release,
	};

	*launcher = (struct launcher){.ops = &ops, .loop = loop};
}
