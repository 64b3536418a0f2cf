/* SPDX-License-Identifier: Apache-2.0 */
/* One side of ours, and a peer that says what it likes. Nothing but its own connection may suffer. */
#include "tests/unit/ipc/fixture.h"

#include <sys/resource.h>

#include "base/clock.h"

static struct loop *loop;
static struct side side;
static int raw;
static size_t fds_before;
static uint8_t buf[2 * RPC_MSG_MAX];
static const Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
#define EMPTY &bulkhead__empty__descriptor

static void start(bool greet)
{
	fds_before = count_fds();
	cr_assert_eq(loop_new(&loop), 0);
	raw = fixture_raw(loop, &side, greet);
}

static void setup(void)
{
	start(true);
}

static void setup_silent(void)
{
	start(false);
}

static void teardown(void)
{
	for (size_t i = 0; i < side.nheld; i++)
		rpc_fail(side.held[i], -EIO, "the test ends");
	rpc_conn_free(side.conn);
	loop_free(loop);
	if (raw >= 0)
		close(raw);
	cr_assert_eq(count_fds(), fds_before, "descriptors leak");
}

TestSuite(hostile, .init = setup, .fini = teardown);
TestSuite(hello, .init = setup_silent, .fini = teardown);

/* The side has dropped us with @error, and has told us, and nothing of ours arrived. */
static void assert_dropped(int error)
{
	struct frame frame;
	struct err err;

	fixture_settle(loop);
	cr_assert_eq(side.closed, 1, "not dropped");
	cr_assert_eq(side.error, error, "%s: %s", err_name(side.error), side.why);
	while (raw_receive(raw, &frame) == 0 && frame.kind != FRAME_GOODBYE)
		;
	cr_assert_eq(frame.kind, FRAME_GOODBYE);
	cr_assert_eq(frame_parse_error(frame.payload, frame.payload_len, &err), 0);
	cr_assert_eq(err.code, error);
	cr_assert_eq(raw_receive(raw, &frame), -EPIPE);
}

/* The side answers request @id with @error and goes on. */
static void assert_refused(uint64_t id, int error)
{
	struct frame frame;
	struct err err;

	fixture_settle(loop);
	cr_assert_eq(raw_receive(raw, &frame), 0);
	cr_assert_eq(frame.kind, FRAME_ERROR);
	cr_assert_eq(frame.id, id);
	cr_assert_eq(frame_parse_error(frame.payload, frame.payload_len, &err), 0);
	cr_assert_eq(err.code, error, "%s", err.text);
	cr_assert_eq(side.closed, 0);
}

static void send_frame(enum frame_kind kind, uint32_t method, uint64_t id, const void *payload, size_t len)
{
	raw_send(raw, buf, raw_frame(buf, kind, method, id, payload, len, 0), NULL, 0);
}

/* ---- HELLO ---- */

static void send_hello(uint32_t frame_version, const char *serves, uint32_t serves_version, const char *wants,
		       uint32_t wants_version)
{
	struct frame_hello hello = {.frame_version = frame_version};
	uint8_t payload[FRAME_HELLO_MAX];

	cr_assert_eq(frame_service_set(&hello.serves, serves, serves_version), 0);
	cr_assert_eq(frame_service_set(&hello.wants, wants, wants_version), 0);
	send_frame(FRAME_HELLO, 0, 0, payload, frame_put_hello(payload, &hello));
}

Test(hello, another_frame_version)
{
	send_hello(FRAME_VERSION + 1, NULL, 0, NULL, 0);
	assert_dropped(-EPROTONOSUPPORT);
	cr_assert(strstr(side.why, "frame version 2"), "%s", side.why);
}

Test(hello, another_service_version_is_wanted)
{
	send_hello(FRAME_VERSION, NULL, 0, "test", 4);
	assert_dropped(-EPROTONOSUPPORT);
	cr_assert(strstr(side.why, "\"test\" version 4"), "%s", side.why);
}

