/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

const char *process_folder(void)
{
	static char path[PATH_MAX - 64], *folder;
	ssize_t n;

	if (folder)
		return folder;
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n < 0)
		return ".";
	path[n] = '\0';
	folder = dirname(path);
	return folder;
}

bool process_installed(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", name);
	return system(command) == 0;
}

void process_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

double process_seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

pid_t process_start(const char *const *argv, int (*prepare)(void *arg), void *arg, clockid_t *ret_clock)
{
	pid_t pid = fork();
	int r;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		r = prepare ? prepare(arg) : 0;
		if (r == 0) {
			execvp(argv[0], (char *const *)argv);
			r = -errno;
		}
		fprintf(stderr, "%s: %s\n", argv[0], strerror(-r));
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	if (clock_getcpuclockid(pid, ret_clock) == 0)
		return pid;
	process_stop(pid);
	return -ESRCH;
}

void process_stop(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}
