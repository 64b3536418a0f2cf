/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>

#include "tests/unit/vsp-storaged/scsi_fixture.h"

#define MANY	    6000u
#define SMALL_STACK (256u * 1024u)

TestSuite(scsi_verify, .init = scsi_set_up, .fini = scsi_tear_down, .timeout = 30);

Test(scsi_verify, verify)
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
	field(true, 1, 2);
	NODATA(0, 10, 0x2f, 0, 0, 0, 0, 0, 0, 0, 0);
	good(0);
}

Test(scsi_verify, verifications_wait_for_each_other)
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

Test(scsi_verify, abort_of_what_the_host_has_begun)
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

Test(scsi_verify, verify_of_every_length)
{
	memset(disk.data, 0x5a, BLOCKS * 512);
	memset(buf, 0x5a, BUF_LEN);
	OUT(0, 1024, 12, 0xaf, 2, 0, 0, 0, 5, 0, 0, 0, 2);
	good(1024);
	OUT(0, 1024, 16, 0x8f, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2);
	good(1024);
	buf[1023] = 0;
	OUT(0, 1024, 12, 0xaf, 2, 0, 0, 0, 5, 0, 0, 0, 2);
	check(MISCOMPARE);
	OUT(0, 1024, 16, 0x8f, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2);
	check(MISCOMPARE);
}

/* BYTCHK 3: one block, which all are compared with. */
Test(scsi_verify, verify_with_one_block)
{
	memset(disk.data, 0x5a, BLOCKS * 512);
	memset(buf, 0x5a, 512);
	OUT(0, 512, 10, 0x2f, 6, 0, 0, 0, 5, 0, 1, 0x90);
	good(512);
	disk.data[404 * 512 + 511] = 0;
	OUT(0, 512, 10, 0x2f, 6, 0, 0, 0, 5, 0, 1, 0x90);
	check(MISCOMPARE);
	OUT(0, 511, 10, 0x2f, 6, 0, 0, 0, 5, 0, 1, 0x90);
	check(INVALID_FIELD);
	OUT(0, 0, 10, 0x2f, 6, 0, 0, 0, 5, 0, 0, 0);
	good(0);
}

Test(scsi_verify, write_and_verify)
{
	static const struct {
		uint8_t cdb_len, cdb[16]; /* 300 blocks at 7 */
	} lengths[] = {
		{10, {0x2e, 2, 0, 0, 0, 7, 0, 1, 0x2c}},
		{12, {0xae, 2, 0, 0, 0, 7, 0, 0, 1, 0x2c}},
		{16, {0x8e, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 1, 0x2c}},
	};
	unsigned int before;

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		for (size_t j = 0; j < 300 * 512; j++)
			buf[j] = (uint8_t)(j * 7 + i);
		before = disk.fua_writes;
		run(0, lengths[i].cdb, lengths[i].cdb_len, SCSI_OUT, 300 * 512);
		good(300 * 512);
		cr_assert_eq(memcmp(disk.data + 7 * 512, buf, 300 * 512), 0);
		cr_assert_eq(disk.fua_writes, before + 3, "on the medium, in three pieces");
		run(0, lengths[i].cdb, lengths[i].cdb_len, SCSI_OUT, 300 * 512 - 1);
		check(INVALID_FIELD);
	}
	OUT(0, 512, 10, 0x2e, 0, 0, 0, 0, 0, 0, 0, 1);
	good(512);
	OUT(0, 512, 10, 0x2e, 4, 0, 0, 0, 0, 0, 0, 1);
	field(true, 1, 2);
	OUT(0, 512, 10, 0x2e, 0, 0, 0, 0x10, 0, 0, 0, 1);
	check(OUT_OF_RANGE);
	OUT(3, 4096, 10, 0x2e, 0, 0, 0, 0, 0, 0, 0, 1);
	check(WRITE_PROTECT);
	disk.fail = -EIO;
	OUT(0, 512, 10, 0x2e, 0, 0, 0, 0, 0, 0, 0, 1);
	check(SENSE(3, 0x0c00));
}

/* ---- COMPARE AND WRITE ---- */

#define CAW(blocks) 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, (blocks)

static uint32_t marks;

static void set_mark(struct scsi_request *request, uint32_t mark)
{
	request->mark = mark;
	marks++;
}

