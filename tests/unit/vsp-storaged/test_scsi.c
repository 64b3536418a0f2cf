/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-storaged/scsi.h"
#include "tests/support/memdisk.h"

#define BLOCKS	    4096u
#define BUF_LEN	    (300u * 1024u)
#define SENSE(k, a) ((uint32_t)(k) << 16 | (a))

static const struct abi_guid instance = {{1, 2, 3, 4}};
static struct memdisk disk, ro_disk;
static struct scsi_lun luns[2];
static struct scsi_controller controller = {luns, 2};
static uint8_t *buf;

/* The command that run() ran last. */
static struct scsi_request req;
static struct iovec req_iov[3];
static unsigned int dones;

static void setup(void)
{
	memdisk_init(&disk, BLOCKS, 512, false);
	memdisk_init(&ro_disk, 100, 4096, true);
	cr_assert_eq(scsi_lun_init(&luns[0], &instance, 0, 0, "sda", "", &disk.disk), 0);
	cr_assert_eq(scsi_lun_init(&luns[1], &instance, 0, 3, "sdb", "SERIAL7", &ro_disk.disk), 0);
	buf = malloc(BUF_LEN);
	memset(buf, 0xee, BUF_LEN);
	dones = 0;
}

static void teardown(void)
{
	scsi_lun_done(&luns[0]);
	scsi_lun_done(&luns[1]);
	memdisk_done(&disk);
	memdisk_done(&ro_disk);
	free(buf);
}

TestSuite(scsi, .init = setup, .fini = teardown, .timeout = 30);

static void done(struct scsi_request *request)
{
	(void)request;
	dones++;
}

/* The buffer is cut in three, so that commands meet more than one iovec. */
static void prepare(struct scsi_request *request, struct iovec iov[3], uint8_t lun, const uint8_t *cdb, size_t cdb_len,
		    enum scsi_direction direction, uint32_t len)
{
	uint32_t first = len / 3, second = len / 2;

	memset(request, 0, sizeof(*request));
	request->lun = lun;
	memcpy(request->cdb, cdb, cdb_len);
	request->cdb_len = (uint8_t)cdb_len;
	request->direction = direction;
	iov[0] = (struct iovec){buf, first};
	iov[1] = (struct iovec){buf + first, second - first};
	iov[2] = (struct iovec){buf + second, len - second};
	request->iov = iov;
	request->iovs = len ? 3 : 0;
	request->data_len = len;
	request->done = done;
}

static void run(uint8_t lun, const uint8_t *cdb, size_t cdb_len, enum scsi_direction direction, uint32_t len)
{
	unsigned int before = dones;

	prepare(&req, req_iov, lun, cdb, cdb_len, direction, len);
	scsi_execute(&controller, &req);
	cr_assert_eq(dones, before + 1);
}

#define CDB(...)		    ((const uint8_t[16]){__VA_ARGS__})
#define IN(lun, len, cdb_len, ...)  run(lun, CDB(__VA_ARGS__), cdb_len, SCSI_IN, len)
#define OUT(lun, len, cdb_len, ...) run(lun, CDB(__VA_ARGS__), cdb_len, SCSI_OUT, len)
#define NODATA(lun, cdb_len, ...)   run(lun, CDB(__VA_ARGS__), cdb_len, SCSI_NONE, 0)

static void good(uint32_t transferred)
{
	cr_assert_eq(req.outcome, SCSI_COMPLETE);
	cr_assert_eq(req.status, SCSI_STATUS_GOOD, "sense %x/%04x", req.sense[2], get_be16(&req.sense[12]));
	cr_assert_eq(req.sense_len, 0);
	cr_assert_eq(req.transferred, transferred, "%u bytes", req.transferred);
}

static void check(uint32_t sense)
{
	cr_assert_eq(req.outcome, SCSI_COMPLETE);
	cr_assert_eq(req.status, SCSI_STATUS_CHECK_CONDITION);
	cr_assert_eq(req.sense_len, 18);
	cr_assert_eq(req.sense[0], 0x70);
	cr_assert_eq(req.sense[7], 10);
	cr_assert_eq(SENSE(req.sense[2], get_be16(&req.sense[12])), sense, "sense %x/%04x", req.sense[2],
		     get_be16(&req.sense[12]));
	cr_assert_eq(req.transferred, 0);
}

#define INVALID_FIELD SENSE(5, 0x2400)
#define OUT_OF_RANGE  SENSE(5, 0x2100)
#define WRITE_PROTECT SENSE(7, 0x2700)

