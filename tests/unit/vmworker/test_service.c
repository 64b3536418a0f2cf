// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a provider's processes: who is admitted when, what a death leads to. The helper that starts processes is
 * a real one, and what it starts are shells; that they "attach" is played by the test.
 */
#include "service.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "bus_fixture.h"
#include "daemon/daemon.h"
#include "provider.h"

/* A process that has attached. */
struct played {
	struct provider *provider;
	bool admitted, dropped, refused, asked_to_hand_over;
	bool pinged; /* and has not answered */
	unsigned int pings;
};

static struct providers set;
static struct provider *storage;
static bool failed, done;
static struct err failure, outcome;
static int waiting_fd = -1; /* of who waits to be admitted */

static void on_changed(void *arg)
{
}

static void on_failed(void *arg, const struct err *err)
{
	failed = true;
	failure = *err;
}

static void on_done(void *arg, const struct err *err)
{
	done = true;
	outcome = *err;
}

static void setup(void)
{
	struct err err = {0};
	int fd;

	setenv("BULKHEAD_DEBUG", "1", 1);
	cr_assert_eq(daemon_init("test", NULL, &err), 0);
	fd = spawner_fork(&err);
	cr_assert_geq(fd, 0, "%s", err.text);
	fx_init();
	memset(&set, 0, sizeof(set));
	failed = done = false;
	set = (struct providers){.loop = fx.loop, .bus = fx.bus, .changed = on_changed, .failed = on_failed};
	cr_assert_eq(spawner_new(fx.loop, fd, &set.spawner), 0);
}

static void teardown(void)
{
	/* Processes that are left must not outlive the test. */
	for (size_t i = 0; i < set.count; i++) {
		if (set.at[i].service.process)
			kill(spawned_pid(set.at[i].service.process), SIGKILL);
		if (set.at[i].service.successor)
			kill(spawned_pid(set.at[i].service.successor), SIGKILL);
	}
	providers_done(&set);
	spawner_free(set.spawner);
	fd_close(&waiting_fd);
	fx_done();
}

TestSuite(service, .init = setup, .fini = teardown, .timeout = 30);

static void add(const char *script)
{
	const char *args[] = {"-c", script};
	struct provider_config config = {
		.name = "storage", .program_fd = -1, .program = "vsp-test", .args = args, .nargs = 2};
	struct err err = {0};
	int fd = -1;

	if (script) {
		fd = open("/bin/sh", O_RDONLY | O_CLOEXEC);
		cr_assert_geq(fd, 0);
		config.program_fd = fd;
	}
	cr_assert_eq(providers_add(&set, &config, &err), 0, "%s", err.text);
	fd_close(&fd);
	storage = &set.at[0];
	cr_assert_eq(providers_start(&set, &err), 0, "%s", err.text);
}

/* Run the loop until @what, for @seconds at most. */
#define UNTIL_S(what, seconds)                                                                                         \
	do {                                                                                                           \
		uint64_t until_ = clock_now_ns() + (seconds)*NS_PER_SEC;                                               \
		while (!(what) && clock_now_ns() < until_) {                                                           \
			cr_assert_eq(loop_run_once(fx.loop, false), 0);                                                \
			usleep(500);                                                                                   \
		}                                                                                                      \
		cr_assert(what);                                                                                       \
	} while (0)

#define UNTIL(what) UNTIL_S(what, 5)

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

static int on_ping(void *arg)
{
	struct played *played = arg;

	played->pinged = true;
	played->pings++;
	return 0;
}

static void on_drop(void *arg)
{
	struct played *played = arg;

	played->dropped = true;
}

static const struct provider_ops ops = {
	.admitted = on_admitted, .refused = on_refused, .ping = on_ping, .hand_over = on_hand_over, .drop = on_drop};

static int attach(struct played *played, pid_t pid, uint32_t version)
{
	int pidfd = pidfd_open(pid, 0), r;
	const struct attachment attachment = {
		.ops = &ops,
		.arg = played,
		.pid = pid,
		.pidfd = pidfd < 0 ? -errno : pidfd,
		.block_version = version,
		.state_version = 1,
	};
	struct err err = {0};

	*played = (struct played){0};
	r = provider_attach(&set, "storage", &attachment, &err, &played->provider);
	if (r < 0 || played->admitted || storage->service.program_fd >= 0)
		fd_close(&pidfd);
	else
		waiting_fd = pidfd;
	return r;
}

