/* SPDX-License-Identifier: Apache-2.0 */
/* A VSP of ours, in a process of its own, over one channel of a fake guest that keeps to the rules of Linux's drivers:
 * it masks interrupts while it reads. */
#ifndef BENCH_SERVICE_H
#define BENCH_SERVICE_H

#include <time.h>

#include "fake_worker.h"

#define SERVICE_RING_PAGES 33u /* as storvsc: 128 KiB and the header */

struct service {
	struct loop *loop;
	struct fake_guest guest;
	struct fake_channel channel;
	struct fake_worker *worker; /* the user's to make, ours to free */
	pid_t pid;
	clockid_t clock;
};

/** service_init - a guest with @guest_len bytes of memory and a channel. Return: 0 or a negative errno: nothing is
 * there. */
int service_init(struct service *service, size_t guest_len, uint32_t relid);
/**
 * service_start - the program, which attaches to the worker.
 * @argv: of it; argv[0] is a path from this program's folder; behind its last one there is room for three more.
 * @prepare: as of process_start(). Return: 0 or a negative errno.
 */
int service_start(struct service *service, const char **argv, int (*prepare)(void *arg), void *arg);
/** service_done - ends it. @service: what service_init() has made. */
void service_done(struct service *service);

/** service_wait - until a packet is there; interrupts are masked then. Return: 0, -ETIMEDOUT. */
int service_wait(struct service *service);

#endif
