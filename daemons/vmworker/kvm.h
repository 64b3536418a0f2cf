/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM: every ioctl of the project is made in kvm*.c. It opens nothing: /dev/kvm's descriptor comes from outside.
 * Spec: Linux Documentation/virt/kvm/api.rst.
 */
#ifndef VMWORKER_KVM_H
#define VMWORKER_KVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/syscalls.h"

/* What KVM needs in the sandbox. */
extern const struct syscall_list kvm_calls;

struct kvm;	 /* a VM */
struct kvm_vcpu; /* one of its vCPUs; its APIC id is its index */
struct kvm_run;	 /* linux/kvm.h */
struct kvm_regs;

#define KVM_VCPUS_MAX	64u
#define KVM_APIC_BUS_HZ 1000000000u /* what KVM's local APIC counts at */
#define KVM_IOAPIC_PINS 24u
#define KVM_GSI_MSI	KVM_IOAPIC_PINS /* GSIs from here on are message signalled */

/**
 * kvm_new - a VM with the in-kernel interrupt controllers; MSRs 0x40000000..0x400001ff exit to us.
 * @kvm_fd: /dev/kvm; stays the caller's.
 * @cpus:   how many vCPUs it will have: 1..KVM_VCPUS_MAX.
 * Return: 0; -ENOTTY (not /dev/kvm), -EOPNOTSUPP (a capability is missing: @err names it), -EINVAL, ...
 */
int kvm_new(int kvm_fd, uint32_t cpus, struct err *err, struct kvm **ret_kvm);
/** kvm_free - NULL is allowed. Context: its vCPUs are freed. */
void kvm_free(struct kvm *kvm);

/** kvm_map - guest memory [@gpa, @gpa + @len) is at @host, which must stay mapped as long as the VM. @slot: 0 and up.
 */
int kvm_map(struct kvm *kvm, uint32_t slot, uint64_t gpa, uint64_t len, void *host);

/** kvm_reset_irqchip - IOAPIC and PIC to their power-on state. Context: no vCPU runs. */
int kvm_reset_irqchip(struct kvm *kvm);

/** kvm_line - the level of IOAPIC pin @gsi. Context: any thread. */
int kvm_line(struct kvm *kvm, uint32_t gsi, bool level);

/** kvm_msi - one edge interrupt of @vector at the local APIC @apic_id. Context: any thread. */
int kvm_msi(struct kvm *kvm, uint32_t apic_id, uint8_t vector);

/* GSI @first + i is an MSI to APIC id i with vector[i]; 0: no route, what comes there is dropped. */
int kvm_route_msis(struct kvm *kvm, const uint8_t *vector, uint32_t count);

/** kvm_irqfd - writing @eventfd raises @gsi (KVM_GSI_MSI and up), from now on or no longer. Context: any thread. */
int kvm_irqfd(struct kvm *kvm, uint32_t gsi, int eventfd, bool assign);

/** kvm_ioeventfd - a 4-byte OUT of @data to @port fires @eventfd, from now on or no longer. Context: any thread. */
int kvm_ioeventfd(struct kvm *kvm, uint16_t port, uint32_t data, int eventfd, bool assign);

/* ---- vCPUs. All but kvm_vcpu_kick() run on the vCPU's thread, or on any while that does not run the guest. ---- */

/** kvm_vcpu_new - Return: 0 or a negative errno with a line. */
int kvm_vcpu_new(struct kvm *kvm, uint32_t index, struct err *err, struct kvm_vcpu **ret_vcpu);
void kvm_vcpu_free(struct kvm_vcpu *vcpu);

/** kvm_vcpu_tsc_hz - frequency of the guest's TSC. Return: 0 or a negative errno. */
int kvm_vcpu_tsc_hz(struct kvm_vcpu *vcpu, uint64_t *ret_hz);
/** kvm_vcpu_tsc - the guest's TSC now. */
uint64_t kvm_vcpu_tsc(struct kvm_vcpu *vcpu);

/**
 * kvm_vcpu_configure - set its CPUID (what KVM supports, without its own hypervisor leaves, with those of @leaf), one
 * package of as many cores as the VM has vCPUs; and remember its power-on state for kvm_vcpu_reset().
 * @leaf: fills a leaf from 0x40000000 on; false ends the series.
 */
int kvm_vcpu_configure(struct kvm_vcpu *vcpu, bool (*leaf)(const void *arg, uint32_t leaf, uint32_t ret_regs[4]),
		       const void *arg, struct err *err);

/** kvm_vcpu_reset - power-on state; vCPUs but the first wait for INIT and SIPI. The TSC goes on. */
int kvm_vcpu_reset(struct kvm_vcpu *vcpu);

/* Where the boot vCPU starts: 64-bit mode, flat segments, paging on, interrupts off. */
struct kvm_entry {
	uint64_t rip, rsi, rsp;
	uint64_t cr3_gpa;
	uint64_t gdt_gpa;
	uint16_t gdt_len;
};
int kvm_vcpu_enter(struct kvm_vcpu *vcpu, const struct kvm_entry *entry);

/**
 * kvm_vcpu_run - until the next exit.
 * Return: 0 (look at kvm_vcpu_area()); -EINTR (kicked); -EAGAIN (nothing: run again); another negative errno.
 */
int kvm_vcpu_run(struct kvm_vcpu *vcpu);
/** kvm_vcpu_finish - complete what the last exit left half done (its result may still be on the way to a register),
 * without running the guest. Return: 0 or a negative errno. */
int kvm_vcpu_finish(struct kvm_vcpu *vcpu);
struct kvm_run *kvm_vcpu_area(struct kvm_vcpu *vcpu);

/** kvm_vcpu_kick - make kvm_vcpu_run() return -EINTR now or at its next call; the caller also signals the thread. Any
 * thread. */
void kvm_vcpu_kick(struct kvm_vcpu *vcpu);
void kvm_vcpu_unkick(struct kvm_vcpu *vcpu);

/**
 * kvm_vcpu_regs - the general registers at the last exit; valid until the next run. Change them, then call
 * kvm_vcpu_regs_changed(). Return: NULL if KVM refuses.
 */
struct kvm_regs *kvm_vcpu_regs(struct kvm_vcpu *vcpu);
int kvm_vcpu_regs_changed(struct kvm_vcpu *vcpu);

/* Where a vCPU was when it could not go on. */
struct kvm_where {
	uint64_t rip, rsp, cr2, cr3;
};
/**
 * kvm_vcpu_where - for people to read, after the exit KVM_EXIT_SHUTDOWN.
 * Return: false: nobody knows: on AMD's processors KVM has put the vCPU into the state that INIT gives it.
 */
bool kvm_vcpu_where(struct kvm_vcpu *vcpu, struct kvm_where *ret_where);

#endif
