/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's processes as units, against a service manager of the test's own: what it is asked, and what becomes of each
 * answer. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dbus/conn.h"
#include "fake_systemd.h"
#include "fixture.h"
#include "launcher.h"
#include "scratch.h"

#define UUID	 "0b0c1d2e-0000-4000-8000-00000000000a"
#define INSTANCE "@0b0c1d2e\\x2d0000\\x2d4000\\x2d8000\\x2d00000000000a.service"
#define UNIT	 "vmworker" INSTANCE
#define LATE	 4242u /* a pid that is not the process's any more */

static struct test_bus daemon_of_test;
static struct loop *loop;
static struct msgbus *bus;
static struct launcher launcher;
static struct launched *process;
static char base[PATH_MAX], why[256];
static pid_t systemd, child;
static unsigned int readies, ends;
static struct err err;

static void on_ready(struct launched *p, void *arg)
{
	cr_assert_eq(p, process);
	readies++;
}

static void on_ended(struct launched *p, const char *text, void *arg)
{
	cr_assert_eq(p, process);
	cr_assert_eq(arg, &launcher);
	snprintf(why, sizeof(why), "%s", text);
	ends++;
}

static const struct launch_events events = {on_ready, on_ended};

/* A process to be watched. */
static pid_t start_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void setup(void)
{
	char folder[PATH_MAX + 64];

	test_bus_start(&daemon_of_test);
	scratch_new(base, sizeof(base));
	snprintf(folder, sizeof(folder), "%s/" UUID, base);
	cr_assert_eq(mkdir(folder, 0700), 0);
	systemd = fake_systemd_start(daemon_of_test.address, UNIT);
	child = start_child();
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(msgbus_open(loop, daemon_of_test.address, &err, &bus), 0, "%s", err.text);
	cr_assert_eq(launcher_systemd_init(&launcher, loop, bus, base, &err), 0, "%s", err.text);
}

static void teardown(void)
{
	if (process)
		launcher.ops->release(process);
	launcher_systemd_done(&launcher);
	msgbus_free(bus);
	loop_free(loop);
	kill(systemd, SIGKILL);
	waitpid(systemd, NULL, 0);
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	scratch_remove(base);
	test_bus_stop(&daemon_of_test);
}

TestSuite(launcher_systemd, .init = setup, .fini = teardown, .timeout = 60);

static int start(const char *vm, const char *unit_args)
{
	const struct launch_request request = {
		.program = "vmworker", .uuid = UUID, .vm = vm, .unit_args = unit_args, .log_fd = -1};

	return launcher.ops->start(&launcher, &request, &events, &launcher, &err, &process);
}

/* One of a VM that has run before. */
static int start_after(const struct fake_plan *plan, bool own)
{
	static const char *const clears[] = {"vsp-storaged", "vmworker", NULL};
	const struct launch_request request = {.program = "vmworker",
					       .uuid = UUID,
					       .vm = "web",
					       .clears = clears,
					       .clear_ms = 500,
					       .clears_own = own,
					       .log_fd = -1};

	fake_systemd_plan(bus, plan);
	return launcher.ops->start(&launcher, &request, &events, &launcher, &err, &process);
}

static int start_again(const struct fake_plan *plan)
{
	return start_after(plan, false);
}

static void until(const unsigned int *count)
{
	while (!*count)
		cr_assert_eq(loop_run_once(loop, true), 0);
}

/* Its unit is planned like this: it is started, and does not come to serve. */
static const char *fails(const struct fake_plan *plan)
{
	fake_systemd_plan(bus, plan);
	cr_assert_eq(start("web", NULL), 0, "%s", err.text);
	until(&ends);
	cr_assert_eq(readies, 0);
	cr_assert_eq(ends, 1);
	return why;
}

/* It is started, and serves. */
static void serves(struct fake_plan *plan)
{
	plan->job = "done";
	plan->pid = (uint32_t)child;
	fake_systemd_plan(bus, plan);
	cr_assert_eq(start("web", NULL), 0, "%s", err.text);
	cr_assert_eq(launcher.ops->id(process).pid, 0);
	until(&readies);
	cr_assert_eq(launcher.ops->id(process).pid, child);
	cr_assert_eq(ends, 0);
}

/* ... and then it ends, and this is what the manager knows of it. */
static const char *ends_with(struct fake_plan *plan)
{
	fake_systemd_plan(bus, plan);
	launcher.ops->kill(process);
	until(&ends);
	cr_assert_eq(readies, 1);
	cr_assert_eq(ends, 1);
	waitpid(child, NULL, 0);
	child = 0;
	return why;
}

