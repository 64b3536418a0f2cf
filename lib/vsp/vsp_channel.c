/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: requests of one channel, from ring to slot to device to ring.
 *
 *   CLOSED --open--> OPEN --close, quiesce--> CLOSING --in_flight is 0, deferred--> CLOSED
 *
 * drain: mask the guest's kicks; while a slot is free: read a packet into the slot, check its page list, accept,
 * ops->packet; after some of them, and at the end, ops->batch_end and one flush: the guest takes what is complete while
 * we go on, and neither side needs to sleep. A guest that shares our CPU takes it from us instead, each time that it is
 * signalled (TURNS times in a row it had run before the signal was over): it is told once, at the end. Then unmask,
 * look once more. Without a free slot the rest stays in the
 * ring (masked: the guest would only kick an empty ring) until a completion frees one. After many batches the loop
 * gets its turn first. While the process polls (vsp_poll()) the ring stays masked behind a drain. flush: completions
 * that found no room go into the ring first; then commit record, read_index, write_index, at most one interrupt, slots
 * free. If some still wait, the guest is asked through pending_send_size to kick us once there is room. A corrupt ring
 * fails the channel: it is neither read nor written nor signalled again until the guest closes it. vsp_send.c has the
 * packets of our own; their completions, if the device takes them, need no slot.
 *
 * Limits: BATCH_PACKETS or BATCH_BYTES of data, and one packet, before what is complete is published, DRAIN_BATCHES
 * before other channels have their turn.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/ring.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/death.h"
#include "guest/gpa.h"
#include "vsp/internal.h"

#define BATCH_PACKETS 12u /* no more than 0.1 interrupts for each; with 16 of 32 under way, guests begin to kick */
#define BATCH_BYTES   (512u * 1024u)
#define DRAIN_BATCHES 32u
#define TURNS	      4u

/* ---- open and close ---- */

static int alloc_requests(struct vsp_channel *channel)
{
	uint32_t slots = channel->geometry.slots;

	channel->device_stride = ALIGN_UP(channel->ops->request_size, (size_t)16);
	channel->requests = calloc(slots, sizeof(*channel->requests));
	channel->busy = calloc(slots, sizeof(*channel->busy));
	channel->device_data = calloc(slots, MAX(channel->device_stride, (size_t)1));
	channel->data = calloc(1, MAX(channel->ops->channel_size, (size_t)1));
	if (!channel->requests || !channel->busy || !channel->device_data || !channel->data)
		return -ENOMEM;
	if (slot_list_alloc(&channel->free, slots) < 0 || slot_list_alloc(&channel->waiting, slots) < 0 ||
	    slot_list_alloc(&channel->written, slots) < 0 || slot_list_alloc(&channel->replay, slots) < 0)
		return -ENOMEM;
	/* Last in, first out, beginning with 0: an idle channel touches few pages. */
	for (uint32_t i = slots; i > 0; i--)
		slot_push(&channel->free, i - 1);
	for (uint32_t i = 0; i < slots; i++) {
		channel->requests[i].channel = channel;
		channel->requests[i].slot = i;
		channel->requests[i].device_data = channel->device_data + i * channel->device_stride;
	}
	return 0;
}

static void on_kick(int fd, unsigned int events, void *arg)
{
	struct vsp_channel *channel = arg;

	vsp_stats_kicked(channel, channel_clear_kick(&channel->channel));
	if (channel->wait_room)
		vsp_channel_flush(channel);
	vsp_channel_tell_room(channel);
	vsp_channel_drain(channel);
}

static int set_up_fresh(struct vsp_channel *channel, const struct vsp_open *open)
{
	struct channel *ch = &channel->channel;
	int r = channel_start(ch);

	channel->geometry = channel->offered;
	channel->sent = channel->numbered = 0;
	vsp_stats_opened(channel, true);
	if (r == 0)
		r = block_format(&channel->block, open->block_fd, &channel->geometry, ch->in_ring.data_len,
				 ch->out_ring.data_len, ch->in.cursor, ch->out.cursor);
	DEATH(OPEN_FORMATTED);
	if (r == 0)
		r = alloc_requests(channel);
	return r < 0 ? r : channel->ops->open(channel, open->user_data);
}

/* The block is a predecessor's, and sound. */
static int set_up_again(struct vsp_channel *channel, struct vsp_recovered *ret)
{
	const struct block_header *header = channel->block.header;
	int r;

	channel->geometry.slots = header->slots;
	channel->geometry.packet_max = header->packet_max;
	channel->geometry.reply_max = header->reply_max;
	vsp_stats_opened(channel, false);
	r = alloc_requests(channel);
	return r < 0 ? r : vsp_channel_recover(channel, ret);
}

