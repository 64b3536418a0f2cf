/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left to a process in the sandbox: each attempt is a child's, whose end and whose log are judged. This program
 * and the sandbox in it are built without sanitizers, so that there is a filter of system calls in every build.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/landlock.h"
#include "daemon/sandbox.h"

#define REFUSED 99 /* exit code of a child that could not enter */

static char dir[] = "/tmp/test-sandbox-XXXXXX", readable[64], writable[64], hidden[64];
static char said[4096]; /* by the last child, on stderr and stdout */

static void make_file(char path[64], const char *name)
{
	int fd;

	snprintf(path, 64, "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	make_file(readable, "readable");
	make_file(writable, "writable");
	make_file(hidden, "hidden");
}

static void tear_down(void)
{
	unlink(readable);
	unlink(writable);
	unlink(hidden);
	rmdir(dir);
}

TestSuite(sandbox, .init = set_up, .fini = tear_down, .timeout = 60);

/* Run @fn in a child; its result is the exit code. Return: the child's status; what it said is in @said. */
static int in_child(int (*fn)(void))
{
	int fds[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	cr_assert_eq(pipe(fds), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		_exit(fn());
	}
	close(fds[1]);
	while ((n = read(fds[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	close(fds[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

#define ASSERT_EXIT(fn, code)                                                                                          \
	do {                                                                                                           \
		int status_ = in_child(fn);                                                                            \
		cr_assert(WIFEXITED(status_) && WEXITSTATUS(status_) == (code), "status %#x: %s", status_, said);      \
	} while (0)
#define ASSERT_SIGNAL(fn, number)                                                                                      \
	do {                                                                                                           \
		int status_ = in_child(fn);                                                                            \
		cr_assert(WIFSIGNALED(status_) && WTERMSIG(status_) == (number), "status %#x: %s", status_, said);     \
	} while (0)

/* ---- sandboxes ---- */

static const struct syscall_rule uname_rules[] = {{SYS_uname}, {-1}};
static const struct syscall_list uname_calls = {.name = "uname", .rules = uname_rules};
static const struct syscall_rule open_rules[] = {{SYS_openat}, {-1}};
static const struct syscall_list open_calls = {.name = "open", .rules = open_rules};
static const struct syscall_rule unix_rules[] = {{SYS_socket, 0, UINT64_C(0xffffffff), AF_UNIX}, {-1}};
static const struct syscall_list unix_calls = {.name = "unix", .rules = unix_rules};

static const struct sandbox bare = {0};
static const struct sandbox wide = {
	.calls = (const struct syscall_list *const[]){&uname_calls, &open_calls, &unix_calls, NULL}};

static void enter(const struct sandbox *sandbox)
{
	struct err err = {0};

	if (sandbox_enter(sandbox, &err) == 0)
		return;
	fprintf(stderr, "%s\n", err.text);
	_exit(REFUSED);
}

/* ---- calls ---- */

static int is_allowed(void)
{
	char byte = 'x';
	int fds[2], fd;

	enter(&bare);
	fd = eventfd(0, EFD_CLOEXEC);
	if (fd < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return 1;
	if (write(fds[1], &byte, 1) != 1 || read(fds[0], &byte, 1) != 1 || close(fd) < 0)
		return 2;
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		return 3;
	return 0;
}

static int uname_bare(void)
{
	struct utsname name;

	enter(&bare);
	return uname(&name) < 0;
}

static int uname_wide(void)
{
	struct utsname name;

	enter(&wide);
	return uname(&name) < 0;
}

static int socket_unix(void)
{
	enter(&wide);
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static int socket_inet(void)
{
	enter(&wide);
	return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int map_executable(void)
{
	enter(&bare);
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int execute(void)
{
	char *argv[] = {(char *)"true", NULL};

	enter(&wide);
	execv("/bin/true", argv);
	return 1;
}

static int kill_parent(void)
{
	pid_t parent = getppid();

	enter(&bare);
	return kill(parent, 0) < 0;
}

static int kill_itself(void)
{
	enter(&bare);
	kill(getpid(), SIGUSR1);
	return 1;
}

static int make_thread(void)
{
	enter(&bare);
	return syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS ? 0 : 1;
}

Test(sandbox, what_every_daemon_needs_is_allowed)
{
	ASSERT_EXIT(is_allowed, 0);
	ASSERT_EXIT(make_thread, 0);
	ASSERT_SIGNAL(kill_itself, SIGUSR1);
}

Test(sandbox, another_call_kills)
{
	ASSERT_SIGNAL(uname_bare, SIGSYS);
	ASSERT_SIGNAL(execute, SIGSYS);
	ASSERT_SIGNAL(kill_parent, SIGSYS);
	ASSERT_SIGNAL(map_executable, SIGSYS);
}

Test(sandbox, what_a_list_has_is_allowed)
{
	ASSERT_EXIT(uname_wide, 0);
	ASSERT_EXIT(socket_unix, 0);
	ASSERT_SIGNAL(socket_inet, SIGSYS);
}

/* ---- twice ---- */

static int twice(bool narrows_later)
{
	struct sandbox first = wide;
	struct utsname name;

	first.narrows_later = narrows_later;
	enter(&first);
	if (uname(&name) < 0)
		return 1;
	enter(&bare);
	fputs("narrow\n", stderr);
	return uname(&name) < 0 ? 2 : 3;
}

static int twice_narrows(void)
{
	return twice(true);
}

static int twice_unforeseen(void)
{
	return twice(false);
}

static int three_times(void)
{
	struct sandbox first = wide;

	first.narrows_later = true;
	enter(&first);
	enter(&bare);
	fputs("narrow\n", stderr);
	enter(&bare);
	return 0;
}

Test(sandbox, the_second_time_takes_away)
{
	ASSERT_SIGNAL(twice_narrows, SIGSYS);
	cr_assert(strstr(said, "narrow"), "%s", said);
	ASSERT_SIGNAL(twice_unforeseen, SIGSYS);
	cr_assert(!strstr(said, "narrow"), "%s", said);
	ASSERT_SIGNAL(three_times, SIGSYS);
	cr_assert(strstr(said, "narrow"), "%s", said);
}

/* ---- paths ---- */

/* Return: 0 if it opens, else the errno. */
static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int paths(void)
{
	const struct sandbox_path allowed[] = {{readable, false}, {writable, true}, {NULL, false}};
	struct sandbox sandbox = wide;

	sandbox.paths = allowed;
	sandbox.narrows_later = true;
	enter(&sandbox);
	/* The paths are those of the first time. */
	sandbox.paths = NULL;
	sandbox.narrows_later = false;
	enter(&sandbox);
	if (try_open(readable, O_RDONLY) || try_open(writable, O_RDONLY) || try_open(writable, O_WRONLY))
		return 1;
	if (try_open(readable, O_WRONLY) != EACCES)
		return 2;
	if (try_open(hidden, O_RDONLY) != EACCES || try_open(dir, O_RDONLY) != EACCES)
		return 3;
	return try_open("/etc/passwd", O_RDONLY) == EACCES ? 0 : 4;
}

static int folder(void)
{
	const struct sandbox_path allowed[] = {{dir, true}, {NULL, false}};
	char path[80];
	struct sandbox sandbox = wide;

	sandbox.paths = allowed;
	enter(&sandbox);
	snprintf(path, sizeof(path), "%s/new", dir);
	if (try_open(hidden, O_RDONLY) || try_open(path, O_CREAT | O_WRONLY))
		return 1;
	return try_open("/etc/passwd", O_RDONLY) == EACCES ? 0 : 2;
}

static int no_paths(void)
{
	enter(&wide);
	return try_open(readable, O_RDONLY) == EACCES && try_open("/", O_RDONLY) == EACCES ? 0 : 1;
}

static int missing_path(void)
{
	const struct sandbox_path allowed[] = {{"/nowhere/at/all", false}, {NULL, false}};
	struct sandbox sandbox = wide;

	sandbox.paths = allowed;
	enter(&sandbox);
	return 0;
}

Test(sandbox, paths)
{
	char path[80];

	if (landlock_abi() == 0) {
		cr_log_warn("SKIP: the kernel lacks Landlock: paths are NOT TESTED here");
		return;
	}
	ASSERT_EXIT(paths, 0);
	ASSERT_EXIT(folder, 0);
	snprintf(path, sizeof(path), "%s/new", dir);
	cr_assert_eq(unlink(path), 0, "it was made");
	ASSERT_EXIT(no_paths, 0);
	ASSERT_EXIT(missing_path, REFUSED);
	cr_assert(strstr(said, "/nowhere/at/all"), "%s", said);
}

/* ---- a kernel that lacks something ---- */

/* As if there were no such call, or, with @has_first, no such first argument of it. */
static void kernel_lacks(int number, bool has_first, uint64_t first, int error)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	const struct scmp_arg_cmp compare = SCMP_A0_64(SCMP_CMP_EQ, first, 0);

	if (!filter ||
	    seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)error), number, has_first, &compare) < 0 ||
	    seccomp_load(filter) < 0)
		_exit(REFUSED);
	seccomp_release(filter);
}

static int without_landlock(void)
{
	struct sandbox sandbox = wide;
	struct utsname name;

	kernel_lacks(SYS_landlock_create_ruleset, false, 0, ENOSYS);
	sandbox_probe(stderr);
	sandbox.narrows_later = true;
	enter(&sandbox);
	enter(&bare); /* says nothing more */
	uname(&name); /* the filter is there all the same */
	return 0;
}

static int without_seccomp(void)
{
	struct utsname name;

	kernel_lacks(SYS_seccomp, true, 2 /* SECCOMP_GET_ACTION_AVAIL */, EINVAL);
	sandbox_probe(stderr);
	enter(&bare);
	return uname(&name) < 0;
}

static unsigned int count(const char *what)
{
	unsigned int n = 0;

	for (const char *at = said; (at = strstr(at, what)); at++)
		n++;
	return n;
}

Test(sandbox, what_the_kernel_lacks_is_said)
{
	ASSERT_SIGNAL(without_landlock, SIGSYS);
	cr_assert_eq(count("the sandbox has no Landlock"), 1, "%s", said);
	cr_assert(strstr(said, "landlock warn "), "%s", said);
	cr_assert(strstr(said, "seccomp ok "), "%s", said);
	ASSERT_EXIT(without_seccomp, 0);
	cr_assert_eq(count("the sandbox has no filter of system calls: the kernel lacks seccomp"), 1, "%s", said);
	cr_assert(strstr(said, "seccomp warn "), "%s", said);
}
