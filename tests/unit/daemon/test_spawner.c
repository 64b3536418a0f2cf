/* SPDX-License-Identifier: Apache-2.0 */
/* The helper is a real one, and what it starts are programs of the system. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "daemon/daemon.h"
#include "daemon/spawner.h"
#include "daemon/spawner_msg.h"

#define LOG_MAX 4096

struct watched {
	struct spawned *process;
	bool ready, ended;
	int status;
};

static struct loop *loop;
static struct spawner *spawner;
static pid_t helper; /* our child: it keeps the one that does the work */

/* The first child of @parent, once it has one. */
static pid_t find_child(pid_t parent)
{
	char path[64];
	int pid = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent, parent);
	while (!pid) {
		FILE *f = fopen(path, "re");

		cr_assert(f);
		if (fscanf(f, "%d", &pid) != 1)
			usleep(1000);
		fclose(f);
	}
	return pid;
}

static unsigned int count_children(pid_t parent)
{
	unsigned int n = 0;
	char path[64];
	int pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent, parent);
	f = fopen(path, "re");
	cr_assert(f);
	while (fscanf(f, "%d", &pid) == 1)
		n++;
	fclose(f);
	return n;
}

static void setup(void)
{
	struct err err = {0};
	int fd;

	setenv("BULKHEAD_DEBUG", "1", 1);
	setenv("NOTIFY_SOCKET", "/nowhere", 1);
	cr_assert_eq(daemon_init("test", NULL, &err), 0);
	fd = spawner_fork(&err);
	cr_assert_geq(fd, 0, "%s", err.text);
	helper = find_child(getpid());
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(spawner_new(loop, fd, &spawner), 0);
}

static void teardown(void)
{
	int status;

	spawner_free(spawner);
	loop_free(loop);
	cr_assert_eq(waitpid(helper, &status, 0), helper, "the helper ends with us");
}

TestSuite(spawner, .init = setup, .fini = teardown, .timeout = 60);

static void on_ready(struct spawned *process, void *arg)
{
	struct watched *w = arg;

	cr_assert_eq(w->process, process);
	cr_assert_not(w->ready);
	cr_assert_not(w->ended);
	w->ready = true;
}

static void on_ended(struct spawned *process, int status, void *arg)
{
	struct watched *w = arg;

	cr_assert_eq(w->process, process);
	cr_assert_not(w->ended);
	w->ended = true;
	w->status = status;
}

static const struct spawn_events events = {.ready = on_ready, .ended = on_ended};

static int input; /* of what is started; 0: none */

static int spawn(const char *path, const char *const *args, int log_fd, struct watched *w)
{
	int exe = open(path, O_PATH | O_CLOEXEC), r;
	const struct spawn_request request = {
		.exe_fd = exe, .name = path, .args = args, .log_fd = log_fd, .in_fd = input};
	struct err err = {0};

	*w = (struct watched){0};
	r = spawner_spawn(spawner, &request, &events, w, &err, &w->process);
	cr_assert(r == 0 || err.text[0]);
	fd_close(&exe);
	return r;
}

static void spawn_shell(const char *script, int log_fd, struct watched *w)
{
	const char *const args[] = {"-c", script, NULL};

	cr_assert_eq(spawn("/bin/sh", args, log_fd, w), 0);
}

static void wait_end(struct watched *w)
{
	while (!w->ended)
		cr_assert_eq(loop_run_once(loop, true), 0);
	spawned_release(w->process);
}

/* What @script wrote to its log. */
static const char *output(const char *script)
{
	static char text[LOG_MAX];
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct watched w;
	ssize_t n;

	spawn_shell(script, fd, &w);
	wait_end(&w);
	n = pread(fd, text, sizeof(text) - 1, 0);
	cr_assert_geq(n, 0);
	text[n] = 0;
	close(fd);
	return text;
}

Test(spawner, tells_how_it_ended)
{
	const char *const none[] = {NULL};
	struct watched w;

	cr_assert_eq(spawn("/bin/true", none, -1, &w), 0);
	wait_end(&w);
	cr_assert(WIFEXITED(w.status) && WEXITSTATUS(w.status) == 0);
	cr_assert_not(w.ready);
	spawn_shell("exit 3", -1, &w);
	wait_end(&w);
	cr_assert(WIFEXITED(w.status) && WEXITSTATUS(w.status) == 3);
	spawn_shell("kill -SEGV $$", -1, &w);
	wait_end(&w);
	cr_assert(WIFSIGNALED(w.status) && WTERMSIG(w.status) == SIGSEGV);
}

