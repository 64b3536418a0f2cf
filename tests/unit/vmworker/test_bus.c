// SPDX-License-Identifier: Apache-2.0
/* The VMBus server between a fake guest and fake providers: every message, in and out of order. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "bus_fixture.h"

#define GPADL 0xe1e10u /* Linux begins here */
#define PAGES 64u

TestSuite(bus, .init = fx_init, .fini = fx_done, .timeout = 20);

static const struct vmbus_msg_version_response *version_response(size_t len)
{
	return fx_next(VMBUS_MSG_VERSION_RESPONSE, len);
}

static uint32_t created_status(uint32_t relid, uint32_t gpadl)
{
	const struct vmbus_msg_gpadl_created *msg = fx_next(VMBUS_MSG_GPADL_CREATED, sizeof(*msg));

	cr_assert(msg && msg->child_relid == relid && msg->gpadl == gpadl);
	return msg->creation_status;
}

static uint32_t open_status(uint32_t relid, uint32_t open_id)
{
	const struct vmbus_msg_open_result *msg = fx_next(VMBUS_MSG_OPENCHANNEL_RESULT, sizeof(*msg));

	cr_assert(msg && msg->child_relid == relid && msg->openid == open_id);
	return msg->status;
}

static uint32_t modify_status(uint32_t relid)
{
	const struct vmbus_msg_modify_response *msg = fx_next(VMBUS_MSG_MODIFYCHANNEL_RESPONSE, sizeof(*msg));

	cr_assert(msg && msg->child_relid == relid);
	return msg->status;
}

static void expect_torndown(uint32_t gpadl)
{
	const struct vmbus_msg_gpadl_torndown *msg = fx_next(VMBUS_MSG_GPADL_TORNDOWN, sizeof(*msg));

	cr_assert(msg && msg->gpadl == gpadl);
}

static void expect_rescind(uint32_t relid)
{
	const struct vmbus_msg_relid *msg = fx_next(VMBUS_MSG_RESCIND_CHANNELOFFER, sizeof(*msg));

	cr_assert(msg && msg->child_relid == relid);
}

static const struct vmbus_msg_offer_channel *expect_offer(uint32_t relid)
{
	const struct vmbus_msg_offer_channel *msg = fx_next(VMBUS_MSG_OFFERCHANNEL, sizeof(*msg));

	cr_assert(msg && msg->child_relid == relid);
	return msg;
}

static void connect_at(uint32_t version)
{
	fx_contact(version, 0);
	cr_assert(version_response(16)->version_supported == 1);
}

/* @offers offers, the guest at @version and with its list. */
static void list(uint32_t version, unsigned int offers)
{
	uint32_t id;

	for (unsigned int n = 1; n <= offers; n++)
		cr_assert(fx_offer(&fx.provider, (uint8_t)n, &id) == 0);
	connect_at(version);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	for (unsigned int n = 1; n <= offers; n++)
		expect_offer(n);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	cr_assert(fx_silent());
}

static void open_channel(uint32_t relid, uint32_t gpadl)
{
	fx_gpadl(relid, gpadl, FX_PFN, PAGES);
	cr_assert(created_status(relid, gpadl) == 0);
	fx_open(relid, 5, gpadl, 0, PAGES / 2);
	cr_assert(open_status(relid, 5) == 0);
	cr_assert(fx_silent());
}

static void wait_for_message(void)
{
	uint64_t end = clock_now_ns() + 5 * NS_PER_SEC;

	while (fx_silent() && clock_now_ns() < end)
		cr_assert(loop_run_once(fx.loop, true) == 0);
}

static void no_resources(void)
{
	cr_assert(fx.kicks_held == 0 && fx.irqs_held == 0);
}

static void reset_done(void *arg)
{
	fx.resets++;
}

/* ---- contact ---- */

