/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "abi/ring.h"
#include "base/bytes.h"
#include "netvsp_fixture.h"

TestSuite(netvsp, .init = nv_init, .fini = nv_done, .timeout = 60);

static const uint32_t versions[] = {
	NVSP_VERSION_1, NVSP_VERSION_2, NVSP_VERSION_4, NVSP_VERSION_5, NVSP_VERSION_6, NVSP_VERSION_61,
};

/* ---- control ---- */

ParameterizedTestParameters(netvsp, shakes_hands)
{
	return cr_make_param_array(const uint32_t, (uint32_t *)versions, ARRAY_SIZE(versions));
}

ParameterizedTest(const uint32_t *version, netvsp, shakes_hands)
{
	nv_ready(*version);
	cr_assert_eq(nic.section_bytes, 4096);
	cr_assert_eq(nic.sections, FAKE_NIC_RECEIVE_PAGES);
	cr_assert_eq(nv_query(OID_GEN_MAXIMUM_FRAME_SIZE), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(get_le32(nic.message + 24), 1500);
	cr_assert_eq(nv_query(OID_GEN_LINK_SPEED), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(get_le32(nic.message + 24), SETTINGS_DEFAULT_SPEED / 100);
	cr_assert_eq(nv_query(OID_802_3_PERMANENT_ADDRESS), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(nic.message[24], 2);
	cr_assert_eq(nv_query(OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(nic.message[24 + 144], *version == NVSP_VERSION_61, "coalescing");
	cr_assert_eq(nv_query(0x12345678), RNDIS_STATUS_NOT_SUPPORTED);
	nv_idle();
}

Test(netvsp, refuses_versions)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_INIT};

	message.init.min_version = message.init.max_version = 0x70000;
	cr_assert_eq(nv_call(message), NVSP_STATUS_PROTOCOL_TOO_NEW);
	message.init.min_version = message.init.max_version = 1;
	cr_assert_eq(nv_call(message), NVSP_STATUS_PROTOCOL_TOO_OLD);
	nv_negotiate(NVSP_VERSION_61);
	cr_assert_eq(nv_call(message), NVSP_STATUS_FAILURE);
}

Test(netvsp, nothing_goes_too_early_or_twice)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RECEIVE_BUFFER};

	cr_assert_eq(nv_call(message), NVSP_STATUS_FAILURE);
	cr_assert_eq(fake_nic_put_initialize(&nic, &peer, 5, 1), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_FAILURE);
	nv_negotiate(NVSP_VERSION_5);
	nv_send(&peer, 7, 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_FAILURE);
	cr_assert_eq(nv_port.sent, 0);
	message.send_buffer.gpadl = FAKE_NIC_RECEIVE_GPADL;
	cr_assert_eq(nv_call(message), NVSP_STATUS_FAILURE, "a second receive buffer");
	message.type = NVSP_MESSAGE_SEND_SEND_BUFFER;
	cr_assert_eq(nv_call(message), NVSP_STATUS_FAILURE, "a second send buffer");
	message.type = 4711;
	cr_assert_eq(fake_nic_put(&peer, 8, &message, true), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer_len, 0);
	cr_assert_eq(nv_initialize(), RNDIS_STATUS_SUCCESS);
}

Test(netvsp, a_buffer_that_is_none)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_INIT};

	message.init.min_version = message.init.max_version = NVSP_VERSION_61;
	cr_assert_eq(nv_call(message), NVSP_STATUS_SUCCESS);
	message = (struct nvsp_message){.type = NVSP_MESSAGE_SEND_RECEIVE_BUFFER};
	message.send_buffer.gpadl = 99;
	cr_assert_eq(nv_call(message), NVSP_STATUS_FAILURE);
	message.send_buffer.gpadl = FAKE_NIC_SEND_GPADL;
	cr_assert_eq(nv_call(message), NVSP_STATUS_FAILURE, "too small");
	message.send_buffer.gpadl = FAKE_NIC_RECEIVE_GPADL;
	cr_assert_eq(nv_call(message), NVSP_STATUS_SUCCESS);
}

