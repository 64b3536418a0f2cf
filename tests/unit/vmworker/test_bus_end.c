// SPDX-License-Identifier: Apache-2.0
/* The end of a connection, of a channel, of a provider. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>

#include "base/clock.h"
#include "bus_expect.h"

TestSuite(bus_end, .init = fx_init, .fini = fx_done, .timeout = 20);

static void reset_done(void *arg)
{
	fx.resets++;
}

/* ---- the end of a connection ---- */

Test(bus_end, unload_waits_for_the_provider)
{
	fx_list(VMBUS_VERSION_5_3, 2);
	fx_open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_simple(VMBUS_MSG_UNLOAD);
	cr_assert(fx_silent() && fx.provider.calls[FX_QUIESCE] == 1 && fx.kicks_held == 1);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 2);
	cr_assert(fx_silent(), "not connected");
	bus_quiesced(fx.provider.bus);
	cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8) && fx_silent());
	fx_no_resources();
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	fx_simple(VMBUS_MSG_UNLOAD);
	cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8), "nothing to wait for");

	fx_connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_expect_offer(1);
	fx_expect_offer(2);
}

Test(bus_end, reconnect_starts_afresh)
{
	for (int round = 0; round < 3; round++) {
		if (round == 0)
			fx_list(VMBUS_VERSION_5_3, 1);
		else
			fx_connect_at(VMBUS_VERSION_5_3);
		if (round > 0) {
			fx_simple(VMBUS_MSG_REQUESTOFFERS);
			fx_expect_offer(1);
			cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
		}
		fx_open_channel(1, GPADL);
		if (round == 0) {
			fx_simple(VMBUS_MSG_UNLOAD);
			cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8));
		}
	}
	cr_assert(fx.provider.calls[FX_OPEN] == 3 && fx.provider.calls[FX_QUIESCE] == 2 && fx.kicks_held == 1);
}

Test(bus_end, contact_while_unloading)
{
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_simple(VMBUS_MSG_UNLOAD);
	fx_contact(VMBUS_VERSION_5_1, 1);
	cr_assert(fx_silent());
	bus_quiesced(fx.provider.bus);
	cr_assert(fx_version_response(16)->version_supported == 1);
	cr_assert(fx_silent());
}

/* Brings channel 1 into @state with a provider that does not answer. */
static void into_state(int state)
{
	fx_gpadl(1, GPADL, FX_PFN, PAGES);
	cr_assert(fx_created_status(1, GPADL) == 0);
	fx.provider.answers = state >= 3;
	if (state >= 1)
		fx_open(1, 1, GPADL, 0, 32); /* OPENING */
	if (state >= 3)
		cr_assert(fx_open_status(1, 1) == 0); /* OPEN */
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

Test(bus_end, the_guest_leaves_in_every_state)
{
	uint32_t id;

	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
	for (int state = 0; state < 8; state++) {
		fx_connect_at(VMBUS_VERSION_5_3);
		fx_simple(VMBUS_MSG_REQUESTOFFERS);
		fx_expect_offer(1);
		cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
		into_state(state);
		fx_simple(VMBUS_MSG_UNLOAD);
		if (state > 0) {
			cr_assert(fx_silent());
			bus_quiesced(fx.provider.bus);
		}
		cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8) && fx_silent(), "state %d", state);
		fx_no_resources();
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

Test(bus_end, reset)
{
	bus_reset(fx.bus, reset_done, NULL);
	cr_assert(fx.resets == 1, "nothing to wait for");
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_open_channel(1, GPADL);
	fx.provider.answers = false;
	fx_simple(VMBUS_MSG_UNLOAD);
	bus_reset(fx.bus, reset_done, NULL);
	fx_contact(VMBUS_VERSION_5_3, 0);
	cr_assert(fx.resets == 1 && fx.provider.calls[FX_QUIESCE] == 1);
	bus_quiesced(fx.provider.bus);
	cr_assert(fx.resets == 2 && fx_silent());
	fx_no_resources();
	fx.provider.answers = true;
	fx_connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_expect_offer(1);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	fx_open_channel(1, GPADL);
}

Test(bus_end, reset_waits_for_all_providers)
{
	struct fx_provider second = {.answers = false};
	uint32_t id;

	fx_provider_add(&second);
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0 && fx_offer(&second, 2, &id) == 0);
	fx_connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx.head = fx.tail;
	fx_open_channel(1, GPADL);
	second.answers = true;
	fx_open_channel(2, GPADL + 1);
	second.answers = false;
	bus_reset(fx.bus, reset_done, NULL);
	cr_assert(fx.resets == 0);
	bus_provider_away(second.bus);
	cr_assert(fx.resets == 0, "its I/O may still be under way");
	bus_provider_back(second.bus);
	cr_assert(fx.resets == 1, "back counts as done");
	fx_no_resources();
}

