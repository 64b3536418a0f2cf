/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest may send, by the settings of its NIC; the addresses that it is seen to use. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-netd/addresses.h"
#include "daemons/vsp-netd/ip.h"
#include "daemons/vsp-netd/policy.h"

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, other_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t own4[4] = {10, 0, 0, 1}, other4[4] = {10, 0, 0, 2}, zero[16];
static const uint8_t own6[16] = {0x20, 1, [15] = 1}, other6[16] = {0x20, 1, [15] = 2};
static const uint8_t link6[16] = {0xfe, 0x80, [8] = 0, [11] = 0xff, [12] = 0xfe, [15] = 1};
static const uint8_t other_link6[16] = {0xfe, 0x80, [15] = 9};

static struct nic_settings settings;
static uint8_t frame[400];
static size_t len;
static struct headers headers;

static void parse(void)
{
	cr_assert_eq(headers_parse(frame, MIN(len, HEADERS_MAX), &headers), 0);
}

static bool may(void)
{
	parse();
	return policy_may_send(&settings, mac, frame, MIN(len, HEADERS_MAX), len, &headers);
}

static void set_up(void)
{
	settings = (struct nic_settings){.addresses = 2};
	settings.address[0] = (struct nic_address){.family = 4, .prefix = 32, .bytes = {10, 0, 0, 1}};
	settings.address[1] = (struct nic_address){.family = 6, .prefix = 128};
	memcpy(settings.address[1].bytes, own6, 16);
}

TestSuite(policy, .init = set_up);

static void ethernet(uint16_t type, size_t length)
{
	memset(frame, 0, sizeof(frame));
	memcpy(frame, other_mac, 6);
	memcpy(frame + 6, mac, 6);
	put_be16(frame + 12, type);
	len = length;
}

static void arp(const uint8_t *sender_mac, const uint8_t *sender)
{
	ethernet(TYPE_ARP, 42);
	put_be32(frame + 14, 0x00010800);
	put_be32(frame + 18, 0x06040001);
	memcpy(frame + 22, sender_mac, 6);
	memcpy(frame + 28, sender, 4);
}

static void udp4(const uint8_t *source, uint16_t from, uint16_t to)
{
	ethernet(TYPE_IPV4, 60);
	frame[14] = 0x45;
	put_be16(frame + 16, 46);
	frame[23] = 17;
	memcpy(frame + 26, source, 4);
	put_be16(frame + 34, from);
	put_be16(frame + 36, to);
}

/* Return: where the payload begins. */
static uint8_t *ipv6(const uint8_t *source, uint8_t next)
{
	ethernet(TYPE_IPV6, 100);
	frame[14] = 0x60;
	frame[20] = next;
	memcpy(frame + 22, source, 16);
	return frame + 54;
}

static void neighbour(const uint8_t *source, uint8_t type, const uint8_t *target, uint8_t option,
		      const uint8_t *option_mac)
{
	uint8_t *icmp = ipv6(source, PROTOCOL_ICMP6);

	icmp[0] = type;
	memcpy(icmp + 8, target, 16);
	icmp[24] = option;
	icmp[25] = 1;
	memcpy(icmp + 26, option_mac, 6);
	len = 54 + 32;
}

Test(policy, sender_has_the_guests_mac)
{
	ethernet(0x88b5, 60);
	settings.addresses = 0;
	cr_assert(may());
	memcpy(frame + 6, other_mac, 6);
	cr_assert(!may());
	settings.may_spoof_mac = true;
	cr_assert(may());
	frame[6] |= 1;
	cr_assert(!may(), "no group sends anything");
}

Test(policy, arp_tells_the_guests_own)
{
	arp(mac, own4);
	cr_assert(may());
	arp(mac, other4);
	cr_assert(!may());
	arp(mac, zero);
	cr_assert(may(), "a probe");
	arp(other_mac, own4);
	cr_assert(!may());
	arp(mac, own4);
	len = 41;
	cr_assert(!may(), "cut short");
	settings.addresses = 0;
	arp(mac, other4);
	cr_assert(may());
	arp(other_mac, other4);
	cr_assert(!may());
	settings.may_spoof_mac = true;
	cr_assert(may());
}