Test(netvsp, revoke)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_REVOKE_RECEIVE_BUFFER};
	int outcome;

	nv_ready(NVSP_VERSION_61);
	cr_assert_eq(fake_nic_put(&peer, 0, &message, false), 0);
	message.type = NVSP_MESSAGE_REVOKE_SEND_BUFFER;
	cr_assert_eq(fake_nic_put(&peer, 0, &message, false), 0);
	nv_idle();
	cr_assert_not(nv_port.listening);
	cr_assert_eq(fake_nic_put_initialize(&nic, &peer, 5, 1), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_INVALID_RNDIS_PACKET);
	cr_assert_eq(fake_nic_lend(&peer, 6, true), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.receive_buffer_complete.status, NVSP_STATUS_SUCCESS);
	/* by VMBus, without a word before */
	fake_worker_revoke_begin(worker, 0, FAKE_NIC_RECEIVE_GPADL, &outcome);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 0);
	cr_assert_not(nv_port.listening);
}

/* The request is a successor's, or, as here, nobody's. */
Test(netvsp, a_buffer_that_comes_too_late)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_REVOKE_RECEIVE_BUFFER};
	int outcome;

	nv_ready(NVSP_VERSION_61);
	cr_assert_eq(fake_nic_put(&peer, 0, &message, false), 0);
	nv_idle();
	fake_worker_hold_lends(worker);
	cr_assert_eq(fake_nic_lend(&peer, 6, true), 0);
	fake_worker_run(worker);
	fake_worker_close_begin(worker, 0, &outcome);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 1);
	fake_worker_answer_lends(worker);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 0);
	cr_assert_eq(fake_nic_poll(&nic, &peer), FAKE_NIC_NOTHING);
}

Test(netvsp, closes_and_opens)
{
	for (int i = 0; i < 3; i++) {
		nv_ready(NVSP_VERSION_61);
		nv_open_subs();
		for (size_t s = 0; s < NV_SUBS; s++)
			cr_assert_eq(fake_worker_close(worker, 1 + s), 0);
		cr_assert_eq(fake_worker_close(worker, 0), 0);
		cr_assert_not(nv_port.connected);
		fake_channel_reset(&peer);
		for (size_t s = 0; s < NV_SUBS; s++)
			fake_channel_reset(&subs[s]);
		cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
	}
}

