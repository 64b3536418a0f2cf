/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's part in tests of deaths: a process that serves one channel of a fake guest, dies where it is told to,
 * and is replaced.
 */
#ifndef DEATHS_LIFE_H
#define DEATHS_LIFE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/death.h"
#include "fake_worker.h"

#define LIFE_EXIT_NO_WORKER 4 /* its worker let go of it */

/* Set before life_spawn(): program, plan, loop, worker, peer, poison; between. The rest is life.c's. */
struct life {
	const char *program; /* gets --worker and --name */
	const char *plan;    /* BULKHEAD_DEATHS */
	struct loop *loop;
	struct fake_worker *worker;
	struct fake_channel *peer;
	bool poison;	       /* successors are cautious */
	void (*between)(void); /* at a hand-over, when the old one has let go and still runs; NULL: nothing */
	pid_t child;
	unsigned int deaths, failures;
	bool was_opened; /* the channel was asked for once: from then on it is recovered */
	int opened;	 /* outcome of the Open under way: 1 none yet, 0 open */
	bool open_asked; /* at the process that runs now */
	struct fake_recovered recovered;
	uint32_t replayed;
};

/** life_fail - the test fails: @what and a number of it, printed up to ten times. */
void life_fail(struct life *life, const char *what, unsigned long number);
/** life_spawn - start the first process. life_end - kill the last. */
void life_spawn(struct life *life);
void life_end(const struct life *life);
/** life_step - run the worker's loop; a process that has died is replaced, and its channel handed to the next. */
void life_step(struct life *life);
/** life_wait_for - steps until @done. Return: false if that took too long, or all is lost; the test has failed then. */
bool life_wait_for(struct life *life, bool (*done)(void), const char *what);
/** life_open - once it is ready: open the channel for the first time. Return: as life_wait_for(). */
bool life_open(struct life *life);
/** life_hand_over - a planned end. */
void life_hand_over(struct life *life);
/* The names of all points, in the order of enum death_point. */
#define LIFE_ONE(id, name, what) +1
enum { LIFE_POINTS = 0 DEATH_POINTS(LIFE_ONE) };
#undef LIFE_ONE
extern const char *const life_points[LIFE_POINTS];

/**
 * life_run_point - @run_plan: one run; *@ret_never: it has not passed all of the plan's points. Return: whether all was
 * well. The plan here: @first (or ""), then @point at its @passage. @must_pass: it fails if it never gets there.
 */
bool life_run_point(bool (*run_plan)(const char *plan, bool *ret_never), const char *first, const char *point,
		    unsigned int passage, bool must_pass);
/** life_main - the plans that the arguments are, which all must be passed; without: @run_all. Return: exit status. */
int life_main(int argc, char **argv, bool (*run_plan)(const char *plan, bool *ret_never), bool (*run_all)(void));
/** life_planned - how many deaths the plan has. */
unsigned int life_planned(const struct life *life);

#endif
