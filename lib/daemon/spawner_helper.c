// SPDX-License-Identifier: Apache-2.0
/*
 * The helper's side of the spawner. It trusts the daemon that forked it no more than it must: what it starts is an open
 * program that the daemon hands it, never a path, and it kills only children of its own.
 *
 * Theory of operation: the daemon's child is the keeper, which only waits: for the helper, which it forks, and, as a
 * subreaper, for what a helper that was killed has left. It tells of those ends itself, says that the helper is another
 * one, and forks it. An end is told before the process is reaped, by both: so a number is not used anew before the
 * daemon knows, and nothing is lost between them. When a helper ends by itself, the daemon is gone, and the keeper goes
 * too.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "daemon/spawner_msg.h"

#define KEEPER_NAME	"spawner"
#define HELPER_NAME	"spawner-helper"
#define HELPER_PAUSE_NS (50 * 1000 * 1000) /* before the next one: who kills it may do so again and again */
#define HELPER_SOCKET	3
#define CHILD_READY	3
#define CHILD_ABOVE	10 /* out of the way of the numbers that the child's descriptors get */

/* ---- the child, between fork and exec ---- */

static void child_fail(int exec_fd)
{
	int error = errno;

	(void)!write(exec_fd, &error, sizeof(error));
	_exit(127);
}

