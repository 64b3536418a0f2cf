// SPDX-License-Identifier: Apache-2.0
/*
 * Between a VSP and the bus: its calls become bus_offer_add() and the like, the bus's calls become requests to it.
 * Requests have no deadline: a VSP may have to wait for a slow disk, and giving up on it would let a guest reuse memory
 * that is still written to. If a VSP dies, its connection ends, and the bus is told by provider_detach().
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/log.h"
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
};

/* A request under way to the VSP. */
struct asked {
	struct vsp_link *link;
	uint32_t offer_id;
	void (*answer)(struct bus_provider *provider, uint32_t offer_id, int error);
};

/* ---- the bus's calls ---- */

static void on_answer(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	struct asked *asked = arg;
	struct vsp_link *link = asked->link;

	/* Any errno may be the VSP's own answer; if it is the connection's end, provider_detach() follows. */
	if (error < 0)
		log_warn(link->provider->name, "%s", text[0] ? text : err_name(error));
	asked->answer(link->provider->bus, asked->offer_id, error);
	free(asked);
}

static void answer_opened(struct bus_provider *provider, uint32_t offer_id, int error)
{
	bus_opened(provider, offer_id, error);
}

static void answer_closed(struct bus_provider *provider, uint32_t offer_id, int error)
{
	bus_closed(provider, offer_id);
}

static void answer_retargeted(struct bus_provider *provider, uint32_t offer_id, int error)
{
	bus_retargeted(provider, offer_id);
}

static void answer_quiesced(struct bus_provider *provider, uint32_t offer_id, int error)
{
	bus_quiesced(provider);
}

/* Return: 0 or a negative errno: the request could not be sent, nothing will be answered. */
static int ask(struct vsp_link *link, uint32_t method, const ProtobufCMessage *msg, const int *fds, size_t nfds,
	       uint32_t offer_id, void (*answer)(struct bus_provider *provider, uint32_t offer_id, int error))
{
	struct asked *asked = malloc(sizeof(*asked));
	int r;

	if (!asked)
		return -ENOMEM;
	*asked = (struct asked){.link = link, .offer_id = offer_id, .answer = answer};
	r = rpc_request(link->peer->conn, method, msg, &bulkhead__empty__descriptor, fds, nfds, NO_DEADLINE, on_answer,
			asked);
	if (r < 0)
		free(asked);
	return r;
}

/* A VSP that we cannot ask to let go of memory must go itself. */
static void ask_or_drop(struct vsp_link *link, uint32_t method, const ProtobufCMessage *msg, uint32_t offer_id,
			void (*answer)(struct bus_provider *provider, uint32_t offer_id, int error))
{
	int r = ask(link, method, msg, NULL, 0, offer_id, answer);

	if (r < 0) {
		log_error(link->provider->name, "cannot be reached (%s): dropped", err_name(r));
		peer_drop(link->peer);
	}
}

static int send_open(struct vsp_link *link, uint32_t offer_id, const struct bus_open *open)
{
	Bulkhead__Vsp__OpenRequest req = BULKHEAD__VSP__OPEN_REQUEST__INIT;
	_cleanup_free_ Bulkhead__MemoryRange *ranges = calloc(open->ring_ranges + 1, sizeof(*ranges));
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
	return ask(link, VSP_OPEN, &req.base, fds, ARRAY_SIZE(fds), offer_id, answer_opened);
}

static void vsp_open(void *arg, uint32_t offer_id, const struct bus_open *open)
{
	struct vsp_link *link = arg;
	int r = send_open(link, offer_id, open);

	if (r < 0)
		bus_opened(link->provider->bus, offer_id, r);
}

static void vsp_close(void *arg, uint32_t offer_id)
{
	Bulkhead__Vsp__ChannelRequest req = BULKHEAD__VSP__CHANNEL_REQUEST__INIT;

	req.offer_id = offer_id;
	ask_or_drop(arg, VSP_CLOSE, &req.base, offer_id, answer_closed);
}