Test(hello, another_service_is_wanted)
{
	send_hello(FRAME_VERSION, NULL, 0, "worker", 3);
	assert_dropped(-EPROTONOSUPPORT);
}

Test(hello, another_service_is_served)
{
	frame_service_set(&side.conn->wanted, "vsp", 1);
	send_hello(FRAME_VERSION, "vsp", 2, "test", 3);
	assert_dropped(-EPROTONOSUPPORT);
	cr_assert(strstr(side.why, "\"vsp\" version 2"), "%s", side.why);
}

Test(hello, version_mismatch_fails_waiting_calls_with_the_reason)
{
	struct outcome outcome = {0};

	cr_assert_eq(rpc_request(side.conn, 1, &empty.base, EMPTY, NULL, 0, 0, on_outcome, &outcome), 0);
	send_hello(FRAME_VERSION, NULL, 0, "test", 4);
	assert_dropped(-EPROTONOSUPPORT);
	cr_assert_eq(outcome.error, -EPROTONOSUPPORT);
	cr_assert_str_eq(outcome.text, side.why);
}

Test(hello, what_it_serves_is_remembered)
{
	uint32_t version;

	send_hello(FRAME_VERSION, "vsp", 2, "test", 3);
	fixture_settle(loop);
	cr_assert(side.connected);
	cr_assert_str_eq(rpc_conn_remote(side.conn, &version), "vsp");
	cr_assert_eq(version, 2);
}

Test(hello, a_request_comes_first)
{
	send_frame(FRAME_REQUEST, M_BAD_TYPE, 1, NULL, 0);
	assert_dropped(-EPROTO);
	cr_assert_not(side.connected);
}

Test(hello, comes_twice)
{
	send_hello(FRAME_VERSION, NULL, 0, NULL, 0);
	send_hello(FRAME_VERSION, NULL, 0, NULL, 0);
	assert_dropped(-EPROTO);
}

Test(hello, malformed)
{
	send_frame(FRAME_HELLO, 0, 0, "\1\0\0\0", 4);
	assert_dropped(-EPROTO);
}

Test(hello, never_comes)
{
	conn_set_hello_deadline(side.conn, NS_PER_MS);
	fixture_until(loop, &side.closed);
	assert_dropped(-ETIMEDOUT);
}

Test(hello, peer_vanishes_instead)
{
	close(raw);
	raw = -1;
	fixture_settle(loop);
	cr_assert_eq(side.closed, 1);
	cr_assert_eq(side.error, -ECONNRESET);
}

/* ---- frames ---- */

Test(hostile, wrong_magic)
{
	size_t len = raw_frame(buf, FRAME_REQUEST, M_BAD_TYPE, 1, NULL, 0, 0);

	buf[0] ^= 1;
	raw_send(raw, buf, len, NULL, 0);
	assert_dropped(-EPROTO);
}

Test(hostile, wrong_kind)
{
	size_t len = raw_frame(buf, FRAME_REQUEST, M_BAD_TYPE, 1, NULL, 0, 0);

	buf[4] = 200;
	raw_send(raw, buf, len, NULL, 0);
	assert_dropped(-EPROTO);
}

Test(hostile, truncated_header)
{
	raw_frame(buf, FRAME_REQUEST, M_BAD_TYPE, 1, NULL, 0, 0);
	raw_send(raw, buf, FRAME_HEADER_LEN - 1, NULL, 0);
	assert_dropped(-EPROTO);
}

Test(hostile, truncated_payload)
{
	size_t len = raw_frame(buf, FRAME_REQUEST, M_BAD_TYPE, 1, "abcd", 4, 0);

	raw_send(raw, buf, len - 1, NULL, 0);
	assert_dropped(-EPROTO);
}

Test(hostile, empty_packet)
{
	raw_send(raw, buf, 0, NULL, 0);
	fixture_settle(loop);
	cr_assert_eq(side.closed, 1);
}

