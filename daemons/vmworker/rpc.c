// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation: whoever connects says in its HELLO what it serves itself: a VSP "vsp", a manager "manager" or
 * nothing, who tells of a VSP's end "teller". That is its role, by which the method table lets it call. Any number of
 * managers may be connected (one that was killed and comes back finds the VM as it is).
 *
 * When the worker ends: at once after WORKER_STOP was answered; else as soon as somebody who subscribed has been told
 * of the VM's end; else LINGER_NS after it. A worker that nobody configures ends LINGER_NS after its start.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "kvm.h"
#include "proto/methods.h"
#include "proto/types.pb-c.h"
#include "proto/vsp.pb-c.h"
#include "proto/worker.pb-c.h"
#include "rpc.h"
#include "rpc_int.h"
#include "vsp/stats_block.h"

#define LINGER_NS   (60 * 1000 * 1000 * 1000ull)
#define DELIVERY_NS (100 * 1000 * 1000ull) /* for frames that a slow peer has not yet taken */

struct rpc {
	struct loop *loop;
	const char *uuid;
	struct spawner *spawner;
	int last_fd;
	struct rpc_server *server;
	struct peer *peers;
	struct vm *vm;
	bool stop_asked;	  /* WORKER_STOP or a signal */
	bool told;		  /* a subscriber knows of the VM's end */
	struct loop_source *end;  /* ends the worker */
	struct loop_source *drop; /* ends peers */
};

/* ---- plain structs to generated ones ---- */

/* Room for what a StateReply refers to. */
struct state_reply {
	Bulkhead__Worker__StateReply reply;
	char *missing[PROVIDERS_MAX];
	Bulkhead__Worker__Service service[PROVIDERS_MAX], *services[PROVIDERS_MAX];
	Bulkhead__Worker__IntegrationService ic[IC_SERVICES], *ics[IC_SERVICES];
	char version[IC_SERVICES][16];
};

static void fill_service(const struct provider *provider, Bulkhead__Worker__Service *to)
{
	static const Bulkhead__Worker__ServiceState states[] = {
		[SERVICE_NOT_STARTED] = BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_NOT_STARTED,
		[SERVICE_STARTING] = BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_STARTING,
		[SERVICE_SERVING] = BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_SERVING,
		[SERVICE_RECOVERING] = BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_RECOVERING,
		[SERVICE_WAITING] = BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_WAITING,
	};
	struct service_status status;

	service_status(provider, &status);
	bulkhead__worker__service__init(to);
	to->name = (char *)status.name;
	to->pid = (uint32_t)status.pid;
	to->state = states[status.state];
	to->message = (char *)status.message;
	to->program = (char *)status.program;
	to->deaths = status.deaths;
	to->upgrades = status.upgrades;
	to->replayed = status.counts.replayed;
	to->lost = status.counts.lost;
	to->duplicate = status.counts.duplicate;
	to->failed = status.counts.failed;
	to->last_outage_us = status.last_outage_us;
	to->hangs = status.hangs;
	to->idle = provider->idle;
	to->status = (ProtobufCBinaryData){provider->status_len, provider->status};
}

static void fill_integration(const struct vm *vm, struct state_reply *s)
{
	struct ic_service_status status;
	size_t i;

	for (i = 0; vm_service(vm, i, &status); i++) {
		bulkhead__worker__integration_service__init(&s->ic[i]);
		s->version[i][0] = '\0';
		if (status.major)
			snprintf(s->version[i], sizeof(s->version[i]), "%u.%u", status.major, status.minor);
		s->ic[i].name = (char *)status.name;
		s->ic[i].version = s->version[i];
		s->ics[i] = &s->ic[i];
	}
	s->reply.n_integration = i;
	s->reply.integration = s->ics;
}

