// SPDX-License-Identifier: Apache-2.0
/* A provider's process dies, and another one takes up its channels. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "bus_expect.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

TestSuite(bus_away, .init = fx_init, .fini = fx_done, .timeout = 20);

static uint32_t offer_id;

/* A guest with one channel, offered, that knows version @version. */
static void begin(uint32_t version)
{
	fx_list(version, 1);
	offer_id = 1;
}

static void begin_open(void)
{
	begin(VMBUS_VERSION_5_3);
	fx_open_channel(1, GPADL);
	fx.provider.answers = false;
}

static void away(void)
{
	bus_provider_away(fx.provider.bus);
	memset(fx.provider.calls, 0, sizeof(fx.provider.calls));
	fx.provider.last = FX_NONE;
}

/* The successor makes the same offer and is ready. */
static void back(void)
{
	uint32_t id;

	cr_assert(fx.provider.last == FX_NONE, "it was called while it was away");
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0 && id == offer_id, "the same offer");
	cr_assert(fx_offer(&fx.provider, 1, &id) == -EEXIST, "once");
	bus_provider_back(fx.provider.bus);
}

static void resumed(int status)
{
	cr_assert(fx.provider.last == FX_OPEN && fx.provider.open.recover && fx.provider.open.was_open && fx_silent());
	cr_assert(bus_provider_resuming(fx.provider.bus) && !bus_provider_dead(fx.provider.bus));
	bus_opened(fx.provider.bus, offer_id, status);
	cr_assert(!bus_provider_resuming(fx.provider.bus));
	cr_assert(bus_provider_dead(fx.provider.bus) == (status < 0));
}

/* Close, then open: the channel is as good as ever. */
static void reopen(void)
{
	fx.provider.answers = true;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_open(1, 9, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 9) == 0 && !fx.provider.open.recover);
	cr_assert(fx_silent() && fx.kicks_held == 1 && fx.irqs_held == 1);
}

/* ---- open ---- */

Test(bus_away, an_open_channel_stays)
{
	struct bus_open before;

	begin_open();
	before = fx.provider.open;
	cr_assert(!before.recover);
	cr_assert((fcntl(before.block_fd, F_GET_SEALS) & SEALS) == SEALS);
	away();
	cr_assert(fx_silent() && fx.kicks_held == 1 && fx.irqs_held == 1);
	fx.provider.ring[0] = (struct guest_range){0};
	back();
	cr_assert(fx.provider.open.block_fd == before.block_fd && fx.provider.open.kick_fd == before.kick_fd);
	cr_assert(fx.provider.open.irq_fd == before.irq_fd && fx.provider.open.relid == 1);
	cr_assert(fx.provider.open.ring_ranges == 1 && fx.provider.ring[0].gpa == FX_MEM_GPA);
	cr_assert(fx.provider.ring[0].len == PAGES * 4096 && fx.provider.open.downstream_page == PAGES / 2);
	cr_assert(fx.provider.user_data[0] == 0xaa && fx.provider.user_data[119] == 0xbb);
	resumed(0);
	reopen();
}

/* All that were open are asked for, and then it is told that these are all. */
Test(bus_away, several_are_gathered)
{
	uint32_t id;

	fx_list(VMBUS_VERSION_5_3, 3);
	fx_open_channel(1, GPADL);
	fx_open_channel(2, GPADL + 1);
	cr_assert(!fx.provider.open.gather);
	fx.provider.resumed = 0;
	away();
	for (uint8_t i = 1; i <= 3; i++)
		cr_assert_eq(fx_offer(&fx.provider, i, &id), 0);
	bus_provider_back(fx.provider.bus);
	cr_assert(fx.provider.calls[FX_OPEN] == 2 && fx.provider.open.gather && fx.provider.open.recover);
	cr_assert(fx.provider.resumed == 1 && fx.provider.opens_then == 2);
	fx_open_channel(3, GPADL + 2);
	cr_assert(!fx.provider.open.gather);
}

