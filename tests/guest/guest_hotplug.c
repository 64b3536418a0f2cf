// SPDX-License-Identifier: Apache-2.0
/*
 * Disks that come and go: says which LUNs it finds and loses, and writes, reads and compares on all that it has, round
 * after round, until it is ended from outside. "deaf=1": it does not look when it is told that the bus has changed.
 */
#include "disk.h"
#include "rt.h"

#define LUNS	    64u
#define TICK_MS	    20u
#define ROUND_TICKS 5u
#define LIST_LEN    (8u + LUNS * 8u)

static struct vmbus_channel channel;
static uint32_t blocks[LUNS]; /* 0: it is not there */
static uint8_t data[2][DISK_BLOCK] __attribute__((aligned(DISK_BLOCK)));

/* Return: SRB status. Another SCSI status than GOOD is tried again: a unit attention, once told, is over. */
static uint8_t try(uint8_t lun, const uint8_t *cdb, uint8_t cdb_len, bool write, void *buffer, uint32_t len)
{
	struct storvsc_result result;

	for (uint32_t i = 0; i < 8; i++) {
		rt_check(storvsc_submit(&channel, 7, lun, cdb, cdb_len, write, buffer, len), "the ring is full");
		storvsc_wait(&channel, &result);
		rt_check(result.id == 7, "another request's completion");
		if ((result.srb_status & 0x3f) == SRB_STATUS_INVALID_LUN || result.scsi_status == SCSI_STATUS_GOOD)
			return result.srb_status & 0x3f;
		rt_printf("guest: lun %u says %x/%x/%x\n", lun, result.sense[2] & 0xf, result.sense[12],
			  result.sense[13]);
	}
	rt_fail("lun %u: command %#x fails", lun, cdb[0]);
}

static uint32_t be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void look_at(uint8_t lun)
{
	static uint8_t capacity[SCSI_READ_CAPACITY_10_LEN];
	static const uint8_t cdb[10] = {SCSI_READ_CAPACITY_10};
	uint32_t now;

	if (try(lun, cdb, sizeof(cdb), false, capacity, sizeof(capacity)) != SRB_STATUS_SUCCESS)
		return;
	now = be32(capacity) + 1;
	if (now != blocks[lun])
		rt_printf("guest: lun %u %s, %u blocks\n", lun, blocks[lun] ? "is another" : "came", now);
	blocks[lun] = now;
}

/* As a driver does: which of ours have gone, then which are there. */
static void look(void)
{
	static uint8_t list[LIST_LEN];
	static const uint8_t ready[6] = {SCSI_TEST_UNIT_READY};
	static const uint8_t report[12] = {SCSI_REPORT_LUNS, [8] = LIST_LEN >> 8, [9] = LIST_LEN & 0xff};

	for (uint8_t lun = 0; lun < LUNS; lun++) {
		if (!blocks[lun] || try(lun, ready, sizeof(ready), false, NULL, 0) == SRB_STATUS_SUCCESS)
			continue;
		blocks[lun] = 0;
		rt_printf("guest: lun %u went\n", lun);
	}
	memset(list, 0, sizeof(list));
	try(0, report, sizeof(report), false, list, sizeof(list));
	for (uint32_t at = 8; at < 8 + be32(list) && at < LIST_LEN; at += 8)
		if (list[at + 1] < LUNS)
			look_at(list[at + 1]);
}

static bool work_on(uint8_t lun, uint32_t round)
{
	uint8_t cdb[10];

	for (uint32_t i = 0; i < DISK_BLOCK; i++)
		data[0][i] = (uint8_t)(i * 3 + lun * 7 + round);
	storvsc_rw10(cdb, true, round % blocks[lun], 1);
	if (try(lun, cdb, sizeof(cdb), true, data[0], DISK_BLOCK) != SRB_STATUS_SUCCESS)
		return false;
	memset(data[1], 0, DISK_BLOCK);
	storvsc_rw10(cdb, false, round % blocks[lun], 1);
	if (try(lun, cdb, sizeof(cdb), false, data[1], DISK_BLOCK) != SRB_STATUS_SUCCESS)
		return false;
	rt_check(!memcmp(data[0], data[1], DISK_BLOCK), "lun %u: other data than was written", lun);
	return true;
}

static void work(uint32_t round)
{
	uint32_t count = 0;

	for (uint8_t lun = 0; lun < LUNS; lun++) {
		if (!blocks[lun])
			continue;
		if (work_on(lun, round)) {
			count++;
			continue;
		}
		blocks[lun] = 0;
		rt_printf("guest: lun %u was taken away\n", lun);
	}
	rt_printf("guest: round %u, luns %u\n", round, count);
}

void rt_main(const char *cmdline)
{
	bool deaf = rt_option(cmdline, "deaf", 0);
	uint32_t seen = 0;

	vmbus_start();
	vmbus_synic_start(0);
	disk_connect(&channel, VMBUS_VERSION_5_3, 0);
	look();
	rt_tick(TICK_MS);
	for (uint32_t tick = 0;; tick++) {
		storvsc_look_for_news(&channel);
		if (storvsc_bus_changes() != seen && !deaf) {
			seen = storvsc_bus_changes();
			look();
		}
		if (tick % ROUND_TICKS == 0)
			work(tick / ROUND_TICKS);
		rt_idle(true);
	}
}
