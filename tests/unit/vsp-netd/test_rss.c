/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-netd/rss.h"

/* Microsoft's "Verifying the RSS hash calculation": key, addresses, ports and what comes of them. */
static const uint8_t key[NDIS_RSS_KEY_LEN] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static const struct {
	int family;
	const char *source;
	uint16_t source_port;
	const char *destination;
	uint16_t destination_port;
	uint32_t plain, tcp;
} vectors[] = {
	{AF_INET, "66.9.149.187", 2794, "161.142.100.80", 1766, 0x323e8fc2, 0x51ccc178},
	{AF_INET, "199.92.111.2", 14230, "65.69.140.83", 4739, 0xd718262a, 0xc626b0ea},
	{AF_INET, "24.19.198.95", 12898, "12.22.207.184", 38024, 0xd2d0a5de, 0x5c2b394a},
	{AF_INET, "38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xafc7327f},
	{AF_INET, "153.39.163.191", 44251, "202.188.127.2", 1303, 0x5d1809c5, 0x10e828a2},
	{AF_INET6, "3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2cc18cd5, 0x40207d3d},
	{AF_INET6, "3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0f0c461c, 0xdde51bbf},
	{AF_INET6, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x4b61e985,
	 0x02d1feef},
};

static uint8_t frame[100];
static struct headers headers;
static struct rss rss;

static void build(size_t i)
{
	bool v6 = vectors[i].family == AF_INET6;
	size_t addresses = 14 + (v6 ? 8 : 12), ports = v6 ? 54 : 34;

	memset(frame, 0, sizeof(frame));
	put_be16(frame + 12, v6 ? 0x86dd : 0x0800);
	frame[14] = v6 ? 0x60 : 0x45;
	frame[v6 ? 20 : 23] = 6;
	inet_pton(vectors[i].family, vectors[i].source, frame + addresses);
	inet_pton(vectors[i].family, vectors[i].destination, frame + addresses + (v6 ? 16 : 4));
	put_be16(frame + ports, vectors[i].source_port);
	put_be16(frame + ports + 2, vectors[i].destination_port);
	frame[ports + 12] = 0x50;
	cr_assert_eq(headers_parse(frame, sizeof(frame), &headers), 0);
}

static void use(uint32_t types)
{
	struct rss_settings settings = {.hash_types = types, .entries = 4, .table = {0, 1, 2, 3}};

	memcpy(settings.key, key, sizeof(key));
	rss_set(&rss, &settings);
}

Test(rss, vectors_of_addresses)
{
	uint32_t hash;

	use(NDIS_HASH_IPV4 | NDIS_HASH_IPV6);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		build(i);
		cr_assert_eq(rss_hash(&rss, frame, &headers, &hash),
			     vectors[i].family == AF_INET ? NDIS_HASH_IPV4 : NDIS_HASH_IPV6);
		cr_assert_eq(hash, vectors[i].plain, "%zu: %08x", i, hash);
		cr_assert_eq(rss_channel(&rss, NDIS_HASH_IPV4, hash), hash & 3);
	}
}

Test(rss, vectors_of_tcp)
{
	uint32_t hash;

	use(NDIS_HASH_IPV4 | NDIS_HASH_IPV6 | NDIS_HASH_TCP_IPV4 | NDIS_HASH_TCP_IPV6);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		build(i);
		cr_assert_eq(rss_hash(&rss, frame, &headers, &hash),
			     vectors[i].family == AF_INET ? NDIS_HASH_TCP_IPV4 : NDIS_HASH_TCP_IPV6);
		cr_assert_eq(hash, vectors[i].tcp, "%zu: %08x", i, hash);
	}
}

Test(rss, what_is_not_hashed)
{
	uint32_t hash = 1;

	use(NDIS_HASH_TCP_IPV4);
	build(5);
	cr_assert_eq(rss_hash(&rss, frame, &headers, &hash), 0);
	cr_assert_eq(hash, 0);
	build(0);
	frame[23] = 17; /* UDP */
	cr_assert_eq(headers_parse(frame, sizeof(frame), &headers), 0);
	cr_assert_eq(rss_hash(&rss, frame, &headers, &hash), 0);
	put_be16(frame + 12, 0x0806);
	cr_assert_eq(headers_parse(frame, sizeof(frame), &headers), 0);
	use(NDIS_HASH_IPV4);
	cr_assert_eq(rss_hash(&rss, frame, &headers, &hash), 0);
	cr_assert_eq(rss_channel(&rss, 0, 0xffffffff), 0);
}

/* ---- what a guest asks for ---- */

static struct {
	struct ndis_rss_parameters parameters;
	uint32_t table[128];
	uint8_t key[NDIS_RSS_KEY_LEN];
} info;

static struct rss_settings settings;

static void set_up(void)
{
	memset(&info, 0, sizeof(info));
	memset(&settings, 0, sizeof(settings));
	info.parameters = (struct ndis_rss_parameters){
		.header = {NDIS_OBJECT_RSS_PARAMETERS, NDIS_RSS_PARAMETERS_REVISION_2, sizeof(info.parameters)},
		.hash_info = NDIS_HASH_FUNCTION_TOEPLITZ | NDIS_HASH_IPV4 | NDIS_HASH_TCP_IPV4,
		.table_len = sizeof(info.table),
		.table_offset = offsetof(__typeof__(info), table),
		.key_len = NDIS_RSS_KEY_LEN,
		.key_offset = offsetof(__typeof__(info), key),
	};
	for (uint32_t i = 0; i < 128; i++)
		info.table[i] = i % 4;
	memcpy(info.key, key, sizeof(key));
}

static int parse_of(size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, &info, len);
	r = rss_parse(copy, len, 4, &settings);
	free(copy);
	return r;
}