/* What can fail comes before the device hears of it: a channel that it was told of stays open until it is closed. */
static int set_up(struct vsp_channel *channel, const struct vsp_open *open, struct vsp_recovered *ret)
{
	struct channel *ch = &channel->channel;
	int r = loop_add_fd(channel->vsp->loop, ch->kick_fd, LOOP_READ, on_kick, channel, &channel->kick);

	if (r < 0)
		return r;
	r = -ENODATA;
	if (open->recover)
		r = block_attach(&channel->block, open->block_fd, &channel->offered, ch->in_ring.data_len,
				 ch->out_ring.data_len, &ret->why);
	/* Requests may have been under way: to begin anew would drop them without a word. */
	if (open->recover && open->was_open && r == -ENODATA)
		r = -EPROTO;
	if (r == 0 || r == -ENODATA) {
		ret->why = NULL;
		r = r < 0 ? set_up_fresh(channel, open) : set_up_again(channel, ret);
	}
	if (ret->why)
		log_error(channel->name, "the state that its last service left cannot be used: %s", ret->why);
	if (channel->failed)
		loop_remove(&channel->kick);
	return r;
}

int vsp_channel_open(struct vsp_channel *channel, const struct vsp_open *open, struct vsp_recovered *ret)
{
	int r;

	*ret = (struct vsp_recovered){0};
	if (channel->state != VSP_CHANNEL_CLOSED)
		return -EBUSY;
	/* one whose sub-channels still go: nobody would close it */
	if (channel->withdrawn)
		return -ENODEV;
	channel->vsp->gathers |= open->gather;
	channel->vsp->gathering |= open->gather;
	/* until it has been taken over, or is opened anew */
	channel->stranded |= open->recover && open->was_open;
	r = channel_map(&channel->channel, &channel->vsp->mem, &channel->vsp->cells, &open->params);
	if (r < 0)
		return r;
	DEATH(OPEN_MAPPED);
	channel->state = VSP_CHANNEL_OPEN;
	channel->culprit = -1;
	r = set_up(channel, open, ret);
	if (r < 0) {
		/* Our caller still owns them: it closes what it passed. */
		channel->channel.kick_fd = -1;
		channel->channel.irq_fd = -1;
		vsp_channel_drop(channel);
		return r;
	}
	channel->stranded = false;
	/* The guest may have written before we listened. */
	channel->again = true;
	loop_wake(channel->vsp->work);
	DEATH(OPENED);
	return 0;
}

void vsp_channel_drop(struct vsp_channel *channel)
{
	if (channel->state == VSP_CHANNEL_CLOSED)
		return;
	loop_remove(&channel->kick);
	vsp_buffers_drop(channel);
	channel_done(&channel->channel);
	block_done(&channel->block);
	slot_list_free(&channel->free);
	slot_list_free(&channel->waiting);
	slot_list_free(&channel->written);
	slot_list_free(&channel->replay);
	free(take_ptr(channel->requests));
	free(take_ptr(channel->busy));
	free(take_ptr(channel->device_data));
	free(take_ptr(channel->data));
	channel->in_flight = 0;
	channel->failed = channel->starved = channel->again = channel->wait_room = channel->cautious = false;
	channel->passed = channel->room_due = false;
	channel->refused_len = 0;
	channel->state = VSP_CHANNEL_CLOSED;
}

int vsp_channel_close(struct vsp_channel *channel, struct vsp_done done)
{
	/* one that closes because we withdraw it has nobody to answer to yet */
	if (channel->state == VSP_CHANNEL_CLOSING && (!channel->withdrawn || channel->closed.arg))
		return -EBUSY;
	channel->closed = done;
	if (channel->state == VSP_CHANNEL_CLOSING)
		return 0;
	if (channel->state == VSP_CHANNEL_CLOSED) {
		if (channel->stranded && channel->ops->abandoned)
			channel->ops->abandoned(channel);
		channel->stranded = false;
		done.fn(done.arg);
		return 0;
	}
	channel->state = VSP_CHANNEL_CLOSING;
	loop_remove(&channel->kick);
	if (channel->ops->closing)
		channel->ops->closing(channel);
	if (channel->in_flight == 0)
		loop_wake(channel->vsp->work);
	return 0;
}

