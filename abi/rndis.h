/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote NDIS: what a guest's netvsc and a network VSP say to each other inside of NVSP (abi/nvsp.h). Every field is
 * little-endian; offsets count from the first byte behind the message's header (type and length).
 * Spec: MS-RNDIS; Linux include/linux/rndis.h, drivers/net/hyperv/rndis_filter.c.
 */
#ifndef ABI_RNDIS_H
#define ABI_RNDIS_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define RNDIS_MAJOR_VERSION 1u
#define RNDIS_MINOR_VERSION 0u

#define RNDIS_COMPLETION 0x80000000u /* of the answer to a message of this type */

enum rndis_message_type {
	RNDIS_MESSAGE_PACKET = 1, /* both ways */
	RNDIS_MESSAGE_INITIALIZE = 2,
	RNDIS_MESSAGE_HALT = 3, /* has no answer */
	RNDIS_MESSAGE_QUERY = 4,
	RNDIS_MESSAGE_SET = 5,
	RNDIS_MESSAGE_RESET = 6,
	RNDIS_MESSAGE_INDICATE_STATUS = 7, /* host to guest */
	RNDIS_MESSAGE_KEEPALIVE = 8,
};

/* Status of answers, and what INDICATE_STATUS tells. */
#define RNDIS_STATUS_SUCCESS	       0x00000000u
#define RNDIS_STATUS_MEDIA_CONNECT     0x4001000bu
#define RNDIS_STATUS_MEDIA_DISCONNECT  0x4001000cu
#define RNDIS_STATUS_LINK_SPEED_CHANGE 0x40010013u
#define RNDIS_STATUS_NETWORK_CHANGE    0x40010018u
#define RNDIS_STATUS_FAILURE	       0xc0000001u
#define RNDIS_STATUS_NOT_SUPPORTED     0xc00000bbu
#define RNDIS_STATUS_MULTICAST_FULL    0xc0010009u
#define RNDIS_STATUS_INVALID_LENGTH    0xc0010014u
#define RNDIS_STATUS_INVALID_DATA      0xc0010015u
#define RNDIS_STATUS_BUFFER_TOO_SHORT  0xc0010016u
#define RNDIS_STATUS_INVALID_OID       0xc0010017u

struct rndis_header {
	uint32_t type; /* enum rndis_message_type, perhaps with RNDIS_COMPLETION */
	uint32_t len;  /* of the message, with this header */
};

struct rndis_initialize {
	uint32_t request_id;
	uint32_t major_version;
	uint32_t minor_version;
	uint32_t max_transfer_bytes;
};

#define RNDIS_DEVICE_CONNECTIONLESS 1u
#define RNDIS_MEDIUM_802_3	    0u

struct rndis_initialize_complete {
	uint32_t request_id;
	uint32_t status;
	uint32_t major_version;
	uint32_t minor_version;
	uint32_t device_flags;
	uint32_t medium;
	uint32_t max_packets; /* PACKET messages one behind the other in one transfer */
	uint32_t max_transfer_bytes;
	uint32_t packet_alignment; /* as a power of two: 3 means 8 bytes */
	uint32_t reserved[2];
};

/* Of QUERY and SET. */
struct rndis_request {
	uint32_t request_id;
	uint32_t oid;
	uint32_t info_len;
	uint32_t info_offset;
	uint32_t reserved;
};

struct rndis_query_complete {
	uint32_t request_id;
	uint32_t status;
	uint32_t info_len;
	uint32_t info_offset;
};

/* Of SET and KEEPALIVE. */
struct rndis_set_complete {
	uint32_t request_id;
	uint32_t status;
};

struct rndis_reset_complete {
	uint32_t status;
	uint32_t addressing_reset; /* not 0: multicast list and filter must be set again */
};

struct rndis_indicate_status {
	uint32_t status;
	uint32_t info_len;
	uint32_t info_offset;
};

struct rndis_packet {
	uint32_t data_offset;
	uint32_t data_len;
	uint32_t oob_offset;
	uint32_t oob_len;
	uint32_t oob_elements;
	uint32_t info_offset; /* of per-packet info; 0: there is none */
	uint32_t info_len;
	uint32_t vc_handle;
	uint32_t reserved;
};

