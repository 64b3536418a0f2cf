/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "ipc/rpc.h"
#include "proto/methods.h"
#include "proto/types.pb-c.h"
#include "proto/vsp.pb-c.h"

#define OFFER_ID_BASE 100u
#define KEEPSAKES_MAX 4u
#define LENT_MAX      8u

struct fake_worker {
	uint8_t status[VSP_STATUS_MAX]; /* what it was told last */
	size_t status_len;
	struct loop *loop;
	struct fake_guest *guest;
	struct rpc_server *server;
	struct rpc_conn *conn;
	char dir[64], path[96];
	char *name, *vm_name;
	uint8_t *config;
	size_t config_len;
	int fds[RPC_FDS_MAX];
	size_t fd_count;
	struct fake_offer offers[FAKE_WORKER_OFFERS_MAX];
	size_t offer_count;
	uint32_t subchannels;
	bool ready, cautious, was_open, gather;
	uint32_t generation; /* of the next VSP */
	struct {
		char key[32];
		uint8_t data[4096];
		size_t len;
		int fd;
	} keepsakes[KEEPSAKES_MAX];
	size_t keepsake_count;
	struct {
		uint32_t gpadl;
		struct guest_range *ranges;
		size_t count;
	} lent[LENT_MAX];
	bool hold_lends;
	struct {
		struct rpc_call *call;
		uint32_t gpadl;
	} held[LENT_MAX];
	size_t held_count;
};

/* ---- served to the VSP ---- */

static void handle_attach(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			  size_t nfds, void *arg)
{
	const Bulkhead__Vsp__AttachRequest *req = (const Bulkhead__Vsp__AttachRequest *)msg;
	struct fake_worker *worker = arg;
	Bulkhead__Vsp__AttachReply reply = BULKHEAD__VSP__ATTACH_REPLY__INIT;
	Bulkhead__Vsp__MemoryRegion region = BULKHEAD__VSP__MEMORY_REGION__INIT;
	Bulkhead__Vsp__MemoryRegion *regions[] = {&region};
	Bulkhead__Vsp__Keepsake kept[KEEPSAKES_MAX], *list[KEEPSAKES_MAX];
	int out[RPC_FDS_MAX + 2 + KEEPSAKES_MAX] = {worker->guest->mem_fd, worker->guest->cells_fd};

	if (strcmp(req->name, worker->name) != 0) {
		rpc_fail(call, -ENOENT, "no provider %s", req->name);
		return;
	}
	region.len = worker->guest->ram_len;
	reply.n_memory = 1;
	reply.memory = regions;
	reply.cpus = worker->guest->cpus;
	reply.config = (ProtobufCBinaryData){worker->config_len, worker->config};
	reply.fd_count = (uint32_t)worker->fd_count;
	reply.vm_name = worker->vm_name;
	reply.vm_uuid = (char *)"00000000-0000-4000-8000-000000000001";
	reply.generation = worker->generation++;
	reply.cautious = reply.at_fault = worker->cautious;
	memcpy(out + 2, worker->fds, worker->fd_count * sizeof(int));
	reply.keepsakes = list;
	for (; reply.n_keepsakes < worker->keepsake_count; reply.n_keepsakes++) {
		size_t i = reply.n_keepsakes;

		bulkhead__vsp__keepsake__init(&kept[i]);
		kept[i].key = worker->keepsakes[i].key;
		kept[i].data = (ProtobufCBinaryData){worker->keepsakes[i].len, worker->keepsakes[i].data};
		list[i] = &kept[i];
		out[2 + worker->fd_count + i] = worker->keepsakes[i].fd;
	}
	rpc_reply(call, &reply.base, out, worker->fd_count + 2 + worker->keepsake_count);
}

