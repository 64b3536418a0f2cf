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

bool block_layout(const struct block_geometry *geometry, struct block_header *ret)
{
	size_t end;

	if (geometry->slots == 0 || geometry->slots > BLOCK_SLOTS_MAX || geometry->packet_max > BLOCK_PACKET_MAX ||
	    geometry->reply_max > BLOCK_REPLY_MAX || geometry->state_len > BLOCK_STATE_MAX)
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
	end = ALIGN_UP(ret->slots_offset + (size_t)ret->slots * ret->slot_stride, (size_t)GUEST_PAGE_SIZE);
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
	atomic_store_explicit(&header->magic, 0, memory_order_seq_cst);
	fresh.in_data_len = in_data_len;
	fresh.out_data_len = out_data_len;
	atomic_init(&fresh.accepted, in_read);
	atomic_init(&fresh.out_write, out_write);
	memcpy(header, &fresh, sizeof(fresh));
	memset((uint8_t *)header + fresh.state_offset, 0, fresh.state_len);
	*block = (struct block){.header = header, .len = fresh.bytes};
	for (uint32_t i = 0; i < fresh.slots; i++)
		if (atomic_load_explicit(&block_slot(block, i)->state, memory_order_relaxed) != BLOCK_SLOT_FREE)
			atomic_store_explicit(&block_slot(block, i)->state, BLOCK_SLOT_FREE, memory_order_relaxed);
	/* release: pairs with a successor's acquire of the magic; all of the above comes before */
	atomic_store_explicit(&header->magic, BLOCK_MAGIC, memory_order_release);
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
	/* release: pairs with a successor's acquire of the state; the slot is whole before it counts */
	atomic_store_explicit(&slot->state, BLOCK_SLOT_ACCEPTED, memory_order_release);
	DEATH(ACCEPT_SLOT);
	/* release: the slot before the cursor; a successor that finds the slot one ahead takes the cursor from it */
	atomic_store_explicit(&header->accepted, slot->accepted, memory_order_release);
	DEATH(ACCEPT_CURSOR);
}

void block_store_state(struct block *block, uint32_t n)
{
	struct block_header *header = block->header;
	uint32_t half = header->state_len / 2;

	memcpy(block_state(block), block_slot_state(block, n), half);
	DEATH(OUTCOME_STATE);
	memcpy((uint8_t *)block_state(block) + half, block_slot_state(block, n) + half, header->state_len - half);
	/* release: pairs with a successor's acquire; until then it stores the whole state again */
	atomic_store_explicit(&header->state_sequence, block_slot(block, n)->state_sequence, memory_order_release);
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
	/* release: pairs with a successor's acquire of the state; the reply is whole before the request counts as
	 * executed */
	atomic_store_explicit(&slot->state, BLOCK_SLOT_DONE, memory_order_release);
	DEATH(OUTCOME_DONE);
	if (state)
		block_store_state(block, n);
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

void block_commit_begin(struct block *block, uint32_t old_write, uint32_t new_write)
{
	struct block_commit *commit = &block->header->commit;
	uint32_t completed = atomic_load_explicit(&block->header->completed, memory_order_relaxed);

	for (uint32_t word = 0; word < words(block); word++)
		completed += (uint32_t)__builtin_popcountll(commit->slots[word]);
	commit->old_write = old_write;
	commit->new_write = new_write;
	commit->completed = completed;
	DEATH(COMMIT_RECORD);
	/* release: pairs with a successor's acquire of valid; and it precedes the publication of write_index, which is
	 * a release too */
	atomic_store_explicit(&commit->valid, 1, memory_order_release);
	DEATH(COMMIT_VALID);
}

static void free_committed(struct block *block)
{
	const struct block_commit *commit = &block->header->commit;

	for (uint32_t word = 0; word < words(block); word++) {
		for (uint64_t left = commit->slots[word]; left != 0; left &= left - 1) {
			uint32_t n = word * 64 + (uint32_t)__builtin_ctzll(left);

			atomic_store_explicit(&block_slot(block, n)->state, BLOCK_SLOT_FREE, memory_order_release);
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

	/* release, each: a successor that dies with us in between finds the record still valid, and may do all of this
	 * again */
	atomic_store_explicit(&header->out_write, commit->new_write, memory_order_release);
	DEATH(COMMIT_CURSOR);
	atomic_store_explicit(&header->completed, commit->completed, memory_order_release);
	DEATH(COMMIT_COUNTED);
	free_committed(block);
	atomic_store_explicit(&commit->valid, 0, memory_order_release);
	DEATH(COMMIT_OVER);
	block_clear_commit(block);
}

void block_set_failed(struct block *block)
{
	atomic_store_explicit(&block->header->failed, 1, memory_order_release);
}

void block_set_trial(struct block *block, uint32_t n)
{
	atomic_store_explicit(&block->header->trial, n + 1, memory_order_release);
	DEATH(RECOVER_TRIAL);
}

void block_end_trial(struct block *block)
{
	atomic_store_explicit(&block->header->trial, 0, memory_order_release);
}
