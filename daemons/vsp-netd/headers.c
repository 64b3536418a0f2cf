/* SPDX-License-Identifier: Apache-2.0 */
#include "headers.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define TYPE_8021Q 0x8100u
#define TYPE_IPV4  0x0800u
#define TYPE_IPV6  0x86ddu

#define PROTOCOL_HOP_BY_HOP  0u
#define PROTOCOL_TCP	     6u
#define PROTOCOL_UDP	     17u
#define PROTOCOL_ROUTING     43u
#define PROTOCOL_DESTINATION 60u

#define TAG_LEN	   4u
#define IPV4_LEN   20u
#define IPV6_LEN   40u
#define TCP_LEN	   20u
#define UDP_LEN	   8u
#define FRAGMENT   0x3fffu /* of IPv4: "more fragments", and the offset */
#define EXTENSIONS 8u	   /* of IPv6 that are followed */

static void parse_transport(const uint8_t *frame, size_t len, size_t at, uint8_t protocol, struct headers *ret)
{
	size_t need = protocol == PROTOCOL_TCP ? TCP_LEN : UDP_LEN, header = UDP_LEN;

	if ((protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP) || at > len || len - at < need)
		return;
	if (protocol == PROTOCOL_TCP) {
		header = (size_t)(frame[at + 12] >> 4) * 4;
		if (header < TCP_LEN)
			return;
	}
	ret->transport_type = protocol == PROTOCOL_TCP ? HEADERS_TCP : HEADERS_UDP;
	ret->transport = (uint16_t)at;
	ret->payload = (uint16_t)(at + header);
}

static void parse_ipv4(const uint8_t *frame, size_t len, struct headers *ret)
{
	const uint8_t *ip = frame + ret->network;
	size_t header;

	if (len - ret->network < IPV4_LEN || ip[0] >> 4 != 4)
		return;
	header = (size_t)(ip[0] & 0xf) * 4;
	if (header < IPV4_LEN)
		return;
	ret->network_type = HEADERS_IPV4;
	if (!(get_be16(ip + 6) & FRAGMENT))
		parse_transport(frame, len, ret->network + header, ip[9], ret);
}

static bool is_extension(uint8_t protocol)
{
	return protocol == PROTOCOL_HOP_BY_HOP || protocol == PROTOCOL_ROUTING || protocol == PROTOCOL_DESTINATION;
}

static void parse_ipv6(const uint8_t *frame, size_t len, struct headers *ret)
{
	const uint8_t *ip = frame + ret->network;
	size_t at = ret->network + IPV6_LEN;
	uint8_t protocol;

	if (len - ret->network < IPV6_LEN || ip[0] >> 4 != 6)
		return;
	ret->network_type = HEADERS_IPV6;
	protocol = ip[6];
	for (unsigned int i = 0; i < EXTENSIONS && is_extension(protocol); i++) {
		if (at > len || len - at < 2)
			return;
		protocol = frame[at];
		at += ((size_t)frame[at + 1] + 1) * 8;
	}
	parse_transport(frame, len, at, protocol, ret);
}

int headers_parse(const uint8_t *frame, size_t len, struct headers *ret_headers)
{
	*ret_headers = (struct headers){0};
	if (len < ETHERNET_HEADER_LEN)
		return -EPROTO;
	len = MIN(len, (size_t)HEADERS_MAX);
	ret_headers->type = get_be16(frame + 12);
	ret_headers->network = ETHERNET_HEADER_LEN;
	if (ret_headers->type == TYPE_8021Q && len >= ETHERNET_HEADER_LEN + TAG_LEN) {
		ret_headers->tagged = true;
		ret_headers->tag = get_be16(frame + 14);
		ret_headers->type = get_be16(frame + 16);
		ret_headers->network += TAG_LEN;
	}
	if (ret_headers->type == TYPE_IPV4)
		parse_ipv4(frame, len, ret_headers);
	else if (ret_headers->type == TYPE_IPV6)
		parse_ipv6(frame, len, ret_headers);
	return 0;
}
