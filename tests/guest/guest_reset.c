// SPDX-License-Identifier: Apache-2.0
/*
 * Reset in place, three times, with a channel open and I/O under way and no word to the host before. What the
 * guest counts lies on the disk, for memory is the loader's again after a reset.
 */
#include "disk.h"
#include "rt.h"

#define RESETS	    3u
#define COUNTER_LBA 1500u

static uint32_t counter[DISK_BLOCK / 4] __attribute__((aligned(4096)));
static uint8_t scratch[DISK_DEPTH_MAX][4096] __attribute__((aligned(4096)));

void rt_main(const char *cmdline)
{
	static struct vmbus_channel channel;
	uint8_t cdb[10];

	vmbus_start();
	vmbus_synic_start(0);
	disk_connect(&channel, VMBUS_VERSION_5_3, 0);
	storvsc_read(&channel, 0, COUNTER_LBA, 1, counter, sizeof(counter));
	rt_printf("resets so far: %u\n", counter[0]);
	disk_check_pattern(&channel, counter[0] + 7);
	if (counter[0] >= RESETS) {
		counter[0] = 0;
		storvsc_write(&channel, 0, COUNTER_LBA, 1, counter, sizeof(counter));
		rt_pass();
	}
	counter[0]++;
	storvsc_write(&channel, 0, COUNTER_LBA, 1, counter, sizeof(counter));
	storvsc_flush(&channel, 0);
	for (uint32_t i = 0; i < DISK_DEPTH_MAX; i++) {
		storvsc_rw10(cdb, false, i * 8, 8);
		if (!storvsc_submit(&channel, i + 1, 0, cdb, sizeof(cdb), false, scratch[i], sizeof(scratch[i])))
			rt_fail("the ring is full after %u requests", i);
	}
	rt_reset();
}