static void child_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child_run(char *const *argv, const int *given, int exec_fd)
{
	int fds[SPAWNER_FDS] = {0}, in;

	setsid();
	child_signals();
	exec_fd = fcntl(exec_fd, F_DUPFD_CLOEXEC, CHILD_ABOVE);
	for (size_t i = 0; i < SPAWNER_FDS; i++) {
		if (i != SPAWNER_FD_IN || given[i] >= 0)
			fds[i] = fcntl(given[i], F_DUPFD_CLOEXEC, CHILD_ABOVE);
		if (fds[i] < 0)
			child_fail(exec_fd);
	}
	in = given[SPAWNER_FD_IN] >= 0 ? fds[SPAWNER_FD_IN] : open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (in < 0 || chdir("/") < 0)
		child_fail(exec_fd);
	if (dup2(in, STDIN_FILENO) < 0 || dup2(fds[SPAWNER_FD_LOG], STDOUT_FILENO) < 0 ||
	    dup2(fds[SPAWNER_FD_LOG], STDERR_FILENO) < 0 || dup2(fds[SPAWNER_FD_READY], CHILD_READY) < 0)
		child_fail(exec_fd);
	close_range(CHILD_READY + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	setenv("BULKHEAD_READY_FD", "3", 1);
	unsetenv("NOTIFY_SOCKET"); /* is the daemon's, not its */
	unsetenv("JOURNAL_STREAM");
	syscall(SYS_execveat, fds[SPAWNER_FD_EXE], "", argv, environ, AT_EMPTY_PATH);
	child_fail(exec_fd);
}

/* ---- the helper ---- */

/* Return: the child's pid once the exec has happened, or a negative errno. */
static pid_t start(char *const *argv, const int *fds)
{
	_cleanup_close_ int exec_read = -1, exec_write = -1;
	int pipe_fds[2], error = 0;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	exec_read = pipe_fds[0];
	exec_write = pipe_fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child_run(argv, fds, exec_write);
	fd_close(&exec_write);
	if (read(exec_read, &error, sizeof(error)) != sizeof(error))
		return pid;
	waitpid(pid, NULL, 0);
	return -error;
}

/* Return: 0, or -EINVAL: these are not as many strings as it says. */
static int split(struct spawner_start *request, size_t len, char *argv[SPAWNER_ARGS_MAX + 2])
{
	char *at = request->strings, *end = at + request->msg.len;
	int count = request->msg.value;

	if (request->msg.len > SPAWNER_BYTES_MAX || len != sizeof(request->msg) + request->msg.len || count < 1 ||
	    count > (int)SPAWNER_ARGS_MAX + 1 || end == at || end[-1])
		return -EINVAL;
	for (int i = 0; i < count; i++) {
		if (at >= end)
			return -EINVAL;
		argv[i] = at;
		at += strlen(at) + 1;
	}
	argv[count] = NULL;
	return at == end ? 0 : -EINVAL;
}

static int handle_start(int socket, struct spawner_start *request, size_t len, const int *fds)
{
	struct spawner_msg reply = {.kind = SPAWNER_STARTED, .serial = request->msg.serial};
	_cleanup_close_ int pidfd = -1;
	char *argv[SPAWNER_ARGS_MAX + 2];
	int r = split(request, len, argv);

	if (r == 0 && fds[SPAWNER_FD_READY] < 0)
		r = -EBADF;
	if (r == 0)
		r = start(argv, fds);
	if (r > 0) {
		reply.pid = r;
		pidfd = pidfd_open(r, 0);
		r = pidfd < 0 ? -errno : 0;
		if (r < 0) {
			kill(reply.pid, SIGKILL);
			waitpid(reply.pid, NULL, 0);
		}
	}
	reply.value = r;
	return spawner_send(socket, &reply, sizeof(reply), &pidfd, r == 0 ? 1 : 0);
}

/* One that was not waited for is still there, so the number is still its own. */
static void handle_kill(pid_t pid)
{
	siginfo_t info = {0};

	if (pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
		kill(pid, SIGKILL);
}

/* Return: 0, or a negative errno: the daemon is gone or speaks nonsense. */
static int handle(int socket)
{
	static struct spawner_start request;
	int fds[SPAWNER_FDS], r = 0;
	ssize_t n = spawner_receive(socket, &request, sizeof(request), 0, fds);

	if (n < (ssize_t)sizeof(request.msg))
		r = -EPIPE;
	else if (request.msg.kind == SPAWNER_START)
		r = handle_start(socket, &request, (size_t)n, fds);
	else if (request.msg.kind == SPAWNER_KILL)
		handle_kill(request.msg.pid);
	for (size_t i = 0; i < SPAWNER_FDS; i++)
		fd_close(&fds[i]);
	return r;
}

/* As waitpid() would give it. */
static int status_of(const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		return W_EXITCODE(info->si_status, 0);
	return W_EXITCODE(0, info->si_status) | (info->si_code == CLD_DUMPED ? WCOREFLAG : 0);
}

static int tell_end(int socket, const siginfo_t *info)
{
	const struct spawner_msg msg = {.kind = SPAWNER_ENDED, .pid = info->si_pid, .value = status_of(info)};

	return spawner_send(socket, &msg, sizeof(msg), NULL, 0);
}

static int reap(int socket, int signal_fd)
{
	struct signalfd_siginfo signal_info;
	siginfo_t info = {0};
	int r = 0;

	(void)!read(signal_fd, &signal_info, sizeof(signal_info));
	while (r == 0 && waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		r = tell_end(socket, &info);
		waitpid(info.si_pid, NULL, 0);
		info.si_pid = 0;
	}
	return r;
}

/* Of the daemon only 0 to 2 and the socket stay, and none of its ways with signals. */
static int set_up(int *socket)
{
	sigset_t mask;

	prctl(PR_SET_NAME, KEEPER_NAME, 0, 0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	setsid();
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	/* It ends with the daemon, not before it: what the daemon still has to start or to end needs it. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (*socket != HELPER_SOCKET && dup2(*socket, HELPER_SOCKET) < 0)
		return -errno;
	*socket = HELPER_SOCKET;
	if (fcntl(*socket, F_SETFD, FD_CLOEXEC) < 0 || close_range(HELPER_SOCKET + 1, UINT_MAX, 0) < 0 ||
	    chdir("/") < 0)
		return -errno;
	sigemptyset(&mask);
	return sigprocmask(SIG_SETMASK, &mask, NULL) < 0 ? -errno : 0;
}

static int watch_children(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &mask, NULL) < 0)
		return -errno;
	return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void help(int socket)
{
	int signal_fd = watch_children(), r = signal_fd;

	prctl(PR_SET_NAME, HELPER_NAME, 0, 0, 0);

	while (r >= 0) {
		struct pollfd fds[] = {{.fd = socket, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};

		if (poll(fds, 2, -1) < 0)
			continue;
		/* Ends first: a number may only be used anew after the daemon was told of its end. */
		r = fds[1].revents ? reap(socket, signal_fd) : 0;
		if (r >= 0 && fds[0].revents)
			r = handle(socket);
	}
	_exit(0);
}

/* ---- the keeper ---- */

/* Return: whether the helper was killed and another one is needed; else the daemon is gone. */
static bool keep(int socket, pid_t helper)
{
	for (;;) {
		siginfo_t info = {0};

		if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		if (info.si_pid != helper && tell_end(socket, &info) < 0)
			return false;
		waitpid(info.si_pid, NULL, 0);
		if (info.si_pid == helper)
			return info.si_code != CLD_EXITED;
	}
}

void spawner_helper(int socket)
{
	const struct timespec pause = {.tv_nsec = HELPER_PAUSE_NS};
	const struct spawner_msg again = {.kind = SPAWNER_AGAIN};
	bool needed = set_up(&socket) == 0;

	while (needed) {
		pid_t helper = fork();

		if (helper == 0)
			help(socket);
		if (helper > 0)
			needed = keep(socket, helper) && spawner_send(socket, &again, sizeof(again), NULL, 0) == 0;
		nanosleep(&pause, NULL);
	}
	_exit(0);
}
