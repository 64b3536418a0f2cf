/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "offload.h"
#include "port_int.h"

#define IOVS_MAX (NET_PIECES_MAX - 3u)

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

static int drop(struct port *port)
{
	port->counters.receive_errors++;
	return 0;
}

/* What the guest has not asked for it cannot read: frames from before it changed its mind, a peer that is no tap. */
static bool understood(const struct port *port, const struct virtio_net_hdr *hdr)
{
	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return port->guest_joins;
	return !(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || port->guest_checks;
}

/* By its head, which is private. */
static bool for_guest(struct port *port, struct port_received *ret)
{
	if (headers_parse(ret->head, ret->head_len, &ret->headers) < 0)
		return false;
	if (ret->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE &&
	    ret->len > ret->headers.network + (size_t)port->settings.mtu)
		return false;
	return filter_passes(&port->filter, ret->head) && understood(port, &ret->hdr);
}

/* Straight into the guest's memory, but for the head: the kernel has judged. */
static int receive_into(struct port *port, unsigned int queue, const struct iovec *iov, unsigned int iovs,
			struct port_received *ret)
{
	struct iovec rest[IOVS_MAX];
	unsigned int rests = behind(iov, iovs, PORT_HEAD_MAX, rest);
	size_t room = PORT_HEAD_MAX + room_in(rest, rests);
	int r = port->net->ops->receive_into(port->net, queue, &ret->hdr, ret->head, PORT_HEAD_MAX, rest, rests,
					     &ret->len);

	if (r <= 0)
		return r;
	ret->head_len = MIN(ret->len, PORT_HEAD_MAX);
	if (ret->len > room || !for_guest(port, ret))
		return drop(port);
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

static void copy_out(const struct net_incoming *frame, const struct iovec *iov, unsigned int iovs)
{
	struct iovec rest[IOVS_MAX];

	scatter(iov, frame->piece[0].iov_base, frame->piece[0].iov_len);
	if (frame->pieces < 2)
		return;
	behind(iov, iovs, frame->piece[0].iov_len, rest);
	scatter(rest, frame->piece[1].iov_base, frame->piece[1].iov_len);
}

/* By way of private memory. */
static int receive_after_look(struct port *port, unsigned int queue, const struct iovec *iov, unsigned int iovs,
			      struct port_received *ret)
{
	struct net_incoming frame;
	int r = port->net->ops->receive(port->net, queue, &frame);

	if (r == 0)
		port->counters.receive_errors++;
	if (r <= 0)
		return r;
	take_head(&frame, ret);
	if (frame.len > room_in(iov, iovs) || !for_guest(port, ret))
		return drop(port);
	copy_out(&frame, iov, iovs);
	return 1;
}

static bool may_receive_into(const struct port *port, unsigned int queue, size_t room)
{
	return port->filtered && port->queue[queue].settled && room > PORT_HEAD_MAX;
}

int port_receive(struct port *port, unsigned int queue, const struct iovec *iov, unsigned int iovs,
		 struct port_received *ret)
{
	int r;

	if (!port_serves(port))
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
	port->counters.received++;
	return 1;
}
