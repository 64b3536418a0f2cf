/* SPDX-License-Identifier: Apache-2.0 */
/* See base/death.h. Linked into the builds that die, and into no other. */
#include "base/death.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spoil.h"

static const char *const names[] = {
#define X(id, name, what) name,
	DEATH_POINTS(X)
#undef X
};

static const struct {
	const char *name;
	int number;
} signals[] = {{"KILL", SIGKILL}, {"TERM", SIGTERM}, {"SEGV", SIGSEGV},
	       {"ABRT", SIGABRT}, {"SYS", SIGSYS},   {"STOP", SIGSTOP}};

static struct {
	bool known;
	int point; /* -1: none */
	unsigned long left;
	int signal;
	int poison; /* signal; 0: none */
	const char *spoil;
} plan;

static struct block_header *block;

void death_list(void)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		puts(names[i]);
}

static void refuse(const char *what, const char *word, size_t len)
{
	fprintf(stderr, "BULKHEAD_DEATHS: no %s %.*s\n", what, (int)len, word);
	_exit(2);
}

static bool is_word(const char *name, const char *word, size_t len)
{
	return strlen(name) == len && memcmp(name, word, len) == 0;
}

static int find_signal(const char *word, size_t len)
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (is_word(signals[i].name, word, len))
			return signals[i].number;
	refuse("signal", word, len);
	return 0;
}

static void plan_entry(const char *entry, size_t len)
{
	size_t name_len = strcspn(entry, ":@,");
	const char *colon = memchr(entry, ':', len), *at = memchr(entry, '@', len);

	plan.left = colon ? strtoul(colon + 1, NULL, 10) : 1;
	plan.signal = at ? find_signal(at + 1, len - (size_t)(at + 1 - entry)) : SIGKILL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is_word(names[i], entry, name_len))
			plan.point = (int)i;
	if (plan.point < 0 && !is_word("-", entry, len))
		refuse("point", entry, name_len);
}

void death_generation(unsigned int generation)
{
	const char *at = getenv("BULKHEAD_DEATHS"), *poison = getenv("BULKHEAD_DEATHS_POISON");

	plan.known = true;
	plan.point = -1;
	plan.spoil = generation == 0 ? getenv("BULKHEAD_DEATHS_SPOIL") : NULL;
	plan.poison = poison ? find_signal(poison, strlen(poison)) : 0;
	while (at && *at && generation > 0) {
		at = strchr(at, ',');
		at = at ? at + 1 : NULL;
		generation--;
	}
	if (at && *at)
		plan_entry(at, strcspn(at, ","));
}

/* As by an error of its own: whatever handlers there are, also a sanitizer's. */
static void die(int number)
{
	sigset_t all;

	if (plan.spoil && block && !spoil(block, plan.spoil))
		refuse("spoiling", plan.spoil, strlen(plan.spoil));
	if (number != SIGKILL) {
		signal(number, SIG_DFL);
		sigfillset(&all);
		sigprocmask(SIG_UNBLOCK, &all, NULL);
	}
	kill(getpid(), number);
	for (;;)
		pause();
}

void death(enum death_point point)
{
	if (plan.known && plan.point == (int)point && --plan.left == 0)
		die(plan.signal);
}

void death_block(struct block_header *at)
{
	block = at;
}

void death_request(uint64_t transaction_id)
{
	if (plan.poison && transaction_id >> DEATH_POISON_SHIFT == DEATH_POISON)
		die(plan.poison);
}
