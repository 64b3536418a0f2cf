// SPDX-License-Identifier: Apache-2.0
/* Building a VM, putting it into its power-on state, taking it down. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "vm_int.h"

int vm_load(struct vm *vm, struct err *err)
{
	struct boot_entry boot;
	struct kvm_entry entry;
	int r;

	hv_reset(vm->hv);
	machine_reset(vm->machine);
	r = kvm_reset_irqchip(vm->kvm);
	for (uint32_t i = 0; i < vm->cpus && r >= 0; i++)
		r = kvm_vcpu_reset(vm->vcpu[i]);
	if (r < 0)
		return err_set(err, r, "KVM: cannot put the vCPUs into their power-on state: %s", strerror(-r));
	r = boot_load(&vm->boot, &vm->mem, &boot, err);
	if (r < 0)
		return r;
	entry = (struct kvm_entry){
		.rip = boot.rip,
		.rsi = boot.rsi,
		.rsp = boot.rsp,
		.cr3_gpa = boot.cr3_gpa,
		.gdt_gpa = boot.gdt_gpa,
		.gdt_len = boot.gdt_len,
	};
	r = kvm_vcpu_enter(vm->vcpu[0], &entry);
	return r < 0 ? err_set(err, r, "KVM: cannot set the boot vCPU's registers: %s", strerror(-r)) : 0;
}

/* ---- steps of building ---- */

static int copy_config(struct vm *vm, const struct vm_config *config, struct err *err)
{
	vm->on_poweroff = config->on_poweroff;
	vm->on_reboot = config->on_reboot;
	vm->on_crash = config->on_crash;
	vm->cpus = config->cpus;
	vm->name = strdup(config->name);
	vm->uuid = strdup(config->uuid);
	vm->cmdline = strdup(config->cmdline);
	vm->kernel_name = strdup(config->kernel_name);
	vm->initrd_name = strdup(config->initrd_name);
	if (!vm->name || !vm->uuid || !vm->cmdline || !vm->kernel_name || !vm->initrd_name)
		return err_set(err, -ENOMEM, "out of memory");
	vm->kernel_fd = fd_dup(config->kernel_fd);
	vm->initrd_fd = config->initrd_fd >= 0 ? fd_dup(config->initrd_fd) : -1;
	if (vm->kernel_fd < 0 || (config->initrd_fd >= 0 && vm->initrd_fd < 0))
		return err_set(err, -EMFILE, "cannot keep the kernel open: too many descriptors");
	vm->boot = (struct boot_config){
		.kernel_fd = vm->kernel_fd,
		.initrd_fd = vm->initrd_fd,
		.kernel_name = vm->kernel_name,
		.initrd_name = vm->initrd_name,
		.cmdline = vm->cmdline,
		.cpus = vm->cpus,
		.memory_bytes = config->memory_bytes,
	};
	return 0;
}

static int build_memory(struct vm *vm, const struct vm_config *config, struct err *err)
{
	int r = memory_new(config->memory_bytes, config->huge_pages, &vm->mem, err);

	if (r < 0)
		return r;
	vm->have_mem = true;
	for (size_t i = 0; i < vm->mem.regions; i++) {
		const struct guest_mem_region *region = &vm->mem.region[i];

		r = kvm_map(vm->kvm, (uint32_t)i, region->gpa, region->len, region->host);
		if (r < 0)
			return err_set(err, r, "KVM: cannot map guest memory: %s", strerror(-r));
	}
	vm->cells_fd = cells_new(vm->cpus, &vm->cells);
	if (vm->cells_fd < 0)
		return err_set(err, vm->cells_fd, "signal cells: %s", strerror(-vm->cells_fd));
	vm->signals = (struct signal_map){.cells = vm->cells, .cpus = vm->cpus};
	return 0;
}

static bool cpuid_leaf(const void *arg, uint32_t leaf, uint32_t ret_regs[4])
{
	return hv_cpuid_leaf(arg, leaf, ret_regs);
}

