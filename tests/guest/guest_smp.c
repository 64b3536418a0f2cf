// SPDX-License-Identifier: Apache-2.0
/* Every vCPU starts, knows its number, and gets messages and their interrupts on a SynIC of its own. */
#include "abi/vmbus.h"
#include "rt.h"
#include "synic.h"

static volatile uint32_t turn, taken;

/* Wait for our turn, take two messages. */
static void serve(void)
{
	uint32_t cpu = rt_cpu(), regs[4];

	rt_cpuid(0xb, regs);
	rt_check(regs[3] == cpu, "vCPU %u: leaf 0xb says %u", cpu, regs[3]);
	rt_check(rt_rdmsr(HV_X64_MSR_VP_INDEX) == cpu, "vCPU %u: VP_INDEX %lu", cpu, rt_rdmsr(HV_X64_MSR_VP_INDEX));
	synic_start();
	__asm__ volatile("sti" : : : "memory");
	while (turn != cpu)
		__asm__ volatile("pause");
	for (uint32_t i = 1; i <= 2; i++) {
		synic_wait(cpu);
		while (synic_interrupts(cpu) != i)
			__asm__ volatile("pause");
		synic_release();
		taken++;
	}
}

static void other_cpu(void)
{
	serve();
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void wait_taken(uint32_t count)
{
	while (taken != count)
		__asm__ volatile("pause");
}

void rt_main(const char *cmdline)
{
	uint32_t regs[4], cpus;

	rt_cpuid(HV_CPUID_IMPLEMENT_LIMITS, regs);
	cpus = regs[0];
	rt_check(cpus == rt_option(cmdline, "cpus", 1), "%u vCPUs", cpus);
	synic_hypercall_page();
	for (uint32_t cpu = 1; cpu < cpus; cpu++) {
		turn = 0;
		taken = 0;
		rt_start_cpu(cpu, other_cpu);
		turn = cpu;
		rt_check(!synic_contact(cpu), "contact for vCPU %u", cpu);
		wait_taken(1);
		rt_check(!synic_unload(), "unload");
		wait_taken(2);
		rt_printf("vCPU %u: %u interrupts\n", cpu, synic_interrupts(cpu));
	}
	turn = 0;
	rt_check(!synic_contact(0), "contact for vCPU 0");
	rt_check(!synic_unload(), "unload");
	serve();
	rt_pass();
}
