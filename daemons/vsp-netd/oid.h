/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest asks about its NIC and sets in it: NDIS object identifiers, one row of a table each. Pure functions over
 * two structs: what the host says of the NIC, and what the guest has set.
 *
 * Limits: OID_MULTICAST_MAX addresses in the guest's list; a guest that has more is told so, and asks for all.
 */
#ifndef NETD_OID_H
#define NETD_OID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/ndis.h"
#include "rss.h"

#define OID_MULTICAST_MAX 32u
#define OID_NAME_MAX	  64u /* characters of a NIC's name, ASCII */
#define OID_REPLY_MAX	  512u
#define OID_MTU_MIN	  68u
#define OID_MTU_MAX	  9000u

#define MAC_LEN 6u

/* Frames each way, as statistics count them. */
struct oid_counters {
	uint64_t sent, received, send_errors, receive_errors, no_buffer;
};

/* What the host says. */
struct oid_nic {
	uint8_t mac[MAC_LEN];
	uint32_t mtu;		/* OID_MTU_MIN to OID_MTU_MAX */
	uint64_t bits_a_second; /* of the link */
	bool connected;
	const char *name;	 /* up to OID_NAME_MAX characters */
	uint32_t receive_queues; /* channels that a guest may have, 1 to RSS_CHANNELS_MAX */
	uint32_t lso_max_bytes;	 /* of a frame that we cut; 0: we do not */
	bool checksums;		 /* we fill in, and check, those of TCP and UDP */
	bool coalescing;	 /* we put received segments together */
	bool mac_may_change;	 /* by the guest */
	bool promiscuous;	 /* a guest may ask for everything */
	struct oid_counters counters;
};

/* enum of the offloads' places in struct oid_settings.offload */
enum oid_offload {
	OID_OFFLOAD_CHECKSUM_TCP4,
	OID_OFFLOAD_CHECKSUM_UDP4,
	OID_OFFLOAD_CHECKSUM_TCP6,
	OID_OFFLOAD_CHECKSUM_UDP6,
	OID_OFFLOAD_CHECKSUM_IP4,
	OID_OFFLOAD_LSO4,
	OID_OFFLOAD_LSO6,
	OID_OFFLOAD_RSC4,
	OID_OFFLOAD_RSC6,
	OID_OFFLOADS,
};

#define OID_OFFLOAD_TX 1u /* of checksums; of the others: on */
#define OID_OFFLOAD_RX 2u

/* What the guest has set: all that a successor needs. Fixed layout. */
struct oid_settings {
	uint32_t filter; /* RNDIS_FILTER_* */
	uint32_t lookahead;
	uint8_t offload[12];  /* OID_OFFLOAD_TX, _RX, by enum oid_offload; the rest is 0 */
	uint8_t mac[MAC_LEN]; /* all zero: the host's */
	uint16_t multicast_count;
	uint8_t multicast[OID_MULTICAST_MAX][MAC_LEN];
	struct rss_settings rss;
};

/** oid_settings_valid - of a predecessor's. @channels: the guest's. */
bool oid_settings_valid(const struct oid_settings *settings, uint32_t channels);

/**
 * oid_query - @info: @info_len bytes that came with the question, a private copy.
 * @reply: OID_REPLY_MAX bytes, zeroed. Return: RNDIS_STATUS_*, of SUCCESS with *@ret_len bytes in @reply.
 */
uint32_t oid_query(const struct oid_nic *nic, const struct oid_settings *settings, uint32_t oid, const uint8_t *info,
		   uint32_t info_len, uint8_t *reply, size_t *ret_len);

/**
 * oid_set - @channels: that the guest has opened, and may name in a table. @settings: changed with SUCCESS only.
 * Return: RNDIS_STATUS_*.
 */
uint32_t oid_set(const struct oid_nic *nic, struct oid_settings *settings, uint32_t channels, uint32_t oid,
		 const uint8_t *info, uint32_t info_len);

#endif