Test(bus, versions)
{
	static const struct {
		uint32_t version;
		bool supported;
		size_t len;
		uint32_t conn_id;
	} cases[] = {
		{0x60000, false, 16, 0},
		{VMBUS_VERSION_5_3, true, 20, 4},
		{VMBUS_VERSION_5_2, true, 16, 4},
		{VMBUS_VERSION_5_1, true, 16, 4},
		{VMBUS_VERSION_5_0, true, 16, 4},
		{VMBUS_VERSION_4_1, true, 16, VMBUS_VERSION_4_1},
		{VMBUS_VERSION_4_0, true, 16, VMBUS_VERSION_4_0},
		{VMBUS_VERSION_3_0, true, 16, VMBUS_VERSION_3_0},
		{0x20004, false, 16, 0},
		{0, false, 16, 0},
		{0x50004, false, 16, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct vmbus_msg_version_response *msg;

		fx_contact(cases[i].version, i % 2);
		cr_assert(fx.messages[fx.head].len == cases[i].len);
		cr_assert(fx.messages[fx.head].vp == i % 2);
		msg = version_response(cases[i].len);
		cr_assert(msg && msg->version_supported == cases[i].supported && msg->connection_state == 0);
		cr_assert(msg->msg_conn_id == cases[i].conn_id);
	}
}

Test(bus, contact_that_cannot_be_served)
{
	struct vmbus_msg_initiate_contact msg = {
		.header.msgtype = VMBUS_MSG_INITIATE_CONTACT,
		.vmbus_version_requested = VMBUS_VERSION_5_3,
		.msg_sint = 3,
	};

	fx_send(&msg, sizeof(msg));
	cr_assert(version_response(16)->version_supported == 0);
	msg.msg_sint = 2;
	msg.msg_vtl = 2;
	fx_send(&msg, sizeof(msg));
	cr_assert(version_response(16)->version_supported == 0);
	fx_contact(VMBUS_VERSION_5_3, FX_CPUS);
	cr_assert(fx.messages[fx.head].vp == 0);
	cr_assert(version_response(16)->version_supported == 0);
	/* not connected: nothing is offered */
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	cr_assert(fx_silent());
}

Test(bus, offers)
{
	const struct vmbus_msg_offer_channel *msg;
	uint32_t id;

	cr_assert(fx_offer(&fx.provider, 7, &id) == 0);
	connect_at(VMBUS_VERSION_5_3);
	cr_assert(fx_silent(), "offers wait for REQUESTOFFERS");
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	cr_assert(fx.messages[fx.head].len == 196);
	msg = expect_offer(1);
	cr_assert(msg->is_dedicated_interrupt == 1 && msg->monitor_allocated == 0 && msg->connection_id == 0x2001);
	cr_assert(msg->offer.user_def[0] == 7 && msg->offer.if_instance.b[15] == 7 && msg->offer.chn_flags == 1);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	cr_assert(fx_silent(), "the list is given once");
}

Test(bus, offers_that_are_refused)
{
	struct bus_offer_desc desc = {.instance_guid = {{1}}, .block_bytes = 4096};
	uint32_t id = 99;

	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == 0 && id != 99);
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EEXIST);
	desc.subchannel_index = 1;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == 0);
	desc.subchannel_index = 2;
	desc.block_bytes = 4095;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EINVAL);
	desc.block_bytes = 0;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EINVAL);
	desc.block_bytes = (64u << 20) + 4096;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EINVAL);
	desc.block_bytes = 4096;
	memset(&desc.instance_guid, 0, sizeof(desc.instance_guid));
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EINVAL);
}

Test(bus, no_more_than_2047_offers)
{
	struct bus_offer_desc desc = {.block_bytes = 4096};
	uint32_t id, n;

	for (n = 1; n <= 2047; n++) {
		memcpy(desc.instance_guid.b, &n, sizeof(n));
		cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == 0);
	}
	desc.instance_guid.b[4] = 1;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -ENOSPC);
	connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	for (n = 1; n <= 2047; n++)
		cr_assert(expect_offer(n)->connection_id == 0x2000 + n);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
}

Test(bus, relids_follow_the_type_then_age)
{
	struct bus_offer_desc net = {.interface_guid = VMBUS_GUID_NET, .instance_guid = {{9}}, .block_bytes = 4096};
	uint32_t id;

	/* F8615163 lies as 63 51 61 f8, BA6163D9 as d9 63 61 ba: the network comes first */
	cr_assert(fx_offer(&fx.provider, 2, &id) == 0);
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
	cr_assert(bus_offer_add(fx.provider.bus, &net, &id) == 0);
	for (int round = 0; round < 2; round++) {
		connect_at(VMBUS_VERSION_5_3);
		fx_simple(VMBUS_MSG_REQUESTOFFERS);
		cr_assert(expect_offer(1)->offer.if_instance.b[0] == 9);
		cr_assert(expect_offer(2)->offer.if_instance.b[15] == 2);
		cr_assert(expect_offer(3)->offer.if_instance.b[15] == 1);
		cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	}
}

/* ---- GPADLs ---- */

