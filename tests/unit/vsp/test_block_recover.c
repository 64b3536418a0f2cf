/* SPDX-License-Identifier: Apache-2.0 */
/* What a successor makes of a block, sound or not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "vsp/block.h"

#define IN_LEN	4096u
#define OUT_LEN 8192u

static const struct block_geometry geometry = {
	.slots = 70, .packet_max = 1000, .reply_max = 64, .state_len = 8, .state_version = 3, .table_len = 80};
static struct block block;
static int fd;

static void set_up(void)
{
	fd = fd_memfd("block", block_size(&geometry));
	cr_assert_eq(block_format(&block, fd, &geometry, IN_LEN, OUT_LEN, 8, 16), 0);
}

static void tear_down(void)
{
	block_done(&block);
	close(fd);
}

TestSuite(block_recover, .init = set_up, .fini = tear_down);

static void accept_one(uint32_t n, uint32_t cursor)
{
	struct block_slot *slot = block_slot(&block, n);

	slot->packet_len = 40;
	slot->payload_offset = 16;
	block_accept(&block, n, cursor);
}

static int check(const char **ret_why)
{
	return block_check(block.header, block.len, &geometry, IN_LEN, OUT_LEN, ret_why);
}

static struct block_recovery recover(void)
{
	struct block_recovery recovery;
	struct block again;
	const char *why;
	int r = block_attach(&again, fd, &geometry, IN_LEN, OUT_LEN, &why);

	cr_assert_eq(r, 0, "%s", why);
	block_recover_begin(&again, &recovery);
	block_recover_end(&again, &recovery);
	block_done(&again);
	return recovery;
}

Test(block_recover, nothing_happened)
{
	struct block_recovery recovery = recover();

	cr_assert_eq(recovery.in_read, 8);
	cr_assert_eq(recovery.out_write, 16);
	cr_assert_eq(recovery.count + recovery.lost + recovery.duplicate, 0);
	cr_assert_eq(recovery.trial, -1);
	cr_assert_not(recovery.failed);
}

Test(block_recover, in_the_order_of_acceptance)
{
	struct block_recovery recovery;

	accept_one(7, 48);
	accept_one(3, 88);
	accept_one(69, 128);
	block_outcome(&block, 3, "x", 1, NULL);
	recovery = recover();
	cr_assert_eq(recovery.in_read, 128);
	cr_assert_eq(recovery.count, 3);
	cr_assert_eq(recovery.slot[0], 7);
	cr_assert_eq(recovery.slot[1], 3);
	cr_assert_eq(recovery.slot[2], 69);
	cr_assert_eq(recovery.lost + recovery.duplicate, 0);
}

Test(block_recover, over_the_wrap_of_the_sequence)
{
	struct block_recovery recovery;

	atomic_store(&block.header->accepted, UINT64_C(0xfffffffe) << 32 | 8);
	atomic_store(&block.header->completed, 0xfffffffe);
	accept_one(5, 48);
	accept_one(4, 88);
	recovery = recover();
	cr_assert_eq(recovery.slot[0], 5);
	cr_assert_eq(recovery.slot[1], 4);
	cr_assert_eq(recovery.lost + recovery.duplicate, 0);
}

Test(block_recover, the_cursor_of_a_slot_that_is_one_ahead)
{
	struct block_recovery recovery;
	uint64_t before;

	accept_one(0, 48);
	before = block.header->accepted;
	accept_one(1, 88);
	atomic_store(&block.header->accepted, before); /* as if it had died in between */
	recovery = recover();
	cr_assert_eq(recovery.in_read, 88);
	cr_assert_eq(recovery.count, 2);
	cr_assert_eq(recovery.lost + recovery.duplicate, 0);
}

Test(block_recover, a_commit_that_was_under_way)
{
	struct block_recovery recovery;

	accept_one(0, 48);
	accept_one(1, 88);
	block_outcome(&block, 0, "x", 1, NULL);
	block_commit_add(&block, 0);
	recovery = recover();
	cr_assert_eq(recovery.out_write, 16, "it had not begun");
	cr_assert_eq(recovery.count, 2);
	cr_assert_eq(block.header->commit.slots[0], 0);
	block_commit_add(&block, 0);
	block_commit_begin(&block, 16, 56, 0);
	recovery = recover();
	cr_assert_eq(recovery.out_write, 56);
	cr_assert_eq(recovery.count, 1);
	cr_assert_eq(recovery.slot[0], 1);
	cr_assert_eq(recovery.lost + recovery.duplicate, 0);
	recovery = recover();
	cr_assert_eq(recovery.out_write, 56, "again, with nothing left to do");
	cr_assert_eq(recovery.count, 1);
}

