/* SPDX-License-Identifier: Apache-2.0 */
/* Two honest sides. */
#include "tests/unit/ipc/fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fd.h"

static struct loop *loop;
static struct side client, server;
static size_t fds_before;
static const Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
#define EMPTY &bulkhead__empty__descriptor
#define RANGE &bulkhead__memory_range__descriptor

static void setup(void)
{
	fds_before = count_fds();
	cr_assert_eq(loop_new(&loop), 0);
	fixture_pair(loop, &client, &server);
}

static void teardown(void)
{
	rpc_conn_free(client.conn);
	rpc_conn_free(server.conn);
	loop_free(loop);
	cr_assert_eq(count_fds(), fds_before, "descriptors leak");
}

TestSuite(rpc, .init = setup, .fini = teardown);

static int request(uint32_t method, struct outcome *outcome)
{
	return rpc_request(client.conn, method, &empty.base, EMPTY, NULL, 0, 0, on_outcome, outcome);
}

Test(rpc, hello_is_exchanged)
{
	uint32_t version = 77;

	fixture_settle(loop);
	cr_assert(client.connected && server.connected);
	cr_assert_str_eq(rpc_conn_remote(client.conn, &version), "test");
	cr_assert_eq(version, 3);
	cr_assert_str_eq(rpc_conn_remote(server.conn, NULL), "");
	cr_assert_eq(rpc_conn_peer(client.conn)->uid, getuid());
	cr_assert_eq(rpc_conn_peer(client.conn)->pid, getpid());
}

Test(rpc, request_before_hello_waits)
{
	Bulkhead__MemoryRange range = BULKHEAD__MEMORY_RANGE__INIT;
	struct outcome outcome = {0};

	range.gpa = 0x123456789a;
	cr_assert_eq(rpc_request(client.conn, M_ECHO, &range.base, RANGE, NULL, 0, 0, on_outcome, &outcome), 0);
	cr_assert_eq(outcome.count, 0);
	fixture_settle(loop);
	cr_assert_eq(outcome.count, 1);
	cr_assert_eq(outcome.error, 0);
	cr_assert_eq(outcome.gpa, 0x123456789a);
}

Test(rpc, descriptors_go_both_ways)
{
	Bulkhead__MemoryRange range = BULKHEAD__MEMORY_RANGE__INIT;
	struct outcome outcome = {0};
	struct stat sent, kept, back;
	int fds[3];

	server.want_fd = true;
	for (size_t i = 0; i < 3; i++)
		cr_assert_geq(fds[i] = fd_memfd("test", 4096 * (i + 1)), 0);
	cr_assert_eq(rpc_request(client.conn, M_ECHO, &range.base, RANGE, fds, 3, 0, on_outcome, &outcome), 0);
	fstat(fds[1], &sent);
	/* Ours to close at once, even while the frame waits for HELLO. */
	for (size_t i = 0; i < 3; i++)
		fd_close(&fds[i]);
	fixture_settle(loop);
	cr_assert_eq(outcome.error, 0, "%s", outcome.text);
	cr_assert_eq(outcome.nfds, 2);
	fstat(server.keep_fd, &kept);
	fstat(outcome.fd, &back);
	cr_assert_eq(kept.st_size, 4096);
	cr_assert_eq(back.st_ino, sent.st_ino);
	cr_assert_neq(fcntl(outcome.fd, F_GETFD) & FD_CLOEXEC, 0);
	fd_close(&server.keep_fd);
	fd_close(&outcome.fd);
}

Test(rpc, refusals_leave_the_connection_open)
{
	static const struct {
		uint32_t method;
		int error;
	} cases[] = {
		{M_UNKNOWN, -ENOSYS}, {M_ADMIN, -EPERM}, {M_TWO_FDS, -EINVAL}, {M_NOTE, -EINVAL}, {M_BAD_TYPE, -ENOSPC},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct outcome outcome = {0};

		cr_assert_eq(request(cases[i].method, &outcome), 0);
		fixture_settle(loop);
		cr_assert_eq(outcome.count, 1);
		cr_assert_eq(outcome.error, cases[i].error, "method %u: %d", cases[i].method, outcome.error);
		cr_assert_neq(outcome.text[0], '\0');
	}
	cr_assert_eq(client.closed + server.closed, 0);
}

Test(rpc, text_of_a_failure_arrives)
{
	struct outcome outcome = {0};

	request(M_BAD_TYPE, &outcome);
	fixture_settle(loop);
	cr_assert_str_eq(outcome.text, "disk sda is full");
}

Test(rpc, role_permits)
{
	struct outcome outcome = {0};

	rpc_conn_set_role(server.conn, 2 | 4);
	cr_assert_eq(rpc_conn_role(server.conn), 6);
	request(M_ADMIN, &outcome);
	fixture_settle(loop);
	cr_assert_eq(outcome.error, 0);
}

