/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integration services: shutdown, heartbeat and time synchronization for the guest's in-box driver (Linux: hv_utils).
 * They are core devices: they carry no payload, and the worker serves them itself, as one provider of the bus. Event
 * loop only. ic.c has the table of services.
 */
#ifndef VMWORKER_IC_H
#define VMWORKER_IC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "bus.h"
#include "guest/channel.h"
#include "guest/mem.h"
#include "ipc/loop.h"

struct ic;

enum ic_heartbeat_state {
	IC_HEARTBEAT_UNKNOWN, /* the guest has no such driver, or has not answered yet */
	IC_HEARTBEAT_OK,
	IC_HEARTBEAT_LOST, /* IC_HEARTBEAT_MISSED_MAX in a row were not answered */
};

#define IC_HEARTBEAT_PERIOD_NS	(2 * 1000 * 1000 * 1000ull)
#define IC_HEARTBEAT_MISSED_MAX 5u

/* The guest must answer a request for shutdown in this time; Linux does so before it begins. */
#define IC_SHUTDOWN_ANSWER_NS (15 * 1000 * 1000 * 1000ull)

/* Linux takes no time from a sample of more than 600 s ago. */
#define IC_TIMESYNC_PERIOD_NS (5 * 1000 * 1000 * 1000ull)

/* What the services need of the VM. */
struct ic_host {
	/* ic_heartbeat() or ic_service() has another answer. */
	void (*changed)(void *arg);
	/* The guest's reference time now, 100 ns units. */
	uint64_t (*reference_time)(void *arg);
	void *arg;
};

/** ic_new - offer all services on @bus. @mem, @cells: kept by reference. Return: 0 or a negative errno. */
int ic_new(struct loop *loop, struct bus *bus, const struct guest_mem *mem, const struct signal_map *cells,
	   const struct ic_host *host, struct ic **ret_ic);
/** ic_free - before bus_free(), which drops the offers. A request that waits is done with -ECANCELED. NULL is allowed.
 */
void ic_free(struct ic *ic);

/** ic_running - the vCPUs run from now on, or stand still: then no answer is waited for. A guest that goes on is told
 * the time. */
void ic_running(struct ic *ic, bool running);

/** ic_done_fn - the guest's answer, exactly once. @err: code 0: it has begun with it. */
typedef void (*ic_done_fn)(void *arg, const struct err *err);

/**
 * ic_shutdown - ask the guest to shut down or restart.
 * @flags: IC_SHUTDOWN_FORCE, IC_SHUTDOWN_RESTART. @timeout_s: what the guest is told that it has; 0: nothing said.
 * @done: 0; -EOPNOTSUPP (the guest has no such service); -EBUSY (asked before, and not answered yet); -ETIMEDOUT (no
 * answer in IC_SHUTDOWN_ANSWER_NS); -EREMOTEIO (refused); -ECANCELED (the guest closed the service, was reset or
 * ended). May come before ic_shutdown() returns.
 */
void ic_shutdown(struct ic *ic, uint32_t flags, uint32_t timeout_s, ic_done_fn done, void *arg);

enum ic_heartbeat_state ic_heartbeat(const struct ic *ic);

/* A service as the guest uses it. */
struct ic_service_status {
	const char *name;      /* "shutdown" */
	uint16_t major, minor; /* 0.0: not in use */
};

/** ic_service - Return: false if there are only @index services. */
bool ic_service(const struct ic *ic, size_t index, struct ic_service_status *ret_status);
#define IC_SERVICES 3u

#endif
