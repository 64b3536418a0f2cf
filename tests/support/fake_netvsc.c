/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_netvsc.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "abi/ring.h"
#include "base/bytes.h"

#define SEND_SECTION_BYTES 6144u

static uint64_t lend(struct fake_guest *guest, struct fake_worker *worker, uint32_t gpadl, size_t pages)
{
	uint64_t gpa = fake_guest_alloc(guest, pages);
	struct guest_range range = {.gpa = gpa, .len = pages * GUEST_PAGE_SIZE};

	fake_worker_lend(worker, gpadl, &range, 1);
	return gpa;
}

void fake_nic_init(struct fake_nic *nic, struct fake_guest *guest, struct fake_worker *worker)
{
	memset(nic, 0, sizeof(*nic));
	nic->guest = guest;
	nic->receive_gpa = lend(guest, worker, FAKE_NIC_RECEIVE_GPADL, FAKE_NIC_RECEIVE_PAGES);
	nic->send_gpa = lend(guest, worker, FAKE_NIC_SEND_GPADL, FAKE_NIC_SEND_PAGES);
	nic->message_gpa = fake_guest_alloc(guest, 2);
}

/* ---- what the host sends ---- */

static void take_infos(struct fake_nic *nic, const uint8_t *at, uint32_t len)
{
	struct rndis_packet_info info;

	nic->has_info = 0;
	while (len >= sizeof(info)) {
		memcpy(&info, at, sizeof(info));
		if (info.size < sizeof(info) + 4 || info.size > len) {
			nic->bad++;
			return;
		}
		nic->has_info |= 1u << (info.type & 15);
		if (info.type == RNDIS_INFO_ID) {
			nic->info[15] = get_le32(at + info.offset);
			nic->has_info |= 1u << 15;
		} else {
			nic->info[info.type & 15] = get_le32(at + info.offset);
		}
		at += info.size;
		len -= info.size;
	}
}

/* Return: whether the frame is whole now. */
static bool take_part(struct fake_nic *nic, const uint8_t *bytes, uint32_t len)
{
	struct rndis_packet packet;
	uint8_t flags = 0;

	memcpy(&packet, bytes + sizeof(struct rndis_header), sizeof(packet));
	bytes += sizeof(struct rndis_header);
	len -= (uint32_t)sizeof(struct rndis_header);
	if (!range_fits(packet.data_offset, packet.data_len, len) ||
	    !range_fits(packet.info_offset, packet.info_len, len)) {
		nic->bad++;
		return false;
	}
	take_infos(nic, bytes + packet.info_offset, packet.info_len);
	if (nic->has_info & 1u << 15)
		flags = (uint8_t)(nic->info[15] >> 8);
	if (!flags || flags & RNDIS_PACKET_ID_FIRST)
		nic->frame_len = nic->parts = 0;
	if (nic->frame_len + packet.data_len > FAKE_NIC_MESSAGE_MAX) {
		nic->bad++;
		return false;
	}
	memcpy(nic->frame + nic->frame_len, bytes + packet.data_offset, packet.data_len);
	nic->frame_len += packet.data_len;
	nic->parts++;
	return !flags || flags & RNDIS_PACKET_ID_LAST;
}

static enum fake_nic_event take_range(struct fake_nic *nic, const struct transfer_page_range *range)
{
	const uint8_t *bytes = (uint8_t *)fake_guest_ptr(nic->guest, nic->receive_gpa) + range->byte_offset;
	struct rndis_header header;

	/* As guests have it. */
	if (range->byte_count < sizeof(header) + sizeof(struct rndis_reset_complete) ||
	    range->byte_count > nic->section_bytes ||
	    !range_fits(range->byte_offset, range->byte_count, (uint64_t)nic->sections * nic->section_bytes)) {
		nic->bad++;
		return FAKE_NIC_NOTHING;
	}
	memcpy(&header, bytes, sizeof(header));
	if (header.len > range->byte_count) {
		nic->bad++;
		return FAKE_NIC_NOTHING;
	}
	if (header.type == RNDIS_MESSAGE_PACKET) {
		if (take_part(nic, bytes, header.len)) {
			nic->frames++;
			if (nic->on_frame)
				nic->on_frame(nic->arg, nic->frame, nic->frame_len);
		}
		return FAKE_NIC_FRAMES;
	}
	memcpy(nic->message, bytes, header.len);
	nic->message_len = header.len;
	return FAKE_NIC_CONTROL;
}