/* It is told so, too, if there were none. */
Test(bus_away, none_are_gathered)
{
	uint32_t id;

	fx_list(VMBUS_VERSION_5_3, 1);
	away();
	fx.provider.resumed = 0;
	cr_assert_eq(fx_offer(&fx.provider, 1, &id), 0);
	bus_provider_back(fx.provider.bus);
	cr_assert(fx.provider.resumed == 1 && fx.provider.calls[FX_OPEN] == 0);
}

Test(bus_away, deaths_in_a_row)
{
	begin_open();
	for (int i = 0; i < 5; i++) {
		away();
		if (i == 1)
			bus_provider_away(fx.provider.bus); /* it never was ready */
		back();
		if (i == 2)
			continue; /* while it resumes */
		resumed(0);
	}
	reopen();
}

Test(bus_away, an_offer_with_another_descriptor)
{
	struct bus_offer_desc desc = {
		.interface_guid = VMBUS_GUID_SCSI, .instance_guid = {{1, [15] = 1}}, .block_bytes = 2 * FX_BLOCK_BYTES};
	struct fx_provider other = {.answers = true};
	uint32_t id;

	begin_open();
	fx_provider_add(&other);
	bus_provider_away(other.bus);
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EEXIST, "it is not away");
	away();
	cr_assert(bus_offer_add(other.bus, &desc, &id) == -EEXIST, "it belongs to another");
	desc.interface_guid.b[0] ^= 1;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EEXIST, "another kind of device");
	desc.interface_guid.b[0] ^= 1;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == 0 && id == offer_id);
	bus_provider_back(fx.provider.bus);
	resumed(0);
	reopen();
	cr_assert(lseek(fx.provider.open.block_fd, 0, SEEK_END) == 2 * FX_BLOCK_BYTES);
}

Test(bus_away, what_is_not_offered_again_is_withdrawn)
{
	uint32_t id;

	begin(VMBUS_VERSION_5_3);
	cr_assert(fx_offer(&fx.provider, 2, &id) == 0);
	fx_expect_offer(2);
	fx_open_channel(2, GPADL);
	away();
	cr_assert(fx_offer(&fx.provider, 3, &id) == 0);
	back();
	fx_expect_rescind(2);
	fx_wait_for_message();
	fx_expect_offer(3);
	cr_assert(fx_silent() && fx.provider.calls[FX_OPEN] == 0);
	fx_no_resources();
}

Test(bus_away, resuming_fails)
{
	begin_open();
	away();
	back();
	resumed(-EPROTO);
	cr_assert(fx_silent() && fx.kicks_held == 1, "the guest sees nothing of it");
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(fx_modify_status(1) == 0 && fx.irqs[0].vp == 1);
	fx_open(1, 3, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 3) != 0);
	fx.provider.last = FX_NONE;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx.provider.last == FX_NONE);
	fx_no_resources();
	fx.provider.answers = true;
	fx_open(1, 4, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 4) == 0);
}

Test(bus_away, a_later_successor_tries_again)
{
	begin_open();
	away();
	back();
	resumed(-EPROTO);
	away();
	back();
	resumed(0);
	reopen();
}

Test(bus_away, a_dead_channel_is_not_offered_again)
{
	begin_open();
	away();
	back();
	resumed(-EPROTO);
	fx_provider_replace(&fx.provider);
	fx_expect_rescind(1);
	fx_no_resources();
}

/* ---- what the guest does meanwhile ---- */

Test(bus_away, opened_while_away)
{
	begin(VMBUS_VERSION_5_3);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(fx_created_status(1, GPADL) == 0);
	fx.provider.answers = false;
	away();
	fx_open(1, 7, GPADL, 1, 32);
	cr_assert(fx_silent() && fx.kicks_held == 1);
	back();
	cr_assert(fx.provider.last == FX_OPEN && fx_silent() && !bus_provider_resuming(fx.provider.bus));
	away();
	back();
	bus_opened(fx.provider.bus, offer_id, 0);
	cr_assert(fx_open_status(1, 7) == 0);
	reopen();
}