static void vsp_retarget(void *arg, uint32_t offer_id, uint32_t target_vp)
{
	Bulkhead__Vsp__RetargetRequest req = BULKHEAD__VSP__RETARGET_REQUEST__INIT;

	req.offer_id = offer_id;
	req.target_vp = target_vp;
	ask_or_drop(arg, VSP_RETARGET, &req.base, offer_id, answer_retargeted);
}

static void vsp_quiesce(void *arg)
{
	Bulkhead__Empty req = BULKHEAD__EMPTY__INIT;

	ask_or_drop(arg, VSP_QUIESCE, &req.base, 0, answer_quiesced);
}

static const struct bus_provider_ops provider_ops = {
	.open = vsp_open,
	.close = vsp_close,
	.retarget = vsp_retarget,
	.quiesce = vsp_quiesce,
};

/* ---- the VSP's calls ---- */

static void reply_attached(struct vsp_link *link, struct rpc_call *call)
{
	Bulkhead__Vsp__AttachReply reply = BULKHEAD__VSP__ATTACH_REPLY__INIT;
	Bulkhead__Vsp__MemoryRegion regions[GUEST_MEM_REGIONS_MAX], *list[GUEST_MEM_REGIONS_MAX];
	const struct guest_mem *mem = vm_memory(link->vm);
	const struct provider *provider = link->provider;
	int fds[RPC_FDS_MAX];
	size_t nfds = 0;

	if (mem->regions + 1 + provider->nfds > ARRAY_SIZE(fds)) {
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
	reply.n_memory = mem->regions;
	reply.memory = list;
	reply.cpus = vm_cpus(link->vm);
	reply.config = (ProtobufCBinaryData){provider->config_len, provider->config};
	reply.fd_count = (uint32_t)provider->nfds;
	reply.vm_name = (char *)vm_name(link->vm);
	reply.vm_uuid = (char *)vm_uuid(link->vm);
	rpc_reply(call, &reply.base, fds, nfds);
}

void vsp_handle_attach(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		       void *arg)
{
	const Bulkhead__Vsp__AttachRequest *req = (const Bulkhead__Vsp__AttachRequest *)msg;
	struct peer *peer = arg;
	struct vm *vm = peer_vm(peer, call);
	struct vsp_link *link;
	struct err err = {0};

	if (!vm)
		return;
	if (peer->link) {
		rpc_fail(call, -EBUSY, "provider %s: attached already", peer->link->provider->name);
		return;
	}
	link = calloc(1, sizeof(*link));
	if (!link) {
		rpc_fail(call, -ENOMEM, "out of memory");
		return;
	}
	link->peer = peer;
	link->vm = vm;
	if (provider_attach(vm_providers(vm), req->name, &provider_ops, link, &err, &link->provider) < 0) {
		free(link);
		rpc_fail(call, err.code, "%s", err.text);
		return;
	}
	peer->link = link;
	reply_attached(link, call);
}

/* The attachment of the peer, or NULL after the call was failed. */
static struct vsp_link *attached(struct peer *peer, struct rpc_call *call)
{
	if (!peer->link)
		rpc_fail(call, -ENOTCONN, "attach first");
	return peer->link;
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
			 r == -EEXIST ? "another channel has its instance GUID" : strerror(-r));
	else
		rpc_reply(call, &reply.base, NULL, 0);
}

void vsp_handle_ready(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		      void *arg)
{
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
	struct vsp_link *link = attached(arg, call);

	if (!link)
		return;
	rpc_reply(call, &empty.base, NULL, 0);
	provider_ready(vm_providers(link->vm), link->provider);
}

void vsp_link_end(struct peer *peer)
{
	struct vsp_link *link = peer->link;

	if (!link)
		return;
	peer->link = NULL;
	log_warn(link->provider->name, "is gone");
	provider_detach(vm_providers(link->vm), link->provider);
	free(link);
}
