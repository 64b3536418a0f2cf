/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a provider's processes: start, death, the next one, replacement by another program; and what is counted
 * of it. Part of struct provider. Event loop only.
 */
#ifndef VMWORKER_SERVICE_H
#define VMWORKER_SERVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "ipc/loop.h"
#include "proto/methods.h"
#include "service_watch.h"

struct attachment;
struct provider;
struct provider_config;
struct spawned;

#define SERVICE_CALM_NS	       (10 * 1000 * 1000 * 1000ull) /* who has served so long did not die of its start */
#define SERVICE_BACKOFF_NS     (50 * 1000 * 1000ull)
#define SERVICE_BACKOFF_MAX_NS (5 * 1000 * 1000 * 1000ull)
#define SERVICE_UPGRADE_NS     (30 * 1000 * 1000 * 1000ull) /* for each step of a replacement */
#define SERVICE_LOST_NS	       (1000 * 1000 * 1000ull)	    /* the same for one whose connection has ended */
#define SERVICE_END_NS	       (5 * 1000 * 1000 * 1000ull)  /* a process that was let go has so long to end */
#define SERVICE_STOP_NS	       (2 * 1000 * 1000 * 1000ull)  /* the same at the VM's end */
#define SERVICE_FAULTS_MAX     3u			    /* own faults in a row: its successors are cautious */

/* Of the requests that were under way when a process ended. */
struct service_counts {
	uint64_t replayed, lost, duplicate, failed;
};

enum service_state {
	SERVICE_NOT_STARTED, /* the VM has not run yet, it has nothing to serve yet, or its first process ended before
				it was ready */
	SERVICE_STARTING,    /* nobody has been ready yet */
	SERVICE_SERVING,
	SERVICE_RECOVERING, /* the guest waits */
	SERVICE_WAITING,    /* the same, and so do we, before the next start */
};

enum service_upgrade {
	UPGRADE_NONE,
	UPGRADE_STARTING,     /* the new process has not attached yet */
	UPGRADE_HANDING_OVER, /* the old one was asked to let go */
	UPGRADE_ENDING,	      /* it has; it must end */
	UPGRADE_TAKING_OVER,  /* the new one recovers */
};

typedef void (*service_done_fn)(void *arg, const struct err *err);

/* How a process that somebody else runs has ended, as who runs it tells. */
struct service_end {
	char invocation[VSP_INVOCATION_LEN + 1]; /* which process: lower-case hexadecimal digits */
	int status;				 /* as of waitpid(); -1: not known */
	char result[VSP_RESULT_MAX + 1];	 /* what more there is to say: "oom-kill"; "" */
};

/* Processes that somebody else runs. */
struct service_foreign {
	char invocation[VSP_INVOCATION_LEN + 1]; /* of the last that was admitted; "": it gave none */
	char told[VSP_INVOCATION_LEN + 1];	 /* whose end was told last */
	bool untold;				 /* the last one was lost, and how it ended was not told */
	bool hung, newcomer;			 /* that was killed for it; was the new one of an upgrade */
	uint64_t ready_ns, lost_ns;		 /* since when that was ready, 0: never; until when it was well */
	service_done_fn teller;			 /* to be answered when the next process may start */
	void *teller_arg;
};

struct service {
	/* what to run */
	int program_fd; /* -1: somebody else does */
	char *program;
	char **args; /* NULL-terminated */

	/* what runs */
	struct spawned *process;   /* ours; NULL: none */
	struct spawned *successor; /* ours, during an upgrade, until the other has ended */
	bool leaving;		   /* process was let go, or has let go of us, and must end */
	bool planned;		   /* that is an upgrade's doing: its end is no death */
	int before_fd;		   /* pidfd of a predecessor that is not ours, until its end; else -1 */
	int now_fd;		   /* the same, of who is attached */
	struct loop_source *before;
	struct service_foreign foreign;
	bool stopping;

