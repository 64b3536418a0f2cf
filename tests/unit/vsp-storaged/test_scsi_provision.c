/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vsp-storaged/scsi_fixture.h"

TestSuite(scsi_provision, .init = scsi_set_up, .fini = scsi_tear_down, .timeout = 30);

static bool all(const uint8_t *at, uint8_t value, size_t len)
{
	return at[0] == value && !memcmp(at, at + 1, len - 1);
}

/* ---- UNMAP ---- */

static void describe(size_t n, uint64_t lba, uint32_t blocks)
{
	uint8_t *at = buf + 8 + 16 * n;

	put_be64(at, lba);
	put_be32(at + 8, blocks);
}

static void unmap(size_t count)
{
	uint32_t len = (uint32_t)(8 + 16 * count);

	put_be16(buf, (uint16_t)(len - 2));
	put_be16(buf + 2, (uint16_t)(len - 8));
	OUT(0, len, 10, 0x42, 0, 0, 0, 0, 0, 0, (uint8_t)(len >> 8), (uint8_t)len);
}

Test(scsi_provision, unmap)
{
	memset(disk.data, 0x5a, BLOCKS * 512);
	describe(0, 5, 3);
	describe(1, 100, 0);
	describe(2, BLOCKS - 1, 1);
	unmap(3);
	good(8 + 48);
	cr_assert_eq(disk.discards, 2);
	cr_assert_eq(disk.flushes, 0);
	cr_assert(all(disk.data, 0x5a, 5 * 512));
	cr_assert(all(disk.data + 5 * 512, 0, 3 * 512));
	cr_assert(all(disk.data + 8 * 512, 0x5a, (BLOCKS - 9) * 512));
	cr_assert(all(disk.data + (BLOCKS - 1) * 512, 0, 512));
}

Test(scsi_provision, unmap_with_the_cache_off)
{
	luns[0].state.modes = SCSI_MODES_NO_CACHE;
	describe(0, 5, 3);
	unmap(1);
	good(24);
	cr_assert_eq(disk.flushes, 1);
}

/* Advice that the disk cannot follow. */
Test(scsi_provision, unmap_of_a_solid_disk)
{
	memset(disk.data, 0x5a, BLOCKS * 512);
	disk.solid = true;
	describe(0, 5, 3);
	describe(1, 10, 3);
	unmap(2);
	good(40);
	cr_assert(all(disk.data, 0x5a, BLOCKS * 512));
}

/* All of the list is looked at before any of it is done. */
Test(scsi_provision, lists_that_are_wrong)
{
	memset(disk.data, 0x5a, BLOCKS * 512);
	describe(0, 5, 3);
	describe(1, BLOCKS - 1, 2);
	unmap(2);
	check(OUT_OF_RANGE);
	describe(1, UINT64_MAX, UINT32_MAX);
	unmap(2);
	check(OUT_OF_RANGE);
	for (size_t i = 0; i < 257; i++)
		describe(i, i, 1);
	unmap(257);
	field(false, 2, 7);
	cr_assert_eq(disk.discards, 0);
	unmap(256);
	good(8 + 4096);
	cr_assert_eq(disk.discards, 256);
	OUT(0, 7, 10, 0x42, 0, 0, 0, 0, 0, 0, 0, 7);
	check(LIST_LENGTH);
	OUT(0, 23, 10, 0x42, 0, 0, 0, 0, 0, 0, 0, 24);
	check(LIST_LENGTH);
	OUT(0, 0, 10, 0x42);
	good(0);
	OUT(0, 24, 10, 0x42, 1, 0, 0, 0, 0, 0, 0, 24);
	field(true, 1, 0);
	/* The list says less than there is, and more: the shorter one counts. */
	disk.discards = 0;
	describe(0, 5, 3);
	describe(1, 9, 3);
	put_be16(buf + 2, 16);
	OUT(0, 40, 10, 0x42, 0, 0, 0, 0, 0, 0, 0, 40);
	good(40);
	cr_assert_eq(disk.discards, 1);
	put_be16(buf + 2, 4096);
	OUT(0, 39, 10, 0x42, 0, 0, 0, 0, 0, 0, 0, 39);
	good(39);
	cr_assert_eq(disk.discards, 2);
}

Test(scsi_provision, unmap_where_there_is_none)
{
	OUT(3, 24, 10, 0x42, 0, 0, 0, 0, 0, 0, 0, 24);
	check(SENSE(5, 0x2000));
	disk.disk.discard = false;
	OUT(0, 24, 10, 0x42, 0, 0, 0, 0, 0, 0, 0, 24);
	check(SENSE(5, 0x2000));
	OUT(0, 512, 16, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1);
	field(true, 1, 3);
	memset(buf, 0, 512);
	OUT(0, 512, 16, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1);
	good(512);
}

