// SPDX-License-Identifier: Apache-2.0
/*
 * A new kernel takes over the machine without a word from the old one, as after kexec: contact anew at each version,
 * while the old connection's I/O is under way, with the SynIC left as it was, switched off, or moved. Once contact is
 * answered the host touches nothing of the old connection, and its GPADLs' handles are free.
 */
#include "abi/hyperv.h"
#include "disk.h"
#include "rt.h"

#define RING_PAGES 6u
#define REQUESTS   16u
#define OLD	   0xdbu
#define OLD_WORD   0xdbdbdbdbdbdbdbdbull

static struct vmbus_channel channel;
static uint8_t old_rings[RING_PAGES * VMBUS_PAGE_SIZE] __attribute__((aligned(VMBUS_PAGE_SIZE)));
static uint8_t old_data[REQUESTS][VMBUS_PAGE_SIZE] __attribute__((aligned(VMBUS_PAGE_SIZE)));

static const struct vmbus_msg_offer_channel *find_disk(void)
{
	static struct vmbus_msg_offer_channel offers[VMBUS_OFFERS];
	struct abi_guid type = VMBUS_GUID_SCSI;
	const struct vmbus_msg_offer_channel *offer = vmbus_find(offers, vmbus_request_offers(offers), type);

	if (!offer)
		rt_fail("no SCSI controller is offered");
	return offer;
}

static void old_kernel(uint32_t version)
{
	uint8_t cdb[10];

	if (!vmbus_contact(version, 0))
		rt_fail("version %#x is refused", version);
	if (vmbus_open(&channel, find_disk(), old_rings, RING_PAGES, 0))
		rt_fail("version %#x: open", version);
	storvsc_start(&channel);
	if (version >= VMBUS_VERSION_4_1 && vmbus_modify(&channel, 0))
		rt_fail("version %#x: MODIFYCHANNEL", version);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		storvsc_rw10(cdb, false, i * 8, 8);
		if (!storvsc_submit(&channel, i + 1, 0, cdb, sizeof(cdb), false, old_data[i], sizeof(old_data[i])))
			rt_fail("the ring is full after %u requests", i);
	}
}

static void synic_off(void)
{
	rt_wrmsr(HV_X64_MSR_SINT0 + VMBUS_MESSAGE_SINT, HV_SYNIC_SINT_MASKED | VMBUS_VECTOR);
	rt_wrmsr(HV_X64_MSR_SIMP, 0);
	rt_wrmsr(HV_X64_MSR_SIEFP, 0);
	rt_wrmsr(HV_X64_MSR_SCONTROL, 0);
}

/* What a new kernel finds: the old pages in use; all switched off; switched off and on again while channels signal. */
static void leave_synic(uint32_t round)
{
	if (round % 3 == 0)
		return;
	synic_off();
	if (round % 3 == 1) {
		vmbus_synic_start(0);
		synic_off();
	}
	vmbus_synic_start(0);
}

static bool all_old(const void *memory, uint32_t len)
{
	const uint64_t *words = memory;

	for (uint32_t i = 0; i < len / sizeof(words[0]); i++)
		if (words[i] != OLD_WORD)
			return false;
	return true;
}

static void check_disk(struct vmbus_channel *other, uint32_t seed)
{
	static uint32_t written[DISK_BLOCK / 4] __attribute__((aligned(DISK_BLOCK)));
	static uint32_t read[DISK_BLOCK / 4] __attribute__((aligned(DISK_BLOCK)));

	for (uint32_t i = 0; i < DISK_BLOCK / 4; i++)
		written[i] = seed + i;
	storvsc_write(other, 0, 1000, 1, written, sizeof(written));
	storvsc_read(other, 0, 1000, 1, read, sizeof(read));
	if (memcmp(written, read, sizeof(read)) != 0)
		rt_fail("version %#x: what is read is not what was written", seed);
}

static void new_kernel(uint32_t version)
{
	static struct vmbus_channel other;
	uint32_t gpadl = channel.gpadl, status;

	/* a new kernel knows nothing of channels, and what was on its way to the old one it does not look at */
	vmbus_discard();
	if (!vmbus_contact(version, 0))
		rt_fail("version %#x is refused", version);
	memset(old_rings, OLD, sizeof(old_rings));
	memset(old_data, OLD, sizeof(old_data));
	status = vmbus_gpadl(find_disk()->child_relid, gpadl, old_data, 2);
	if (status)
		rt_fail("version %#x: the old GPADL's handle is not free: status %#x", version, status);
	disk_connect(&other, version, 0);
	check_disk(&other, version);
	if (!all_old(old_rings, sizeof(old_rings)) || !all_old(old_data, sizeof(old_data)))
		rt_fail("version %#x: the host has written to the old connection's memory", version);
}

void rt_main(const char *cmdline)
{
	static const uint32_t versions[] = {
		VMBUS_VERSION_5_3, VMBUS_VERSION_3_0, VMBUS_VERSION_5_2, VMBUS_VERSION_4_0,
		VMBUS_VERSION_5_1, VMBUS_VERSION_4_1, VMBUS_VERSION_5_0, VMBUS_VERSION_5_3,
	};
	uint32_t count = sizeof(versions) / sizeof(versions[0]);

	vmbus_start();
	vmbus_synic_start(0);
	for (uint32_t i = 0; i < count; i++) {
		old_kernel(versions[i % count]);
		leave_synic(i);
		new_kernel(versions[(i + 1) % count]);
		if (i % 2)
			vmbus_unload();
	}
	rt_printf("%u connections\n", count);
	rt_pass();
}
