/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of our own: a device with sections, each of which holds what the guest has not completed yet. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "abi/ring.h"
#include "base/death.h"
#include "base/fd.h"
#include "vsp/block.h"
#include "vsp_fixture.h"

#define SLOTS	   4u
#define SECTIONS   600u
#define RING_PAGES 3u
#define BUFFER	   0xcafeu

/* ---- the device ---- */

static struct vsp_channel *channel;
static struct vsp_request *kept[SLOTS];
static unsigned int kept_count, rooms, told, unknown, recovered, freed;
static bool echoes; /* each completion brings another packet */
static uint64_t last_id, sent_then;
static uint8_t last_payload[64];
static size_t last_len;

static int send_one(struct vsp_channel *to, uint64_t *ret_id)
{
	_Atomic uint64_t *table = vsp_channel_table(to);
	struct vsp_page_range range = {.bytes = 100};
	size_t section = 0;
	uint64_t id;
	int r;

	while (section < SECTIONS && table[section] != 0)
		section++;
	if (section == SECTIONS)
		return -ENOSPC;
	range.offset = (uint32_t)section * 128;
	r = vsp_send_pages(to, BUFFER, &range, 1, "rndis", 5, &id);
	if (r == 0)
		atomic_store_explicit(&table[section], id, memory_order_release);
	if (r == 0 && ret_id)
		*ret_id = id;
	return r;
}

static unsigned int busy_sections(void)
{
	_Atomic uint64_t *table = vsp_channel_table(channel);
	unsigned int n = 0;

	for (size_t i = 0; i < SECTIONS; i++)
		n += table[i] != 0;
	return n;
}

static int dev_open(struct vsp_channel *opened, const uint8_t user_data[120])
{
	channel = opened;
	cr_assert_eq(vsp_sent(opened), 0);
	return 0;
}

static int dev_recover(struct vsp_channel *opened)
{
	_Atomic uint64_t *table = vsp_channel_table(opened);

	channel = opened;
	recovered++;
	cr_assert_eq(vsp_send(opened, 0, "early", 5), -EAGAIN);
	cr_assert_eq(send_one(opened, NULL), -EAGAIN);
	sent_then = vsp_sent(opened);
	for (size_t i = 0; i < SECTIONS; i++) {
		if (table[i] <= sent_then)
			continue;
		table[i] = 0;
		freed++;
	}
	return 0;
}

static void dev_packet(struct vsp_channel *from, struct vsp_request *request)
{
	if (request->payload_len >= 4 && memcmp(request->payload, "keep", 4) == 0)
		kept[kept_count++] = request;
	else
		vsp_complete(request, request->payload, request->payload_len);
}

static void dev_completed(struct vsp_channel *from, uint64_t id, const void *payload, size_t len)
{
	_Atomic uint64_t *table = vsp_channel_table(from);
	size_t section = 0;

	told++;
	last_id = id;
	last_len = len < sizeof(last_payload) ? len : sizeof(last_payload);
	memcpy(last_payload, payload, last_len);
	while (section < SECTIONS && (id == 0 || table[section] != id))
		section++;
	if (section == SECTIONS)
		unknown++;
	else
		table[section] = 0;
	if (echoes)
		cr_assert_eq(send_one(from, NULL), 0);
}

static void dev_room(struct vsp_channel *from)
{
	rooms++;
}

static void dev_close(struct vsp_channel *from)
{
	channel = NULL;
}

static const struct vsp_device_ops ops = {
	.name = "nic",
	.slots = SLOTS,
	.table_size = SECTIONS * sizeof(uint64_t),
	.open = dev_open,
	.recover = dev_recover,
	.packet = dev_packet,
	.close = dev_close,
	.completed = dev_completed,
	.room = dev_room,
};

/* It has no use for completions: they are packets like others. */
static const struct vsp_device_ops plain_ops = {
	.name = "plain",
	.slots = SLOTS,
	.open = dev_open,
	.packet = dev_packet,
	.close = dev_close,
};

/* ---- around it ---- */

static void attach(const struct vsp_device_ops *with)
{
	vf_attach();
	vf_offer("nic0", with, NULL);
}

static void set_up(void)
{
	vf_init(4u << 20, RING_PAGES, NULL);
	attach(&ops);
}

TestSuite(own, .init = set_up, .fini = vf_done, .timeout = 30);

static void open_channel(void)
{
	cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
	fake_worker_run(worker);
	fake_channel_irq(&peer, 0);
}

