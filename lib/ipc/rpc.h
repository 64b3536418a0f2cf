/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RPC between our processes: protobuf-c messages over SOCK_SEQPACKET UNIX sockets, one frame a
 * packet, descriptors by SCM_RIGHTS.
 *
 * Theory of operation: a connection is symmetric. Either side may call methods of the other; each side has a table of
 * the methods it serves. Both send a HELLO first (frame version; name and version of the service that the sender
 * serves, and of the one that it wants); nothing else is read before it, and a peer of another version is told so in a
 * clear error and dropped. A frame is checked for size, kind, method, descriptor count and permission before it is
 * decoded, and decoded before the handler runs. A peer that sends nonsense is dropped and told why (GOODBYE): its own
 * calls fail with -EPROTO, calls to it that are pending fail with -ECONNRESET; nothing else happens to us.
 *
 * A request that is refused gets an error and the connection goes on: -ENOSYS (no such method), -EPERM (role), -EINVAL
 * (descriptor count, or the method is a notification), -EBADMSG (not decodable). A notification that is refused, a
 * reply to a request that was never made, or a malformed frame ends the connection.
 *
 * Limits: RPC_MSG_MAX bytes (with the header) and RPC_FDS_MAX descriptors a frame; RPC_QUEUE_MAX frames wait for a slow
 * peer, after which it is dropped (-ENOBUFS); RPC_QUEUE_MAX requests in each direction without an answer; HELLO within
 * RPC_DEADLINE_DEFAULT_MS.
 */
#ifndef IPC_RPC_H
#define IPC_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "ipc/loop.h"

#define RPC_MSG_MAX		(128u * 1024u)
#define RPC_FDS_MAX		240u /* Linux takes 253 in one message */
#define RPC_QUEUE_MAX		256u
#define RPC_DEADLINE_DEFAULT_MS 10000u

struct rpc_conn;
struct rpc_call;

/* A method that a side serves. Tables end with a row whose name is NULL. */
struct rpc_method {
	uint32_t id; /* number on the wire, unique in the table, never reused */
	const char *name;
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *reply; /* NULL: a notification, which has no reply */
	unsigned int fds_min, fds_max;		 /* descriptors that must come with the request */
	unsigned int role; /* who may call: RPC_ROLE_ANY or a mask of roles, see rpc_conn_set_role() */
	/*
	 * @msg: decoded request, valid during the call; @fds: @nfds descriptors, owned by the RPC
	 * layer, which closes what is left (not -1) after the handler returns: take_fd() what you keep.
	 * @call: NULL for notifications; else exactly one rpc_reply() or rpc_fail() must follow, now or later, even if
	 * the connection is gone by then (they only free it).
	 * @arg: the connection's.
	 */
	void (*handler)(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			size_t nfds, void *arg);
};

#define RPC_ROLE_ANY 0u

/* A service as one side serves it. Constant. */
struct rpc_service {
	const char *name; /* "worker" */
	uint32_t version; /* raised with each incompatible change */
	const struct rpc_method *methods;
};

/* What the owner of a connection is told. Constant. */
struct rpc_conn_ops {
	void (*connected)(struct rpc_conn *conn, void *arg); /* HELLO exchanged; may be NULL */
	/*
	 * The connection is gone: @error is -ECONNRESET (peer went away), -EPROTO (nonsense), -EPROTONOSUPPORT (another
	 * version), -ETIMEDOUT (no HELLO), -ENOBUFS (it does not read), or what the peer gave as its reason to drop us
	 * (-EPERM: our user may not use the socket) ...; @why is one line. Pending calls have been failed before. The
	 * callback must rpc_conn_free() it. Runs from the loop only, never inside a call of the owner's.
	 */
	void (*closed)(struct rpc_conn *conn, int error, const char *why, void *arg);
};

struct rpc_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* ---- connections ---- */

/* what rpc_conn_connect() needs in a sandbox. */
extern const struct syscall_list rpc_connect_calls;

/**
 * rpc_conn_connect - connect to a listening socket.
 * @path:    socket path; longer than sun_path is reached through /proc/self/fd.
 * @service: what the peer must be ("worker" and its version); the methods that *we* serve on this connection
 *           are in @local (may be NULL: we serve none).
 * @ops:     may be NULL (then its owner learns of the end by failing calls).
 * Return: 0 and *@ret_conn (owned by the caller), -ENOENT or -ECONNREFUSED if nobody listens, -EAGAIN if too many are
 * waiting to be accepted, ...
 * Context: the loop's thread, as all functions here.
 */
int rpc_conn_connect(struct loop *loop, const char *path, const char *service, uint32_t version,
		     const struct rpc_service *local, const struct rpc_conn_ops *ops, void *arg,
		     struct rpc_conn **ret_conn);

/** rpc_conn_adopt - the same over a connected SOCK_SEQPACKET descriptor, which it takes over (on failure it is closed).
 * @service may be NULL: the peer may be anything, see rpc_conn_remote(). For tests and servers. */
int rpc_conn_adopt(struct loop *loop, int fd, const char *service, uint32_t version, const struct rpc_service *local,
		   const struct rpc_conn_ops *ops, void *arg, struct rpc_conn **ret_conn);

/** rpc_conn_free - close; pending calls fail with -ECANCELED (callbacks run inside); unanswered calls of the peer are
 * dropped (a later rpc_reply() to them is harmless). NULL is allowed. */
