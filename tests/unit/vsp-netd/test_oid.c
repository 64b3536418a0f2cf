/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "daemons/vsp-netd/oid.h"

#define CHANNELS 4u

static const struct oid_nic whole = {
	.mac = {0x00, 0x15, 0x5d, 1, 2, 3},
	.mtu = 1500,
	.bits_a_second = 10000000000,
	.connected = true,
	.name = "net0",
	.receive_queues = CHANNELS,
	.lso_max_bytes = 61440,
	.checksums = true,
	.coalescing = true,
	.mac_may_change = true,
	.promiscuous = true,
	.counters = {.sent = 5, .received = UINT64_C(0x100000007)},
};

static struct oid_nic nic;
static struct oid_settings settings;
static uint8_t reply[OID_REPLY_MAX];
static size_t reply_len;

static void set_up(void)
{
	nic = whole;
	memset(&settings, 0, sizeof(settings));
}

static uint32_t query_with(uint32_t oid, const void *info, uint32_t len)
{
	memset(reply, 0, sizeof(reply));
	return oid_query(&nic, &settings, oid, info, len, reply, &reply_len);
}

static uint32_t query(uint32_t oid)
{
	return query_with(oid, NULL, 0);
}

/* @info has no byte behind its end: a sanitizer sees one too many. */
static uint32_t set(uint32_t oid, const void *info, uint32_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	uint32_t status;

	if (len > 0)
		memcpy(copy, info, len);
	status = oid_set(&nic, &settings, CHANNELS, oid, copy, len);
	free(copy);
	return status;
}

static void assert_u32(uint32_t oid, uint32_t value)
{
	cr_assert_eq(query(oid), RNDIS_STATUS_SUCCESS, "%08x", oid);
	cr_assert_eq(reply_len, 4, "%08x", oid);
	cr_assert_eq(get_le32(reply), value, "%08x: %u", oid, get_le32(reply));
}

/* ---- questions ---- */

Test(oid, numbers, .init = set_up)
{
	assert_u32(OID_GEN_MAXIMUM_FRAME_SIZE, 1500);
	assert_u32(OID_GEN_MAXIMUM_TOTAL_SIZE, 1514);
	assert_u32(OID_GEN_LINK_SPEED, 100000000);
	assert_u32(OID_GEN_MEDIA_CONNECT_STATUS, NDIS_MEDIA_CONNECTED);
	assert_u32(OID_GEN_XMIT_OK, 5);
	assert_u32(OID_GEN_RCV_OK, 7);
	assert_u32(OID_GEN_CURRENT_PACKET_FILTER, 0);
	assert_u32(OID_802_3_MAXIMUM_LIST_SIZE, OID_MULTICAST_MAX);
	nic.connected = false;
	assert_u32(OID_GEN_MEDIA_CONNECT_STATUS, NDIS_MEDIA_DISCONNECTED);
	nic.bits_a_second = UINT64_MAX;
	assert_u32(OID_GEN_LINK_SPEED, UINT32_MAX);
}

