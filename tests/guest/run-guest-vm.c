// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "ipc/rpc.h"
#include "proto/methods.h"
#include "proto/storage.pb-c.h"
#include "proto/types.pb-c.h"
#include "proto/worker.pb-c.h"
#include "run-guest.h"

#define START_DEADLINE_MS 40000u /* longer than the worker waits for its providers */

struct run_vm {
	struct rpc_conn *conn;
	struct run_state state;
	void (*changed)(void *arg);
	void *arg;
};

static void take_service(struct run_service *to, const Bulkhead__Worker__Service *from)
{
	snprintf(to->name, sizeof(to->name), "%s", from->name);
	snprintf(to->message, sizeof(to->message), "%s", from->message);
	to->pid = (int)from->pid;
	to->serves = from->state == BULKHEAD__WORKER__SERVICE_STATE__SERVICE_STATE_SERVING;
	to->deaths = from->deaths;
	to->hangs = from->hangs;
	to->upgrades = from->upgrades;
	to->replayed = from->replayed;
	to->lost = from->lost;
	to->duplicate = from->duplicate;
	to->failed = from->failed;
	to->last_outage_us = from->last_outage_us;
}

static void take_state(struct run_vm *vm, const Bulkhead__Worker__StateReply *state)
{
	vm->state.ended = state->state == BULKHEAD__WORKER__STATE__STATE_OFF ||
			  state->state == BULKHEAD__WORKER__STATE__STATE_CRASHED;
	vm->state.crashed = state->state == BULKHEAD__WORKER__STATE__STATE_CRASHED;
	vm->state.heartbeat = (enum run_heartbeat)state->heartbeat;
	vm->state.resets = state->resets;
	vm->state.exits = state->exits;
	if (state->n_services)
		take_service(&vm->state.service, state->services[0]);
	snprintf(vm->state.reason, sizeof(vm->state.reason), "%s", state->reason);
	snprintf(vm->state.guest_message, sizeof(vm->state.guest_message), "%s", state->guest_message);
	vm->changed(vm->arg);
}

static void handle_state(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			 size_t nfds, void *arg)
{
	take_state(arg, (const Bulkhead__Worker__StateReply *)msg);
}

static const struct rpc_method methods[] = {
	{MANAGER_STATE_CHANGED, "StateChanged", &bulkhead__worker__state_reply__descriptor, NULL, 0, 0, RPC_ROLE_ANY,
	 handle_state},
	{0},
};

static const struct rpc_service service = {
	.name = MANAGER_SERVICE, .version = MANAGER_SERVICE_VERSION, .methods = methods};

static void on_closed(struct rpc_conn *conn, int error, const char *why, void *arg)
{
	struct run_vm *vm = arg;

	rpc_conn_free(conn);
	vm->conn = NULL;
	if (vm->state.ended)
		return;
	vm->state.ended = vm->state.crashed = true;
	snprintf(vm->state.reason, sizeof(vm->state.reason), "the worker is gone: %s", why);
	vm->changed(vm->arg);
}

static const struct rpc_conn_ops conn_ops = {.closed = on_closed};

/* ---- creating ---- */

/* One controller with a LUN for each disk, as the provider "storage" wants it. Return: its length. */
static size_t storage_config(const struct run_config *config, uint8_t buf[4096])
{
	static uint8_t guid[16] = {0x5c, 0x51, 0, 1};
	Bulkhead__Storage__Config storage = BULKHEAD__STORAGE__CONFIG__INIT;
	Bulkhead__Storage__Controller controller = BULKHEAD__STORAGE__CONTROLLER__INIT;
	Bulkhead__Storage__Controller *controllers[] = {&controller};
	Bulkhead__Storage__Lun luns[RUN_DISKS_MAX], *list[RUN_DISKS_MAX];
	char alias[RUN_DISKS_MAX][8];

	for (unsigned int i = 0; i < config->disks; i++) {
		bulkhead__storage__lun__init(&luns[i]);
		snprintf(alias[i], sizeof(alias[i]), "sd%c", 'a' + (int)i);
		luns[i].lun = i;
		luns[i].alias = alias[i];
		luns[i].fd_index = i;
		luns[i].readonly = config->disk[i].readonly;
		luns[i].logical_block_bytes = 512;
		luns[i].image = (char *)config->disk[i].path;
		list[i] = &luns[i];
	}
	controller.instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	controller.n_luns = config->disks;
	controller.luns = list;
	storage.version = 1;
	storage.n_controllers = 1;
	storage.controllers = controllers;
	return bulkhead__storage__config__pack(&storage, buf);
}