Test(policy, ipv4)
{
	udp4(own4, 1, 2);
	cr_assert(may());
	udp4(other4, 1, 2);
	cr_assert(!may());
	udp4(zero, 68, 67);
	cr_assert(may(), "DHCP");
	udp4(zero, 68, 66);
	cr_assert(!may());
	frame[14] = 0x65;
	cr_assert(!may(), "not IPv4");
	settings.address[0].prefix = 30;
	udp4(other4, 1, 2);
	cr_assert(may());
	frame[29] = 4;
	cr_assert(!may());
	settings.addresses = 0;
	cr_assert(may());
}

Test(policy, what_no_list_is_about_is_not_sent)
{
	ethernet(0x88b5, 60);
	cr_assert(!may());
	ethernet(0x8035, 60);
	cr_assert(!may());
	ipv6(own6, 59);
	settings.addresses = 1;
	cr_assert(!may(), "IPv6, and only an IPv4 address is listed");
}

Test(policy, ipv6_senders)
{
	ipv6(own6, 17);
	cr_assert(may());
	ipv6(other6, 17);
	cr_assert(!may());
	ipv6(link6, 17);
	cr_assert(may());
	ipv6(other_link6, 17);
	cr_assert(!may());
	ipv6(zero, 17);
	cr_assert(!may());
	neighbour(zero, 135, own6, 14, zero);
	cr_assert(may(), "duplicate address detection");
	*ipv6(zero, PROTOCOL_ICMP6) = 128;
	cr_assert(!may());
	*ipv6(zero, PROTOCOL_ICMP6) = 143;
	cr_assert(may());
}

Test(policy, neighbours_are_told_the_guests_own)
{
	neighbour(own6, 135, other6, 1, mac);
	cr_assert(may());
	neighbour(own6, 135, other6, 1, other_mac);
	cr_assert(!may());
	neighbour(own6, 136, own6, 2, mac);
	cr_assert(may());
	neighbour(own6, 136, link6, 2, mac);
	cr_assert(may());
	neighbour(own6, 136, other6, 2, mac);
	cr_assert(!may());
	neighbour(own6, 136, own6, 2, other_mac);
	cr_assert(!may());
	settings.addresses = 0;
	cr_assert(!may());
	settings.may_spoof_mac = true;
	cr_assert(may());
}

Test(policy, routers_are_elsewhere)
{
	*ipv6(own6, PROTOCOL_ICMP6) = 134;
	cr_assert(!may());
	*ipv6(own6, PROTOCOL_ICMP6) = 137;
	cr_assert(!may());
	settings.addresses = 0;
	cr_assert(may());
}

Test(policy, extension_headers_hide_nothing)
{
	uint8_t *at = ipv6(own6, 60);

	at[0] = PROTOCOL_ICMP6;
	at[8] = 134;
	cr_assert(!may());
	at = ipv6(own6, 44);
	at[0] = PROTOCOL_ICMP6;
	cr_assert(!may(), "in fragments");
	at[0] = 17;
	cr_assert(may());
	at = ipv6(own6, 0);
	at[0] = 60;
	at[1] = 255;
	cr_assert(!may(), "beyond the head");
	at = ipv6(own6, PROTOCOL_ICMP6);
	len = 54;
	cr_assert(!may(), "no type");
	neighbour(own6, 136, own6, 2, mac);
	len = 300;
	cr_assert(!may(), "longer than what is looked at");
}

/* ---- VLANs ---- */

static void check_out(bool tagged, uint16_t tag, enum policy_vlan want, uint16_t want_tag)
{
	uint16_t is = 0;

	cr_assert_eq(policy_vlan_out(&settings, tagged, tag, &is), want, "tag %#x", tag);
	if (want == POLICY_TAGGED)
		cr_assert_eq(is, want_tag);
}

static void check_in(bool tagged, uint16_t tag, enum policy_vlan want)
{
	cr_assert_eq(policy_vlan_in(&settings, tagged, tag), want, "tag %#x", tag);
}

