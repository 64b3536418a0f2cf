/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on their way out: sent at once if the socket takes them, else queued, in order. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "ipc/conn.h"

struct out_frame *out_frame_new(const struct frame *frame)
{
	size_t len = FRAME_HEADER_LEN + frame->payload_len;
	struct out_frame *out = malloc(sizeof(*out) + len);

	if (!out)
		return NULL;
	out->next = NULL;
	out->len = len;
	out->nfds = frame->nfds;
	for (size_t i = 0; i < out->nfds; i++)
		out->fds[i] = -1;
	frame_put_header(out->data, frame);
	return out;
}

void out_frame_free(struct out_frame *out)
{
	if (!out)
		return;
	for (size_t i = 0; i < out->nfds; i++)
		fd_close(&out->fds[i]);
	free(out);
}

void conn_drop_queue(struct rpc_conn *conn)
{
	while (conn->queue) {
		struct out_frame *out = conn->queue;

		conn->queue = out->next;
		out_frame_free(out);
	}
	conn->queue_tail = &conn->queue;
	conn->queue_len = 0;
	out_frame_free(conn->hello);
	conn->hello = NULL;
}

/* Return: 0, -EAGAIN, or another negative errno. */
static int send_packet(int fd, const void *data, size_t len, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * RPC_FDS_MAX)];
	} control;
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (nfds) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	do {
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

void conn_say_goodbye(int fd, const struct err *err)
{
	uint8_t buf[FRAME_HEADER_LEN + FRAME_ERROR_MAX];
	struct frame frame = {.kind = FRAME_GOODBYE};

	frame.payload_len = frame_put_error(buf + FRAME_HEADER_LEN, err);
	frame_put_header(buf, &frame);
	(void)send_packet(fd, buf, FRAME_HEADER_LEN + frame.payload_len, NULL, 0);
}

/* The peer is gone, or has shut its side: the reader will see its end, after what it said last. */
static bool is_peer_gone(int error)
{
	return error == -EPIPE || error == -ECONNRESET || error == -ENOTCONN;
}

static void set_interest(struct rpc_conn *conn)
{
	bool waiting = conn->hello || (conn->queue && conn->state == CONN_OPEN);
	int r = loop_set_events(conn->source, LOOP_READ | (waiting ? LOOP_WRITE : 0));

	if (r < 0)
		conn_fail(conn, r, "cannot watch the socket");
}

/* Send one frame of the queue. Return: whether the next can follow. */
static bool flush_one(struct rpc_conn *conn, const struct out_frame *out)
{
	int r = send_packet(conn->fd, out->data, out->len, out->fds, out->nfds);

	if (is_peer_gone(r)) {
		conn->peer_gone = true;
		conn_drop_queue(conn);
	} else if (r < 0 && r != -EAGAIN) {
		conn_fail(conn, r, "cannot send: %s", strerrordesc_np(-r));
	}
	return r == 0;
}

void conn_flush(struct rpc_conn *conn)
{
	if (conn->hello && flush_one(conn, conn->hello)) {
		out_frame_free(conn->hello);
		conn->hello = NULL;
	}
	while (!conn->hello && conn->state == CONN_OPEN && conn->queue && flush_one(conn, conn->queue)) {
		struct out_frame *out = conn->queue;

		conn->queue = out->next;
		if (!conn->queue)
			conn->queue_tail = &conn->queue;
		conn->queue_len--;
		out_frame_free(out);
	}
	set_interest(conn);
}

/* The descriptors are duplicated: those of the caller may be closed before the frame leaves. */
static int enqueue(struct rpc_conn *conn, struct out_frame *out, const int *fds)
{
	if (conn->queue_len >= RPC_QUEUE_MAX) {
		conn_fail(conn, -ENOBUFS, "the peer does not read: %u frames wait for it", conn->queue_len);
		return -ENOBUFS;
	}
	for (size_t i = 0; i < out->nfds; i++) {
		int fd = fd_dup(fds[i]);

		if (fd < 0)
			return fd;
		out->fds[i] = fd;
	}
	*conn->queue_tail = out;
	conn->queue_tail = &out->next;
	conn->queue_len++;
	set_interest(conn);
	return 0;
}

int conn_send(struct rpc_conn *conn, struct out_frame *out, const int *fds)
{
	int r = -ENOTCONN;

	if (conn_usable(conn) && !conn->peer_gone) {
		r = -EAGAIN;
		if (conn->state == CONN_OPEN && !conn->hello && !conn->queue)
			r = send_packet(conn->fd, out->data, out->len, fds, out->nfds);
		if (r == -EAGAIN) {
			r = enqueue(conn, out, fds);
			if (r == 0)
				return 0;
		}
		if (is_peer_gone(r)) {
			conn->peer_gone = true;
			r = -ENOTCONN;
		}
	}
	out_frame_free(out);
	return r;
}
