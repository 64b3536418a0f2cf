/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest sets in its NIC: a handler for each OID that can be set. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "oid_int.h"
#include "rndis_parse.h"

uint32_t oid_set_filter(struct oid_change *change)
{
	uint32_t filter;

	if (change->len < sizeof(filter))
		return RNDIS_STATUS_INVALID_LENGTH;
	filter = get_le32(change->info);
	/* It is not refused, for then a bridge in the guest would not come up; it sees no more than it may. */
	if (!change->nic->promiscuous && filter & RNDIS_FILTER_PROMISCUOUS)
		filter = (filter & ~RNDIS_FILTER_PROMISCUOUS) | RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST |
			 RNDIS_FILTER_ALL_MULTICAST;
	change->settings->filter = filter;
	return RNDIS_STATUS_SUCCESS;
}

uint32_t oid_set_lookahead(struct oid_change *change)
{
	if (change->len < sizeof(uint32_t))
		return RNDIS_STATUS_INVALID_LENGTH;
	change->settings->lookahead = get_le32(change->info);
	return RNDIS_STATUS_SUCCESS;
}

uint32_t oid_set_multicast(struct oid_change *change)
{
	if (change->len % MAC_LEN)
		return RNDIS_STATUS_INVALID_LENGTH;
	if (change->len > sizeof(change->settings->multicast))
		return RNDIS_STATUS_MULTICAST_FULL;
	for (uint32_t at = 0; at < change->len; at += MAC_LEN)
		if (!(change->info[at] & 1))
			return RNDIS_STATUS_INVALID_DATA;
	memset(change->settings->multicast, 0, sizeof(change->settings->multicast));
	if (change->len > 0)
		memcpy(change->settings->multicast, change->info, change->len);
	change->settings->multicast_count = (uint16_t)(change->len / MAC_LEN);
	return RNDIS_STATUS_SUCCESS;
}

/* Accepted and without effect: addresses of the guest, where its transport headers begin. */
uint32_t oid_set_nothing(struct oid_change *change)
{
	(void)change;
	return RNDIS_STATUS_SUCCESS;
}

uint32_t oid_set_rss(struct oid_change *change)
{
	switch (rss_parse(change->info, change->len, change->channels, &change->settings->rss)) {
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

uint32_t oid_set_offloads(struct oid_change *change)
{
	const bool have[] = {
		[NEED_CHECKSUMS] = change->nic->checksums,
		[NEED_LSO] = change->nic->lso_max_bytes > 0,
		[NEED_COALESCING] = change->nic->coalescing,
		[NEED_MORE] = false,
	};
	struct ndis_offload_parameters parameters = {0};
	uint8_t next[sizeof(change->settings->offload)];

	if (change->len < NDIS_OFFLOAD_PARAMETERS_LEN_MIN)
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&parameters, change->info, MIN((size_t)change->len, sizeof(parameters)));
	if (parameters.header.type != NDIS_OBJECT_DEFAULT)
		return RNDIS_STATUS_INVALID_DATA;
	memcpy(next, change->settings->offload, sizeof(next));
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
	memcpy(change->settings->offload, next, sizeof(next));
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

uint32_t oid_set_parameter(struct oid_change *change)
{
	char name[32], value[32];
	uint8_t mac[MAC_LEN];
	int r = rndis_parameter_parse(change->info, change->len, name, value, sizeof(name));

	if (r == -EPROTO)
		return RNDIS_STATUS_INVALID_LENGTH;
	/* Others are a driver's own business. */
	if (r < 0 || strcmp(name, "NetworkAddress") != 0)
		return RNDIS_STATUS_SUCCESS;
	if (!parse_mac(value, mac) || mac[0] & 1)
		return RNDIS_STATUS_INVALID_DATA;
	if (!change->nic->mac_may_change && memcmp(mac, change->nic->mac, MAC_LEN) != 0)
		return RNDIS_STATUS_FAILURE;
	memcpy(change->settings->mac, mac, MAC_LEN);
	return RNDIS_STATUS_SUCCESS;
}
