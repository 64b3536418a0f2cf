/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vsp-storaged/scsi_fixture.h"

TestSuite(scsi_block, .init = scsi_set_up, .fini = scsi_tear_down, .timeout = 30);

/* ---- capacity ---- */

Test(scsi_block, read_capacity)
{
	IN(0, 8, 10, 0x25);
	good(8);
	cr_assert_eq(get_be32(buf), BLOCKS - 1);
	cr_assert_eq(get_be32(buf + 4), 512);
	IN(0, 8, 10, 0x25, 0, 0, 0, 0, 1);
	check(INVALID_FIELD);
	IN(0, 32, 16, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
	good(32);
	cr_assert_eq(get_be64(buf), BLOCKS - 1);
	cr_assert_eq(get_be32(buf + 8), 512);
	cr_assert_eq(buf[13], 3, "4096 bytes of physical block");
	cr_assert_eq(buf[14], 0xc0, "blocks can be given back, and read as zeroes then");
	IN(3, 32, 16, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
	cr_assert_eq(buf[13], 0);
	cr_assert_eq(buf[14], 0);
	IN(0, 32, 16, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
	check(INVALID_FIELD);
}

Test(scsi_block, large_disk)
{
	memdisk_done(&disk);
	memdisk_init(&disk, UINT64_C(1) << 33, 512, false);
	disk.fail = -EIO;
	scsi_lun_greet(&luns[0]);
	IN(0, 8, 10, 0x25);
	cr_assert_eq(get_be32(buf), UINT32_MAX);
	IN(0, 255, 6, 0x1a, 0, 0x08, 0, 255);
	cr_assert_eq(get_be32(&buf[4]), UINT32_MAX);
	IN(0, 512, 16, 0x88, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1);
	check(SENSE(3, 0x1100));
	IN(0, 512, 16, 0x88, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1);
	check(OUT_OF_RANGE);
	IN(0, 512, 16, 0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1);
	check(OUT_OF_RANGE);
}

/* ---- reads and writes ---- */

struct rw {
	uint8_t cdb_len, read[16], write[16]; /* two blocks at 0x123 */
};

static const struct rw rws[] = {
	{6, {0x08, 0, 1, 0x23, 2}, {0x0a, 0, 1, 0x23, 2}},
	{10, {0x28, 0, 0, 0, 1, 0x23, 0, 0, 2}, {0x2a, 0, 0, 0, 1, 0x23, 0, 0, 2}},
	{12, {0xa8, 0, 0, 0, 1, 0x23, 0, 0, 0, 2}, {0xaa, 0, 0, 0, 1, 0x23, 0, 0, 0, 2}},
	{16, {0x88, 0, 0, 0, 0, 0, 0, 0, 1, 0x23, 0, 0, 0, 2}, {0x8a, 0, 0, 0, 0, 0, 0, 0, 1, 0x23, 0, 0, 0, 2}},
};

Test(scsi_block, read_and_write_of_every_length)
{
	for (size_t i = 0; i < ARRAY_SIZE(rws); i++) {
		memset(disk.data, 0, BLOCKS * 512);
		for (size_t j = 0; j < 1024; j++)
			buf[j] = (uint8_t)(j * 7 + i);
		run(0, rws[i].write, rws[i].cdb_len, SCSI_OUT, 1024);
		good(1024);
		cr_assert_eq(memcmp(disk.data + 0x123 * 512, buf, 1024), 0);
		cr_assert_eq(disk.data[0x122 * 512 + 511], 0);
		cr_assert_eq(disk.data[0x125 * 512], 0);
		memset(buf, 0, 2048);
		/* A longer buffer than the command's length: the rest is left alone. */
		run(0, rws[i].read, rws[i].cdb_len, SCSI_IN, 2048);
		good(1024);
		cr_assert_eq(memcmp(disk.data + 0x123 * 512, buf, 1024), 0);
		cr_assert_eq(buf[1024], 0);
		/* A shorter one: nothing is done. */
		run(0, rws[i].write, rws[i].cdb_len, SCSI_OUT, 1023);
		check(INVALID_FIELD);
		run(0, rws[i].write, rws[i].cdb_len, SCSI_OUT, 0);
		check(INVALID_FIELD);
	}
	cr_assert_eq(disk.fua_writes, 0);
}

Test(scsi_block, read_6_of_length_0_is_256_blocks)
{
	IN(0, 256 * 512, 6, 0x08, 0, 0, 0, 0);
	good(256 * 512);
	IN(0, 0, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 0);
	good(0);
}

Test(scsi_block, fua_and_protection)
{
	OUT(0, 512, 10, 0x2a, 0x08, 0, 0, 0, 0, 0, 0, 1);
	good(512);
	cr_assert_eq(disk.fua_writes, 1);
	OUT(0, 512, 16, 0x8a, 0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(disk.fua_writes, 2);
	OUT(0, 512, 10, 0x2a, 0x20, 0, 0, 0, 0, 0, 0, 1);
	check(INVALID_FIELD);
	/* In six bytes these bits belong to the address. */
	OUT(0, 512, 6, 0x0a, 0x08, 0, 0, 1);
	check(OUT_OF_RANGE);
}

Test(scsi_block, out_of_range)
{
	IN(0, 512, 10, 0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 1);
	good(512);
	IN(0, 1024, 10, 0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 2);
	check(OUT_OF_RANGE);
	OUT(0, 512, 10, 0x2a, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1);
	check(OUT_OF_RANGE);
	IN(0, 512, 12, 0xa8, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff);
	check(OUT_OF_RANGE);
	NODATA(0, 10, 0x35, 0, 0, 0, 0x10, 1);
	check(OUT_OF_RANGE);
}

Test(scsi_block, transfer_above_the_limit)
{
	IN(0, BUF_LEN, 10, 0x28, 0, 0, 0, 0, 0, 0, 2, 0);
	good(256 * 1024);
	IN(0, BUF_LEN, 10, 0x28, 0, 0, 0, 0, 0, 0, 2, 1);
	check(INVALID_FIELD);
}

Test(scsi_block, read_only)
{
	IN(3, 4096, 10, 0x28, 0, 0, 0, 0, 99, 0, 0, 1);
	good(4096);
	OUT(3, 4096, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	check(WRITE_PROTECT);
	NODATA(3, 10, 0x35);
	good(0);
}

Test(scsi_block, errors_of_the_host)
{
	static const struct {
		int error;
		uint32_t read, write;
	} cases[] = {
		{-EIO, SENSE(3, 0x1100), SENSE(3, 0x0c00)},    {-ENODATA, SENSE(3, 0x1100), SENSE(3, 0x0c00)},
		{-ENOSPC, SENSE(7, 0x2707), SENSE(7, 0x2707)}, {-EROFS, SENSE(7, 0x2700), SENSE(7, 0x2700)},
		{-ENOMEM, SENSE(0xb, 0), SENSE(0xb, 0)},       {-ENXIO, SENSE(4, 0x4400), SENSE(4, 0x4400)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		disk.fail = cases[i].error;
		IN(0, 512, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
		check(cases[i].read);
		OUT(0, 512, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
		check(cases[i].write);
		NODATA(0, 10, 0x35);
		check(cases[i].write);
		NODATA(0, 10, 0x2f, 0, 0, 0, 0, 0, 0, 0, 1);
		check(cases[i].read);
	}
}

/* ---- flush, start and stop ---- */

Test(scsi_block, flushes)
{
	NODATA(0, 10, 0x35);
	good(0);
	cr_assert_eq(disk.flushes, 1);
	NODATA(0, 16, 0x91, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5);
	good(0);
	cr_assert_eq(disk.flushes, 2);
	NODATA(0, 6, 0x1b, 0, 0, 0, 1);
	good(0);
	cr_assert_eq(disk.flushes, 2);
	NODATA(0, 6, 0x1b, 0, 0, 0, 0);
	good(0);
	cr_assert_eq(disk.flushes, 3, "a stop writes the cache back");
	cr_assert(req.unit_changed);
	NODATA(0, 6, 0x1b, 0, 0, 0, 2);
	field(true, 4, 1);
	NODATA(0, 6, 0x1b, 0, 0, 0, 0x30);
	field(true, 4, 7);
}

Test(scsi_block, stopped)
{
	NODATA(0, 6, 0x1b, 0, 0, 0, 4);
	good(0);
	cr_assert_eq(disk.flushes, 0);
	NODATA(0, 6, 0x00);
	check(SENSE(2, 0x0402));
	IN(0, 512, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	check(SENSE(2, 0x0402));
	IN(0, 36, 6, 0x12, 0, 0, 0, 36);
	good(36);
	NODATA(0, 6, 0x1b, 0, 0, 0, 1);
	good(0);
	cr_assert(req.unit_changed);
	NODATA(0, 6, 0x00);
	good(0);
}

Test(scsi_block, prevent_allow)
{
	NODATA(0, 6, 0x1e, 0, 0, 0, 1);
	good(0);
	NODATA(0, 6, 0x1e, 0, 0, 0, 0);
	good(0);
	NODATA(0, 6, 0x1e, 0, 0, 0, 2);
	field(true, 4, 1);
}
