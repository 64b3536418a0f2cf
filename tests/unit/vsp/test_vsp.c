/* SPDX-License-Identifier: Apache-2.0 */
/* A whole VSP over a fake guest and a fake worker: a device that echoes, adds up the bytes of its pages, or keeps
 * requests. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "abi/ring.h"
#include "base/fd.h"
#include "vsp/block.h"
#include "vsp_fixture.h"

#define SLOTS	   8u
#define RING_PAGES 3u

/* ---- the device ---- */

static struct vsp_request *kept[SLOTS];
static unsigned int kept_count, batches, opens, closes, packets;
static int open_result;
static bool data_was_zero;
static bool fail_next;

struct request_data {
	uint64_t mark;
};

static int dev_open(struct vsp_channel *channel, const uint8_t user_data[120])
{
	opens++;
	cr_assert_str_eq(vsp_channel_name(channel), "echo0");
	cr_assert_eq(vsp_channel_device(channel), &kept);
	cr_assert_eq(*(uint32_t *)vsp_channel_data(channel), 0);
	cr_assert_eq(*(const uint32_t *)vsp_channel_state(channel), 0);
	*(uint32_t *)vsp_channel_data(channel) = 1;
	return open_result;
}

static void answer_sum(struct vsp_request *request)
{
	int64_t reply[2] = {request->data_error, 0};

	for (unsigned int i = 0; i < request->iovs; i++)
		for (size_t j = 0; j < request->iov[i].iov_len; j++)
			reply[1] += ((uint8_t *)request->iov[i].iov_base)[j];
	vsp_complete(request, reply, sizeof(reply));
}

static void dev_packet(struct vsp_channel *channel, struct vsp_request *request)
{
	struct request_data *data = request->device_data;

	packets++;
	data_was_zero = data->mark == 0;
	data->mark = 1;
	if (fail_next)
		vsp_channel_fail(channel, "the test says so");
	if (request->type == VMPACKET_DATA_GPA_DIRECT)
		answer_sum(request);
	else if (request->payload_len >= 4 && memcmp(request->payload, "keep", 4) == 0)
		kept[kept_count++] = request;
	else
		vsp_complete(request, request->payload, request->payload_len);
}

static void dev_batch_end(struct vsp_channel *channel)
{
	batches++;
}

static bool leaves;

static void dev_closing(struct vsp_channel *channel)
{
	while (leaves && kept_count > 0) {
		cr_assert_eq(kept[kept_count - 1]->channel, channel);
		vsp_leave(kept[--kept_count]);
	}
}

static void dev_close(struct vsp_channel *channel)
{
	closes++;
}

static const struct vsp_device_ops ops = {
	.name = "echo",
	.request_size = sizeof(struct request_data),
	.channel_size = 4,
	.slots = SLOTS,
	.reply_max = 1000,
	.state_size = 4,
	.open = dev_open,
	.packet = dev_packet,
	.batch_end = dev_batch_end,
	.closing = dev_closing,
	.close = dev_close,
};

static void set_up(void)
{
	int extra = fd_memfd("extra", 4096);
	const struct fake_provider provider = {
		.name = "test", .config = "hello", .config_len = 5, .fds = &extra, .fd_count = 1, .vm_name = "vm1"};

	vf_init(4u << 20, RING_PAGES, &provider);
	close(extra);
	vf_attach();
	vf_offer("echo0", &ops, &kept);
}

TestSuite(vsp, .init = set_up, .fini = vf_done, .timeout = 30);

static void expect(uint64_t transaction_id, const void *payload, size_t len)
{
	cr_assert_eq(fake_worker_get(worker, &peer, &got), 0, "no packet");
	cr_assert_eq(got.type, VMPACKET_COMPLETION);
	cr_assert_eq(got.transaction_id, transaction_id);
	cr_assert_arr_eq(got.payload, payload, len);
}

static void open_channel(void)
{
	cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
}

