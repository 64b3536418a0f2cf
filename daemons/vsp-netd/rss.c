/* SPDX-License-Identifier: Apache-2.0 */
#include "rss.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define TYPES                                                                                                          \
	(NDIS_HASH_IPV4 | NDIS_HASH_TCP_IPV4 | NDIS_HASH_IPV6 | NDIS_HASH_IPV6_EX | NDIS_HASH_TCP_IPV6 |               \
	 NDIS_HASH_TCP_IPV6_EX)

/* ---- what the guest asks for ---- */

/* Behind the header. */
static bool fits(uint32_t offset, uint32_t len, size_t size)
{
	return offset >= NDIS_RSS_PARAMETERS_LEN_MIN && range_fits(offset, len, size);
}

static bool is_power_of_two(uint32_t n)
{
	return n > 0 && (n & (n - 1)) == 0;
}

static int take_table(const uint8_t *info, size_t len, const struct ndis_rss_parameters *parameters, uint32_t channels,
		      struct rss_settings *settings)
{
	uint32_t entries = parameters->table_len / 4;

	if (!fits(parameters->table_offset, parameters->table_len, len))
		return -EPROTO;
	if (parameters->table_len % 4 || entries > NDIS_RSS_TABLE_ENTRIES || !is_power_of_two(entries))
		return -EINVAL;
	for (uint32_t i = 0; i < entries; i++) {
		uint32_t channel = get_le32(info + parameters->table_offset + 4 * (size_t)i);

		if (channel >= channels)
			return -EINVAL;
		settings->table[i] = (uint8_t)channel;
	}
	settings->entries = entries;
	return 0;
}

static int take_key(const uint8_t *info, size_t len, const struct ndis_rss_parameters *parameters,
		    struct rss_settings *settings)
{
	if (!fits(parameters->key_offset, parameters->key_len, len))
		return -EPROTO;
	if (parameters->key_len != NDIS_RSS_KEY_LEN)
		return -EINVAL;
	memcpy(settings->key, info + parameters->key_offset, NDIS_RSS_KEY_LEN);
	return 0;
}

static int take_hash_info(uint32_t hash_info, struct rss_settings *settings)
{
	if (hash_info != 0 && (hash_info & NDIS_HASH_FUNCTION_MASK) != NDIS_HASH_FUNCTION_TOEPLITZ)
		return -EOPNOTSUPP;
	settings->hash_types = hash_info & TYPES;
	return 0;
}

int rss_parse(const uint8_t *info, size_t len, uint32_t channels, struct rss_settings *settings)
{
	struct ndis_rss_parameters parameters = {0};
	struct rss_settings next = *settings;
	int r = 0;

	if (len < NDIS_RSS_PARAMETERS_LEN_MIN)
		return -EPROTO;
	memcpy(&parameters, info, MIN(len, sizeof(parameters)));
	if (parameters.header.type != NDIS_OBJECT_RSS_PARAMETERS ||
	    parameters.header.revision < NDIS_RSS_PARAMETERS_REVISION_1)
		return -EOPNOTSUPP;
	if (parameters.flags & NDIS_RSS_DISABLE) {
		settings->hash_types = 0;
		return 0;
	}
	if (!(parameters.flags & NDIS_RSS_HASH_INFO_UNCHANGED))
		r = take_hash_info(parameters.hash_info, &next);
	if (r == 0 && !(parameters.flags & NDIS_RSS_TABLE_UNCHANGED))
		r = take_table(info, len, &parameters, channels, &next);
	if (r == 0 && !(parameters.flags & NDIS_RSS_KEY_UNCHANGED))
		r = take_key(info, len, &parameters, &next);
	/* "Unchanged", but there never was one. */
	if (r == 0 && next.hash_types != 0 && next.entries == 0)
		r = -EINVAL;
	if (r == 0)
		*settings = next;
	return r;
}

bool rss_settings_valid(const struct rss_settings *settings, uint32_t channels)
{
	if (settings->hash_types & ~TYPES || settings->entries > NDIS_RSS_TABLE_ENTRIES)
		return false;
	if (settings->entries == 0)
		return settings->hash_types == 0;
	if (!is_power_of_two(settings->entries))
		return false;
	for (uint32_t i = 0; i < settings->entries; i++)
		if (settings->table[i] >= channels)
			return false;
	return true;
}

/* ---- the hash ---- */

/* 32 bits of the key from @bit on, which a set bit of input there adds. */
static uint32_t key_window(const uint8_t *key, size_t bit)
{
	uint64_t window = 0;

	for (size_t i = 0; i < 5; i++)
		window = window << 8 | key[bit / 8 + i];
	return (uint32_t)(window >> (8 - bit % 8));
}

void rss_set(struct rss *rss, const struct rss_settings *settings)
{
	rss->settings = *settings;
	for (size_t at = 0; at < RSS_INPUT_MAX; at++) {
		uint32_t adds[8];

		for (size_t bit = 0; bit < 8; bit++)
			adds[bit] = key_window(settings->key, at * 8 + bit);
		for (unsigned int byte = 0; byte < 256; byte++) {
			uint32_t sum = 0;

			for (size_t bit = 0; bit < 8; bit++)
				if (byte & (0x80u >> bit))
					sum ^= adds[bit];
			rss->sums[at][byte] = sum;
		}
	}
}

/* What is hashed of a network protocol: its two addresses, and behind them the ports. */
static const struct {
	uint8_t addresses, len; /* in its header */
	uint32_t plain, tcp;	/* NDIS_HASH_* that ask for it */
} kinds[] = {
	[HEADERS_IPV4] = {12, 8, NDIS_HASH_IPV4, NDIS_HASH_TCP_IPV4},
	[HEADERS_IPV6] = {8, 32, NDIS_HASH_IPV6, NDIS_HASH_TCP_IPV6},
};

uint32_t rss_hash(const struct rss *rss, const uint8_t *frame, const struct headers *headers, uint32_t *ret_hash)
{
	uint32_t types = rss->settings.hash_types, hash = 0;
	const uint8_t *at = frame + headers->network + kinds[headers->network_type].addresses;
	size_t len = kinds[headers->network_type].len;
	bool tcp = headers->transport_type == HEADERS_TCP && types & kinds[headers->network_type].tcp;

	*ret_hash = 0;
	if (headers->network_type == HEADERS_OTHER || (!tcp && !(types & kinds[headers->network_type].plain)))
		return 0;
	for (size_t i = 0; i < len; i++)
		hash ^= rss->sums[i][at[i]];
	for (size_t i = 0; tcp && i < 4; i++)
		hash ^= rss->sums[len + i][frame[headers->transport + i]];
	*ret_hash = hash;
	return tcp ? kinds[headers->network_type].tcp : kinds[headers->network_type].plain;
}
