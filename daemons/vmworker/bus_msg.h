/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest may post to VMBus, as plain structs. Pure functions over a private copy of the message: no state, no
 * allocation.
 */
#ifndef VMWORKER_BUS_MSG_H
#define VMWORKER_BUS_MSG_H

#include <stddef.h>
#include <stdint.h>

#include "abi/vmbus.h"
#include "guest/mem.h"

struct bus_msg_contact {
	uint32_t version;
	uint32_t connection_id; /* on which it came: the caller's to fill in */
	uint32_t target_vp;
	uint8_t sint; /* both mean something from 5.0 on only */
	uint8_t vtl;
};

struct bus_msg_open {
	uint32_t relid;
	uint32_t open_id;
	uint32_t gpadl;
	uint32_t target_vp;
	uint32_t downstream_page;
	uint8_t user_data[VMBUS_USER_DEFINED_MAX];
};

/* The words of a GPADL_HEADER or GPADL_BODY: ranges as they lie on the wire, in 8-byte units; point into the message.
 */
struct bus_msg_gpadl {
	uint32_t relid; /* header only */
	uint32_t gpadl;
	uint32_t total_words; /* header only: of all ranges together */
	uint32_t ranges;      /* header only; at least 1 */
	const void *words;
	uint32_t words_here;
};

struct bus_msg_pair {
	uint32_t relid;
	uint32_t value; /* GPADL_TEARDOWN: the gpadl; MODIFYCHANNEL: the target vCPU */
};

/* Which member counts follows from @type; UNLOAD and REQUESTOFFERS have none. */
struct bus_msg {
	uint32_t type; /* enum vmbus_message_type */
	union {
		struct bus_msg_contact contact; /* INITIATE_CONTACT */
		struct bus_msg_open open;	/* OPENCHANNEL */
		struct bus_msg_gpadl gpadl;	/* GPADL_HEADER, GPADL_BODY */
		struct bus_msg_pair pair;	/* GPADL_TEARDOWN, MODIFYCHANNEL */
		uint32_t relid;			/* CLOSECHANNEL, RELID_RELEASED */
	};
};

/**
 * bus_msg_parse - take a message of the guest apart.
 * @payload: @len bytes that nobody changes any more; the result may point into it. Bytes beyond the fields that we know
 * are allowed, but not behind a GPADL's words. Return: 0; -EPROTO (too short, or its counts contradict each other);
 * -EOPNOTSUPP (a type that guests do not post, or that we do not serve). Context: any thread. Spec: Linux
 * include/linux/hyperv.h.
 */
int bus_msg_parse(const void *payload, size_t len, struct bus_msg *ret_msg);

/* The ranges of a GPADL whose words are complete. */
struct bus_gpa_cursor {
	const uint64_t *words;
	uint32_t count; /* of words that are left */
};

/* One range: pfn[0..pages) cover byte_offset + byte_count bytes. */
struct bus_gpa_range {
	uint32_t byte_count;  /* at least 1 */
	uint32_t byte_offset; /* less than a page */
	const uint64_t *pfn;
	uint32_t pages;
};

/**
 * bus_gpa_next - the next range.
 * Return: 0; -EPROTO: empty, offset beyond the first page, or more pages than there are words.
 */
int bus_gpa_next(struct bus_gpa_cursor *cursor, struct bus_gpa_range *ret_range);

#endif
