// SPDX-License-Identifier: Apache-2.0
/* Memory that a guest lends to a device: who gets it, and that the guest has it back no sooner than nobody touches it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "bus_expect.h"

#define LENT	   (GPADL + 100)
#define LENT_PFN   (FX_PFN + 512)
#define LENT_PAGES 40u

static uint32_t id; /* of channel 1 */
static struct guest_range *ranges;
static size_t count;

static void set_up(void)
{
	fx_init();
	cr_assert_eq(fx_offer(&fx.provider, 1, &id), 0);
	fx_connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_expect_offer(1);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	fx_open_channel(1, GPADL);
	fx_gpadl(1, LENT, LENT_PFN, LENT_PAGES);
	cr_assert(fx_created_status(1, LENT) == 0 && fx_silent());
}

static void tear_down(void)
{
	free(ranges);
	fx_done();
}

TestSuite(bus_lend, .init = set_up, .fini = tear_down, .timeout = 20);

static int lend(uint32_t offer_id, uint32_t gpadl)
{
	free(ranges);
	ranges = NULL;
	return bus_lend(fx.provider.bus, offer_id, gpadl, &ranges, &count);
}

static void tear(uint32_t gpadl)
{
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, gpadl);
}

/* ---- who gets it ---- */

Test(bus_lend, the_pages)
{
	cr_assert_eq(lend(id, LENT), 0);
	cr_assert_eq(count, 1);
	cr_assert(ranges[0].gpa == LENT_PFN * 4096 && ranges[0].len == LENT_PAGES * 4096ull);
	cr_assert_eq(lend(id, LENT), 0, "again");
	tear(LENT);
	fx_expect_torndown(LENT);
	cr_assert_eq(fx.provider.calls[FX_REVOKE], 1);
	cr_assert_eq(lend(id, LENT), -ENOENT);
}

Test(bus_lend, refused)
{
	struct {
		struct vmbus_msg_gpadl_header h;
		uint64_t words[4];
	} __attribute__((packed)) head = {
		.h.header.msgtype = VMBUS_MSG_GPADL_HEADER,
		.h.child_relid = 1,
		.h.gpadl = 7,
		.h.range_buflen = 16,
		.h.rangecount = 1,
		.words = {100ull << 32 | 1000, LENT_PFN},
	};
	struct fx_provider second = {.answers = true};
	uint32_t other, foreign;

	cr_assert_eq(lend(id, LENT + 1), -ENOENT, "no such GPADL");
	cr_assert_eq(lend(id, GPADL), -ENOENT, "a ring");
	cr_assert_eq(lend(id + 100, LENT), -ENOENT, "no such offer");
	fx_send(&head, sizeof(head.h) + 16);
	cr_assert(fx_created_status(1, 7) == 0);
	cr_assert_eq(lend(id, 7), -ENOENT, "not whole pages");
	head.h.gpadl = 8;
	head.h.range_buflen = 24;
	fx_send(&head, sizeof(head.h) + 16);
	cr_assert_eq(lend(id, 8), -ENOENT, "words are missing");
	head.h.gpadl = 9;
	head.h.range_buflen = 32;
	head.h.rangecount = 2;
	head.words[0] = head.words[2] = 4096;
	head.words[3] = LENT_PFN;
	fx_send(&head, sizeof(head));
	cr_assert(fx_created_status(1, 9) == 0);
	cr_assert_eq(lend(id, 9), -ENOENT, "two ranges");

	cr_assert_eq(fx_offer(&fx.provider, 2, &other), 0);
	fx_wait_for_message();
	fx_expect_offer(2);
	cr_assert_eq(lend(other, LENT), -ENOTCONN, "not open");
	fx_open_channel(2, GPADL + 1);
	cr_assert_eq(lend(other, LENT), -ENOENT, "another channel's");
	fx_provider_add(&second);
	cr_assert_eq(fx_offer(&second, 3, &foreign), 0);
	cr_assert_eq(bus_lend(second.bus, id, LENT, &ranges, &count), -ENOENT, "another provider's");
}

