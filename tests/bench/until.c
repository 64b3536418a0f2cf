/* SPDX-License-Identifier: Apache-2.0 */
/*
 * until TEXT COMMAND...: run a command with no input and print how many seconds pass until its output has TEXT. Then wait for its end; if
 * it does not end within two minutes of its start, or never says TEXT, or fails, that is an error.
 */
#include "config.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define DEADLINE_S 120

static pid_t start(char **command, int *ret_output)
{
	int output[2], input[2];
	pid_t pid;

	/* input: a pipe that nobody writes to, so that a console on it neither gets bytes nor ends */
	if (pipe(output) < 0 || pipe(input) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		dup2(input[0], STDIN_FILENO);
		dup2(output[1], STDOUT_FILENO);
		close(output[0]);
		close(output[1]);
		close(input[0]);
		execvp(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	close(output[1]);
	close(input[0]);
	*ret_output = output[0];
	return pid;
}

/* Everything is read to the end, so that the command never waits for us. Return: when TEXT was there, 0 if never. */
static uint64_t read_until(int fd, const char *text)
{
	static char seen[1 << 20];
	uint64_t found = 0;
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, seen + len, sizeof(seen) - 1 - len)) > 0) {
		len += (size_t)n;
		if (!found && memmem(seen, len, text, strlen(text)))
			found = clock_now_ns();
		if (found || len == sizeof(seen) - 1)
			len = 0;
	}
	return found;
}

int main(int argc, char **argv)
{
	uint64_t begin = clock_now_ns(), found;
	int output, status;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: until TEXT COMMAND...\n");
		return 2;
	}
	alarm(DEADLINE_S);
	pid = start(argv + 2, &output);
	if (pid < 0) {
		perror("until");
		return 1;
	}
	found = read_until(output, argv[1]);
	if (waitpid(pid, &status, 0) < 0 || status != 0 || !found) {
		fprintf(stderr, "until: %s %s\n", argv[2], found ? "failed" : "ended without the text");
		return 1;
	}
	printf("%.4f\n", (double)(found - begin) / (double)NS_PER_SEC);
	return 0;
}
