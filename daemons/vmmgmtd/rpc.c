/* SPDX-License-Identifier: Apache-2.0 */
/* The client of a worker's socket. What is of a single provider: rpc_storage.c, rpc_network.c. */
#include "worker.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "ipc/rpc.h"
#include "proto/methods.h"
#include "proto/types.pb-c.h"
#include "proto/worker.pb-c.h"
#include "rpc_int.h"

#define CREATE_DEADLINE_MS  60000u /* memory is made and a kernel loaded */
#define COMMAND_DEADLINE_MS 30000u
#define ASK_DEADLINE_MS	    30000u   /* longer than the worker waits for the guest's answer */
#define NO_DEADLINE	    UINT_MAX /* 49 days */
#define UPGRADE_DEADLINE_MS 120000u  /* what is in flight comes to its end, then a process starts and recovers */

struct worker {
	struct rpc_conn *conn;
	const struct worker_events *events;
	void *arg;
};

/* A request under way. */
struct request {
	struct worker *worker;
	bool is_status; /* the reply is a StateReply */
	worker_done_fn done;
	worker_console_fn console;
	worker_statistics_fn statistics;
	void *arg;
};

/* ---- status ---- */

static void read_service(const Bulkhead__Worker__Service *from, struct worker_service *ret)
{
	static const enum worker_service_state states[] = {
		[BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_NOT_STARTED] = WORKER_SERVICE_NOT_STARTED,
		[BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_STARTING] = WORKER_SERVICE_STARTING,
		[BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_SERVING] = WORKER_SERVICE_SERVING,
		[BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_RECOVERING] = WORKER_SERVICE_RECOVERING,
		[BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_WAITING] = WORKER_SERVICE_WAITING,
	};

	*ret = (struct worker_service){
		.pid = from->pid <= INT_MAX ? (pid_t)from->pid : 0,
		/* one of a newer worker: at any rate it does not serve */
		.state = (unsigned int)from->state < ARRAY_SIZE(states) ? states[from->state] : WORKER_SERVICE_WAITING,
		.deaths = from->deaths,
		.upgrades = from->upgrades,
		.replayed = from->replayed,
		.lost = from->lost,
		.duplicate = from->duplicate,
		.failed = from->failed,
		.last_outage_us = from->last_outage_us,
		.hangs = from->hangs,
		.idle = from->idle,
	};
	rpc_copy_text(ret->name, sizeof(ret->name), from->name);
	rpc_copy_text(ret->message, sizeof(ret->message), from->message);
	rpc_copy_text(ret->program, sizeof(ret->program), from->program);
	if (from->status.len && !strcmp(ret->name, "storage"))
		rpc_storage_status(from->status.data, from->status.len, ret);
	if (from->status.len && !strcmp(ret->name, "network"))
		rpc_network_status(from->status.data, from->status.len, ret);
}

static void read_integration(const Bulkhead__Worker__IntegrationService *from, struct worker_integration *ret)
{
	rpc_copy_text(ret->name, sizeof(ret->name), from->name);
	rpc_copy_text(ret->version, sizeof(ret->version), from->version);
}

static enum worker_heartbeat read_heartbeat(Bulkhead__Worker__Heartbeat heartbeat)
{
	static const enum worker_heartbeat states[] = {
		[BULKHEAD__WORKER__HEARTBEAT__HEARTBEAT_UNKNOWN] = WORKER_HEARTBEAT_UNKNOWN,
		[BULKHEAD__WORKER__HEARTBEAT__HEARTBEAT_OK] = WORKER_HEARTBEAT_OK,
		[BULKHEAD__WORKER__HEARTBEAT__HEARTBEAT_LOST] = WORKER_HEARTBEAT_LOST,
	};

	return (unsigned int)heartbeat < ARRAY_SIZE(states) ? states[heartbeat] : WORKER_HEARTBEAT_UNKNOWN;
}

