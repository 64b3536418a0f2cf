// SPDX-License-Identifier: Apache-2.0
/*
 * hold-exit PID: until this program is killed process PID does not end, whatever it is sent: a traced process stops on
 * its way out. For everybody else it looks like one that waits in the kernel. Prints "held" once that is so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	pid_t pid = argc == 2 ? atoi(argv[1]) : 0;

	if (pid <= 1) {
		fputs("Usage: hold-exit PID\n", stderr);
		return 2;
	}
	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACEEXIT) < 0) {
		fprintf(stderr, "hold-exit: process %d: %s\n", (int)pid, strerror(errno));
		return 1;
	}
	puts("held");
	fflush(stdout);
	for (;;)
		pause();
}
