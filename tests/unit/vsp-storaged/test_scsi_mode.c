/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vsp-storaged/scsi_fixture.h"

TestSuite(scsi_mode, .init = scsi_set_up, .fini = scsi_tear_down, .timeout = 30);

Test(scsi_mode, mode_sense_6)
{
	IN(0, 255, 6, 0x1a, 0, 0x3f, 0, 255);
	good(4 + 8 + 20 + 12);
	cr_assert_eq(buf[0], 43);
	cr_assert_eq(buf[2], 0x10, "DPOFUA, writable");
	cr_assert_eq(buf[3], 8);
	cr_assert_eq(get_be32(&buf[4]), BLOCKS);
	cr_assert_eq(get_be32(&buf[8]), 512);
	cr_assert_eq(buf[12], 0x08);
	cr_assert_eq(buf[13], 18);
	cr_assert_eq(buf[14], 0x04, "WCE");
	cr_assert_eq(buf[32], 0x0a);
	/* As sd asks: four bytes first. */
	IN(3, 4, 6, 0x1a, 0, 0x3f, 0, 4);
	good(4);
	cr_assert_eq(buf[2], 0x90, "DPOFUA, write-protected");
	IN(0, 192, 6, 0x1a, 8, 0x08, 0, 192);
	good(4 + 20);
	cr_assert_eq(buf[3], 0);
	cr_assert_eq(buf[4], 0x08);
}

Test(scsi_mode, mode_sense_controls)
{
	IN(0, 255, 6, 0x1a, 8, 0x40 | 0x08, 0, 255);
	good(24);
	cr_assert_eq(buf[4 + 2], 4, "the cache can be switched off");
	IN(0, 255, 6, 0x1a, 8, 0x40 | 0x0a, 0, 255);
	cr_assert_eq(buf[4 + 2], 4, "D_SENSE");
	cr_assert_eq(buf[4 + 3], 0);
	cr_assert_eq(buf[4 + 4], 8, "SWP");
	IN(0, 255, 6, 0x1a, 8, 0x80 | 0x08, 0, 255);
	cr_assert_eq(buf[4 + 2], 4);
	IN(0, 255, 6, 0x1a, 8, 0xc0 | 0x08, 0, 255);
	check(SENSE(5, 0x3900));
	IN(0, 255, 6, 0x1a, 8, 0x02, 0, 255);
	check(INVALID_FIELD);
	IN(0, 255, 6, 0x1a, 8, 0x08, 1, 255);
	check(INVALID_FIELD);
	IN(0, 255, 6, 0x1a, 8, 0x3f, 0xff, 255);
	good(4 + 32);
}

Test(scsi_mode, mode_sense_write_through)
{
	disk.disk.write_through = true;
	scsi_lun_greet(&luns[0]);
	IN(0, 255, 6, 0x1a, 8, 0x08, 0, 255);
	good(24);
	cr_assert_eq(buf[4 + 2], 0, "no WCE");
}

Test(scsi_mode, mode_sense_10)
{
	IN(3, 255, 10, 0x5a, 0, 0x08, 0, 0, 0, 0, 0, 255);
	good(8 + 8 + 20);
	cr_assert_eq(get_be16(buf), 34);
	cr_assert_eq(buf[3], 0x90);
	cr_assert_eq(get_be16(&buf[6]), 8);
	cr_assert_eq(get_be32(&buf[8]), 100);
	cr_assert_eq(get_be32(&buf[12]), 4096);
	cr_assert_eq(buf[18], 0, "no cache to write back on a read-only disk");
}

Test(scsi_mode, mode_sense_long_descriptor)
{
	IN(0, 255, 10, 0x5a, 0x10, 0x08, 0, 0, 0, 0, 0, 255);
	good(8 + 16 + 20);
	cr_assert_eq(buf[4], 1);
	cr_assert_eq(get_be16(&buf[6]), 16);
	cr_assert_eq(get_be64(&buf[8]), BLOCKS);
	cr_assert_eq(get_be32(&buf[20]), 512);
}

/* ---- MODE SELECT ---- */

/* What MODE SENSE of a page brings, as a list for MODE SELECT(6) without a block descriptor. */
static uint32_t page(uint8_t code)
{
	memset(buf, 0, 64);
	IN(0, 64, 6, 0x1a, 8, code, 0, 64);
	cr_assert_eq(req.status, 0);
	buf[0] = buf[2] = 0;
	return req.transferred;
}

static void select_page(uint32_t len)
{
	OUT(0, len, 6, 0x15, 0x10, 0, 0, (uint8_t)len);
}

static uint8_t sensed(uint8_t control, uint8_t code, unsigned int byte)
{
	static uint8_t kept[64];

	memcpy(kept, buf, sizeof(kept));
	IN(0, 64, 6, 0x1a, 8, control | code, 0, 64);
	cr_assert_eq(req.status, 0);
	code = buf[4 + byte];
	memcpy(buf, kept, sizeof(kept));
	return code;
}

