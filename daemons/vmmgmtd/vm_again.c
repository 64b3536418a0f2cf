/* SPDX-License-Identifier: Apache-2.0 */
/*
 * on_crash=restart: a VM that has crashed (its worker died, or could not go on) is started again. What the guest itself
 * brings about, a panic, the worker follows in place.
 *
 * Theory of operation: between the end and the next start the VM is "crashed" without a process, and its images are
 * free; a timer starts it. Start, Destroy and Undefine end that pause. It is 1 s; after a run of less than 10 s twice
 * the one before, at most 60 s. A start that fails is not tried again.
 *
 * The pause is written down with the end of the VM, and the length of the last one with the run that follows: a vmmgmtd
 * that is started meanwhile goes on with it; one that was killed while the VM was starting again crashed with it.
 *
 * Limits: times are those of one start of the host; a pause from before is over.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "vm_int.h"

#define PAUSE_MIN_NS (1 * NS_PER_SEC)
#define PAUSE_MAX_NS (60 * NS_PER_SEC)
#define SHORT_RUN_NS (10 * NS_PER_SEC)

uint64_t vm_again_pause(uint64_t before_ns, uint64_t lived_ns)
{
	if (!before_ns || lived_ns >= SHORT_RUN_NS)
		return PAUSE_MIN_NS;
	return MIN(before_ns * 2, PAUSE_MAX_NS);
}

void vm_again_plan(struct vm *vm)
{
	char reason[REASON_MAX];

	if (vm->again_start && vm->starting && vm->last.code) {
		vm_put_text(reason, sizeof(reason), "cannot be started again: %s", vm->last.reason);
		vm_put_text(vm->last.reason, sizeof(vm->last.reason), "%s", reason);
		vm->last.state = VM_CRASHED;
	} else if (vm->last.state == VM_CRASHED && vm->domain.on_crash == DOMAIN_EVENT_RESTART) {
		vm->again = true;
		vm->again_pause_ns = vm_again_pause(vm->again_pause_ns, clock_now_ns() - vm->began_ns);
		vm_put_text(reason, sizeof(reason), "%s; it starts again in %u s", vm->last.reason,
			    (unsigned int)(vm->again_pause_ns / NS_PER_SEC));
		vm_put_text(vm->last.reason, sizeof(vm->last.reason), "%s", reason);
		vm->again_at_ns = clock_now_ns() + vm->again_pause_ns;
		loop_arm(vm->again_timer, vm->again_pause_ns);
	}
	vm->again_start = false;
}

void vm_again_restore(struct vm *vm, const struct ended *ended)
{
	const uint64_t now = clock_now_ns();

	if (!ended->again)
		return;
	vm->again = true;
	vm->again_pause_ns = MIN(ended->again_pause_ns, PAUSE_MAX_NS);
	vm->again_at_ns = MIN(MAX(ended->again_at_ns, now), now + vm->again_pause_ns);
	loop_arm(vm->again_timer, vm->again_at_ns - now);
}

void vm_again_over(void *arg)
{
	struct vm *vm = arg;

	vm->again = false;
	vm->again_start = true;
	vm_start_begin(vm, false, NULL, NULL);
}

void vm_again_cancel(struct vm *vm)
{
	loop_disarm(vm->again_timer);
	vm->again_pause_ns = 0;
	if (!vm->again)
		return;
	vm->again = false;
	vm_take_kept(vm);
}
