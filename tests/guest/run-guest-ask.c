// SPDX-License-Identifier: Apache-2.0
/* What a guest is asked for while it runs, and what is answered. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "run-guest.h"

#define MARK "guest: ask me"

static const char *const names[] = {"shutdown", "reboot"};

int run_asks_add(struct run_asks *asks, const char *what)
{
	if (asks->count == RUN_ASKS_MAX)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t len = strlen(names[i]);

		if (strncmp(what, names[i], len) || (what[len] && what[len] != '+'))
			continue;
		asks->ask[asks->count].what = (uint32_t)i;
		asks->ask[asks->count++].with_next = what[len] == '+';
		return what[len] ? run_asks_add(asks, what + len + 1) : 0;
	}
	return -1;
}

int run_asks_expect(struct run_asks *asks, const char *answer)
{
	if (asks->expected == RUN_ASKS_MAX)
		return -1;
	asks->expect[asks->expected++] = answer;
	return 0;
}

static void on_answer(int error, const char *text, void *arg)
{
	struct run_asks *asks = arg;
	const char *expected = asks->answers < asks->expected ? asks->expect[asks->answers] : "ok";

	text = error ? text : "ok";
	printf("run-guest: answer: %s\n", text);
	fflush(stdout);
	if (!strstr(text, expected)) {
		fprintf(stderr, "run-guest: an answer without \"%s\": %s\n", expected, text);
		asks->wrong = true;
	}
	asks->answers++;
	asks->changed(asks->arg);
}

void run_asks_look(struct run_asks *asks, struct run_vm *vm, const char *said)
{
	const char *mark = said + asks->looked;
	bool more;

	while ((mark = strstr(mark, MARK))) {
		mark += strlen(MARK);
		asks->looked = (size_t)(mark - said);
		do {
			if (asks->made == asks->count)
				return; /* it will wait in vain */
			more = asks->ask[asks->made].with_next;
			if (run_vm_ask(vm, asks->ask[asks->made++].what, asks->timeout_ms, on_answer, asks) < 0)
				asks->wrong = true;
		} while (more);
	}
}

bool run_asks_over(const struct run_asks *asks)
{
	return asks->answers == asks->count;
}