static void fill_state(const struct rpc *rpc, struct state_reply *s)
{
	static const Bulkhead__Worker__Heartbeat heartbeats[] = {
		[IC_HEARTBEAT_UNKNOWN] = BULKHEAD__WORKER__HEARTBEAT__HEARTBEAT_UNKNOWN,
		[IC_HEARTBEAT_OK] = BULKHEAD__WORKER__HEARTBEAT__HEARTBEAT_OK,
		[IC_HEARTBEAT_LOST] = BULKHEAD__WORKER__HEARTBEAT__HEARTBEAT_LOST,
	};
	static const Bulkhead__Worker__State states[] = {
		[VM_CREATED] = BULKHEAD__WORKER__STATE__STATE_CREATED,
		[VM_RUNNING] = BULKHEAD__WORKER__STATE__STATE_RUNNING,
		[VM_PAUSED] = BULKHEAD__WORKER__STATE__STATE_PAUSED,
		[VM_OFF] = BULKHEAD__WORKER__STATE__STATE_OFF,
		[VM_CRASHED] = BULKHEAD__WORKER__STATE__STATE_CRASHED,
	};
	const struct providers *providers;
	const struct provider *provider;
	struct vm_status status;
	size_t i = 0;

	bulkhead__worker__state_reply__init(&s->reply);
	if (!rpc->vm)
		return;
	vm_status(rpc->vm, &status);
	s->reply.state = states[status.state];
	s->reply.reason = (char *)status.reason;
	s->reply.guest_message = (char *)status.guest_message;
	s->reply.console_pty = (char *)status.console_pty;
	s->reply.resets = status.resets;
	s->reply.exits = status.exits;
	s->reply.heartbeat = heartbeats[status.heartbeat];
	fill_integration(rpc->vm, s);
	s->reply.providers_missing = s->missing;
	while ((provider = providers_missing(vm_providers(rpc->vm), &i)))
		s->missing[s->reply.n_providers_missing++] = provider->name;
	providers = vm_providers(rpc->vm);
	for (i = 0; i < providers->count; i++) {
		fill_service(&providers->at[i], &s->service[i]);
		s->services[i] = &s->service[i];
	}
	s->reply.n_services = providers->count;
	s->reply.services = s->services;
}

static void reply_state(struct rpc *rpc, struct rpc_call *call)
{
	struct state_reply s;

	fill_state(rpc, &s);
	rpc_reply(call, &s.reply.base, NULL, 0);
}

static void reply_empty(struct rpc_call *call, const struct err *err)
{
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;

	if (err->code)
		rpc_fail(call, err->code, "%s", err->text);
	else
		rpc_reply(call, &empty.base, NULL, 0);
}

static void on_done(void *arg, const struct err *err)
{
	reply_empty(arg, err);
}

/* ---- the end of the worker ---- */

static void on_end(void *arg)
{
	struct rpc *rpc = arg;

	loop_stop(rpc->loop);
}

/* The VM has ended. A manager that is there is told besides; one that is not looks at the file. */
static void write_last(struct rpc *rpc)
{
	struct vm_status status;
	char text[256];
	int n, r;

	if (rpc->last_fd < 0)
		return;
	vm_status(rpc->vm, &status);
	n = snprintf(text, sizeof(text), "%s\n%s\n", status.state == VM_CRASHED ? "crashed" : "off", status.reason);
	r = fd_write_full(rpc->last_fd, text, (size_t)n);
	if (r < 0)
		log_warn(NULL, "cannot leave the VM's last state: %s", strerror(-r));
	fd_close(&rpc->last_fd);
}

static void on_vm_changed(void *arg)
{
	struct rpc *rpc = arg;
	struct state_reply s;
	bool told_before = rpc->told;

	if (!rpc->vm) /* being built */
		return;
	if (vm_ended(rpc->vm))
		write_last(rpc);
	fill_state(rpc, &s);
	for (struct peer *peer = rpc->peers; peer; peer = peer->next)
		if (peer->subscribed && !rpc_notify(peer->conn, MANAGER_STATE_CHANGED, &s.reply.base, NULL, 0))
			rpc->told = vm_ended(rpc->vm);
	/* What changes afterwards (providers leave) puts the end off no more. */
	if (vm_ended(rpc->vm) && !told_before)
		loop_arm(rpc->end, rpc->told || rpc->stop_asked ? DELIVERY_NS : LINGER_NS);
}

