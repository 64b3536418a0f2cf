// SPDX-License-Identifier: Apache-2.0
/* The Hyper-V interface as one vCPU sees it: CPUID, MSRs, time, hypercalls, messages, and what must be refused. */
#include "abi/vmbus.h"
#include "rt.h"
#include "synic.h"

#define PAGE __attribute__((aligned(HV_PAGE_SIZE)))

static void check_cpuid(void)
{
	uint32_t r[4];

	rt_cpuid(1, r);
	rt_check(r[2] & HV_CPUID_HYPERVISOR_PRESENT, "leaf 1 shows no hypervisor");
	rt_check(r[2] & 1u << 21, "leaf 1 shows no x2APIC");
	rt_cpuid(HV_CPUID_VENDOR_AND_MAX_FUNCTIONS, r);
	rt_check(r[0] >= HV_CPUID_IMPLEMENT_LIMITS && r[1] == HV_CPUID_SIGNATURE_EBX &&
			 r[2] == HV_CPUID_SIGNATURE_ECX && r[3] == HV_CPUID_SIGNATURE_EDX,
		 "signature %#x %#x %#x %#x", r[0], r[1], r[2], r[3]);
	rt_cpuid(HV_CPUID_INTERFACE, r);
	rt_check(r[0] == HV_CPUID_INTERFACE_HV1, "interface %#x", r[0]);
	rt_cpuid(HV_CPUID_FEATURES, r);
	rt_check((r[0] & 0x8a66) == 0x8a66 && r[1] == 0x30, "features %#x %#x", r[0], r[1]);
	rt_cpuid(HV_CPUID_ENLIGHTENMENT_INFO, r);
	rt_check(r[0] & HV_DEPRECATING_AEOI_RECOMMENDED, "hints %#x", r[0]);
	rt_cpuid(0x40000100, r);
	rt_check(r[1] != 0x4b4d564b, "KVM's own leaves are visible");
	rt_cpuid(0xb, r);
	rt_check(r[3] == rt_cpu(), "leaf 0xb: x2APIC id %u on vCPU %u", r[3], rt_cpu());
	rt_printf("CPUID\n");
}

static void check_msrs(void)
{
	static const uint32_t unknown[] = {0x40000004, 0x40000072, 0x400000b0, 0x400000f0, 0x40000106, 0x400001ff};
	static const uint32_t read_only[] = {HV_X64_MSR_VP_INDEX, HV_X64_MSR_TIME_REF_COUNT, HV_X64_MSR_TSC_FREQUENCY,
					     HV_X64_MSR_APIC_FREQUENCY, HV_X64_MSR_SVERSION};
	uint64_t value;

	for (uint32_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		rt_check(!rt_try_rdmsr(unknown[i], &value), "MSR %#x can be read", unknown[i]);
		rt_check(!rt_try_wrmsr(unknown[i], 0), "MSR %#x can be written", unknown[i]);
	}
	for (uint32_t i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++) {
		rt_check(rt_try_rdmsr(read_only[i], &value), "MSR %#x cannot be read", read_only[i]);
		rt_check(!rt_try_wrmsr(read_only[i], value), "MSR %#x can be written", read_only[i]);
	}
	rt_check(!rt_try_wrmsr(HV_X64_MSR_SIMP, 0xfffffffff001), "SIMP outside memory is accepted");
	rt_check(!rt_try_wrmsr(HV_X64_MSR_SINT0, 1), "vector 1 is accepted");
	rt_check(rt_rdmsr(HV_X64_MSR_VP_INDEX) == 0, "vCPU index");
	rt_check(rt_rdmsr(HV_X64_MSR_SINT0 + 3) == HV_SYNIC_SINT_RESET, "SINT3 at power-on");
	rt_check(rt_rdmsr(HV_X64_MSR_SCONTROL) == 0, "SCONTROL at power-on");
	rt_check(rt_try_wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, 0x5001), "VP_ASSIST_PAGE");
	rt_wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, 0);
	rt_wrmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL, 1);
	rt_check(rt_rdmsr(HV_X64_MSR_TSC_INVARIANT_CONTROL) == 1, "TSC_INVARIANT_CONTROL");
	rt_check(rt_rdmsr(HV_X64_MSR_CRASH_CTL) == 3ull << 62, "CRASH_CTL");
	rt_printf("MSRs\n");
}

/* Upper half of a 64 by 64 bit product. */
static uint64_t mul_high(uint64_t a, uint64_t b)
{
	uint64_t low, high;

	__asm__("mul %3" : "=a"(low), "=d"(high) : "a"(a), "r"(b) : "cc");
	return high;
}

static struct hv_reference_tsc_page tsc_page PAGE;