static void handle_offer(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			 size_t nfds, void *arg)
{
	const Bulkhead__Vsp__OfferRequest *req = (const Bulkhead__Vsp__OfferRequest *)msg;
	struct fake_worker *worker = arg;
	Bulkhead__Vsp__OfferReply reply = BULKHEAD__VSP__OFFER_REPLY__INIT;
	struct fake_offer *offer;

	if (worker->offer_count == FAKE_WORKER_OFFERS_MAX || req->interface_guid.len != 16 ||
	    req->instance_guid.len != 16) {
		rpc_fail(call, -EINVAL, "bad offer");
		return;
	}
	/* A successor makes its predecessor's offers again. */
	for (size_t i = 0; i < worker->offer_count; i++) {
		if (memcmp(worker->offers[i].instance_guid.b, req->instance_guid.data, 16) != 0 ||
		    worker->offers[i].subchannel_index != req->subchannel_index)
			continue;
		reply.offer_id = (uint32_t)(OFFER_ID_BASE + i);
		rpc_reply(call, &reply.base, NULL, 0);
		return;
	}
	offer = &worker->offers[worker->offer_count];
	*offer = (struct fake_offer){.flags = req->flags,
				     .subchannel_index = req->subchannel_index,
				     .block_bytes = req->block_bytes,
				     .block_fd = -1};
	memcpy(offer->interface_guid.b, req->interface_guid.data, 16);
	memcpy(offer->instance_guid.b, req->instance_guid.data, 16);
	reply.offer_id = (uint32_t)(OFFER_ID_BASE + worker->offer_count++);
	rpc_reply(call, &reply.base, NULL, 0);
}

static void handle_subchannels(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			       size_t nfds, void *arg)
{
	const Bulkhead__Vsp__SubchannelsRequest *req = (const Bulkhead__Vsp__SubchannelsRequest *)msg;
	struct fake_worker *worker = arg;
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;

	assert(req->offer_id >= OFFER_ID_BASE && req->offer_id < OFFER_ID_BASE + worker->offer_count);
	worker->subchannels = req->count;
	rpc_reply(call, &empty.base, NULL, 0);
}

static void handle_withdraw(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			    size_t nfds, void *arg)
{
	const Bulkhead__Vsp__WithdrawRequest *req = (const Bulkhead__Vsp__WithdrawRequest *)msg;
	struct fake_worker *worker = arg;
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;

	assert(req->offer_id >= OFFER_ID_BASE && req->offer_id < OFFER_ID_BASE + worker->offer_count);
	assert(!worker->offers[req->offer_id - OFFER_ID_BASE].withdrawn);
	worker->offers[req->offer_id - OFFER_ID_BASE].withdrawn = true;
	rpc_reply(call, &empty.base, NULL, 0);
}

static void handle_status(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			  size_t nfds, void *arg)
{
	const Bulkhead__Vsp__StatusRequest *req = (const Bulkhead__Vsp__StatusRequest *)msg;
	struct fake_worker *worker = arg;
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;

	assert(req->status.len <= sizeof(worker->status));
	if (req->status.len > 0)
		memcpy(worker->status, req->status.data, req->status.len);
	worker->status_len = req->status.len;
	rpc_reply(call, &empty.base, NULL, 0);
}

static void handle_ready(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			 size_t nfds, void *arg)
{
	struct fake_worker *worker = arg;
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;

	worker->ready = true;
	rpc_reply(call, &empty.base, NULL, 0);
}

static void handle_keep(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			size_t nfds, void *arg)
{
	const Bulkhead__Vsp__Keepsake *req = ((const Bulkhead__Vsp__KeepRequest *)msg)->keepsake;
	struct fake_worker *worker = arg;
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
	size_t i = 0;

	assert(req && strlen(req->key) < sizeof(worker->keepsakes[0].key));
	assert(req->data.len <= sizeof(worker->keepsakes[0].data));
	while (i < worker->keepsake_count && strcmp(worker->keepsakes[i].key, req->key) != 0)
		i++;
	assert(i < KEEPSAKES_MAX);
	if (i < worker->keepsake_count)
		fd_close(&worker->keepsakes[i].fd);
	else
		worker->keepsake_count++;
	strcpy(worker->keepsakes[i].key, req->key);
	if (req->data.len > 0)
		memcpy(worker->keepsakes[i].data, req->data.data, req->data.len);
	worker->keepsakes[i].len = req->data.len;
	worker->keepsakes[i].fd = take_fd(&fds[0]);
	rpc_reply(call, &empty.base, NULL, 0);
}

static void answer_lend(struct fake_worker *worker, struct rpc_call *call, uint32_t gpadl)
{
	Bulkhead__Vsp__LentReply reply = BULKHEAD__VSP__LENT_REPLY__INIT;
	size_t i = 0, len;
	int fd;

	while (i < LENT_MAX && (!worker->lent[i].ranges || worker->lent[i].gpadl != gpadl))
		i++;
	if (i == LENT_MAX) {
		rpc_fail(call, -ENOENT, "no GPADL %#x", gpadl);
		return;
	}
	len = worker->lent[i].count * sizeof(struct guest_range);
	fd = fd_memfd("fake-lent", len);
	assert(fd >= 0 && fd_write_full(fd, worker->lent[i].ranges, len) == 0);
	reply.ranges = (uint32_t)worker->lent[i].count;
	rpc_reply(call, &reply.base, &fd, 1);
	close(fd);
}