static struct service_status status(void)
{
	struct service_status s;

	service_status(storage, &s);
	return s;
}

/* The process that runs attaches and is ready. */
static pid_t serve(struct played *played)
{
	pid_t pid;

	UNTIL(storage->service.process);
	pid = status().pid;
	cr_assert_eq(attach(played, pid, 1), 0);
	cr_assert(played->admitted);
	provider_ready(storage);
	cr_assert_eq(status().state, SERVICE_SERVING);
	return pid;
}

static void kill_process(struct played *played, pid_t pid, int signal)
{
	kill(pid, signal);
	UNTIL(!storage->service.process || spawned_pid(storage->service.process) != pid);
	cr_assert(played->dropped);
}

Test(service, the_first_one_ends)
{
	struct err err = {0};

	add("exit 3");
	UNTIL(failed);
	cr_assert_eq(failure.code, -EREMOTEIO);
	cr_assert(strstr(failure.text, "vsp-test ended with status 3"), "%s", failure.text);
	cr_assert(!storage->service.process, "it is not started again by itself");
	failed = false;
	cr_assert_eq(providers_start(&set, &err), 0);
	UNTIL(failed);
}

Test(service, killed_again_and_again_without_a_pause)
{
	struct played played;

	add("sleep 100");
	for (unsigned int i = 0; i < 6; i++) {
		pid_t pid = serve(&played);

		cr_assert_eq(storage->service.attachments, i + 1);
		kill_process(&played, pid, i % 2 ? SIGKILL : SIGTERM);
		cr_assert(!storage->ready && storage->service.process && !storage->service.pausing, "at once");
	}
	cr_assert_eq(status().deaths, 6);
	cr_assert(!service_cautious(storage));
	serve(&played);
	cr_assert(status().last_outage_us > 0);
	cr_assert(strstr(status().message, "was killed by signal"), "%s", status().message);
}

Test(service, own_faults_make_pauses_and_successors_cautious)
{
	struct played played;

	add("sleep 100");
	for (unsigned int i = 0; i < 3; i++) {
		pid_t pid = serve(&played);

		cr_assert(!service_cautious(storage));
		kill_process(&played, pid, SIGSEGV);
		cr_assert(service_at_fault(storage));
		cr_assert_eq(storage->service.pausing, i > 0, "the first restart comes at once");
		cr_assert_eq(status().state, i > 0 ? SERVICE_WAITING : SERVICE_RECOVERING);
	}
	cr_assert(service_cautious(storage));
	kill_process(&played, serve(&played), SIGKILL);
	cr_assert(service_cautious(storage), "that was not its fault, but no sign of health");
	cr_assert(!service_at_fault(storage));
	kill_process(&played, serve(&played), SIGHUP);
	cr_assert(!service_cautious(storage));
}

Test(service, a_strange_process_is_refused)
{
	struct played played, other;

	add("sleep 100");
	cr_assert_eq(attach(&other, getpid(), 1), -EPERM);
	serve(&played);
	cr_assert_eq(attach(&other, getpid(), 1), -EPERM);
	cr_assert_eq(attach(&other, status().pid, 1), -EBUSY);
}

Test(service, a_process_that_loses_its_connection_must_end)
{
	struct played played;
	pid_t pid;

	add("sleep 100");
	pid = serve(&played);
	provider_detach(storage, &played);
	cr_assert_eq(attach(&played, pid, 1), -EBUSY, "it may not come back");
	UNTIL(!storage->service.process || spawned_pid(storage->service.process) != pid);
	cr_assert_eq(status().deaths, 1);
}

Test(service, stop)
{
	struct played played;

	add("sleep 100");
	serve(&played);
	providers_stop(&set);
	cr_assert(played.dropped && !providers_stopped(&set));
	cr_assert_eq(attach(&played, status().pid, 1), -ECANCELED);
	UNTIL(providers_stopped(&set));
}

/* ---- run by somebody else ---- */

static pid_t foreign(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	cr_assert(pid > 0);
	return pid;
}

