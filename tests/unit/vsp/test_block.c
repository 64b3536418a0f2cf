/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "vsp/block.h"

static const struct block_geometry geometry = {
	.slots = 70, .packet_max = 1000, .reply_max = 60, .state_len = 20, .state_version = 3};
static struct block block;
static int fd;

static void set_up(void)
{
	fd = fd_memfd("block", block_size(&geometry));
	cr_assert_eq(block_format(&block, fd, &geometry, 4096, 8192, 8, 16), 0);
}

static void tear_down(void)
{
	block_done(&block);
	close(fd);
}

TestSuite(block, .init = set_up, .fini = tear_down);

static uint32_t state(uint32_t n)
{
	return atomic_load(&block_slot(&block, n)->state);
}

Test(block, the_layout_is_fixed)
{
	cr_assert_eq(sizeof(struct block_header), 320);
	cr_assert_eq(offsetof(struct block_header, accepted), 64);
	cr_assert_eq(offsetof(struct block_header, out_write), 72);
	cr_assert_eq(offsetof(struct block_header, commit), 128);
	cr_assert_eq(sizeof(struct block_commit), 192);
	cr_assert_eq(sizeof(struct block_slot), 1152);
	cr_assert_eq(offsetof(struct block_slot, range), 64);
	cr_assert_eq(offsetof(struct block_header, sent), 96);
	cr_assert_eq(offsetof(struct block_header, table_offset), 52);
	cr_assert_eq(offsetof(struct block_commit, sent), 16);
	cr_assert_eq(BLOCK_VERSION, 2, "another layout needs another version, and these figures change with it");
}

Test(block, size_follows_from_the_geometry)
{
	struct block_geometry other = geometry;

	/* slot: 1152 + 1000 + 64 + 24, in cache lines */
	cr_assert_eq(block.header->slot_stride, 2240);
	cr_assert_eq(block_size(&geometry), (320 + 64 + 70 * 2240 + 4095) / 4096 * 4096);
	other.slots = BLOCK_SLOTS_MAX;
	cr_assert_gt(block_size(&other), 0);
	other.slots = BLOCK_SLOTS_MAX + 1;
	cr_assert_eq(block_size(&other), 0);
	other.slots = 0;
	cr_assert_eq(block_size(&other), 0);
	other = (struct block_geometry){.slots = 1, .packet_max = BLOCK_PACKET_MAX + 1};
	cr_assert_eq(block_size(&other), 0);
	other = (struct block_geometry){
		.slots = BLOCK_SLOTS_MAX, .packet_max = BLOCK_PACKET_MAX, .reply_max = BLOCK_REPLY_MAX};
	cr_assert_leq(block_size(&other), BLOCK_BYTES_MAX);
	other = geometry;
	other.table_len = 8;
	cr_assert_geq(block_size(&other), 320 + 64 + 70 * 2240 + 8);
	other.table_len = 12;
	cr_assert_eq(block_size(&other), 0, "not whole words");
	other.table_len = BLOCK_TABLE_MAX + 8;
	cr_assert_eq(block_size(&other), 0);
}

Test(block, format)
{
	struct block again;

	cr_assert_eq(block.header->magic, BLOCK_MAGIC);
	cr_assert_eq(block.header->version, BLOCK_VERSION);
	cr_assert_eq(block.header->in_data_len, 4096);
	cr_assert_eq(block.header->out_data_len, 8192);
	cr_assert_eq(atomic_load(&block.header->accepted), 8);
	cr_assert_eq(atomic_load(&block.header->out_write), 16);
	block_accept(&block, 3, 24);
	strcpy(block_state(&block), "old");
	cr_assert_eq(block_format(&again, fd, &geometry, 4096, 8192, 0, 0), 0);
	cr_assert_eq(state(3), BLOCK_SLOT_FREE);
	cr_assert_str_eq(block_state(&again), "");
	block_done(&again);
	cr_assert_eq(ftruncate(fd, 0), -1, "sealed");
	int small = fd_memfd("small", 4096);
	cr_assert_eq(block_format(&again, small, &geometry, 4096, 4096, 0, 0), -EINVAL);
	close(small);
}

Test(block, slots_do_not_overlap)
{
	for (uint32_t n = 0; n < geometry.slots; n++) {
		memset(block_slot_packet(&block, n), (int)n, 1000);
		memset(block_slot_reply(&block, n), (int)(n + 100), 60);
		block_slot(&block, n)->transaction_id = n;
	}
	strcpy(block_state(&block), "state area, 20 byte");
	for (uint32_t n = 0; n < geometry.slots; n++) {
		cr_assert_eq(block_slot_packet(&block, n)[999], (uint8_t)n);
		cr_assert_eq(block_slot_reply(&block, n)[59], (uint8_t)(n + 100));
		cr_assert_eq(block_slot(&block, n)->transaction_id, n);
	}
	cr_assert_leq((uint8_t *)block_slot(&block, geometry.slots) - (uint8_t *)block.header, (ptrdiff_t)block.len);
}

Test(block, a_request_from_accept_to_free)
{
	block_accept(&block, 69, 32);
	cr_assert_eq(state(69), BLOCK_SLOT_ACCEPTED);
	cr_assert_eq(atomic_load(&block.header->accepted), UINT64_C(1) << 32 | 32);
	cr_assert_eq(block_slot(&block, 69)->accepted, UINT64_C(1) << 32 | 32);
	block_accept(&block, 2, 64);
	cr_assert_eq(atomic_load(&block.header->accepted), UINT64_C(2) << 32 | 64);

	block_outcome(&block, 69, "reply", 6, NULL);
	cr_assert_eq(state(69), BLOCK_SLOT_DONE);
	cr_assert_str_eq((char *)block_slot_reply(&block, 69), "reply");
	cr_assert_eq(block_slot(&block, 69)->reply_len, 6);

	block_commit_add(&block, 69);
	cr_assert_eq(block.header->commit.valid, 0, "not before begin");
	block_commit_begin(&block, 16, 56, 0);
	cr_assert_eq(block.header->commit.valid, 1);
	cr_assert_eq(block.header->commit.slots[1], UINT64_C(1) << 5);
	cr_assert_eq(state(69), BLOCK_SLOT_DONE, "free only once it is published");
	block_commit_end(&block);
	cr_assert_eq(state(69), BLOCK_SLOT_FREE);
	cr_assert_eq(state(2), BLOCK_SLOT_ACCEPTED);
	cr_assert_eq(block.header->out_write, 56);
	cr_assert_eq(block.header->commit.valid, 0);
	cr_assert_eq(block.header->commit.slots[1], 0);
	cr_assert_eq(block.header->completed, 1);
}

Test(block, the_sequence_wraps)
{
	atomic_store(&block.header->accepted, UINT64_C(0xffffffff) << 32 | 8);
	block_accept(&block, 0, 16);
	cr_assert_eq(atomic_load(&block.header->accepted), 16);
}
