/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream socket: 4 bytes of length, big-endian, then the frame. passt, QEMU's "stream", other VMs of ours.
 *
 * Theory of operation: the socket outlives this process, and so must the knowledge of where in it frames begin.
 *
 * Sending: what is given to one sendmsg(MSG_DONTWAIT) on a UNIX stream socket becomes, up to 36 KiB and up to half of
 * the send buffer, one buffer of the kernel's, which is queued as a whole or not at all (unix_stream_sendmsg()). So
 * what is sent at a time is some whole frames, at most SEND_MAX bytes; there is no state in which a frame has been
 * sent in part. Small frames are put together until the end of the batch. A frame that was never sent is lost with the
 * process, and counted (net.gathered); none is sent twice, for nobody sends what was sent before.
 *
 * Receiving: bytes are received into a ring in memory that outlives us. The kernel counts for us how many: SO_PEEK_OFF
 * of a UNIX socket, an offset that is the socket's own and not the process's, goes down by each byte that is received,
 * in the same call and after the byte is where it was wanted, and nobody peeks. So
 *	total = base + (PEEK_BASE - SO_PEEK_OFF)
 * is right at each instant, also after a death inside of recvmsg(). "parsed" counts the bytes before the first frame
 * that has not been handed out; it is stored before a frame is handed out, so that none is handed out twice. A
 *successor takes both, and has all that its predecessor had received, whole frames or parts; at most the one frame that
 *was being handed out is lost. Before SO_PEEK_OFF gets small it is put back: "settled" says meanwhile that nothing is
 *being received, and what the total is.
 *
 * A length that no frame has means that the place is lost, by the peer's fault; the connection counts as gone then.
 *
 * Limits: frames of up to FRAME_MAX bytes come in, of up to SEND_MAX - 4 go out. UNIX sockets only. The peer's bytes
 *are not to be trusted, nor what a predecessor has left: parsed and total are checked against the ring.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "net.h"

#define LENGTH_LEN  4u
#define FRAME_MIN   14u
#define FRAME_MAX   (65535u + 14u + 8u)
#define SEND_MAX    32768u /* with lengths; see unix_stream_sendmsg() */
#define GATHER_MAX  4096u  /* longer frames are sent by themselves */
#define SEND_BUFFER (1 << 20)
#define RING_LEN    (128u << 10) /* a power of two; more than a frame */
#ifndef PEEK_BASE
#define PEEK_BASE (1 << 30)
#define PEEK_LOW  (1 << 28) /* more than the ring */
#endif
#define MEMORY_VERSION 1u

#ifndef STEP
#define STEP(name) ((void)0) /* tests die here */
#endif

/* What outlives us. version is 0 while the rest says nothing. */
struct memory {
	_Atomic uint32_t version, generation;
	_Atomic uint64_t base;
	_Atomic uint64_t parsed;
	_Atomic uint64_t settled; /* 0, or the total and 1 */
	uint8_t ring[RING_LEN];
};

_Static_assert(sizeof(struct memory) <= NET_STREAM_MEMORY_LEN, "the memory is large enough");

struct stream {
	struct net net;
	int fd;
	struct memory *memory;
	uint64_t total; /* bytes received */
	uint64_t given; /* "parsed" before the frame that was handed out last */
	int peek_left;	/* what SO_PEEK_OFF is, or more */
	bool listening, waiting, gone;
	bool refused; /* there was no room in the socket: who is told of it when there is sends what is gathered */
	struct loop_source *source, *tell; /* tell: the host, of what no event tells */
	size_t gathered;
	uint8_t gather[SEND_MAX];
};

static struct stream *to_stream(struct net *net)
{
	return CONTAINER_OF(net, struct stream, net);
}

/* ---- the loop ---- */

static void set_events(struct stream *stream)
{
	unsigned int events = (stream->listening ? LOOP_READ : 0) | (stream->refused ? LOOP_WRITE : 0);

	(void)loop_set_events(stream->source, stream->gone ? 0 : events);
}

static void set_refused(struct stream *stream, bool refused)
{
	if (stream->refused == refused)
		return;
	stream->refused = refused;
	set_events(stream);
}

/* What was gathered is not sent. A frame is lost once, however many of its segments are. */
static void count_lost(struct net *net)
{
	net->lost += net->gathered;
	net->gathered = 0;
	if (!net->part)
		return;
	net->lost += !net->counted;
	net->counted = true;
	net->part = false;
}

static void lose(struct stream *stream)
{
	if (stream->gone)
		return;
	stream->gone = true;
	stream->gathered = 0;
	count_lost(&stream->net);
	set_events(stream);
	loop_arm(stream->tell, 0);
}

/* ---- sending ---- */

