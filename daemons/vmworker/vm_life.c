// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a VM.
 *
 * Theory of operation: CREATED -> RUNNING <-> PAUSED -> OFF or CRASHED. All changes are made on the event loop. A vCPU
 * thread that meets an event (power-off, reset, panic, triple fault, KVM's refusal) notes it, halts all vCPUs and wakes
 * the loop, which follows the VM's policy for it. Of several events at once the gravest counts.
 *
 * Reset: vCPUs stand still; VMBus closes every channel at its provider (bus_reset(), asynchronous: a provider may have
 * I/O in flight into guest memory); only then everything is put into its power-on state, the kernel is loaded again,
 * and the vCPUs run. Memory is not cleared, as on a real machine. The end of a VM goes the same way, but waits for
 * providers at most VM_QUIESCE_DEADLINE_NS; then those that we run must end, threads are joined and the console is
 * flushed, and only after that the state is OFF or CRASHED. A provider that is away is not waited for then. A reset
 * waits for providers as long as they take: who has not let go of the memory may still write to it. A guest that does
 * nothing but reset itself is slowed down (VM_RESET_PACE_NS).
 *
 * A crash report is no event at once: vm_crash.c. What the guest did just before a pause is followed when it is
 * resumed.
 *
 * Limits: while a reset is under way, pause and reset are refused (-EBUSY).
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "vm_int.h"

/* @reason: NULL: it stands in vm->reason already. */
static void set_state(struct vm *vm, enum vm_state state, const char *reason)
{
	vm->state = state;
	if (vm->ic)
		ic_running(vm->ic, state == VM_RUNNING);
	if (reason)
		snprintf(vm->reason, sizeof(vm->reason), "%s", reason);
	log_at(state == VM_CRASHED ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, NULL, "%s", vm->reason);
	vm->changed(vm->changed_arg);
}

void vm_finish_done(struct vm_done *done, const struct err *err)
{
	static const struct err none;
	struct vm_done call = *done;

	*done = (struct vm_done){0};
	if (call.fn)
		call.fn(call.arg, err ? err : &none);
}

static void fail_done(struct vm_done *done, int code, const char *why)
{
	struct err err;

	err_set(&err, code, "%s", why);
	vm_finish_done(done, &err);
}

bool vm_ended(const struct vm *vm)
{
	return vm->state == VM_OFF || vm->state == VM_CRASHED;
}

/* Nothing that the vCPUs, which stand still, have noted or posted counts any more. */
static void forget_events(struct vm *vm)
{
	pthread_mutex_lock(&vm->events_lock);
	vm->events = 0;
	vm->crash = VM_CRASH_NONE;
	pthread_mutex_unlock(&vm->events_lock);
	vm->crash_waits = false;
	loop_disarm(vm->crash_timer);
	mailbox_clear(&vm->mailbox);
}

/* ---- the end ---- */

static void end_finish(struct vm *vm)
{
	struct err err;

	loop_disarm(vm->deadline);
	vm->ending = vm->letting_go = false;
	vm->exits = vcpus_exits(vm->vcpus);
	vcpus_free(vm->vcpus);
	vm->vcpus = NULL;
	if (vm->console)
		console_free(vm->console);
	vm->console = NULL;
	err_set(&err, -ECANCELED, "the VM has ended: %s", vm->reason);
	vm_finish_done(&vm->start_done, &err);
	vm_finish_done(&vm->reset_done, &err);
	set_state(vm, vm->end_state, NULL);
	vm_ask_over(vm);
	vm_finish_done(&vm->stop_done, NULL);
}

/* Who waits for the VM's end may then use its images. */
static void let_go(struct vm *vm)
{
	vm->letting_go = true;
	providers_stop(&vm->providers);
	if (providers_stopped(&vm->providers))
		end_finish(vm);
}

static void on_quiet(void *arg);

static void quiet_bus(struct vm *vm)
{
	if (vm->quieting)
		return;
	vm->quieting = true;
	bus_reset(vm->bus, on_quiet, vm);
}

static void vm_end(struct vm *vm, enum vm_state state, const char *reason)
{
	bool under_way;

	if (vm->ending || vm_ended(vm))
		return;
	vm->starting = false;
	vm->ending = true;
	vm->end_state = state;
	snprintf(vm->reason, sizeof(vm->reason), "%s", reason);
	vcpus_pause(vm->vcpus);
	forget_events(vm);
	if (vm->pacing) {
		vm->pacing = vm->quieting = false;
		loop_disarm(vm->pace);
	}
	loop_arm(vm->deadline, VM_QUIESCE_DEADLINE_NS);
	under_way = vm->quieting;
	bus_end(vm->bus);
	if (!under_way)
		quiet_bus(vm);
}

/* ---- reset ---- */

/* All vCPUs run, and the state says so. */
static void run(struct vm *vm, const char *reason)
{
	vm->began_ns = clock_now_ns();
	vm->guest_tsc = kvm_vcpu_tsc(vm->vcpu[0]);
	vm->host_tsc = __rdtsc();
	vcpus_run(vm->vcpus);
	set_state(vm, VM_RUNNING, reason);
}

static void reset_finish(struct vm *vm)
{
	struct err err = {0};

	vm->quieting = false;
	forget_events(vm);
	if (vm_load(vm, &err) < 0) {
		vm_finish_done(&vm->reset_done, &err);
		vm_end(vm, VM_CRASHED, err.text);
		return;
	}
	vm->resets++;
	vm->panicked = false;
	run(vm, NULL);
	vm_ask_over(vm);
	vm_finish_done(&vm->reset_done, NULL);
}

void vm_pace_over(void *arg)
{
	struct vm *vm = arg;

	vm->pacing = false;
	reset_finish(vm);
}

static void on_quiet(void *arg)
{
	struct vm *vm = arg;

	if (vm->ending) {
		vm->quieting = false;
		let_go(vm);
	} else if (!vm_ended(vm)) {
		loop_disarm(vm->deadline);
		vm->pacing = vm->hasty > VM_RESETS_AT_ONCE;
		if (vm->pacing)
			loop_arm(vm->pace, VM_RESET_PACE_NS);
		else
			reset_finish(vm);
	}
}

static void begin_reset(struct vm *vm, const char *reason)
{
	if (vm->quieting)
		return;
	snprintf(vm->reason, sizeof(vm->reason), "%s", reason);
	log_info(NULL, "starts again: %s", vm->reason); /* guests that do so again and again are paced */
	vcpus_pause(vm->vcpus);
	forget_events(vm);
	loop_arm(vm->deadline, VM_QUIESCE_DEADLINE_NS); /* only to say so */
	quiet_bus(vm);
}

/* ---- what the guest brings about ---- */

static void follow(struct vm *vm, enum vm_action action, enum vm_state end_state, const char *reason)
{
	if (action == VM_DESTROY) {
		vm_end(vm, end_state, reason);
	} else if (action == VM_RESTART) {
		vm->hasty = clock_now_ns() - vm->began_ns < VM_RESET_PACE_NS ? vm->hasty + 1 : 0;
		begin_reset(vm, reason);
	} else {
		vcpus_pause(vm->vcpus);
		set_state(vm, VM_PAUSED, reason);
		vm_ask_over(vm);
	}
}

static void on_failed(struct vm *vm, const char *text)
{
	vm_end(vm, VM_CRASHED, text);
}

static void keep_message(struct vm *vm, const char *text)
{
	if (!vm->guest_message)
		vm->guest_message = malloc(sizeof(vm->event_text));
	if (vm->guest_message)
		strcpy(vm->guest_message, text);
}

static void on_crash(struct vm *vm, const char *text)
{
	keep_message(vm, text);
	vm->panicked = true;
	follow(vm, vm->on_crash, VM_CRASHED, "guest panic");
}

static void on_power_off(struct vm *vm, const char *text)
{
	follow(vm, vm->on_poweroff, VM_OFF, vm_ask_reason(vm, VM_EV_POWER_OFF, "guest power-off"));
}

static void on_reset(struct vm *vm, const char *text)
{
	follow(vm, vm->on_reboot, VM_OFF, vm_ask_reason(vm, VM_EV_RESET, "guest reset"));
}

/* As on a real machine a triple fault is a reset; after a panic it is its end. */
static void on_triple_fault(struct vm *vm, const char *text)
{
	if (vm->panicked)
		follow(vm, vm->on_crash, VM_CRASHED, "guest panic");
	else
		follow(vm, vm->on_reboot, VM_OFF, vm_ask_reason(vm, VM_EV_RESET, "triple fault"));
}

/* The gravest first. */
static const struct {
	enum vm_event event;
	void (*handle)(struct vm *vm, const char *text);
} handlers[] = {
	{VM_EV_FAILED, on_failed},
	{VM_EV_CRASH, on_crash},
	{VM_EV_POWER_OFF, on_power_off},
	{VM_EV_RESET, on_reset},
	{VM_EV_TRIPLE_FAULT, on_triple_fault},
};

void vm_note(struct vm *vm, enum vm_event event, const char *text)
{
	pthread_mutex_lock(&vm->events_lock);
	/* the text is that of the gravest event: the one with the lowest bit */
	if (text && !(vm->events & (event | (event - 1))))
		snprintf(vm->event_text, sizeof(vm->event_text), "%s", text);
	vm->events |= event;
	pthread_mutex_unlock(&vm->events_lock);
	if (vm->vcpus)
		vcpus_halt(vm->vcpus);
	loop_wake(vm->wake);
}

static void handle_events(struct vm *vm)
{
	char text[HV_CRASH_MESSAGE_MAX + 1];
	enum vm_crash crash;
	unsigned int events;

	if (vm->quieting || vm->ending || vm->state != VM_RUNNING)
		return;
	pthread_mutex_lock(&vm->events_lock);
	events = vm->events;
	vm->events = 0;
	crash = vm->crash;
	if (events || crash == VM_CRASH_KERNEL)
		vm->crash = VM_CRASH_NONE;
	memcpy(text, vm->event_text, sizeof(text));
	pthread_mutex_unlock(&vm->events_lock);
	if (vm_crash_look(vm, crash, &events))
		keep_message(vm, text);
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
		if (!(events & handlers[i].event))
			continue;
		handlers[i].handle(vm, text);
		return;
	}
}

