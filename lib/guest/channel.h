/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open VMBus channel: two rings, the eventfd that the guest kicks, and the way to signal the guest.
 *
 * Theory of operation: the guest's kick makes kick_fd readable. The owner clears it, masks further kicks, drains the
 * ring, publishes what it read and wrote with channel_commit(), unmasks, and looks once more. To signal, the bit
 * `relid` is set in the event flags of the channel's vCPU, wherever the signal cell says they are now, and the irqfd is
 * fired: always, even if the bit was set already, because an interrupt that got lost would otherwise stick the channel
 * for ever. While a vCPU has no event flags page nothing is signalled: the worker raises every open channel of a vCPU
 * whose page or vector changes.
 *
 * Limits: CHANNEL_RELID_MAX. All functions run on the thread that owns the channel.
 */
#ifndef GUEST_CHANNEL_H
#define GUEST_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/mem.h"
#include "guest/ring.h"
#include "guest/signal.h"

#define CHANNEL_RELID_MAX   2047u
#define CHANNEL_FLAGS_BYTES 256u

/* Signal cells as a process maps them. */
struct signal_map {
	struct signal_cells *cells;
	size_t len;
	uint32_t cpus;
};

/**
 * signal_map_init - map the worker's signal cells.
 * @fd: stays the caller's.
 * Return: 0; -EINVAL (not signal cells of this version, or shorter than they say); what mmap or fstat refused.
 */
int signal_map_init(struct signal_map *map, int fd);
/** signal_map_done - unmap; zeroed is allowed. */
void signal_map_done(struct signal_map *map);

/* Where a predecessor stopped; inside their rings. */
struct channel_cursors {
	uint32_t in_read, out_write;
};

/* What a channel is made of, as the worker says it. */
struct channel_params {
	const struct guest_range *ring; /* whole pages: both rings, the guest's outgoing one first */
	size_t ring_ranges;
	uint32_t downstream_page; /* first page of the ring that runs host to guest */
	uint32_t relid;		  /* 1..CHANNEL_RELID_MAX */
	uint32_t target_vp;
	int kick_fd, irq_fd; /* eventfds, made non-blocking; the channel takes them over if channel_init() succeeds */
};

/* Invariant: both rings are mapped, both descriptors are open. */
struct channel {
	const struct guest_mem *mem;
	const struct signal_map *cells;
	struct ring in_ring, out_ring;
	struct ring_reader in;	/* guest to host */
	struct ring_writer out; /* host to guest */
	int kick_fd, irq_fd;
	uint32_t relid;
	uint32_t target_vp;
	uint64_t signals; /* that the guest was sent */
	uint64_t quiet;	  /* publications that it need not be told of */
};

/**
 * channel_init - map the rings of a channel that the guest has just opened; both begin where the guest's indices stand.
 * @mem, @cells: outlive the channel.
 * Return: 0; -EINVAL (pages, relid or vCPU); -EPROTO (indices); -E2BIG; -ENOMEM.
 */
int channel_init(struct channel *channel, const struct guest_mem *mem, const struct signal_map *cells,
		 const struct channel_params *params);

/**
 * channel_map - channel_init() without looking at the rings' indices: channel_start() or channel_resume() follows.
 * Return: as channel_init(), but never -EPROTO.
 */
int channel_map(struct channel *channel, const struct guest_mem *mem, const struct signal_map *cells,
		const struct channel_params *params);

/** channel_start - begin where the guest's indices stand. Return: 0 or -EPROTO. */
int channel_start(struct channel *channel);

/** channel_resume - go on where a predecessor stopped; both indices are published. Return: 0 or -EPROTO (not inside the
 * rings). */
int channel_resume(struct channel *channel, const struct channel_cursors *cursors);

/** channel_done - unmap, close. The guest may use its pages for something else afterwards. */
void channel_done(struct channel *channel);

/** channel_clear_kick - take the kick off the eventfd. Call before draining. Return: how often the guest has kicked. */
uint64_t channel_clear_kick(struct channel *channel);

/**
 * channel_commit - publish what was read and written; signal the guest once if it must be.
 * Return: 0 or -EPROTO: the rings are corrupt.
 */
int channel_commit(struct channel *channel);

/** channel_signal - signal the guest now. */
void channel_signal(struct channel *channel);

/** channel_retarget - signals go to @vp from now on. Return: 0 or -EINVAL (no such vCPU). */
int channel_retarget(struct channel *channel, uint32_t vp);

#endif