/* ---- the manager's calls ---- */

struct vm *peer_vm(struct peer *peer, struct rpc_call *call)
{
	if (!peer->rpc->vm)
		rpc_fail(call, -ENOENT, "no VM has been created here");
	return peer->rpc->vm;
}

static int create(struct rpc *rpc, const ProtobufCMessage *msg, const int *fds, size_t nfds, struct err *err)
{
	struct provider_config providers[PROVIDERS_MAX];
	struct vm_config config;
	int r;

	if (rpc->vm)
		return err_set(err, -EEXIST, "this worker has its VM already");
	r = rpc_read_create(msg, rpc->uuid, fds, nfds, &config, providers, err);
	if (r < 0)
		return r;
	config.spawner = rpc->spawner;
	return vm_new(rpc->loop, &config, on_vm_changed, rpc, err, &rpc->vm);
}

static void handle_create(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			  size_t nfds, void *arg)
{
	Bulkhead__Worker__CreateReply reply = BULKHEAD__WORKER__CREATE_REPLY__INIT;
	struct peer *peer = arg;
	struct vm_status status;
	struct err err = {0};

	if (create(peer->rpc, msg, fds, nfds, &err) < 0) {
		rpc_fail(call, err.code, "%s", err.text);
		return;
	}
	loop_disarm(peer->rpc->end);
	vm_status(peer->rpc->vm, &status);
	reply.console_pty = (char *)status.console_pty;
	rpc_reply(call, &reply.base, NULL, 0);
	on_vm_changed(peer->rpc);
}

static void handle_start(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			 size_t nfds, void *arg)
{
	struct vm *vm = peer_vm(arg, call);

	if (vm)
		vm_start(vm, on_done, call);
}

static void handle_pause(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			 size_t nfds, void *arg)
{
	struct vm *vm = peer_vm(arg, call);
	struct err err = {0};

	if (!vm)
		return;
	vm_pause(vm, &err);
	reply_empty(call, &err);
}

static void handle_resume(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			  size_t nfds, void *arg)
{
	struct vm *vm = peer_vm(arg, call);
	struct err err = {0};

	if (!vm)
		return;
	vm_resume(vm, &err);
	reply_empty(call, &err);
}

static void handle_reset(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			 size_t nfds, void *arg)
{
	struct vm *vm = peer_vm(arg, call);

	if (vm)
		vm_reset(vm, on_done, call);
}

static void handle_ask(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		       void *arg)
{
	static const enum vm_ask asks[] = {
		[BULKHEAD__WORKER__ASK__ASK_SHUTDOWN] = VM_ASK_SHUTDOWN,
		[BULKHEAD__WORKER__ASK__ASK_REBOOT] = VM_ASK_REBOOT,
	};
	const Bulkhead__Worker__AskRequest *req = (const Bulkhead__Worker__AskRequest *)msg;
	struct vm *vm = peer_vm(arg, call);

	if (!vm)
		return;
	if ((unsigned int)req->ask < ARRAY_SIZE(asks))
		vm_ask(vm, asks[req->ask], req->force, req->timeout_ms, on_done, call);
	else
		rpc_fail(call, -EINVAL, "this worker cannot ask a guest for %d", (int)req->ask);
}

static void handle_stop(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			size_t nfds, void *arg)
{
	struct peer *peer = arg;
	struct vm *vm = peer->rpc->vm;

	peer->rpc->stop_asked = true;
	if (!vm || vm_ended(vm))
		loop_arm(peer->rpc->end, DELIVERY_NS);
	if (vm)
		vm_stop(vm, "stop requested", on_done, call);
	else
		reply_empty(call, &(struct err){0});
}

