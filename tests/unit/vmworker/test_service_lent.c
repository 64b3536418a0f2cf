// SPDX-License-Identifier: Apache-2.0
/* What a guest has lent to a process that dies: it has it back when the process has ended, not before, and whether the
 * next one comes or not. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "bus_expect.h"
#include "service_fixture.h"

#define LENT  (GPADL + 1)
#define RUN_A "0123456789abcdef0123456789abcdef"

TestSuite(service_lent, .init = sx_setup, .fini = sx_teardown, .timeout = 30);

/* The process that serves has a channel, and LENT. */
static void lend(void)
{
	struct fx_provider offers = {.bus = sx.storage->bus};
	struct guest_range *ranges = NULL;
	uint32_t id;
	size_t count;

	cr_assert_eq(fx_offer(&offers, 1, &id), 0);
	fx_connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_expect_offer(1);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	fx_open_channel(1, GPADL);
	fx_gpadl(1, LENT, FX_PFN + 512, 2);
	cr_assert_eq(fx_created_status(1, LENT), 0);
	cr_assert_eq(bus_lend(sx.storage->bus, id, LENT, &ranges, &count), 0);
	free(ranges);
}

Test(service_lent, of_a_process_that_dies)
{
	struct played played;
	pid_t pid;

	sx_add("exec sleep 100");
	pid = sx_serve(&played);
	lend();
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, LENT);
	cr_assert(fx_silent());
	sx_kill_process(&played, pid, SIGKILL);
	fx_expect_torndown(LENT);
}

/* Killed, or not connected any more, it may still write for a while. */
Test(service_lent, of_a_process_that_lets_go_and_lives)
{
	struct played played;
	pid_t pid;

	sx_add("exec sleep 100");
	pid = sx_serve(&played);
	lend();
	provider_detach(sx.storage, &played);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, LENT);
	cr_assert(fx_silent(), "its process has not ended");
	kill(pid, SIGKILL);
	UNTIL(!fx_silent());
	fx_expect_torndown(LENT);
}

Test(service_lent, of_a_process_of_somebody_elses)
{
	struct played played, next;
	pid_t pid = sx_foreign();

	sx_add(NULL);
	cr_assert_eq(sx_attach(&played, pid, 1), 0);
	provider_ready(sx.storage);
	lend();
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, LENT);
	provider_detach(sx.storage, &played);
	cr_assert_eq(sx_attach(&next, sx_foreign(), 1), 0);
	cr_assert(!next.admitted && fx_silent(), "its predecessor lives");
	kill(pid, SIGKILL);
	UNTIL(next.admitted);
	fx_expect_torndown(LENT);
}

Test(service_lent, as_its_manager_tells)
{
	struct played played;
	pid_t pid = sx_foreign();

	sx.invocation = RUN_A;
	sx_add(NULL);
	cr_assert_eq(sx_attach(&played, pid, 1), 0);
	provider_ready(sx.storage);
	lend();
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, LENT);
	provider_detach(sx.storage, &played);
	sx_tell(RUN_A, 0);
	cr_assert(fx_silent(), "it lives");
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	sx_tell(RUN_A, SIGKILL);
	fx_expect_torndown(LENT);
}
