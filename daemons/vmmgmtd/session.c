/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"

#define BUS_READY_MS	10000
#define OTHER_WAIT_MS	15000u
#define OTHER_POLL_MS	50u
#define LOG_MAX		(1024 * 1024)
#define MAX_CONNECTIONS 256u

static const struct syscall_rule rules[] = {
	{SYS_pidfd_send_signal},
	{SYS_waitid},
	{SYS_unlink},
	{-1},
};

const struct syscall_list session_calls = {.name = "the session's bus", .rules = rules};

/* ---- one for each base folder ---- */

int session_lock(const struct session_paths *paths, struct err *err, int *ret_fd)
{
	char path[sizeof(paths->base) + 8];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s/lock", paths->base);
	/* Never removed: a lock on a file that another one has replaced would be worth nothing. */
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int r = errno == EWOULDBLOCK ? -EBUSY : -errno;

		return err_set(err, r, "%s: %s", path,
			       r == -EBUSY ? "another vmmgmtd serves this folder already" : strerror(-r));
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

static bool other_answers(struct loop *loop, const struct session_paths *paths)
{
	struct msgbus *bus = NULL;
	char *version = NULL;
	bool answers = msgbus_open(loop, paths->address, NULL, &bus) == 0 &&
		       msgbus_get(bus, BULKHEAD_BUS_NAME, BULKHEAD_MANAGER_PATH, BULKHEAD_MANAGER_INTERFACE, "Version",
				  NULL, 's', &version) == 0;

	free(version);
	msgbus_free(bus);
	return answers;
}

int session_wait_other(struct loop *loop, const struct session_paths *paths, struct err *err)
{
	struct timespec pause = {.tv_nsec = OTHER_POLL_MS * 1000000};

	for (unsigned int waited = 0; waited < OTHER_WAIT_MS; waited += OTHER_POLL_MS) {
		int fd = -1;

		if (other_answers(loop, paths))
			return 0;
		if (session_lock(paths, NULL, &fd) == 0) {
			close(fd);
			return -EAGAIN;
		}
		nanosleep(&pause, NULL);
	}
	return err_set(err, -ETIMEDOUT, "%s: another vmmgmtd holds the lock but does not answer: see %s", paths->base,
		       paths->log);
}

/* ---- the bus ---- */

static int write_config(const struct session_paths *paths, char *path, size_t size, struct err *err)
{
	static const char format[] =
		"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
		" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
		"<busconfig>\n"
		"  <listen>%s</listen>\n"
		"  <auth>EXTERNAL</auth>\n"
		"  <policy context=\"default\">\n"
		"    <allow send_destination=\"*\"/>\n"
		"    <allow receive_sender=\"*\"/>\n"
		"    <allow own=\"*\"/>\n"
		"  </policy>\n"
		"  <limit name=\"max_completed_connections\">%u</limit>\n"
		"  <limit name=\"max_connections_per_user\">%u</limit>\n"
		"  <limit name=\"reply_timeout\">600000</limit>\n"
		"</busconfig>\n";
	_cleanup_close_ int dir = open(paths->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[2048];
	int len = snprintf(text, sizeof(text), format, paths->address, MAX_CONNECTIONS, MAX_CONNECTIONS);
	int r = dir < 0 ? -errno : file_replace(dir, "bus.conf", text, (size_t)len, 0600);

	if (r < 0)
		return err_set(err, r, "%s/bus.conf: cannot be written: %s", paths->base, strerror(-r));
	snprintf(path, size, "%s/bus.conf", paths->base);
	return 0;
}

static void run_bus(const char *config, int address_fd, int exec_fd, pid_t parent)
{
	char config_arg[600], address_arg[64];
	char *const argv[] = {
		(char *)"dbus-daemon", config_arg, (char *)"--nofork", (char *)"--nopidfile", (char *)"--nosyslog",
		address_arg,	       NULL};
	int error;

	snprintf(config_arg, sizeof(config_arg), "--config-file=%s", config);
	snprintf(address_arg, sizeof(address_arg), "--print-address=%d", address_fd);
	setsid();
	signal(SIGPIPE, SIG_DFL);
	fcntl(address_fd, F_SETFD, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	execvp(argv[0], argv);
	error = errno;
	(void)!write(exec_fd, &error, sizeof(error));
	_exit(127);
}

static int wait_address(int fd, const struct session_paths *paths, struct err *err)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char byte;
	int r = poll(&pfd, 1, BUS_READY_MS);

	if (r > 0 && read(fd, &byte, 1) == 1)
		return 0;
	return err_set(err, r == 0 ? -ETIMEDOUT : -EREMOTEIO, "dbus-daemon: it %s: see %s",
		       r == 0 ? "does not get ready" : "ended at once", paths->log);
}

int session_bus_start(const struct session_paths *paths, struct err *err, int *ret_pidfd)
{
	_cleanup_close_ int address_read = -1, exec_read = -1;
	int address[2], exec[2], pidfd, error = 0, r;
	pid_t pid, parent = getpid();
	char config[512];

	r = write_config(paths, config, sizeof(config), err);
	if (r < 0)
		return r;
	unlink(paths->bus); /* of one that was killed: we have the lock */
	if (pipe2(address, O_CLOEXEC) < 0)
		return err_set(err, -errno, "dbus-daemon: %s", strerror(errno));
	address_read = address[0];
	r = pipe2(exec, O_CLOEXEC) < 0 ? -errno : 0;
	exec_read = r == 0 ? exec[0] : -1;
	pid = r == 0 ? fork() : -1;
	if (pid == 0)
		run_bus(config, address[1], exec[1], parent);
	close(address[1]);
	if (r == 0)
		close(exec[1]);
	if (pid < 0)
		return err_set(err, r < 0 ? r : -errno, "dbus-daemon: cannot be started: %s",
			       strerror(r < 0 ? -r : errno));
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		r = err_set(err, -errno, "dbus-daemon: cannot be watched: %s", strerror(errno));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return r;
	}
	if (read(exec_read, &error, sizeof(error)) == sizeof(error))
		r = err_set(err, -error, "dbus-daemon: cannot be started: %s: install Debian's package dbus-daemon",
			    strerror(error));
	else
		r = wait_address(address_read, paths, err);
	if (r < 0)
		session_bus_stop(paths, &pidfd);
	else
		*ret_pidfd = pidfd;
	return r;
}

void session_bus_stop(const struct session_paths *paths, int *pidfd)
{
	char config[512];
	siginfo_t info;

	if (*pidfd < 0)
		return;
	pidfd_send_signal(*pidfd, SIGTERM, NULL, 0);
	waitid(P_PIDFD, (id_t)*pidfd, &info, WEXITED);
	fd_close(pidfd);
	unlink(paths->bus);
	snprintf(config, sizeof(config), "%s/bus.conf", paths->base);
	unlink(config);
}

/* ---- the background ---- */

/* The waiting parent: one byte means ready, anything longer is why not. */
static void wait_child(int fd, const struct session_paths *paths)
{
	char text[ERR_TEXT_MAX + 2];
	size_t used = 0;
	ssize_t n;

	while (used + 1 < sizeof(text) &&
	       ((n = read(fd, text + used, sizeof(text) - 1 - used)) > 0 || errno == EINTR)) {
		if (n > 0)
			used += (size_t)n;
		errno = 0;
	}
	text[used] = 0;
	if (used == 1)
		_exit(EXIT_SUCCESS);
	fprintf(stderr, "vmmgmtd: ");
	if (used)
		fprintf(stderr, "%s\n", text);
	else
		fprintf(stderr, "it ended before it was ready: see %s\n", paths->log);
	_exit(EXIT_FAILURE);
}

static int redirect(const struct session_paths *paths, struct err *err)
{
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int log = open(paths->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;

	if (log < 0 || null < 0)
		return err_set(err, -errno, "log file %s: %s", paths->log, strerror(errno));
	if (fstat(log, &st) == 0 && st.st_size > LOG_MAX && ftruncate(log, 0) < 0)
		return err_set(err, -errno, "log file %s: %s", paths->log, strerror(errno));
	if (dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		return err_set(err, -errno, "log file %s: %s", paths->log, strerror(errno));
	return 0;
}

int session_daemonize(const struct session_paths *paths, struct err *err, int *ret_fd)
{
	int fds[2], r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot go into the background: %s", strerror(errno));
	pid = fork();
	if (pid < 0) {
		r = err_set(err, -errno, "cannot go into the background: %s", strerror(errno));
		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (pid > 0) {
		close(fds[1]);
		wait_child(fds[0], paths);
	}
	close(fds[0]);
	*ret_fd = fds[1];
	setsid();
	r = chdir("/") < 0 ? err_set(err, -errno, "/: %s", strerror(errno)) : redirect(paths, err);
	if (r < 0) {
		session_tell(ret_fd, err->text);
		_exit(EXIT_FAILURE);
	}
	return 0;
}

void session_tell(int *fd, const char *error)
{
	if (*fd < 0)
		return;
	if (error)
		fd_write_full(*fd, error, strlen(error));
	else
		fd_write_full(*fd, "", 1);
	fd_close(fd);
}
