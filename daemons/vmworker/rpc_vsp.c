// SPDX-License-Identifier: Apache-2.0
/*
 * Between a VSP and the bus: its calls become bus_offer_add() and the like, the bus's calls become requests to it.
 * Requests have no deadline: a VSP may have to wait for a slow disk, and giving up on it would let a guest reuse memory
 * that is still written to. If a VSP dies, its connection ends, and provider_detach() is told: what was asked of it is
 * neither answered nor refused then, but its successor's.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "proto/methods.h"
#include "proto/types.pb-c.h"
#include "proto/vsp.pb-c.h"
#include "rpc_int.h"

#define NO_DEADLINE UINT_MAX /* 49 days */
#define USER_BYTES  120u

struct vsp_link {
	struct peer *peer;
	struct vm *vm;
	struct provider *provider;
	struct rpc_call *attach; /* while it waits for its predecessor's end; else NULL */
};

/* A request under way to the VSP. */
struct asked {
	struct vsp_link *link;
	uint32_t offer_id, gpadl;
	const struct question *question;
};

/* What the bus asks. */
struct question {
	uint32_t method;
	const ProtobufCMessageDescriptor *reply;
	bool must;     /* who refuses may still touch the guest's memory */
	bool any_time; /* not only while it serves; an error needs no line */
	void (*answer)(struct provider *provider, const struct asked *asked, int error, const ProtobufCMessage *msg);
};

/* ---- the bus's calls ---- */

static void on_answer(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	const struct asked asked = *(const struct asked *)arg;
	const struct question *question = asked.question;
	struct vsp_link *link = asked.link;

	free(arg);
	/* The connection's end is no answer, and nobody waits for that of a predecessor. */
	if (!rpc_conn_usable(link->peer->conn) || link->provider->now.arg != link)
		return;
	if (question->method == VSP_CHANGE) {
		provider_changed(link->provider, error, text);
		return;
	}
	/* what crosses a withdrawal is refused, and need not be done */
	if (error < 0 && asked.offer_id && !bus_offer_known(link->provider->bus, asked.offer_id))
		return;
	if (error < 0 && !question->any_time)
		log_warn(link->provider->name, "%s", text[0] ? text : err_name(error));
	if (error < 0 && question->method == VSP_OPEN)
		service_not_opened(link->provider, text[0] ? text : err_name(error));
	if (error < 0 && question->must)
		peer_drop(link->peer);
	else if (question->any_time || provider_serves(link->provider, link))
		question->answer(link->provider, &asked, error, msg);
}

static void answer_opened(struct provider *provider, const struct asked *asked, int error, const ProtobufCMessage *msg)
{
	const Bulkhead__Vsp__OpenReply *reply = (const Bulkhead__Vsp__OpenReply *)msg;
	struct service_counts counts = {0};

	if (reply)
		counts = (struct service_counts){reply->replayed, reply->lost, reply->duplicate, reply->failed};
	provider_opened(provider, asked->offer_id, error, reply ? &counts : NULL);
}

static void answer_closed(struct provider *provider, const struct asked *asked, int error, const ProtobufCMessage *msg)
{
	bus_closed(provider->bus, asked->offer_id);
}

static void answer_retargeted(struct provider *provider, const struct asked *asked, int error,
			      const ProtobufCMessage *msg)
{
	bus_retargeted(provider->bus, asked->offer_id);
}

static void answer_quiesced(struct provider *provider, const struct asked *asked, int error,
			    const ProtobufCMessage *msg)
{
	bus_quiesced(provider->bus);
}

static void answer_revoked(struct provider *provider, const struct asked *asked, int error, const ProtobufCMessage *msg)
{
	bus_revoked(provider->bus, asked->offer_id, asked->gpadl);
}

static void answer_handed_over(struct provider *provider, const struct asked *asked, int error,
			       const ProtobufCMessage *msg)
{
	service_handed_over(provider, error);
}