/* ---- identity ---- */

Test(scsi, inquiry)
{
	IN(0, 255, 6, 0x12, 0, 0, 0, 255);
	good(36);
	cr_assert_eq(buf[0], 0);
	cr_assert_eq(buf[2], 6);
	cr_assert_eq(buf[4], 31);
	cr_assert_eq(memcmp(&buf[8], "BulkheadVirtual Disk    1.0 ", 28), 0);
	cr_assert_eq(buf[36], 0xee);
	/* The shorter of allocation length and buffer counts. */
	IN(0, 255, 6, 0x12, 0, 0, 0, 5);
	good(5);
	IN(0, 20, 6, 0x12, 0, 0, 0, 36);
	good(20);
	run(0, CDB(0x12, 0, 0, 0, 36), 6, SCSI_NONE, 0);
	good(0);
	IN(0, 36, 6, 0x12, 0, 0x80, 0, 36);
	check(INVALID_FIELD);
}

Test(scsi, vpd_pages)
{
	static const uint8_t list[] = {0, 0, 0, 6, 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};

	IN(0, 255, 6, 0x12, 1, 0, 0, 255);
	good(sizeof(list));
	cr_assert_eq(memcmp(buf, list, sizeof(list)), 0);
	/* Each that is listed is there, says its own number and its length. */
	for (size_t i = 4; i < sizeof(list); i++) {
		IN(0, 255, 6, 0x12, 1, list[i], 0, 255);
		cr_assert_eq(req.status, 0);
		cr_assert_eq(buf[1], list[i]);
		cr_assert_eq(req.transferred, get_be16(&buf[2]) + 4u);
	}
	IN(0, 255, 6, 0x12, 1, 0xb3, 0, 255);
	check(INVALID_FIELD);
}

Test(scsi, serial_and_device_id)
{
	char first[64] = "", second[64] = "";

	IN(3, 255, 6, 0x12, 1, 0x80, 0, 255);
	good(4 + 7);
	cr_assert_eq(memcmp(&buf[4], "SERIAL7", 7), 0);
	/* Without one the name serves, and it differs from disk to disk. */
	IN(0, 255, 6, 0x12, 1, 0x80, 0, 255);
	good(4 + 16);
	memcpy(first, &buf[4], 16);
	snprintf(second, sizeof(second), "%016llx", (unsigned long long)luns[0].naa);
	cr_assert_str_eq(first, second);
	cr_assert_neq(luns[0].naa, luns[1].naa);
	cr_assert_eq(luns[0].naa >> 60, 3);

	IN(3, 255, 6, 0x12, 1, 0x83, 0, 255);
	cr_assert_eq(buf[4], 2);
	cr_assert_eq(buf[5], 1);
	cr_assert_eq(buf[7], 8 + 16 + 7);
	cr_assert_eq(memcmp(&buf[8], "BulkheadVirtual Disk    SERIAL7", 31), 0);
	cr_assert_eq(buf[39], 1);
	cr_assert_eq(buf[40], 3);
	cr_assert_eq(buf[42], 8);
	cr_assert_eq(get_be64(&buf[43]), luns[1].naa);
}

Test(scsi, block_limits)
{
	IN(0, 255, 6, 0x12, 1, 0xb0, 0, 255);
	good(64);
	cr_assert_eq(get_be16(&buf[6]), 8);
	cr_assert_eq(get_be32(&buf[8]), 512);
	cr_assert_eq(get_be32(&buf[20]), 0, "no UNMAP");
	IN(3, 255, 6, 0x12, 1, 0xb0, 0, 255);
	cr_assert_eq(get_be32(&buf[8]), 64);
	IN(0, 255, 6, 0x12, 1, 0xb1, 0, 255);
	cr_assert_eq(get_be16(&buf[4]), 1);
	IN(0, 255, 6, 0x12, 1, 0xb2, 0, 255);
	good(8);
	cr_assert_eq(buf[5], 0);
}

Test(scsi, test_unit_ready_and_request_sense)
{
	NODATA(0, 6, 0x00);
	good(0);
	IN(0, 252, 6, 0x03, 0, 0, 0, 252);
	good(18);
	cr_assert_eq(buf[0], 0x70);
	cr_assert_eq(buf[2], 0);
	IN(0, 252, 6, 0x03, 1, 0, 0, 252);
	good(8);
	cr_assert_eq(buf[0], 0x72);
}