static void check_time(void)
{
	uint64_t last = rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT), hz = rt_rdmsr(HV_X64_MSR_TSC_FREQUENCY);

	rt_wrmsr(HV_X64_MSR_REFERENCE_TSC, (uintptr_t)&tsc_page | HV_X64_MSR_PAGE_ENABLE);
	rt_check(tsc_page.tsc_sequence == 1, "TSC page: sequence %u", tsc_page.tsc_sequence);
	for (uint32_t i = 0; i < 200; i++) {
		uint64_t before = mul_high(rt_rdtsc(), tsc_page.tsc_scale) + (uint64_t)tsc_page.tsc_offset;
		uint64_t count = rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT);
		uint64_t after = mul_high(rt_rdtsc(), tsc_page.tsc_scale) + (uint64_t)tsc_page.tsc_offset;

		rt_check(before <= count && count <= after, "reference time %lu is not between %lu and %lu", count,
			 before, after);
		rt_check(count >= last, "reference time runs backwards");
		last = count;
	}
	rt_check(hz > 100000000 && hz < 20000000000, "TSC of %lu Hz", hz);
	rt_printf("time: TSC %lu Hz, APIC %lu Hz\n", hz, rt_rdmsr(HV_X64_MSR_APIC_FREQUENCY));
}

static void check_hypercalls(void)
{
	static struct hv_input_signal_event signal PAGE;
	static const struct {
		uint64_t control, input, status;
	} rows[] = {
		{0x0008 | HV_HYPERCALL_FAST, 1, HV_STATUS_INVALID_HYPERCALL_CODE},
		{0xffff, 0, HV_STATUS_INVALID_HYPERCALL_CODE},
		{HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST, 0x2345, HV_STATUS_INVALID_CONNECTION_ID},
		{HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST, 0x2345 | 1ull << 32, HV_STATUS_INVALID_PARAMETER},
		{HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST | 1ull << 32, 0x2345, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST | 1ull << 63, 0x2345, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{HVCALL_POST_MESSAGE | HV_HYPERCALL_FAST, 0, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{HVCALL_POST_MESSAGE, 4, HV_STATUS_INVALID_ALIGNMENT},
		{HVCALL_POST_MESSAGE, 0xfffffffff000, HV_STATUS_INVALID_PARAMETER},
	};

	rt_check(!rt_rdmsr(HV_X64_MSR_HYPERCALL), "hypercall page at power-on");
	synic_hypercall_page();
	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t status = synic_hypercall(rows[i].control, rows[i].input, 0);

		rt_check(status == rows[i].status, "hypercall %#lx(%#lx): %#lx, not %#lx", rows[i].control,
			 rows[i].input, status, rows[i].status);
	}
	signal.connection_id = 0x2345;
	rt_check(synic_hypercall(HVCALL_SIGNAL_EVENT, (uintptr_t)&signal, 0) == HV_STATUS_INVALID_CONNECTION_ID,
		 "slow signal");
	rt_check(synic_post(77, "x", 1) == HV_STATUS_INVALID_CONNECTION_ID, "message to nobody");
	rt_printf("hypercalls\n");
}

/* Let interrupts in for a while. */
static uint32_t count_interrupts(void)
{
	__asm__ volatile("sti" : : : "memory");
	for (uint32_t i = 0; i < 1000; i++)
		__asm__ volatile("pause");
	__asm__ volatile("cli" : : : "memory");
	return synic_interrupts(0);
}

/* Two answers are asked for before the first is read: the second waits, the slot says so, and EOM brings it. */
static void check_messages(void)
{
	const struct vmbus_msg_version_response *response;
	const struct hv_message *slot;

	synic_start();
	rt_check(!synic_contact(0), "contact");
	slot = synic_wait(0);
	response = (const void *)slot->payload;
	rt_check(slot->header.message_type == HV_MESSAGE_TYPE_CHANNEL && response->version_supported &&
			 response->header.msgtype == VMBUS_MSG_VERSION_RESPONSE,
		 "message %u is no response", response->header.msgtype);
	rt_check(synic_interrupts(0) == 0, "an interrupt while they are off");
	rt_check(count_interrupts() == 1, "%u interrupts instead of one", synic_interrupts(0));

	rt_check(!synic_unload(), "unload");
	while (!(__atomic_load_n(&slot->header.message_flags, __ATOMIC_SEQ_CST) & HV_MESSAGE_FLAG_PENDING))
		__asm__ volatile("pause");
	synic_release();
	slot = synic_wait(0);
	rt_check(((const struct vmbus_msg_header *)slot->payload)->msgtype == VMBUS_MSG_UNLOAD_RESPONSE,
		 "the second message is no UNLOAD_RESPONSE");
	synic_release();
	rt_check(count_interrupts() == 2, "%u interrupts instead of two", synic_interrupts(0));
	rt_printf("messages\n");
}

void rt_main(const char *cmdline)
{
	check_cpuid();
	check_msrs();
	check_time();
	check_hypercalls();
	check_messages();
	rt_pass();
}