/* A program from before the ping answers with an error; so it lives. */
static void answer_pinged(struct provider *provider, const struct asked *asked, int error, const ProtobufCMessage *msg)
{
	const Bulkhead__Vsp__PingReply *reply = (const Bulkhead__Vsp__PingReply *)msg;

	service_answered(provider, reply ? reply->waits_for : "something (its program is an old one)");
}

#define EMPTY &bulkhead__empty__descriptor

static const struct question question_open = {VSP_OPEN, &bulkhead__vsp__open_reply__descriptor, false, false,
					      answer_opened};
static const struct question question_close = {VSP_CLOSE, EMPTY, true, false, answer_closed};
static const struct question question_retarget = {VSP_RETARGET, EMPTY, false, false, answer_retargeted};
static const struct question question_quiesce = {VSP_QUIESCE, EMPTY, true, false, answer_quiesced};
static const struct question question_revoke = {VSP_REVOKE, EMPTY, true, false, answer_revoked};
static const struct question question_hand_over = {VSP_HAND_OVER, EMPTY, false, true, answer_handed_over};

/* That it ends is the answer; one that cannot be asked is killed after a time. Of Resumed an older program knows
 * nothing. */
static void answer_nothing(struct provider *provider, const struct asked *asked, int error, const ProtobufCMessage *msg)
{
}

static const struct question question_end = {VSP_END, EMPTY, false, true, answer_nothing};
static const struct question question_resumed = {VSP_RESUMED, EMPTY, false, true, answer_nothing};

static const struct question question_change = {.method = VSP_CHANGE, .reply = EMPTY};
static const struct question question_ping = {VSP_PING, &bulkhead__vsp__ping_reply__descriptor, false, true,
					      answer_pinged};

/* Return: 0 or a negative errno: the request could not be sent, nothing will be answered. */
static int ask_about(const struct asked *about, const ProtobufCMessage *msg, const int *fds, size_t nfds)
{
	const struct question *question = about->question;
	struct asked *asked = malloc(sizeof(*asked));
	struct vsp_link *link = about->link;
	int r;

	if (!asked)
		return -ENOMEM;
	*asked = *about;
	r = rpc_request(link->peer->conn, question->method, msg, question->reply, fds, nfds, NO_DEADLINE, on_answer,
			asked);
	if (r < 0)
		free(asked);
	return r;
}

static int ask(struct vsp_link *link, const struct question *question, const ProtobufCMessage *msg, const int *fds,
	       size_t nfds, uint32_t offer_id)
{
	return ask_about(&(struct asked){.link = link, .offer_id = offer_id, .question = question}, msg, fds, nfds);
}

/* A VSP that we cannot ask to let go of memory must go itself. */
static void drop_unasked(struct vsp_link *link, int r)
{
	if (r >= 0)
		return;
	log_error(link->provider->name, "cannot be reached (%s): dropped", err_name(r));
	peer_drop(link->peer);
}

static void ask_or_drop(struct vsp_link *link, const struct question *question, const ProtobufCMessage *msg,
			uint32_t offer_id)
{
	drop_unasked(link, ask(link, question, msg, NULL, 0, offer_id));
}

static int send_open(struct vsp_link *link, uint32_t offer_id, const struct bus_open *open)
{
	Bulkhead__Vsp__OpenRequest req = BULKHEAD__VSP__OPEN_REQUEST__INIT;
	_cleanup_free_ Bulkhead__MemoryRange *ranges = calloc(open->ring_ranges + 1, sizeof(*ranges));
	// NOLINTNEXTLINE(bugprone-sizeof-expression): protobuf-c wants an array of pointers
	_cleanup_free_ Bulkhead__MemoryRange **list = calloc(open->ring_ranges + 1, sizeof(list[0]));
	const int fds[] = {open->kick_fd, open->irq_fd, open->block_fd};

	if (!ranges || !list)
		return -ENOMEM;
	for (size_t i = 0; i < open->ring_ranges; i++) {
		bulkhead__memory_range__init(&ranges[i]);
		ranges[i].gpa = open->ring[i].gpa;
		ranges[i].len = open->ring[i].len;
		list[i] = &ranges[i];
	}
	req.offer_id = offer_id;
	req.relid = open->relid;
	req.n_ring = open->ring_ranges;
	req.ring = list;
	req.downstream_page = open->downstream_page;
	req.target_vp = open->target_vp;
	req.user_data = (ProtobufCBinaryData){USER_BYTES, (uint8_t *)open->user_data};
	req.recover = open->recover;
	req.was_open = open->was_open;
	req.gather = open->gather;
	return ask(link, &question_open, &req.base, fds, ARRAY_SIZE(fds), offer_id);
}

