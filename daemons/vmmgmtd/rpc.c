/* SPDX-License-Identifier: Apache-2.0 */
/* The client of a worker's socket, and the provider's configuration of vsp-storaged. */
#include "worker.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "ipc/rpc.h"
#include "proto/methods.h"
#include "proto/storage.pb-c.h"
#include "proto/types.pb-c.h"
#include "proto/worker.pb-c.h"
#include "reservations.h"
#include "rpc_int.h"

#define STORAGE_CONFIG_VERSION 1u
#define IMAGE_TEXT_MAX	       200u   /* bytes */
#define CREATE_DEADLINE_MS     60000u /* memory is made and a kernel loaded */
#define COMMAND_DEADLINE_MS    30000u
#define ASK_DEADLINE_MS	       30000u	/* longer than the worker waits for the guest's answer */
#define NO_DEADLINE	       UINT_MAX /* 49 days */
#define UPGRADE_DEADLINE_MS    120000u	/* what is in flight comes to its end, then a process starts and recovers */

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

void rpc_copy_text(char *ret, size_t size, const char *text)
{
	snprintf(ret, size, "%s", text);
	text_clean(ret);
}

static void read_drives(const Bulkhead__Storage__Status *msg, struct worker_service *ret)
{
	ret->drive_count = MIN(msg->n_drives, ARRAY_SIZE(ret->drives));
	for (size_t i = 0; i < ret->drive_count; i++) {
		const Bulkhead__Storage__Drive *from = msg->drives[i];
		struct worker_drive *drive = &ret->drives[i];

		rpc_copy_text(drive->target, sizeof(drive->target), from->alias);
		drive->open = from->open;
		drive->locked = from->locked;
	}
}

static void read_disk_errors(const Bulkhead__Storage__Status *msg, struct worker_service *ret)
{
	static const char *const kinds[] = {
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_UNKNOWN] = "error",
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_NO_SPACE] = "no-space",
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_READ_ONLY] = "read-only",
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_IO] = "error",
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_SHRUNK] = "shrunk",
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_GONE] = "gone",
	};

	ret->error_count = MIN(msg->n_errors, ARRAY_SIZE(ret->errors));
	for (size_t i = 0; i < ret->error_count; i++) {
		const Bulkhead__Storage__DiskError *from = msg->errors[i];
		struct worker_disk_error *error = &ret->errors[i];

		rpc_copy_text(error->target, sizeof(error->target), from->alias);
		error->kind = (unsigned int)from->kind < ARRAY_SIZE(kinds) ? kinds[from->kind] : "error";
	}
}

static void read_storage(const ProtobufCBinaryData *status, struct worker_service *ret)
{
	Bulkhead__Storage__Status *msg = bulkhead__storage__status__unpack(NULL, status->len, status->data);

	if (msg && msg->version == STORAGE_CONFIG_VERSION) {
		read_drives(msg, ret);
		read_disk_errors(msg, ret);
	}
	if (msg)
		bulkhead__storage__status__free_unpacked(msg, NULL);
}

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
		read_storage(&from->status, ret);
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

/* ---- CREATE ---- */

/* A disk's message with what hangs on it. */
struct lun_message {
	Bulkhead__Storage__Lun lun;
	Bulkhead__Storage__Faults faults;
	Bulkhead__Storage__FaultRule rule[DOMAIN_FAULT_RULES_MAX], *rules[DOMAIN_FAULT_RULES_MAX];
};

/* What the reservations of shared disks need to know of the VM. */
struct initiator {
	uint8_t vm[16], power[RESERVATIONS_POWER_LEN];
};

static struct initiator initiator_of(const struct domain *domain)
{
	struct initiator initiator;

	uuid_parse(domain->uuid, initiator.vm);
	reservations_power(initiator.power);
	return initiator;
}

/* The place of a disk's first descriptor: each has one, and those that have reservations another one behind it. */
static size_t fd_place(const struct domain *domain, size_t index)
{
	size_t place = index;

	for (size_t i = 0; i < index; i++)
		place += domain_reserves(&domain->disks[i]);
	return place;
}

static void fill_faults(struct lun_message *msg, const struct domain_faults *faults)
{
	bulkhead__storage__faults__init(&msg->faults);
	for (size_t i = 0; i < faults->rules; i++) {
		const struct domain_fault_rule *from = &faults->rule[i];
		Bulkhead__Storage__FaultRule *rule = &msg->rule[i];

		bulkhead__storage__fault_rule__init(rule);
		rule->effect = (Bulkhead__Storage__FaultEffect)from->effect;
		rule->ops = from->ops;
		rule->from = from->from;
		rule->to = from->to;
		rule->ppm = from->ppm;
		rule->times = from->times;
		rule->error = from->error;
		rule->delay_us = from->delay_us;
		rule->spread_us = from->spread_us;
		msg->rules[i] = rule;
	}
	msg->faults.n_rules = faults->rules;
	msg->faults.rules = msg->rules;
	msg->faults.cache = faults->cache;
	msg->faults.flush_ignored = faults->flush_ignored;
	msg->faults.power_off = faults->power_off;
	msg->faults.seed = faults->seed;
	msg->lun.faults = &msg->faults;
}

