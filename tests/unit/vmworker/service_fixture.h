/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One provider, "storage", on the bus fixture. The helper that starts processes is a real one, and what it starts are
 * shells; that they "attach" is played by the test.
 */
#ifndef TEST_SERVICE_FIXTURE_H
#define TEST_SERVICE_FIXTURE_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "bus_fixture.h"
#include "provider.h"
#include "service.h"

#define SX_PING_NS     (5 * NS_PER_MS)
#define SX_FOREIGN_MAX 16u
#define SX_PATIENCE_NS (20 * NS_PER_MS)

/* A process that has attached. */
struct played {
	struct provider *provider;
	bool admitted, dropped, refused, asked_to_hand_over, asked_to_end;
	bool pinged; /* and has not answered */
	unsigned int pings;
	unsigned int changes; /* that it was asked for; the last: */
	char change[32];
	int change_fd;
};

struct service_fixture {
	struct providers set;
	struct provider *storage;
	bool idle;   /* sx_add() adds one that has nothing to serve yet */
	bool failed; /* the first process has ended: failure */
	bool done;   /* the upgrade is over: outcome */
	struct err failure, outcome;
	int foreign[SX_FOREIGN_MAX]; /* pidfds */
	size_t foreigners;
	int waiting_fd; /* of who waits to be admitted */
	/* what the next that attaches gives as the number of its run; NULL: none */
	const char *invocation;
	unsigned int answers; /* to who has told of ends; the last: answer */
	struct err answer;
};

extern struct service_fixture sx;

void sx_setup(void);
void sx_teardown(void);

/* sx_add - the provider. @script: what the shell that we run for it does; NULL: somebody else runs it. */
void sx_add(const char *script);

/* Run the loop until @what, for @seconds at most. */
#define UNTIL_S(what, seconds)                                                                                         \
	do {                                                                                                           \
		uint64_t until_ = clock_now_ns() + (seconds)*NS_PER_SEC;                                               \
		while (!(what) && clock_now_ns() < until_) {                                                           \
			cr_assert_eq(loop_run_once(fx.loop, false), 0);                                                \
			usleep(500);                                                                                   \
		}                                                                                                      \
		cr_assert(what);                                                                                       \
	} while (0)

#define UNTIL(what) UNTIL_S(what, 5)

/* sx_attach - process @pid wants to serve, and reads the state up to @version. Return: as provider_attach(). */
int sx_attach(struct played *played, pid_t pid, uint32_t version);

struct service_status sx_status(void);

/* sx_serve - the process that runs attaches and is ready. */
pid_t sx_serve(struct played *played);

/* sx_kill_process - and wait until that is known. */
void sx_kill_process(struct played *played, pid_t pid, int signal);

/* sx_foreign - a process of somebody else, which may be waited for. */
pid_t sx_foreign(void);

/* sx_tell - how @invocation has ended, @status as of waitpid(). */
void sx_tell(const char *invocation, int status);

/* sx_upgrade_to - a program; NULL: none is given. */
void sx_upgrade_to(const char *path);

/* sx_hold_at_its_end - a process that is traced so stops on its way out, whatever it is sent, until we let it go: as
 * one that waits for a disk in the kernel. */
void sx_hold_at_its_end(pid_t pid);
void sx_let_end(pid_t pid);

#endif