Test(hostile, oversized_packet)
{
	int fd = 0;

	memset(buf, 0, sizeof(buf));
	raw_frame(buf, FRAME_REQUEST, M_ECHO, 1, buf + RPC_MSG_MAX, RPC_MSG_MAX - FRAME_HEADER_LEN, 1);
	raw_send(raw, buf, RPC_MSG_MAX + 1, &fd, 1);
	assert_dropped(-EPROTO);
}

/* ---- descriptors ---- */

Test(hostile, fewer_descriptors_than_it_says)
{
	int fd = 0;

	raw_send(raw, buf, raw_frame(buf, FRAME_REQUEST, M_ECHO, 1, NULL, 0, 2), &fd, 1);
	assert_dropped(-EPROTO);
}

Test(hostile, more_descriptors_than_it_says)
{
	int fds[3] = {0, 1, 2};

	raw_send(raw, buf, raw_frame(buf, FRAME_REQUEST, M_ECHO, 1, NULL, 0, 2), fds, 3);
	assert_dropped(-EPROTO);
}

Test(hostile, more_descriptors_than_fit)
{
	int fds[253] = {0};

	raw_send(raw, buf, raw_frame(buf, FRAME_REQUEST, M_ECHO, 1, NULL, 0, RPC_FDS_MAX), fds, 253);
	assert_dropped(-EPROTO);
}

Test(hostile, descriptors_with_a_frame_that_has_none)
{
	int fds[2] = {0, 1};

	send_frame(FRAME_REQUEST, M_LATER, 1, NULL, 0);
	raw_send(raw, buf, raw_frame(buf, FRAME_GOODBYE, 0, 0, "\377\377\377\377", 4, 0), fds, 2);
	assert_dropped(-EPROTO);
}

Test(hostile, descriptors_that_we_have_no_room_for)
{
	struct rlimit limit;
	int fds[8] = {0};

	getrlimit(RLIMIT_NOFILE, &limit);
	/* Two more than are open: the kernel installs two of the eight. The folder that counts needs one of them. */
	limit.rlim_cur = count_fds() + 2;
	raw_send(raw, buf, raw_frame(buf, FRAME_REQUEST, M_ECHO, 1, NULL, 0, 8), fds, 8);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_dropped(-EMFILE);
}

Test(hostile, wrong_count_for_the_method)
{
	int fds[5] = {0};

	raw_send(raw, buf, raw_frame(buf, FRAME_REQUEST, M_ECHO, 9, NULL, 0, 5), fds, 5);
	assert_refused(9, -EINVAL);
}

/* ---- requests ---- */

Test(hostile, unknown_method)
{
	send_frame(FRAME_REQUEST, M_UNKNOWN, 5, NULL, 0);
	assert_refused(5, -ENOSYS);
}

Test(hostile, role_not_permitted)
{
	send_frame(FRAME_REQUEST, M_ADMIN, 5, NULL, 0);
	assert_refused(5, -EPERM);
}

Test(hostile, undecodable_request)
{
	int fd = 0;

	raw_send(raw, buf, raw_frame(buf, FRAME_REQUEST, M_ECHO, 5, "\377\377\377", 3, 1), &fd, 1);
	assert_refused(5, -EBADMSG);
	/* A field whose length runs beyond the end. */
	send_frame(FRAME_REQUEST, M_ECHO, 6, "\x7a\x7f", 2);
	assert_refused(6, -EBADMSG);
}

Test(hostile, unknown_fields_are_harmless)
{
	struct frame frame;

	/* gpa = 7, and field 15, which does not exist */
	send_frame(FRAME_REQUEST, M_ECHO, 5, "\x08\x07\x7a\x01x", 5);
	fixture_settle(loop);
	cr_assert_eq(raw_receive(raw, &frame), 0);
	cr_assert_eq(frame.kind, FRAME_REPLY);
	cr_assert_eq(frame.id, 5);
}

