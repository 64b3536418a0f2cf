/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that breaks the rules of NVSP and RNDIS, or does not do its part: a status, and the next one is served. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-netd/sections.h"
#include "netvsp_fixture.h"

TestSuite(netvsp_hostile, .init = nv_init, .fini = nv_done, .timeout = 60);

/* ---- what it sends ---- */

/* Whatever is wrong: a status, and the next one is served. */
Test(netvsp_hostile, hostile_frames)
{
	static const struct {
		uint32_t section, len, at, value; /* of the message, a word of which is changed; at 0: none */
		uint32_t status;
	} cases[] = {
		{0, 0, 0, 0, NVSP_STATUS_INVALID_RNDIS_PACKET},
		{16, 104, 0, 0, NVSP_STATUS_FAILURE}, /* there are 16 sections */
		{0xfffffffe, 104, 0, 0, NVSP_STATUS_FAILURE},
		{0, 6145, 0, 0, NVSP_STATUS_FAILURE},
		{0, 104, 4, 105, NVSP_STATUS_INVALID_RNDIS_PACKET}, /* longer than the transfer */
		{0, 104, 4, 7, NVSP_STATUS_INVALID_RNDIS_PACKET},
		{0, 104, 8, 0xffffffff, NVSP_STATUS_INVALID_RNDIS_PACKET}, /* data_offset */
		{0, 104, 12, 61, NVSP_STATUS_INVALID_RNDIS_PACKET},	   /* data_len */
		{0, 104, 12, 13, NVSP_STATUS_FAILURE},			   /* no Ethernet header */
		{0, 104, 28, 36, NVSP_STATUS_SUCCESS},			   /* info, of no length */
		{0, 104, 32, 61, NVSP_STATUS_INVALID_RNDIS_PACKET},	   /* info_len without an offset */
		{0, 10, 0, 0, NVSP_STATUS_INVALID_RNDIS_PACKET},
	};
	uint8_t frame[60];

	nv_ready(NVSP_VERSION_61);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		nv_make_frame(frame, sizeof(frame));
		cr_assert_eq(fake_nic_build(fake_nic_section(&nic, 0), frame, sizeof(frame), NULL, 0), 104);
		if (cases[i].at)
			put_le32(fake_nic_section(&nic, 0) + cases[i].at, cases[i].value);
		cr_assert_eq(fake_nic_put_section(&peer, 50 + i, cases[i].section, cases[i].len), 0);
		nv_wait(FAKE_NIC_COMPLETED);
		cr_assert_eq(nic.completed_id, 50 + i);
		cr_assert_eq(nic.answer.rndis_packet_complete.status, cases[i].status, "case %zu: %u", i,
			     nic.answer.rndis_packet_complete.status);
	}
	nv_port.sent = 0;
	cr_assert_eq(fake_nic_put_frame(&nic, &peer, 7, 0, frame, sizeof(frame), NULL, 0), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nv_port.sent, 1);
}

Test(netvsp_hostile, longer_than_the_mtu)
{
	static uint8_t frame[1600];

	nv_ready(NVSP_VERSION_61);
	nv_make_frame(frame, sizeof(frame));
	cr_assert_eq(fake_nic_put_frame(&nic, &peer, 7, 0, frame, sizeof(frame), NULL, 0), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_FAILURE);
	cr_assert_eq(nv_port.sent, 0);
}

/* A section of the send buffer is filled again while what was in it waits for the port. */
Test(netvsp_hostile, a_section_that_is_used_again)
{
	uint8_t frame[60];

	nv_ready(NVSP_VERSION_61);
	nv_port.full = 2;
	for (uint32_t i = 0; i < 2; i++) {
		nv_make_frame(frame, sizeof(frame));
		frame[50] = (uint8_t)i;
		cr_assert_eq(fake_nic_put_frame(&nic, &peer, 7 + i, 3, frame, sizeof(frame), NULL, 0), 0);
		nv_idle();
	}
	nv_port.full = 0;
	nv_port.client.ops->writable(nv_port.client.arg, 0);
	for (uint32_t i = 0; i < 2; i++) {
		nv_wait(FAKE_NIC_COMPLETED);
		cr_assert_eq(nic.completed_id, 7 + i);
		cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_SUCCESS);
	}
	cr_assert_eq(nv_port.sent, 2);
	cr_assert_arr_eq(nv_port.bytes, frame, sizeof(frame));
	nv_idle();
}

static void send_control(uint64_t id, uint32_t type, uint32_t request_id)
{
	cr_assert_eq(fake_nic_put_control(&nic, &peer, id, type, &request_id, sizeof(request_id)), 0);
}

