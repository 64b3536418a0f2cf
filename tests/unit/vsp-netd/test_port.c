/* SPDX-License-Identifier: Apache-2.0 */
/* A port over a stream: what the guest may have, and what becomes of what it sends. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "daemons/vsp-netd/checksum.h"
#include "daemons/vsp-netd/net.h"
#include "daemons/vsp-netd/port.h"
#include "vsp/stats.h"

#define FRAME_LEN 600u
#define ROOM	  70000u
#define SEGMENT	  16000u /* that passt may send */

static struct loop *loop;
static struct port *port;
static struct nic_settings settings;
static struct oid_settings guest;
static int peer = -1, worker_fd = -1; /* of the socket, as the worker keeps it */
static void *memory;
static uint8_t room[ROOM], wire[1 << 20];
static struct port_received received;
static unsigned int readable, writable, links;
static bool link_is;

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, other_mac[6] = {2, 0, 0, 0, 0, 2};

static void on_readable(void *arg, unsigned int queue)
{
	(void)arg;
	cr_assert_eq(queue, 0);
	readable++;
	port_listen(port, 0, false);
}

static void on_writable(void *arg, unsigned int queue)
{
	(void)arg;
	cr_assert_eq(queue, 0);
	writable++;
}

static void on_link(void *arg, bool up)
{
	(void)arg;
	links++;
	link_is = up;
}

static const struct port_client_ops client_ops = {on_readable, on_writable, on_link};
static const struct port_client client = {.ops = &client_ops};

static void plug_in(void)
{
	struct err err = {0};
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	peer = pair[1];
	fd_close(&worker_fd);
	worker_fd = fd_dup(pair[0]);
	cr_assert_eq(port_new(loop, &settings, pair, 1, memory, &port, &err), 0, "%s", err.text);
	cr_assert_eq(pair[0], -1);
	port_connect(port, &client);
	port_set(port, &guest);
}

static void set_up(void)
{
	cr_assert_eq(loop_new(&loop), 0);
	memory = calloc(1, PORT_MEMORY_LEN);
	settings = (struct nic_settings){.alias = "net0", .backend = NIC_STREAM, .queues = 1, .mtu = 1500};
	memcpy(settings.mac, mac, 6);
	guest = (struct oid_settings){.filter = RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST};
	plug_in();
}

static void tear_down(void)
{
	port_free(port);
	fd_close(&peer);
	fd_close(&worker_fd);
	loop_free(loop);
	free(memory);
}

TestSuite(port, .init = set_up, .fini = tear_down, .timeout = 20);

/* ---- helpers ---- */

static void put(const uint8_t *to, size_t len)
{
	uint8_t frame[ROOM + 4] = {0};

	put_be32(frame, (uint32_t)len);
	memcpy(frame + 4, to, 6);
	put_be16(frame + 4 + 12, 0x88b5);
	for (size_t i = 14; i < len; i++)
		frame[4 + i] = (uint8_t)i;
	cr_assert_eq(fd_write_full(peer, frame, len + 4), 0);
}

static int get(void)
{
	const struct iovec iov[] = {{room, 100}, {room + 100, 50}, {room + 150, ROOM - 150}};

	return port_receive(port, 0, iov, 3, &received);
}

/* What the port sends, without its length. */
static size_t take(void)
{
	uint8_t length[4];
	size_t len;

	cr_assert_eq(recv(peer, length, 4, MSG_WAITALL), 4);
	len = get_be32(length);
	cr_assert_eq(recv(peer, wire, len, MSG_WAITALL), (ssize_t)len);
	return len;
}

