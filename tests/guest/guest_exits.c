// SPDX-License-Identifier: Apache-2.0
/*
 * A busy queue for the counts of exits, kicks and interrupts: ios=N reads, depth=D of them under way. Two lengths of
 * run differ by what the reads cost. With cpus=C the last of so many vCPUs has the interrupts, and the boot vCPU asks.
 */
#include "disk.h"
#include "rt.h"

void rt_main(const char *cmdline)
{
	static struct vmbus_channel channel;
	uint32_t ios = (uint32_t)rt_option(cmdline, "ios", 1000);
	uint32_t depth = (uint32_t)rt_option(cmdline, "depth", 16);
	uint32_t cpus = (uint32_t)rt_option(cmdline, "cpus", 1);

	vmbus_start();
	vmbus_synic_start(0);
	vmbus_start_cpus(cpus);
	disk_connect(&channel, VMBUS_VERSION_5_3, cpus - 1);
	disk_busy(&channel, ios, depth, 4096, NULL);
	rt_printf("kicks: %lu\ninterrupts: %u\n", (unsigned long)channel.kicks, channel.events[cpus - 1]);
	rt_pass();
}
