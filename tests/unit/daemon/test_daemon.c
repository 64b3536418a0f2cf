/* SPDX-License-Identifier: Apache-2.0 */
/* Each test runs in a process of its own, so what it gives up is given up for it alone. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/daemon.h"

/* LeakSanitizer looks at its own process with ptrace: where the test is not dumpable, only root may. */
static void setup(void)
{
	setenv("BULKHEAD_DEBUG", "1", 1);
}

TestSuite(daemon, .init = setup);

Test(daemon, init_closes_on_exec_what_it_inherited)
{
	int inherited = dup(STDIN_FILENO);
	struct err err = {0};

	cr_assert_not(fcntl(inherited, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(daemon_init("test", NULL, &err), 0, "%s", err.text);
	cr_assert(fcntl(inherited, F_GETFD) & FD_CLOEXEC);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		cr_assert_not(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(inherited);
}

Test(daemon, init_opens_what_is_missing_of_the_first_three)
{
	struct stat st, null;
	int r;

	cr_assert_eq(stat("/dev/null", &null), 0);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	r = daemon_init("test", NULL, NULL);
	cr_assert_eq(r, 0);
	cr_assert_eq(fstat(STDIN_FILENO, &st), 0);
	cr_assert_eq(st.st_rdev, null.st_rdev);
	cr_assert_eq(fstat(STDOUT_FILENO, &st), 0);
	cr_assert_eq(st.st_rdev, null.st_rdev);
}

Test(daemon, init_names_the_process)
{
	char name[16] = "";

	cr_assert_eq(daemon_init("a-test-program", NULL, NULL), 0);
	cr_assert_eq(prctl(PR_GET_NAME, name, 0, 0, 0), 0);
	cr_assert_str_eq(name, "a-test-program");
}

Test(daemon, init_gives_up_new_privileges_and_more)
{
	int pipes[2];

	cr_assert_eq(daemon_init("test", NULL, NULL), 0);
	cr_assert_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	cr_assert_eq(umask(0), 077);
	cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
	close(pipes[0]);
	cr_assert_eq(write(pipes[1], "x", 1), -1);
	cr_assert_eq(errno, EPIPE, "and no signal");
	close(pipes[1]);
}

static void get_core(struct rlimit *limit, int *dumpable)
{
	getrlimit(RLIMIT_CORE, limit);
	*dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
}

Test(daemon, init_forbids_cores)
{
	struct rlimit limit;
	int dumpable;

	unsetenv("BULKHEAD_DEBUG");
	cr_assert_eq(daemon_init("test", NULL, NULL), 0);
	get_core(&limit, &dumpable);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	cr_assert_eq(limit.rlim_cur, 0);
	cr_assert_eq(limit.rlim_max, 0);
	cr_assert_eq(dumpable, 0);
}

Test(daemon, init_allows_cores_when_debugging)
{
	struct rlimit before, limit;
	int dumpable;

	get_core(&before, &dumpable);
	cr_assert_eq(daemon_init("test", NULL, NULL), 0);
	get_core(&limit, &dumpable);
	cr_assert_eq(limit.rlim_max, before.rlim_max);
	cr_assert_eq(dumpable, 1);
}

Test(daemon, signals_stop_the_loop)
{
	static const int signals[] = {SIGTERM, SIGINT};
	struct loop *loop;

	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(daemon_stop_on_signals(loop), 0);
	for (size_t i = 0; i < 2; i++) {
		kill(getpid(), signals[i]);
		cr_assert_eq(loop_run(loop), 0);
	}
	loop_free(loop);
}

Test(daemon, ready_tells_a_pipe_once)
{
	char text[16], got[4];
	int pipes[2];

	unsetenv("NOTIFY_SOCKET");
	cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
	snprintf(text, sizeof(text), "%d", pipes[1]);
	setenv("BULKHEAD_READY_FD", text, 1);
	daemon_ready("serving");
	cr_assert_null(getenv("BULKHEAD_READY_FD"));
	cr_assert_eq(read(pipes[0], got, sizeof(got)), 1);
	cr_assert_eq(read(pipes[0], got, sizeof(got)), 0, "its end is closed");
	daemon_ready("again");
	close(pipes[0]);
}

Test(daemon, ready_tolerates_nonsense)
{
	static const char *const values[] = {"", "x", "3x", "-1", "0", "2", "999", "99999999999999999999"};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		setenv("BULKHEAD_READY_FD", values[i], 1);
		daemon_ready("serving");
		cr_assert_null(getenv("BULKHEAD_READY_FD"));
		cr_assert_geq(fcntl(STDIN_FILENO, F_GETFD), 0);
		cr_assert_geq(fcntl(STDERR_FILENO, F_GETFD), 0);
	}
}

Test(daemon, ready_tells_systemd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/tmp/bulkhead-test-notify-XXXXXX"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char got[256] = "";

	cr_assert(mkdtemp(address.sun_path));
	cr_assert_eq(rmdir(address.sun_path), 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	daemon_ready("3 channels");
	unlink(address.sun_path);
	cr_assert_gt(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT), 0);
	cr_assert_str_eq(got, "READY=1\nSTATUS=3 channels");
	cr_assert_null(getenv("NOTIFY_SOCKET"));
	close(fd);
}

static void on_sign(int fd, unsigned int events, void *arg)
{
	char got[64] = "";

	cr_assert_gt(recv(fd, got, sizeof(got) - 1, 0), 0);
	if (strcmp(got, "WATCHDOG=1") == 0)
		loop_stop(arg);
}

Test(daemon, gives_signs_of_life_where_they_are_wanted, .timeout = 60)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/tmp/bulkhead-test-notify-XXXXXX"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct loop_source *source;
	struct loop *loop;
	char pid[16];

	cr_assert(mkdtemp(address.sun_path));
	cr_assert_eq(rmdir(address.sun_path), 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(loop_add_fd(loop, fd, LOOP_READ, on_sign, loop, &source), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	setenv("WATCHDOG_USEC", "20000", 1);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	cr_assert_eq(daemon_watchdog(loop), 0);
	unlink(address.sun_path);
	daemon_ready("serving");
	for (size_t i = 0; i < 2; i++) /* again and again, also after it was told that we serve */
		cr_assert_eq(loop_run(loop), 0);
	loop_remove(&source);
	loop_free(loop);
	close(fd);
}

Test(daemon, gives_no_signs_of_life_for_another_process)
{
	struct loop *loop;

	cr_assert_eq(loop_new(&loop), 0);
	setenv("NOTIFY_SOCKET", "/nonexistent", 1);
	cr_assert_eq(daemon_watchdog(loop), 0);
	setenv("WATCHDOG_USEC", "20000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	cr_assert_eq(daemon_watchdog(loop), 0);
	loop_free(loop);
}

/* The value of a line of /proc/self/status. */
static unsigned long long status_hex(const char *key)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long value = ~0ULL;
	char line[256];

	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)) == 0)
			sscanf(line + strlen(key), ": %llx", &value);
	}
	fclose(f);
	return value;
}