/* As if the process had died: nothing that it would do at its end is done. */
static void die(void)
{
	fake_worker_disconnect(worker);
	vsp_free(vsp);
	channel = NULL;
	attach(&ops);
}

static void take_over(void)
{
	int outcome;

	fake_worker_open_begin(worker, 0, &peer, true, NULL, &outcome);
	while (outcome > 0)
		fake_worker_run(worker);
	cr_assert_eq(outcome, 0);
	fake_worker_run(worker);
}

static uint64_t receive(void)
{
	const struct transfer_page_header *header = (const struct transfer_page_header *)got.header;

	cr_assert_eq(fake_worker_get(worker, &peer, &got), 0, "no packet");
	cr_assert_eq(got.type, VMPACKET_DATA_TRANSFER_PAGES);
	cr_assert_eq(got.flags, VMPACKET_FLAG_COMPLETION_REQUESTED);
	cr_assert_eq(header->page_set_id, BUFFER);
	cr_assert_eq(got.header_len, sizeof(*header) + header->range_count * sizeof(header->range[0]));
	return got.transaction_id;
}

static void complete(uint64_t id)
{
	cr_assert_eq(fake_put_completion(&peer, id, "done", 4), 0);
	fake_worker_run(worker);
}

/* ---- sending ---- */

Test(own, a_packet_and_its_completion)
{
	const struct transfer_page_header *header = (const struct transfer_page_header *)got.header;
	struct vsp_page_range ranges[] = {{10, 20}, {30, 40}};
	uint64_t id = 0;

	cr_assert_eq(sizeof(struct transfer_page_header), 8);
	cr_assert_eq(offsetof(struct transfer_page_header, range_count), 4);
	open_channel();
	cr_assert_eq(vsp_send_pages(channel, BUFFER, ranges, 2, "0123456789", 10, &id), 0);
	cr_assert_eq(id, 1);
	cr_assert_eq(vsp_sent(channel), 1, "not in a batch: at once");
	cr_assert(fake_channel_irq(&peer, 0));
	cr_assert_eq(receive(), 1);
	cr_assert_eq(header->range_count, 2);
	cr_assert_eq(header->range[1].byte_count, 30);
	cr_assert_eq(header->range[1].byte_offset, 40);
	cr_assert_eq(got.payload_len, 16, "padded");
	cr_assert_arr_eq(got.payload, "0123456789", 10);
	complete(1);
	cr_assert_eq(told, 1);
	cr_assert_eq(last_id, 1);
	cr_assert_eq(last_len, 8, "padded");
	cr_assert_arr_eq(last_payload, "done", 4);
}

Test(own, a_batch_is_published_together)
{
	uint64_t id = 0;

	open_channel();
	vsp_batch_begin(vsp);
	for (uint64_t i = 1; i <= 5; i++) {
		cr_assert_eq(send_one(channel, &id), 0);
		cr_assert_eq(id, i);
	}
	cr_assert_eq(vsp_sent(channel), 0);
	cr_assert_not(fake_peek(&peer));
	vsp_batch_end(vsp);
	cr_assert_eq(vsp_sent(channel), 5);
	fake_channel_irq(&peer, 0);
	cr_assert_eq(peer.interrupts, 1);
	for (uint64_t i = 1; i <= 5; i++)
		cr_assert_eq(receive(), i);
	cr_assert_eq(busy_sections(), 5);
	for (uint64_t i = 1; i <= 5; i++)
		complete(i);
	cr_assert_eq(busy_sections(), 0);
}

Test(own, completions_take_no_slot)
{
	open_channel();
	for (uint64_t i = 1; i <= 3; i++)
		cr_assert_eq(fake_put_inband(&peer, i, "keep", 4), 0);
	fake_mask(&peer);
	for (uint64_t i = 1; i <= 50; i++)
		cr_assert_eq(fake_put_completion(&peer, 1000 + i, NULL, 0), 0);
	cr_assert_eq(fake_put_inband(&peer, 4, "keep", 4), 0);
	fake_worker_run(worker);
	cr_assert_eq(told, 50);
	cr_assert_eq(unknown, 50, "a guest may make them up");
	cr_assert_eq(kept_count, 4);
	for (unsigned int i = 0; i < 4; i++)
		vsp_complete(kept[i], "x", 1);
	fake_worker_run(worker);
	cr_assert_eq(fake_put_inband(&peer, 5, "y", 1), 0);
	for (uint64_t i = 1; i <= 5; i++) {
		cr_assert_eq(fake_worker_get(worker, &peer, &got), 0);
		cr_assert_eq(got.transaction_id, i);
	}
}

