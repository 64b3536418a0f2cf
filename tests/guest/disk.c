// SPDX-License-Identifier: Apache-2.0
#include "disk.h"

#include "rt.h"

#define RING_PAGES 32u
#define DATA_BYTES (DISK_DEPTH_MAX * 8192u)

static uint8_t ring_memory[RING_PAGES * VMBUS_PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t data[DATA_BYTES] __attribute__((aligned(4096)));
static uint8_t again[DATA_BYTES] __attribute__((aligned(4096)));

void disk_connect(struct vmbus_channel *channel, uint32_t version, uint32_t cpu)
{
	disk_connect_ring(channel, version, cpu, RING_PAGES);
}

void disk_connect_ring(struct vmbus_channel *channel, uint32_t version, uint32_t cpu, uint32_t pages)
{
	static struct vmbus_msg_offer_channel offers[VMBUS_OFFERS];
	const struct vmbus_msg_offer_channel *offer;
	struct abi_guid type = VMBUS_GUID_SCSI;
	uint32_t status;

	if (pages < 4 || pages > RING_PAGES)
		rt_fail("rings of %u pages", pages);
	if (!vmbus_contact(version, 0))
		rt_fail("version %#x is refused", version);
	offer = vmbus_find(offers, vmbus_request_offers(offers), type);
	if (!offer)
		rt_fail("no SCSI controller is offered");
	status = vmbus_open(channel, offer, ring_memory, pages, cpu);
	if (status)
		rt_fail("open: status %#x", status);
	storvsc_start(channel);
}

void disk_open_subs(struct vmbus_channel *channels, uint32_t count, uint32_t pages)
{
	static uint8_t memory[DISK_SUBS_MAX][RING_PAGES * VMBUS_PAGE_SIZE] __attribute__((aligned(4096)));
	static struct vmbus_msg_offer_channel offers[DISK_SUBS_MAX];

	if (count > DISK_SUBS_MAX)
		rt_fail("%u sub-channels", count);
	if (count > 0)
		storvsc_create_subs(&channels[0], count);
	for (uint32_t i = 0; i < count; i++) {
		const struct vmbus_msg_offer_channel *offer = vmbus_next_message();

		if (offer->header.msgtype != VMBUS_MSG_OFFERCHANNEL || offer->offer.sub_channel_index != i + 1)
			rt_fail("message %u where sub-channel %u was due", offer->header.msgtype, i + 1);
		memcpy(&offers[i], offer, sizeof(offers[i]));
	}
	for (uint32_t i = 0; i < count; i++)
		if (vmbus_open(&channels[i + 1], &offers[i], memory[i], pages, 0))
			rt_fail("sub-channel %u cannot be opened", i + 1);
}

void disk_close_subs(struct vmbus_channel *channels, uint32_t count)
{
	for (uint32_t i = count; i > 0; i--) {
		struct vmbus_msg_relid msg = {.header.msgtype = VMBUS_MSG_RELID_RELEASED,
					      .child_relid = channels[i].offer.child_relid};

		vmbus_close(&channels[i]);
		vmbus_post(&msg, sizeof(msg));
	}
}

static void fill(uint8_t *bytes, uint32_t len, uint32_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;

	for (uint32_t i = 0; i < len; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(bytes + i, &x, 8);
	}
}

void disk_check_pattern(struct vmbus_channel *channel, uint32_t seed)
{
	static const struct {
		uint32_t lba;
		uint16_t blocks;
		uint32_t offset; /* of the data in its page */
	} cases[] = {{0, 1, 0}, {1, 7, 512}, {64, 8, 0}, {100, 100, 1024}, {300, 128, 3584}, {2000, 15, 0}};
	uint32_t block, blocks = storvsc_capacity(channel, 0, &block);

	if (block != DISK_BLOCK || blocks < 2048)
		rt_fail("a disk of %u blocks of %u bytes", blocks, block);
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t len = cases[i].blocks * DISK_BLOCK;

		fill(data + cases[i].offset, len, seed + i);
		storvsc_write(channel, 0, cases[i].lba, cases[i].blocks, data + cases[i].offset, len);
		storvsc_flush(channel, 0);
		memset(again, 0, len);
		storvsc_read(channel, 0, cases[i].lba, cases[i].blocks, again, len);
		if (memcmp(data + cases[i].offset, again, len) != 0)
			rt_fail("block %u: %u bytes are not what was written", cases[i].lba, len);
	}
}

static bool submit_read(struct vmbus_channel *channel, uint32_t slot, uint32_t n, uint32_t bytes)
{
	uint8_t cdb[10];

	storvsc_rw10(cdb, false, n * 8 % 1024, (uint16_t)(bytes / DISK_BLOCK));
	return storvsc_submit(channel, slot + 1, 0, cdb, sizeof(cdb), false, data + slot * bytes, bytes);
}

void disk_busy(struct vmbus_channel *channel, uint32_t count, uint32_t depth, uint32_t bytes,
	       void (*between)(struct vmbus_channel *channel, uint32_t done))
{
	uint32_t submitted = 0, done = 0;

	if (depth > DISK_DEPTH_MAX || bytes > 8192)
		rt_fail("%u requests of %u bytes are more than this guest has room for", depth, bytes);
	while (submitted < depth && submitted < count) {
		if (!submit_read(channel, submitted, submitted, bytes))
			rt_fail("the ring is full after %u requests", submitted);
		submitted++;
	}
	while (done < count) {
		struct storvsc_result result;

		vmbus_wait_packet(channel);
		channel->in.header->interrupt_mask = 1;
		do {
			while (storvsc_poll(channel, &result)) {
				if (result.srb_status != SRB_STATUS_SUCCESS || result.scsi_status || result.id == 0 ||
				    result.id > depth || result.transferred != bytes)
					rt_fail("read: id %lu, SRB %#x, SCSI %#x, %u bytes", (unsigned long)result.id,
						result.srb_status, result.scsi_status, result.transferred);
				done++;
				if (submitted < count &&
				    submit_read(channel, (uint32_t)result.id - 1, submitted, bytes))
					submitted++;
			}
			channel->in.header->interrupt_mask = 0;
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
			/* what came before the mask was open again brings no interrupt */
		} while (__atomic_load_n(&channel->in.header->write_index, __ATOMIC_ACQUIRE) != channel->in.cursor);
		if (between)
			between(channel, done);
	}
}