Test(rpc, refused_descriptors_are_closed)
{
	struct outcome outcome = {0};
	int fds[3] = {0, 1, 2};
	size_t before;

	fixture_settle(loop);
	before = count_fds();
	cr_assert_eq(rpc_request(client.conn, M_TWO_FDS, &empty.base, EMPTY, fds, 3, 0, on_outcome, &outcome), 0);
	fixture_settle(loop);
	cr_assert_eq(outcome.error, -EINVAL);
	cr_assert_eq(count_fds(), before);
}

Test(rpc, notification)
{
	Bulkhead__MemoryRange range = BULKHEAD__MEMORY_RANGE__INIT;

	range.gpa = 42;
	cr_assert_eq(rpc_notify(client.conn, M_NOTE, &range.base, NULL, 0), 0);
	fixture_settle(loop);
	cr_assert_eq(server.notes, 1);
	cr_assert_eq(server.note_gpa, 42);
}

Test(rpc, late_answers_reach_their_requests)
{
	struct outcome outcomes[3] = {0};

	for (size_t i = 0; i < 3; i++)
		request(M_LATER, &outcomes[i]);
	fixture_settle(loop);
	cr_assert_eq(server.nheld, 3);
	rpc_fail(server.held[1], -EBUSY, "second");
	rpc_reply(server.held[2], &empty.base, NULL, 0);
	fixture_settle(loop);
	cr_assert_eq(outcomes[0].count, 0);
	cr_assert_eq(outcomes[1].error, -EBUSY);
	cr_assert_eq(outcomes[2].count, 1);
	cr_assert_eq(outcomes[2].error, 0);
	rpc_reply(server.held[0], &empty.base, NULL, 0);
	fixture_settle(loop);
	cr_assert_eq(outcomes[0].count, 1);
}

Test(rpc, deadline_then_late_answer)
{
	struct outcome outcome = {0}, other = {0};

	cr_assert_eq(rpc_request(client.conn, M_LATER, &empty.base, EMPTY, NULL, 0, 1, on_outcome, &outcome), 0);
	fixture_until(loop, &outcome.count);
	cr_assert_eq(outcome.error, -ETIMEDOUT);
	fixture_settle(loop);
	rpc_reply(server.held[0], &empty.base, NULL, 0);
	request(M_BAD_TYPE, &other);
	fixture_settle(loop);
	cr_assert_eq(other.error, -ENOSPC);
	cr_assert_eq(outcome.count, 1);
	cr_assert_eq(client.closed + server.closed, 0);
}

Test(rpc, peer_vanishes_with_calls_in_both_states)
{
	struct outcome outcome = {0};

	request(M_LATER, &outcome);
	fixture_settle(loop);
	rpc_conn_free(server.conn);
	server.conn = NULL;
	fixture_settle(loop);
	cr_assert_eq(outcome.error, -ECONNRESET);
	cr_assert_eq(client.closed, 1);
	cr_assert_eq(client.error, -ECONNRESET);
	/* Answered to nobody. */
	rpc_reply(server.held[0], &empty.base, NULL, 0);
}

Test(rpc, caller_vanishes)
{
	struct outcome outcome = {0};

	request(M_LATER, &outcome);
	fixture_settle(loop);
	rpc_conn_free(client.conn);
	client.conn = NULL;
	cr_assert_eq(outcome.error, -ECANCELED);
	fixture_settle(loop);
	cr_assert_eq(server.closed, 1);
	rpc_fail(server.held[0], -EIO, "nobody hears this");
}

Test(rpc, peer_vanishes_before_hello)
{
	struct outcome outcome = {0};

	request(M_LATER, &outcome);
	rpc_conn_free(server.conn);
	server.conn = NULL;
	fixture_settle(loop);
	cr_assert_eq(outcome.error, -ECONNRESET);
	cr_assert_eq(client.closed, 1);
}

Test(rpc, answer_sent_before_the_end_arrives)
{
	struct outcome outcomes[2] = {0};

	request(M_LATER, &outcomes[0]);
	fixture_settle(loop);
	/* The second request stays unread when the server goes: the client's socket reports a reset first. */
	rpc_reply(server.held[0], &empty.base, NULL, 0);
	request(M_LATER, &outcomes[1]);
	rpc_conn_free(server.conn);
	server.conn = NULL;
	fixture_settle(loop);
	cr_assert_eq(outcomes[0].error, 0);
	cr_assert_eq(outcomes[1].error, -ECONNRESET);
}

