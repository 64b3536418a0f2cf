/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMBus channel messages, protocol versions 3.0 to 5.3: what guest and host post to each other about channels. Every
 * message starts with struct vmbus_msg_header and fits the payload of one SynIC message. All fields are little-endian
 * and packed. Spec: Linux include/linux/hyperv.h, drivers/hv/channel_mgmt.c; OpenVMM
 * vm/devices/vmbus/vmbus_core/src/protocol.rs.
 */
#ifndef ABI_VMBUS_H
#define ABI_VMBUS_H

#include "abi/guid.h"

/* major << 16 | minor */
#define VMBUS_VERSION_0_13 0x0000000du /* Windows Server 2008 */
#define VMBUS_VERSION_1_1  0x00010001u /* Windows 7 */
#define VMBUS_VERSION_2_4  0x00020004u /* Windows 8: shared interrupt page */
#define VMBUS_VERSION_3_0  0x00030000u /* Windows 8.1, Windows Server 2012 R2 */
#define VMBUS_VERSION_4_0  0x00040000u
#define VMBUS_VERSION_4_1  0x00040001u /* MODIFYCHANNEL */
#define VMBUS_VERSION_5_0  0x00050000u /* the message connection id is negotiated */
#define VMBUS_VERSION_5_1  0x00050001u
#define VMBUS_VERSION_5_2  0x00050002u
#define VMBUS_VERSION_5_3  0x00050003u /* MODIFYCHANNEL is answered; feature flags */

/* Connections for HvPostMessage. */
#define VMBUS_MESSAGE_CONNECTION_ID 1u /* below 5.0 */
#define VMBUS_EVENT_CONNECTION_ID   2u /* signals of channels without a dedicated interrupt */
#define VMBUS_MESSAGE_CONNECTION_ID_4                                                                                  \
	4u /* INITIATE_CONTACT from 5.0 on; the version response names the one for all others */
#define VMBUS_CONNECTION_ID_MASK 0x00ffffffu

#define VMBUS_MESSAGE_TYPE	  1u /* SynIC message type of a channel message */
#define VMBUS_MESSAGE_SINT	  2u
#define VMBUS_MESSAGE_PAYLOAD_MAX 240u
#define VMBUS_USER_DEFINED_MAX	  120u
#define VMBUS_CHANNELS_MAX	  2047u /* relids 1..2047: one event flag each, flag 0 is reserved */
#define VMBUS_PAGE_SIZE		  4096u

enum vmbus_message_type {
	VMBUS_MSG_INVALID = 0,
	VMBUS_MSG_OFFERCHANNEL = 1,	       /* host -> guest */
	VMBUS_MSG_RESCIND_CHANNELOFFER = 2,    /* host -> guest */
	VMBUS_MSG_REQUESTOFFERS = 3,	       /* guest -> host */
	VMBUS_MSG_ALLOFFERS_DELIVERED = 4,     /* host -> guest */
	VMBUS_MSG_OPENCHANNEL = 5,	       /* guest -> host */
	VMBUS_MSG_OPENCHANNEL_RESULT = 6,      /* host -> guest */
	VMBUS_MSG_CLOSECHANNEL = 7,	       /* guest -> host, not answered */
	VMBUS_MSG_GPADL_HEADER = 8,	       /* guest -> host */
	VMBUS_MSG_GPADL_BODY = 9,	       /* guest -> host */
	VMBUS_MSG_GPADL_CREATED = 10,	       /* host -> guest */
	VMBUS_MSG_GPADL_TEARDOWN = 11,	       /* guest -> host */
	VMBUS_MSG_GPADL_TORNDOWN = 12,	       /* host -> guest */
	VMBUS_MSG_RELID_RELEASED = 13,	       /* guest -> host, not answered */
	VMBUS_MSG_INITIATE_CONTACT = 14,       /* guest -> host */
	VMBUS_MSG_VERSION_RESPONSE = 15,       /* host -> guest */
	VMBUS_MSG_UNLOAD = 16,		       /* guest -> host */
	VMBUS_MSG_UNLOAD_RESPONSE = 17,	       /* host -> guest */
	VMBUS_MSG_TL_CONNECT_REQUEST = 21,     /* guest -> host: hv_sock */
	VMBUS_MSG_MODIFYCHANNEL = 22,	       /* guest -> host, from 4.1 on */
	VMBUS_MSG_TL_CONNECT_RESULT = 23,      /* host -> guest */
	VMBUS_MSG_MODIFYCHANNEL_RESPONSE = 24, /* host -> guest, from 5.3 on */
	VMBUS_MSG_COUNT
};

/* Results in OPENCHANNEL_RESULT, GPADL_CREATED and MODIFYCHANNEL_RESPONSE; guests only compare with success. */
#define VMBUS_STATUS_SUCCESS	  0u
#define VMBUS_STATUS_UNSUCCESSFUL 0xc0000001u