static void vsp_open(void *arg, uint32_t offer_id, const struct bus_open *open)
{
	struct vsp_link *link = arg;
	int r = send_open(link, offer_id, open);

	/* One that has just died has answered nothing: its end comes next, and its successor is asked. */
	if (r < 0 && r != -ENOTCONN)
		provider_opened(link->provider, offer_id, r, NULL);
}

static void vsp_close(void *arg, uint32_t offer_id)
{
	Bulkhead__Vsp__ChannelRequest req = BULKHEAD__VSP__CHANNEL_REQUEST__INIT;

	req.offer_id = offer_id;
	ask_or_drop(arg, &question_close, &req.base, offer_id);
}

static void vsp_retarget(void *arg, uint32_t offer_id, uint32_t target_vp)
{
	Bulkhead__Vsp__RetargetRequest req = BULKHEAD__VSP__RETARGET_REQUEST__INIT;

	req.offer_id = offer_id;
	req.target_vp = target_vp;
	ask_or_drop(arg, &question_retarget, &req.base, offer_id);
}

static void vsp_quiesce(void *arg)
{
	Bulkhead__Empty req = BULKHEAD__EMPTY__INIT;

	ask_or_drop(arg, &question_quiesce, &req.base, 0);
}

static void vsp_revoke(void *arg, uint32_t offer_id, uint32_t gpadl)
{
	Bulkhead__Vsp__LentRequest req = BULKHEAD__VSP__LENT_REQUEST__INIT;
	struct vsp_link *link = arg;

	req.offer_id = offer_id;
	req.gpadl = gpadl;
	drop_unasked(link, ask_about(&(struct asked){link, offer_id, gpadl, &question_revoke}, &req.base, NULL, 0));
}

static void vsp_resumed(void *arg)
{
	Bulkhead__Empty req = BULKHEAD__EMPTY__INIT;
	struct vsp_link *link = arg;
	int r = ask(link, &question_resumed, &req.base, NULL, 0, 0);

	/* of one that has just died the end comes next */
	if (r != -ENOTCONN)
		drop_unasked(link, r);
}

static void vsp_hand_over(void *arg)
{
	Bulkhead__Empty req = BULKHEAD__EMPTY__INIT;

	ask_or_drop(arg, &question_hand_over, &req.base, 0);
}

static void vsp_end(void *arg)
{
	Bulkhead__Empty req = BULKHEAD__EMPTY__INIT;

	ask(arg, &question_end, &req.base, NULL, 0, 0);
}

static int vsp_ping(void *arg)
{
	Bulkhead__Empty req = BULKHEAD__EMPTY__INIT;

	return ask(arg, &question_ping, &req.base, NULL, 0, 0);
}

static int vsp_change(void *arg, const void *change, size_t len, const int *fds, size_t nfds)
{
	Bulkhead__Vsp__ChangeRequest req = BULKHEAD__VSP__CHANGE_REQUEST__INIT;

	req.change = (ProtobufCBinaryData){len, (uint8_t *)change};
	return ask(arg, &question_change, &req.base, fds, nfds, 0);
}

/* ---- the VSP's calls ---- */