Test(netvsp, link)
{
	nv_ready(NVSP_VERSION_61);
	nv_port.up = false;
	nv_port.client.ops->link(nv_port.client.arg, false);
	nv_wait(FAKE_NIC_CONTROL);
	cr_assert_eq(get_le32(nic.message), RNDIS_MESSAGE_INDICATE_STATUS);
	cr_assert_eq(get_le32(nic.message + 8), RNDIS_STATUS_MEDIA_DISCONNECT);
	nv_port.client.ops->link(nv_port.client.arg, false);
	nv_idle();
	cr_assert_eq(nv_query(OID_GEN_MEDIA_CONNECT_STATUS), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(get_le32(nic.message + 24), NDIS_MEDIA_DISCONNECTED);
	nv_port.up = true;
	nv_port.client.ops->link(nv_port.client.arg, true);
	nv_wait(FAKE_NIC_CONTROL);
	cr_assert_eq(get_le32(nic.message + 8), RNDIS_STATUS_MEDIA_CONNECT);
}

Test(netvsp, settings_change)
{
	struct nic_settings settings = netvsp.settings;

	nv_ready(NVSP_VERSION_61);
	settings.speed = 1000000000;
	settings.mtu = 9000;
	netvsp_set(&netvsp, &settings);
	nv_wait(FAKE_NIC_CONTROL);
	cr_assert_eq(get_le32(nic.message + 8), RNDIS_STATUS_LINK_SPEED_CHANGE);
	cr_assert_eq(get_le32(nic.message + 20), 10000000);
	cr_assert_eq(nv_query(OID_GEN_MAXIMUM_FRAME_SIZE), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(get_le32(nic.message + 24), 9000);
	nv_idle();
}

Test(netvsp, halt_and_again)
{
	uint32_t id = 9;

	nv_ready(NVSP_VERSION_61);
	cr_assert_eq(fake_nic_put_control(&nic, &peer, 5, RNDIS_MESSAGE_HALT, &id, 4), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	nv_idle();
	cr_assert_not(nv_port.listening);
	cr_assert_eq(nv_port.settings.filter, 0);
	cr_assert_eq(nv_set(OID_GEN_CURRENT_PACKET_FILTER, &id, 4), RNDIS_STATUS_FAILURE);
	cr_assert_eq(nv_initialize(), RNDIS_STATUS_SUCCESS);
	cr_assert(nv_port.listening);
}

/* A guest that sends many at once, and gives back nothing: each is answered, in order, as soon as the one before is
 * gone. */
Test(netvsp, control_messages_in_a_row)
{
	uint32_t completed = 0, answered = 0;

	nv_ready(NVSP_VERSION_61);
	for (uint32_t i = 0; i < 20; i++)
		cr_assert_eq(fake_nic_put_query(&nic, &peer, 100 + i, 500, OID_GEN_LINK_SPEED), 0);
	while (completed < 20 || answered < 20) {
		enum fake_nic_event event;

		fake_worker_run(worker);
		event = fake_nic_poll(&nic, &peer);
		cr_assert_neq(event, FAKE_NIC_NOTHING);
		if (event == FAKE_NIC_COMPLETED)
			cr_assert_eq(nic.completed_id, 100 + completed++);
		else
			answered++;
	}
	nv_idle();
}

/* ---- frames of the guest ---- */

Test(netvsp, sends)
{
	static uint8_t frame[1514];

	nv_ready(NVSP_VERSION_61);
	nv_make_frame(frame, sizeof(frame));
	cr_assert_eq(fake_nic_put_frame(&nic, &peer, 7, 3, frame, sizeof(frame), NULL, 0), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.completed_id, 7);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_SUCCESS);
	cr_assert_eq(nv_port.sent, 1);
	cr_assert_gt(nv_port.ends, 0);
	cr_assert_eq(nv_port.frame.len, sizeof(frame));
	cr_assert_arr_eq(nv_port.bytes, frame, sizeof(frame));
	cr_assert_not(nv_port.frame.tagged);
	cr_assert_eq(nv_port.frame.hdr.flags, 0);
}

Test(netvsp, sends_several_at_once)
{
	uint8_t frame[100], *to = fake_nic_section(&nic, 2);
	size_t len = 0;

	nv_ready(NVSP_VERSION_61);
	nv_make_frame(frame, sizeof(frame));
	for (int i = 0; i < 5; i++)
		len += fake_nic_build(to + len, frame, sizeof(frame), NULL, 0);
	cr_assert_eq(fake_nic_put_section(&peer, 7, 2, (uint32_t)len), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nv_port.sent, 5);
	cr_assert_arr_eq(nv_port.bytes, frame, sizeof(frame));
	/* the last one is broken: those before have gone */
	put_le32(to + len - sizeof(frame) - 44 + 12, 5000);
	cr_assert_eq(fake_nic_put_section(&peer, 8, 2, (uint32_t)len), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_INVALID_RNDIS_PACKET);
	cr_assert_eq(nv_port.sent, 9);
}

/* Head in the send buffer, the rest in pages; LSO, and a tag beside. */
Test(netvsp, sends_a_large_one)
{
	static uint8_t bytes[40000], frame[30000];
	const struct fake_info info[] = {{RNDIS_INFO_LARGE_SEND, 1448 | 34u << 20 | RNDIS_LSO_VERSION_2},
					 {RNDIS_INFO_8021Q, 5 | 77u << 4}};
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET};
	uint64_t pages[9];
	size_t len;

	nv_ready(NVSP_VERSION_61);
	nv_make_frame(frame, sizeof(frame));
	len = fake_nic_build(bytes, frame, sizeof(frame), info, 2);
	memcpy(fake_nic_section(&nic, 1), bytes, 76);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = fake_guest_alloc(&guest, 1);
		memcpy(fake_guest_ptr(&guest, pages[i]), bytes + 76 + i * 4096, MIN(len - 76 - i * 4096, (size_t)4096));
		if (76 + (i + 1) * 4096 >= len)
			break;
	}
	message.rndis_packet.section = 1;
	message.rndis_packet.section_bytes = 76;
	cr_assert_eq(fake_put_pages(&peer, 7, pages, (len - 76 + 4095) / 4096, 0, (uint32_t)len - 76, &message, 40), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_SUCCESS);
	cr_assert_eq(nv_port.sent, 1);
	cr_assert_eq(nv_port.frame.len, sizeof(frame));
	cr_assert_arr_eq(nv_port.bytes, frame, sizeof(frame));
	cr_assert_eq(nv_port.frame.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	cr_assert_eq(nv_port.frame.hdr.gso_size, 1448);
	cr_assert(nv_port.frame.tagged);
	cr_assert_eq(nv_port.frame.tag, 5 << 13 | 77);
}

Test(netvsp, waits_for_the_port)
{
	static uint8_t frame[1514];

	nv_ready(NVSP_VERSION_61);
	nv_port.full = 1;
	for (uint32_t i = 0; i < 4; i++) {
		nv_make_frame(frame, sizeof(frame));
		frame[100] = (uint8_t)i;
		cr_assert_eq(fake_nic_put_frame(&nic, &peer, 7 + i, i, frame, sizeof(frame), NULL, 0), 0);
	}
	nv_idle();
	cr_assert_eq(nv_port.sent, 0);
	nv_port.client.ops->writable(nv_port.client.arg, 0);
	for (uint32_t i = 0; i < 4; i++) {
		nv_wait(FAKE_NIC_COMPLETED);
		cr_assert_eq(nic.completed_id, 7 + i);
	}
	cr_assert_eq(nv_port.sent, 4);
	cr_assert_eq(nv_port.bytes[100], 3);
}

Test(netvsp, a_close_does_not_wait_for_the_port)
{
	nv_ready(NVSP_VERSION_61);
	nv_port.full = 1;
	nv_send(&peer, 7, 0);
	nv_idle();
	cr_assert_eq(fake_worker_close(worker, 0), 0);
	cr_assert_eq(nv_port.sent, 0);
}

/* The guest leaves a sub-channel open: what waits there is answered. */
Test(netvsp, a_close_of_the_primary_channel_only)
{
	nv_ready(NVSP_VERSION_61);
	nv_open_subs();
	nv_port.full = 1;
	nv_send(&subs[0], 7, 0);
	nv_idle();
	cr_assert_eq(fake_worker_close(worker, 0), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.completed_id, 7);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_FAILURE);
	cr_assert_eq(nv_port.sent, 0);
}

