// SPDX-License-Identifier: Apache-2.0
/* Offers that are withdrawn while the guest runs, and sub-channels. */
#include <criterion/criterion.h>
#include <errno.h>

#include "base/clock.h"
#include "bus_expect.h"
#include "bus_int.h"

TestSuite(bus_subchannel, .init = fx_init, .fini = fx_done, .timeout = 20);

static uint32_t primary, sub[4]; /* offer ids; sub[0] is not used */

static int offer_sub(uint8_t instance, uint16_t index, uint32_t *ret_id)
{
	struct bus_offer_desc desc = {
		.interface_guid = VMBUS_GUID_SCSI,
		.instance_guid = {{1, [15] = instance}},
		.subchannel_index = index,
		.block_bytes = FX_BLOCK_BYTES,
	};

	return bus_offer_add(fx.provider.bus, &desc, ret_id);
}

/* A device with three sub-channels beside another device; the guest has the primary channel open. */
static void begin(void)
{
	cr_assert(fx_offer(&fx.provider, 1, &primary) == 0);
	for (uint16_t n = 1; n <= 3; n++)
		cr_assert(offer_sub(1, n, &sub[n]) == 0);
	cr_assert(fx_offer(&fx.provider, 2, &(uint32_t){0}) == 0);
	fx_connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_expect_offer(1);
	cr_assert(fx_expect_offer(2)->offer.if_instance.b[15] == 2);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	cr_assert(fx_silent(), "sub-channels are not in the list");
	fx_open_channel(1, GPADL);
}

static void expect_subs(uint32_t relid, uint16_t count)
{
	for (uint16_t n = 1; n <= count; n++) {
		const struct vmbus_msg_offer_channel *msg = fx_expect_offer(relid + n - 1u);

		cr_assert(msg->offer.sub_channel_index == n && msg->offer.if_instance.b[15] == 1);
	}
	cr_assert(fx_silent());
}

/* ---- withdrawn ---- */

Test(bus_subchannel, withdrawn_while_open)
{
	uint32_t id;

	fx_list(VMBUS_VERSION_5_3, 0);
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
	fx_expect_offer(1);
	fx_open_channel(1, GPADL);
	cr_assert(bus_offer_withdraw(fx.provider.bus, id + 1) == -ENOENT);
	cr_assert(bus_offer_withdraw(fx.provider.bus, id) == 0);
	fx_expect_rescind(1);
	fx_no_resources();
	cr_assert(fx.provider.calls[FX_CLOSE] == 0, "it has let go of it already");
	cr_assert(bus_offer_withdraw(fx.provider.bus, id) == -ENOENT);

	/* the same instance again: not before the guest has let go of the relid */
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	fx_expect_torndown(GPADL);
	cr_assert(fx_silent());
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	cr_assert(fx_silent());
	fx_wait_for_message();
	fx_expect_offer(1);
	fx_open_channel(1, GPADL);
}

/* Those of the channels @first to @last that the log has not named yet. */
static unsigned int not_named(uint32_t first, uint32_t last)
{
	unsigned int n = 0;

	for (uint32_t relid = first; relid <= last; relid++)
		n += fx.bus->by_relid[relid] && fx.bus->by_relid[relid]->told_ns != 0;
	return n;
}

static void run_until_named(uint32_t first, uint32_t last)
{
	for (uint64_t end = clock_now_ns() + 5 * NS_PER_SEC; not_named(first, last) && clock_now_ns() < end;)
		cr_assert(loop_run_once(fx.loop, true) == 0);
	cr_assert(not_named(first, last) == 0);
}

/* What a guest that hangs does not release is named, each once, when its own time is over. */
Test(bus_subchannel, a_guest_that_does_not_let_go)
{
	uint32_t id[3];

	fx.bus->release_ns = NS_PER_SEC;
	fx_list(VMBUS_VERSION_5_3, 0);
	for (uint8_t i = 0; i < 3; i++) {
		cr_assert(fx_offer(&fx.provider, i + 1, &id[i]) == 0);
		fx_wait_for_message();
		fx_expect_offer(i + 1);
	}
	cr_assert(bus_offer_withdraw(fx.provider.bus, id[0]) == 0);
	fx_expect_rescind(1);
	cr_assert(bus_offer_withdraw(fx.provider.bus, id[2]) == 0);
	fx_expect_rescind(3);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 3);
	cr_assert(bus_offer_withdraw(fx.provider.bus, id[1]) == 0);
	fx_expect_rescind(2);
	fx.bus->by_relid[1]->told_ns -= fx.bus->release_ns;
	bus_release_late(fx.bus);
	cr_assert(not_named(1, 1) == 0);
	cr_assert(not_named(2, 2) == 1, "it has time");
	run_until_named(2, 2);
	cr_assert(!fx.bus->releasing);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 2);
	cr_assert(fx_silent());
}