Test(bus, gpadl_in_parts)
{
	static const uint32_t sizes[] = {1, 26, 27, 54, 55, 64, 600};

	list(VMBUS_VERSION_5_3, 1);
	for (unsigned int i = 0; i < 7; i++) {
		fx_gpadl(1, GPADL + i, FX_PFN, sizes[i]);
		cr_assert(created_status(1, GPADL + i) == 0);
		cr_assert(fx_silent(), "one answer");
	}
	for (unsigned int i = 0; i < 7; i++) {
		fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL + i);
		expect_torndown(GPADL + i);
	}
	fx_gpadl(1, GPADL, FX_PFN, 64);
	cr_assert(created_status(1, GPADL) == 0, "an id is free again after TORNDOWN");
}

Test(bus, gpadls_of_two_channels_interleaved)
{
	struct {
		struct vmbus_msg_gpadl_header h;
		uint64_t words[2];
	} __attribute__((packed)) head = {
		.h.header.msgtype = VMBUS_MSG_GPADL_HEADER,
		.h.range_buflen = 24,
		.h.rangecount = 1,
		.words = {8192, FX_PFN},
	};
	struct {
		struct vmbus_msg_gpadl_body b;
		uint64_t pfn;
	} __attribute__((packed)) body = {.b.header.msgtype = VMBUS_MSG_GPADL_BODY, .pfn = FX_PFN + 1};

	list(VMBUS_VERSION_5_3, 2);
	for (uint32_t n = 1; n <= 2; n++) {
		head.h.child_relid = n;
		head.h.gpadl = n;
		fx_send(&head, sizeof(head));
	}
	cr_assert(fx_silent());
	for (uint32_t n = 2; n >= 1; n--) {
		body.b.gpadl = n;
		fx_send(&body, sizeof(body));
		cr_assert(created_status(n, n) == 0);
	}
	fx_send(&body, sizeof(body));
	cr_assert(fx_silent(), "a body too many is no answer");
}

Test(bus, gpadl_bad_input)
{
	struct {
		struct vmbus_msg_gpadl_header h;
		uint64_t words[4];
	} __attribute__((packed)) head;
	static const struct {
		uint16_t buflen, ranges;
		uint64_t words[4];
		size_t words_sent;
	} cases[] = {
		{0, 1, {0}, 0},
		{16, 0, {4096, FX_PFN}, 2},
		{15, 1, {4096, FX_PFN}, 1},
		{8, 1, {4096, FX_PFN}, 2},					/* more than announced */
		{8, 1, {4096}, 1},						/* no page */
		{16, 1, {0, FX_PFN}, 2},					/* empty */
		{16, 1, {4097, FX_PFN}, 2},					/* too few pages */
		{16, 1, {1ull << 32 | 4096, FX_PFN}, 2},			/* the offset needs another page */
		{16, 1, {4096ull << 32 | 1, FX_PFN}, 2},			/* offset beyond a page */
		{24, 1, {4096, FX_PFN, FX_PFN}, 3},				/* a word is left */
		{16, 2, {4096, FX_PFN}, 2},					/* a range is missing */
		{16, 1, {4096, FX_PFN - 1}, 2},					/* below memory */
		{16, 1, {4096, FX_PFN + FX_MEM_LEN / 4096}, 2},			/* above memory */
		{16, 1, {4096, UINT64_MAX}, 2},					/* beyond addresses */
		{16, 1, {4096, 1ull << 52 | FX_PFN}, 2},			/* wraps around */
		{24, 1, {0xffffffffull << 32 | 0xffffffff, FX_PFN, FX_PFN}, 3}, /* all ones */
	};

	list(VMBUS_VERSION_5_3, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&head, 0, sizeof(head));
		head.h.header.msgtype = VMBUS_MSG_GPADL_HEADER;
		head.h.child_relid = 1;
		head.h.gpadl = GPADL;
		head.h.range_buflen = cases[i].buflen;
		head.h.rangecount = cases[i].ranges;
		memcpy(head.words, cases[i].words, sizeof(head.words));
		fx_send(&head, sizeof(head.h) + 8 * cases[i].words_sent);
		cr_assert(created_status(1, GPADL) != 0, "case %zu", i);
		cr_assert(fx_silent());
	}
	fx_gpadl(9, GPADL, FX_PFN, 1);
	cr_assert(created_status(9, GPADL) != 0, "no such channel");
	fx_gpadl(1, GPADL, FX_PFN, 1);
	cr_assert(created_status(1, GPADL) == 0);
	fx_gpadl(1, GPADL, FX_PFN, 1);
	cr_assert(created_status(1, GPADL) != 0, "the handle is in use");
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, 77);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 9, GPADL);
	cr_assert(fx_silent(), "not there, not its own");
}

