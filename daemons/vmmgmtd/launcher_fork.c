/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the spawner's helper, which was forked before the sandbox, starts the program that we open, is
 * its parent, and tells when it is ready and how it ended. Processes that an earlier vmmgmtd started are nobody's
 * children any more: of those a pidfd on the loop tells that they have ended.
 */
#include "launcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "daemon/spawner.h"
#include "dbus/session.h"

#define WHY_MAX	      128
#define ANCESTORS_MAX 8

static const struct syscall_rule rules[] = {
	{SYS_openat}, /* programs, /proc/<pid>/stat */
	{SYS_newfstatat},
	{SYS_access},
	{SYS_getdents64}, /* /proc */
	{SYS_pidfd_open},
	{SYS_pidfd_send_signal},
	{-1},
};

const struct syscall_list launcher_fork_calls = {.name = "starting and watching processes", .rules = rules};

struct launched {
	struct loop *loop;
	const struct launch_events *events;
	void *arg;
	struct launch_id id;
	struct spawned *spawned; /* NULL: adopted */
	int pidfd;		 /* of an adopted one; else -1 */
	struct loop_source *end; /* of an adopted one */
	unsigned int ready_ms;
	struct loop_source *timer; /* until it is ready */
	char why[WHY_MAX];	   /* of a kill of ours; "" if it ended by itself */
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

static void describe_end(const struct launched *p, int status, char *why, size_t size)
{
	const char *name = status >= 0 && WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

	if (*p->why)
		snprintf(why, size, "%s", p->why);
	else if (status >= 0 && WIFEXITED(status))
		snprintf(why, size, "ended with status %d", WEXITSTATUS(status));
	else if (status >= 0 && WIFSIGNALED(status))
		snprintf(why, size, "was killed by signal %d (%s)", WTERMSIG(status), name ? name : "?");
	else
		snprintf(why, size, "ended"); /* nobody knows how */
}

static void tell_end(struct launched *p, int status)
{
	char why[WHY_MAX];

	loop_remove(&p->end);
	loop_remove(&p->timer);
	describe_end(p, status, why, sizeof(why));
	p->events->ended(p, why, p->arg);
}

static void on_pidfd(int fd, unsigned int events, void *arg)
{
	tell_end(arg, -1);
}

static void on_ended(struct spawned *process, int status, void *arg)
{
	tell_end(arg, status);
}

static void on_ready(struct spawned *process, void *arg)
{
	struct launched *p = arg;

	loop_remove(&p->timer);
	p->events->ready(p, p->arg);
}

static void fork_kill(struct launched *p)
{
	if (p->spawned)
		spawned_kill(p->spawned);
	else
		pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
}

static void on_timeout(void *arg)
{
	struct launched *p = arg;

	snprintf(p->why, sizeof(p->why), "was not ready within %u s", p->ready_ms / 1000);
	fork_kill(p);
}

static void fork_release(struct launched *p)
{
	loop_remove(&p->end);
	loop_remove(&p->timer);
	if (p->spawned)
		spawned_release(p->spawned);
	fd_close(&p->pidfd);
	free(p);
}

static struct launch_id fork_id(const struct launched *p)
{
	return p->id;
}

static struct launched *launched_new(struct launcher *launcher, const struct launch_events *events, void *arg)
{
	struct launched *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->loop = launcher->loop;
	p->events = events;
	p->arg = arg;
	p->pidfd = -1;
	return p;
}

static int spawn(struct launcher *launcher, const struct launch_request *request, struct launched *p, struct err *err)
{
	static const struct spawn_events events = {on_ready, on_ended};
	struct spawn_request spawn = {
		.name = request->program, .args = request->args, .log_fd = request->log_fd, .in_fd = request->in_fd};
	_cleanup_close_ int exe_fd = -1;
	char own[PATH_MAX];
	const char *path = request->path ? request->path : own;
	int r = request->path ? 0 : session_program(request->program, own, sizeof(own), err);

	if (r < 0)
		return r;
	exe_fd = open(path, O_PATH | O_CLOEXEC);
	if (exe_fd < 0)
		return err_set(err, -errno, "%s: cannot be started: %s: %s", request->program, path, strerror(errno));
	spawn.exe_fd = exe_fd;
	r = spawner_spawn(launcher->spawner, &spawn, &events, p, err, &p->spawned);
	if (r == -EPIPE)
		err_set(err, r,
			"%s: cannot be started: vmmgmtd's process spawner was killed: end vmmgmtd and start it again; "
			"VMs "
			"go on",
			request->program);
	return r;
}

static int fork_start(struct launcher *launcher, const struct launch_request *request,
		      const struct launch_events *events, void *arg, struct err *err, struct launched **ret_process)
{
	struct launched *p = launched_new(launcher, events, arg);
	int r;

	if (!p || loop_add_timer(p->loop, on_timeout, p, &p->timer) < 0) {
		free(p);
		return err_set(err, -ENOMEM, "%s: no memory to start it", request->program);
	}
	r = spawn(launcher, request, p, err);
	if (r < 0) {
		fork_release(p);
		return r;
	}
	p->id.pid = spawned_pid(p->spawned);
	/* One that has ended already is told of soon; a later vmmgmtd takes it for gone. */
	if (read_start_time(p->id.pid, &p->id.start_time) < 0)
		p->id.start_time = 0;
	p->ready_ms = request->ready_ms;
	if (p->ready_ms)
		loop_arm(p->timer, p->ready_ms * NS_PER_MS);
	*ret_process = p;
	return 0;
}

/* The pidfd first, then the identity: from then on it cannot change under us. */
int launch_open(const struct launch_id *id, int *ret_pidfd)
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
	int pidfd, r = launch_open(id, &pidfd);

