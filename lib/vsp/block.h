/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel's state block: all that a successor of this VSP needs to go on with an open channel. It is a memfd that the
 * worker makes (of the size that the VSP named in its offer) and keeps; the VSP writes it. This layout is also the
 * saved and migrated form: it changes only together with BLOCK_VERSION.
 *
 * Theory of operation: block.c holds all stores into a block whose order counts, so that it can be read in one place.
 *
 *   accept    block_accept():   the slot is full -> slot.state = ACCEPTED -> header.accepted;
 *             the caller then publishes the ring's read_index.
 *             slot.accepted repeats header.accepted, so that a death between the two stores shows: the one ACCEPTED
 *             slot whose sequence is one ahead is the newest, and its cursor counts.
 *   outcome   block_outcome():  reply bytes, and the device's new state if it has one -> slot.state = DONE -> the state
 *             into the state area -> header.state_sequence. A slot waits DONE for room in the ring. A DONE slot whose
 *             state_sequence is one ahead of the header's died in between: its state is stored again.
 *   mark      block_mark():     slot.mark, while the slot is ACCEPTED: what a successor that does the request again
 *             must know of the first time, before it takes effect.
 *   word      block_set_state_word(): one store; no outcome is under way, so that nothing older is stored again.
 *   cursor    block_set_cursor(): header.accepted, with the cursor behind packets that took no slot: completions of
 * what we have sent. Whoever must know of them has been told before; a successor that reads them again tells it again.
 *   commit    block_commit_add() for each completion that was written into the ring, and for each request that wants
 *             none, then block_commit_begin(): old and new write index, the new count of completions, the number of
 *             the last packet of our own before the new write index -> commit.valid; the caller then publishes
 *             write_index;
 *             block_commit_end():   header.out_write -> header.completed -> header.sent -> slots FREE ->
 *             commit.valid = 0.
 *   table     words of the device's own, each stored by itself, by the device. What they say of packets of our own that
 *             have larger numbers than were sent (block_recovery.sent) is of packets that never left.
 *
 * At most one commit is under way. A successor that finds commit.valid publishes new_write again (the bytes are in the
 * ring; if the predecessor had published it the guest may have seen all of it) and ends the commit; without it, bits
 * that are set are from a commit that never began. What a guest did to write_index itself concerns only that guest.
 *
 * Sequence numbers and the count of completions are 32 bits and wrap: accepted - completed = slots in use, always. What
 * is missing there was lost, what is too much was completed twice; recovery says how many.
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

#define BLOCK_MAGIC 0x4b4c4248u /* "HBLK" */
#ifndef BLOCK_VERSION		/* a test build has another one */
#define BLOCK_VERSION 2u
#endif
#define BLOCK_VERSION_OLDEST 1u /* that can be recovered: it has no packets of our own and no table */
#define BLOCK_SLOTS_MAX	     1024u
#define BLOCK_RANGES_MAX     68u /* 65 pages of a 256 KiB transfer that starts within a page, and room */
#define BLOCK_PACKET_DEFAULT 1024u
#define BLOCK_PACKET_MAX     32768u
#define BLOCK_REPLY_DEFAULT  128u
#define BLOCK_REPLY_MAX	     16384u
#define BLOCK_STATE_MAX	     65536u
#define BLOCK_TABLE_MAX	     (1u << 20)
#define BLOCK_BYTES_MAX	     (64u << 20)

/* What a block's size follows from. */
struct block_geometry {
	uint32_t slots;	     /* 1..BLOCK_SLOTS_MAX */
	uint32_t packet_max; /* bytes of the longest packet from the guest, descriptor included */
	uint32_t reply_max;  /* bytes of the longest completion payload */
	uint32_t state_len;  /* bytes of the device's own negotiated state */
	uint32_t state_version;
	uint32_t table_len; /* bytes of the device's own words, a multiple of 8 */
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
	uint32_t state_sequence; /* DONE: the state behind the reply is the device's; 0: it has none */
	_Atomic uint32_t mark;	 /* the device's: how far it has come with the request; 0: it has just begun */
	uint64_t reserved1;
	struct guest_range range[BLOCK_RANGES_MAX];
	uint8_t bytes[]; /* packet_max, then reply_max, then state_len */
};

