/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "offload.h"
#include "policy.h"
#include "port_int.h"

#define IOVS_MAX (NET_PIECES_MAX - 3u)
#define TAG_LEN	 4u

static size_t room_in(const struct iovec *iov, unsigned int iovs)
{
	size_t room = 0;

	for (unsigned int i = 0; i < iovs; i++)
		room += iov[i].iov_len;
	return room;
}

/* @iov without its first @skip bytes; it has more. Return: how many pieces. */
static unsigned int behind(const struct iovec *iov, unsigned int iovs, size_t skip, struct iovec *ret)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < iovs; i++) {
		size_t cut = MIN(skip, iov[i].iov_len);

		skip -= cut;
		if (iov[i].iov_len > cut)
			ret[n++] = (struct iovec){(uint8_t *)iov[i].iov_base + cut, iov[i].iov_len - cut};
	}
	return n;
}

/* @len bytes of @from to @iov, which has room. */
static void scatter(const struct iovec *iov, const void *from, size_t len)
{
	const uint8_t *at = from;

	for (; len; iov++) {
		size_t n = MIN(len, iov->iov_len);

		memcpy(iov->iov_base, at, n);
		at += n;
		len -= n;
	}
}

/* What the guest has not asked for it cannot read: frames from before it changed its mind. */
static bool understood(const struct port *port, const struct virtio_net_hdr *hdr)
{
	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return port->guest_joins;
	return !(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || port->guest_checks;
}

/* By its head, which is private. Return: what it counts as; STATS_NIC_RX_PACKETS: it is for the guest. */
static enum stats_nic_count judge(struct port *port, struct port_received *ret)
{
	if (headers_parse(ret->head, ret->head_len, &ret->headers) < 0)
		return STATS_NIC_RX_ERRORS;
	if (!filter_passes(&port->filter, ret->head))
		return STATS_NIC_RX_FILTERED;
	if (ret->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE &&
	    ret->len > ret->headers.network + (size_t)port->settings.mtu)
		return STATS_NIC_RX_ERRORS;
	return understood(port, &ret->hdr) ? STATS_NIC_RX_PACKETS : STATS_NIC_RX_ERRORS;
}

/* Straight into the guest's memory, but for the head: the kernel has judged. */
static int receive_into(struct port *port, unsigned int queue, const struct iovec *iov, unsigned int iovs,
			struct port_received *ret)
{
	struct iovec rest[IOVS_MAX];
	unsigned int rests = behind(iov, iovs, PORT_HEAD_MAX, rest);
	size_t room = PORT_HEAD_MAX + room_in(rest, rests);
	enum stats_nic_count as;
	int r = port->net->ops->receive_into(port->net, queue, &ret->hdr, ret->head, PORT_HEAD_MAX, rest, rests,
					     &ret->len);

	if (r <= 0)
		return r;
	ret->head_len = MIN(ret->len, PORT_HEAD_MAX);
	as = ret->len > room ? STATS_NIC_RX_ERRORS : judge(port, ret);
	if (as != STATS_NIC_RX_PACKETS)
		return port_count(port, as);
	scatter(iov, ret->head, ret->head_len);
	return 1;
}

static void take_head(const struct net_incoming *frame, struct port_received *ret)
{
	size_t first;

	ret->hdr = frame->hdr;
	ret->len = frame->len;
	ret->head_len = MIN(frame->len, PORT_HEAD_MAX);
	first = MIN(frame->piece[0].iov_len, ret->head_len);
	memcpy(ret->head, frame->piece[0].iov_base, first);
	if (ret->head_len > first)
		memcpy(ret->head + first, frame->piece[1].iov_base, ret->head_len - first);
}

/* The sender has left it out, and the guest does not do without. */
static void finish(const struct port *port, struct net_incoming *frame)
{
	const struct virtio_net_hdr *hdr = &frame->hdr;

	if (port->guest_checks || !(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	    hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE ||
	    !range_fits((size_t)hdr->csum_start + hdr->csum_offset, 2, frame->piece[0].iov_len))
		return;
	offload_checksum(frame->piece, frame->pieces, frame->len, hdr);
	frame->hdr.flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

static void moved(uint16_t *place)
{
	*place = (uint16_t)(*place - MIN(*place, TAG_LEN));
}

/* What the guest gets of its VLAN's tag. Return: whether it gets the frame. */
static bool untag(const struct port *port, struct port_received *ret)
{
	enum policy_vlan vlan = policy_vlan_in(&port->settings, ret->headers.tagged, ret->headers.tag);

	if (policy_hides_vlan(&port->settings, &ret->headers))
		return false;
	if (vlan != POLICY_UNTAGGED || !ret->headers.tagged)
		return vlan != POLICY_DROP;
	memmove(ret->head + 12, ret->head + 12 + TAG_LEN, ret->head_len - 12 - TAG_LEN);
	ret->head_len -= TAG_LEN;
	ret->len -= TAG_LEN;
	moved(&ret->hdr.csum_start);
	moved(&ret->hdr.hdr_len);
	return headers_parse(ret->head, ret->head_len, &ret->headers) == 0;
}

/* The head, and @from behind it. */
static void copy_out(const struct port_received *ret, const struct iovec *from, unsigned int pieces,
		     const struct iovec *iov, unsigned int iovs)
{
	struct iovec to[IOVS_MAX];
	size_t done = ret->head_len;

	scatter(iov, ret->head, ret->head_len);
	for (unsigned int i = 0; i < pieces; i++) {
		behind(iov, iovs, done, to);
		scatter(to, from[i].iov_base, from[i].iov_len);
		done += from[i].iov_len;
	}
}

/* ---- frames longer than the MTU, which only we have asked for (ask_for_large_frames()) ---- */

/* Return: whether it is one; then *@ret says so. */
static bool is_long(const struct port *port, struct port_received *ret)
{
	const struct headers *headers = &ret->headers;
	size_t heads;

	if (!port->settings.segment_max || ret->len <= ETHERNET_HEADER_LEN + (size_t)port->settings.mtu ||
	    headers_parse(ret->head, ret->head_len, &ret->headers) < 0 || headers->tagged ||
	    headers->transport_type != HEADERS_TCP || headers->payload > ret->head_len)
		return false;
	heads = (size_t)headers->payload - headers->network;
	if (heads + OFFLOAD_MSS_MIN > port->settings.mtu)
		return false;
	ret->hdr.gso_type = headers->network_type == HEADERS_IPV4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	ret->hdr.gso_size = (uint16_t)(port->settings.mtu - heads);
	ret->hdr.hdr_len = headers->payload;
	return true;
}

static struct offload_cut cut_of(const struct port_cut *cut)
{
	return (struct offload_cut){.head = cut->head,
				    .head_len = cut->headers.payload,
				    .headers = cut->headers,
				    .gso_type = cut->gso_type,
				    .piece = cut->frame.piece,
				    .pieces = cut->frame.pieces,
				    .len = cut->frame.len,
				    .step = cut->step};
}

static size_t cut_segments(const struct port_cut *cut)
{
	const struct offload_cut how = cut_of(cut);

	return offload_segments(&how);
}

size_t port_cut_left(const struct port_cut *cut)
{
	return cut_segments(cut) - cut->next;
}

static int next_segment(struct port *port, const struct iovec *iov, unsigned int iovs, struct port_received *ret)
{
	struct port_cut *cut = &port->cut;
	const struct offload_cut how = cut_of(cut);
	struct iovec piece[ARRAY_SIZE(cut->frame.piece) + 1];
	int n = offload_segment(&how, cut->next, ret->head, piece, ARRAY_SIZE(piece), &ret->len);

	if (++cut->next >= offload_segments(&how))
		cut->frame.len = 0;
	port_note(port);
	ret->hdr = (struct virtio_net_hdr){0};
	ret->headers = cut->headers;
	ret->head_len = cut->headers.payload;
	if (n < 0 || ret->len > room_in(iov, iovs))
		return port_count(port, STATS_NIC_RX_ERRORS);
	if (!filter_passes(&port->filter, ret->head))
		return port_count(port, STATS_NIC_RX_FILTERED);
	copy_out(ret, piece + 1, (unsigned int)n - 1, iov, iovs);
	return 1;
}

/* @done: segments that a predecessor has given the guest. */
static int begin_cut(struct port *port, const struct net_incoming *frame, size_t done, struct port_received *ret)
{
	struct port_cut *cut = &port->cut;

	if (!untag(port, ret))
		return port_count(port, STATS_NIC_RX_FILTERED);
	cut->frame = *frame;
	memcpy(cut->head, ret->head, ret->head_len);
	cut->headers = ret->headers;
	cut->gso_type = ret->hdr.gso_type;
	cut->step = ret->hdr.gso_size;
	/* of another length, after a change of the MTU, they cannot be told apart: once more is TCP's to see */
	if (port->kept->cut_step != cut->step)
		done = 0;
	cut->next = MIN(done, cut_segments(cut) - 1);
	return 1;
}

/* It is of one frame only. */
static size_t take_cut_next(struct port *port)
{
	size_t next = atomic_load_explicit(&port->kept->cut_next, memory_order_relaxed);

	if (next > 0)
		atomic_store(&port->kept->cut_next, 0);
	return next;
}

/* By way of private memory. */
static int receive_after_look(struct port *port, unsigned int queue, const struct iovec *iov, unsigned int iovs,
			      struct port_received *ret)
{
	enum stats_nic_count as;
	struct net_incoming frame;
	struct iovec rest[ARRAY_SIZE(frame.piece)];
	unsigned int rests;
	size_t done;
	int r;

	if (port->cut.frame.len > 0)
		return next_segment(port, iov, iovs, ret);
	r = port->net->ops->receive(port->net, queue, &frame);
	if (r < 0)
		return r;
	done = take_cut_next(port);
	if (r == 0)
		return port_count(port, STATS_NIC_RX_ERRORS);
	finish(port, &frame);
	take_head(&frame, ret);
	rests = behind(frame.piece, frame.pieces, ret->head_len, rest);
	if (is_long(port, ret) && !port->guest_joins)
		return begin_cut(port, &frame, done, ret) > 0 ? next_segment(port, iov, iovs, ret) : 0;
	as = judge(port, ret);
	if (as == STATS_NIC_RX_PACKETS && !untag(port, ret))
		as = STATS_NIC_RX_FILTERED;
	else if (as == STATS_NIC_RX_PACKETS && ret->len > room_in(iov, iovs))
		as = STATS_NIC_RX_ERRORS;
	if (as != STATS_NIC_RX_PACKETS)
		return port_count(port, as);
	copy_out(ret, rest, rests, iov, iovs);
	return 1;
}

/* A server's answer. What is behind the head the guest may change meanwhile: it is for people to read. */
static void see_dhcp(struct port *port, const struct iovec *iov, unsigned int iovs, const struct port_received *ret)
{
	uint8_t frame[ADDRESSES_DHCP_LEN];
	size_t len = 0;

	if (!addresses_dhcp(ret->head, &ret->headers))
		return;
	for (unsigned int i = 0; i < iovs; i++) {
		size_t n = MIN(iov[i].iov_len, MIN(ret->len, sizeof(frame)) - len);

		memcpy(frame + len, iov[i].iov_base, n);
		len += n;
	}
	memcpy(frame, ret->head, ret->head_len);
	addresses_given(&port->addresses, frame, len, &ret->headers, port->filter.mac);
}

static void capture_received(struct port *port, const struct iovec *iov, unsigned int iovs,
			     const struct port_received *ret)
{
	struct iovec piece[IOVS_MAX + 1] = {{(void *)ret->head, ret->head_len}};
	unsigned int pieces = 1 + behind(iov, iovs, ret->head_len, &piece[1]);

	capture_frame(port->capture, CAPTURE_IN, piece, pieces, ret->len);
}

static bool may_receive_into(const struct port *port, unsigned int queue, size_t room)
{
	return port->filtered && port->queue[queue].settled && port->settings.vlan == NIC_VLAN_NONE &&
	       room > PORT_HEAD_MAX;
}

int port_receive(struct port *port, unsigned int queue, const struct iovec *iov, unsigned int iovs,
		 struct port_received *ret)
{
	int r;

	if (!port_serves(port) || port_must_wait(port, PORT_IN))
		return -EAGAIN;
	if (iovs > IOVS_MAX)
		return -EINVAL;
	ret->tagged = false;
	if (may_receive_into(port, queue, room_in(iov, iovs)))
		r = receive_into(port, queue, iov, iovs, ret);
	else
		r = receive_after_look(port, queue, iov, iovs, ret);
	if (r == -EAGAIN)
		port->queue[queue].settled = true;
	if (r <= 0)
		return r;
	if (port->net->ops->checksums_good)
		ret->hdr.flags |= VIRTIO_NET_HDR_F_DATA_VALID;
	port_passed(port, PORT_IN, ret->len);
	see_dhcp(port, iov, iovs, ret);
	if (port->capture)
		capture_received(port, iov, iovs, ret);
	return 1;
}