Test(own, a_device_without_completed_gets_them_as_packets)
{
	die();
	vsp_free(vsp);
	fake_worker_run(worker);
	attach(&plain_ops);
	open_channel();
	cr_assert_eq(fake_put_completion(&peer, 7, "keep", 4), 0);
	fake_worker_run(worker);
	cr_assert_eq(kept_count, 1);
	cr_assert_eq(kept[0]->type, VMPACKET_COMPLETION);
	cr_assert_not(kept[0]->wants_completion);
	vsp_complete(kept[0], NULL, 0);
}

Test(own, what_is_sent_from_inside_completed_goes_with_the_batch)
{
	open_channel();
	echoes = true;
	for (uint64_t i = 1; i <= 10; i++)
		cr_assert_eq(fake_put_completion(&peer, 1000, NULL, 0), 0);
	fake_worker_run(worker);
	fake_channel_irq(&peer, 0);
	cr_assert_leq(peer.interrupts, 2);
	for (uint64_t i = 1; i <= 10; i++)
		cr_assert_eq(receive(), i);
	cr_assert_eq(vsp_sent(channel), 10);
}

Test(own, nothing_is_sent_on_a_channel_that_is_not_open)
{
	struct vsp_page_range range = {1, 1};
	struct vsp_channel *was;
	uint64_t id = 77;

	open_channel();
	was = channel;
	vsp_channel_fail(was, "the test says so");
	cr_assert_eq(vsp_send_pages(was, BUFFER, &range, 1, NULL, 0, &id), -EPIPE);
	cr_assert_eq(fake_worker_close(worker, 0), 0);
	cr_assert_eq(vsp_send_pages(was, BUFFER, &range, 1, NULL, 0, &id), -EPIPE);
	cr_assert_eq(id, 77);
	fake_channel_reset(&peer);
	open_channel();
	cr_assert_eq(send_one(channel, &id), 0);
	cr_assert_eq(id, 1, "a fresh channel counts anew");
}

/* ---- room ---- */

static unsigned int fill(void)
{
	unsigned int n = 0;

	while (send_one(channel, NULL) == 0)
		n++;
	cr_assert_leq(n, SECTIONS - 1);
	return n;
}

Test(own, a_full_ring_asks_for_a_kick)
{
	unsigned int n;

	open_channel();
	n = fill();
	cr_assert_gt(n, 100);
	cr_assert_gt(peer.in->pending_send_size, 0);
	cr_assert_eq(rooms, 0);
	for (unsigned int i = 1; i <= n; i++) {
		cr_assert_eq(receive(), i);
		fake_worker_run(worker);
	}
	cr_assert_eq(rooms, 1, "told once");
	cr_assert_eq(peer.kicks, 1);
	cr_assert_eq(peer.in->pending_send_size, 0);
	cr_assert_eq(send_one(channel, NULL), 0);
}

Test(own, a_full_ring_in_a_batch)
{
	unsigned int n;

	open_channel();
	vsp_batch_begin(vsp);
	n = fill();
	cr_assert_eq(peer.in->pending_send_size, 0, "nothing is published yet");
	vsp_batch_end(vsp);
	cr_assert_gt(peer.in->pending_send_size, 0);
	for (unsigned int i = 1; i <= n; i++)
		cr_assert_eq(receive(), i);
	fake_worker_run(worker);
	cr_assert_eq(rooms, 1);
}

/* The guest makes room between the look at the ring and the wish to be kicked. */
Test(own, room_that_is_there_already)
{
	unsigned int n;

	open_channel();
	n = fill();
	for (unsigned int i = 1; i <= n; i++)
		cr_assert_eq(fake_get(&peer, &got), 0);
	vsp_batch_begin(vsp);
	vsp_batch_end(vsp);
	fake_worker_run(worker);
	cr_assert_eq(rooms, 1);
}

Test(own, completions_that_wait_go_first)
{
	unsigned int n;

	open_channel();
	cr_assert_eq(fake_put_inband(&peer, 1, "keep", 4), 0);
	fake_worker_run(worker);
	n = fill();
	vsp_complete(kept[0], "late", 4);
	cr_assert_eq(send_one(channel, NULL), -EAGAIN);
	for (unsigned int i = 1; i <= n; i++) {
		cr_assert_eq(receive(), i);
		fake_worker_run(worker);
	}
	cr_assert_eq(fake_worker_get(worker, &peer, &got), 0);
	cr_assert_eq(got.type, VMPACKET_COMPLETION);
	fake_worker_run(worker);
	cr_assert_geq(rooms, 1);
	cr_assert_eq(send_one(channel, NULL), 0);
}