	if (r < 0)
		return r;
	p = launched_new(launcher, events, arg);
	if (!p) {
		close(pidfd);
		return -ENOMEM;
	}
	p->id = *id;
	p->pidfd = pidfd;
	r = loop_add_fd(p->loop, pidfd, LOOP_READ, on_pidfd, p, &p->end);
	if (r < 0)
		fork_release(p);
	else
		*ret_process = p;
	return r;
}

int launch_identity(pid_t pid, struct launch_id *ret_id)
{
	struct launch_id id = {.pid = pid};
	int r = pid > 1 ? read_start_time(pid, &id.start_time) : -ESRCH;

	if (r == 0)
		*ret_id = id;
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

/* /proc/<pid>/cmdline: strings, each with its NUL. */
static bool is_called(const char *pid, const char *program, const char *argument)
{
	char path[64], text[4096];
	_cleanup_close_ int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = 0;
	if (strcmp(text, program) != 0)
		return false;
	for (const char *at = text; at < text + n; at += strlen(at) + 1) {
		if (!strcmp(at, argument))
			return true;
	}
	return false;
}

int launch_find(const char *program, const char *argument, struct launch_id *ret_id)
{
	struct dirent **names = NULL;
	// cppcheck-suppress nullPointer ; scandir() takes NULL
	int n = scandir("/proc", &names, NULL, NULL), r = -ESRCH;

	for (int i = 0; i < n; i++) {
		struct launch_id id = {.pid = atoi(names[i]->d_name)};

		if (r < 0 && id.pid > 1 && is_called(names[i]->d_name, program, argument) &&
		    read_start_time(id.pid, &id.start_time) == 0) {
			*ret_id = id;
			r = 0;
		}
		free(names[i]);
	}
	free(names);
	return r;
}

int launch_kill_id(const struct launch_id *id, unsigned int timeout_ms)
{
	_cleanup_close_ int pidfd = -1;
	struct pollfd pfd = {.events = POLLIN};

	if (launch_open(id, &pidfd) < 0)
		return 0;
	pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	pfd.fd = pidfd;
	return poll(&pfd, 1, (int)timeout_ms) > 0 ? 0 : -ETIMEDOUT;
}

void launcher_fork_init(struct launcher *launcher, struct loop *loop, struct spawner *spawner)
{
	static const struct launcher_ops ops = {
		.start = fork_start,
		.adopt = fork_adopt,
		.identify = launch_identify,
		.id = fork_id,
		.kill = fork_kill,
		.release = fork_release,
	};

	*launcher = (struct launcher){.ops = &ops, .loop = loop, .spawner = spawner};
}
