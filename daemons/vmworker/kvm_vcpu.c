/* SPDX-License-Identifier: Apache-2.0 */
/* vCPUs: their making, their state at power-on, running them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "kvm_int.h"

#define MSRS_MAX     1024u
#define CR0_PE	     1u
#define INIT_CS_BASE 0xffff0000u
#define INIT_RIP     0xfff0u

#define MSR_IA32_TSC	  0x10u
#define KVM_MSR_OLD_FIRST 0x11u /* KVM's own clock MSRs, of a feature that we do not offer */
#define KVM_MSR_OLD_LAST  0x12u
#define KVM_MSR_FIRST	  0x4b564d00u
#define KVM_MSR_LAST	  0x4b564dffu

/* ---- making ---- */

int kvm_vcpu_new(struct kvm *kvm, uint32_t index, struct err *err, struct kvm_vcpu **ret_vcpu)
{
	struct kvm_vcpu *vcpu = calloc(1, sizeof(*vcpu));

	if (!vcpu)
		return err_set(err, -ENOMEM, "out of memory");
	vcpu->kvm = kvm;
	vcpu->index = index;
	vcpu->run = MAP_FAILED;
	vcpu->fd = kvm_ioctl(kvm->vm_fd, KVM_CREATE_VCPU, (void *)(unsigned long)index);
	if (vcpu->fd < 0) {
		int r = vcpu->fd;

		free(vcpu);
		return err_set(err, r, "KVM: cannot create vCPU %u: %s", index, strerror(-r));
	}
	vcpu->run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		kvm_vcpu_free(vcpu);
		return err_set(err, -ENOMEM, "KVM: cannot map vCPU %u", index);
	}
	if (kvm->sync_regs)
		vcpu->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	*ret_vcpu = vcpu;
	return 0;
}

void kvm_vcpu_free(struct kvm_vcpu *vcpu)
{
	if (!vcpu)
		return;
	if (vcpu->run != MAP_FAILED)
		munmap(vcpu->run, vcpu->kvm->run_size);
	fd_close(&vcpu->fd);
	free(vcpu->power_on.msrs);
	free(vcpu);
}

int kvm_vcpu_tsc_hz(struct kvm_vcpu *vcpu, uint64_t *ret_hz)
{
	int khz = kvm_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, NULL);

	if (khz <= 0)
		return khz ? khz : -EIO;
	*ret_hz = (uint64_t)khz * 1000;
	return 0;
}

uint64_t kvm_vcpu_tsc(struct kvm_vcpu *vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = {.head.nmsrs = 1, .entry.index = MSR_IA32_TSC};

	return kvm_ioctl(vcpu->fd, KVM_GET_MSRS, &msrs) == 1 ? msrs.entry.data : 0;
}

/* ---- power-on state ---- */

static bool msr_is_state(uint32_t index)
{
	return index != MSR_IA32_TSC && !(index >= KVM_MSR_OLD_FIRST && index <= KVM_MSR_OLD_LAST) &&
	       !(index >= KVM_MSR_FIRST && index <= KVM_MSR_LAST) &&
	       !(index >= HYPERVISOR_FIRST && index < HYPERVISOR_FIRST + HYPERVISOR_COUNT);
}

/* Of the MSRs that KVM lists, keep those that this vCPU lets us read and write back. */
static int msrs_save(struct kvm_vcpu *vcpu)
{
	_cleanup_free_ struct kvm_msr_list *list = calloc(1, sizeof(*list) + MSRS_MAX * sizeof(list->indices[0]));
	struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + MSRS_MAX * sizeof(msrs->entries[0]));
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = {.head.nmsrs = 1};
	int r;

	vcpu->power_on.msrs = msrs;
	if (!list || !msrs)
		return -ENOMEM;
	list->nmsrs = MSRS_MAX;
	r = kvm_ioctl(vcpu->kvm->sys_fd, KVM_GET_MSR_INDEX_LIST, list);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < list->nmsrs; i++) {
		one.entry = (struct kvm_msr_entry){.index = list->indices[i]};
		if (!msr_is_state(list->indices[i]) || kvm_ioctl(vcpu->fd, KVM_GET_MSRS, &one) != 1)
			continue;
		if (kvm_ioctl(vcpu->fd, KVM_SET_MSRS, &one) == 1)
			msrs->entries[msrs->nmsrs++] = one.entry;
	}
	return 0;
}

