// SPDX-License-Identifier: Apache-2.0
/* Two vCPUs: MODIFYCHANNEL while I/O runs; the interrupts arrive where they should, and none is lost. */
#include "disk.h"
#include "rt.h"

#define ROUNDS	16u
#define IOS	600u
#define SETTLED 50u /* reads one by one: each is followed by an interrupt */

static struct vmbus_channel channel;
static volatile bool second_ready;

static void second_cpu(void)
{
	vmbus_synic_start(1);
	second_ready = true;
	for (;;)
		__asm__ volatile("sti; hlt");
}

/* Once a move is answered, the old vCPU is left alone, but for one interrupt that it may have had pending. */
static void check_settled(uint32_t target)
{
	static uint8_t block[DISK_BLOCK] __attribute__((aligned(DISK_BLOCK)));
	uint32_t before = channel.events[target], other = channel.events[target ^ 1];

	for (uint32_t i = 0; i < SETTLED; i++)
		storvsc_read(&channel, 0, i, 1, block, sizeof(block));
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