Test(spawner, refuses_what_is_no_program)
{
	const char *const none[] = {NULL};
	struct watched w;
	int fd = memfd_create("text", MFD_CLOEXEC);
	char path[64];

	cr_assert_eq(spawn("/nowhere", none, -1, &w), -EBADF);
	cr_assert_eq(spawn("/etc/passwd", none, -1, &w), -EACCES);
	cr_assert_eq(fchmod(fd, 0700), 0);
	cr_assert_eq(write(fd, "text", 4), 4);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	cr_assert_eq(spawn(path, none, -1, &w), -ENOEXEC);
	close(fd);
	/* And goes on. */
	cr_assert_eq(spawn("/bin/true", none, -1, &w), 0);
	wait_end(&w);
}

Test(spawner, limits_arguments)
{
	static char big[SPAWNER_BYTES_MAX];
	const char *many[SPAWNER_ARGS_MAX + 2] = {0}, *const one[] = {big, NULL};
	struct watched w;

	for (size_t i = 0; i <= SPAWNER_ARGS_MAX; i++)
		many[i] = "x";
	cr_assert_eq(spawn("/bin/true", many, -1, &w), -E2BIG);
	many[SPAWNER_ARGS_MAX] = NULL;
	cr_assert_eq(spawn("/bin/true", many, -1, &w), 0);
	wait_end(&w);
	memset(big, 'x', sizeof(big) - 1);
	cr_assert_eq(spawn("/bin/true", one, -1, &w), -E2BIG);
	big[sizeof(big) - 1 - sizeof("/bin/true")] = 0;
	cr_assert_eq(spawn("/bin/true", one, -1, &w), 0);
	wait_end(&w);
}

Test(spawner, tells_that_it_is_ready)
{
	struct watched w;

	spawn_shell("printf x >&\"$BULKHEAD_READY_FD\"; exec sleep 30", -1, &w);
	while (!w.ready)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_not(w.ended);
	cr_assert_eq(kill(spawned_pid(w.process), 0), 0);
	spawned_kill(w.process);
	wait_end(&w);
	cr_assert(WIFSIGNALED(w.status) && WTERMSIG(w.status) == SIGKILL);
}

Test(spawner, tells_of_readiness_before_the_end)
{
	struct watched first, second;

	/* Both are there before the loop looks. */
	spawn_shell("printf x >&3", -1, &first);
	usleep(200000);
	spawn_shell("exit 0", -1, &second);
	cr_assert_not(first.ready || first.ended);
	wait_end(&first);
	cr_assert(first.ready);
	wait_end(&second);
	cr_assert_not(second.ready);
}

Test(spawner, hands_on_nothing)
{
	int stray = dup(STDERR_FILENO);
	const char *text;

	text = output("ls /proc/$$/fd");
	cr_assert_str_eq(text, "0\n1\n2\n3\n");
	cr_assert_str_eq(output("readlink /proc/$$/fd/0"), "/dev/null\n");
	cr_assert_str_eq(output("pwd; echo \"$NOTIFY_SOCKET\""), "/\n\n");
	/* Field 6 is the session. */
	cr_assert_str_eq(output("read -r pid name state parent group session rest </proc/$$/stat;"
				"[ $session = $$ ] && echo leads"),
			 "leads\n");
	/* Of a program itself: a shell blocks signals while it forks. Signals 32 and 33 are libc's own. */
	cr_assert_str_eq(output("exec sed -nE '/^Sig(Blk|Ign)/{s/[0-9a-f]([0-9a-f]{7})$/0\\1/;p}' /proc/self/status"),
			 "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	close(stray);
}

Test(spawner, hands_on_an_input)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	cr_assert_eq(write(fds[0], "word\n", 5), 5);
	input = fds[1];
	cr_assert_str_eq(output("read x; echo $x; read y <&1 || ls -l /proc/self/fd/0 | grep -o socket"),
			 "word\nsocket\n");
	input = 0;
	close(fds[0]);
	close(fds[1]);
	cr_assert_str_eq(output("readlink /proc/self/fd/0"), "/dev/null\n");
}