static int state_save(struct kvm_vcpu *vcpu)
{
	struct vcpu_state *s = &vcpu->power_on;
	struct kvm *kvm = vcpu->kvm;
	const struct {
		unsigned long request;
		void *arg;
		bool have;
	} parts[] = {
		{KVM_GET_MP_STATE, &s->mp, true},
		{KVM_GET_REGS, &s->regs, true},
		{KVM_GET_SREGS, &s->sregs, true},
		{KVM_GET_FPU, &s->fpu, !kvm->xsave},
		{KVM_GET_XSAVE, &s->xsave, kvm->xsave},
		{KVM_GET_XCRS, &s->xcrs, kvm->xcrs},
		{KVM_GET_DEBUGREGS, &s->debugregs, kvm->debugregs},
		{KVM_GET_LAPIC, &s->lapic, true},
		{KVM_GET_VCPU_EVENTS, &s->events, true},
	};
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		r = parts[i].have ? kvm_ioctl(vcpu->fd, parts[i].request, parts[i].arg) : 0;
		if (r < 0)
			return r;
	}
	/* also drop an INIT that is still on its way when we reset */
	s->events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			   KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	return msrs_save(vcpu);
}

/* KVM stops at an MSR that it refuses (some can be written only in some order): go on behind it. */
static void msrs_restore(struct kvm_vcpu *vcpu)
{
	const struct kvm_msrs *all = vcpu->power_on.msrs;
	_cleanup_free_ struct kvm_msrs *rest = NULL;
	uint32_t done = 0;
	int r;

	rest = calloc(1, sizeof(*rest) + all->nmsrs * sizeof(rest->entries[0]));
	while (rest && done < all->nmsrs) {
		rest->nmsrs = all->nmsrs - done;
		memcpy(rest->entries, &all->entries[done], rest->nmsrs * sizeof(rest->entries[0]));
		r = kvm_ioctl(vcpu->fd, KVM_SET_MSRS, rest);
		done += (r < 0 ? 0 : (uint32_t)r) + 1;
	}
}

/*
 * After a triple fault KVM on AMD clears the VMCB and forgets to write the TSC's offset into it again (Linux 6.1
 * shutdown_interception()): that processor would count from the host's start, the others from the VM's. KVM itself
 * still knows the offset.
 */
static void tsc_restore(struct kvm_vcpu *vcpu)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uint64_t)(uintptr_t)&offset};

	/* before Linux 5.16 there is no such attribute: nothing to be done there */
	if (!kvm_ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, &attr))
		kvm_ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr);
}