void vsp_channel_work(struct vsp_channel *channel)
{
	/* First: packets that still wait in the ring of a channel that closes are not taken up any more. */
	if (channel->state == VSP_CHANNEL_CLOSING) {
		struct vsp_done done = channel->closed;

		if (channel->in_flight > 0 || channel->mappings)
			return;
		vsp_channel_flush(channel);
		channel->ops->close(channel);
		assert(!channel->buffers);
		vsp_channel_drop(channel);
		done.fn(done.arg);
		return;
	}
	if (channel->again || (channel->starved && channel->free.count > 0))
		vsp_channel_drain(channel);
	vsp_channel_tell_room(channel);
}

void vsp_channel_fail(struct vsp_channel *channel, const char *why)
{
	if (channel->failed || channel->state == VSP_CHANNEL_CLOSED)
		return;
	channel->failed = true;
	block_set_failed(&channel->block);
	loop_remove(&channel->kick);
	if (log_allowed(&channel->limit, channel->name))
		log_warn(channel->name, "channel stopped until the guest closes it: %s", why);
}

bool vsp_failed(const struct vsp_channel *channel)
{
	return channel->failed;
}

/* ---- guest to device ---- */

static uint32_t iov_bytes(const struct vsp_request *request)
{
	size_t bytes = 0;

	for (unsigned int i = 0; i < request->iovs; i++)
		bytes += request->iov[i].iov_len;
	return (uint32_t)bytes;
}

/* The packet's page list, checked against memory, into the slot. Return: 0 or -EPROTO (not a page list at all). */
static int take_pages(struct block_slot *slot, const uint8_t *packet)
{
	size_t list_len = slot->payload_offset - sizeof(struct vmpacket_descriptor);
	int r;

	r = gpa_list_parse(packet + sizeof(struct vmpacket_descriptor), list_len, slot->range, BLOCK_RANGES_MAX,
			   &slot->data_len);
	if (r == -EPROTO)
		return r;
	if (r >= 0) {
		slot->ranges = (uint32_t)r;
	} else {
		slot->data_error = r;
		slot->data_len = 0;
	}
	return 0;
}

int vsp_channel_fill(struct vsp_channel *channel, uint32_t n)
{
	struct vsp_request *request = &channel->requests[n];
	struct block_slot *slot = block_slot(&channel->block, n);
	int r = guest_mem_iov(&channel->vsp->mem, slot->range, slot->ranges, request->iov, VSP_IOV_MAX);

	request->iovs = r < 0 ? 0 : (unsigned int)r;
	request->transaction_id = slot->transaction_id;
	request->type = slot->type;
	request->wants_completion = slot->flags & VMPACKET_FLAG_COMPLETION_REQUESTED;
	request->payload = block_slot_packet(&channel->block, n) + slot->payload_offset;
	request->payload_len = slot->packet_len - slot->payload_offset;
	request->data_len = r < 0 ? 0 : iov_bytes(request);
	request->data_error = slot->data_error;
	request->mark = atomic_load_explicit(&slot->mark, memory_order_relaxed);
	request->account.unit = NULL;
	memset(request->device_data, 0, channel->ops->request_size);
	return r < 0 ? r : 0;
}

/* The guest has completed a packet of ours. The device hears of it before the block's cursor moves, with the batch: of
 * what is read again, it hears again. */
static void take_completion(struct vsp_channel *channel, const struct ring_packet *packet, const uint8_t *bytes)
{
	vsp_stats_passed(channel);
	channel->passed = true;
	channel->ops->completed(channel, packet->transaction_id, bytes + packet->payload_offset,
				packet->len - packet->payload_offset);
}

/* One packet from the ring into slot @n. Return: 0, 1 (it needs no slot), -EAGAIN (empty), or why the ring is corrupt.
 */
static int accept_packet(struct vsp_channel *channel, uint32_t n)
{
	struct block_slot *slot = block_slot(&channel->block, n);
	uint8_t *bytes = block_slot_packet(&channel->block, n);
	struct ring_packet packet;
	int r;

	r = ring_read(&channel->channel.in, bytes, channel->block.header->packet_max, &packet);
	if (r < 0)
		return r;
	if (packet.type == VMPACKET_COMPLETION && channel->ops->completed) {
		take_completion(channel, &packet, bytes);
		return 1;
	}
	slot->type = packet.type;
	slot->flags = packet.flags;
	slot->transaction_id = packet.transaction_id;
	slot->packet_len = packet.len;
	slot->payload_offset = packet.payload_offset;
	slot->data_error = 0;
	slot->data_len = slot->ranges = slot->reply_len = 0;
	atomic_store_explicit(&slot->mark, 0, memory_order_relaxed);
	if (packet.type == VMPACKET_DATA_GPA_DIRECT) {
		r = take_pages(slot, bytes);
		if (r < 0)
			return r;
	}
	r = vsp_channel_fill(channel, n);
	if (r < 0) {
		slot->data_error = channel->requests[n].data_error = r;
		slot->ranges = slot->data_len = 0;
	}
	vsp_stats_accept(channel, n);
	block_accept(&channel->block, n, channel->channel.in.cursor);
	return 0;
}