static int build_vcpus(struct vm *vm, struct err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < vm->cpus && r >= 0; i++)
		r = kvm_vcpu_new(vm->kvm, i, err, &vm->vcpu[i]);
	if (r < 0)
		return r;
	vm->hv_config = (struct hv_config){.cpus = vm->cpus, .apic_hz = KVM_APIC_BUS_HZ};
	r = kvm_vcpu_tsc_hz(vm->vcpu[0], &vm->hv_config.tsc_hz);
	if (r < 0)
		return err_set(err, r, "KVM: the TSC's frequency is unknown: %s", strerror(-r));
	for (uint32_t i = 0; i < vm->cpus && r >= 0; i++)
		r = kvm_vcpu_configure(vm->vcpu[i], cpuid_leaf, &vm->hv_config, err);
	return r;
}

static int build_console(struct vm *vm, const struct vm_config *config, struct err *err)
{
	int log_fd = -1;

	if (config->log_fd >= 0) {
		log_fd = fd_dup(config->log_fd);
		if (log_fd < 0)
			return err_set(err, log_fd, "serial log: %s", strerror(-log_fd));
	}
	return console_new(vm->loop, log_fd, true, vm_console_input, vm, err, &vm->console);
}

static int build_rest(struct vm *vm, struct err *err)
{
	struct machine_host machine_host = vm_machine_host;
	struct vcpu_host vcpu_host = vm_vcpu_host;
	struct hv_host hv_host = vm_hv_host;
	struct ic_host ic_host = vm_ic_host;
	int r;

	machine_host.arg = vcpu_host.arg = hv_host.arg = ic_host.arg = vm;
	r = irq_new(vm->kvm, vm->cpus, &vm->irq);
	if (!r)
		r = hv_new(&vm->hv_config, &vm->mem, &hv_host, &vm->hv);
	if (!r)
		r = machine_new(&machine_host, &vm->machine);
	if (!r)
		r = bus_new(vm->loop, &vm->mem, &vm_bus_guest_ops, vm, &vm->bus);
	if (!r)
		r = ic_new(vm->loop, vm->bus, &vm->mem, &vm->signals, &ic_host, &vm->ic);
	if (!r)
		r = vcpus_new(vm->vcpu, vm->cpus, &vcpu_host, &vm->vcpus);
	return r < 0 ? err_set(err, r, "cannot build the VM: %s", strerror(-r)) : 0;
}

static int build_providers(struct vm *vm, const struct vm_config *config, struct err *err)
{
	int r = 0;

	vm->providers = (struct providers){
		.loop = vm->loop,
		.spawner = config->spawner,
		.bus = vm->bus,
		.changed = vm_providers_changed,
		.failed = vm_provider_failed,
		.arg = vm,
	};
	for (size_t i = 0; i < config->provider_count && !r; i++)
		r = providers_add(&vm->providers, &config->providers[i], err);
	return r;
}

static int build(struct vm *vm, const struct vm_config *config, struct err *err)
{
	int r = copy_config(vm, config, err);

	if (!r)
		r = loop_add_wake(vm->loop, vm_woken, vm, &vm->wake);
	if (!r)
		r = loop_add_timer(vm->loop, vm_deadline, vm, &vm->deadline);
	if (!r)
		r = loop_add_timer(vm->loop, vm_pace_over, vm, &vm->pace);
	if (!r)
		r = loop_add_timer(vm->loop, vm_crash_over, vm, &vm->crash_timer);
	if (!r)
		r = loop_add_timer(vm->loop, vm_ask_deadline, vm, &vm->ask.deadline);
	if (!r)
		r = kvm_new(config->kvm_fd, config->cpus, err, &vm->kvm);
	if (!r)
		r = build_memory(vm, config, err);
	if (!r)
		r = build_vcpus(vm, err);
	if (!r)
		r = build_console(vm, config, err);
	if (!r)
		r = build_rest(vm, err);
	if (!r)
		r = build_providers(vm, config, err);
	if (!r)
		r = vm_load(vm, err);
	return r;
}

