// SPDX-License-Identifier: Apache-2.0
/*
 * What the ways cost that an enlightenment would go, beside the ways that Linux goes without it: "cost: NS NAME" lines
 * for tests/bench/enlightenments. Vector and interrupts are such that nothing is delivered while we measure.
 */
#include "rt.h"
#include "synic.h"

#define ROUNDS		  5u
#define OPS		  400u
#define VECTOR		  0x71u
#define MSR_TSC_DEADLINE  0x6e0u
#define X2APIC_EOI	  0x80bu
#define X2APIC_ICR	  0x830u
#define X2APIC_LVT_TIMER  0x832u
#define LVT_MASKED	  (1u << 16)
#define LVT_TSC_DEADLINE  (2u << 17)
#define ICR_SELF	  (1u << 18)
#define NO_SUCH_HYPERCALL 0xffffu

static struct hv_reference_tsc_page tsc_page __attribute__((aligned(HV_PAGE_SIZE)));
static volatile uint64_t sink;

static void time_by_page(void)
{
	uint64_t low, high;

	__asm__("mul %3" : "=a"(low), "=d"(high) : "a"(rt_rdtsc()), "r"(tsc_page.tsc_scale) : "cc");
	sink = high + (uint64_t)tsc_page.tsc_offset;
}

static void time_by_msr(void)
{
	sink = rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT);
}

static void hypercall(void)
{
	sink = synic_hypercall(NO_SUCH_HYPERCALL, 0, 0);
}

static void synthetic_msr(void)
{
	rt_wrmsr(HV_X64_MSR_EOM, 0);
}

static void tsc_deadline(void)
{
	rt_wrmsr(MSR_TSC_DEADLINE, rt_rdtsc() + (1ull << 40));
}

static void ipi(void)
{
	rt_wrmsr(X2APIC_ICR, ICR_SELF | VECTOR);
}

static void end_of_interrupt(void)
{
	rt_wrmsr(X2APIC_EOI, 0);
}

static void flush(void)
{
	uint64_t cr3;

	__asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(cr3) : : "memory");
}

static const struct {
	const char *name;
	void (*op)(void);
} costs[] = {
	{"reference time by the TSC page", time_by_page},
	{"reference time by its MSR", time_by_msr},
	{"a hypercall that does nothing", hypercall},
	{"a synthetic MSR's write that does nothing", synthetic_msr},
	{"a timer armed by TSC deadline", tsc_deadline},
	{"an IPI sent by the x2APIC", ipi},
	{"an end of interrupt at the x2APIC", end_of_interrupt},
	{"a TLB flush of this vCPU", flush},
};

static void on_interrupt(void)
{
	rt_wrmsr(X2APIC_EOI, 0);
}

/* The best round, in ns: the others had the host against them. */
static uint64_t measure(void (*op)(void), uint64_t hz)
{
	uint64_t best = UINT64_MAX;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint64_t start = rt_rdtsc(), took;

		for (uint32_t i = 0; i < OPS; i++)
			op();
		took = rt_rdtsc() - start;
		best = took < best ? took : best;
	}
	return best * 1000 / (hz / 1000000) / OPS;
}

void rt_main(const char *cmdline)
{
	uint64_t hz = rt_rdmsr(HV_X64_MSR_TSC_FREQUENCY);

	synic_hypercall_page();
	rt_set_handler(VECTOR, on_interrupt);
	rt_wrmsr(HV_X64_MSR_REFERENCE_TSC, (uintptr_t)&tsc_page | HV_X64_MSR_PAGE_ENABLE);
	rt_wrmsr(X2APIC_LVT_TIMER, LVT_TSC_DEADLINE | LVT_MASKED | VECTOR);
	for (uint32_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++)
		rt_printf("cost: %lu %s\n", measure(costs[i].op, hz), costs[i].name);
	rt_pass();
}
