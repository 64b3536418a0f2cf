/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/log.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

#define NOTIFY_MAX 256

static int notify_fd = -1; /* connected to the service manager's socket; -1: not, or told */

/* Signs of life, if they are wanted. */
static struct {
	struct loop_source *timer;
	uint64_t period_ns;
} watchdog;

static bool debugging(void)
{
	const char *debug = getenv("BULKHEAD_DEBUG");

	return debug && strcmp(debug, "1") == 0;
}

/* Else the next file that is opened becomes stderr and gets the log lines. */
static int open_standard_fds(struct err *err)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return err_set(err, -errno, "/dev/null: %s", strerrordesc_np(errno));
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

/* Guest memory belongs to the guest's owner: it must not end up in a file that others can read. */
static int forbid_core(struct err *err)
{
	static const struct rlimit none = {0, 0};

	if (debugging())
		return 0;
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(err, -errno, "cannot forbid core dumps: %s", strerrordesc_np(errno));
	return 0;
}

/* A sandbox may forbid sockets before we are ready, so this is done at the start. Spec: sd_notify(3). */
static int connect_notify(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (notify_fd >= 0 || len == 0)
		return 0;
	if (len >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, len);
	if (*path == '@')
		address.sun_path[0] = '\0'; /* abstract */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
		int r = -errno;

		fd_close(&fd);
		return r;
	}
	notify_fd = fd;
	return 0;
}

int daemon_init(const char *program, const char *vm, struct err *err)
{
	int r = open_standard_fds(err);

	if (r < 0)
		return r;
	log_init(program, vm);
	/* Of a program that was started by its descriptor an older kernel knows only the descriptor's number. */
	if (prctl(PR_SET_NAME, program, 0, 0, 0) < 0)
		return err_set(err, -errno, "cannot set the name of the process: %s", strerrordesc_np(errno));
	umask(077);
	if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot mark descriptors close-on-exec: %s (Linux 5.11 or later is needed)",
			       strerrordesc_np(errno));
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_set(err, -errno, "cannot ignore SIGPIPE: %s", strerrordesc_np(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, -errno, "cannot give up new privileges: %s", strerrordesc_np(errno));
	r = connect_notify();
	if (r < 0)
		log_debug(NULL, "NOTIFY_SOCKET: %s", strerrordesc_np(-r));
	return forbid_core(err);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

int daemon_stop_on_signals(struct loop *loop)
{
	static const int signals[] = {SIGTERM, SIGINT};
	struct loop_source *source; /* goes with the loop */

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		int r = loop_add_signal(loop, signals[i], stop, loop, &source);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Tell a launcher that gave us the write end of a pipe. */
static void tell_pipe(void)
{
	const char *text = getenv("BULKHEAD_READY_FD");
	char *end;
	long fd;

	if (!text)
		return;
	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno || end == text || *end || fd <= STDERR_FILENO || fd > INT_MAX || fcntl((int)fd, F_GETFD) < 0)
		log_debug(NULL, "BULKHEAD_READY_FD: not a descriptor: %s", text);
	else {
		if (write((int)fd, "", 1) != 1)
			log_debug(NULL, "BULKHEAD_READY_FD: nobody reads");
		close((int)fd);
	}
	unsetenv("BULKHEAD_READY_FD");
}

static void tell_service_manager(const char *status)
{
	char text[NOTIFY_MAX];
	int r = connect_notify(), len = snprintf(text, sizeof(text), "READY=1\nSTATUS=%s", status);

	if (r < 0)
		log_debug(NULL, "NOTIFY_SOCKET: %s", strerrordesc_np(-r));
	else if (notify_fd >= 0 && send(notify_fd, text, MIN((size_t)len, sizeof(text) - 1), MSG_NOSIGNAL) < 0)
		log_debug(NULL, "NOTIFY_SOCKET: %s", strerrordesc_np(errno));
	if (!watchdog.timer)
		fd_close(&notify_fd);
	unsetenv("NOTIFY_SOCKET");
}

static void on_watchdog(void *arg)
{
	static const char text[] = "WATCHDOG=1";

	if (send(notify_fd, text, sizeof(text) - 1, MSG_NOSIGNAL) < 0)
		log_debug(NULL, "NOTIFY_SOCKET: %s", strerrordesc_np(errno));
	loop_arm(watchdog.timer, watchdog.period_ns);
}

int daemon_watchdog(struct loop *loop)
{
	const char *text = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	unsigned long long usec;
	int r;

	if (!text || sscanf(text, "%llu", &usec) != 1 || usec == 0 || usec > UINT32_MAX * 1000ull)
		return 0;
	if (pid && strtol(pid, NULL, 10) != getpid())
		return 0;
	r = connect_notify();
	if (r < 0 || notify_fd < 0)
		return r;
	r = loop_add_timer(loop, on_watchdog, NULL, &watchdog.timer); /* goes with the loop */
	if (r < 0)
		return r;
	watchdog.period_ns = usec * 1000 / 2;
	loop_arm(watchdog.timer, watchdog.period_ns);
	return 0;
}

void daemon_ready(const char *status)
{
	tell_service_manager(status);
	tell_pipe();
}