/* Stops while the guest leaves too many of our answers unread; its next EOM wakes us again. */
static void read_mail(struct vm *vm)
{
	struct mail mail;

	for (;;) {
		if (synic_backlog(vm->hv) >= SYNIC_BACKLOG_MAX) {
			vm->mail_stalled = true;
			if (synic_backlog(vm->hv) >= SYNIC_BACKLOG_MAX)
				return;
		}
		vm->mail_stalled = false;
		if (mailbox_get(&vm->mailbox, &mail) < 0)
			return;
		bus_message(vm->bus, mail.connection_id, mail.type, mail.payload, mail.len);
	}
}

void vm_woken(void *arg)
{
	struct vm *vm = arg;
	uint64_t reraise;

	handle_events(vm);
	if (vm->ending || vm->quieting || vm_ended(vm))
		return;
	reraise = atomic_exchange(&vm->reraise, 0);
	for (; reraise; reraise &= reraise - 1)
		bus_reraise(vm->bus, (uint32_t)__builtin_ctzll(reraise));
	read_mail(vm);
}

/* ---- what the manager asks for ---- */

static void try_start(struct vm *vm)
{
	size_t i = 0;

	if (!vm->starting || providers_missing(&vm->providers, &i))
		return;
	vm->starting = false;
	loop_disarm(vm->deadline);
	run(vm, "started");
	vm_finish_done(&vm->start_done, NULL);
}