Test(bus, gpadl_failing_in_a_body)
{
	struct {
		struct vmbus_msg_gpadl_header h;
		uint64_t words[1];
	} __attribute__((packed)) head = {
		.h.header.msgtype = VMBUS_MSG_GPADL_HEADER,
		.h.child_relid = 1,
		.h.gpadl = GPADL,
		.h.range_buflen = 24,
		.h.rangecount = 1,
		.words = {8192},
	};
	struct {
		struct vmbus_msg_gpadl_body b;
		uint64_t pfn[3];
	} __attribute__((packed)) body = {
		.b.header.msgtype = VMBUS_MSG_GPADL_BODY,
		.b.gpadl = GPADL,
		.pfn = {FX_PFN, FX_PFN, FX_PFN},
	};

	list(VMBUS_VERSION_5_3, 1);
	fx_send(&head, sizeof(head));
	fx_send(&body, sizeof(body));
	cr_assert(created_status(1, GPADL) != 0, "too many pages");
	fx_send(&head, sizeof(head));
	body.pfn[1] = 0;
	fx_send(&body, sizeof(body) - 8);
	cr_assert(created_status(1, GPADL) != 0, "a page outside memory");
	fx_send(&head, sizeof(head));
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	expect_torndown(GPADL);
	fx_send(&body, sizeof(body) - 8);
	cr_assert(fx_silent());
}

Test(bus, gpadls_are_bounded)
{
	unsigned int made = 0;

	list(VMBUS_VERSION_5_3, 1);
	for (uint32_t n = 0; n < 1024; n++) {
		struct vmbus_msg_gpadl_header head = {
			.header.msgtype = VMBUS_MSG_GPADL_HEADER,
			.child_relid = 1,
			.gpadl = n,
			.range_buflen = 65528,
			.rangecount = 1,
		};

		fx_send(&head, sizeof(head));
		if (!fx_silent()) {
			cr_assert(created_status(1, n) != 0);
			break;
		}
		made++;
	}
	cr_assert(made == 512 * 1024 / 8191, "%u", made);
}

/* ---- open, close ---- */

Test(bus, open_and_close)
{
	struct stat st;

	list(VMBUS_VERSION_5_3, 1);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(created_status(1, GPADL) == 0);
	fx.provider.answers = false;
	fx_open(1, 42, GPADL, 1, 40);
	cr_assert(fx.provider.last == FX_OPEN && fx_silent(), "the guest waits for the provider");
	cr_assert(fx.provider.open.relid == 1 && fx.provider.open.target_vp == 1);
	cr_assert(fx.provider.open.downstream_page == 40 && fx.provider.open.ring_ranges == 1);
	cr_assert(fx.provider.ring[0].gpa == FX_MEM_GPA && fx.provider.ring[0].len == PAGES * 4096);
	cr_assert(fx.provider.user_data[0] == 0xaa && fx.provider.user_data[119] == 0xbb);
	cr_assert(fstat(fx.provider.open.block_fd, &st) == 0 && st.st_size == FX_BLOCK_BYTES);
	cr_assert(fx.kicks[0].connection_id == 0x2001 && fx.kicks[0].fd == fx.provider.open.kick_fd);
	cr_assert(fx.irqs[0].vp == 1 && fx.irqs[0].fd == fx.provider.open.irq_fd);
	bus_opened(fx.provider.bus, fx.provider.last_offer, 0);
	cr_assert(open_status(1, 42) == 0);

	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx.provider.last == FX_CLOSE);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	cr_assert(fx_silent() && fx.kicks_held == 1, "TORNDOWN waits for the provider");
	bus_closed(fx.provider.bus, fx.provider.last_offer);
	expect_torndown(GPADL);
	no_resources();
	fx.provider.answers = true;
	open_channel(1, GPADL);
}

Test(bus, open_that_the_provider_refuses)
{
	list(VMBUS_VERSION_5_3, 1);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(created_status(1, GPADL) == 0);
	fx.provider.open_status = -EINVAL;
	fx_open(1, 1, GPADL, 0, 32);
	cr_assert(open_status(1, 1) != 0);
	no_resources();
	fx.provider.open_status = 0;
	fx_open(1, 2, GPADL, 0, 32);
	cr_assert(open_status(1, 2) == 0);
}