static void reply_attached(struct vsp_link *link, struct rpc_call *call)
{
	Bulkhead__Vsp__AttachReply reply = BULKHEAD__VSP__ATTACH_REPLY__INIT;
	Bulkhead__Vsp__MemoryRegion regions[GUEST_MEM_REGIONS_MAX], *list[GUEST_MEM_REGIONS_MAX];
	Bulkhead__Vsp__Keepsake keepsakes[VSP_KEEPSAKES_MAX], *keepsake_list[VSP_KEEPSAKES_MAX];
	const struct guest_mem *mem = vm_memory(link->vm);
	const struct provider *provider = link->provider;
	int fds[RPC_FDS_MAX];
	size_t nfds = 0;

	if (mem->regions + 1 + provider->nfds + provider->keepsakes > ARRAY_SIZE(fds)) {
		rpc_fail(call, -E2BIG, "provider %s: too many descriptors", provider->name);
		return;
	}
	for (size_t i = 0; i < mem->regions; i++) {
		bulkhead__vsp__memory_region__init(&regions[i]);
		regions[i].gpa = mem->region[i].gpa;
		regions[i].len = mem->region[i].len;
		regions[i].offset = mem->region[i].offset;
		list[i] = &regions[i];
		fds[nfds++] = mem->region[i].fd;
	}
	fds[nfds++] = vm_cells_fd(link->vm);
	for (size_t i = 0; i < provider->nfds; i++)
		fds[nfds++] = provider->fds[i];
	for (size_t i = 0; i < provider->keepsakes; i++) {
		const struct keepsake *keepsake = &provider->keepsake[i];

		bulkhead__vsp__keepsake__init(&keepsakes[i]);
		keepsakes[i].key = (char *)keepsake->key;
		keepsakes[i].data = (ProtobufCBinaryData){keepsake->len, keepsake->data};
		keepsake_list[i] = &keepsakes[i];
		fds[nfds++] = keepsake->fd;
	}
	reply.n_keepsakes = provider->keepsakes;
	reply.keepsakes = keepsake_list;
	reply.generation = provider->service.attachments;
	reply.cautious = service_cautious(provider);
	reply.at_fault = service_at_fault(provider);
	reply.n_memory = mem->regions;
	reply.memory = list;
	reply.cpus = vm_cpus(link->vm);
	reply.config = (ProtobufCBinaryData){provider->config_len, provider->config};
	reply.fd_count = (uint32_t)provider->nfds;
	reply.vm_name = (char *)vm_name(link->vm);
	reply.vm_uuid = (char *)vm_uuid(link->vm);
	rpc_reply(call, &reply.base, fds, nfds);
}

static void vsp_admitted(void *arg)
{
	struct vsp_link *link = arg;

	reply_attached(link, take_ptr(link->attach));
}

static void vsp_refused(void *arg, const struct err *err)
{
	struct vsp_link *link = arg;

	rpc_fail(take_ptr(link->attach), err->code, "%s", err->text);
}

static void vsp_drop(void *arg)
{
	struct vsp_link *link = arg;

	peer_drop(link->peer);
}

static const struct provider_ops provider_ops = {
	.bus = {.open = vsp_open,
		.close = vsp_close,
		.retarget = vsp_retarget,
		.quiesce = vsp_quiesce,
		.revoke = vsp_revoke,
		.resumed = vsp_resumed},
	.admitted = vsp_admitted,
	.refused = vsp_refused,
	.ping = vsp_ping,
	.hand_over = vsp_hand_over,
	.end = vsp_end,
	.change = vsp_change,
	.drop = vsp_drop,
};

