/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ipc/fixture.h"

#include "base/cleanup.h"
#include "base/fd.h"

static void on_echo(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		    void *arg)
{
	struct side *side = arg;

	if (side->want_fd && nfds)
		side->keep_fd = take_fd(&fds[0]);
	rpc_reply(call, msg, fds + side->want_fd, nfds - side->want_fd);
}

static void on_later(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		     void *arg)
{
	struct side *side = arg;

	side->held[side->nheld++] = call;
}

static void on_empty(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		     void *arg)
{
	rpc_reply(call, msg, NULL, 0);
}

static void on_note(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		    void *arg)
{
	struct side *side = arg;

	cr_assert_null(call);
	side->notes++;
	side->note_gpa = ((const Bulkhead__MemoryRange *)msg)->gpa;
}

static void on_failing(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		       void *arg)
{
	rpc_fail(call, -ENOSPC, "disk %s is full", "sda");
}

static void on_bye(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		   void *arg)
{
	struct side *side = arg;

	side->conn = NULL;
	rpc_conn_free(conn);
	rpc_reply(call, msg, NULL, 0);
}

#define EMPTY &bulkhead__empty__descriptor
#define RANGE &bulkhead__memory_range__descriptor

static const struct rpc_method methods[] = {
	{M_ECHO, "Echo", RANGE, RANGE, 0, 4, RPC_ROLE_ANY, on_echo},
	{M_LATER, "Later", EMPTY, EMPTY, 0, 0, RPC_ROLE_ANY, on_later},
	{M_ADMIN, "Admin", EMPTY, EMPTY, 0, 0, 2, on_empty},
	{M_TWO_FDS, "TwoFds", EMPTY, EMPTY, 2, 2, RPC_ROLE_ANY, on_empty},
	{M_NOTE, "Note", RANGE, NULL, 0, 0, RPC_ROLE_ANY, on_note},
	{M_BAD_TYPE, "Failing", EMPTY, EMPTY, 0, 0, RPC_ROLE_ANY, on_failing},
	{M_BYE, "Bye", EMPTY, EMPTY, 0, 0, RPC_ROLE_ANY, on_bye},
	{0},
};

const struct rpc_service test_service = {"test", 3, methods};

static void on_connected(struct rpc_conn *conn, void *arg)
{
	struct side *side = arg;

	side->connected = true;
}

static void on_closed(struct rpc_conn *conn, int error, const char *why, void *arg)
{
	struct side *side = arg;

	side->closed++;
	side->error = error;
	snprintf(side->why, sizeof(side->why), "%s", why);
	side->conn = NULL;
	rpc_conn_free(conn);
}

const struct rpc_conn_ops side_ops = {on_connected, on_closed};

void fixture_pair(struct loop *loop, struct side *a, struct side *b)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	cr_assert_eq(rpc_conn_adopt(loop, fds[0], "test", 3, NULL, &side_ops, a, &a->conn), 0);
	cr_assert_eq(rpc_conn_adopt(loop, fds[1], NULL, 0, &test_service, &side_ops, b, &b->conn), 0);
}

int fixture_raw(struct loop *loop, struct side *side, bool greet)
{
	struct frame_hello hello = {.frame_version = FRAME_VERSION};
	uint8_t buf[FRAME_HEADER_LEN + FRAME_HELLO_MAX], payload[FRAME_HELLO_MAX];
	struct frame frame;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	cr_assert_eq(rpc_conn_adopt(loop, fds[0], NULL, 0, &test_service, &side_ops, side, &side->conn), 0);
	if (!greet)
		return fds[1];
	raw_send(fds[1], buf, raw_frame(buf, FRAME_HELLO, 0, 0, payload, frame_put_hello(payload, &hello), 0), NULL, 0);
	fixture_settle(loop);
	cr_assert(side->connected);
	cr_assert_eq(raw_receive(fds[1], &frame), 0);
	cr_assert_eq(frame.kind, FRAME_HELLO);
	return fds[1];
}

void fixture_settle(struct loop *loop)
{
	/* What is sent by one callback is readable for the next round: nothing here waits for time. */
	for (int i = 0; i < 200; i++)
		cr_assert_eq(loop_run_once(loop, false), 0);
}

void fixture_until(struct loop *loop, const unsigned int *count)
{
	while (!*count)
		cr_assert_eq(loop_run_once(loop, true), 0);
}

size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	cr_assert(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3; /* ".", "..", the folder's own */
}

void on_outcome(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	struct outcome *outcome = arg;

	outcome->count++;
	outcome->error = error;
	snprintf(outcome->text, sizeof(outcome->text), "%s", text);
	outcome->nfds = nfds;
	outcome->fd = nfds ? take_fd(&fds[0]) : -1;
	cr_assert_eq(!msg, error != 0);
	if (msg && msg->descriptor == RANGE)
		outcome->gpa = ((const Bulkhead__MemoryRange *)msg)->gpa;
	if (outcome->free)
		rpc_conn_free(outcome->free);
}

size_t raw_frame(uint8_t *buf, enum frame_kind kind, uint32_t method, uint64_t id, const void *payload, size_t len,
		 unsigned int nfds)
{
	struct frame frame = {.kind = kind, .method = method, .id = id, .nfds = nfds, .payload_len = len};

	frame_put_header(buf, &frame);
	if (len)
		memcpy(buf + FRAME_HEADER_LEN, payload, len);
	return FRAME_HEADER_LEN + len;
}

void raw_send(int fd, const void *data, size_t len, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 253)];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int) * nfds)};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, sizeof(int) * nfds);
	}
	cr_assert_eq(sendmsg(fd, &msg, MSG_NOSIGNAL), (ssize_t)len);
}

int raw_receive(int fd, struct frame *ret_frame)
{
	static uint8_t buf[RPC_MSG_MAX];
	ssize_t n;

	do {
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	} while (n < 0 && errno == ECONNRESET);
	if (n < 0)
		return -errno;
	return n ? frame_parse(buf, (size_t)n, ret_frame) : -EPIPE;
}