static uint32_t busy_slots(void)
{
	struct block_geometry geometry = {SLOTS, BLOCK_PACKET_DEFAULT, 1000, 4};
	size_t len = block_size(&geometry);
	struct block_header *header = malloc(len);
	struct block block = {header, len};
	uint32_t n = 0;

	cr_assert_eq(fd_read_full(fake_worker_offer(worker, 0)->block_fd, header, len, 0), 0);
	for (uint32_t i = 0; i < SLOTS; i++)
		n += block_slot(&block, i)->state != BLOCK_SLOT_FREE;
	cr_assert_eq(header->commit.valid, 0);
	free(header);
	return n;
}

/* ---- tests ---- */

Test(vsp, attach_and_offer)
{
	size_t len;
	const void *config = vsp_config_bytes(vsp, &len);

	cr_assert_eq(len, 5);
	cr_assert_arr_eq(config, "hello", 5);
	cr_assert_geq(vsp_config_fd(vsp, 0), 0);
	cr_assert_eq(vsp_config_fd(vsp, 1), -1);
	cr_assert_str_eq(vsp_vm_name(vsp), "vm1");
	cr_assert_eq(vsp_cpus(vsp), 2);
	cr_assert_eq(fake_worker_offers(worker), 1);
	cr_assert_eq(fake_worker_offer(worker, 0)->instance_guid.b[0], 2);
	cr_assert_eq(fake_worker_offer(worker, 0)->block_bytes,
		     block_size(&(struct block_geometry){SLOTS, BLOCK_PACKET_DEFAULT, 1000, 4}));
}

Test(vsp, a_stranger_cannot_attach)
{
	struct vsp_config config = {.name = "other", .worker_path = "/nonexistent/worker.sock"};
	struct vsp *other = NULL;
	struct err err = {0};

	cr_assert_lt(vsp_attach(loop, &config, &other, &err), 0);
	cr_assert_neq(err.text[0], 0);
	cr_assert_null(other);
}

Test(vsp, echo)
{
	open_channel();
	for (uint64_t i = 0; i < 500; i++) {
		uint64_t payload[4] = {i, i + 1, i + 2, i + 3};

		cr_assert_eq(fake_put_inband(&peer, i, payload, sizeof(payload)), 0);
		expect(i, payload, sizeof(payload));
		cr_assert(data_was_zero);
	}
	cr_assert(fake_channel_irq(&peer, 0));
	cr_assert_eq(busy_slots(), 0);
}

Test(vsp, what_was_written_before_the_open_is_taken_up)
{
	cr_assert_eq(fake_put_inband(&peer, 1, "early", 5), 0);
	fake_channel_irq(&peer, 0);
	open_channel();
	expect(1, "early", 5);
}

Test(vsp, pages_reach_the_device_unless_they_are_not_memory)
{
	uint64_t gpa = fake_guest_alloc(&guest, 3), pages[] = {gpa + 2 * 4096, gpa};
	int64_t sum = 0;
	uint8_t *p;

	open_channel();
	p = fake_guest_ptr(&guest, gpa);
	for (int i = 0; i < 3 * 4096; i++)
		p[i] = (uint8_t)(i % 251);
	for (int i = 0; i < 5000; i++)
		sum += p[(i + 100 < 4096) ? 2 * 4096 + i + 100 : i + 100 - 4096];
	cr_assert_eq(fake_put_pages(&peer, 7, pages, 2, 100, 5000, "sum", 3), 0);
	expect(7, (int64_t[]){0, sum}, 16);
	pages[1] = 4u << 20;
	cr_assert_eq(fake_put_pages(&peer, 8, pages, 2, 100, 5000, "sum", 3), 0);
	expect(8, (int64_t[]){-EFAULT, 0}, 16);
}

Test(vsp, a_packet_that_wants_no_completion)
{
	open_channel();
	cr_assert_eq(fake_put(&peer, VMPACKET_DATA_INBAND, 0, 5, NULL, 0, "x", 1), 0);
	cr_assert_eq(fake_put_inband(&peer, 6, "y", 1), 0);
	expect(6, "y", 1);
	cr_assert_eq(packets, 2);
	cr_assert_eq(busy_slots(), 0);
}