static void handle_get_state(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			     size_t nfds, void *arg)
{
	struct peer *peer = arg;

	reply_state(peer->rpc, call);
}

static void handle_subscribe(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			     size_t nfds, void *arg)
{
	struct peer *peer = arg;

	if (strcmp(rpc_conn_remote(conn, NULL), MANAGER_SERVICE)) {
		rpc_fail(call, -EPERM, "only who serves \"%s\" can be notified", MANAGER_SERVICE);
		return;
	}
	peer->subscribed = true;
	reply_state(peer->rpc, call);
	if (peer->rpc->vm && vm_ended(peer->rpc->vm)) {
		peer->rpc->told = true;
		loop_arm(peer->rpc->end, DELIVERY_NS);
	}
}

static void handle_upgrade(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			   size_t nfds, void *arg)
{
	const Bulkhead__Worker__UpgradeRequest *req = (const Bulkhead__Worker__UpgradeRequest *)msg;
	struct vm *vm = peer_vm(arg, call);
	struct provider *provider;

	if (!vm)
		return;
	provider = providers_find(vm_providers(vm), req->name);
	if (provider)
		service_upgrade(provider, nfds ? fds[0] : -1, on_done, call);
	else
		rpc_fail(call, -ENOENT, "provider %s: this VM is not configured with it", req->name);
}

static void handle_open_console(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
				size_t nfds, void *arg)
{
	const Bulkhead__Worker__OpenConsoleRequest *req = (const Bulkhead__Worker__OpenConsoleRequest *)msg;
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
	struct vm *vm = peer_vm(arg, call);
	_cleanup_close_ int fd = -1;

	if (!vm)
		return;
	fd = vm_open_console(vm, req->backlog);
	if (fd < 0)
		rpc_fail(call, fd, "console: %s", fd == -ENOTCONN ? "the VM has ended" : strerror(-fd));
	else
		rpc_reply(call, &empty.base, &fd, 1);
}

static void handle_change(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			  size_t nfds, void *arg)
{
	const Bulkhead__Worker__ChangeRequest *req = (const Bulkhead__Worker__ChangeRequest *)msg;
	const struct provider_change change = {
		.change = req->change.data,
		.change_len = req->change.len,
		.config = req->has_config ? (req->config.data ? (const void *)req->config.data : "") : NULL,
		.config_len = req->config.len,
		.fds = fds,
		.nfds = nfds,
		.drops = req->drop_count ? req->drop_count : 1,
		.drop = req->has_drop ? (int)MIN(req->drop, (uint32_t)INT_MAX) : -1,
		.early = req->early,
	};
	struct vm *vm = peer_vm(arg, call);
	struct provider *provider = vm ? providers_find(vm_providers(vm), req->name) : NULL;

	if (vm && !provider)
		rpc_fail(call, -ENOENT, "provider %s: this VM is not configured with it", req->name);
	else if (vm && vm_ended(vm))
		rpc_fail(call, -ECANCELED, "the VM has ended");
	else if (vm)
		provider_change(provider, &change, on_done, call);
}

struct get_provider {
	struct provider *provider;
	struct rpc_call *call;
};

static void reply_provider(void *arg)
{
	Bulkhead__Worker__Provider reply = BULKHEAD__WORKER__PROVIDER__INIT;
	struct get_provider get = *(struct get_provider *)arg;

	free(arg);
	reply.name = get.provider->name;
	reply.config = (ProtobufCBinaryData){get.provider->config_len, get.provider->config};
	reply.fd_count = (uint32_t)get.provider->nfds;
	rpc_reply(get.call, &reply.base, NULL, 0);
}