static void handle_lend(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			size_t nfds, void *arg)
{
	const Bulkhead__Vsp__LentRequest *req = (const Bulkhead__Vsp__LentRequest *)msg;
	struct fake_worker *worker = arg;

	assert(req->offer_id >= OFFER_ID_BASE && req->offer_id < OFFER_ID_BASE + worker->offer_count);
	if (!worker->hold_lends) {
		answer_lend(worker, call, req->gpadl);
		return;
	}
	assert(worker->held_count < LENT_MAX);
	worker->held[worker->held_count].call = call;
	worker->held[worker->held_count++].gpadl = req->gpadl;
}

static const struct rpc_method methods[] = {
	{WORKER_VSP_ATTACH, "Attach", &bulkhead__vsp__attach_request__descriptor,
	 &bulkhead__vsp__attach_reply__descriptor, 0, 0, RPC_ROLE_ANY, handle_attach},
	{WORKER_VSP_OFFER, "Offer", &bulkhead__vsp__offer_request__descriptor, &bulkhead__vsp__offer_reply__descriptor,
	 0, 0, RPC_ROLE_ANY, handle_offer},
	{WORKER_VSP_READY, "Ready", &bulkhead__vsp__ready_request__descriptor, &bulkhead__empty__descriptor, 0, 0,
	 RPC_ROLE_ANY, handle_ready},
	{WORKER_VSP_SUBCHANNELS, "Subchannels", &bulkhead__vsp__subchannels_request__descriptor,
	 &bulkhead__empty__descriptor, 0, 0, RPC_ROLE_ANY, handle_subchannels},
	{WORKER_VSP_LEND, "Lend", &bulkhead__vsp__lent_request__descriptor, &bulkhead__vsp__lent_reply__descriptor, 0,
	 0, RPC_ROLE_ANY, handle_lend},
	{WORKER_VSP_WITHDRAW, "Withdraw", &bulkhead__vsp__withdraw_request__descriptor, &bulkhead__empty__descriptor, 0,
	 0, RPC_ROLE_ANY, handle_withdraw},
	{WORKER_VSP_STATUS, "Status", &bulkhead__vsp__status_request__descriptor, &bulkhead__empty__descriptor, 0, 0,
	 RPC_ROLE_ANY, handle_status},
	{WORKER_VSP_KEEP, "Keep", &bulkhead__vsp__keep_request__descriptor, &bulkhead__empty__descriptor, 1, 1,
	 RPC_ROLE_ANY, handle_keep},
	{0},
};

static const struct rpc_service service = {
	.name = WORKER_SERVICE, .version = WORKER_SERVICE_VERSION, .methods = methods};

static void on_closed(struct rpc_conn *conn, int error, const char *why, void *arg)
{
	struct fake_worker *worker = arg;

	rpc_conn_free(conn);
	if (worker->conn == conn) {
		worker->conn = NULL;
		worker->ready = false;
	}
}

static const struct rpc_conn_ops conn_ops = {.closed = on_closed};

static void on_accepted(struct rpc_conn *conn, void *arg)
{
	struct fake_worker *worker = arg;

	rpc_conn_set_arg(conn, worker);
	assert(!worker->conn);
	worker->conn = conn;
}

/* ---- life ---- */

struct fake_worker *fake_worker_new(struct loop *loop, struct fake_guest *guest, const struct fake_provider *provider)
{
	struct fake_worker *worker = calloc(1, sizeof(*worker));
	const char *tmp = getenv("TMPDIR");
	int r;

