/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Providers as the VM is configured with them: each has a name, a configuration for whoever attaches under that name,
 * and descriptors of which we keep duplicates, so that a successor finds them as well; and what a predecessor left for
 * it (keepsakes). A provider is served by one process at a time, its attachment; the next one is admitted once its
 * predecessor has ended. service.h has the life of those processes. Event loop only.
 */
#ifndef VMWORKER_PROVIDER_H
#define VMWORKER_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "bus.h"
#include "daemon/spawner.h"
#include "ipc/loop.h"
#include "proto/methods.h"
#include "service.h"

#define PROVIDERS_MAX	  8u
#define PROVIDER_ARGS_MAX 16u
#define PROVIDER_WAKE_NS  (30 * 1000 * 1000 * 1000ull) /* an idle one may take so long to be ready */

struct provider_config {
	const char *name;
	const void *config; /* opaque */
	size_t config_len;
	const int *fds; /* the caller's; duplicated */
	size_t nfds;
	int program_fd; /* the same; -1: somebody else runs it */
	const char *program;
	const char *const *args; /* behind the program's name */
	size_t nargs;
	bool idle; /* it has nothing to serve: not started, and not waited for, before its first change */
};

/* How an attached process is reached. Constant. */
struct provider_ops {
	struct bus_provider_ops bus;
	void (*admitted)(void *arg);			   /* it serves now: answer its Attach */
	void (*refused)(void *arg, const struct err *err); /* answer that; it is detached */
	int (*ping)(void *arg); /* 0: service_answered() follows, or its end; a negative errno: it cannot be asked */
	void (*hand_over)(void *arg); /* service_handed_over() follows, or its end */
	void (*end)(void *arg);	      /* it must end itself; its end follows */
	/* As vsp.proto ChangeRequest; provider_changed() follows, or its end. 0 or a negative errno: it cannot be asked
	 */
	int (*change)(void *arg, const void *change, size_t len, const int *fds, size_t nfds);
	void (*drop)(void *arg); /* end its connection soon; it is detached */
};

/* A process that attaches. */
struct attachment {
	const struct provider_ops *ops; /* NULL: nobody */
	void *arg;
	pid_t pid;
	int pidfd; /* of the process; stays the caller's while it is attached. A negative errno: there is none */
	uint32_t block_version, state_version; /* the newest that it reads */
	char program[64];
	char invocation[VSP_INVOCATION_LEN + 1]; /* the service manager's number of its run; "": none */
};

struct keepsake {
	char key[VSP_KEY_MAX + 1];
	uint8_t *data;
	size_t len;
	int fd;
};

/* A change of what a provider serves. */
struct provider_change {
	const void *change; /* opaque */
	size_t change_len;
	const void *config; /* its configuration then; NULL: as it is */
	size_t config_len;
	const int *fds; /* come behind those that there are; the caller's, duplicated */
	size_t nfds;	/* at most VSP_CHANGE_FDS_MAX; 0: none */
	int drop;	/* the place of the first that goes, of those that there are; -1: none */
	size_t drops;	/* how many go */
	bool early;	/* configuration and descriptor count at once, else once it has changed */
};

/* It under way; see provider_change.c. All 0: none is. */
struct provider_changing {
	service_done_fn done; /* NULL: none */
	void *arg;
	uint8_t *change, *config; /* ours; config: the one that does not count now */
	size_t change_len, config_len;
	int fd[VSP_CHANGE_FDS_MAX]; /* ours, to be handed to whoever serves */
	size_t nfds;
	int drop;
	size_t drops;
	bool early, has_config;
	bool asked; /* now knows of it */
	struct provider_waiter *waiters;
};

struct providers;

struct provider {
	struct providers *set;
	char *name;
	uint8_t *config;
	size_t config_len;
	int *fds;
	size_t nfds;
	struct bus_provider *bus;
	struct keepsake keepsake[VSP_KEEPSAKES_MAX];
	size_t keepsakes;
	struct attachment now;	  /* serves, or prepares to */
	struct attachment next;	  /* waits for its predecessor's end */
	bool ready;		  /* now has made all its offers, and lets nobody else take over yet */
	bool idle;		  /* nobody has been needed yet; its first change wakes it */
	bool waking;		  /* that change has, and waits for it to be ready */
	struct loop_source *wake; /* how long */
	struct provider_changing changing;
	uint8_t *status; /* what it has told last, opaque */
	size_t status_len;
	struct service service;
};

struct providers {
	struct loop *loop;
	struct spawner *spawner; /* NULL: none; no provider has a program then */
	struct bus *bus;
	uint64_t ping_ns;     /* how often each is asked whether it lives; 0: service_watch.h */
	uint64_t patience_ns; /* instead of each of service.h's and PROVIDER_WAKE_NS, for tests; 0: those */
	struct provider at[PROVIDERS_MAX];
	size_t count;
	/* One became ready, went away, was counted ... */
	void (*changed)(void *arg);
	/* A process ended before it was ready for the first time; it is not started again before providers_start(). */
	void (*failed)(void *arg, const struct err *err);
	void *arg;
};

