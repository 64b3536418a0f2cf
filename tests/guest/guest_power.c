// SPDX-License-Identifier: Apache-2.0
/*
 * Every way to a reset, and power-off at the end. Memory outside of the image outlives a reset: the steps are counted
 * there. After each reset everything must be as at power-on, and the other vCPUs must start again.
 */
#include "rt.h"
#include "synic.h"

#define COUNTER_GPA   0x1000000ull
#define COUNTER_MAGIC 0x626b6864u

#define I8042_COMMAND 0x64u
#define I8042_RESET   0xfeu

struct counter {
	uint32_t magic;
	volatile uint32_t resets;
};

static volatile bool other_runs;
static volatile bool tsc_wanted;
static volatile uint64_t other_tsc;
static int initialised = 42; /* .data is loaded anew */
static int zeroed;	     /* .bss is cleared anew */

static void other_cpu(void)
{
	synic_start();
	other_runs = true;
	for (;;) { /* a reset must stop it as well */
		__asm__ volatile("pause");
		if (!tsc_wanted)
			continue;
		other_tsc = rt_rdtsc();
		tsc_wanted = false;
	}
}

/* All vCPUs read one clock: what the other one reads lies between what we read before and after. */
static void check_tsc(uint32_t resets)
{
	uint64_t before = rt_rdtsc(), after;

	tsc_wanted = true;
	while (tsc_wanted)
		__asm__ volatile("pause");
	after = rt_rdtsc();
	rt_check(before <= other_tsc && other_tsc <= after, "reset %u: TSC of vCPU 1 is %lu, that of vCPU 0 %lu to %lu",
		 resets, other_tsc, before, after);
}

static void reset_i8042(void)
{
	rt_outb(I8042_COMMAND, I8042_RESET);
}

static void reset_hypervisor(void)
{
	rt_wrmsr(HV_X64_MSR_RESET, HV_X64_MSR_RESET_NOW);
}

static void triple_fault(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = {0, 0};

	__asm__ volatile("lidt %0; ud2" : : "m"(none));
}

static void (*const ways[])(void) = {rt_reset, reset_i8042, reset_hypervisor, triple_fault};

static void check_power_on(uint32_t resets, bool x2apic)
{
	rt_check(initialised == 42 && zeroed == 0, "reset %u: the image was not loaded anew", resets);
	rt_check(!x2apic, "reset %u: x2APIC is on", resets);
	rt_check(!rt_rdmsr(HV_X64_MSR_GUEST_OS_ID) && !rt_rdmsr(HV_X64_MSR_HYPERCALL), "reset %u: hypercall page",
		 resets);
	rt_check(!rt_rdmsr(HV_X64_MSR_SCONTROL) && !rt_rdmsr(HV_X64_MSR_SIMP) && !rt_rdmsr(HV_X64_MSR_SIEFP) &&
			 rt_rdmsr(HV_X64_MSR_SINT0 + SYNIC_SINT) == HV_SYNIC_SINT_RESET,
		 "reset %u: SynIC", resets);
	rt_check(rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT) > 0, "reference time");
}

void rt_main(const char *cmdline)
{
	struct counter *counter = (struct counter *)COUNTER_GPA;
	uint32_t resets;

	if (counter->magic != COUNTER_MAGIC) {
		counter->magic = COUNTER_MAGIC;
		counter->resets = 0;
	}
	resets = counter->resets;
	rt_printf("resets so far: %u\n", resets);
	check_power_on(resets, rt_had_x2apic());
	initialised = 1;
	zeroed = 1;
	synic_hypercall_page();
	synic_start();
	rt_start_cpu(1, other_cpu);
	while (!other_runs)
		__asm__ volatile("pause");
	check_tsc(resets);
	rt_check(!synic_contact(0), "contact");
	synic_wait(0); /* left where it is */
	if (resets == sizeof(ways) / sizeof(ways[0]))
		rt_pass();
	counter->resets++;
	ways[resets]();
	for (;;)
		__asm__ volatile("pause");
}
