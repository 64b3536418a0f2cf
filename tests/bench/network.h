/* SPDX-License-Identifier: Apache-2.0 */
/* What network.c measures: somebody who brings frames to a tap, and takes them from it. */
#ifndef BENCH_NETWORK_H
#define BENCH_NETWORK_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define NETWORK_FRAME_MAX 65536u
#define NETWORK_DEPTH	  64u /* frames under way */

struct network_target;

/* Each returns a negative errno if it fails. */
struct network_target_ops {
	/* Prepare: this is the frame that is sent, and that comes, from now on. @frame: outlives the target. */
	int (*load)(struct network_target *target, const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len);
	/* Send it @count times; all are with the kernel when it returns. */
	int (*send)(struct network_target *target, unsigned int count);
	/* Take what has come. Return: how many frames; -EPROTO: one was not what was sent. */
	int (*take)(struct network_target *target);
	void (*stop)(struct network_target *target);
};

struct network_target {
	const struct network_target_ops *ops;
	clockid_t clock; /* CPU time of the process */
	pid_t pid;
	uint64_t kicks, interrupts;
};

/* How to start ours. */
struct network_ours {
	int fd; /* a tap, or a stream to passt; stays the caller's */
	bool stream;
	const uint8_t *mac;
	uint32_t segment_max; /* of passt: nic.segment_max of proto/network.proto */
	bool coalesces;	      /* the guest takes frames longer than its MTU */
	/* Each frame that comes; NULL: it is compared with that of load(). */
	void (*on_frame)(void *arg, const uint8_t *frame, uint32_t len);
	void *arg;
};

/** network_ours_start - vsp-netd over a fake guest. */
int network_ours_start(const struct network_ours *how, struct network_target **ret);
/** network_ours_put - send another frame, without LSO. Return: 0; -EAGAIN: too many are under way. */
int network_ours_put(struct network_target *target, const uint8_t *frame, size_t len);
/** network_ours_take - all that has come; interrupts are wanted afterwards. */
int network_ours_take(struct network_target *target);
/** network_ours_fd - readable when there is an interrupt; network_ours_take() takes it. */
int network_ours_fd(const struct network_target *target);

/** network_floor_start - a process that does nothing but to move frames between memory and the tap. */
int network_floor_start(int tap, struct network_target **ret);

/* ---- network_user.c: from a TCP socket of the host to one of the guest ---- */

struct network_user {
	unsigned int number; /* of this pair */
	bool coalesces;	     /* the guest does */
	const char *mtu;     /* of the peer's guest; ours has 1500 */
};

/* Microseconds of all processes of a candidate for each MiB; negative: it failed. @arg: struct network_user. */
double network_user_ours(void *arg);
double network_user_pasta(void *arg);
/** network_user_missing - what must be installed; NULL: nothing. */
const char *network_user_missing(void *arg);
void network_user_stop(void);
/** network_user_receive - be the guest's receiver of what is sent to @port. Return: exit code. */
int network_user_receive(const char *port);

/* ---- network_testpmd.c: dpdk-testpmd sends 64 bytes to a tap: a guest's behind vhost-user, or from nowhere (alone) */

/** network_testpmd, network_testpmd_alone - microseconds for each frame; negative: it failed. */
double network_testpmd(void *arg);
double network_testpmd_alone(void *arg);
/** network_testpmd_missing - why there can be no figure; NULL: there can. Starts it. */
const char *network_testpmd_missing(void *arg);
const char *network_testpmd_alone_missing(void *arg);
void network_testpmd_stop(void);

#endif