Test(bus_lend, no_ring_is_made_of_it)
{
	cr_assert_eq(lend(id, LENT), 0);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_open(1, 5, LENT, 0, 20);
	cr_assert_eq(fx_open_status(1, 5), 0, "closed: it is free");
	cr_assert_eq(lend(id, LENT), -ENOENT);
	cr_assert_eq(lend(id, GPADL), 0);
	fx.provider.answers = false;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_open(1, 6, GPADL, 0, 32);
	cr_assert_eq(lend(id, GPADL), -ENOTCONN, "it closes");
	bus_closed(fx.provider.bus, id);
	bus_opened(fx.provider.bus, id, 0);
	cr_assert_eq(fx_open_status(1, 6), 0);
}

/* ---- wanted back ---- */

Test(bus_lend, a_teardown_waits_for_the_device)
{
	cr_assert_eq(lend(id, LENT), 0);
	fx.provider.answers = false;
	bus_revoked(fx.provider.bus, id, LENT);
	cr_assert(fx_silent(), "nobody has asked");
	tear(LENT);
	cr_assert(fx.provider.calls[FX_REVOKE] == 1 && fx.provider.gpadl == LENT && fx.provider.last_offer == id);
	cr_assert(fx_silent());
	tear(LENT);
	cr_assert(fx_silent() && fx.provider.calls[FX_REVOKE] == 1, "twice");
	cr_assert_eq(lend(id, LENT), -ENOENT);
	fx_gpadl(1, LENT, LENT_PFN, 1);
	cr_assert(fx_created_status(1, LENT) != 0, "its handle is in use");
	bus_revoked(fx.provider.bus, id, GPADL);
	bus_revoked(fx.provider.bus, id + 100, LENT);
	cr_assert(fx_silent());
	bus_revoked(fx.provider.bus, id, LENT);
	fx_expect_torndown(LENT);
	bus_revoked(fx.provider.bus, id, LENT);
	cr_assert(fx_silent());
}

Test(bus_lend, a_close_gives_it_back)
{
	cr_assert_eq(lend(id, LENT), 0);
	fx.provider.answers = false;
	tear(LENT);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx_silent());
	bus_closed(fx.provider.bus, id);
	fx_expect_torndown(LENT);
	bus_revoked(fx.provider.bus, id, LENT);
	cr_assert(fx_silent());
}

Test(bus_lend, a_teardown_while_it_closes)
{
	cr_assert_eq(lend(id, LENT), 0);
	fx.provider.answers = false;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	tear(LENT);
	cr_assert(fx_silent() && fx.provider.calls[FX_REVOKE] == 0, "the close says it");
	bus_closed(fx.provider.bus, id);
	fx_expect_torndown(LENT);
}

Test(bus_lend, a_close_without_a_teardown)
{
	cr_assert_eq(lend(id, LENT), 0);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	cr_assert(fx_silent());
	tear(LENT);
	fx_expect_torndown(LENT);
	cr_assert_eq(fx.provider.calls[FX_REVOKE], 0);
	tear(GPADL);
	fx_expect_torndown(GPADL);
}

Test(bus_lend, a_relid_that_is_released)
{
	cr_assert_eq(lend(id, LENT), 0);
	fx.provider.answers = false;
	tear(LENT);
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	cr_assert(fx_silent());
	bus_closed(fx.provider.bus, id);
	fx_expect_torndown(LENT);
	cr_assert(fx_silent());
}

static void reset_done(void *arg)
{
	fx.resets++;
}

Test(bus_lend, the_guest_leaves)
{
	cr_assert_eq(lend(id, LENT), 0);
	fx.provider.answers = false;
	tear(LENT);
	fx_simple(VMBUS_MSG_UNLOAD);
	cr_assert_eq(lend(id, LENT), -ENOTCONN);
	bus_revoked(fx.provider.bus, id, LENT);
	cr_assert(fx_silent(), "it waits for neither");
	bus_quiesced(fx.provider.bus);
	cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8) && fx_silent());

	fx.provider.answers = true;
	fx_connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_expect_offer(1);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	fx_open_channel(1, GPADL);
	fx_gpadl(1, LENT, LENT_PFN, LENT_PAGES);
	cr_assert(fx_created_status(1, LENT) == 0);
	cr_assert_eq(lend(id, LENT), 0);
	fx.provider.answers = false;
	bus_reset(fx.bus, reset_done, NULL);
	cr_assert_eq(fx.resets, 0);
	bus_quiesced(fx.provider.bus);
	cr_assert(fx.resets == 1 && fx_silent());
	fx_no_resources();
}

