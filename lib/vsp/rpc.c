/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's RPC as a VSP speaks it: generated types stop here. Spec: proto/vsp.proto. */
#include "ipc/rpc.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/death.h"
#include "base/fd.h"
#include "base/text.h"
#include "proto/methods.h"
#include "proto/types.pb-c.h"
#include "proto/vsp.pb-c.h"
#include "vsp/internal.h"

#define GUID_LEN	  16u
#define USER_DATA_LEN	  120u
#define OFFER_DEADLINE_MS 30000u
#define NO_DEADLINE	  UINT_MAX /* 49 days */

/* ---- what the worker calls ---- */

static void reply_empty(void *arg)
{
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;

	rpc_reply(arg, &empty.base, NULL, 0);
}

/* The channel that a request names; without one the call has been answered. */
static struct vsp_channel *named_channel(struct vsp *vsp, uint32_t offer_id, struct rpc_call *call)
{
	struct vsp_channel *channel = vsp_find(vsp, offer_id);

	if (!channel)
		rpc_fail(call, -ENOENT, "no offer %u", offer_id);
	return channel;
}

static struct guest_range *copy_ranges(const Bulkhead__Vsp__OpenRequest *req)
{
	struct guest_range *ranges = calloc(MAX(req->n_ring, (size_t)1), sizeof(*ranges));

	for (size_t i = 0; ranges && i < req->n_ring; i++)
		ranges[i] = (struct guest_range){.gpa = req->ring[i]->gpa, .len = req->ring[i]->len};
	return ranges;
}

static void handle_open(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			size_t nfds, void *arg)
{
	const Bulkhead__Vsp__OpenRequest *req = (const Bulkhead__Vsp__OpenRequest *)msg;
	struct vsp_channel *channel = named_channel(arg, req->offer_id, call);
	Bulkhead__Vsp__OpenReply reply = BULKHEAD__VSP__OPEN_REPLY__INIT;
	_cleanup_free_ struct guest_range *ranges = NULL;
	struct vsp_recovered recovered;
	struct vsp_open open = {
		.block_fd = fds[2], .recover = req->recover, .was_open = req->was_open, .gather = req->gather};
	int r;

	if (!channel)
		return;
	ranges = copy_ranges(req);
	if (!ranges) {
		rpc_fail(call, -ENOMEM, "%s: out of memory", channel->name);
		return;
	}
	open.params = (struct channel_params){
		.ring = ranges,
		.ring_ranges = req->n_ring,
		.downstream_page = req->downstream_page,
		.relid = req->relid,
		.target_vp = req->target_vp,
		.kick_fd = fds[0],
		.irq_fd = fds[1],
	};
	memcpy(open.user_data, req->user_data.data, MIN(req->user_data.len, (size_t)USER_DATA_LEN));
	r = vsp_channel_open(channel, &open, &recovered);
	if (r < 0) {
		rpc_fail(call, r, "%s: cannot open the channel: %s", channel->name,
			 recovered.why ? recovered.why : err_name(r));
		return;
	}
	/* The channel has taken them over. */
	(void)take_fd(&fds[0]);
	(void)take_fd(&fds[1]);
	reply.replayed = recovered.replayed;
	reply.lost = recovered.lost;
	reply.duplicate = recovered.duplicate;
	reply.failed = recovered.failed;
	rpc_reply(call, &reply.base, NULL, 0);
}

static void handle_resumed(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			   size_t nfds, void *arg)
{
	vsp_gathered(arg);
	reply_empty(call);
}

static void handle_close(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			 size_t nfds, void *arg)
{
	const Bulkhead__Vsp__ChannelRequest *req = (const Bulkhead__Vsp__ChannelRequest *)msg;
	struct vsp_channel *channel = named_channel(arg, req->offer_id, call);
	int r;

	if (!channel)
		return;
	r = vsp_channel_close(channel, (struct vsp_done){.fn = reply_empty, .arg = call});
	if (r < 0)
		rpc_fail(call, r, "%s: it is being closed already", channel->name);
}

static void handle_retarget(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			    size_t nfds, void *arg)
{
	const Bulkhead__Vsp__RetargetRequest *req = (const Bulkhead__Vsp__RetargetRequest *)msg;
	struct vsp_channel *channel = named_channel(arg, req->offer_id, call);

	if (!channel)
		return;
	if (channel->state == VSP_CHANNEL_CLOSED)
		rpc_fail(call, -ENOTCONN, "%s: not open", channel->name);
	else if (channel_retarget(&channel->channel, req->target_vp) < 0)
		rpc_fail(call, -EINVAL, "%s: no vCPU %u", channel->name, req->target_vp);
	else
		reply_empty(call);
}

