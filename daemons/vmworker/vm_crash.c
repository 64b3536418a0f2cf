// SPDX-License-Identifier: Apache-2.0
/*
 * What follows a guest's crash report.
 *
 * Theory of operation: Linux reports a panic before it starts its crash kernel, if it has one (kdump), and nothing in
 * the report tells. But on its way there it takes its guest OS id back. So the guest runs on after the report, for
 * VM_CRASH_GRACE_NS: if it withdraws its id, the panic is noted and that is all; if it resets itself, powers off, or
 * does nothing of all that, it has crashed, and the VM's policy is followed.
 */
#include <stdio.h>

#include "base/log.h"
#include "vm_int.h"

void vm_crash_reported(struct vm *vm, const char *text)
{
	pthread_mutex_lock(&vm->events_lock);
	if (!vm->events && vm->crash != VM_CRASH_REPORTED) {
		snprintf(vm->event_text, sizeof(vm->event_text), "%s", text);
		vm->crash = VM_CRASH_REPORTED;
	}
	pthread_mutex_unlock(&vm->events_lock);
	loop_wake(vm->wake);
}

void vm_crash_kernel(struct vm *vm)
{
	pthread_mutex_lock(&vm->events_lock);
	if (vm->crash == VM_CRASH_REPORTED && !vm->events)
		vm->crash = VM_CRASH_KERNEL;
	pthread_mutex_unlock(&vm->events_lock);
	loop_wake(vm->wake);
}

void vm_crash_over(void *arg)
{
	struct vm *vm = arg;
	bool crashed;

	vm->crash_waits = false;
	pthread_mutex_lock(&vm->events_lock);
	crashed = vm->crash == VM_CRASH_REPORTED;
	pthread_mutex_unlock(&vm->events_lock);
	if (crashed)
		vm_note(vm, VM_EV_CRASH, NULL);
}

bool vm_crash_look(struct vm *vm, enum vm_crash crash, unsigned int *inout_events)
{
	static struct log_limit limit;

	if (crash == VM_CRASH_KERNEL) {
		if (log_allowed(&limit, "vm"))
			log_notice(NULL, "guest panic: its crash kernel takes over");
		return true;
	}
	if (crash == VM_CRASH_REPORTED && *inout_events) {
		*inout_events |= VM_EV_CRASH;
	} else if (crash == VM_CRASH_REPORTED && !vm->crash_waits) {
		vm->crash_waits = true;
		loop_arm(vm->crash_timer, VM_CRASH_GRACE_NS);
	}
	return false;
}
