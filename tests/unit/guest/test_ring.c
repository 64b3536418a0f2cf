/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "fake_guest.h"
#include "guest/ring.h"

#define RING_PAGES 3u
#define DATA	   (2u * 4096u)

static struct fake_guest guest;
static struct fake_channel peer;
static struct guest_mem mem;
static struct ring in_ring, out_ring;
static struct ring_reader in;
static struct ring_writer out;

static void set_up(void)
{
	struct guest_range range;

	fake_guest_init(&guest, 1u << 20, 1);
	fake_channel_init(&peer, &guest, 5, 0, RING_PAGES);
	fake_guest_map(&guest, &mem);
	range = (struct guest_range){peer.ring_gpa, RING_PAGES * 4096};
	cr_assert_eq(ring_map(&mem, &range, 1, &in_ring), 0);
	range.gpa += RING_PAGES * 4096;
	cr_assert_eq(ring_map(&mem, &range, 1, &out_ring), 0);
	cr_assert_eq(ring_reader_init(&in, &in_ring, 0), 0);
	cr_assert_eq(ring_writer_init(&out, &out_ring, 0), 0);
}

static void tear_down(void)
{
	ring_unmap(&in_ring);
	ring_unmap(&out_ring);
	guest_mem_done(&mem);
	fake_channel_done(&peer);
	fake_guest_done(&guest);
}

TestSuite(ring, .init = set_up, .fini = tear_down);

static uint8_t buf[8192];
static struct ring_packet packet;

Test(ring, maps_scattered_pages_twice)
{
	uint64_t gpa = fake_guest_alloc(&guest, 8);
	struct guest_range ranges[] = {{gpa + 6 * 4096, 4096}, {gpa, 8192}, {gpa + 3 * 4096, 4096}};
	struct ring ring;

	cr_assert_eq(ring_map(&mem, ranges, 3, &ring), 0);
	cr_assert_eq(ring.data_len, 3 * 4096);
	ring.header->write_index = 42;
	cr_assert_eq(*(uint32_t *)fake_guest_ptr(&guest, gpa + 6 * 4096), 42);
	memcpy(ring.data + 3 * 4096 - 4, "abcdefgh", 8);
	cr_assert_arr_eq(fake_guest_ptr(&guest, gpa + 4 * 4096 - 4), "abcd", 4);
	cr_assert_arr_eq(fake_guest_ptr(&guest, gpa), "efgh", 4);
	ring_unmap(&ring);
	cr_assert_null(ring.header);
}

Test(ring, map_refuses)
{
	struct guest_range one = {peer.ring_gpa, 4096}, odd = {peer.ring_gpa + 8, 8192}, outside = {1u << 20, 8192};
	struct guest_range huge = {0, UINT64_MAX - 4095}, none = {peer.ring_gpa, 0};
	struct ring ring = {0};

	cr_assert_eq(ring_map(&mem, NULL, 0, &ring), -EINVAL);
	cr_assert_eq(ring_map(&mem, &one, 1, &ring), -EINVAL);
	cr_assert_eq(ring_map(&mem, &odd, 1, &ring), -EINVAL);
	cr_assert_eq(ring_map(&mem, &outside, 1, &ring), -EINVAL);
	cr_assert_eq(ring_map(&mem, &huge, 1, &ring), -EINVAL);
	cr_assert_eq(ring_map(&mem, &none, 1, &ring), -EINVAL);
	cr_assert_eq(ring_map(&mem, &one, RING_RUNS_MAX + 1, &ring), -E2BIG);
	cr_assert_null(ring.header);
}

Test(ring, many_times_around_with_every_length)
{
	uint8_t text[700];

	for (unsigned int i = 0; i < 2000; i++) {
		size_t len = i % sizeof(text);

		memset(text, (int)i, sizeof(text));
		cr_assert_eq(fake_put_inband(&peer, i, text, len), 0);
		cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), 0);
		cr_assert_eq(packet.transaction_id, i);
		cr_assert_eq(packet.type, VMPACKET_DATA_INBAND);
		cr_assert_eq(packet.len - packet.payload_offset, ALIGN_UP(len, (size_t)8));
		cr_assert_arr_eq(buf + packet.payload_offset, text, len);
		cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), -EAGAIN);
		cr_assert_eq(ring_reader_commit(&in), 0);

		cr_assert_eq(ring_write(&out, VMPACKET_COMPLETION, 0, i, text, len), 0);
		cr_assert_not(fake_peek(&peer), "nothing before the commit");
		cr_assert_eq(ring_writer_commit(&out), 1, "it was empty");
		struct fake_packet got;
		cr_assert_eq(fake_get(&peer, &got), 0);
		cr_assert_eq(got.type, VMPACKET_COMPLETION);
		cr_assert_eq(got.transaction_id, i);
		cr_assert_eq(got.payload_len, ALIGN_UP(len, (size_t)8));
		cr_assert_arr_eq(got.payload, text, len);
	}
	cr_assert_eq(peer.kicks, 2000);
}