/* ---- frames for the guest ---- */

Test(netvsp, receives)
{
	nv_ready(NVSP_VERSION_61);
	nv_port.in_len = 1514;
	nv_make_frame(nv_port.in, 1514);
	nv_port.received.hdr.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	nv_port.received.tagged = true;
	nv_port.received.tag = 3 << 13 | 1 << 12 | 99;
	nv_deliver(1);
	nv_wait(FAKE_NIC_FRAMES);
	cr_assert_eq(nic.frames, 1);
	cr_assert_eq(nic.frame_len, 1514);
	cr_assert_eq(nic.parts, 1);
	cr_assert_arr_eq(nic.frame, nv_port.in, 1514);
	cr_assert_eq(nic.info[RNDIS_INFO_CHECKSUM], RNDIS_RX_TCP_SUCCEEDED);
	cr_assert_eq(nic.info[RNDIS_INFO_8021Q], 3 | 8 | 99 << 4);
	nv_idle();
	cr_assert(nv_port.listening);
}

Test(netvsp, receives_many_in_few_packets)
{
	uint64_t interrupts = 0;

	nv_ready(NVSP_VERSION_61);
	nv_port.in_len = 60;
	nv_make_frame(nv_port.in, 60);
	while (nic.frames < 5000) {
		nv_deliver(100);
		fake_worker_run(worker);
		while (fake_nic_poll(&nic, &peer) != FAKE_NIC_NOTHING)
			interrupts++;
	}
	cr_assert_eq(nic.frames, 5000);
	cr_assert_leq(interrupts, 100);
	cr_assert_eq(nic.bad, 0);
}