void vsp_channel_give(struct vsp_channel *channel, uint32_t n,
		      void (*give)(struct vsp_channel *channel, struct vsp_request *request))
{
	channel->busy[n] = true;
	channel->in_flight++;
	give(channel, &channel->requests[n]);
}

const char *vsp_channel_corrupt(int error)
{
	return error == -EMSGSIZE ? "its ring holds a packet longer than this device takes"
				  : "its ring buffer is corrupt";
}

/*
 * Up to @most packets, as long as there are slots. Return: 0, -EAGAIN (the ring is empty), or why it is corrupt.
 * @ret_slots: room for BLOCK_SLOTS_MAX; the @ret_given that the device was given.
 */
static int take_batch(struct vsp_channel *channel, uint32_t most, uint16_t *ret_slots, uint32_t *ret_given)
{
	uint64_t bytes = 0;

	*ret_given = 0;
	for (uint32_t packets = 0; packets < most && bytes < BATCH_BYTES; packets++) {
		uint32_t n;
		int r;

		if (channel->free.count == 0 || channel->failed || channel->state != VSP_CHANNEL_OPEN)
			break;
		n = channel->free.slot[channel->free.count - 1];
		r = accept_packet(channel, n);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		channel->free.count--;
		ret_slots[(*ret_given)++] = (uint16_t)n;
		bytes += channel->requests[n].data_len;
		vsp_channel_give(channel, n, channel->ops->packet);
	}
	return 0;
}

/* How many packets until what is complete is published. */
static uint32_t batch_packets(const struct vsp_channel *channel)
{
	return channel->turns < TURNS ? BATCH_PACKETS : channel->geometry.slots;
}

/* Batches until the ring is empty and stays so, slots are used up, the turn is over, or the channel fails. */
static void drain_ring(struct vsp_channel *channel)
{
	uint32_t batches = 0, most = batch_packets(channel);
	uint16_t slots[BLOCK_SLOTS_MAX];
	bool masked = false;
	uint32_t given;

	vsp_stats_tick(channel->vsp);
	while (!channel->failed && channel->state == VSP_CHANNEL_OPEN) {
		int r;

		if (!masked)
			ring_reader_mask(&channel->channel.in);
		masked = true;
		r = take_batch(channel, most, slots, &given);
		vsp_stats_seen(channel);
		vsp_stats_given(channel, slots, given);
		if (channel->ops->batch_end)
			channel->ops->batch_end(channel);
		/* Where nothing is complete at once, nobody waits for us. */
		most = channel->written.count > 0 ? batch_packets(channel) : channel->geometry.slots;
		/* What was accepted before the ring turned out to be corrupt is still read and answered. */
		vsp_channel_flush(channel);
		if (r == -EAGAIN) {
			channel->marks.count = 0;
			r = channel->vsp->polling ? 0 : ring_reader_unmask(&channel->channel.in);
			if (r == 0)
				return;
			masked = false;
		}
		if (r < 0) {
			vsp_channel_fail(channel, vsp_channel_corrupt(r));
			return;
		}
		if (channel->free.count == 0) {
			channel->starved = true;
			vsp_stats_left(channel);
			return;
		}
		if (++batches == DRAIN_BATCHES) {
			vsp_stats_left(channel);
			channel->again = true;
			loop_wake(channel->vsp->work);
			return;
		}
	}
}

/* What a predecessor left comes first. Return: whether the ring's turn has come. */
static bool replay(struct vsp_channel *channel)
{
	bool given = channel->replay.count > 0 || channel->waiting.count > 0, over;

	if (given)
		vsp_stats_tick(channel->vsp);
	over = vsp_channel_replay(channel);
	if (given && channel->ops->batch_end)
		channel->ops->batch_end(channel);
	if (given)
		vsp_channel_flush(channel);
	return over;
}