struct vmbus_msg_header {
	uint32_t msgtype;
	uint32_t padding;
} __attribute__((packed));

/* REQUESTOFFERS, ALLOFFERS_DELIVERED, UNLOAD and UNLOAD_RESPONSE are a header only. */

struct vmbus_msg_initiate_contact {
	struct vmbus_msg_header header;
	uint32_t vmbus_version_requested;
	uint32_t target_vcpu; /* which vCPU gets the host's messages */
	union {
		uint64_t interrupt_page; /* below 5.0; unused with dedicated interrupts */
		struct {
			uint8_t msg_sint; /* from 5.0 on */
			uint8_t msg_vtl;
			uint8_t padding[2];
			uint32_t feature_flags; /* from 5.3 on */
		} __attribute__((packed));
	};
	uint64_t monitor_page1;
	uint64_t monitor_page2;
} __attribute__((packed));

struct vmbus_msg_version_response {
	struct vmbus_msg_header header;
	uint8_t version_supported;
	uint8_t connection_state; /* 0: successful */
	uint16_t padding;
	uint32_t msg_conn_id;	     /* from 5.0 on: the connection for every later message of the guest */
	uint32_t supported_features; /* from 5.3 on; the message ends before it below that */
} __attribute__((packed));

#define VMBUS_CONNECTION_STATE_SUCCESSFUL      0u
#define VMBUS_CONNECTION_STATE_UNKNOWN_FAILURE 3u

/* Offer flags. */
#define VMBUS_OFFER_ENUMERATE_DEVICE_INTERFACE	   0x0001u
#define VMBUS_OFFER_SERVER_SUPPORTS_TRANSFER_PAGES 0x0002u
#define VMBUS_OFFER_SERVER_SUPPORTS_GPADLS	   0x0004u
#define VMBUS_OFFER_NAMED_PIPE_MODE		   0x0010u
#define VMBUS_OFFER_LOOPBACK_OFFER		   0x0100u
#define VMBUS_OFFER_PARENT_OFFER		   0x0200u
#define VMBUS_OFFER_REQUEST_MONITORED_NOTIFICATION 0x0400u
#define VMBUS_OFFER_TLNPI_PROVIDER_OFFER	   0x2000u /* hv_sock */

struct vmbus_offer {
	struct abi_guid if_type;
	struct abi_guid if_instance;
	uint64_t reserved1;
	uint64_t reserved2;
	uint16_t chn_flags;
	uint16_t mmio_megabytes;
	uint8_t user_def[VMBUS_USER_DEFINED_MAX]; /* pipes: the first four bytes are the pipe mode */
	uint16_t sub_channel_index;		  /* 0: primary channel */
	uint16_t reserved3;
} __attribute__((packed));

struct vmbus_msg_offer_channel {
	struct vmbus_msg_header header;
	struct vmbus_offer offer;
	uint32_t child_relid;
	uint8_t monitorid;
	uint8_t monitor_allocated;	 /* bit 0 */
	uint16_t is_dedicated_interrupt; /* bit 0: signals go to connection_id, no shared interrupt page */
	uint32_t connection_id;
} __attribute__((packed));

/* RESCIND_CHANNELOFFER, CLOSECHANNEL, RELID_RELEASED */
struct vmbus_msg_relid {
	struct vmbus_msg_header header;
	uint32_t child_relid;
} __attribute__((packed));

struct vmbus_msg_open_channel {
	struct vmbus_msg_header header;
	uint32_t child_relid;
	uint32_t openid; /* returned in the result */
	uint32_t ringbuffer_gpadlhandle;
	uint32_t target_vp;
	uint32_t downstream_ringbuffer_pageoffset; /* pages; the guest's outgoing ring starts at page 0 */
	uint8_t userdata[VMBUS_USER_DEFINED_MAX];
} __attribute__((packed));

struct vmbus_msg_open_result {
	struct vmbus_msg_header header;
	uint32_t child_relid;
	uint32_t openid;
	uint32_t status;
} __attribute__((packed));

/* rangecount times a struct gpa_range (abi/ring.h), range_buflen bytes together, follow; what does not fit comes in
 * GPADL_BODY messages. */
struct vmbus_msg_gpadl_header {
	struct vmbus_msg_header header;
	uint32_t child_relid;
	uint32_t gpadl; /* chosen by the guest */
	uint16_t range_buflen;
	uint16_t rangecount;
} __attribute__((packed));

struct vmbus_msg_gpadl_body {
	struct vmbus_msg_header header;
	uint32_t msgnumber; /* Linux leaves it 0 */
	uint32_t gpadl;
	uint64_t pfn[];
} __attribute__((packed));

struct vmbus_msg_gpadl_created {
	struct vmbus_msg_header header;
	uint32_t child_relid;
	uint32_t gpadl;
	uint32_t creation_status;
} __attribute__((packed));