Test(ring, the_peer_kicks_only_an_empty_ring_and_without_mask)
{
	cr_assert_eq(fake_put_inband(&peer, 1, "x", 1), 0);
	cr_assert_eq(fake_put_inband(&peer, 2, "x", 1), 0);
	cr_assert_eq(peer.kicks, 1);
	ring_reader_mask(&in);
	cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), 0);
	cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), 0);
	cr_assert_eq(ring_reader_commit(&in), 0);
	cr_assert_eq(fake_put_inband(&peer, 3, "x", 1), 0);
	cr_assert_eq(peer.kicks, 1, "masked");
	cr_assert_eq(ring_reader_unmask(&in), 1, "the packet that came under the mask is seen");
	cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), 0);
	cr_assert_eq(ring_reader_commit(&in), 0);
	cr_assert_eq(ring_reader_unmask(&in), 0);
	cr_assert_eq(fake_put_inband(&peer, 4, "x", 1), 0);
	cr_assert_eq(peer.kicks, 2);
}

Test(ring, a_batch_signals_once_and_only_if_empty_and_unmasked)
{
	struct fake_packet got;

	cr_assert_eq(ring_writer_commit(&out), 0, "nothing to publish");
	ring_write(&out, VMPACKET_COMPLETION, 0, 1, "a", 1);
	ring_write(&out, VMPACKET_COMPLETION, 0, 2, "b", 1);
	cr_assert_eq(ring_writer_commit(&out), 1);
	ring_write(&out, VMPACKET_COMPLETION, 0, 3, "c", 1);
	cr_assert_eq(ring_writer_commit(&out), 0, "the guest has not read the first two yet");
	for (int i = 0; i < 3; i++)
		cr_assert_eq(fake_get(&peer, &got), 0);
	peer.in->interrupt_mask = 1;
	ring_write(&out, VMPACKET_COMPLETION, 0, 4, "d", 1);
	cr_assert_eq(ring_writer_commit(&out), 0, "masked");
}

/* Fill a ring from our side; returns how many went in. */
static unsigned int fill(size_t len)
{
	unsigned int n = 0;

	while (ring_write(&out, VMPACKET_COMPLETION, 0, n, buf, len) == 0)
		n++;
	return n;
}

Test(ring, full_is_not_empty)
{
	/* 104 + 24 = 128 bytes a packet: 63 leave 128 bytes, which one more would fill to the brim */
	cr_assert_eq(fill(104), DATA / 128 - 1);
	cr_assert_eq(ring_write(&out, VMPACKET_COMPLETION, 0, 0, buf, 104), -EAGAIN);
	cr_assert_eq(ring_write(&out, VMPACKET_COMPLETION, 0, 0, buf, 96), 0, "less fits");
	cr_assert_eq(ring_write(&out, VMPACKET_COMPLETION, 0, 0, buf, DATA), -EMSGSIZE);
	cr_assert_eq(ring_writer_commit(&out), 1);
}

Test(ring, waiting_for_room)
{
	struct fake_packet got;
	unsigned int n = fill(104);

	ring_writer_commit(&out);
	cr_assert_eq(ring_writer_wait(&out, 104), 0);
	cr_assert_eq(peer.in->pending_send_size, 128);
	cr_assert_eq(fake_get(&peer, &got), 0);
	cr_assert_eq(peer.kicks, 1, "the guest tells us when there is room");
	cr_assert_eq(fake_get(&peer, &got), 0);
	cr_assert_eq(peer.kicks, 1, "once");
	cr_assert_eq(ring_write(&out, VMPACKET_COMPLETION, 0, n, buf, 104), 0);
	ring_writer_wait_end(&out);
	cr_assert_eq(peer.in->pending_send_size, 0);
	cr_assert_eq(ring_writer_wait(&out, 104), 1, "there is room now");
	cr_assert_eq(peer.in->pending_send_size, 0);
}

