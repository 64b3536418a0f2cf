/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the guest.
 *
 * Theory of operation: a transfer is one or several RNDIS PACKET messages, one behind the other: first what lies in a
 * section of the send buffer, then what lies in the packet's own pages. Of each message the head is copied once, and of
 * its frame the first bytes: what is judged and changed is the copy, the rest stays where it is, as iovecs. A frame
 * that the port cannot take now stops the transfer, and with it what comes behind on its channel, until the port says
 * so.
 *
 * A mark in the request's slot says how many of its frames are done, and whether one is with the port (MARK): it is
 * stored before the port gets a frame, and again when it has. So a successor sends what is left, and counts the one
 * that was under way as dropped: nobody can say whether it went out. What the port has taken and not sent yet it counts
 * itself (port_lost()).
 *
 * Limits: a frame has PORT_FRAME_MAX bytes and lies in as many pieces as struct port_frame holds.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/death.h"
#include "frame.h"
#include "guest/buffer.h"
#include "netvsp_int.h"

#define SECTION_PIECES 3u /* a send section lies in so many pages */

/* vsp_mark(): frames done << 1, and one is with the port; plus 2, so that it is not 0. */
#define MARK(frames, with_port) (2u + 2u * (frames) + (with_port))

/* Where a transfer's bytes are. */
struct transfer {
	struct iovec section[SECTION_PIECES];
	unsigned int sections;
	const struct iovec *iov; /* behind the section */
	unsigned int iovs;
	size_t section_len, len;
};

static int find_transfer(struct netvsp *netvsp, const struct netvsp_request *request, struct transfer *ret)
{
	const struct nvsp_rndis_packet *packet = &request->message.rndis_packet;
	int r = 0;

	ret->sections = 0;
	ret->section_len = ret->len = 0;
	ret->iov = request->vsp->iov;
	ret->iovs = request->vsp->iovs;
	if (request->vsp->data_error)
		return -EFAULT;
	if (packet->section != NVSP_NO_SECTION && packet->section_bytes > 0) {
		if (!netvsp->send_buffer || packet->section >= netvsp_state(netvsp)->send_sections ||
		    packet->section_bytes > NETVSP_SEND_SECTION_BYTES)
			return -EFAULT;
		r = guest_buffer_iov(vsp_buffer_memory(netvsp->send_buffer),
				     (size_t)packet->section * NETVSP_SEND_SECTION_BYTES, packet->section_bytes,
				     ret->section, SECTION_PIECES);
		if (r < 0)
			return r;
		ret->sections = (unsigned int)r;
		ret->section_len = packet->section_bytes;
	}
	ret->len = ret->section_len + request->vsp->data_len;
	return 0;
}

/* [@offset, @offset + @len) of some pieces, appended. Return: their number now, -E2BIG. */
static int slice(const struct iovec *iov, unsigned int iovs, size_t offset, size_t len, struct iovec *ret,
		 unsigned int n, unsigned int max)
{
	for (unsigned int i = 0; i < iovs && len > 0; i++) {
		size_t step;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		if (n == max)
			return -E2BIG;
		step = MIN(len, iov[i].iov_len - offset);
		ret[n++] = (struct iovec){(uint8_t *)iov[i].iov_base + offset, step};
		offset = 0;
		len -= step;
	}
	return (int)n;
}

/* The range lies in the transfer. */
static int transfer_iov(const struct transfer *transfer, size_t offset, size_t len, struct iovec *ret, unsigned int max)
{
	size_t here = offset < transfer->section_len ? MIN(len, transfer->section_len - offset) : 0;
	int n = slice(transfer->section, transfer->sections, offset, here, ret, 0, max);

	offset += here;
	return n < 0 || here == len ? n
				    : slice(transfer->iov, transfer->iovs, offset - transfer->section_len, len - here,
					    ret, (unsigned int)n, max);
}

