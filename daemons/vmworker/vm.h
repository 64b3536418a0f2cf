/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine: guest memory, vCPUs, the Hyper-V interface, devices, VMBus and its providers, and their life
 * together. Event loop only, but where it says otherwise.
 */
#ifndef VMWORKER_VM_H
#define VMWORKER_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "bus.h"
#include "guest/mem.h"
#include "ic/ic.h"
#include "ipc/loop.h"
#include "provider.h"

struct vm;

#define VM_PROVIDERS_DEADLINE_NS (30 * 1000 * 1000 * 1000ull) /* vm_start() waits so long for providers */
#define VM_QUIESCE_DEADLINE_NS	 (5 * 1000 * 1000 * 1000ull)  /* the end of a VM waits so long for them */

/* A guest that resets itself within this time of its start, more than so often in a row, then waits as long. */
#define VM_CRASH_GRACE_NS (5 * 1000 * 1000 * 1000ull) /* for a crash kernel, after a crash report */
#define VM_RESET_PACE_NS  (1000 * 1000 * 1000ull)
#define VM_RESETS_AT_ONCE 5u

enum vm_state {
	VM_CREATED, /* vCPUs have not run yet */
	VM_RUNNING,
	VM_PAUSED,
	VM_OFF,	    /* ended in order */
	VM_CRASHED, /* ended by the guest's panic, or an error of ours */
};

/* What follows when the guest powers off, resets, or panics. */
enum vm_action { VM_DESTROY, VM_RESTART, VM_PRESERVE };

/* What a guest can be asked for. */
enum vm_ask { VM_ASK_SHUTDOWN, VM_ASK_REBOOT };

/* Descriptors and strings stay the caller's: they are duplicated. */
struct vm_config {
	const char *name, *uuid;
	uint64_t memory_bytes;
	bool huge_pages; /* required; else used where there are */
	uint32_t cpus;
	const char *cmdline;
	int kvm_fd, kernel_fd;
	int initrd_fd, log_fd; /* -1: none */
	const char *kernel_name, *initrd_name;
	enum vm_action on_poweroff, on_reboot, on_crash;
	const struct provider_config *providers;
	size_t provider_count;
	struct spawner *spawner; /* for those with a program; kept by reference; NULL: there are none */
};

struct vm_status {
	enum vm_state state;
	const char *reason;	   /* why */
	const char *guest_message; /* of a panic; "" if there was none */
	const char *console_pty;   /* "" if there is none */
	uint64_t resets;
	uint64_t exits; /* of the guest to this process, since it was started */
	enum ic_heartbeat_state heartbeat;
};

/** vm_changed_fn - vm_status() has another answer. */
typedef void (*vm_changed_fn)(void *arg);
/** vm_done_fn - the outcome of what was asked for, exactly once. @err: code 0 if all is well. */
typedef void (*vm_done_fn)(void *arg, const struct err *err);

/** vm_new - build everything and load the kernel; nothing runs. Return: 0 or a negative errno with a line that says
 * what to do. */
int vm_new(struct loop *loop, const struct vm_config *config, vm_changed_fn changed, void *arg, struct err *err,
	   struct vm **ret_vm);
/** vm_free - end at once; outstanding vm_done_fn are called with -ECANCELED. NULL is allowed. */
void vm_free(struct vm *vm);

/**
 * vm_start - start the providers that are ours to run, and once every provider is ready, run. @done: 0; -ETIMEDOUT
 * (names who is missing) or -EREMOTEIO (a provider has ended): the VM stays CREATED; -EINVAL (state); -EBUSY;
 * -ECANCELED; what starting them gave.
 */
void vm_start(struct vm *vm, vm_done_fn done, void *arg);

/** vm_pause, vm_resume - Return: 0, -EINVAL (state), -EBUSY (a reset is under way). When pause returns, every vCPU
 * stands still. */
int vm_pause(struct vm *vm, struct err *err);
int vm_resume(struct vm *vm, struct err *err);

/** vm_reset - as the reset button. @done: when the guest starts anew; -EINVAL (state), -EBUSY, ... */
void vm_reset(struct vm *vm, vm_done_fn done, void *arg);

/**
 * vm_ask - ask the guest to shut down or restart; what follows is on_poweroff or on_reboot.
 * @force: whatever its applications say. @timeout_ms: it has so long from its consent on; 0: @done comes with that.
 * @done: once the VM has ended, or the guest starts anew; -EOPNOTSUPP (it has no such service), -EREMOTEIO (it refuses,
 * or does something else), -ETIMEDOUT (no answer, or no end), -EBUSY (asked already; a reset is under way), -EINVAL
 * (state), -ECANCELED.
 */
void vm_ask(struct vm *vm, enum vm_ask ask, bool force, uint32_t timeout_ms, vm_done_fn done, void *arg);

/** vm_service - the integration services: ic_service(). */
bool vm_service(const struct vm *vm, size_t index, struct ic_service_status *ret_status);

/** vm_stop - power off at once. @done: when the state is VM_OFF; at once if it had ended before. */
void vm_stop(struct vm *vm, const char *reason, vm_done_fn done, void *arg);

/** vm_status - the strings live until the next callback of the loop. */
void vm_status(const struct vm *vm, struct vm_status *ret_status);
bool vm_ended(const struct vm *vm);

/** vm_open_console - a stream socket to the serial port, the caller's. Return: descriptor or a negative errno. */
int vm_open_console(struct vm *vm, bool backlog);

struct providers *vm_providers(struct vm *vm);
const struct guest_mem *vm_memory(const struct vm *vm);
int vm_cells_fd(const struct vm *vm);
uint32_t vm_cpus(const struct vm *vm);
const char *vm_name(const struct vm *vm);
const char *vm_uuid(const struct vm *vm);

#endif
