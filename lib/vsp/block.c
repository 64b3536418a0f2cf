/* SPDX-License-Identifier: Apache-2.0 */
#include "vsp/block.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/death.h"
#include "vsp/block_int.h"

_Static_assert(sizeof(struct block_slot) % BLOCK_ALIGN == 0, "slots are laid out in cache lines");
_Static_assert(sizeof(struct block_header) % BLOCK_ALIGN == 0, "what follows the header is aligned");

/*
 * Every store that a successor's decisions hang on. A process dies between two of its instructions, so what counts is
 * their order. release: what comes before is in the block before it, also for a successor on another CPU. The fence is
 * for the compiler: a release alone lets it move what comes *after* (the next record, the next state) before it.
 */
static void store32(_Atomic uint32_t *at, uint32_t value)
{
	atomic_store_explicit(at, value, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

static void store64(_Atomic uint64_t *at, uint64_t value)
{
	atomic_store_explicit(at, value, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

bool block_layout(const struct block_geometry *geometry, struct block_header *ret)
{
	size_t end;

	if (geometry->slots == 0 || geometry->slots > BLOCK_SLOTS_MAX || geometry->packet_max > BLOCK_PACKET_MAX ||
	    geometry->reply_max > BLOCK_REPLY_MAX || geometry->state_len > BLOCK_STATE_MAX ||
	    geometry->table_len > BLOCK_TABLE_MAX || geometry->table_len % sizeof(uint64_t))
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->version = BLOCK_VERSION;
	ret->slots = geometry->slots;
	ret->packet_max = ALIGN_UP(geometry->packet_max, 8u);
	ret->reply_max = ALIGN_UP(geometry->reply_max, 8u);
	ret->slot_stride = ALIGN_UP((uint32_t)sizeof(struct block_slot) + ret->packet_max + ret->reply_max +
					    ALIGN_UP(geometry->state_len, 8u),
				    BLOCK_ALIGN);
	ret->state_offset = sizeof(struct block_header);
	ret->state_len = geometry->state_len;
	ret->state_version = geometry->state_version;
	ret->slots_offset = ALIGN_UP(ret->state_offset + ret->state_len, BLOCK_ALIGN);
	end = ret->slots_offset + (size_t)ret->slots * ret->slot_stride;
	if (end > BLOCK_BYTES_MAX)
		return false;
	if (geometry->table_len > 0) {
		ret->table_offset = (uint32_t)end; /* slots are laid out in cache lines */
		ret->table_len = geometry->table_len;
	}
	end = ALIGN_UP(end + ret->table_len, (size_t)GUEST_PAGE_SIZE);
	if (end > BLOCK_BYTES_MAX)
		return false;
	ret->bytes = (uint32_t)end;
	return true;
}

size_t block_size(const struct block_geometry *geometry)
{
	struct block_header header;

	return block_layout(geometry, &header) ? header.bytes : 0;
}

int block_format(struct block *block, int fd, const struct block_geometry *geometry, uint32_t in_data_len,
		 uint32_t out_data_len, uint32_t in_read, uint32_t out_write)
{
	struct block_header fresh, *header;
	struct stat st;

	if (!block_layout(geometry, &fresh))
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)fresh.bytes)
		return -EINVAL;
	header = mmap(NULL, fresh.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (header == MAP_FAILED)
		return -errno;
	(void)madvise(header, fresh.bytes, MADV_DONTDUMP);

	/* While the magic is missing nobody takes the rest for a block. */
	store32(&header->magic, 0);
	fresh.in_data_len = in_data_len;
	fresh.out_data_len = out_data_len;
	atomic_init(&fresh.accepted, in_read);
	atomic_init(&fresh.out_write, out_write);
	memcpy(header, &fresh, sizeof(fresh));
	memset((uint8_t *)header + fresh.state_offset, 0, fresh.state_len);
	memset((uint8_t *)header + fresh.table_offset, 0, fresh.table_len);
	*block = (struct block){.header = header, .len = fresh.bytes};
	for (uint32_t i = 0; i < fresh.slots; i++)
		if (atomic_load_explicit(&block_slot(block, i)->state, memory_order_relaxed) != BLOCK_SLOT_FREE)
			atomic_store_explicit(&block_slot(block, i)->state, BLOCK_SLOT_FREE, memory_order_relaxed);
	/* pairs with a successor's acquire of the magic; all of the above comes before */
	store32(&header->magic, BLOCK_MAGIC);
	DEATH_BLOCK(header);
	return 0;
}

void block_done(struct block *block)
{
	if (block->header)
		munmap(block->header, block->len);
	memset(block, 0, sizeof(*block));
}

void block_accept(struct block *block, uint32_t n, uint32_t in_read)
{
	struct block_header *header = block->header;
	struct block_slot *slot = block_slot(block, n);
	uint64_t sequence = (atomic_load_explicit(&header->accepted, memory_order_relaxed) >> 32) + 1;

	slot->accepted = sequence << 32 | in_read;
	DEATH(ACCEPT_FILLED);
	/* pairs with a successor's acquire of the state; the slot is whole before it counts */
	store32(&slot->state, BLOCK_SLOT_ACCEPTED);
	DEATH(ACCEPT_SLOT);
	/* The slot before the cursor: a successor that finds the slot one ahead takes the cursor from it. */
	block_store_accepted(block, n);
	DEATH(ACCEPT_CURSOR);
}

void block_store_accepted(struct block *block, uint32_t n)
{
	store64(&block->header->accepted, block_slot(block, n)->accepted);
}

void block_set_cursor(struct block *block, uint32_t in_read)
{
	uint64_t accepted = atomic_load_explicit(&block->header->accepted, memory_order_relaxed);

	DEATH(OWN_TOLD);
	/* pairs with a successor's look at it: who was told of what lies before has stored what it makes of that */
	store64(&block->header->accepted, (accepted & ~(uint64_t)UINT32_MAX) | in_read);
	DEATH(OWN_CURSOR);
}

void block_store_state(struct block *block, uint32_t n)
{
	struct block_header *header = block->header;
	uint32_t half = header->state_len / 2;

	memcpy(block_state(block), block_slot_state(block, n), half);
	DEATH(OUTCOME_STATE);
	memcpy((uint8_t *)block_state(block) + half, block_slot_state(block, n) + half, header->state_len - half);
	/* Until here a successor stores the whole state again. */
	store32(&header->state_sequence, block_slot(block, n)->state_sequence);
	DEATH(OUTCOME_SEQUENCE);
}

uint32_t block_next_state_sequence(const struct block *block)
{
	uint32_t next = atomic_load_explicit(&block->header->state_sequence, memory_order_relaxed) + 1;

	return next ? next : 1;
}

void block_outcome(struct block *block, uint32_t n, const void *reply, uint32_t len, const void *state)
{
	struct block_slot *slot = block_slot(block, n);

	assert(len <= block->header->reply_max);
	if (len > 0)
		memcpy(block_slot_reply(block, n), reply, len);
	slot->reply_len = len;
	slot->state_sequence = state ? block_next_state_sequence(block) : 0;
	if (state)
		memcpy(block_slot_state(block, n), state, block->header->state_len);
	DEATH(OUTCOME_REPLY);
	/* pairs with a successor's acquire of the state; the reply is whole before the request counts as executed, and
	 * the device's state is the old one until then */
	store32(&slot->state, BLOCK_SLOT_DONE);
	DEATH(OUTCOME_DONE);
	if (state)
		block_store_state(block, n);
}

void block_mark(struct block *block, uint32_t n, uint32_t mark)
{
	/* pairs with a successor's read after the fence: what the device does next comes after the mark */
	store32(&block_slot(block, n)->mark, mark);
	DEATH(MARKED);
}

void block_set_state_word(struct block *block, size_t offset, uint64_t value)
{
	assert(offset % 8 == 0 && offset + 8 <= block->header->state_len);
	store64((_Atomic uint64_t *)((uint8_t *)block_state(block) + offset), value);
}

void block_commit_add(struct block *block, uint32_t n)
{
	block->header->commit.slots[n / 64] |= UINT64_C(1) << (n % 64);
	DEATH(COMMIT_ADD);
}

static uint32_t words(const struct block *block)
{
	return ALIGN_UP(block->header->slots, 64u) / 64;
}

void block_commit_begin(struct block *block, uint32_t old_write, uint32_t new_write, uint64_t sent)
{
	struct block_commit *commit = &block->header->commit;
	uint32_t completed = atomic_load_explicit(&block->header->completed, memory_order_relaxed);

	for (uint32_t word = 0; word < words(block); word++)
		completed += (uint32_t)__builtin_popcountll(commit->slots[word]);
	commit->old_write = old_write;
	commit->new_write = new_write;
	commit->completed = completed;
	commit->sent = sent;
	DEATH(COMMIT_RECORD);
	/* pairs with a successor's acquire of valid; the record is whole before, and write_index is published after */
	store32(&commit->valid, 1);
	DEATH(COMMIT_VALID);
}

static void free_committed(struct block *block)
{
	const struct block_commit *commit = &block->header->commit;

	for (uint32_t word = 0; word < words(block); word++) {
		for (uint64_t left = commit->slots[word]; left != 0; left &= left - 1) {
			uint32_t n = word * 64 + (uint32_t)__builtin_ctzll(left);

			store32(&block_slot(block, n)->state, BLOCK_SLOT_FREE);
			DEATH(COMMIT_FREE);
		}
	}
}

void block_clear_commit(struct block *block)
{
	for (uint32_t word = 0; word < words(block); word++)
		block->header->commit.slots[word] = 0;
}

void block_commit_end(struct block *block)
{
	struct block_header *header = block->header;
	struct block_commit *commit = &header->commit;

	/* Until the record is not valid any more a successor does all of this again; its bits must live as long. */
	store32(&header->out_write, commit->new_write);
	DEATH(COMMIT_CURSOR);
	store32(&header->completed, commit->completed);
	DEATH(COMMIT_COUNTED);
	if (commit->sent != atomic_load_explicit(&header->sent, memory_order_relaxed)) {
		store64(&header->sent, commit->sent);
		DEATH(OWN_SENT);
	}
	free_committed(block);
	store32(&commit->valid, 0);
	DEATH(COMMIT_OVER);
	block_clear_commit(block);
}

void block_set_failed(struct block *block)
{
	store32(&block->header->failed, 1);
}

void block_set_trial(struct block *block, uint32_t n)
{
	store32(&block->header->trial, n + 1);
	DEATH(RECOVER_TRIAL);
}

void block_end_trial(struct block *block)
{
	store32(&block->header->trial, 0);
}
