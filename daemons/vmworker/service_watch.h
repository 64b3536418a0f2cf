/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the process of a provider still does something. Part of struct service. Event loop only.
 */
#ifndef VMWORKER_SERVICE_WATCH_H
#define VMWORKER_SERVICE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/loop.h"

struct provider;

#define SERVICE_PING_NS	   (5 * 1000 * 1000 * 1000ull) /* unless struct providers or BULKHEAD_PING_MS says otherwise */
#define SERVICE_HANG_PINGS 6u			       /* so many in a row without a sign of life: 30 s */

struct service_watch {
	struct loop_source *timer;
	unsigned int silent; /* turns of the timer since the last sign of life */
	bool asked;	     /* a ping is under way to provider.now */
	uint64_t life_ns;    /* when that sign came */
	char waits[80];	     /* what provider.now, not ready yet, waits for; "" */
};

/** service_watch_init - Return: 0 or a negative errno; service_watch_done() either way. */
int service_watch_init(struct provider *provider);
void service_watch_done(struct provider *provider);

/** service_watch_begin - another process, or another step of it: it has all the time again. */
void service_watch_begin(struct provider *provider);

/** service_answered - provider.now has answered ops->ping(), be it with an error. @waits: what keeps it from being
 * ready, "" if nothing does. */
void service_answered(struct provider *provider, const char *waits);

#endif
