// SPDX-License-Identifier: Apache-2.0
/* Whether the disk says that it has a write cache (the WCE bit of the caching mode page, as Linux's sd asks); a write,
 * too. */
#include "disk.h"
#include "rt.h"

#define HEADER_LEN 4u

void rt_main(const char *cmdline)
{
	static struct vmbus_channel channel;
	static uint8_t page[HEADER_LEN + SCSI_MODE_PAGE_CACHING_LEN] __attribute__((aligned(64)));
	static uint8_t block[512] __attribute__((aligned(512)));
	const uint8_t cdb[6] = {SCSI_MODE_SENSE_6, SCSI_MODE_SENSE_DBD, SCSI_MODE_PAGE_CACHING, 0, sizeof(page)};

	(void)cmdline;
	vmbus_start();
	vmbus_synic_start(0);
	disk_connect(&channel, VMBUS_VERSION_5_3, 0);
	storvsc_run(&channel, 0, cdb, sizeof(cdb), false, page, sizeof(page));
	storvsc_write(&channel, 0, 0, 1, block, sizeof(block));
	rt_printf("guest: write cache %s\n", page[HEADER_LEN + 2] & SCSI_MODE_CACHING_WCE ? "on" : "off");
	rt_pass();
}
