/* SPDX-License-Identifier: Apache-2.0 */
/* A port over a stream: what is lost, and what is handed over, when its process ends. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "daemons/vsp-netd/port_int.h"
#include "port_fixture.h"

static unsigned int no_memory; /* the kernel has none, so many times */

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags); /* NOLINT(bugprone-reserved-identifier) */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags); /* NOLINT(bugprone-reserved-identifier) */

/* NOLINTNEXTLINE(bugprone-reserved-identifier) */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (no_memory == 0)
		return __real_sendmsg(fd, msg, flags);
	no_memory--;
	errno = ENOBUFS;
	return -1;
}

TestSuite(port_recover, .init = pf_init, .fini = pf_done, .timeout = 20);

/* ---- what is lost ---- */

Test(port_recover, what_was_put_together_and_not_sent_is_known_as_lost)
{
	struct port_frame *frame = pf_tcp4(500);
	struct err err = {0};
	int pair[2];

	for (int i = 0; i < 3; i++)
		cr_assert_eq(port_transmit(port, 0, frame), 0);
	pf_die();
	cr_assert(pf_nothing_sent());
	cr_assert_eq(port_lost(port), 3);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	pf_die();
	cr_assert_eq(port_lost(port), 4, "nobody has counted them yet");
	port_forget_lost(port);
	cr_assert_eq(port_lost(port), 0);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	pf_die();
	cr_assert_eq(port_lost(port), 0);
	cr_assert_eq(pf_take(), 554);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	settings.fd_generation++;
	cr_assert_eq(port_change(port, &settings, &pair[0], &err), 0);
	cr_assert_eq(port_lost(port), 1, "what it was for is not there any more");
	close(pair[1]);
}

Test(port_recover, what_is_left_of_a_frame_is_known_as_lost)
{
	struct port_frame *frame = pf_tcp4(60000);

	frame->hdr = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000};
	while (port_transmit(port, 0, frame) == 0)
		;
	pf_die();
	cr_assert(port_lost(port) == 1 || port_lost(port) == 2, "the one, and the last segment of that before");
}

/* Whoever was to take it has gone meanwhile: the segments behind are dropped. */
Test(port_recover, what_was_sent_in_part_is_known_as_lost)
{
	struct port_frame *frame = pf_tcp4(60000);

	frame->hdr = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000};
	fd_close(&peer);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert_eq(port_lost(port), 1);
}

Test(port_recover, segments_not_given_yet_are_known_as_lost)
{
	pf_plug_into_passt();
	pf_put_long();
	cr_assert_eq(pf_get(), 1);
	pf_die();
	cr_assert_eq(port_lost(port), (SEGMENT + 1459) / 1460 - 1);
	cr_assert_eq(pf_get(), -EAGAIN);
	port_forget_lost(port);
	pf_put_long();
	while (pf_get() == 1)
		;
	pf_die();
	cr_assert_eq(port_lost(port), 0);
}

/* More segments than are sent at a time: 30 of 1000 bytes, 59 of 500. */
static struct port_frame *frame_of(uint16_t segment)
{
	struct port_frame *frame = pf_tcp4(60000);

	frame->hdr = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = segment};
	return frame;
}

Test(port_recover, a_frame_of_which_all_is_lost_is_lost_once)
{
	no_memory = 2;
	cr_assert_eq(port_transmit(port, 0, frame_of(1000)), 0);
	port_transmit_end(port);
	cr_assert_eq(no_memory, 0);
	cr_assert(pf_nothing_sent());
	cr_assert_eq(port_lost(port), 1);
}

Test(port_recover, a_frame_of_which_a_part_is_lost_before_the_peer_is_gone_is_lost_once)
{
	no_memory = 1;
	fd_close(&peer);
	cr_assert_eq(port_transmit(port, 0, frame_of(500)), 0);
	port_transmit_end(port);
	cr_assert_eq(no_memory, 0);
	cr_assert_eq(port_lost(port), 1);
}

/* Of frames of 60 segments. Return: those of which the last one came. */
static unsigned int take_segments(void)
{
	unsigned int segments = 0;

	while (!pf_nothing_sent()) {
		cr_assert_eq(pf_take(), 1054);
		segments++;
	}
	return segments / 60;
}

static void reopen(void)
{
	port_connect(port, NULL);
	port_connect(port, &client);
	port_set(port, &guest);
}

/* A part of a frame is lost, and there is no room for what is left of it. */
static void lose_and_leave(void)
{
	while (send(worker_fd, wire, 1000, MSG_DONTWAIT) > 0)
		;
	no_memory = 1;
	cr_assert_eq(port_transmit(port, 0, frame_of(500)), 0);
	cr_assert(no_memory == 0 && port->left.len > 0);
	cr_assert_eq(port_lost(port), 1);
}

