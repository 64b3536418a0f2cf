/* SPDX-License-Identifier: Apache-2.0 */
/* A port over a stream: what the guest may have, what is counted, and policies. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "port_fixture.h"
#include "vsp/stats.h"

TestSuite(port, .init = pf_init, .fini = pf_done, .timeout = 20);

/* ---- to the guest ---- */

Test(port, gets_what_is_its_own)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, group[6] = {1, 0, 0x5e, 0, 0, 1};

	memset(room, 0xaa, ROOM);
	pf_put(other_mac, FRAME_LEN);
	cr_assert_eq(pf_get(), 0);
	pf_put(group, FRAME_LEN);
	cr_assert_eq(pf_get(), 0);
	for (size_t i = 0; i < ROOM; i++)
		cr_assert_eq(room[i], 0xaa, "byte %zu of another's frame got into the guest's memory", i);
	pf_put(mac, FRAME_LEN);
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(received.len, FRAME_LEN);
	cr_assert_eq(memcmp(room, mac, 6), 0);
	cr_assert_eq(memcmp(received.head, room, received.head_len), 0);
	for (size_t i = 14; i < FRAME_LEN; i++)
		cr_assert_eq(room[i], (uint8_t)i);
	pf_put(broadcast, FRAME_LEN);
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(pf_get(), -EAGAIN);
}

Test(port, drops_what_is_longer_than_the_mtu)
{
	pf_put(mac, 1514);
	cr_assert_eq(pf_get(), 1);
	pf_put(mac, 1515);
	cr_assert_eq(pf_get(), 0);
	cr_assert_eq(pf_get(), -EAGAIN);
}

Test(port, tells_what_is_in_the_ring_already)
{
	pf_put(mac, FRAME_LEN);
	pf_put(mac, FRAME_LEN);
	port_listen(port, 0, true);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(readable, 1);
	cr_assert_eq(pf_get(), 1);
	port_listen(port, 0, true);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(readable, 2);
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(pf_get(), -EAGAIN);
}

Test(port, drops_what_comes_while_the_guest_has_not_opened_it)
{
	port_connect(port, NULL);
	pf_put(mac, FRAME_LEN);
	cr_assert_eq(pf_get(), -EAGAIN);
	cr_assert_eq(loop_run_once(loop, true), 0);
	port_connect(port, &client);
	port_set(port, &guest);
	cr_assert_eq(pf_get(), -EAGAIN);
	pf_put(mac, FRAME_LEN);
	cr_assert_eq(pf_get(), 1);
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
	cr_assert_eq(pf_get(), -EAGAIN);
}

/* A predecessor had it open: what has come since is not lost. */
Test(port, what_came_before_a_successor_is_its_guests)
{
	struct err err = {0};
	int own[] = {worker_fd};

	pf_put(mac, FRAME_LEN);
	pf_put(mac, FRAME_LEN);
	cr_assert_eq(pf_get(), 1);
	port_free(port);
	worker_fd = -1;
	cr_assert_eq(port_new(loop, &settings, own, 1, memory, process++, &port, &err), 0, "%s", err.text);
	for (unsigned int i = 0; i < 5; i++)
		cr_assert_eq(loop_run_once(loop, false), 0);
	port_connect(port, &client);
	port_set(port, &guest);
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(pf_get(), -EAGAIN);
}

/* Nor what comes while it goes. */
Test(port, what_comes_while_it_hands_over_is_its_guests)
{
	struct err err = {0};
	int own[] = {fd_dup(worker_fd)};

	pf_put(mac, FRAME_LEN);
	port_listen(port, 0, true);
	port_hold(port);
	pf_put(mac, FRAME_LEN);
	for (unsigned int i = 0; i < 5; i++)
		cr_assert_eq(loop_run_once(loop, false), 0);
	cr_assert_eq(readable, 0);
	cr_assert_eq(pf_get(), -EAGAIN);
	port_free(port);
	cr_assert_eq(port_new(loop, &settings, own, 1, memory, process++, &port, &err), 0, "%s", err.text);
	port_set(port, &guest);
	port_connect(port, &client);
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(pf_get(), -EAGAIN);
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
	cr_assert_eq(pf_get(), -EAGAIN);
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
	cr_assert_eq(pf_get(), -EAGAIN);
	fd_close(&peer);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	peer = pair[1];
	settings.fd_generation++;
	cr_assert_eq(port_change(port, &settings, &pair[0], &err), 0, "%s", err.text);
	cr_assert_eq(pair[0], -1);
	cr_assert(port_link(port));
	pf_put(mac, FRAME_LEN);
	cr_assert_eq(pf_get(), 1);
}

