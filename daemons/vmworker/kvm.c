// SPDX-License-Identifier: Apache-2.0
#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "kvm_int.h"

/* Three pages that Intel's real mode needs, below the end of 4 GiB where no memory is. */
#define TSS_GPA		 0xfffbd000u
#define IDENTITY_MAP_GPA 0xfffbc000u

#define MSI_ADDRESS 0xfee00000u

static const struct syscall_rule kvm_rules[] = {
	{SYS_ioctl, 1, 0xff00, KVMIO << 8},
	{-1},
};

const struct syscall_list kvm_calls = {.name = "KVM", .rules = kvm_rules};

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