/* Each question is a round trip on our connection: what was sent before has arrived. */
static bool heard(const char *line)
{
	char text[2048];

	fake_systemd_heard(bus, text, sizeof(text));
	return strstr(text, line);
}

static void read_file(const char *name, char *ret, size_t size)
{
	char path[PATH_MAX + 128];
	struct stat st;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/" UUID "/%s", base, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	n = read(fd, ret, size - 1);
	cr_assert_geq(n, 0);
	ret[n] = 0;
	close(fd);
}

/* ---- its start ---- */

Test(launcher_systemd, what_is_asked_for_a_start)
{
	struct fake_plan plan = {0};
	char text[512];

	cr_assert(launcher.ops->runs_services);
	serves(&plan);
	fake_systemd_heard(bus, text, sizeof(text));
	cr_assert_str_eq(text, "Subscribe\nStartUnit " UNIT " replace\nGetAll\n");
	read_file("vmworker.env", text, sizeof(text));
	cr_assert_str_eq(text, "BULKHEAD_VM=\"web\"\nBULKHEAD_ARGS=\"\"\n");
}

/* What is not ours writes to the journal, where people are told to look. */
Test(launcher_systemd, what_is_not_ours)
{
	const char *const args[] = {"-f", NULL};
	const struct launch_request request = {.program = "passt",
					       .path = "/usr/bin/passt",
					       .args = args,
					       .uuid = UUID,
					       .vm = "web",
					       .unit = "net0",
					       .log_fd = -1};

	cr_assert_eq(launcher.ops->start(&launcher, &request, &events, &launcher, &err, &process), 0, "%s", err.text);
	until(&ends);
	cr_assert(strstr(why, "No such program."), "%s", why);
	cr_assert(heard("StartTransientUnit bulkhead-passt-" UUID "-net0.service replace"));
	cr_assert(heard(" LogExtraFields BULKHEAD_VM=web"));
	cr_assert(heard(" LogExtraFields BULKHEAD_DEVICE=net0"));
	cr_assert(heard(" StandardInputFileDescriptor"));
	cr_assert(!heard(" StandardOutput"), "it is the journal's");
}

/* ---- what an earlier run has left ---- */

/* All of it has ended before there is a worker to which it could attach; what is started before the worker has not. */
Test(launcher_systemd, units_are_busy_with_an_earlier_run)
{
	const struct fake_plan plan = {.job = "done", .pid = (uint32_t)child, .left = true};
	char text[512];

	cr_assert_eq(start_again(&plan), 0, "%s", err.text);
	while (!readies && !ends)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(ends, 0, "%s", why);
	cr_assert_eq(launcher.ops->id(process).pid, child);
	fake_systemd_heard(bus, text, sizeof(text));
	cr_assert_str_eq(text, "Subscribe\nStopUnit vsp-storaged" INSTANCE " ignore-requirements\nStopUnit " UNIT
			       " ignore-requirements\nStartUnit " UNIT " replace\nGetAll\n");
}

Test(launcher_systemd, earlier_run_does_not_end)
{
	const struct fake_plan plan = {.stuck = true};

	cr_assert_eq(start_again(&plan), 0, "%s", err.text);
	until(&ends);
	cr_assert_eq(readies, 0);
	cr_assert(strstr(why, "vsp-storaged" INSTANCE " of its last run does not end"), "%s", why);
	cr_assert(!heard("StopUnit " UNIT), "one after the other");
	cr_assert(!heard("StartUnit"));
}

static void is_killed_while_clearing(const struct fake_plan *plan, bool own)
{
	cr_assert_eq(start_after(plan, own), 0, "%s", err.text);
	launcher.ops->kill(process);
	cr_assert_eq(ends, 0);
	until(&ends);
	cr_assert_eq(readies, 0);
	cr_assert(!heard("StartUnit"));
}

Test(launcher_systemd, killed_while_an_earlier_run_ends)
{
	const struct fake_plan plan = {.job = "done", .pid = (uint32_t)child, .left = true};

	is_killed_while_clearing(&plan, false);
}

/* There is nothing of this run whose end could be waited for. */
Test(launcher_systemd, killed_while_an_earlier_run_does_not_end)
{
	const struct fake_plan plan = {.stuck = true};

	is_killed_while_clearing(&plan, false);
	cr_assert_str_eq(why, "ended");
}

