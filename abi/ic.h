/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integration services: what host and guest say to each other about shutdown, heartbeat and time. Each service is a
 * channel of its own, a pipe of messages: every in-band packet carries a struct ic_pipe_header, a struct ic_header and
 * the service's body. Most messages are requests of the host, which the guest sends back with its answer in them and
 * the same transaction id. All fields are little-endian and packed. Spec: Linux drivers/hv/hv_util.c,
 * drivers/hv/channel_mgmt.c (vmbus_prep_negotiate_resp), include/linux/hyperv.h; OpenVMM
 * vm/devices/hyperv_ic_protocol.
 */
#ifndef ABI_IC_H
#define ABI_IC_H

#include "abi/guid.h"

/* Interface types, and the one instance that a VM has of each. */
#define IC_SHUTDOWN_GUID	   ABI_GUID(0x0e0b6031, 0x5213, 0x4934, 0x81, 0x8b, 0x38, 0xd9, 0x0c, 0xed, 0x39, 0xdb)
#define IC_SHUTDOWN_INSTANCE_GUID  ABI_GUID(0xb6650ff7, 0x33bc, 0x4840, 0x80, 0x48, 0xe0, 0x67, 0x67, 0x86, 0xf3, 0x93)
#define IC_HEARTBEAT_GUID	   ABI_GUID(0x57164f39, 0x9115, 0x4e78, 0xab, 0x55, 0x38, 0x2f, 0x3b, 0xd5, 0x42, 0x2d)
#define IC_HEARTBEAT_INSTANCE_GUID ABI_GUID(0xfd149e91, 0x82e0, 0x4a7d, 0xaf, 0xa6, 0x2a, 0x41, 0x66, 0xcb, 0xd7, 0xc0)
#define IC_TIMESYNC_GUID	   ABI_GUID(0x9527e630, 0xd0ae, 0x497b, 0xad, 0xce, 0xe8, 0x0a, 0xb0, 0x17, 0x5c, 0xaf)
#define IC_TIMESYNC_INSTANCE_GUID  ABI_GUID(0x2dd1ce17, 0x079e, 0x403c, 0xb3, 0x52, 0xa1, 0x92, 0x1e, 0xe2, 0x07, 0xee)

/* The offer's user_defined begins with this word where VMBUS_OFFER_NAMED_PIPE_MODE is set. */
#define IC_PIPE_MODE_MESSAGE 4u

#define IC_PIPE_DATA 1u

struct ic_pipe_header {
	uint32_t type; /* IC_PIPE_DATA; Linux sends back what it got */
	uint32_t len;  /* of what follows; a guest may leave that of the request */
} __attribute__((packed));

struct ic_version {
	uint16_t major, minor;
} __attribute__((packed));

enum ic_message_type {
	IC_MESSAGE_NEGOTIATE = 0,
	IC_MESSAGE_HEARTBEAT = 1,
	IC_MESSAGE_SHUTDOWN = 3,
	IC_MESSAGE_TIMESYNC = 4,
};

#define IC_FLAG_TRANSACTION 1u
#define IC_FLAG_REQUEST	    2u
#define IC_FLAG_RESPONSE    4u

/* ic_header.status: an HRESULT */
#define IC_STATUS_OK   0x00000000u
#define IC_STATUS_FAIL 0x80004005u

struct ic_header {
	struct ic_version framework;
	uint16_t type; /* enum ic_message_type */
	struct ic_version version;
	uint16_t len; /* of the body */
	uint32_t status;
	uint8_t transaction_id;
	uint8_t flags;
	uint8_t reserved[2];
} __attribute__((packed));

#define IC_HEADERS_LEN 28u /* both headers */

/*
 * IC_MESSAGE_NEGOTIATE. The host names all that it speaks, oldest first: frameworks, then the service's own versions.
 * The guest answers with one of each, or with counts of 0.
 */
struct ic_negotiate {
	uint16_t framework_count;
	uint16_t version_count;
	uint32_t reserved;
	struct ic_version versions[];
} __attribute__((packed));

#define IC_VERSIONS_MAX 100u /* of each kind */

/* IC_MESSAGE_HEARTBEAT. The guest adds one to the number. */
struct ic_heartbeat {
	uint64_t sequence;
	uint32_t reserved[8];
} __attribute__((packed));

/* ic_shutdown.flags */
#define IC_SHUTDOWN_FORCE   1u /* whatever applications say; Linux always does so */
#define IC_SHUTDOWN_RESTART 2u

#define IC_SHUTDOWN_REASON_PLANNED 0x80000000u

struct ic_shutdown {
	uint32_t reason;
	uint32_t timeout_s; /* that the guest has for it */
	uint32_t flags;
	uint8_t text[2048]; /* for the guest's user */
} __attribute__((packed));

/* ic_timesync.flags: what the guest should make of it */
#define IC_TIMESYNC_PROBE  0u
#define IC_TIMESYNC_SYNC   1u /* set the clock to it */
#define IC_TIMESYNC_SAMPLE 2u /* for its information */

/* 100 ns from 1601-01-01 to 1970-01-01 */
#define IC_TIME_UNIX_EPOCH 116444736000000000ull

/* IC_MESSAGE_TIMESYNC below version 4.0 */
struct ic_timesync {
	uint64_t host_time; /* UTC in 100 ns since 1601-01-01 */
	uint64_t guest_time;
	uint64_t round_trip_time;
	uint8_t flags;
} __attribute__((packed));

/* From 4.0 on: @host_time was when the guest's reference time (HV_X64_MSR_TIME_REF_COUNT) was @reference_time. */
struct ic_timesync_ref {
	uint64_t host_time;
	uint64_t reference_time;
	uint8_t flags;
	uint8_t leap_flags;
	uint8_t stratum;
	uint8_t reserved[3];
} __attribute__((packed));

#endif
