/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: their life, and receiving. conn.h has the theory of operation. */
#include "ipc/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"

/* So many frames are read before other sources have their turn. */
#define READ_BURST	16u
#define SEND_BUFFER_LEN (4 * (int)RPC_MSG_MAX)

bool conn_usable(const struct rpc_conn *conn)
{
	return conn->state != CONN_CLOSED && conn->end.code == 0;
}

bool rpc_conn_usable(const struct rpc_conn *conn)
{
	return conn_usable(conn);
}

void conn_enter(struct rpc_conn *conn)
{
	conn->depth++;
}

/* Give back what the connection holds and tell whoever waits for it. */
static void shut(struct rpc_conn *conn, int call_error, const char *why)
{
	conn->state = CONN_CLOSED;
	loop_remove(&conn->source);
	loop_remove(&conn->timer);
	fd_close(&conn->fd);
	if (conn->pidfd >= 0)
		fd_close(&conn->pidfd);
	conn_drop_queue(conn);
	calls_fail_all(conn, call_error, why);
	serve_let_go(conn);
}

/*
 * What our pending calls fail with: what the peer said when it dropped us, or that it cannot be talked to at all. If it
 * is we who drop it, its answers are lost to us like those of a peer that died.
 */
static int call_error(const struct rpc_conn *conn)
{
	if (conn->end_by_peer || conn->end.code == -EPROTONOSUPPORT)
		return conn->end.code;
	return -ECONNRESET;
}

static void close_failed(struct rpc_conn *conn)
{
	struct err end = conn->end;

	if (!conn->end_by_peer)
		conn_say_goodbye(conn->fd, &end);
	shut(conn, call_error(conn), end.text);
	if (!conn->freed && conn->ops && conn->ops->closed)
		conn->ops->closed(conn, end.code, end.text, conn->arg);
}

void conn_leave(struct rpc_conn *conn)
{
	if (conn->depth == 1 && conn->end.code && conn->state != CONN_CLOSED)
		close_failed(conn);
	if (--conn->depth == 0 && conn->freed)
		free(conn);
}

void conn_fail(struct rpc_conn *conn, int error, const char *fmt, ...)
{
	char why[ERR_TEXT_MAX];
	va_list ap;

	if (!conn_usable(conn))
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	err_set(&conn->end, error, "%s", why);
	if (conn->depth == 0)
		loop_arm(conn->timer, 0);
}

void rpc_conn_free(struct rpc_conn *conn)
{
	if (!conn)
		return;
	assert(!conn->freed);
	conn_enter(conn);
	conn->freed = true;
	if (conn->state != CONN_CLOSED)
		shut(conn, -ECANCELED, "the connection was given up");
	conn_leave(conn);
}

void conn_arm(struct rpc_conn *conn)
{
	uint64_t at = calls_next_deadline(conn), now;

	if (conn->state == CONN_HELLO)
		at = MIN(at, conn->hello_deadline_ns);
	if (at == UINT64_MAX)
		return;
	now = clock_now_ns();
	loop_arm(conn->timer, at > now ? at - now : 0);
}

void conn_set_hello_deadline(struct rpc_conn *conn, uint64_t delay_ns)
{
	conn->hello_deadline_ns = clock_now_ns() + delay_ns;
	conn_arm(conn);
}

static void on_timer(void *arg)
{
	struct rpc_conn *conn = arg;
	uint64_t now = clock_now_ns();

	conn_enter(conn);
	if (conn_usable(conn) && conn->state == CONN_HELLO && now >= conn->hello_deadline_ns)
		conn_fail(conn, -ETIMEDOUT, "the peer did not say HELLO in time");
	if (conn_usable(conn))
		calls_expire(conn, now);
	if (conn_usable(conn))
		conn_arm(conn);
	conn_leave(conn);
}

static void take_goodbye(struct rpc_conn *conn, const struct frame *frame)
{
	struct err err;

	if (frame_parse_error(frame->payload, frame->payload_len, &err) < 0) {
		conn_fail(conn, -EPROTO, "malformed GOODBYE");
		return;
	}
	conn->end_by_peer = true;
	conn_fail(conn, err.code, "dropped by the peer: %s", err.text);
}

/* Act on the frame in conn->in; descriptors that are not taken are closed by the caller. */
static void take_frame(struct rpc_conn *conn, size_t len, int flags, int *fds, size_t nfds)
{
	struct frame frame;

	if (flags & MSG_TRUNC) {
		conn_fail(conn, -EPROTO, "a frame of more than %u bytes", RPC_MSG_MAX);
	} else if (frame_parse(conn->in, len, &frame) < 0) {
		conn_fail(conn, -EPROTO, "malformed frame of %zu bytes", len);
	} else if (flags & MSG_CTRUNC && nfds < frame.nfds) {
		/* The kernel installs as many as we may have. */
		conn_fail(conn, -EMFILE, "no room for %u descriptors: raise the limit of open files", frame.nfds);
	} else if (flags & MSG_CTRUNC || nfds != frame.nfds) {
		conn_fail(conn, -EPROTO, "a frame of %u descriptors came with others", frame.nfds);
	} else if (frame.kind == FRAME_GOODBYE) {
		take_goodbye(conn, &frame);
	} else if ((frame.kind == FRAME_HELLO) != (conn->state == CONN_HELLO)) {
		conn_fail(conn, -EPROTO, conn->state == CONN_HELLO ? "a frame before HELLO" : "a second HELLO");
	} else if (frame.kind == FRAME_HELLO) {
		conn_take_hello(conn, &frame);
	} else if (frame.kind == FRAME_REPLY) {
		calls_take_reply(conn, &frame, fds);
	} else if (frame.kind == FRAME_ERROR) {
		calls_take_error(conn, &frame);
	} else {
		serve_frame(conn, &frame, fds);
	}
}

