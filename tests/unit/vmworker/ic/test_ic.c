/* SPDX-License-Identifier: Apache-2.0 */
/* Offers, negotiation, and what guests do wrong. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "abi/ring.h"
#include "abi/vmbus.h"
#include "base/bytes.h"
#include "ic_fixture.h"

TestSuite(ic, .init = icf_init, .fini = icf_done);

static bool version_is(unsigned int n, uint16_t major, uint16_t minor)
{
	struct ic_service_status status;

	return ic_service(icf.ic, n, &status) && status.major == major && status.minor == minor;
}

Test(ic, offers_are_pipes_of_messages)
{
	static const struct abi_guid types[] = {IC_SHUTDOWN_GUID, IC_HEARTBEAT_GUID, IC_TIMESYNC_GUID};
	struct ic_service_status status;

	cr_assert_eq(icf.offered, IC_SERVICES);
	for (unsigned int n = 0; n < IC_SERVICES; n++) {
		cr_assert_eq(memcmp(&icf.offers[n].interface_guid, &types[n], sizeof(types[n])), 0);
		cr_assert(icf.offers[n].flags & VMBUS_OFFER_NAMED_PIPE_MODE);
		cr_assert_eq(icf.offers[n].user_defined[0], IC_PIPE_MODE_MESSAGE);
		cr_assert(version_is(n, 0, 0));
	}
	cr_assert_not(ic_service(icf.ic, IC_SERVICES, &status));
}

Test(ic, every_version_is_spoken)
{
	static const struct {
		unsigned int n;
		uint16_t major, minor;
	} all[] = {
		{SHUTDOWN, 1, 0},  {SHUTDOWN, 3, 0}, {SHUTDOWN, 3, 1}, {SHUTDOWN, 3, 2}, {HEARTBEAT, 1, 0},
		{HEARTBEAT, 3, 0}, {TIMESYNC, 1, 0}, {TIMESYNC, 3, 0}, {TIMESYNC, 4, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		icf_use(all[i].n, all[i].major, all[i].minor);
		cr_assert(version_is(all[i].n, all[i].major, all[i].minor));
		icf_close(all[i].n);
		cr_assert(version_is(all[i].n, 0, 0));
	}
	cr_assert_eq(icf.opened, ARRAY_SIZE(all));
	cr_assert_eq(icf.closed, ARRAY_SIZE(all));
}

Test(ic, changes_are_told_at_a_pace)
{
	for (unsigned int i = 0; i < 50; i++) {
		icf_use(SHUTDOWN, 3, 0);
		icf_close(SHUTDOWN);
	}
	cr_assert_lt(icf.changes, 50);
	ic_pace_over(icf.ic);
	ic_pace_over(icf.ic);
	icf.changes = 0;
	ic_pace_over(icf.ic);
	cr_assert_eq(icf.changes, 0);
	icf_use(SHUTDOWN, 3, 0);
	cr_assert_eq(icf.changes, 1); /* at once, for there was none for a while */
	icf_close(SHUTDOWN);
	ic_pace_over(icf.ic);
	cr_assert_eq(icf.changes, 2); /* the last one is never lost */
}

Test(ic, a_guest_that_speaks_none_is_left_alone)
{
	icf_use(HEARTBEAT, 9, 0);
	cr_assert(version_is(HEARTBEAT, 0, 0));
	icf_tick(HEARTBEAT);
	cr_assert(icf_silent(HEARTBEAT));
	icf_close(HEARTBEAT);
	icf_use(HEARTBEAT, 3, 0);
	cr_assert(version_is(HEARTBEAT, 3, 0));
}

Test(ic, packets_that_cannot_be_read_change_nothing)
{
	static uint8_t noise[512];
	struct fake_packet packet;
	struct ic_message request, wrong;

	icf_use(HEARTBEAT, 3, 0);
	request = icf_next(HEARTBEAT, &packet);
	memset(noise, 0xff, sizeof(noise));
	for (size_t len = 0; len < sizeof(noise); len += 8) {
		cr_assert_eq(fake_put(&icf.channel[HEARTBEAT], VMPACKET_DATA_INBAND, 0, 1, NULL, 0, noise, len), 0);
		icf_pump();
	}
	cr_assert_eq(fake_put(&icf.channel[HEARTBEAT], VMPACKET_COMPLETION, 0, 1, NULL, 0, noise, 64), 0);
	icf_pump();
	wrong = request;
	wrong.transaction_id++;
	icf_answer(HEARTBEAT, &wrong, IC_STATUS_OK);
	wrong = request;
	wrong.type = IC_MESSAGE_TIMESYNC;
	icf_answer(HEARTBEAT, &wrong, IC_STATUS_OK);
	wrong = request; /* not an answer */
	wrong.flags = IC_FLAG_REQUEST;
	icf_send(HEARTBEAT, &wrong);
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_UNKNOWN);
	icf_answer(HEARTBEAT, &request, IC_STATUS_OK);
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_OK);
	icf_answer(HEARTBEAT, &request, IC_STATUS_OK); /* once more */
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_OK);
}