static bool nothing_sent(void)
{
	return recv(peer, wire, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* ---- to the guest ---- */

Test(port, gets_what_is_its_own)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, group[6] = {1, 0, 0x5e, 0, 0, 1};

	memset(room, 0xaa, ROOM);
	put(other_mac, FRAME_LEN);
	cr_assert_eq(get(), 0);
	put(group, FRAME_LEN);
	cr_assert_eq(get(), 0);
	for (size_t i = 0; i < ROOM; i++)
		cr_assert_eq(room[i], 0xaa, "byte %zu of another's frame got into the guest's memory", i);
	put(mac, FRAME_LEN);
	cr_assert_eq(get(), 1);
	cr_assert_eq(received.len, FRAME_LEN);
	cr_assert_eq(memcmp(room, mac, 6), 0);
	cr_assert_eq(memcmp(received.head, room, received.head_len), 0);
	for (size_t i = 14; i < FRAME_LEN; i++)
		cr_assert_eq(room[i], (uint8_t)i);
	put(broadcast, FRAME_LEN);
	cr_assert_eq(get(), 1);
	cr_assert_eq(get(), -EAGAIN);
}

Test(port, drops_what_is_longer_than_the_mtu)
{
	put(mac, 1514);
	cr_assert_eq(get(), 1);
	put(mac, 1515);
	cr_assert_eq(get(), 0);
	cr_assert_eq(get(), -EAGAIN);
}

Test(port, tells_what_is_in_the_ring_already)
{
	put(mac, FRAME_LEN);
	put(mac, FRAME_LEN);
	port_listen(port, 0, true);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(readable, 1);
	cr_assert_eq(get(), 1);
	port_listen(port, 0, true);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(readable, 2);
	cr_assert_eq(get(), 1);
	cr_assert_eq(get(), -EAGAIN);
}

Test(port, drops_what_comes_while_the_guest_has_not_opened_it)
{
	port_connect(port, NULL);
	put(mac, FRAME_LEN);
	cr_assert_eq(get(), -EAGAIN);
	cr_assert_eq(loop_run_once(loop, true), 0);
	port_connect(port, &client);
	port_set(port, &guest);
	cr_assert_eq(get(), -EAGAIN);
	put(mac, FRAME_LEN);
	cr_assert_eq(get(), 1);
}

/* Also if it came all at once. */
Test(port, drops_all_that_has_come)
{
	enum { LEN = 60, RECORDS = 1000 };

	static uint8_t burst[RECORDS * (4 + LEN)];

	for (size_t i = 0; i < RECORDS; i++) {
		put_be32(burst + i * (4 + LEN), LEN);
		memcpy(burst + i * (4 + LEN) + 4, mac, 6);
	}
	port_connect(port, NULL);
	cr_assert_eq(fd_write_full(peer, burst, sizeof(burst)), 0);
	for (unsigned int i = 0; i < 20; i++)
		cr_assert_eq(loop_run_once(loop, false), 0);
	port_connect(port, &client);
	port_set(port, &guest);
	cr_assert_eq(get(), -EAGAIN);
}

/* A predecessor had it open: what has come since is not lost. */
Test(port, what_came_before_a_successor_is_its_guests)
{
	struct err err = {0};
	int own[] = {worker_fd};

	put(mac, FRAME_LEN);
	put(mac, FRAME_LEN);
	cr_assert_eq(get(), 1);
	port_free(port);
	worker_fd = -1;
	cr_assert_eq(port_new(loop, &settings, own, 1, memory, &port, &err), 0, "%s", err.text);
	for (unsigned int i = 0; i < 5; i++)
		cr_assert_eq(loop_run_once(loop, false), 0);
	port_connect(port, &client);
	port_set(port, &guest);
	cr_assert_eq(get(), 1);
	cr_assert_eq(get(), -EAGAIN);
}

/* Nor what comes while it goes. */
Test(port, what_comes_while_it_hands_over_is_its_guests)
{
	struct err err = {0};
	int own[] = {fd_dup(worker_fd)};

	put(mac, FRAME_LEN);
	port_listen(port, 0, true);
	port_hold(port);
	put(mac, FRAME_LEN);
	for (unsigned int i = 0; i < 5; i++)
		cr_assert_eq(loop_run_once(loop, false), 0);
	cr_assert_eq(readable, 0);
	cr_assert_eq(get(), -EAGAIN);
	port_free(port);
	cr_assert_eq(port_new(loop, &settings, own, 1, memory, &port, &err), 0, "%s", err.text);
	port_set(port, &guest);
	port_connect(port, &client);
	cr_assert_eq(get(), 1);
	cr_assert_eq(get(), 1);
	cr_assert_eq(get(), -EAGAIN);
}

Test(port, link_goes_down_with_its_peer_and_by_settings)
{
	int none = -1;
	struct err err = {0};

	cr_assert(port_link(port));
	settings.link_down = true;
	cr_assert_eq(port_change(port, &settings, &none, &err), 0);
	cr_assert(!port_link(port));
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(links, 1);
	cr_assert(!link_is);
	settings.link_down = false;
	cr_assert_eq(port_change(port, &settings, &none, &err), 0);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(links, 2);
	fd_close(&peer);
	cr_assert_eq(get(), -EAGAIN);
	while (links < 3)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert(!link_is && port_peer_gone(port));
}

Test(port, another_peer_takes_its_place)
{
	struct err err = {0};
	uint8_t half[] = {0, 0, 0, 100, 1, 2, 3};
	int pair[2];

	cr_assert_eq(fd_write_full(peer, half, sizeof(half)), 0);
	cr_assert_eq(get(), -EAGAIN);
	fd_close(&peer);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	peer = pair[1];
	settings.fd_generation++;
	cr_assert_eq(port_change(port, &settings, &pair[0], &err), 0, "%s", err.text);
	cr_assert_eq(pair[0], -1);
	cr_assert(port_link(port));
	put(mac, FRAME_LEN);
	cr_assert_eq(get(), 1);
}

Test(port, nonsense_from_the_peer_ends_the_connection)
{
	uint8_t nonsense[] = {0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4};

	cr_assert_eq(fd_write_full(peer, nonsense, sizeof(nonsense)), 0);
	cr_assert_eq(get(), -EAGAIN);
	while (!port_peer_gone(port))
		cr_assert_eq(loop_run_once(loop, true), 0);
}

/* ---- from the guest ---- */

/* TCP over IPv4, with @payload bytes. */
static struct port_frame *tcp4(size_t payload)
{
	static struct port_frame frame;
	static uint8_t rest[ROOM];
	uint8_t *ip = frame.head + 14, *tcp = frame.head + 34;

	memset(&frame, 0, sizeof(frame));
	memcpy(frame.head, other_mac, 6);
	memcpy(frame.head + 6, mac, 6);
	put_be16(frame.head + 12, 0x0800);
	ip[0] = 0x45;
	put_be16(ip + 2, (uint16_t)(40 + payload));
	put_be16(ip + 4, 77);
	ip[8] = 64;
	ip[9] = 6;
	put_be32(ip + 12, 0x0a000001);
	put_be32(ip + 16, 0x0a000002);
	put_be32(tcp + 4, 1000);
	tcp[12] = 0x50;
	tcp[13] = 0x19; /* ACK, PSH, FIN */
	for (size_t i = 0; i < payload; i++)
		rest[i] = (uint8_t)(i * 7 + i / 251);
	frame.head_len = 54;
	frame.rest[0] = (struct iovec){rest, payload / 2 | 1};
	frame.rest[1] = (struct iovec){rest + (payload / 2 | 1), payload - (payload / 2 | 1)};
	frame.rests = 2;
	frame.len = 54 + payload;
	return &frame;
}

static uint16_t sum(const uint8_t *at, size_t len, struct checksum sum)
{
	checksum_add(&sum, at, len);
	return checksum_fold(&sum);
}

/* Whether all checksums of the frame on the wire are right. */
static void check_wire(size_t len, size_t network)
{
	struct checksum pseudo = {0};
	const uint8_t *ip = wire + network;
	uint8_t rest[4] = {0, 6};

	cr_assert_eq(get_be16(ip + 2), len - network);
	cr_assert_eq(sum(ip, 20, (struct checksum){0}), 0xffff);
	checksum_add(&pseudo, ip + 12, 8);
	put_be16(rest + 2, (uint16_t)(len - network - 20));
	checksum_add(&pseudo, rest, 4);
	cr_assert_eq(sum(ip + 20, len - network - 20, pseudo), 0xffff);
}

Test(port, sends_a_frame_as_it_is)
{
	struct port_frame *frame = tcp4(500);

	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	cr_assert_eq(take(), 554);
	cr_assert_eq(memcmp(wire, frame->head, 54), 0);
	cr_assert_eq(memcmp(wire + 54, frame->rest[0].iov_base, 500), 0);
}

Test(port, fills_in_checksums)
{
	struct port_frame *frame = tcp4(501);

	frame->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	cr_assert_eq(take(), 555);
	check_wire(555, 14);
}

Test(port, puts_the_tag_into_the_frame)
{
	struct port_frame *frame = tcp4(501);

	frame->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	frame->tagged = true;
	frame->tag = 42;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	cr_assert_eq(take(), 559);
	cr_assert_eq(get_be32(wire + 12), 0x8100002a);
	check_wire(559, 18);
}

static void send_long(size_t payload, size_t step)
{
	struct port_frame *frame = tcp4(payload);

	frame->hdr = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000};
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	for (size_t at = 0, i = 0; at < payload; at += step, i++) {
		size_t len = MIN(step, payload - at);
		bool last = at + len == payload;

		cr_assert_eq(take(), 54 + len);
		check_wire(54 + len, 14);
		cr_assert_eq(get_be16(wire + 18), 77 + i);
		cr_assert_eq(get_be32(wire + 38), 1000 + at);
		cr_assert_eq(wire[47], last ? 0x19 : 0x10);
		cr_assert_eq(memcmp(wire + 54, (uint8_t *)frame->rest[0].iov_base + at, len), 0);
	}
	cr_assert(nothing_sent());
}