Test(block_recover, packets_of_its_own)
{
	block_commit_begin(&block, 16, 56, 3);
	block_commit_end(&block);
	cr_assert_eq(recover().sent, 3);
	block_commit_begin(&block, 56, 96, 7);
	cr_assert_eq(block.header->sent, 3, "not before they are published");
	cr_assert_eq(recover().sent, 7, "whether they are or not: they will be");
	cr_assert_eq(block.header->sent, 7);
	cr_assert_eq(recover().sent, 7);
}

Test(block_recover, a_cursor_behind_what_took_no_slot)
{
	struct block_recovery recovery;
	uint64_t before;

	accept_one(0, 48);
	block_set_cursor(&block, 80);
	recovery = recover();
	cr_assert_eq(recovery.in_read, 80);
	cr_assert_eq(recovery.count, 1);
	cr_assert_eq(recovery.lost + recovery.duplicate, 0);
	before = block.header->accepted;
	accept_one(1, 120);
	atomic_store(&block.header->accepted, before); /* as if it had died in between */
	cr_assert_eq(recover().in_read, 120);
}

Test(block_recover, the_table)
{
	_Atomic uint64_t *table = block_table(&block);

	cr_assert_not_null(table);
	for (size_t i = 0; i < 10; i++)
		cr_assert_eq(table[i], 0);
	table[0] = 1;
	table[9] = 9;
	recover();
	cr_assert(table[0] == 1 && table[9] == 9);
	cr_assert_eq(block_slot(&block, 69)->state, BLOCK_SLOT_FREE, "it lies in no slot");
	cr_assert_geq((uint8_t *)table, (uint8_t *)block_slot(&block, 70));
	cr_assert_leq((uint8_t *)(table + 10), (uint8_t *)block.header + block.len);
	block_done(&block);
	cr_assert_eq(block_format(&block, fd, &geometry, IN_LEN, OUT_LEN, 8, 16), 0);
	cr_assert(block_table(&block)[0] == 0 && block_table(&block)[9] == 0);
}

/* It has neither packets of its own nor a table, and zeroes in their places. */
Test(block_recover, a_block_of_version_1)
{
	struct block_geometry old = geometry;
	struct block_recovery recovery;
	struct block again;
	const char *why;

	old.table_len = 0;
	block_done(&block);
	cr_assert_eq(block_format(&block, fd, &old, IN_LEN, OUT_LEN, 8, 16), 0);
	block.header->version = 1;
	accept_one(0, 48);
	cr_assert_eq(check(&why), -EPROTO, "a device with a table needs one");
	cr_assert_eq(block_attach(&again, fd, &old, IN_LEN, OUT_LEN, &why), 0, "%s", why);
	block_recover_begin(&again, &recovery);
	block_recover_end(&again, &recovery);
	cr_assert_eq(recovery.in_read, 48);
	cr_assert_eq(recovery.sent, 0);
	cr_assert_eq(again.header->version, BLOCK_VERSION);
	cr_assert_null(block_table(&again));
	block_done(&again);
}

Test(block_recover, the_state_that_came_with_an_outcome)
{
	uint64_t state = 0x1122334455667788;

	accept_one(0, 48);
	block_outcome(&block, 0, "x", 1, &state);
	cr_assert_eq(memcmp(block_state(&block), &state, 8), 0);
	/* as if it had died before the whole of it was stored */
	memset(block_state(&block), 0, 4);
	atomic_store(&block.header->state_sequence, 0);
	recover();
	cr_assert_eq(memcmp(block_state(&block), &state, 8), 0);
	cr_assert_eq(block.header->state_sequence, 1);
}

Test(block_recover, what_is_missing_or_too_much_is_counted)
{
	accept_one(0, 48);
	accept_one(1, 88);
	atomic_store(&block_slot(&block, 0)->state, BLOCK_SLOT_FREE);
	cr_assert_eq(recover().lost, 1);
	atomic_store(&block.header->completed, 3);
	cr_assert_eq(recover().duplicate, 2);
}

Test(block_recover, marks)
{
	accept_one(6, 48);
	block_set_trial(&block, 6);
	block_set_failed(&block);
	cr_assert_eq(recover().trial, 6);
	cr_assert(recover().failed);
	block_end_trial(&block);
	cr_assert_eq(recover().trial, -1);
}