Test(netvsp_hostile, control_messages_before_their_time)
{
	const uint32_t filter = RNDIS_FILTER_DIRECTED;
	struct nvsp_message message = {.type = NVSP_MESSAGE_SUBCHANNEL};

	/* before a version is agreed on */
	send_control(7, RNDIS_MESSAGE_KEEPALIVE, 1);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_neq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_SUCCESS);
	message.subchannel_request.operation = NVSP_SUBCHANNEL_ALLOCATE;
	message.subchannel_request.count = 1;
	cr_assert_eq(nv_call(message), NVSP_STATUS_FAILURE);
	nv_negotiate(NVSP_VERSION_61);
	/* before INITIALIZE */
	cr_assert_eq(nv_set(OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), RNDIS_STATUS_FAILURE);
	cr_assert_eq(nv_port.settings.filter, 0);
	cr_assert_not(nv_port.listening);
	cr_assert_eq(nv_initialize(), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(nv_set(OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), RNDIS_STATUS_SUCCESS);
	nv_idle();
}

Test(netvsp_hostile, a_table_that_names_channels_that_are_not_there)
{
	nv_ready(NVSP_VERSION_61);
	cr_assert_eq(nv_set_rss(1), RNDIS_STATUS_INVALID_DATA, "none is there");
	nv_open_subs();
	for (uint32_t channel = NV_SUBS + 1; channel < 16; channel++)
		cr_assert_eq(nv_set_rss(channel), RNDIS_STATUS_INVALID_DATA);
	cr_assert_eq(nv_set_rss(0xffffffff), RNDIS_STATUS_INVALID_DATA);
	/* the one of before still counts */
	nv_port.in_len = 60;
	nv_make_frame(nv_port.in, 60);
	nv_deliver(1);
	fake_worker_run(worker);
	cr_assert(fake_peek(&subs[1]));
	nv_wait(FAKE_NIC_FRAMES);
}

/* ---- in the middle of traffic ---- */

static void fill_port(uint32_t frames)
{
	nv_port.full = 1000;
	for (uint32_t i = 0; i < frames; i++)
		nv_send(&peer, 7 + i, i);
	nv_idle();
	nv_port.in_len = 60;
	nv_make_frame(nv_port.in, 60);
	nic.keeps = true;
	nv_deliver(20);
	nv_wait(FAKE_NIC_FRAMES);
}

Test(netvsp_hostile, reset_in_the_middle_of_traffic)
{
	nv_ready(NVSP_VERSION_61);
	fill_port(3);
	send_control(50, RNDIS_MESSAGE_RESET, 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.completed_id, 50);
	nv_wait(FAKE_NIC_CONTROL);
	cr_assert_eq(get_le32(nic.message), RNDIS_MESSAGE_RESET | RNDIS_COMPLETION);
	cr_assert_eq(nv_port.settings.filter, 0, "to be set again");
	nv_port.full = 0;
	nv_port.client.ops->writable(nv_port.client.arg, 0);
	for (uint32_t i = 0; i < 3; i++)
		nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nv_port.sent, 3);
	nv_idle();
}

Test(netvsp_hostile, halt_in_the_middle_of_traffic)
{
	nv_ready(NVSP_VERSION_61);
	fill_port(3);
	send_control(50, RNDIS_MESSAGE_HALT, 1);
	for (uint32_t i = 0; i < 4; i++) {
		nv_wait(FAKE_NIC_COMPLETED);
		cr_assert_eq(nic.answer.rndis_packet_complete.status,
			     nic.completed_id == 50 ? NVSP_STATUS_SUCCESS : NVSP_STATUS_FAILURE);
	}
	cr_assert_eq(nv_port.sent, 0);
	cr_assert_not(nv_port.listening);
	/* what the guest still has comes back, and it begins again */
	cr_assert_eq(fake_put_completion(&peer, nic.kept_id, "12345678", 8), 0);
	nic.keeps = false;
	nv_port.full = 0;
	cr_assert_eq(nv_initialize(), RNDIS_STATUS_SUCCESS);
	nv_idle();
	cr_assert(nv_port.listening);
}

/* ---- what it does not do ---- */