static void handle_get_provider(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
				size_t nfds, void *arg)
{
	const Bulkhead__Worker__ProviderRequest *req = (const Bulkhead__Worker__ProviderRequest *)msg;
	struct vm *vm = peer_vm(arg, call);
	struct provider *provider = vm ? providers_find(vm_providers(vm), req->name) : NULL;
	struct get_provider *get;

	if (!vm)
		return;
	get = provider ? malloc(sizeof(*get)) : NULL;
	if (get)
		*get = (struct get_provider){provider, call};
	if (!provider)
		rpc_fail(call, -ENOENT, "provider %s: this VM is not configured with it", req->name);
	else if (!get || provider_change_wait(provider, reply_provider, get) < 0)
		rpc_fail(call, -ENOMEM, "out of memory");
}

/* Its providers' keepsakes of that name; what is in them is between them and who asks. */
static void handle_get_statistics(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
				  size_t nfds, void *arg)
{
	Bulkhead__Worker__StatisticsReply reply = BULKHEAD__WORKER__STATISTICS_REPLY__INIT;
	struct vm *vm = peer_vm(arg, call);
	char *names[PROVIDERS_MAX];
	int kept[PROVIDERS_MAX];
	struct providers *providers;

	if (!vm)
		return;
	providers = vm_providers(vm);
	for (size_t i = 0; i < providers->count; i++) {
		int fd = provider_kept(&providers->at[i], STATS_KEY);

		if (fd < 0)
			continue;
		names[reply.n_names] = providers->at[i].name;
		kept[reply.n_names++] = fd;
	}
	reply.names = names;
	rpc_reply(call, &reply.base, kept, reply.n_names);
}

#define EMPTY	     &bulkhead__empty__descriptor
#define CHANGE	     &bulkhead__worker__change_request__descriptor
#define GET_PROVIDER &bulkhead__worker__provider_request__descriptor
#define STATISTICS   &bulkhead__worker__statistics_reply__descriptor
#define PROVIDER     &bulkhead__worker__provider__descriptor
#define CREATE	     &bulkhead__worker__create_request__descriptor
#define CREATED	     &bulkhead__worker__create_reply__descriptor
#define STATE	     &bulkhead__worker__state_reply__descriptor
#define CONSOLE	     &bulkhead__worker__open_console_request__descriptor
#define ATTACH	     &bulkhead__vsp__attach_request__descriptor
#define ATTACHED     &bulkhead__vsp__attach_reply__descriptor
#define OFFER	     &bulkhead__vsp__offer_request__descriptor
#define OFFERED	     &bulkhead__vsp__offer_reply__descriptor
#define READY	     &bulkhead__vsp__ready_request__descriptor
#define KEEP	     &bulkhead__vsp__keep_request__descriptor
#define WITHDRAW     &bulkhead__vsp__withdraw_request__descriptor
#define SUBCHANNELS  &bulkhead__vsp__subchannels_request__descriptor
#define LENT_REQUEST &bulkhead__vsp__lent_request__descriptor
#define LENT	     &bulkhead__vsp__lent_reply__descriptor
#define STATUS	     &bulkhead__vsp__status_request__descriptor
#define ENDED	     &bulkhead__vsp__ended_request__descriptor
#define UPGRADE	     &bulkhead__worker__upgrade_request__descriptor
#define ASK	     &bulkhead__worker__ask_request__descriptor

