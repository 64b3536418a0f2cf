// SPDX-License-Identifier: Apache-2.0
#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "kvm.h"

/* Three pages that Intel's real mode needs, below the end of 4 GiB where no memory is. */
#define TSS_GPA		 0xfffbd000u
#define IDENTITY_MAP_GPA 0xfffbc000u

#define HYPERVISOR_FIRST 0x40000000u
#define HYPERVISOR_COUNT 0x200u
#define CPUID_MAX	 256u
#define MSRS_MAX	 1024u
#define MSI_ADDRESS	 0xfee00000u

#define CR0_PE	     1u
#define INIT_CS_BASE 0xffff0000u
#define INIT_RIP     0xfff0u

#define MSR_IA32_TSC	  0x10u
#define KVM_MSR_OLD_FIRST 0x11u /* KVM's own clock MSRs, of a feature that we do not offer */
#define KVM_MSR_OLD_LAST  0x12u
#define KVM_MSR_FIRST	  0x4b564d00u
#define KVM_MSR_LAST	  0x4b564dffu

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

static const struct syscall_rule kvm_rules[] = {
	{SYS_ioctl, 1, 0xff00, KVMIO << 8},
	{-1},
};

const struct syscall_list kvm_calls = {.name = "KVM", .rules = kvm_rules};

static int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

static int kvm_extension(int fd, long capability)
{
	return kvm_ioctl(fd, KVM_CHECK_EXTENSION, (void *)capability);
}

/* ---- the VM ---- */

static int check_capabilities(int kvm_fd, struct err *err)
{
	static const struct {
		long capability;
		const char *name, *since;
	} needed[] = {
		{KVM_CAP_IRQCHIP, "IRQCHIP", "2.6"},
		{KVM_CAP_USER_MEMORY, "USER_MEMORY", "2.6"},
		{KVM_CAP_EXT_CPUID, "EXT_CPUID", "2.6"},
		{KVM_CAP_MP_STATE, "MP_STATE", "2.6"},
		{KVM_CAP_VCPU_EVENTS, "VCPU_EVENTS", "2.6"},
		{KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING", "2.6"},
		{KVM_CAP_IRQFD, "IRQFD", "2.6"},
		{KVM_CAP_IOEVENTFD, "IOEVENTFD", "2.6"},
		{KVM_CAP_GET_TSC_KHZ, "GET_TSC_KHZ", "3.0"},
		{KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI", "3.5"},
		{KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT", "4.13"},
		{KVM_CAP_X86_USER_SPACE_MSR, "X86_USER_SPACE_MSR", "5.10"},
		{KVM_CAP_X86_MSR_FILTER, "X86_MSR_FILTER", "5.10"},
	};
	int version = kvm_ioctl(kvm_fd, KVM_GET_API_VERSION, NULL);

	if (version < 0)
		return err_set(err, version, "KVM: the descriptor is not /dev/kvm (%s)", strerror(-version));
	if (version != KVM_API_VERSION)
		return err_set(err, -EOPNOTSUPP, "KVM: interface version %d, %d is needed: update the host's kernel",
			       version, KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (kvm_extension(kvm_fd, needed[i].capability) <= 0)
			return err_set(err, -EOPNOTSUPP,
				       "KVM: capability %s is missing: use a host kernel from Linux %s on",
				       needed[i].name, needed[i].since);
	return 0;
}

static int filter_msrs(struct kvm *kvm)
{
	static const uint8_t none[HYPERVISOR_COUNT / 8];
	struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = {KVM_MSR_EXIT_REASON_FILTER}};
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges[0] = {.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			      .base = HYPERVISOR_FIRST,
			      .nmsrs = HYPERVISOR_COUNT,
			      .bitmap = (uint8_t *)none},
	};
	int r = kvm_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &cap);

	return r < 0 ? r : kvm_ioctl(kvm->vm_fd, KVM_X86_SET_MSR_FILTER, &filter);
}

static int create_irqchip(struct kvm *kvm)
{
	uint64_t identity_map = IDENTITY_MAP_GPA;
	int r;

	/* only Intel hosts need them: that an emulated one refuses does no harm */
	kvm_ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	kvm_ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, (void *)(unsigned long)TSS_GPA);
	r = kvm_ioctl(kvm->vm_fd, KVM_CREATE_IRQCHIP, NULL);
	for (uint32_t i = 0; i < ARRAY_SIZE(kvm->irqchip) && r >= 0; i++) {
		kvm->irqchip[i].chip_id = i;
		r = kvm_ioctl(kvm->vm_fd, KVM_GET_IRQCHIP, &kvm->irqchip[i]);
	}
	return r;
}

