/* SPDX-License-Identifier: Apache-2.0 */
#include "oid.h"

#include <string.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "headers.h"
#include "oid_int.h"

#define VENDOR_ID	 0xffffffu /* none registered */
#define VENDOR_TEXT	 "Bulkhead network adapter"
#define NDIS_VERSION	 0x0600u
#define MEDIUM_802_3	 0u
#define MAC_OPTIONS	 0x0au /* full duplex is the default; received frames come one by one, no loop-back */
#define LSO_SEGMENTS_MIN 2u

struct query {
	const struct oid_nic *nic;
	const struct oid_settings *settings;
	const uint8_t *info;
	uint32_t info_len;
	uint8_t *reply;
	size_t len;
};

/* ---- simple answers ---- */

static uint32_t answer(struct query *query, const void *bytes, size_t len)
{
	memcpy(query->reply, bytes, len);
	query->len = len;
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t answer_u32(struct query *query, uint64_t value)
{
	uint32_t low = (uint32_t)MIN(value, (uint64_t)UINT32_MAX);

	return answer(query, &low, sizeof(low));
}

/* Statistics wrap round in 32 bits. */
static uint32_t answer_count(struct query *query, uint64_t value)
{
	uint32_t low = (uint32_t)value;

	return answer(query, &low, sizeof(low));
}

static uint32_t query_zero(struct query *query)
{
	return answer_u32(query, 0);
}

static uint32_t query_mtu(struct query *query)
{
	return answer_u32(query, query->nic->mtu);
}

static uint32_t query_frame(struct query *query)
{
	return answer_u32(query, query->nic->mtu + ETHERNET_HEADER_LEN);
}

static uint32_t query_speed(struct query *query)
{
	return answer_u32(query, query->nic->bits_a_second / 100);
}

static uint32_t query_vendor(struct query *query)
{
	return answer_u32(query, VENDOR_ID);
}

static uint32_t query_vendor_text(struct query *query)
{
	return answer(query, VENDOR_TEXT, sizeof(VENDOR_TEXT));
}

static uint32_t query_driver_version(struct query *query)
{
	uint16_t version = NDIS_VERSION;

	return answer(query, &version, sizeof(version));
}

static uint32_t query_filter(struct query *query)
{
	return answer_u32(query, query->settings->filter);
}

static uint32_t query_lookahead(struct query *query)
{
	return answer_u32(query, query->settings->lookahead ? query->settings->lookahead : query->nic->mtu);
}

static uint32_t query_mac_options(struct query *query)
{
	return answer_u32(query, NDIS_MAC_OPTION_TRANSFERS_NOT_PEND | NDIS_MAC_OPTION_NO_LOOPBACK |
					 NDIS_MAC_OPTION_8021P_PRIORITY | NDIS_MAC_OPTION_8021Q_VLAN);
}

static uint32_t query_connected(struct query *query)
{
	return answer_u32(query, query->nic->connected ? NDIS_MEDIA_CONNECTED : NDIS_MEDIA_DISCONNECTED);
}

static uint32_t query_send_packets(struct query *query)
{
	return answer_u32(query, 1);
}

static uint32_t query_sent(struct query *query)
{
	return answer_count(query, query->nic->counters.sent);
}

static uint32_t query_received(struct query *query)
{
	return answer_count(query, query->nic->counters.received);
}

static uint32_t query_send_errors(struct query *query)
{
	return answer_count(query, query->nic->counters.send_errors);
}

static uint32_t query_receive_errors(struct query *query)
{
	return answer_count(query, query->nic->counters.receive_errors);
}

static uint32_t query_no_buffer(struct query *query)
{
	return answer_count(query, query->nic->counters.no_buffer);
}

/* UTF-16, without an end. */
static uint32_t query_name(struct query *query)
{
	size_t len = strnlen(query->nic->name, OID_NAME_MAX);

	for (size_t i = 0; i < len; i++)
		put_le16(query->reply + 2 * i, (uint8_t)query->nic->name[i]);
	query->len = 2 * len;
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t query_permanent_address(struct query *query)
{
	return answer(query, query->nic->mac, MAC_LEN);
}

static uint32_t query_current_address(struct query *query)
{
	static const uint8_t none[MAC_LEN];
	const uint8_t *own = query->settings->mac;

	return answer(query, memcmp(own, none, MAC_LEN) != 0 ? own : query->nic->mac, MAC_LEN);
}

static uint32_t query_multicast(struct query *query)
{
	return answer(query, query->settings->multicast, (size_t)query->settings->multicast_count * MAC_LEN);
}

static uint32_t query_multicast_max(struct query *query)
{
	return answer_u32(query, OID_MULTICAST_MAX);
}

/* ---- offloads ---- */

static void fill_checksums(struct ndis_checksum_offload *offload)
{
	const uint32_t both = NDIS_CHECKSUM_TCP | NDIS_CHECKSUM_TCP_OPTIONS | NDIS_CHECKSUM_UDP;

	offload->ipv4_tx_encapsulation = offload->ipv4_rx_encapsulation = NDIS_ENCAPSULATION_8023;
	offload->ipv6_tx_encapsulation = offload->ipv6_rx_encapsulation = NDIS_ENCAPSULATION_8023;
	offload->ipv4_tx = both | NDIS_CHECKSUM_IP_OPTIONS;
	offload->ipv4_rx = both | NDIS_CHECKSUM_IP_OPTIONS;
	offload->ipv6_tx = offload->ipv6_rx = both | NDIS_CHECKSUM_IP_OPTIONS;
}

static void fill_lso(struct ndis_lso_v2_offload *offload, uint32_t max_bytes)
{
	offload->ipv4_encapsulation = offload->ipv6_encapsulation = NDIS_ENCAPSULATION_8023;
	offload->ipv4_max_bytes = offload->ipv6_max_bytes = max_bytes;
	offload->ipv4_min_segments = offload->ipv6_min_segments = LSO_SEGMENTS_MIN;
	offload->ipv6_options = NDIS_LSO_IPV6_EXTENSIONS | NDIS_LSO_IPV6_TCP_OPTIONS;
}

/* A guest of an older NDIS asks for an older, shorter object. */
static const struct {
	uint8_t revision;
	uint32_t len;
} offload_revisions[] = {
	{NDIS_OFFLOAD_REVISION_3, NDIS_OFFLOAD_LEN_3},
	{NDIS_OFFLOAD_REVISION_2, NDIS_OFFLOAD_LEN_2},
	{NDIS_OFFLOAD_REVISION_1, NDIS_OFFLOAD_LEN_1},
};

static uint32_t query_offloads(struct query *query)
{
	struct ndis_offload offload = {.header.type = NDIS_OBJECT_OFFLOAD};
	struct ndis_object_header asked = {.revision = NDIS_OFFLOAD_REVISION_3, .size = NDIS_OFFLOAD_LEN_3};

	if (query->info_len >= sizeof(asked))
		memcpy(&asked, query->info, sizeof(asked));
	if (query->nic->checksums)
		fill_checksums(&offload.checksum);
	if (query->nic->lso_max_bytes)
		fill_lso(&offload.lso_v2, query->nic->lso_max_bytes);
	offload.rsc_ipv4 = offload.rsc_ipv6 = query->nic->coalescing;
	for (size_t i = 0; i < ARRAY_SIZE(offload_revisions); i++) {
		if (asked.revision < offload_revisions[i].revision || asked.size < offload_revisions[i].len)
			continue;
		offload.header.revision = offload_revisions[i].revision;
		offload.header.size = (uint16_t)offload_revisions[i].len;
		return answer(query, &offload, offload_revisions[i].len);
	}
	return RNDIS_STATUS_BUFFER_TOO_SHORT;
}

static uint32_t query_rss(struct query *query)
{
	struct ndis_rss_capabilities capabilities = {
		.header = {NDIS_OBJECT_RSS_CAPABILITIES, NDIS_RSS_CAPABILITIES_REVISION_2, sizeof(capabilities)},
		.flags = NDIS_HASH_FUNCTION_TOEPLITZ | NDIS_RSS_CAPABILITY_TCP_IPV4 | NDIS_RSS_CAPABILITY_TCP_IPV6,
		.interrupt_messages = query->nic->receive_queues,
		.receive_queues = query->nic->receive_queues,
		.table_entries = NDIS_RSS_TABLE_ENTRIES,
	};

	return answer(query, &capabilities, sizeof(capabilities));
}

/* ---- the table ---- */

static uint32_t query_list(struct query *query);

static const struct {
	uint32_t oid;
	uint32_t (*query)(struct query *query);
	uint32_t (*set)(struct oid_change *change);
} oids[] = {
	{OID_GEN_SUPPORTED_LIST, query_list, NULL},
	{OID_GEN_HARDWARE_STATUS, query_zero, NULL}, /* ready */
	{OID_GEN_MEDIA_SUPPORTED, query_zero, NULL}, /* MEDIUM_802_3 */
	{OID_GEN_MEDIA_IN_USE, query_zero, NULL},
	{OID_GEN_MAXIMUM_LOOKAHEAD, query_mtu, NULL},
	{OID_GEN_MAXIMUM_FRAME_SIZE, query_mtu, NULL},
	{OID_GEN_LINK_SPEED, query_speed, NULL},
	{OID_GEN_TRANSMIT_BUFFER_SPACE, query_frame, NULL},
	{OID_GEN_RECEIVE_BUFFER_SPACE, query_frame, NULL},
	{OID_GEN_TRANSMIT_BLOCK_SIZE, query_frame, NULL},
	{OID_GEN_RECEIVE_BLOCK_SIZE, query_frame, NULL},
	{OID_GEN_VENDOR_ID, query_vendor, NULL},
	{OID_GEN_VENDOR_DESCRIPTION, query_vendor_text, NULL},
	{OID_GEN_CURRENT_PACKET_FILTER, query_filter, oid_set_filter},
	{OID_GEN_CURRENT_LOOKAHEAD, query_lookahead, oid_set_lookahead},
	{OID_GEN_DRIVER_VERSION, query_driver_version, NULL},
	{OID_GEN_MAXIMUM_TOTAL_SIZE, query_frame, NULL},
	{OID_GEN_PROTOCOL_OPTIONS, NULL, oid_set_nothing},
	{OID_GEN_MAC_OPTIONS, query_mac_options, NULL},
	{OID_GEN_MEDIA_CONNECT_STATUS, query_connected, NULL},
	{OID_GEN_MAXIMUM_SEND_PACKETS, query_send_packets, NULL},
	{OID_GEN_VENDOR_DRIVER_VERSION, query_zero, NULL},
	{OID_GEN_NETWORK_LAYER_ADDRESSES, NULL, oid_set_nothing},
	{OID_GEN_TRANSPORT_HEADER_OFFSET, NULL, oid_set_nothing},
	{OID_GEN_PHYSICAL_MEDIUM, query_zero, NULL},
	{OID_GEN_RECEIVE_SCALE_CAPABILITIES, query_rss, NULL},
	{OID_GEN_RECEIVE_SCALE_PARAMETERS, NULL, oid_set_rss},
	{OID_GEN_LINK_PARAMETERS, NULL, oid_set_nothing},
	{OID_GEN_RNDIS_CONFIG_PARAMETER, NULL, oid_set_parameter},
	{OID_GEN_XMIT_OK, query_sent, NULL},
	{OID_GEN_RCV_OK, query_received, NULL},
	{OID_GEN_XMIT_ERROR, query_send_errors, NULL},
	{OID_GEN_RCV_ERROR, query_receive_errors, NULL},
	{OID_GEN_RCV_NO_BUFFER, query_no_buffer, NULL},
	{OID_GEN_FRIENDLY_NAME, query_name, NULL},
	{OID_802_3_PERMANENT_ADDRESS, query_permanent_address, NULL},
	{OID_802_3_CURRENT_ADDRESS, query_current_address, NULL},
	{OID_802_3_MULTICAST_LIST, query_multicast, oid_set_multicast},
	{OID_802_3_MAXIMUM_LIST_SIZE, query_multicast_max, NULL},
	{OID_802_3_RCV_ERROR_ALIGNMENT, query_zero, NULL},
	{OID_802_3_XMIT_ONE_COLLISION, query_zero, NULL},
	{OID_802_3_XMIT_MORE_COLLISIONS, query_zero, NULL},
	{OID_TCP_OFFLOAD_CURRENT_CONFIG, query_offloads, NULL},
	{OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, query_offloads, NULL},
	{OID_TCP_OFFLOAD_PARAMETERS, NULL, oid_set_offloads},
	{OID_OFFLOAD_ENCAPSULATION, NULL, oid_set_nothing},
};

static uint32_t query_list(struct query *query)
{
	for (size_t i = 0; i < ARRAY_SIZE(oids); i++)
		put_le32(query->reply + 4 * i, oids[i].oid);
	query->len = 4 * ARRAY_SIZE(oids);
	return RNDIS_STATUS_SUCCESS;
}

_Static_assert(4 * ARRAY_SIZE(oids) <= OID_REPLY_MAX, "the list of all OIDs fits");

uint32_t oid_query(const struct oid_nic *nic, const struct oid_settings *settings, uint32_t oid, const uint8_t *info,
		   uint32_t info_len, uint8_t *reply, size_t *ret_len)
{
	struct query query = {.nic = nic, .settings = settings, .info = info, .info_len = info_len, .reply = reply};
	uint32_t status = RNDIS_STATUS_NOT_SUPPORTED;

	for (size_t i = 0; i < ARRAY_SIZE(oids); i++)
		if (oids[i].oid == oid && oids[i].query)
			status = oids[i].query(&query);
	*ret_len = status == RNDIS_STATUS_SUCCESS ? query.len : 0;
	return status;
}

uint32_t oid_set(const struct oid_nic *nic, struct oid_settings *settings, uint32_t channels, uint32_t oid,
		 const uint8_t *info, uint32_t info_len)
{
	struct oid_change change = {
		.nic = nic, .settings = settings, .channels = channels, .info = info, .len = info_len};

	for (size_t i = 0; i < ARRAY_SIZE(oids); i++)
		if (oids[i].oid == oid && oids[i].set)
			return oids[i].set(&change);
	return RNDIS_STATUS_NOT_SUPPORTED;
}

bool oid_settings_valid(const struct oid_settings *settings, uint32_t channels)
{
	for (size_t i = 0; i < sizeof(settings->offload); i++)
		if (settings->offload[i] & ~(OID_OFFLOAD_TX | OID_OFFLOAD_RX))
			return false;
	return settings->multicast_count <= OID_MULTICAST_MAX && !(settings->mac[0] & 1) &&
	       rss_settings_valid(&settings->rss, channels);
}
