/* SPDX-License-Identifier: Apache-2.0 */
/* NICs that are taken from a guest: what it does then, and what the manager is told. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "abi/ndis.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "netd_fixture.h"

TestSuite(netd_detach, .init = nd_set_up, .fini = nd_tear_down, .timeout = 60);

/* Until the change is over. Return: how many frames it has sent meanwhile. */
static unsigned int keep_sending(const int *outcome)
{
	unsigned int sent = 0;

	for (int i = 0; i < 1000 && *outcome == 1; i++) {
		/* what it sends now is not read any more */
		if (netd->nics == 0 || netd->nic[0]->presence == NETD_GOING) {
			cr_assert_eq(fake_worker_run_until(worker, nd_is_over, (void *)outcome), 0);
			break;
		}
		nd_send_frame();
		sent++;
		fake_worker_run(worker);
		nd_take_all();
		poll(NULL, 0, 10);
	}
	return sent;
}

/* The guest is told, and goes on: it keeps its NIC, and its link. */
Test(netd_detach, a_guest_that_goes_on_sending)
{
	int outcome;

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_open(0);
	nd_begin_detach(1, 700, &outcome);
	(void)keep_sending(&outcome);
	cr_assert_eq(outcome, -ETIMEDOUT);
	cr_assert_eq(netd_nics(netd), 1);
	cr_assert_eq(fake_worker_run_until(worker, nd_has_heard, &(uint32_t){RNDIS_STATUS_MEDIA_CONNECT}), 0);
	cr_assert_eq(nd_detach(1, 0), 0, "by force");
}

static void run_for(uint64_t ns)
{
	for (uint64_t end = clock_now_ns() + ns; clock_now_ns() < end; poll(NULL, 0, 10)) {
		fake_worker_run(worker);
		nd_take_all();
	}
}

/* A driver that sets a NIC up waits for each answer for ever, whatever becomes of the NIC: nothing is taken from it
 * before it has done so. */
Test(netd_detach, a_guest_that_sets_it_up)
{
	int outcome;

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_begin(0);
	nd_begin_detach(1, 60000, &outcome);
	run_for(NETD_SETUP_NS + NETD_QUIET_NS);
	cr_assert_eq(outcome, 1, "it may be busy with the next step");
	nd_go_on();
	cr_assert_eq(fake_worker_run_until(worker, nd_is_over, &outcome), 0);
	cr_assert_eq(outcome, 0);
}

/* It has been promised a sub-channel, and has not opened it yet. */
Test(netd_detach, a_guest_that_opens_sub_channels)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SUBCHANNEL};
	struct fake_channel sub;
	int outcome;

	fake_channel_init(&sub, &guest, 10, 1, 17);
	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_open(0);
	message.subchannel_request.operation = NVSP_SUBCHANNEL_ALLOCATE;
	message.subchannel_request.count = 1;
	cr_assert_eq(fake_nic_put(&peer, ND_CALL_ID, &message, true), 0);
	nd_wait(FAKE_NIC_COMPLETED);
	nd_begin_detach(1, 60000, &outcome);
	run_for(NETD_SETUP_NS + NETD_QUIET_NS);
	cr_assert_eq(outcome, 1, "it may be busy with its ring");
	cr_assert_eq(fake_worker_open(worker, 1, &sub), 0);
	cr_assert_eq(fake_worker_run_until(worker, nd_is_over, &outcome), 0);
	cr_assert_eq(outcome, 0);
	fake_channel_done(&sub);
}

/* Whose channels are closed for a successor, has let go of nothing: that is asked again. */
Test(netd_detach, a_detach_during_a_hand_over)
{
	int outcome;

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_begin(0);
	nd_begin_detach(1, 60000, &outcome);
	cr_assert_eq(fake_worker_hand_over(worker), 0);
	run_for(NETD_SETUP_NS + NETD_QUIET_NS);
	cr_assert_eq(outcome, 1);
	cr_assert_eq(netd_nics(netd), 1);
	cr_assert_not(fake_worker_offer(worker, 0)->withdrawn);
}

/* A driver that has given up in the middle of it does not keep a NIC for ever. */
Test(netd_detach, a_guest_that_stops_to_set_it_up)
{
	int outcome;

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_begin(0);
	nd_begin_detach(1, 60000, &outcome);
	run_for(NETD_BEGIN_NS + NS_PER_SEC / 2);
	cr_assert_eq(fake_worker_run_until(worker, nd_is_over, &outcome), 0);
	cr_assert_eq(outcome, 0);
}