Test(port, nonsense_from_the_peer_ends_the_connection)
{
	uint8_t nonsense[] = {0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4};

	cr_assert_eq(fd_write_full(peer, nonsense, sizeof(nonsense)), 0);
	cr_assert_eq(pf_get(), -EAGAIN);
	while (!port_peer_gone(port))
		cr_assert_eq(loop_run_once(loop, true), 0);
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
	pf_put(mac, FRAME_LEN);
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(unit.count[STATS_NIC_RX_BYTES], FRAME_LEN);
	unit.count[STATS_NIC_RX_BYTES] = 0;
	cr_assert(counted(STATS_NIC_RX_PACKETS, 1));
	pf_put(other_mac, FRAME_LEN);
	cr_assert_eq(pf_get(), 0);
	cr_assert(counted(STATS_NIC_RX_FILTERED, 1));
	pf_put(mac, 1515);
	cr_assert_eq(pf_get(), 0);
	cr_assert(counted(STATS_NIC_RX_ERRORS, 1));
	pf_put(mac, 10);
	cr_assert_eq(pf_get(), 0);
	cr_assert(counted(STATS_NIC_RX_ERRORS, 1));
	port_connect(port, NULL);
	pf_put(mac, FRAME_LEN);
	pf_put(mac, FRAME_LEN);
	cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert(counted(STATS_NIC_RX_UNREADY, 2));
}

Test(port, each_frame_of_the_guest_is_counted_once)
{
	struct port_frame *frame = pf_tcp4(500);

	port_observe(port, &unit);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert_eq(unit.count[STATS_NIC_TX_BYTES], frame->len);
	unit.count[STATS_NIC_TX_BYTES] = 0;
	cr_assert(counted(STATS_NIC_TX_PACKETS, 1));
	frame->head[11] = 9;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert(counted(STATS_NIC_TX_REFUSED, 1));
	frame = pf_tcp4(1500);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert(counted(STATS_NIC_TX_ERRORS, 1));
	frame = pf_tcp4(500);
	frame->head_len = 13;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert(counted(STATS_NIC_TX_ERRORS, 1));
	settings.link_down = true;
	cr_assert_eq(port_change(port, &settings, &(int){-1}, NULL), 0);
	cr_assert_eq(port_transmit(port, 0, pf_tcp4(500)), 0);
	cr_assert(counted(STATS_NIC_TX_UNREADY, 1));
}

/* ---- policies ---- */

Test(port, spoofed_frames_are_not_sent)
{
	struct port_frame *frame = pf_tcp4(500);
	struct oid_counters counters;
	int none = -1;

	frame->head[11] = 9;
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	settings.addresses = 1;
	settings.address[0] = (struct nic_address){.family = 4, .prefix = 32, .bytes = {10, 0, 0, 7}};
	cr_assert_eq(port_change(port, &settings, &none, NULL), 0);
	cr_assert_eq(port_transmit(port, 0, pf_tcp4(500)), 0);
	port_transmit_end(port);
	cr_assert(pf_nothing_sent());
	port_counters(port, &counters);
	cr_assert(counters.sent == 0 && counters.send_errors == 2);
	settings.address[0].bytes[3] = 1;
	cr_assert_eq(port_change(port, &settings, &none, NULL), 0);
	cr_assert_eq(port_transmit(port, 0, pf_tcp4(500)), 0);
	port_transmit_end(port);
	cr_assert_eq(pf_take(), 554);
}

Test(port, frames_of_an_access_vlan)
{
	uint8_t frame[604] = {0};
	int none = -1;

	settings.vlan = NIC_VLAN_ACCESS;
	settings.vlan_tag = 7;
	cr_assert_eq(port_change(port, &settings, &none, NULL), 0);
	cr_assert_eq(port_transmit(port, 0, pf_tcp4(500)), 0);
	port_transmit_end(port);
	cr_assert_eq(pf_take(), 558);
	cr_assert_eq(get_be32(wire + 12), 0x81000007);
	cr_assert_eq(get_be16(wire + 16), 0x0800);
	pf_put(mac, FRAME_LEN);
	cr_assert_eq(pf_get(), 0, "a frame without a tag");
	for (uint16_t tag = 6; tag < 8; tag++) {
		put_be32(frame, 600);
		memcpy(frame + 4, mac, 6);
		put_be32(frame + 16, 0x81000000 | tag);
		put_be16(frame + 20, 0x88b5);
		for (size_t i = 22; i < 604; i++)
			frame[i] = (uint8_t)i;
		cr_assert_eq(fd_write_full(peer, frame, 604), 0);
		cr_assert_eq(pf_get(), tag == 7);
	}
	cr_assert_eq(received.len, 596);
	cr_assert_eq(memcmp(room, mac, 6), 0);
	cr_assert_eq(memcmp(room + 12, frame + 20, 584), 0);
	cr_assert(!received.headers.tagged);
}

Test(port, who_sends_too_much_waits)
{
	struct port_frame *frame = pf_tcp4(1400);
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
		pf_put(mac, FRAME_LEN);
	while (pf_get() == 1)
		got++;
	cr_assert_lt(got, 10);
	port_listen(port, 0, true);
	while (!readable)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(pf_get(), 1);
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
	cr_assert_eq(port_transmit(port, 0, pf_tcp4(500)), 0);
	pf_put(mac, FRAME_LEN);
	cr_assert_eq(pf_get(), 1);
	pf_put(other_mac, FRAME_LEN);
	cr_assert_eq(pf_get(), 0);
	cr_assert_eq(port_capture(port, -1, NULL, 0, 0, &err), 0);
	cr_assert(!port_capturing(port));
	cr_assert_eq(fd_read_all(fd[0], 1 << 20, &bytes, &len), 0);
	cr_assert(memmem(bytes, len, pf_tcp4(500)->head, 54));
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
	struct port_frame *frame = pf_tcp4(60000);
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
