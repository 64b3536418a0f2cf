/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of a VM's life that need no VM: its last words, the pause before it starts again, who descends from whom. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker.h"
#include "launcher.h"
#include "runtime.h"
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
