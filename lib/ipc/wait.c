/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "ipc/conn.h"

/* What rpc_call_wait() waits for. */
struct waiter {
	bool done;
	struct err err;
	ProtobufCMessage *msg;
	int *fds; /* the caller's array of @nfds places, may be NULL */
	size_t nfds;
};

static void on_outcome(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	struct waiter *waiter = arg;

	waiter->done = true;
	if (error) {
		err_set(&waiter->err, error, "%s", text);
		return;
	}
	waiter->msg = (ProtobufCMessage *)msg; /* ours: keep_msg */
	if (!waiter->fds)
		return;
	if (nfds > waiter->nfds) {
		err_set(&waiter->err, -EPROTO, "the reply has %zu descriptors, at most %zu were expected", nfds,
			waiter->nfds);
		return;
	}
	for (size_t i = 0; i < nfds; i++)
		waiter->fds[i] = take_fd(&fds[i]);
	waiter->nfds = nfds;
}

/* Run the loop until the outcome of request @id is known. */
static void wait_for(struct rpc_conn *conn, struct waiter *waiter, uint64_t id)
{
	struct loop *loop = conn->loop;

	while (!waiter->done) {
		int r = loop_stopping(loop) ? -ECANCELED : loop_run_once(loop, true);

		if (r < 0 && !waiter->done) {
			calls_abandon(conn, id);
			err_set(&waiter->err, r, "stopped while it waited for an answer");
			return;
		}
	}
}

int rpc_call_wait(struct rpc_conn *conn, uint32_t method, const ProtobufCMessage *msg,
		  const ProtobufCMessageDescriptor *reply, const int *fds, size_t nfds, unsigned int deadline_ms,
		  struct err *err, ProtobufCMessage **ret_msg, int *ret_fds, size_t *inout_nfds)
{
	struct waiter waiter = {.fds = ret_fds, .nfds = ret_fds && inout_nfds ? *inout_nfds : 0};
	struct pending_call how = {.reply = reply, .fn = on_outcome, .arg = &waiter, .keep_msg = true};
	uint64_t id;
	int r = calls_request(conn, method, msg, fds, nfds, &how, deadline_ms, &id);

	if (r < 0)
		return err_set(err, r, "cannot send the request: %s", strerrordesc_np(-r));
	wait_for(conn, &waiter, id);
	if (waiter.err.code) {
		if (waiter.msg)
			protobuf_c_message_free_unpacked(waiter.msg, NULL);
		return err_set(err, waiter.err.code, "%s", waiter.err.text);
	}
	if (ret_msg)
		*ret_msg = waiter.msg;
	else
		protobuf_c_message_free_unpacked(waiter.msg, NULL);
	if (inout_nfds)
		*inout_nfds = waiter.nfds;
	return 0;
}