/** providers_add - Return: 0; -ENOSPC, -EEXIST (name), -ENOMEM, ... with a line. */
int providers_add(struct providers *set, const struct provider_config *config, struct err *err);
/** providers_done - Context: nobody is attached, the bus is gone. Processes are left alone. */
void providers_done(struct providers *set);

/** providers_start - start what is ours to run and does not run. Return: 0 or a negative errno with a line. */
int providers_start(struct providers *set, struct err *err);
/** providers_stop - the VM ends: let go of all that we run, and start nothing any more. set->changed() tells when
 * providers_stopped() may have become true. */
void providers_stop(struct providers *set);
bool providers_stopped(const struct providers *set);

/** providers_missing - the first provider that is not ready, from *@inout_index on; NULL at the end. */
const struct provider *providers_missing(const struct providers *set, size_t *inout_index);

/** providers_find - NULL if there is none of this name. */
struct provider *providers_find(struct providers *set, const char *name);

/**
 * provider_attach - a process wants to serve @name. attachment.ops->admitted() or refused() follows, perhaps before
 * this returns, unless provider_detach() is called before.
 * Return: 0 and *@ret_provider (set before the call of admitted()); -ENOENT (not configured); -EBUSY (attached
 * already); -EPERM (we run its processes ourselves, and this is none); -EPROTO (cannot read what its predecessor
 * leaves); what attachment.pidfd says, of a process that we do not run, with a line.
 */
int provider_attach(struct providers *set, const char *name, const struct attachment *attachment, struct err *err,
		    struct provider **ret_provider);

/** provider_serves - whether @arg's process is the one that counts now. */
bool provider_serves(const struct provider *provider, const void *arg);

/** provider_keep - take over @fd, with a copy of @data, for successors; replaces the keepsake of the same @key.
 * Limits: proto/methods.h. Return: 0; -EINVAL, -ENOSPC, -ENOMEM with a line: @fd stays the caller's. */
int provider_keep(struct provider *provider, const char *key, const void *data, size_t len, int fd, struct err *err);

/** provider_kept - the descriptor of the keepsake of this key, which stays the provider's; -ENOENT: there is none. */
int provider_kept(const struct provider *provider, const char *key);

/** provider_ready - all offers are made. */
void provider_ready(struct provider *provider);

/**
 * provider_change - what it serves changes while the guest runs. @done: once it has, with err->code 0; or it has not:
 * -EBUSY (another change is under way), -EINVAL (descriptors), what the process refuses, -ECANCELED (the VM ends).
 */
void provider_change(struct provider *provider, const struct provider_change *change, service_done_fn done, void *arg);

/** provider_changed - the answer of who serves. */
void provider_changed(struct provider *provider, int error, const char *text);

/** provider_change_go - ask who serves for a change under way, if it can be asked and has not been. */
void provider_change_go(struct provider *provider);

/** provider_change_wait - @fn once no change is under way; perhaps before this returns. Return: 0, -ENOMEM. */
int provider_change_wait(struct provider *provider, void (*fn)(void *arg), void *arg);

/** provider_change_cancel - it is over; for provider.c. */
void provider_change_cancel(struct provider *provider);

/** provider_not_woken - for service.c: the first process has failed: the change that has started it is refused, and the
 * next one tries again. Return: whether a change has waited for that. */
bool provider_not_woken(struct provider *provider, const struct err *err);
/** provider_wake_late - the same, of one that is not ready in time; a loop_fn. */
void provider_wake_late(void *arg);

/** provider_opened - the answer to "open". @counts: of the requests that were under way; NULL if it failed. */
void provider_opened(struct provider *provider, uint32_t offer_id, int status, const struct service_counts *counts);

/** provider_detach - @arg's process is gone; the channels stay for a successor. Context: not inside a call of the bus
 * to it. */
void provider_detach(struct provider *provider, const void *arg);

/** provider_admit - for service.c: @attachment serves from now on. */
void provider_admit(struct provider *provider, const struct attachment *attachment);
/** provider_away - for service.c: nothing is asked of provider.now any more, which stays attached. */
void provider_away(struct provider *provider);
/** provider_set_status - it tells this of what it serves, instead of what it told before. Return: 0; -E2BIG, -ENOMEM.
 */
int provider_set_status(struct provider *provider, const void *bytes, size_t len);

/** provider_drop_now - for service.c: end provider.now's connection, if there is one. */
void provider_drop_now(struct provider *provider);
/** provider_refuse_next - for service.c: answer provider.next's Attach with @err, if it waits. */
void provider_refuse_next(struct provider *provider, const struct err *err);

#endif
