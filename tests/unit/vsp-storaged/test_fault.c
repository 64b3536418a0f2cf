/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of faults, and what a power cut leaves of what was not flushed. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-storaged/disk.h"
#include "daemons/vsp-storaged/fault.h"

#define BLOCK  512u
#define BLOCKS 32u

static struct fault_settings settings;
static struct fault_rules rules;

static struct fault_outcome apply(enum disk_op op, uint64_t offset, uint64_t len)
{
	return fault_rules_apply(&rules, op, offset, len, BLOCK);
}

static void rule(struct fault_rule one)
{
	settings = (struct fault_settings){.rule = {one}, .rules = 1};
	fault_rules_init(&rules, &settings);
}

Test(fault, ops_and_ranges)
{
	rule((struct fault_rule){.ops = 1u << DISK_READ, .from = 1024, .to = 2048, .ppm = FAULT_PPM, .error = -EIO});
	cr_expect(eq(int, apply(DISK_READ, 1024, 512).error, -EIO));
	cr_expect(eq(int, apply(DISK_READ, 0, 1025).error, -EIO), "it touches the first byte");
	cr_expect(eq(int, apply(DISK_READ, 1536, 4096).error, -EIO), "it begins within");
	cr_expect(zero(int, apply(DISK_READ, 0, 1024).error));
	cr_expect(zero(int, apply(DISK_READ, 2048, 512).error));
	cr_expect(zero(int, apply(DISK_WRITE, 1024, 512).error));
	rule((struct fault_rule){.ops = 1u << DISK_FLUSH, .from = 1024, .ppm = FAULT_PPM, .error = -ENOSPC});
	cr_expect(eq(int, apply(DISK_FLUSH, 0, 0).error, -ENOSPC), "a flush has no range");
}

Test(fault, so_often_and_with_a_chance)
{
	unsigned int struck = 0;

	rule((struct fault_rule){.ops = ~0u, .ppm = FAULT_PPM, .times = 2, .error = -EIO});
	for (unsigned int i = 0; i < 5; i++)
		struck += apply(DISK_WRITE, 0, BLOCK).error != 0;
	cr_expect(eq(uint, struck, 2));
	rule((struct fault_rule){.ops = ~0u, .ppm = FAULT_PPM / 4, .error = -EIO});
	struck = 0;
	for (unsigned int i = 0; i < 4000; i++)
		struck += apply(DISK_WRITE, 0, BLOCK).error != 0;
	cr_expect(gt(uint, struck, 800));
	cr_expect(lt(uint, struck, 1200));
}

Test(fault, delays_and_torn_writes)
{
	bool some = false, none = false;

	rule((struct fault_rule){
		.effect = FAULT_DELAY, .ops = ~0u, .ppm = FAULT_PPM, .delay_us = 1000, .spread_us = 100});
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t ns = apply(DISK_READ, 0, BLOCK).delay_ns;

		cr_assert(ns >= 1000000 && ns <= 1100000);
		some |= ns > 1050000;
		none |= ns < 1050000;
	}
	cr_expect(some && none, "it is spread");
	rule((struct fault_rule){.effect = FAULT_TORN, .ops = ~0u, .ppm = FAULT_PPM, .error = -EIO});
	some = none = false;
	for (unsigned int i = 0; i < 100; i++) {
		struct fault_outcome outcome = apply(DISK_WRITE, 0, 4 * BLOCK);

		cr_assert(outcome.error == -EIO && outcome.done_len < 4 * BLOCK && outcome.done_len % BLOCK == 0);
		some |= outcome.done_len > 0;
		none |= outcome.done_len == 0;
	}
	cr_expect(some && none);
	cr_expect(zero(u64, apply(DISK_READ, 0, 4 * BLOCK).done_len), "only a write is torn");
}

/* ---- the log: over a disk in memory whose blocks hold the number of their last write ---- */

static struct fault_log fault_log;
static uint8_t disk[BLOCKS], flushed[BLOCKS]; /* one byte for a block; what a flush has made good */
static uint8_t history[BLOCKS][256];	      /* whether it had this value since then */

static void reset(void)
{
	fault_log_forget(&fault_log, UINT64_MAX);
	memset(disk, 0, sizeof(disk));
	memset(flushed, 0, sizeof(flushed));
	memset(history, 0, sizeof(history));
	for (unsigned int i = 0; i < BLOCKS; i++)
		history[i][0] = 1;
}

static void write_blocks(unsigned int at, unsigned int count, uint8_t value, bool fua)
{
	struct fault_entry *entry = fault_entry_new((uint64_t)at * BLOCK, (uint64_t)count * BLOCK, fua);

	cr_assert(entry != NULL);
	entry->generation = fault_log.generation;
	for (unsigned int i = 0; i < count; i++) {
		if (!fua)
			memset(entry->old + i * BLOCK, disk[at + i], BLOCK);
		else
			memset(history[at + i], 0, sizeof(history[at + i]));
		disk[at + i] = value;
		history[at + i][value] = 1;
	}
	fault_log_add(&fault_log, entry);
}

static void flush(void)
{
	fault_log_forget(&fault_log, fault_log.generation++);
	memset(history, 0, sizeof(history));
	for (unsigned int i = 0; i < BLOCKS; i++)
		history[i][disk[i]] = 1;
}

