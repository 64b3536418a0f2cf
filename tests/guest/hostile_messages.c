// SPDX-License-Identifier: Apache-2.0
/* VMBus messages: nonsense, truncated, too many; GPADLs and opens that must be refused. */
#include "abi/hyperv.h"
#include "hostile.h"

#define RANDOM_MESSAGES 400u
#define DISK		0xffff0000u /* a relid: the disk's */
#define GPADL		0xe1e10u
#define RING_PAGES	8u
#define DEAF_MESSAGES	20000u
#define CONTACTS	100u

enum outcome { DONE, REFUSED, SILENT };

static uint8_t memory[RING_PAGES * 4096] __attribute__((aligned(4096)));

/* ---- nonsense ---- */

static void random_messages(void)
{
	uint32_t message[VMBUS_MESSAGE_PAYLOAD_MAX / 4];

	for (uint32_t i = 0; i < RANDOM_MESSAGES; i++) {
		uint32_t len = i % 3 ? hostile_random() % (VMBUS_MESSAGE_PAYLOAD_MAX + 1) : VMBUS_MESSAGE_PAYLOAD_MAX;

		for (uint32_t word = 2; word < VMBUS_MESSAGE_PAYLOAD_MAX / 4; word++)
			message[word] = hostile_field();
		message[0] = i % 40;
		message[1] = 0;
		if (message[0] == VMBUS_MSG_UNLOAD)
			continue;
		vmbus_post(message, len);
		vmbus_discard();
	}
}

/* Each type at each length, all bits clear or set. */
static void truncated(void)
{
	uint32_t message[VMBUS_MESSAGE_PAYLOAD_MAX / 4];

	for (uint32_t type = 0; type < VMBUS_MSG_COUNT + 2; type++) {
		hostile_contact();
		for (uint32_t len = 0; len <= VMBUS_MESSAGE_PAYLOAD_MAX; len += len < 48 ? 4 : 24) {
			memset(message, len & 4 ? 0xff : 0, sizeof(message));
			message[0] = type;
			vmbus_post(message, len);
			vmbus_discard();
		}
		hostile_leave();
	}
}

/* ---- GPADLs ---- */

struct gpadl_row {
	const char *what;
	uint32_t relid;
	uint16_t buflen, ranges;
	uint32_t byte_count, byte_offset;
	uint64_t pfn, step;
	uint32_t words; /* of 8 bytes that come with the header */
	enum outcome outcome;
};

static void post_header(const struct gpadl_row *row, uint32_t relid, uint32_t id)
{
	struct {
		struct vmbus_msg_gpadl_header h;
		uint32_t byte_count, byte_offset;
		uint64_t pfn[26];
	} __attribute__((packed)) header = {
		.h.header.msgtype = VMBUS_MSG_GPADL_HEADER,
		.h.child_relid = row->relid == DISK ? relid : row->relid,
		.h.gpadl = id,
		.h.range_buflen = row->buflen,
		.h.rangecount = row->ranges,
		.byte_count = row->byte_count,
		.byte_offset = row->byte_offset,
	};

	for (uint32_t i = 0; i < 26; i++)
		header.pfn[i] = row->pfn + i * row->step;
	vmbus_post(&header, (uint32_t)sizeof(header.h) + 8 * row->words);
}

static void post_body(uint32_t id, uint32_t words)
{
	struct {
		struct vmbus_msg_gpadl_body b;
		uint64_t pfn[28];
	} __attribute__((packed)) body = {.b.header.msgtype = VMBUS_MSG_GPADL_BODY, .b.gpadl = id};

	for (uint32_t i = 0; i < 28; i++)
		body.pfn[i] = (uintptr_t)memory / 4096;
	vmbus_post(&body, (uint32_t)sizeof(body.b) + 8 * words);
}

