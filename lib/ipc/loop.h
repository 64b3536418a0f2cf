/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of a daemon: a thin, typed cover over libevent, the only place that includes it.
 *
 * Theory of operation: one loop per thread that wants one; all calls but loop_wake(),
 * loop_stop() and loop_stopping() come from the thread that runs it. A callback may remove any source, its own too:
 * removal is immediate (no callback of a removed source runs afterwards).
 */
#ifndef IPC_LOOP_H
#define IPC_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_source;

#define LOOP_READ 1u
#define LOOP_WRITE 2u

/** loop_new - Return: 0, or -ENOMEM. The caller owns *@ret_loop. */
int loop_new(struct loop **ret_loop);

/** loop_free - remove what is left on it (those sources are gone: no loop_remove() afterwards) and free it. NULL is
 * allowed. Not from a callback. */
void loop_free(struct loop *loop);

/** loop_run - dispatch until loop_stop(). Return: 0, -EBUSY if it runs already, -EIO if the loop itself failed. */
int loop_run(struct loop *loop);

/** loop_run_once - dispatch what is ready, waiting for the first event if @wait. For tests and start-up sequences.
 * Return: as loop_run(). */
int loop_run_once(struct loop *loop, bool wait);

/** loop_stop - make loop_run() return after the current callback; if it does not run now, the next one returns at once.
 * Context: any thread, callbacks; async-signal-safe. */
void loop_stop(struct loop *loop);

/** loop_stopping - whether loop_stop() was called and loop_run() has not returned since: a start-up sequence made of
 * loop_run_once() gives up then. Context: any thread. */
bool loop_stopping(const struct loop *loop);

/** loop_fd_fn - a descriptor is ready. @events: LOOP_READ and/or LOOP_WRITE (hang-up and error show
 * as whatever of the two the source waits for; a paused source is not told). */
typedef void (*loop_fd_fn)(int fd, unsigned int events, void *arg);
typedef void (*loop_fn)(void *arg);

/**
 * loop_add_fd - watch a descriptor, level-triggered. The descriptor stays the caller's.
 * Return: 0, or a negative errno. *@ret_source is freed by loop_remove().
 */
int loop_add_fd(struct loop *loop, int fd, unsigned int events, loop_fd_fn fn, void *arg,
		struct loop_source **ret_source);

/** loop_set_events - change what a descriptor source waits for; 0 pauses it. */
int loop_set_events(struct loop_source *source, unsigned int events);

/** loop_add_timer - a timer, not armed. One callback per loop_arm(). */
int loop_add_timer(struct loop *loop, loop_fn fn, void *arg, struct loop_source **ret_source);

/** loop_arm - (re)arm a timer to fire once, @delay_ns from now. */
void loop_arm(struct loop_source *source, uint64_t delay_ns);

/** loop_disarm - a timer that does not fire any more until it is armed again. */
void loop_disarm(struct loop_source *source);

/** loop_add_signal - a UNIX signal. One loop per process may use signals. */
int loop_add_signal(struct loop *loop, int signum, loop_fn fn, void *arg, struct loop_source **ret_source);

/** loop_add_wake - a source that any thread can fire with loop_wake(); wake-ups in between are merged into one. */
int loop_add_wake(struct loop *loop, loop_fn fn, void *arg, struct loop_source **ret_source);

/** loop_wake - run the callback of a wake source soon, on the loop's thread. The caller sees to it that the source is not
 * removed meanwhile. Context: any thread; async-signal-safe. */
void loop_wake(struct loop_source *source);

/** loop_remove - remove and free a source of any kind and set the pointer to NULL. *@source may be NULL. */
void loop_remove(struct loop_source **source);

#endif
