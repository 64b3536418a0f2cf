// SPDX-License-Identifier: Apache-2.0
/* The process of a provider is replaced by one of another program. */
#include "service_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

TestSuite(service_upgrade, .init = sx_setup, .fini = sx_teardown, .timeout = 30);

Test(service_upgrade, upgrade)
{
	struct played old, new;
	pid_t pid, successor;

	sx_add("exec sleep 100");
	pid = sx_serve(&old);
	sx_upgrade_to("/bin/sh");
	cr_assert(!sx.done && sx.storage->ready, "the old one serves on");
	successor = spawned_pid(sx.storage->service.successor);
	cr_assert_eq(sx_attach(&new, successor, 1), 0);
	cr_assert(old.asked_to_hand_over && !new.admitted && !sx.storage->ready);
	cr_assert(!provider_serves(sx.storage, &old));
	service_handed_over(sx.storage, 0);
	cr_assert(old.dropped && !new.admitted, "it must end first");
	kill(pid, SIGTERM);
	UNTIL(new.admitted);
	cr_assert(!sx.done);
	provider_ready(sx.storage);
	cr_assert(sx.done && sx.outcome.code == 0);
	cr_assert_eq(sx_status().pid, successor);
	cr_assert(sx_status().upgrades == 1 && sx_status().deaths == 0);
}

Test(service_upgrade, the_old_one_refuses_to_hand_over)
{
	struct played old, new;
	pid_t pid;

	sx_add("exec sleep 100");
	pid = sx_serve(&old);
	sx_upgrade_to("/bin/sh");
	cr_assert_eq(sx_attach(&new, spawned_pid(sx.storage->service.successor), 1), 0);
	service_handed_over(sx.storage, -EBADMSG);
	cr_assert(old.dropped && !new.admitted, "who refuses may still touch memory and images");
	cr_assert(!provider_serves(sx.storage, &old));
	for (int i = 0; i < 20; i++) {
		loop_run_once(fx.loop, false);
		usleep(500);
	}
	cr_assert(!new.admitted && !kill(pid, 0), "it lives");
	UNTIL_S(new.admitted, 20); /* nobody but the service ends it */
	cr_assert(kill(pid, 0) < 0);
	provider_ready(sx.storage);
	cr_assert(sx.done && sx.outcome.code == 0 && sx_status().upgrades == 1);
	cr_assert_eq(sx_status().deaths, 1, "it has not handed over");
}

Test(service_upgrade, upgrade_to_what_ends_at_once)
{
	struct played old;
	pid_t pid;

	sx_add("exec sleep 100");
	pid = sx_serve(&old);
	sx_upgrade_to("/bin/false");
	UNTIL(sx.done);
	cr_assert_eq(sx.outcome.code, -EREMOTEIO);
	cr_assert(strstr(sx.outcome.text, "ended with status 1"), "%s", sx.outcome.text);
	cr_assert(sx.storage->ready && sx_status().pid == pid && sx_status().deaths == 0);
}

Test(service_upgrade, upgrade_to_what_cannot_read_the_state)
{
	struct played old, new;

	sx_add("exec sleep 100");
	sx_serve(&old);
	sx_upgrade_to("/bin/sh");
	cr_assert_eq(sx_attach(&new, spawned_pid(sx.storage->service.successor), 0), -EPROTO);
	cr_assert(!old.asked_to_hand_over && sx.storage->ready);
	kill(spawned_pid(sx.storage->service.successor), SIGTERM); /* it gives up */
	UNTIL(sx.done);
	cr_assert(sx.outcome.code < 0 && sx.storage->ready);
}

Test(service_upgrade, the_new_one_ends_before_it_is_ready)
{
	struct played old, new;
	pid_t pid, successor;

	sx_add("exec sleep 100");
	pid = sx_serve(&old);
	sx_upgrade_to("/bin/sh");
	successor = spawned_pid(sx.storage->service.successor);
	cr_assert_eq(sx_attach(&new, successor, 1), 0);
	service_handed_over(sx.storage, 0);
	kill(pid, SIGTERM);
	UNTIL(new.admitted);
	kill(successor, SIGSEGV);
	UNTIL(sx.done);
	cr_assert(sx.outcome.code < 0 && new.dropped);
	sx_serve(&old);
	cr_assert(sx_status().upgrades == 0 && sx_status().deaths == 0);
}

