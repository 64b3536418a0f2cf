// SPDX-License-Identifier: Apache-2.0
/* Each message in each state: of the connection, of the channel, of the storage protocol on it. */
#include "abi/vstor.h"
#include "hostile.h"

#define GPADL	   0xd15cu
#define RING_PAGES 8u

static uint8_t memory[RING_PAGES * 4096] __attribute__((aligned(4096)));
static uint32_t relid = 1;

/* ---- messages ---- */

/* What a guest would say of its disk; types that are not here are sent with these words as well. */
static const struct {
	uint32_t len, words[5];
	bool pages;
} messages[VMBUS_MSG_COUNT] = {
	[VMBUS_MSG_INITIATE_CONTACT] = {40, {VMBUS_VERSION_5_3, 0, VMBUS_MESSAGE_SINT}, false},
	[VMBUS_MSG_GPADL_HEADER] = {36, {0, GPADL, 16 | 1 << 16, 4096, 0}, true},
	[VMBUS_MSG_GPADL_BODY] = {24, {0, GPADL}, true},
	[VMBUS_MSG_OPENCHANNEL] = {148, {0, 1, GPADL, 0, RING_PAGES / 2}, false},
};

static void post(uint32_t type)
{
	uint32_t words[VMBUS_MESSAGE_PAYLOAD_MAX / 4] = {type, 0, relid, GPADL};
	uint64_t pfn = (uintptr_t)memory / 4096;
	uint32_t len = type < VMBUS_MSG_COUNT ? messages[type].len : 0;

	if (len) {
		memcpy(words + 2, messages[type].words, sizeof(messages[type].words));
		if (type == VMBUS_MSG_OPENCHANNEL || type == VMBUS_MSG_GPADL_HEADER)
			words[2] = relid;
		if (messages[type].pages)
			memcpy((uint8_t *)words + len - 8, &pfn, sizeof(pfn));
	}
	if (type == VMBUS_MSG_MODIFYCHANNEL)
		words[3] = 0;
	vmbus_post(words, len ? len : 24);
}

/* ---- states ---- */

static void contact(void)
{
	rt_check(vmbus_contact(VMBUS_VERSION_5_3, 0), "version 5.3 is refused");
}

static void offers(void)
{
	relid = hostile_contact()->child_relid;
}

static void filling(void)
{
	struct {
		struct vmbus_msg_gpadl_header h;
		uint64_t words[2];
	} __attribute__((packed)) header = {
		.h.header.msgtype = VMBUS_MSG_GPADL_HEADER,
		.h.gpadl = GPADL,
		.h.range_buflen = 40,
		.h.rangecount = 1,
		.words = {4 * 4096, (uintptr_t)memory / 4096},
	};

	offers();
	header.h.child_relid = relid;
	vmbus_post(&header, sizeof(header));
}

static void gpadl(void)
{
	offers();
	rt_check(!vmbus_gpadl(relid, GPADL, memory, RING_PAGES), "GPADL");
}

static void opening(void)
{
	gpadl();
	post(VMBUS_MSG_OPENCHANNEL);
}

static void opened(void)
{
	static uint8_t rings[RING_PAGES * 4096] __attribute__((aligned(4096)));
	const struct vmbus_msg_offer_channel *offer = hostile_contact();

	relid = offer->child_relid;
	rt_check(!vmbus_gpadl(relid, GPADL, memory, RING_PAGES), "GPADL");
	rt_check(!vmbus_open(&hostile_channel, offer, rings, RING_PAGES, 0), "open");
}

