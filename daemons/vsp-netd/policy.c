/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include <string.h>

#include "base/bytes.h"
#include "ip.h"

#define VLAN_NUMBER 0x0fffu

/* ---- VLANs ---- */

static bool in_trunk(const struct nic_settings *settings, uint16_t number)
{
	for (size_t i = 0; i < settings->trunks; i++)
		if (settings->trunk[i] == number)
			return true;
	return false;
}

/* A tag of number 0 has a priority, and is of no VLAN. */
static enum policy_vlan in_trunk_or_native(const struct nic_settings *settings, bool tagged, uint16_t tag)
{
	if (tagged && tag & VLAN_NUMBER)
		return in_trunk(settings, tag & VLAN_NUMBER) ? POLICY_TAGGED : POLICY_DROP;
	if (!settings->vlan_tag)
		return POLICY_DROP;
	return tagged ? POLICY_TAGGED : POLICY_UNTAGGED;
}

enum policy_vlan policy_vlan_out(const struct nic_settings *settings, bool tagged, uint16_t tag, uint16_t *ret_tag)
{
	*ret_tag = tag;
	if (settings->vlan == NIC_VLAN_NONE)
		return tagged ? POLICY_TAGGED : POLICY_UNTAGGED;
	if (settings->vlan == NIC_VLAN_TRUNK)
		return in_trunk_or_native(settings, tagged, tag);
	if (tagged && tag & VLAN_NUMBER)
		return POLICY_DROP;
	*ret_tag = (uint16_t)((tagged ? tag & ~VLAN_NUMBER : 0) | settings->vlan_tag);
	return POLICY_TAGGED;
}

enum policy_vlan policy_vlan_in(const struct nic_settings *settings, bool tagged, uint16_t tag)
{
	if (settings->vlan == NIC_VLAN_NONE)
		return tagged ? POLICY_TAGGED : POLICY_UNTAGGED;
	if (settings->vlan == NIC_VLAN_TRUNK)
		return in_trunk_or_native(settings, tagged, tag);
	return tagged && (tag & VLAN_NUMBER) == settings->vlan_tag ? POLICY_UNTAGGED : POLICY_DROP;
}

/* ---- addresses ---- */

/* What a frame is judged by. */
struct look {
	const struct nic_settings *settings;
	const uint8_t *mac;
	const uint8_t *head;
	size_t head_len, len;
	const struct headers *headers;
	bool listed; /* only listed addresses may be used */
};

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	uint8_t mask = (uint8_t)(0xff00u >> bits % 8);

	return memcmp(a, b, bits / 8) == 0 && (bits % 8 == 0 || !((a[bits / 8] ^ b[bits / 8]) & mask));
}

static bool in_list(const struct look *look, uint8_t family, const uint8_t *address)
{
	for (size_t i = 0; i < look->settings->addresses; i++) {
		const struct nic_address *allowed = &look->settings->address[i];

		if (allowed->family == family && same_bits(allowed->bytes, address, allowed->prefix))
			return true;
	}
	return false;
}

static bool is_link_local_of(const uint8_t *address, const uint8_t *mac)
{
	const uint8_t own[IPV6_ADDRESS_LEN] = {0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2],
					       0xff, 0xfe, mac[3],	     mac[4], mac[5]};

	return memcmp(address, own, sizeof(own)) == 0;
}

static bool ipv6_allowed(const struct look *look, const uint8_t *address)
{
	return !look->listed || in_list(look, 6, address) || is_link_local_of(address, look->mac);
}