Test(own, what_no_ring_would_hold)
{
	static uint8_t big[16384];
	struct vsp_page_range range = {1, 1};
	uint64_t id;

	open_channel();
	cr_assert_eq(vsp_send_pages(channel, BUFFER, &range, 1, big, sizeof(big), &id), -EMSGSIZE);
	cr_assert_eq(peer.in->pending_send_size, 0);
	cr_assert_eq(send_one(channel, &id), 0);
	cr_assert_eq(id, 1);
}

/* ---- whoever dies ---- */

Test(own, numbers_go_on)
{
	uint64_t id;

	open_channel();
	for (int i = 0; i < 3; i++)
		cr_assert_eq(send_one(channel, NULL), 0);
	vsp_batch_begin(vsp);
	cr_assert_eq(send_one(channel, NULL), 0); /* in the ring, not published */
	die();
	take_over();
	cr_assert_eq(recovered, 1);
	cr_assert_eq(sent_then, 3);
	cr_assert_eq(freed, 1);
	cr_assert_eq(busy_sections(), 3);
	cr_assert_eq(send_one(channel, &id), 0);
	cr_assert_eq(id, 4, "the guest has not seen it");
	for (uint64_t i = 1; i <= 4; i++)
		cr_assert_eq(receive(), i);
	for (uint64_t i = 1; i <= 4; i++)
		complete(i);
	cr_assert_eq(busy_sections(), 0);
	cr_assert_eq(unknown, 0);
	cr_assert_eq(rooms, 1, "a successor is told when it may send");
}

/* The device does not hear of what could not be taken over after all; nobody would tell it that it has gone. */
Test(own, kicks_that_cannot_be_watched)
{
	int outcome, kick_fd = peer.kick_fd;

	open_channel();
	die();
	peer.kick_fd = fd_memfd("kick", 4096);
	fake_worker_open_begin(worker, 0, &peer, true, NULL, &outcome);
	while (outcome > 0)
		fake_worker_run(worker);
	fd_close(&peer.kick_fd);
	peer.kick_fd = kick_fd;
	cr_assert_lt(outcome, 0);
	cr_assert_null(channel);
	take_over();
	cr_assert_not_null(channel);
	cr_assert_eq(send_one(channel, NULL), 0);
	cr_assert_eq(receive(), 1);
}

Test(own, the_cursor_moves_once_for_many)
{
	struct block_header *header;
	size_t len = fake_worker_offer(worker, 0)->block_bytes;
	uint64_t before, after;

	open_channel();
	header = malloc(len);
	cr_assert_not_null(header);
	cr_assert_eq(fd_read_full(fake_worker_offer(worker, 0)->block_fd, header, len, 0), 0);
	before = header->accepted;
	for (uint64_t i = 1; i <= 20; i++)
		cr_assert_eq(fake_put_completion(&peer, i, NULL, 0), 0);
	fake_worker_run(worker);
	cr_assert_eq(fd_read_full(fake_worker_offer(worker, 0)->block_fd, header, len, 0), 0);
	after = header->accepted;
	cr_assert_eq(after >> 32, before >> 32, "nothing was accepted");
	cr_assert_eq(after & UINT32_MAX, peer.out->write_index);
	free(header);
	die();
	take_over();
	cr_assert_eq(told, 20, "none again");
}

/* Before all are taken over nothing is sent: another channel may own a section. */
Test(own, a_successor_waits_for_the_others)
{
	struct vsp_page_range range = {1, 1};
	uint64_t id;
	int outcome;

	open_channel();
	die();
	fake_worker_set_gather(worker, true);
	fake_worker_open_begin(worker, 0, &peer, true, NULL, &outcome);
	while (outcome > 0)
		fake_worker_run(worker);
	fake_worker_run(worker);
	cr_assert_eq(vsp_send_pages(channel, BUFFER, &range, 1, NULL, 0, &id), -EAGAIN);
	fake_worker_run(worker);
	cr_assert_eq(rooms, 0);
	cr_assert_eq(fake_worker_resumed(worker), 0);
	fake_worker_run(worker);
	cr_assert_eq(rooms, 1);
	cr_assert_eq(vsp_send_pages(channel, BUFFER, &range, 1, NULL, 0, &id), 0);
}