/* So many of the messages that a storage driver begins with. */
static void storage(uint32_t steps)
{
	static const uint32_t operations[] = {VSTOR_OPERATION_BEGIN_INITIALIZATION,
					      VSTOR_OPERATION_QUERY_PROTOCOL_VERSION, VSTOR_OPERATION_QUERY_PROPERTIES,
					      VSTOR_OPERATION_END_INITIALIZATION};

	opened();
	for (uint32_t i = 0; i < steps; i++) {
		struct vstor_packet packet = {.operation = operations[i], .flags = VSTOR_REQUEST_COMPLETION_FLAG};

		if (operations[i] == VSTOR_OPERATION_QUERY_PROTOCOL_VERSION)
			packet.version.major_minor = VSTOR_VERSION_WIN10;
		vmbus_send(&hostile_channel, VMPACKET_DATA_INBAND, i + 1, NULL, 0, &packet, sizeof(packet));
		hostile_drain(1);
	}
}

static void begun(void)
{
	storage(1);
}

static void version(void)
{
	storage(2);
}

static void properties(void)
{
	storage(3);
}

static void ready(void)
{
	storage(4);
}

static void busy(void)
{
	storage(4);
	for (uint32_t i = 0; i < 8; i++)
		hostile_read(i + 1, i * 8, 8);
}

static void closing(void)
{
	busy();
	post(VMBUS_MSG_CLOSECHANNEL);
}

static void reopening(void)
{
	closing();
	post(VMBUS_MSG_OPENCHANNEL);
}

static void releasing(void)
{
	closing();
	post(VMBUS_MSG_RELID_RELEASED);
}

static void unloading(void)
{
	busy();
	post(VMBUS_MSG_UNLOAD);
}

static void contacting(void)
{
	busy();
	post(VMBUS_MSG_INITIATE_CONTACT);
}

/* All of a guest's, some of the host's, and what is no type. */
static const uint32_t types[] = {
	VMBUS_MSG_INVALID,	    VMBUS_MSG_OFFERCHANNEL,   VMBUS_MSG_REQUESTOFFERS,
	VMBUS_MSG_OPENCHANNEL,	    VMBUS_MSG_CLOSECHANNEL,   VMBUS_MSG_GPADL_HEADER,
	VMBUS_MSG_GPADL_BODY,	    VMBUS_MSG_GPADL_TEARDOWN, VMBUS_MSG_RELID_RELEASED,
	VMBUS_MSG_INITIATE_CONTACT, VMBUS_MSG_UNLOAD,	      VMBUS_MSG_TL_CONNECT_REQUEST,
	VMBUS_MSG_MODIFYCHANNEL,    VMBUS_MSG_COUNT,
};

static void in_state(void (*enter)(void))
{
	for (uint32_t i = 0; i < COUNT_OF(types); i++) {
		if (enter)
			enter();
		post(types[i]);
		hostile_leave();
	}
}

#define STATE(name)                                                                                                    \
	static void in_##name(void)                                                                                    \
	{                                                                                                              \
		in_state(name);                                                                                        \
	}
STATE(contact)
STATE(offers)
STATE(filling)
STATE(gpadl)
STATE(opening)
STATE(opened)
STATE(begun)
STATE(version)
STATE(properties)
STATE(ready)
STATE(busy)
STATE(closing)
STATE(reopening)
STATE(releasing)
STATE(unloading)
STATE(contacting)

static void in_nothing(void)
{
	in_state(NULL);
}

static const struct hostile_case state_cases[] = {
	{"state-nothing", in_nothing},	     {"state-contact", in_contact},	  {"state-offers", in_offers},
	{"state-filling", in_filling},	     {"state-gpadl", in_gpadl},		  {"state-opening", in_opening},
	{"state-opened", in_opened},	     {"state-begun", in_begun},		  {"state-version", in_version},
	{"state-properties", in_properties}, {"state-ready", in_ready},		  {"state-busy", in_busy},
	{"state-closing", in_closing},	     {"state-reopening", in_reopening},	  {"state-releasing", in_releasing},
	{"state-unloading", in_unloading},   {"state-contacting", in_contacting},
};
const struct hostile_group hostile_states = {"states", state_cases, COUNT_OF(state_cases)};