void vsp_handle_attach(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		       void *arg)
{
	const Bulkhead__Vsp__AttachRequest *req = (const Bulkhead__Vsp__AttachRequest *)msg;
	struct attachment attachment = {
		.ops = &provider_ops,
		.pid = rpc_conn_peer(conn)->pid,
		.pidfd = rpc_conn_pidfd(conn),
		.block_version = req->block_version,
		.state_version = req->state_version,
	};
	struct peer *peer = arg;
	struct vm *vm = peer_vm(peer, call);
	struct vsp_link *link;
	struct err err = {0};

	if (!vm)
		return;
	if (peer->link) {
		rpc_fail(call, -EBUSY, "provider %s: attached already", req->name);
		return;
	}
	if (req->invocation[0] && !text_is_hex(req->invocation, VSP_INVOCATION_LEN)) {
		rpc_fail(call, -EINVAL, "provider %s: malformed number of its run", req->name);
		return;
	}
	link = calloc(1, sizeof(*link));
	if (!link) {
		rpc_fail(call, -ENOMEM, "out of memory");
		return;
	}
	*link = (struct vsp_link){.peer = peer, .vm = vm, .attach = call};
	attachment.arg = link;
	strcpy(attachment.invocation, req->invocation);
	snprintf(attachment.program, sizeof(attachment.program), "%s", req->program);
	peer->link = link;
	if (provider_attach(vm_providers(vm), req->name, &attachment, &err, &link->provider) < 0) {
		peer->link = NULL;
		free(link);
		log_warn(NULL, "%s", err.text);
		rpc_fail(call, err.code, "%s", err.text);
	}
}

/* The attachment of the peer that serves, or NULL after the call was failed. */
static struct vsp_link *attached(struct peer *peer, struct rpc_call *call)
{
	if (peer->link && provider_serves(peer->link->provider, peer->link))
		return peer->link;
	rpc_fail(call, -ENOTCONN, "attach first");
	return NULL;
}

void vsp_handle_keep(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		     void *arg)
{
	const Bulkhead__Vsp__KeepRequest *req = (const Bulkhead__Vsp__KeepRequest *)msg;
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
	struct vsp_link *link = attached(arg, call);
	struct err err = {0};
	int r;

	if (!link)
		return;
	if (req->keepsake)
		r = provider_keep(link->provider, req->keepsake->key, req->keepsake->data.data, req->keepsake->data.len,
				  fds[0], &err);
	else
		r = err_set(&err, -EINVAL, "provider %s: Keep without a keepsake", link->provider->name);
	if (r < 0) {
		log_warn(NULL, "%s", err.text);
		rpc_fail(call, r, "%s", err.text);
		return;
	}
	(void)take_fd(&fds[0]);
	rpc_reply(call, &empty.base, NULL, 0);
}

void vsp_handle_status(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		       void *arg)
{
	const Bulkhead__Vsp__StatusRequest *req = (const Bulkhead__Vsp__StatusRequest *)msg;
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
	struct vsp_link *link = attached(arg, call);
	int r;

	if (!link)
		return;
	r = provider_set_status(link->provider, req->status.data, req->status.len);
	if (r < 0)
		rpc_fail(call, r, "provider %s: what it tells: %s", link->provider->name, strerror(-r));
	else
		rpc_reply(call, &empty.base, NULL, 0);
}

void vsp_handle_offer(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		      void *arg)
{
	const Bulkhead__Vsp__OfferRequest *req = (const Bulkhead__Vsp__OfferRequest *)msg;
	Bulkhead__Vsp__OfferReply reply = BULKHEAD__VSP__OFFER_REPLY__INIT;
	struct vsp_link *link = attached(arg, call);
	struct bus_offer_desc desc;
	int r;

	if (!link)
		return;
	desc = (struct bus_offer_desc){
		.flags = (uint16_t)req->flags,
		.mmio_megabytes = (uint16_t)req->mmio_megabytes,
		.subchannel_index = (uint16_t)req->subchannel_index,
		.block_bytes = req->block_bytes,
	};
	if (req->interface_guid.len != sizeof(desc.interface_guid) ||
	    req->instance_guid.len != sizeof(desc.instance_guid) || req->user_defined.len > sizeof(desc.user_defined) ||
	    req->flags > UINT16_MAX || req->mmio_megabytes > UINT16_MAX || req->subchannel_index > UINT16_MAX) {
		rpc_fail(call, -EINVAL, "malformed offer");
		return;
	}
	memcpy(&desc.interface_guid, req->interface_guid.data, sizeof(desc.interface_guid));
	memcpy(&desc.instance_guid, req->instance_guid.data, sizeof(desc.instance_guid));
	if (req->user_defined.len)
		memcpy(desc.user_defined, req->user_defined.data, req->user_defined.len);
	r = bus_offer_add(link->provider->bus, &desc, &reply.offer_id);
	if (r < 0)
		rpc_fail(call, r, "the offer is refused: %s",
			 r == -EEXIST	? "another channel has its instance GUID"
			 : r == -ENOENT ? "its primary channel is not offered"
					: strerror(-r));
	else
		rpc_reply(call, &reply.base, NULL, 0);
}

