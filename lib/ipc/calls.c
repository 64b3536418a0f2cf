/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that we make: sent, remembered until their outcome is known, told to their function exactly once.
 * serve.c has the other half.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "ipc/conn.h"

static struct pending_call *pending_find(struct rpc_conn *conn, uint64_t id)
{
	struct pending_call *pending = conn->pending;

	while (pending && pending->id != id)
		pending = pending->next;
	return pending;
}

static void pending_remove(struct rpc_conn *conn, struct pending_call *pending)
{
	if (pending->prev)
		pending->prev->next = pending->next;
	else
		conn->pending = pending->next;
	if (pending->next)
		pending->next->prev = pending->prev;
	conn->pending_len--;
	free(pending);
}

static struct pending_call *pending_add(struct rpc_conn *conn, const struct pending_call *how, unsigned int deadline_ms)
{
	struct pending_call *pending = malloc(sizeof(*pending));

	if (!pending)
		return NULL;
	*pending = *how;
	pending->id = ++conn->last_id;
	pending->deadline_ns = clock_now_ns() + (deadline_ms ? deadline_ms : RPC_DEADLINE_DEFAULT_MS) * NS_PER_MS;
	pending->prev = NULL;
	pending->next = conn->pending;
	if (pending->next)
		pending->next->prev = pending;
	conn->pending = pending;
	conn->pending_len++;
	return pending;
}

int calls_send(struct rpc_conn *conn, struct frame *frame, const ProtobufCMessage *msg, const int *fds, size_t nfds)
{
	struct out_frame *out;

	frame->payload_len = protobuf_c_message_get_packed_size(msg);
	if (frame->payload_len > RPC_MSG_MAX - FRAME_HEADER_LEN || nfds > RPC_FDS_MAX)
		return -EMSGSIZE;
	frame->nfds = (unsigned int)nfds;
	out = out_frame_new(frame);
	if (!out)
		return -ENOMEM;
	protobuf_c_message_pack(msg, out->data + FRAME_HEADER_LEN);
	return conn_send(conn, out, fds);
}

int calls_request(struct rpc_conn *conn, uint32_t method, const ProtobufCMessage *msg, const int *fds, size_t nfds,
		  const struct pending_call *how, unsigned int deadline_ms, uint64_t *ret_id)
{
	struct frame frame = {.kind = FRAME_REQUEST, .method = method};
	struct pending_call *pending;
	int r;

	assert(method);
	if (!conn_usable(conn))
		return -ENOTCONN;
	if (conn->pending_len >= RPC_QUEUE_MAX)
		return -ENOBUFS;
	pending = pending_add(conn, how, deadline_ms);
	if (!pending)
		return -ENOMEM;
	frame.id = pending->id;
	r = calls_send(conn, &frame, msg, fds, nfds);
	if (r < 0) {
		pending_remove(conn, pending);
		return r;
	}
	conn_arm(conn);
	if (ret_id)
		*ret_id = frame.id;
	return 0;
}

int rpc_request(struct rpc_conn *conn, uint32_t method, const ProtobufCMessage *msg,
		const ProtobufCMessageDescriptor *reply, const int *fds, size_t nfds, unsigned int deadline_ms,
		rpc_reply_fn fn, void *arg)
{
	struct pending_call how = {.reply = reply, .fn = fn, .arg = arg};

	assert(reply && fn);
	return calls_request(conn, method, msg, fds, nfds, &how, deadline_ms, NULL);
}

int rpc_notify(struct rpc_conn *conn, uint32_t method, const ProtobufCMessage *msg, const int *fds, size_t nfds)
{
	struct frame frame = {.kind = FRAME_NOTIFY, .method = method};

	assert(method);
	return calls_send(conn, &frame, msg, fds, nfds);
}

void calls_abandon(struct rpc_conn *conn, uint64_t id)
{
	struct pending_call *pending = pending_find(conn, id);

	if (pending)
		pending->fn = NULL;
}

void calls_take_reply(struct rpc_conn *conn, const struct frame *frame, int *fds)
{
	struct pending_call *found = pending_find(conn, frame->id), pending;
	ProtobufCMessage *msg;

	if (!found) {
		conn_fail(conn, -EPROTO, "a reply to a request that was never made");
		return;
	}
	pending = *found;
	pending_remove(conn, found);
	if (!pending.fn)
		return;
	msg = protobuf_c_message_unpack(pending.reply, NULL, frame->payload_len, frame->payload);
	if (!msg) {
		pending.fn(-EPROTO, "the peer's reply cannot be decoded", NULL, NULL, 0, pending.arg);
		conn_fail(conn, -EPROTO, "a reply that is no %s", pending.reply->name);
		return;
	}
	pending.fn(0, "", msg, fds, frame->nfds, pending.arg);
	if (!pending.keep_msg)
		protobuf_c_message_free_unpacked(msg, NULL);
}

void calls_take_error(struct rpc_conn *conn, const struct frame *frame)
{
	struct pending_call *found = pending_find(conn, frame->id), pending;
	struct err err;

	if (!found || frame_parse_error(frame->payload, frame->payload_len, &err) < 0) {
		conn_fail(conn, -EPROTO, found ? "a malformed error" : "an error for a request that was never made");
		return;
	}
	pending = *found;
	pending_remove(conn, found);
	if (pending.fn)
		pending.fn(err.code, err.text, NULL, NULL, 0, pending.arg);
}

uint64_t calls_next_deadline(const struct rpc_conn *conn)
{
	uint64_t at = UINT64_MAX;

	for (const struct pending_call *pending = conn->pending; pending; pending = pending->next) {
		if (pending->fn)
			at = MIN(at, pending->deadline_ns);
	}
	return at;
}

static struct pending_call *find_expired(struct rpc_conn *conn, uint64_t now_ns)
{
	struct pending_call *pending = conn->pending;

	while (pending && (!pending->fn || pending->deadline_ns > now_ns))
		pending = pending->next;
	return pending;
}

void calls_expire(struct rpc_conn *conn, uint64_t now_ns)
{
	struct pending_call *pending;

	/* From the start each time: the function may have changed the list. */
	while (conn_usable(conn) && (pending = find_expired(conn, now_ns))) {
		rpc_reply_fn fn = pending->fn;

		pending->fn = NULL;
		fn(-ETIMEDOUT, "the peer did not answer in time", NULL, NULL, 0, pending->arg);
	}
}

void calls_fail_all(struct rpc_conn *conn, int error, const char *why)
{
	while (conn->pending) {
		struct pending_call pending = *conn->pending;

		pending_remove(conn, conn->pending);
		if (pending.fn)
			pending.fn(error, why, NULL, NULL, 0, pending.arg);
	}
}