Test(scsi, report_luns)
{
	IN(0, 64, 12, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64);
	good(24);
	cr_assert_eq(get_be32(buf), 16);
	cr_assert_eq(buf[9], 0);
	cr_assert_eq(buf[17], 3);
	/* LUN 5 is not there, and answers all the same. */
	IN(5, 16, 12, 0xa0, 0, 2, 0, 0, 0, 0, 0, 0, 16);
	good(16);
	cr_assert_eq(get_be32(buf), 16);
	IN(0, 64, 12, 0xa0, 0, 1, 0, 0, 0, 0, 0, 0, 64);
	good(8);
	cr_assert_eq(get_be32(buf), 0);
	IN(0, 64, 12, 0xa0, 0, 3, 0, 0, 0, 0, 0, 0, 64);
	check(INVALID_FIELD);
	IN(0, 64, 12, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15);
	check(INVALID_FIELD);
}

/* ---- what is not there ---- */

Test(scsi, absent_lun)
{
	memset(buf, 0xee, 64);
	IN(1, 36, 6, 0x12, 0, 0, 0, 36);
	good(36);
	cr_assert_eq(buf[0], 0x7f);
	NODATA(1, 6, 0x00);
	cr_assert_eq(req.outcome, SCSI_NO_LUN);
	IN(1, 512, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(req.outcome, SCSI_NO_LUN);
	NODATA(1, 6, 0xff);
	cr_assert_eq(req.outcome, SCSI_NO_LUN);
}

Test(scsi, other_paths_and_targets_are_empty)
{
	static const uint8_t where[][2] = {{1, 0}, {7, 1}, {0, 1}}; /* path, target */

	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		unsigned int before = dones;

		prepare(&req, req_iov, 0, CDB(0x12, 0, 0, 0, 36), 6, SCSI_IN, 36);
		req.path = where[i][0];
		req.target = where[i][1];
		scsi_execute(&controller, &req);
		good(36);
		cr_assert_eq(buf[0], 0x7f);

		prepare(&req, req_iov, 0, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64), 12, SCSI_IN, 64);
		req.path = where[i][0];
		req.target = where[i][1];
		scsi_execute(&controller, &req);
		good(8);
		cr_assert_eq(get_be32(buf), 0);

		prepare(&req, req_iov, 0, CDB(0x00), 6, SCSI_NONE, 0);
		req.path = where[i][0];
		req.target = where[i][1];
		scsi_execute(&controller, &req);
		if (where[i][0] == 0)
			cr_assert_eq(req.outcome, SCSI_NO_LUN);
		else
			check(SENSE(5, 0x2500));
		cr_assert_eq(dones, before + 3);
	}
}

Test(scsi, unknown_opcodes)
{
	static const uint8_t opcodes[] = {0x04, 0x15, 0x41, 0x42, 0x55, 0x5e, 0x7f, 0x93, 0xa3, 0xff};

	for (size_t i = 0; i < sizeof(opcodes); i++) {
		NODATA(0, 16, opcodes[i]);
		check(SENSE(5, 0x2000));
	}
}