Test(scsi_provision, errors_of_the_host)
{
	disk.fail = -ENOSPC;
	describe(0, 5, 3);
	unmap(1);
	check(SENSE(7, 0x2707));
	disk.fail = -EIO;
	memset(buf, 0, 512);
	OUT(0, 512, 10, 0x41, 0, 0, 0, 0, 9, 0, 0, 1);
	check(SENSE(3, 0x0c00));
}

/* ---- WRITE SAME ---- */

Test(scsi_provision, write_same_of_a_pattern)
{
	for (size_t i = 0; i < 512; i++)
		buf[i] = (uint8_t)(i * 5 + 1);
	OUT(0, 512, 10, 0x41, 0, 0, 0, 0, 9, 0, 2, 1); /* 513 blocks: five pieces */
	good(512);
	for (size_t i = 9; i < 9 + 513; i++)
		cr_assert_eq(memcmp(disk.data + i * 512, buf, 512), 0, "block %zu", i);
	cr_assert(all(disk.data, 0, 9 * 512));
	cr_assert(all(disk.data + 522 * 512, 0, 512));
	OUT(0, 512, 16, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
	good(512);
	cr_assert_eq(memcmp(disk.data, buf, 512), 0, "UNMAP of what is not zero is a write");
	cr_assert_eq(disk.discards + disk.zeroings, 0);
	luns[0].state.modes = SCSI_MODES_NO_CACHE;
	OUT(0, 512, 10, 0x41, 0, 0, 0, 0, 9, 0, 0, 1);
	cr_assert_eq(disk.fua_writes, 1);
}

Test(scsi_provision, write_same_of_zeroes)
{
	memset(disk.data, 0x5a, BLOCKS * 512);
	memset(buf, 0, 512);
	OUT(0, 512, 10, 0x41, 0, 0, 0, 0, 9, 0, 0, 3);
	good(512);
	cr_assert_eq(disk.zeroings, 1);
	OUT(0, 512, 16, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 3);
	good(512);
	cr_assert_eq(disk.discards, 1);
	OUT(0, 0, 16, 0x93, 9, 0, 0, 0, 0, 0, 0, 0, 30, 0, 0, 0, 3);
	good(0);
	cr_assert_eq(disk.discards, 2, "without data: zeroes");
	OUT(0, 512, 10, 0x41, 1, 0, 0, 0, 9, 0, 0, 3);
	field(true, 1, 0);
	/* A disk that can do neither is written. */
	disk.solid = true;
	OUT(0, 512, 16, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 200);
	good(512);
	cr_assert_eq(disk.discards, 2);
	for (size_t i = 0; i < 260; i++) {
		bool zero = (i >= 9 && i < 12) || (i >= 20 && i < 23) || (i >= 30 && i < 33) || (i >= 40 && i < 240);

		cr_assert(all(disk.data + i * 512, zero ? 0 : 0x5a, 512), "block %zu", i);
	}
}

Test(scsi_provision, write_same_that_is_wrong)
{
	OUT(0, 512, 10, 0x41, 0, 0, 0, 0, 9, 0, 0, 0);
	field(true, 7, 7);
	OUT(0, 512, 16, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0);
	field(true, 10, 7);
	OUT(0, 511, 10, 0x41, 0, 0, 0, 0, 9, 0, 0, 1);
	check(INVALID_FIELD);
	OUT(0, 1024, 10, 0x41, 0, 0, 0, 0, 9, 0, 0, 1);
	check(INVALID_FIELD);
	OUT(0, 512, 10, 0x41, 0, 0, 0, 0x10, 0, 0, 0, 1);
	check(OUT_OF_RANGE);
	OUT(0, 512, 10, 0x41, 0x18, 0, 0, 0, 9, 0, 0, 1);
	field(true, 1, 4);
	OUT(3, 4096, 10, 0x41, 0, 0, 0, 0, 9, 0, 0, 1);
	check(WRITE_PROTECT);
	/* More than it does at once. */
	memdisk_done(&disk);
	memdisk_init(&disk, UINT64_C(1) << 33, 512, false);
	scsi_lun_greet(&luns[0]);
	OUT(0, 512, 16, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0x80, 1);
	field(true, 10, 7);
}

Test(scsi_provision, abort_between_two_pieces)
{
	struct scsi_request r;
	struct iovec iov[3];

	disk.hold = disk.begun = true;
	prepare(&r, iov, 0, CDB(0x41, 0, 0, 0, 0, 9, 0, 2, 0), 10, SCSI_OUT, 512);
	scsi_execute(&controller, &r);
	scsi_abort(&r);
	cr_assert_eq(dones, 0);
	cr_assert(memdisk_release(&disk));
	cr_assert_eq(dones, 1);
	cr_assert_eq(r.outcome, SCSI_ABORTED);
	cr_assert_null(luns[0].lane_head);
}