/* One piece of per-packet info; the next one begins @size bytes later. */
struct rndis_packet_info {
	uint32_t size;	 /* with this header */
	uint32_t type;	 /* RNDIS_INFO_*, perhaps with RNDIS_INFO_INTERNAL */
	uint32_t offset; /* of the value, from the start of this header */
};

#define RNDIS_INFO_CHECKSUM   0u /* uint32_t: RNDIS_TX_*, RNDIS_RX_* */
#define RNDIS_INFO_LARGE_SEND 2u /* uint32_t: RNDIS_LSO_* */
#define RNDIS_INFO_8021Q      6u /* uint32_t: RNDIS_8021Q_* */
#define RNDIS_INFO_HASH	      8u /* uint32_t, to the guest: what RSS has found */

#define RNDIS_INFO_INTERNAL 0x80000000u
#define RNDIS_INFO_ID	    (RNDIS_INFO_INTERNAL | 1u) /* struct rndis_packet_id */

/* RNDIS_INFO_CHECKSUM from the guest: what is to be filled in. */
#define RNDIS_TX_IPV4			0x1u
#define RNDIS_TX_IPV6			0x2u
#define RNDIS_TX_TCP			0x4u
#define RNDIS_TX_UDP			0x8u
#define RNDIS_TX_IP_HEADER		0x10u
#define RNDIS_TX_TRANSPORT_OFFSET_SHIFT 16
#define RNDIS_TX_TRANSPORT_OFFSET_MASK	0x3ffu

/* RNDIS_INFO_CHECKSUM to the guest: what has been found. */
#define RNDIS_RX_TCP_FAILED    0x1u
#define RNDIS_RX_UDP_FAILED    0x2u
#define RNDIS_RX_IP_FAILED     0x4u
#define RNDIS_RX_TCP_SUCCEEDED 0x8u
#define RNDIS_RX_UDP_SUCCEEDED 0x10u
#define RNDIS_RX_IP_SUCCEEDED  0x20u

/* RNDIS_INFO_LARGE_SEND, version 2 */
#define RNDIS_LSO_MSS_MASK		 0xfffffu
#define RNDIS_LSO_TRANSPORT_OFFSET_SHIFT 20
#define RNDIS_LSO_TRANSPORT_OFFSET_MASK	 0x3ffu
#define RNDIS_LSO_VERSION_2		 0x40000000u
#define RNDIS_LSO_IPV6			 0x80000000u

/* RNDIS_INFO_8021Q */
#define RNDIS_8021Q_PRIORITY_MASK 0x7u
#define RNDIS_8021Q_CFI		  0x8u
#define RNDIS_8021Q_VLAN_SHIFT	  4
#define RNDIS_8021Q_VLAN_MASK	  0xfffu

#define RNDIS_PACKET_ID_VERSION 1u

#define RNDIS_PACKET_ID_PART  0x1u /* of a frame that lies in several sections */
#define RNDIS_PACKET_ID_FIRST 0x2u
#define RNDIS_PACKET_ID_LAST  0x4u

struct rndis_packet_id {
	uint8_t version;
	uint8_t flags;
	uint16_t id;
};

/* OID_GEN_CURRENT_PACKET_FILTER: which frames a guest wants */
#define RNDIS_FILTER_DIRECTED	   0x00000001u
#define RNDIS_FILTER_MULTICAST	   0x00000002u /* to addresses of its list */
#define RNDIS_FILTER_ALL_MULTICAST 0x00000004u
#define RNDIS_FILTER_BROADCAST	   0x00000008u
#define RNDIS_FILTER_PROMISCUOUS   0x00000020u

/* SET of OID_GEN_RNDIS_CONFIG_PARAMETER; offsets count from its start, texts are UTF-16. */
struct rndis_config_parameter {
	uint32_t name_offset;
	uint32_t name_len; /* bytes */
	uint32_t type;
	uint32_t value_offset;
	uint32_t value_len; /* bytes */
};

#define RNDIS_PARAMETER_INTEGER 0u
#define RNDIS_PARAMETER_STRING	2u

#endif