int vm_new(struct loop *loop, const struct vm_config *config, vm_changed_fn changed, void *arg, struct err *err,
	   struct vm **ret_vm)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return err_set(err, -ENOMEM, "out of memory");
	vm->loop = loop;
	vm->changed = changed;
	vm->changed_arg = arg;
	vm->kernel_fd = vm->initrd_fd = vm->cells_fd = -1;
	mailbox_init(&vm->mailbox);
	pthread_mutex_init(&vm->events_lock, NULL);
	strcpy(vm->reason, "created");
	r = build(vm, config, err);
	if (r < 0) {
		if (!err->code)
			err_set(err, r, "cannot build the VM: %s", strerror(-r));
		vm_free(vm);
		return r;
	}
	*ret_vm = vm;
	return 0;
}

static void free_parts(struct vm *vm)
{
	vcpus_free(vm->vcpus);
	if (vm->console)
		console_free(vm->console);
	ic_free(vm->ic);
	bus_free(vm->bus);
	providers_done(&vm->providers);
	if (vm->machine)
		machine_free(vm->machine);
	hv_free(vm->hv);
	irq_free(vm->irq);
	for (uint32_t i = 0; i < KVM_VCPUS_MAX; i++)
		kvm_vcpu_free(vm->vcpu[i]);
	kvm_free(vm->kvm);
	cells_free(vm->cells);
	fd_close(&vm->cells_fd);
	if (vm->have_mem)
		guest_mem_done(&vm->mem);
}

void vm_free(struct vm *vm)
{
	struct err err;

	if (!vm)
		return;
	err_set(&err, -ECANCELED, "the worker ends");
	vm_finish_done(&vm->start_done, &err);
	vm_finish_done(&vm->reset_done, &err);
	vm_finish_done(&vm->stop_done, &err);
	vm_finish_done(&vm->ask.done, &err);
	free_parts(vm);
	loop_remove(&vm->deadline);
	loop_remove(&vm->pace);
	loop_remove(&vm->crash_timer);
	loop_remove(&vm->ask.deadline);
	loop_remove(&vm->wake);
	fd_close(&vm->kernel_fd);
	fd_close(&vm->initrd_fd);
	mailbox_done(&vm->mailbox);
	pthread_mutex_destroy(&vm->events_lock);
	free(vm->name);
	free(vm->uuid);
	free(vm->cmdline);
	free(vm->kernel_name);
	free(vm->initrd_name);
	free(vm->guest_message);
	free(vm);
}

/* ---- looking ---- */

void vm_status(const struct vm *vm, struct vm_status *ret_status)
{
	*ret_status = (struct vm_status){
		.state = vm->state,
		.reason = vm->reason,
		.guest_message = vm->guest_message ? vm->guest_message : "",
		.console_pty = vm->console ? console_pty_path(vm->console) : "",
		.resets = vm->resets,
		.exits = vm->vcpus ? vcpus_exits(vm->vcpus) : vm->exits,
		.heartbeat = vm->ic ? ic_heartbeat(vm->ic) : IC_HEARTBEAT_UNKNOWN,
	};
}

bool vm_service(const struct vm *vm, size_t index, struct ic_service_status *ret_status)
{
	return ic_service(vm->ic, index, ret_status);
}

int vm_open_console(struct vm *vm, bool backlog)
{
	return vm->console ? console_open(vm->console, backlog) : -ENOTCONN;
}

struct providers *vm_providers(struct vm *vm)
{
	return &vm->providers;
}

const struct guest_mem *vm_memory(const struct vm *vm)
{
	return &vm->mem;
}

int vm_cells_fd(const struct vm *vm)
{
	return vm->cells_fd;
}

uint32_t vm_cpus(const struct vm *vm)
{
	return vm->cpus;
}

const char *vm_name(const struct vm *vm)
{
	return vm->name;
}

const char *vm_uuid(const struct vm *vm)
{
	return vm->uuid;
}
