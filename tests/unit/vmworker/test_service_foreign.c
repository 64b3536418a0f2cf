// SPDX-License-Identifier: Apache-2.0
/* Processes that somebody else runs, as the service manager does. */
#include "service_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

TestSuite(service_foreign, .init = sx_setup, .fini = sx_teardown, .timeout = 30);

Test(service_foreign, a_successor_waits_for_the_end_of_a_predecessor)
{
	pid_t first = sx_foreign(), second = sx_foreign();
	struct played played, next, third;

	sx_add(NULL);
	cr_assert_eq(sx_attach(&played, first, 1), 0);
	cr_assert(played.admitted);
	cr_assert_eq(sx_attach(&next, second, 1), -EBUSY);
	provider_ready(sx.storage);
	provider_detach(sx.storage, &played);
	cr_assert(!sx.storage->ready);
	cr_assert_eq(sx_attach(&next, second, 1), 0);
	cr_assert_eq(sx_attach(&third, second, 1), -EBUSY);
	for (int i = 0; i < 20; i++) {
		loop_run_once(fx.loop, false);
		usleep(500);
	}
	cr_assert(!next.admitted, "the first one still lives");
	kill(first, SIGKILL);
	UNTIL(next.admitted);
	cr_assert_eq(sx_status().deaths, 1);
	kill(second, SIGKILL);
	waitpid(first, NULL, 0);
	waitpid(second, NULL, 0);
}

Test(service_foreign, one_that_is_not_ours_hangs)
{
	struct played played, next;
	pid_t pid = sx_foreign();
	int how;

	sx.set.ping_ns = SX_PING_NS;
	sx_add(NULL);
	cr_assert_eq(sx_attach(&played, pid, 1), 0);
	provider_ready(sx.storage);
	UNTIL(sx_status().hangs);
	cr_assert(played.dropped && !sx.storage->ready && sx_status().deaths == 1);
	cr_assert_eq(waitpid(pid, &how, 0), pid);
	cr_assert(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
	cr_assert_eq(sx_attach(&next, getpid(), 1), 0);
	UNTIL(next.admitted);
}

Test(service_foreign, one_that_we_cannot_kill_is_dropped)
{
	struct played played;
	pid_t pid = sx_foreign();

	sx.set.ping_ns = SX_PING_NS;
	sx_add(NULL);
	cr_assert_eq(sx_attach(&played, pid, 1), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	UNTIL(sx_status().hangs);
	cr_assert(played.dropped && !sx.storage->now.ops);
	cr_assert(strstr(sx_status().message, "cannot be killed"), "%s", sx_status().message);
}

/* Its number may be another one's by now: nobody could wait for its end. */
Test(service_foreign, one_that_has_ended_is_not_admitted)
{
	struct played played;
	pid_t pid = sx_foreign();

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	sx_add(NULL);
	cr_assert_eq(sx_attach(&played, pid, 1), -ESRCH);
	cr_assert(!played.admitted && !sx.storage->now.ops && !sx.storage->next.ops);
}

Test(service_foreign, who_waits_is_refused_at_the_end)
{
	pid_t first = sx_foreign(), second = sx_foreign();
	struct played played, next;

	sx_add(NULL);
	cr_assert_eq(sx_attach(&played, first, 1), 0);
	provider_detach(sx.storage, &played);
	cr_assert_eq(sx_attach(&next, second, 1), 0);
	providers_stop(&sx.set);
	cr_assert(next.refused && providers_stopped(&sx.set));
	kill(first, SIGKILL);
	kill(second, SIGKILL);
	UNTIL(sx.storage->service.before_fd < 0);
	cr_assert(!next.admitted);
	waitpid(first, NULL, 0);
	waitpid(second, NULL, 0);
}