Test(port, cuts_what_is_too_long_for_a_vm)
{
	send_long(10500, 1000);
}

static void plug_into_passt(void)
{
	settings.large_frames = true;
	settings.segment_max = SEGMENT;
	port_free(port);
	close(peer);
	memset(memory, 0, PORT_MEMORY_LEN);
	plug_in();
}

Test(port, leaves_to_passt_what_it_takes)
{
	plug_into_passt();
	send_long(10500, 32000);
	send_long(60000, 32000);
}

/* What passt gets as the longest segment, of a guest that says @mss. */
static unsigned int raised(unsigned int mss, bool partial)
{
	static const uint8_t options[] = {1, 1, 3, 3, 7, 1, 2, 4};
	struct port_frame *frame = tcp4(0);
	uint8_t *tcp = frame->head + 34, pseudo[4] = {0, 6, 0, 32};
	struct checksum checksum = {0};

	frame->rests = 0;
	frame->len = frame->head_len = 66;
	put_be16(frame->head + 16, 52);
	put_be16(frame->head + 24, (uint16_t)~sum(frame->head + 14, 20, checksum));
	tcp[12] = 0x80;
	tcp[13] = 0x12; /* SYN, ACK */
	memcpy(tcp + 20, options, sizeof(options));
	put_be16(tcp + 28, (uint16_t)mss);
	checksum_add(&checksum, frame->head + 26, 8);
	checksum_add(&checksum, pseudo, 4);
	put_be16(tcp + 16, (uint16_t)~sum(tcp, 32, checksum));
	frame->hdr.flags = partial ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	cr_assert_eq(take(), 66);
	check_wire(66, 14);
	return get_be16(wire + 62);
}