	assert(worker);
	worker->loop = loop;
	worker->guest = guest;
	snprintf(worker->dir, sizeof(worker->dir), "%s/bulkhead-test-XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	if (!mkdtemp(worker->dir))
		abort();
	snprintf(worker->path, sizeof(worker->path), "%s/worker.sock", worker->dir);
	worker->name = strdup(provider->name);
	worker->vm_name = strdup(provider->vm_name ? provider->vm_name : "fake");
	worker->config_len = provider->config_len;
	worker->config = malloc(MAX(provider->config_len, (size_t)1));
	assert(worker->name && worker->vm_name && worker->config);
	if (provider->config_len > 0)
		memcpy(worker->config, provider->config, provider->config_len);
	assert(provider->fd_count <= RPC_FDS_MAX - 2);
	for (; worker->fd_count < provider->fd_count; worker->fd_count++)
		worker->fds[worker->fd_count] = fd_dup(provider->fds[worker->fd_count]);
	r = rpc_server_new(loop, worker->path, getuid(), &service, &conn_ops, on_accepted, worker, &worker->server);
	if (r < 0)
		abort();
	return worker;
}

void fake_worker_free(struct fake_worker *worker)
{
	fake_worker_disconnect(worker);
	rpc_server_free(worker->server);
	for (size_t i = 0; i < worker->offer_count; i++)
		fd_close(&worker->offers[i].block_fd);
	for (size_t i = 0; i < worker->fd_count; i++)
		fd_close(&worker->fds[i]);
	for (size_t i = 0; i < worker->keepsake_count; i++)
		fd_close(&worker->keepsakes[i].fd);
	fake_worker_answer_lends(worker);
	for (size_t i = 0; i < LENT_MAX; i++)
		free(worker->lent[i].ranges);
	rmdir(worker->dir);
	free(worker->config);
	free(worker->name);
	free(worker->vm_name);
	free(worker);
}

const char *fake_worker_path(const struct fake_worker *worker)
{
	return worker->path;
}

void fake_worker_disconnect(struct fake_worker *worker)
{
	struct rpc_conn *conn = worker->conn;

	worker->conn = NULL;
	worker->ready = false;
	rpc_conn_free(conn);
}

size_t fake_worker_offers(const struct fake_worker *worker)
{
	return worker->offer_count;
}

const struct fake_offer *fake_worker_offer(const struct fake_worker *worker, size_t index)
{
	assert(index < worker->offer_count);
	return &worker->offers[index];
}

uint32_t fake_worker_subchannels(const struct fake_worker *worker)
{
	return worker->subchannels;
}

void fake_worker_leave(struct fake_worker *worker, const char *key, int fd)
{
	assert(worker->keepsake_count < KEEPSAKES_MAX && strlen(key) < sizeof(worker->keepsakes[0].key));
	strcpy(worker->keepsakes[worker->keepsake_count].key, key);
	worker->keepsakes[worker->keepsake_count++].fd = fd_dup(fd);
}

/* ---- what the guest lends ---- */

void fake_worker_lend(struct fake_worker *worker, uint32_t gpadl, const struct guest_range *ranges, size_t count)
{
	size_t i = 0;

	while (i < LENT_MAX && (!worker->lent[i].ranges || worker->lent[i].gpadl != gpadl))
		i++;
	for (size_t free_one = 0; i == LENT_MAX && free_one < LENT_MAX; free_one++)
		if (!worker->lent[free_one].ranges)
			i = free_one;
	assert(i < LENT_MAX);
	free(worker->lent[i].ranges);
	worker->lent[i].ranges = NULL;
	if (count == 0)
		return;
	worker->lent[i].ranges = malloc(count * sizeof(*ranges));
	assert(worker->lent[i].ranges);
	memcpy(worker->lent[i].ranges, ranges, count * sizeof(*ranges));
	worker->lent[i].gpadl = gpadl;
	worker->lent[i].count = count;
}

void fake_worker_hold_lends(struct fake_worker *worker)
{
	worker->hold_lends = true;
}

void fake_worker_answer_lends(struct fake_worker *worker)
{
	worker->hold_lends = false;
	for (size_t i = 0; i < worker->held_count; i++)
		answer_lend(worker, worker->held[i].call, worker->held[i].gpadl);
	worker->held_count = 0;
}

/* ---- running ---- */

int fake_worker_kept(const struct fake_worker *worker, const char *key)
{
	for (size_t i = 0; i < worker->keepsake_count; i++)
		if (!strcmp(worker->keepsakes[i].key, key))
			return worker->keepsakes[i].fd;
	return -1;
}

void fake_worker_run(struct fake_worker *worker)
{
	for (int i = 0; i < 8; i++)
		loop_run_once(worker->loop, false);
}

int fake_worker_run_until(struct fake_worker *worker, bool (*done)(void *arg), void *arg)
{
	uint64_t deadline = clock_now_ns() + FAKE_WAIT_MS * NS_PER_MS;

	while (!done(arg)) {
		if (clock_now_ns() > deadline)
			return -ETIMEDOUT;
		loop_run_once(worker->loop, false);
		if (!done(arg))
			poll(NULL, 0, 1);
	}
	return 0;
}

static bool is_ready(void *arg)
{
	return ((struct fake_worker *)arg)->ready;
}

int fake_worker_wait_ready(struct fake_worker *worker)
{
	return fake_worker_run_until(worker, is_ready, worker);
}

static bool has_packet(void *arg)
{
	return fake_peek(arg);
}

int fake_worker_get(struct fake_worker *worker, struct fake_channel *channel, struct fake_packet *ret_packet)
{
	int r = fake_worker_run_until(worker, has_packet, channel);

	return r < 0 ? r : fake_get(channel, ret_packet);
}

/* ---- calls to the VSP ---- */

static void on_answer(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	*(int *)arg = error;
}

static void begin(struct fake_worker *worker, uint32_t method, const ProtobufCMessage *msg, const int *fds, size_t nfds,
		  int *outcome)
{
	int r;

	*outcome = 1;
	r = worker->conn ? rpc_request(worker->conn, method, msg, &bulkhead__empty__descriptor, fds, nfds, 0, on_answer,
				       outcome)
			 : -ENOTCONN;
	if (r < 0)
		*outcome = r;
}

static bool is_answered(void *arg)
{
	return *(int *)arg <= 0;
}

static int call(struct fake_worker *worker, uint32_t method, const ProtobufCMessage *msg, const int *fds, size_t nfds)
{
	/* static: an answer after a timeout must not hit a dead stack frame */
	static int outcome;

	begin(worker, method, msg, fds, nfds, &outcome);
	return fake_worker_run_until(worker, is_answered, &outcome) < 0 ? -ETIMEDOUT : outcome;
}

/* An open under way. */
struct opening {
	struct fake_recovered *ret;
	int *outcome;
};

static void on_opened(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	const Bulkhead__Vsp__OpenReply *reply = (const Bulkhead__Vsp__OpenReply *)msg;
	struct opening *opening = arg;

	if (error == 0 && opening->ret)
		*opening->ret = (struct fake_recovered){reply->replayed, reply->lost, reply->duplicate, reply->failed};
	*opening->outcome = error;
	free(opening);
}

static void send_open(struct fake_worker *worker, const Bulkhead__Vsp__OpenRequest *req, const int fds[3],
		      struct fake_recovered *ret, int *outcome)
{
	struct opening *opening = malloc(sizeof(*opening));
	int r;