/* Each field made wrong. */
#define REFUSED(expected, ...)                                                                                         \
	do {                                                                                                           \
		uint8_t *copy = malloc(block.len);                                                                     \
		const char *text;                                                                                      \
		memcpy(copy, block.header, block.len);                                                                 \
		{                                                                                                      \
			__VA_ARGS__;                                                                                   \
		}                                                                                                      \
		cr_assert_eq(check(&text), expected, "%s: %s", #__VA_ARGS__, text);                                    \
		cr_assert_not_null(text);                                                                              \
		memcpy(block.header, copy, block.len);                                                                 \
		free(copy);                                                                                            \
	} while (0)

Test(block_recover, each_field_made_wrong)
{
	struct block_header *h = block.header;
	struct block_slot *slot = block_slot(&block, 3);
	const char *why;

	accept_one(3, 48);
	accept_one(4, 88);
	block_outcome(&block, 4, "x", 1, NULL);
	cr_assert_eq(check(&why), 0, "%s", why);
	cr_assert_eq(block_check(h, 100, &geometry, IN_LEN, OUT_LEN, &why), -EPROTO);
	cr_assert_eq(block_check(h, block.len - 4096, &geometry, IN_LEN, OUT_LEN, &why), -EPROTO);
	cr_assert_eq(block_check(h, block.len, &geometry, IN_LEN * 2, OUT_LEN, &why), -EPROTO);
	REFUSED(-ENODATA, h->magic = 0);
	REFUSED(-EPROTO, h->magic = 1);
	REFUSED(-EPROTONOSUPPORT, h->version = 0);
	REFUSED(-EPROTONOSUPPORT, h->version = BLOCK_VERSION + 1);
	REFUSED(-EPROTONOSUPPORT, h->state_version = 4);
	REFUSED(-EPROTO, h->bytes = UINT32_MAX);
	REFUSED(-EPROTO, h->bytes -= 64);
	REFUSED(-EPROTO, h->slots = 0);
	REFUSED(-EPROTO, h->slots = 80);
	REFUSED(-EPROTO, h->slots = UINT32_MAX);
	REFUSED(-EPROTO, h->slot_stride += 64);
	REFUSED(-EPROTO, h->slots_offset = 0);
	REFUSED(-EPROTO, h->packet_max = UINT32_MAX);
	REFUSED(-EPROTO, h->packet_max += 4);
	REFUSED(-EPROTO, h->reply_max = 8);
	REFUSED(-EPROTO, h->state_offset = 64);
	REFUSED(-EPROTO, h->state_len = 16);
	REFUSED(-EPROTO, h->table_len = 72);
	REFUSED(-EPROTO, h->table_len = 0; h->table_offset = 0);
	REFUSED(-EPROTO, h->table_offset = 0);
	REFUSED(-EPROTO, h->table_offset += 64);
	REFUSED(-EPROTO, h->in_data_len = 0);
	REFUSED(-EPROTO, h->out_data_len = 4096);
	REFUSED(-EPROTO, h->accepted = UINT64_C(2) << 32 | IN_LEN);
	REFUSED(-EPROTO, h->accepted = UINT64_C(2) << 32 | 9);
	REFUSED(-EPROTO, h->accepted = UINT64_C(9) << 60 | 8);
	REFUSED(-EPROTO, h->out_write = OUT_LEN);
	REFUSED(-EPROTO, h->out_write = 4);
	REFUSED(-EPROTO, h->failed = 2);
	REFUSED(-EPROTO, h->trial = 71);
	REFUSED(-EPROTO, h->commit.valid = 2);
	REFUSED(-EPROTO, h->commit.valid = 1; h->commit.new_write = OUT_LEN);
	REFUSED(-EPROTO, h->commit.valid = 1; h->commit.old_write = 3);
	REFUSED(-EPROTO, h->commit.valid = 1; h->sent = 5);
	REFUSED(-EPROTO, h->commit.valid = 1; h->commit.slots[0] = 1 << 3);
	REFUSED(-EPROTO, h->commit.slots[1] = 1 << 6);
	REFUSED(-EPROTO, slot->state = 3);
	REFUSED(-EPROTO, slot->packet_len = 1008);
	REFUSED(-EPROTO, slot->packet_len = 42);
	REFUSED(-EPROTO, slot->payload_offset = 8);
	REFUSED(-EPROTO, slot->payload_offset = 17);
	REFUSED(-EPROTO, slot->payload_offset = 48);
	REFUSED(-EPROTO, slot->ranges = BLOCK_RANGES_MAX + 1);
	REFUSED(-EPROTO, slot->data_error = 1);
	REFUSED(-EPROTO, slot->data_error = INT32_MIN);
	REFUSED(-EPROTO, slot->accepted = UINT64_C(2) << 32);
	REFUSED(-EPROTO, slot->accepted = UINT64_C(4) << 32 | 8);
	REFUSED(-EPROTO, slot->accepted = UINT64_C(1) << 32 | IN_LEN);
	REFUSED(-EPROTO, block_slot(&block, 4)->reply_len = 65);
	cr_assert_eq(check(&why), 0, "%s", why);
}

Test(block_recover, a_block_that_could_shrink_is_refused)
{
	int open_fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct block again;
	const char *why;

	cr_assert_eq(ftruncate(open_fd, (off_t)block.len), 0);
	cr_assert_eq(block_attach(&again, open_fd, &geometry, IN_LEN, OUT_LEN, &why), -EPERM);
	close(open_fd);
}
