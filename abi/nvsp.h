/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network protocol between a guest's netvsc and a network VSP, carried by VMBus packets. Every field is
 * little-endian. RNDIS messages (abi/rndis.h) travel in it: from the guest as the data pages of a GPA-direct packet or
 * in a section of its send buffer, to the guest in sections of its receive buffer that a transfer-page packet names.
 * Spec: Linux drivers/net/hyperv/hyperv_net.h; OpenVMM vm/devices/net/netvsp.
 */
#ifndef ABI_NVSP_H
#define ABI_NVSP_H

#include "abi/guid.h"

/* Interface type of a NIC: f8615163-df3e-46c5-913f-f2d2f965ed0e */
#define NVSP_NIC_INTERFACE_GUID ABI_GUID(0xf8615163, 0xdf3e, 0x46c5, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e)

/* Protocol versions: major << 16 | minor, but for the first. */
#define NVSP_VERSION_1	0x00002u
#define NVSP_VERSION_2	0x30002u
#define NVSP_VERSION_4	0x40000u
#define NVSP_VERSION_5	0x50000u
#define NVSP_VERSION_6	0x60000u
#define NVSP_VERSION_61 0x60001u

enum nvsp_message_type {
	NVSP_MESSAGE_INIT = 1,
	NVSP_MESSAGE_INIT_COMPLETE = 2,
	/* From version 1 on. */
	NVSP_MESSAGE_SEND_NDIS_VERSION = 100,
	NVSP_MESSAGE_SEND_RECEIVE_BUFFER = 101,
	NVSP_MESSAGE_SEND_RECEIVE_BUFFER_COMPLETE = 102,
	NVSP_MESSAGE_REVOKE_RECEIVE_BUFFER = 103,
	NVSP_MESSAGE_SEND_SEND_BUFFER = 104,
	NVSP_MESSAGE_SEND_SEND_BUFFER_COMPLETE = 105,
	NVSP_MESSAGE_REVOKE_SEND_BUFFER = 106,
	NVSP_MESSAGE_SEND_RNDIS_PACKET = 107, /* both ways */
	NVSP_MESSAGE_SEND_RNDIS_PACKET_COMPLETE = 108,
	/* From version 2 on. */
	NVSP_MESSAGE_SEND_NDIS_CONFIG = 125,
	/* From version 4 on. */
	NVSP_MESSAGE_SEND_VF_ASSOCIATION = 128, /* host to guest */
	NVSP_MESSAGE_SWITCH_DATA_PATH = 129,
	/* From version 5 on. */
	NVSP_MESSAGE_OID_QUERY_EX = 131,
	NVSP_MESSAGE_OID_QUERY_EX_COMPLETE = 132,
	NVSP_MESSAGE_SUBCHANNEL = 133,		   /* request and answer */
	NVSP_MESSAGE_SEND_INDIRECTION_TABLE = 134, /* host to guest */
	/* From version 6 on. */
	NVSP_MESSAGE_PD_API = 135,
	NVSP_MESSAGE_PD_POST_BATCH = 136,
};

enum nvsp_status {
	NVSP_STATUS_NONE = 0,
	NVSP_STATUS_SUCCESS = 1,
	NVSP_STATUS_FAILURE = 2,
	NVSP_STATUS_PROTOCOL_TOO_NEW = 3,
	NVSP_STATUS_PROTOCOL_TOO_OLD = 4,
	NVSP_STATUS_INVALID_RNDIS_PACKET = 5,
	NVSP_STATUS_BUSY = 6,
	NVSP_STATUS_PROTOCOL_UNSUPPORTED = 7,
};

struct nvsp_init {
	uint32_t min_version;
	uint32_t max_version;
} __attribute__((packed));

struct nvsp_init_complete {
	uint32_t version; /* the one that is spoken; hosts leave what they were asked for */
	uint32_t max_mdl_chain_len;
	uint32_t status; /* enum nvsp_status */
} __attribute__((packed));

struct nvsp_ndis_version {
	uint32_t major;
	uint32_t minor;
} __attribute__((packed));

/* nvsp_send_buffer.id: which buffer it is, also in the transfer-page packets to the guest. */
#define NVSP_RECEIVE_BUFFER_ID 0xcafeu
#define NVSP_SEND_BUFFER_ID    0u

/* Of SEND_RECEIVE_BUFFER and SEND_SEND_BUFFER. */
struct nvsp_send_buffer {
	uint32_t gpadl;
	uint16_t id;
} __attribute__((packed));