Test(launcher_systemd, killed_while_what_is_of_its_own_run_does_not_end)
{
	const struct fake_plan plan = {.stuck = true};

	is_killed_while_clearing(&plan, true);
	cr_assert(strstr(why, "vsp-storaged" INSTANCE " does not end"), "%s", why);
}

Test(launcher_systemd, killed_while_what_is_of_its_own_run_ends)
{
	const struct fake_plan plan = {.job = "done", .pid = (uint32_t)child, .left = true};

	is_killed_while_clearing(&plan, true);
	cr_assert_str_eq(why, "ended");
}

Test(launcher_systemd, environment_is_quoted)
{
	char text[512];

	cr_assert_eq(start("a \"b\" $HOME `id` \\", "--engine io_uring"), 0);
	read_file("vmworker.env", text, sizeof(text));
	cr_assert_str_eq(text, "BULKHEAD_VM=\"a \\\"b\\\" \\$HOME \\`id\\` \\\\\"\n"
			       "BULKHEAD_ARGS=\"--engine io_uring\"\n");
}

Test(launcher_systemd, no_folder_for_the_environment)
{
	scratch_remove(base);
	cr_assert_eq(start("web", NULL), -ENOENT);
	cr_assert(strstr(err.text, UUID "/vmworker.env: cannot be written: No such file"), "%s", err.text);
	cr_assert_null(process);
	cr_assert(!heard("StartUnit"));
}

Test(launcher_systemd, start_is_refused)
{
	const struct fake_plan plan = {.refuse = "Unit vmworker@.service not found."};

	cr_assert_str_eq(fails(&plan), "could not be started: Unit vmworker@.service not found.");
}

Test(launcher_systemd, manager_is_not_there)
{
	kill(systemd, SIGKILL);
	waitpid(systemd, NULL, 0);
	cr_assert_eq(start("web", NULL), 0);
	until(&ends);
	cr_assert(strstr(why, "could not be started: "), "%s", why);
	cr_assert(strstr(why, "org.freedesktop.systemd1"), "%s", why);
}

Test(launcher_systemd, manager_goes_while_the_job_is_asked_for)
{
	/* It is stopped, so that the call is under way when it ends. */
	kill(systemd, SIGSTOP);
	cr_assert_eq(waitpid(systemd, NULL, WUNTRACED), systemd);
	cr_assert_eq(start("web", NULL), 0);
	msgbus_flush(bus);
	kill(systemd, SIGKILL);
	waitpid(systemd, NULL, 0);
	until(&ends);
	cr_assert_eq(strncmp(why, "could not be started: ", 22), 0, "%s", why);
}

Test(launcher_systemd, job_fails_as_the_unit_knows)
{
	const struct fake_plan plan = {.job = "failed", .code = CLD_EXITED, .status = 203, .result = "exit-code"};

	cr_assert_str_eq(fails(&plan), "ended with status 203");
	cr_assert(heard("ResetFailedUnit " UNIT "\n"));
}

Test(launcher_systemd, job_fails_before_there_was_a_process)
{
	const struct fake_plan plan = {.job = "failed", .result = "resources"};

	cr_assert_str_eq(fails(&plan), "could not be started (resources)");
}

/* A job that was not run says nothing in the unit. */
Test(launcher_systemd, job_is_not_run)
{
	const struct fake_plan plan = {.job = "dependency"};

	cr_assert_str_eq(fails(&plan), "could not be started (the job's result is dependency)");
}

Test(launcher_systemd, job_fails_and_the_unit_is_gone)
{
	const struct fake_plan plan = {.job = "canceled", .gone = true};

	cr_assert_str_eq(fails(&plan), "could not be started (the job's result is canceled)");
}

Test(launcher_systemd, job_is_done_but_the_process_has_ended)
{
	const struct fake_plan plan = {.job = "done", .code = CLD_KILLED, .status = SIGSYS, .result = "signal"};

	cr_assert_str_eq(fails(&plan), "was killed by signal 31 (SYS)");
}

Test(launcher_systemd, job_is_done_but_the_unit_is_gone)
{
	const struct fake_plan plan = {.job = "done", .gone = true};

	cr_assert_str_eq(fails(&plan), "ended");
}

/* The unit's own limit comes first; this is for a manager that does not hold it. */
Test(launcher_systemd, job_takes_too_long)
{
	const struct fake_plan plan = {0};

	cr_assert_str_eq(fails(&plan), "was not ready in time");
	cr_assert(heard("StopUnit " UNIT " replace\n"));
}