/* @initiator: may be used as long as @msg; NULL: what it may be does not matter. */
static void fill_lun(struct lun_message *msg, const struct domain_disk *disk, size_t fd_index,
		     struct initiator *initiator)
{
	Bulkhead__Storage__Lun *lun = &msg->lun;

	static const Bulkhead__Storage__DetectZeroes zeroes[] = {
		[DOMAIN_ZEROES_OFF] = BULKHEAD__STORAGE__DETECT_ZEROES__DETECT_ZEROES_OFF,
		[DOMAIN_ZEROES_ON] = BULKHEAD__STORAGE__DETECT_ZEROES__DETECT_ZEROES_ON,
		[DOMAIN_ZEROES_UNMAP] = BULKHEAD__STORAGE__DETECT_ZEROES__DETECT_ZEROES_UNMAP,
	};
	const char *image = disk->image ? disk->image : "";
	size_t len = strlen(image);

	bulkhead__storage__lun__init(lun);
	lun->lun = disk->lun;
	lun->alias = (char *)disk->target;
	lun->fd_index = (uint32_t)fd_index;
	if (initiator && domain_reserves(disk)) {
		lun->reservations_fd_index = (uint32_t)fd_index + 1;
		lun->vm_uuid = (ProtobufCBinaryData){sizeof(initiator->vm), initiator->vm};
		lun->power = (ProtobufCBinaryData){sizeof(initiator->power), initiator->power};
	}
	lun->readonly = disk->readonly;
	lun->unsafe_flush = disk->unsafe_flush;
	lun->discard = disk->discard;
	lun->detect_zeroes = zeroes[disk->zeroes];
	lun->logical_block_bytes = disk->block_bytes;
	lun->physical_block_bytes = disk->physical_block_bytes;
	lun->serial = (char *)disk->serial;
	if (disk->faults.text[0])
		fill_faults(msg, &disk->faults);
	if (domain_limited(&disk->iotune) || disk->iotune.group[0]) {
		lun->n_limits = DOMAIN_LIMITS * DOMAIN_LIMIT_PARTS;
		lun->limits = (uint64_t *)disk->iotune.limit;
		lun->limit_io_bytes = disk->iotune.io_bytes;
		lun->limit_group = (char *)disk->iotune.group;
	}
	/* For messages: of a long path its end, so that all fit into one frame. */
	lun->image = (char *)image + (len > IMAGE_TEXT_MAX ? len - IMAGE_TEXT_MAX : 0);
	lun->device = disk->cdrom ? BULKHEAD__STORAGE__DEVICE__DEVICE_DVD : BULKHEAD__STORAGE__DEVICE__DEVICE_DISK;
	lun->empty = !disk->image;
	lun->medium = disk->cdrom ? disk->medium : 0;
}

/* A controller and its disks. @luns: room for all disks; *@used of it is. */
static void fill_controller(Bulkhead__Storage__Controller *controller, const struct domain *domain, unsigned int index,
			    uint8_t guid[16], struct initiator *initiator, struct lun_message *all,
			    Bulkhead__Storage__Lun **list, size_t *used)
{
	char name[16];

	snprintf(name, sizeof(name), "scsi%u", index);
	domain_guid(domain, name, guid);
	bulkhead__storage__controller__init(controller);
	controller->instance_guid = (ProtobufCBinaryData){16, guid};
	controller->luns = &list[*used];
	for (size_t i = 0; i < domain->disk_count; i++) {
		if (domain->disks[i].controller != index)
			continue;
		fill_lun(&all[*used], &domain->disks[i], fd_place(domain, i), initiator);
		list[*used] = &all[*used].lun;
		(*used)++;
		controller->n_luns++;
	}
}

/* The configuration for vsp-storaged, the same for the same disks. @count: controllers; at least those that have disks.
 * @ret: heap. */
static int storage_config(const struct domain *domain, unsigned int count, uint8_t **ret, size_t *ret_len)
{
	Bulkhead__Storage__Config config = BULKHEAD__STORAGE__CONFIG__INIT;
	Bulkhead__Storage__Controller controller[DOMAIN_CONTROLLERS_MAX], *controllers[DOMAIN_CONTROLLERS_MAX];
	_cleanup_free_ struct lun_message *luns = calloc(DOMAIN_DISKS_MAX, sizeof(*luns));
	Bulkhead__Storage__Lun *list[DOMAIN_DISKS_MAX];
	uint8_t guid[DOMAIN_CONTROLLERS_MAX][16];
	struct initiator initiator = initiator_of(domain);
	size_t used = 0;

	if (!luns)
		return -ENOMEM;
	count = MIN(MAX(count, domain_controllers(domain)), DOMAIN_CONTROLLERS_MAX);
	for (unsigned int i = 0; i < count; i++) {
		fill_controller(&controller[i], domain, i, guid[i], &initiator, luns, list, &used);
		controllers[i] = &controller[i];
	}
	config.version = STORAGE_CONFIG_VERSION;
	config.poll_max_ns = domain->poll_max_ns;
	config.n_controllers = count;
	config.controllers = controllers;
	*ret_len = bulkhead__storage__config__get_packed_size(&config);
	*ret = malloc(*ret_len);
	if (!*ret)
		return -ENOMEM;
	bulkhead__storage__config__pack(&config, *ret);
	return 0;
}