/* Whole frames, @len bytes with their lengths, at most SEND_MAX. Return: 0, -EAGAIN, another negative errno: dropped.
 */
static int send_whole(struct stream *stream, struct iovec *iov, size_t iovs, size_t len)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = iovs};
	ssize_t n;

	STEP("send");
	do
		n = sendmsg(stream->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	STEP("sent");
	if (n == (ssize_t)len)
		return 0;
	if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
		return -errno;
	/* A part of it has been sent, which the kernel does not do: the peer's place is lost. */
	n = n < 0 ? -errno : -EPROTO;
	lose(stream);
	return (int)n;
}

/* Return: 0: nothing is gathered any more; -EAGAIN. */
static int send_gathered(struct stream *stream)
{
	struct iovec iov = {stream->gather, stream->gathered};
	int r;

	if (!stream->gathered || stream->gone)
		return 0;
	r = send_whole(stream, &iov, 1, stream->gathered);
	if (r == -EAGAIN)
		return -EAGAIN;
	stream->gathered = 0;
	if (stream->gone)
		return 0;
	if (r < 0) /* no memory: nothing tells when there is some */
		count_lost(&stream->net);
	stream->net.gathered = 0;
	stream->net.part = false;
	return 0;
}

/* @frame, or the segment, has been taken. @gathered: and is not sent yet. */
static void taken(struct net *net, const struct net_outgoing *frame, bool gathered)
{
	net->part = frame->more && gathered;
	if (frame->more)
		return;
	net->gathered += gathered && !net->counted;
	net->counted = false;
}

static void gather(struct stream *stream, const struct net_outgoing *frame)
{
	uint8_t *to = stream->gather + stream->gathered;

	put_be32(to, (uint32_t)frame->len);
	to += LENGTH_LEN;
	for (unsigned int i = 1; i < frame->pieces; i++) {
		memcpy(to, frame->piece[i].iov_base, frame->piece[i].iov_len);
		to += frame->piece[i].iov_len;
	}
	stream->gathered += LENGTH_LEN + frame->len;
	taken(&stream->net, frame, true);
}

static int wait_for_room(struct stream *stream)
{
	stream->waiting = true;
	set_refused(stream, true);
	return -EAGAIN;
}

static int stream_send(struct net *net, unsigned int queue, struct net_outgoing *frame)
{
	struct stream *stream = to_stream(net);
	uint8_t length[LENGTH_LEN];
	int r;

	(void)queue;
	if (stream->gone)
		return -EPIPE;
	if (frame->len > SEND_MAX - LENGTH_LEN)
		return -EMSGSIZE;
	if (stream->waiting)
		return -EAGAIN;
	if (frame->len > GATHER_MAX || stream->gathered + LENGTH_LEN + frame->len > SEND_MAX)
		if (send_gathered(stream) == -EAGAIN)
			return wait_for_room(stream);
	if (stream->gone)
		return -EPIPE;
	if (frame->len <= GATHER_MAX) {
		gather(stream, frame);
		return 0;
	}
	put_be32(length, (uint32_t)frame->len);
	frame->piece[0] = (struct iovec){length, LENGTH_LEN};
	r = send_whole(stream, frame->piece, frame->pieces, LENGTH_LEN + frame->len);
	if (r == 0)
		taken(net, frame, false);
	return r == -EAGAIN ? wait_for_room(stream) : r;
}

static void stream_send_end(struct net *net, unsigned int queue)
{
	struct stream *stream = to_stream(net);

	(void)queue;
	if (stream->gathered && !stream->waiting && send_gathered(stream) == -EAGAIN)
		set_refused(stream, true);
}

static size_t stream_take_back(struct net *net, void *to, size_t room)
{
	struct stream *stream = to_stream(net);
	size_t len = stream->gathered;

	if (len > room || stream->gone)
		return 0;
	memcpy(to, stream->gather, len);
	stream->gathered = 0;
	net->gathered = 0;
	(void)net_give_up(net); /* who takes its segments takes them for frames */
	set_events(stream);
	return len;
}

/* Nothing is sent in part: where the peer is stays known. Who waits for room still does. */
static void stream_drop(struct net *net)
{
	to_stream(net)->gathered = 0;
	count_lost(net);
}

/* ---- receiving ---- */

static void store(_Atomic uint64_t *to, uint64_t value)
{
	atomic_store_explicit(to, value, memory_order_seq_cst);
}

/* SO_PEEK_OFF back to PEEK_BASE. Return: 0 or a negative errno. */
static int settle(struct stream *stream)
{
	const int peek = PEEK_BASE;

	store(&stream->memory->settled, stream->total + 1);
	STEP("settled");
	if (setsockopt(stream->fd, SOL_SOCKET, SO_PEEK_OFF, &peek, sizeof(peek)) < 0)
		return -errno;
	STEP("peek");
	store(&stream->memory->base, stream->total);
	STEP("base");
	store(&stream->memory->settled, 0);
	stream->peek_left = PEEK_BASE;
	return 0;
}

