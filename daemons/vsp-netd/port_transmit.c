/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "offload.h"
#include "policy.h"
#include "port_int.h"

#define TAG_LEN	   4u
#define TYPE_8021Q 0x8100u

/* Headers without options. */
#define IPV4_TCP_LEN 40u
#define IPV6_TCP_LEN 60u

/* One frame on its way: a private head, and what is behind it. */
struct transfer {
	struct port *port;
	unsigned int queue;
	uint8_t head[PORT_HEAD_MAX + TAG_LEN];
	size_t head_len;
	struct headers headers;
	struct net_outgoing out;
};

static int send_out(struct transfer *transfer)
{
	struct port *port = transfer->port;

	return port->net->ops->send(port->net, transfer->queue, &transfer->out);
}

/* ---- what the back end does not do ---- */

/* From segment *@next on. Return: 0: all are sent; -EAGAIN: *@next is the next one; another negative errno: it and
 * those behind it are dropped. */
static int send_from(struct port *port, unsigned int queue, const struct offload_cut *cut, size_t *next)
{
	uint8_t head[OFFLOAD_HEAD_MAX + TAG_LEN];
	struct net_outgoing out = {0};

	for (; *next < offload_segments(cut); (*next)++) {
		out.more = *next + 1 < offload_segments(cut);
		int n = offload_segment(cut, *next, head, &out.piece[1], NET_PIECES_MAX - 1, &out.len);

		if (n < 0)
			return n;
		out.pieces = (unsigned int)n + 1;
		n = port->net->ops->send(port->net, queue, &out);
		if (n < 0)
			return n;
	}
	return 0;
}

struct offload_cut port_left_cut(const struct port_left *left, const struct iovec *whole)
{
	return (struct offload_cut){.head = left->bytes,
				    .head_len = left->hdr.hdr_len,
				    .headers = left->headers,
				    .gso_type = left->hdr.gso_type,
				    .piece = whole,
				    .pieces = 1,
				    .len = left->len,
				    .step = left->step};
}

int port_send_left(struct port *port)
{
	struct port_left *left = &port->left;
	const struct iovec piece = {left->bytes, left->len};
	const struct offload_cut cut = port_left_cut(left, &piece);
	int r;

	if (port->carry.len > 0 && port_carry_send(port) == -EAGAIN)
		return -EAGAIN;
	if (!left->len)
		return 0;
	r = send_from(port, 0, &cut, &left->next);
	if (r == -EAGAIN)
		return -EAGAIN;
	if (r < 0)
		port->lost += net_give_up(port->net);
	left->len = 0;
	port_note(port);
	return 0;
}

/* A frame of which a part is sent counts as sent: who takes over does not begin it again. */
static void keep_left(const struct transfer *transfer, const struct virtio_net_hdr *hdr, size_t step, size_t next)
{
	struct port_left *left = &transfer->port->left;
	const struct net_outgoing *out = &transfer->out;
	size_t len = 0;

	for (unsigned int i = 1; i < out->pieces; i++) {
		memcpy(left->bytes + len, out->piece[i].iov_base, out->piece[i].iov_len);
		len += out->piece[i].iov_len;
	}
	left->len = len;
	left->next = next;
	left->step = step;
	left->hdr = *hdr;
	left->headers = transfer->headers;
}

static int send_segments(struct transfer *transfer, const struct virtio_net_hdr *hdr, size_t step)
{
	const struct offload_cut cut = {.head = transfer->head,
					.head_len = hdr->hdr_len,
					.headers = transfer->headers,
					.gso_type = hdr->gso_type,
					.piece = &transfer->out.piece[1],
					.pieces = transfer->out.pieces - 1,
					.len = transfer->out.len,
					.step = step};
	size_t next = 0;
	int r = send_from(transfer->port, transfer->queue, &cut, &next);

	if (r == 0 || next == 0)
		return r;
	if (r == -EAGAIN)
		keep_left(transfer, hdr, step, next);
	else /* it counts as sent: that it was not, in part, is told beside */
		transfer->port->lost += net_give_up(transfer->port->net);
	return 0;
}

/* The longest piece of a TCP stream that the peer takes as one frame. */
static size_t longest_step(const struct port *port, const struct virtio_net_hdr *hdr)
{
	size_t room = port->net->ops->send_max - hdr->hdr_len;

	return port->settings.large_frames ? room / hdr->gso_size * hdr->gso_size : hdr->gso_size;
}

static int send_finished(struct transfer *transfer, const struct virtio_net_hdr *hdr)
{
	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return send_segments(transfer, hdr, longest_step(transfer->port, hdr));
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		offload_checksum(&transfer->out.piece[1], transfer->out.pieces - 1, transfer->out.len, hdr);
	return send_out(transfer);
}

/* ---- a frame ---- */

