/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest without a VM: memory, event flags, and VMBus channels driven from its side of the rings by the rules of
 * Linux's drivers/hv/ring_buffer.c. Its ring code is its own, not lib/guest's, so that a mistake there does not cancel
 * out. All calls from one thread. Functions without a result abort the test if they fail.
 */
#ifndef SUPPORT_FAKE_GUEST_H
#define SUPPORT_FAKE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/ring.h"
#include "guest/mem.h"
#include "guest/signal.h"

#define FAKE_GUEST_CPUS_MAX 8u
#define FAKE_PACKET_MAX	    8192u
#define FAKE_HEADER_MAX	    528u

struct fake_guest {
	int mem_fd;
	uint8_t *ram; /* gpa 0 is ram[0] */
	size_t ram_len;
	uint64_t next_gpa; /* of the page allocator */
	int cells_fd;
	struct signal_cells *cells;
	uint32_t cpus;
	uint64_t flags_gpa[FAKE_GUEST_CPUS_MAX];
};

/** fake_guest_init - @ram_len bytes of memory at gpa 0, event flags and signal cells for @cpus vCPUs. */
void fake_guest_init(struct fake_guest *guest, size_t ram_len, uint32_t cpus);
void fake_guest_done(struct fake_guest *guest);

/** fake_guest_alloc - @pages pages of zeroed memory. Return: gpa. */
uint64_t fake_guest_alloc(struct fake_guest *guest, size_t pages);
void *fake_guest_ptr(struct fake_guest *guest, uint64_t gpa);
/** fake_guest_map - the same memory as a process of ours maps it. */
void fake_guest_map(struct fake_guest *guest, struct guest_mem *mem);

/* A packet as the guest receives it. */
struct fake_packet {
	uint16_t type, flags;
	uint64_t transaction_id;
	uint32_t header_len;  /* between descriptor and payload */
	uint32_t payload_len; /* with padding */
	uint64_t header[FAKE_HEADER_MAX / 8];
	uint8_t payload[FAKE_PACKET_MAX];
};

struct fake_channel {
	struct fake_guest *guest;
	uint32_t relid, target_vp;
	uint64_t ring_gpa;
	uint32_t ring_pages; /* of each ring, its header included */
	struct ring_header *out, *in;
	uint8_t *out_data, *in_data;
	uint32_t data_len;
	uint32_t out_write, in_read; /* private */
	int kick_fd, irq_fd;
	/* counters */
	uint64_t kicks, interrupts;
};

/** fake_channel_init - two rings of @ring_pages pages each (header included), eventfds. */
void fake_channel_init(struct fake_channel *channel, struct fake_guest *guest, uint32_t relid, uint32_t target_vp,
		       uint32_t ring_pages);
void fake_channel_done(struct fake_channel *channel);
/** fake_channel_reset - empty rings, as a guest prepares them before it opens the channel again. */
void fake_channel_reset(struct fake_channel *channel);

/** fake_put - write a packet, publish, kick if the ring was empty and the host wants kicks.
 * @header: @header_len bytes between descriptor and payload. Return: 0 or -EAGAIN (full). */
int fake_put(struct fake_channel *channel, uint16_t type, uint16_t flags, uint64_t transaction_id, const void *header,
	     size_t header_len, const void *payload, size_t payload_len);

/** fake_put_inband - type 6, completion wanted. */
int fake_put_inband(struct fake_channel *channel, uint64_t transaction_id, const void *payload, size_t len);

/** fake_put_pages - type 9 with one range, as storvsc does it: @data_len bytes from @offset into the pages @pages
 * (gpas). */
int fake_put_pages(struct fake_channel *channel, uint64_t transaction_id, const uint64_t *pages, size_t page_count,
		   uint32_t offset, uint32_t data_len, const void *payload, size_t len);

/** fake_put_completion - type 11: of the host's packet @transaction_id. */
int fake_put_completion(struct fake_channel *channel, uint64_t transaction_id, const void *payload, size_t len);

/** fake_kick - kick whatever the ring says. */
void fake_kick(struct fake_channel *channel);

/** fake_get - next packet from the host; publishes read_index and kicks by the rule of pending_send_size. Return: 0 or
 * -EAGAIN. */
int fake_get(struct fake_channel *channel, struct fake_packet *ret_packet);
/** fake_peek - whether there is one. */
bool fake_peek(const struct fake_channel *channel);

/** fake_mask - no interrupts are wanted: we read. fake_unmask - they are again. Return: whether a packet is there. */
void fake_mask(struct fake_channel *channel);
bool fake_unmask(struct fake_channel *channel);

/** fake_channel_irq - take pending interrupts off the eventfd, waiting up to @timeout_ms. Return: whether there were
 * any. */
bool fake_channel_irq(struct fake_channel *channel, int timeout_ms);
/** fake_channel_take_flag - test and clear this channel's event flag on @vp. */
bool fake_channel_take_flag(struct fake_channel *channel, uint32_t vp);

#endif