Test(bus, open_that_the_host_refuses)
{
	list(VMBUS_VERSION_5_3, 1);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(created_status(1, GPADL) == 0);
	fx.kick_result = -ENOSPC;
	fx_open(1, 1, GPADL, 0, 32);
	cr_assert(open_status(1, 1) != 0);
	fx.kick_result = 0;
	fx.irq_result = -ENOSPC;
	fx_open(1, 2, GPADL, 0, 32);
	cr_assert(open_status(1, 2) != 0);
	no_resources();
	cr_assert(fx.provider.calls[FX_OPEN] == 0);
	fx.irq_result = 0;
	fx_open(1, 3, GPADL, 0, 32);
	cr_assert(open_status(1, 3) == 0);
}

Test(bus, open_bad_input)
{
	static const struct {
		uint32_t relid, gpadl, vp, downstream;
	} cases[] = {
		{1, 99, 0, 32},
		{1, GPADL, FX_CPUS, 32},
		{1, GPADL, UINT32_MAX, 32},
		{1, GPADL, 0, 0},
		{1, GPADL, 0, 1},
		{1, GPADL, 0, 63},
		{1, GPADL, 0, 64},
		{1, GPADL, 0, UINT32_MAX},
		{2, GPADL, 0, 32},
		{9, GPADL, 0, 32},
		{0, GPADL, 0, 32},
		{2048, GPADL, 0, 32},
		{UINT32_MAX, GPADL, 0, 32},
	};

	list(VMBUS_VERSION_5_3, 2);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(created_status(1, GPADL) == 0);
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fx_open(cases[i].relid, i, cases[i].gpadl, cases[i].vp, cases[i].downstream);
		cr_assert(open_status(cases[i].relid, i) != 0, "case %u", i);
	}
	cr_assert(fx.provider.calls[FX_OPEN] == 0);
	no_resources();
	fx_open(1, 1, GPADL, 0, 62);
	cr_assert(open_status(1, 1) == 0);
	fx_open(1, 2, GPADL, 0, 32);
	cr_assert(open_status(1, 2) != 0, "open already");
}

Test(bus, two_channels_do_not_share_a_gpadl)
{
	list(VMBUS_VERSION_5_3, 2);
	open_channel(1, GPADL);
	open_channel(2, GPADL + 1);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	expect_torndown(GPADL);
	/* the handle goes to the other channel; the first one's end leaves it alone */
	fx_gpadl(2, GPADL, FX_PFN, PAGES);
	cr_assert(created_status(2, GPADL) == 0);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 2);
	fx_open(2, 8, GPADL, 0, 32);
	cr_assert(open_status(2, 8) == 0);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 2, GPADL);
	cr_assert(fx_silent(), "it is in use");
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 2);
	expect_torndown(GPADL);
}

Test(bus, teardown_under_an_open_channel)
{
	list(VMBUS_VERSION_5_3, 1);
	open_channel(1, GPADL);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	fx_gpadl(1, GPADL, FX_PFN, 1);
	cr_assert(created_status(1, GPADL) != 0, "the handle is not free yet");
	cr_assert(fx_silent());
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	expect_torndown(GPADL);
	cr_assert(fx_silent());
}

Test(bus, close_while_opening)
{
	list(VMBUS_VERSION_5_3, 1);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(created_status(1, GPADL) == 0);
	for (int failing = 0; failing < 2; failing++) {
		fx.provider.answers = false;
		fx_open(1, 3, GPADL, 0, 32);
		fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
		fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
		cr_assert(fx.provider.last == FX_OPEN && fx_silent());
		fx.provider.answers = true;
		bus_opened(fx.provider.bus, fx.provider.last_offer, failing ? -EIO : 0);
		cr_assert(open_status(1, 3) != 0);
		cr_assert(fx.provider.last == (failing ? FX_OPEN : FX_CLOSE));
		no_resources();
	}
}

Test(bus, open_while_closing)
{
	list(VMBUS_VERSION_5_3, 1);
	open_channel(1, GPADL);
	fx_gpadl(1, GPADL + 1, FX_PFN + PAGES, PAGES);
	cr_assert(created_status(1, GPADL + 1) == 0);
	fx.provider.answers = false;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_open(1, 6, GPADL + 1, 1, 32);
	cr_assert(fx_silent() && fx.provider.last == FX_CLOSE);
	fx_open(1, 7, GPADL + 1, 1, 32);
	cr_assert(open_status(1, 7) != 0, "one at a time");
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(open_status(1, 6) != 0, "closed before it was opened");
	fx_open(1, 8, GPADL + 1, 1, 32);
	fx.provider.answers = true;
	bus_closed(fx.provider.bus, fx.provider.last_offer);
	cr_assert(open_status(1, 8) == 0);
	cr_assert(fx.provider.ring[0].gpa == FX_MEM_GPA + PAGES * 4096 && fx.kicks_held == 1);
}