static void handle_revoke(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			  size_t nfds, void *arg)
{
	const Bulkhead__Vsp__LentRequest *req = (const Bulkhead__Vsp__LentRequest *)msg;
	struct vsp_channel *channel = named_channel(arg, req->offer_id, call);
	int r;

	if (!channel)
		return;
	r = vsp_buffer_revoke(channel, req->gpadl, (struct vsp_done){.fn = reply_empty, .arg = call});
	if (r < 0)
		rpc_fail(call, r, "%s: out of memory", channel->name);
}

static void handle_quiesce(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			   size_t nfds, void *arg)
{
	int r = vsp_quiesce(arg, (struct vsp_done){.fn = reply_empty, .arg = call});

	if (r < 0)
		rpc_fail(call, r, "quiescing already");
}

static void handed_over(void *arg)
{
	DEATH(HAND_OVER);
	reply_empty(arg);
}

/* What is left in the blocks and rings is our successor's. */
static void handle_hand_over(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			     size_t nfds, void *arg)
{
	struct vsp *vsp = arg;
	int r;

	vsp->handing_over = true; /* it does not serve again, whatever comes of this */
	r = vsp_quiesce(vsp, (struct vsp_done){.fn = handed_over, .arg = call});
	if (r < 0)
		rpc_fail(call, r, "quiescing already");
}

/* Whoever runs us starts the next one: not so if we went because the worker has gone. */
static void handle_end(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		       void *arg)
{
	const struct vsp *vsp = arg;

	reply_empty(call);
	loop_stop(vsp->loop);
}

static void handle_ping(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			size_t nfds, void *arg)
{
	Bulkhead__Vsp__PingReply reply = BULKHEAD__VSP__PING_REPLY__INIT;
	const struct vsp *vsp = arg;

	reply.waits_for = (char *)(vsp->waits_for ? vsp->waits_for : "");
	rpc_reply(call, &reply.base, NULL, 0);
}

/* The call itself: the device need not know of RPC. */
void vsp_changed(struct vsp_change *change, const struct err *err)
{
	struct rpc_call *call = (struct rpc_call *)change;

	if (err->code)
		rpc_fail(call, err->code, "%s", err->text);
	else
		reply_empty(call);
}

static void handle_change(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			  size_t nfds, void *arg)
{
	const Bulkhead__Vsp__ChangeRequest *req = (const Bulkhead__Vsp__ChangeRequest *)msg;
	const struct vsp *vsp = arg;

	if (vsp->config.change)
		vsp->config.change(vsp->config.arg, req->change.data, req->change.len, fds, nfds,
				   (struct vsp_change *)call);
	else
		rpc_fail(call, -EOPNOTSUPP, "%s: what it serves cannot change", vsp->config.name);
}

static const struct rpc_method methods[] = {
	{VSP_OPEN, "Open", &bulkhead__vsp__open_request__descriptor, &bulkhead__vsp__open_reply__descriptor, 3, 3,
	 RPC_ROLE_ANY, handle_open},
	{VSP_CLOSE, "Close", &bulkhead__vsp__channel_request__descriptor, &bulkhead__empty__descriptor, 0, 0,
	 RPC_ROLE_ANY, handle_close},
	{VSP_RETARGET, "Retarget", &bulkhead__vsp__retarget_request__descriptor, &bulkhead__empty__descriptor, 0, 0,
	 RPC_ROLE_ANY, handle_retarget},
	{VSP_QUIESCE, "Quiesce", &bulkhead__empty__descriptor, &bulkhead__empty__descriptor, 0, 0, RPC_ROLE_ANY,
	 handle_quiesce},
	{VSP_HAND_OVER, "HandOver", &bulkhead__empty__descriptor, &bulkhead__empty__descriptor, 0, 0, RPC_ROLE_ANY,
	 handle_hand_over},
	{VSP_END, "End", &bulkhead__empty__descriptor, &bulkhead__empty__descriptor, 0, 0, RPC_ROLE_ANY, handle_end},
	{VSP_PING, "Ping", &bulkhead__empty__descriptor, &bulkhead__vsp__ping_reply__descriptor, 0, 0, RPC_ROLE_ANY,
	 handle_ping},
	{VSP_CHANGE, "Change", &bulkhead__vsp__change_request__descriptor, &bulkhead__empty__descriptor, 0,
	 VSP_CHANGE_FDS_MAX, RPC_ROLE_ANY, handle_change},
	{VSP_RESUMED, "Resumed", &bulkhead__empty__descriptor, &bulkhead__empty__descriptor, 0, 0, RPC_ROLE_ANY,
	 handle_resumed},
	{VSP_REVOKE, "Revoke", &bulkhead__vsp__lent_request__descriptor, &bulkhead__empty__descriptor, 0, 0,
	 RPC_ROLE_ANY, handle_revoke},
	{0},
};

