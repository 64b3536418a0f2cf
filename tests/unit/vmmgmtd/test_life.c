/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of a VM's life that need no VM: its last words, the pause before it starts again, who descends from whom. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker.h"
#include "ended.h"
#include "launcher.h"
#include "runtime.h"
#include "scratch.h"
#include "vm_int.h"

Test(last, words_of_a_worker)
{
	char reason[16];
	bool crashed = true;

	cr_assert_eq(runtime_parse_last("off\nguest power-off\n", &crashed, reason, sizeof(reason)), 0);
	cr_assert(!crashed);
	cr_assert_str_eq(reason, "guest power-off");
	cr_assert_eq(runtime_parse_last("crashed\nguest panic", &crashed, reason, sizeof(reason)), 0);
	cr_assert(crashed);
	cr_assert_str_eq(reason, "guest panic");
	cr_assert_eq(runtime_parse_last("off\nmuch more than fits in\n", &crashed, reason, sizeof(reason)), 0);
	cr_assert_str_eq(reason, "much more than ");
	cr_assert_eq(runtime_parse_last("off\na\tb\033c\n", &crashed, reason, sizeof(reason)), 0);
	cr_assert_str_eq(reason, "a?b?c");
}

Test(last, nonsense_is_refused)
{
	static const char *const texts[] = {"", "\n", "off", "off\n", "off\n\nx", "crashed", "offside\nx\n", "on\nx\n"};
	char reason[16];
	bool crashed;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		cr_expect_eq(runtime_parse_last(texts[i], &crashed, reason, sizeof(reason)), -EINVAL, "%zu", i);
}

Test(again, pauses_double_while_runs_are_short)
{
	uint64_t pause = 0;

	for (unsigned int s = 1; s <= 32; s *= 2) {
		pause = vm_again_pause(pause, NS_PER_SEC);
		cr_assert_eq(pause, s * NS_PER_SEC);
	}
	pause = vm_again_pause(pause, 0);
	cr_assert_eq(pause, 60 * NS_PER_SEC);
	cr_assert_eq(vm_again_pause(pause, 9 * NS_PER_SEC), 60 * NS_PER_SEC);
	cr_assert_eq(vm_again_pause(pause, 10 * NS_PER_SEC), NS_PER_SEC);
}

Test(identify, only_descendants)
{
	struct launch_id id = {0};
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	cr_assert_gt(child, 0);
	cr_assert_eq(launch_identify(child, getpid(), &id), 0);
	cr_assert_eq(id.pid, child);
	cr_assert_gt(id.start_time, 0);
	cr_assert_eq(launch_identify(child, getppid(), &id), 0);
	cr_assert_eq(launch_identify(getpid(), child, &id), -EPERM);
	cr_assert_eq(launch_identify(0, getpid(), &id), -ESRCH);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	cr_assert_eq(launch_identify(child, getpid(), &id), -ESRCH);
}

Test(identify, by_its_arguments)
{
	struct launch_id id = {0};
	int fds[2], tries = 0;
	pid_t child;

	cr_assert_eq(pipe(fds), 0);
	child = fork();
	if (child == 0) {
		dup2(fds[0], 0);
		close(fds[1]);
		execl("/bin/sh", "test-program", "-c", "read line", "/some/folder", NULL);
		_exit(1);
	}
	close(fds[0]);
	while (launch_find("test-program", "/some/folder", &id) < 0 && tries++ < 1000)
		usleep(10000);
	cr_expect_eq(id.pid, child);
	cr_expect_gt(id.start_time, 0);
	cr_expect_eq(launch_find("test-program", "/some", &id), -ESRCH);
	cr_expect_eq(launch_find("test", "/some/folder", &id), -ESRCH);
	close(fds[1]);
	waitpid(child, NULL, 0);
	cr_assert_eq(launch_find("test-program", "/some/folder", &id), -ESRCH);
}