	/* how it went */
	bool served; /* somebody has been ready */
	uint64_t ready_ns;
	unsigned int failures, faults;	       /* in a row */
	bool at_fault;			       /* the last one died of what it did */
	char message[160];		       /* how the last one ended; why its successor did not take a channel up */
	uint32_t block_version, state_version; /* that the last one that was ready reads, so at most what it has left */
	char said[64];			       /* name and version of the last that attached */
	struct loop_source *pause;
	bool pausing;
	uint64_t outage_ns; /* since when the guest waits; 0: it does not */

	enum service_upgrade upgrade;
	int upgrade_fd;
	char refusal[200]; /* why the next one may not take over; "" if it may */
	service_done_fn upgrade_done;
	void *upgrade_arg;
	struct loop_source *patience; /* with a process that should do something, or end */
	unsigned int kills;	      /* so often patience has ended since it began */

	struct service_watch watch;
	bool hung; /* process, or who is attached, was ended for this */

	uint32_t attachments;
	uint64_t deaths, hangs, upgrades;
	struct service_counts counts;
	uint64_t last_outage_us;
};

/* What a person wants to know. The strings live until the next callback of the loop. */
struct service_status {
	const char *name, *message, *program;
	pid_t pid; /* 0: none */
	enum service_state state;
	uint64_t deaths, upgrades;
	uint64_t hangs; /* deaths of processes that gave no sign of life and were killed */
	struct service_counts counts;
	uint64_t last_outage_us;
};

/** service_init - Return: 0 or a negative errno; service_done() either way. */
int service_init(struct provider *provider, const struct provider_config *config);
/** service_done - processes are left alone. */
void service_done(struct provider *provider);

/** service_start - start its process, if it is ours to run and none runs. Return: 0 or a negative errno with a line. */
int service_start(struct provider *provider, struct err *err);

/** service_stop - let go of its processes, for good; service_stopped() once they have ended. */
void service_stop(struct provider *provider);
bool service_stopped(const struct provider *provider);

/** service_attach - somebody wants to attach: admitted at once, or provider.next until the predecessor has ended.
 * Return: as provider_attach(). */
int service_attach(struct provider *provider, const struct attachment *attachment, struct err *err);

/** service_ready - provider.now is ready. */
void service_ready(struct provider *provider);

/** service_opened - a channel may have been taken up again. */
void service_opened(struct provider *provider, const struct service_counts *counts);

/** service_not_opened - a channel was not opened, of which service_opened() will be told. @why: a line. */
void service_not_opened(struct provider *provider, const char *why);

/** service_lost - the connection of provider.now, which was to serve, has ended by itself. */
void service_lost(struct provider *provider);
/** service_lost_next - that of provider.next. */
void service_lost_next(struct provider *provider);

/** service_handed_over - the answer to ops->hand_over(): provider.now touches nothing any more; or @error, a negative
 * errno: who knows. It is dropped and must end, and if it has not handed over, its end counts as a death. */
void service_handed_over(struct provider *provider, int error);

/** service_hung - for service_watch.c: the process does not do what it should, as @what says ("does not answer"): it
 * must end, and a successor follows. */
void service_hung(struct provider *provider, const char *what);

/** service_cautious - whether the next one should replay one request at a time. */
bool service_cautious(const struct provider *provider);
/** service_at_fault - whether the last one died of what it did. */
bool service_at_fault(const struct provider *provider);

/**
 * service_told - how a process that somebody else runs has ended. What cannot be is refused: of one that has not ended,
 * or of whose end was told before, or of another one than has attached.
 * @done: once the next one may start; perhaps before this returns.
 */
void service_told(struct provider *provider, const struct service_end *end, service_done_fn done, void *arg);

/**
 * service_upgrade - replace the process that serves by one of @program_fd, which stays the caller's; -1, and only if
 * somebody else runs it: by one of whatever program that starts then.
 * @done: once that one serves, or the old program goes on; where there is none to go back to: or it is known that it
 * does not.
 */
void service_upgrade(struct provider *provider, int program_fd, service_done_fn done, void *arg);

void service_status(const struct provider *provider, struct service_status *ret_status);

#endif