static const struct rpc_service service = {.name = VSP_SERVICE, .version = VSP_SERVICE_VERSION, .methods = methods};

static void on_closed(struct rpc_conn *conn, int error, const char *why, void *arg)
{
	struct vsp *vsp = arg;

	rpc_conn_free(conn);
	vsp->conn = NULL;
	if (vsp->config.worker_gone)
		vsp->config.worker_gone(vsp->config.arg, why);
}

static const struct rpc_conn_ops conn_ops = {.closed = on_closed};

/* ---- what we call ---- */

static int take_keepsake(struct vsp_keepsake *keepsake, const Bulkhead__Vsp__Keepsake *from, int *fd)
{
	if (!from->key[0] || strlen(from->key) > VSP_KEY_MAX || from->data.len > VSP_KEEPSAKE_MAX)
		return -EPROTO;
	keepsake->data = malloc(MAX(from->data.len, (size_t)1));
	if (!keepsake->data)
		return -ENOMEM;
	strcpy(keepsake->key, from->key);
	if (from->data.len > 0)
		memcpy(keepsake->data, from->data.data, from->data.len);
	keepsake->len = from->data.len;
	keepsake->fd = take_fd(fd);
	return 0;
}

static int take_keepsakes(struct vsp_attachment *attachment, const Bulkhead__Vsp__AttachReply *reply, int *fds)
{
	for (size_t i = 0; i < reply->n_keepsakes; i++) {
		int r = take_keepsake(&attachment->keepsakes[i], reply->keepsakes[i], &fds[i]);

		if (r < 0)
			return r;
		attachment->keepsake_count++;
	}
	return 0;
}

static int decode_attach(struct vsp *vsp, const Bulkhead__Vsp__AttachReply *reply, int *fds, size_t nfds,
			 struct err *err)
{
	struct guest_mem_region regions[GUEST_MEM_REGIONS_MAX];
	struct vsp_attachment attachment = {
		.regions = regions,
		.region_count = reply->n_memory,
		.cpus = reply->cpus,
		.config = reply->config.data,
		.config_len = reply->config.len,
		.vm_name = reply->vm_name,
		.fd_count = reply->fd_count,
		.generation = reply->generation,
		.cautious = reply->cautious,
		.at_fault = reply->at_fault,
	};
	int r;

	if (reply->n_memory > GUEST_MEM_REGIONS_MAX || reply->fd_count > VSP_FDS_MAX ||
	    reply->n_keepsakes > VSP_KEEPSAKES_MAX ||
	    nfds != reply->n_memory + 1 + reply->fd_count + reply->n_keepsakes)
		return err_set(err, -EPROTO, "worker: its answer to Attach has %zu descriptors, not those it names",
			       nfds);
	for (size_t i = 0; i < reply->n_memory; i++)
		regions[i] = (struct guest_mem_region){
			.gpa = reply->memory[i]->gpa,
			.len = reply->memory[i]->len,
			.offset = reply->memory[i]->offset,
			.fd = fds[i],
		};
	attachment.cells_fd = fds[reply->n_memory];
	attachment.fds = fds + reply->n_memory + 1;
	r = take_keepsakes(&attachment, reply, attachment.fds + reply->fd_count);
	if (r < 0)
		err_set(err, r, "worker: what our predecessor left cannot be taken%s: %s",
			r == -EPROTO ? " (a keepsake's key or data are too long)" : "", err_name(r));
	else
		r = vsp_attached(vsp, &attachment, err);
	for (size_t i = 0; i < attachment.keepsake_count; i++) {
		fd_close(&attachment.keepsakes[i].fd);
		free(attachment.keepsakes[i].data);
	}
	return r;
}