static bool is_own_mac(const struct look *look, const uint8_t *mac)
{
	return look->settings->may_spoof_mac || memcmp(mac, look->mac, POLICY_MAC_LEN) == 0;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

/* ---- protocols ---- */

static bool judge_arp(const struct look *look)
{
	const uint8_t *arp = look->head + look->headers->network;

	if (look->head_len < look->headers->network + ARP_LEN || get_be16(arp) != ARP_ETHERNET ||
	    get_be16(arp + 2) != TYPE_IPV4 || arp[4] != POLICY_MAC_LEN || arp[5] != 4)
		return !look->listed && look->settings->may_spoof_mac;
	if (!is_own_mac(look, arp + ARP_SENDER_MAC))
		return false;
	return !look->listed || is_zero(arp + ARP_SENDER_IP, 4) || in_list(look, 4, arp + ARP_SENDER_IP);
}

static bool is_dhcp_question(const struct look *look)
{
	const uint8_t *udp = look->head + look->headers->transport;

	return look->headers->transport_type == HEADERS_UDP && get_be16(udp) == DHCP_CLIENT_PORT &&
	       get_be16(udp + 2) == DHCP_SERVER_PORT;
}

static bool judge_ipv4(const struct look *look)
{
	const uint8_t *source = look->head + look->headers->network + IPV4_SOURCE;

	if (!look->listed)
		return true;
	if (look->headers->network_type != HEADERS_IPV4)
		return false;
	return in_list(look, 4, source) || (is_zero(source, 4) && is_dhcp_question(look));
}

/* What ICMPv6 says: its type, where options are, which of them has the sender's MAC address; who may say it. */
static const struct icmp {
	uint8_t type, options, mac_option;
	bool router, nameless, target;
} icmps[] = {
	{.type = ICMP6_LISTENER_REPORT, .nameless = true},
	{.type = ICMP6_LISTENER_DONE, .nameless = true},
	{.type = ICMP6_LISTENER_REPORT_2, .nameless = true},
	{.type = ICMP6_ROUTER_SOLICITATION, .options = 8, .mac_option = ND_SOURCE_MAC, .nameless = true},
	{.type = ICMP6_ROUTER_ADVERTISEMENT, .router = true},
	{.type = ICMP6_NEIGHBOUR_SOLICITATION, .options = 24, .mac_option = ND_SOURCE_MAC, .nameless = true},
	{.type = ICMP6_NEIGHBOUR_ADVERTISEMENT, .options = 24, .mac_option = ND_TARGET_MAC, .target = true},
	{.type = ICMP6_REDIRECT, .router = true},
};

static const struct icmp *find_icmp(uint8_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(icmps); i++)
		if (icmps[i].type == type)
			return &icmps[i];
	return NULL;
}

static bool options_name_own_mac(const struct look *look, size_t at, uint8_t mac_option)
{
	while (at + 2 <= look->head_len && look->head[at + 1]) {
		size_t len = (size_t)look->head[at + 1] * 8;

		if (at + len > look->head_len)
			return false;
		if (look->head[at] == mac_option && !is_own_mac(look, look->head + at + 2))
			return false;
		at += len;
	}
	return true;
}

/* @icmp: NULL for what has no addresses in it. */
static bool judge_icmp(const struct look *look, const struct icmp *icmp, size_t at)
{
	if (!icmp || (!look->listed && look->settings->may_spoof_mac))
		return true;
	if (icmp->router)
		return !look->listed;
	if (!icmp->options)
		return true;
	if (look->len > look->head_len || at + icmp->options > look->head_len)
		return false;
	if (icmp->target && !ipv6_allowed(look, look->head + at + ND_TARGET))
		return false;
	return options_name_own_mac(look, at + icmp->options, icmp->mac_option);
}

/* Who has no address yet asks whether somebody has the one that it is to have. */
static bool may_ask_for(const struct look *look, const struct icmp *icmp, size_t at)
{
	return icmp->type != ICMP6_NEIGHBOUR_SOLICITATION ||
	       (at + ND_TARGET + IPV6_ADDRESS_LEN <= look->head_len && ipv6_allowed(look, look->head + at + ND_TARGET));
}

static bool judge_ipv6(const struct look *look)
{
	const uint8_t *source = look->head + look->headers->network + IPV6_SOURCE;
	const struct icmp *icmp = NULL;
	size_t at = 0;
	int protocol;

	if (look->headers->network_type != HEADERS_IPV6)
		return !look->listed;
	protocol = ip6_find(look->head, look->head_len, look->headers->network, &at);
	if (protocol < 0 || (protocol == PROTOCOL_ICMP6 && at >= look->head_len))
		return !look->listed;
	if (protocol == PROTOCOL_ICMP6)
		icmp = find_icmp(look->head[at]);
	if (is_zero(source, IPV6_ADDRESS_LEN)) {
		if (look->listed && (!icmp || !icmp->nameless || !may_ask_for(look, icmp, at)))
			return false;
	} else if (!ipv6_allowed(look, source)) {
		return false;
	}
	return judge_icmp(look, icmp, at);
}

static const struct {
	uint16_t type;
	bool (*judge)(const struct look *look);
} protocols[] = {
	{TYPE_IPV4, judge_ipv4},
	{TYPE_IPV6, judge_ipv6},
	{TYPE_ARP, judge_arp},
};

bool policy_hides_vlan(const struct nic_settings *settings, const struct headers *headers)
{
	return settings->vlan != NIC_VLAN_NONE && !headers->tagged && headers->type == TYPE_8021AD;
}

bool policy_may_send(const struct nic_settings *settings, const uint8_t mac[POLICY_MAC_LEN], const uint8_t *head,
		     size_t head_len, size_t len, const struct headers *headers)
{
	const struct look look = {settings, mac, head, head_len, len, headers, settings->addresses > 0};
	const uint8_t *source = head + POLICY_MAC_LEN;

	if (source[0] & 1 || !is_own_mac(&look, source) || policy_hides_vlan(settings, headers))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].type == headers->type)
			return protocols[i].judge(&look);
	return !look.listed;
}
