// SPDX-License-Identifier: Apache-2.0
/* Channels: open, close, retarget, in and out of order. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus_expect.h"

TestSuite(bus_channel, .init = fx_init, .fini = fx_done, .timeout = 20);

/* ---- open, close ---- */

Test(bus_channel, open_and_close)
{
	struct stat st;

	fx_list(VMBUS_VERSION_5_3, 1);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(fx_created_status(1, GPADL) == 0);
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
	cr_assert(fx_open_status(1, 42) == 0);

	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx.provider.last == FX_CLOSE);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	cr_assert(fx_silent() && fx.kicks_held == 1, "TORNDOWN waits for the provider");
	bus_closed(fx.provider.bus, fx.provider.last_offer);
	fx_expect_torndown(GPADL);
	fx_no_resources();
	fx.provider.answers = true;
	fx_open_channel(1, GPADL);
}

Test(bus_channel, open_that_the_provider_refuses)
{
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(fx_created_status(1, GPADL) == 0);
	fx.provider.open_status = -EINVAL;
	fx_open(1, 1, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 1) != 0);
	fx_no_resources();
	fx.provider.open_status = 0;
	fx_open(1, 2, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 2) == 0);
}

Test(bus_channel, open_that_the_host_refuses)
{
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(fx_created_status(1, GPADL) == 0);
	fx.kick_result = -ENOSPC;
	fx_open(1, 1, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 1) != 0);
	fx.kick_result = 0;
	fx.irq_result = -ENOSPC;
	fx_open(1, 2, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 2) != 0);
	fx_no_resources();
	cr_assert(fx.provider.calls[FX_OPEN] == 0);
	fx.irq_result = 0;
	fx_open(1, 3, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 3) == 0);
}

Test(bus_channel, open_bad_input)
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

	fx_list(VMBUS_VERSION_5_3, 2);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(fx_created_status(1, GPADL) == 0);
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fx_open(cases[i].relid, i, cases[i].gpadl, cases[i].vp, cases[i].downstream);
		cr_assert(fx_open_status(cases[i].relid, i) != 0, "case %u", i);
	}
	cr_assert(fx.provider.calls[FX_OPEN] == 0);
	fx_no_resources();
	fx_open(1, 1, GPADL, 0, 62);
	cr_assert(fx_open_status(1, 1) == 0);
	fx_open(1, 2, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 2) != 0, "open already");
}

Test(bus_channel, two_channels_do_not_share_a_gpadl)
{
	fx_list(VMBUS_VERSION_5_3, 2);
	fx_open_channel(1, GPADL);
	fx_open_channel(2, GPADL + 1);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	fx_expect_torndown(GPADL);
	/* the handle goes to the other channel; the first one's end leaves it alone */
	fx_gpadl(2, GPADL, FX_PFN, PAGES);
	cr_assert(fx_created_status(2, GPADL) == 0);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 2);
	fx_open(2, 8, GPADL, 0, 32);
	cr_assert(fx_open_status(2, 8) == 0);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 2, GPADL);
	cr_assert(fx_silent(), "it is in use");
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 2);
	fx_expect_torndown(GPADL);
}

Test(bus_channel, teardown_under_an_open_channel)
{
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_open_channel(1, GPADL);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	fx_gpadl(1, GPADL, FX_PFN, 1);
	cr_assert(fx_created_status(1, GPADL) != 0, "the handle is not free yet");
	cr_assert(fx_silent());
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_expect_torndown(GPADL);
	cr_assert(fx_silent());
}

Test(bus_channel, close_while_opening)
{
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(fx_created_status(1, GPADL) == 0);
	for (int failing = 0; failing < 2; failing++) {
		fx.provider.answers = false;
		fx_open(1, 3, GPADL, 0, 32);
		fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
		fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
		cr_assert(fx.provider.last == FX_OPEN && fx_silent());
		fx.provider.answers = true;
		bus_opened(fx.provider.bus, fx.provider.last_offer, failing ? -EIO : 0);
		cr_assert(fx_open_status(1, 3) != 0);
		cr_assert(fx.provider.last == (failing ? FX_OPEN : FX_CLOSE));
		fx_no_resources();
	}
}

