/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NDIS objects and object identifiers that travel in RNDIS QUERY and SET (abi/rndis.h): statistics, addresses,
 * offloads, receive-side scaling. Every field is little-endian. Spec: Microsoft's NDIS reference; Linux
 * drivers/net/hyperv/hyperv_net.h, include/linux/rndis.h.
 */
#ifndef ABI_NDIS_H
#define ABI_NDIS_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/* General */
#define OID_GEN_SUPPORTED_LIST		   0x00010101u
#define OID_GEN_HARDWARE_STATUS		   0x00010102u
#define OID_GEN_MEDIA_SUPPORTED		   0x00010103u
#define OID_GEN_MEDIA_IN_USE		   0x00010104u
#define OID_GEN_MAXIMUM_LOOKAHEAD	   0x00010105u
#define OID_GEN_MAXIMUM_FRAME_SIZE	   0x00010106u /* the MTU */
#define OID_GEN_LINK_SPEED		   0x00010107u /* units of 100 bit/s */
#define OID_GEN_TRANSMIT_BUFFER_SPACE	   0x00010108u
#define OID_GEN_RECEIVE_BUFFER_SPACE	   0x00010109u
#define OID_GEN_TRANSMIT_BLOCK_SIZE	   0x0001010au
#define OID_GEN_RECEIVE_BLOCK_SIZE	   0x0001010bu
#define OID_GEN_VENDOR_ID		   0x0001010cu
#define OID_GEN_VENDOR_DESCRIPTION	   0x0001010du
#define OID_GEN_CURRENT_PACKET_FILTER	   0x0001010eu /* set, too */
#define OID_GEN_CURRENT_LOOKAHEAD	   0x0001010fu
#define OID_GEN_DRIVER_VERSION		   0x00010110u
#define OID_GEN_MAXIMUM_TOTAL_SIZE	   0x00010111u /* the MTU and the Ethernet header */
#define OID_GEN_PROTOCOL_OPTIONS	   0x00010112u
#define OID_GEN_MAC_OPTIONS		   0x00010113u
#define OID_GEN_MEDIA_CONNECT_STATUS	   0x00010114u
#define OID_GEN_MAXIMUM_SEND_PACKETS	   0x00010115u
#define OID_GEN_VENDOR_DRIVER_VERSION	   0x00010116u
#define OID_GEN_NETWORK_LAYER_ADDRESSES	   0x00010118u /* set */
#define OID_GEN_TRANSPORT_HEADER_OFFSET	   0x00010119u
#define OID_GEN_PHYSICAL_MEDIUM		   0x00010202u
#define OID_GEN_RECEIVE_SCALE_CAPABILITIES 0x00010203u
#define OID_GEN_RECEIVE_SCALE_PARAMETERS   0x00010204u
#define OID_GEN_RNDIS_CONFIG_PARAMETER	   0x0001021bu /* set */
#define OID_GEN_LINK_PARAMETERS		   0x00010208u /* set */
#define OID_GEN_STATISTICS		   0x00020106u
#define OID_GEN_XMIT_OK			   0x00020101u
#define OID_GEN_RCV_OK			   0x00020102u
#define OID_GEN_XMIT_ERROR		   0x00020103u
#define OID_GEN_RCV_ERROR		   0x00020104u
#define OID_GEN_RCV_NO_BUFFER		   0x00020105u
#define OID_GEN_FRIENDLY_NAME		   0x00020216u /* UTF-16 */

/* Ethernet */
#define OID_802_3_PERMANENT_ADDRESS    0x01010101u
#define OID_802_3_CURRENT_ADDRESS      0x01010102u
#define OID_802_3_MULTICAST_LIST       0x01010103u /* set, too */
#define OID_802_3_MAXIMUM_LIST_SIZE    0x01010104u
#define OID_802_3_RCV_ERROR_ALIGNMENT  0x01020101u
#define OID_802_3_XMIT_ONE_COLLISION   0x01020102u
#define OID_802_3_XMIT_MORE_COLLISIONS 0x01020103u