Test(launcher_systemd, killed_before_it_is_ready)
{
	const struct fake_plan plan = {0};

	fake_systemd_plan(bus, &plan);
	cr_assert_eq(start("web", NULL), 0);
	while (!heard("StartUnit")) /* and the answer is here with that one's */
		cr_assert_eq(loop_run_once(loop, false), 0);
	loop_run_once(loop, false);
	launcher.ops->kill(process);
	until(&ends);
	cr_assert(heard("StopUnit " UNIT " replace\n"));
	cr_assert_str_eq(why, "could not be started (the job's result is canceled)");
}

Test(launcher_systemd, released_while_an_answer_is_under_way)
{
	const struct fake_plan plan = {.job = "failed", .result = "resources"};

	fake_systemd_plan(bus, &plan);
	cr_assert_eq(start("web", NULL), 0);
	launcher.ops->release(process);
	process = NULL;
	while (!heard("StartUnit"))
		cr_assert_eq(loop_run_once(loop, false), 0);
	for (int i = 0; i < 10; i++)
		loop_run_once(loop, false);
	cr_assert_eq(readies + ends, 0);
	cr_assert(!heard("GetAll"));
}

/* ---- its end ---- */

Test(launcher_systemd, how_it_ended)
{
	struct fake_plan plan = {0};

	serves(&plan);
	plan.code = CLD_EXITED;
	plan.status = 1;
	plan.result = "exit-code";
	cr_assert_str_eq(ends_with(&plan), "ended with status 1");
	cr_assert(heard("ResetFailedUnit " UNIT "\n"));
}

Test(launcher_systemd, killed)
{
	struct fake_plan plan = {0};

	serves(&plan);
	plan.code = CLD_KILLED;
	plan.status = SIGKILL;
	plan.result = "signal";
	plan.unaware = 2; /* it is asked again */
	cr_assert_str_eq(ends_with(&plan), "was killed by signal 9 (KILL)");
}

Test(launcher_systemd, manager_does_not_notice_the_end)
{
	struct fake_plan plan = {0};

	serves(&plan);
	plan.code = CLD_EXITED;
	plan.unaware = 1000;
	cr_assert_str_eq(ends_with(&plan), "ended");
}

Test(launcher_systemd, next_one_runs_already)
{
	struct fake_plan plan = {0};

	serves(&plan);
	plan.pid = LATE;
	plan.code = CLD_EXITED; /* of whom? */
	plan.status = 1;
	cr_assert_str_eq(ends_with(&plan), "ended");
}

Test(launcher_systemd, unit_is_gone_at_the_end)
{
	struct fake_plan plan = {0};

	serves(&plan);
	plan.gone = true;
	cr_assert_str_eq(ends_with(&plan), "ended");
}

Test(launcher_systemd, manager_is_gone_at_the_end)
{
	struct fake_plan plan = {0};

	serves(&plan);
	kill(systemd, SIGKILL);
	waitpid(systemd, NULL, 0);
	launcher.ops->kill(process);
	until(&ends);
	cr_assert_str_eq(why, "ended");
}

/* ---- what an earlier one has started ---- */

Test(launcher_systemd, adopted)
{
	struct launch_id id;

	cr_assert_eq(launch_identity(child, &id), 0);
	cr_assert_eq(launcher.ops->adopt(&launcher, &id, &events, &launcher, &process), 0);
	cr_assert_eq(launcher.ops->id(process).pid, child);
	launcher.ops->kill(process);
	until(&ends);
	cr_assert_str_eq(why, "ended"); /* it is in no unit that this manager knows */
	cr_assert_eq(readies, 0);
}

Test(launcher_systemd, who_is_gone_is_not_adopted)
{
	struct launch_id id;

	cr_assert_eq(launch_identity(child, &id), 0);
	id.start_time++;
	cr_assert_eq(launcher.ops->adopt(&launcher, &id, &events, &launcher, &process), -ESRCH);
	cr_assert_null(process);
}

Test(launcher_systemd, who_is_in_no_such_unit_serves_no_vm)
{
	struct launch_id id;

	cr_assert_lt(launcher.ops->identify(child, getpid(), &id), 0);
}

Test(launcher_systemd, host_without_systemd)
{
	struct launcher other = {0};

	kill(systemd, SIGKILL);
	waitpid(systemd, NULL, 0);
	cr_assert_lt(launcher_systemd_init(&other, loop, bus, base, &err), 0);
	cr_assert(strstr(err.text, "org.freedesktop.systemd1"), "%s", err.text);
	launcher_systemd_done(&other); /* nothing is done */
}
