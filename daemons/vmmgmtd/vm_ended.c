/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What outlives the end of a VM, in case that vmmgmtd does not: how it has ended, for those who wait for that, and when
 * it starts again.
 *
 * Theory of operation: it is written down before the runtime folder goes, so one of the two is there at any time, or
 * both, and then the folder counts: the end is gone through once more. It is removed when the next start has made a
 * folder, or with the VM.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "vm_int.h"

void vm_record_end(struct vm *vm)
{
	struct ended ended = {
		.crashed = vm->last.state == VM_CRASHED,
		.persistent = vm->persistent,
		.at_ns = clock_now_ns(),
		.again = vm->again,
		.again_at_ns = vm->again_at_ns,
		.again_pause_ns = vm->again_pause_ns,
		.guest_message = vm->guest_message,
		.xml = vm->domain.xml,
	};
	int r;

	/* A start that has failed was told to who asked for it. */
	if (vm->starting && vm->last.code && vm->last.state == VM_SHUT_OFF) {
		ended_remove(vm->env->base, vm->domain.uuid);
		return;
	}
	vm_put_text(ended.reason, sizeof(ended.reason), "%s", vm->last.reason);
	r = ended_save(vm->env->base, vm->domain.uuid, &ended);
	if (r < 0)
		log_error(vm->domain.name, "how it has ended cannot be written down: %s", strerror(-r));
}

void vm_restore(struct vm *vm, const struct ended *ended)
{
	vm->guest_message = ended->guest_message ? strdup(ended->guest_message) : NULL;
	vm_again_restore(vm, ended);
	vm->state = ended->crashed ? VM_CRASHED : VM_SHUT_OFF;
	vm_set_reason(vm, ended->reason);
	vm->env->events->ended(vm, vm->env->arg);
}
