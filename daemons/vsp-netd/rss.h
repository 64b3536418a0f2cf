/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receive-side scaling: which of its channels a guest gets a frame on.
 *
 * Theory of operation: the guest sets a key and a table of channels (OID_GEN_RECEIVE_SCALE_PARAMETERS). Toeplitz' hash
 * of a frame's addresses, and of its ports if it is TCP, names the table's entry. The hash is linear in its input, so
 * for each byte of input at each place what it adds lies in a table that is made when the key is set.
 * Spec: Microsoft's "RSS hashing types", "Verifying the RSS hash calculation".
 */
#ifndef NETD_RSS_H
#define NETD_RSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/ndis.h"
#include "headers.h"

#define RSS_INPUT_MAX 36u /* bytes that are hashed: two IPv6 addresses, two ports */

/* What a guest has asked for: all that a successor needs. Fixed layout. */
struct rss_settings {
	uint32_t hash_types; /* NDIS_HASH_*, without the function; 0: RSS is off, everything goes to channel 0 */
	uint32_t entries;    /* of the table, 1 to NDIS_RSS_TABLE_ENTRIES, a power of two */
	uint8_t table[NDIS_RSS_TABLE_ENTRIES];
	uint8_t key[NDIS_RSS_KEY_LEN];
};

#define RSS_CHANNELS_MAX 64u

/**
 * rss_parse - OID_GEN_RECEIVE_SCALE_PARAMETERS.
 * @info: @len bytes, a private copy. @channels: how many the guest has, 1 to RSS_CHANNELS_MAX.
 * @settings: those until now; changed by what the guest says, and only if all of it is good.
 * Return: 0; -EPROTO: lengths or offsets that contradict each other; -EOPNOTSUPP: another hash function, or another
 * kind of object; -EINVAL: a channel that does not exist, a table or key of another size. Context: any thread.
 */
int rss_parse(const uint8_t *info, size_t len, uint32_t channels, struct rss_settings *settings);

/** rss_settings_valid - of a predecessor's: whether they can be used with @channels. */
bool rss_settings_valid(const struct rss_settings *settings, uint32_t channels);

/* The settings, and what is made of the key. */
struct rss {
	struct rss_settings settings;
	uint32_t sums[RSS_INPUT_MAX][256];
};

/** rss_set - @settings: valid. */
void rss_set(struct rss *rss, const struct rss_settings *settings);

/**
 * rss_hash - @frame: as given to headers_parse(), which has made @headers of it.
 * Return: whether the frame is one that is hashed: NDIS_HASH_* of what was hashed; 0: none, *@ret_hash is 0.
 */
uint32_t rss_hash(const struct rss *rss, const uint8_t *frame, const struct headers *headers, uint32_t *ret_hash);

/** rss_channel - the one for a frame of this hash; 0 if it is not hashed. */
static inline unsigned int rss_channel(const struct rss *rss, uint32_t hash_type, uint32_t hash)
{
	return hash_type ? rss->settings.table[hash & (rss->settings.entries - 1)] : 0;
}

#endif