Test(vsp, a_batch_interrupts_once)
{
	open_channel();
	for (uint64_t i = 0; i < 6; i++)
		cr_assert_eq(fake_put_inband(&peer, i, "x", 1), 0);
	cr_assert_eq(peer.kicks, 1);
	for (uint64_t i = 0; i < 6; i++)
		expect(i, "x", 1);
	cr_assert(fake_channel_irq(&peer, 0));
	cr_assert_eq(peer.interrupts, 1);
	cr_assert_eq(batches, 2, "one, and a second look after the mask was cleared at open");
}

Test(vsp, polling_takes_up_packets_without_kicks)
{
	open_channel();
	vsp_poll_begin(vsp);
	cr_assert_not(vsp_poll(vsp));
	for (uint64_t i = 0; i < 3; i++) {
		cr_assert_eq(fake_put_inband(&peer, i, "x", 1), 0);
		cr_assert(vsp_poll(vsp));
		cr_assert_eq(fake_get(&peer, &got), 0);
		cr_assert_eq(got.transaction_id, i);
	}
	cr_assert_eq(peer.kicks, 0);
	/* what comes just before the end is seen; behind it there are kicks again */
	cr_assert_eq(fake_put_inband(&peer, 3, "x", 1), 0);
	vsp_poll_end(vsp);
	cr_assert_eq(fake_get(&peer, &got), 0);
	cr_assert_eq(peer.kicks, 0);
	cr_assert_eq(fake_put_inband(&peer, 4, "x", 1), 0);
	cr_assert_eq(peer.kicks, 1);
	expect(4, "x", 1);
}

Test(vsp, polling_leaves_what_waits_for_a_slot)
{
	open_channel();
	vsp_poll_begin(vsp);
	for (uint64_t i = 0; i < SLOTS + 2; i++)
		cr_assert_eq(fake_put_inband(&peer, i, "keep", 4), 0);
	cr_assert(vsp_poll(vsp));
	cr_assert_eq(packets, SLOTS);
	cr_assert_not(vsp_poll(vsp));
	vsp_complete(kept[--kept_count], "one", 3);
	fake_worker_run(worker);
	cr_assert_eq(packets, SLOTS + 1);
	vsp_poll_end(vsp);
	vsp_complete(kept[--kept_count], "one", 3);
	fake_worker_run(worker);
	cr_assert_eq(packets, SLOTS + 2);
}

Test(vsp, polling_a_corrupt_ring_fails_the_channel_only)
{
	open_channel();
	vsp_poll_begin(vsp);
	peer.out->write_index = 3;
	cr_assert(vsp_poll(vsp));
	cr_assert_not(vsp_poll(vsp));
	vsp_poll_end(vsp);
	cr_assert_eq(fake_worker_close(worker, 0), 0);
}

static void complete_all(void)
{
	vsp_batch_begin(vsp);
	for (unsigned int i = 0; i < kept_count; i++)
		vsp_complete(kept[i], "done", 4);
	kept_count = 0;
	vsp_batch_end(vsp);
}

Test(vsp, requests_beyond_the_slots_wait_in_the_ring)
{
	open_channel();
	for (uint64_t i = 0; i < 3 * SLOTS; i++)
		cr_assert_eq(fake_put_inband(&peer, i, "keep", 4), 0);
	fake_worker_run(worker);
	cr_assert_eq(packets, SLOTS);
	cr_assert_eq(busy_slots(), SLOTS);
	for (uint64_t i = 0; i < 3 * SLOTS; i += SLOTS) {
		cr_assert_eq(kept_count, SLOTS);
		complete_all();
	}
	for (uint64_t i = 0; i < 3 * SLOTS; i++) {
		cr_assert_eq(fake_get(&peer, &got), 0);
		cr_assert_arr_eq(got.payload, "done", 4);
	}
	cr_assert_eq(busy_slots(), 0);
	cr_assert_eq(fake_put_inband(&peer, 99, "x", 1), 0);
	expect(99, "x", 1);
}

