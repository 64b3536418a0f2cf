/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "checksum.h"
#include "offload.h"

#define IPV4_CHECKSUM_AT 10u
#define TCP_CHECKSUM_AT	 16u
#define UDP_CHECKSUM_AT	 6u

/* ---- from the guest ---- */

static void fill_ipv4_header(uint8_t *head, const struct headers *headers)
{
	uint8_t *ip = head + headers->network;
	struct checksum sum = {0};

	put_be16(ip + IPV4_CHECKSUM_AT, 0);
	checksum_add(&sum, ip, (size_t)(ip[0] & 0xf) * 4);
	put_be16(ip + IPV4_CHECKSUM_AT, (uint16_t)~checksum_fold(&sum));
}

static int ask_checksum(struct port_frame *frame, const struct headers *headers)
{
	if (headers->transport_type == HEADERS_NO_TRANSPORT || headers->payload > frame->head_len)
		return -EINVAL;
	frame->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	frame->hdr.csum_start = headers->transport;
	frame->hdr.csum_offset = headers->transport_type == HEADERS_TCP ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
	return 0;
}

static int take_lso(uint32_t lso, struct port_frame *frame, const struct headers *headers)
{
	enum headers_network network = lso & RNDIS_LSO_IPV6 ? HEADERS_IPV6 : HEADERS_IPV4;
	uint32_t mss = lso & RNDIS_LSO_MSS_MASK;
	int r = ask_checksum(frame, headers);

	if (r < 0 || !(lso & RNDIS_LSO_VERSION_2) || headers->network_type != network ||
	    headers->transport_type != HEADERS_TCP || mss == 0 || mss > UINT16_MAX)
		return -EINVAL;
	frame->hdr.gso_type = network == HEADERS_IPV6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	frame->hdr.gso_size = (uint16_t)mss;
	frame->hdr.hdr_len = headers->payload;
	return 0;
}

static int take_checksum(uint32_t checksum, struct port_frame *frame, const struct headers *headers)
{
	const uint32_t transport = checksum & (RNDIS_TX_TCP | RNDIS_TX_UDP);
	int r = 0;

	if (transport) {
		r = ask_checksum(frame, headers);
		if (r == 0 && transport != (headers->transport_type == HEADERS_TCP ? RNDIS_TX_TCP : RNDIS_TX_UDP))
			r = -EINVAL;
	}
	if (r == 0 && (checksum & RNDIS_TX_IP_HEADER) && headers->network_type == HEADERS_IPV4) {
		if (headers->network + (size_t)(frame->head[headers->network] & 0xf) * 4 > frame->head_len)
			return -EINVAL;
		fill_ipv4_header(frame->head, headers);
	}
	return r;
}

int frame_take_info(const struct rndis_frame *message, struct port_frame *frame)
{
	struct headers headers;
	int r = headers_parse(frame->head, frame->head_len, &headers);

	memset(&frame->hdr, 0, sizeof(frame->hdr));
	frame->tagged = message->has_8021q;
	frame->tag = 0;
	if (r < 0)
		return -EINVAL;
	if (frame->tagged)
		frame->tag = (uint16_t)((message->ieee8021q & RNDIS_8021Q_PRIORITY_MASK) << 13 |
					(message->ieee8021q & RNDIS_8021Q_CFI ? 1u << 12 : 0) |
					((message->ieee8021q >> RNDIS_8021Q_VLAN_SHIFT) & RNDIS_8021Q_VLAN_MASK));
	if (message->has_lso)
		return take_lso(message->lso, frame, &headers);
	return message->has_checksum ? take_checksum(message->checksum, frame, &headers) : 0;
}

/* ---- to the guest ---- */

static uint32_t put_info(uint8_t *at, uint32_t type, uint32_t value)
{
	const struct rndis_packet_info info = {
		.size = sizeof(info) + sizeof(value), .type = type, .offset = sizeof(info)};

	memcpy(at, &info, sizeof(info));
	memcpy(at + sizeof(info), &value, sizeof(value));
	return info.size;
}

static uint32_t value_8021q(uint16_t tag)
{
	return (uint32_t)(tag >> 13) | (tag & 1u << 12 ? RNDIS_8021Q_CFI : 0) |
	       (tag & RNDIS_8021Q_VLAN_MASK) << RNDIS_8021Q_VLAN_SHIFT;
}

void frame_put_head(const struct frame_info *info, uint32_t offset, uint32_t len, uint8_t *ret)
{
	const struct rndis_header header = {.type = RNDIS_MESSAGE_PACKET, .len = offset + len};
	struct rndis_packet packet = {.data_offset = offset - (uint32_t)sizeof(header), .data_len = len};
	const uint32_t start = sizeof(header) + sizeof(packet);
	uint32_t at = start;

	memset(ret, 0, offset);
	if (info->checksum)
		at += put_info(ret + at, RNDIS_INFO_CHECKSUM, info->checksum);
	if (info->tagged)
		at += put_info(ret + at, RNDIS_INFO_8021Q, value_8021q(info->tag));
	if (info->hashed)
		at += put_info(ret + at, RNDIS_INFO_HASH, info->hash);
	if (info->part)
		at += put_info(ret + at, RNDIS_INFO_ID, RNDIS_PACKET_ID_VERSION | (uint32_t)info->part << 8);
	packet.info_len = at - start;
	packet.info_offset = packet.info_len > 0 ? (uint32_t)sizeof(packet) : 0;
	memcpy(ret, &header, sizeof(header));
	memcpy(ret + sizeof(header), &packet, sizeof(packet));
}

_Static_assert(sizeof(struct rndis_header) + sizeof(struct rndis_packet) +
			       4 * (sizeof(struct rndis_packet_info) + sizeof(uint32_t)) <=
		       FRAME_INFO_MAX,
	       "all info fits");

uint32_t frame_checksums(const struct port_received *received)
{
	static const uint32_t good[] = {
		[HEADERS_NO_TRANSPORT] = 0,
		[HEADERS_TCP] = RNDIS_RX_TCP_SUCCEEDED,
		[HEADERS_UDP] = RNDIS_RX_UDP_SUCCEEDED,
	};

	if (!(received->hdr.flags & (VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_NEEDS_CSUM)))
		return 0;
	return good[received->headers.transport_type];
}

int frame_fill_checksum(const struct port_received *received, const struct iovec *iov, unsigned int iovs)
{
	size_t at = (size_t)received->hdr.csum_start + received->hdr.csum_offset;

	if (at + 2 > MIN(received->len, iov[0].iov_len))
		return -EINVAL;
	offload_checksum(iov, iovs, received->len, &received->hdr);
	return 0;
}
