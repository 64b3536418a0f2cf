// SPDX-License-Identifier: Apache-2.0
#include "service_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/daemon.h"

struct service_fixture sx = {.waiting_fd = -1};

static void on_changed(void *arg)
{
}

static void on_failed(void *arg, const struct err *err)
{
	sx.failed = true;
	sx.failure = *err;
}

static void on_done(void *arg, const struct err *err)
{
	sx.done = true;
	sx.outcome = *err;
}

void sx_setup(void)
{
	struct err err = {0};
	int fd;

	setenv("BULKHEAD_DEBUG", "1", 1);
	cr_assert_eq(daemon_init("test", NULL, &err), 0);
	fd = spawner_fork(&err);
	cr_assert_geq(fd, 0, "%s", err.text);
	fx_init();
	memset(&sx.set, 0, sizeof(sx.set));
	sx.failed = sx.done = sx.idle = false;
	sx.answers = 0;
	sx.invocation = NULL;
	sx.set = (struct providers){.loop = fx.loop, .bus = fx.bus, .changed = on_changed, .failed = on_failed};
	cr_assert_eq(spawner_new(fx.loop, fd, &sx.set.spawner), 0);
}

void sx_teardown(void)
{
	/* Processes that are left must not outlive the test. */
	for (size_t i = 0; i < sx.set.count; i++) {
		if (sx.set.at[i].service.process)
			kill(spawned_pid(sx.set.at[i].service.process), SIGKILL);
		if (sx.set.at[i].service.successor)
			kill(spawned_pid(sx.set.at[i].service.successor), SIGKILL);
	}
	while (sx.foreigners) {
		int pidfd = sx.foreign[--sx.foreigners];

		pidfd_send_signal(pidfd, SIGKILL, NULL, 0); /* unless a test has waited for it */
		close(pidfd);
	}
	providers_done(&sx.set);
	spawner_free(sx.set.spawner);
	fd_close(&sx.waiting_fd);
	fx_done();
}

void sx_add(const char *script)
{
	const char *args[] = {"-c", script};
	struct provider_config config = {
		.name = "storage", .program_fd = -1, .program = "vsp-test", .args = args, .nargs = 2, .idle = sx.idle};
	struct err err = {0};
	int fd = -1;

	if (script) {
		fd = open("/bin/sh", O_RDONLY | O_CLOEXEC);
		cr_assert_geq(fd, 0);
		config.program_fd = fd;
	}
	cr_assert_eq(providers_add(&sx.set, &config, &err), 0, "%s", err.text);
	fd_close(&fd);
	sx.storage = &sx.set.at[0];
	cr_assert_eq(providers_start(&sx.set, &err), 0, "%s", err.text);
}

static void on_open(void *arg, uint32_t offer_id, const struct bus_open *open)
{
	bus_opened(sx.storage->bus, offer_id, 0);
}

static void on_revoke(void *arg, uint32_t offer_id, uint32_t gpadl)
{
}

static void on_resumed(void *arg)
{
}

static void on_admitted(void *arg)
{
	struct played *played = arg;

	played->admitted = true;
}

static void on_refused(void *arg, const struct err *err)
{
	struct played *played = arg;

	played->refused = true;
}

static void on_hand_over(void *arg)
{
	struct played *played = arg;

	played->asked_to_hand_over = true;
}

static void on_end(void *arg)
{
	struct played *played = arg;

	played->asked_to_end = true;
}

static int on_ping(void *arg)
{
	struct played *played = arg;

	played->pinged = true;
	played->pings++;
	return 0;
}

static int on_change(void *arg, const void *change, size_t len, const int *fds, size_t nfds)
{
	struct played *played = arg;

	played->changes++;
	played->change_fd = nfds > 0 ? fds[0] : -1;
	snprintf(played->change, sizeof(played->change), "%.*s", (int)len, (const char *)change);
	return 0;
}

static void on_drop(void *arg)
{
	struct played *played = arg;

	played->dropped = true;
}

static const struct provider_ops ops = {.bus = {.open = on_open, .revoke = on_revoke, .resumed = on_resumed},
					.admitted = on_admitted,
					.refused = on_refused,
					.ping = on_ping,
					.hand_over = on_hand_over,
					.end = on_end,
					.change = on_change,
					.drop = on_drop};

int sx_attach(struct played *played, pid_t pid, uint32_t version)
{
	int pidfd = pidfd_open(pid, 0), r;
	struct attachment attachment = {
		.ops = &ops,
		.arg = played,
		.pid = pid,
		.pidfd = pidfd < 0 ? -errno : pidfd,
		.block_version = version,
		.state_version = 1,
	};
	struct err err = {0};

	if (sx.invocation)
		snprintf(attachment.invocation, sizeof(attachment.invocation), "%s", sx.invocation);
	*played = (struct played){0};
	r = provider_attach(&sx.set, "storage", &attachment, &err, &played->provider);
	if (r < 0 || played->admitted || sx.storage->service.program_fd >= 0)
		fd_close(&pidfd);
	else
		sx.waiting_fd = pidfd;
	return r;
}

struct service_status sx_status(void)
{
	struct service_status s;

	service_status(sx.storage, &s);
	return s;
}

pid_t sx_serve(struct played *played)
{
	pid_t pid;

	UNTIL(sx.storage->service.process);
	pid = sx_status().pid;
	cr_assert_eq(sx_attach(played, pid, 1), 0);
	cr_assert(played->admitted);
	provider_ready(sx.storage);
	cr_assert_eq(sx_status().state, SERVICE_SERVING);
	return pid;
}

void sx_kill_process(struct played *played, pid_t pid, int signal)
{
	kill(pid, signal);
	UNTIL(!sx.storage->service.process || spawned_pid(sx.storage->service.process) != pid);
	cr_assert(played->dropped);
}

pid_t sx_foreign(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	cr_assert(pid > 0);
	cr_assert(sx.foreigners < SX_FOREIGN_MAX);
	sx.foreign[sx.foreigners] = pidfd_open(pid, 0);
	cr_assert_geq(sx.foreign[sx.foreigners++], 0);
	return pid;
}

static void on_told(void *arg, const struct err *err)
{
	sx.answers++;
	sx.answer = *err;
}

void sx_tell(const char *invocation, int status)
{
	struct service_end end = {.status = status};

	snprintf(end.invocation, sizeof(end.invocation), "%s", invocation);
	service_told(sx.storage, &end, on_told, NULL);
}

void sx_upgrade_to(const char *path)
{
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	cr_assert(!path || fd >= 0);
	sx.done = false;
	service_upgrade(sx.storage, fd, on_done, NULL);
	fd_close(&fd);
}

void sx_hold_at_its_end(pid_t pid)
{
	cr_assert_eq(ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACEEXIT), 0, "%s", strerror(errno));
}

void sx_let_end(pid_t pid)
{
	int how;

	cr_assert_eq(waitpid(pid, &how, __WALL), pid);
	cr_assert(WIFSTOPPED(how));
	cr_assert_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	cr_assert_eq(waitpid(pid, &how, __WALL), pid);
}