Test(port, passt_may_send_longer_segments)
{
	cr_assert_eq(raised(1460, false), 1460, "to who is no passt");
	plug_into_passt();
	cr_assert_eq(raised(1460, true), SEGMENT);
	cr_assert_eq(raised(1460, false), SEGMENT);
	cr_assert_eq(raised(1459, false), 1459, "the guest knows why");
	cr_assert_eq(raised(9000, true), 9000);
}

/* passt sends a segment as long as it may. Return: its payload. */
static const uint8_t *put_long(void)
{
	static uint8_t bytes[4 + 54 + SEGMENT];
	struct port_frame *frame = tcp4(SEGMENT);

	put_be32(bytes, 54 + SEGMENT);
	memcpy(bytes + 4, frame->head, 54);
	memcpy(bytes + 4, mac, 6);
	memcpy(bytes + 58, frame->rest[0].iov_base, SEGMENT);
	cr_assert_eq(fd_write_full(peer, bytes, sizeof(bytes)), 0);
	return bytes + 58;
}

Test(port, longer_segments_are_cut_for_the_guest)
{
	const uint8_t *payload;
	size_t at = 0;

	plug_into_passt();
	payload = put_long();
	for (unsigned int i = 0; at < SEGMENT; i++) {
		size_t len = MIN((size_t)1460, SEGMENT - at);

		if (i == 3) { /* there may be no room in between */
			readable = 0;
			port_listen(port, 0, true);
			while (!readable)
				cr_assert_eq(loop_run_once(loop, true), 0);
		}
		cr_assert_eq(get(), 1);
		cr_assert_eq(received.len, 54 + len);
		cr_assert_eq(received.hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		memcpy(wire, room, received.len);
		check_wire(received.len, 14);
		cr_assert_eq(get_be32(wire + 38), 1000 + at);
		cr_assert_eq(wire[47], at + len == SEGMENT ? 0x19 : 0x10);
		cr_assert_eq(memcmp(wire + 54, payload + at, len), 0);
		at += len;
	}
	cr_assert_eq(get(), -EAGAIN);
}

Test(port, longer_segments_are_given_to_who_takes_them)
{
	const uint8_t *payload;

	memset(guest.offload, 0xff, sizeof(guest.offload));
	plug_into_passt();
	payload = put_long();
	cr_assert_eq(get(), 1);
	cr_assert_eq(received.len, 54 + SEGMENT);
	cr_assert_eq(received.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	cr_assert_eq(received.hdr.gso_size, 1460);
	cr_assert_eq(memcmp(room + 54, payload, SEGMENT), 0);
	cr_assert_eq(get(), -EAGAIN);
}

/* What is left of one is nobody's any more. */
Test(port, a_cut_segment_ends_with_its_guest)
{
	plug_into_passt();
	put_long();
	cr_assert_eq(get(), 1);
	port_connect(port, NULL);
	port_connect(port, &client);
	port_set(port, &guest);
	cr_assert_eq(get(), -EAGAIN);
	put(mac, FRAME_LEN);
	cr_assert_eq(get(), 1);
	cr_assert_eq(received.len, FRAME_LEN);
}

/* Each segment once, and in order, whenever there is room. */
Test(port, goes_on_where_it_stopped)
{
	struct port_frame *frame = tcp4(60000);
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
		while ((r == -EAGAIN || sent == 40) && !nothing_sent()) {
			cr_assert_eq(take(), 1054);
			cr_assert_eq(get_be32(wire + 38), taken);
			taken += 1000;
		}
		cr_assert_eq(loop_run_once(loop, false), 0);
	}
	cr_assert(stops > 0 && writable > 0);
}

/* ---- what is lost ---- */

/* It is killed; another one follows. */
static void die(void)
{
	struct err err = {0};
	int own = fd_dup(worker_fd);

	port_free(port);
	cr_assert_eq(port_new(loop, &settings, &own, 1, memory, &port, &err), 0, "%s", err.text);
	port_connect(port, &client);
	port_set(port, &guest);
}

Test(port, what_was_put_together_and_not_sent_is_known_as_lost)
{
	struct port_frame *frame = tcp4(500);
	struct err err = {0};
	int pair[2];

	for (int i = 0; i < 3; i++)
		cr_assert_eq(port_transmit(port, 0, frame), 0);
	die();
	cr_assert(nothing_sent());
	cr_assert_eq(port_lost(port), 3);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	die();
	cr_assert_eq(port_lost(port), 4, "nobody has counted them yet");
	port_forget_lost(port);
	cr_assert_eq(port_lost(port), 0);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	die();
	cr_assert_eq(port_lost(port), 0);
	cr_assert_eq(take(), 554);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	settings.fd_generation++;
	cr_assert_eq(port_change(port, &settings, &pair[0], &err), 0);
	cr_assert_eq(port_lost(port), 1, "what it was for is not there any more");
	close(pair[1]);
}

Test(port, what_is_left_of_a_frame_is_known_as_lost)
{
	struct port_frame *frame = tcp4(60000);

	frame->hdr = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000};
	while (port_transmit(port, 0, frame) == 0)
		;
	die();
	cr_assert(port_lost(port) == 1 || port_lost(port) == 2, "the one, and the last segment of that before");
}