static void assert_no_capabilities(bool bounding)
{
	cr_assert_eq(status_hex("CapEff"), 0);
	cr_assert_eq(status_hex("CapPrm"), 0);
	cr_assert_eq(status_hex("CapInh"), 0);
	cr_assert_eq(status_hex("CapAmb"), 0);
	if (bounding)
		cr_assert_eq(status_hex("CapBnd"), 0);
}

Test(daemon, drop_from_root)
{
	gid_t groups[1] = {54321};
	struct err err = {0};

	if (geteuid() != 0)
		cr_skip("only root has something to drop");
	cr_assert_eq(setgroups(1, groups), 0);
	cr_assert_eq(daemon_drop_privileges(12345, 12346, &err), 0, "%s", err.text);
	cr_assert_eq(getuid(), 12345);
	cr_assert_eq(getegid(), 12346);
	cr_assert_eq(getgroups(0, NULL), 0);
	cr_assert_eq(setuid(0), -1);
	cr_assert_eq(setgid(0), -1);
	cr_assert_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1, "as it was");
	assert_no_capabilities(true);
	/* Once more, as an ordinary user: nothing left to do. */
	cr_assert_eq(daemon_drop_privileges(12345, 12346, &err), 0, "%s", err.text);
}

Test(daemon, drop_keeps_it_undumpable)
{
	int dumpable;

	if (geteuid() != 0)
		cr_skip("only root has something to drop");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	cr_assert_eq(daemon_drop_privileges(12345, 12346, NULL), 0);
	dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	cr_assert_eq(dumpable, 0);
}

Test(daemon, drop_stays_root_without_capabilities)
{
	if (geteuid() != 0)
		cr_skip("only root has something to drop");
	cr_assert_eq(daemon_drop_privileges(0, 0, NULL), 0);
	assert_no_capabilities(true);
}

Test(daemon, keep_some_capabilities)
{
	const uint64_t keep = UINT64_C(1) << CAP_DAC_OVERRIDE;
	unsigned long long had = status_hex("CapPrm");

	cr_assert_eq(daemon_keep_capabilities(keep, NULL), 0);
	cr_assert_eq(status_hex("CapPrm"), had & keep);
	cr_assert_eq(status_hex("CapEff"), had & keep);
	cr_assert_eq(status_hex("CapInh"), 0);
	cr_assert_eq(status_hex("CapAmb"), 0);
	cr_assert_eq(daemon_keep_capabilities(0, NULL), 0);
	assert_no_capabilities(geteuid() == 0);
}

Test(daemon, drop_as_an_ordinary_user)
{
	struct err err = {0};

	if (geteuid() == 0)
		cr_assert_eq(setresuid(12345, 12345, 12345), 0);
	cr_assert_eq(daemon_drop_privileges(1, 1, &err), 0, "%s", err.text);
	cr_assert_neq(getuid(), 1);
	assert_no_capabilities(false);
}

/*
 * Root in name, but without the capabilities to become somebody else. In a child of one thread: capabilities belong to
 * threads, and libc ends a process whose threads disagree about a change of user.
 */
Test(daemon, drop_that_fails_says_so)
{
	struct err err = {0};
	int status;
	pid_t child;

	if (geteuid() != 0)
		cr_skip("only root has something to drop");
	child = fork();
	if (child == 0) {
		if (daemon_drop_privileges(0, 0, &err) != 0)
			_exit(1);
		_exit(daemon_drop_privileges(12345, 12345, &err) == -EPERM && strstr(err.text, "user 12345") ? 0 : 2);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0, "status %#x", status);
}
