// SPDX-License-Identifier: Apache-2.0
#include "storvsc.h"

#include "rt.h"

#define PAGES_MAX (STORVSC_DATA_MAX / 4096 + 1)

struct page_list {
	struct gpa_direct_header header;
	uint32_t byte_count;
	uint32_t byte_offset;
	uint64_t pfn[PAGES_MAX];
} __attribute__((packed));

static void converse(struct vmbus_channel *channel, struct vstor_packet *packet)
{
	struct vmpacket_descriptor desc;
	struct vstor_packet reply;
	uint32_t operation = packet->operation, len;

	packet->flags = VSTOR_REQUEST_COMPLETION_FLAG;
	if (!vmbus_send(channel, VMPACKET_DATA_INBAND, ~0ull - 2, NULL, 0, packet, sizeof(*packet)))
		rt_fail("storvsc: the ring is full");
	vmbus_wait_packet(channel);
	if (!vmbus_receive(channel, &desc, &reply, sizeof(reply), &len))
		rt_fail("storvsc: no packet");
	if (desc.type != VMPACKET_COMPLETION || desc.transaction_id != ~0ull - 2 || len < sizeof(reply) ||
	    reply.operation != VSTOR_OPERATION_COMPLETE_IO || reply.status)
		rt_fail("storvsc: operation %u: packet %u, status %#x", operation, desc.type, reply.status);
	*packet = reply;
}

/* Each LUN says first that it was powered on, once; those that are not there say so, too. */
static void hear_power_on(struct vmbus_channel *channel)
{
	static const uint8_t test_unit_ready[6];
	struct storvsc_result result;

	for (uint8_t lun = 0; lun < STORVSC_LUNS; lun++) {
		if (!storvsc_submit(channel, 1, lun, test_unit_ready, sizeof(test_unit_ready), false, NULL, 0))
			rt_fail("storvsc: the ring is full");
		vmbus_wait_packet(channel);
		if (!storvsc_poll(channel, &result) || result.id != 1)
			rt_fail("storvsc: not the request's completion");
	}
}

void storvsc_start(struct vmbus_channel *channel)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_BEGIN_INITIALIZATION};

	converse(channel, &packet);
	memset(&packet, 0, sizeof(packet));
	packet.operation = VSTOR_OPERATION_QUERY_PROTOCOL_VERSION;
	packet.version.major_minor = VSTOR_VERSION_WIN10;
	converse(channel, &packet);
	memset(&packet, 0, sizeof(packet));
	packet.operation = VSTOR_OPERATION_QUERY_PROPERTIES;
	converse(channel, &packet);
	if (packet.storage_channel_properties.max_transfer_bytes < 0x10000)
		rt_fail("storvsc: transfers of at most %u bytes", packet.storage_channel_properties.max_transfer_bytes);
	memset(&packet, 0, sizeof(packet));
	packet.operation = VSTOR_OPERATION_END_INITIALIZATION;
	converse(channel, &packet);
	hear_power_on(channel);
}

void storvsc_create_subs(struct vmbus_channel *channel, uint32_t count)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_CREATE_SUB_CHANNELS};

	packet.sub_channel_count = (uint16_t)count;
	converse(channel, &packet);
}

bool storvsc_submit(struct vmbus_channel *channel, uint64_t id, uint8_t lun, const uint8_t *cdb, uint8_t cdb_len,
		    bool write, void *data, uint32_t len)
{
	struct vstor_packet packet = {
		.operation = VSTOR_OPERATION_EXECUTE_SRB,
		.flags = VSTOR_REQUEST_COMPLETION_FLAG,
		.vm_srb.length = sizeof(packet.vm_srb),
		.vm_srb.lun = lun,
		.vm_srb.cdb_length = cdb_len,
		.vm_srb.sense_info_length = VSTOR_SENSE_LEN_MAX,
		.vm_srb.data_in = write ? VSTOR_DATA_OUT : VSTOR_DATA_IN,
		.vm_srb.data_transfer_length = len,
		.vm_srb.srb_flags = !len    ? 0
				    : write ? SRB_FLAGS_DATA_OUT
					    : SRB_FLAGS_DATA_IN,
		.vm_srb.time_out_value = 60,
	};
	struct page_list list = {
		.header.range_count = 1,
		.byte_count = len,
		.byte_offset = (uint32_t)((uintptr_t)data % VMBUS_PAGE_SIZE),
	};
	uint32_t pages = (list.byte_offset + len + VMBUS_PAGE_SIZE - 1) / VMBUS_PAGE_SIZE;

	memcpy(packet.vm_srb.cdb, cdb, cdb_len);
	if (!len)
		return vmbus_send(channel, VMPACKET_DATA_INBAND, id, NULL, 0, &packet, sizeof(packet));
	for (uint32_t i = 0; i < pages; i++)
		list.pfn[i] = (uintptr_t)data / VMBUS_PAGE_SIZE + i;
	return vmbus_send(channel, VMPACKET_DATA_GPA_DIRECT, id, &list,
			  (uint32_t)(sizeof(list) - 8 * (PAGES_MAX - pages)), &packet, sizeof(packet));
}