static int vm_set_up(struct kvm *kvm, struct err *err)
{
	int r;

	do {
		kvm->vm_fd = kvm_ioctl(kvm->sys_fd, KVM_CREATE_VM, NULL);
	} while (kvm->vm_fd == -EINTR);
	if (kvm->vm_fd < 0)
		return err_set(err, kvm->vm_fd, "KVM: cannot create a VM: %s", strerror(-kvm->vm_fd));
	/* Before anything else of the VM: the filter waits for KVM's readers, and once the interrupt controllers have
	 * put their callbacks in that queue, for 15 ms instead of 20 us. */
	r = filter_msrs(kvm);
	if (r < 0)
		return err_set(err, r, "KVM: cannot filter MSRs: %s", strerror(-r));
	r = create_irqchip(kvm);
	if (r < 0)
		return err_set(err, r, "KVM: cannot create the interrupt controllers: %s", strerror(-r));
	r = kvm_ioctl(kvm->sys_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (r < (int)sizeof(struct kvm_run))
		return err_set(err, -EOPNOTSUPP, "KVM: vCPU area of %d bytes", r);
	kvm->run_size = (size_t)r;
	return 0;
}

/*
 * Whether this host is itself a machine that QEMU emulates (TCG): there XSETBV of a nested guest is not intercepted, so
 * that KVM never learns the guest's XCR0, and CPUID 0xd contradicts itself.
 */
static bool host_is_tcg(void)
{
	uint32_t eax, ebx, ecx, edx;

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & 1u << 31))
		return false;
	__cpuid(0x40000000, eax, ebx, ecx, edx);
	return ebx == 0x54474354 && ecx == 0x43544743 && edx == 0x47435447; /* "TCGTCGTCGTCG" */
}

int kvm_new(int kvm_fd, uint32_t cpus, struct err *err, struct kvm **ret_kvm)
{
	struct kvm *kvm;
	int r = check_capabilities(kvm_fd, err);
	int max;

	if (r < 0)
		return r;
	max = kvm_extension(kvm_fd, KVM_CAP_MAX_VCPUS);
	if (cpus < 1 || cpus > KVM_VCPUS_MAX || (max > 0 && cpus > (uint32_t)max))
		return err_set(err, -EINVAL, "%u vCPUs: this host allows 1 to %u", cpus,
			       max > 0 ? MIN((uint32_t)max, KVM_VCPUS_MAX) : KVM_VCPUS_MAX);
	kvm = calloc(1, sizeof(*kvm));
	if (!kvm)
		return err_set(err, -ENOMEM, "out of memory");
	kvm->cpus = cpus;
	kvm->vm_fd = -1;
	kvm->sys_fd = fd_dup(kvm_fd);
	kvm->sync_regs = kvm_extension(kvm_fd, KVM_CAP_SYNC_REGS) & KVM_SYNC_X86_REGS;
	kvm->xsave = kvm_extension(kvm_fd, KVM_CAP_XSAVE) > 0;
	kvm->xcrs = kvm_extension(kvm_fd, KVM_CAP_XCRS) > 0;
	kvm->debugregs = kvm_extension(kvm_fd, KVM_CAP_DEBUGREGS) > 0;
	kvm->deadline_timer = kvm_extension(kvm_fd, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	kvm->hide_xsave = host_is_tcg();
	r = kvm->sys_fd < 0 ? err_set(err, kvm->sys_fd, "KVM: %s", strerror(-kvm->sys_fd)) : vm_set_up(kvm, err);
	if (r < 0) {
		kvm_free(kvm);
		return r;
	}
	*ret_kvm = kvm;
	return 0;
}

void kvm_free(struct kvm *kvm)
{
	if (!kvm)
		return;
	fd_close(&kvm->vm_fd);
	fd_close(&kvm->sys_fd);
	free(kvm);
}

int kvm_map(struct kvm *kvm, uint32_t slot, uint64_t gpa, uint64_t len, void *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.userspace_addr = (uint64_t)(uintptr_t)host,
	};

	return kvm_ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

int kvm_reset_irqchip(struct kvm *kvm)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kvm->irqchip) && r >= 0; i++)
		r = kvm_ioctl(kvm->vm_fd, KVM_SET_IRQCHIP, &kvm->irqchip[i]);
	return r;
}

