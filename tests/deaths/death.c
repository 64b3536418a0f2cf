/* SPDX-License-Identifier: Apache-2.0 */
/* See base/death.h. Linked into the builds that die, and into no other. */
#include "base/death.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
#define X(id, name, what) name,
	DEATH_POINTS(X)
#undef X
};

static struct {
	bool known;
	int point; /* -1: none */
	unsigned long left;
} plan;

void death_list(void)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		puts(names[i]);
}

static void plan_entry(const char *entry, size_t len)
{
	const char *colon = memchr(entry, ':', len);
	size_t name_len = colon ? (size_t)(colon - entry) : len;

	plan.left = colon ? strtoul(colon + 1, NULL, 10) : 1;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == name_len && memcmp(names[i], entry, name_len) == 0)
			plan.point = (int)i;
	if (plan.point < 0 && !(len == 1 && *entry == '-')) {
		fprintf(stderr, "BULKHEAD_DEATHS: no point %.*s\n", (int)name_len, entry);
		_exit(2);
	}
}

void death_generation(unsigned int generation)
{
	const char *at = getenv("BULKHEAD_DEATHS");

	plan.known = true;
	plan.point = -1;
	while (at && *at && generation > 0) {
		at = strchr(at, ',');
		at = at ? at + 1 : NULL;
		generation--;
	}
	if (at && *at)
		plan_entry(at, strcspn(at, ","));
}

void death(enum death_point point)
{
	if (!plan.known || plan.point != (int)point || --plan.left > 0)
		return;
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}