Test(hostile, same_id_twice)
{
	send_frame(FRAME_REQUEST, M_LATER, 5, NULL, 0);
	send_frame(FRAME_REQUEST, M_LATER, 5, NULL, 0);
	assert_dropped(-EPROTO);
	cr_assert_eq(side.nheld, 1);
}

Test(hostile, more_requests_than_may_wait)
{
	for (uint64_t id = 1; id <= RPC_QUEUE_MAX; id++) {
		send_frame(FRAME_REQUEST, M_LATER, id, NULL, 0);
		fixture_settle(loop);
	}
	cr_assert_eq(side.closed, 0);
	send_frame(FRAME_REQUEST, M_LATER, RPC_QUEUE_MAX + 1, NULL, 0);
	assert_dropped(-EPROTO);
	cr_assert_eq(side.nheld, RPC_QUEUE_MAX);
}

/* ---- notifications: refused ones have nobody to be told, so they end the connection ---- */

Test(hostile, unknown_notification)
{
	send_frame(FRAME_NOTIFY, M_UNKNOWN, 0, NULL, 0);
	assert_dropped(-EPROTO);
}

Test(hostile, request_sent_as_notification)
{
	send_frame(FRAME_NOTIFY, M_LATER, 0, NULL, 0);
	assert_dropped(-EPROTO);
	cr_assert_eq(side.nheld, 0);
}

Test(hostile, undecodable_notification)
{
	send_frame(FRAME_NOTIFY, M_NOTE, 0, "\377", 1);
	assert_dropped(-EPROTO);
}

/* ---- replies ---- */

static void request(struct outcome *outcome)
{
	struct frame frame;

	cr_assert_eq(rpc_request(side.conn, 1, &empty.base, EMPTY, NULL, 0, 0, on_outcome, outcome), 0);
	cr_assert_eq(raw_receive(raw, &frame), 0);
	cr_assert_eq(frame.kind, FRAME_REQUEST);
	cr_assert_eq(frame.id, 1);
}

Test(hostile, reply_to_nothing)
{
	int fd = 0;

	raw_send(raw, buf, raw_frame(buf, FRAME_REPLY, 0, 1, NULL, 0, 1), &fd, 1);
	assert_dropped(-EPROTO);
}

Test(hostile, error_for_nothing)
{
	send_frame(FRAME_ERROR, 0, 1, "\377\377\377\377", 4);
	assert_dropped(-EPROTO);
}

Test(hostile, two_replies)
{
	struct outcome outcome = {0};

	request(&outcome);
	send_frame(FRAME_REPLY, 0, 1, NULL, 0);
	send_frame(FRAME_REPLY, 0, 1, NULL, 0);
	assert_dropped(-EPROTO);
	cr_assert_eq(outcome.count, 1);
	cr_assert_eq(outcome.error, 0);
}

Test(hostile, undecodable_reply)
{
	struct outcome outcome = {0};

	request(&outcome);
	send_frame(FRAME_REPLY, 0, 1, "\377", 1);
	assert_dropped(-EPROTO);
	cr_assert_eq(outcome.count, 1);
	cr_assert_eq(outcome.error, -EPROTO);
}

Test(hostile, malformed_error)
{
	struct outcome outcome = {0};

	request(&outcome);
	send_frame(FRAME_ERROR, 0, 1, "\1\0\0\0", 4);
	assert_dropped(-EPROTO);
	cr_assert_eq(outcome.error, -ECONNRESET);
}

Test(hostile, error_text_is_cleaned)
{
	struct outcome outcome = {0};

	request(&outcome);
	send_frame(FRAME_ERROR, 0, 1, "\376\377\377\377a\nb\377", 8);
	fixture_settle(loop);
	cr_assert_eq(outcome.error, -2);
	cr_assert_str_eq(outcome.text, "a?b?");
}

