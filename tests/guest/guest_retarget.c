// SPDX-License-Identifier: Apache-2.0
/* Two vCPUs: MODIFYCHANNEL while I/O runs; the interrupts arrive where they should, and none is lost. */
#include "abi/hyperv.h"
#include "disk.h"
#include "rt.h"

#define ROUNDS	16u
#define IOS	600u
#define SETTLED 50u /* reads one by one: each is followed by an interrupt */

#define EVENT_UNITS 2000000u /* of reference time, 100 ns */

static struct vmbus_channel channel;
static volatile bool second_ready;

static void second_cpu(void)
{
	vmbus_synic_start(1);
	second_ready = true;
	for (;;)
		__asm__ volatile("sti; hlt");
}

/* Interrupts of several reads become one while a vCPU waits for its turn on a busy host: give it some time. */
static void wait_for_event(uint32_t cpu, uint32_t seen)
{
	uint64_t start = rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT);

	while (channel.events[cpu] == seen && rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT) - start < EVENT_UNITS)
		for (unsigned int i = 0; i < 1000; i++)
			__asm__ volatile("pause");
}

/* Once a move is answered, the old vCPU is left alone, but for one interrupt that it may have had pending. */
static void check_settled(uint32_t target)
{
	static uint8_t block[DISK_BLOCK] __attribute__((aligned(DISK_BLOCK)));
	uint32_t before = channel.events[target], other = channel.events[target ^ 1];

	for (uint32_t i = 0; i < SETTLED; i++) {
		uint32_t seen = channel.events[target];

		storvsc_read(&channel, 0, i, 1, block, sizeof(block));
		wait_for_event(target, seen);
	}
	if (channel.events[target ^ 1] > other + 1)
		rt_fail("vCPU %u is interrupted after the move to %u was answered", target ^ 1, target);
	if (channel.events[target] - before < SETTLED / 2)
		rt_fail("vCPU %u sees %u interrupts for %u reads", target, channel.events[target] - before, SETTLED);
}

static void move_now(struct vmbus_channel *c, uint32_t done)
{
	static uint32_t target, moved_at;

	if (done < moved_at)
		moved_at = 0;
	if (done - moved_at < IOS / ROUNDS)
		return;
	moved_at = done;
	target ^= 1;
	if (vmbus_modify(c, target))
		rt_fail("MODIFYCHANNEL to vCPU %u is refused", target);
}

void rt_main(const char *cmdline)
{
	vmbus_start();
	vmbus_synic_start(0);
	rt_start_cpu(1, second_cpu);
	while (!second_ready)
		__asm__ volatile("pause");

	disk_connect(&channel, VMBUS_VERSION_5_3, 1);
	for (uint32_t target = 0; target < 2; target++) {
		if (vmbus_modify(&channel, target))
			rt_fail("MODIFYCHANNEL to vCPU %u is refused", target);
		check_settled(target);
	}
	disk_busy(&channel, IOS, 1, 4096, move_now);
	rt_printf("interrupts: %u and %u\n", channel.events[0], channel.events[1]);
	if (!vmbus_modify(&channel, 99))
		rt_fail("MODIFYCHANNEL to a vCPU that does not exist is accepted");
	vmbus_close(&channel);
	vmbus_unload();
	rt_pass();
}