int kvm_line(struct kvm *kvm, uint32_t gsi, bool level)
{
	struct kvm_irq_level line = {.irq = gsi, .level = level};

	return kvm_ioctl(kvm->vm_fd, KVM_IRQ_LINE, &line);
}

int kvm_msi(struct kvm *kvm, uint32_t apic_id, uint8_t vector)
{
	struct kvm_msi msi = {.address_lo = MSI_ADDRESS | apic_id << 12, .data = vector};
	int r = kvm_ioctl(kvm->vm_fd, KVM_SIGNAL_MSI, &msi);

	return r < 0 ? r : 0; /* > 0: delivered; 0: the guest's APIC is off */
}

int kvm_route_msis(struct kvm *kvm, const uint8_t *vector, uint32_t count)
{
	_cleanup_free_ struct kvm_irq_routing *routing = NULL;
	uint32_t n = 0;

	routing = calloc(1, sizeof(*routing) + (KVM_IOAPIC_PINS + count) * sizeof(routing->entries[0]));
	if (!routing)
		return -ENOMEM;
	for (; n < KVM_IOAPIC_PINS; n++)
		routing->entries[n] = (struct kvm_irq_routing_entry){
			.gsi = n,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC, .pin = n},
		};
	for (uint32_t i = 0; i < count; i++)
		if (vector[i])
			routing->entries[n++] = (struct kvm_irq_routing_entry){
				.gsi = KVM_GSI_MSI + i,
				.type = KVM_IRQ_ROUTING_MSI,
				.u.msi = {.address_lo = MSI_ADDRESS | i << 12, .data = vector[i]},
			};
	routing->nr = n;
	return kvm_ioctl(kvm->vm_fd, KVM_SET_GSI_ROUTING, routing);
}

int kvm_irqfd(struct kvm *kvm, uint32_t gsi, int eventfd, bool assign)
{
	struct kvm_irqfd irqfd = {.fd = (uint32_t)eventfd, .gsi = gsi, .flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN};

	return kvm_ioctl(kvm->vm_fd, KVM_IRQFD, &irqfd);
}

int kvm_ioeventfd(struct kvm *kvm, uint16_t port, uint32_t data, int eventfd, bool assign)
{
	struct kvm_ioeventfd kick = {
		.datamatch = data,
		.addr = port,
		.len = 4,
		.fd = eventfd,
		.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH |
			 (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return kvm_ioctl(kvm->vm_fd, KVM_IOEVENTFD, &kick);
}

/* ---- vCPUs: making ---- */

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

/* ---- vCPUs: CPUID ---- */

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

static int cpuid_set(struct kvm_vcpu *vcpu, bool (*leaf)(const void *arg, uint32_t leaf, uint32_t ret_regs[4]),
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

/* ---- vCPUs: power-on state ---- */

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
	int r = cpuid_set(vcpu, leaf, arg);

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

/* ---- vCPUs: running ---- */

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