Test(program, must_be_executable)
{
	struct err err = {0};
	int fd = -1;

	cr_assert_eq(broker_open_program("/bin/sh", &err, &fd), 0);
	close(fd);
	cr_assert_eq(broker_open_program("/etc/passwd", &err, &fd), -EACCES);
	cr_assert(strstr(err.text, "not executable"));
	cr_assert_eq(broker_open_program("/usr/bin/ldd", &err, &fd), -ENOEXEC);
	cr_assert_eq(broker_open_program("/bin", &err, &fd), -EISDIR);
	cr_assert_eq(broker_open_program("/nonexistent", &err, &fd), -ENOENT);
}

#define STATE_UUID "0f1a7c3e-2222-4222-8333-123456789abc"

Test(state, of_this_version_and_earlier_ones)
{
	static const char first[] = "version 1\nup 1\npersistent 0\nworker 12 34\nstorage 56 78\n";
	static const char second[] =
		"version 2\nup 0\npersistent 1\nworker 12 34\nstorage 0 0\nagain 1 2000000000\nbegan 99\n";
	static const char fourth[] = "version 4\nup 1\npersistent 1\nworker 12 34\nstorage 0 0\nagain 0 0\nbegan 99\n"
				     "destroyed 0\ncontrollers 5\n";
	static const char now[] = "version 5\nup 1\npersistent 1\nworker 12 34\nstorage 0 0\nagain 0 0\nbegan 99\n"
				  "destroyed 1\ncontrollers 3\nnetwork 91 92\n";
	static const char third[] = "version 3\nup 1\npersistent 1\nworker 12 34\nstorage 0 0\nagain 0 0\nbegan 99\n"
				    "destroyed 1\n";
	struct runtime_state state;

	cr_assert_eq(runtime_parse_state(first, &state), 0);
	cr_assert(state.up && !state.persistent && !state.again && !state.destroyed);
	cr_assert_eq(state.worker.pid, 12);
	cr_assert_eq(state.storage.start_time, 78);
	cr_assert_eq(state.again_pause_ns, 0);
	cr_assert_eq(runtime_parse_state(second, &state), 0);
	cr_assert(!state.up && state.persistent && state.again && !state.destroyed);
	cr_assert_eq(state.again_pause_ns, 2 * NS_PER_SEC);
	cr_assert_eq(state.began_ns, 99);
	cr_assert_eq(runtime_parse_state(third, &state), 0);
	cr_assert(state.up && !state.again && state.began_ns == 99 && state.destroyed);
	cr_assert_eq(state.controllers, 0);
	cr_assert_eq(runtime_parse_state(now, &state), 0);
	cr_assert(state.up && !state.again && state.began_ns == 99 && state.destroyed);
	cr_assert_eq(state.controllers, 3);
	cr_assert(state.network.pid == 91 && state.network.start_time == 92);
	cr_assert_eq(runtime_parse_state(fourth, &state), 0);
	cr_assert(state.controllers == 5 && state.network.pid == 0);
}

Test(state, written_and_read_again)
{
	const struct runtime_state written = {.up = true, .worker = {12, 34}, .began_ns = 99, .destroyed = true};
	struct err err = {0};
	struct runtime_state state;
	char *xml = NULL, base[256];
	size_t len = 0;

	scratch_new(base, sizeof(base));
	cr_assert_eq(runtime_make(base, STATE_UUID, "<domain/>", false, &err), 0, "%s", err.text);
	cr_assert_eq(runtime_save(base, STATE_UUID, &written), 0);
	cr_assert_eq(runtime_load(base, STATE_UUID, &state, &xml, &len), 0);
	cr_assert(state.up && state.destroyed && !state.again && state.began_ns == 99);
	cr_assert(state.worker.pid == 12 && state.worker.start_time == 34);
	cr_assert(len == 9 && !strncmp(xml, "<domain/>", len));
	free(xml);
	runtime_remove(base, STATE_UUID);
	scratch_remove(base);
}