Test(service_upgrade, the_old_one_dies_while_it_hands_over)
{
	struct played old, new;
	pid_t pid;

	sx_add("exec sleep 100");
	pid = sx_serve(&old);
	sx_upgrade_to("/bin/sh");
	cr_assert_eq(sx_attach(&new, spawned_pid(sx.storage->service.successor), 1), 0);
	kill(pid, SIGKILL);
	UNTIL(new.admitted);
	provider_ready(sx.storage);
	cr_assert(sx.done && sx.outcome.code == 0 && sx_status().upgrades == 1 && sx_status().deaths == 1);
}

Test(service_upgrade, the_old_one_dies_before_the_new_one_attaches)
{
	struct played old, new;
	pid_t pid;

	sx_add("exec sleep 100");
	pid = sx_serve(&old);
	sx_upgrade_to("/bin/sh");
	sx_kill_process(&old, pid, SIGKILL);
	sx_serve(&new);
	cr_assert(sx.done && sx.outcome.code == 0 && sx_status().upgrades == 1 && sx_status().deaths == 1);
}

Test(service_upgrade, only_one_upgrade_of_what_is_ours)
{
	struct played old;

	sx_add("exec sleep 100");
	sx_upgrade_to("/bin/sh");
	cr_assert(sx.done && sx.outcome.code == -EAGAIN, "it does not serve yet");
	sx_serve(&old);
	sx_upgrade_to("/bin/sh");
	cr_assert(!sx.done);
	sx_upgrade_to("/bin/sh");
	cr_assert(sx.done && sx.outcome.code == -EBUSY);
}

/* Each state of an upgrade with each event that may come then: what is counted, and who serves in the end. */

enum event { OLD_KILLED, OLD_LOST, OLD_REFUSES, NEW_KILLED, NEW_LOST, NEW_TOO_OLD };

static const struct upgrade_case {
	enum service_upgrade state;
	enum event event;
	unsigned int deaths;
	bool done; /* the new program serves in the end */
} upgrade_cases[] = {
	{UPGRADE_STARTING, OLD_KILLED, 1, true},      {UPGRADE_STARTING, OLD_LOST, 1, true},
	{UPGRADE_STARTING, NEW_KILLED, 0, false},     {UPGRADE_STARTING, NEW_TOO_OLD, 0, false},
	{UPGRADE_HANDING_OVER, OLD_KILLED, 1, true},  {UPGRADE_HANDING_OVER, OLD_LOST, 1, true},
	{UPGRADE_HANDING_OVER, OLD_REFUSES, 1, true}, {UPGRADE_HANDING_OVER, NEW_KILLED, 0, false},
	{UPGRADE_HANDING_OVER, NEW_LOST, 0, false},   {UPGRADE_ENDING, OLD_KILLED, 0, true},
	{UPGRADE_ENDING, NEW_KILLED, 0, false},	      {UPGRADE_ENDING, NEW_LOST, 0, false},
	{UPGRADE_TAKING_OVER, NEW_KILLED, 0, false},  {UPGRADE_TAKING_OVER, NEW_LOST, 0, false},
	{UPGRADE_TAKING_OVER, NEW_TOO_OLD, 1, false}, /* the old one died before the new one attached */
};

static pid_t reach(const struct upgrade_case *c, struct played *old, struct played *new)
{
	pid_t pid = sx_serve(old), successor;

	sx_upgrade_to("/bin/sh");
	successor = spawned_pid(sx.storage->service.successor);
	if (c->event == NEW_TOO_OLD) {
		if (c->state == UPGRADE_TAKING_OVER)
			sx_kill_process(old, pid, SIGKILL);
		return successor;
	}
	if (c->state >= UPGRADE_HANDING_OVER)
		cr_assert_eq(sx_attach(new, successor, 1), 0);
	if (c->state >= UPGRADE_ENDING)
		service_handed_over(sx.storage, 0);
	if (c->state >= UPGRADE_TAKING_OVER) {
		kill(pid, SIGTERM);
		UNTIL(new->admitted);
	}
	return successor;
}