void rpc_conn_free(struct rpc_conn *conn);

void rpc_conn_set_arg(struct rpc_conn *conn, void *arg);
void *rpc_conn_arg(const struct rpc_conn *conn);
/** rpc_conn_set_role - what the peer is, for the permission column; RPC_ROLE_ANY at first. */
void rpc_conn_set_role(struct rpc_conn *conn, unsigned int role);
unsigned int rpc_conn_role(const struct rpc_conn *conn);
/** rpc_conn_remote - name of the service that the peer serves on this connection, "" if none or before its HELLO.
 * @ret_version: of that service; may be NULL. A server that calls its clients checks both in connected(). */
const char *rpc_conn_remote(const struct rpc_conn *conn, uint32_t *ret_version);
/** rpc_conn_usable - whether the peer can still be reached: false while its end makes pending calls fail, which tells
 * such a failure from an answer. */
bool rpc_conn_usable(const struct rpc_conn *conn);
/** rpc_conn_peer - SO_PEERCRED of the other side: the process that has connected, which may have ended since. */
const struct rpc_peer *rpc_conn_peer(const struct rpc_conn *conn);
/** rpc_conn_pidfd - of that process, on a connection that a server has accepted. Never of another one that has its
 * number by now, but for this: where the kernel lacks SO_PEERPIDFD (before 6.5) it is taken by its number when the
 * connection is accepted. Return: a descriptor that stays the connection's; -ESRCH (it had ended before it was
 * accepted); -EBADF (not accepted by a server); what the kernel refused. */
int rpc_conn_pidfd(const struct rpc_conn *conn);

/* ---- calling ---- */

/**
 * rpc_reply_fn - the outcome of a call, exactly once.
 * @error: 0, the peer's negative errno, or -ETIMEDOUT, -ECONNRESET, -ECANCELED, -EPROTO, -EPROTONOSUPPORT.
 * @text:  the peer's line for a person, "" if none.
 * @msg:   decoded reply, NULL on error; @fds as in handlers.
 */
typedef void (*rpc_reply_fn)(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds,
			     void *arg);

/**
 * rpc_request - call a method of the peer.
 * @reply:       descriptor of the expected reply type.
 * @fds:         @nfds descriptors to pass; they stay the caller's (duplicated by the kernel).
 * @deadline_ms: 0 means RPC_DEADLINE_DEFAULT_MS.
 * Return: 0 and @fn will be called later (never from inside); or a negative errno and it will not (-EMSGSIZE, -ENOBUFS,
 * -ENOTCONN, -ENOMEM, -EMFILE). May be called before the HELLO exchange ended: the frame waits.
 */
int rpc_request(struct rpc_conn *conn, uint32_t method, const ProtobufCMessage *msg,
		const ProtobufCMessageDescriptor *reply, const int *fds, size_t nfds, unsigned int deadline_ms,
		rpc_reply_fn fn, void *arg);

/** rpc_notify - send a notification. Return: 0 or a negative errno. */
int rpc_notify(struct rpc_conn *conn, uint32_t method, const ProtobufCMessage *msg, const int *fds, size_t nfds);

/** rpc_call_wait - rpc_request() and run the loop until its outcome. For start-up sequences and command-line tools
 * only: other sources are dispatched meanwhile. @ret_msg (protobuf_c_message_free_unpacked) and @ret_fds (close them)
 * may be NULL.
 * @inout_nfds: places in @ret_fds, then how many were filled; NULL if @ret_fds is. More descriptors than places:
 * -EPROTO. Return: 0; as rpc_request() and rpc_reply_fn; -ECANCELED after loop_stop(); -EBUSY inside a callback of the
 * loop. Always with a line in @err. */
int rpc_call_wait(struct rpc_conn *conn, uint32_t method, const ProtobufCMessage *msg,
		  const ProtobufCMessageDescriptor *reply, const int *fds, size_t nfds, unsigned int deadline_ms,
		  struct err *err, ProtobufCMessage **ret_msg, int *ret_fds, size_t *inout_nfds);

/* ---- answering ---- */

/** rpc_reply - answer; @call is gone afterwards. @fds stay the caller's. A reply that cannot be sent (too large)
 * reaches the peer as an error. */
void rpc_reply(struct rpc_call *call, const ProtobufCMessage *msg, const int *fds, size_t nfds);

/** rpc_fail - answer with an error: negative errno and one line for a person. @call is gone afterwards. */
void rpc_fail(struct rpc_call *call, int error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- listening ---- */

struct rpc_server;

/* what rpc_server_new() needs in a sandbox, and its end. */
extern const struct syscall_list rpc_server_calls;

/**
 * rpc_server_new - listen on @path (made with mode 0600; an old socket file is replaced).
 * @allowed_uid: peers of another uid (but root) are refused after SO_PEERCRED.
 * @accepted:    a new connection, owned by the callee from then on; give it its argument with rpc_conn_set_arg(), until
 *               then it is @arg.
 * Return: 0; -EEXIST if @path is there and no socket; another negative errno.
 */
int rpc_server_new(struct loop *loop, const char *path, uid_t allowed_uid, const struct rpc_service *service,
		   const struct rpc_conn_ops *ops, void (*accepted)(struct rpc_conn *conn, void *arg), void *arg,
		   struct rpc_server **ret_server);

/** rpc_server_free - stop listening and remove the socket file; connections stay. NULL is allowed. */
void rpc_server_free(struct rpc_server *server);

#endif
