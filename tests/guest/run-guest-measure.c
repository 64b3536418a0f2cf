// SPDX-License-Identifier: Apache-2.0
/* What the worker and the service of its disks have of memory that no guest owns, each time that the guest says so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run-guest.h"

#define ASK "guest: measure\n"

/* RssAnon in KiB: guest memory and what else is shared is not in it. Return: 0: no such process. */
static unsigned long memory_of(int pid)
{
	char line[128];
	unsigned long kib = 0;
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/status", pid);
	f = fopen(line, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "RssAnon:", 8))
			kib = strtoul(line + 8, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

bool run_measure_asked(struct run_measure *measure, const char *said)
{
	const char *ask = strstr(said + measure->looked, ASK);

	if (!ask)
		return false;
	measure->looked = (size_t)(ask - said) + sizeof(ASK) - 1;
	return true;
}

void run_measure(struct run_measure *measure, int worker, int service)
{
	const unsigned long now[2] = {memory_of(worker), memory_of(service)};

	for (unsigned int i = 0; i < 2; i++) {
		if (!measure->first[i])
			measure->first[i] = now[i];
		if (now[i] > measure->most[i])
			measure->most[i] = now[i];
	}
	measure->count++;
}

bool run_measure_judge(const struct run_measure *measure)
{
	printf("memory: worker %lu KiB at first, %lu at most; service %lu, %lu; %u looks\n", measure->first[0],
	       measure->most[0], measure->first[1], measure->most[1], measure->count);
	for (unsigned int i = 0; i < 2; i++) {
		if (!measure->first[i] || measure->most[i] > measure->first[i] + measure->limit_kib) {
			fprintf(stderr, "run-guest: the %s has grown by more than %lu KiB, or could not be measured\n",
				i ? "service" : "worker", measure->limit_kib);
			return false;
		}
	}
	return true;
}
