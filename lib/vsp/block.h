/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel's state block: all that a successor of this VSP needs to go on with an open channel. It is a memfd that the
 * worker makes (of the size that the VSP named in its offer) and keeps; the VSP writes it. This layout is also the
 * saved and migrated form: it changes only together with BLOCK_VERSION.
 *
 * Theory of operation: block.c holds the only stores into a block, so that their order can be read in one place.
 *
 *   accept    block_accept():   the slot is full -> slot.state = ACCEPTED -> header.accepted;
 *             the caller then publishes the ring's read_index.
 *             slot.accepted repeats header.accepted, so that a death between the two stores shows: the one ACCEPTED
 *             slot whose sequence is one ahead is the newest, and its cursor counts.
 *   outcome   block_outcome():  reply bytes -> slot.state = DONE. It waits there for room in the ring.
 *   commit    block_commit_add() for each completion that was written into the ring, then
 *             block_commit_begin(): old and new write index -> commit.valid;
 *             the caller then publishes write_index;
 *             block_commit_end():   header.out_write -> slots FREE -> commit.valid = 0.
 *
 * At most one commit is under way. A successor that finds commit.valid compares the ring's write_index with new_write:
 * equal, the guest may have seen all of it, and the slots are to be freed; else the index is to be published again (the
 * bytes are in the ring). What a guest did to write_index itself concerns only that guest.
 *
 * Limits: BLOCK_SLOTS_MAX slots, BLOCK_RANGES_MAX ranges in a request, BLOCK_BYTES_MAX in all.
 */
#ifndef VSP_BLOCK_H
#define VSP_BLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/mem.h"

#define BLOCK_MAGIC	     0x4b4c4248u /* "HBLK" */
#define BLOCK_VERSION	     1u
#define BLOCK_SLOTS_MAX	     1024u
#define BLOCK_RANGES_MAX     68u /* 65 pages of a 256 KiB transfer that starts within a page, and room */
#define BLOCK_PACKET_DEFAULT 1024u
#define BLOCK_PACKET_MAX     32768u
#define BLOCK_REPLY_DEFAULT  128u
#define BLOCK_REPLY_MAX	     16384u
#define BLOCK_STATE_MAX	     65536u
#define BLOCK_BYTES_MAX	     (64u << 20)

/* What a block's size follows from. */
struct block_geometry {
	uint32_t slots;	     /* 1..BLOCK_SLOTS_MAX */
	uint32_t packet_max; /* bytes of the longest packet from the guest, descriptor included */
	uint32_t reply_max;  /* bytes of the longest completion payload */
	uint32_t state_len;  /* bytes of the device's own negotiated state */
};

enum block_slot_state {
	BLOCK_SLOT_FREE = 0,
	BLOCK_SLOT_ACCEPTED = 1, /* the request is ours; it must be completed exactly once */
	BLOCK_SLOT_DONE = 2,	 /* executed; its completion is not yet published */
};

/* One request. Everything but state is valid only while state is not FREE. Behind it: the packet, then the reply. */
struct block_slot {
	_Atomic uint32_t state; /* enum block_slot_state */
	uint16_t type;		/* VMPACKET_... */
	uint16_t flags;
	uint64_t accepted; /* sequence and cursor, as header.accepted was to become */
	uint64_t transaction_id;
	uint32_t packet_len; /* of the whole packet, descriptor included */
	uint32_t payload_offset;
	int32_t data_error; /* of the page list: 0 or a negative errno */
	uint32_t data_len;
	uint32_t ranges; /* checked against guest memory */
	uint32_t reply_len;
	uint64_t reserved[2];
	struct guest_range range[BLOCK_RANGES_MAX];
	uint8_t bytes[]; /* packet_max, then reply_max */
};

/* The publication that is under way. */
struct block_commit {
	_Atomic uint32_t valid;
	uint32_t old_write;
	uint32_t new_write;
	uint32_t reserved[13];
	uint64_t slots[BLOCK_SLOTS_MAX / 64]; /* bit n: it completes slot n */
};

/* At offset 0. Offsets and sizes are in bytes, multiples of 64; they never change after block_format(). */
struct block_header {
	_Atomic uint32_t magic; /* stored last */
	uint32_t version;
	uint32_t bytes; /* of the block */
	uint32_t slots;
	uint32_t slot_stride;
	uint32_t slots_offset;
	uint32_t packet_max; /* multiples of 8 */
	uint32_t reply_max;
	uint32_t state_offset;
	uint32_t state_len;
	uint32_t in_data_len; /* of the ring that we read, without its header */
	uint32_t out_data_len;
	uint64_t reserved0[2];
	_Atomic uint64_t accepted;  /* sequence of the last accept << 32 | private read cursor */
	_Atomic uint32_t out_write; /* private write cursor: all before it is published */
	uint32_t reserved1;
	uint64_t reserved2[6];
	struct block_commit commit;
};

/* A mapped block. */
struct block {
	struct block_header *header;
	size_t len;
};

/** block_size - bytes of a block, a multiple of the page size; 0 if @geometry is beyond a limit. */
size_t block_size(const struct block_geometry *geometry);

/**
 * block_format - map a memfd and make an empty block of it; whatever it held is gone.
 * @fd: stays the caller's; at least block_size() bytes long.
 * @in_data_len, @out_data_len: bytes of data in both rings; the cursors begin at @in_read and @out_write.
 * Return: 0; -EINVAL (geometry, or the memfd is too short); what mmap or fstat refused.
 */
int block_format(struct block *block, int fd, const struct block_geometry *geometry, uint32_t in_data_len,
		 uint32_t out_data_len, uint32_t in_read, uint32_t out_write);

/** block_done - unmap. A zeroed block is allowed. */
void block_done(struct block *block);

/** block_state - the device's own state area. */
static inline void *block_state(const struct block *block)
{
	return (uint8_t *)block->header + block->header->state_offset;
}

/** block_slot - slot @n, which must exist. */
static inline struct block_slot *block_slot(const struct block *block, uint32_t n)
{
	const struct block_header *header = block->header;

	return (struct block_slot *)((uint8_t *)block->header + header->slots_offset + (size_t)n * header->slot_stride);
}

/** block_slot_packet, block_slot_reply - where the slot's packet (packet_max bytes) and reply (reply_max bytes) lie. */
static inline uint8_t *block_slot_packet(const struct block *block, uint32_t n)
{
	return block_slot(block, n)->bytes;
}

static inline uint8_t *block_slot_reply(const struct block *block, uint32_t n)
{
	return block_slot(block, n)->bytes + block->header->packet_max;
}

/**
 * block_accept - slot @n, filled by the caller, becomes a request, and @in_read the private read cursor, at once.
 * The ring's read_index may be published afterwards, not before.
 */
void block_accept(struct block *block, uint32_t n, uint32_t in_read);

/** block_outcome - the request in slot @n is executed and answers with @len bytes of @reply (@len at most reply_max).
 */
void block_outcome(struct block *block, uint32_t n, const void *reply, uint32_t len);

/** block_commit_add - the next commit publishes the completion of slot @n. */
void block_commit_add(struct block *block, uint32_t n);

/** block_commit_begin - write_index is about to go from @old_write to @new_write. */
void block_commit_begin(struct block *block, uint32_t old_write, uint32_t new_write);

/** block_commit_end - write_index is published: the commit's slots are free. */
void block_commit_end(struct block *block);

/** block_release - free slot @n, whose request wants no completion. */
void block_release(struct block *block, uint32_t n);

#endif