/* What a change of disks leaves at each moment: one of both definitions, and the plan or none. */
Test(state, plan_of_a_change)
{
	struct runtime_state state = {.up = true}, read;
	char *xml = NULL, *then = NULL, *kept = NULL, base[256];
	struct err err = {0};
	size_t len = 0;

	scratch_new(base, sizeof(base));
	cr_assert_eq(runtime_make(base, STATE_UUID, "<old/>", false, &err), 0, "%s", err.text);
	cr_assert_eq(runtime_save(base, STATE_UUID, &state), 0);
	cr_assert_eq(runtime_plan_load(base, STATE_UUID, &then, &kept), -ENOENT);
	cr_assert_eq(runtime_plan(base, STATE_UUID, "<new/>", "<kept/>"), 0);
	cr_assert_eq(runtime_plan_load(base, STATE_UUID, &then, &kept), 0);
	cr_assert(!strncmp(then, "<new/>", 6) && !strncmp(kept, "<kept/>", 7));
	free(then);
	free(kept);
	runtime_plan_dropped(base, STATE_UUID);
	cr_assert_eq(runtime_plan_load(base, STATE_UUID, &then, &kept), -ENOENT);
	/* The second plan keeps nothing, whatever the first one did. */
	cr_assert_eq(runtime_plan(base, STATE_UUID, "<new/>", "<kept/>"), 0);
	cr_assert_eq(runtime_plan(base, STATE_UUID, "<newer/>", NULL), 0);
	kept = NULL;
	cr_assert_eq(runtime_plan_load(base, STATE_UUID, &then, &kept), 0);
	cr_assert_null(kept);
	free(then);
	cr_assert_eq(runtime_load(base, STATE_UUID, &read, &xml, &len), 0);
	cr_assert(len == 6 && !strncmp(xml, "<old/>", len));
	free(xml);
	cr_assert_eq(runtime_plan_made(base, STATE_UUID), 0);
	cr_assert_eq(runtime_plan_load(base, STATE_UUID, &then, &kept), -ENOENT);
	cr_assert_eq(runtime_load(base, STATE_UUID, &read, &xml, &len), 0);
	cr_assert(len == 8 && !strncmp(xml, "<newer/>", len));
	free(xml);
	runtime_remove(base, STATE_UUID);
	scratch_remove(base);
}

Test(state, nonsense_is_refused)
{
	static const char *const texts[] = {"",
					    "version\n",
					    "version 1\n",
					    "version 1\nup 1\npersistent 0\nworker 1 2\n",
					    "version 2\nup 1\npersistent 0\nworker 12 34\nstorage 56 78\n",
					    ("version 3\nup 1\npersistent 0\nworker 12 34\nstorage 56 78\n"
					     "again 0 0\nbegan 99\n"),
					    ("version 4\nup 1\npersistent 0\nworker 12 34\nstorage 56 78\n"
					     "again 0 0\nbegan 99\ndestroyed 0\n"),
					    ("version 5\nup 1\npersistent 0\nworker 12 34\nstorage 56 78\n"
					     "again 0 0\nbegan 99\ndestroyed 0\ncontrollers 1\n")};
	struct runtime_state state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		cr_expect_eq(runtime_parse_state(texts[i], &state), -EINVAL, "%zu", i);
	cr_assert_eq(runtime_parse_state("version 6\nwhatever\n", &state), -EPROTONOSUPPORT);
	cr_assert_eq(runtime_parse_state("version 0\n", &state), -EPROTONOSUPPORT);
}

#define ENDED_UUID "0f1a7c3e-1111-4222-8333-123456789abc"

static void take_ended(const char *uuid, struct ended *ended, void *arg)
{
	struct ended *ret = arg;

	cr_assert_str_eq(uuid, ENDED_UUID);
	cr_assert_null(ret->xml, "one at most");
	*ret = *ended;
	*ended = (struct ended){0};
}