Test(port, segments_not_given_yet_are_known_as_lost)
{
	plug_into_passt();
	put_long();
	cr_assert_eq(get(), 1);
	die();
	cr_assert_eq(port_lost(port), (SEGMENT + 1459) / 1460 - 1);
	cr_assert_eq(get(), -EAGAIN);
	port_forget_lost(port);
	put_long();
	while (get() == 1)
		;
	die();
	cr_assert_eq(port_lost(port), 0);
}

/* ---- what is handed over ---- */

/* By plan: another one follows. */
static void hand_over(void)
{
	port_hold(port);
	die();
	cr_assert_eq(port_lost(port), 0);
}

/* Of a peer that takes nothing: what was put together, and the rest of a frame; each segment once, and in order. */
Test(port, what_was_not_sent_is_sent_by_the_successor)
{
	struct port_frame *frame = tcp4(60000);
	uint32_t sent = 0, taken = 0;

	frame->hdr = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000};
	for (int r = 0; r == 0; sent += r == 0) {
		put_be32(frame->head + 38, sent * 60000);
		r = port_transmit(port, 0, frame);
	}
	port_transmit_end(port);
	hand_over();
	cr_assert_eq(port_transmit(port, 0, frame), -EAGAIN, "that comes first");
	hand_over();
	while (taken < sent * 60000) {
		while (!nothing_sent()) {
			cr_assert_eq(take(), 1054);
			cr_assert_eq(get_be32(wire + 38), taken);
			taken += 1000;
		}
		port_transmit_end(port); /* as whoever is told that it is writable */
		cr_assert_eq(loop_run_once(loop, false), 0);
	}
	die();
	cr_assert_eq(port_lost(port), 0, "all is sent");
	cr_assert(nothing_sent());
}

