/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measurements that survive a noisy machine: ours and the peer's are taken in turns, round by round, in changing order;
 * each round gives a ratio, and what counts is the median of the ratios. A bigger ratio is always better for us.
 * Nothing fails on time.
 *
 * Output: a table, or with --json one object a line:
 * {"name", "unit", "ours", "peer", "peer_name", "ratio", "must", "stretch", "spread", "rounds"}, or, of what cannot be
 * measured here, {"name", "skipped"}: the reason.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define BENCH_ROUNDS_DEFAULT 11u
#define BENCH_ROUNDS_MAX     1001u

/* One comparison. Constant. */
struct bench_case {
	const char *name, *unit;
	bool lower_is_better;
	/* One measurement each, in @unit; negative: it failed. peer NULL: @peer_value is what we are held against. */
	double (*ours)(void *arg);
	double (*peer)(void *arg);
	double peer_value;
	const char *peer_name;
	double must, stretch; /* ratios; 0: none */
	void *arg;
	/* Why it cannot be measured here ("install X"), asked once before; NULL: it can. */
	const char *(*missing)(void *arg);
};

/* What came out. Medians over the rounds; spread: distance of the ratios' quartiles over their median. */
struct bench_result {
	const char *name, *unit, *peer_name;
	double ours, peer, ratio, must, stretch, spread;
	unsigned int rounds;
};

/** bench_median - of @count values, which it sorts. 0 if there are none. */
double bench_median(double *values, size_t count);

/** bench_ratio - how much better @ours is than @peer. */
double bench_ratio(double ours, double peer, bool lower_is_better);

/** bench_summarise - result of @rounds pairs of measurements; @ours and @peer are sorted. @rounds
 * is 1..BENCH_ROUNDS_MAX. */
void bench_summarise(const struct bench_case *bench, double *ours, double *peer, unsigned int rounds,
		     struct bench_result *ret_result);

/** bench_print - one result, as a line of JSON or of the table, to standard output. */
void bench_print(const struct bench_result *result, bool json);

/**
 * bench_main - run the cases: options --json, --rounds N, --help; other arguments name the cases to run (all).
 * Return: exit code of the program: 0; 1 if a measurement failed; 2 for a wrong command line.
 */
int bench_main(int argc, char **argv, const struct bench_case *cases, size_t count);

/** bench_private_kib - memory that only the process @pid has, memfds apart. -1: it is not known. */
double bench_private_kib(pid_t pid);

#endif