static void tell_status(struct worker *worker, const Bulkhead__Worker__StateReply *reply)
{
	static const enum worker_phase phases[] = {
		[BULKHEAD__WORKER__STATE__STATE_NEW] = WORKER_PHASE_NEW,
		[BULKHEAD__WORKER__STATE__STATE_CREATED] = WORKER_PHASE_CREATED,
		[BULKHEAD__WORKER__STATE__STATE_RUNNING] = WORKER_PHASE_RUNNING,
		[BULKHEAD__WORKER__STATE__STATE_PAUSED] = WORKER_PHASE_PAUSED,
		[BULKHEAD__WORKER__STATE__STATE_OFF] = WORKER_PHASE_OFF,
		[BULKHEAD__WORKER__STATE__STATE_CRASHED] = WORKER_PHASE_CRASHED,
	};
	struct worker_service services[WORKER_SERVICES_MAX];
	struct worker_integration integration[WORKER_INTEGRATION_MAX];
	struct worker_status status = {
		.reason = reply->reason,
		.guest_message = reply->guest_message,
		.console_pty = reply->console_pty,
		.resets = reply->resets,
		.services = services,
		.service_count = MIN(reply->n_services, (size_t)WORKER_SERVICES_MAX),
		.heartbeat = read_heartbeat(reply->heartbeat),
		.integration = integration,
		.integration_count = MIN(reply->n_integration, (size_t)WORKER_INTEGRATION_MAX),
	};

	if ((unsigned int)reply->state >= ARRAY_SIZE(phases))
		return; /* of a newer worker */
	status.phase = phases[reply->state];
	for (size_t i = 0; i < status.service_count; i++)
		read_service(reply->services[i], &services[i]);
	for (size_t i = 0; i < status.integration_count; i++)
		read_integration(reply->integration[i], &integration[i]);
	worker->events->status(&status, worker->arg);
}

static void state_changed(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			  size_t nfds, void *arg)
{
	tell_status(arg, (const Bulkhead__Worker__StateReply *)msg);
}

static const struct rpc_method methods[] = {
	{MANAGER_STATE_CHANGED, "StateChanged", &bulkhead__worker__state_reply__descriptor, NULL, 0, 0, RPC_ROLE_ANY,
	 state_changed},
	{0},
};

static const struct rpc_service service = {MANAGER_SERVICE, MANAGER_SERVICE_VERSION, methods};

/* ---- the connection ---- */

static void on_closed(struct rpc_conn *conn, int error, const char *why, void *arg)
{
	struct worker *worker = arg;

	worker->events->lost(error, why, worker->arg);
}

static const struct rpc_conn_ops conn_ops = {.closed = on_closed};

int worker_connect(struct loop *loop, const char *path, const struct worker_events *events, void *arg,
		   struct worker **ret_worker)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int r;

	if (!worker)
		return -ENOMEM;
	worker->events = events;
	worker->arg = arg;
	r = rpc_conn_connect(loop, path, WORKER_SERVICE, WORKER_SERVICE_VERSION, &service, &conn_ops, worker,
			     &worker->conn);
	if (r < 0)
		free(worker);
	else
		*ret_worker = worker;
	return r;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	rpc_conn_free(worker->conn);
	free(worker);
}

bool worker_usable(const struct worker *worker)
{
	return rpc_conn_usable(worker->conn);
}

/* ---- requests ---- */

static void on_reply(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	struct request *request = arg;
	struct request own = *request;

	free(request);
	if (own.console) {
		int fd = error || nfds != 1 ? -1 : take_fd(&fds[0]);

		own.console(error ? error : fd < 0 ? -EPROTO : 0, text, fd, own.arg);
		return;
	}
	if (own.statistics) {
		own.statistics(error, text, fds, error ? 0 : nfds, own.arg);
		return;
	}
	if (!error && own.is_status)
		tell_status(own.worker, (const Bulkhead__Worker__StateReply *)msg);
	own.done(error, text, own.arg);
}

static int send_request(struct request request, uint32_t method, const ProtobufCMessage *msg,
			const ProtobufCMessageDescriptor *reply, const int *fds, size_t nfds, unsigned int deadline_ms)
{
	struct request *copy = malloc(sizeof(*copy));
	int r;

	if (!copy)
		return -ENOMEM;
	*copy = request;
	r = rpc_request(request.worker->conn, method, msg, reply, fds, nfds, deadline_ms, on_reply, copy);
	if (r < 0)
		free(copy);
	return r;
}

