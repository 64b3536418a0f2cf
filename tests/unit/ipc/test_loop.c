/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/loop.h"

static struct loop *loop;
static int pair[2];

static void setup(void)
{
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
}

static void teardown(void)
{
	loop_free(loop);
	close(pair[0]);
	close(pair[1]);
}

TestSuite(loop, .init = setup, .fini = teardown);

struct seen {
	unsigned int count;
	unsigned int events;
	struct loop_source *source;
	struct loop_source **remove; /* in the callback */
	bool stop;
};

static void on_fd(int fd, unsigned int events, void *arg)
{
	struct seen *seen = arg;

	seen->count++;
	seen->events = events;
	if (seen->remove)
		loop_remove(seen->remove);
	if (seen->stop)
		loop_stop(loop);
}

static void on_plain(void *arg)
{
	on_fd(-1, 0, arg);
}

static void settle(void)
{
	for (int i = 0; i < 5; i++)
		cr_assert_eq(loop_run_once(loop, false), 0);
}

Test(loop, readable_and_writable)
{
	struct seen seen = {0};

	cr_assert_eq(loop_add_fd(loop, pair[0], LOOP_READ, on_fd, &seen, &seen.source), 0);
	settle();
	cr_assert_eq(seen.count, 0);
	cr_assert_eq(write(pair[1], "x", 1), 1);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(seen.events, LOOP_READ);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(seen.count, 2, "level-triggered");
	cr_assert_eq(loop_set_events(seen.source, LOOP_READ | LOOP_WRITE), 0);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(seen.events, LOOP_READ | LOOP_WRITE);
	cr_assert_eq(loop_set_events(seen.source, LOOP_WRITE), 0);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(seen.events, LOOP_WRITE);
}

Test(loop, paused_source_is_silent)
{
	struct seen seen = {0};

	cr_assert_eq(loop_add_fd(loop, pair[0], 0, on_fd, &seen, &seen.source), 0);
	cr_assert_eq(write(pair[1], "x", 1), 1);
	settle();
	cr_assert_eq(seen.count, 0);
	cr_assert_eq(loop_set_events(seen.source, LOOP_READ), 0);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(seen.count, 1);
	cr_assert_eq(loop_set_events(seen.source, 0), 0);
	settle();
	cr_assert_eq(seen.count, 1);
}

Test(loop, hang_up_shows)
{
	struct seen seen = {0};

	cr_assert_eq(loop_add_fd(loop, pair[0], LOOP_READ, on_fd, &seen, &seen.source), 0);
	cr_assert_eq(shutdown(pair[1], SHUT_RDWR), 0);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(seen.events, LOOP_READ);
}

Test(loop, what_cannot_be_watched_is_an_error)
{
	struct loop_source *source = NULL;
	int file = open("/proc/self/exe", O_RDONLY);

	cr_assert_eq(loop_add_fd(loop, file, LOOP_READ, on_fd, NULL, &source), -EPERM);
	cr_assert_eq(loop_add_fd(loop, 999, LOOP_READ, on_fd, NULL, &source), -EBADF);
	cr_assert_null(source);
	close(file);
}

Test(loop, a_callback_may_remove_itself_and_others)
{
	struct seen seen[2] = {0};

	/* Both are ready in the same round: whichever runs first removes the other, which then must not run. */
	cr_assert_eq(loop_add_fd(loop, pair[0], LOOP_WRITE, on_fd, &seen[0], &seen[0].source), 0);
	cr_assert_eq(loop_add_fd(loop, pair[1], LOOP_WRITE, on_fd, &seen[1], &seen[1].source), 0);
	seen[0].remove = &seen[1].source;
	seen[1].remove = &seen[0].source;
	settle();
	cr_assert(!seen[0].count || !seen[1].count);
	cr_assert_neq(!seen[0].source, !seen[1].source);
	for (int i = 0; i < 2; i++)
		seen[i].remove = &seen[i].source;
	seen[0].count = seen[1].count = 0;
	settle();
	cr_assert_eq(seen[0].count + seen[1].count, 1, "it removed itself");
	loop_remove(&seen[0].source);
	loop_remove(&seen[1].source);
}

Test(loop, timer_fires_once_for_each_arm)
{
	struct seen seen = {.stop = true};

	cr_assert_eq(loop_add_timer(loop, on_plain, &seen, &seen.source), 0);
	settle();
	cr_assert_eq(seen.count, 0, "not armed");
	loop_arm(seen.source, 1);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(seen.count, 1);
	settle();
	cr_assert_eq(seen.count, 1);
	loop_arm(seen.source, 0);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(seen.count, 2);
}