void vm_providers_changed(void *arg)
{
	struct vm *vm = arg;

	if (vm->letting_go && providers_stopped(&vm->providers))
		end_finish(vm);
	try_start(vm);
	vm->changed(vm->changed_arg);
}

void vm_provider_failed(void *arg, const struct err *err)
{
	struct vm *vm = arg;

	if (!vm->starting)
		return;
	vm->starting = false;
	loop_disarm(vm->deadline);
	log_error(NULL, "%s", err->text);
	vm_finish_done(&vm->start_done, err);
}

void vm_deadline(void *arg)
{
	struct vm *vm = arg;
	const struct provider *missing;
	struct err err;
	size_t i = 0;

	if (vm->ending) {
		log_warn(NULL, "ends although a provider has not %s",
			 vm->letting_go ? "ended" : "let go of the guest's memory");
		end_finish(vm);
		return;
	}
	if (vm->quieting) {
		log_warn(NULL, "the reset waits for a provider to let go of the guest's memory");
		return;
	}
	missing = providers_missing(&vm->providers, &i);
	if (!vm->starting || !missing)
		return;
	vm->starting = false;
	err_set(&err, -ETIMEDOUT, "provider %s: not %s within %llu s: see its log", missing->name,
		missing->now.ops ? "ready" : "attached", VM_PROVIDERS_DEADLINE_NS / 1000000000);
	log_error(NULL, "%s", err.text);
	vm_finish_done(&vm->start_done, &err);
}

