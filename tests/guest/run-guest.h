/* SPDX-License-Identifier: Apache-2.0 */
/* What run-guest.c (options, processes, judgement) and run-guest-vm.c (the manager's side of the worker's RPC) share.
 */
#ifndef TESTS_RUN_GUEST_H
#define TESTS_RUN_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/loop.h"

#define RUN_DISKS_MAX 8u

struct run_config {
	const char *kernel;
	const char *initrd; /* NULL: none */
	const char *append;
	uint32_t cpus;
	uint64_t memory_bytes;
	struct run_disk {
		const char *path;
		bool readonly;
	} disk[RUN_DISKS_MAX];
	unsigned int disks;
	bool nic; /* one whose frames come back; no disks then */
	bool restart_on_crash;
	const char *as_a_unit; /* who runs the disks' program as a service manager would; NULL: the worker does */
	const char *storaged;  /* that program */
	const char *socket;    /* of the worker, for it */
	const char *engine;    /* of it; NULL: as it likes */
};

enum run_heartbeat { RUN_HEARTBEAT_UNKNOWN, RUN_HEARTBEAT_OK, RUN_HEARTBEAT_LOST };

struct run_state {
	bool ended, crashed;
	enum run_heartbeat heartbeat;
	char reason[256];
	char guest_message[8192];
	uint64_t resets;
	uint64_t exits;
	struct run_service {
		char name[32], message[160];
		int pid; /* 0: none now */
		bool serves;
		uint64_t deaths, hangs, upgrades, replayed, lost, duplicate, failed, last_outage_us;
	} service; /* of the disks */
};

struct run_vm;

/** run_vm_new - connect to the worker at @path, create the VM. @changed: the state has another value. */
int run_vm_new(struct loop *loop, const char *path, const char *uuid, const struct run_config *config,
	       void (*changed)(void *arg), void *arg, struct err *err, struct run_vm **ret_vm);
/** run_vm_start - Return: a descriptor of its console (with all that it says from now on), or a negative errno. */
int run_vm_start(struct run_vm *vm, struct err *err);
/** run_vm_call - WORKER_PAUSE and the like: methods without arguments. Waits. */
int run_vm_call(struct run_vm *vm, uint32_t method, struct err *err);
/** run_vm_upgrade - WORKER_UPGRADE of the program of @name, "storage" or "network", to the one at @path; "": to what
 * the service manager starts. Waits. */
int run_vm_upgrade(struct run_vm *vm, const char *name, const char *path, struct err *err);
/** run_vm_ask - WORKER_ASK: @what: 0: shutdown, 1: reboot. @done comes later, once. */
int run_vm_ask(struct run_vm *vm, uint32_t what, uint32_t timeout_ms,
	       void (*done)(int error, const char *text, void *arg), void *arg);
const struct run_state *run_vm_state(const struct run_vm *vm);
void run_vm_free(struct run_vm *vm);

/* ---- run-guest-nic.c ---- */

/** run_nic_open - Return: the NIC's end of a wire, or a negative errno. */
int run_nic_open(void);
/** run_nic_config - as the provider "network" wants it. Return: its length. */
size_t run_nic_config(uint8_t buf[4096]);

/* ---- run-guest-ask.c ---- */

#define RUN_ASKS_MAX 8u

/* One is made each time that the guest says "guest: ask me". */
struct run_asks {
	struct {
		uint32_t what;
		bool with_next; /* the next one too, at once */
	} ask[RUN_ASKS_MAX];
	const char *expect[RUN_ASKS_MAX]; /* in answers, as they come */
	unsigned int count, made, answers, expected;
	uint32_t timeout_ms;
	size_t looked; /* at what the guest has said */
	bool wrong;
	void (*changed)(void *arg); /* an answer has come */
	void *arg;
};

/** run_asks_add - "shutdown", "reboot", several with "+": at once. Return: 0 or -1. */
int run_asks_add(struct run_asks *asks, const char *what);
int run_asks_expect(struct run_asks *asks, const char *answer);
/** run_asks_look - ask, if the guest says so. */
void run_asks_look(struct run_asks *asks, struct run_vm *vm, const char *said);
/** run_asks_over - all are answered. */
bool run_asks_over(const struct run_asks *asks);

/* ---- run-guest-measure.c ---- */

/* One is made each time that the guest says "guest: measure": of the worker, of the disks' service. */
struct run_measure {
	unsigned long limit_kib; /* that it may grow by; 0: nothing is measured */
	unsigned long first[2], most[2];
	unsigned int count;
	size_t looked; /* at what the guest has said */
};

bool run_measure_asked(struct run_measure *measure, const char *said);
void run_measure(struct run_measure *measure, int worker, int service);
/** run_measure_judge - print it. Return: whether it stayed within the limit. */
bool run_measure_judge(const struct run_measure *measure);

#endif