static const struct rpc_method methods[] = {
	{WORKER_CREATE, "Create", CREATE, CREATED, 2, RPC_FDS_MAX, ROLE_MANAGER, handle_create},
	{WORKER_START, "Start", EMPTY, EMPTY, 0, 0, ROLE_MANAGER, handle_start},
	{WORKER_PAUSE, "Pause", EMPTY, EMPTY, 0, 0, ROLE_MANAGER, handle_pause},
	{WORKER_RESUME, "Resume", EMPTY, EMPTY, 0, 0, ROLE_MANAGER, handle_resume},
	{WORKER_RESET, "Reset", EMPTY, EMPTY, 0, 0, ROLE_MANAGER, handle_reset},
	{WORKER_STOP, "Stop", EMPTY, EMPTY, 0, 0, ROLE_MANAGER, handle_stop},
	{WORKER_GET_STATE, "GetState", EMPTY, STATE, 0, 0, ROLE_MANAGER, handle_get_state},
	{WORKER_SUBSCRIBE, "Subscribe", EMPTY, STATE, 0, 0, ROLE_MANAGER, handle_subscribe},
	{WORKER_OPEN_CONSOLE, "OpenConsole", CONSOLE, EMPTY, 0, 0, ROLE_MANAGER, handle_open_console},
	{WORKER_UPGRADE, "Upgrade", UPGRADE, EMPTY, 0, 1, ROLE_MANAGER, handle_upgrade},
	{WORKER_ASK, "Ask", ASK, EMPTY, 0, 0, ROLE_MANAGER, handle_ask},
	{WORKER_CHANGE, "Change", CHANGE, EMPTY, 0, VSP_CHANGE_FDS_MAX, ROLE_MANAGER, handle_change},
	{WORKER_GET_PROVIDER, "GetProvider", GET_PROVIDER, PROVIDER, 0, 0, ROLE_MANAGER, handle_get_provider},
	{WORKER_GET_STATISTICS, "GetStatistics", EMPTY, STATISTICS, 0, 0, ROLE_MANAGER, handle_get_statistics},
	{WORKER_VSP_ATTACH, "VspAttach", ATTACH, ATTACHED, 0, 0, ROLE_VSP, vsp_handle_attach},
	{WORKER_VSP_OFFER, "VspOffer", OFFER, OFFERED, 0, 0, ROLE_VSP, vsp_handle_offer},
	{WORKER_VSP_READY, "VspReady", READY, EMPTY, 0, 0, ROLE_VSP, vsp_handle_ready},
	{WORKER_VSP_KEEP, "VspKeep", KEEP, EMPTY, 1, 1, ROLE_VSP, vsp_handle_keep},
	{WORKER_VSP_WITHDRAW, "VspWithdraw", WITHDRAW, EMPTY, 0, 0, ROLE_VSP, vsp_handle_withdraw},
	{WORKER_VSP_SUBCHANNELS, "VspSubchannels", SUBCHANNELS, EMPTY, 0, 0, ROLE_VSP, vsp_handle_subchannels},
	{WORKER_VSP_LEND, "VspLend", LENT_REQUEST, LENT, 0, 0, ROLE_VSP, vsp_handle_lend},
	{WORKER_VSP_STATUS, "VspStatus", STATUS, EMPTY, 0, 0, ROLE_VSP, vsp_handle_status},
	{WORKER_VSP_ENDED, "VspEnded", ENDED, EMPTY, 0, 0, ROLE_TELLER, vsp_handle_ended},
	{0},
};

static const struct rpc_service service = {
	.name = WORKER_SERVICE, .version = WORKER_SERVICE_VERSION, .methods = methods};

/* ---- peers ---- */

static void peer_end(struct peer *peer)
{
	struct peer **at = &peer->rpc->peers;

	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	rpc_conn_free(peer->conn); /* fails what is pending, before the link goes */
	vsp_link_end(peer);
	free(peer);
}

void peer_drop(struct peer *peer)
{
	peer->subscribed = false;
	rpc_conn_set_role(peer->conn, ROLE_DROPPED);
	loop_wake(peer->rpc->drop);
}

static void on_drop(void *arg)
{
	struct rpc *rpc = arg;
	struct peer *next;

	for (struct peer *peer = rpc->peers; peer; peer = next) {
		next = peer->next;
		if (rpc_conn_role(peer->conn) == ROLE_DROPPED)
			peer_end(peer);
	}
}