Test(rpc, freed_inside_a_handler)
{
	struct outcome outcome = {0};

	request(M_BYE, &outcome);
	fixture_settle(loop);
	cr_assert_eq(outcome.error, -ECONNRESET);
	cr_assert_eq(server.closed, 0);
	cr_assert_null(server.conn);
}

Test(rpc, freed_inside_an_outcome)
{
	struct outcome outcomes[2] = {{.free = client.conn}, {0}};

	request(M_LATER, &outcomes[1]);
	request(M_BAD_TYPE, &outcomes[0]);
	client.conn = NULL;
	fixture_settle(loop);
	cr_assert_eq(outcomes[0].error, -ENOSPC);
	cr_assert_eq(outcomes[1].error, -ECANCELED);
	cr_assert_eq(client.closed, 0);
	rpc_reply(server.held[0], &empty.base, NULL, 0);
}

Test(rpc, freed_inside_a_failing_outcome)
{
	struct outcome outcomes[3] = {{0}, {.free = client.conn}, {0}};

	for (size_t i = 0; i < 3; i++)
		request(M_LATER, &outcomes[i]);
	client.conn = NULL;
	rpc_conn_free(server.conn);
	server.conn = NULL;
	fixture_settle(loop);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(outcomes[i].count, 1);
	cr_assert_eq(client.closed, 0);
}

Test(rpc, nothing_can_be_sent_after_the_end)
{
	struct outcome outcome = {0};
	struct rpc_conn *conn = client.conn;

	fixture_settle(loop);
	conn_fail(conn, -EIO, "test");
	cr_assert_eq(request(M_LATER, &outcome), -ENOTCONN);
	cr_assert_eq(rpc_notify(conn, M_NOTE, &empty.base, NULL, 0), -ENOTCONN);
	cr_assert_eq(client.closed, 0);
	fixture_settle(loop);
	cr_assert_eq(client.closed, 1);
	cr_assert_eq(client.error, -EIO);
	cr_assert_eq(server.error, -EIO);
	cr_assert_str_eq(server.why, "dropped by the peer: test");
	cr_assert_eq(outcome.count, 0);
}

Test(rpc, size_limits)
{
	static uint8_t bytes[RPC_MSG_MAX];
	ProtobufCMessageUnknownField field = {
		.tag = 15, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .data = bytes};
	Bulkhead__Empty big = BULKHEAD__EMPTY__INIT;
	struct outcome outcome = {0};
	size_t room = RPC_MSG_MAX - FRAME_HEADER_LEN - 1; /* one byte of tag */
	int fds[RPC_FDS_MAX + 1] = {0};

	/* An unknown field: its data begin with a length of three bytes in base 128. */
	big.base.n_unknown_fields = 1;
	big.base.unknown_fields = &field;
	field.len = room;
	bytes[0] = 0x80 | ((room - 3) & 0x7f);
	bytes[1] = 0x80 | ((room - 3) >> 7 & 0x7f);
	bytes[2] = (uint8_t)((room - 3) >> 14);
	cr_assert_eq(rpc_request(client.conn, M_BAD_TYPE, &big.base, EMPTY, NULL, 0, 0, on_outcome, &outcome), 0);
	fixture_settle(loop);
	cr_assert_eq(outcome.error, -ENOSPC, "the largest frame and its unknown field arrive: %s", outcome.text);
	field.len++;
	cr_assert_eq(rpc_request(client.conn, M_LATER, &big.base, EMPTY, NULL, 0, 0, on_outcome, &outcome), -EMSGSIZE);
	cr_assert_eq(
		rpc_request(client.conn, M_LATER, &empty.base, EMPTY, fds, RPC_FDS_MAX + 1, 0, on_outcome, &outcome),
		-EMSGSIZE);
	cr_assert_eq(outcome.count, 1);
}

Test(rpc, too_large_reply_becomes_an_error)
{
	static uint8_t bytes[RPC_MSG_MAX];
	ProtobufCMessageUnknownField field = {
		.tag = 15, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .data = bytes, .len = sizeof(bytes)};
	Bulkhead__Empty big = BULKHEAD__EMPTY__INIT;
	struct outcome outcome = {0};

	big.base.n_unknown_fields = 1;
	big.base.unknown_fields = &field;
	request(M_LATER, &outcome);
	fixture_settle(loop);
	rpc_reply(server.held[0], &big.base, NULL, 0);
	fixture_settle(loop);
	cr_assert_eq(outcome.error, -EMSGSIZE);
	cr_assert_eq(client.closed, 0);
}

Test(rpc, bad_descriptor_of_ours_fails_the_call_only)
{
	struct outcome outcome = {0};
	int bad = 999;

	fixture_settle(loop);
	cr_assert_eq(rpc_request(client.conn, M_ECHO, &empty.base, EMPTY, &bad, 1, 0, on_outcome, &outcome), -EBADF);
	request(M_BAD_TYPE, &outcome);
	fixture_settle(loop);
	cr_assert_eq(outcome.count, 1);
}

