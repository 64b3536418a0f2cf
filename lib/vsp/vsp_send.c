/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of our own.
 *
 * Theory of operation: they go into the ring as completions do, and are published by the same commit, which also says
 * how many there were: so a successor knows of each whether the guest sees it. Completions that wait for room go first.
 * What the device is refused for want of room is remembered as the longest of such packets; with the next publication
 * the guest is asked to kick us once that fits, and then the device is told, by the loop, never from inside a call of
 * its own.
 */
#include <assert.h>
#include <errno.h>

#include "abi/ring.h"
#include "base/bytes.h"
#include "base/death.h"
#include "vsp/internal.h"

/* ---- room ---- */

int vsp_channel_ask_room(struct vsp_channel *channel)
{
	int r;

	channel->wait_room = true;
	r = ring_writer_wait(&channel->channel.out, channel->refused_len);
	if (r <= 0)
		return r;
	channel->wait_room = false;
	channel->refused_len = 0;
	channel->room_due = true;
	loop_wake(channel->vsp->work);
	return 0;
}

void vsp_channel_tell_room(struct vsp_channel *channel)
{
	if (!channel->room_due || channel->failed || channel->state != VSP_CHANNEL_OPEN || vsp_is_held(channel->vsp))
		return;
	channel->room_due = false;
	if (!channel->ops->room)
		return;
	vsp_batch_begin(channel->vsp);
	channel->ops->room(channel);
	vsp_batch_end(channel->vsp);
}

/* ---- sending ---- */

/* Whether anything may be put into the ring now. Return: 0, -EAGAIN, -EPIPE; 1: it is too early, room is due then. */
static int may_send(struct vsp_channel *channel, bool held)
{
	if (channel->state != VSP_CHANNEL_OPEN || channel->failed)
		return -EPIPE;
	if (channel->recovering || held) {
		channel->room_due = true;
		return 1;
	}
	return channel->waiting.count > 0 ? -EAGAIN : 0;
}

/* @r: what came of a packet with @len bytes behind its descriptor. */
static int sent(struct vsp_channel *channel, size_t len, int r)
{
	if (r == -EPROTO) {
		vsp_channel_fail(channel, vsp_channel_corrupt(r));
		return -EPIPE;
	}
	if (r < 0 && r != -EAGAIN)
		return r;
	if (r == -EAGAIN)
		channel->refused_len = MAX(channel->refused_len, MAX(len, (size_t)1));
	vsp_channel_touched(channel);
	return r;
}

int vsp_send(struct vsp_channel *channel, uint64_t transaction_id, const void *payload, size_t len)
{
	int r = may_send(channel, false);

	if (r > 0)
		return -EAGAIN;
	if (r == 0)
		r = ring_write(&channel->channel.out, VMPACKET_DATA_INBAND, 0, transaction_id, payload, len);
	return sent(channel, len, r);
}

int vsp_send_pages(struct vsp_channel *channel, uint16_t buffer, const struct vsp_page_range *ranges, size_t count,
		   const void *payload, size_t len, uint64_t *ret_id)
{
	_Alignas(8) uint8_t
		head[sizeof(struct transfer_page_header) + VSP_PAGE_RANGES_MAX * sizeof(struct transfer_page_range)];
	struct transfer_page_header *header = (struct transfer_page_header *)head;
	size_t header_len = sizeof(*header) + count * sizeof(header->range[0]);
	const struct iovec iov[] = {{head, header_len}, {(void *)payload, len}};
	/* a predecessor's other channels may use the same memory */
	int r = may_send(channel, vsp_is_held(channel->vsp));

	assert(count > 0 && count <= VSP_PAGE_RANGES_MAX);
	if (r > 0)
		return -EAGAIN;
	*header = (struct transfer_page_header){.page_set_id = buffer, .range_count = (uint32_t)count};
	for (size_t i = 0; i < count; i++)
		header->range[i] = (struct transfer_page_range){ranges[i].bytes, ranges[i].offset};
	if (r == 0)
		r = ring_write_raw(&channel->channel.out, VMPACKET_DATA_TRANSFER_PAGES,
				   VMPACKET_FLAG_COMPLETION_REQUESTED, channel->numbered + 1, header_len, iov,
				   len > 0 ? 2 : 1);
	if (r == 0) {
		*ret_id = ++channel->numbered;
		DEATH(OWN_WRITTEN);
	}
	return sent(channel, header_len + len, r);
}

uint64_t vsp_sent(const struct vsp_channel *channel)
{
	return channel->sent;
}
