// SPDX-License-Identifier: Apache-2.0
/*
 * Counts what it asks of its disk, and takes the time by its own clock, so that the host's statistics can be compared:
 * "reads=", "writes=", "flushes=", "bad=" (reads beyond the end), "depth=" of them at a time, "bytes=" each. Then it
 * says what it did, and stays: nothing more is asked.
 */
#include "abi/hyperv.h"
#include "disk.h"
#include "rt.h"

#define DEPTH_MAX  512u
#define BYTES_MAX  4096u
#define RING_PAGES 32u

enum kind { READ, WRITE, FLUSH, BAD, KINDS };

static const char *const names[KINDS] = {"reads", "writes", "flushes", "bad"};

static uint8_t data[DEPTH_MAX][BYTES_MAX] __attribute__((aligned(4096)));
static struct vmbus_channel channel;
static uint32_t bytes, blocks;

static struct {
	enum kind kind;
	uint64_t since; /* TSC */
} slot[DEPTH_MAX];

static struct {
	uint64_t left, done, failed, ticks;
} count[KINDS];

/* The next one, of the kinds in turn. Return: false: there are none left. */
static bool pick(enum kind *ret_kind)
{
	static uint32_t turn;

	for (uint32_t i = 0; i < KINDS; i++) {
		enum kind kind = (enum kind)(turn++ % KINDS);

		if (!count[kind].left)
			continue;
		*ret_kind = kind;
		return true;
	}
	return false;
}

/* Return: false: the ring is full, or there is nothing more to ask. */
static bool ask(uint32_t n)
{
	static uint32_t position;
	uint8_t cdb[10] = {SCSI_SYNCHRONIZE_CACHE_10};
	uint32_t at, len = bytes;
	enum kind kind;

	if (!pick(&kind))
		return false;
	at = position++ * (bytes / DISK_BLOCK) % (blocks - bytes / DISK_BLOCK);
	if (kind == FLUSH)
		len = 0;
	else
		storvsc_rw10(cdb, kind == WRITE, kind == BAD ? blocks : at, (uint16_t)(bytes / DISK_BLOCK));
	slot[n].kind = kind;
	slot[n].since = rt_rdtsc();
	if (!storvsc_submit(&channel, n + 1, 0, cdb, sizeof(cdb), kind == WRITE, len ? data[n] : NULL, len))
		return false;
	count[kind].left--;
	return true;
}

/* Return: its slot. */
static uint32_t take(const struct storvsc_result *result)
{
	uint32_t n = (uint32_t)result->id - 1;
	bool good = result->srb_status == SRB_STATUS_SUCCESS && result->scsi_status == SCSI_STATUS_GOOD;

	rt_check(result->id >= 1 && result->id <= DEPTH_MAX, "id %lu", (unsigned long)result->id);
	rt_check(good == (slot[n].kind != BAD), "%s: SRB %#x, SCSI %#x", names[slot[n].kind], result->srb_status,
		 result->scsi_status);
	count[slot[n].kind].ticks += rt_rdtsc() - slot[n].since;
	count[slot[n].kind].done++;
	return n;
}

/* What is done is taken at once, also while more is asked: what waits here is not the host's time. */
static void work(uint32_t depth)
{
	static uint32_t free[DEPTH_MAX];
	struct storvsc_result result;
	uint32_t left = depth;
	bool more = true;

	for (uint32_t n = 0; n < depth; n++)
		free[n] = n;
	for (;;) {
		if (more && left > 0) {
			more = ask(free[left - 1]);
			left -= more;
		} else if (left < depth) {
			vmbus_wait_packet(&channel);
		} else {
			return;
		}
		while (storvsc_poll(&channel, &result))
			free[left++] = take(&result);
	}
}

void rt_main(const char *cmdline)
{
	uint32_t depth = (uint32_t)rt_option(cmdline, "depth", 1), block;
	uint64_t hz = rt_rdmsr(HV_X64_MSR_TSC_FREQUENCY);

	bytes = (uint32_t)rt_option(cmdline, "bytes", DISK_BLOCK);
	rt_check(depth <= DEPTH_MAX && bytes <= BYTES_MAX && hz > 1000000, "options");
	for (uint32_t kind = 0; kind < KINDS; kind++)
		count[kind].left = rt_option(cmdline, names[kind], 0);
	vmbus_start();
	vmbus_synic_start(0);
	disk_connect_ring(&channel, VMBUS_VERSION_5_3, 0, RING_PAGES);
	blocks = storvsc_capacity(&channel, 0, &block);
	rt_check(block == DISK_BLOCK, "blocks of %u bytes", block);
	work(depth);
	for (uint32_t kind = 0; kind < KINDS; kind++)
		rt_printf("guest: %s %lu in %lu us\n", names[kind], (unsigned long)count[kind].done,
			  (unsigned long)(count[kind].ticks / (hz / 1000000)));
	rt_printf("guest: kicks %lu interrupts %u\n", (unsigned long)channel.kicks, channel.events[0]);
	rt_printf("guest: done\n");
	for (;;)
		rt_idle(true);
}
