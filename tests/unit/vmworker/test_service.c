// SPDX-License-Identifier: Apache-2.0
/* The life of processes that the worker runs itself: who is admitted when, what a death leads to. */
#include "service_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

TestSuite(service, .init = sx_setup, .fini = sx_teardown, .timeout = 30);

Test(service, the_first_one_ends)
{
	struct err err = {0};

	sx_add("exit 3");
	UNTIL(sx.failed);
	cr_assert_eq(sx.failure.code, -EREMOTEIO);
	cr_assert(strstr(sx.failure.text, "vsp-test ended with status 3"), "%s", sx.failure.text);
	cr_assert(!sx.storage->service.process, "it is not started again by itself");
	cr_assert_eq(sx_status().state, SERVICE_NOT_STARTED);
	sx.failed = false;
	cr_assert_eq(providers_start(&sx.set, &err), 0);
	cr_assert_eq(sx_status().state, SERVICE_STARTING);
	UNTIL(sx.failed);
}

Test(service, killed_again_and_again_without_a_pause)
{
	struct played played;

	sx_add("exec sleep 100");
	for (unsigned int i = 0; i < 6; i++) {
		pid_t pid = sx_serve(&played);

		cr_assert_eq(sx.storage->service.attachments, i + 1);
		sx_kill_process(&played, pid, i % 2 ? SIGKILL : SIGTERM);
		cr_assert(!sx.storage->ready && sx.storage->service.process && !sx.storage->service.pausing, "at once");
	}
	cr_assert_eq(sx_status().deaths, 6);
	cr_assert(!service_cautious(sx.storage));
	sx_serve(&played);
	cr_assert(sx_status().last_outage_us > 0);
	cr_assert(strstr(sx_status().message, "was killed by signal"), "%s", sx_status().message);
}

Test(service, own_faults_make_pauses_and_successors_cautious)
{
	struct played played;

	sx_add("exec sleep 100");
	for (unsigned int i = 0; i < 3; i++) {
		pid_t pid = sx_serve(&played);

		cr_assert(!service_cautious(sx.storage));
		sx_kill_process(&played, pid, SIGSEGV);
		cr_assert(service_at_fault(sx.storage));
		cr_assert_eq(sx.storage->service.pausing, i > 0, "the first restart comes at once");
		cr_assert_eq(sx_status().state, i > 0 ? SERVICE_WAITING : SERVICE_RECOVERING);
	}
	cr_assert(service_cautious(sx.storage));
	sx_kill_process(&played, sx_serve(&played), SIGKILL);
	cr_assert(service_cautious(sx.storage), "that was not its fault, but no sign of health");
	cr_assert(!service_at_fault(sx.storage));
	sx_kill_process(&played, sx_serve(&played), SIGHUP);
	cr_assert(!service_cautious(sx.storage));
}

Test(service, a_strange_process_is_refused)
{
	struct played played, other;

	sx_add("exec sleep 100");
	cr_assert_eq(sx_attach(&other, getpid(), 1), -EPERM);
	sx_serve(&played);
	cr_assert_eq(sx_attach(&other, getpid(), 1), -EPERM);
	cr_assert_eq(sx_attach(&other, sx_status().pid, 1), -EBUSY);
}

Test(service, a_process_that_loses_its_connection_must_end)
{
	struct played played;
	pid_t pid;

	sx_add("exec sleep 100");
	pid = sx_serve(&played);
	provider_detach(sx.storage, &played);
	cr_assert_eq(sx_attach(&played, pid, 1), -EBUSY, "it may not come back");
	UNTIL(!sx.storage->service.process || spawned_pid(sx.storage->service.process) != pid);
	cr_assert_eq(sx_status().deaths, 1);
}

Test(service, stop)
{
	struct played played;

	sx_add("exec sleep 100");
	sx_serve(&played);
	providers_stop(&sx.set);
	cr_assert(played.dropped && !providers_stopped(&sx.set));
	cr_assert_eq(sx_attach(&played, sx_status().pid, 1), -ECANCELED);
	UNTIL(providers_stopped(&sx.set));
}

/* ---- those that hang ---- */

/* The process goes on answering, @waits, for so many pings that a silent one would have been killed long ago. */
static void answer_pings(struct played *played, const char *waits)
{
	unsigned int until = played->pings + 4 * SERVICE_HANG_PINGS;

	while (played->pings < until) {
		cr_assert_eq(loop_run_once(fx.loop, true), 0);
		if (!played->pinged)
			continue;
		played->pinged = false;
		service_answered(sx.storage, waits);
	}
}