Test(bus_lend, the_provider_withdraws)
{
	cr_assert_eq(lend(id, LENT), 0);
	fx.provider.answers = false;
	tear(LENT);
	cr_assert_eq(bus_offer_withdraw(fx.provider.bus, id), 0);
	fx_expect_torndown(LENT);
	fx_expect_rescind(1);
}

/* ---- whoever dies ---- */

Test(bus_lend, a_dead_provider_holds_nothing)
{
	cr_assert_eq(lend(id, LENT), 0);
	fx.provider.answers = false;
	tear(LENT);
	bus_provider_ended(fx.provider.bus);
	cr_assert(fx_silent(), "it serves");
	bus_provider_away(fx.provider.bus);
	bus_revoked(fx.provider.bus, id, LENT);
	bus_provider_ended(fx.provider.bus);
	fx_expect_torndown(LENT);
	fx_gpadl(1, LENT, LENT_PFN, LENT_PAGES);
	cr_assert(fx_created_status(1, LENT) == 0);
	cr_assert_eq(lend(id, LENT), -ENOTCONN, "nobody is there");
	tear(LENT);
	fx_expect_torndown(LENT);
}

/* Its connection has ended, which is not yet its own end. */
Test(bus_lend, one_that_may_still_run)
{
	cr_assert_eq(lend(id, LENT), 0);
	bus_provider_away(fx.provider.bus);
	tear(LENT);
	cr_assert(fx_silent() && fx.provider.calls[FX_REVOKE] == 0);
	bus_provider_ended(fx.provider.bus);
	fx_expect_torndown(LENT);
}

static void offer_again(void)
{
	uint32_t again;

	cr_assert_eq(fx_offer(&fx.provider, 1, &again), 0);
	cr_assert_eq(again, id);
}

Test(bus_lend, a_successor_borrows_again)
{
	cr_assert_eq(lend(id, LENT), 0);
	bus_provider_away(fx.provider.bus);
	offer_again();
	fx.provider.answers = false;
	bus_provider_back(fx.provider.bus);
	cr_assert_eq(lend(id, LENT), 0, "before it has answered Open");
	tear(LENT);
	cr_assert(fx.provider.calls[FX_REVOKE] == 1 && fx_silent());
	bus_opened(fx.provider.bus, id, 0);
	bus_revoked(fx.provider.bus, id, LENT);
	fx_expect_torndown(LENT);
}

Test(bus_lend, what_its_predecessor_had_is_not_a_successors)
{
	cr_assert_eq(lend(id, LENT), 0);
	fx.provider.answers = false;
	tear(LENT);
	bus_provider_away(fx.provider.bus);
	offer_again();
	bus_provider_back(fx.provider.bus);
	fx_expect_torndown(LENT);
	cr_assert_eq(lend(id, LENT), -ENOENT);
	bus_opened(fx.provider.bus, id, 0);
	bus_revoked(fx.provider.bus, id, LENT);
	cr_assert(fx_silent());
}

Test(bus_lend, a_successor_that_does_not_take_it_up)
{
	bus_provider_away(fx.provider.bus);
	offer_again();
	fx.provider.answers = false;
	bus_provider_back(fx.provider.bus);
	cr_assert_eq(lend(id, LENT), 0);
	tear(LENT);
	cr_assert_eq(fx.provider.calls[FX_REVOKE], 1);
	bus_opened(fx.provider.bus, id, -EPROTO);
	fx_expect_torndown(LENT);
	bus_revoked(fx.provider.bus, id, LENT);
	cr_assert(fx_silent());
	fx_gpadl(1, LENT, LENT_PFN, LENT_PAGES);
	cr_assert(fx_created_status(1, LENT) == 0);
	cr_assert_eq(lend(id, LENT), -ENOTCONN, "the channel is dead");
}