static void coalesce(void)
{
	struct ndis_offload_parameters parameters = {
		.header = {NDIS_OBJECT_DEFAULT, 3, sizeof(parameters)},
		.tcp_ipv4_checksum = NDIS_PARAMETER_TX_RX_ENABLED,
		.rsc_ipv4 = NDIS_PARAMETER_ENABLED,
		.rsc_ipv6 = NDIS_PARAMETER_ENABLED,
	};

	cr_assert_eq(nv_set(OID_TCP_OFFLOAD_PARAMETERS, &parameters, sizeof(parameters)), RNDIS_STATUS_SUCCESS);
}

/* Over everything from @from on, as it is in TCP. */
static bool sums_up(const uint8_t *frame, size_t from, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = from; i < len; i++)
		sum += (i - from) % 2 ? frame[i] : (uint32_t)frame[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* A guest may check for itself, and would take none whose checksum is not filled in. */
Test(netvsp, receives_coalesced)
{
	static const size_t lens[] = {65549, 3968, 3969, 60, 40000};

	nv_ready(NVSP_VERSION_61);
	coalesce();
	nv_port.received.hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	nv_port.received.hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	nv_port.received.hdr.csum_start = 34;
	nv_port.received.hdr.csum_offset = 16;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		nv_port.in_len = lens[i];
		nv_make_frame(nv_port.in, lens[i]);
		put_be16(nv_port.in + 50, 0);
		nic.frames = 0;
		nv_deliver(7);
		while (nic.frames < 7)
			nv_wait(FAKE_NIC_FRAMES);
		cr_assert_eq(nic.frame_len, lens[i]);
		cr_assert_eq(nic.parts, (lens[i] + 3967) / 3968);
		cr_assert(sums_up(nic.frame, 34, lens[i]));
		memcpy(nic.frame + 50, nv_port.in + 50, 2);
		cr_assert_arr_eq(nic.frame, nv_port.in, lens[i]);
		cr_assert_eq(nic.info[RNDIS_INFO_CHECKSUM], RNDIS_RX_TCP_SUCCEEDED);
	}
	nv_idle();
}

/* What might leave the guest again has its checksum. */
Test(netvsp, fills_in_checksums)
{
	nv_ready(NVSP_VERSION_61);
	nv_port.in_len = 100;
	nv_make_frame(nv_port.in, 100);
	put_be16(nv_port.in + 50, 0);
	nv_port.received.hdr =
		(struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};
	nv_deliver(1);
	nv_wait(FAKE_NIC_FRAMES);
	cr_assert(sums_up(nic.frame, 34, 100));
	nv_port.received.hdr.csum_start = 90;
	nv_deliver(1);
	nv_wait(FAKE_NIC_FRAMES);
	cr_assert_arr_eq(nic.frame, nv_port.in, 100);
}

Test(netvsp, scales)
{
	nv_ready(NVSP_VERSION_61);
	nv_open_subs();
	nv_port.in_len = 60;
	nv_make_frame(nv_port.in, 60);
	nv_deliver(3);
	fake_worker_run(worker);
	cr_assert_not(fake_peek(&peer));
	cr_assert(fake_peek(&subs[1]));
	nv_wait(FAKE_NIC_FRAMES);
	cr_assert_eq(nic.frames, 3);
	cr_assert(nic.has_info & 1u << RNDIS_INFO_HASH);
	/* not IP: the primary one */
	put_be16(nv_port.in + 12, 0x88b5);
	nv_deliver(1);
	fake_worker_run(worker);
	cr_assert(fake_peek(&peer));
	nv_wait(FAKE_NIC_FRAMES);
	/* the guest has closed it */
	cr_assert_eq(fake_worker_close(worker, 2), 0);
	nv_make_frame(nv_port.in, 60);
	nv_deliver(1);
	fake_worker_run(worker);
	cr_assert(fake_peek(&peer));
}