Test(port_recover, what_is_left_of_a_lost_frame_is_not_lost_again_with_the_peer)
{
	struct err err = {0};
	int pair[2];

	lose_and_leave();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	settings.fd_generation++;
	cr_assert_eq(port_change(port, &settings, &pair[0], &err), 0);
	cr_assert_eq(port_lost(port), 1);
	close(pair[1]);
}

Test(port_recover, what_is_left_of_a_lost_frame_is_not_lost_again_with_its_life)
{
	lose_and_leave();
	reopen();
	cr_assert_eq(port_lost(port), 1);
	cr_assert_eq(port_transmit(port, 0, pf_tcp4(500)), -EAGAIN);
	no_memory = 1;
	while (recv(peer, wire, sizeof(wire), MSG_DONTWAIT) > 0)
		;
	cr_assert_eq(loop_run_once(loop, false), 0);
	cr_assert_eq(port_transmit(port, 0, pf_tcp4(500)), 0);
	port_transmit_end(port);
	cr_assert_eq(no_memory, 0);
	cr_assert_eq(port_lost(port), 2, "another one");
}

Test(port_recover, what_is_left_of_a_lost_frame_is_not_lost_again_with_its_process)
{
	lose_and_leave();
	pf_die();
	cr_assert_eq(port_lost(port), 1);
}

/* It had not been sent when the guest closed its NIC. */
Test(port_recover, what_is_left_of_a_frame_is_lost_with_its_life)
{
	struct port_frame *frame = frame_of(1000);
	unsigned int sent = 0, came;

	while (port_transmit(port, 0, frame) == 0)
		sent++;
	reopen();
	came = take_segments();
	cr_assert_lt(came, sent);
	cr_assert_eq(port_lost(port), sent - came);
	cr_assert_eq(loop_run_once(loop, false), 0);
	port_transmit_end(port);
	cr_assert(pf_nothing_sent());
	cr_assert_eq(port_lost(port), sent - came);
}

Test(port_recover, what_was_put_together_is_lost_with_its_life)
{
	struct port_frame *frame = pf_tcp4(500);
	unsigned int sent = 0, came = 0;

	while (port_transmit(port, 0, frame) == 0) {
		port_transmit_end(port);
		sent++;
	}
	reopen();
	for (; !pf_nothing_sent(); came++)
		cr_assert_eq(pf_take(), 554);
	cr_assert_lt(came, sent);
	cr_assert_eq(port_lost(port), sent - came);
	cr_assert_eq(loop_run_once(loop, false), 0);
	port_transmit_end(port);
	cr_assert(pf_nothing_sent(), "what its last life had not sent yet");
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	port_transmit_end(port);
	cr_assert_eq(pf_take(), 554);
	pf_die();
	cr_assert_eq(port_lost(port), sent - came);
}

/* There is room for it: the guest has sent it before it closed its NIC. */
Test(port_recover, what_was_put_together_is_sent_at_the_end_of_its_life)
{
	struct port_frame *frame = pf_tcp4(500);

	cr_assert_eq(port_transmit(port, 0, frame), 0);
	cr_assert_eq(port_transmit(port, 0, frame), 0);
	reopen();
	cr_assert_eq(pf_take(), 554);
	cr_assert_eq(pf_take(), 554);
	cr_assert(pf_nothing_sent());
	cr_assert_eq(port_lost(port), 0);
}

Test(port_recover, segments_not_given_yet_are_lost_with_their_life)
{
	pf_plug_into_passt();
	pf_put_long();
	cr_assert_eq(pf_get(), 1);
	reopen();
	cr_assert_eq(port_lost(port), (SEGMENT + 1459) / 1460 - 1);
}

/* Nobody gets them: its link is down when the next one comes. */
Test(port_recover, segments_not_given_yet_are_lost_with_the_link)
{
	struct err err = {0};

	pf_plug_into_passt();
	pf_put_long();
	cr_assert_eq(pf_get(), 1);
	settings.link_down = true;
	cr_assert_eq(port_change(port, &settings, &(int){-1}, &err), 0);
	pf_put(mac, 60);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(loop_run_once(loop, false), 0);
	cr_assert_eq(port_lost(port), (SEGMENT + 1459) / 1460 - 1);
}

/* ---- what is handed over ---- */

/* By plan: another one follows. */
static void hand_over(void)
{
	port_hold(port);
	pf_die();
	cr_assert_eq(port_lost(port), 0);
}