static bool runs(pid_t pid)
{
	const struct service *s = &sx.storage->service;

	return (s->process && spawned_pid(s->process) == pid) || (s->successor && spawned_pid(s->successor) == pid);
}

static void play(const struct upgrade_case *c, struct played *old, struct played *new, pid_t pid, pid_t successor)
{
	switch (c->event) {
	case OLD_KILLED:
		kill(pid, SIGKILL);
		UNTIL(!runs(pid));
		break;
	case OLD_LOST:
		provider_detach(sx.storage, old);
		break;
	case OLD_REFUSES:
		service_handed_over(sx.storage, -EIO);
		break;
	case NEW_KILLED:
		kill(successor, SIGKILL);
		UNTIL(!runs(successor));
		break;
	case NEW_LOST:
		provider_detach(sx.storage, new);
		UNTIL(!runs(successor)); /* nobody but the service ends it */
		break;
	case NEW_TOO_OLD:
		cr_assert_eq(sx_attach(new, successor, 0), -EPROTO);
		kill(successor, SIGTERM); /* it gives up */
		UNTIL(!runs(successor));
		break;
	}
}

/* Who must end does, who may attach does, until somebody serves and the upgrade is over. */
static void settle(struct played *later)
{
	uint64_t until = clock_now_ns() + 10 * NS_PER_SEC;

	while (!(sx.done && sx.storage->ready) && clock_now_ns() < until) {
		struct service *s = &sx.storage->service;

		cr_assert_eq(loop_run_once(fx.loop, false), 0);
		if (s->leaving && s->process)
			kill(spawned_pid(s->process), SIGTERM);
		else if (s->process && !sx.storage->now.ops)
			cr_assert_eq(sx_attach(later, spawned_pid(s->process), 1), 0);
		else if (sx.storage->now.ops && !sx.storage->ready && s->upgrade != UPGRADE_HANDING_OVER)
			provider_ready(sx.storage);
		usleep(500);
	}
}

Test(service_upgrade, each_event_in_each_state_of_an_upgrade)
{
	for (size_t i = 0; i < sizeof(upgrade_cases) / sizeof(upgrade_cases[0]); i++) {
		const struct upgrade_case *c = &upgrade_cases[i];
		struct played old, new, later;
		pid_t pid, successor;

		if (i) {
			sx_teardown();
			sx_setup();
		}
		sx_add("exec sleep 100");
		successor = reach(c, &old, &new);
		pid = sx_status().pid;
		cr_assert_eq(sx.storage->service.upgrade, c->state, "case %zu: state %d", i,
			     sx.storage->service.upgrade);
		play(c, &old, &new, pid, successor);
		settle(&later);
		cr_assert(sx.done && sx.storage->ready, "case %zu", i);
		cr_assert_eq(sx.outcome.code == 0, c->done, "case %zu: %s", i, sx.outcome.text);
		cr_assert_eq(sx_status().upgrades, c->done, "case %zu", i);
		cr_assert_eq(sx_status().pid == successor, c->done, "case %zu", i);
		cr_assert_eq(sx_status().deaths, c->deaths, "case %zu: %d deaths", i, (int)sx_status().deaths);
	}
}

/* ---- those that hang ---- */

Test(service_upgrade, the_old_one_hangs_while_it_hands_over)
{
	struct played old, new;
	pid_t pid;

	sx.set.patience_ns = SX_PATIENCE_NS;
	sx_add("exec sleep 100");
	pid = sx_serve(&old);
	sx_upgrade_to("/bin/sh");
	cr_assert_eq(sx_attach(&new, spawned_pid(sx.storage->service.successor), 1), 0);
	cr_assert(old.asked_to_hand_over && !new.admitted);
	UNTIL(new.admitted); /* it has not answered, and nobody but the service ends it */
	cr_assert(old.dropped && kill(pid, 0) < 0, "its end comes first");
	cr_assert(!sx.done);
	provider_ready(sx.storage);
	cr_assert(sx.done && sx.outcome.code == 0 && sx_status().upgrades == 1);
	cr_assert_eq(sx_status().deaths, 1, "it has not handed over");
}