Test(netvsp, sends_on_all_channels)
{
	nv_ready(NVSP_VERSION_61);
	nv_open_subs();
	nv_send(&subs[0], 7, 1);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_SUCCESS);
	cr_assert_eq(nv_port.queue, 1);
	/* what is not for them */
	cr_assert_eq(fake_nic_put_initialize(&nic, &subs[0], 8, 1), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_FAILURE);
	cr_assert_eq(fake_nic_lend(&subs[0], 9, true), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.send_buffer_complete.status, NVSP_STATUS_FAILURE);
	/* without the primary one */
	cr_assert_eq(fake_worker_close(worker, 0), 0);
	nv_send(&subs[0], 10, 1);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_FAILURE);
	cr_assert_eq(nv_port.sent, 1);
}

/* ---- statistics ---- */

static const struct stats_class *transfers(void)
{
	return &netvsp.stats->class[STATS_NIC_TRANSFER];
}

static const struct stats_channel *own_channel(void)
{
	return &vsp_stats(vsp)->block->channel[0];
}

Test(netvsp, counts)
{
	uint8_t frame[100], *to = fake_nic_section(&nic, 2);
	size_t len = 0;

	nv_ready(NVSP_VERSION_61);
	cr_assert_eq(transfers()->reqs, 0, "what is no frame is no transfer");
	nv_make_frame(frame, sizeof(frame));
	for (int i = 0; i < 3; i++)
		len += fake_nic_build(to + len, frame, sizeof(frame), NULL, 0);
	nv_port.full = 1;
	cr_assert_eq(fake_nic_put_section(&peer, 7, 2, (uint32_t)len), 0);
	nv_idle();
	cr_assert_eq(netvsp.stats->queue, 1);
	nv_port.client.ops->writable(nv_port.client.arg, 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert(netvsp.stats->queue == 0 && netvsp.stats->queue_peak == 1);
	cr_assert(transfers()->reqs == 1 && transfers()->bytes == 300 && transfers()->errors == 0);
	put_le32(to + 12, 5000);
	cr_assert_eq(fake_nic_put_section(&peer, 8, 2, (uint32_t)len), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert(transfers()->reqs == 2 && transfers()->bytes == 300 && transfers()->errors == 1);
	cr_assert_eq(transfers()->timed, 2);
	cr_assert(!strcmp(own_channel()->name, "net0") && own_channel()->kicks > 0 && own_channel()->interrupts > 0);
	nv_restart(0);
	nv_idle();
	cr_assert_eq(transfers()->reqs, 2, "a successor goes on");
	cr_assert_eq(netvsp.stats->count[STATS_NIC_LOST], netvsp_dropped(&netvsp));
}

Test(netvsp, who_closes_has_nothing_under_way)
{
	nv_ready(NVSP_VERSION_61);
	nv_port.full = 3;
	for (uint64_t i = 0; i < 3; i++)
		nv_send(&peer, 7 + i, (uint32_t)i);
	nv_idle();
	cr_assert_eq(netvsp.stats->queue, 3);
	cr_assert_eq(fake_worker_close(worker, 0), 0);
	cr_assert_eq(netvsp.stats->queue, 0);
}

/* Not only when the NIC is opened the next time. */
Test(netvsp, what_the_port_loses_is_counted_while_it_serves)
{
	nv_ready(NVSP_VERSION_61);
	nv_port.lost = 2;
	nv_send(&peer, 7, 1);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert(nv_port.lost == 0 && netvsp_dropped(&netvsp) == 2);
	nv_port.lost = 1;
	nv_port.client.ops->writable(nv_port.client.arg, 0);
	cr_assert(nv_port.lost == 0 && netvsp_dropped(&netvsp) == 3);
	cr_assert_eq(netvsp.stats->count[STATS_NIC_LOST], 3);
}

/* ---- recovery ---- */

/* Three frames are in the guest's hands, on the second sub-channel. */
static void keep_three(void)
{
	nv_ready(NVSP_VERSION_61);
	nv_open_subs();
	nv_port.in_len = 60;
	nv_make_frame(nv_port.in, 60);
	nic.keeps = true;
	nv_deliver(3);
	nv_wait(FAKE_NIC_FRAMES);
	nic.keeps = false;
}

static uint32_t sections_held(void)
{
	return nic.sections - netvsp.sections.free - netvsp.landing.sections;
}

Test(netvsp, a_successor_goes_on)
{
	keep_three();
	memset(&nv_port.settings, 0, sizeof(nv_port.settings));
	nv_restart(NV_SUBS);
	fake_worker_run(worker);
	cr_assert_eq(nv_port.settings.filter, RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST);
	cr_assert(nv_port.listening);
	cr_assert_eq(sections_held(), 3, "the guest has three");
	cr_assert_eq(netvsp_dropped(&netvsp), 0);
	cr_assert_eq(fake_put_completion(&subs[1], nic.kept_id, "12345678", 8), 0);
	nv_idle();
	cr_assert_eq(sections_held(), 0);
	nv_deliver(2);
	nv_wait(FAKE_NIC_FRAMES);
	nv_send(&peer, 7, 1);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nv_port.sent, 1);
	cr_assert_eq(nv_query(OID_GEN_LINK_SPEED), RNDIS_STATUS_SUCCESS);
}

/* The guest closes a sub-channel while nobody serves. */
Test(netvsp, a_sub_channel_that_has_gone_holds_nothing)
{
	keep_three();
	nv_restart(NV_SUBS - 1);
	fake_worker_run(worker);
	cr_assert_eq(sections_held(), 0);
	cr_assert_eq(netvsp_dropped(&netvsp), 0, "the guest has had them");
	nv_deliver(1);
	nv_wait(FAKE_NIC_FRAMES);
}

/* The last sub-channel, of which the guest holds three sections, cannot be taken over. */
static void strand(void)
{
	static const uint8_t nothing[64];
	int outcome;

	keep_three();
	cr_assert_eq(pwrite(fake_worker_offer(worker, NV_SUBS)->block_fd, nothing, sizeof(nothing), 0),
		     (ssize_t)sizeof(nothing));
	nv_restart_begin(NV_SUBS - 1);
	fake_worker_open_begin(worker, NV_SUBS, &subs[NV_SUBS - 1], true, NULL, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, nv_is_over, &outcome), 0);
	cr_assert_lt(outcome, 0);
}

