/* SPDX-License-Identifier: Apache-2.0 */
#include "offload.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "checksum.h"

#define IPV4_LENGTH	   2u
#define IPV4_ID		   4u
#define IPV4_CHECKSUM	   10u
#define IPV4_ADDRESSES	   12u
#define IPV6_LENGTH	   4u
#define IPV6_HEADER_LEN	   40u
#define IPV6_ADDRESSES	   8u
#define TCP_SEQUENCE	   4u
#define TCP_FLAGS	   13u
#define TCP_CHECKSUM	   16u
#define UDP_CHECKSUM	   6u
#define TCP_HEADER_LEN	   20u /* without options */
#define TCP_FIN		   0x01u
#define TCP_SYN		   0x02u
#define TCP_PSH		   0x08u
#define TCP_CWR		   0x80u
#define TCP_OPTIONS_END	   0u
#define TCP_OPTION_NOTHING 1u
#define TCP_OPTION_MSS	   2u
#define TCP_MSS_LEN	   4u
#define PROTOCOL_TCP	   6u
#define PROTOCOL_UDP	   17u

static void put_ipv4_checksum(uint8_t *ip)
{
	struct checksum sum = {0};

	put_be16(ip + IPV4_CHECKSUM, 0);
	checksum_add(&sum, ip, (size_t)(ip[0] & 0xf) * 4);
	put_be16(ip + IPV4_CHECKSUM, (uint16_t)~checksum_fold(&sum));
}

/* The packet is @ip_len bytes with its header. */
static void put_ip_length(uint8_t *ip, const struct headers *headers, size_t ip_len)
{
	if (headers->network_type == HEADERS_IPV4) {
		put_be16(ip + IPV4_LENGTH, (uint16_t)ip_len);
		put_ipv4_checksum(ip);
	} else {
		put_be16(ip + IPV6_LENGTH, (uint16_t)(ip_len - IPV6_HEADER_LEN));
	}
}

static void add_pseudo(struct checksum *sum, const uint8_t *ip, const struct headers *headers, size_t transport_len)
{
	uint8_t rest[4] = {0, headers->transport_type == HEADERS_TCP ? PROTOCOL_TCP : PROTOCOL_UDP};

	if (headers->network_type == HEADERS_IPV4)
		checksum_add(sum, ip + IPV4_ADDRESSES, 8);
	else
		checksum_add(sum, ip + IPV6_ADDRESSES, 32);
	put_be16(rest + 2, (uint16_t)transport_len);
	checksum_add(sum, rest, sizeof(rest));
}

static size_t checksum_place(const struct headers *headers)
{
	return headers->transport_type == HEADERS_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
}

/* Bytes of the IP packet, as it says; 0: it is longer than the frame, or too short for its headers. */
static size_t ip_length(const uint8_t *head, size_t len, const struct headers *headers)
{
	const uint8_t *ip = head + headers->network;
	size_t ip_len = headers->network_type == HEADERS_IPV4 ? get_be16(ip + IPV4_LENGTH)
							      : get_be16(ip + IPV6_LENGTH) + IPV6_HEADER_LEN;
	size_t least = headers->transport - headers->network + checksum_place(headers) + 2u;

	return ip_len <= len - headers->network && ip_len >= least ? ip_len : 0;
}

static int prepare_segments(uint8_t *head, size_t len, const struct headers *headers,
			    const struct virtio_net_hdr *asked, struct virtio_net_hdr *ret)
{
	enum headers_network network = asked->gso_type == VIRTIO_NET_HDR_GSO_TCPV4 ? HEADERS_IPV4 : HEADERS_IPV6;
	size_t ip_len = len - headers->network;

	if ((asked->gso_type != VIRTIO_NET_HDR_GSO_TCPV4 && asked->gso_type != VIRTIO_NET_HDR_GSO_TCPV6) ||
	    headers->transport_type != HEADERS_TCP || headers->network_type != network ||
	    asked->gso_size < OFFLOAD_MSS_MIN || ip_len > UINT16_MAX || len <= headers->payload)
		return -EPROTO;
	put_ip_length(head + headers->network, headers, ip_len);
	if (len - headers->payload <= asked->gso_size)
		return 0;
	ret->gso_type = asked->gso_type;
	ret->gso_size = asked->gso_size;
	ret->hdr_len = headers->payload;
	return 0;
}