Test(service, who_does_not_answer_is_replaced)
{
	struct played played;
	pid_t pid;

	sx.set.ping_ns = SX_PING_NS;
	sx_add("exec sleep 100");
	pid = sx_serve(&played);
	answer_pings(&played, "");
	cr_assert(sx.storage->ready && sx_status().pid == pid && sx_status().hangs == 0);
	UNTIL(sx_status().hangs);
	cr_assert(played.dropped && played.pinged && sx_status().deaths == 1 && sx_status().pid != pid);
	cr_assert(strstr(sx_status().message, "does not answer: killed"), "%s", sx_status().message);
	cr_assert(kill(pid, 0) < 0, "its end comes before the next one");
	sx_serve(&played);
	cr_assert_geq(sx_status().last_outage_us, SERVICE_HANG_PINGS * SX_PING_NS / 1000,
		      "since its last sign of life");
	answer_pings(&played, "");
	cr_assert(sx.storage->ready && sx_status().hangs == 1);
}

Test(service, a_stopped_process_is_replaced)
{
	struct played played;
	pid_t pid;

	sx.set.ping_ns = SX_PING_NS;
	sx_add("exec sleep 100");
	pid = sx_serve(&played);
	kill(pid, SIGSTOP);
	UNTIL(sx_status().hangs == 1 && sx_status().pid != pid);
}

Test(service, who_hangs_again_and_again_has_cautious_successors)
{
	struct played played;

	sx.set.ping_ns = SX_PING_NS;
	sx_add("exec sleep 100");
	for (unsigned int i = 1; i <= SERVICE_FAULTS_MAX; i++) {
		cr_assert(!service_cautious(sx.storage));
		sx_serve(&played);
		UNTIL(sx_status().hangs == i);
	}
	cr_assert(service_cautious(sx.storage));
}

Test(service, who_waits_for_its_predecessors_io_is_left_in_peace)
{
	struct played played;
	pid_t pid;

	sx.set.ping_ns = SX_PING_NS;
	sx_add("exec sleep 100");
	sx_kill_process(&played, sx_serve(&played), SIGKILL);
	UNTIL(sx.storage->service.process);
	pid = sx_status().pid;
	cr_assert_eq(sx_attach(&played, pid, 1), 0);
	answer_pings(&played, "a slow disk");
	cr_assert_eq(sx_status().pid, pid);
	cr_assert_str_eq(sx_status().message, "a slow disk");
	/* It does not say so any more, and still is not ready. */
	while (!sx_status().hangs) {
		cr_assert_eq(loop_run_once(fx.loop, true), 0);
		service_answered(sx.storage, "");
	}
	cr_assert(strstr(sx_status().message, "does not become ready"), "%s", sx_status().message);
}

Test(service, the_first_one_does_not_attach)
{
	sx.set.ping_ns = SX_PING_NS;
	sx_add("exec sleep 100");
	UNTIL(sx.failed);
	cr_assert(strstr(sx.failure.text, "does not attach: killed"), "%s", sx.failure.text);
}

/* ---- those that do not even end when they are killed ---- */

Test(service, who_cannot_be_killed_is_waited_for)
{
	struct played played, next;
	pid_t pid;

	sx.set.patience_ns = SX_PATIENCE_NS;
	sx_add("exec sleep 100");
	pid = sx_serve(&played);
	sx_hold_at_its_end(pid);
	provider_detach(sx.storage, &played);
	UNTIL(strstr(sx_status().message, "was killed and does not end: it waits in the kernel"));
	cr_assert_eq(sx_attach(&next, pid, 1), -EBUSY);
	cr_assert_eq(sx_status().pid, pid, "no successor: it may still write");
	sx_let_end(pid);
	UNTIL(sx.storage->service.process && sx_status().pid != pid);
	sx_serve(&next);
}

/* ---- keepsakes ---- */

Test(service, keepsakes)
{
	char key[VSP_KEY_MAX + 2];
	static uint8_t data[VSP_KEEPSAKE_MAX + 1];
	struct err err = {0};
	int fd = dup(0);

	sx_add(NULL);
	cr_assert_eq(provider_keep(sx.storage, "ring", "abc", 3, fd, &err), 0);
	cr_assert_eq(provider_keep(sx.storage, "ring", "de", 2, dup(0), &err), 0);
	cr_assert(sx.storage->keepsakes == 1 && sx.storage->keepsake[0].len == 2 &&
		  sx.storage->keepsake[0].data[0] == 'd');
	cr_assert(fcntl(fd, F_GETFD) < 0, "the one before is closed");
	cr_assert_eq(provider_keep(sx.storage, "", "", 0, 0, &err), -EINVAL);
	memset(key, 'k', sizeof(key));
	key[sizeof(key) - 1] = '\0';
	cr_assert_eq(provider_keep(sx.storage, key, "", 0, 0, &err), -EINVAL);
	cr_assert(strstr(err.text, "1 to 31 bytes"), "%s", err.text);
	cr_assert_eq(provider_keep(sx.storage, "big", data, sizeof(data), 0, &err), -EINVAL);
	for (unsigned int i = 1; i < VSP_KEEPSAKES_MAX; i++) {
		key[2] = '\0';
		key[1] = (char)('0' + i);
		cr_assert_eq(provider_keep(sx.storage, key, data, sizeof(data) - 1, dup(0), &err), 0);
	}
	cr_assert_eq(provider_keep(sx.storage, "one too many", "", 0, 0, &err), -ENOSPC);
}