/* The head as it is sent: with a tag, or without. Return: whether the guest may send in this VLAN. */
static bool build_head(struct transfer *transfer, const struct port_frame *frame)
{
	const uint8_t *head = frame->head;
	bool within = !frame->tagged && frame->head_len >= 18 && get_be16(head + 12) == TYPE_8021Q;
	uint16_t tag = within ? get_be16(head + 14) : frame->tag;
	enum policy_vlan vlan = policy_vlan_out(&transfer->port->settings, within || frame->tagged, tag, &tag);
	size_t skip = within ? 16 : 12, to = vlan == POLICY_TAGGED ? 16 : 12;

	if (vlan == POLICY_DROP)
		return false;
	memcpy(transfer->head, head, 12);
	if (vlan == POLICY_TAGGED) {
		put_be16(transfer->head + 12, TYPE_8021Q);
		put_be16(transfer->head + 14, tag);
	}
	memcpy(transfer->head + to, head + skip, frame->head_len - skip);
	transfer->head_len = frame->head_len - skip + to;
	return true;
}

static bool build(struct transfer *transfer, const struct port_frame *frame)
{
	struct net_outgoing *out = &transfer->out;

	if (!build_head(transfer, frame))
		return false;
	out->piece[1] = (struct iovec){transfer->head, transfer->head_len};
	memcpy(&out->piece[2], frame->rest, frame->rests * sizeof(frame->rest[0]));
	out->pieces = 2 + frame->rests;
	out->len = frame->len - frame->head_len + transfer->head_len;
	(void)headers_parse(transfer->head, transfer->head_len, &transfer->headers);
	return policy_may_send(&transfer->port->settings, transfer->port->filter.mac, transfer->head,
			       MIN(transfer->head_len, PORT_HEAD_MAX), out->len, &transfer->headers);
}

/* What is on the wire in the end is no longer than the MTU. */
static bool fits(const struct transfer *transfer, const struct virtio_net_hdr *hdr)
{
	size_t len = hdr->gso_type ? (size_t)hdr->hdr_len + hdr->gso_size : transfer->out.len;

	return len <= transfer->headers.network + (size_t)transfer->port->settings.mtu;
}

/*
 * A guest that takes TCP segments as long as its MTU allows takes longer ones, too: what comes is cut here, or it gets
 * it as it is (port_receive.c). One that wants shorter ones knows why.
 */
static void ask_for_large_frames(struct transfer *transfer, const struct virtio_net_hdr *hdr)
{
	const struct headers *headers = &transfer->headers;
	size_t heads = headers->network_type == HEADERS_IPV6 ? IPV6_TCP_LEN : IPV4_TCP_LEN;
	uint32_t mtu = transfer->port->settings.mtu, longest = transfer->port->settings.segment_max;

	longest = MIN(longest, UINT16_MAX - (uint32_t)heads);
	if (mtu > heads && longest > mtu - heads)
		offload_raise_mss(transfer->head, MIN(transfer->head_len, PORT_HEAD_MAX), headers,
				  (uint16_t)(mtu - heads), (uint16_t)longest, hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

int port_transmit(struct port *port, unsigned int queue, const struct port_frame *frame)
{
	struct transfer transfer;
	struct virtio_net_hdr hdr;
	int r;

	if (!port_serves(port))
		return port_count(port, STATS_NIC_TX_UNREADY);
	if (frame->head_len < ETHERNET_HEADER_LEN || frame->head_len > PORT_HEAD_MAX ||
	    frame->rests > ARRAY_SIZE(frame->rest) || frame->len > PORT_FRAME_MAX)
		return port_count(port, STATS_NIC_TX_ERRORS);
	if (port_send_left(port) == -EAGAIN)
		return -EAGAIN;
	if (port_must_wait(port, PORT_OUT)) {
		port->queue[queue].told_wait = true;
		return -EAGAIN;
	}
	transfer.port = port;
	transfer.queue = queue;
	if (!build(&transfer, frame))
		return port_count(port, STATS_NIC_TX_REFUSED);
	r = offload_prepare(transfer.head, MIN(transfer.head_len, PORT_HEAD_MAX), transfer.out.len, &transfer.headers,
			    &frame->hdr, &hdr);
	if (r < 0 || !fits(&transfer, &hdr))
		return port_count(port, STATS_NIC_TX_ERRORS);
	if (port->settings.segment_max > 0)
		ask_for_large_frames(&transfer, &hdr);
	transfer.out.hdr = hdr;
	transfer.out.more = false;
	r = port->net->ops->offloads ? send_out(&transfer) : send_finished(&transfer, &hdr);
	port_note(port);
	if (r == -EAGAIN)
		return r;
	if (r < 0)
		return port_count(port, STATS_NIC_TX_ERRORS);
	port_passed(port, PORT_OUT, transfer.out.len);
	if (port->capture)
		capture_frame(port->capture, CAPTURE_OUT, &transfer.out.piece[1], transfer.out.pieces - 1,
			      transfer.out.len);
	addresses_sent(&port->addresses, transfer.head, MIN(transfer.head_len, PORT_HEAD_MAX), &transfer.headers);
	return 0;
}

void port_transmit_end(struct port *port)
{
	if (port->net->ops->send_end)
		for (unsigned int i = 0; i < port->net->queues; i++)
			port->net->ops->send_end(port->net, i);
	port_note(port);
}