static void expect_created(const char *what, uint32_t id, enum outcome outcome)
{
	const struct vmbus_msg_gpadl_created *created = vmbus_next_message();

	rt_check(created->header.msgtype == VMBUS_MSG_GPADL_CREATED && created->gpadl == id, "%s: message %u", what,
		 created->header.msgtype);
	rt_check(!created->creation_status == (outcome == DONE), "%s: status %#x", what, created->creation_status);
}

/* What is there, whole or not, is torn down: an answer that the next message would find out of place. */
static void gpadls(void)
{
	const uint64_t good = (uintptr_t)memory / 4096;
	const struct gpadl_row rows[] = {
		{"one page", DISK, 16, 1, 4096, 0, good, 1, 2, DONE},
		{"one page many times", DISK, 72, 1, 32768, 0, good, 0, 9, DONE},
		{"over our messages", DISK, 16, 1, 4096, 0, (uintptr_t)vmbus_synic_page(0, false) / 4096, 1, 2, DONE},
		{"behind memory", DISK, 16, 1, 4096, 0, HOSTILE_MEMORY / 4096, 1, 2, REFUSED},
		{"runs out of memory", DISK, 72, 1, 32768, 0, HOSTILE_MEMORY / 4096 - 4, 1, 9, REFUSED},
		{"the APIC", DISK, 16, 1, 4096, 0, 0xfee00, 1, 2, REFUSED},
		{"far outside", DISK, 16, 1, 4096, 0, 0xfffffffffffff, 1, 2, REFUSED},
		{"wraps", DISK, 16, 1, 4096, 0, ~0ull, 1, 2, REFUSED},
		{"wraps by its shift", DISK, 16, 1, 4096, 0, good | 1ull << 52, 1, 2, REFUSED},
		{"no pages", DISK, 8, 1, 4096, 0, good, 1, 1, REFUSED},
		{"no bytes", DISK, 16, 1, 0, 0, good, 1, 2, REFUSED},
		{"no ranges", DISK, 16, 0, 4096, 0, good, 1, 2, REFUSED},
		{"more ranges than words", DISK, 16, 65535, 4096, 0, good, 1, 2, REFUSED},
		{"words left over", DISK, 40, 1, 4096, 0, good, 1, 5, REFUSED},
		{"no length", DISK, 0, 1, 4096, 0, good, 1, 2, REFUSED},
		{"an odd length", DISK, 17, 1, 4096, 0, good, 1, 2, REFUSED},
		{"longer than it says", DISK, 8, 1, 4096, 0, good, 1, 4, REFUSED},
		{"an offset of a page", DISK, 16, 1, 4096, 4096, good, 1, 2, REFUSED},
		{"a huge offset", DISK, 16, 1, 4096, ~0u, good, 1, 2, REFUSED},
		{"a huge count", DISK, 16, 1, ~0u, 0, good, 1, 2, REFUSED},
		{"count and offset wrap", DISK, 16, 1, ~0u, ~0u, good, 1, 2, REFUSED},
		{"bodies that do not come", DISK, 65528, 1, ~0u, 0, good, 1, 26, SILENT},
		{"only the header", DISK, 16, 1, 4096, 0, good, 1, 0, SILENT},
		{"channel 0", 0, 16, 1, 4096, 0, good, 1, 2, REFUSED},
		{"the last channel", VMBUS_CHANNELS_MAX, 16, 1, 4096, 0, good, 1, 2, REFUSED},
		{"one behind it", VMBUS_CHANNELS_MAX + 1, 16, 1, 4096, 0, good, 1, 2, REFUSED},
		{"no such channel", ~0u, 16, 1, 4096, 0, good, 1, 2, REFUSED},
	};
	uint32_t relid = hostile_contact()->child_relid;

	for (uint32_t i = 0; i < COUNT_OF(rows); i++) {
		post_header(&rows[i], relid, GPADL);
		if (rows[i].outcome != SILENT)
			expect_created(rows[i].what, GPADL, rows[i].outcome);
		if (rows[i].outcome != REFUSED)
			vmbus_gpadl_teardown(relid, GPADL);
	}
}

