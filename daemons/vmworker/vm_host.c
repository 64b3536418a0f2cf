// SPDX-License-Identifier: Apache-2.0
/* How the parts of a VM reach each other: every callback that one of them makes ends here. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <x86intrin.h>

#include "abi/vmbus.h"
#include "base/bytes.h"
#include "base/log.h"
#include "vm_int.h"

/* ---- the Hyper-V interface ---- */

static void host_inject(void *arg, uint32_t vp, uint8_t vector)
{
	struct vm *vm = arg;

	irq_inject(vm->irq, vp, vector);
}

static void want_reraise(struct vm *vm, uint32_t vp)
{
	vm->reraise |= 1ull << vp;
	loop_wake(vm->wake);
}

static void host_sint_changed(void *arg, uint32_t vp, uint32_t sint, uint8_t vector)
{
	struct vm *vm = arg;
	int r;

	if (sint != BUS_SINT)
		return;
	r = irq_set_vector(vm->irq, vp, vector);
	if (r < 0) {
		char why[80];

		snprintf(why, sizeof(why), "vCPU %u: KVM refuses an interrupt route: %s", vp, strerror(-r));
		vm_note(vm, VM_EV_FAILED, why);
		return;
	}
	want_reraise(vm, vp);
}

static void host_siefp_changed(void *arg, uint32_t vp, uint64_t gpa)
{
	struct vm *vm = arg;

	cells_set(vm->cells, vp, gpa);
	want_reraise(vm, vp);
}

static int host_post_message(void *arg, uint32_t connection_id, uint32_t type, const void *payload, size_t len)
{
	struct vm *vm = arg;
	int r;

	if (connection_id != VMBUS_MESSAGE_CONNECTION_ID && connection_id != VMBUS_MESSAGE_CONNECTION_ID_4)
		return -ENOENT;
	r = mailbox_put(&vm->mailbox, connection_id, type, payload, len);
	if (!r)
		loop_wake(vm->wake);
	return r;
}

static int host_signal_event(void *arg, uint32_t connection_id)
{
	struct vm *vm = arg;

	return irq_kick(vm->irq, connection_id);
}

static void host_reset(void *arg)
{
	vm_note(arg, VM_EV_RESET, NULL);
}

static void host_crashed(void *arg, const uint64_t params[5], const char *text)
{
	char numbers[160];

	if (!text[0]) {
		snprintf(numbers, sizeof(numbers), "crash parameters %#llx %#llx %#llx %#llx %#llx",
			 (unsigned long long)params[0], (unsigned long long)params[1], (unsigned long long)params[2],
			 (unsigned long long)params[3], (unsigned long long)params[4]);
		text = numbers;
	}
	vm_crash_reported(arg, text);
}

static void host_os_left(void *arg)
{
	vm_crash_kernel(arg);
}

static uint64_t host_tsc(void *arg, uint32_t vp)
{
	struct vm *vm = arg;

	return kvm_vcpu_tsc(vm->vcpu[vp]);
}

const struct hv_host vm_hv_host = {
	.inject = host_inject,
	.sint_changed = host_sint_changed,
	.siefp_changed = host_siefp_changed,
	.post_message = host_post_message,
	.signal_event = host_signal_event,
	.reset = host_reset,
	.crashed = host_crashed,
	.os_left = host_os_left,
	.tsc = host_tsc,
};

/* ---- exits ---- */

static void exit_pio(void *arg, uint16_t port, bool is_write, unsigned int size, void *data)
{
	struct vm *vm = arg;

	machine_pio(vm->machine, port, is_write, size, data);
}

static int exit_msr_read(void *arg, uint32_t vp, uint32_t msr, uint64_t *ret_value)
{
	struct vm *vm = arg;

	return hv_msr_read(vm->hv, vp, msr, ret_value);
}

static int exit_msr_write(void *arg, uint32_t vp, uint32_t msr, uint64_t value)
{
	struct vm *vm = arg;
	int r = hv_msr_write(vm->hv, vp, msr, value);

	if (msr == HV_X64_MSR_EOM && vm->mail_stalled)
		loop_wake(vm->wake);
	return r;
}

static uint64_t exit_hypercall(void *arg, uint32_t vp, const struct hv_hypercall *call)
{
	struct vm *vm = arg;

	return hv_hypercall(vm->hv, vp, call);
}