Test(spawner, forgets_what_was_released)
{
	struct watched first, second;
	pid_t pid;

	spawn_shell("exec sleep 30", -1, &first);
	pid = spawned_pid(first.process);
	spawned_release(first.process);
	cr_assert_eq(kill(pid, 0), 0, "it goes on");
	cr_assert_eq(kill(pid, SIGKILL), 0);
	spawn_shell("sleep 0.2", -1, &second);
	wait_end(&second);
	cr_assert_not(first.ended);
}

Test(spawner, helper_has_a_name_and_outlives_the_terminal)
{
	char path[64], name[32] = "";
	struct watched w;
	FILE *f;

	/* Once it has started something it has surely set itself up. */
	spawn_shell("exit 0", -1, &w);
	wait_end(&w);
	snprintf(path, sizeof(path), "/proc/%d/comm", helper);
	f = fopen(path, "re");
	cr_assert(f && fgets(name, sizeof(name), f));
	fclose(f);
	cr_assert_str_eq(name, "spawner\n");
	cr_assert_neq(getsid(helper), getsid(0));
	kill(helper, SIGINT);
	kill(helper, SIGTERM);
	spawn_shell("exit 0", -1, &w);
	wait_end(&w);
}

Test(spawner, a_helper_that_is_killed_is_replaced)
{
	struct watched first, second, third, fourth;
	pid_t worker;

	for (int i = 0; i < 3; i++) {
		spawn_shell("read -r x </dev/null; exec sleep 30", -1, &first);
		spawn_shell("exec sleep 30", -1, &second);
		worker = find_child(helper);
		cr_assert_eq(kill(worker, SIGKILL), 0);
		/* The next one starts what it is asked for. */
		spawn_shell("exit 5", -1, &third);
		wait_end(&third);
		cr_assert(WIFEXITED(third.status) && WEXITSTATUS(third.status) == 5);
		cr_assert_not(first.ended || second.ended);
		/* Of those that its predecessor had started the keeper tells. */
		kill(spawned_pid(first.process), SIGTERM);
		wait_end(&first);
		cr_assert(WIFSIGNALED(first.status) && WTERMSIG(first.status) == SIGTERM);
		spawned_kill(second.process);
		wait_end(&second);
		cr_assert(WIFSIGNALED(second.status) && WTERMSIG(second.status) == SIGKILL);
		spawn_shell("kill -SEGV $$", -1, &fourth);
		wait_end(&fourth);
		cr_assert(WIFSIGNALED(fourth.status) && WTERMSIG(fourth.status) == SIGSEGV);
	}
}

Test(spawner, a_helper_is_killed_during_a_request)
{
	struct watched w;
	pid_t worker = find_child(helper), killer;

	/* It is stopped, so the request waits for it, and its killer is on the way. */
	cr_assert_eq(kill(worker, SIGSTOP), 0);
	killer = fork();
	if (killer == 0) {
		usleep(200000);
		kill(worker, SIGKILL);
		_exit(0);
	}
	spawn_shell("exit 7", -1, &w);
	wait_end(&w);
	cr_assert(WIFEXITED(w.status) && WEXITSTATUS(w.status) == 7);
	cr_assert_eq(waitpid(killer, NULL, 0), killer);
}

/* Nobody waits for it twice. What it was asked to start is started after all, and then killed; then it serves again. */
Test(spawner, a_helper_that_is_stopped_is_given_up)
{
	const char *const script[] = {"-c", "exec sleep 30", NULL};
	struct watched before, given_up, w;
	pid_t worker = find_child(helper);
	int r;

	spawn_shell("exec sleep 30", -1, &before);
	cr_assert_eq(kill(worker, SIGSTOP), 0);
	cr_assert_eq(spawn("/bin/sh", script, -1, &given_up), -ETIMEDOUT);
	cr_assert_eq(spawn("/bin/sh", script, -1, &given_up), -ETIMEDOUT);
	cr_assert_eq(kill(worker, SIGCONT), 0);
	do {
		cr_assert_eq(loop_run_once(loop, true), 0);
		r = spawn("/bin/sh", script, -1, &w);
	} while (r == -ETIMEDOUT);
	cr_assert_eq(r, 0);
	/* theirs and ours; the stray one ends */
	while (count_children(worker) != 2)
		usleep(10000);
	cr_assert_not(before.ended);
	spawned_kill(before.process);
	wait_end(&before);
	spawned_kill(w.process);
	wait_end(&w);
}