Test(service_upgrade, the_old_one_has_handed_over_and_does_not_end)
{
	struct played old, new;
	pid_t pid;

	sx.set.patience_ns = SX_PATIENCE_NS;
	sx_add("exec sleep 100");
	pid = sx_serve(&old);
	sx_upgrade_to("/bin/sh");
	cr_assert_eq(sx_attach(&new, spawned_pid(sx.storage->service.successor), 1), 0);
	service_handed_over(sx.storage, 0);
	UNTIL(new.admitted);
	cr_assert(kill(pid, 0) < 0);
	provider_ready(sx.storage);
	cr_assert(sx.done && sx.outcome.code == 0 && sx_status().upgrades == 1 && sx_status().deaths == 0);
}

Test(service_upgrade, the_new_one_does_not_attach)
{
	struct played old;
	pid_t pid, successor;

	sx.set.patience_ns = SX_PATIENCE_NS;
	sx_add("exec sleep 100");
	pid = sx_serve(&old);
	sx_upgrade_to("/bin/sh");
	successor = spawned_pid(sx.storage->service.successor);
	UNTIL(sx.done);
	cr_assert_eq(sx.outcome.code, -EREMOTEIO);
	cr_assert(kill(successor, 0) < 0);
	cr_assert(sx.storage->ready && sx_status().pid == pid && sx_status().deaths == 0 && !old.asked_to_hand_over);
}

/* It is asked for signs of life only once it serves; then it gives none, or never becomes ready. */
Test(service_upgrade, the_new_one_attaches_and_hangs)
{
	for (int answers = 0; answers < 2; answers++) {
		struct played old, new;
		pid_t pid, successor;

		if (answers) {
			sx_teardown();
			sx_setup();
		}
		sx_add("exec sleep 100");
		pid = sx_serve(&old);
		sx_upgrade_to("/bin/sh");
		successor = spawned_pid(sx.storage->service.successor);
		cr_assert_eq(sx_attach(&new, successor, 1), 0);
		service_handed_over(sx.storage, 0);
		kill(pid, SIGTERM);
		sx.set.ping_ns = SX_PING_NS;
		service_watch_done(sx.storage);
		cr_assert_eq(service_watch_init(sx.storage), 0);
		UNTIL(new.admitted);
		while (!sx.done) {
			cr_assert_eq(loop_run_once(fx.loop, true), 0);
			if (answers && new.pinged && !new.dropped)
				service_answered(sx.storage, "");
			new.pinged = false;
		}
		cr_assert_eq(sx.outcome.code, -EREMOTEIO);
		cr_assert(
			strstr(sx.outcome.text, answers ? "does not become ready: killed" : "does not answer: killed"),
			"%s", sx.outcome.text);
		cr_assert(new.dropped &&kill(successor, 0) < 0);
		sx_serve(&old);
		cr_assert(sx_status().upgrades == 0 && sx_status().pid != successor && !service_cautious(sx.storage));
	}
}

Test(service_upgrade, who_cannot_be_killed_holds_up_the_end)
{
	struct played played, new;
	pid_t pid, successor;

	sx.set.patience_ns = SX_PATIENCE_NS;
	sx_add("exec sleep 100");
	pid = sx_serve(&played);
	sx_upgrade_to("/bin/sh");
	successor = spawned_pid(sx.storage->service.successor);
	cr_assert_eq(sx_attach(&new, successor, 1), 0);
	sx_hold_at_its_end(successor);
	providers_stop(&sx.set);
	cr_assert(sx.done && sx.outcome.code == -ECANCELED && new.refused);
	UNTIL(!sx.storage->service.process);
	cr_assert(kill(pid, 0) < 0 && !providers_stopped(&sx.set));
	UNTIL(strstr(sx_status().message, "was killed and does not end"));
	sx_let_end(successor);
	UNTIL(providers_stopped(&sx.set));
}