Test(loop, timer_is_not_early)
{
	struct seen seen = {.stop = true};
	uint64_t start = clock_now_ns();

	cr_assert_eq(loop_add_timer(loop, on_plain, &seen, &seen.source), 0);
	loop_arm(seen.source, 3 * NS_PER_MS);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_geq(clock_now_ns() - start, 3 * NS_PER_MS);
}

Test(loop, timer_can_be_moved_and_disarmed)
{
	struct seen first = {0}, second = {.stop = true};

	cr_assert_eq(loop_add_timer(loop, on_plain, &first, &first.source), 0);
	cr_assert_eq(loop_add_timer(loop, on_plain, &second, &second.source), 0);
	loop_arm(first.source, 0);
	loop_disarm(first.source);
	loop_arm(second.source, 1000 * NS_PER_SEC);
	loop_arm(second.source, NS_PER_MS);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(first.count, 0);
	cr_assert_eq(second.count, 1);
}

Test(loop, signals)
{
	struct seen seen = {.stop = true};

	cr_assert_eq(loop_add_signal(loop, SIGUSR1, on_plain, &seen, &seen.source), 0);
	kill(getpid(), SIGUSR1);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(seen.count, 1);
	kill(getpid(), SIGUSR1);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(seen.count, 2);
}

Test(loop, wakes_are_merged)
{
	struct seen seen = {0};

	cr_assert_eq(loop_add_wake(loop, on_plain, &seen, &seen.source), 0);
	for (int i = 0; i < 100; i++)
		loop_wake(seen.source);
	settle();
	cr_assert_eq(seen.count, 1);
	loop_wake(seen.source);
	settle();
	cr_assert_eq(seen.count, 2);
}

static void *wake_from_thread(void *arg)
{
	loop_wake(arg);
	return NULL;
}

Test(loop, wake_from_another_thread)
{
	struct seen seen = {.stop = true};
	pthread_t thread;

	cr_assert_eq(loop_add_wake(loop, on_plain, &seen, &seen.source), 0);
	cr_assert_eq(pthread_create(&thread, NULL, wake_from_thread, seen.source), 0);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(seen.count, 1);
	pthread_join(thread, NULL);
}

static void *stop_from_thread(void *arg)
{
	loop_stop(arg);
	return NULL;
}

Test(loop, stop_from_another_thread)
{
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, stop_from_thread, loop), 0);
	cr_assert_eq(loop_run(loop), 0);
	pthread_join(thread, NULL);
}

Test(loop, stop_before_run_counts_once)
{
	struct seen seen = {.stop = true};

	loop_stop(loop);
	cr_assert(loop_stopping(loop));
	settle();
	cr_assert(loop_stopping(loop));
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_not(loop_stopping(loop));
	cr_assert_eq(loop_add_fd(loop, pair[0], LOOP_WRITE, on_fd, &seen, &seen.source), 0);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(seen.count, 1);
}

Test(loop, stop_ends_the_round)
{
	struct seen seen[2] = {{.stop = true}, {.stop = true}};

	cr_assert_eq(loop_add_fd(loop, pair[0], LOOP_WRITE, on_fd, &seen[0], &seen[0].source), 0);
	cr_assert_eq(loop_add_fd(loop, pair[1], LOOP_WRITE, on_fd, &seen[1], &seen[1].source), 0);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(seen[0].count + seen[1].count, 1);
}

static void run_inside(void *arg)
{
	int *results = arg;

	results[0] = loop_run_once(loop, false);
	results[1] = loop_run(loop);
	loop_stop(loop);
}

Test(loop, does_not_run_inside_itself)
{
	int results[2] = {0};
	struct loop_source *source;

	cr_assert_eq(loop_add_wake(loop, run_inside, results, &source), 0);
	loop_wake(source);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(results[0], -EBUSY);
	cr_assert_eq(results[1], -EBUSY);
}

Test(loop, free_takes_what_is_left)
{
	struct loop *other;
	struct loop_source *source = NULL;

	cr_assert_eq(loop_new(&other), 0);
	cr_assert_eq(loop_add_fd(other, pair[0], LOOP_READ, on_fd, NULL, &source), 0);
	cr_assert_eq(loop_add_timer(other, on_plain, NULL, &source), 0);
	loop_arm(source, NS_PER_SEC);
	cr_assert_eq(loop_add_wake(other, on_plain, NULL, &source), 0);
	loop_free(other);
	loop_free(NULL);
	source = NULL;
	loop_remove(&source);
}