Test(service, a_successor_waits_for_the_end_of_a_predecessor)
{
	pid_t first = foreign(), second = foreign();
	struct played played, next, third;

	add(NULL);
	cr_assert_eq(attach(&played, first, 1), 0);
	cr_assert(played.admitted);
	cr_assert_eq(attach(&next, second, 1), -EBUSY);
	provider_ready(storage);
	provider_detach(storage, &played);
	cr_assert(!storage->ready);
	cr_assert_eq(attach(&next, second, 1), 0);
	cr_assert_eq(attach(&third, second, 1), -EBUSY);
	for (int i = 0; i < 20; i++) {
		loop_run_once(fx.loop, false);
		usleep(500);
	}
	cr_assert(!next.admitted, "the first one still lives");
	kill(first, SIGKILL);
	UNTIL(next.admitted);
	cr_assert_eq(status().deaths, 1);
	kill(second, SIGKILL);
	waitpid(first, NULL, 0);
	waitpid(second, NULL, 0);
}

/* ---- upgrade ---- */

static void upgrade_to(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	done = false;
	service_upgrade(storage, fd, on_done, NULL);
	fd_close(&fd);
}

Test(service, upgrade)
{
	struct played old, new;
	pid_t pid, successor;

	add("sleep 100");
	pid = serve(&old);
	upgrade_to("/bin/sh");
	cr_assert(!done && storage->ready, "the old one serves on");
	successor = spawned_pid(storage->service.successor);
	cr_assert_eq(attach(&new, successor, 1), 0);
	cr_assert(old.asked_to_hand_over && !new.admitted && !storage->ready);
	cr_assert(!provider_serves(storage, &old));
	service_handed_over(storage, 0);
	cr_assert(old.dropped && !new.admitted, "it must end first");
	kill(pid, SIGTERM);
	UNTIL(new.admitted);
	cr_assert(!done);
	provider_ready(storage);
	cr_assert(done && outcome.code == 0);
	cr_assert_eq(status().pid, successor);
	cr_assert(status().upgrades == 1 && status().deaths == 0);
}

Test(service, the_old_one_refuses_to_hand_over)
{
	struct played old, new;
	pid_t pid;

	add("sleep 100");
	pid = serve(&old);
	upgrade_to("/bin/sh");
	cr_assert_eq(attach(&new, spawned_pid(storage->service.successor), 1), 0);
	service_handed_over(storage, -EBADMSG);
	cr_assert(old.dropped && !new.admitted, "who refuses may still touch memory and images");
	cr_assert(!provider_serves(storage, &old));
	for (int i = 0; i < 20; i++) {
		loop_run_once(fx.loop, false);
		usleep(500);
	}
	cr_assert(!new.admitted && !kill(pid, 0), "it lives");
	UNTIL_S(new.admitted, 20); /* nobody but the service ends it */
	cr_assert(kill(pid, 0) < 0);
	provider_ready(storage);
	cr_assert(done && outcome.code == 0 && status().upgrades == 1);
	cr_assert_eq(status().deaths, 1, "it has not handed over");
}

Test(service, upgrade_to_what_ends_at_once)
{
	struct played old;
	pid_t pid;

	add("sleep 100");
	pid = serve(&old);
	upgrade_to("/bin/false");
	UNTIL(done);
	cr_assert_eq(outcome.code, -EREMOTEIO);
	cr_assert(strstr(outcome.text, "ended with status 1"), "%s", outcome.text);
	cr_assert(storage->ready && status().pid == pid && status().deaths == 0);
}

Test(service, upgrade_to_what_cannot_read_the_state)
{
	struct played old, new;

	add("sleep 100");
	serve(&old);
	upgrade_to("/bin/sh");
	cr_assert_eq(attach(&new, spawned_pid(storage->service.successor), 0), -EPROTO);
	cr_assert(!old.asked_to_hand_over && storage->ready);
	kill(spawned_pid(storage->service.successor), SIGTERM); /* it gives up */
	UNTIL(done);
	cr_assert(outcome.code < 0 && storage->ready);
}

Test(service, the_new_one_ends_before_it_is_ready)
{
	struct played old, new;
	pid_t pid, successor;

	add("sleep 100");
	pid = serve(&old);
	upgrade_to("/bin/sh");
	successor = spawned_pid(storage->service.successor);
	cr_assert_eq(attach(&new, successor, 1), 0);
	service_handed_over(storage, 0);
	kill(pid, SIGTERM);
	UNTIL(new.admitted);
	kill(successor, SIGSEGV);
	UNTIL(done);
	cr_assert(outcome.code < 0 && new.dropped);
	serve(&old);
	cr_assert(status().upgrades == 0 && status().deaths == 0);
}

