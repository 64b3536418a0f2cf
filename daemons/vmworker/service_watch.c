// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation: every SERVICE_PING_NS the process that is attached is asked for a sign of life; its answer comes
 * from the loop that also drives the rings. After SERVICE_HANG_PINGS turns without one it is ended (service_hung()). A
 * process that has not attached, or not become ready, has as long, whatever it answers, unless it says that it waits
 * for something: the I/O of its predecessor may take minutes.
 *
 * Turns are counted, not time: when we are held up ourselves (a debugger, a host that swaps), then answers that have
 * come meanwhile are read before the next turn.
 *
 * Who was told to let go has a deadline of its own (service.patience) and is not asked.
 */
#include "service_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "provider.h"

static bool is_watched(const struct provider *provider)
{
	const struct service *s = &provider->service;

	if (s->stopping || s->leaving || s->upgrade == UPGRADE_HANDING_OVER || s->upgrade == UPGRADE_ENDING)
		return false;
	return s->process || provider->now.ops;
}

static const char *what_is_wrong(const struct provider *provider)
{
	if (!provider->now.ops)
		return "does not attach";
	return provider->service.watch.asked ? "does not answer" : "does not become ready";
}

static void on_turn(void *arg)
{
	struct provider *provider = arg;
	struct service_watch *watch = &provider->service.watch;

	loop_arm(watch->timer, provider->set->ping_ns);
	if (!is_watched(provider)) {
		watch->silent = 0;
	} else if (watch->silent++ == SERVICE_HANG_PINGS) {
		watch->silent = 0;
		service_hung(provider, what_is_wrong(provider));
	} else if (provider->now.ops && !watch->asked) {
		watch->asked = provider->now.ops->ping(provider->now.arg) >= 0;
	}
}

/* BULKHEAD_PING_MS is for tests. */
static uint64_t usual_ping_ns(void)
{
	const char *text = getenv("BULKHEAD_PING_MS");
	unsigned long ms;
	char *end;

	if (!text)
		return SERVICE_PING_NS;
	errno = 0;
	ms = strtoul(text, &end, 10);
	if (*end || !ms || errno || ms > 1000ul * 1000) {
		log_warn(NULL, "BULKHEAD_PING_MS: not a number of milliseconds: %s", text);
		return SERVICE_PING_NS;
	}
	return ms * NS_PER_MS;
}

int service_watch_init(struct provider *provider)
{
	struct service_watch *watch = &provider->service.watch;
	int r;

	if (!provider->set->ping_ns)
		provider->set->ping_ns = usual_ping_ns();
	r = loop_add_timer(provider->set->loop, on_turn, provider, &watch->timer);
	if (r >= 0)
		loop_arm(watch->timer, provider->set->ping_ns);
	return r;
}

void service_watch_done(struct provider *provider)
{
	loop_remove(&provider->service.watch.timer);
}

void service_watch_begin(struct provider *provider)
{
	struct service_watch *watch = &provider->service.watch;

	watch->silent = 0;
	watch->asked = false;
	watch->life_ns = clock_now_ns();
	watch->waits[0] = '\0';
}

void service_answered(struct provider *provider, const char *waits)
{
	struct service_watch *watch = &provider->service.watch;
	char before[sizeof(watch->waits)];

	watch->asked = false;
	if (!provider->ready && !waits[0])
		return;
	watch->silent = 0;
	watch->life_ns = clock_now_ns();
	strcpy(before, watch->waits);
	snprintf(watch->waits, sizeof(watch->waits), "%s", provider->ready ? "" : waits);
	if (strcmp(before, watch->waits))
		provider->set->changed(provider->set->arg);
}