Test(spawner, a_helper_that_is_stopped_and_killed_is_replaced)
{
	const char *const script[] = {"-c", "exit 7", NULL};
	pid_t worker = find_child(helper);
	struct watched w;
	int r;

	cr_assert_eq(kill(worker, SIGSTOP), 0);
	cr_assert_eq(spawn("/bin/sh", script, -1, &w), -ETIMEDOUT);
	cr_assert_eq(kill(worker, SIGKILL), 0);
	do {
		cr_assert_eq(loop_run_once(loop, true), 0);
		r = spawn("/bin/sh", script, -1, &w);
	} while (r == -ETIMEDOUT);
	cr_assert_eq(r, 0);
	wait_end(&w);
	cr_assert(WIFEXITED(w.status) && WEXITSTATUS(w.status) == 7);
}

static void kill_and_wait(pid_t pid)
{
	struct pollfd end = {.fd = pidfd_open(pid, 0), .events = POLLIN};

	cr_assert_geq(end.fd, 0);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	cr_assert_eq(poll(&end, 1, 10000), 1);
	close(end.fd);
}

Test(spawner, without_a_helper_the_end_is_still_told)
{
	const char *const none[] = {NULL};
	struct watched first, second, third;
	pid_t worker;

	spawn_shell("exec sleep 30", -1, &first);
	spawn_shell("exit 0", -1, &second);
	usleep(100000);
	worker = find_child(helper);
	kill_and_wait(helper);
	kill_and_wait(worker);
	cr_assert_eq(spawn("/bin/true", none, -1, &third), -EPIPE);
	wait_end(&second);
	cr_assert_not(first.ended);
	cr_assert_eq(spawn("/bin/true", none, -1, &third), -EPIPE);
	spawned_kill(first.process);
	wait_end(&first);
	cr_assert_eq(first.status, -1);
}

/* Whoever is on the other side may send more than there is room for. */
Test(spawner, a_message_with_too_many_descriptors)
{
	int pair[2], sent[SPAWNER_FDS + 1], guarded[SPAWNER_FDS + 1] = {[SPAWNER_FDS] = -7};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(sent))];
	} control = {.header = {CMSG_LEN(sizeof(sent)), SOL_SOCKET, SCM_RIGHTS}};
	struct spawner_msg msg = {.kind = SPAWNER_START};
	struct iovec iov = {&msg, sizeof(msg)};
	struct msghdr hdr = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	for (size_t i = 0; i < SPAWNER_FDS + 1; i++)
		sent[i] = STDERR_FILENO;
	memcpy(CMSG_DATA(&control.header), sent, sizeof(sent));
	cr_assert_eq(sendmsg(pair[0], &hdr, 0), sizeof(msg));
	cr_assert_eq(spawner_receive(pair[1], &msg, sizeof(msg), 0, guarded), sizeof(msg));
	cr_assert_eq(guarded[SPAWNER_FDS], -7, "written behind the room for them");
	for (size_t i = 0; i < SPAWNER_FDS; i++) {
		cr_assert(guarded[i] > STDERR_FILENO);
		close(guarded[i]);
	}
	close(pair[0]);
	close(pair[1]);
}

/* Without a descriptor for it, nobody could wait for its end: it is ended, and that is an error. */
Test(spawner, no_descriptor_is_left)
{
	struct rlimit limit, none;
	struct watched w = {0};
	const char *const args[] = {"-c", "exec sleep 30", NULL};
	int fds[1024], count = 0, exe = open("/bin/sh", O_RDONLY | O_CLOEXEC), room;
	const struct spawn_request request = {.exe_fd = exe, .name = "sh", .args = args, .log_fd = -1};
	struct err err = {0};

	cr_assert_geq(exe, 0);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = MIN(limit.rlim_cur, 512);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	while ((fds[count] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
		count++;
	/* the pipe's two ends, and the event loop's own */
	for (room = 1; room < 8; room++) {
		close(fds[--count]);
		if (spawner_spawn(spawner, &request, &events, &w, &err, &w.process) >= 0)
			break;
		cr_assert_eq(err.code, -EMFILE, "%s", err.text);
	}
	cr_assert(room > 2 && room < 8);
	while (count > 0)
		close(fds[--count]);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	spawned_kill(w.process);
	wait_end(&w);
	close(exe);
	while (count_children(find_child(helper))) /* none is left over */
		usleep(1000);
}