Test(bus_subchannel, withdrawn_while_asked)
{
	uint32_t id;

	fx_list(VMBUS_VERSION_5_3, 0);
	fx.provider.answers = false;
	for (int step = 0; step < 3; step++) {
		cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
		fx_wait_for_message();
		fx_expect_offer(1);
		fx_gpadl(1, GPADL, FX_PFN, PAGES);
		cr_assert(fx_created_status(1, GPADL) == 0);
		fx_open(1, 1, GPADL, 0, PAGES / 2);
		if (step > 0) {
			bus_opened(fx.provider.bus, id, 0);
			cr_assert(fx_open_status(1, 1) == 0);
		}
		if (step == 1)
			fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
		if (step == 2)
			fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
		cr_assert(bus_offer_withdraw(fx.provider.bus, id) == 0);
		if (step == 0)
			cr_assert(fx_open_status(1, 1) != 0);
		if (step == 1)
			cr_assert(fx_modify_status(1) != 0);
		fx_expect_rescind(1);
		fx_no_resources();
		/* what crosses it */
		bus_opened(fx.provider.bus, id, -ENOENT);
		bus_closed(fx.provider.bus, id);
		bus_retargeted(fx.provider.bus, id);
		fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
		cr_assert(fx_silent());
	}
}

Test(bus_subchannel, withdrawn_while_the_guest_leaves)
{
	uint32_t id;

	fx_list(VMBUS_VERSION_5_3, 0);
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
	fx_expect_offer(1);
	fx_open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_simple(VMBUS_MSG_UNLOAD);
	cr_assert(bus_offer_withdraw(fx.provider.bus, id) == 0);
	cr_assert(fx_silent());
	fx_no_resources();
	bus_quiesced(fx.provider.bus);
	cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8));
	cr_assert(fx_silent());
}

/* ---- sub-channels ---- */

Test(bus_subchannel, shown_when_asked_for)
{
	uint32_t id;

	begin();
	cr_assert(offer_sub(3, 1, &id) == -ENOENT, "no primary channel");
	cr_assert(bus_subchannels(fx.provider.bus, primary + 99, 2) == -ENOENT);
	cr_assert(bus_subchannels(fx.provider.bus, sub[1], 2) == -EINVAL);
	cr_assert(bus_subchannels(fx.provider.bus, primary, 2) == 0);
	expect_subs(3, 2);
	cr_assert(bus_subchannels(fx.provider.bus, primary, 2) == 0);
	cr_assert(fx_silent(), "once");
	cr_assert(bus_subchannels(fx.provider.bus, primary, 99) == 0);
	cr_assert(fx_expect_offer(5)->offer.sub_channel_index == 3);
	fx_open_channel(4, GPADL + 1);
	cr_assert(fx.provider.last == FX_OPEN && fx.provider.last_offer == sub[2]);
}

Test(bus_subchannel, not_before_the_primary_channel_is_open)
{
	begin();
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(bus_subchannels(fx.provider.bus, primary, 2) == -ENOTCONN);
	cr_assert(fx_silent());
}

/* As Linux does it: sub-channels are closed and released, then the primary channel is closed; then all over again. */
Test(bus_subchannel, released_and_shown_again)
{
	begin();
	for (int round = 0; round < 3; round++) {
		if (round)
			fx_open_channel(1, GPADL);
		cr_assert(bus_subchannels(fx.provider.bus, primary, 3) == 0);
		expect_subs(3, 3);
		for (uint32_t n = 0; n < 3; n++) {
			fx_open_channel(3 + n, GPADL + 1 + n);
			fx_relid(VMBUS_MSG_CLOSECHANNEL, 3 + n);
			fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 3 + n, GPADL + 1 + n);
			fx_expect_torndown(GPADL + 1 + n);
			fx_relid(VMBUS_MSG_RELID_RELEASED, 3 + n);
		}
		fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
		fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
		fx_expect_torndown(GPADL);
		cr_assert(fx_silent());
		fx_no_resources();
	}
}

/* One is open, one never was, one is not shown. */
Test(bus_subchannel, rescinded_with_the_primary_channel)
{
	begin();
	cr_assert(bus_subchannels(fx.provider.bus, primary, 2) == 0);
	expect_subs(3, 2);
	fx_open_channel(3, GPADL + 1);
	fx.provider.answers = false;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx.provider.calls[FX_CLOSE] == 2 && fx.provider.last_offer == primary);
	fx_expect_rescind(4);
	cr_assert(fx_silent());
	bus_closed(fx.provider.bus, primary);
	fx_open(3, 9, GPADL + 1, 0, 32);
	cr_assert(fx_open_status(3, 9) != 0);
	bus_closed(fx.provider.bus, sub[1]);
	fx_expect_rescind(3);
	cr_assert(fx_silent());
	fx_no_resources();

	/* open and ask again: only when they are released */
	fx.provider.answers = true;
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	fx_expect_torndown(GPADL);
	fx_open_channel(1, GPADL);
	cr_assert(bus_subchannels(fx.provider.bus, primary, 2) == 0);
	cr_assert(fx_silent());
	fx_relid(VMBUS_MSG_RELID_RELEASED, 3);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 4);
	cr_assert(fx_silent());
	fx_wait_for_message();
	expect_subs(3, 2);
}