Test(vsp, one_completion_at_a_time_takes_up_more_by_and_by)
{
	open_channel();
	for (uint64_t i = 0; i < SLOTS + 2; i++)
		cr_assert_eq(fake_put_inband(&peer, i, "keep", 4), 0);
	fake_worker_run(worker);
	cr_assert_eq(kept_count, SLOTS);
	vsp_complete(kept[--kept_count], "one", 3);
	cr_assert_eq(packets, SLOTS, "never from inside vsp_complete");
	cr_assert(fake_peek(&peer), "published at once");
	fake_worker_run(worker);
	cr_assert_eq(packets, SLOTS + 1);
	complete_all();
	complete_all();
	cr_assert_eq(busy_slots(), 0);
}

Test(vsp, completions_wait_for_room_in_the_ring)
{
	uint8_t big[1000] = "big";
	uint64_t sent = 0, received = 0;

	open_channel();
	/* the guest does not read its ring of 8 KiB */
	for (; sent < 30; sent++) {
		cr_assert_eq(fake_put_inband(&peer, sent, big, 200), 0);
		fake_worker_run(worker);
	}
	cr_assert_eq(peer.in->pending_send_size, 0, "200 byte replies fit: 30 * 224 bytes");
	for (int i = 0; i < 5; i++)
		cr_assert_eq(fake_put_inband(&peer, sent++, big, 996), 0);
	fake_worker_run(worker);
	cr_assert_neq(peer.in->pending_send_size, 0, "now they do not");
	cr_assert_gt(busy_slots(), 0);
	for (; received < sent; received++)
		expect(received, "big", 3);
	cr_assert_eq(busy_slots(), 0);
	cr_assert_eq(peer.in->pending_send_size, 0);
	cr_assert_eq(fake_put_inband(&peer, 99, "x", 1), 0);
	expect(99, "x", 1);
}

Test(vsp, close_waits_for_what_is_in_flight)
{
	int outcome;

	open_channel();
	cr_assert_eq(fake_put_inband(&peer, 1, "keep", 4), 0);
	cr_assert_eq(fake_put_inband(&peer, 2, "keep", 4), 0);
	fake_worker_run(worker);
	fake_worker_close_begin(worker, 0, &outcome);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 1);
	cr_assert_eq(fake_worker_close(worker, 0), -EBUSY);
	cr_assert_eq(fake_put_inband(&peer, 3, "x", 1), 0);
	vsp_complete(kept[0], "a", 1);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 1);
	cr_assert_eq(closes, 0);
	vsp_complete(kept[1], "b", 1);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 0);
	cr_assert_eq(closes, 1);
	cr_assert_eq(packets, 2, "nothing is read after the close");
	expect(1, "a", 1);
	expect(2, "b", 1);
}

Test(vsp, close_with_packets_that_wait_for_a_slot)
{
	int outcome;

	open_channel();
	for (uint64_t i = 0; i < 2 * SLOTS; i++)
		cr_assert_eq(fake_put_inband(&peer, i, "keep", 4), 0);
	fake_worker_run(worker);
	cr_assert_eq(kept_count, SLOTS);
	fake_worker_close_begin(worker, 0, &outcome);
	fake_worker_run(worker);
	complete_all();
	fake_worker_run(worker);
	cr_assert_eq(outcome, 0);
	cr_assert_eq(closes, 1);
	cr_assert_eq(packets, SLOTS);
}

/* More packets than one turn takes up. */
static void open_long_ring(unsigned int count)
{
	fake_channel_done(&peer);
	fake_channel_init(&peer, &guest, 9, 0, 9);
	open_channel();
	fake_worker_run(worker);
	for (uint64_t i = 0; i < count; i++)
		cr_assert_eq(fake_put_inband(&peer, i, "x", 1), 0);
}

