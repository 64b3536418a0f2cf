/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that are measured. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/** process_folder - where this program lies. Of static memory. */
const char *process_folder(void);

/** process_installed - whether there is such a program in PATH. */
bool process_installed(const char *name);

/** process_pin - this thread, and what it starts from now on, runs on @cpu, if there is such a CPU. */
void process_pin(int cpu);

/** process_seconds - what the clock shows. */
double process_seconds(clockid_t clock);

/**
 * process_start - a program that ends with this one.
 * @argv: argv[0] is a path, or a name to be looked for in PATH; ends with NULL.
 * @prepare: called in the new process; if it returns a negative errno, that ends; NULL: nothing.
 * @ret_clock: its CPU time.
 * Return: its id, or a negative errno.
 */
pid_t process_start(const char *const *argv, int (*prepare)(void *arg), void *arg, clockid_t *ret_clock);
/** process_stop - SIGTERM; waits. @pid: 0 or less: nothing. */
void process_stop(pid_t pid);

#endif