/* Once: whatever the guest does to it meanwhile. */
static void transfer_copy(const struct transfer *transfer, size_t offset, void *ret, size_t len)
{
	struct iovec iov[SECTION_PIECES + VSP_IOV_MAX];
	int n = transfer_iov(transfer, offset, len, iov, ARRAY_SIZE(iov));
	uint8_t *to = ret;

	assert(n >= 0);
	for (int i = 0; i < n; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
}

ssize_t netvsp_transfer_len(struct netvsp *netvsp, const struct netvsp_request *request)
{
	struct transfer transfer;
	int r = find_transfer(netvsp, request, &transfer);

	return r < 0 ? r : (ssize_t)transfer.len;
}

int netvsp_copy(struct netvsp *netvsp, const struct netvsp_request *request, size_t offset, void *ret, size_t len)
{
	struct transfer transfer;
	int r = find_transfer(netvsp, request, &transfer);

	if (r < 0)
		return r;
	if (!range_fits(offset, len, transfer.len))
		return -EFAULT;
	transfer_copy(&transfer, offset, ret, len);
	return 0;
}

/* ---- one frame ---- */

/* Of the message at @offset. Return: 0, -EPROTO. */
static int read_message(const struct transfer *transfer, size_t offset, struct rndis_frame *ret)
{
	uint8_t head[RNDIS_HEAD_MAX];
	size_t left = transfer->len - offset, len = MIN(left, sizeof(head));

	transfer_copy(transfer, offset, head, len);
	return rndis_frame_parse(head, len, left, ret);
}

static int read_frame(const struct netvsp *netvsp, const struct transfer *transfer, size_t offset,
		      const struct rndis_frame *message, struct port_frame *ret)
{
	size_t max = message->has_lso ? PORT_FRAME_MAX : netvsp->settings.mtu + ETHERNET_HEADER_LEN + 4u;
	int r;

	if (message->len < ETHERNET_HEADER_LEN || message->len > max)
		return -EMSGSIZE;
	ret->len = message->len;
	ret->head_len = MIN(ret->len, sizeof(ret->head));
	transfer_copy(transfer, offset + message->offset, ret->head, ret->head_len);
	r = transfer_iov(transfer, offset + message->offset + ret->head_len, ret->len - ret->head_len, ret->rest,
			 ARRAY_SIZE(ret->rest));
	if (r < 0)
		return r;
	ret->rests = (unsigned int)r;
	return frame_take_info(message, ret);
}

/* ---- requests ---- */

/* Return: 0: it is over; -EAGAIN: the port is full. */
static int go(struct netvsp *netvsp, struct netvsp_request *request, const struct transfer *transfer)
{
	struct netvsp_channel *data = vsp_channel_data(request->vsp->channel);
	unsigned int queue = data->index % port_queues(netvsp->port);
	struct rndis_frame message;
	struct port_frame frame;
	int r;

	while (request->offset < transfer->len) {
		r = read_message(transfer, request->offset, &message);
		if (r == 0)
			r = read_frame(netvsp, transfer, request->offset, &message, &frame);
		if (r < 0) {
			request->status = r == -EPROTO ? NVSP_STATUS_INVALID_RNDIS_PACKET : NVSP_STATUS_FAILURE;
			netvsp_complain(netvsp,
					r == -EMSGSIZE ? "a frame longer than its MTU" : "a malformed RNDIS packet");
			return 0;
		}
		vsp_mark(request->vsp, MARK(request->frames, 1));
		r = port_transmit(netvsp->port, queue, &frame);
		if (r < 0) {
			vsp_mark(request->vsp, MARK(request->frames, 0));
			return -EAGAIN;
		}
		DEATH(NET_FRAME_SENT);
		data->transmitted = true;
		request->frames++;
		vsp_mark(request->vsp, MARK(request->frames, 0));
		request->bytes += (uint32_t)message.len;
		request->offset += message.message_len;
	}
	return 0;
}

/* Over the frames that a predecessor has sent. */
static void skip(const struct transfer *transfer, struct netvsp_request *request)
{
	struct rndis_frame message;

	for (uint32_t i = 0; i < request->skip && request->offset < transfer->len; i++) {
		if (read_message(transfer, request->offset, &message) < 0) {
			request->offset = transfer->len;
			break;
		}
		request->offset += message.message_len;
		request->frames++;
	}
	request->skip = 0;
}

static void complete(struct netvsp *netvsp, struct netvsp_request *request)
{
	request->vsp->account = (struct stats_account){
		.unit = netvsp->stats,
		.bytes = request->bytes,
		.class = STATS_NIC_TRANSFER,
		.error = request->status != NVSP_STATUS_SUCCESS,
	};
	netvsp_complete(request, request->status, NULL);
}

/* Return: whether it is over. */
static bool transmit(struct netvsp *netvsp, struct netvsp_request *request)
{
	struct transfer transfer;

	/* Before RNDIS is initialized there are no frames. */
	if (netvsp->refuses || !netvsp->channel[0] || !netvsp_state(netvsp)->initialized ||
	    find_transfer(netvsp, request, &transfer) < 0) {
		request->status = NVSP_STATUS_FAILURE;
	} else {
		request->status = NVSP_STATUS_SUCCESS;
		if (transfer.len == 0)
			request->status = NVSP_STATUS_INVALID_RNDIS_PACKET;
		if (request->skip > 0)
			skip(&transfer, request);
		if (go(netvsp, request, &transfer) == -EAGAIN)
			return false;
	}
	complete(netvsp, request);
	return true;
}

void netvsp_transmit(struct netvsp *netvsp, struct netvsp_request *request)
{
	struct netvsp_channel *data = vsp_channel_data(request->vsp->channel);

	if (!data->waiting.head && transmit(netvsp, request))
		return;
	netvsp_list_add(&data->waiting, request);
	stats_enter(netvsp->stats);
}

static void go_on(struct netvsp *netvsp, struct vsp_channel *channel)
{
	struct netvsp_channel *data = vsp_channel_data(channel);

	while (data->waiting.head) {
		struct netvsp_request *request = netvsp_list_take(&data->waiting);

		if (transmit(netvsp, request)) {
			stats_leave(netvsp->stats);
			continue;
		}
		/* back to the front */
		request->next = data->waiting.head;
		data->waiting.head = request;
		if (!data->waiting.tail)
			data->waiting.tail = request;
		return;
	}
}

void netvsp_transmit_go_all(struct netvsp *netvsp)
{
	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++)
		if (netvsp->channel[i])
			go_on(netvsp, netvsp->channel[i]);
}

void netvsp_take_mark(struct netvsp *netvsp, struct netvsp_request *request)
{
	uint32_t mark = request->vsp->mark - MARK(0, 0);

	request->skip = (mark >> 1) + (mark & 1);
	netvsp_count_dropped(netvsp, mark & 1);
	if (mark & 1) /* it is counted: not by the next one, too */
		vsp_mark(request->vsp, MARK(MIN(request->skip, UINT32_MAX / 4), 0));
}
