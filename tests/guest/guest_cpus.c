// SPDX-License-Identifier: Apache-2.0
/* Many vCPUs, all of them up: each gets a message, and the interrupts of a channel with I/O. */
#include "disk.h"
#include "rt.h"

#define READS_MAX 64u /* in which two interrupts must come */

static struct vmbus_channel channel;

static void check_message(uint32_t cpu)
{
	uint32_t before = vmbus_messages(cpu);

	rt_check(vmbus_contact(VMBUS_VERSION_5_3, cpu), "contact for vCPU %u is refused", cpu);
	rt_check(vmbus_messages(cpu) == before + 1, "the answer for vCPU %u came elsewhere", cpu);
}

/* The first interrupt may be the worker's own, which follows a move; the next is vsp-storaged's. */
static void check_events(uint32_t cpu)
{
	static uint8_t block[DISK_BLOCK] __attribute__((aligned(DISK_BLOCK)));
	uint32_t before = channel.events[cpu], reads = 0;

	rt_check(!vmbus_modify(&channel, cpu), "MODIFYCHANNEL to vCPU %u is refused", cpu);
	while (channel.events[cpu] - before < 2) {
		rt_check(reads++ < READS_MAX, "vCPU %u gets no interrupts", cpu);
		storvsc_read(&channel, 0, cpu, 1, block, sizeof(block));
	}
}

void rt_main(const char *cmdline)
{
	uint32_t cpus = (uint32_t)rt_option(cmdline, "cpus", 1);

	vmbus_start();
	vmbus_synic_start(0);
	vmbus_start_cpus(cpus);
	for (uint32_t cpu = 0; cpu < cpus; cpu++)
		check_message(cpu);
	disk_connect(&channel, VMBUS_VERSION_5_3, 0);
	for (uint32_t cpu = 0; cpu < cpus; cpu++)
		check_events(cpu);
	vmbus_close(&channel);
	vmbus_unload();
	rt_printf("%u vCPUs\n", cpus);
	rt_pass();
}
