// SPDX-License-Identifier: Apache-2.0
/*
 * What a disk says to a read, a write and a flush, again and again: a line whenever that changes. LUN 1, on the
 * controller that LUN 0 is on; "guest: write 3/0c/00" is sense key, code and qualifier, "guest: write good" is GOOD. A
 * write that is good must be what is read then.
 */
#include "disk.h"
#include "rt.h"

#define LUN	   1u
#define TICK_MS	   20u
#define BLOCKS	   8u
#define SYNC_CACHE 0x35u

enum { READ, WRITE, FLUSH, OPS };

static const char *const names[OPS] = {[READ] = "read", [WRITE] = "write", [FLUSH] = "flush"};

static struct vmbus_channel channel;
static uint8_t data[2][BLOCKS * DISK_BLOCK] __attribute__((aligned(4096)));
static uint32_t said[OPS]; /* key, code, qualifier; 1 << 24: good; 0: nothing yet */

/* Return: whether it was good. */
static bool one(uint32_t op, uint8_t *buffer)
{
	uint8_t cdb[10] = {SYNC_CACHE};
	struct storvsc_result result;
	uint32_t now = 1u << 24;

	if (op != FLUSH)
		storvsc_rw10(cdb, op == WRITE, 16, BLOCKS);
	rt_check(storvsc_submit(&channel, 7, LUN, cdb, sizeof(cdb), op == WRITE, op == FLUSH ? NULL : buffer,
				op == FLUSH ? 0 : BLOCKS * DISK_BLOCK),
		 "the ring is full");
	storvsc_wait(&channel, &result);
	if ((result.srb_status & 0x3f) == SRB_STATUS_INVALID_LUN)
		return false;
	if (result.scsi_status != SCSI_STATUS_GOOD)
		now = (uint32_t)(result.sense[2] & 0xf) << 16 | (uint32_t)result.sense[12] << 8 | result.sense[13];
	if (now != said[op] && now == 1u << 24)
		rt_printf("guest: %s good\n", names[op]);
	else if (now != said[op])
		rt_printf("guest: %s %x/%x/%x\n", names[op], now >> 16, now >> 8 & 0xff, now & 0xff);
	said[op] = now;
	return now == 1u << 24;
}

void rt_main(const char *cmdline)
{
	(void)cmdline;
	vmbus_start();
	vmbus_synic_start(0);
	disk_connect(&channel, VMBUS_VERSION_5_3, 0);
	rt_tick(TICK_MS);
	for (uint32_t round = 1;; round++) {
		bool wrote;

		for (uint32_t i = 0; i < sizeof(data[0]); i++)
			data[0][i] = (uint8_t)(i / DISK_BLOCK + round);
		wrote = one(WRITE, data[0]);
		if (one(READ, data[1]) && wrote)
			rt_check(!memcmp(data[0], data[1], sizeof(data[0])), "other data than was written");
		one(FLUSH, NULL);
		storvsc_look_for_news(&channel);
		rt_idle(true);
	}
}