static size_t ring_pieces(struct memory *memory, uint64_t from, size_t len, struct iovec *ret)
{
	size_t at = from % RING_LEN, first = MIN(len, RING_LEN - at);

	ret[0] = (struct iovec){memory->ring + at, first};
	ret[1] = (struct iovec){memory->ring, len - first};
	return len > first ? 2 : 1;
}

/* Return: 0; -EAGAIN. */
static int fill(struct stream *stream, uint64_t parsed)
{
	struct iovec iov[2];
	struct msghdr msg = {.msg_iov = iov};
	ssize_t n;

	if (stream->gone)
		return -EAGAIN;
	if (stream->peek_left < PEEK_LOW && settle(stream) < 0) {
		lose(stream);
		return -EAGAIN;
	}
	msg.msg_iovlen = ring_pieces(stream->memory, stream->total, RING_LEN - (stream->total - parsed), iov);
	do
		n = recvmsg(stream->fd, &msg, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != ENOMEM && errno != ENOBUFS))
			lose(stream);
		return -EAGAIN;
	}
	STEP("received");
	stream->total += (uint64_t)n;
	stream->peek_left -= (int)n;
	return 0;
}

/* The frame at @parsed: its length, if all of it is there. Return: 0; -EAGAIN; -EPROTO: no frame has this length. */
static int look(const struct stream *stream, uint64_t parsed, uint32_t *ret_len)
{
	uint64_t have = stream->total - parsed;
	uint8_t bytes[LENGTH_LEN];
	uint32_t len;

	if (have < LENGTH_LEN)
		return -EAGAIN;
	for (unsigned int i = 0; i < LENGTH_LEN; i++)
		bytes[i] = stream->memory->ring[(parsed + i) % RING_LEN];
	len = get_be32(bytes);
	if (len > FRAME_MAX)
		return -EPROTO;
	if (have - LENGTH_LEN < len)
		return -EAGAIN;
	*ret_len = len;
	return 0;
}

static int stream_receive(struct net *net, unsigned int queue, struct net_incoming *ret)
{
	struct stream *stream = to_stream(net);
	uint64_t parsed = atomic_load_explicit(&stream->memory->parsed, memory_order_relaxed);
	uint32_t len = 0;
	int r = look(stream, parsed, &len);

	(void)queue;
	if (r == -EAGAIN && fill(stream, parsed) == 0)
		r = look(stream, parsed, &len);
	if (r == -EPROTO)
		lose(stream);
	if (r < 0)
		return -EAGAIN;
	store(&stream->memory->parsed, parsed + LENGTH_LEN + len);
	STEP("parsed");
	stream->given = parsed;
	if (len < FRAME_MIN)
		return 0;
	ret->hdr = (struct virtio_net_hdr){0};
	ret->len = len;
	ret->pieces = (unsigned int)ring_pieces(stream->memory, parsed + LENGTH_LEN, len, ret->piece);
	return 1;
}

static void stream_put_back(struct net *net)
{
	struct stream *stream = to_stream(net);

	store(&stream->memory->parsed, stream->given);
}

static bool frame_there(const struct stream *stream)
{
	uint32_t len;

	return look(stream, atomic_load_explicit(&stream->memory->parsed, memory_order_relaxed), &len) == 0;
}

static void stream_listen(struct net *net, unsigned int queue, bool listen)
{
	struct stream *stream = to_stream(net);

	(void)queue;
	if (stream->listening != listen) {
		stream->listening = listen;
		set_events(stream);
	}
	if (listen && frame_there(stream))
		loop_arm(stream->tell, 0);
}

/* ---- events ---- */

/* What no event tells: it is gone; there are frames in the ring. */
static void on_tell(void *arg)
{
	struct stream *stream = arg;
	const struct net_host *host = &stream->net.host;

	if (stream->listening && frame_there(stream)) {
		if (stream->gone)
			loop_arm(stream->tell, 0);
		host->ops->readable(host->arg, 0);
	} else if (stream->gone) {
		host->ops->gone(host->arg);
	}
}

static void on_ready(int fd, unsigned int events, void *arg)
{
	struct stream *stream = arg;
	const struct net_host *host = &stream->net.host;

	(void)fd;
	if (events & LOOP_WRITE && stream->refused && send_gathered(stream) == 0) {
		stream->waiting = false;
		set_refused(stream, false);
		host->ops->writable(host->arg, 0);
		return; /* which may have closed us */
	}
	if (events & LOOP_READ && stream->listening)
		host->ops->readable(host->arg, 0);
}