void vsp_channel_drain(struct vsp_channel *channel)
{
	/* One that was opened while others are gathered has its turn afterwards: again is set. */
	if (channel->draining || channel->failed || channel->state != VSP_CHANNEL_OPEN || vsp_is_held(channel->vsp))
		return;
	channel->draining = true;
	channel->starved = channel->again = false;
	channel->vsp->batch_depth++;
	if (replay(channel))
		drain_ring(channel);
	channel->vsp->batch_depth--;
	channel->draining = false;
	if (channel->vsp->batch_depth == 0 && channel->vsp->dirty_count > 0) {
		/* The device completed requests of other channels meanwhile. */
		vsp_batch_begin(channel->vsp);
		vsp_batch_end(channel->vsp);
	}
}

void vsp_empty(struct vsp_channel *channel)
{
	uint32_t len = channel->channel.in_ring.data_len, step = 1;

	for (uint64_t taken = 0; taken < len && step > 0; taken += step) {
		uint32_t before = channel->channel.in.cursor;

		if (channel->state != VSP_CHANNEL_OPEN || channel->failed)
			return;
		vsp_channel_drain(channel);
		step = (channel->channel.in.cursor + len - before) % len;
	}
}

/* ---- polling ---- */

/* Whether a packet in the ring is to be taken up at once: not if those before it wait for a slot or for their turn. */
static bool listens(const struct vsp_channel *channel)
{
	return channel->state == VSP_CHANNEL_OPEN && !channel->failed && !channel->starved && !channel->again;
}

void vsp_channel_mask(struct vsp_channel *channel)
{
	if (listens(channel))
		ring_reader_mask(&channel->channel.in);
}

bool vsp_channel_poll(struct vsp_channel *channel)
{
	/* A corrupt index is the drain's to find. */
	if (!listens(channel) || ring_empty(&channel->channel.in) == 1)
		return false;
	vsp_channel_drain(channel);
	return true;
}

void vsp_channel_unmask(struct vsp_channel *channel)
{
	/* What came before the guest saw the mask cleared brought no kick. */
	if (listens(channel) && ring_reader_unmask(&channel->channel.in) != 0)
		vsp_channel_drain(channel);
}

/* ---- device to guest ---- */

/* Put the completion of a DONE slot, if it wants one, into the ring. Return: 0, -EAGAIN, -EPROTO. */
static int write_completion(struct vsp_channel *channel, uint32_t n)
{
	const struct block_slot *slot = block_slot(&channel->block, n);
	int r = 0;

	if (slot->flags & VMPACKET_FLAG_COMPLETION_REQUESTED)
		r = ring_write(&channel->channel.out, VMPACKET_COMPLETION, 0, slot->transaction_id,
			       block_slot_reply(&channel->block, n), slot->reply_len);
	if (r < 0)
		return r;
	block_commit_add(&channel->block, n);
	slot_push(&channel->written, n);
	return 0;
}

/* Completions that waited for room. Return: 0 (all are written), -EAGAIN, or why the ring is corrupt. */
static int write_waiting(struct vsp_channel *channel)
{
	while (channel->waiting.count > 0) {
		int r = write_completion(channel, channel->waiting.slot[channel->waiting.head]);

		if (r < 0)
			return r;
		(void)slot_pop(&channel->waiting, channel->geometry.slots);
	}
	return 0;
}

/* As channel_commit(); learns whether the guest runs in our place once it is signalled: it has put more into the ring
 * before we came back. A corrupt index is the drain's to find. */
static int commit(struct vsp_channel *channel)
{
	uint64_t signals = channel->channel.signals;
	uint32_t before;
	int r;

	(void)ring_empty(&channel->channel.in);
	before = channel->channel.in.write;
	r = channel_commit(&channel->channel);
	if (r < 0 || channel->channel.signals == signals)
		return r;
	(void)ring_empty(&channel->channel.in);
	if (channel->channel.in.write == before)
		channel->turns = 0;
	else if (channel->turns < TURNS)
		channel->turns++;
	return r;
}

static int publish(struct vsp_channel *channel)
{
	struct ring_writer *out = &channel->channel.out;
	bool news = out->cursor != out->published || channel->written.count > 0;
	int r;

	/* one that is done alone is published as soon as it is done */
	if (channel->written.count > 1)
		vsp_stats_tick(channel->vsp);
	if (channel->passed)
		block_set_cursor(&channel->block, channel->channel.in.cursor);
	channel->passed = false;
	if (news)
		block_commit_begin(&channel->block, out->published, out->cursor, channel->numbered);
	r = commit(channel);
	if (news)
		block_commit_end(&channel->block);
	channel->sent = channel->numbered;
	vsp_stats_published(channel);
	while (channel->written.count > 0)
		slot_push(&channel->free, channel->written.slot[--channel->written.count]);
	return r;
}