Test(ring, the_guest_waits_for_room)
{
	int n = 0;

	while (fake_put_inband(&peer, (uint64_t)n, buf, 104) == 0)
		n++;
	peer.out->pending_send_size = 256;
	for (int i = 0; i < 2; i++)
		cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), 0);
	cr_assert_eq(ring_reader_commit(&in), 1, "128 bytes were free, now 384");
	cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), 0);
	cr_assert_eq(ring_reader_commit(&in), 0, "there was enough before");
	peer.out->feature_bits = 0;
	peer.out->pending_send_size = 512;
	cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), 0);
	cr_assert_eq(ring_reader_commit(&in), 0, "a guest without the feature polls");
}

Test(ring, corrupt_indices)
{
	const uint32_t bad[] = {DATA, DATA + 8, 4, UINT32_MAX, UINT32_MAX - 7};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		peer.out->write_index = bad[i];
		cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), -EPROTO);
		cr_assert_eq(ring_empty(&in), -EPROTO);
		cr_assert_eq(ring_reader_unmask(&in), -EPROTO);
		peer.in->read_index = bad[i];
		cr_assert_eq(ring_write(&out, 11, 0, 0, "x", 1), -EPROTO);
		cr_assert_eq(ring_reader_init(&in, &in_ring, bad[i]), -EPROTO);
		cr_assert_eq(ring_writer_init(&out, &out_ring, bad[i]), -EPROTO);
	}
}

Test(ring, corrupt_packets)
{
	struct vmpacket_descriptor *desc = (struct vmpacket_descriptor *)peer.out_data;
	const struct {
		uint16_t offset8, len8;
		int error;
	} rows[] = {
		{2, 0, -EPROTO}, {1, 2, -EPROTO}, {3, 2, -EPROTO}, {2, UINT16_MAX, -EPROTO},
		{2, 5, -EPROTO}, {2, 4, 0},	  {4, 4, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		peer.out->write_index = 40;
		cr_assert_eq(ring_reader_init(&in, &in_ring, 0), 0);
		*desc = (struct vmpacket_descriptor){.type = 6, .offset8 = rows[i].offset8, .len8 = rows[i].len8};
		cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), rows[i].error, "row %zu", i);
	}
	peer.out->write_index = 8;
	cr_assert_eq(ring_reader_init(&in, &in_ring, 0), 0);
	cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), -EPROTO, "not even a descriptor");
}

Test(ring, longer_than_the_reader_takes)
{
	cr_assert_eq(fake_put_inband(&peer, 1, buf, 100), 0);
	cr_assert_eq(ring_read(&in, buf, 64, &packet), -EMSGSIZE);
	cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), 0, "it is still there");
}

Test(ring, gpa_direct_header)
{
	uint64_t pages[] = {4096 * 7, 4096 * 9};

	cr_assert_eq(fake_put_pages(&peer, 3, pages, 2, 0, 8192, "cmd", 3), 0);
	cr_assert_eq(ring_read(&in, buf, sizeof(buf), &packet), 0);
	cr_assert_eq(packet.payload_offset, 16 + 8 + 8 + 16);
	cr_assert_arr_eq(buf + packet.payload_offset, "cmd", 3);
}

Test(ring, write_raw)
{
	uint8_t header[16] = "header", payload[5] = "load";
	struct iovec iov[] = {{header, 16}, {payload, 5}};
	struct fake_packet got;

	cr_assert_eq(ring_write_raw(&out, VMPACKET_DATA_TRANSFER_PAGES, 1, 9, 12, iov, 2), -EINVAL);
	cr_assert_eq(ring_write_raw(&out, VMPACKET_DATA_TRANSFER_PAGES, 1, 9, 16, iov, 2), 0);
	cr_assert_eq(ring_writer_commit(&out), 1);
	cr_assert_eq(fake_get(&peer, &got), 0);
	cr_assert_eq(got.type, VMPACKET_DATA_TRANSFER_PAGES);
	cr_assert_eq(got.flags, 1);
	cr_assert_eq(got.payload_len, 8);
	cr_assert_arr_eq(got.payload, payload, 5);
}
