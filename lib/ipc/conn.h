/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a connection: shared by the files of lib/ipc (and its tests), nobody else's.
 *
 * Theory of operation: conn.c owns the life of a connection and reads frames, send.c sends them; calls.c has the
 * requests that we make, serve.c those that we answer; server.c listens.
 *
 * A connection waits for the peer's HELLO, is open, and is closed in the end. There is one way to the end: conn_fail()
 * notes the first error and why; the outermost conn_leave() then closes, so that callbacks of ours never run inside a
 * call of the owner's. Each entry from the loop is bracketed by conn_enter() and conn_leave(): the memory of a
 * connection that a callback frees stays until the last of them has left.
 */
#ifndef IPC_CONN_H
#define IPC_CONN_H

#include <stdbool.h>

#include "ipc/frame.h"
#include "ipc/rpc.h"

enum conn_state {
	CONN_HELLO, /* nothing but a HELLO is read; what we want to send waits */
	CONN_OPEN,
	CONN_CLOSED, /* no descriptor, no source, nothing pending: waits for rpc_conn_free() */
};

/* A frame on its way out: header and payload in @data. */
struct out_frame {
	struct out_frame *next;
	size_t len;
	size_t nfds;
	int fds[RPC_FDS_MAX]; /* ours while the frame is queued */
	uint8_t data[];
};

/* A request of ours that has no answer yet. @fn is NULL once its outcome was told (deadline): the late answer is
 * then expected and thrown away. */
struct pending_call {
	struct pending_call *prev, *next;
	uint64_t id;
	uint64_t deadline_ns;
	const ProtobufCMessageDescriptor *reply;
	rpc_reply_fn fn;
	void *arg;
	bool keep_msg; /* @fn takes the message over */
};

/* A request of the peer's that we have not answered. @conn is NULL once the connection is gone. */
struct rpc_call {
	struct rpc_call *prev, *next;
	struct rpc_conn *conn;
	const struct rpc_method *method;
	uint64_t id;
};

struct rpc_conn {
	struct loop *loop;
	int fd;
	struct loop_source *source;
	struct loop_source *timer; /* the nearest of all deadlines; or at once, to close */
	enum conn_state state;
	unsigned int depth; /* conn_enter() without conn_leave() */
	bool freed;	    /* by its owner; the memory goes at depth 0 */
	bool peer_gone;	    /* sending failed; what was received before is still read */
	struct err end;	    /* why it ends; code 0 while it does not */
	bool end_by_peer;   /* the peer said GOODBYE or is gone: no use to tell it */

	const struct rpc_service *local; /* may be NULL */
	struct frame_service wanted;	 /* what the peer must be; "" is anything */
	struct frame_service remote;	 /* what it said it is */
	const struct rpc_conn_ops *ops;	 /* may be NULL */
	void *arg;
	struct rpc_peer peer;
	int pidfd; /* of the peer, ours; or a negative errno: why there is none */
	unsigned int role;
	uint64_t hello_deadline_ns;

	struct out_frame *hello; /* not yet sent */
	struct out_frame *queue, **queue_tail;
	unsigned int queue_len; /* <= RPC_QUEUE_MAX */

	uint64_t last_id;
	struct pending_call *pending;
	unsigned int pending_len; /* <= RPC_QUEUE_MAX */
	struct rpc_call *calls;
	unsigned int calls_len; /* <= RPC_QUEUE_MAX */

	uint8_t in[RPC_MSG_MAX];
};

/* ---- conn.c ---- */

void conn_enter(struct rpc_conn *conn);
void conn_leave(struct rpc_conn *conn);

/** conn_fail - the connection shall end; the first reason counts. */
void conn_fail(struct rpc_conn *conn, int error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** conn_usable - whether frames are read and sent. */
bool conn_usable(const struct rpc_conn *conn);

/** conn_set_hello_deadline - the peer must have said HELLO @delay_ns from now. */
void conn_set_hello_deadline(struct rpc_conn *conn, uint64_t delay_ns);

/** conn_arm - let the timer fire for the nearest deadline. */
void conn_arm(struct rpc_conn *conn);

/* ---- hello.c ---- */

/** conn_make_hello - leave our HELLO in conn->hello. Return: 0, -ENOMEM, or -EINVAL: our service's name is no name. */
int conn_make_hello(struct rpc_conn *conn);

/** conn_take_hello - the peer's HELLO: the connection is open, or it fails. */
void conn_take_hello(struct rpc_conn *conn, const struct frame *frame);

/* ---- send.c ---- */

/** out_frame_new - a frame with room for frame->payload_len bytes of payload behind its header. NULL: no memory. */
struct out_frame *out_frame_new(const struct frame *frame);
void out_frame_free(struct out_frame *out);

/**
 * conn_send - send or queue @out, which it takes over.
 * @fds: as many as the header says; they stay the caller's.
 * Return: 0; -ENOTCONN; -ENOBUFS (queue full: the connection ends); what sendmsg or dup say.
 */
int conn_send(struct rpc_conn *conn, struct out_frame *out, const int *fds);

/** conn_flush - send what waits, as far as the socket takes it and the state allows it. */
void conn_flush(struct rpc_conn *conn);

/** conn_drop_queue - forget what waits. */
void conn_drop_queue(struct rpc_conn *conn);

/** conn_say_goodbye - tell the peer why, if the socket takes it. */
void conn_say_goodbye(int fd, const struct err *err);

/* ---- calls.c: requests of ours ---- */

/**
 * calls_send - pack @msg behind the header @frame and send it.
 * Return: as conn_send(); -EMSGSIZE: too many bytes or descriptors for a frame.
 */
int calls_send(struct rpc_conn *conn, struct frame *frame, const ProtobufCMessage *msg, const int *fds, size_t nfds);

/** calls_request - rpc_request(); @how has the reply's type and what to do with it. @ret_id may be NULL. */
int calls_request(struct rpc_conn *conn, uint32_t method, const ProtobufCMessage *msg, const int *fds, size_t nfds,
		  const struct pending_call *how, unsigned int deadline_ms, uint64_t *ret_id);

/** calls_abandon - the outcome of request @id is not wanted any more: its function will not be called. */
void calls_abandon(struct rpc_conn *conn, uint64_t id);

/** calls_take_reply, calls_take_error - a request has its answer; descriptors that are not taken are the caller's. */
void calls_take_reply(struct rpc_conn *conn, const struct frame *frame, int *fds);
void calls_take_error(struct rpc_conn *conn, const struct frame *frame);

/** calls_expire - tell the calls whose deadline has passed. */
void calls_expire(struct rpc_conn *conn, uint64_t now_ns);

/** calls_next_deadline - UINT64_MAX if there is none. */
uint64_t calls_next_deadline(const struct rpc_conn *conn);

/** calls_fail_all - fail what is pending. */
void calls_fail_all(struct rpc_conn *conn, int error, const char *why);

/* ---- serve.c: requests and notifications of the peer ---- */

/** serve_frame - check, decode and handle one; descriptors that are not taken are the caller's. */
void serve_frame(struct rpc_conn *conn, const struct frame *frame, int *fds);

/** serve_let_go - the connection is gone: the peer's requests will be answered to nobody. */
void serve_let_go(struct rpc_conn *conn);

/* ---- address.c ---- */

struct sockaddr_un;

/**
 * address_from_path - a socket address for @path, which may be longer than sun_path.
 * @ret_dir_fd: the folder, O_PATH; the caller's, open as long as the address is used.
 * @ret_name:   the last component, in @path.
 */
int address_from_path(const char *path, struct sockaddr_un *ret_address, int *ret_dir_fd, const char **ret_name);

#endif