Test(bus_away, dies_while_opening_and_the_guest_closes)
{
	begin(VMBUS_VERSION_5_3);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(fx_created_status(1, GPADL) == 0);
	fx.provider.answers = false;
	fx_open(1, 7, GPADL, 1, 32);
	away();
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx_silent());
	back();
	cr_assert(fx_open_status(1, 7) != 0);
	cr_assert(fx_silent() && fx.provider.last == FX_NONE);
	fx_no_resources();
}

Test(bus_away, closed_while_away)
{
	begin_open();
	away();
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	cr_assert(fx_silent(), "the memory is not the guest's yet");
	back();
	fx_expect_torndown(GPADL);
	cr_assert(fx_silent() && fx.provider.last == FX_NONE);
	fx_no_resources();
}

Test(bus_away, dies_while_closing)
{
	begin_open();
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	away();
	fx_open(1, 8, GPADL, 0, 32);
	cr_assert(fx_silent());
	fx.provider.answers = true;
	back();
	cr_assert(fx_open_status(1, 8) == 0 && !fx.provider.open.recover, "a fresh open");
	fx.provider.answers = false;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	away();
	back();
	cr_assert(fx_silent() && fx.provider.last == FX_NONE);
	fx_no_resources();
}

Test(bus_away, moved_while_away)
{
	begin_open();
	away();
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(fx_modify_status(1) == 0 && fx.irqs[0].vp == 1 && fx.raised[1] == 1);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, FX_CPUS);
	cr_assert(fx_modify_status(1) != 0);
	back();
	cr_assert(fx.provider.open.target_vp == 1);
	resumed(0);
}

Test(bus_away, dies_while_being_moved)
{
	begin_open();
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(fx_silent());
	away();
	cr_assert(fx_modify_status(1) == 0 && fx.raised[1] == 1);
	back();
	cr_assert(fx.provider.open.target_vp == 1);
	resumed(0);
	cr_assert(fx_silent() && fx.provider.calls[FX_RETARGET] == 0);
}

Test(bus_away, dies_while_being_moved_twice)
{
	begin(VMBUS_VERSION_5_2);
	fx_open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 0);
	away();
	cr_assert(fx.irqs[0].vp == 0 && fx_silent());
	back();
	cr_assert(fx.provider.open.target_vp == 0);
	resumed(0);
}

/* ---- what it does while the successor opens it again ---- */

Test(bus_away, moved_while_resuming)
{
	begin_open();
	away();
	back();
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(fx_silent() && fx.provider.calls[FX_RETARGET] == 0);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 0);
	cr_assert(fx_modify_status(1) != 0, "one at a time");
	resumed(0);
	cr_assert(fx.provider.last == FX_RETARGET && fx.provider.vp == 1 && fx_silent());
	bus_retargeted(fx.provider.bus, offer_id);
	cr_assert(fx_modify_status(1) == 0 && fx.raised[1] == 1);
}

Test(bus_away, moved_while_resuming_which_fails)
{
	begin_open();
	away();
	back();
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	resumed(-EPROTO);
	cr_assert(fx_modify_status(1) == 0 && fx.provider.calls[FX_RETARGET] == 0);
}

Test(bus_away, dies_while_moved_while_resuming)
{
	begin_open();
	away();
	back();
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	away();
	cr_assert(fx_modify_status(1) == 0 && fx.irqs[0].vp == 1);
	back();
	cr_assert(fx.provider.open.target_vp == 1);
	resumed(0);
	cr_assert(fx.provider.calls[FX_RETARGET] == 0);
}