static int parse(void)
{
	return parse_of(sizeof(info));
}

Test(rss_parse, whole, .init = set_up)
{
	cr_assert_eq(parse(), 0);
	cr_assert_eq(settings.hash_types, NDIS_HASH_IPV4 | NDIS_HASH_TCP_IPV4);
	cr_assert_eq(settings.entries, 128);
	cr_assert_eq(settings.table[127], 3);
	cr_assert_arr_eq(settings.key, key, sizeof(key));
	cr_assert(rss_settings_valid(&settings, 4));
	cr_assert_not(rss_settings_valid(&settings, 3));
}

Test(rss_parse, every_shorter_one, .init = set_up)
{
	for (size_t len = 0; len < sizeof(info); len++) {
		cr_assert_eq(parse_of(len), -EPROTO, "%zu", len);
		cr_assert_eq(settings.entries, 0);
	}
}

Test(rss_parse, disable, .init = set_up)
{
	cr_assert_eq(parse(), 0);
	info.parameters.flags = NDIS_RSS_DISABLE;
	cr_assert_eq(parse_of(NDIS_RSS_PARAMETERS_LEN_MIN), 0);
	cr_assert_eq(settings.hash_types, 0);
	cr_assert(rss_settings_valid(&settings, 4));
}

Test(rss_parse, unchanged, .init = set_up)
{
	info.parameters.flags = NDIS_RSS_TABLE_UNCHANGED;
	cr_assert_eq(parse(), -EINVAL, "there is no table yet");
	info.parameters.flags = 0;
	cr_assert_eq(parse(), 0);
	info.parameters.flags = NDIS_RSS_TABLE_UNCHANGED | NDIS_RSS_KEY_UNCHANGED | NDIS_RSS_HASH_INFO_UNCHANGED;
	info.parameters.table_offset = info.parameters.key_offset = UINT32_MAX;
	info.parameters.hash_info = 0;
	cr_assert_eq(parse(), 0);
	cr_assert_eq(settings.hash_types, NDIS_HASH_IPV4 | NDIS_HASH_TCP_IPV4);
	cr_assert_eq(settings.table[1], 1);
}

static const struct {
	const char *what;
	size_t at;
	uint16_t value;
	int result;
} wrong[] = {
	{"type", 0, 0x0288, -EOPNOTSUPP},
	{"hash function", offsetof(struct ndis_rss_parameters, hash_info), NDIS_HASH_IPV4 | 2, -EOPNOTSUPP},
	{"a table of nothing", offsetof(struct ndis_rss_parameters, table_len), 0, -EINVAL},
	{"half an entry", offsetof(struct ndis_rss_parameters, table_len), 6, -EINVAL},
	{"three entries", offsetof(struct ndis_rss_parameters, table_len), 12, -EINVAL},
	{"256 entries", offsetof(struct ndis_rss_parameters, table_len), 1024, -EPROTO},
	{"a table in the header", offsetof(struct ndis_rss_parameters, table_offset), 8, -EPROTO},
	{"a table beyond", offsetof(struct ndis_rss_parameters, table_offset), 100, -EPROTO},
	{"a key of 39 bytes", offsetof(struct ndis_rss_parameters, key_len), 39, -EINVAL},
	{"a key of 41 bytes", offsetof(struct ndis_rss_parameters, key_len), 41, -EPROTO},
	{"a key beyond", offsetof(struct ndis_rss_parameters, key_offset), 553, -EPROTO},
	{"a channel that is not there", offsetof(__typeof__(info), table[77]), 4, -EINVAL},
};

Test(rss_parse, wrong_fields)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		set_up();
		memcpy((uint8_t *)&info + wrong[i].at, &wrong[i].value, 2);
		cr_assert_eq(parse(), wrong[i].result, "%s", wrong[i].what);
		cr_assert_eq(settings.entries, 0, "%s: nothing has changed", wrong[i].what);
	}
}

Test(rss_parse, settings_of_others)
{
	struct rss_settings bad = {.hash_types = NDIS_HASH_IPV4};

	cr_assert_not(rss_settings_valid(&bad, 4), "no table");
	bad.entries = 3;
	cr_assert_not(rss_settings_valid(&bad, 4));
	bad.entries = 256;
	cr_assert_not(rss_settings_valid(&bad, 4));
	bad.entries = 4;
	cr_assert(rss_settings_valid(&bad, 4));
	bad.table[3] = 4;
	cr_assert_not(rss_settings_valid(&bad, 4));
	bad.table[3] = 0;
	bad.hash_types = 1;
	cr_assert_not(rss_settings_valid(&bad, 4));
}