Test(vsp, the_loop_has_its_turn_while_a_long_ring_is_drained)
{
	open_long_ring(700);
	cr_assert_eq(loop_run_once(loop, false), 0);
	cr_assert_gt(packets, 0);
	cr_assert_lt(packets, 700);
	for (uint64_t i = 0; i < 700; i++)
		expect(i, "x", 1);
	cr_assert_eq(packets, 700);
	cr_assert_eq(peer.kicks, 1);
}

Test(vsp, close_while_a_long_ring_is_drained)
{
	int outcome;

	open_long_ring(700);
	fake_worker_close_begin(worker, 0, &outcome);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 0);
	cr_assert_eq(closes, 1);
}

Test(vsp, close_before_the_first_look_at_the_ring)
{
	int outcome;

	open_channel();
	fake_worker_close_begin(worker, 0, &outcome);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 0);
}

Test(vsp, opens_again_after_close_and_quiesce)
{
	for (unsigned int i = 0; i < 5; i++) {
		fake_channel_reset(&peer);
		open_channel();
		cr_assert_eq(fake_worker_open(worker, 0, &peer), -EBUSY);
		cr_assert_eq(fake_put_inband(&peer, i, "x", 1), 0);
		expect(i, "x", 1);
		cr_assert_eq(i % 2 ? fake_worker_close(worker, 0) : fake_worker_quiesce(worker), 0);
		cr_assert_eq(closes, i + 1);
	}
	cr_assert_eq(fake_worker_quiesce(worker), 0, "nothing is open");
	cr_assert_eq(fake_worker_close(worker, 0), 0);
	cr_assert_eq(opens, 5);
}

Test(vsp, quiesce_waits)
{
	int outcome;

	open_channel();
	cr_assert_eq(fake_put_inband(&peer, 1, "keep", 4), 0);
	fake_worker_run(worker);
	fake_worker_close_begin(worker, 0, &outcome);
	fake_worker_run(worker);
	vsp_complete(kept[0], "a", 1);
	cr_assert_eq(fake_worker_quiesce(worker), 0);
	cr_assert_eq(outcome, 0);
	cr_assert_eq(closes, 1);
}

/* What waits for something that may never come keeps nobody waiting, and is the successor's. */
Test(vsp, what_is_left_at_a_hand_over_is_given_again)
{
	struct fake_recovered recovered;
	int outcome;

	leaves = true;
	open_channel();
	cr_assert_eq(vsp_channel_index(vsp_offered(vsp, "echo0")), 0);
	cr_assert_eq(fake_put_inband(&peer, 1, "keep", 4), 0);
	cr_assert_eq(fake_put_inband(&peer, 2, "x", 1), 0);
	fake_worker_run(worker);
	vsp_mark(kept[0], 7);
	expect(2, "x", 1);
	cr_assert_eq(fake_worker_hand_over(worker), 0);
	cr_assert_eq(closes, 1);
	cr_assert_eq(busy_slots(), 1);
	fake_worker_open_begin(worker, 0, &peer, true, &recovered, &outcome);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 0);
	cr_assert_eq(recovered.replayed, 1);
	cr_assert_eq(recovered.lost + recovered.duplicate, 0);
	cr_assert_eq(kept_count, 1);
	cr_assert_eq(kept[0]->mark, 7);
	vsp_complete(kept[--kept_count], "a", 1);
	expect(1, "a", 1);
	cr_assert_eq(busy_slots(), 0);
}

/* The guest leaves, and an upgrade comes in between: neither is refused. */
Test(vsp, hands_over_while_it_quiesces)
{
	int outcome, more;

	open_channel();
	cr_assert_eq(fake_put_inband(&peer, 1, "keep", 4), 0);
	fake_worker_run(worker);
	fake_worker_quiesce_begin(worker, &outcome);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 1, "a request is in flight");
	fake_worker_quiesce_begin(worker, &more);
	fake_worker_run(worker);
	cr_assert(outcome == 1 && more == 1);
	cr_assert_eq(fake_worker_hand_over(worker), -EBUSY, "there is no third who may wait");
	vsp_complete(kept[0], "a", 1);
	fake_worker_run(worker);
	cr_assert(outcome == 0 && more == 0);
	cr_assert_eq(fake_worker_hand_over(worker), 0);
	cr_assert_eq(closes, 1);
}