/* Of a peer that takes nothing: what was put together, and the rest of a frame; each segment once, and in order. */
Test(port_recover, what_was_not_sent_is_sent_by_the_successor)
{
	struct port_frame *frame = pf_tcp4(60000);
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
		while (!pf_nothing_sent()) {
			cr_assert_eq(pf_take(), 1054);
			cr_assert_eq(get_be32(wire + 38), taken);
			taken += 1000;
		}
		port_transmit_end(port); /* as whoever is told that it is writable */
		cr_assert_eq(loop_run_once(loop, false), 0);
	}
	pf_die();
	cr_assert_eq(port_lost(port), 0, "all is sent");
	cr_assert(pf_nothing_sent());
}

/* The same, but it is killed before it has sent them. */
Test(port_recover, what_was_handed_over_is_lost_with_the_successor)
{
	struct port_frame *frame = pf_tcp4(500);

	while (port_transmit(port, 0, frame) == 0)
		port_transmit_end(port);
	hand_over();
	pf_die();
	cr_assert_gt(port_lost(port), 0);
	cr_assert_leq(port_lost(port), 60);
}

Test(port_recover, what_was_handed_over_for_another_peer_is_lost)
{
	struct port_frame *frame = pf_tcp4(500);

	while (port_transmit(port, 0, frame) == 0)
		port_transmit_end(port);
	port_hold(port);
	settings.fd_generation++;
	pf_die();
	cr_assert_gt(port_lost(port), 0);
}

/* The guest has closed its NIC while nobody served, and opens it again. */
static void open_anew(void)
{
	port_hold(port);
	pf_die_alone();
	port_connect(port, NULL);
	port_connect(port, &client);
	port_set(port, &guest);
}

Test(port_recover, what_was_handed_over_is_not_for_another_life_of_the_nic)
{
	struct port_frame *frame = pf_tcp4(500);

	while (port_transmit(port, 0, frame) == 0)
		port_transmit_end(port);
	for (int i = 0; i < 100; i++)
		pf_put(mac, 60);
	open_anew();
	cr_assert_gt(port_lost(port), 0);
	while (!pf_nothing_sent())
		cr_assert_eq(pf_take(), 554);
	port_transmit_end(port);
	cr_assert_eq(loop_run_once(loop, false), 0);
	cr_assert(pf_nothing_sent(), "what its last life had not sent yet");
	cr_assert_eq(pf_get(), -EAGAIN, "what had come for its last life");
	pf_put(mac, 60);
	cr_assert_eq(pf_get(), 1);
}

Test(port_recover, a_cut_frame_is_not_for_another_life_of_the_nic)
{
	pf_plug_into_passt();
	pf_put_long();
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(pf_get(), 1);
	open_anew();
	cr_assert_eq(pf_get(), -EAGAIN);
	pf_put_long();
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(get_be32(room + 38), 1000, "from the beginning");
}

Test(port_recover, what_a_predecessor_has_left_is_checked)
{
	struct port_frame *frame = pf_tcp4(500);

	while (port_transmit(port, 0, frame) == 0)
		port_transmit_end(port);
	port_hold(port);
	memset((uint8_t *)memory + NET_STREAM_MEMORY_LEN + 24, 0xff, 100);
	pf_die();
	cr_assert_eq(port_lost(port), 0, "there was no frame");
	while (!pf_nothing_sent())
		cr_assert_eq(pf_take(), 554);
}

/* Between two segments that the guest gets. */
Test(port_recover, segments_not_given_yet_are_given_by_the_successor)
{
	const uint8_t *payload;
	size_t at = 0;

	pf_plug_into_passt();
	payload = pf_put_long();
	for (unsigned int i = 0; at < SEGMENT; i++) {
		size_t len = MIN((size_t)1460, SEGMENT - at);

		if (i == 3 || i == 7)
			hand_over();
		cr_assert_eq(pf_get(), 1);
		cr_assert_eq(received.len, 54 + len);
		cr_assert_eq(memcmp(room + 54, payload + at, len), 0);
		at += len;
	}
	cr_assert_eq(pf_get(), -EAGAIN);
	pf_put_long();
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(get_be32(room + 38), 1000, "from the beginning");
}

/* It knew nothing of what was left, and has served. */
Test(port_recover, what_was_handed_over_is_stale_after_an_older_one)
{
	struct port_frame *frame = pf_tcp4(500);

	while (port_transmit(port, 0, frame) == 0)
		port_transmit_end(port);
	port_hold(port);
	process++;
	pf_die();
	cr_assert_gt(port_lost(port), 0);
	while (!pf_nothing_sent())
		cr_assert_eq(pf_take(), 554);
	port_transmit_end(port);
	cr_assert(pf_nothing_sent(), "they are not sent late");
}

Test(port_recover, a_cut_frame_is_given_from_the_beginning_after_an_older_one)
{
	pf_plug_into_passt();
	pf_put_long();
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(pf_get(), 1);
	port_hold(port);
	process++;
	pf_die();
	cr_assert_eq(pf_get(), 1);
	cr_assert_eq(get_be32(room + 38), 1000);
}
