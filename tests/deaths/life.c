/* SPDX-License-Identifier: Apache-2.0 */
#include "life.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define PATIENCE (20 * NS_PER_SEC)
#define TEXT(s)	 ((char *)(s)) /* argv has no const */

void life_fail(struct life *life, const char *what, unsigned long number)
{
	if (life->failures++ < 10)
		printf("FAIL: %s: %s (%lu)\n", life->plan, what, number);
}

void life_spawn(struct life *life)
{
	life->child = fork();
	if (life->child == 0) {
		char *argv[] = {TEXT(life->program), TEXT("--worker"), TEXT(fake_worker_path(life->worker)),
				TEXT("--name"),	     TEXT("deaths"),   NULL};
		int null = open("/dev/null", O_WRONLY);

		if (!getenv("BULKHEAD_DEBUG"))
			dup2(null, STDERR_FILENO);
		setenv("BULKHEAD_DEATHS", life->plan, 1);
		execv(life->program, argv);
		_exit(127);
	}
	life->open_asked = false;
	life->opened = 1;
}

void life_end(const struct life *life)
{
	kill(life->child, SIGKILL);
	waitpid(life->child, NULL, 0);
}

static void count_recovered(struct life *life)
{
	if (life->recovered.lost)
		life_fail(life, "requests lost", life->recovered.lost);
	if (life->recovered.failed > life->poison)
		life_fail(life, "requests refused", life->recovered.failed);
	if (life->recovered.duplicate)
		life_fail(life, "completions twice", life->recovered.duplicate);
	life->replayed += life->recovered.replayed;
}

void life_step(struct life *life)
{
	int status;

	fake_worker_run(life->worker);
	if (life->child > 0 && waitpid(life->child, &status, WNOHANG) == life->child) {
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			life->deaths++;
		else
			life_fail(life, "the service ended by itself, status", (unsigned long)status);
		fake_worker_disconnect(life->worker);
		fake_worker_set_cautious(life->worker, life->poison);
		life_spawn(life);
	}
	if (life->was_opened && !life->open_asked && fake_worker_is_ready(life->worker)) {
		life->open_asked = true;
		life->recovered = (struct fake_recovered){0};
		fake_worker_open_begin(life->worker, 0, life->peer, true, &life->recovered, &life->opened);
	} else if (life->open_asked && life->opened == 0) {
		life->opened = -EALREADY; /* counted */
		count_recovered(life);
	}
}

static bool wait_until(struct life *life, bool (*done)(struct life *life, const void *arg), const void *arg,
		       const char *what)
{
	uint64_t deadline = clock_now_ns() + PATIENCE;

	while (!done(life, arg)) {
		life_step(life);
		if (clock_now_ns() > deadline || life->failures > 10) {
			life_fail(life, what, 0);
			return false;
		}
		if (!done(life, arg))
			poll(NULL, 0, 1);
	}
	return true;
}

static bool test_says(struct life *life, const void *arg)
{
	return (*(bool (*const *)(void))arg)();
}

bool life_wait_for(struct life *life, bool (*done)(void), const char *what)
{
	return wait_until(life, test_says, &done, what);
}

static bool is_ready(struct life *life, const void *arg)
{
	return fake_worker_is_ready(life->worker);
}

static bool is_open(struct life *life, const void *arg)
{
	return life->open_asked && life->opened <= 0;
}

bool life_open(struct life *life)
{
	if (!wait_until(life, is_ready, NULL, "it is never ready"))
		return false;
	life->was_opened = life->open_asked = true;
	fake_worker_open_begin(life->worker, 0, life->peer, false, &life->recovered, &life->opened);
	return wait_until(life, is_open, NULL, "it does not open the channel");
}

/* With requests in the ring that nobody has read. */
void life_hand_over(struct life *life)
{
	int r = fake_worker_hand_over(life->worker), status;

	if (life->between)
		life->between();
	fake_worker_disconnect(life->worker);
	if (waitpid(life->child, &status, 0) != life->child)
		abort();
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		life->deaths++;
	else if (r < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != LIFE_EXIT_NO_WORKER)
		life_fail(life, "the hand-over failed", (unsigned long)status);
	life_spawn(life);
}

unsigned int life_planned(const struct life *life)
{
	unsigned int count = *life->plan != '-';

	for (const char *at = life->plan; (at = strchr(at, ',')); at++)
		count += at[1] != '-';
	return count;
}

/* ---- plans ---- */

const char *const life_points[LIFE_POINTS] = {
#define X(id, name, what) name,
	DEATH_POINTS(X)
#undef X
};

bool life_run_point(bool (*run_plan)(const char *plan, bool *ret_never), const char *first, const char *point,
		    unsigned int passage, bool must_pass)
{
	char text[128];
	bool never, ok;

	snprintf(text, sizeof(text), "%s%s%s:%u", first, *first ? "," : "", point, passage);
	ok = run_plan(text, &never);
	if (!never || !must_pass)
		return ok;
	printf("FAIL: %s: never passed\n", text);
	return false;
}

int life_main(int argc, char **argv, bool (*run_plan)(const char *plan, bool *ret_never), bool (*run_all)(void))
{
	bool ok = true, never;

	if (argc == 1)
		ok = run_all();
	for (int i = 1; i < argc; i++)
		ok &= run_plan(argv[i], &never) && !never;
	return ok ? 0 : 1;
}