Test(service, the_old_one_dies_while_it_hands_over)
{
	struct played old, new;
	pid_t pid;

	add("sleep 100");
	pid = serve(&old);
	upgrade_to("/bin/sh");
	cr_assert_eq(attach(&new, spawned_pid(storage->service.successor), 1), 0);
	kill(pid, SIGKILL);
	UNTIL(new.admitted);
	provider_ready(storage);
	cr_assert(done && outcome.code == 0 && status().upgrades == 1 && status().deaths == 1);
}

Test(service, the_old_one_dies_before_the_new_one_attaches)
{
	struct played old, new;
	pid_t pid;

	add("sleep 100");
	pid = serve(&old);
	upgrade_to("/bin/sh");
	kill_process(&old, pid, SIGKILL);
	serve(&new);
	cr_assert(done && outcome.code == 0 && status().upgrades == 1 && status().deaths == 1);
}

Test(service, only_one_upgrade_of_what_is_ours)
{
	struct played old;

	add("sleep 100");
	upgrade_to("/bin/sh");
	cr_assert(done && outcome.code == -EAGAIN, "it does not serve yet");
	serve(&old);
	upgrade_to("/bin/sh");
	cr_assert(!done);
	upgrade_to("/bin/sh");
	cr_assert(done && outcome.code == -EBUSY);
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
	pid_t pid = serve(old), successor;

	upgrade_to("/bin/sh");
	successor = spawned_pid(storage->service.successor);
	if (c->event == NEW_TOO_OLD) {
		if (c->state == UPGRADE_TAKING_OVER)
			kill_process(old, pid, SIGKILL);
		return successor;
	}
	if (c->state >= UPGRADE_HANDING_OVER)
		cr_assert_eq(attach(new, successor, 1), 0);
	if (c->state >= UPGRADE_ENDING)
		service_handed_over(storage, 0);
	if (c->state >= UPGRADE_TAKING_OVER) {
		kill(pid, SIGTERM);
		UNTIL(new->admitted);
	}
	return successor;
}

static bool runs(pid_t pid)
{
	const struct service *s = &storage->service;

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
		provider_detach(storage, old);
		break;
	case OLD_REFUSES:
		service_handed_over(storage, -EIO);
		break;
	case NEW_KILLED:
		kill(successor, SIGKILL);
		UNTIL(!runs(successor));
		break;
	case NEW_LOST:
		provider_detach(storage, new);
		UNTIL(!runs(successor)); /* nobody but the service ends it */
		break;
	case NEW_TOO_OLD:
		cr_assert_eq(attach(new, successor, 0), -EPROTO);
		kill(successor, SIGTERM); /* it gives up */
		UNTIL(!runs(successor));
		break;
	}
}

/* Who must end does, who may attach does, until somebody serves and the upgrade is over. */
static void settle(struct played *later)
{
	uint64_t until = clock_now_ns() + 10 * NS_PER_SEC;

	while (!(done && storage->ready) && clock_now_ns() < until) {
		struct service *s = &storage->service;

		cr_assert_eq(loop_run_once(fx.loop, false), 0);
		if (s->leaving && s->process)
			kill(spawned_pid(s->process), SIGTERM);
		else if (s->process && !storage->now.ops)
			cr_assert_eq(attach(later, spawned_pid(s->process), 1), 0);
		else if (storage->now.ops && !storage->ready && s->upgrade != UPGRADE_HANDING_OVER)
			provider_ready(storage);
		usleep(500);
	}
}

