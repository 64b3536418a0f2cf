/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_worker.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "ipc/rpc.h"
#include "proto/methods.h"
#include "proto/types.pb-c.h"
#include "proto/worker.pb-c.h"
#include "rpc_int.h"

static void tell_state(struct rpc_call *call)
{
	Bulkhead__Worker__StateReply reply = BULKHEAD__WORKER__STATE_REPLY__INIT;
	Bulkhead__Worker__Service service = BULKHEAD__WORKER__SERVICE__INIT, *services[] = {&service};

	service.name = (char *)"network";
	service.state = BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_SERVING;
	reply.state = BULKHEAD__WORKER__STATE__STATE_RUNNING;
	reply.n_services = 1;
	reply.services = services;
	rpc_reply(call, &reply.base, NULL, 0);
}

static void handle_subscribe(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			     size_t nfds, void *arg)
{
	struct fake_worker *worker = arg;

	if (worker->holds)
		worker->held[0] = call;
	else
		tell_state(call);
}

static void tell_provider(struct rpc_call *call, const struct fake_worker *worker)
{
	Bulkhead__Worker__Provider reply = BULKHEAD__WORKER__PROVIDER__INIT;

	reply.name = (char *)"network";
	reply.config = (ProtobufCBinaryData){worker->len, worker->config};
	rpc_reply(call, &reply.base, NULL, 0);
}

static void handle_get_provider(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
				size_t nfds, void *arg)
{
	struct fake_worker *worker = arg;

	bool refuses = worker->refuses & 1;

	if (worker->holds) {
		worker->held[1] = call;
		return;
	}
	worker->refuses >>= 1;
	if (refuses)
		rpc_fail(call, worker->refuses_with ? worker->refuses_with : -ENOMEM, "there is no memory to tell");
	else
		tell_provider(call, worker);
}

static void handle_change(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			  size_t nfds, void *arg)
{
	const Bulkhead__Worker__ChangeRequest *req = (const Bulkhead__Worker__ChangeRequest *)msg;
	struct fake_worker *worker = arg;

	cr_assert_null(worker->change, "one at a time");
	worker->change = call;
	worker->changes++;
	worker->len_of = req->config.len;
	worker->config_of = malloc(req->config.len + 1);
	memcpy(worker->config_of, req->config.data, req->config.len);
}

static const struct rpc_method methods[] = {
	{WORKER_SUBSCRIBE, "Subscribe", &bulkhead__empty__descriptor, &bulkhead__worker__state_reply__descriptor, 0, 0,
	 RPC_ROLE_ANY, handle_subscribe},
	{WORKER_CHANGE, "Change", &bulkhead__worker__change_request__descriptor, &bulkhead__empty__descriptor, 0,
	 VSP_CHANGE_FDS_MAX, RPC_ROLE_ANY, handle_change},
	{WORKER_GET_PROVIDER, "GetProvider", &bulkhead__worker__provider_request__descriptor,
	 &bulkhead__worker__provider__descriptor, 0, 0, RPC_ROLE_ANY, handle_get_provider},
	{0},
};

static const struct rpc_service service = {
	.name = WORKER_SERVICE, .version = WORKER_SERVICE_VERSION, .methods = methods};

static void on_closed(struct rpc_conn *conn, int error, const char *why, void *arg)
{
	struct fake_worker *worker = arg;

	rpc_conn_free(conn);
	if (worker->conn == conn)
		worker->conn = NULL;
}

static void on_accepted(struct rpc_conn *conn, void *arg)
{
	((struct fake_worker *)arg)->conn = conn;
}

void fake_worker_start(struct fake_worker *worker, struct loop *loop, const char *path)
{
	static const struct rpc_conn_ops ops = {.closed = on_closed};

	*worker = (struct fake_worker){.loop = loop};
	cr_assert_eq(rpc_server_new(loop, path, getuid(), &service, &ops, on_accepted, worker, &worker->server), 0);
}

void fake_worker_stop(struct fake_worker *worker)
{
	rpc_conn_free(worker->conn);
	rpc_server_free(worker->server);
	free(worker->config);
	free(worker->config_of);
}

void fake_worker_go_on(struct fake_worker *worker)
{
	worker->holds = false;
	if (worker->held[0])
		tell_state(take_ptr(worker->held[0]));
	if (worker->held[1])
		tell_provider(take_ptr(worker->held[1]), worker);
}

void fake_worker_hang_up(struct fake_worker *worker)
{
	struct rpc_call *calls[] = {take_ptr(worker->held[0]), take_ptr(worker->held[1]), take_ptr(worker->change)};

	free(take_ptr(worker->config_of));
	rpc_conn_free(take_ptr(worker->conn));
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i])
			rpc_fail(calls[i], -ECANCELED, "nobody hears this");
}

void fake_worker_has(struct fake_worker *worker, const struct domain *domain)
{
	free(worker->config);
	cr_assert_eq(rpc_network_config(domain, &worker->config, &worker->len), 0);
}

void fake_worker_answer(struct fake_worker *worker, int error)
{
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
	struct rpc_call *call = worker->change;

	cr_assert(call);
	worker->change = NULL;
	if (error) {
		free(worker->config_of);
		rpc_fail(call, error, "the worker does not want to");
	} else {
		free(worker->config);
		worker->config = worker->config_of;
		worker->len = worker->len_of;
		rpc_reply(call, &empty.base, NULL, 0);
	}
	worker->config_of = NULL;
}