Test(bus, close_out_of_place)
{
	list(VMBUS_VERSION_5_3, 1);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 2);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, UINT32_MAX);
	cr_assert(fx_silent() && fx.provider.calls[FX_CLOSE] == 0);
	open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx.provider.calls[FX_CLOSE] == 1);
}

/* ---- retarget ---- */

Test(bus, retarget)
{
	list(VMBUS_VERSION_5_3, 1);
	open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(fx.irqs[0].vp == 1 && fx.provider.last == FX_RETARGET && fx.provider.vp == 1);
	cr_assert(fx_silent() && fx.raised[1] == 0);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 0);
	cr_assert(modify_status(1) != 0, "one at a time");
	bus_retargeted(fx.provider.bus, fx.provider.last_offer);
	cr_assert(fx.raised[1] == 1 && fx.raised_flag == 1);
	cr_assert(modify_status(1) == 0);
	bus_reraise(fx.bus, 0);
	cr_assert(fx.raised[0] == 0);
	bus_reraise(fx.bus, 1);
	cr_assert(fx.raised[1] == 2);
}

Test(bus, retarget_before_5_3_has_no_answer)
{
	list(VMBUS_VERSION_5_2, 1);
	open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 0);
	cr_assert(fx.provider.calls[FX_RETARGET] == 1);
	fx.provider.answers = true;
	bus_retargeted(fx.provider.bus, fx.provider.last_offer);
	cr_assert(fx.provider.calls[FX_RETARGET] == 2 && fx.provider.vp == 0, "the latest wish counts");
	cr_assert(fx.irqs[0].vp == 0 && fx_silent());
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 7);
	cr_assert(fx_silent());
}

Test(bus, retarget_bad_input)
{
	list(VMBUS_VERSION_5_3, 1);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 0);
	cr_assert(modify_status(1) != 0, "closed");
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 5, 0);
	cr_assert(modify_status(5) != 0, "unknown");
	open_channel(1, GPADL);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, FX_CPUS);
	cr_assert(modify_status(1) != 0);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, UINT32_MAX);
	cr_assert(modify_status(1) != 0);
	fx.irq_result = -ENOSPC;
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(modify_status(1) != 0);
	cr_assert(fx.irqs[0].vp == 0 && fx.provider.calls[FX_RETARGET] == 0);
}

Test(bus, retarget_needs_4_1)
{
	list(VMBUS_VERSION_4_0, 1);
	open_channel(1, GPADL);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(fx_silent() && fx.provider.calls[FX_RETARGET] == 0);
}

Test(bus, close_while_retargeting)
{
	uint32_t offer;

	list(VMBUS_VERSION_5_3, 1);
	open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	offer = fx.provider.last_offer;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(modify_status(1) != 0);
	bus_closed(fx.provider.bus, offer);
	no_resources();
	/* open and retarget again: the late answer is not taken for the new one's */
	fx.provider.answers = true;
	fx_open(1, 2, GPADL, 0, 32);
	cr_assert(open_status(1, 2) == 0);
	fx.provider.answers = false;
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	bus_retargeted(fx.provider.bus, offer);
	cr_assert(fx_silent());
	bus_retargeted(fx.provider.bus, offer);
	cr_assert(modify_status(1) == 0);
}

/* ---- the end of a connection ---- */

Test(bus, unload_waits_for_the_provider)
{
	list(VMBUS_VERSION_5_3, 2);
	open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_simple(VMBUS_MSG_UNLOAD);
	cr_assert(fx_silent() && fx.provider.calls[FX_QUIESCE] == 1 && fx.kicks_held == 1);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 2);
	cr_assert(fx_silent(), "not connected");
	bus_quiesced(fx.provider.bus);
	cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8) && fx_silent());
	no_resources();
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	fx_simple(VMBUS_MSG_UNLOAD);
	cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8), "nothing to wait for");

	connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	expect_offer(1);
	expect_offer(2);
}

Test(bus, reconnect_starts_afresh)
{
	for (int round = 0; round < 3; round++) {
		if (round == 0)
			list(VMBUS_VERSION_5_3, 1);
		else
			connect_at(VMBUS_VERSION_5_3);
		if (round > 0) {
			fx_simple(VMBUS_MSG_REQUESTOFFERS);
			expect_offer(1);
			cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
		}
		open_channel(1, GPADL);
		if (round == 0) {
			fx_simple(VMBUS_MSG_UNLOAD);
			cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8));
		}
	}
	cr_assert(fx.provider.calls[FX_OPEN] == 3 && fx.provider.calls[FX_QUIESCE] == 2 && fx.kicks_held == 1);
}