/* ---- changes of disks ---- */

/* @ret: heap. */
static int storage_change(const struct worker_disk_change *change, uint8_t **ret, size_t *ret_len)
{
	const struct domain_disk *disk = &change->domain->disks[change->index];
	Bulkhead__Storage__Change msg = BULKHEAD__STORAGE__CHANGE__INIT;
	struct lun_message lun;
	Bulkhead__Storage__Detach detach = BULKHEAD__STORAGE__DETACH__INIT;
	Bulkhead__Storage__Medium medium = BULKHEAD__STORAGE__MEDIUM__INIT;
	Bulkhead__Storage__Resize resize = BULKHEAD__STORAGE__RESIZE__INIT;
	struct initiator initiator = initiator_of(change->domain);
	char controller[16];
	uint8_t guid[16];

	snprintf(controller, sizeof(controller), "scsi%u", disk->controller);
	domain_guid(change->domain, controller, guid);
	msg.version = STORAGE_CONFIG_VERSION;
	msg.instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	switch (change->kind) {
	case WORKER_DISK_ATTACH:
		fill_lun(&lun, disk, 0, &initiator);
		msg.attach = &lun.lun;
		break;
	case WORKER_DISK_SET:
		fill_lun(&lun, disk, 0, NULL);
		msg.set = &lun.lun;
		break;
	case WORKER_DISK_DETACH:
		detach.lun = disk->lun;
		detach.timeout_ms = change->timeout_ms;
		msg.detach = &detach;
		break;
	case WORKER_DISK_MEDIUM:
		fill_lun(&lun, &change->then->disks[change->index], 0, NULL);
		medium.lun = &lun.lun;
		medium.force = change->force;
		msg.medium = &medium;
		break;
	case WORKER_DISK_RESIZE:
		resize.lun = disk->lun;
		resize.bytes = change->bytes;
		resize.shrink = change->shrink;
		msg.resize = &resize;
		break;
	}
	*ret_len = bulkhead__storage__change__get_packed_size(&msg);
	*ret = malloc(*ret_len);
	if (!*ret)
		return -ENOMEM;
	bulkhead__storage__change__pack(&msg, *ret);
	return 0;
}

int worker_change_disk(struct worker *worker, const struct worker_disk_change *change, worker_done_fn done, void *arg)
{
	Bulkhead__Worker__ChangeRequest msg = BULKHEAD__WORKER__CHANGE_REQUEST__INIT;
	struct request request = {.worker = worker, .done = done, .arg = arg};
	_cleanup_free_ uint8_t *bytes = NULL, *config = NULL;
	const struct domain_disk *disk = &change->domain->disks[change->index];
	const int fds[] = {change->fd, change->reservations};
	size_t len = 0, config_len = 0, count = 0;
	int r = storage_change(change, &bytes, &len);

	if (r == 0 && change->kind != WORKER_DISK_RESIZE) {
		r = storage_config(change->then, change->controllers, &config, &config_len);
		msg.has_config = true;
	}
	if (r < 0)
		return r;
	msg.name = (char *)"storage";
	msg.change = (ProtobufCBinaryData){len, bytes};
	msg.config = (ProtobufCBinaryData){config_len, config};
	msg.early = change->kind == WORKER_DISK_ATTACH || change->kind == WORKER_DISK_SET;
	msg.has_drop = change->kind == WORKER_DISK_DETACH || change->kind == WORKER_DISK_MEDIUM;
	msg.drop = (uint32_t)fd_place(change->domain, change->index);
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
		r = storage_config(domain, controllers, &own->config, &own->len);
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

/* ---- CREATE: the rest ---- */

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
	int r = storage_config(domain, 1, &msg->config, &len);

	if (r < 0)
		return r;
	fill_provider(msg, "storage", "vsp-storaged", folder, domain);
	if (engines[domain->io]) {
		msg->args[msg->provider.n_args++] = (char *)"--engine";
		msg->args[msg->provider.n_args++] = (char *)engines[domain->io];
	}
	msg->provider.config = (ProtobufCBinaryData){len, msg->config};
	msg->provider.fd_count = (uint32_t)fd_place(domain, domain->disk_count);
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