Test(rpc, at_most_so_many_requests_wait)
{
	static struct outcome outcomes[RPC_QUEUE_MAX + 1];

	fixture_settle(loop);
	for (size_t i = 0; i < RPC_QUEUE_MAX; i++) {
		cr_assert_eq(request(M_LATER, &outcomes[i]), 0);
		fixture_settle(loop);
	}
	cr_assert_eq(request(M_LATER, &outcomes[RPC_QUEUE_MAX]), -ENOBUFS);
	for (size_t i = 0; i < server.nheld; i++)
		rpc_reply(server.held[i], &empty.base, NULL, 0);
	fixture_settle(loop);
	for (size_t i = 0; i < RPC_QUEUE_MAX; i++)
		cr_assert_eq(outcomes[i].count, 1);
	cr_assert_eq(outcomes[RPC_QUEUE_MAX].count, 0);
}

Test(rpc, queued_frames_arrive_in_order)
{
	Bulkhead__MemoryRange range = BULKHEAD__MEMORY_RANGE__INIT;
	unsigned int n = 0;

	/* Before HELLO nothing is sent, so these wait, with a descriptor each that is refused in the end... */
	for (; n < RPC_QUEUE_MAX; n++) {
		range.gpa = n;
		cr_assert_eq(rpc_notify(client.conn, M_NOTE, &range.base, NULL, 0), 0);
	}
	fixture_settle(loop);
	cr_assert_eq(server.notes, n);
	cr_assert_eq(server.note_gpa, n - 1);
	cr_assert_eq(server.closed, 0);
}

Test(rpc, wait_gets_message_and_descriptors)
{
	Bulkhead__MemoryRange range = BULKHEAD__MEMORY_RANGE__INIT;
	ProtobufCMessage *msg = NULL;
	int in[2] = {0, 1}, out[2] = {-1, -1};
	size_t nfds = 2;
	struct err err = {0};

	range.gpa = 7;
	cr_assert_eq(rpc_call_wait(client.conn, M_ECHO, &range.base, RANGE, in, 2, 0, &err, &msg, out, &nfds), 0);
	cr_assert_eq(((Bulkhead__MemoryRange *)msg)->gpa, 7);
	cr_assert_eq(nfds, 2);
	cr_assert(out[0] > 2 && out[1] > 2);
	fd_close(&out[0]);
	fd_close(&out[1]);
	protobuf_c_message_free_unpacked(msg, NULL);
}

Test(rpc, wait_reports_errors)
{
	Bulkhead__MemoryRange range = BULKHEAD__MEMORY_RANGE__INIT;
	int in[2] = {0, 1}, out[1] = {-1};
	size_t nfds = 1;
	struct err err = {0};

	cr_assert_eq(rpc_call_wait(client.conn, M_BAD_TYPE, &empty.base, EMPTY, NULL, 0, 0, &err, NULL, NULL, NULL),
		     -ENOSPC);
	cr_assert_str_eq(err.text, "disk sda is full");
	cr_assert_eq(rpc_call_wait(client.conn, M_LATER, &empty.base, EMPTY, NULL, 0, 1, &err, NULL, NULL, NULL),
		     -ETIMEDOUT);
	cr_assert_eq(rpc_call_wait(client.conn, M_ECHO, &range.base, RANGE, in, 2, 0, &err, NULL, out, &nfds), -EPROTO);
	cr_assert_eq(rpc_call_wait(client.conn, M_ECHO, &range.base, RANGE, in, 2, 0, &err, NULL, NULL, NULL), 0);
	rpc_reply(server.held[0], &empty.base, NULL, 0);
}

Test(rpc, wait_ends_with_the_loop)
{
	struct err err = {0};

	fixture_settle(loop);
	loop_stop(loop);
	cr_assert_eq(rpc_call_wait(client.conn, M_LATER, &empty.base, EMPTY, NULL, 0, 0, &err, NULL, NULL, NULL),
		     -ECANCELED);
	cr_assert_eq(loop_run(loop), 0);
	fixture_settle(loop);
	rpc_reply(server.held[0], &empty.base, NULL, 0);
	fixture_settle(loop);
	cr_assert_eq(client.closed, 0);
}

Test(rpc, wait_when_the_peer_goes)
{
	struct err err = {0};

	rpc_conn_free(server.conn);
	server.conn = NULL;
	cr_assert_eq(rpc_call_wait(client.conn, M_LATER, &empty.base, EMPTY, NULL, 0, 0, &err, NULL, NULL, NULL),
		     -ECONNRESET);
	cr_assert_str_eq(err.text, "the peer closed the connection");
}
