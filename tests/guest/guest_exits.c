// SPDX-License-Identifier: Apache-2.0
/* A busy queue for the count of exits: ios=N reads, depth=D of them under way. Two lengths of run differ by what the
 * reads cost. */
#include "disk.h"
#include "rt.h"

void rt_main(const char *cmdline)
{
	static struct vmbus_channel channel;
	uint32_t ios = (uint32_t)rt_option(cmdline, "ios", 1000);
	uint32_t depth = (uint32_t)rt_option(cmdline, "depth", 16);

	vmbus_start();
	vmbus_synic_start(0);
	disk_connect(&channel, VMBUS_VERSION_5_3, 0);
	disk_busy(&channel, ios, depth, 4096, NULL);
	rt_pass();
}