static enum fake_nic_event take_transfer(struct fake_nic *nic, struct fake_channel *channel,
					 const struct fake_packet *packet)
{
	const struct transfer_page_header *header = (const struct transfer_page_header *)packet->header;
	struct nvsp_message status = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET_COMPLETE};
	enum fake_nic_event event = FAKE_NIC_NOTHING;

	if (packet->header_len < sizeof(*header) + header->range_count * sizeof(header->range[0]) ||
	    header->page_set_id != NVSP_RECEIVE_BUFFER_ID ||
	    get_le32(packet->payload) != NVSP_MESSAGE_SEND_RNDIS_PACKET)
		nic->bad++;
	for (uint32_t i = 0; i < header->range_count; i++)
		event = take_range(nic, &header->range[i]);
	nic->kept_id = packet->transaction_id;
	status.rndis_packet_complete.status = NVSP_STATUS_SUCCESS;
	if (!nic->keeps && fake_put_completion(channel, packet->transaction_id, &status, 8) < 0)
		nic->bad++;
	return event;
}

enum fake_nic_event fake_nic_poll(struct fake_nic *nic, struct fake_channel *channel)
{
	static struct fake_packet packet;

	if (fake_get(channel, &packet) < 0)
		return FAKE_NIC_NOTHING;
	if (packet.type == VMPACKET_DATA_TRANSFER_PAGES)
		return take_transfer(nic, channel, &packet);
	if (packet.type != VMPACKET_COMPLETION)
		return FAKE_NIC_NOTHING;
	nic->completed_id = packet.transaction_id;
	nic->answer_len = packet.payload_len;
	memset(&nic->answer, 0, sizeof(nic->answer));
	memcpy(&nic->answer, packet.payload, MIN((size_t)packet.payload_len, sizeof(nic->answer)));
	if (nic->answer.type == NVSP_MESSAGE_SEND_RECEIVE_BUFFER_COMPLETE &&
	    nic->answer.receive_buffer_complete.status == NVSP_STATUS_SUCCESS) {
		nic->section_bytes = nic->answer.receive_buffer_complete.run[0].section_bytes;
		nic->sections = nic->answer.receive_buffer_complete.run[0].sections;
	}
	return FAKE_NIC_COMPLETED;
}

/* ---- what the guest sends ---- */

int fake_nic_put(struct fake_channel *channel, uint64_t id, const struct nvsp_message *message, bool completion)
{
	return fake_put(channel, VMPACKET_DATA_INBAND, completion ? VMPACKET_FLAG_COMPLETION_REQUESTED : 0, id, NULL, 0,
			message, NVSP_MESSAGE_LEN);
}

int fake_nic_lend(struct fake_channel *channel, uint64_t id, bool receive)
{
	struct nvsp_message message = {.type = receive ? NVSP_MESSAGE_SEND_RECEIVE_BUFFER
						       : NVSP_MESSAGE_SEND_SEND_BUFFER};

	message.send_buffer.gpadl = receive ? FAKE_NIC_RECEIVE_GPADL : FAKE_NIC_SEND_GPADL;
	message.send_buffer.id = receive ? NVSP_RECEIVE_BUFFER_ID : NVSP_SEND_BUFFER_ID;
	return fake_nic_put(channel, id, &message, true);
}

int fake_nic_put_control(struct fake_nic *nic, struct fake_channel *channel, uint64_t id, uint32_t type,
			 const void *body, size_t len)
{
	const struct rndis_header header = {.type = type, .len = (uint32_t)(sizeof(header) + len)};
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET};
	uint64_t pages[] = {nic->message_gpa, nic->message_gpa + GUEST_PAGE_SIZE};
	uint8_t *to = fake_guest_ptr(nic->guest, nic->message_gpa);

	assert(header.len <= 2 * GUEST_PAGE_SIZE);
	memcpy(to, &header, sizeof(header));
	if (len > 0)
		memcpy(to + sizeof(header), body, len);
	message.rndis_packet.channel_type = NVSP_CHANNEL_CONTROL;
	message.rndis_packet.section = NVSP_NO_SECTION;
	return fake_put_pages(channel, id, pages, header.len > GUEST_PAGE_SIZE ? 2 : 1, 0, header.len, &message,
			      NVSP_MESSAGE_LEN);
}

int fake_nic_put_initialize(struct fake_nic *nic, struct fake_channel *channel, uint64_t id, uint32_t request_id)
{
	const struct rndis_initialize body = {request_id, RNDIS_MAJOR_VERSION, RNDIS_MINOR_VERSION, 0x4000};

	return fake_nic_put_control(nic, channel, id, RNDIS_MESSAGE_INITIALIZE, &body, sizeof(body));
}

static int put_request(struct fake_nic *nic, struct fake_channel *channel, uint64_t id, uint32_t type,
		       uint32_t request_id, uint32_t oid, const void *info, uint32_t info_len)
{
	const struct rndis_request request = {
		.request_id = request_id, .oid = oid, .info_len = info_len, .info_offset = sizeof(request)};
	uint8_t body[GUEST_PAGE_SIZE];

	assert(sizeof(request) + info_len <= sizeof(body));
	memcpy(body, &request, sizeof(request));
	if (info_len > 0)
		memcpy(body + sizeof(request), info, info_len);
	return fake_nic_put_control(nic, channel, id, type, body, sizeof(request) + info_len);
}

