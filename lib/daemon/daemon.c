/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

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

int daemon_init(const char *program, const char *vm, struct err *err)
{
	int r = open_standard_fds(err);

	if (r < 0)
		return r;
	log_init(program, vm);
	umask(077);
	if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot mark descriptors close-on-exec: %s (Linux 5.11 or later is needed)",
			       strerrordesc_np(errno));
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_set(err, -errno, "cannot ignore SIGPIPE: %s", strerrordesc_np(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, -errno, "cannot give up new privileges: %s", strerrordesc_np(errno));
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

void daemon_ready(const char *status)
{
	int r = sd_notifyf(1, "READY=1\nSTATUS=%s", status);

	if (r < 0)
		log_debug(NULL, "sd_notify: %s", strerrordesc_np(-r));
	tell_pipe();
}