Test(service, each_event_in_each_state_of_an_upgrade)
{
	for (size_t i = 0; i < sizeof(upgrade_cases) / sizeof(upgrade_cases[0]); i++) {
		const struct upgrade_case *c = &upgrade_cases[i];
		struct played old, new, later;
		pid_t pid, successor;

		if (i) {
			teardown();
			setup();
		}
		add("sleep 100");
		successor = reach(c, &old, &new);
		pid = status().pid;
		cr_assert_eq(storage->service.upgrade, c->state, "case %zu: state %d", i, storage->service.upgrade);
		play(c, &old, &new, pid, successor);
		settle(&later);
		cr_assert(done && storage->ready, "case %zu", i);
		cr_assert_eq(outcome.code == 0, c->done, "case %zu: %s", i, outcome.text);
		cr_assert_eq(status().upgrades, c->done, "case %zu", i);
		cr_assert_eq(status().pid == successor, c->done, "case %zu", i);
		cr_assert_eq(status().deaths, c->deaths, "case %zu: %d deaths", i, (int)status().deaths);
	}
}

/* ---- those that hang ---- */

#define PING_NS (5 * NS_PER_MS)

/* The process goes on answering, @waits, for so many pings that a silent one would have been killed long ago. */
static void answer_pings(struct played *played, const char *waits)
{
	unsigned int until = played->pings + 4 * SERVICE_HANG_PINGS;

	while (played->pings < until) {
		cr_assert_eq(loop_run_once(fx.loop, true), 0);
		if (!played->pinged)
			continue;
		played->pinged = false;
		service_answered(storage, waits);
	}
}

Test(service, who_does_not_answer_is_replaced)
{
	struct played played;
	pid_t pid;

	set.ping_ns = PING_NS;
	add("sleep 100");
	pid = serve(&played);
	answer_pings(&played, "");
	cr_assert(storage->ready && status().pid == pid && status().hangs == 0);
	UNTIL(status().hangs);
	cr_assert(played.dropped && played.pinged && status().deaths == 1 && status().pid != pid);
	cr_assert(strstr(status().message, "does not answer: killed"), "%s", status().message);
	cr_assert(kill(pid, 0) < 0, "its end comes before the next one");
	serve(&played);
	cr_assert_geq(status().last_outage_us, SERVICE_HANG_PINGS * PING_NS / 1000, "since its last sign of life");
	answer_pings(&played, "");
	cr_assert(storage->ready && status().hangs == 1);
}

Test(service, a_stopped_process_is_replaced)
{
	struct played played;
	pid_t pid;

	set.ping_ns = PING_NS;
	add("sleep 100");
	pid = serve(&played);
	kill(pid, SIGSTOP);
	UNTIL(status().hangs == 1 && status().pid != pid);
}

Test(service, who_hangs_again_and_again_has_cautious_successors)
{
	struct played played;

	set.ping_ns = PING_NS;
	add("sleep 100");
	for (unsigned int i = 1; i <= SERVICE_FAULTS_MAX; i++) {
		cr_assert(!service_cautious(storage));
		serve(&played);
		UNTIL(status().hangs == i);
	}
	cr_assert(service_cautious(storage));
}

Test(service, who_waits_for_its_predecessors_io_is_left_in_peace)
{
	struct played played;
	pid_t pid;

	set.ping_ns = PING_NS;
	add("sleep 100");
	kill_process(&played, serve(&played), SIGKILL);
	UNTIL(storage->service.process);
	pid = status().pid;
	cr_assert_eq(attach(&played, pid, 1), 0);
	answer_pings(&played, "a slow disk");
	cr_assert_eq(status().pid, pid);
	cr_assert_str_eq(status().message, "a slow disk");
	/* It does not say so any more, and still is not ready. */
	while (!status().hangs) {
		cr_assert_eq(loop_run_once(fx.loop, true), 0);
		service_answered(storage, "");
	}
	cr_assert(strstr(status().message, "does not become ready"), "%s", status().message);
}

Test(service, the_first_one_does_not_attach)
{
	set.ping_ns = PING_NS;
	add("sleep 100");
	UNTIL(failed);
	cr_assert(strstr(failure.text, "does not attach: killed"), "%s", failure.text);
}