Test(bus, contact_while_unloading)
{
	list(VMBUS_VERSION_5_3, 1);
	open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_simple(VMBUS_MSG_UNLOAD);
	fx_contact(VMBUS_VERSION_5_1, 1);
	cr_assert(fx_silent());
	bus_quiesced(fx.provider.bus);
	cr_assert(version_response(16)->version_supported == 1);
	cr_assert(fx_silent());
}

/* Brings channel 1 into @state with a provider that does not answer. */
static void into_state(int state)
{
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(created_status(1, GPADL) == 0);
	fx.provider.answers = state >= 3;
	if (state >= 1)
		fx_open(1, 1, GPADL, 0, 32); /* OPENING */
	if (state >= 3)
		cr_assert(open_status(1, 1) == 0); /* OPEN */
	fx.provider.answers = false;
	if (state == 4)
		fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1); /* RETARGETING */
	if (state == 2 || state >= 5)
		fx_relid(VMBUS_MSG_CLOSECHANNEL, 1); /* OPENING_CLOSE, CLOSING */
	if (state == 6)
		fx_open(1, 2, GPADL, 0, 32); /* CLOSING_REOPEN */
	if (state == 7)
		fx_relid(VMBUS_MSG_RELID_RELEASED, 1); /* CLOSING_RELEASE */
	cr_assert(fx_silent());
}

Test(bus, the_guest_leaves_in_every_state)
{
	uint32_t id;

	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
	for (int state = 0; state < 8; state++) {
		connect_at(VMBUS_VERSION_5_3);
		fx_simple(VMBUS_MSG_REQUESTOFFERS);
		expect_offer(1);
		cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
		into_state(state);
		fx_simple(VMBUS_MSG_UNLOAD);
		if (state > 0) {
			cr_assert(fx_silent());
			bus_quiesced(fx.provider.bus);
		}
		cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8) && fx_silent(), "state %d", state);
		no_resources();
		/* late answers */
		if (state == 1 || state == 2)
			bus_opened(fx.provider.bus, id, state == 1 ? 0 : -ECANCELED);
		if (state == 4)
			bus_retargeted(fx.provider.bus, id);
		if (state >= 5)
			bus_closed(fx.provider.bus, id);
		cr_assert(fx_silent());
	}
}

Test(bus, reset)
{
	bus_reset(fx.bus, reset_done, NULL);
	cr_assert(fx.resets == 1, "nothing to wait for");
	list(VMBUS_VERSION_5_3, 1);
	open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_simple(VMBUS_MSG_UNLOAD);
	bus_reset(fx.bus, reset_done, NULL);
	fx_contact(VMBUS_VERSION_5_3, 0);
	cr_assert(fx.resets == 1 && fx.provider.calls[FX_QUIESCE] == 1);
	bus_quiesced(fx.provider.bus);
	cr_assert(fx.resets == 2 && fx_silent());
	no_resources();
	fx.provider.answers = true;
	connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	expect_offer(1);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	open_channel(1, GPADL);
}

Test(bus, reset_waits_for_all_providers)
{
	struct fx_provider second = {.answers = false};
	uint32_t id;

	fx_provider_add(&second);
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0 && fx_offer(&second, 2, &id) == 0);
	connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx.head = fx.tail;
	open_channel(1, GPADL);
	second.answers = true;
	open_channel(2, GPADL + 1);
	second.answers = false;
	bus_reset(fx.bus, reset_done, NULL);
	cr_assert(fx.resets == 0);
	bus_provider_gone(second.bus);
	cr_assert(fx.resets == 1, "gone counts as done");
	no_resources();
}

/* ---- release, rescind ---- */

Test(bus, release_of_an_offer)
{
	list(VMBUS_VERSION_5_3, 1);
	fx_gpadl(1, GPADL, FX_PFN, 1);
	cr_assert(created_status(1, GPADL) == 0);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	fx_open(1, 1, GPADL, 0, 32);
	cr_assert(open_status(1, 1) != 0);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	cr_assert(fx_silent(), "its GPADLs went with it");
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	expect_offer(1);
}