/* Offloads */
#define OID_TCP_OFFLOAD_CURRENT_CONFIG	      0xfc01020bu
#define OID_TCP_OFFLOAD_PARAMETERS	      0xfc01020cu /* set */
#define OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES 0xfc01020du
#define OID_OFFLOAD_ENCAPSULATION	      0x0101010au

/* OID_GEN_MAC_OPTIONS */
#define NDIS_MAC_OPTION_TRANSFERS_NOT_PEND 0x4u
#define NDIS_MAC_OPTION_NO_LOOPBACK	   0x8u
#define NDIS_MAC_OPTION_8021P_PRIORITY	   0x40u
#define NDIS_MAC_OPTION_8021Q_VLAN	   0x200u

#define NDIS_MEDIA_CONNECTED	0u
#define NDIS_MEDIA_DISCONNECTED 1u

#define NDIS_OBJECT_DEFAULT	     0x80u
#define NDIS_OBJECT_RSS_CAPABILITIES 0x88u
#define NDIS_OBJECT_RSS_PARAMETERS   0x89u
#define NDIS_OBJECT_OFFLOAD	     0xa7u

struct ndis_object_header {
	uint8_t type;
	uint8_t revision;
	uint16_t size; /* with this header */
};

/* ---- offloads that there are ---- */

#define NDIS_ENCAPSULATION_8023 0x2u

/* Of IPv4, and of IPv6, for which bit 0 means extension headers; transmit and receive. */
#define NDIS_CHECKSUM_IP_OPTIONS  0x1u
#define NDIS_CHECKSUM_TCP_OPTIONS 0x4u
#define NDIS_CHECKSUM_TCP	  0x10u
#define NDIS_CHECKSUM_UDP	  0x40u
#define NDIS_CHECKSUM_IP	  0x100u /* of IPv4 */

struct ndis_checksum_offload {
	uint32_t ipv4_tx_encapsulation;
	uint32_t ipv4_tx;
	uint32_t ipv4_rx_encapsulation;
	uint32_t ipv4_rx;
	uint32_t ipv6_tx_encapsulation;
	uint32_t ipv6_tx;
	uint32_t ipv6_rx_encapsulation;
	uint32_t ipv6_rx;
};

#define NDIS_LSO_IPV6_EXTENSIONS  0x1u
#define NDIS_LSO_IPV6_TCP_OPTIONS 0x4u

struct ndis_lso_v2_offload {
	uint32_t ipv4_encapsulation;
	uint32_t ipv4_max_bytes;
	uint32_t ipv4_min_segments;
	uint32_t ipv6_encapsulation;
	uint32_t ipv6_max_bytes;
	uint32_t ipv6_min_segments;
	uint32_t ipv6_options;
};

struct ndis_offload {
	struct ndis_object_header header;
	struct ndis_checksum_offload checksum;
	uint32_t lso_v1[4];
	uint32_t ipsec_v1[7];
	struct ndis_lso_v2_offload lso_v2;
	uint32_t flags;
	/* From NDIS 6.1 on. */
	uint32_t ipsec_v2[8];
	/* From NDIS 6.30 on. */
	uint8_t rsc_ipv4;
	uint8_t rsc_ipv6;
	uint16_t reserved;
	uint32_t gre_flags;
	uint32_t gre_max_header;
};

#define NDIS_OFFLOAD_REVISION_1 1u
#define NDIS_OFFLOAD_REVISION_2 2u
#define NDIS_OFFLOAD_REVISION_3 3u
#define NDIS_OFFLOAD_LEN_1	112u /* to flags */
#define NDIS_OFFLOAD_LEN_2	144u /* to ipsec_v2 */
#define NDIS_OFFLOAD_LEN_3	156u

/* ---- offloads that are to be used ---- */