Test(scsi, requests_that_contradict_themselves)
{
	OUT(0, 512, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(req.outcome, SCSI_BAD_REQUEST);
	IN(0, 512, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(req.outcome, SCSI_BAD_REQUEST);
	IN(0, 512, 6, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(req.outcome, SCSI_BAD_REQUEST, "a READ(10) of six bytes");
	/* The initiator that does not say is trusted. */
	run(0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_NONE, 512);
	good(512);
	IN(0, 512, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 4);
	check(INVALID_FIELD);
}

/* ---- mode pages ---- */

Test(scsi, mode_sense_6)
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

Test(scsi, mode_sense_controls)
{
	IN(0, 255, 6, 0x1a, 8, 0x40 | 0x08, 0, 255);
	good(24);
	cr_assert_eq(buf[4 + 2], 0, "nothing is changeable");
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

Test(scsi, mode_sense_write_through)
{
	disk.disk.write_through = true;
	IN(0, 255, 6, 0x1a, 8, 0x08, 0, 255);
	good(24);
	cr_assert_eq(buf[4 + 2], 0, "no WCE");
}

Test(scsi, mode_sense_10)
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

/* ---- capacity ---- */

Test(scsi, read_capacity)
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
	cr_assert_eq(buf[14], 0);
	IN(3, 32, 16, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
	cr_assert_eq(buf[13], 0);
	IN(0, 32, 16, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
	check(INVALID_FIELD);
}

Test(scsi, large_disk)
{
	memdisk_done(&disk);
	memdisk_init(&disk, UINT64_C(1) << 33, 512, false);
	disk.fail = -EIO;
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

Test(scsi, read_and_write_of_every_length)
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

Test(scsi, read_6_of_length_0_is_256_blocks)
{
	IN(0, 256 * 512, 6, 0x08, 0, 0, 0, 0);
	good(256 * 512);
	IN(0, 0, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 0);
	good(0);
}

Test(scsi, fua_and_protection)
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

Test(scsi, out_of_range)
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

Test(scsi, transfer_above_the_limit)
{
	IN(0, BUF_LEN, 10, 0x28, 0, 0, 0, 0, 0, 0, 2, 0);
	good(256 * 1024);
	IN(0, BUF_LEN, 10, 0x28, 0, 0, 0, 0, 0, 0, 2, 1);
	check(INVALID_FIELD);
}

Test(scsi, read_only)
{
	IN(3, 4096, 10, 0x28, 0, 0, 0, 0, 99, 0, 0, 1);
	good(4096);
	OUT(3, 4096, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	check(WRITE_PROTECT);
	NODATA(3, 10, 0x35);
	good(0);
}

Test(scsi, errors_of_the_host)
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

/* ---- flush, start and stop, verify ---- */

Test(scsi, flushes)
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
	NODATA(0, 6, 0x1b, 0, 0, 0, 2);
	check(INVALID_FIELD);
	NODATA(0, 6, 0x1b, 0, 0, 0, 0x30);
	check(INVALID_FIELD);
}

Test(scsi, verify)
{
	memset(disk.data, 0x5a, BLOCKS * 512);
	NODATA(0, 10, 0x2f, 0, 0, 0, 0, 0, 0, 0x10, 0);
	good(0);
	NODATA(0, 10, 0x2f, 0, 0, 0, 0, 1, 0, 0x10, 0);
	check(OUT_OF_RANGE);
	memset(buf, 0x5a, BUF_LEN);
	OUT(0, 400 * 512, 10, 0x2f, 2, 0, 0, 0, 5, 0, 1, 0x90);
	good(400 * 512);
	buf[399 * 512] = 0;
	OUT(0, 400 * 512, 10, 0x2f, 2, 0, 0, 0, 5, 0, 1, 0x90);
	check(SENSE(0xe, 0x1d00));
	OUT(0, 399 * 512, 10, 0x2f, 2, 0, 0, 0, 5, 0, 1, 0x90);
	check(INVALID_FIELD);
	OUT(0, 512, 10, 0x2f, 4, 0, 0, 0, 5, 0, 0, 1);
	check(INVALID_FIELD);
	NODATA(0, 10, 0x2f, 0, 0, 0, 0, 0, 0, 0, 0);
	good(0);
}

Test(scsi, verifications_wait_for_each_other)
{
	struct scsi_request r[3];
	struct iovec iov[3][3];

	disk.hold = true;
	for (int i = 0; i < 3; i++) {
		prepare(&r[i], iov[i], 0, CDB(0x2f, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_NONE, 0);
		scsi_execute(&controller, &r[i]);
	}
	cr_assert_eq(dones, 0);
	/* The last one, which waits, is taken out; the running one too; the second goes on. */
	scsi_abort(&r[2]);
	cr_assert_eq(dones, 1);
	cr_assert_eq(r[2].outcome, SCSI_ABORTED);
	scsi_abort(&r[0]);
	cr_assert_eq(dones, 2);
	cr_assert_eq(r[0].outcome, SCSI_ABORTED);
	cr_assert(memdisk_release(&disk));
	cr_assert_eq(dones, 3);
	cr_assert_eq(r[1].outcome, SCSI_COMPLETE);
	cr_assert_not(memdisk_release(&disk));
}

Test(scsi, abort_of_what_the_host_has_begun)
{
	struct scsi_request r[2];
	struct iovec iov[2][3];

	disk.hold = disk.begun = true;
	prepare(&r[0], iov[0], 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_IN, 512);
	prepare(&r[1], iov[1], 0, CDB(0x2f, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_NONE, 0);
	for (int i = 0; i < 2; i++) {
		scsi_execute(&controller, &r[i]);
		scsi_abort(&r[i]);
	}
	cr_assert_eq(dones, 0);
	cr_assert(memdisk_release(&disk));
	cr_assert(memdisk_release(&disk));
	cr_assert_eq(dones, 2);
	cr_assert_eq(r[0].outcome, SCSI_COMPLETE);
	cr_assert_eq(r[0].transferred, 512);
	cr_assert_eq(r[1].outcome, SCSI_ABORTED);
}