Test(bus, release_out_of_place)
{
	list(VMBUS_VERSION_5_3, 1);
	open_channel(1, GPADL);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	cr_assert(fx.kicks_held == 1 && fx.provider.calls[FX_CLOSE] == 0, "it is open");
	fx_relid(VMBUS_MSG_RELID_RELEASED, 0);
	fx_relid(VMBUS_MSG_RELID_RELEASED, UINT32_MAX);
	fx.provider.answers = false;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	fx_open(1, 3, GPADL, 0, 32);
	cr_assert(open_status(1, 3) != 0);
	bus_closed(fx.provider.bus, fx.provider.last_offer);
	no_resources();
	cr_assert(fx_silent());
}

Test(bus, provider_gone_and_back)
{
	uint32_t id, other;

	list(VMBUS_VERSION_5_3, 1);
	open_channel(1, GPADL);
	bus_provider_gone(fx.provider.bus);
	expect_rescind(1);
	cr_assert(fx_silent());
	no_resources();

	fx_provider_add(&fx.provider);
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0, "queued");
	cr_assert(fx_silent(), "the guest still holds the instance");
	cr_assert(fx_offer(&fx.provider, 2, &other) == 0);
	cr_assert(expect_offer(2)->offer.if_instance.b[15] == 2, "another one need not wait");
	/* what the guest may still do with the old channel */
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(modify_status(1) != 0);
	fx_open(1, 9, GPADL, 0, 32);
	cr_assert(open_status(1, 9) != 0);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	expect_torndown(GPADL);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	cr_assert(fx_silent(), "not in the same breath");
	wait_for_message();
	cr_assert(expect_offer(1)->offer.if_instance.b[15] == 1);
	open_channel(1, GPADL);
}

Test(bus, provider_gone_in_every_state)
{
	uint32_t id;

	for (int state = 0; state < 8; state++) {
		if (state > 0)
			fx_provider_add(&fx.provider);
		cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
		connect_at(VMBUS_VERSION_5_3);
		fx_simple(VMBUS_MSG_REQUESTOFFERS);
		expect_offer(1);
		cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
		into_state(state);
		if (state >= 5)
			fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
		bus_provider_gone(fx.provider.bus);
		if (state == 1 || state == 2)
			cr_assert(open_status(1, 1) != 0);
		if (state == 4)
			cr_assert(modify_status(1) != 0);
		if (state == 6)
			cr_assert(open_status(1, 2) != 0);
		if (state >= 5)
			expect_torndown(GPADL);
		if (state != 7)
			expect_rescind(1);
		cr_assert(fx_silent(), "state %d", state);
		no_resources();
	}
}

Test(bus, gone_with_nobody_connected)
{
	uint32_t id;

	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
	bus_provider_gone(fx.provider.bus);
	cr_assert(fx_silent());
	fx_provider_add(&fx.provider);
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
}

Test(bus, answers_that_nobody_asked_for)
{
	uint32_t id;

	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
	bus_opened(fx.provider.bus, id, 0);
	bus_closed(fx.provider.bus, id);
	bus_retargeted(fx.provider.bus, id + 5);
	bus_quiesced(fx.provider.bus);
	cr_assert(fx_silent());
}

Test(bus, dynamic_offers_are_paced)
{
	uint64_t start;
	uint32_t id;

	list(VMBUS_VERSION_5_3, 0);
	start = clock_now_ns();
	for (uint8_t n = 1; n <= 3; n++)
		cr_assert(fx_offer(&fx.provider, n, &id) == 0);
	for (uint32_t n = 1; n <= 3; n++) {
		wait_for_message();
		expect_offer(n);
		cr_assert(fx_silent());
	}
	cr_assert(clock_now_ns() - start >= 35 * NS_PER_MS);
}

/* ---- nonsense ---- */

Test(bus, messages_of_every_type_and_length)
{
	uint8_t bytes[256];

	list(VMBUS_VERSION_5_3, 1);
	for (uint32_t type = 0; type < 300; type++) {
		for (size_t len = 0; len <= 241; len++) {
			memset(bytes, 0, sizeof(bytes));
			bytes[0] = (uint8_t)type;
			bytes[1] = (uint8_t)(type >> 8);
			if (type == VMBUS_MSG_UNLOAD || type == VMBUS_MSG_INITIATE_CONTACT)
				continue;
			fx.head = fx.tail = 0;
			fx_send(bytes, len);
			memset(bytes + 4, 0xff, sizeof(bytes) - 4);
			fx_send(bytes, len);
		}
	}
	bus_message(fx.bus, 4, 2, bytes, 8);
	fx.head = fx.tail = 0;
	open_channel(1, GPADL);
}