Test(policy, access)
{
	settings.vlan = NIC_VLAN_ACCESS;
	settings.vlan_tag = 7;
	check_out(false, 0, POLICY_TAGGED, 7);
	check_out(true, 0xa000, POLICY_TAGGED, 0xa007);
	check_out(true, 7, POLICY_DROP, 0);
	check_in(true, 7, POLICY_UNTAGGED);
	check_in(true, 0xe007, POLICY_UNTAGGED);
	check_in(true, 8, POLICY_DROP);
	check_in(false, 0, POLICY_DROP);
}

Test(policy, trunk)
{
	settings.vlan = NIC_VLAN_TRUNK;
	settings.trunk[0] = 5;
	settings.trunk[1] = 6;
	settings.trunks = 2;
	check_out(true, 0x2005, POLICY_TAGGED, 0x2005);
	check_out(true, 7, POLICY_DROP, 0);
	check_out(false, 0, POLICY_DROP, 0);
	check_in(true, 6, POLICY_TAGGED);
	check_in(true, 7, POLICY_DROP);
	check_in(false, 0, POLICY_DROP);
	settings.vlan_tag = 9;
	check_out(false, 0, POLICY_UNTAGGED, 0);
	check_in(false, 0, POLICY_UNTAGGED);
	check_in(true, 9, POLICY_DROP);
}

Test(policy, no_vlan)
{
	check_out(false, 0, POLICY_UNTAGGED, 0);
	check_out(true, 5, POLICY_TAGGED, 5);
	check_in(true, 5, POLICY_TAGGED);
	check_in(false, 0, POLICY_UNTAGGED);
}

/* ---- addresses seen ---- */

static struct addresses addresses;

static void sent(void)
{
	parse();
	addresses_sent(&addresses, frame, len, &headers);
}

Test(policy, addresses_are_seen)
{
	addresses = (struct addresses){0};
	arp(mac, zero);
	sent();
	cr_assert_eq(addresses.count, 0);
	arp(mac, own4);
	sent();
	neighbour(zero, 135, own6, 14, zero);
	sent();
	cr_assert_eq(addresses.count, 1);
	neighbour(own6, 136, link6, 2, mac);
	sent();
	cr_assert_eq(addresses.count, 2);
	cr_assert_eq(memcmp(addresses.address[0].bytes, link6, 16), 0);
	arp(mac, own4);
	sent();
	cr_assert_eq(addresses.count, 2);
	cr_assert_eq(addresses.address[0].family, 4);
	for (uint8_t i = 0; i < 40; i++) {
		arp(mac, (uint8_t[]){10, 0, 1, i});
		sent();
	}
	cr_assert_eq(addresses.count, ADDRESSES_MAX);
	cr_assert_eq(addresses.address[0].bytes[3], 39);
	cr_assert_eq(addresses.address[ADDRESSES_MAX - 1].bytes[3], 40 - ADDRESSES_MAX);
}

static void dhcp(uint8_t kind, const uint8_t *to)
{
	uint8_t *bootp = frame + 42;

	udp4(other4, 67, 68);
	bootp[0] = 2;
	memcpy(bootp + 16, own4, 4);
	memcpy(bootp + 28, to, 6);
	put_be32(bootp + 236, 0x63825363);
	bootp[240] = 0;
	bootp[241] = 1;
	bootp[242] = 4;
	bootp[247] = 53;
	bootp[248] = 1;
	bootp[249] = kind;
	bootp[250] = 255;
	len = 42 + 251;
	addresses = (struct addresses){0};
	parse();
	cr_assert(addresses_dhcp(frame, &headers));
}

Test(policy, a_dhcp_server_gives_one)
{
	dhcp(2, mac);
	addresses_given(&addresses, frame, len, &headers, mac);
	cr_assert_eq(addresses.count, 0, "it was only offered");
	dhcp(5, other_mac);
	addresses_given(&addresses, frame, len, &headers, mac);
	cr_assert_eq(addresses.count, 0);
	dhcp(5, mac);
	for (size_t cut = 42; cut < len; cut++) {
		addresses_given(&addresses, frame, cut, &headers, mac);
		cr_assert_eq(addresses.count, cut >= 42 + 250, "%zu", cut);
		addresses.count = 0;
	}
	addresses_given(&addresses, frame, len, &headers, mac);
	cr_assert_eq(memcmp(addresses.address[0].bytes, own4, 4), 0);
}