static size_t collect_fds(struct msghdr *msg, int *fds)
{
	size_t nfds = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		assert(nfds + n <= RPC_FDS_MAX);
		memcpy(fds + nfds, CMSG_DATA(c), n * sizeof(int));
		nfds += n;
	}
	return nfds;
}

/* Read and act on one frame. Return: whether there may be more. */
static bool receive(struct rpc_conn *conn)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * RPC_FDS_MAX)];
	} control;
	struct iovec iov = {.iov_base = conn->in, .iov_len = sizeof(conn->in)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	int fds[RPC_FDS_MAX];
	size_t nfds;
	ssize_t n;

	do {
		n = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		/* ECONNRESET (told once): the peer closed without reading all of ours. What it had said can still be
		 * read. */
	} while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0) {
		if (errno != EAGAIN)
			conn_fail(conn, -errno, "cannot receive: %s", strerrordesc_np(errno));
		return false;
	}
	nfds = collect_fds(&msg, fds);
	if (n == 0 && !(msg.msg_flags & MSG_TRUNC)) {
		/* An end of file, or an empty packet, which no peer of ours sends. */
		conn->end_by_peer = true;
		conn_fail(conn, -ECONNRESET, "the peer closed the connection");
	} else {
		take_frame(conn, (size_t)n, msg.msg_flags, fds, nfds);
	}
	for (size_t i = 0; i < nfds; i++)
		fd_close(&fds[i]);
	return true;
}

static void on_event(int fd, unsigned int events, void *arg)
{
	struct rpc_conn *conn = arg;

	conn_enter(conn);
	if (events & LOOP_WRITE && conn_usable(conn))
		conn_flush(conn);
	if (events & LOOP_READ) {
		for (unsigned int i = 0; i < READ_BURST && conn_usable(conn); i++) {
			if (!receive(conn))
				break;
		}
	}
	conn_leave(conn);
}

/* Check and prepare a connected socket. */
static int prepare_socket(struct rpc_conn *conn, int fd)
{
	static const int send_buffer_len = SEND_BUFFER_LEN;
	struct ucred cred;
	socklen_t type_len = sizeof(int), cred_len = sizeof(cred);
	int type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0)
		return -errno;
	if (type != SOCK_SEQPACKET)
		return -EPROTOTYPE;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) < 0)
		return -errno;
	conn->peer = (struct rpc_peer){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
	/* The largest frame must fit whatever the system's default is; it usually does, so a refusal does no harm. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_len, sizeof(send_buffer_len));
	return fd_set_nonblock(fd, true);
}

static int start(struct rpc_conn *conn, int fd, const char *service, uint32_t version)
{
	int r = prepare_socket(conn, fd);

	if (r < 0)
		return r;
	r = frame_service_set(&conn->wanted, service, version);
	if (r < 0)
		return r;
	r = conn_make_hello(conn);
	if (r < 0)
		return r;
	r = loop_add_timer(conn->loop, on_timer, conn, &conn->timer);
	if (r < 0)
		return r;
	return loop_add_fd(conn->loop, fd, LOOP_READ, on_event, conn, &conn->source);
}

int rpc_conn_adopt(struct loop *loop, int fd, const char *service, uint32_t version, const struct rpc_service *local,
		   const struct rpc_conn_ops *ops, void *arg, struct rpc_conn **ret_conn)
{
	struct rpc_conn *conn = calloc(1, sizeof(*conn));
	int r;

	if (!conn) {
		fd_close(&fd);
		return -ENOMEM;
	}
	conn->loop = loop;
	conn->fd = fd;
	conn->pidfd = -EBADF;
	conn->local = local;
	conn->ops = ops;
	conn->arg = arg;
	conn->queue_tail = &conn->queue;
	r = start(conn, fd, service, version);
	if (r < 0) {
		rpc_conn_free(conn);
		return r;
	}
	conn_set_hello_deadline(conn, RPC_DEADLINE_DEFAULT_MS * NS_PER_MS);
	conn_flush(conn);
	*ret_conn = conn;
	return 0;
}

int rpc_conn_connect(struct loop *loop, const char *path, const char *service, uint32_t version,
		     const struct rpc_service *local, const struct rpc_conn_ops *ops, void *arg,
		     struct rpc_conn **ret_conn)
{
	_cleanup_close_ int fd = -1, dir_fd = -1;
	struct sockaddr_un address;
	const char *name;
	int r = address_from_path(path, &address, &dir_fd, &name);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return rpc_conn_adopt(loop, take_fd(&fd), service, version, local, ops, arg, ret_conn);
}

void rpc_conn_set_arg(struct rpc_conn *conn, void *arg)
{
	conn->arg = arg;
}

void *rpc_conn_arg(const struct rpc_conn *conn)
{
	return conn->arg;
}

void rpc_conn_set_role(struct rpc_conn *conn, unsigned int role)
{
	conn->role = role;
}

unsigned int rpc_conn_role(const struct rpc_conn *conn)
{
	return conn->role;
}

const struct rpc_peer *rpc_conn_peer(const struct rpc_conn *conn)
{
	return &conn->peer;
}

int rpc_conn_pidfd(const struct rpc_conn *conn)
{
	return conn->pidfd;
}

const char *rpc_conn_remote(const struct rpc_conn *conn, uint32_t *ret_version)
{
	if (ret_version)
		*ret_version = conn->remote.version;
	return conn->remote.name;
}