Test(bus_channel, open_while_closing)
{
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_open_channel(1, GPADL);
	fx_gpadl(1, GPADL + 1, FX_PFN + PAGES, PAGES);
	cr_assert(fx_created_status(1, GPADL + 1) == 0);
	fx.provider.answers = false;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_open(1, 6, GPADL + 1, 1, 32);
	cr_assert(fx_silent() && fx.provider.last == FX_CLOSE);
	fx_open(1, 7, GPADL + 1, 1, 32);
	cr_assert(fx_open_status(1, 7) != 0, "one at a time");
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx_open_status(1, 6) != 0, "closed before it was opened");
	fx_open(1, 8, GPADL + 1, 1, 32);
	fx.provider.answers = true;
	bus_closed(fx.provider.bus, fx.provider.last_offer);
	cr_assert(fx_open_status(1, 8) == 0);
	cr_assert(fx.provider.ring[0].gpa == FX_MEM_GPA + PAGES * 4096 && fx.kicks_held == 1);
}

Test(bus_channel, close_out_of_place)
{
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 2);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, UINT32_MAX);
	cr_assert(fx_silent() && fx.provider.calls[FX_CLOSE] == 0);
	fx_open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx.provider.calls[FX_CLOSE] == 1);
}

/* ---- retarget ---- */

Test(bus_channel, retarget)
{
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(fx.irqs[0].vp == 1 && fx.provider.last == FX_RETARGET && fx.provider.vp == 1);
	cr_assert(fx_silent() && fx.raised[1] == 0);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 0);
	cr_assert(fx_modify_status(1) != 0, "one at a time");
	bus_retargeted(fx.provider.bus, fx.provider.last_offer);
	cr_assert(fx.raised[1] == 1 && fx.raised_flag == 1);
	cr_assert(fx_modify_status(1) == 0);
	bus_reraise(fx.bus, 0);
	cr_assert(fx.raised[0] == 0);
	bus_reraise(fx.bus, 1);
	cr_assert(fx.raised[1] == 2);
}

Test(bus_channel, retarget_before_5_3_has_no_answer)
{
	fx_list(VMBUS_VERSION_5_2, 1);
	fx_open_channel(1, GPADL);
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

Test(bus_channel, retarget_bad_input)
{
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 0);
	cr_assert(fx_modify_status(1) != 0, "closed");
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 5, 0);
	cr_assert(fx_modify_status(5) != 0, "unknown");
	fx_open_channel(1, GPADL);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, FX_CPUS);
	cr_assert(fx_modify_status(1) != 0);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, UINT32_MAX);
	cr_assert(fx_modify_status(1) != 0);
	fx.irq_result = -ENOSPC;
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(fx_modify_status(1) != 0);
	cr_assert(fx.irqs[0].vp == 0 && fx.provider.calls[FX_RETARGET] == 0);
}

Test(bus_channel, retarget_needs_4_1)
{
	fx_list(VMBUS_VERSION_4_0, 1);
	fx_open_channel(1, GPADL);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(fx_silent() && fx.provider.calls[FX_RETARGET] == 0);
}

Test(bus_channel, close_while_retargeting)
{
	uint32_t offer;

	fx_list(VMBUS_VERSION_5_3, 1);
	fx_open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	offer = fx.provider.last_offer;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx_modify_status(1) != 0);
	bus_closed(fx.provider.bus, offer);
	fx_no_resources();
	/* open and retarget again: the late answer is not taken for the new one's */
	fx.provider.answers = true;
	fx_open(1, 2, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 2) == 0);
	fx.provider.answers = false;
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	bus_retargeted(fx.provider.bus, offer);
	cr_assert(fx_silent());
	bus_retargeted(fx.provider.bus, offer);
	cr_assert(fx_modify_status(1) == 0);
}
