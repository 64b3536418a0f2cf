/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report [--json] NAME UNIT lower|higher PEER-NAME MUST STRETCH <PAIRS: what a shell script has measured, summed up and
 * printed as the other benchmarks do. PAIRS: a line "OURS PEER" for each round; "lower" or "higher" says what is better.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

int main(int argc, char **argv)
{
	static double ours[BENCH_ROUNDS_MAX], peer[BENCH_ROUNDS_MAX];
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
	struct bench_result result;
	struct bench_case bench;
	unsigned int rounds = 0;
	char **arg = argv + 1 + json;

	if (argc - 1 - json != 6 || (strcmp(arg[2], "lower") != 0 && strcmp(arg[2], "higher") != 0)) {
		fprintf(stderr, "usage: report [--json] NAME UNIT lower|higher PEER-NAME MUST STRETCH <PAIRS\n");
		return 2;
	}
	bench = (struct bench_case){
		.name = arg[0],
		.unit = arg[1],
		.lower_is_better = strcmp(arg[2], "lower") == 0,
		.peer_name = arg[3],
		.must = atof(arg[4]),
		.stretch = atof(arg[5]),
	};
	while (rounds < BENCH_ROUNDS_MAX && scanf("%lf %lf", &ours[rounds], &peer[rounds]) == 2)
		rounds++;
	if (rounds == 0) {
		fprintf(stderr, "report: %s: nothing was measured\n", bench.name);
		return 1;
	}
	bench_summarise(&bench, ours, peer, rounds, &result);
	bench_print(&result, json);
	return 0;
}
