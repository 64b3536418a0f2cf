/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is under way in a port when one process hands over to another.
 *
 * Theory of operation: a back end that takes nothing for a while keeps frames of the guest's here, which counts them as
 * sent: those that the back end has put together, and what is left of one that is being cut. Who goes by plan leaves
 * them in the memory that outlives it, each behind its length, in order; who comes takes a copy, and sends that before
 * anything else. A frame for the guest of which it has not all segments yet is given back to the back end, and its
 * successor begins behind those. A process that is killed leaves nothing: how much of it was sent nobody can say, so it
 * is counted as lost (port_note()).
 *
 * What was left for one that did not know of it, an older one, is stale when the next one comes: it is lost, and
 * counted.
 *
 * Limits: PORT_CARRY_LEN bytes; what is more is lost, and counted.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "offload.h"
#include "port_int.h"

#define LENGTH_LEN 4u

_Static_assert(sizeof(struct port_kept) <= PORT_MEMORY_LEN - NET_STREAM_MEMORY_LEN, "it has its place");

static void forget(struct port_carry *carry)
{
	carry->len = carry->at = carry->frames = 0;
}

/* ---- who goes ---- */

static size_t leave_carry(struct port *port, size_t at)
{
	struct port_carry *carry = &port->carry;
	size_t len = carry->len - carry->at;

	if (len == 0 || !range_fits(at, len, PORT_CARRY_LEN))
		return at;
	memcpy(port->kept->carry + at, carry->bytes + carry->at, len);
	forget(carry);
	return at + len;
}

static size_t leave_segments(struct port *port, size_t at)
{
	struct port_left *left = &port->left;
	const struct iovec whole = {left->bytes, left->len};
	const struct offload_cut cut = port_left_cut(left, &whole);
	struct iovec piece[4];
	uint8_t head[OFFLOAD_HEAD_MAX];

	for (; left->len > 0 && left->next < offload_segments(&cut); left->next++) {
		size_t len;
		int n = offload_segment(&cut, left->next, head, piece, ARRAY_SIZE(piece), &len);

		if (n < 0 || !range_fits(at, LENGTH_LEN + len, PORT_CARRY_LEN))
			return at;
		put_be32(port->kept->carry + at, (uint32_t)len);
		at += LENGTH_LEN;
		for (int i = 0; i < n; at += piece[i++].iov_len)
			memcpy(port->kept->carry + at, piece[i].iov_base, piece[i].iov_len);
	}
	left->len = 0;
	return at;
}

void port_carry_leave(struct port *port)
{
	const struct net_ops *ops = port->net->ops;
	struct port_kept *kept = port->kept;
	size_t len = ops->take_back ? ops->take_back(port->net, kept->carry, PORT_CARRY_LEN) : 0;

	len = leave_segments(port, leave_carry(port, len));
	kept->generation = port->settings.fd_generation;
	kept->process = (uint16_t)port->process;
	atomic_store(&kept->carried, (uint32_t)len);
	if (port->cut.frame.len > 0 && ops->put_back) {
		kept->cut_step = (uint16_t)port->cut.step;
		atomic_store(&kept->cut_next, (uint32_t)port->cut.next);
		ops->put_back(port->net);
		port->cut.frame.len = 0;
	}
	port_note(port);
}

/* ---- who comes ---- */

/* Return: 0 if they are not what a predecessor of ours leaves. */
static unsigned int count_frames(const struct port_carry *carry, size_t longest)
{
	unsigned int frames = 0;

	for (size_t at = 0; at < carry->len; frames++) {
		size_t len = carry->len - at < LENGTH_LEN ? 0 : get_be32(carry->bytes + at);

		if (len < ETHERNET_HEADER_LEN || len > longest || !range_fits(at + LENGTH_LEN, len, carry->len))
			return 0;
		at += LENGTH_LEN + len;
	}
	return frames;
}

/* One that came between may have known nothing of it: then the back end is no longer where it was. */
static bool is_stale(const struct port *port)
{
	const struct port_kept *kept = port->kept;

	return kept->generation != port->settings.fd_generation || kept->process != (uint16_t)(port->process - 1);
}

void port_carry_take(struct port *port)
{
	struct port_kept *kept = port->kept;
	struct port_carry *carry = &port->carry;
	bool stale = is_stale(port);

	if (stale)
		atomic_store(&kept->cut_next, 0);
	kept->process = (uint16_t)port->process;
	carry->len = MIN(atomic_load(&kept->carried), PORT_CARRY_LEN);
	if (carry->len == 0)
		return;
	memcpy(carry->bytes, kept->carry, carry->len);
	carry->frames = count_frames(carry, port->net->ops->send_max);
	if (carry->frames == 0 || stale)
		port_carry_drop(port);
	port_note(port);
	atomic_store(&kept->carried, 0);
}

int port_carry_send(struct port *port)
{
	struct port_carry *carry = &port->carry;

	while (carry->at < carry->len) {
		struct net_outgoing out = {.pieces = 2, .len = get_be32(carry->bytes + carry->at)};
		int r;

		out.piece[1] = (struct iovec){carry->bytes + carry->at + LENGTH_LEN, out.len};
		r = port->net->ops->send(port->net, 0, &out);
		if (r == -EAGAIN)
			return r;
		port->lost += r < 0;
		carry->at += LENGTH_LEN + out.len;
		carry->frames--;
	}
	port_carry_drop(port);
	port_note(port);
	return 0;
}

void port_carry_drop(struct port *port)
{
	port->lost += port->carry.frames;
	forget(&port->carry);
}
