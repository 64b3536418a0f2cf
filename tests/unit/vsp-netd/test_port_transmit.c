/* SPDX-License-Identifier: Apache-2.0 */
/* A port over a stream: what becomes of what the guest sends, and of segments that are too long. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "port_fixture.h"

TestSuite(port_transmit, .init = pf_init, .fini = pf_done, .timeout = 20);

/* ---- from the guest ---- */

Test(port_transmit, sends_a_frame_as_it_is)
{
	struct port_frame *frame = pf_tcp4(500);

	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	cr_assert_eq(pf_take(), 554);
	cr_assert_eq(memcmp(wire, frame->head, 54), 0);
	cr_assert_eq(memcmp(wire + 54, frame->rest[0].iov_base, 500), 0);
}

Test(port_transmit, fills_in_checksums)
{
	struct port_frame *frame = pf_tcp4(501);

	frame->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	cr_assert_eq(pf_take(), 555);
	pf_check_wire(555, 14);
}

Test(port_transmit, puts_the_tag_into_the_frame)
{
	struct port_frame *frame = pf_tcp4(501);

	frame->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	frame->tagged = true;
	frame->tag = 42;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	cr_assert_eq(pf_take(), 559);
	cr_assert_eq(get_be32(wire + 12), 0x8100002a);
	pf_check_wire(559, 18);
}

static void send_long(size_t payload, size_t step)
{
	struct port_frame *frame = pf_tcp4(payload);

	frame->hdr = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000};
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	for (size_t at = 0, i = 0; at < payload; at += step, i++) {
		size_t len = MIN(step, payload - at);
		bool last = at + len == payload;

		cr_assert_eq(pf_take(), 54 + len);
		pf_check_wire(54 + len, 14);
		cr_assert_eq(get_be16(wire + 18), 77 + i);
		cr_assert_eq(get_be32(wire + 38), 1000 + at);
		cr_assert_eq(wire[47], last ? 0x19 : 0x10);
		cr_assert_eq(memcmp(wire + 54, (uint8_t *)frame->rest[0].iov_base + at, len), 0);
	}
	cr_assert(pf_nothing_sent());
}

Test(port_transmit, cuts_what_is_too_long_for_a_vm)
{
	send_long(10500, 1000);
}

Test(port_transmit, leaves_to_passt_what_it_takes)
{
	pf_plug_into_passt();
	send_long(10500, 32000);
	send_long(60000, 32000);
}

/* What passt gets as the longest segment, of a guest that says @mss. */
static unsigned int raised(unsigned int mss, bool partial)
{
	static const uint8_t options[] = {1, 1, 3, 3, 7, 1, 2, 4};
	struct port_frame *frame = pf_tcp4(0);
	uint8_t *tcp = frame->head + 34, pseudo[4] = {0, 6, 0, 32};
	struct checksum checksum = {0};

	frame->rests = 0;
	frame->len = frame->head_len = 66;
	put_be16(frame->head + 16, 52);
	put_be16(frame->head + 24, (uint16_t)~pf_sum(frame->head + 14, 20, checksum));
	tcp[12] = 0x80;
	tcp[13] = 0x12; /* SYN, ACK */
	memcpy(tcp + 20, options, sizeof(options));
	put_be16(tcp + 28, (uint16_t)mss);
	checksum_add(&checksum, frame->head + 26, 8);
	checksum_add(&checksum, pseudo, 4);
	put_be16(tcp + 16, (uint16_t)~pf_sum(tcp, 32, checksum));
	frame->hdr.flags = partial ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	cr_assert_eq(pf_take(), 66);
	pf_check_wire(66, 14);
	return get_be16(wire + 62);
}

Test(port_transmit, passt_may_send_longer_segments)
{
	cr_assert_eq(raised(1460, false), 1460, "to who is no passt");
	pf_plug_into_passt();
	cr_assert_eq(raised(1460, true), SEGMENT);
	cr_assert_eq(raised(1460, false), SEGMENT);
	cr_assert_eq(raised(1459, false), 1459, "the guest knows why");
	cr_assert_eq(raised(9000, true), 9000);
}

Test(port_transmit, longer_segments_are_cut_for_the_guest)
{
	const uint8_t *payload;
	size_t at = 0;

	pf_plug_into_passt();
	payload = pf_put_long();
	for (unsigned int i = 0; at < SEGMENT; i++) {
		size_t len = MIN((size_t)1460, SEGMENT - at);

		if (i == 3) { /* there may be no room in between */
			readable = 0;
			port_listen(port, 0, true);
			while (!readable)
				cr_assert_eq(loop_run_once(loop, true), 0);
		}
		cr_assert_eq(pf_get(), 1);
		cr_assert_eq(received.len, 54 + len);
		cr_assert_eq(received.hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		memcpy(wire, room, received.len);
		pf_check_wire(received.len, 14);
		cr_assert_eq(get_be32(wire + 38), 1000 + at);
		cr_assert_eq(wire[47], at + len == SEGMENT ? 0x19 : 0x10);
		cr_assert_eq(memcmp(wire + 54, payload + at, len), 0);
		at += len;
	}
	cr_assert_eq(pf_get(), -EAGAIN);
}

Test(port_transmit, longer_segments_are_given_to_who_takes_them)
{
	const uint8_t *payload;

	memset(guest.offload, 0xff, sizeof(guest.offload));
	pf_plug_into_passt();
	payload = pf_put_long();
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(received.len, 54 + SEGMENT);
	cr_assert_eq(received.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	cr_assert_eq(received.hdr.gso_size, 1460);
	cr_assert_eq(memcmp(room + 54, payload, SEGMENT), 0);
	cr_assert_eq(pf_get(), -EAGAIN);
}

/* What is left of one is nobody's any more. */
Test(port_transmit, a_cut_segment_ends_with_its_guest)
{
	pf_plug_into_passt();
	pf_put_long();
	cr_assert_eq(pf_get(), 1);
	port_connect(port, NULL);
	port_connect(port, &client);
	port_set(port, &guest);
	cr_assert_eq(pf_get(), -EAGAIN);
	pf_put(mac, FRAME_LEN);
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(received.len, FRAME_LEN);
}

/* Each segment once, and in order, whenever there is room. */
Test(port_transmit, goes_on_where_it_stopped)
{
	struct port_frame *frame = pf_tcp4(60000);
	uint32_t sent = 0, taken = 0, stops = 0;

	frame->hdr = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000};
	while (sent < 40 || taken < 40 * 60000) {
		int r = 0;

		put_be32(frame->head + 38, sent * 60000);
		if (sent < 40)
			r = port_transmit(port, 0, frame);
		port_transmit_end(port);
		sent += sent < 40 && r == 0;
		stops += r == -EAGAIN;
		while ((r == -EAGAIN || sent == 40) && !pf_nothing_sent()) {
			cr_assert_eq(pf_take(), 1054);
			cr_assert_eq(get_be32(wire + 38), taken);
			taken += 1000;
		}
		cr_assert_eq(loop_run_once(loop, false), 0);
	}
	cr_assert(stops > 0 && writable > 0);
}