Test(ended, is_read_as_it_was_written)
{
	struct ended ended = {.crashed = true, .at_ns = 5, .again = true, .again_at_ns = 7, .again_pause_ns = 9};
	struct ended got = {0};
	char base[256], path[300];

	scratch_new(base, sizeof(base));
	ended_scan(base, take_ended, &got);
	cr_assert_null(got.xml);
	ended.guest_message = (char *)"two\nlines";
	ended.xml = (char *)"<domain>\n</domain>\n";
	strcpy(ended.reason, "it\nwas");
	cr_assert_eq(ended_save(base, ENDED_UUID, &ended), 0);
	/* What is nobody's is removed, what is of a later version is not. */
	snprintf(path, sizeof(path), "%s/ended/rubbish", base);
	cr_assert_eq(close(open(path, O_WRONLY | O_CREAT, 0600)), 0);
	ended_scan(base, take_ended, &got);
	cr_assert_neq(access(path, F_OK), 0);
	cr_assert(got.crashed && got.again && !got.persistent);
	cr_assert_eq(got.at_ns, 5);
	cr_assert_eq(got.again_at_ns, 7);
	cr_assert_eq(got.again_pause_ns, 9);
	cr_assert_str_eq(got.reason, "it?was");
	cr_assert_str_eq(got.guest_message, ended.guest_message);
	cr_assert_str_eq(got.xml, ended.xml);
	ended_done(&got);
	/* Replaced; nothing in it but what must be. */
	ended = (struct ended){.persistent = true, .xml = (char *)"x"};
	cr_assert_eq(ended_save(base, ENDED_UUID, &ended), 0);
	ended_scan(base, take_ended, &got);
	cr_assert(got.persistent && !got.crashed && !got.again);
	cr_assert_str_eq(got.reason, "");
	cr_assert_null(got.guest_message);
	ended_done(&got);
	/* A message longer than anybody needs is cut off. */
	ended.guest_message = malloc(100001);
	memset(ended.guest_message, 'm', 100000);
	ended.guest_message[100000] = 0;
	cr_assert_eq(ended_save(base, ENDED_UUID, &ended), 0);
	free(ended.guest_message);
	ended_scan(base, take_ended, &got);
	cr_assert_eq(strlen(got.guest_message), 65536);
	ended_done(&got);
	ended_remove(base, ENDED_UUID);
	ended_remove(base, ENDED_UUID);
	ended_scan(base, take_ended, &got);
	cr_assert_null(got.xml);
	scratch_remove(base);
}

#define ENDED_HEAD                                                                                                     \
	"version 1\ncrashed 1\npersistent 0\nat 1\nagain 0\nagain-at 0\nagain-pause 0\nmessage 2\ndefinition "         \
	"3\nreason "

Test(ended, nonsense_is_refused)
{
	static const char *const texts[] = {
		"",
		"version",
		"version 1\n",
		ENDED_HEAD,
		ENDED_HEAD "r",
		ENDED_HEAD "r\n",
		ENDED_HEAD "r\nmmxx",
		ENDED_HEAD "r\nmmxxxx",
		("version 1\ncrashed 1\npersistent 0\nat 1\nagain 0\nagain-at 0\nagain-pause 0\n"
		 "message -1\ndefinition 3\nreason r\nxx")};
	static const char good[] = ENDED_HEAD "r\nmmxxx";
	struct ended ended = {0};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		cr_expect_eq(ended_parse(texts[i], strlen(texts[i]), &ended), -EINVAL, "%zu", i);
	cr_expect_eq(ended_parse(good, sizeof(good), &ended), -EINVAL, "a NUL");
	cr_assert_eq(ended_parse("version 2\n?", 11, &ended), -EPROTONOSUPPORT);
	cr_assert_eq(ended_parse(good, strlen(good), &ended), 0);
	cr_assert_str_eq(ended.guest_message, "mm");
	cr_assert_str_eq(ended.xml, "xxx");
	ended_done(&ended);
}