/* The same, but it is killed before it has sent them. */
Test(port, what_was_handed_over_is_lost_with_the_successor)
{
	struct port_frame *frame = tcp4(500);

	while (port_transmit(port, 0, frame) == 0)
		port_transmit_end(port);
	hand_over();
	die();
	cr_assert_gt(port_lost(port), 0);
	cr_assert_leq(port_lost(port), 60);
}

Test(port, what_was_handed_over_for_another_peer_is_lost)
{
	struct port_frame *frame = tcp4(500);

	while (port_transmit(port, 0, frame) == 0)
		port_transmit_end(port);
	port_hold(port);
	settings.fd_generation++;
	die();
	cr_assert_gt(port_lost(port), 0);
}

Test(port, what_a_predecessor_has_left_is_checked)
{
	struct port_frame *frame = tcp4(500);

	while (port_transmit(port, 0, frame) == 0)
		port_transmit_end(port);
	port_hold(port);
	memset((uint8_t *)memory + NET_STREAM_MEMORY_LEN + 24, 0xff, 100);
	die();
	cr_assert_eq(port_lost(port), 0, "there was no frame");
	while (!nothing_sent())
		cr_assert_eq(take(), 554);
}

/* Between two segments that the guest gets. */
Test(port, segments_not_given_yet_are_given_by_the_successor)
{
	const uint8_t *payload;
	size_t at = 0;

	plug_into_passt();
	payload = put_long();
	for (unsigned int i = 0; at < SEGMENT; i++) {
		size_t len = MIN((size_t)1460, SEGMENT - at);

		if (i == 3 || i == 7)
			hand_over();
		cr_assert_eq(get(), 1);
		cr_assert_eq(received.len, 54 + len);
		cr_assert_eq(memcmp(room + 54, payload + at, len), 0);
		at += len;
	}
	cr_assert_eq(get(), -EAGAIN);
	put_long();
	cr_assert_eq(get(), 1);
	cr_assert_eq(get_be32(room + 38), 1000, "from the beginning");
}

/* ---- what is counted ---- */

static struct stats_unit unit;