void vsp_handle_withdraw(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			 size_t nfds, void *arg)
{
	const Bulkhead__Vsp__WithdrawRequest *req = (const Bulkhead__Vsp__WithdrawRequest *)msg;
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
	struct vsp_link *link = attached(arg, call);

	if (!link)
		return;
	if (bus_offer_withdraw(link->provider->bus, req->offer_id) < 0) {
		log_warn(link->provider->name, "withdraws the unknown offer %u", req->offer_id);
		rpc_fail(call, -ENOENT, "no offer %u", req->offer_id);
		return;
	}
	rpc_reply(call, &empty.base, NULL, 0);
}

void vsp_handle_subchannels(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			    size_t nfds, void *arg)
{
	const Bulkhead__Vsp__SubchannelsRequest *req = (const Bulkhead__Vsp__SubchannelsRequest *)msg;
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
	struct vsp_link *link = attached(arg, call);
	int r;

	if (!link)
		return;
	r = bus_subchannels(link->provider->bus, req->offer_id, req->count);
	if (r < 0) {
		log_warn(link->provider->name, "sub-channels of offer %u: %s", req->offer_id, strerror(-r));
		rpc_fail(call, r, "sub-channels of offer %u: %s", req->offer_id, strerror(-r));
		return;
	}
	rpc_reply(call, &empty.base, NULL, 0);
}

/* @ranges as 64-bit numbers: a list may be longer than a message. */
static int reply_lent(struct rpc_call *call, const struct guest_range *ranges, size_t count)
{
	Bulkhead__Vsp__LentReply reply = BULKHEAD__VSP__LENT_REPLY__INIT;
	_cleanup_close_ int fd = fd_memfd("bulkhead-lent", count * sizeof(*ranges));
	int r = fd < 0 ? fd : fd_write_full(fd, ranges, count * sizeof(*ranges));

	if (r < 0)
		return r;
	reply.ranges = (uint32_t)count;
	rpc_reply(call, &reply.base, &fd, 1);
	return 0;
}

void vsp_handle_lend(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		     void *arg)
{
	const Bulkhead__Vsp__LentRequest *req = (const Bulkhead__Vsp__LentRequest *)msg;
	_cleanup_free_ struct guest_range *ranges = NULL;
	struct vsp_link *link = attached(arg, call);
	size_t count;
	int r;

	if (!link)
		return;
	r = bus_lend(link->provider->bus, req->offer_id, req->gpadl, &ranges, &count);
	if (r == 0)
		r = reply_lent(call, ranges, count);
	if (r < 0)
		rpc_fail(call, r, "GPADL %#x for offer %u: %s", req->gpadl, req->offer_id,
			 r == -ENOENT	  ? "the guest has lent no such memory"
			 : r == -ENOTCONN ? "the channel is not open"
					  : err_name(r));
}

void vsp_handle_ready(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		      void *arg)
{
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
	struct vsp_link *link = attached(arg, call);

	if (!link)
		return;
	rpc_reply(call, &empty.base, NULL, 0);
	provider_ready(link->provider);
}

void vsp_link_end(struct peer *peer)
{
	struct vsp_link *link = peer->link;

	if (!link)
		return;
	peer->link = NULL;
	provider_detach(link->provider, link);
	if (link->attach)
		rpc_fail(link->attach, -ECONNRESET, "it went away");
	free(link);
}