Test(netvsp, a_sub_channel_that_cannot_be_taken_over_keeps_what_it_has)
{
	strand();
	cr_assert_eq(fake_worker_resumed(worker), 0);
	fake_worker_run(worker);
	cr_assert_eq(sections_held(), 3);
	cr_assert_not(netvsp_guest_holds(&netvsp), "they do not come back");
	nic.keeps = true;
	nv_deliver(1);
	nv_wait(FAKE_NIC_FRAMES);
	cr_assert(netvsp_guest_holds(&netvsp), "this one does");
	nic.keeps = false;
	cr_assert_eq(fake_put_completion(&peer, nic.kept_id, "12345678", 8), 0);
	nv_idle();
	cr_assert_eq(sections_held(), 3);
	cr_assert_not(netvsp_guest_holds(&netvsp));
	fake_channel_reset(&subs[NV_SUBS - 1]);
	cr_assert_eq(fake_worker_open(worker, NV_SUBS, &subs[NV_SUBS - 1]), 0);
	cr_assert_eq(sections_held(), 0);
}

Test(netvsp, a_stranded_channel_is_closed_before_all_are_there)
{
	strand();
	fake_worker_run(worker);
	cr_assert(netvsp_guest_holds(&netvsp), "it is not known yet");
	cr_assert_eq(fake_worker_close(worker, NV_SUBS), 0);
	cr_assert_eq(fake_worker_resumed(worker), 0);
	fake_worker_run(worker);
	cr_assert_not(netvsp_guest_holds(&netvsp));
	cr_assert_not(vsp_stranded(netvsp.channel[0], NV_SUBS));
	cr_assert_eq(sections_held(), 0);
	cr_assert_eq(netvsp_dropped(&netvsp), 0, "the guest has had them");
}

