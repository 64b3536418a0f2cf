/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID: what KVM supports, less what a guest of ours must not see, with our topology. */
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "kvm_int.h"

#define CPUID_MAX 256u

static unsigned int log2_up(uint32_t n)
{
	return n > 1 ? 32 - (unsigned int)__builtin_clz(n - 1) : 0;
}

static void cpuid_fix_1(const struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	uint32_t cpus = vcpu->kvm->cpus;

	e->ebx = (e->ebx & 0xffffu) | (1u << log2_up(cpus)) << 16 | vcpu->index << 24;
	e->ecx |= 1u << 31 | 1u << 21; /* hypervisor, x2APIC */
	if (vcpu->kvm->deadline_timer)
		e->ecx |= 1u << 24;
	e->edx &= ~(1u << 28);
	if (cpus > 1)
		e->edx |= 1u << 28; /* HTT: the count in EBX is valid */
}

/* Intel's cache leaf: first levels are a core's own, the last is shared by all; all cores are in one package. */
static void cpuid_fix_4(const struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	uint32_t level = e->eax >> 5 & 7, ids = (1u << log2_up(vcpu->kvm->cpus)) - 1;

	if (e->eax & 0x1f)
		e->eax = (e->eax & 0x3fffu) | (level >= 3 ? ids : 0) << 14 | ids << 26;
}

static void cpuid_fix_80000001(const struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	e->ecx &= ~(1u << 1); /* CmpLegacy: several cores, not threads (AMD) */
	if (vcpu->kvm->cpus > 1 && e->ecx & 1u << 22)
		e->ecx |= 1u << 1;
}

static void cpuid_fix_80000008(const struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	e->ecx = (e->ecx & ~0xf0ffu) | (vcpu->kvm->cpus - 1) | log2_up(vcpu->kvm->cpus) << 12;
}

static void cpuid_fix_8000001d(const struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	uint32_t level = e->eax >> 5 & 7;

	if (e->eax & 0x1f)
		e->eax = (e->eax & 0x3fffu) | (level >= 3 ? vcpu->kvm->cpus - 1 : 0) << 14;
}

static void cpuid_fix_8000001e(const struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	e->eax = vcpu->index;
	e->ebx = vcpu->index; /* core id; one thread each */
	e->ecx = 0;
}

/* XSAVE, and what cannot be used without it. */
static void cpuid_hide_xsave(struct kvm_cpuid_entry2 *e)
{
	static const struct {
		uint32_t leaf, index, ebx, ecx;
	} masks[] = {
		{0x1, 0, 0, 1u << 12 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29}, /* FMA XSAVE OSXSAVE AVX F16C */
		{0x7, 0, 1u << 5, 1u << 3 | 1u << 4 | 1u << 9 | 1u << 10},	   /* AVX2; PKU OSPKE VAES VPCLMULQDQ */
		{0x80000001, 0, 0, 1u << 11 | 1u << 16},			   /* XOP FMA4 */
	};

	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		if (masks[i].leaf == e->function && masks[i].index == e->index) {
			e->ebx &= ~masks[i].ebx;
			e->ecx &= ~masks[i].ecx;
		}
	}
	if (e->function == 0xd)
		e->eax = e->ebx = e->ecx = e->edx = 0;
}

/* Whether a leaf of KVM's is passed on; those that describe this vCPU are made to fit. */
static bool cpuid_adjust(const struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	static const struct {
		uint32_t leaf;
		void (*fix)(const struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e);
	} fixes[] = {
		{0x1, cpuid_fix_1},
		{0x4, cpuid_fix_4},
		{0x80000001, cpuid_fix_80000001},
		{0x80000008, cpuid_fix_80000008},
		{0x8000001d, cpuid_fix_8000001d},
		{0x8000001e, cpuid_fix_8000001e},
	};

	/* KVM's own leaves, if visible, make Linux take this for a KVM guest. The topology leaves we write ourselves.
	 */
	if ((e->function >= HYPERVISOR_FIRST && e->function < HYPERVISOR_FIRST + HYPERVISOR_COUNT) ||
	    e->function == 0xb || e->function == 0x1f || e->function == 0x80000026)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(fixes); i++)
		if (fixes[i].leaf == e->function)
			fixes[i].fix(vcpu, e);
	if (vcpu->kvm->hide_xsave)
		cpuid_hide_xsave(e);
	return true;
}

/* Leaf 0xb: threads of a core (1), cores of the package, end. */
static uint32_t cpuid_topology(const struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *entries)
{
	uint32_t cpus = vcpu->kvm->cpus;
	const struct kvm_cpuid_entry2 levels[] = {
		{.eax = 0, .ebx = 1, .ecx = 1u << 8},
		{.eax = log2_up(cpus), .ebx = cpus, .ecx = 2u << 8 | 1},
		{.ecx = 2},
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(levels); i++) {
		entries[i] = levels[i];
		entries[i].function = 0xb;
		entries[i].index = i;
		entries[i].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		entries[i].edx = vcpu->index;
	}
	return ARRAY_SIZE(levels);
}

static struct kvm_cpuid2 *cpuid_alloc(void)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));

	if (cpuid)
		cpuid->nent = CPUID_MAX;
	return cpuid;
}

int kvm_cpuid_set(struct kvm_vcpu *vcpu, bool (*leaf)(const void *arg, uint32_t leaf, uint32_t ret_regs[4]),
		  const void *arg)
{
	_cleanup_free_ struct kvm_cpuid2 *host = cpuid_alloc(), *guest = cpuid_alloc();
	uint32_t n = 0, regs[4], max_basic = 0;
	int r;

	if (!host || !guest)
		return -ENOMEM;
	r = kvm_ioctl(vcpu->kvm->sys_fd, KVM_GET_SUPPORTED_CPUID, host);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < host->nent; i++) {
		if (host->entries[i].function == 0)
			max_basic = host->entries[i].eax;
		if (n < CPUID_MAX - 16 && cpuid_adjust(vcpu, &host->entries[i]))
			guest->entries[n++] = host->entries[i];
	}
	if (max_basic >= 0xb)
		n += cpuid_topology(vcpu, &guest->entries[n]);
	for (uint32_t f = HYPERVISOR_FIRST; n < CPUID_MAX && leaf(arg, f, regs); f++)
		guest->entries[n++] = (struct kvm_cpuid_entry2){
			.function = f, .eax = regs[0], .ebx = regs[1], .ecx = regs[2], .edx = regs[3]};
	guest->nent = n;
	return kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, guest);
}