Test(ic, more_packets_than_one_turn_takes)
{
	static uint8_t noise[32];
	struct fake_packet packet;
	struct ic_message request;

	icf_use(HEARTBEAT, 3, 0);
	request = icf_next(HEARTBEAT, &packet);
	for (unsigned int i = 0; i < 100; i++)
		cr_assert_eq(fake_put(&icf.channel[HEARTBEAT], VMPACKET_DATA_INBAND, 0, 1, NULL, 0, noise, 32), 0);
	icf_answer(HEARTBEAT, &request, IC_STATUS_OK);
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_OK);
}

static void expect_unfit(void)
{
	icf_pump();
	cr_assert(version_is(HEARTBEAT, 0, 0));
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_UNKNOWN);
	icf_close(HEARTBEAT);
	icf_use(HEARTBEAT, 3, 0);
	cr_assert(version_is(HEARTBEAT, 3, 0));
}

Test(ic, a_packet_that_is_too_long)
{
	static uint8_t noise[9000];

	icf_use(HEARTBEAT, 3, 0);
	cr_assert_eq(fake_put(&icf.channel[HEARTBEAT], VMPACKET_DATA_INBAND, 0, 1, NULL, 0, noise, sizeof(noise)), 0);
	expect_unfit();
}

Test(ic, a_corrupt_index)
{
	icf_use(HEARTBEAT, 3, 0);
	icf.channel[HEARTBEAT].out->write_index = 0xfffffff8;
	fake_kick(&icf.channel[HEARTBEAT]);
	expect_unfit();
}

Test(ic, a_corrupt_index_of_the_other_ring)
{
	struct fake_packet packet;
	struct ic_message request;

	icf_use(HEARTBEAT, 3, 0);
	request = icf_next(HEARTBEAT, &packet);
	icf_answer(HEARTBEAT, &request, IC_STATUS_OK);
	icf.channel[HEARTBEAT].in->read_index = 3;
	icf_tick(HEARTBEAT);
	expect_unfit();
}

Test(ic, a_ring_that_does_not_begin_well_is_refused)
{
	const struct guest_range ring = {icf.channel[0].ring_gpa, 2ull * RING_PAGES * GUEST_PAGE_SIZE};
	struct bus_open open = {
		.relid = 1,
		.ring = &ring,
		.ring_ranges = 1,
		.downstream_page = RING_PAGES,
		.kick_fd = icf.channel[0].kick_fd,
		.irq_fd = icf.channel[0].irq_fd,
	};

	icf.channel[0].out->read_index = 5;
	icf.ops->open(icf.arg, 1, &open);
	cr_assert_eq(icf.open_status, -EPROTO);
	icf.channel[0].out->read_index = 0;
	open.target_vp = 99;
	icf.ops->open(icf.arg, 1, &open);
	cr_assert_eq(icf.open_status, -EINVAL);
	open.target_vp = 0;
	icf.ops->open(icf.arg, 1, &open);
	cr_assert_eq(icf.open_status, 0);
}

Test(ic, signals_follow_a_retarget)
{
	icf_use(HEARTBEAT, 3, 0);
	cr_assert(fake_channel_take_flag(&icf.channel[HEARTBEAT], 0));
	icf.ops->retarget(icf.arg, HEARTBEAT + 1, 1);
	cr_assert_eq(icf.retargeted, 1);
	icf_tick(HEARTBEAT); /* what is not answered is signalled again */
	cr_assert_not(fake_channel_take_flag(&icf.channel[HEARTBEAT], 0));
	cr_assert(fake_channel_take_flag(&icf.channel[HEARTBEAT], 1));
}

Test(ic, quiesce_lets_go_of_all)
{
	for (unsigned int n = 0; n < IC_SERVICES; n++)
		icf_use(n, 3, 0);
	icf.ops->quiesce(icf.arg);
	cr_assert_eq(icf.quiesced, 1);
	for (unsigned int n = 0; n < IC_SERVICES; n++) {
		cr_assert(version_is(n, 0, 0));
		fake_kick(&icf.channel[n]);
	}
	icf_pump();
	icf_use(SHUTDOWN, 3, 2);
	cr_assert(version_is(SHUTDOWN, 3, 2));
}
