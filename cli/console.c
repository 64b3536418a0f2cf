/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/console.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define OUTCOME_DEADLINE_NS (10 * NS_PER_SEC)
#define OUTCOME_POLL_NS	    (20 * NS_PER_MS)

void console_hint(const char *name, const char *leaving)
{
	if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
		fprintf(stderr, "vmctl: this is the console of %s; Ctrl-] to %s\n", name, leaving);
}

static bool state_is_final(const char *state)
{
	return strcmp(state, "shut-off") == 0 || strcmp(state, "crashed") == 0;
}

/* The console ends a moment before the manager has put everything away. */
static int final_state(struct client *client, const char *path, struct client_state *ret_state, struct err *err)
{
	uint64_t end = clock_now_ns() + OUTCOME_DEADLINE_NS;
	struct timespec pause = {0, (long)OUTCOME_POLL_NS};

	for (;;) {
		int r = client_state(client, path, ret_state, err);

		/* the manager or its bus was killed meanwhile: it finds its VMs again */
		if (r == -ECONNRESET || r == -ESRCH) {
			r = client_reopen(client, err);
			if (r == 0)
				r = client_state(client, path, ret_state, err);
		}
		if (r < 0)
			return r;
		if (state_is_final(ret_state->state) || clock_now_ns() > end)
			return 0;
		client_state_done(ret_state);
		nanosleep(&pause, NULL);
	}
}

int console_outcome(struct client *client, const char *path, const char *name)
{
	struct client_state state = {0};
	struct err err = {0};
	int code = EXIT_OK;

	if (final_state(client, path, &state, &err) < 0)
		return cli_fail(&err);
	if (strcmp(state.state, "crashed") == 0) {
		fprintf(stderr, "vmctl: %s crashed: %s\n", name, state.reason);
		if (state.guest_message[0])
			fprintf(stderr, "%s\n", state.guest_message);
		code = EXIT_CRASHED;
	} else if (!state_is_final(state.state)) {
		fprintf(stderr, "vmctl: the console of %s has ended, but it is still %s\n", name, state.state);
		code = EXIT_FAILED;
	} else if (strcmp(state.reason, "guest power-off") != 0) {
		fprintf(stderr, "vmctl: %s is off: %s\n", name, state.reason);
	}
	client_state_done(&state);
	return code;
}