Test(vsp, retarget)
{
	open_channel();
	cr_assert_eq(fake_worker_retarget(worker, 0, 1), 0);
	cr_assert_eq(fake_worker_retarget(worker, 0, 2), -EINVAL);
	cr_assert_eq(fake_put_inband(&peer, 1, "x", 1), 0);
	expect(1, "x", 1);
	cr_assert(fake_channel_take_flag(&peer, 1));
	cr_assert_not(fake_channel_take_flag(&peer, 0));
}

Test(vsp, a_refused_open_leaves_nothing)
{
	open_result = -ENOMEDIUM;
	cr_assert_eq(fake_worker_open(worker, 0, &peer), -ENOMEDIUM);
	open_result = 0;
	peer.target_vp = 5;
	cr_assert_eq(fake_worker_open(worker, 0, &peer), -EINVAL);
	peer.target_vp = 0;
	open_channel();
	cr_assert_eq(fake_put_inband(&peer, 1, "x", 1), 0);
	expect(1, "x", 1);
}

/* The device never hears of it, so that it keeps nothing of it. */
Test(vsp, a_channel_whose_kicks_cannot_be_watched)
{
	int kick_fd = peer.kick_fd;

	peer.kick_fd = fd_memfd("kick", 4096);
	cr_assert_lt(fake_worker_open(worker, 0, &peer), 0);
	close(peer.kick_fd);
	peer.kick_fd = kick_fd;
	cr_assert_eq(opens, closes);
	open_channel();
	cr_assert_eq(fake_put_inband(&peer, 1, "x", 1), 0);
	expect(1, "x", 1);
}

static bool is_offered(void *arg)
{
	(void)arg;
	return fake_worker_offers(worker) == 2;
}

static void on_offered(void *arg, const struct err *err)
{
	(void)arg;
	cr_assert_eq(err->code, 0, "%s", err->text);
}

static bool is_withdrawn(void *arg)
{
	(void)arg;
	return fake_worker_offer(worker, 0)->withdrawn;
}

/* A primary channel that is withdrawn waits for its sub-channel: a guest that opens it meanwhile is refused. */
Test(vsp, what_is_withdrawn_cannot_be_opened)
{
	const struct vsp_offer_desc sub = {
		.interface_guid = {{1}}, .instance_guid = {{2}}, .subchannel_index = 1, .name = "echo0"};
	struct fake_channel primary;

	fake_channel_init(&primary, &guest, 10, 0, RING_PAGES);
	cr_assert_eq(vsp_offer_begin(vsp, &sub, &ops, &kept, on_offered, NULL), 0);
	cr_assert_eq(fake_worker_run_until(worker, is_offered, NULL), 0);
	fake_worker_run(worker);
	cr_assert_eq(fake_worker_open(worker, 1, &peer), 0);
	cr_assert_eq(fake_put_inband(&peer, 1, "keep", 4), 0);
	fake_worker_run(worker);
	vsp_withdraw(kept[0]->channel);
	vsp_withdraw(vsp_offered(vsp, "echo0"));
	fake_worker_run(worker);
	cr_assert_lt(fake_worker_open(worker, 0, &primary), 0);
	vsp_complete(kept[0], "a", 1);
	cr_assert_eq(fake_worker_run_until(worker, is_withdrawn, NULL), 0);
	fake_channel_done(&primary);
}

/* The channel is silent now, and works again after close and open. */
static void expect_failed_channel(void)
{
	fake_worker_run(worker);
	cr_assert_not(fake_peek(&peer));
	fake_kick(&peer);
	fake_worker_run(worker);
	cr_assert_eq(fake_worker_close(worker, 0), 0);
	cr_assert_eq(closes, opens);
	fake_channel_reset(&peer);
	fail_next = false;
	open_channel();
	cr_assert_eq(fake_put_inband(&peer, 1, "x", 1), 0);
	expect(1, "x", 1);
}