int worker_do(struct worker *worker, enum worker_command command, worker_done_fn done, void *arg)
{
	static const uint32_t numbers[] = {
		[WORKER_DO_START] = WORKER_START,   [WORKER_DO_PAUSE] = WORKER_PAUSE,
		[WORKER_DO_RESUME] = WORKER_RESUME, [WORKER_DO_RESET] = WORKER_RESET,
		[WORKER_DO_STOP] = WORKER_STOP,	    [WORKER_DO_SUBSCRIBE] = WORKER_SUBSCRIBE,
	};
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
	struct request request = {.worker = worker, .done = done, .arg = arg};

	request.is_status = command == WORKER_DO_SUBSCRIBE;
	return send_request(request, numbers[command], &empty.base,
			    request.is_status ? &bulkhead__worker__state_reply__descriptor
					      : &bulkhead__empty__descriptor,
			    NULL, 0, COMMAND_DEADLINE_MS);
}

int worker_ask_guest(struct worker *worker, enum worker_ask ask, bool force, uint32_t timeout_s, worker_done_fn done,
		     void *arg)
{
	static const Bulkhead__Worker__Ask asks[] = {
		[WORKER_ASK_SHUTDOWN] = BULKHEAD__WORKER__ASK__ASK_SHUTDOWN,
		[WORKER_ASK_REBOOT] = BULKHEAD__WORKER__ASK__ASK_REBOOT,
	};
	Bulkhead__Worker__AskRequest msg = BULKHEAD__WORKER__ASK_REQUEST__INIT;
	struct request request = {.worker = worker, .done = done, .arg = arg};

	msg.ask = asks[ask];
	msg.force = force;
	msg.timeout_ms = timeout_s * 1000;
	return send_request(request, WORKER_ASK, &msg.base, &bulkhead__empty__descriptor, NULL, 0,
			    msg.timeout_ms + ASK_DEADLINE_MS);
}

int worker_upgrade(struct worker *worker, const char *name, int program_fd, worker_done_fn done, void *arg)
{
	Bulkhead__Worker__UpgradeRequest msg = BULKHEAD__WORKER__UPGRADE_REQUEST__INIT;
	struct request request = {.worker = worker, .done = done, .arg = arg};

	msg.name = (char *)name;
	return send_request(request, WORKER_UPGRADE, &msg.base, &bulkhead__empty__descriptor, &program_fd,
			    program_fd >= 0, UPGRADE_DEADLINE_MS);
}

int worker_open_console(struct worker *worker, bool backlog, worker_console_fn fn, void *arg)
{
	Bulkhead__Worker__OpenConsoleRequest msg = BULKHEAD__WORKER__OPEN_CONSOLE_REQUEST__INIT;
	struct request request = {.worker = worker, .console = fn, .arg = arg};

	msg.backlog = backlog;
	return send_request(request, WORKER_OPEN_CONSOLE, &msg.base, &bulkhead__empty__descriptor, NULL, 0, 0);
}

int worker_get_statistics(struct worker *worker, worker_statistics_fn fn, void *arg)
{
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
	struct request request = {.worker = worker, .statistics = fn, .arg = arg};

	return send_request(request, WORKER_GET_STATISTICS, &empty.base,
			    &bulkhead__worker__statistics_reply__descriptor, NULL, 0, COMMAND_DEADLINE_MS);
}

/* ---- changes of disks ---- */