#define NDIS_PARAMETER_NO_CHANGE      0u
/* checksums */
#define NDIS_PARAMETER_TX_RX_DISABLED 1u
#define NDIS_PARAMETER_TX_ENABLED     2u
#define NDIS_PARAMETER_RX_ENABLED     3u
#define NDIS_PARAMETER_TX_RX_ENABLED  4u
/* the others */
#define NDIS_PARAMETER_DISABLED	      1u
#define NDIS_PARAMETER_ENABLED	      2u

struct ndis_offload_parameters {
	struct ndis_object_header header;
	uint8_t ipv4_checksum;
	uint8_t tcp_ipv4_checksum;
	uint8_t udp_ipv4_checksum;
	uint8_t tcp_ipv6_checksum;
	uint8_t udp_ipv6_checksum;
	uint8_t lso_v1;
	uint8_t ipsec_v1;
	uint8_t lso_v2_ipv4;
	uint8_t lso_v2_ipv6;
	uint8_t tcp_connection_ipv4;
	uint8_t tcp_connection_ipv6;
	uint8_t pad;
	uint32_t flags;
	/* From revision 2 on. */
	uint8_t ipsec_v2;
	uint8_t ipsec_v2_ipv4;
	/* From revision 3 on. */
	uint8_t rsc_ipv4;
	uint8_t rsc_ipv6;
	uint8_t encapsulated_packets;
	uint8_t encapsulation_types;
	uint8_t pad_end[2];
};

#define NDIS_OFFLOAD_PARAMETERS_LEN_MIN 20u /* to flags */

/* ---- receive-side scaling ---- */

#define NDIS_HASH_FUNCTION_TOEPLITZ 0x1u
#define NDIS_HASH_FUNCTION_MASK	    0xffu
#define NDIS_HASH_IPV4		    0x100u
#define NDIS_HASH_TCP_IPV4	    0x200u
#define NDIS_HASH_IPV6		    0x400u
#define NDIS_HASH_IPV6_EX	    0x800u
#define NDIS_HASH_TCP_IPV6	    0x1000u
#define NDIS_HASH_TCP_IPV6_EX	    0x2000u

#define NDIS_RSS_CAPABILITIES_REVISION_2 2u

#define NDIS_RSS_CAPABILITY_TCP_IPV4 0x100u
#define NDIS_RSS_CAPABILITY_TCP_IPV6 0x200u

struct ndis_rss_capabilities {
	struct ndis_object_header header;
	uint32_t flags;
	uint32_t interrupt_messages;
	uint32_t receive_queues;
	uint16_t table_entries; /* from revision 2 on */
} __attribute__((packed));

#define NDIS_RSS_PARAMETERS_REVISION_1 1u
#define NDIS_RSS_PARAMETERS_REVISION_2 2u

#define NDIS_RSS_BASE_CPU_UNCHANGED  0x1u
#define NDIS_RSS_HASH_INFO_UNCHANGED 0x2u
#define NDIS_RSS_TABLE_UNCHANGED     0x4u
#define NDIS_RSS_KEY_UNCHANGED	     0x8u
#define NDIS_RSS_DISABLE	     0x10u

#define NDIS_RSS_KEY_LEN       40u
#define NDIS_RSS_TABLE_ENTRIES 128u

/* Offsets count from its start. Entries of the table are 32 bits each: channels of a guest of VMBus. */
struct ndis_rss_parameters {
	struct ndis_object_header header;
	uint16_t flags;
	uint16_t base_cpu;
	uint32_t hash_info;
	uint16_t table_len; /* bytes */
	uint16_t pad;
	uint32_t table_offset;
	uint16_t key_len;
	uint16_t pad_key;
	uint32_t key_offset;
	uint32_t masks_offset;
	uint32_t masks;
	uint32_t mask_len;
};

#define NDIS_RSS_PARAMETERS_LEN_MIN 28u /* to key_offset */

#endif