/* A peer's HELLO has come: what it serves says what it is. */
static void on_connected(struct rpc_conn *conn, void *arg)
{
	struct peer *peer = arg;
	uint32_t version = 0;
	const char *name = rpc_conn_remote(conn, &version);

	if (!name[0] || (!strcmp(name, MANAGER_SERVICE) && version == MANAGER_SERVICE_VERSION)) {
		rpc_conn_set_role(conn, ROLE_MANAGER);
	} else if (!strcmp(name, VSP_SERVICE) && version == VSP_SERVICE_VERSION) {
		rpc_conn_set_role(conn, ROLE_VSP);
	} else if (!strcmp(name, TELLER_SERVICE) && version == TELLER_SERVICE_VERSION) {
		rpc_conn_set_role(conn, ROLE_TELLER);
	} else {
		log_warn(NULL, "a peer serves %s version %u: dropped", name, version);
		peer_drop(peer);
	}
}

static void on_closed(struct rpc_conn *conn, int error, const char *why, void *arg)
{
	struct peer *peer = arg;

	if (error != -ECONNRESET)
		log_warn(NULL, "connection of process %d: %s", (int)rpc_conn_peer(conn)->pid, why);
	peer_end(peer);
}

static const struct rpc_conn_ops conn_ops = {.connected = on_connected, .closed = on_closed};

static void on_accepted(struct rpc_conn *conn, void *arg)
{
	struct rpc *rpc = arg;
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer) {
		rpc_conn_free(conn);
		return;
	}
	peer->rpc = rpc;
	peer->conn = conn;
	peer->next = rpc->peers;
	rpc->peers = peer;
	rpc_conn_set_arg(conn, peer);
}

/* ---- start and end ---- */

int rpc_new(struct loop *loop, const char *path, const char *uuid, struct spawner *spawner, int last_fd,
	    struct err *err, struct rpc **ret_rpc)
{
	struct rpc *rpc = calloc(1, sizeof(*rpc));
	int r;

	if (!rpc) {
		fd_close(&last_fd);
		return err_set(err, -ENOMEM, "out of memory");
	}
	rpc->loop = loop;
	rpc->uuid = uuid;
	rpc->spawner = spawner;
	rpc->last_fd = last_fd;
	r = loop_add_timer(loop, on_end, rpc, &rpc->end);
	if (!r)
		r = loop_add_wake(loop, on_drop, rpc, &rpc->drop);
	if (!r)
		r = rpc_server_new(loop, path, geteuid(), &service, &conn_ops, on_accepted, rpc, &rpc->server);
	if (r < 0) {
		rpc_free(rpc);
		return err_set(err, r, "%s: cannot listen: %s", path, strerror(-r));
	}
	loop_arm(rpc->end, LINGER_NS);
	*ret_rpc = rpc;
	return 0;
}

void rpc_free(struct rpc *rpc)
{
	struct vm *vm;

	if (!rpc)
		return;
	rpc_server_free(rpc->server);
	vm = take_ptr(rpc->vm); /* nobody is told any more */
	while (rpc->peers)
		peer_end(rpc->peers);
	vm_free(vm);
	loop_remove(&rpc->end);
	loop_remove(&rpc->drop);
	fd_close(&rpc->last_fd);
	free(rpc);
}

static void on_terminated(void *arg, const struct err *err)
{
}

void rpc_terminate(struct rpc *rpc, const char *reason)
{
	rpc->stop_asked = true;
	if (!rpc->vm || vm_ended(rpc->vm))
		loop_stop(rpc->loop);
	else
		vm_stop(rpc->vm, reason, on_terminated, NULL);
}

const char *rpc_result(const struct rpc *rpc, bool *ret_crashed)
{
	static const char *const names[] = {"not started", "running", "paused", "off", "crashed"};
	struct vm_status status;

	*ret_crashed = false;
	if (!rpc->vm)
		return "never created";
	vm_status(rpc->vm, &status);
	*ret_crashed = status.state == VM_CRASHED;
	return names[status.state];
}
