// SPDX-License-Identifier: Apache-2.0
/*
 * Shutdown and reboot by request.
 *
 * Theory of operation: the guest is asked through its shutdown service, answers whether it will, and then ends or
 * resets as it would by itself; only then is the request done. So the VM's policy for power-off and reset is followed,
 * and the reason says that it was asked for. A request ends sooner if the guest refuses, does something else, or runs
 * out of time; what it has accepted it may then still do.
 *
 * Limits: one request waits at a time.
 */
#include <errno.h>

#include "abi/ic.h"
#include "base/clock.h"
#include "vm_int.h"

static const struct ask {
	enum vm_event event; /* what the guest does then */
	uint32_t flags;	     /* of abi/ic.h */
	const char *name, *reason;
} asks[] = {
	[VM_ASK_SHUTDOWN] = {VM_EV_POWER_OFF, 0, "shut down", "guest shutdown"},
	[VM_ASK_REBOOT] = {VM_EV_RESET, IC_SHUTDOWN_RESTART, "restart", "guest reboot"},
};

static void finish(struct vm *vm, const struct err *err)
{
	loop_disarm(vm->ask.deadline);
	vm_finish_done(&vm->ask.done, err);
}

void vm_ask_over(struct vm *vm)
{
	const struct ask *ask = vm->ask.now;
	bool as_asked = ask && vm->ask.came == ask->event;
	struct err err = {0};

	if (ask && !as_asked)
		err_set(&err, -EREMOTEIO, "the guest did not %s: %s", ask->name, vm->reason);
	vm->ask.now = NULL;
	vm->ask.came = 0;
	finish(vm, &err);
}

const char *vm_ask_reason(struct vm *vm, enum vm_event event, const char *otherwise)
{
	vm->ask.came = event;
	return vm->ask.now && vm->ask.accepted && vm->ask.now->event == event ? vm->ask.now->reason : otherwise;
}

void vm_ask_deadline(void *arg)
{
	struct vm *vm = arg;
	struct err err;

	err_set(&err, -ETIMEDOUT, "the guest has agreed to %s, but has not done so within %u s: wait, or use force",
		vm->ask.now->name, vm->ask.timeout_ms / 1000);
	finish(vm, &err);
}

static void on_answer(void *arg, const struct err *err)
{
	struct vm *vm = arg;

	if (err->code) {
		vm->ask.now = NULL;
		finish(vm, err);
		return;
	}
	vm->ask.accepted = true;
	if (vm->ask.timeout_ms)
		loop_arm(vm->ask.deadline, vm->ask.timeout_ms * NS_PER_MS);
	else
		finish(vm, NULL);
}

void vm_ask(struct vm *vm, enum vm_ask ask, bool force, uint32_t timeout_ms, vm_done_fn done, void *arg)
{
	struct vm_done call = {done, arg};
	struct err err = {0};

	if (vm->ask.done.fn)
		err_set(&err, -EBUSY, "the guest has been asked to %s before: wait, or use force", vm->ask.now->name);
	else
		vm_check_state(vm, VM_RUNNING, &err);
	if (err.code) {
		vm_finish_done(&call, &err);
		return;
	}
	vm->ask.now = &asks[ask];
	vm->ask.came = 0;
	vm->ask.accepted = false;
	vm->ask.timeout_ms = timeout_ms;
	vm->ask.done = call;
	ic_shutdown(vm->ic, vm->ask.now->flags | (force ? IC_SHUTDOWN_FORCE : 0), timeout_ms / 1000, on_answer, vm);
}
