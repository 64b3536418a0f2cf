/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A successor's look at a block, which a hostile or broken predecessor may have left: everything is checked before any
 * of it is used. The predecessor is dead, and nobody else maps the block: it does not change under us.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "abi/ring.h"
#include "base/bytes.h"
#include "base/death.h"
#include "vsp/block_int.h"

/* ---- checks ---- */

static bool index_fits(uint32_t index, uint32_t data_len)
{
	return index < data_len && index % 8 == 0;
}

static uint32_t sequence_of(uint64_t accepted)
{
	return (uint32_t)(accepted >> 32);
}

static uint32_t cursor_of(uint64_t accepted)
{
	return (uint32_t)accepted;
}

/* How far @slot was accepted before the header's sequence: -1 is one ahead of it. */
static int32_t age(const struct block_header *header, const struct block_slot *slot)
{
	return (int32_t)(sequence_of(header->accepted) - sequence_of(slot->accepted));
}

static const char *check_layout(const struct block_header *header, size_t len, const struct block_geometry *expect)
{
	const struct block_geometry geometry = {
		.slots = header->slots,
		.packet_max = header->packet_max,
		.reply_max = header->reply_max,
		.state_len = header->state_len,
		.state_version = header->state_version,
		.table_len = header->table_len,
	};
	struct block_header own;

	if (header->state_len != expect->state_len)
		return "the device's state has another length";
	if (header->table_len != expect->table_len)
		return "the device's table has another length";
	if (!block_layout(&geometry, &own) || own.packet_max != header->packet_max ||
	    own.reply_max != header->reply_max || own.slot_stride != header->slot_stride ||
	    own.state_offset != header->state_offset || own.slots_offset != header->slots_offset ||
	    own.table_offset != header->table_offset || own.bytes != header->bytes || own.bytes > len)
		return "its layout is not one of ours";
	return NULL;
}

static const char *check_cursors(const struct block_header *header, uint32_t in_data_len, uint32_t out_data_len)
{
	const struct block_commit *commit = &header->commit;

	if (header->in_data_len != in_data_len || header->out_data_len != out_data_len)
		return "its rings have another length";
	if (!index_fits(cursor_of(header->accepted), in_data_len) || !index_fits(header->out_write, out_data_len))
		return "a cursor is outside its ring";
	if (commit->valid > 1 || header->failed > 1 || header->trial > header->slots)
		return "a mark is out of range";
	if (commit->valid && commit->sent < header->sent)
		return "its commit takes packets back";
	if (commit->valid &&
	    (!index_fits(commit->old_write, out_data_len) || !index_fits(commit->new_write, out_data_len)))
		return "its commit is outside the ring";
	return NULL;
}

static const char *check_slot(const struct block_header *header, const struct block_slot *slot, uint32_t in_data_len)
{
	if (slot->state > BLOCK_SLOT_DONE)
		return "a slot's state is out of range";
	if (slot->state == BLOCK_SLOT_FREE)
		return NULL;
	if (slot->packet_len > header->packet_max || slot->payload_offset > slot->packet_len ||
	    slot->payload_offset < sizeof(struct vmpacket_descriptor) || slot->payload_offset % 8 ||
	    slot->packet_len % 8)
		return "a slot's packet is out of bounds";
	if (slot->ranges > BLOCK_RANGES_MAX || slot->data_error > 0 || slot->data_error < -4095)
		return "a slot's page list is out of bounds";
	if (slot->state == BLOCK_SLOT_DONE && slot->reply_len > header->reply_max)
		return "a slot's reply is out of bounds";
	if (age(header, slot) < -1 || !index_fits(cursor_of(slot->accepted), in_data_len))
		return "a slot's sequence is out of range";
	return NULL;
}

static const struct block_slot *slot_at(const struct block_header *header, uint32_t n)
{
	return (const struct block_slot *)((const uint8_t *)header + header->slots_offset +
					   (size_t)n * header->slot_stride);
}

static int by_age(const void *a, const void *b)
{
	const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x < y) - (x > y);
}

static const char *check_slots(const struct block_header *header, uint32_t in_data_len)
{
	int32_t ages[BLOCK_SLOTS_MAX];
	uint32_t count = 0;

	for (uint32_t n = 0; n < header->slots; n++) {
		const char *why = check_slot(header, slot_at(header, n), in_data_len);

		if (why)
			return why;
		if (slot_at(header, n)->state != BLOCK_SLOT_FREE)
			ages[count++] = age(header, slot_at(header, n));
	}
	qsort(ages, count, sizeof(ages[0]), by_age);
	for (uint32_t i = 1; i < count; i++)
		if (ages[i] == ages[i - 1])
			return "two slots have one sequence";
	return NULL;
}

/* A commit completes only what is executed. What it has freed already counts too. */
static const char *check_commit(const struct block_header *header)
{
	const struct block_commit *commit = &header->commit;

	for (uint32_t n = 0; n < BLOCK_SLOTS_MAX; n++) {
		if (!(commit->slots[n / 64] >> (n % 64) & 1))
			continue;
		if (n >= header->slots || (commit->valid && slot_at(header, n)->state == BLOCK_SLOT_ACCEPTED))
			return "its commit names a slot that is not executed";
	}
	return NULL;
}