/* The publication that is under way. */
struct block_commit {
	_Atomic uint32_t valid;
	uint32_t old_write;
	uint32_t new_write;
	uint32_t completed; /* what header.completed becomes */
	uint64_t sent;	    /* what header.sent becomes */
	uint32_t reserved[10];
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
	uint32_t state_version;
	uint32_t table_offset; /* 0: there is none */
	uint32_t table_len;
	uint32_t reserved0;
	_Atomic uint64_t accepted;	 /* sequence of the last accept << 32 | private read cursor */
	_Atomic uint32_t out_write;	 /* private write cursor: all before it is published */
	_Atomic uint32_t completed;	 /* requests that were completed, in all */
	_Atomic uint32_t state_sequence; /* of the device's state; 0 is skipped */
	_Atomic uint32_t failed;	 /* 1: the guest broke the protocol: nothing is read or written any more */
	_Atomic uint32_t trial;		 /* slot + 1 that is replayed alone, 0: none */
	uint32_t reserved1;
	_Atomic uint64_t sent; /* packets of our own that were published, in all: the number of the last */
	uint64_t reserved2[3];
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

/** block_table - the device's own words; NULL if there are none. */
static inline _Atomic uint64_t *block_table(const struct block *block)
{
	const struct block_header *header = block->header;

	return header->table_len ? (_Atomic uint64_t *)((uint8_t *)block->header + header->table_offset) : NULL;
}

/** block_slot - slot @n, which must exist. */
static inline struct block_slot *block_slot(const struct block *block, uint32_t n)
{
	const struct block_header *header = block->header;

	return (struct block_slot *)((uint8_t *)block->header + header->slots_offset + (size_t)n * header->slot_stride);
}

/** block_slot_sequence - of the request in slot @n; block_next_sequence - of the one that is accepted next. */
static inline uint32_t block_slot_sequence(const struct block *block, uint32_t n)
{
	return (uint32_t)(block_slot(block, n)->accepted >> 32);
}

static inline uint32_t block_next_sequence(const struct block *block)
{
	return (uint32_t)(atomic_load_explicit(&block->header->accepted, memory_order_relaxed) >> 32) + 1;
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

/** block_slot_state - where the device's new state lies, state_len bytes. */
static inline uint8_t *block_slot_state(const struct block *block, uint32_t n)
{
	return block_slot_reply(block, n) + block->header->reply_max;
}

/**
 * block_accept - slot @n, filled by the caller, becomes a request, and @in_read the private read cursor, at once.
 * The ring's read_index may be published afterwards, not before.
 */
void block_accept(struct block *block, uint32_t n, uint32_t in_read);

/** block_set_cursor - the private read cursor becomes @in_read: no request lies between. The ring's read_index may be
 * published afterwards, not before. */
void block_set_cursor(struct block *block, uint32_t in_read);

/**
 * block_outcome - the request in slot @n is executed and answers with @len bytes of @reply (@len at most reply_max).
 * @state: state_len bytes that the device's state becomes with it; NULL: it stays.
 */
void block_outcome(struct block *block, uint32_t n, const void *reply, uint32_t len, const void *state);

/** block_mark - a successor that finds the request in slot @n ACCEPTED finds @mark with it. */
void block_mark(struct block *block, uint32_t n, uint32_t mark);

/** block_set_state_word - eight bytes of the state area at @offset, a multiple of 8, become @value at once. Not between
 * block_outcome()'s stores. */
void block_set_state_word(struct block *block, size_t offset, uint64_t value);

/** block_commit_add - the next commit publishes the completion of slot @n. */
void block_commit_add(struct block *block, uint32_t n);

/** block_commit_begin - write_index is about to go from @old_write to @new_write; @sent: the number of the last packet
 * of our own that lies before. */
void block_commit_begin(struct block *block, uint32_t old_write, uint32_t new_write, uint64_t sent);

/** block_commit_end - write_index is published: the commit's slots are free. */
void block_commit_end(struct block *block);

/** block_set_failed - the channel is to be left alone from now on, by successors too. */
void block_set_failed(struct block *block);

/** block_set_trial - slot @n is about to be replayed alone; block_end_trial() when it is done. */
void block_set_trial(struct block *block, uint32_t n);
void block_end_trial(struct block *block);

/* ---- recovery ---- */

/* What a successor finds. */
struct block_recovery {
	uint32_t in_read, out_write; /* where to go on; to be published */
	uint32_t lost, duplicate;    /* requests that the counters miss, completions that they have too many */
	int trial;		     /* slot that the predecessor was trying alone when it died, -1: none */
	bool failed;
	uint64_t sent;			/* the number of the last packet of its own that counts */
	uint32_t count;			/* slots in use */
	uint16_t slot[BLOCK_SLOTS_MAX]; /* which, in the order in which they were accepted */
};

/**
 * block_check - whether @len bytes are a block that a successor can go on with. Pure; nothing in it is trusted.
 * @expect: state_len, table_len and state_version must fit it, the version being the newest that we know; slots,
 * packet_max, reply_max may differ.
 * @in_data_len, @out_data_len: of the rings.
 * Return: 0; -ENODATA (never formatted); -EPROTONOSUPPORT (of another version of ours); -EPROTO; each with what is
 * wrong in *@ret_why.
 */
int block_check(const void *bytes, size_t len, const struct block_geometry *expect, uint32_t in_data_len,
		uint32_t out_data_len, const char **ret_why);

/**
 * block_attach - map a predecessor's block and check it. It must not change its size any more (a sealed memfd).
 * @fd: stays the caller's.
 * Return: as block_check(); what mmap or fstat refused; -EPERM (not sealed).
 */
int block_attach(struct block *block, int fd, const struct block_geometry *expect, uint32_t in_data_len,
		 uint32_t out_data_len, const char **ret_why);

/**
 * block_recover_begin - put right what a death between two stores left of accepts and of the device's state; say where
 * the rings go on. The caller publishes both cursors, then calls block_recover_end(). Both may be done again by the
 * next successor, whenever this one dies.
 */
void block_recover_begin(struct block *block, struct block_recovery *ret);

/** block_recover_end - finish the predecessor's commit, whose write_index is published; fill in the rest of @recovery.
 */
void block_recover_end(struct block *block, struct block_recovery *recovery);

#endif
