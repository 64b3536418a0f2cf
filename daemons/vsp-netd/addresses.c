/* SPDX-License-Identifier: Apache-2.0 */
#include "addresses.h"

#include <string.h>

#include "base/bytes.h"
#include "ip.h"

#define MAC_BYTES     6u
#define UDP_LEN	      8u
#define BOOTP_REPLY   2u
#define BOOTP_YOURS   16u
#define BOOTP_MAC     28u
#define BOOTP_COOKIE  236u
#define BOOTP_OPTIONS 240u
#define DHCP_COOKIE   0x63825363u
#define DHCP_PAD      0u
#define DHCP_END      255u
#define DHCP_TYPE     53u
#define DHCP_ACK      5u

static bool says_nothing(const uint8_t *bytes, size_t len)
{
	static const uint8_t zero[IPV6_ADDRESS_LEN];

	return memcmp(bytes, zero, len) == 0;
}

static void see(struct addresses *addresses, uint8_t family, const uint8_t *bytes)
{
	struct port_address seen = {.family = family};
	size_t len = family == 4 ? 4 : IPV6_ADDRESS_LEN, place;

	if (says_nothing(bytes, len))
		return;
	memcpy(seen.bytes, bytes, len);
	for (place = 0; place < addresses->count; place++)
		if (memcmp(&addresses->address[place], &seen, sizeof(seen)) == 0)
			break;
	if (place == addresses->count && addresses->count < ADDRESSES_MAX)
		addresses->count++;
	place = MIN(place, ADDRESSES_MAX - 1);
	memmove(&addresses->address[1], &addresses->address[0], place * sizeof(seen));
	addresses->address[0] = seen;
}

static void see_neighbour(struct addresses *addresses, const uint8_t *head, size_t len, const struct headers *headers)
{
	size_t at;

	if (headers->network_type != HEADERS_IPV6 || ip6_find(head, len, headers->network, &at) != PROTOCOL_ICMP6 ||
	    at + ND_TARGET + IPV6_ADDRESS_LEN > len)
		return;
	if (head[at] == ICMP6_NEIGHBOUR_SOLICITATION)
		see(addresses, 6, head + headers->network + IPV6_SOURCE);
	else if (head[at] == ICMP6_NEIGHBOUR_ADVERTISEMENT)
		see(addresses, 6, head + at + ND_TARGET);
}

void addresses_sent(struct addresses *addresses, const uint8_t *head, size_t len, const struct headers *headers)
{
	if (headers->type == TYPE_ARP && len >= headers->network + ARP_LEN)
		see(addresses, 4, head + headers->network + ARP_SENDER_IP);
	else if (headers->type == TYPE_IPV6 && headers->transport_type == HEADERS_NO_TRANSPORT)
		see_neighbour(addresses, head, len, headers);
}

bool addresses_dhcp(const uint8_t *head, const struct headers *headers)
{
	return headers->network_type == HEADERS_IPV4 && headers->transport_type == HEADERS_UDP &&
	       get_be16(head + headers->transport) == DHCP_SERVER_PORT &&
	       get_be16(head + headers->transport + 2) == DHCP_CLIENT_PORT;
}

/* Whether the options say that it is an acknowledgement. */
static bool is_ack(const uint8_t *options, size_t len)
{
	for (size_t at = 0; at < len && options[at] != DHCP_END;) {
		if (options[at] == DHCP_PAD) {
			at++;
			continue;
		}
		if (at + 2 > len || at + 2 + options[at + 1] > len)
			return false;
		if (options[at] == DHCP_TYPE)
			return options[at + 1] == 1 && options[at + 2] == DHCP_ACK;
		at += 2u + options[at + 1];
	}
	return false;
}

void addresses_given(struct addresses *addresses, const uint8_t *frame, size_t len, const struct headers *headers,
		     const uint8_t *mac)
{
	const uint8_t *bootp = frame + headers->transport + UDP_LEN;
	size_t before = headers->transport + UDP_LEN + BOOTP_OPTIONS;

	if (len < before || bootp[0] != BOOTP_REPLY || get_be32(bootp + BOOTP_COOKIE) != DHCP_COOKIE ||
	    memcmp(bootp + BOOTP_MAC, mac, MAC_BYTES) != 0)
		return;
	if (is_ack(bootp + BOOTP_OPTIONS, len - before))
		see(addresses, 4, bootp + BOOTP_YOURS);
}
