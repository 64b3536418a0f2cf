/* SPDX-License-Identifier: Apache-2.0 */
#include "oid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "headers.h"
#include "rndis_parse.h"

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

/* ---- what is set ---- */

struct set {
	const struct oid_nic *nic;
	struct oid_settings *settings;
	uint32_t channels;
	const uint8_t *info;
	uint32_t len;
};

static uint32_t set_filter(struct set *set)
{
	uint32_t filter;

	if (set->len < sizeof(filter))
		return RNDIS_STATUS_INVALID_LENGTH;
	filter = get_le32(set->info);
	/* It is not refused, for then a bridge in the guest would not come up; it sees no more than it may. */
	if (!set->nic->promiscuous && filter & RNDIS_FILTER_PROMISCUOUS)
		filter = (filter & ~RNDIS_FILTER_PROMISCUOUS) | RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST |
			 RNDIS_FILTER_ALL_MULTICAST;
	set->settings->filter = filter;
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t set_lookahead(struct set *set)
{
	if (set->len < sizeof(uint32_t))
		return RNDIS_STATUS_INVALID_LENGTH;
	set->settings->lookahead = get_le32(set->info);
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t set_multicast(struct set *set)
{
	if (set->len % MAC_LEN)
		return RNDIS_STATUS_INVALID_LENGTH;
	if (set->len > sizeof(set->settings->multicast))
		return RNDIS_STATUS_MULTICAST_FULL;
	for (uint32_t at = 0; at < set->len; at += MAC_LEN)
		if (!(set->info[at] & 1))
			return RNDIS_STATUS_INVALID_DATA;
	memset(set->settings->multicast, 0, sizeof(set->settings->multicast));
	if (set->len > 0)
		memcpy(set->settings->multicast, set->info, set->len);
	set->settings->multicast_count = (uint16_t)(set->len / MAC_LEN);
	return RNDIS_STATUS_SUCCESS;
}

/* Accepted and without effect: addresses of the guest, where its transport headers begin. */
static uint32_t set_nothing(struct set *set)
{
	(void)set;
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t set_rss(struct set *set)
{
	switch (rss_parse(set->info, set->len, set->channels, &set->settings->rss)) {
	case 0:
		return RNDIS_STATUS_SUCCESS;
	case -EPROTO:
		return RNDIS_STATUS_INVALID_LENGTH;
	case -EOPNOTSUPP:
		return RNDIS_STATUS_NOT_SUPPORTED;
	default:
		return RNDIS_STATUS_INVALID_DATA;
	}
}

/* What must be there for an offload to be switched on. */
enum need {
	NEED_CHECKSUMS,
	NEED_LSO,
	NEED_COALESCING,
	NEED_MORE, /* than we have */
};

/* Of struct ndis_offload_parameters, which are there according to its length. */
static const struct {
	size_t at;
	enum oid_offload offload;
	enum need need;
} offload_parameters[] = {
	{offsetof(struct ndis_offload_parameters, ipv4_checksum), OID_OFFLOAD_CHECKSUM_IP4, NEED_MORE},
	{offsetof(struct ndis_offload_parameters, tcp_ipv4_checksum), OID_OFFLOAD_CHECKSUM_TCP4, NEED_CHECKSUMS},
	{offsetof(struct ndis_offload_parameters, udp_ipv4_checksum), OID_OFFLOAD_CHECKSUM_UDP4, NEED_CHECKSUMS},
	{offsetof(struct ndis_offload_parameters, tcp_ipv6_checksum), OID_OFFLOAD_CHECKSUM_TCP6, NEED_CHECKSUMS},
	{offsetof(struct ndis_offload_parameters, udp_ipv6_checksum), OID_OFFLOAD_CHECKSUM_UDP6, NEED_CHECKSUMS},
	{offsetof(struct ndis_offload_parameters, lso_v2_ipv4), OID_OFFLOAD_LSO4, NEED_LSO},
	{offsetof(struct ndis_offload_parameters, lso_v2_ipv6), OID_OFFLOAD_LSO6, NEED_LSO},
	{offsetof(struct ndis_offload_parameters, rsc_ipv4), OID_OFFLOAD_RSC4, NEED_COALESCING},
	{offsetof(struct ndis_offload_parameters, rsc_ipv6), OID_OFFLOAD_RSC6, NEED_COALESCING},
};

/* OID_OFFLOAD_* of NDIS_PARAMETER_*; those of checksums, and the others. */
static const uint8_t checksum_values[] = {
	[NDIS_PARAMETER_TX_RX_DISABLED] = 0,
	[NDIS_PARAMETER_TX_ENABLED] = OID_OFFLOAD_TX,
	[NDIS_PARAMETER_RX_ENABLED] = OID_OFFLOAD_RX,
	[NDIS_PARAMETER_TX_RX_ENABLED] = OID_OFFLOAD_TX | OID_OFFLOAD_RX,
};
static const uint8_t other_values[] = {
	[NDIS_PARAMETER_DISABLED] = 0,
	[NDIS_PARAMETER_ENABLED] = OID_OFFLOAD_TX,
};

/* Return: 0 or a negative errno. */
static int offload_value(uint8_t parameter, enum oid_offload offload, uint8_t *ret)
{
	bool checksum = offload <= OID_OFFLOAD_CHECKSUM_IP4;

	if (parameter >= (checksum ? ARRAY_SIZE(checksum_values) : ARRAY_SIZE(other_values)))
		return -EINVAL;
	*ret = checksum ? checksum_values[parameter] : other_values[parameter];
	return 0;
}

static uint32_t set_offloads(struct set *set)
{
	const bool have[] = {
		[NEED_CHECKSUMS] = set->nic->checksums,
		[NEED_LSO] = set->nic->lso_max_bytes > 0,
		[NEED_COALESCING] = set->nic->coalescing,
		[NEED_MORE] = false,
	};
	struct ndis_offload_parameters parameters = {0};
	uint8_t next[sizeof(set->settings->offload)];

	if (set->len < NDIS_OFFLOAD_PARAMETERS_LEN_MIN)
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&parameters, set->info, MIN((size_t)set->len, sizeof(parameters)));
	if (parameters.header.type != NDIS_OBJECT_DEFAULT)
		return RNDIS_STATUS_INVALID_DATA;
	memcpy(next, set->settings->offload, sizeof(next));
	for (size_t i = 0; i < ARRAY_SIZE(offload_parameters); i++) {
		uint8_t parameter = ((const uint8_t *)&parameters)[offload_parameters[i].at], value;

		if (parameter == NDIS_PARAMETER_NO_CHANGE)
			continue;
		if (offload_value(parameter, offload_parameters[i].offload, &value) < 0)
			return RNDIS_STATUS_INVALID_DATA;
		if (value && !have[offload_parameters[i].need])
			return RNDIS_STATUS_NOT_SUPPORTED;
		next[offload_parameters[i].offload] = value;
	}
	memcpy(set->settings->offload, next, sizeof(next));
	return RNDIS_STATUS_SUCCESS;
}

/* "0123456789ab" */
static bool parse_mac(const char *text, uint8_t *ret)
{
	if (strlen(text) != 2 * (size_t)MAC_LEN || strspn(text, "0123456789abcdefABCDEF") != 2 * (size_t)MAC_LEN)
		return false;
	for (size_t i = 0; i < MAC_LEN; i++) {
		const char byte[] = {text[2 * i], text[2 * i + 1], '\0'};

		ret[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return true;
}

static uint32_t set_parameter(struct set *set)
{
	char name[32], value[32];
	uint8_t mac[MAC_LEN];
	int r = rndis_parameter_parse(set->info, set->len, name, value, sizeof(name));

	if (r == -EPROTO)
		return RNDIS_STATUS_INVALID_LENGTH;
	/* Others are a driver's own business. */
	if (r < 0 || strcmp(name, "NetworkAddress") != 0)
		return RNDIS_STATUS_SUCCESS;
	if (!parse_mac(value, mac) || mac[0] & 1)
		return RNDIS_STATUS_INVALID_DATA;
	if (!set->nic->mac_may_change && memcmp(mac, set->nic->mac, MAC_LEN) != 0)
		return RNDIS_STATUS_FAILURE;
	memcpy(set->settings->mac, mac, MAC_LEN);
	return RNDIS_STATUS_SUCCESS;
}

/* ---- the table ---- */

static uint32_t query_list(struct query *query);

static const struct {
	uint32_t oid;
	uint32_t (*query)(struct query *query);
	uint32_t (*set)(struct set *set);
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
	{OID_GEN_CURRENT_PACKET_FILTER, query_filter, set_filter},
	{OID_GEN_CURRENT_LOOKAHEAD, query_lookahead, set_lookahead},
	{OID_GEN_DRIVER_VERSION, query_driver_version, NULL},
	{OID_GEN_MAXIMUM_TOTAL_SIZE, query_frame, NULL},
	{OID_GEN_PROTOCOL_OPTIONS, NULL, set_nothing},
	{OID_GEN_MAC_OPTIONS, query_mac_options, NULL},
	{OID_GEN_MEDIA_CONNECT_STATUS, query_connected, NULL},
	{OID_GEN_MAXIMUM_SEND_PACKETS, query_send_packets, NULL},
	{OID_GEN_VENDOR_DRIVER_VERSION, query_zero, NULL},
	{OID_GEN_NETWORK_LAYER_ADDRESSES, NULL, set_nothing},
	{OID_GEN_TRANSPORT_HEADER_OFFSET, NULL, set_nothing},
	{OID_GEN_PHYSICAL_MEDIUM, query_zero, NULL},
	{OID_GEN_RECEIVE_SCALE_CAPABILITIES, query_rss, NULL},
	{OID_GEN_RECEIVE_SCALE_PARAMETERS, NULL, set_rss},
	{OID_GEN_LINK_PARAMETERS, NULL, set_nothing},
	{OID_GEN_RNDIS_CONFIG_PARAMETER, NULL, set_parameter},
	{OID_GEN_XMIT_OK, query_sent, NULL},
	{OID_GEN_RCV_OK, query_received, NULL},
	{OID_GEN_XMIT_ERROR, query_send_errors, NULL},
	{OID_GEN_RCV_ERROR, query_receive_errors, NULL},
	{OID_GEN_RCV_NO_BUFFER, query_no_buffer, NULL},
	{OID_GEN_FRIENDLY_NAME, query_name, NULL},
	{OID_802_3_PERMANENT_ADDRESS, query_permanent_address, NULL},
	{OID_802_3_CURRENT_ADDRESS, query_current_address, NULL},
	{OID_802_3_MULTICAST_LIST, query_multicast, set_multicast},
	{OID_802_3_MAXIMUM_LIST_SIZE, query_multicast_max, NULL},
	{OID_802_3_RCV_ERROR_ALIGNMENT, query_zero, NULL},
	{OID_802_3_XMIT_ONE_COLLISION, query_zero, NULL},
	{OID_802_3_XMIT_MORE_COLLISIONS, query_zero, NULL},
	{OID_TCP_OFFLOAD_CURRENT_CONFIG, query_offloads, NULL},
	{OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, query_offloads, NULL},
	{OID_TCP_OFFLOAD_PARAMETERS, NULL, set_offloads},
	{OID_OFFLOAD_ENCAPSULATION, NULL, set_nothing},
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
	struct set set = {.nic = nic, .settings = settings, .channels = channels, .info = info, .len = info_len};

	for (size_t i = 0; i < ARRAY_SIZE(oids); i++)
		if (oids[i].oid == oid && oids[i].set)
			return oids[i].set(&set);
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