Test(netd_detach, a_guest_that_never_sets_it_up)
{
	int outcome;

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_begin(0);
	nd_begin_detach(1, 700, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, nd_is_over, &outcome), 0);
	cr_assert_eq(outcome, -ETIMEDOUT);
	cr_assert_eq(netd_nics(netd), 1);
	cr_assert_eq(nd_detach(1, 0), 0, "by force");
}

/* Nothing more is given to a guest that shall let go: what came while it does would keep it for ever. */
Test(netd_detach, what_comes_does_not_keep_a_nic)
{
	static const uint8_t record[4 + 60] = {[3] = 60, [4] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8};
	unsigned int frames;
	int outcome;

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_open(0);
	nd_begin_detach(1, 5000, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, nd_has_heard, &(uint32_t){RNDIS_STATUS_MEDIA_DISCONNECT}), 0);
	frames = nic.frames;
	for (int i = 0; i < 2000 && outcome == 1; i++) {
		(void)!send(wire, record, sizeof(record), MSG_DONTWAIT | MSG_NOSIGNAL);
		fake_worker_run(worker);
		nd_take_all();
		poll(NULL, 0, 10);
	}
	cr_assert_eq(outcome, 0);
	cr_assert_eq(nic.frames, frames);
}

/* One that does not give back what it has got would wait for the host to take it, for ever. */
Test(netd_detach, a_guest_that_keeps_sections)
{
	int outcome;

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_open(0);
	nic.keeps = true;
	nd_begin_detach(1, 700, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, nd_is_over, &outcome), 0);
	cr_assert_eq(outcome, -ETIMEDOUT);
	cr_assert_eq(nd_detach(1, 0), 0, "by force");
}

static bool has_failed(void *arg)
{
	(void)arg;
	return vsp_failed(netd->nic[0]->netvsp.channel[0]);
}

/* It has sections, and is owed an answer; then it breaks its ring: none of it will ever come back, or be answered. */
Test(netd_detach, a_guest_that_has_broken_its_ring)
{
	static const uint8_t record[4 + 60] = {[3] = 60, [4] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8};
	unsigned int frames = 1;
	int outcome;

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_open(0);
	nic.keeps = true;
	frames += nic.frames;
	cr_assert_eq(send(wire, record, sizeof(record), 0), (ssize_t)sizeof(record));
	cr_assert_eq(fake_worker_run_until(worker, nd_has_frames, &frames), 0);
	cr_assert_eq(fake_nic_put_query(&nic, &peer, ND_CALL_ID, 3, OID_GEN_LINK_SPEED), 0);
	peer.out->write_index = 12;
	fake_kick(&peer);
	cr_assert_eq(fake_worker_run_until(worker, has_failed, NULL), 0);
	nd_begin_detach(1, 60000, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, nd_is_over, &outcome), 0, "it need not wait so long");
	cr_assert_eq(outcome, 0);
	cr_assert_eq(netd_nics(netd), 0);
	cr_assert(fake_worker_offer(worker, 0)->withdrawn);
}

/* By force: nothing passes any more, all is answered, and only then the channel goes. */
Test(netd_detach, a_busy_guest_is_forced_out)
{
	int outcome;

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_open(0);
	completed = refused = 0;
	nd_begin_detach(1, 0, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, nd_has_heard, &(uint32_t){RNDIS_STATUS_MEDIA_DISCONNECT}), 0);
	for (int i = 0; i < 40; i++)
		nd_send_frame();
	cr_assert_eq(fake_worker_run_until(worker, nd_is_over, &outcome), 0);
	cr_assert_eq(outcome, 0);
	cr_assert_eq(completed, 40);
	cr_assert_eq(refused, 40);
	cr_assert(nd_wire_closed(), "nothing has come there, either");
	cr_assert_eq(netd_nics(netd), 0);
}

/* It does not listen, either: what it has put into its ring before the channel goes is answered all the same. */
Test(netd_detach, a_guest_that_never_stops_is_forced_out)
{
	unsigned int sent;
	int outcome;

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_open(0);
	completed = 0;
	nd_begin_detach(1, 0, &outcome);
	sent = keep_sending(&outcome);
	cr_assert_eq(outcome, 0);
	nd_take_all();
	cr_assert_eq(completed, sent);
	cr_assert_eq(netd_nics(netd), 0);
}