/* Publish; if completions or the device wait for room, ask for a kick. Return: 0, 1 (there is room after all: once
 * more), or why it is corrupt. */
static int flush_once(struct vsp_channel *channel)
{
	int written = write_waiting(channel), r;

	if (written < 0 && written != -EAGAIN)
		return written;
	r = publish(channel);
	if (r < 0)
		return r;
	if (written == 0 && channel->refused_len > 0)
		return vsp_channel_ask_room(channel);
	if (written == 0) {
		if (channel->wait_room)
			ring_writer_wait_end(&channel->channel.out);
		channel->wait_room = false;
		return 0;
	}
	channel->wait_room = true;
	return ring_writer_wait(&channel->channel.out,
				block_slot(&channel->block, channel->waiting.slot[channel->waiting.head])->reply_len);
}

void vsp_channel_flush(struct vsp_channel *channel)
{
	int r;

	if (channel->failed || channel->state == VSP_CHANNEL_CLOSED)
		return;
	/* Each further round puts a completion that waits into room that was just seen; there are at most as many as
	 * slots. */
	for (uint32_t round = 0; round <= channel->geometry.slots; round++) {
		r = flush_once(channel);
		if (r <= 0)
			break;
	}
	if (r < 0)
		vsp_channel_fail(channel, vsp_channel_corrupt(r));
}

/* The outcome is in the block: into the ring with it, or behind those that wait. */
static void queue_completion(struct vsp_channel *channel, uint32_t n)
{
	int r = channel->waiting.count > 0 ? -EAGAIN : write_completion(channel, n);

	if (r < 0)
		slot_put(&channel->waiting, channel->geometry.slots, n);
	if (r < 0 && r != -EAGAIN)
		vsp_channel_fail(channel, vsp_channel_corrupt(r));
}

void vsp_complete_state(struct vsp_request *request, const void *payload, size_t len, const void *state)
{
	struct vsp_channel *channel = request->channel;
	uint32_t n = request->slot;

	assert(channel->busy[n] && len <= channel->geometry.reply_max);
	channel->busy[n] = false;
	channel->in_flight--;
	if (channel->failed) {
		slot_push(&channel->free, n);
	} else {
		vsp_stats_done(channel, n);
		block_outcome(&channel->block, n, payload, request->wants_completion ? (uint32_t)len : 0, state);
		queue_completion(channel, n);
	}
	if (channel->cautious) {
		/* The next one's turn; not from in here. */
		channel->again = true;
		loop_wake(channel->vsp->work);
	}
	vsp_channel_touched(channel);
	if (channel->state == VSP_CHANNEL_CLOSING && channel->in_flight == 0)
		loop_wake(channel->vsp->work);
}

/* The slot stays ACCEPTED: that is all that a successor needs. */
void vsp_leave(struct vsp_request *request)
{
	struct vsp_channel *channel = request->channel;

	assert(channel->busy[request->slot] && channel->state == VSP_CHANNEL_CLOSING);
	channel->busy[request->slot] = false;
	channel->in_flight--;
}

void vsp_set_state_word(struct vsp_channel *channel, size_t offset, uint64_t value)
{
	block_set_state_word(&channel->block, offset, value);
}

void vsp_mark(struct vsp_request *request, uint32_t mark)
{
	struct vsp_channel *channel = request->channel;

	assert(channel->busy[request->slot] && mark != 0);
	if (!channel->failed)
		block_mark(&channel->block, request->slot, mark);
}

void vsp_complete(struct vsp_request *request, const void *payload, size_t len)
{
	vsp_complete_state(request, payload, len, NULL);
}

/* ---- what a device asks ---- */

void *vsp_channel_data(struct vsp_channel *channel)
{
	return channel->data;
}

void *vsp_channel_device(struct vsp_channel *channel)
{
	return channel->device;
}

const char *vsp_channel_name(const struct vsp_channel *channel)
{
	return channel->name;
}

uint16_t vsp_channel_index(const struct vsp_channel *channel)
{
	return channel->index;
}

const void *vsp_channel_state(const struct vsp_channel *channel)
{
	return block_state(&channel->block);
}

_Atomic uint64_t *vsp_channel_table(struct vsp_channel *channel)
{
	return block_table(&channel->block);
}
