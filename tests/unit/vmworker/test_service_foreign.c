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

/* ---- how one has ended, told by who runs it ---- */

#define RUN_A	"00000000000000000000000000000aaa"
#define RUN_B	"00000000000000000000000000000bbb"
#define EXITED	W_EXITCODE(1, 0)
#define KILLED	W_EXITCODE(0, SIGKILL)
#define CRASHED W_EXITCODE(0, SIGSEGV)
#define HUNG_UP W_EXITCODE(0, SIGHUP)

/* One of run @invocation serves. */
static pid_t serve_as(struct played *played, const char *invocation)
{
	pid_t pid = sx_foreign();

	sx.invocation = invocation;
	cr_assert_eq(sx_attach(played, pid, 1), 0);
	UNTIL(played->admitted);
	provider_ready(sx.storage);
	cr_assert_eq(sx_status().state, SERVICE_SERVING);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

/* It ends, in whatever way; that it was by @status is what is told. */
static void die(struct played *played, pid_t pid, const char *invocation, int status)
{
	unsigned int answers = sx.answers;

	end(pid);
	provider_detach(sx.storage, played);
	sx_tell(invocation, status);
	UNTIL(sx.answers == answers + 1);
	cr_assert_eq(sx.answer.code, 0, "%s", sx.answer.text);
}

Test(service_foreign, its_end_is_told)
{
	struct played played;

	sx_add(NULL);
	die(&played, serve_as(&played, RUN_A), RUN_A, CRASHED);
	cr_assert(service_at_fault(sx.storage));
	cr_assert(strstr(sx_status().message, "was killed by signal 11 (SEGV)"), "%s", sx_status().message);
	die(&played, serve_as(&played, RUN_B), RUN_B, KILLED);
	cr_assert(!service_at_fault(sx.storage));
	cr_assert(strstr(sx_status().message, "was killed by signal 9 (KILL)"), "%s", sx_status().message);
	cr_assert_eq(sx_status().deaths, 2);
}

Test(service_foreign, own_faults_make_pauses_and_successors_cautious)
{
	static const char *const runs[] = {RUN_A, RUN_B, RUN_A};
	struct played played;

	sx_add(NULL);
	for (unsigned int i = 0; i < SERVICE_FAULTS_MAX; i++) {
		pid_t pid = serve_as(&played, runs[i]);

		cr_assert(!service_cautious(sx.storage));
		end(pid);
		provider_detach(sx.storage, &played);
		sx_tell(runs[i], CRASHED);
		cr_assert_eq(sx.answers, i ? i : 1, "the first restart comes at once");
		cr_assert_eq(sx_status().state, i ? SERVICE_WAITING : SERVICE_RECOVERING);
		UNTIL(sx.answers == i + 1);
		cr_assert_eq(sx_status().state, SERVICE_RECOVERING);
	}
	cr_assert(service_cautious(sx.storage));
	die(&played, serve_as(&played, RUN_B), RUN_B, KILLED);
	cr_assert(service_cautious(sx.storage), "that was not its fault, but no sign of health");
	die(&played, serve_as(&played, RUN_A), RUN_A, HUNG_UP);
	cr_assert(!service_cautious(sx.storage));
}

Test(service_foreign, faults_that_nobody_tells_of_do_not_count)
{
	struct played played;

	sx_add(NULL);
	for (unsigned int i = 0; i < SERVICE_FAULTS_MAX + 1; i++) {
		end(serve_as(&played, RUN_A));
		provider_detach(sx.storage, &played);
	}
	cr_assert_eq(sx_status().deaths, SERVICE_FAULTS_MAX + 1);
	cr_assert(!service_cautious(sx.storage) && !service_at_fault(sx.storage));
}

Test(service_foreign, its_end_is_told_before_that_of_its_connection_is_read)
{
	struct played played;

	sx_add(NULL);
	end(serve_as(&played, RUN_A));
	sx_tell(RUN_A, CRASHED);
	cr_assert(played.dropped && sx.answers == 1 && !sx.answer.code && !sx.storage->now.ops);
	cr_assert(sx_status().deaths == 1 && service_at_fault(sx.storage));
	serve_as(&played, RUN_B);
}

static void refused_with(int code)
{
	static unsigned int answers;

	cr_assert_eq(sx.answers, ++answers);
	cr_assert_eq(sx.answer.code, code, "%s", sx.answer.text);
}

Test(service_foreign, claims_that_are_not_believed)
{
	struct played played;
	pid_t pid;

	sx_add(NULL);
	pid = serve_as(&played, RUN_A);
	sx_tell(RUN_A, CRASHED); /* it lives */
	refused_with(-EBUSY);
	sx_tell(RUN_B, CRASHED); /* that is another one */
	refused_with(-EBUSY);
	cr_assert(sx.storage->ready && !played.dropped && !sx_status().deaths && !service_at_fault(sx.storage));
	provider_detach(sx.storage, &played);
	sx_tell(RUN_A, CRASHED); /* it still lives */
	refused_with(-EBUSY);
	end(pid);
	sx_tell(RUN_A, KILLED);
	refused_with(0);
	sx_tell(RUN_A, CRASHED); /* once more, as something else */
	refused_with(-EALREADY);
	cr_assert(sx_status().deaths == 1 && !service_at_fault(sx.storage));
}

Test(service_foreign, who_runs_it_itself_is_told_nothing)
{
	struct played played;

	sx_add("exec sleep 100");
	sx.invocation = RUN_A;
	sx_serve(&played);
	sx_tell(RUN_A, CRASHED);
	cr_assert_eq(sx.answer.code, -EPERM);
	cr_assert(sx.storage->ready);
}

Test(service_foreign, one_that_never_attached)
{
	struct played played;

	sx_add(NULL);
	die(&played, serve_as(&played, RUN_A), RUN_A, KILLED);
	sx_tell(RUN_B, CRASHED);
	cr_assert_eq(sx.answers, 2, "the first pause is none");
	cr_assert(strstr(sx_status().message, "did not come to serve, was killed by signal 11 (SEGV)"), "%s",
		  sx_status().message);
	sx_tell(RUN_A, CRASHED); /* long ago, and known */
	cr_assert(!sx.answer.code && !service_at_fault(sx.storage));
	sx_tell("00000000000000000000000000000ccc", EXITED);
	cr_assert_eq(sx_status().state, SERVICE_WAITING);
	cr_assert(sx_status().deaths == 1 && !service_at_fault(sx.storage) && !sx.storage->service.faults,
		  "nobody has seen it");
	/* one that comes all the same ends the pause */
	sx.answers = 0;
	serve_as(&played, RUN_A);
	cr_assert_eq(sx.answers, 1);
}

Test(service_foreign, the_vm_ends_in_a_pause)
{
	struct played played;

	sx_add(NULL);
	die(&played, serve_as(&played, RUN_A), RUN_A, CRASHED);
	end(serve_as(&played, RUN_B));
	provider_detach(sx.storage, &played);
	sx_tell(RUN_B, CRASHED);
	cr_assert_eq(sx.answers, 1);
	providers_stop(&sx.set);
	cr_assert_eq(sx.answers, 2);
}

/* ---- upgrade ---- */

/* The old one was asked to hand over, and does. */
static void hand_over(struct played *old, pid_t pid)
{
	sx_upgrade_to(NULL);
	cr_assert(!sx.done && old->asked_to_hand_over && !sx.storage->ready);
	cr_assert(!provider_serves(sx.storage, old));
	service_handed_over(sx.storage, 0);
	cr_assert(old->asked_to_end);
	cr_assert(!old->dropped, "it would take the VM to be over");
	end(pid);
	provider_detach(sx.storage, old);
	sx_tell(RUN_A, W_EXITCODE(0, 0));
	cr_assert(sx.answers == 1 && !sx.answer.code, "the next one may start at once");
}

Test(service_foreign, upgrade)
{
	struct played old, new;

	sx_add(NULL);
	hand_over(&old, serve_as(&old, RUN_A));
	cr_assert(!sx.done);
	serve_as(&new, RUN_B);
	cr_assert(sx.done && sx.outcome.code == 0, "%s", sx.outcome.text);
	cr_assert(sx_status().upgrades == 1 && sx_status().deaths == 0 && !*sx_status().message);
}

Test(service_foreign, no_program_can_be_given)
{
	struct played old;

	sx_add(NULL);
	serve_as(&old, RUN_A);
	sx_upgrade_to("/bin/sh");
	cr_assert(sx.done && sx.outcome.code == -EOPNOTSUPP && sx.storage->ready && !old.asked_to_hand_over);
}

Test(service_foreign, the_old_one_refuses_to_hand_over)
{
	struct played old, new;
	pid_t pid;

	sx_add(NULL);
	pid = serve_as(&old, RUN_A);
	sx_upgrade_to(NULL);
	service_handed_over(sx.storage, -EBADMSG);
	cr_assert(old.asked_to_end, "it must end all the same");
	end(pid);
	provider_detach(sx.storage, &old);
	serve_as(&new, RUN_B);
	cr_assert(sx.done && sx.outcome.code == 0 && sx_status().upgrades == 1);
	cr_assert_eq(sx_status().deaths, 1, "it has not handed over");
}

Test(service_foreign, the_old_one_hangs_while_it_hands_over)
{
	struct played old, new;
	pid_t pid;
	int how = 0;

	sx.set.patience_ns = SX_PATIENCE_NS;
	sx_add(NULL);
	pid = serve_as(&old, RUN_A);
	sx_upgrade_to(NULL);
	UNTIL(how || waitpid(pid, &how, WNOHANG) == pid);
	cr_assert(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
	/* its successor comes: */
	sx.set.patience_ns = 0;
	provider_detach(sx.storage, &old);
	serve_as(&new, RUN_B);
	cr_assert(sx.done && sx.outcome.code == 0 && sx_status().upgrades == 1 && sx_status().deaths == 1);
}

Test(service_foreign, the_new_one_ends_before_it_is_ready)
{
	struct played old, new;
	pid_t pid = sx_foreign();

	sx_add(NULL);
	hand_over(&old, serve_as(&old, RUN_A));
	sx.invocation = RUN_B;
	cr_assert_eq(sx_attach(&new, pid, 1), 0);
	UNTIL(new.admitted);
	die(&new, pid, RUN_B, CRASHED);
	cr_assert(sx.done && sx.outcome.code == -EREMOTEIO);
	cr_assert(strstr(sx.outcome.text, "was killed by signal 11 (SEGV)"), "%s", sx.outcome.text);
	cr_assert(sx_status().upgrades == 0 && sx_status().deaths == 1, "the guest waits for it");
	serve_as(&new, RUN_A);
	cr_assert(sx_status().upgrades == 0 && sx_status().deaths == 1);
}

Test(service_foreign, the_new_one_does_not_even_attach)
{
	struct played old, new;

	sx_add(NULL);
	hand_over(&old, serve_as(&old, RUN_A));
	sx_tell(RUN_B, W_EXITCODE(127, 0));
	cr_assert(sx.done && sx.outcome.code == -EREMOTEIO);
	cr_assert(strstr(sx.outcome.text, "ended with status 127"), "%s", sx.outcome.text);
	cr_assert(strstr(sx_status().message, "ended with status 127"), "%s", sx_status().message);
	serve_as(&new, RUN_A);
	cr_assert(sx_status().upgrades == 0 && sx_status().deaths == 0);
}

Test(service_foreign, no_new_one_comes)
{
	struct played old, new;

	sx_add(NULL);
	sx.set.patience_ns = SX_PATIENCE_NS;
	hand_over(&old, serve_as(&old, RUN_A));
	UNTIL(sx.done);
	cr_assert_eq(sx.outcome.code, -ETIMEDOUT);
	serve_as(&new, RUN_B);
}

/* An older program than the last one that served: the guest waits for a newer one. */
Test(service_foreign, the_new_one_cannot_read_the_state)
{
	struct played old, new;
	pid_t pid = sx_foreign();

	sx_add(NULL);
	hand_over(&old, serve_as(&old, RUN_A));
	sx.invocation = RUN_B;
	cr_assert_eq(sx_attach(&new, pid, 0), -EPROTO);
	cr_assert(strstr(sx_status().message, "use a later program"), "%s", sx_status().message);
	end(pid);
	sx_tell(RUN_B, EXITED);
	cr_assert(sx.done && strstr(sx.outcome.text, "use a later program"), "%s", sx.outcome.text);
	cr_assert(strstr(sx_status().message, "use a later program"), "%s", sx_status().message);
	serve_as(&new, RUN_A);
	cr_assert_eq(sx_status().deaths, 0);
}