int block_check(const void *bytes, size_t len, const struct block_geometry *expect, uint32_t in_data_len,
		uint32_t out_data_len, const char **ret_why)
{
	const struct block_header *header = bytes;

	*ret_why = "it is shorter than its header";
	if (len < sizeof(*header))
		return -EPROTO;
	*ret_why = "it is empty";
	/* acquire: pairs with the release at the end of block_format() */
	if (atomic_load_explicit(&header->magic, memory_order_acquire) == 0)
		return -ENODATA;
	*ret_why = "it is no state block";
	if (header->magic != BLOCK_MAGIC)
		return -EPROTO;
	*ret_why = "it is of a version that this program does not know";
	if (header->version < BLOCK_VERSION_OLDEST || header->version > BLOCK_VERSION ||
	    header->state_version > expect->state_version)
		return -EPROTONOSUPPORT;
	*ret_why = check_layout(header, len, expect);
	if (!*ret_why)
		*ret_why = check_cursors(header, in_data_len, out_data_len);
	if (!*ret_why)
		*ret_why = check_slots(header, in_data_len);
	if (!*ret_why)
		*ret_why = check_commit(header);
	return *ret_why ? -EPROTO : 0;
}

int block_attach(struct block *block, int fd, const struct block_geometry *expect, uint32_t in_data_len,
		 uint32_t out_data_len, const char **ret_why)
{
	struct block_header *header;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS), r;

	*ret_why = "it could change its size";
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
		return -EPERM;
	*ret_why = "it cannot be mapped";
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)sizeof(*header) || st.st_size > (off_t)BLOCK_BYTES_MAX)
		return -EPROTO;
	header = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (header == MAP_FAILED)
		return -errno;
	(void)madvise(header, (size_t)st.st_size, MADV_DONTDUMP);
	r = block_check(header, (size_t)st.st_size, expect, in_data_len, out_data_len, ret_why);
	if (r < 0) {
		munmap(header, (size_t)st.st_size);
		return r;
	}
	*block = (struct block){.header = header, .len = (size_t)st.st_size};
	DEATH_BLOCK(header);
	DEATH(RECOVER_CHECKED);
	return 0;
}

/* ---- recovery ---- */

static void recover_accept(struct block *block)
{
	struct block_header *header = block->header;

	for (uint32_t n = 0; n < header->slots; n++) {
		const struct block_slot *slot = block_slot(block, n);

		/* acquire: pairs with the release of the slot's state in block_accept() */
		if (atomic_load_explicit(&slot->state, memory_order_acquire) == BLOCK_SLOT_FREE ||
		    age(header, slot) != -1)
			continue;
		block_store_accepted(block, n);
		break;
	}
	DEATH(RECOVER_ACCEPT);
}

static void recover_state(struct block *block)
{
	uint32_t next = block_next_state_sequence(block);

	for (uint32_t n = 0; n < block->header->slots; n++) {
		const struct block_slot *slot = block_slot(block, n);

		if (slot->state != BLOCK_SLOT_DONE || slot->state_sequence != next)
			continue;
		block_store_state(block, n);
		break;
	}
	DEATH(RECOVER_STATE);
}

void block_recover_begin(struct block *block, struct block_recovery *ret)
{
	struct block_header *header = block->header;
	const struct block_commit *commit = &header->commit;

	*ret = (struct block_recovery){.trial = (int)header->trial - 1, .failed = header->failed};
	/* What we write from now on is of our version; its layout is the same, with zeroes where an older one has
	 * nothing. */
	header->version = BLOCK_VERSION;
	recover_accept(block);
	recover_state(block);
	ret->in_read = cursor_of(header->accepted);
	/* acquire: pairs with the release in block_commit_begin() */
	if (atomic_load_explicit(&commit->valid, memory_order_acquire)) {
		ret->out_write = commit->new_write;
		ret->sent = commit->sent;
	} else {
		ret->out_write = header->out_write;
		ret->sent = header->sent;
	}
}

static int by_sequence(const void *a, const void *b, void *arg)
{
	const struct block *block = arg;
	int32_t x = age(block->header, block_slot(block, *(const uint16_t *)a));
	int32_t y = age(block->header, block_slot(block, *(const uint16_t *)b));

	return (x < y) - (x > y);
}

static void count_slots(const struct block *block, struct block_recovery *recovery)
{
	const struct block_header *header = block->header;
	int32_t missing;

	for (uint32_t n = 0; n < header->slots; n++)
		if (block_slot(block, n)->state != BLOCK_SLOT_FREE)
			recovery->slot[recovery->count++] = (uint16_t)n;
	qsort_r(recovery->slot, recovery->count, sizeof(recovery->slot[0]), by_sequence, (void *)block);
	missing = (int32_t)(sequence_of(header->accepted) - header->completed - recovery->count);
	recovery->lost = missing > 0 ? (uint32_t)missing : 0;
	recovery->duplicate = missing < 0 ? -(uint32_t)missing : 0;
}

void block_recover_end(struct block *block, struct block_recovery *recovery)
{
	if (block->header->commit.valid)
		block_commit_end(block);
	else
		block_clear_commit(block);
	DEATH(RECOVER_COMMIT);
	count_slots(block, recovery);
}