/* Return: a sum of what is left. */
static uint64_t cut(uint64_t seed, unsigned int *changed)
{
	struct fault_block *blocks;
	uint64_t sum = 0;
	size_t count;

	cr_assert(zero(int, fault_log_cut(&fault_log, seed, BLOCK, &blocks, &count)));
	for (size_t i = 0; i < count; i++) {
		cr_assert(i == 0 || blocks[i].offset > blocks[i - 1].offset);
		disk[blocks[i].offset / BLOCK] = blocks[i].data[0];
	}
	*changed = (unsigned int)count;
	free(blocks);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		cr_expect(history[i][disk[i]], "block %u: %u was never there", i, disk[i]);
		sum = sum * 31 + disk[i];
	}
	return sum;
}

static unsigned int values(uint64_t seed, bool check)
{
	uint64_t random = seed;
	unsigned int changed;
	uint64_t sum;

	reset();
	for (unsigned int i = 1; i < 200; i++) {
		unsigned int at = (unsigned int)fault_random(&random, BLOCKS);
		unsigned int count = 1 + (unsigned int)fault_random(&random, MIN(8u, BLOCKS - at));

		write_blocks(at, count, (uint8_t)i, fault_random(&random, 10) == 0);
		if (fault_random(&random, 40) == 0)
			flush();
	}
	sum = cut(seed, &changed);
	if (check) {
		uint8_t first[BLOCKS];

		memcpy(first, disk, sizeof(first));
		values(seed, false);
		cr_expect(zero(int, memcmp(first, disk, sizeof(first))), "the same seed, the same end");
	}
	return changed + (sum == 0);
}

Test(fault, a_cut_leaves_what_was_there_since_the_flush)
{
	unsigned int changed = 0;

	for (uint64_t seed = 0; seed < 300; seed++)
		changed += values(seed, true) > 0;
	cr_expect(gt(uint, changed, 100));
	reset();
}

Test(fault, what_was_flushed_stays)
{
	unsigned int changed;

	for (uint64_t seed = 0; seed < 50; seed++) {
		reset();
		write_blocks(0, 8, 1, false);
		flush();
		write_blocks(8, 8, 2, true);
		cut(seed, &changed);
		cr_assert(zero(uint, changed));
	}
	reset();
}

/* Of the three fates each comes, and a torn one has blocks of both. */
Test(fault, lost_landed_and_torn)
{
	unsigned int changed, lost = 0, landed = 0, torn = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		reset();
		write_blocks(4, 8, 7, false);
		cut(seed, &changed);
		lost += changed == 8;
		landed += changed == 0;
		torn += changed > 0 && changed < 8;
	}
	cr_expect(gt(uint, lost, 15));
	cr_expect(gt(uint, landed, 15));
	cr_expect(gt(uint, torn, 15));
	reset();
}

Test(fault, the_log_is_bounded)
{
	struct fault_entry *entry;
	unsigned int n = 0;

	reset();
	for (unsigned int i = 0; i < 400; i++) {
		entry = fault_entry_new(i * DISK_MAX_TRANSFER, DISK_MAX_TRANSFER, false);
		cr_assert(entry != NULL);
		fault_log_add(&fault_log, entry);
		cr_assert(le(sz, fault_log.bytes, (size_t)FAULT_LOG_MAX));
	}
	for (entry = fault_log.newest; entry; entry = entry->next) {
		cr_assert(eq(u64, entry->offset, (uint64_t)(399 - n) * DISK_MAX_TRANSFER), "the newest are kept");
		n++;
	}
	cr_expect(gt(uint, n, 200));
	reset();
	cr_expect(zero(sz, fault_log.bytes));
}

/* A guest that never flushes, and gives blocks back on the way: the log keeps its size, and a cut does not take for
 * ever, though each block that it takes back must be looked up among all that has landed. */
Test(fault, writes_without_end, .timeout = 60)
{
	struct fault_block *blocks;
	uint64_t random = 1;
	size_t count;

	reset();
	for (unsigned int i = 0; i < 400000; i++) {
		bool landed = i % 8 == 0;
		struct fault_entry *entry = fault_entry_new(fault_random(&random, 1u << 24) * BLOCK, BLOCK, landed);

		cr_assert(entry != NULL);
		if (!landed)
			memset(entry->old, 0, BLOCK);
		fault_log_add(&fault_log, entry);
		cr_assert(le(sz, fault_log.bytes, (size_t)FAULT_LOG_MAX));
	}
	cr_assert(zero(int, fault_log_cut(&fault_log, 1, BLOCK, &blocks, &count)));
	cr_expect(gt(sz, count, 20000));
	free(blocks);
	reset();
}

/* What only says that it has landed takes no room for ever, and none where there is nothing else. */
Test(fault, what_has_landed_is_bounded)
{
	struct fault_entry *entry;
	size_t n = 0;

	reset();
	write_blocks(0, 1, 1, true);
	cr_expect(zero(ptr, fault_log.newest));
	write_blocks(0, 1, 1, false);
	for (unsigned int i = 0; i < 100000; i++)
		write_blocks(1 + i % (BLOCKS - 1), 1, 1, true);
	for (entry = fault_log.newest; entry; entry = entry->next)
		n++;
	cr_expect(le(sz, n, FAULT_LOG_MAX / FAULT_LANDED_COST));
	reset();
}