Test(oid, supported_list, .init = set_up)
{
	bool mac = false;

	cr_assert_eq(query(OID_GEN_SUPPORTED_LIST), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(reply_len % 4, 0);
	for (size_t i = 0; i < reply_len; i += 4)
		mac |= get_le32(reply + i) == OID_802_3_PERMANENT_ADDRESS;
	cr_assert(mac);
}

Test(oid, unknown, .init = set_up)
{
	cr_assert_eq(query(0x12345678), RNDIS_STATUS_NOT_SUPPORTED);
	cr_assert_eq(reply_len, 0);
	cr_assert_eq(query(OID_TCP_OFFLOAD_PARAMETERS), RNDIS_STATUS_NOT_SUPPORTED, "can only be set");
	cr_assert_eq(set(0x12345678, NULL, 0), RNDIS_STATUS_NOT_SUPPORTED);
	cr_assert_eq(set(OID_GEN_LINK_SPEED, "abcd", 4), RNDIS_STATUS_NOT_SUPPORTED, "cannot be set");
}

Test(oid, name, .init = set_up)
{
	static const uint8_t utf16[] = {'n', 0, 'e', 0, 't', 0, '0', 0};

	cr_assert_eq(query(OID_GEN_FRIENDLY_NAME), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(reply_len, sizeof(utf16));
	cr_assert_arr_eq(reply, utf16, sizeof(utf16));
}

/* ---- offloads ---- */

static struct ndis_offload ask_offloads(uint8_t revision, uint16_t size)
{
	struct ndis_object_header header = {NDIS_OBJECT_OFFLOAD, revision, size};
	struct ndis_offload offload;

	cr_assert_eq(query_with(OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, &header, sizeof(header)), RNDIS_STATUS_SUCCESS);
	memcpy(&offload, reply, sizeof(offload));
	return offload;
}

Test(oid, offloads, .init = set_up)
{
	struct ndis_offload offload = ask_offloads(3, NDIS_OFFLOAD_LEN_3);

	cr_assert_eq(sizeof(offload), NDIS_OFFLOAD_LEN_3);
	cr_assert_eq(reply_len, NDIS_OFFLOAD_LEN_3);
	cr_assert_eq(offload.header.type, NDIS_OBJECT_OFFLOAD);
	cr_assert_eq(offload.header.size, NDIS_OFFLOAD_LEN_3);
	/* What Linux looks for before it switches on NETIF_F_IP_CSUM, _IPV6_CSUM, _TSO, _TSO6, _LRO. */
	cr_assert_eq(offload.checksum.ipv4_tx & 0x14, 0x14);
	cr_assert_eq(offload.checksum.ipv4_tx & 0x40, 0x40);
	cr_assert_eq(offload.checksum.ipv6_tx & 0x15, 0x15);
	cr_assert_eq(offload.checksum.ipv6_tx & 0x40, 0x40);
	cr_assert(offload.lso_v2.ipv4_encapsulation & NDIS_ENCAPSULATION_8023);
	cr_assert_eq(offload.lso_v2.ipv4_max_bytes, 61440);
	cr_assert_eq(offload.lso_v2.ipv6_options & 5, 5);
	cr_assert(offload.rsc_ipv4 && offload.rsc_ipv6);
}

Test(oid, offloads_of_older_guests, .init = set_up)
{
	cr_assert_eq(ask_offloads(2, NDIS_OFFLOAD_LEN_2).header.size, NDIS_OFFLOAD_LEN_2);
	cr_assert_eq(reply_len, NDIS_OFFLOAD_LEN_2);
	cr_assert_eq(ask_offloads(1, NDIS_OFFLOAD_LEN_1).header.revision, 1);
	cr_assert_eq(reply_len, NDIS_OFFLOAD_LEN_1);
	cr_assert_eq(ask_offloads(3, NDIS_OFFLOAD_LEN_1 + 1).header.revision, 1, "no more than there is room for");
}

Test(oid, offloads_that_are_not_there, .init = set_up)
{
	static const struct ndis_checksum_offload none;
	struct ndis_offload offload;
	struct ndis_object_header header = {NDIS_OBJECT_OFFLOAD, 3, NDIS_OFFLOAD_LEN_1 - 1};

	nic.checksums = nic.coalescing = false;
	nic.lso_max_bytes = 0;
	offload = ask_offloads(3, NDIS_OFFLOAD_LEN_3);
	cr_assert_eq(memcmp(&offload.checksum, &none, sizeof(none)), 0);
	cr_assert_eq(offload.lso_v2.ipv4_encapsulation, 0);
	cr_assert_eq(offload.rsc_ipv4, 0);
	cr_assert_eq(query_with(OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, &header, sizeof(header)),
		     RNDIS_STATUS_BUFFER_TOO_SHORT);
}

Test(oid, set_offloads, .init = set_up)
{
	struct ndis_offload_parameters parameters = {
		.header = {NDIS_OBJECT_DEFAULT, 3, sizeof(parameters)},
		.ipv4_checksum = NDIS_PARAMETER_TX_RX_DISABLED,
		.tcp_ipv4_checksum = NDIS_PARAMETER_TX_RX_ENABLED,
		.udp_ipv6_checksum = NDIS_PARAMETER_RX_ENABLED,
		.lso_v2_ipv4 = NDIS_PARAMETER_ENABLED,
		.rsc_ipv6 = NDIS_PARAMETER_ENABLED,
	};

	cr_assert_eq(set(OID_TCP_OFFLOAD_PARAMETERS, &parameters, sizeof(parameters)), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(settings.offload[OID_OFFLOAD_CHECKSUM_TCP4], OID_OFFLOAD_TX | OID_OFFLOAD_RX);
	cr_assert_eq(settings.offload[OID_OFFLOAD_CHECKSUM_UDP6], OID_OFFLOAD_RX);
	cr_assert_eq(settings.offload[OID_OFFLOAD_LSO4], OID_OFFLOAD_TX);
	cr_assert_eq(settings.offload[OID_OFFLOAD_RSC6], OID_OFFLOAD_TX);
	cr_assert_eq(settings.offload[OID_OFFLOAD_RSC4], 0);
	memset((uint8_t *)&parameters + 4, 0, sizeof(parameters) - 4);
	cr_assert_eq(set(OID_TCP_OFFLOAD_PARAMETERS, &parameters, 22), RNDIS_STATUS_SUCCESS, "as NDIS 6.1");
	cr_assert_eq(settings.offload[OID_OFFLOAD_LSO4], OID_OFFLOAD_TX, "0 means no change");
	cr_assert(oid_settings_valid(&settings, CHANNELS));
}

Test(oid, set_offloads_wrong, .init = set_up)
{
	struct ndis_offload_parameters parameters = {.header = {NDIS_OBJECT_DEFAULT, 3, sizeof(parameters)}};

	for (uint32_t len = 0; len < NDIS_OFFLOAD_PARAMETERS_LEN_MIN; len++)
		cr_assert_eq(set(OID_TCP_OFFLOAD_PARAMETERS, &parameters, len), RNDIS_STATUS_INVALID_LENGTH);
	parameters.tcp_ipv4_checksum = NDIS_PARAMETER_TX_RX_ENABLED;
	parameters.lso_v2_ipv6 = 3;
	cr_assert_eq(set(OID_TCP_OFFLOAD_PARAMETERS, &parameters, sizeof(parameters)), RNDIS_STATUS_INVALID_DATA);
	cr_assert_eq(settings.offload[OID_OFFLOAD_CHECKSUM_TCP4], 0, "all or nothing");
	parameters.lso_v2_ipv6 = NDIS_PARAMETER_ENABLED;
	nic.lso_max_bytes = 0;
	cr_assert_eq(set(OID_TCP_OFFLOAD_PARAMETERS, &parameters, sizeof(parameters)), RNDIS_STATUS_NOT_SUPPORTED);
	parameters.lso_v2_ipv6 = 0;
	parameters.ipv4_checksum = NDIS_PARAMETER_TX_ENABLED;
	cr_assert_eq(set(OID_TCP_OFFLOAD_PARAMETERS, &parameters, sizeof(parameters)), RNDIS_STATUS_NOT_SUPPORTED);
	parameters.header.type = NDIS_OBJECT_OFFLOAD;
	cr_assert_eq(set(OID_TCP_OFFLOAD_PARAMETERS, &parameters, sizeof(parameters)), RNDIS_STATUS_INVALID_DATA);
}

/* ---- the others ---- */

Test(oid, filter, .init = set_up)
{
	uint32_t filter = RNDIS_FILTER_PROMISCUOUS;

	cr_assert_eq(set(OID_GEN_CURRENT_PACKET_FILTER, &filter, 3), RNDIS_STATUS_INVALID_LENGTH);
	cr_assert_eq(set(OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), RNDIS_STATUS_SUCCESS);
	assert_u32(OID_GEN_CURRENT_PACKET_FILTER, RNDIS_FILTER_PROMISCUOUS);
	nic.promiscuous = false;
	cr_assert_eq(set(OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), RNDIS_STATUS_SUCCESS);
	assert_u32(OID_GEN_CURRENT_PACKET_FILTER,
		   RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST | RNDIS_FILTER_ALL_MULTICAST);
}

Test(oid, multicast, .init = set_up)
{
	uint8_t list[(OID_MULTICAST_MAX + 1) * MAC_LEN];

	memset(list, 0x33, sizeof(list));
	cr_assert_eq(set(OID_802_3_MULTICAST_LIST, list, 2 * MAC_LEN), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(settings.multicast_count, 2);
	cr_assert_eq(query(OID_802_3_MULTICAST_LIST), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(reply_len, 2 * MAC_LEN);
	cr_assert_eq(set(OID_802_3_MULTICAST_LIST, list, 7), RNDIS_STATUS_INVALID_LENGTH);
	cr_assert_eq(set(OID_802_3_MULTICAST_LIST, list, sizeof(list)), RNDIS_STATUS_MULTICAST_FULL);
	list[MAC_LEN] = 0x32;
	cr_assert_eq(set(OID_802_3_MULTICAST_LIST, list, 2 * MAC_LEN), RNDIS_STATUS_INVALID_DATA);
	cr_assert_eq(settings.multicast_count, 2);
	cr_assert_eq(set(OID_802_3_MULTICAST_LIST, NULL, 0), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(settings.multicast_count, 0);
}

static uint32_t set_mac(const char *name, const char *value)
{
	uint8_t info[200] = {0};
	struct rndis_config_parameter parameter = {
		.name_offset = sizeof(parameter),
		.name_len = (uint32_t)(2 * strlen(name)),
		.type = RNDIS_PARAMETER_STRING,
		.value_offset = (uint32_t)(sizeof(parameter) + 2 * strlen(name)),
		.value_len = (uint32_t)(2 * strlen(value)),
	};

	memcpy(info, &parameter, sizeof(parameter));
	for (size_t i = 0; i < strlen(name); i++)
		info[parameter.name_offset + 2 * i] = (uint8_t)name[i];
	for (size_t i = 0; i < strlen(value); i++)
		info[parameter.value_offset + 2 * i] = (uint8_t)value[i];
	return set(OID_GEN_RNDIS_CONFIG_PARAMETER, info, parameter.value_offset + parameter.value_len);
}

Test(oid, mac, .init = set_up)
{
	static const uint8_t mac[MAC_LEN] = {0x02, 0xab, 0xCD, 0xef, 0x00, 0x09};

	cr_assert_eq(query(OID_802_3_CURRENT_ADDRESS), RNDIS_STATUS_SUCCESS);
	cr_assert_arr_eq(reply, whole.mac, MAC_LEN);
	cr_assert_eq(set_mac("NetworkAddress", "02abCDef0009"), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(query(OID_802_3_CURRENT_ADDRESS), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(reply_len, MAC_LEN);
	cr_assert_arr_eq(reply, mac, MAC_LEN);
	cr_assert_eq(query(OID_802_3_PERMANENT_ADDRESS), RNDIS_STATUS_SUCCESS);
	cr_assert_arr_eq(reply, whole.mac, MAC_LEN);
	cr_assert_eq(set_mac("NetworkAddress", "03abcdef0009"), RNDIS_STATUS_INVALID_DATA, "a group's");
	cr_assert_eq(set_mac("NetworkAddress", "02abcdef000"), RNDIS_STATUS_INVALID_DATA);
	cr_assert_eq(set_mac("NetworkAddress", "02abcdef00g9"), RNDIS_STATUS_INVALID_DATA);
	cr_assert_eq(set_mac("SomethingElse", "1"), RNDIS_STATUS_SUCCESS);
	cr_assert_arr_eq(settings.mac, mac, MAC_LEN);
	nic.mac_may_change = false;
	cr_assert_eq(set_mac("NetworkAddress", "02abcdef0009"), RNDIS_STATUS_FAILURE);
	cr_assert_eq(set_mac("NetworkAddress", "00155d010203"), RNDIS_STATUS_SUCCESS, "its own");
}

Test(oid, rss, .init = set_up)
{
	struct {
		struct ndis_rss_parameters parameters;
		uint32_t table[4];
		uint8_t key[NDIS_RSS_KEY_LEN];
	} info = {
		.parameters = {.header = {NDIS_OBJECT_RSS_PARAMETERS, 2, sizeof(info.parameters)},
			       .hash_info = NDIS_HASH_FUNCTION_TOEPLITZ | NDIS_HASH_IPV4,
			       .table_len = 16,
			       .table_offset = offsetof(__typeof__(info), table),
			       .key_len = NDIS_RSS_KEY_LEN,
			       .key_offset = offsetof(__typeof__(info), key)},
		.table = {3, 2, 1, 0},
	};
	struct ndis_rss_capabilities capabilities;

	cr_assert_eq(query(OID_GEN_RECEIVE_SCALE_CAPABILITIES), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(reply_len, sizeof(capabilities));
	memcpy(&capabilities, reply, sizeof(capabilities));
	cr_assert_eq(capabilities.receive_queues, CHANNELS);
	cr_assert_eq(capabilities.table_entries, NDIS_RSS_TABLE_ENTRIES);
	cr_assert_eq(set(OID_GEN_RECEIVE_SCALE_PARAMETERS, &info, sizeof(info)), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(settings.rss.entries, 4);
	info.table[2] = 4;
	cr_assert_eq(set(OID_GEN_RECEIVE_SCALE_PARAMETERS, &info, sizeof(info)), RNDIS_STATUS_INVALID_DATA);
	info.parameters.hash_info = NDIS_HASH_IPV4 | 0x80;
	cr_assert_eq(set(OID_GEN_RECEIVE_SCALE_PARAMETERS, &info, sizeof(info)), RNDIS_STATUS_NOT_SUPPORTED);
	cr_assert_eq(set(OID_GEN_RECEIVE_SCALE_PARAMETERS, &info, 20), RNDIS_STATUS_INVALID_LENGTH);
	cr_assert_eq(settings.rss.table[0], 3);
}

Test(oid, settings_of_others, .init = set_up)
{
	cr_assert(oid_settings_valid(&settings, CHANNELS));
	settings.multicast_count = OID_MULTICAST_MAX + 1;
	cr_assert_not(oid_settings_valid(&settings, CHANNELS));
	settings.multicast_count = 0;
	settings.offload[3] = 4;
	cr_assert_not(oid_settings_valid(&settings, CHANNELS));
	settings.offload[3] = 0;
	settings.mac[0] = 1;
	cr_assert_not(oid_settings_valid(&settings, CHANNELS));
	settings.mac[0] = 0;
	settings.rss.entries = 3;
	cr_assert_not(oid_settings_valid(&settings, CHANNELS));
}