/* Guests take one run of sections, which begins at 0. */
struct nvsp_receive_buffer_section {
	uint32_t offset;
	uint32_t section_bytes;
	uint32_t sections;
	uint32_t end_offset;
} __attribute__((packed));

struct nvsp_send_receive_buffer_complete {
	uint32_t status;
	uint32_t runs; /* 1 */
	struct nvsp_receive_buffer_section run[1];
} __attribute__((packed));

struct nvsp_send_send_buffer_complete {
	uint32_t status;
	uint32_t section_bytes;
} __attribute__((packed));

struct nvsp_revoke_buffer {
	uint16_t id;
} __attribute__((packed));

#define NVSP_CHANNEL_DATA    0u
#define NVSP_CHANNEL_CONTROL 1u

#define NVSP_NO_SECTION 0xffffffffu

struct nvsp_rndis_packet {
	uint32_t channel_type;
	uint32_t section;	/* of the send buffer, or NVSP_NO_SECTION: it all lies in the packet's data pages */
	uint32_t section_bytes; /* how much lies in the section; what lies in the data pages follows it */
} __attribute__((packed));

struct nvsp_rndis_packet_complete {
	uint32_t status;
} __attribute__((packed));

/* nvsp_ndis_config.capabilities */
#define NVSP_CAPABILITY_VMQ	       (UINT64_C(1) << 0)
#define NVSP_CAPABILITY_CHIMNEY	       (UINT64_C(1) << 1)
#define NVSP_CAPABILITY_SRIOV	       (UINT64_C(1) << 2)
#define NVSP_CAPABILITY_IEEE8021Q      (UINT64_C(1) << 3)
#define NVSP_CAPABILITY_CORRELATION_ID (UINT64_C(1) << 4)
#define NVSP_CAPABILITY_TEAMING	       (UINT64_C(1) << 5) /* changes of the link's speed are indicated */
#define NVSP_CAPABILITY_VSUBNETID      (UINT64_C(1) << 6)
#define NVSP_CAPABILITY_RSC	       (UINT64_C(1) << 7) /* coalesced frames may lie in several sections */

struct nvsp_ndis_config {
	uint32_t frame_bytes; /* MTU and Ethernet header */
	uint32_t reserved;
	uint64_t capabilities;
} __attribute__((packed));

#define NVSP_DATA_PATH_SYNTHETIC 0u
#define NVSP_DATA_PATH_VF	 1u

struct nvsp_switch_data_path {
	uint32_t data_path;
} __attribute__((packed));

#define NVSP_SUBCHANNEL_ALLOCATE 1u

struct nvsp_subchannel_request {
	uint32_t operation;
	uint32_t count;
} __attribute__((packed));

struct nvsp_subchannel_complete {
	uint32_t status;
	uint32_t count; /* that may be opened: not more than were asked for */
} __attribute__((packed));

#define NVSP_SEND_TABLE_ENTRIES 16u

/* Which channel a guest is to send on, by hash: the table lies behind the message. */
struct nvsp_send_indirection_table {
	uint32_t count;	 /* NVSP_SEND_TABLE_ENTRIES */
	uint32_t offset; /* from the start of the message */
} __attribute__((packed));

#define NVSP_MESSAGE_LEN     40u /* of each, whatever it holds: guests copy so many bytes of an answer */
#define NVSP_MESSAGE_LEN_MIN 4u

struct nvsp_message {
	uint32_t type; /* enum nvsp_message_type */
	union {
		struct nvsp_init init;
		struct nvsp_init_complete init_complete;
		struct nvsp_ndis_version ndis_version;
		struct nvsp_send_buffer send_buffer;
		struct nvsp_send_receive_buffer_complete receive_buffer_complete;
		struct nvsp_send_send_buffer_complete send_buffer_complete;
		struct nvsp_revoke_buffer revoke_buffer;
		struct nvsp_rndis_packet rndis_packet;
		struct nvsp_rndis_packet_complete rndis_packet_complete;
		struct nvsp_ndis_config ndis_config;
		struct nvsp_switch_data_path data_path;
		struct nvsp_subchannel_request subchannel_request;
		struct nvsp_subchannel_complete subchannel_complete;
		struct nvsp_send_indirection_table send_table;
		uint8_t bytes[NVSP_MESSAGE_LEN - 4];
	};
} __attribute__((packed));

#endif