int offload_prepare(uint8_t *head, size_t head_len, size_t len, const struct headers *headers,
		    const struct virtio_net_hdr *asked, struct virtio_net_hdr *ret)
{
	struct checksum sum = {0};
	size_t ip_len;
	int r;

	*ret = (struct virtio_net_hdr){0};
	if (!(asked->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && asked->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return 0;
	if (headers->transport_type == HEADERS_NO_TRANSPORT || headers->payload > head_len)
		return -EPROTO;
	if (asked->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		r = prepare_segments(head, len, headers, asked, ret);
		if (r < 0)
			return r;
	} else if (headers->network_type == HEADERS_IPV4) {
		put_ipv4_checksum(head + headers->network);
	}
	ip_len = ip_length(head, len, headers);
	if (!ip_len)
		return -EPROTO;
	add_pseudo(&sum, head + headers->network, headers, ip_len - (headers->transport - headers->network));
	put_be16(head + headers->transport + checksum_place(headers), checksum_fold(&sum));
	ret->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	ret->csum_start = headers->transport;
	ret->csum_offset = (uint16_t)checksum_place(headers);
	return 0;
}

/* Of the option in the header of @len bytes; NULL: there is none, or it lies at an odd place. */
static uint8_t *find_mss(uint8_t *tcp, size_t len)
{
	for (size_t at = TCP_HEADER_LEN; at + TCP_MSS_LEN <= len && tcp[at] != TCP_OPTIONS_END;) {
		if (tcp[at] == TCP_OPTION_MSS)
			return tcp[at + 1] == TCP_MSS_LEN && at % 2 == 0 ? tcp + at + 2 : NULL;
		if (tcp[at] != TCP_OPTION_NOTHING && tcp[at + 1] < 2)
			return NULL;
		at += tcp[at] == TCP_OPTION_NOTHING ? 1 : tcp[at + 1];
	}
	return NULL;
}

void offload_raise_mss(uint8_t *head, size_t head_len, const struct headers *headers, uint16_t from, uint16_t to,
		       bool partial)
{
	uint8_t *tcp = head + headers->transport, *mss;
	struct checksum sum = {0};
	uint8_t change[6];

	if (headers->transport_type != HEADERS_TCP || headers->payload > head_len || !(tcp[TCP_FLAGS] & TCP_SYN))
		return;
	mss = find_mss(tcp, headers->payload - headers->transport);
	if (!mss || get_be16(mss) != from)
		return;
	put_be16(mss, to);
	if (partial)
		return;
	/* RFC 1624 */
	put_be16(change, (uint16_t)~get_be16(tcp + TCP_CHECKSUM));
	put_be16(change + 2, (uint16_t)~from);
	put_be16(change + 4, to);
	checksum_add(&sum, change, sizeof(change));
	put_be16(tcp + TCP_CHECKSUM, (uint16_t)~checksum_fold(&sum));
}

/* 0 says that there is none, in UDP; in TCP it is the same number. */
static uint16_t field(const struct checksum *sum)
{
	uint16_t value = (uint16_t)~checksum_fold(sum);

	return value ? value : UINT16_MAX;
}

void offload_checksum(const struct iovec *piece, unsigned int pieces, size_t len, const struct virtio_net_hdr *hdr)
{
	struct checksum sum = {0};

	checksum_add_iov(&sum, piece, pieces, hdr->csum_start, len - hdr->csum_start);
	put_be16((uint8_t *)piece[0].iov_base + hdr->csum_start + hdr->csum_offset, field(&sum));
}

/* ---- segments ---- */

size_t offload_segments(const struct offload_cut *cut)
{
	return (cut->len - cut->head_len + cut->step - 1) / cut->step;
}

/* Return: pieces written, or -E2BIG. */
static int slice(const struct iovec *from, unsigned int count, size_t at, size_t len, struct iovec *to,
		 unsigned int max)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < count && len; i++) {
		size_t piece;

		if (at >= from[i].iov_len) {
			at -= from[i].iov_len;
			continue;
		}
		if (n == max)
			return -E2BIG;
		piece = MIN(from[i].iov_len - at, len);
		to[n++] = (struct iovec){(uint8_t *)from[i].iov_base + at, piece};
		len -= piece;
		at = 0;
	}
	return (int)n;
}

static void segment_head(const struct offload_cut *cut, size_t i, size_t payload_len, uint8_t *head)
{
	const struct headers *headers = &cut->headers;
	uint8_t *ip = head + headers->network, *tcp = head + headers->transport;
	bool first = i == 0, last = i == offload_segments(cut) - 1;

	memcpy(head, cut->head, cut->head_len);
	put_be32(tcp + TCP_SEQUENCE, get_be32(tcp + TCP_SEQUENCE) + (uint32_t)(i * cut->step));
	if (!first)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	if (!last)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (headers->network_type == HEADERS_IPV4)
		put_be16(ip + IPV4_ID, (uint16_t)(get_be16(ip + IPV4_ID) + i));
	put_ip_length(ip, headers, cut->head_len - headers->network + payload_len);
	put_be16(tcp + TCP_CHECKSUM, 0);
}

int offload_segment(const struct offload_cut *cut, size_t i, uint8_t *head, struct iovec *ret, unsigned int max,
		    size_t *ret_len)
{
	const struct headers *headers = &cut->headers;
	size_t at = cut->head_len + i * cut->step, payload_len = MIN(cut->step, cut->len - at);
	size_t transport_len = cut->head_len - headers->transport + payload_len;
	struct checksum sum = {0};
	int n = slice(cut->piece, cut->pieces, at, payload_len, ret + 1, max - 1);

	if (n < 0)
		return n;
	segment_head(cut, i, payload_len, head);
	ret[0] = (struct iovec){head, cut->head_len};
	add_pseudo(&sum, head + headers->network, headers, transport_len);
	checksum_add_iov(&sum, ret, (unsigned int)n + 1, headers->transport, transport_len);
	put_be16(head + headers->transport + TCP_CHECKSUM, field(&sum));
	*ret_len = cut->head_len + payload_len;
	return n + 1;
}