int worker_change_disk(struct worker *worker, const struct worker_disk_change *change, worker_done_fn done, void *arg)
{
	Bulkhead__Worker__ChangeRequest msg = BULKHEAD__WORKER__CHANGE_REQUEST__INIT;
	struct request request = {.worker = worker, .done = done, .arg = arg};
	_cleanup_free_ uint8_t *bytes = NULL, *config = NULL;
	const struct domain_disk *disk = &change->domain->disks[change->index];
	const int fds[] = {change->fd, change->reservations};
	size_t len = 0, config_len = 0, count = 0;
	int r = rpc_storage_change(change, &bytes, &len);

	if (r == 0 && change->kind != WORKER_DISK_RESIZE) {
		r = rpc_storage_config(change->then, change->controllers, &config, &config_len);
		msg.has_config = true;
	}
	if (r < 0)
		return r;
	msg.name = (char *)"storage";
	msg.change = (ProtobufCBinaryData){len, bytes};
	msg.config = (ProtobufCBinaryData){config_len, config};
	msg.early = change->kind == WORKER_DISK_ATTACH || change->kind == WORKER_DISK_SET;
	msg.has_drop = change->kind == WORKER_DISK_DETACH || change->kind == WORKER_DISK_MEDIUM;
	msg.drop = (uint32_t)rpc_storage_place(change->domain, change->index);
	msg.drop_count = 1 + domain_reserves(disk);
	if (change->kind == WORKER_DISK_ATTACH || change->kind == WORKER_DISK_MEDIUM)
		count = 1 + domain_reserves(disk);
	return send_request(request, WORKER_CHANGE, &msg.base, &bulkhead__empty__descriptor, fds, count, NO_DEADLINE);
}

/* ---- changes of NICs ---- */

int worker_change_nic(struct worker *worker, const struct worker_nic_change *change, worker_done_fn done, void *arg)
{
	Bulkhead__Worker__ChangeRequest msg = BULKHEAD__WORKER__CHANGE_REQUEST__INIT;
	struct request request = {.worker = worker, .done = done, .arg = arg};
	_cleanup_free_ uint8_t *bytes = NULL, *config = NULL;
	size_t len = 0, config_len = 0;
	int r = rpc_network_change(change, &bytes, &len);

	if (r == 0 && change->kind != WORKER_NIC_CAPTURE) {
		r = rpc_network_config(change->then, &config, &config_len);
		msg.has_config = true;
	}
	if (r < 0)
		return r;
	msg.name = (char *)"network";
	msg.change = (ProtobufCBinaryData){len, bytes};
	msg.config = (ProtobufCBinaryData){config_len, config};
	msg.early = change->kind == WORKER_NIC_ATTACH || change->kind == WORKER_NIC_SET;
	msg.has_drop = change->kind == WORKER_NIC_DETACH || change->kind == WORKER_NIC_PEER;
	msg.drop = (uint32_t)rpc_network_place(change->domain, change->index);
	msg.drop_count = change->domain->nics[change->index].queues;
	return send_request(request, WORKER_CHANGE, &msg.base, &bulkhead__empty__descriptor, change->fds, change->nfds,
			    NO_DEADLINE);
}

bool worker_same_nics(const struct domain *a, const struct domain *b)
{
	_cleanup_free_ uint8_t *one = NULL, *other = NULL;
	size_t one_len = 0, other_len = 0;

	return rpc_network_config(a, &one, &one_len) == 0 && rpc_network_config(b, &other, &other_len) == 0 &&
	       one_len == other_len && !memcmp(one, other, one_len);
}

/* ---- what it has ---- */

/* The question under way. */
struct has {
	uint8_t *config;
	size_t len;
	worker_has_fn fn;
	void *arg;
};

static void on_provider(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	const Bulkhead__Worker__Provider *reply = (const Bulkhead__Worker__Provider *)msg;
	struct has own = *(struct has *)arg;
	bool same = reply && reply->config.len == own.len &&
		    (own.len == 0 || !memcmp(reply->config.data, own.config, own.len));

	free(arg);
	free(own.config);
	own.fn(error, text, same, own.arg);
}

