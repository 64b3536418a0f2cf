// SPDX-License-Identifier: Apache-2.0
/*
 * Disks that go wrong: writes and reads all of LUN 0 to "luns" - 1, pass after pass, flushes them, and says of each
 * pass how much went well and what the sense of the last failure was, until it is ended from outside. What is read
 * after a write that went well is compared.
 */
#include "disk.h"
#include "rt.h"

#define LUNS_MAX 8u
#define STEP	 8u /* blocks from one to the next: a page of the host's cache each */

enum { WRITE, READ, FLUSH, KINDS };

struct score {
	uint32_t good;
	uint8_t sense[3]; /* of the last failure: key, ASC, ASCQ */
};

static struct vmbus_channel channel;
static uint32_t blocks[LUNS_MAX];
static uint8_t data[2][DISK_BLOCK] __attribute__((aligned(DISK_BLOCK)));

/* A unit attention is heard and tried again. Return: whether it went well. */
static bool try(uint8_t lun, const uint8_t *cdb, bool write, void *buffer, uint32_t len, struct score *score)
{
	struct storvsc_result result;

	do {
		rt_check(storvsc_submit(&channel, 7, lun, cdb, 10, write, buffer, len), "the ring is full");
		storvsc_wait(&channel, &result);
		rt_check(result.id == 7, "another request's completion");
	} while (result.scsi_status == SCSI_STATUS_CHECK_CONDITION &&
		 (result.sense[2] & 0xf) == SCSI_SENSE_UNIT_ATTENTION);
	if (result.scsi_status == SCSI_STATUS_GOOD && (result.srb_status & 0x3f) == SRB_STATUS_SUCCESS) {
		rt_check(result.transferred == len, "lun %u: it moved %u bytes", lun, result.transferred);
		score->good++;
		return true;
	}
	rt_check(result.scsi_status == SCSI_STATUS_CHECK_CONDITION, "lun %u: SRB status %x, SCSI status %x", lun,
		 result.srb_status, result.scsi_status);
	score->sense[0] = result.sense[2] & 0xf;
	score->sense[1] = result.sense[12];
	score->sense[2] = result.sense[13];
	return false;
}

static void work_on(uint8_t lun, uint32_t pass, struct score *scores)
{
	static const uint8_t flush[10] = {SCSI_SYNCHRONIZE_CACHE_10};
	uint8_t cdb[10];

	for (uint32_t lba = 0; lba < blocks[lun]; lba += STEP) {
		bool written;

		for (uint32_t i = 0; i < DISK_BLOCK; i++)
			data[0][i] = (uint8_t)(i * 3 + lun * 7 + pass + lba / STEP);
		storvsc_rw10(cdb, true, lba, 1);
		written = try(lun, cdb, true, data[0], DISK_BLOCK, &scores[WRITE]);
		memset(data[1], 0, DISK_BLOCK);
		storvsc_rw10(cdb, false, lba, 1);
		if (try(lun, cdb, false, data[1], DISK_BLOCK, &scores[READ]) && written)
			rt_check(!memcmp(data[0], data[1], DISK_BLOCK), "lun %u: other data than was written", lun);
	}
	try(lun, flush, false, NULL, 0, &scores[FLUSH]);
}

void rt_main(const char *cmdline)
{
	uint8_t luns = (uint8_t)rt_option(cmdline, "luns", 1);

	rt_check(luns <= LUNS_MAX, "%u LUNs are too many", luns);
	vmbus_start();
	vmbus_synic_start(0);
	disk_connect(&channel, VMBUS_VERSION_5_3, 0);
	for (uint8_t lun = 0; lun < luns; lun++) {
		struct score heard;
		uint32_t block;

		/* What it has to say first. */
		try(lun, (const uint8_t[10]){SCSI_TEST_UNIT_READY}, false, NULL, 0, &heard);
		blocks[lun] = storvsc_capacity(&channel, lun, &block);
		rt_check(block == DISK_BLOCK, "lun %u: blocks of %u bytes", lun, block);
	}
	for (uint32_t pass = 0;; pass++) {
		for (uint8_t lun = 0; lun < luns; lun++) {
			struct score s[KINDS];

			memset(s, 0, sizeof(s));
			work_on(lun, pass, s);
			rt_printf("guest: pass %u lun %u: writes %u %x/%x/%x reads %u %x/%x/%x flushes %u %x/%x/%x\n",
				  pass, lun, s[WRITE].good, s[WRITE].sense[0], s[WRITE].sense[1], s[WRITE].sense[2],
				  s[READ].good, s[READ].sense[0], s[READ].sense[1], s[READ].sense[2], s[FLUSH].good,
				  s[FLUSH].sense[0], s[FLUSH].sense[1], s[FLUSH].sense[2]);
		}
	}
}