static const struct gpadl_row *whole(void)
{
	static struct gpadl_row row = {"one page", DISK, 16, 1, 4096, 0, 0, 1, 2, DONE};

	row.pfn = (uintptr_t)memory / 4096;
	return &row;
}

static void gpadl_bodies(void)
{
	struct gpadl_row part = *whole();
	uint32_t relid = hostile_contact()->child_relid;

	part.buflen = 40; /* five words, of which two come at once */
	part.byte_count = 4 * 4096;
	post_body(GPADL, 2); /* nobody waits for it */
	post_header(&part, relid, GPADL);
	post_header(&part, relid, GPADL); /* the handle is in use */
	expect_created("used twice", GPADL, REFUSED);
	post_body(GPADL + 1, 2);
	post_body(GPADL, 2);
	post_body(GPADL, 0);
	post_body(GPADL, 1);
	expect_created("in parts", GPADL, DONE);
	post_body(GPADL, 1); /* it is whole */
	post_header(whole(), relid, GPADL);
	expect_created("used again", GPADL, REFUSED);
	post_header(&part, relid, GPADL + 1);
	post_body(GPADL + 1, 4);
	expect_created("too much", GPADL + 1, REFUSED);
	vmbus_gpadl_teardown(relid, GPADL);
	post_header(whole(), relid, GPADL);
	expect_created("free again", GPADL, DONE);
}

/* As many as it takes until no more are allowed: by words, then by number. */
static void gpadl_limits(void)
{
	struct gpadl_row huge = *whole();
	uint32_t n, relid = hostile_contact()->child_relid;
	bool refused = false;

	huge.buflen = 65528;
	for (n = 0; n < 100; n++)
		post_header(&huge, relid, GPADL + n);
	expect_created("65 times 64 KiB", GPADL + 64, REFUSED);
	hostile_leave();
	relid = hostile_contact()->child_relid;
	for (n = 0; n < 5000 && !refused; n++) {
		const struct vmbus_msg_gpadl_created *created;

		post_header(whole(), relid, GPADL + n);
		while ((created = vmbus_poll_message()))
			refused |= created->creation_status != 0;
	}
	rt_check(n > 100 && refused, "%u GPADLs", n);
}

static void post_pair(uint32_t type, uint32_t relid, uint32_t value)
{
	struct vmbus_msg_gpadl_teardown msg = {.header.msgtype = type, .child_relid = relid, .gpadl = value};

	vmbus_post(&msg, sizeof(msg));
}

/* Its end is held back while the channel runs on it, however often it is asked for. */
static void gpadl_open(void)
{
	const struct vmbus_msg_gpadl_torndown *torndown;
	uint32_t relid;

	hostile_connect(0);
	relid = hostile_channel.offer.child_relid;
	for (uint32_t i = 0; i < 3; i++)
		post_pair(VMBUS_MSG_GPADL_TEARDOWN, relid, hostile_channel.gpadl);
	post_header(whole(), relid, hostile_channel.gpadl);
	expect_created("while it is open", hostile_channel.gpadl, REFUSED);
	for (uint32_t i = 0; i < 8; i++)
		hostile_read(i + 1, i * 8, 8);
	hostile_drain(8);
	post_pair(VMBUS_MSG_CLOSECHANNEL, relid, 0);
	torndown = vmbus_next_message();
	rt_check(torndown->header.msgtype == VMBUS_MSG_GPADL_TORNDOWN && torndown->gpadl == hostile_channel.gpadl,
		 "message %u instead of the GPADL's end", torndown->header.msgtype);
	post_pair(VMBUS_MSG_GPADL_TEARDOWN, relid, hostile_channel.gpadl);
	post_pair(VMBUS_MSG_GPADL_TEARDOWN, ~0u, 0);
}