/* The guest's own fault, or its processor's: where it was is all that there is to find out by. */
static void exit_triple_fault(void *arg, uint32_t vp, const struct kvm_where *where)
{
	static struct log_limit limit;
	bool say = log_allowed(&limit, "vm");

	if (say && where)
		log_notice(NULL, "vCPU %u: triple fault at rip %#llx, rsp %#llx, cr2 %#llx, cr3 %#llx", vp,
			   (unsigned long long)where->rip, (unsigned long long)where->rsp,
			   (unsigned long long)where->cr2, (unsigned long long)where->cr3);
	else if (say)
		log_notice(NULL, "vCPU %u: triple fault; this host's processor does not keep where", vp);
	vm_note(arg, VM_EV_TRIPLE_FAULT, NULL);
}

static void exit_failed(void *arg, uint32_t vp, const char *why)
{
	char text[200];

	snprintf(text, sizeof(text), "vCPU %u: %s", vp, why);
	vm_note(arg, VM_EV_FAILED, text);
}

const struct vcpu_host vm_vcpu_host = {
	.pio = exit_pio,
	.msr_read = exit_msr_read,
	.msr_write = exit_msr_write,
	.hypercall = exit_hypercall,
	.triple_fault = exit_triple_fault,
	.failed = exit_failed,
};

/* ---- devices ---- */

static void dev_set_line(void *arg, unsigned int gsi, bool level)
{
	struct vm *vm = arg;

	irq_line(vm->irq, gsi, level);
}

static void dev_serial_output(void *arg, const void *buf, size_t len)
{
	struct vm *vm = arg;

	console_write(vm->console, buf, len);
}

static void dev_serial_input_ready(void *arg)
{
	struct vm *vm = arg;

	console_input_ready(vm->console);
}

static void dev_power_off(void *arg)
{
	vm_note(arg, VM_EV_POWER_OFF, NULL);
}

static void dev_reset(void *arg)
{
	vm_note(arg, VM_EV_RESET, NULL);
}

const struct machine_host vm_machine_host = {
	.set_line = dev_set_line,
	.serial_output = dev_serial_output,
	.serial_input_ready = dev_serial_input_ready,
	.power_off = dev_power_off,
	.reset = dev_reset,
};

size_t vm_console_input(void *arg, const void *buf, size_t len)
{
	struct vm *vm = arg;

	return vm->machine ? machine_serial_input(vm->machine, buf, len) : 0;
}

/* ---- VMBus ---- */

static void bus_post_message(void *arg, uint32_t vp, const void *payload, size_t len)
{
	struct vm *vm = arg;

	synic_post(vm->hv, vp, BUS_SINT, HV_MESSAGE_TYPE_CHANNEL, payload, len);
}

static int bus_kick_assign(void *arg, uint32_t connection_id, int eventfd)
{
	struct vm *vm = arg;

	return irq_kick_assign(vm->irq, connection_id, eventfd);
}

static void bus_kick_release(void *arg, uint32_t connection_id, int eventfd)
{
	struct vm *vm = arg;

	irq_kick_release(vm->irq, connection_id, eventfd);
}

static int bus_irq_assign(void *arg, uint32_t vp, int eventfd)
{
	struct vm *vm = arg;

	return irq_assign(vm->irq, vp, eventfd);
}

static void bus_irq_release(void *arg, int eventfd)
{
	struct vm *vm = arg;

	irq_release(vm->irq, eventfd);
}

static void bus_raise_event(void *arg, uint32_t vp, uint32_t flag)
{
	struct vm *vm = arg;

	synic_raise_event(vm->hv, vp, BUS_SINT, flag);
}

static uint32_t bus_cpus(void *arg)
{
	struct vm *vm = arg;

	return vm->cpus;
}

const struct bus_guest_ops vm_bus_guest_ops = {
	.post_message = bus_post_message,
	.kick_assign = bus_kick_assign,
	.kick_release = bus_kick_release,
	.irq_assign = bus_irq_assign,
	.irq_release = bus_irq_release,
	.raise_event = bus_raise_event,
	.cpus = bus_cpus,
};

/* ---- integration services ---- */

static void ic_changed(void *arg)
{
	struct vm *vm = arg;

	vm->changed(vm->changed_arg);
}

/* The vCPUs run, and cannot be asked; their TSC goes on as the host's does. */
static uint64_t ic_reference_time(void *arg)
{
	struct vm *vm = arg;

	return hv_reference_at(vm->hv, vm->guest_tsc + (__rdtsc() - vm->host_tsc));
}

const struct ic_host vm_ic_host = {
	.changed = ic_changed,
	.reference_time = ic_reference_time,
};