struct vmbus_msg_gpadl_teardown {
	struct vmbus_msg_header header;
	uint32_t child_relid;
	uint32_t gpadl;
} __attribute__((packed));

struct vmbus_msg_gpadl_torndown {
	struct vmbus_msg_header header;
	uint32_t gpadl;
} __attribute__((packed));

struct vmbus_msg_tl_connect_request {
	struct vmbus_msg_header header;
	struct abi_guid guest_endpoint_id;
	struct abi_guid host_service_id;
} __attribute__((packed));

struct vmbus_msg_modify_channel {
	struct vmbus_msg_header header;
	uint32_t child_relid;
	uint32_t target_vp;
} __attribute__((packed));

struct vmbus_msg_modify_response {
	struct vmbus_msg_header header;
	uint32_t child_relid;
	uint32_t status;
} __attribute__((packed));

_Static_assert(sizeof(struct vmbus_offer) == 176, "offer");
_Static_assert(sizeof(struct vmbus_msg_initiate_contact) == 40, "INITIATE_CONTACT");
_Static_assert(sizeof(struct vmbus_msg_version_response) == 20, "VERSION_RESPONSE");
_Static_assert(sizeof(struct vmbus_msg_offer_channel) == 196, "OFFERCHANNEL");
_Static_assert(sizeof(struct vmbus_msg_open_channel) == 148, "OPENCHANNEL");
_Static_assert(sizeof(struct vmbus_msg_gpadl_header) == 20, "GPADL_HEADER");
_Static_assert(sizeof(struct vmbus_msg_gpadl_body) == 16, "GPADL_BODY");

/* Interface types: initialisers of a struct abi_guid. */
#define VMBUS_GUID_SCSI	     ABI_GUID(0xba6163d9u, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f)
#define VMBUS_GUID_IDE	     ABI_GUID(0x32412632u, 0x86cb, 0x44a2, 0x9b, 0x5c, 0x50, 0xd1, 0x41, 0x73, 0x54, 0xf5)
#define VMBUS_GUID_FC	     ABI_GUID(0x2f9bcc4au, 0x0069, 0x4af3, 0xb7, 0x6b, 0x6f, 0xd0, 0xbe, 0x52, 0x8c, 0xda)
#define VMBUS_GUID_NET	     ABI_GUID(0xf8615163u, 0xdf3e, 0x46c5, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e)
#define VMBUS_GUID_PCIE	     ABI_GUID(0x44c4f61du, 0x4444, 0x4400, 0x9d, 0x52, 0x80, 0x2e, 0x27, 0xed, 0xe1, 0x9f)
#define VMBUS_GUID_SYNTHVID  ABI_GUID(0xda0a7802u, 0xe377, 0x4aac, 0x8e, 0x77, 0x05, 0x58, 0xeb, 0x10, 0x73, 0xf8)
#define VMBUS_GUID_KEYBOARD  ABI_GUID(0xf912ad6du, 0x2b17, 0x48ea, 0xbd, 0x65, 0xf9, 0x27, 0xa6, 0x1c, 0x76, 0x84)
#define VMBUS_GUID_MOUSE     ABI_GUID(0xcfa8b69eu, 0x5b4a, 0x4cc0, 0xb9, 0x8b, 0x8b, 0xa1, 0xa1, 0xf3, 0xf9, 0x5a)
#define VMBUS_GUID_SHUTDOWN  ABI_GUID(0x0e0b6031u, 0x5213, 0x4934, 0x81, 0x8b, 0x38, 0xd9, 0x0c, 0xed, 0x39, 0xdb)
#define VMBUS_GUID_TIMESYNC  ABI_GUID(0x9527e630u, 0xd0ae, 0x497b, 0xad, 0xce, 0xe8, 0x0a, 0xb0, 0x17, 0x5c, 0xaf)
#define VMBUS_GUID_HEARTBEAT ABI_GUID(0x57164f39u, 0x9115, 0x4e78, 0xab, 0x55, 0x38, 0x2f, 0x3b, 0xd5, 0x42, 0x2d)
#define VMBUS_GUID_KVP	     ABI_GUID(0xa9a0f4e7u, 0x5a45, 0x4d96, 0xb8, 0x27, 0x8a, 0x84, 0x1e, 0x8c, 0x03, 0xe6)
#define VMBUS_GUID_VSS	     ABI_GUID(0x35fa2e29u, 0xea23, 0x4236, 0x96, 0xae, 0x3a, 0x6e, 0xba, 0xcb, 0xa4, 0x40)
#define VMBUS_GUID_DYNMEM    ABI_GUID(0x525074dcu, 0x8985, 0x46e2, 0x80, 0x57, 0xa3, 0x07, 0xdc, 0x18, 0xa5, 0x02)
#define VMBUS_GUID_FCOPY     ABI_GUID(0x34d14be3u, 0xdee4, 0x41c8, 0x9a, 0xe7, 0x6b, 0x17, 0x49, 0x77, 0xc1, 0x92)

#endif