Test(vsp, a_corrupt_index_fails_the_channel_only)
{
	open_channel();
	fake_worker_run(worker);
	peer.out->write_index = 12;
	fake_kick(&peer);
	expect_failed_channel();
}

Test(vsp, a_corrupt_packet_fails_the_channel_only)
{
	uint64_t zeroes[4] = {0};

	open_channel();
	fake_worker_run(worker);
	memcpy(peer.out_data, zeroes, sizeof(zeroes));
	peer.out->write_index = 32;
	fake_kick(&peer);
	expect_failed_channel();
}

Test(vsp, a_page_list_that_is_none_fails_the_channel_only)
{
	uint32_t list[2] = {0, 9};

	open_channel();
	cr_assert_eq(fake_put(&peer, VMPACKET_DATA_GPA_DIRECT, 1, 1, list, 8, "x", 1), 0);
	expect_failed_channel();
}

Test(vsp, an_oversized_packet_fails_the_channel_only)
{
	uint8_t big[BLOCK_PACKET_DEFAULT] = {0};

	open_channel();
	cr_assert_eq(fake_put_inband(&peer, 1, big, sizeof(big)), 0);
	expect_failed_channel();
}

Test(vsp, a_corrupt_incoming_ring_fails_the_channel_only)
{
	open_channel();
	fake_worker_run(worker);
	peer.in->read_index = 3;
	cr_assert_eq(fake_put_inband(&peer, 1, "x", 1), 0);
	fake_worker_run(worker);
	peer.in->write_index = 0;
	expect_failed_channel();
}

Test(vsp, the_device_fails_a_channel_with_requests_in_flight)
{
	int outcome;

	open_channel();
	cr_assert_eq(fake_put_inband(&peer, 1, "keep", 4), 0);
	fake_worker_run(worker);
	fail_next = true;
	cr_assert_eq(fake_put_inband(&peer, 2, "x", 1), 0);
	fake_worker_run(worker);
	fake_worker_close_begin(worker, 0, &outcome);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 1, "still one in flight");
	vsp_complete(kept[0], "late", 4);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 0);
	cr_assert_not(fake_peek(&peer), "nothing reaches the guest of a failed channel");
}

Test(vsp, send)
{
	struct vsp_request *request;
	int n = 0;

	open_channel();
	cr_assert_eq(fake_put_inband(&peer, 1, "keep", 4), 0);
	fake_worker_run(worker);
	request = kept[0];
	cr_assert_eq(vsp_send(request->channel, 0, "event", 5), 0);
	cr_assert_eq(fake_worker_get(worker, &peer, &got), 0);
	cr_assert_eq(got.type, VMPACKET_DATA_INBAND);
	cr_assert_eq(got.flags, 0);
	cr_assert_arr_eq(got.payload, "event", 5);
	while (vsp_send(request->channel, 0, "event", 5) == 0)
		n++;
	cr_assert_eq(n, 8192 / 32 - 1);
	vsp_complete(request, "r", 1);
	for (int i = 0; i < n; i++)
		cr_assert_eq(fake_get(&peer, &got), 0);
	expect(1, "r", 1);
}

Test(vsp, ping)
{
	char waits[80];

	open_channel();
	cr_assert_eq(fake_worker_ping(worker, waits), 0);
	cr_assert_str_eq(waits, "");
	vsp_waits(vsp, "a miracle");
	cr_assert_eq(fake_worker_ping(worker, waits), 0);
	cr_assert_str_eq(waits, "a miracle");
	vsp_waits(vsp, NULL);
	cr_assert_eq(fake_worker_ping(worker, waits), 0);
	cr_assert_str_eq(waits, "");
}

Test(vsp, the_worker_goes_away)
{
	open_channel();
	cr_assert_eq(fake_put_inband(&peer, 1, "keep", 4), 0);
	fake_worker_run(worker);
	fake_worker_disconnect(worker);
	fake_worker_run(worker);
	cr_assert_not_null(gone);
	vsp_complete(kept[0], "a", 1);
}