/* ---- opens ---- */

static void opens(void)
{
	static const struct {
		const char *what;
		uint32_t relid, gpadl, vp, downstream;
	} rows[] = {
		{"no room for our ring", DISK, GPADL, 0, 0},
		{"a ring without data", DISK, GPADL, 0, 1},
		{"no room for theirs", DISK, GPADL, 0, RING_PAGES},
		{"theirs without data", DISK, GPADL, 0, RING_PAGES - 1},
		{"behind the end", DISK, GPADL, 0, RING_PAGES + 1},
		{"wraps", DISK, GPADL, 0, ~0u},
		{"bytes for pages", DISK, GPADL, 0, 4 * 4096 + 8},
		{"no such vCPU", DISK, GPADL, 2, 4},
		{"a wild vCPU", DISK, GPADL, ~0u, 4},
		{"no such GPADL", DISK, 77, 0, 4},
		{"a GPADL that lacks parts", DISK, GPADL + 1, 0, 4},
		{"a GPADL of half pages", DISK, GPADL + 2, 0, 4},
		{"channel 0", 0, GPADL, 0, 4},
		{"the last channel", VMBUS_CHANNELS_MAX, GPADL, 0, 4},
		{"no such channel", ~0u, GPADL, 0, 4},
	};
	struct gpadl_row part = *whole();
	uint32_t relid = hostile_contact()->child_relid;

	rt_check(!vmbus_gpadl(relid, GPADL, memory, RING_PAGES), "GPADL");
	part.buflen = 72;
	part.byte_count = RING_PAGES * 4096;
	post_header(&part, relid, GPADL + 1);
	part.words = 9;
	part.byte_count -= 512;
	part.byte_offset = 512;
	post_header(&part, relid, GPADL + 2);
	expect_created("half pages", GPADL + 2, DONE);
	for (uint32_t i = 0; i < COUNT_OF(rows); i++) {
		struct vmbus_msg_open_channel msg = {
			.header.msgtype = VMBUS_MSG_OPENCHANNEL,
			.child_relid = rows[i].relid == DISK ? relid : rows[i].relid,
			.openid = i,
			.ringbuffer_gpadlhandle = rows[i].gpadl,
			.target_vp = rows[i].vp,
			.downstream_ringbuffer_pageoffset = rows[i].downstream,
		};
		const struct vmbus_msg_open_result *result;

		vmbus_post(&msg, sizeof(msg));
		result = vmbus_next_message();
		rt_check(result->header.msgtype == VMBUS_MSG_OPENCHANNEL_RESULT && result->openid == i,
			 "%s: message %u", rows[i].what, result->header.msgtype);
		rt_check(result->status, "%s: it is open", rows[i].what);
	}
}

/* One that is open cannot be opened; what is said of it again and again changes nothing. */
static void open_twice(void)
{
	struct vmbus_msg_open_channel msg = {.header.msgtype = VMBUS_MSG_OPENCHANNEL};
	const struct vmbus_msg_open_result *result;

	hostile_connect(0);
	msg.child_relid = hostile_channel.offer.child_relid;
	msg.ringbuffer_gpadlhandle = hostile_channel.gpadl;
	msg.downstream_ringbuffer_pageoffset = 16;
	for (uint32_t i = 0; i < 20; i++) {
		vmbus_post(&msg, sizeof(msg));
		result = vmbus_next_message();
		rt_check(result->header.msgtype == VMBUS_MSG_OPENCHANNEL_RESULT && result->status, "opened twice");
	}
	hostile_read(1, 0, 8);
	hostile_drain(1);
	/* without waiting for anything */
	for (uint32_t i = 0; i < 20; i++) {
		post_pair(VMBUS_MSG_CLOSECHANNEL, msg.child_relid, 0);
		vmbus_post(&msg, sizeof(msg));
	}
}