static bool counted(enum stats_nic_count what, uint64_t n)
{
	bool is = unit.count[what] == n;

	unit.count[what] = 0;
	for (unsigned int i = 0; i < STATS_COUNTS; i++)
		is = is && unit.count[i] == 0;
	return is;
}

Test(port, each_frame_for_the_guest_is_counted_once)
{
	port_observe(port, &unit);
	put(mac, FRAME_LEN);
	cr_assert_eq(get(), 1);
	cr_assert_eq(unit.count[STATS_NIC_RX_BYTES], FRAME_LEN);
	unit.count[STATS_NIC_RX_BYTES] = 0;
	cr_assert(counted(STATS_NIC_RX_PACKETS, 1));
	put(other_mac, FRAME_LEN);
	cr_assert_eq(get(), 0);
	cr_assert(counted(STATS_NIC_RX_FILTERED, 1));
	put(mac, 1515);
	cr_assert_eq(get(), 0);
	cr_assert(counted(STATS_NIC_RX_ERRORS, 1));
	put(mac, 10);
	cr_assert_eq(get(), 0);
	cr_assert(counted(STATS_NIC_RX_ERRORS, 1));
	port_connect(port, NULL);
	put(mac, FRAME_LEN);
	put(mac, FRAME_LEN);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert(counted(STATS_NIC_RX_UNREADY, 2));
}

Test(port, each_frame_of_the_guest_is_counted_once)
{
	struct port_frame *frame = tcp4(500);

	port_observe(port, &unit);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert_eq(unit.count[STATS_NIC_TX_BYTES], frame->len);
	unit.count[STATS_NIC_TX_BYTES] = 0;
	cr_assert(counted(STATS_NIC_TX_PACKETS, 1));
	frame->head[11] = 9;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert(counted(STATS_NIC_TX_REFUSED, 1));
	frame = tcp4(1500);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert(counted(STATS_NIC_TX_ERRORS, 1));
	frame = tcp4(500);
	frame->head_len = 13;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert(counted(STATS_NIC_TX_ERRORS, 1));
	settings.link_down = true;
	cr_assert_eq(port_change(port, &settings, &(int){-1}, NULL), 0);
	cr_assert_eq(port_transmit(port, 0, tcp4(500)), 0);
	cr_assert(counted(STATS_NIC_TX_UNREADY, 1));
}

/* ---- policies ---- */

Test(port, spoofed_frames_are_not_sent)
{
	struct port_frame *frame = tcp4(500);
	struct oid_counters counters;
	int none = -1;

	frame->head[11] = 9;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	settings.addresses = 1;
	settings.address[0] = (struct nic_address){.family = 4, .prefix = 32, .bytes = {10, 0, 0, 7}};
	cr_assert_eq(port_change(port, &settings, &none, NULL), 0);
	cr_assert_eq(port_transmit(port, 0, tcp4(500)), 0);
	port_transmit_end(port);
	cr_assert(nothing_sent());
	port_counters(port, &counters);
	cr_assert(counters.sent == 0 && counters.send_errors == 2);
	settings.address[0].bytes[3] = 1;
	cr_assert_eq(port_change(port, &settings, &none, NULL), 0);
	cr_assert_eq(port_transmit(port, 0, tcp4(500)), 0);
	port_transmit_end(port);
	cr_assert_eq(take(), 554);
}

Test(port, frames_of_an_access_vlan)
{
	uint8_t frame[604] = {0};
	int none = -1;

	settings.vlan = NIC_VLAN_ACCESS;
	settings.vlan_tag = 7;
	cr_assert_eq(port_change(port, &settings, &none, NULL), 0);
	cr_assert_eq(port_transmit(port, 0, tcp4(500)), 0);
	port_transmit_end(port);
	cr_assert_eq(take(), 558);
	cr_assert_eq(get_be32(wire + 12), 0x81000007);
	cr_assert_eq(get_be16(wire + 16), 0x0800);
	put(mac, FRAME_LEN);
	cr_assert_eq(get(), 0, "a frame without a tag");
	for (uint16_t tag = 6; tag < 8; tag++) {
		put_be32(frame, 600);
		memcpy(frame + 4, mac, 6);
		put_be32(frame + 16, 0x81000000 | tag);
		put_be16(frame + 20, 0x88b5);
		for (size_t i = 22; i < 604; i++)
			frame[i] = (uint8_t)i;
		cr_assert_eq(fd_write_full(peer, frame, 604), 0);
		cr_assert_eq(get(), tag == 7);
	}
	cr_assert_eq(received.len, 596);
	cr_assert_eq(memcmp(room, mac, 6), 0);
	cr_assert_eq(memcmp(room + 12, frame + 20, 584), 0);
	cr_assert(!received.headers.tagged);
}

