/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of KVM's files: kvm.c (the VM), kvm_vcpu.c (its vCPUs), kvm_cpuid.c (what these say that they are). */
#ifndef VMWORKER_KVM_INT_H
#define VMWORKER_KVM_INT_H

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "kvm.h"

/* CPUID leaves, and MSRs, of hypervisors */
#define HYPERVISOR_FIRST 0x40000000u
#define HYPERVISOR_COUNT 0x200u

struct kvm {
	int sys_fd, vm_fd;
	uint32_t cpus;
	size_t run_size;
	bool sync_regs, xsave, xcrs, debugregs, deadline_timer;
	bool hide_xsave;
	struct kvm_irqchip irqchip[3]; /* at power-on */
};

/* A vCPU's state at power-on, as KVM made it. */
struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_msrs *msrs;
};

struct kvm_vcpu {
	struct kvm *kvm;
	int fd;
	uint32_t index;
	struct kvm_run *run;
	struct kvm_regs regs; /* where KVM has no shared registers */
	struct vcpu_state power_on;
};

static inline int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

/** kvm_cpuid_set - what the host has and the guest may see, its topology, and from HYPERVISOR_FIRST on what @leaf says.
 */
int kvm_cpuid_set(struct kvm_vcpu *vcpu, bool (*leaf)(const void *arg, uint32_t leaf, uint32_t ret_regs[4]),
		  const void *arg);

#endif