static void stream_close(struct net *net)
{
	struct stream *stream = to_stream(net);

	loop_remove(&stream->source);
	loop_remove(&stream->tell);
	fd_close(&stream->fd);
	free(stream);
}

static const struct net_ops stream_ops = {
	.name = "stream",
	.send_max = SEND_MAX - LENGTH_LEN,
	.send = stream_send,
	.send_end = stream_send_end,
	.receive = stream_receive,
	.listen = stream_listen,
	.take_back = stream_take_back,
	.drop = stream_drop,
	.put_back = stream_put_back,
	.close = stream_close,
};

static const struct net_ops stream_ops_good = {
	.name = "stream",
	.send_max = SEND_MAX - LENGTH_LEN,
	.checksums_good = true,
	.send = stream_send,
	.send_end = stream_send_end,
	.receive = stream_receive,
	.listen = stream_listen,
	.take_back = stream_take_back,
	.drop = stream_drop,
	.put_back = stream_put_back,
	.close = stream_close,
};

/* ---- taking over ---- */

static int start_anew(struct stream *stream, unsigned int generation, struct err *err)
{
	struct memory *memory = stream->memory;
	const int peek = PEEK_BASE;
	int r;

	/* it may be in use still, for what was there before */
	if (setsockopt(stream->fd, SOL_SOCKET, SO_PEEK_OFF, &peek, sizeof(peek)) < 0)
		return err_set(err, -errno, "stream: the kernel does not count what is received: %s", err_name(-errno));
	atomic_store(&memory->version, 0);
	STEP("anew");
	store(&memory->parsed, 0);
	stream->total = 0;
	r = settle(stream);
	if (r < 0)
		return err_set(err, r, "stream: the kernel does not count what is received: %s", err_name(r));
	atomic_store(&memory->generation, generation);
	atomic_store(&memory->version, MEMORY_VERSION);
	return 0;
}

static int take_over(struct stream *stream, struct err *err)
{
	struct memory *memory = stream->memory;
	uint64_t parsed = atomic_load(&memory->parsed), settled = atomic_load(&memory->settled);
	socklen_t len = sizeof(stream->peek_left);

	if (getsockopt(stream->fd, SOL_SOCKET, SO_PEEK_OFF, &stream->peek_left, &len) < 0)
		return err_set(err, -errno, "stream: what was received is not known: %s", err_name(-errno));
	stream->total = settled ? settled - 1 : atomic_load(&memory->base) + (uint64_t)(PEEK_BASE - stream->peek_left);
	if (stream->peek_left < 0 || stream->peek_left > PEEK_BASE || stream->total - parsed > RING_LEN)
		return err_set(err, -EPROTO, "stream: what the predecessor left contradicts itself; restart its peer");
	return settled ? settle(stream) : 0;
}

static int check(int fd, struct err *err)
{
	socklen_t len = sizeof(int), type_len = sizeof(int);
	int domain = 0, type = 0, size = SEND_BUFFER;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0)
		return err_set(err, -errno, "stream: the descriptor is no socket; hand over a connected one");
	if (domain != AF_UNIX || type != SOCK_STREAM)
		return err_set(err, -EINVAL,
			       "stream: only UNIX stream sockets keep frames apart whoever dies; use one");
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	len = sizeof(size);
	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &len) < 0 || (size >> 1) - 64 < (int)SEND_MAX)
		return err_set(err, -ENOBUFS, "stream: its buffer is too small; raise net.core.wmem_max to %u or more",
			       2 * SEND_MAX);
	return 0;
}

int net_stream_open(struct loop *loop, const struct net_host *host, int *fd, unsigned int generation, bool large_frames,
		    void *memory, struct net **ret_net, struct err *err)
{
	struct stream *stream;
	bool known;
	int r = check(*fd, err);

	if (r < 0)
		return r;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return err_set(err, -ENOMEM, "no memory for a stream");
	stream->net = (struct net){large_frames ? &stream_ops_good : &stream_ops, *host, 1};
	stream->fd = *fd;
	stream->memory = memory;
	known = atomic_load(&stream->memory->version) == MEMORY_VERSION &&
		atomic_load(&stream->memory->generation) == generation;
	r = loop_add_fd(loop, *fd, 0, on_ready, stream, &stream->source);
	if (r == 0)
		r = loop_add_timer(loop, on_tell, stream, &stream->tell);
	if (r < 0)
		err_set(err, r, "stream: it cannot be watched: %s", err_name(r));
	else
		r = known ? take_over(stream, err) : start_anew(stream, generation, err);
	if (r < 0) {
		stream->fd = -1; /* still the caller's */
		stream_close(&stream->net);
		return r;
	}
	*fd = -1;
	*ret_net = &stream->net;
	return 0;
}
