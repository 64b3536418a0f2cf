/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests/bench/storage measures: the same reads against several back ends, each behind one small interface, driven
 * by one loop that checks the data of each read.
 */
#ifndef BENCH_STORAGE_H
#define BENCH_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define STORAGE_IMAGE_LEN (64u << 20)
#define STORAGE_PIECE	  4096u	     /* of the image; begins with its own number, 32 bits little-endian */
#define STORAGE_AREA	  (1u << 20) /* bytes of buffers of a target: depth * len of a load at most */
#define STORAGE_DEPTH_MAX 32u
#define STORAGE_SPIN_NS	  50000u /* budget of those that poll, ours and the peer's */

/*
 * Who looks for work, and where they run. What a wake-up from one CPU to another costs is the machine's, most of all if
 * that is a virtual one, and is more than a read; and the scheduler puts two threads onto one CPU now and not then. So
 * guest and back end, which run in turn, are on one CPU, but for those that spin and those that say so.
 */
enum storage_mode {
	STORAGE_EVENTS,	    /* both sleep until they are told; on one CPU */
	STORAGE_EVENTS_OWN, /* the same, each on a CPU of its own */
	STORAGE_SPIN,	    /* both look without a pause, and want no interrupts; each on a CPU of its own */
};

struct storage_target;

/* How a back end is asked. All return a negative errno if it fails. */
struct storage_target_ops {
	/* Ask for @len bytes at @offset into the buffer at @slot * @len of the area. */
	int (*put)(struct storage_target *target, unsigned int slot, uint64_t offset, uint32_t len);
	int (*get)(struct storage_target *target);  /* slot of a read that is done; -EAGAIN */
	int (*wait)(struct storage_target *target); /* until there is something to get */
	void (*stop)(struct storage_target *target);
};

/* A back end that runs. */
struct storage_target {
	const struct storage_target_ops *ops;
	clockid_t clock; /* CPU time of all its threads */
	uint8_t *area;	 /* STORAGE_AREA bytes */
	enum storage_mode mode;
	uint64_t kicks, interrupts;
};

/* How to start ours. */
struct storage_ours {
	const char *program; /* from the folder of the benchmark */
	uint8_t number;	     /* of the instance */
	enum storage_mode mode;
	const int *images; /* one for each LUN */
	size_t luns;
};

/** storage_ours_start - our vsp-storaged with a fake guest. Return: 0 or a negative errno. */
int storage_ours_start(const struct storage_ours *ours, struct storage_target **ret);
/** storage_ours_private - KiB of private memory of the process, guest memory and state blocks apart, after one read
 * from each LUN; -1. */
double storage_ours_private(struct storage_target *target);

/** storage_ours_observed - nanoseconds that reads have taken in all, as its statistics say. */
uint64_t storage_ours_observed(struct storage_target *target);

/** storage_qsd_installed - whether there is a qemu-storage-daemon. */
bool storage_qsd_installed(void);
/** storage_qsd_start - qemu-storage-daemon with a vhost-user-blk export of @image. Return: 0 or a negative errno. */
int storage_qsd_start(int image, bool direct, enum storage_mode mode, struct storage_target **ret);

/** storage_floor_start - io_uring in this process: a fixed file, fixed buffers. */
int storage_floor_start(int image, struct storage_target **ret);

/** storage_pin_guest, storage_pin_service - this thread, and what it starts, runs where @mode says, if there are so
 * many CPUs. */
void storage_pin_guest(enum storage_mode mode);
void storage_pin_service(enum storage_mode mode);

#endif