Test(port, who_sends_too_much_waits)
{
	struct port_frame *frame = tcp4(1400);
	unsigned int sent = 0, told;
	int r, none = -1;

	settings.outbound.average = 200000;
	cr_assert_eq(port_change(port, &settings, &none, NULL), 0);
	while ((r = port_transmit(port, 0, frame)) == 0 && sent < 1000)
		sent++;
	cr_assert_eq(r, -EAGAIN);
	cr_assert_lt(sent, 10);
	while (port_transmit(port, 0, frame) == -EAGAIN)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_gt(writable, 0);
	while (port_transmit(port, 0, frame) == 0)
		;
	told = writable;
	settings.outbound.average = 0;
	cr_assert_eq(port_change(port, &settings, &none, NULL), 0);
	while (writable == told)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
}

Test(port, who_gets_too_much_waits)
{
	unsigned int got = 0;
	int none = -1;

	settings.inbound.average = 20000;
	cr_assert_eq(port_change(port, &settings, &none, NULL), 0);
	for (unsigned int i = 0; i < 20; i++)
		put(mac, FRAME_LEN);
	while (get() == 1)
		got++;
	cr_assert_lt(got, 10);
	port_listen(port, 0, true);
	while (!readable)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(get(), 1);
}

Test(port, what_passes_is_captured)
{
	struct err err = {0};
	int fd[2];
	char *bytes;
	size_t len;

	cr_assert_eq(pipe(fd), 0);
	cr_assert_eq(port_capture(port, fd[1], NULL, 0, 0, &err), 0, "%s", err.text);
	cr_assert(port_capturing(port));
	cr_assert_eq(port_transmit(port, 0, tcp4(500)), 0);
	put(mac, FRAME_LEN);
	cr_assert_eq(get(), 1);
	put(other_mac, FRAME_LEN);
	cr_assert_eq(get(), 0);
	cr_assert_eq(port_capture(port, -1, NULL, 0, 0, &err), 0);
	cr_assert(!port_capturing(port));
	cr_assert_eq(fd_read_all(fd[0], 1 << 20, &bytes, &len), 0);
	cr_assert(memmem(bytes, len, tcp4(500)->head, 54));
	cr_assert(memmem(bytes, len, room, FRAME_LEN));
	cr_assert(!memmem(bytes, len, other_mac, 6) || len < 2 * FRAME_LEN + 800, "another's frame");
	free(bytes);
	close(fd[0]);
}

Test(port, addresses_of_the_guest_are_known)
{
	struct port_frame frame = {.head_len = 42, .len = 42};
	struct port_address address;

	memcpy(frame.head + 6, mac, 6);
	put_be16(frame.head + 12, 0x0806);
	put_be32(frame.head + 14, 0x00010800);
	put_be32(frame.head + 18, 0x06040001);
	memcpy(frame.head + 22, mac, 6);
	put_be32(frame.head + 28, 0x0a000001);
	cr_assert_eq(port_transmit(port, 0, &frame), 0);
	cr_assert_eq(port_addresses(port, &address, 1), 1);
	cr_assert_eq(address.family, 4);
	cr_assert_eq(get_be32(address.bytes), 0x0a000001);
}

/* Else it would wait for ever for room where nothing is any more. */
Test(port, who_waits_is_told_that_the_peer_is_gone)
{
	struct port_frame *frame = tcp4(60000);
	unsigned int before;

	frame->hdr = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000};
	while (port_transmit(port, 0, frame) == 0)
		;
	before = writable;
	fd_close(&peer);
	while (!port_peer_gone(port) || writable == before)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
}