int kvm_vcpu_reset(struct kvm_vcpu *vcpu)
{
	struct vcpu_state *s = &vcpu->power_on;
	struct kvm *kvm = vcpu->kvm;
	/* Special registers first: they set the APIC's mode, in which its registers are then understood. */
	const struct {
		unsigned long request;
		void *arg;
		bool have;
	} parts[] = {
		{KVM_SET_SREGS, &s->sregs, true},    {KVM_SET_REGS, &s->regs, true},
		{KVM_SET_FPU, &s->fpu, !kvm->xsave}, {KVM_SET_XSAVE, &s->xsave, kvm->xsave},
		{KVM_SET_XCRS, &s->xcrs, kvm->xcrs}, {KVM_SET_DEBUGREGS, &s->debugregs, kvm->debugregs},
		{KVM_SET_LAPIC, &s->lapic, true},    {KVM_SET_VCPU_EVENTS, &s->events, true},
		{KVM_SET_MP_STATE, &s->mp, true},
	};
	int r;

	vcpu->run->kvm_dirty_regs = 0;
	msrs_restore(vcpu);
	tsc_restore(vcpu);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		r = parts[i].have ? kvm_ioctl(vcpu->fd, parts[i].request, parts[i].arg) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int kvm_vcpu_configure(struct kvm_vcpu *vcpu, bool (*leaf)(const void *arg, uint32_t leaf, uint32_t ret_regs[4]),
		       const void *arg, struct err *err)
{
	int r = kvm_cpuid_set(vcpu, leaf, arg);

	if (r < 0)
		return err_set(err, r, "KVM: cannot set CPUID of vCPU %u: %s", vcpu->index, strerror(-r));
	r = state_save(vcpu);
	if (r < 0)
		return err_set(err, r, "KVM: cannot read the state of vCPU %u: %s", vcpu->index, strerror(-r));
	return 0;
}

int kvm_vcpu_enter(struct kvm_vcpu *vcpu, const struct kvm_entry *entry)
{
	const struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 0x10, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
	const struct kvm_segment data = {
		.limit = 0xffffffff, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rip = entry->rip, .rsi = entry->rsi, .rsp = entry->rsp, .rflags = 0x2};
	int r = kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);

	if (r < 0)
		return r;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt.base = entry->gdt_gpa;
	sregs.gdt.limit = (uint16_t)(entry->gdt_len - 1);
	sregs.idt.base = sregs.idt.limit = 0;
	sregs.cr3 = entry->cr3_gpa;
	sregs.cr4 = 1u << 5;			       /* PAE */
	sregs.efer = 1u << 8 | 1u << 10;	       /* LME, LMA */
	sregs.cr0 = 1u | 1u << 4 | 1u << 5 | 1u << 31; /* PE, ET, NE, PG */
	r = kvm_ioctl(vcpu->fd, KVM_SET_SREGS, &sregs);
	return r < 0 ? r : kvm_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
}

/* ---- running ---- */

int kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
	int r = kvm_ioctl(vcpu->fd, KVM_RUN, NULL);

	return r < 0 ? r : 0;
}

int kvm_vcpu_finish(struct kvm_vcpu *vcpu)
{
	int r;

	kvm_vcpu_kick(vcpu);
	r = kvm_vcpu_run(vcpu);
	kvm_vcpu_unkick(vcpu);
	return r == -EINTR || r == -EAGAIN ? 0 : r;
}

struct kvm_run *kvm_vcpu_area(struct kvm_vcpu *vcpu)
{
	return vcpu->run;
}

void kvm_vcpu_kick(struct kvm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELAXED);
}

void kvm_vcpu_unkick(struct kvm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_RELAXED);
}

struct kvm_regs *kvm_vcpu_regs(struct kvm_vcpu *vcpu)
{
	if (vcpu->kvm->sync_regs)
		return &vcpu->run->s.regs.regs;
	return kvm_ioctl(vcpu->fd, KVM_GET_REGS, &vcpu->regs) < 0 ? NULL : &vcpu->regs;
}

int kvm_vcpu_regs_changed(struct kvm_vcpu *vcpu)
{
	if (vcpu->kvm->sync_regs) {
		vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
		return 0;
	}
	return kvm_ioctl(vcpu->fd, KVM_SET_REGS, &vcpu->regs);
}

bool kvm_vcpu_where(struct kvm_vcpu *vcpu, struct kvm_where *ret_where)
{
	const struct kvm_regs *regs = kvm_vcpu_regs(vcpu);
	struct kvm_sregs sregs;

	if (!regs || kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return false;
	if (!(sregs.cr0 & CR0_PE) && sregs.cs.base == INIT_CS_BASE && regs->rip == INIT_RIP)
		return false;
	*ret_where = (struct kvm_where){.rip = regs->rip, .rsp = regs->rsp, .cr2 = sregs.cr2, .cr3 = sregs.cr3};
	return true;
}
