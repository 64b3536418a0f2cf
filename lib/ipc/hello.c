/* SPDX-License-Identifier: Apache-2.0 */
/* What both sides say first: who they are and whom they want to talk to. */
#include <errno.h>
#include <string.h>

#include "ipc/conn.h"

/* Whether the peer is the service that we want, in the version that we want. */
static bool peer_is_wanted(struct rpc_conn *conn, const struct frame_service *serves)
{
	const struct frame_service *wanted = &conn->wanted;

	if (!*wanted->name || (strcmp(wanted->name, serves->name) == 0 && wanted->version == serves->version))
		return true;
	conn_fail(conn, -EPROTONOSUPPORT,
		  "the peer is \"%s\" version %u, expected is \"%s\" version %u: programs of different releases",
		  serves->name, serves->version, wanted->name, wanted->version);
	return false;
}

/* Whether we are what the peer wants. */
static bool we_are_wanted(struct rpc_conn *conn, const struct frame_service *wants)
{
	const char *name = conn->local ? conn->local->name : "";
	uint32_t version = conn->local ? conn->local->version : 0;

	if (!*wants->name || (strcmp(wants->name, name) == 0 && wants->version == version))
		return true;
	conn_fail(conn, -EPROTONOSUPPORT,
		  "the peer wants \"%s\" version %u, this is \"%s\" version %u: programs of different releases",
		  wants->name, wants->version, name, version);
	return false;
}

void conn_take_hello(struct rpc_conn *conn, const struct frame *frame)
{
	struct frame_hello hello;
	int r = frame_parse_hello(frame->payload, frame->payload_len, &hello);

	if (r == -EPROTONOSUPPORT)
		conn_fail(conn, r, "the peer uses frame version %u, this program %u: programs of different releases",
			  hello.frame_version, FRAME_VERSION);
	else if (r < 0)
		conn_fail(conn, r, "malformed HELLO");
	if (r < 0 || !peer_is_wanted(conn, &hello.serves) || !we_are_wanted(conn, &hello.wants))
		return;
	conn->remote = hello.serves;
	conn->state = CONN_OPEN;
	if (conn->ops && conn->ops->connected)
		conn->ops->connected(conn, conn->arg);
	if (conn_usable(conn))
		conn_flush(conn);
}

int conn_make_hello(struct rpc_conn *conn)
{
	struct frame_hello hello = {.frame_version = FRAME_VERSION, .wants = conn->wanted};
	uint8_t payload[FRAME_HELLO_MAX];
	struct frame frame = {.kind = FRAME_HELLO};
	int r;

	r = frame_service_set(&hello.serves, conn->local ? conn->local->name : NULL,
			      conn->local ? conn->local->version : 0);
	if (r < 0)
		return r;
	frame.payload_len = frame_put_hello(payload, &hello);
	conn->hello = out_frame_new(&frame);
	if (!conn->hello)
		return -ENOMEM;
	memcpy(conn->hello->data + FRAME_HEADER_LEN, payload, frame.payload_len);
	return 0;
}