Test(netvsp, a_stranded_channel_is_closed)
{
	strand();
	cr_assert_eq(fake_worker_resumed(worker), 0);
	fake_worker_run(worker);
	cr_assert_eq(sections_held(), 3);
	cr_assert(vsp_stranded(netvsp.channel[0], NV_SUBS));
	cr_assert_eq(fake_worker_close(worker, NV_SUBS), 0);
	cr_assert_not(vsp_stranded(netvsp.channel[0], NV_SUBS));
	cr_assert_eq(sections_held(), 0);
	cr_assert_not(netvsp_guest_holds(&netvsp));
}

/* The primary channel waits for a buffer; its sub-channels are closed before it. */
Test(netvsp, what_the_guest_has_at_a_hand_over_stays_with_it)
{
	struct nvsp_message revoke = {.type = NVSP_MESSAGE_REVOKE_SEND_BUFFER};
	int outcome;

	keep_three();
	revoke.revoke_buffer.id = NVSP_SEND_BUFFER_ID;
	cr_assert_eq(fake_nic_put(&peer, 0, &revoke, false), 0);
	nv_idle();
	fake_worker_hold_lends(worker);
	cr_assert_eq(fake_nic_lend(&peer, 6, false), 0);
	nv_idle();
	fake_worker_quiesce_begin(worker, &outcome);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 1);
	cr_assert_not(nv_port.listening, "what comes is the successor's");
	nv_restart(NV_SUBS);
	fake_worker_answer_lends(worker);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(sections_held(), 3);
	cr_assert_eq(fake_put_completion(&subs[1], nic.kept_id, "12345678", 8), 0);
	nv_idle();
	cr_assert_eq(sections_held(), 0);
	cr_assert_eq(netvsp_dropped(&netvsp), 0);
}

/* What comes between two services is dropped by neither. */
Test(netvsp, the_port_waits_for_a_successor)
{
	nv_ready(NVSP_VERSION_61);
	cr_assert_eq(fake_worker_hand_over(worker), 0);
	cr_assert(nv_port.held && !nv_port.connected);
	nv_restart(0);
	cr_assert(nv_port.connected);
	cr_assert_neq(nv_port.settings_then.filter, 0, "from the beginning it knows what its guest takes");
	cr_assert_eq(fake_worker_close(worker, 0), 0);
	cr_assert(!nv_port.held && !nv_port.connected, "nobody takes it");
}

/* It closes its NIC meanwhile, and opens it again: nothing of what was is its. */
Test(netvsp, what_waits_for_a_successor_is_not_for_another_life)
{
	nv_ready(NVSP_VERSION_61);
	cr_assert(nv_port.began_empty);
	cr_assert_eq(fake_worker_hand_over(worker), 0);
	nv_restart(0);
	cr_assert_not(nv_port.began_empty);
	cr_assert_eq(fake_worker_hand_over(worker), 0);
	nv_restart_begin(NV_NOTHING);
	cr_assert_not(nv_port.connected);
	nv_port.lost = 3;
	fake_channel_reset(&peer);
	cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
	cr_assert(nv_port.connected && nv_port.began_empty);
	cr_assert_eq(nv_port.lost, 0);
	cr_assert_eq(netvsp.stats->count[STATS_NIC_LOST], 3);
	cr_assert_eq(netvsp_dropped(&netvsp), 0, "not since it was opened");
}

Test(netvsp, what_waited_for_the_port_is_sent_by_the_successor)
{
	nv_ready(NVSP_VERSION_61);
	nv_port.full = 1;
	nv_send(&peer, 7, 1);
	nv_idle();
	nv_restart(0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.completed_id, 7);
	cr_assert_eq(nv_port.sent, 1);
	cr_assert_eq(netvsp_dropped(&netvsp), 0);
}

Test(netvsp, the_link_changes_while_nobody_serves)
{
	nv_ready(NVSP_VERSION_61);
	nv_port.up = false;
	nv_restart(0);
	nv_wait(FAKE_NIC_CONTROL);
	cr_assert_eq(get_le32(nic.message + 8), RNDIS_STATUS_MEDIA_DISCONNECT);
	nv_restart(0);
	nv_idle();
}