/* A guest that gives back nothing gets no more than it has room for, and its control messages are answered. */
Test(netvsp_hostile, a_guest_that_keeps_all_sections)
{
	uint64_t frames;

	nv_ready(NVSP_VERSION_61);
	nv_port.in_len = 60;
	nv_make_frame(nv_port.in, 60);
	nic.keeps = true;
	for (int i = 0; i < 200 && nv_port.listening; i++) {
		nv_deliver(100);
		fake_worker_run(worker);
		while (fake_nic_poll(&nic, &peer) != FAKE_NIC_NOTHING)
			;
	}
	frames = nic.frames;
	cr_assert_not(nv_port.listening);
	cr_assert_leq(frames, nic.sections);
	cr_assert_geq(frames, nic.sections - 20);
	cr_assert_eq(nv_query(OID_GEN_LINK_SPEED), RNDIS_STATUS_SUCCESS);
	/* numbers that were never used, and one twice */
	cr_assert_eq(fake_put_completion(&peer, 0, "12345678", 8), 0);
	cr_assert_eq(fake_put_completion(&peer, UINT64_MAX, "12345678", 8), 0);
	cr_assert_eq(fake_put_completion(&peer, 1ull << 48 | 3, "12345678", 8), 0);
	cr_assert_eq(fake_put_completion(&peer, 1ull << 46 | 3, "12345678", 8), 0);
	nv_idle();
	cr_assert_not(nv_port.listening);
	cr_assert_eq(fake_put_completion(&peer, nic.kept_id - 1, "12345678", 8), 0);
	cr_assert_eq(fake_put_completion(&peer, nic.kept_id - 1, "12345678", 8), 0);
	nv_idle();
	cr_assert(nv_port.listening);
}

/* A full ring, more than is taken up at a time: all of it is answered before the NIC goes. */
Test(netvsp_hostile, a_full_ring_is_refused)
{
	unsigned int put = 0, completed = 0;
	uint8_t frame[60];

	nv_ready(NVSP_VERSION_61);
	nv_make_frame(frame, sizeof(frame));
	while (put < 800 && fake_nic_put_frame(&nic, &peer, 7, 0, frame, sizeof(frame), NULL, 0) == 0)
		put++;
	cr_assert_gt(put, 500);
	netvsp_refuse(&netvsp);
	while (fake_nic_poll(&nic, &peer) == FAKE_NIC_COMPLETED) {
		completed++;
		cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_FAILURE);
	}
	cr_assert_eq(completed, put);
	cr_assert_eq(nv_port.sent, 0);
}

/* What waits for the answer before it to leave is refused when no answer can come any more. */
Test(netvsp_hostile, control_messages_without_a_buffer)
{
	struct nvsp_message revoke = {.type = NVSP_MESSAGE_REVOKE_RECEIVE_BUFFER};

	nv_ready(NVSP_VERSION_61);
	nv_idle();
	/* the first one is done, but its answer finds no section */
	while (sections_take(&netvsp.sections) != SECTION_NONE)
		;
	for (uint32_t i = 0; i < 3; i++)
		cr_assert_eq(fake_nic_put_query(&nic, &peer, 7 + i, 70 + i, OID_GEN_LINK_SPEED), 0);
	revoke.revoke_buffer.id = NVSP_RECEIVE_BUFFER_ID;
	cr_assert_eq(fake_nic_put(&peer, 10, &revoke, true), 0);
	for (uint32_t completed = 0; completed < 4;) {
		enum fake_nic_event event = fake_nic_poll(&nic, &peer);

		completed += event == FAKE_NIC_COMPLETED;
		cr_assert_neq(event, FAKE_NIC_CONTROL);
		fake_worker_run(worker);
	}
	nv_idle();
	/* it is not for whoever lends the next one */
	cr_assert_eq(fake_nic_lend(&peer, 11, true), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.receive_buffer_complete.status, NVSP_STATUS_SUCCESS);
	nv_idle();
	cr_assert_eq(nv_query(OID_GEN_LINK_SPEED), RNDIS_STATUS_SUCCESS);
}

/* Answers lie in its sections for ever: questions wait once there are none left, and are answered when there are. */
Test(netvsp_hostile, a_guest_that_keeps_all_answers)
{
	uint32_t asked = 0, completed = 0, answered = 0;

	nv_ready(NVSP_VERSION_61);
	nic.keeps = true;
	for (uint32_t idle = 0; idle < 20; idle++) {
		enum fake_nic_event event;

		if (asked - completed < 8 &&
		    fake_nic_put_query(&nic, &peer, 5000 + asked, asked, OID_GEN_LINK_SPEED) == 0)
			asked++;
		fake_worker_run(worker);
		while ((event = fake_nic_poll(&nic, &peer)) != FAKE_NIC_NOTHING) {
			idle = 0;
			if (event == FAKE_NIC_COMPLETED)
				cr_assert_eq(nic.completed_id, 5000 + completed++);
			else
				answered++;
		}
	}
	/* the landing has one; the last question is carried out, and its answer waits */
	cr_assert_geq(answered, nic.sections - 20);
	cr_assert_leq(answered, nic.sections);
	cr_assert_leq(completed - answered, 1);
	cr_assert_eq(asked - completed, 8);
	nic.keeps = false;
	cr_assert_eq(fake_put_completion(&peer, nic.kept_id, "12345678", 8), 0);
	for (; answered < asked; answered++)
		nv_wait(FAKE_NIC_CONTROL);
	nv_idle();
}
