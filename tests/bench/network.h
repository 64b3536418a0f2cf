/* SPDX-License-Identifier: Apache-2.0 */
/* What network.c measures: somebody who brings frames to a tap, and takes them from it. */
#ifndef BENCH_NETWORK_H
#define BENCH_NETWORK_H

#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define NETWORK_FRAME_MAX 65536u
#define NETWORK_DEPTH	  64u /* frames under way */

struct network_target;

/* Each returns a negative errno if it fails. */
struct network_target_ops {
	/* Prepare: this is the frame that is sent from now on. */
	int (*load)(struct network_target *target, const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len);
	/* Send it @count times; all are with the kernel when it returns. */
	int (*send)(struct network_target *target, unsigned int count);
	/* Take what has come. Return: how many frames. */
	int (*take)(struct network_target *target);
	void (*stop)(struct network_target *target);
};

struct network_target {
	const struct network_target_ops *ops;
	clockid_t clock; /* CPU time of the process */
	pid_t pid;
	uint64_t kicks, interrupts;
};

/** network_ours_start - vsp-netd over a fake guest. @tap: stays the caller's. */
int network_ours_start(int tap, const uint8_t mac[6], struct network_target **ret);
/** network_floor_start - a process that does nothing but to move frames between memory and the tap. */
int network_floor_start(int tap, struct network_target **ret);

#endif