Test(scsi_mode, cache_off_and_on)
{
	uint32_t len = page(0x08), flushes = disk.flushes;

	select_page(len);
	good(len);
	cr_assert_not(req.unit_changed, "nothing has changed");
	buf[4 + 2] = 0;
	select_page(len);
	good(len);
	cr_assert(req.unit_changed);
	cr_assert_eq(disk.flushes, flushes + 1, "what is in the cache is written first");
	cr_assert_eq(sensed(0, 0x08, 2), 0);
	cr_assert_eq(sensed(0x80, 0x08, 2), 4, "the default");
	OUT(0, 512, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(disk.fua_writes, 1, "each write is on the medium");
	OUT(0, 512, 6, 0x0a, 0, 0, 0, 1);
	cr_assert_eq(disk.fua_writes, 2);
	page(0x08);
	buf[4 + 2] = 4;
	select_page(len);
	good(len);
	OUT(0, 512, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(disk.fua_writes, 2);
	cr_assert_eq(disk.flushes, flushes + 1);
}

Test(scsi_mode, cache_off_when_the_flush_fails)
{
	uint32_t len = page(0x08);

	buf[4 + 2] = 0;
	disk.fail = -EIO;
	select_page(len);
	check(SENSE(3, 0x0c00));
	cr_assert_not(req.unit_changed);
	cr_assert_eq(sensed(0, 0x08, 2), 4);
}

Test(scsi_mode, cache_goes_off_between_writes)
{
	struct scsi_request r[3];
	struct iovec iov[3][3];
	uint32_t len = page(0x08);

	buf[4 + 2] = 0;
	disk.hold = true;
	dones = 0;
	prepare(&r[0], iov[0], 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_OUT, 512);
	prepare(&r[1], iov[1], 0, CDB(0x15, 0x10, 0, 0, (uint8_t)len), 6, SCSI_OUT, len);
	prepare(&r[2], iov[2], 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_OUT, 512);
	for (int i = 0; i < 3; i++)
		scsi_execute(&controller, &r[i]);
	cr_assert(memdisk_release(&disk)); /* the first write, then the flush */
	cr_assert_eq(dones, 1);
	cr_assert(memdisk_release(&disk));
	cr_assert_eq(dones, 2);
	cr_assert(memdisk_release(&disk));
	cr_assert_eq(dones, 3);
	cr_assert_eq(disk.fua_writes, 1, "the second write comes after the change");
}

Test(scsi_mode, write_protection_by_the_initiator)
{
	uint32_t len = page(0x0a);

	buf[4 + 4] = 8;
	select_page(len);
	good(len);
	OUT(0, 512, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	check(SENSE(7, 0x2702));
	IN(0, 4, 6, 0x1a, 0, 0x3f, 0, 4);
	cr_assert_eq(buf[2], 0x90);
	page(0x0a);
	buf[4 + 4] = 0;
	select_page(len);
	OUT(0, 512, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	good(512);
}

Test(scsi_mode, select_10_with_descriptor_and_all_pages)
{
	IN(0, 64, 10, 0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 64);
	good(8 + 8 + 20 + 12);
	buf[0] = buf[1] = buf[3] = 0;
	buf[16 + 20 + 2] = 4; /* D_SENSE */
	OUT(0, 48, 10, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 48);
	good(48);
	cr_assert_eq(luns[0].state.modes, SCSI_MODES_DESCRIPTORS);
	memset(&buf[8], 0, 4); /* "as many as there are" */
	OUT(0, 48, 10, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 48);
	good(48);
	IN(0, 64, 10, 0x5a, 0x10, 0x0a, 0, 0, 0, 0, 0, 64);
	buf[0] = buf[1] = buf[3] = 0;
	buf[8 + 16 + 2] = 0;
	OUT(0, 36, 10, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 36);
	good(36);
	cr_assert_eq(luns[0].state.modes, 0);
}

/* All or nothing. */
Test(scsi_mode, lists_that_are_wrong)
{
	uint32_t len = page(0x08);

	NODATA(0, 6, 0x15, 0x10);
	good(0);
	OUT(0, len, 6, 0x15, 0, 0, 0, (uint8_t)len);
	field(true, 1, 4);
	OUT(0, len, 6, 0x15, 0x11, 0, 0, (uint8_t)len);
	field(true, 1, 0);
	OUT(0, 3, 6, 0x15, 0x10, 0, 0, 3);
	check(LIST_LENGTH);
	OUT(0, len - 1, 6, 0x15, 0x10, 0, 0, (uint8_t)len);
	check(LIST_LENGTH);
	OUT(0, len, 6, 0x15, 0x10, 0, 0, (uint8_t)(len - 1));
	check(LIST_LENGTH);
	buf[4 + 2] = 0x05; /* RCD, too, which cannot be changed */
	select_page(len);
	field(false, 6, 0);
	page(0x08);
	buf[4] = 0x01;
	select_page(len);
	field(false, 4, 5);
	page(0x08);
	buf[4] |= 0x80;
	select_page(len);
	field(false, 4, 7);
	page(0x08);
	buf[5] = 10;
	select_page(len);
	field(false, 5, 7);
	page(0x08);
	buf[3] = 7;
	select_page(len);
	field(false, 3, 7);
	/* A good page before a bad one. */
	page(0x08);
	buf[6] = 0;
	buf[24] = 0x3e;
	OUT(0, 30, 6, 0x15, 0x10, 0, 0, 30);
	field(false, 24, 5);
	cr_assert_eq(luns[0].state.modes, 0);
	/* Another size of blocks. */
	IN(0, 64, 6, 0x1a, 0, 0x08, 0, 64);
	buf[0] = buf[2] = 0;
	buf[10] = 16;
	OUT(0, 32, 6, 0x15, 0x10, 0, 0, 32);
	field(false, 9, 7);
	buf[10] = 2;
	buf[4] = 1;
	OUT(0, 32, 6, 0x15, 0x10, 0, 0, 32);
	field(false, 4, 7);
}

Test(scsi_mode, what_cannot_be_changed)
{
	uint32_t len;

	disk.disk.write_through = true;
	scsi_lun_greet(&luns[0]);
	len = page(0x08);
	cr_assert_eq(sensed(0x40, 0x08, 2), 0);
	buf[4 + 2] = 4;
	select_page(len);
	field(false, 6, 2);
}