int worker_has(struct worker *worker, const char *name, const struct domain *domain, unsigned int controllers,
	       worker_has_fn fn, void *arg)
{
	Bulkhead__Worker__ProviderRequest msg = BULKHEAD__WORKER__PROVIDER_REQUEST__INIT;
	struct has *own = calloc(1, sizeof(*own));
	int r = own ? 0 : -ENOMEM;

	if (r == 0 && !strcmp(name, "storage"))
		r = rpc_storage_config(domain, controllers, &own->config, &own->len);
	else if (r == 0)
		r = rpc_network_config(domain, &own->config, &own->len);
	if (r == 0) {
		own->fn = fn;
		own->arg = arg;
		msg.name = (char *)name;
		r = rpc_request(worker->conn, WORKER_GET_PROVIDER, &msg.base, &bulkhead__worker__provider__descriptor,
				NULL, 0, NO_DEADLINE, on_provider, own);
	}
	if (r < 0 && own) {
		free(own->config);
		free(own);
	}
	return r;
}

/* ---- what is behind its NICs ---- */

struct get_peers {
	worker_peers_fn fn;
	void *arg;
};

static void on_peers(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	const Bulkhead__Worker__Provider *reply = (const Bulkhead__Worker__Provider *)msg;
	struct get_peers own = *(struct get_peers *)arg;
	struct worker_nic_peer peers[DOMAIN_NICS_MAX];
	size_t count = reply ? rpc_network_peers(reply->config.data, reply->config.len, peers) : 0;

	free(arg);
	own.fn(error, text, peers, count, own.arg);
}

int worker_get_peers(struct worker *worker, worker_peers_fn fn, void *arg)
{
	Bulkhead__Worker__ProviderRequest msg = BULKHEAD__WORKER__PROVIDER_REQUEST__INIT;
	struct get_peers *own = malloc(sizeof(*own));
	int r;

	if (!own)
		return -ENOMEM;
	*own = (struct get_peers){fn, arg};
	msg.name = (char *)"network";
	r = rpc_request(worker->conn, WORKER_GET_PROVIDER, &msg.base, &bulkhead__worker__provider__descriptor, NULL, 0,
			NO_DEADLINE, on_peers, own);
	if (r < 0)
		free(own);
	return r;
}

/* ---- CREATE ---- */

static Bulkhead__Worker__OnEvent on_event(enum domain_event event)
{
	static const Bulkhead__Worker__OnEvent events[] = {
		[DOMAIN_EVENT_DEFAULT] = BULKHEAD__WORKER__ON_EVENT__ON_EVENT_DEFAULT,
		[DOMAIN_EVENT_DESTROY] = BULKHEAD__WORKER__ON_EVENT__ON_EVENT_DESTROY,
		[DOMAIN_EVENT_RESTART] = BULKHEAD__WORKER__ON_EVENT__ON_EVENT_RESTART,
		[DOMAIN_EVENT_PRESERVE] = BULKHEAD__WORKER__ON_EVENT__ON_EVENT_PRESERVE,
	};

	return events[event];
}

static void fill_create(Bulkhead__Worker__CreateRequest *msg, const struct domain *domain,
			const struct worker_files *files)
{
	msg->name = (char *)domain->name;
	msg->uuid = (char *)domain->uuid;
	msg->memory_bytes = domain->memory_bytes;
	msg->cpus = domain->cpus;
	msg->cmdline = domain->cmdline ? domain->cmdline : msg->cmdline;
	msg->has_initrd = files->initrd >= 0;
	msg->has_serial_log = files->console_log >= 0;
	msg->huge_pages = domain->huge_pages;
	msg->kernel_name = domain->kernel;
	msg->initrd_name = domain->initrd ? domain->initrd : msg->initrd_name;
	msg->on_poweroff = on_event(domain->on_poweroff);
	msg->on_reboot = on_event(domain->on_reboot);
	msg->on_crash = on_event(domain->on_crash);
}

/* The descriptors of a request, as they are collected. */
struct fds {
	int fd[RPC_FDS_MAX];
	size_t count;
};

static void add_fd(struct fds *fds, int fd)
{
	if (fd >= 0)
		fds->fd[fds->count++] = fd;
}

/* A provider's message with what hangs on it. */
struct provider_message {
	Bulkhead__Worker__Provider provider;
	char *args[6];
	uint8_t *config; /* heap */
};