int vsp_rpc_attach(struct vsp *vsp, struct err *err)
{
	Bulkhead__Vsp__AttachRequest req = BULKHEAD__VSP__ATTACH_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	int fds[RPC_FDS_MAX];
	size_t nfds = ARRAY_SIZE(fds);
	int r;

	r = rpc_conn_connect(vsp->loop, vsp->config.worker_path, WORKER_SERVICE, WORKER_SERVICE_VERSION, &service,
			     &conn_ops, vsp, &vsp->conn);
	if (r < 0)
		return err_set(err, r, "worker %s: cannot connect: %s", vsp->config.worker_path, err_name(r));
	req.name = (char *)vsp->config.name;
	req.block_version = BLOCK_VERSION;
	req.state_version = vsp->config.state_version;
	req.program = (char *)(vsp->config.program ? vsp->config.program : "");
	if (vsp->config.invocation && text_is_hex(vsp->config.invocation, VSP_INVOCATION_LEN))
		req.invocation = (char *)vsp->config.invocation;
	/* The worker answers once our predecessor, if there is one, has come to its end. */
	r = rpc_call_wait(vsp->conn, WORKER_VSP_ATTACH, &req.base, &bulkhead__vsp__attach_reply__descriptor, NULL, 0,
			  NO_DEADLINE, err, &reply, fds, &nfds);
	if (r < 0)
		return r;
	r = decode_attach(vsp, (const Bulkhead__Vsp__AttachReply *)reply, fds, nfds, err);
	protobuf_c_message_free_unpacked(reply, NULL);
	for (size_t i = 0; i < nfds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	DEATH_GENERATION(vsp->generation);
	DEATH(ATTACHED);
	return r;
}

int vsp_rpc_keep(struct vsp *vsp, const char *key, int fd, const void *data, size_t len, struct err *err)
{
	Bulkhead__Vsp__KeepRequest req = BULKHEAD__VSP__KEEP_REQUEST__INIT;
	Bulkhead__Vsp__Keepsake keepsake = BULKHEAD__VSP__KEEPSAKE__INIT;

	if (!vsp->conn)
		return err_set(err, -ENOTCONN, "worker: gone");
	keepsake.key = (char *)key;
	keepsake.data = (ProtobufCBinaryData){len, (uint8_t *)data};
	req.keepsake = &keepsake;
	return rpc_call_wait(vsp->conn, WORKER_VSP_KEEP, &req.base, &bulkhead__empty__descriptor, &fd, 1, 0, err, NULL,
			     NULL, NULL);
}

/* The outcome of an offer. */
struct offer_wait {
	struct vsp_channel *channel;
	struct err *err;
	bool over;
	int result;
};

static void on_offered(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	struct offer_wait *wait = arg;

	wait->over = true;
	if (error < 0)
		wait->result = err_set(wait->err, error, "%s: the worker refused the offer: %s", wait->channel->name,
				       text[0] ? text : err_name(error));
	else
		/* Now, not when the waiter runs on: an Open may follow at once. */
		wait->channel->offer_id = ((const Bulkhead__Vsp__OfferReply *)msg)->offer_id;
}

static int send_offer(struct vsp_channel *channel, const struct vsp_offer_desc *desc, size_t block_bytes,
		      rpc_reply_fn fn, void *arg)
{
	Bulkhead__Vsp__OfferRequest req = BULKHEAD__VSP__OFFER_REQUEST__INIT;
	struct vsp *vsp = channel->vsp;

	req.interface_guid = (ProtobufCBinaryData){GUID_LEN, (uint8_t *)desc->interface_guid.b};
	req.instance_guid = (ProtobufCBinaryData){GUID_LEN, (uint8_t *)desc->instance_guid.b};
	req.flags = desc->flags;
	req.mmio_megabytes = desc->mmio_megabytes;
	req.user_defined = (ProtobufCBinaryData){desc->user_defined_len, (uint8_t *)desc->user_defined};
	req.subchannel_index = desc->subchannel_index;
	req.block_bytes = block_bytes;
	return vsp->conn ? rpc_request(vsp->conn, WORKER_VSP_OFFER, &req.base, &bulkhead__vsp__offer_reply__descriptor,
				       NULL, 0, OFFER_DEADLINE_MS, fn, arg)
			 : -ENOTCONN;
}

/* One that nobody waits for in a loop of its own. */
struct offering {
	struct vsp_channel *channel;
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

static void on_offer_over(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	_cleanup_free_ struct offering *offering = arg;
	struct vsp_channel *channel = offering->channel;
	struct err err = {0};

	if (channel->vsp->ending)
		return;
	if (error < 0) {
		err_set(&err, error, "%s: the worker refused the offer: %s", channel->name,
			text[0] ? text : err_name(error));
		channel->withdrawn = true;
		loop_wake(channel->vsp->work);
	} else {
		channel->offer_id = ((const Bulkhead__Vsp__OfferReply *)msg)->offer_id;
	}
	DEATH(OFFERED);
	offering->done(offering->arg, &err);
}

int vsp_rpc_offer_begin(struct vsp_channel *channel, const struct vsp_offer_desc *desc, size_t block_bytes,
			void (*done)(void *arg, const struct err *err), void *arg)
{
	struct offering *offering = malloc(sizeof(*offering));
	int r;

	if (!offering)
		return -ENOMEM;
	*offering = (struct offering){channel, done, arg};
	r = send_offer(channel, desc, block_bytes, on_offer_over, offering);
	if (r < 0)
		free(offering);
	return r;
}

int vsp_rpc_offer(struct vsp_channel *channel, const struct vsp_offer_desc *desc, size_t block_bytes, struct err *err)
{
	struct offer_wait wait = {.channel = channel, .err = err};
	struct vsp *vsp = channel->vsp;
	int r = send_offer(channel, desc, block_bytes, on_offered, &wait);

	if (r < 0)
		return err_set(err, r, "%s: cannot make the offer: %s", channel->name, err_name(r));
	while (!wait.over && r == 0)
		r = loop_run_once(vsp->loop, true);
	if (!wait.over) {
		/* on_offered() must not outlive this frame: it runs inside. */
		rpc_conn_free(take_ptr(vsp->conn));
		return err_set(err, r, "%s: event loop: %s", channel->name, err_name(r));
	}
	DEATH(OFFERED);
	return wait.result;
}

/* What the worker refuses it has logged. */
static void on_asked(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
}

int vsp_rpc_withdraw(struct vsp *vsp, uint32_t offer_id)
{
	Bulkhead__Vsp__WithdrawRequest req = BULKHEAD__VSP__WITHDRAW_REQUEST__INIT;

	req.offer_id = offer_id;
	return vsp->conn ? rpc_request(vsp->conn, WORKER_VSP_WITHDRAW, &req.base, &bulkhead__empty__descriptor, NULL, 0,
				       OFFER_DEADLINE_MS, on_asked, NULL)
			 : -ENOTCONN;
}

static void on_told(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	(void)msg;
	(void)fds;
	(void)nfds;
	(void)arg;
	if (error < 0)
		log_debug(NULL, "the worker does not take what it is told: %s", text[0] ? text : err_name(error));
}

int vsp_tell(struct vsp *vsp, const void *bytes, size_t len)
{
	Bulkhead__Vsp__StatusRequest req = BULKHEAD__VSP__STATUS_REQUEST__INIT;

	req.status = (ProtobufCBinaryData){len, (uint8_t *)bytes};
	return vsp->conn ? rpc_request(vsp->conn, WORKER_VSP_STATUS, &req.base, &bulkhead__empty__descriptor, NULL, 0,
				       OFFER_DEADLINE_MS, on_told, NULL)
			 : -ENOTCONN;
}

int vsp_rpc_subchannels(struct vsp *vsp, uint32_t offer_id, uint32_t count)
{
	Bulkhead__Vsp__SubchannelsRequest req = BULKHEAD__VSP__SUBCHANNELS_REQUEST__INIT;

	req.offer_id = offer_id;
	req.count = count;
	return vsp->conn ? rpc_request(vsp->conn, WORKER_VSP_SUBCHANNELS, &req.base, &bulkhead__empty__descriptor, NULL,
				       0, OFFER_DEADLINE_MS, on_asked, NULL)
			 : -ENOTCONN;
}

static void on_lent(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	const Bulkhead__Vsp__LentReply *reply = (const Bulkhead__Vsp__LentReply *)msg;

	(void)text;
	if (error == 0 && nfds != 1)
		error = -EPROTO;
	vsp_buffer_lent(arg, error, error < 0 ? -1 : fds[0], error < 0 ? 0 : reply->ranges);
}

int vsp_rpc_lend(struct vsp *vsp, uint32_t offer_id, uint32_t gpadl, struct vsp_mapping *mapping)
{
	Bulkhead__Vsp__LentRequest req = BULKHEAD__VSP__LENT_REQUEST__INIT;

	req.offer_id = offer_id;
	req.gpadl = gpadl;
	return vsp->conn ? rpc_request(vsp->conn, WORKER_VSP_LEND, &req.base, &bulkhead__vsp__lent_reply__descriptor,
				       NULL, 0, NO_DEADLINE, on_lent, mapping)
			 : -ENOTCONN;
}

int vsp_rpc_ready(struct vsp *vsp, struct err *err)
{
	Bulkhead__Vsp__ReadyRequest req = BULKHEAD__VSP__READY_REQUEST__INIT;
	int r;

	if (!vsp->conn)
		return err_set(err, -ENOTCONN, "worker: gone");
	r = rpc_call_wait(vsp->conn, WORKER_VSP_READY, &req.base, &bulkhead__empty__descriptor, NULL, 0, 0, err, NULL,
			  NULL, NULL);
	DEATH(READY);
	return r;
}