Test(service, one_that_is_not_ours_hangs)
{
	struct played played, next;
	pid_t pid = foreign();
	int how;

	set.ping_ns = PING_NS;
	add(NULL);
	cr_assert_eq(attach(&played, pid, 1), 0);
	provider_ready(storage);
	UNTIL(status().hangs);
	cr_assert(played.dropped && !storage->ready && status().deaths == 1);
	cr_assert_eq(waitpid(pid, &how, 0), pid);
	cr_assert(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
	cr_assert_eq(attach(&next, getpid(), 1), 0);
	UNTIL(next.admitted);
}

Test(service, one_that_we_cannot_kill_is_dropped)
{
	struct played played;
	pid_t pid = foreign();

	set.ping_ns = PING_NS;
	add(NULL);
	cr_assert_eq(attach(&played, pid, 1), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	UNTIL(status().hangs);
	cr_assert(played.dropped && !storage->now.ops);
	cr_assert(strstr(status().message, "cannot be killed"), "%s", status().message);
}

/* Its number may be another one's by now: nobody could wait for its end. */
Test(service, one_that_has_ended_is_not_admitted)
{
	struct played played;
	pid_t pid = foreign();

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	add(NULL);
	cr_assert_eq(attach(&played, pid, 1), -ESRCH);
	cr_assert(!played.admitted && !storage->now.ops && !storage->next.ops);
}

Test(service, who_waits_is_refused_at_the_end)
{
	pid_t first = foreign(), second = foreign();
	struct played played, next;

	add(NULL);
	cr_assert_eq(attach(&played, first, 1), 0);
	provider_detach(storage, &played);
	cr_assert_eq(attach(&next, second, 1), 0);
	providers_stop(&set);
	cr_assert(next.refused && providers_stopped(&set));
	kill(first, SIGKILL);
	kill(second, SIGKILL);
	UNTIL(storage->service.before_fd < 0);
	cr_assert(!next.admitted);
	waitpid(first, NULL, 0);
	waitpid(second, NULL, 0);
}

#define PATIENCE_NS (20 * NS_PER_MS)

Test(service, the_old_one_hangs_while_it_hands_over)
{
	struct played old, new;
	pid_t pid;

	set.patience_ns = PATIENCE_NS;
	add("sleep 100");
	pid = serve(&old);
	upgrade_to("/bin/sh");
	cr_assert_eq(attach(&new, spawned_pid(storage->service.successor), 1), 0);
	cr_assert(old.asked_to_hand_over && !new.admitted);
	UNTIL(new.admitted); /* it has not answered, and nobody but the service ends it */
	cr_assert(old.dropped && kill(pid, 0) < 0, "its end comes first");
	cr_assert(!done);
	provider_ready(storage);
	cr_assert(done && outcome.code == 0 && status().upgrades == 1);
	cr_assert_eq(status().deaths, 1, "it has not handed over");
}

Test(service, the_old_one_has_handed_over_and_does_not_end)
{
	struct played old, new;
	pid_t pid;

	set.patience_ns = PATIENCE_NS;
	add("sleep 100");
	pid = serve(&old);
	upgrade_to("/bin/sh");
	cr_assert_eq(attach(&new, spawned_pid(storage->service.successor), 1), 0);
	service_handed_over(storage, 0);
	UNTIL(new.admitted);
	cr_assert(kill(pid, 0) < 0);
	provider_ready(storage);
	cr_assert(done && outcome.code == 0 && status().upgrades == 1 && status().deaths == 0);
}

Test(service, the_new_one_does_not_attach)
{
	struct played old;
	pid_t pid, successor;

	set.patience_ns = PATIENCE_NS;
	add("sleep 100");
	pid = serve(&old);
	upgrade_to("/bin/sh");
	successor = spawned_pid(storage->service.successor);
	UNTIL(done);
	cr_assert_eq(outcome.code, -EREMOTEIO);
	cr_assert(kill(successor, 0) < 0);
	cr_assert(storage->ready && status().pid == pid && status().deaths == 0 && !old.asked_to_hand_over);
}

/* It is asked for signs of life only once it serves; then it gives none, or never becomes ready. */
Test(service, the_new_one_attaches_and_hangs)
{
	for (int answers = 0; answers < 2; answers++) {
		struct played old, new;
		pid_t pid, successor;

		if (answers) {
			teardown();
			setup();
		}
		add("sleep 100");
		pid = serve(&old);
		upgrade_to("/bin/sh");
		successor = spawned_pid(storage->service.successor);
		cr_assert_eq(attach(&new, successor, 1), 0);
		service_handed_over(storage, 0);
		kill(pid, SIGTERM);
		set.ping_ns = PING_NS;
		service_watch_done(storage);
		cr_assert_eq(service_watch_init(storage), 0);
		UNTIL(new.admitted);
		while (!done) {
			cr_assert_eq(loop_run_once(fx.loop, true), 0);
			if (answers && new.pinged && !new.dropped)
				service_answered(storage, "");
			new.pinged = false;
		}
		cr_assert_eq(outcome.code, -EREMOTEIO);
		cr_assert(strstr(outcome.text, answers ? "does not become ready: killed" : "does not answer: killed"),
			  "%s", outcome.text);
		cr_assert(new.dropped &&kill(successor, 0) < 0);
		serve(&old);
		cr_assert(status().upgrades == 0 && status().pid != successor && !service_cautious(storage));
	}
}

/* ---- those that do not even end when they are killed ---- */

/* A process that is traced so stops on its way out, whatever it is sent, until we let it go: as one that waits for a
 * disk in the kernel. */
static void hold_at_its_end(pid_t pid)
{
	cr_assert_eq(ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACEEXIT), 0, "%s", strerror(errno));
}

static void let_end(pid_t pid)
{
	int how;

	cr_assert_eq(waitpid(pid, &how, __WALL), pid);
	cr_assert(WIFSTOPPED(how));
	cr_assert_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	cr_assert_eq(waitpid(pid, &how, __WALL), pid);
}

Test(service, who_cannot_be_killed_is_waited_for)
{
	struct played played, next;
	pid_t pid;

	set.patience_ns = PATIENCE_NS;
	add("sleep 100");
	pid = serve(&played);
	hold_at_its_end(pid);
	provider_detach(storage, &played);
	UNTIL(strstr(status().message, "was killed and does not end: it waits in the kernel"));
	cr_assert_eq(attach(&next, pid, 1), -EBUSY);
	cr_assert_eq(status().pid, pid, "no successor: it may still write");
	let_end(pid);
	UNTIL(storage->service.process && status().pid != pid);
	serve(&next);
}

Test(service, who_cannot_be_killed_holds_up_the_end)
{
	struct played played, new;
	pid_t pid, successor;

	set.patience_ns = PATIENCE_NS;
	add("sleep 100");
	pid = serve(&played);
	upgrade_to("/bin/sh");
	successor = spawned_pid(storage->service.successor);
	cr_assert_eq(attach(&new, successor, 1), 0);
	hold_at_its_end(successor);
	providers_stop(&set);
	cr_assert(done && outcome.code == -ECANCELED && new.refused);
	UNTIL(!storage->service.process);
	cr_assert(kill(pid, 0) < 0 && !providers_stopped(&set));
	UNTIL(strstr(status().message, "was killed and does not end"));
	let_end(successor);
	UNTIL(providers_stopped(&set));
}

/* ---- keepsakes ---- */

Test(service, keepsakes)
{
	char key[VSP_KEY_MAX + 2];
	static uint8_t data[VSP_KEEPSAKE_MAX + 1];
	struct err err = {0};
	int fd = dup(0);

	add(NULL);
	cr_assert_eq(provider_keep(storage, "ring", "abc", 3, fd, &err), 0);
	cr_assert_eq(provider_keep(storage, "ring", "de", 2, dup(0), &err), 0);
	cr_assert(storage->keepsakes == 1 && storage->keepsake[0].len == 2 && storage->keepsake[0].data[0] == 'd');
	cr_assert(fcntl(fd, F_GETFD) < 0, "the one before is closed");
	cr_assert_eq(provider_keep(storage, "", "", 0, 0, &err), -EINVAL);
	memset(key, 'k', sizeof(key));
	key[sizeof(key) - 1] = '\0';
	cr_assert_eq(provider_keep(storage, key, "", 0, 0, &err), -EINVAL);
	cr_assert(strstr(err.text, "1 to 31 bytes"), "%s", err.text);
	cr_assert_eq(provider_keep(storage, "big", data, sizeof(data), 0, &err), -EINVAL);
	for (unsigned int i = 1; i < VSP_KEEPSAKES_MAX; i++) {
		key[2] = '\0';
		key[1] = (char)('0' + i);
		cr_assert_eq(provider_keep(storage, key, data, sizeof(data) - 1, dup(0), &err), 0);
	}
	cr_assert_eq(provider_keep(storage, "one too many", "", 0, 0, &err), -ENOSPC);
}