/* Open what the request hands over: kvm, kernel, initrd, the disks' program, disks. Return: how many, or a negative
 * errno. */
static int open_all(const struct run_config *config, int fds[], struct err *err)
{
	const char *path = "/dev/kvm";
	int n = 0;

	fds[n] = open(path, O_RDWR | O_CLOEXEC);
	if (fds[n] >= 0) {
		path = config->kernel;
		fds[++n] = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (config->initrd && fds[n] >= 0) {
		path = config->initrd;
		fds[++n] = open(path, O_RDONLY | O_CLOEXEC);
	}
	if ((config->disks || config->nic) && !config->as_a_unit && fds[n] >= 0) {
		path = config->storaged;
		fds[++n] = open(path, O_RDONLY | O_CLOEXEC);
	}
	for (unsigned int i = 0; i < config->disks && fds[n] >= 0; i++) {
		path = config->disk[i].path;
		fds[++n] = open(path, (config->disk[i].readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	}
	if (config->nic && fds[n] >= 0) {
		path = "socketpair";
		fds[++n] = run_nic_open();
	}
	if (fds[n] >= 0)
		return n + 1;
	err_set(err, -errno, "%s: %s", path, strerror(errno));
	while (n)
		close(fds[--n]);
	return err->code;
}

static int create(struct run_vm *vm, const char *uuid, const struct run_config *config, struct err *err)
{
	Bulkhead__Worker__CreateRequest req = BULKHEAD__WORKER__CREATE_REQUEST__INIT;
	Bulkhead__Worker__Provider storage = BULKHEAD__WORKER__PROVIDER__INIT, *providers[] = {&storage};
	char *args[] = {(char *)"--name",	(char *)"test",	    (char *)"--worker",
			(char *)config->socket, (char *)"--engine", (char *)config->engine};
	int fds[5 + RUN_DISKS_MAX], n = open_all(config, fds, err), r;
	uint8_t buf[4096];

	if (n < 0)
		return n;
	req.name = (char *)"test";
	req.uuid = (char *)uuid;
	req.memory_bytes = config->memory_bytes;
	req.cpus = config->cpus;
	req.cmdline = (char *)config->append;
	req.kernel_name = (char *)config->kernel;
	req.has_initrd = config->initrd != NULL;
	if (config->restart_on_crash)
		req.on_crash = BULKHEAD__WORKER__ON_EVENT__ON_EVENT_RESTART;
	if (config->disks || config->nic) {
		storage.name = (char *)(config->nic ? "network" : "storage");
		storage.config =
			(ProtobufCBinaryData){config->nic ? run_nic_config(buf) : storage_config(config, buf), buf};
		storage.fd_count = config->nic ? 1 : config->disks;
		storage.has_program = !config->as_a_unit;
		storage.program = (char *)(config->nic ? "vsp-netd" : "vsp-storaged");
		storage.n_args = ARRAY_SIZE(args) - (config->engine ? 0 : 2);
		storage.args = args;
		req.n_providers = 1;
		req.providers = providers;
	}
	r = rpc_call_wait(vm->conn, WORKER_CREATE, &req.base, &bulkhead__worker__create_reply__descriptor, fds,
			  (size_t)n, 0, err, NULL, NULL, NULL);
	while (n)
		close(fds[--n]);
	return r;
}

int run_vm_new(struct loop *loop, const char *path, const char *uuid, const struct run_config *config,
	       void (*changed)(void *arg), void *arg, struct err *err, struct run_vm **ret_vm)
{
	struct run_vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return err_set(err, -ENOMEM, "out of memory");
	vm->changed = changed;
	vm->arg = arg;
	r = rpc_conn_connect(loop, path, WORKER_SERVICE, WORKER_SERVICE_VERSION, &service, &conn_ops, vm, &vm->conn);
	if (r < 0)
		err_set(err, r, "%s: %s", path, strerror(-r));
	else
		r = create(vm, uuid, config, err);
	if (r < 0) {
		run_vm_free(vm);
		return r;
	}
	*ret_vm = vm;
	return 0;
}

int run_vm_call(struct run_vm *vm, uint32_t method, struct err *err)
{
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;

	if (!vm->conn)
		return err_set(err, -ENOTCONN, "%s", vm->state.reason);
	return rpc_call_wait(vm->conn, method, &empty.base, &bulkhead__empty__descriptor, NULL, 0, START_DEADLINE_MS,
			     err, NULL, NULL, NULL);
}

int run_vm_upgrade(struct run_vm *vm, const char *name, const char *path, struct err *err)
{
	Bulkhead__Worker__UpgradeRequest req = BULKHEAD__WORKER__UPGRADE_REQUEST__INIT;
	int fd = *path ? open(path, O_RDONLY | O_CLOEXEC) : -1, r;

	if (*path && fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	req.name = (char *)name;
	r = rpc_call_wait(vm->conn, WORKER_UPGRADE, &req.base, &bulkhead__empty__descriptor, &fd, fd >= 0,
			  START_DEADLINE_MS, err, NULL, NULL, NULL);
	if (fd >= 0)
		close(fd);
	return r;
}

struct ask {
	void (*done)(int error, const char *text, void *arg);
	void *arg;
};

static void on_asked(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg)
{
	struct ask ask = *(struct ask *)arg;

	free(arg);
	ask.done(error, text, ask.arg);
}

int run_vm_ask(struct run_vm *vm, uint32_t what, uint32_t timeout_ms,
	       void (*done)(int error, const char *text, void *arg), void *arg)
{
	Bulkhead__Worker__AskRequest req = BULKHEAD__WORKER__ASK_REQUEST__INIT;
	struct ask *ask = malloc(sizeof(*ask));
	int r;

	if (!ask)
		return -ENOMEM;
	*ask = (struct ask){done, arg};
	req.ask = (Bulkhead__Worker__Ask)what;
	req.timeout_ms = timeout_ms;
	r = rpc_request(vm->conn, WORKER_ASK, &req.base, &bulkhead__empty__descriptor, NULL, 0, 0, on_asked, ask);
	if (r < 0)
		free(ask);
	return r;
}

static int subscribe(struct run_vm *vm, struct err *err)
{
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;

	return rpc_call_wait(vm->conn, WORKER_SUBSCRIBE, &empty.base, &bulkhead__worker__state_reply__descriptor, NULL,
			     0, 0, err, NULL, NULL, NULL);
}

int run_vm_start(struct run_vm *vm, struct err *err)
{
	Bulkhead__Worker__OpenConsoleRequest console = BULKHEAD__WORKER__OPEN_CONSOLE_REQUEST__INIT;
	size_t nfds = 1;
	int fd = -1, r;

	console.backlog = true;
	r = rpc_call_wait(vm->conn, WORKER_OPEN_CONSOLE, &console.base, &bulkhead__empty__descriptor, NULL, 0, 0, err,
			  NULL, &fd, &nfds);
	if (r < 0)
		return r;
	if (nfds != 1)
		return err_set(err, -EPROTO, "no console came");
	r = subscribe(vm, err);
	if (r >= 0)
		r = run_vm_call(vm, WORKER_START, err);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

const struct run_state *run_vm_state(const struct run_vm *vm)
{
	return &vm->state;
}

void run_vm_free(struct run_vm *vm)
{
	if (!vm)
		return;
	rpc_conn_free(vm->conn);
	free(vm);
}