static unsigned int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	cr_assert(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

Test(bus_end, nothing_is_left_of_many_connections)
{
	unsigned int before = 0;

	fx_list(VMBUS_VERSION_5_3, 1);
	for (unsigned int i = 0; i < 50; i++) {
		fx_open_channel(1, GPADL);
		fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
		fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
		fx_expect_torndown(GPADL);
		fx_open_channel(1, GPADL);
		bus_reset(fx.bus, reset_done, NULL);
		fx_no_resources();
		if (i == 0)
			before = descriptors();
		fx_connect_at(VMBUS_VERSION_5_3);
		fx_simple(VMBUS_MSG_REQUESTOFFERS);
		fx_expect_offer(1);
		cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	}
	cr_assert(fx.resets == 50 && descriptors() == before);
}

/* ---- release, rescind ---- */

Test(bus_end, release_of_an_offer)
{
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_gpadl(1, GPADL, FX_PFN, 1);
	cr_assert(fx_created_status(1, GPADL) == 0);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	fx_open(1, 1, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 1) != 0);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	cr_assert(fx_silent(), "its GPADLs went with it");
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	fx_connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	fx_expect_offer(1);
}

Test(bus_end, release_out_of_place)
{
	fx_list(VMBUS_VERSION_5_3, 1);
	fx_open_channel(1, GPADL);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	cr_assert(fx.kicks_held == 1 && fx.provider.calls[FX_CLOSE] == 0, "it is open");
	fx_relid(VMBUS_MSG_RELID_RELEASED, 0);
	fx_relid(VMBUS_MSG_RELID_RELEASED, UINT32_MAX);
	fx.provider.answers = false;
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	fx_open(1, 3, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 3) != 0);
	bus_closed(fx.provider.bus, fx.provider.last_offer);
	fx_no_resources();
	cr_assert(fx_silent());
}

Test(bus_end, provider_gone_and_back)
{
	uint32_t id, other;

	fx_list(VMBUS_VERSION_5_3, 1);
	fx_open_channel(1, GPADL);
	fx_provider_replace(&fx.provider);
	fx_expect_rescind(1);
	cr_assert(fx_silent());
	fx_no_resources();

	cr_assert(fx_offer(&fx.provider, 1, &id) == 0, "queued");
	cr_assert(fx_silent(), "the guest still holds the instance");
	cr_assert(fx_offer(&fx.provider, 2, &other) == 0);
	cr_assert(fx_expect_offer(2)->offer.if_instance.b[15] == 2, "another one need not wait");
	/* what the guest may still do with the old channel */
	fx_relid(VMBUS_MSG_CLOSECHANNEL, 1);
	fx_pair(VMBUS_MSG_MODIFYCHANNEL, 1, 1);
	cr_assert(fx_modify_status(1) != 0);
	fx_open(1, 9, GPADL, 0, 32);
	cr_assert(fx_open_status(1, 9) != 0);
	fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
	fx_expect_torndown(GPADL);
	fx_relid(VMBUS_MSG_RELID_RELEASED, 1);
	cr_assert(fx_silent(), "not in the same breath");
	fx_wait_for_message();
	cr_assert(fx_expect_offer(1)->offer.if_instance.b[15] == 1);
	fx_open_channel(1, GPADL);
}

Test(bus_end, provider_gone_in_every_state)
{
	uint32_t id;

	for (int state = 0; state < 8; state++) {
		cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
		fx_connect_at(VMBUS_VERSION_5_3);
		fx_simple(VMBUS_MSG_REQUESTOFFERS);
		fx_expect_offer(1);
		cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
		into_state(state);
		if (state >= 5)
			fx_pair(VMBUS_MSG_GPADL_TEARDOWN, 1, GPADL);
		fx_provider_replace(&fx.provider);
		if (state == 1 || state == 2)
			cr_assert(fx_open_status(1, 1) != 0);
		if (state == 4)
			cr_assert(fx_modify_status(1) == 0, "carried out, then rescinded");
		if (state == 6)
			cr_assert(fx_open_status(1, 2) != 0);
		if (state >= 5)
			fx_expect_torndown(GPADL);
		if (state != 7)
			fx_expect_rescind(1);
		cr_assert(fx_silent(), "state %d", state);
		fx_no_resources();
	}
}

Test(bus_end, gone_with_nobody_connected)
{
	uint32_t id;

	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
	fx_provider_replace(&fx.provider);
	cr_assert(fx_silent());
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
}

Test(bus_end, answers_that_nobody_asked_for)
{
	uint32_t id;

	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
	bus_opened(fx.provider.bus, id, 0);
	bus_closed(fx.provider.bus, id);
	bus_retargeted(fx.provider.bus, id + 5);
	bus_quiesced(fx.provider.bus);
	cr_assert(fx_silent());
}

Test(bus_end, dynamic_offers_are_paced)
{
	uint64_t start;
	uint32_t id;

	fx_list(VMBUS_VERSION_5_3, 0);
	start = clock_now_ns();
	for (uint8_t n = 1; n <= 3; n++)
		cr_assert(fx_offer(&fx.provider, n, &id) == 0);
	for (uint32_t n = 1; n <= 3; n++) {
		fx_wait_for_message();
		fx_expect_offer(n);
		cr_assert(fx_silent());
	}
	cr_assert(clock_now_ns() - start >= 35 * NS_PER_MS);
}