Test(scsi_verify, compare_and_write)
{
	memset(disk.data, 0x11, BLOCKS * 512);
	memset(buf, 0x11, 1024);
	memset(buf + 1024, 0x22, 1024);
	OUT(0, 2048, 16, CAW(2));
	good(2048);
	cr_assert_eq(disk.data[9 * 512 - 1], 0x11);
	cr_assert_eq(disk.data[9 * 512], 0x22);
	cr_assert_eq(disk.data[11 * 512 - 1], 0x22);
	cr_assert_eq(disk.data[11 * 512], 0x11);
	/* It is not any more what it compares with: the first byte that is not. */
	memset(buf, 0x22, 1024);
	buf[700] = 0x11;
	OUT(0, 2048, 16, CAW(2));
	check(MISCOMPARE);
	cr_assert_eq(req.sense[0], 0xf0);
	cr_assert_eq(get_be32(&req.sense[3]), 700);
	cr_assert_eq(disk.data[9 * 512], 0x22);
	OUT(0, 0, 16, CAW(0));
	good(0);
	OUT(0, 2047, 16, CAW(2));
	field(true, 13, 7);
	OUT(0, BUF_LEN, 16, CAW(129));
	field(true, 13, 7);
	OUT(0, 1024, 16, 0x89, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 1);
	check(OUT_OF_RANGE);
	OUT(3, 8192, 16, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
	check(WRITE_PROTECT);
	buf[700] = 0x22;
	OUT(0, 2048, 16, 0x89, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2);
	good(2048);
	cr_assert_eq(disk.fua_writes, 1);
}

/* Writes that come while it runs wait, those before it are waited for. */
Test(scsi_verify, nothing_comes_between)
{
	struct scsi_request r[3];
	struct iovec iov[3][3];

	memset(buf, 0, 512);
	memset(buf + 512, 1, 512);
	disk.hold = true;
	prepare(&r[0], iov[0], 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_OUT, 512);
	prepare(&r[1], iov[1], 0, CDB(CAW(1)), 16, SCSI_OUT, 1024);
	prepare(&r[2], iov[2], 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_OUT, 512);
	for (int i = 0; i < 3; i++)
		scsi_execute(&controller, &r[i]);
	r[1].set_mark = set_mark;
	for (unsigned int i = 0; i < 4; i++) { /* write; read, write; write */
		cr_assert_eq(dones, i < 3 ? i - (i == 2) : 2);
		cr_assert(memdisk_release(&disk));
		cr_assert_eq(disk.head != NULL, i < 3, "one at a time");
	}
	cr_assert_eq(dones, 3);
	cr_assert_eq(marks, 1);
	cr_assert_eq(r[1].status, 0);
	/* Afterwards they go their own way again. */
	for (int i = 0; i < 2; i++) {
		prepare(&r[i], iov[i], 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_OUT, 512);
		scsi_execute(&controller, &r[i]);
	}
	cr_assert(disk.head && disk.head->next);
	cr_assert(memdisk_release(&disk));
	cr_assert(memdisk_release(&disk));
}

/* A successor finds the mark: the blocks may be written already. */
Test(scsi_verify, compare_and_write_again)
{
	struct scsi_request r;
	struct iovec iov[3];

	memset(disk.data, 0x22, BLOCKS * 512);
	memset(buf, 0x11, 512);
	memset(buf + 512, 0x22, 512);
	prepare(&r, iov, 0, CDB(CAW(1)), 16, SCSI_OUT, 1024);
	scsi_execute(&controller, &r);
	cr_assert_eq(r.status, SCSI_STATUS_CHECK_CONDITION);
	prepare(&r, iov, 0, CDB(CAW(1)), 16, SCSI_OUT, 1024);
	r.mark = SCSI_MARK_MATCHED;
	scsi_execute(&controller, &r);
	cr_assert_eq(r.status, SCSI_STATUS_GOOD);
	cr_assert_eq(r.transferred, 1024);
	cr_assert_eq(disk.data[9 * 512], 0x22);
}

Test(scsi_verify, abort_of_what_waits_to_be_alone)
{
	struct scsi_request r[3];
	struct iovec iov[3][3];

	disk.hold = disk.begun = true;
	prepare(&r[0], iov[0], 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_OUT, 512);
	prepare(&r[1], iov[1], 0, CDB(CAW(1)), 16, SCSI_OUT, 1024);
	prepare(&r[2], iov[2], 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_OUT, 512);
	for (int i = 0; i < 3; i++)
		scsi_execute(&controller, &r[i]);
	scsi_abort(&r[1]);
	cr_assert_eq(dones, 1);
	cr_assert_eq(r[1].outcome, SCSI_ABORTED);
	cr_assert(memdisk_release(&disk));
	cr_assert(memdisk_release(&disk));
	cr_assert_eq(dones, 3);
	cr_assert_eq(luns[0].alone + luns[0].writers, 0);
}

static void *release_one(void *arg)
{
	(void)arg;
	disk.hold = false;
	return memdisk_release(&disk) ? &disk : NULL;
}

/* With a stack on which there is no room for a few bytes of each. */
static bool release_on_a_small_stack(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	void *released;

	cr_assert_eq(pthread_attr_init(&attributes), 0);
	cr_assert_eq(pthread_attr_setstacksize(&attributes, SMALL_STACK), 0);
	cr_assert_eq(pthread_create(&thread, &attributes, release_one, NULL), 0);
	cr_assert_eq(pthread_join(thread, &released), 0);
	pthread_attr_destroy(&attributes);
	return released;
}

/* One is under way, and behind it wait very many that end as soon as it is their turn: with their first step, with a
 * disk that answers at once, or with writes that waited for who wanted to be alone. */
Test(scsi_verify, many_that_end_at_once)
{
	struct scsi_request *r = calloc(MANY, sizeof(*r));
	struct iovec(*iov)[3] = calloc(MANY, sizeof(*iov));

	cr_assert(r && iov);
	memset(buf, 0, 1024);
	disk.hold = true;
	prepare(&r[0], iov[0], 0, CDB(CAW(1)), 16, SCSI_OUT, 1024);
	for (unsigned int i = 1; i < MANY; i++) {
		if (i % 3 == 0)
			prepare(&r[i], iov[i], 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_OUT, 512);
		else
			prepare(&r[i], iov[i], 0, CDB(0x2f, 0, 0, 0, 0, 0, 0, 0, i % 3 == 1), 10, SCSI_NONE, 0);
	}
	for (unsigned int i = 0; i < MANY; i++)
		scsi_execute(&controller, &r[i]);
	cr_assert_eq(dones, 0);
	cr_assert(release_on_a_small_stack());
	cr_assert_eq(dones, MANY);
	for (unsigned int i = 0; i < MANY; i++)
		cr_assert_eq(r[i].status, SCSI_STATUS_GOOD, "%u: sense %x", i, r[i].sense[2]);
	cr_assert_null(luns[0].lane_head);
	cr_assert_eq(luns[0].alone + luns[0].writers, 0);
	free(iov);
	free(r);
}