static uint32_t bus_changes;

uint32_t storvsc_bus_changes(void)
{
	return bus_changes;
}

/* The next packet but for those that say that the bus has changed, which are counted. */
static bool receive(struct vmbus_channel *channel, struct vmpacket_descriptor *ret_desc, struct vstor_packet *ret,
		    uint32_t *ret_len)
{
	while (vmbus_receive(channel, ret_desc, ret, sizeof(*ret), ret_len)) {
		if (ret_desc->type != VMPACKET_DATA_INBAND || *ret_len < sizeof(*ret) || ret_desc->transaction_id ||
		    ret->operation != VSTOR_OPERATION_ENUMERATE_BUS)
			return true;
		bus_changes++;
	}
	return false;
}

void storvsc_look_for_news(struct vmbus_channel *channel)
{
	struct vmpacket_descriptor desc;
	struct vstor_packet packet;
	uint32_t len;

	rt_check(!receive(channel, &desc, &packet, &len), "storvsc: packet %u without a request", desc.type);
}

void storvsc_wait(struct vmbus_channel *channel, struct storvsc_result *ret_result)
{
	do
		vmbus_wait_packet(channel);
	while (!storvsc_poll(channel, ret_result));
}

bool storvsc_poll(struct vmbus_channel *channel, struct storvsc_result *ret_result)
{
	struct vmpacket_descriptor desc;
	struct vstor_packet packet;
	uint32_t len;

	if (!receive(channel, &desc, &packet, &len))
		return false;
	if (desc.type != VMPACKET_COMPLETION || packet.operation != VSTOR_OPERATION_COMPLETE_IO || len < sizeof(packet))
		rt_fail("storvsc: packet %u, operation %u", desc.type, packet.operation);
	ret_result->id = desc.transaction_id;
	ret_result->srb_status = packet.vm_srb.srb_status;
	ret_result->scsi_status = packet.vm_srb.scsi_status;
	ret_result->transferred = packet.vm_srb.data_transfer_length;
	memcpy(ret_result->sense, packet.vm_srb.sense_data, sizeof(ret_result->sense));
	return true;
}

void storvsc_run(struct vmbus_channel *channel, uint8_t lun, const uint8_t *cdb, uint8_t cdb_len, bool write,
		 void *data, uint32_t len)
{
	struct storvsc_result result;

	if (!storvsc_submit(channel, 1, lun, cdb, cdb_len, write, data, len))
		rt_fail("storvsc: the ring is full");
	storvsc_wait(channel, &result);
	if (result.id != 1)
		rt_fail("storvsc: not the request's completion");
	if ((result.srb_status & 0x3f) != SRB_STATUS_SUCCESS || result.scsi_status != SCSI_STATUS_GOOD ||
	    result.transferred != len)
		rt_fail("storvsc: command %#x: SRB %#x, SCSI %#x, sense %#x/%#x/%#x, %u of %u bytes", cdb[0],
			result.srb_status, result.scsi_status, result.sense[2], result.sense[12], result.sense[13],
			result.transferred, len);
}

void storvsc_rw10(uint8_t cdb[10], bool write, uint32_t lba, uint16_t blocks)
{
	memset(cdb, 0, 10);
	cdb[0] = write ? SCSI_WRITE_10 : SCSI_READ_10;
	cdb[2] = (uint8_t)(lba >> 24);
	cdb[3] = (uint8_t)(lba >> 16);
	cdb[4] = (uint8_t)(lba >> 8);
	cdb[5] = (uint8_t)lba;
	cdb[7] = (uint8_t)(blocks >> 8);
	cdb[8] = (uint8_t)blocks;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint32_t storvsc_capacity(struct vmbus_channel *channel, uint8_t lun, uint32_t *ret_block)
{
	static uint8_t data[SCSI_READ_CAPACITY_10_LEN];
	uint8_t cdb[10] = {SCSI_READ_CAPACITY_10};

	storvsc_run(channel, lun, cdb, sizeof(cdb), false, data, sizeof(data));
	*ret_block = be32(data + 4);
	return be32(data) + 1;
}

static void rw10(struct vmbus_channel *channel, uint8_t lun, bool write, uint32_t lba, uint16_t blocks, void *data,
		 uint32_t len)
{
	uint8_t cdb[10];

	storvsc_rw10(cdb, write, lba, blocks);
	storvsc_run(channel, lun, cdb, sizeof(cdb), write, data, len);
}

void storvsc_read(struct vmbus_channel *channel, uint8_t lun, uint32_t lba, uint16_t blocks, void *data, uint32_t len)
{
	rw10(channel, lun, false, lba, blocks, data, len);
}

void storvsc_write(struct vmbus_channel *channel, uint8_t lun, uint32_t lba, uint16_t blocks, void *data, uint32_t len)
{
	rw10(channel, lun, true, lba, blocks, data, len);
}

void storvsc_flush(struct vmbus_channel *channel, uint8_t lun)
{
	uint8_t cdb[10] = {SCSI_SYNCHRONIZE_CACHE_10};

	storvsc_run(channel, lun, cdb, sizeof(cdb), false, NULL, 0);
}