int fake_nic_put_query(struct fake_nic *nic, struct fake_channel *channel, uint64_t id, uint32_t request_id,
		       uint32_t oid)
{
	return put_request(nic, channel, id, RNDIS_MESSAGE_QUERY, request_id, oid, NULL, 0);
}

int fake_nic_put_set(struct fake_nic *nic, struct fake_channel *channel, uint64_t id, uint32_t request_id, uint32_t oid,
		     const void *info, uint32_t info_len)
{
	return put_request(nic, channel, id, RNDIS_MESSAGE_SET, request_id, oid, info, info_len);
}

/* ---- frames ---- */

void fake_nic_build_rss(uint8_t ret[FAKE_NIC_RSS_BYTES], const uint32_t table[FAKE_NIC_RSS_TABLE])
{
	const struct ndis_rss_parameters rss = {
		.header = {NDIS_OBJECT_RSS_PARAMETERS, NDIS_RSS_PARAMETERS_REVISION_2, FAKE_NIC_RSS_HEAD},
		.hash_info = NDIS_HASH_FUNCTION_TOEPLITZ | NDIS_HASH_IPV4 | NDIS_HASH_TCP_IPV4,
		.table_len = 4 * FAKE_NIC_RSS_TABLE,
		.table_offset = FAKE_NIC_RSS_HEAD,
		.key_len = 40,
		.key_offset = FAKE_NIC_RSS_HEAD + 4 * FAKE_NIC_RSS_TABLE,
	};

	_Static_assert(sizeof(rss) <= FAKE_NIC_RSS_HEAD, "it fits");
	memset(ret, 0, FAKE_NIC_RSS_HEAD);
	memcpy(ret, &rss, sizeof(rss));
	for (size_t i = 0; i < FAKE_NIC_RSS_TABLE; i++)
		put_le32(ret + rss.table_offset + 4 * i, table[i]);
	memset(ret + rss.key_offset, 0x5a, 40);
}

const struct ndis_offload_parameters fake_nic_coalescing = {
	.header = {NDIS_OBJECT_DEFAULT, 3, sizeof(fake_nic_coalescing)},
	.tcp_ipv4_checksum = NDIS_PARAMETER_TX_RX_ENABLED,
	.udp_ipv4_checksum = NDIS_PARAMETER_TX_RX_ENABLED,
	.tcp_ipv6_checksum = NDIS_PARAMETER_TX_RX_ENABLED,
	.udp_ipv6_checksum = NDIS_PARAMETER_TX_RX_ENABLED,
	.rsc_ipv4 = NDIS_PARAMETER_ENABLED,
	.rsc_ipv6 = NDIS_PARAMETER_ENABLED,
};

size_t fake_nic_build(uint8_t *to, const void *frame, size_t len, const struct fake_info *info, size_t infos)
{
	struct rndis_header header = {.type = RNDIS_MESSAGE_PACKET};
	struct rndis_packet packet = {.data_len = (uint32_t)len, .info_offset = infos ? (uint32_t)sizeof(packet) : 0};
	uint8_t *at = to + sizeof(header) + sizeof(packet);

	for (size_t i = 0; i < infos; i++) {
		const struct rndis_packet_info head = {
			.size = sizeof(head) + 4, .type = info[i].type, .offset = sizeof(head)};

		memcpy(at, &head, sizeof(head));
		put_le32(at + sizeof(head), info[i].value);
		at += head.size;
		packet.info_len += head.size;
	}
	packet.data_offset = (uint32_t)(at - to - (ptrdiff_t)sizeof(header));
	memcpy(at, frame, len);
	header.len = (uint32_t)(at + len - to);
	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), &packet, sizeof(packet));
	return header.len;
}

uint8_t *fake_nic_section(struct fake_nic *nic, uint32_t section)
{
	return (uint8_t *)fake_guest_ptr(nic->guest, nic->send_gpa) + (size_t)section * SEND_SECTION_BYTES;
}

int fake_nic_put_section(struct fake_channel *channel, uint64_t id, uint32_t section, uint32_t len)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET};

	message.rndis_packet.channel_type = NVSP_CHANNEL_DATA;
	message.rndis_packet.section = section;
	message.rndis_packet.section_bytes = len;
	return fake_nic_put(channel, id, &message, true);
}

int fake_nic_put_frame(struct fake_nic *nic, struct fake_channel *channel, uint64_t id, uint32_t section,
		       const void *frame, size_t len, const struct fake_info *info, size_t infos)
{
	size_t bytes = fake_nic_build(fake_nic_section(nic, section), frame, len, info, infos);

	return fake_nic_put_section(channel, id, section, (uint32_t)bytes);
}
