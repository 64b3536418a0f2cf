// SPDX-License-Identifier: Apache-2.0
/* GPADLs: whole, in parts, bad, too many. */
#include <criterion/criterion.h>
#include <string.h>

#include "bus_expect.h"

TestSuite(bus_gpadl, .init = fx_init, .fini = fx_done, .timeout = 20);

/* ---- GPADLs ---- */

Test(bus_gpadl, gpadl_in_parts)
{
	static const uint32_t sizes[] = {1, 26, 27, 54, 55, 64, 600};

	fx_list(VMBUS_VERSION_5_3, 1);
	for (unsigned int i = 0; i < 7; i++) {
		fx_gpadl(1, GPADL + i, FX_PFN, sizes[i]);
		cr_assert(fx_created_status(1, GPADL + i) == 0);
		cr_assert(fx_silent(), "one answer");
	}
	for (unsigned int i = 0; i < 7; i++) {
		fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL + i);
		fx_expect_torndown(GPADL + i);
	}
	fx_gpadl(1, GPADL, FX_PFN, 64);
	cr_assert(fx_created_status(1, GPADL) == 0, "an id is free again after TORNDOWN");
}

Test(bus_gpadl, gpadls_of_two_channels_interleaved)
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

	fx_list(VMBUS_VERSION_5_3, 2);
	for (uint32_t n = 1; n <= 2; n++) {
		head.h.child_relid = n;
		head.h.gpadl = n;
		fx_send(&head, sizeof(head));
	}
	cr_assert(fx_silent());
	for (uint32_t n = 2; n >= 1; n--) {
		body.b.gpadl = n;
		fx_send(&body, sizeof(body));
		cr_assert(fx_created_status(n, n) == 0);
	}
	fx_send(&body, sizeof(body));
	cr_assert(fx_silent(), "a body too many is no answer");
}

Test(bus_gpadl, gpadl_bad_input)
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

	fx_list(VMBUS_VERSION_5_3, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&head, 0, sizeof(head));
		head.h.header.msgtype = VMBUS_MSG_GPADL_HEADER;
		head.h.child_relid = 1;
		head.h.gpadl = GPADL;
		head.h.range_buflen = cases[i].buflen;
		head.h.rangecount = cases[i].ranges;
		memcpy(head.words, cases[i].words, sizeof(head.words));
		fx_send(&head, sizeof(head.h) + 8 * cases[i].words_sent);
		cr_assert(fx_created_status(1, GPADL) != 0, "case %zu", i);
		cr_assert(fx_silent());
	}
	fx_gpadl(9, GPADL, FX_PFN, 1);
	cr_assert(fx_created_status(9, GPADL) != 0, "no such channel");
	fx_gpadl(1, GPADL, FX_PFN, 1);
	cr_assert(fx_created_status(1, GPADL) == 0);
	fx_gpadl(1, GPADL, FX_PFN, 1);
	cr_assert(fx_created_status(1, GPADL) != 0, "the handle is in use");
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, 77);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 9, GPADL);
	cr_assert(fx_silent(), "not there, not its own");
}

Test(bus_gpadl, gpadl_failing_in_a_body)
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

	fx_list(VMBUS_VERSION_5_3, 1);
	fx_send(&head, sizeof(head));
	fx_send(&body, sizeof(body));
	cr_assert(fx_created_status(1, GPADL) != 0, "too many pages");
	fx_send(&head, sizeof(head));
	body.pfn[1] = 0;
	fx_send(&body, sizeof(body) - 8);
	cr_assert(fx_created_status(1, GPADL) != 0, "a page outside memory");
	fx_send(&head, sizeof(head));
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	fx_expect_torndown(GPADL);
	fx_send(&body, sizeof(body) - 8);
	cr_assert(fx_silent());
}

Test(bus_gpadl, gpadls_are_bounded)
{
	unsigned int made = 0;

	fx_list(VMBUS_VERSION_5_3, 1);
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
			cr_assert(fx_created_status(1, n) != 0);
			break;
		}
		made++;
	}
	cr_assert(made == 512 * 1024 / 8191, "%u", made);
}