static void modifies(void)
{
	uint32_t relid;

	hostile_connect(0);
	relid = hostile_channel.offer.child_relid;
	for (uint32_t i = 0; i < 100; i++) {
		post_pair(VMBUS_MSG_MODIFYCHANNEL, i % 5 ? relid : hostile_field(), i % 3 ? i % 2 : hostile_field());
		hostile_read(i + 1, 0, 1);
	}
	hostile_drain(100);
}

/* ---- again and again ---- */

static void contacts(void)
{
	static const uint32_t versions[] = {VMBUS_VERSION_5_3, 0,	   VMBUS_VERSION_4_1, ~0u,
					    VMBUS_VERSION_3_0, 0x00050004, VMBUS_VERSION_5_0, 0x00010001};
	struct vmbus_msg_initiate_contact msg = {.header.msgtype = VMBUS_MSG_INITIATE_CONTACT};

	for (uint32_t round = 0; round < 4; round++) {
		hostile_connect(0);
		for (uint32_t i = 0; i < 16; i++)
			hostile_read(i + 1, i * 8, 8);
		for (uint32_t i = 0; i < CONTACTS; i++) {
			msg.vmbus_version_requested = versions[i % COUNT_OF(versions)];
			msg.target_vcpu = i % 7 == 6 ? hostile_field() : 0;
			msg.msg_sint = i % 5 == 4 ? (uint8_t)hostile_random() : VMBUS_MESSAGE_SINT;
			msg.msg_vtl = i % 11 == 10;
			vmbus_post(&msg, sizeof(msg));
			if (i % 10 == 9)
				post_pair(VMBUS_MSG_UNLOAD, 0, 0);
		}
		hostile_leave();
	}
}

/* Messages as fast as they go: answered, and not. */
static void burst(void)
{
	struct vmbus_msg_open_channel open = {.header.msgtype = VMBUS_MSG_OPENCHANNEL, .child_relid = ~0u};

	hostile_contact();
	for (uint64_t i = 0; i < hostile_burst; i++) {
		if (i % 64)
			post_pair(VMBUS_MSG_GPADL_BODY, 0, (uint32_t)i);
		else
			vmbus_post(&open, sizeof(open));
		vmbus_discard();
	}
}

/* We do not take our answers: the host must stop taking questions. */
static void deaf(void)
{
	struct vmbus_msg_open_channel open = {.header.msgtype = VMBUS_MSG_OPENCHANNEL, .child_relid = ~0u};
	uint64_t status = 0, refused = 0;

	hostile_contact();
	rt_wrmsr(HV_X64_MSR_SINT0 + VMBUS_MESSAGE_SINT, HV_SYNIC_SINT_MASKED);
	for (uint32_t i = 0; i < DEAF_MESSAGES && refused < 100; i++) {
		status = vmbus_try_post(VMBUS_MESSAGE_CONNECTION_ID_4, VMBUS_MESSAGE_TYPE, &open, sizeof(open));
		rt_check(!status || status == HV_STATUS_INSUFFICIENT_BUFFERS, "a post: status %lu", status);
		refused += status == HV_STATUS_INSUFFICIENT_BUFFERS;
	}
	vmbus_synic_start(0);
	rt_check(refused, "%u messages were taken, no answer was", DEAF_MESSAGES);
}

static const struct hostile_case message_cases[] = {
	{"message-random", random_messages},
	{"message-truncated", truncated},
	{"message-contacts", contacts},
	{"message-burst", burst},
	{"message-deaf", deaf},
	{"gpadl-rows", gpadls},
	{"gpadl-bodies", gpadl_bodies},
	{"gpadl-limits", gpadl_limits},
	{"gpadl-open", gpadl_open},
	{"open-rows", opens},
	{"open-twice", open_twice},
	{"open-modify", modifies},
};
const struct hostile_group hostile_messages = {"messages", message_cases, COUNT_OF(message_cases)};