static void fill_provider(struct provider_message *msg, const char *name, const char *program, const char *folder,
			  const struct domain *domain)
{
	bulkhead__worker__provider__init(&msg->provider);
	msg->provider.name = (char *)name;
	msg->provider.program = (char *)program;
	msg->args[0] = (char *)"--name";
	msg->args[1] = (char *)domain->name;
	msg->args[2] = (char *)"--runtime-dir";
	msg->args[3] = (char *)folder;
	msg->provider.args = msg->args;
	msg->provider.n_args = 4;
}

static int create_storage(struct provider_message *msg, const struct domain *domain, const struct worker_files *files,
			  const char *folder, struct fds *fds)
{
	static const char *const engines[] = {[DOMAIN_IO_URING] = "io_uring", [DOMAIN_IO_THREADS] = "threads"};
	size_t len = 0;
	int r = rpc_storage_config(domain, 1, &msg->config, &len);

	if (r < 0)
		return r;
	fill_provider(msg, "storage", "vsp-storaged", folder, domain);
	if (engines[domain->io]) {
		msg->args[msg->provider.n_args++] = (char *)"--engine";
		msg->args[msg->provider.n_args++] = (char *)engines[domain->io];
	}
	msg->provider.config = (ProtobufCBinaryData){len, msg->config};
	msg->provider.fd_count = (uint32_t)rpc_storage_place(domain, domain->disk_count);
	msg->provider.has_program = files->storage_program >= 0;
	msg->provider.idle = domain->disk_count == 0;
	add_fd(fds, files->storage_program);
	for (size_t i = 0; i < domain->disk_count; i++) {
		add_fd(fds, files->disks[i]);
		if (domain_reserves(&domain->disks[i]))
			add_fd(fds, files->reservations[i]);
	}
	return 0;
}

static int create_network(struct provider_message *msg, const struct domain *domain, const struct worker_files *files,
			  const char *folder, struct fds *fds)
{
	size_t len = 0;
	int r = rpc_network_config(domain, &msg->config, &len);

	if (r < 0)
		return r;
	fill_provider(msg, "network", "vsp-netd", folder, domain);
	msg->provider.config = (ProtobufCBinaryData){len, msg->config};
	msg->provider.fd_count = (uint32_t)rpc_network_place(domain, domain->nic_count);
	msg->provider.has_program = files->network_program >= 0;
	msg->provider.idle = domain->nic_count == 0;
	add_fd(fds, files->network_program);
	for (size_t i = 0; i < domain->nic_count; i++)
		for (unsigned int queue = 0; queue < domain->nics[i].queues; queue++)
			add_fd(fds, files->nics[i][queue]);
	return 0;
}

int worker_create(struct worker *worker, const struct domain *domain, const struct worker_files *files,
		  const char *folder, worker_done_fn done, void *arg)
{
	Bulkhead__Worker__CreateRequest msg = BULKHEAD__WORKER__CREATE_REQUEST__INIT;
	struct provider_message storage = {.config = NULL}, network = {.config = NULL};
	Bulkhead__Worker__Provider *providers[2];
	struct request request = {.worker = worker, .done = done, .arg = arg};
	const int singles[] = {files->kvm, files->kernel, files->initrd, files->console_log};
	struct fds fds = {.count = 0};
	int r = 0;

	_Static_assert(DOMAIN_DESCRIPTORS_MAX + 6 <= RPC_FDS_MAX, "all descriptors fit into one frame");
	fill_create(&msg, domain, files);
	for (size_t i = 0; i < ARRAY_SIZE(singles); i++)
		add_fd(&fds, singles[i]);
	if (files->storage) {
		r = create_storage(&storage, domain, files, folder, &fds);
		providers[msg.n_providers++] = &storage.provider;
	}
	if (r == 0 && files->network) {
		r = create_network(&network, domain, files, folder, &fds);
		providers[msg.n_providers++] = &network.provider;
	}
	msg.providers = providers;
	if (r == 0)
		r = send_request(request, WORKER_CREATE, &msg.base, &bulkhead__worker__create_reply__descriptor, fds.fd,
				 fds.count, CREATE_DEADLINE_MS);
	free(storage.config);
	free(network.config);
	return r;
}