Test(bus_away, closed_while_resuming)
{
	static const int status[] = {0, -EPROTO};

	for (unsigned int i = 0; i < 2; i++) {
		if (i == 0)
			begin_open();
		away();
		back();
		fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
		fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
		cr_assert(fx_modify_status(1) != 0);
		fx_open(1, 3, GPADL, 0, 32);
		cr_assert(fx_silent() && fx.provider.calls[FX_CLOSE] == 0);
		bus_opened(fx.provider.bus, offer_id, status[i]);
		cr_assert(fx.provider.calls[FX_CLOSE] == (i == 0));
		if (i == 0)
			bus_closed(fx.provider.bus, offer_id);
		cr_assert(fx.provider.calls[FX_OPEN] == 2 && !fx.provider.open.recover);
		bus_opened(fx.provider.bus, offer_id, 0);
		cr_assert(fx_open_status(1, 3) == 0 && fx_silent());
	}
}

Test(bus_away, dies_when_closed_while_resuming)
{
	begin_open();
	away();
	back();
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	away();
	back();
	cr_assert(fx.provider.last == FX_NONE);
	fx_no_resources();
	bus_opened(fx.provider.bus, offer_id, 0);
	cr_assert(fx_silent() && fx.provider.last == FX_NONE, "nobody waits for that");
	fx.provider.answers = true;
	fx_open(1, 3, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 3) == 0);
}

/* ---- the end of a connection ---- */

static void reset_done(void *arg)
{
	fx.resets++;
}

static void list_again(void)
{
	fx_connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_expect_offer(1);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	fx_open_channel(1, GPADL);
}

Test(bus_away, unload_while_away)
{
	begin_open();
	away();
	fx_simple(VMBUS_MSG_UNLOAD);
	cr_assert(fx_silent() && fx.kicks_held == 1);
	back();
	cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8) && fx_silent() && fx.provider.last == FX_NONE);
	fx_no_resources();
	fx.provider.answers = true;
	list_again();
}

Test(bus_away, dies_while_quiescing)
{
	begin_open();
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_simple(VMBUS_MSG_UNLOAD);
	away();
	cr_assert(fx_silent());
	back();
	cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8) && fx_silent());
	fx_no_resources();
	fx.provider.answers = true;
	list_again();
}

Test(bus_away, unload_while_resuming)
{
	begin_open();
	away();
	back();
	fx_simple(VMBUS_MSG_UNLOAD);
	cr_assert(fx.provider.last == FX_QUIESCE && fx_silent());
	bus_quiesced(fx.provider.bus);
	cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8));
	bus_opened(fx.provider.bus, offer_id, -ECANCELED);
	cr_assert(fx_silent());
	fx_no_resources();
	fx.provider.answers = true;
	list_again();
}

Test(bus_away, unload_when_closed_while_resuming)
{
	begin_open();
	away();
	back();
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_simple(VMBUS_MSG_UNLOAD);
	bus_opened(fx.provider.bus, offer_id, 0);
	bus_quiesced(fx.provider.bus);
	cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8) && fx.provider.calls[FX_CLOSE] == 0);
	fx_no_resources();
	fx.provider.answers = true;
	list_again();
}

Test(bus_away, a_reset_waits_until_it_is_back)
{
	begin_open();
	away();
	bus_reset(fx.bus, reset_done, NULL);
	cr_assert(fx.resets == 0);
	back();
	cr_assert(fx.resets == 1);
	fx_no_resources();
}

Test(bus_away, the_end_does_not_wait)
{
	begin_open();
	away();
	bus_end(fx.bus);
	bus_reset(fx.bus, reset_done, NULL);
	cr_assert(fx.resets == 1);
}

Test(bus_away, the_end_ends_a_reset_that_waits)
{
	begin_open();
	away();
	bus_reset(fx.bus, reset_done, NULL);
	bus_end(fx.bus);
	cr_assert(fx.resets == 1);
}

Test(bus_away, dies_at_the_end)
{
	begin_open();
	bus_end(fx.bus);
	bus_reset(fx.bus, reset_done, NULL);
	cr_assert(fx.resets == 0 && fx.provider.last == FX_QUIESCE);
	bus_provider_away(fx.provider.bus);
	cr_assert(fx.resets == 1);
}