	assert(opening);
	*opening = (struct opening){ret, outcome};
	*outcome = 1;
	r = worker->conn ? rpc_request(worker->conn, VSP_OPEN, &req->base, &bulkhead__vsp__open_reply__descriptor, fds,
				       3, 0, on_opened, opening)
			 : -ENOTCONN;
	if (r < 0) {
		*outcome = r;
		free(opening);
	}
}

void fake_worker_open_begin(struct fake_worker *worker, size_t index, struct fake_channel *channel, bool recover,
			    struct fake_recovered *ret, int *outcome)
{
	Bulkhead__Vsp__OpenRequest req = BULKHEAD__VSP__OPEN_REQUEST__INIT;
	Bulkhead__MemoryRange range = BULKHEAD__MEMORY_RANGE__INIT;
	Bulkhead__MemoryRange *ranges[] = {&range};
	struct fake_offer *offer = &worker->offers[index];
	uint8_t user_data[120] = {0};
	int fds[3];

	assert(index < worker->offer_count);
	if (!recover) {
		fd_close(&offer->block_fd);
		offer->block_fd = fd_memfd("fake-block", offer->block_bytes);
	}
	assert(offer->block_fd >= 0);
	range.gpa = channel->ring_gpa;
	range.len = 2ull * channel->ring_pages * GUEST_PAGE_SIZE;
	req.offer_id = (uint32_t)(OFFER_ID_BASE + index);
	req.relid = channel->relid;
	req.n_ring = 1;
	req.ring = ranges;
	req.downstream_page = channel->ring_pages;
	req.target_vp = channel->target_vp;
	req.user_data = (ProtobufCBinaryData){sizeof(user_data), user_data};
	req.recover = recover;
	req.was_open = recover && worker->was_open;
	req.gather = recover && worker->gather;
	fds[0] = channel->kick_fd;
	fds[1] = channel->irq_fd;
	fds[2] = offer->block_fd;
	send_open(worker, &req, fds, ret, outcome);
}

int fake_worker_open(struct fake_worker *worker, size_t index, struct fake_channel *channel)
{
	static int outcome;

	fake_worker_open_begin(worker, index, channel, false, NULL, &outcome);
	return fake_worker_run_until(worker, is_answered, &outcome) < 0 ? -ETIMEDOUT : outcome;
}

int fake_worker_hand_over(struct fake_worker *worker)
{
	Bulkhead__Empty req = BULKHEAD__EMPTY__INIT;

	return call(worker, VSP_HAND_OVER, &req.base, NULL, 0);
}

struct pinging {
	char *waits;
	int outcome;
};

static void on_pinged(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	struct pinging *pinging = arg;

	if (error == 0)
		snprintf(pinging->waits, 80, "%s", ((const Bulkhead__Vsp__PingReply *)msg)->waits_for);
	pinging->outcome = error;
}

int fake_worker_ping(struct fake_worker *worker, char ret_waits[80])
{
	static struct pinging pinging; /* it may come after we gave up */
	Bulkhead__Empty req = BULKHEAD__EMPTY__INIT;
	int r;

	pinging = (struct pinging){ret_waits, 1};
	r = rpc_request(worker->conn, VSP_PING, &req.base, &bulkhead__vsp__ping_reply__descriptor, NULL, 0, 0,
			on_pinged, &pinging);
	if (r < 0)
		return r;
	return fake_worker_run_until(worker, is_answered, &pinging.outcome) < 0 ? -ETIMEDOUT : pinging.outcome;
}

bool fake_worker_is_ready(const struct fake_worker *worker)
{
	return worker->ready;
}

void fake_worker_set_was_open(struct fake_worker *worker, bool was_open)
{
	worker->was_open = was_open;
}

void fake_worker_set_gather(struct fake_worker *worker, bool gather)
{
	worker->gather = gather;
}

int fake_worker_resumed(struct fake_worker *worker)
{
	Bulkhead__Empty req = BULKHEAD__EMPTY__INIT;

	return call(worker, VSP_RESUMED, &req.base, NULL, 0);
}

void fake_worker_set_cautious(struct fake_worker *worker, bool cautious)
{
	worker->cautious = cautious;
}

int fake_worker_close(struct fake_worker *worker, size_t index)
{
	Bulkhead__Vsp__ChannelRequest req = BULKHEAD__VSP__CHANNEL_REQUEST__INIT;

	req.offer_id = (uint32_t)(OFFER_ID_BASE + index);
	return call(worker, VSP_CLOSE, &req.base, NULL, 0);
}

void fake_worker_close_begin(struct fake_worker *worker, size_t index, int *outcome)
{
	Bulkhead__Vsp__ChannelRequest req = BULKHEAD__VSP__CHANNEL_REQUEST__INIT;

	req.offer_id = (uint32_t)(OFFER_ID_BASE + index);
	begin(worker, VSP_CLOSE, &req.base, NULL, 0, outcome);
}

void fake_worker_revoke_begin(struct fake_worker *worker, size_t index, uint32_t gpadl, int *outcome)
{
	Bulkhead__Vsp__LentRequest req = BULKHEAD__VSP__LENT_REQUEST__INIT;

	req.offer_id = (uint32_t)(OFFER_ID_BASE + index);
	req.gpadl = gpadl;
	begin(worker, VSP_REVOKE, &req.base, NULL, 0, outcome);
}

int fake_worker_retarget(struct fake_worker *worker, size_t index, uint32_t vp)
{
	Bulkhead__Vsp__RetargetRequest req = BULKHEAD__VSP__RETARGET_REQUEST__INIT;

	req.offer_id = (uint32_t)(OFFER_ID_BASE + index);
	req.target_vp = vp;
	return call(worker, VSP_RETARGET, &req.base, NULL, 0);
}

void fake_worker_quiesce_begin(struct fake_worker *worker, int *outcome)
{
	Bulkhead__Empty req = BULKHEAD__EMPTY__INIT;

	begin(worker, VSP_QUIESCE, &req.base, NULL, 0, outcome);
}

int fake_worker_quiesce(struct fake_worker *worker)
{
	Bulkhead__Empty req = BULKHEAD__EMPTY__INIT;

	return call(worker, VSP_QUIESCE, &req.base, NULL, 0);
}

void fake_worker_change_begin(struct fake_worker *worker, const void *bytes, size_t len, const int *fds, size_t nfds,
			      int *outcome)
{
	Bulkhead__Vsp__ChangeRequest req = BULKHEAD__VSP__CHANGE_REQUEST__INIT;

	req.change = (ProtobufCBinaryData){len, (uint8_t *)bytes};
	begin(worker, VSP_CHANGE, &req.base, fds, nfds, outcome);
}

const void *fake_worker_status(const struct fake_worker *worker, size_t *ret_len)
{
	*ret_len = worker->status_len;
	return worker->status;
}