void vm_start(struct vm *vm, vm_done_fn done, void *arg)
{
	struct vm_done call = {done, arg};
	struct err err = {0};

	if (vm->state != VM_CREATED || vm->ending) {
		fail_done(&call, -EINVAL, "the VM has been started before");
	} else if (vm->starting) {
		fail_done(&call, -EBUSY, "the VM is being started");
	} else if (providers_start(&vm->providers, &err) < 0) {
		vm_finish_done(&call, &err);
	} else {
		vm->start_done = call;
		vm->starting = true;
		loop_arm(vm->deadline, VM_PROVIDERS_DEADLINE_NS);
		try_start(vm);
	}
}

static bool events_pending(struct vm *vm)
{
	bool pending;

	pthread_mutex_lock(&vm->events_lock);
	pending = vm->events;
	pthread_mutex_unlock(&vm->events_lock);
	return pending;
}

int vm_check_state(struct vm *vm, enum vm_state state, struct err *err)
{
	static const char *const names[] = {"not started", "running", "paused", "off", "crashed"};

	if (vm->quieting || vm->ending)
		return err_set(err, -EBUSY, "the VM is being reset or stopped: try again");
	if (vm->state != state)
		return err_set(err, -EINVAL, "the VM is %s", names[vm->state]);
	return 0;
}

int vm_pause(struct vm *vm, struct err *err)
{
	int r = vm_check_state(vm, VM_RUNNING, err);

	if (r < 0)
		return r;
	vcpus_pause(vm->vcpus);
	set_state(vm, VM_PAUSED, "paused");
	return 0;
}

int vm_resume(struct vm *vm, struct err *err)
{
	int r = vm_check_state(vm, VM_PAUSED, err);

	if (r < 0)
		return r;
	if (events_pending(vm)) {
		set_state(vm, VM_RUNNING, "resumed");
		loop_wake(vm->wake);
	} else {
		run(vm, "resumed");
	}
	return 0;
}

void vm_reset(struct vm *vm, vm_done_fn done, void *arg)
{
	struct vm_done call = {done, arg};
	struct err err = {0};

	if (vm_check_state(vm, vm->state == VM_PAUSED ? VM_PAUSED : VM_RUNNING, &err) < 0) {
		vm_finish_done(&call, &err);
		return;
	}
	vm->reset_done = call;
	vm->hasty = 0;
	begin_reset(vm, "reset requested");
}

void vm_stop(struct vm *vm, const char *reason, vm_done_fn done, void *arg)
{
	struct vm_done call = {done, arg};

	if (vm_ended(vm)) {
		vm_finish_done(&call, NULL);
		return;
	}
	if (vm->stop_done.fn)
		fail_done(&vm->stop_done, -ECANCELED, "another stop was asked for");
	vm->stop_done = call;
	vm_end(vm, VM_OFF, reason);
}
