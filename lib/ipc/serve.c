/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and notifications of the peer: checked against the table of what we serve, decoded, handled, answered.
 *
 * A request that fails a check gets an error and the connection goes on; for a notification there is nobody to tell,
 * and peers of the same version do not send such, so the connection ends.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/conn.h"

static void call_unlink(struct rpc_call *call)
{
	struct rpc_conn *conn = call->conn;

	if (!conn)
		return;
	if (call->prev)
		call->prev->next = call->next;
	else
		conn->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	conn->calls_len--;
	call->conn = NULL;
}

static struct rpc_call *call_new(struct rpc_conn *conn, uint64_t id, const struct rpc_method *method)
{
	struct rpc_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->conn = conn;
	call->id = id;
	call->method = method;
	call->next = conn->calls;
	if (call->next)
		call->next->prev = call;
	conn->calls = call;
	conn->calls_len++;
	return call;
}

static bool id_in_use(const struct rpc_conn *conn, uint64_t id)
{
	const struct rpc_call *call = conn->calls;

	while (call && call->id != id)
		call = call->next;
	return call;
}

static const struct rpc_method *find_method(const struct rpc_conn *conn, uint32_t id)
{
	const struct rpc_method *method = conn->local ? conn->local->methods : NULL;

	for (; method && method->name; method++) {
		if (method->id == id)
			return method;
	}
	return NULL;
}

/* Everything that can be said without decoding. */
static int check(const struct rpc_conn *conn, const struct frame *frame, struct err *err)
{
	const struct rpc_method *method = find_method(conn, frame->method);

	if (!method)
		return err_set(err, -ENOSYS, "method %u does not exist", frame->method);
	if (!method->reply != (frame->kind == FRAME_NOTIFY))
		return err_set(err, -EINVAL, "%s is a %s", method->name, method->reply ? "request" : "notification");
	if (method->role != RPC_ROLE_ANY && !(method->role & conn->role))
		return err_set(err, -EPERM, "%s: not permitted to this peer", method->name);
	if (frame->nfds < method->fds_min || frame->nfds > method->fds_max)
		return err_set(err, -EINVAL, "%s: %u descriptors, expected are %u to %u", method->name, frame->nfds,
			       method->fds_min, method->fds_max);
	return 0;
}

static void send_error(struct rpc_conn *conn, uint64_t id, const struct err *err)
{
	uint8_t payload[FRAME_ERROR_MAX];
	struct frame frame = {.kind = FRAME_ERROR, .id = id, .payload_len = frame_put_error(payload, err)};
	struct out_frame *out = out_frame_new(&frame);
	int r = -ENOMEM;

	if (out) {
		memcpy(out->data + FRAME_HEADER_LEN, payload, frame.payload_len);
		r = conn_send(conn, out, NULL);
	}
	/* A peer that waits for an answer that will not come is worse off than one that sees us gone. */
	if (r < 0 && r != -ENOTCONN)
		conn_fail(conn, r, "cannot answer");
}

/* Tell the peer of @err: its request failed, or it sent a notification that it should not have sent. */
static void refuse(struct rpc_conn *conn, const struct frame *frame, const struct err *err)
{
	if (frame->kind == FRAME_REQUEST)
		send_error(conn, frame->id, err);
	else
		conn_fail(conn, -EPROTO, "notification refused: %s", err->text);
}

void serve_frame(struct rpc_conn *conn, const struct frame *frame, int *fds)
{
	const struct rpc_method *method = find_method(conn, frame->method);
	struct rpc_call *call = NULL;
	ProtobufCMessage *msg;
	struct err err;

	if (frame->kind == FRAME_REQUEST && (conn->calls_len >= RPC_QUEUE_MAX || id_in_use(conn, frame->id))) {
		conn_fail(conn, -EPROTO, "request %llu, while %u are not answered", (unsigned long long)frame->id,
			  conn->calls_len);
		return;
	}
	if (check(conn, frame, &err) < 0) {
		refuse(conn, frame, &err);
		return;
	}
	msg = protobuf_c_message_unpack(method->request, NULL, frame->payload_len, frame->payload);
	if (!msg) {
		err_set(&err, -EBADMSG, "%s: the request is no %s", method->name, method->request->name);
		refuse(conn, frame, &err);
		return;
	}
	if (frame->kind == FRAME_REQUEST)
		call = call_new(conn, frame->id, method);
	if (frame->kind == FRAME_REQUEST && !call) {
		err_set(&err, -ENOMEM, "%s: no memory", method->name);
		refuse(conn, frame, &err);
	} else {
		method->handler(conn, call, msg, fds, frame->nfds, conn->arg);
	}
	protobuf_c_message_free_unpacked(msg, NULL);
}

/* The call has its answer. Return: its connection, NULL if that is gone. */
static struct rpc_conn *call_finish(struct rpc_call *call)
{
	struct rpc_conn *conn = call->conn;

	call_unlink(call);
	free(call);
	return conn;
}

void rpc_reply(struct rpc_call *call, const ProtobufCMessage *msg, const int *fds, size_t nfds)
{
	struct frame frame = {.kind = FRAME_REPLY, .id = call->id};
	const struct rpc_method *method = call->method;
	struct rpc_conn *conn = call_finish(call);
	struct err err;
	int r;

	assert(msg->descriptor == method->reply);
	if (!conn)
		return;
	r = calls_send(conn, &frame, msg, fds, nfds);
	if (r < 0 && conn_usable(conn) && r != -ENOTCONN) {
		err_set(&err, r, "%s: the reply cannot be sent: %s", method->name, strerrordesc_np(-r));
		send_error(conn, frame.id, &err);
	}
}

void rpc_fail(struct rpc_call *call, int error, const char *fmt, ...)
{
	uint64_t id = call->id;
	struct rpc_conn *conn = call_finish(call);
	char text[ERR_TEXT_MAX];
	struct err err;
	va_list ap;

	if (!conn)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(&err, error, "%s", text);
	send_error(conn, id, &err);
}

void serve_let_go(struct rpc_conn *conn)
{
	while (conn->calls)
		call_unlink(conn->calls);
}