Test(hostile, descriptors_of_a_reply_that_nobody_takes)
{
	struct outcome outcome = {0};
	int fds[3] = {0, 1, 2};

	request(&outcome);
	raw_send(raw, buf, raw_frame(buf, FRAME_REPLY, 0, 1, NULL, 0, 3), fds, 3);
	fixture_settle(loop);
	cr_assert_eq(outcome.nfds, 3);
	close(outcome.fd); /* the one that was taken */
}

Test(hostile, goodbye_fails_our_calls_with_its_reason)
{
	struct outcome outcome = {0};

	request(&outcome);
	send_frame(FRAME_GOODBYE, 0, 0, "\271\377\377\377nonsense", 12);
	fixture_settle(loop);
	cr_assert_eq(outcome.error, -EPROTO);
	cr_assert_str_eq(outcome.text, "dropped by the peer: nonsense");
	cr_assert_eq(side.error, -EPROTO);
}

/* ---- a peer that does not read ---- */

Test(hostile, slow_peer_is_dropped_in_the_end)
{
	static uint8_t payload[RPC_MSG_MAX / 2];
	ProtobufCMessageUnknownField field = {
		.tag = 15, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .data = payload, .len = sizeof(payload)};
	Bulkhead__Empty big = BULKHEAD__EMPTY__INIT;
	int fd = 0, r = 0;
	unsigned int n = 0;

	big.base.n_unknown_fields = 1;
	big.base.unknown_fields = &field;
	while (n < 1000 && (r = rpc_notify(side.conn, M_NOTE, &big.base, &fd, 1)) == 0)
		n++;
	cr_assert_eq(r, -ENOBUFS);
	cr_assert_geq(n, RPC_QUEUE_MAX);
	cr_assert_eq(side.closed, 0, "not inside the call");
	fixture_settle(loop);
	cr_assert_eq(side.closed, 1);
	cr_assert_eq(side.error, -ENOBUFS);
}

Test(hostile, slow_peer_that_reads_in_the_end)
{
	struct outcome outcome = {0};
	struct frame frame;
	unsigned int sent = 0, received = 0;

	/* Fill the socket; the rest waits, with descriptors. */
	while (side.conn->queue_len < 10) {
		int fd = 0;

		cr_assert_eq(rpc_notify(side.conn, ++sent, &empty.base, &fd, 1), 0);
	}
	for (int i = 0; i < 1000 && received < sent; i++) {
		fixture_settle(loop);
		while (raw_receive(raw, &frame) == 0)
			cr_assert_eq(frame.method, ++received);
	}
	cr_assert_eq(received, sent);
	cr_assert_eq(side.conn->queue_len, 0);
	cr_assert_eq(side.closed, 0);
	cr_assert_eq(outcome.count, 0);
}

Test(hostile, vanishes_while_frames_wait)
{
	struct outcome outcome = {0};

	while (side.conn->queue_len < 10) {
		int fd = 0;

		cr_assert_eq(rpc_notify(side.conn, 1, &empty.base, &fd, 1), 0);
	}
	cr_assert_eq(rpc_request(side.conn, 1, &empty.base, EMPTY, NULL, 0, 0, on_outcome, &outcome), 0);
	close(raw);
	raw = -1;
	fixture_settle(loop);
	cr_assert_eq(outcome.error, -ECONNRESET);
	cr_assert_eq(side.closed, 1);
}

Test(hostile, vanishes_before_we_send)
{
	struct outcome outcome = {0};

	close(raw);
	raw = -1;
	cr_assert_eq(rpc_request(side.conn, 1, &empty.base, EMPTY, NULL, 0, 0, on_outcome, &outcome), -ENOTCONN);
	cr_assert_eq(side.closed, 0);
	fixture_settle(loop);
	cr_assert_eq(side.closed, 1);
	cr_assert_eq(side.error, -ECONNRESET);
	cr_assert_eq(outcome.count, 0);
}