Test(bus_subchannel, the_guest_leaves)
{
	begin();
	cr_assert(bus_subchannels(fx.provider.bus, primary, 2) == 0);
	expect_subs(3, 2);
	fx_open_channel(3, GPADL + 1);
	fx_connect_at(VMBUS_VERSION_5_2);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_expect_offer(1);
	fx_expect_offer(2);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	cr_assert(fx_silent());
	fx_no_resources();
}

Test(bus_subchannel, rescinded_when_the_guest_leaves)
{
	begin();
	cr_assert(bus_subchannels(fx.provider.bus, primary, 1) == 0);
	expect_subs(3, 1);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_expect_rescind(3);
	fx_simple(VMBUS_MSG_UNLOAD);
	cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8));
	fx_connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_expect_offer(1);
	fx_expect_offer(2);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	fx_open_channel(1, GPADL);
	cr_assert(bus_subchannels(fx.provider.bus, primary, 1) == 0);
	expect_subs(3, 1);
}

Test(bus_subchannel, withdrawn_with_the_primary_channel)
{
	begin();
	cr_assert(bus_subchannels(fx.provider.bus, primary, 2) == 0);
	expect_subs(3, 2);
	fx_open_channel(3, GPADL + 1);
	cr_assert(bus_offer_withdraw(fx.provider.bus, primary) == 0);
	fx_expect_rescind(3);
	fx_expect_rescind(4);
	fx_expect_rescind(1);
	cr_assert(fx_silent());
	fx_no_resources();
	cr_assert(bus_offer_withdraw(fx.provider.bus, sub[3]) == -ENOENT);
	for (uint32_t relid = 3; relid >= 1; relid--)
		fx_relid(VMBUS_MSG_RELID_RELEASED, relid == 2 ? 4 : relid);
	cr_assert(fx_silent());
}

Test(bus_subchannel, one_alone_withdrawn)
{
	begin();
	cr_assert(bus_subchannels(fx.provider.bus, primary, 2) == 0);
	expect_subs(3, 2);
	fx_open_channel(3, GPADL + 1);
	cr_assert(bus_offer_withdraw(fx.provider.bus, sub[1]) == 0);
	fx_expect_rescind(3);
	cr_assert(bus_offer_withdraw(fx.provider.bus, sub[3]) == 0, "one that the guest has not seen");
	cr_assert(fx_silent());
}

/* ---- a provider that is replaced ---- */

static void away_and_back(bool all)
{
	uint32_t id;

	bus_provider_away(fx.provider.bus);
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0 && id == primary);
	cr_assert(fx_offer(&fx.provider, 2, &id) == 0);
	for (uint16_t n = 1; n <= 3 && all; n++)
		cr_assert(offer_sub(1, n, &id) == 0 && id == sub[n]);
	bus_provider_back(fx.provider.bus);
}

Test(bus_subchannel, a_successor_takes_them_up)
{
	begin();
	cr_assert(bus_subchannels(fx.provider.bus, primary, 2) == 0);
	expect_subs(3, 2);
	fx_open_channel(3, GPADL + 1);
	fx.provider.calls[FX_OPEN] = 0;
	away_and_back(true);
	cr_assert(fx_silent() && fx.provider.calls[FX_OPEN] == 2 && fx.provider.open.recover);
	cr_assert(fx.provider.last_offer == sub[1], "after the primary channel");
	fx_open_channel(4, GPADL + 2);
}

Test(bus_subchannel, a_successor_without_them)
{
	begin();
	cr_assert(bus_subchannels(fx.provider.bus, primary, 2) == 0);
	expect_subs(3, 2);
	fx_open_channel(3, GPADL + 1);
	away_and_back(false);
	fx_expect_rescind(3);
	fx_expect_rescind(4);
	cr_assert(fx_silent());
	cr_assert(fx.kicks_held == 1);
}

Test(bus_subchannel, the_primary_channel_closed_while_it_is_away)
{
	uint32_t id;

	begin();
	cr_assert(bus_subchannels(fx.provider.bus, primary, 1) == 0);
	expect_subs(3, 1);
	fx_open_channel(3, GPADL + 1);
	bus_provider_away(fx.provider.bus);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx_silent());
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0 && fx_offer(&fx.provider, 2, &id) == 0);
	for (uint16_t n = 1; n <= 3; n++)
		cr_assert(offer_sub(1, n, &id) == 0);
	bus_provider_back(fx.provider.bus);
	fx_expect_rescind(3);
	cr_assert(fx_silent());
	fx_no_resources();
}
