// SPDX-License-Identifier: Apache-2.0
/*
 * A panic as Linux reports it: the message lies in memory, the fourth and fifth parameters name it. Then it waits, or,
 * with then=1, resets itself, or, with then=2, goes on as a crash kernel, which nothing must happen to.
 */
#include "rt.h"
#include "synic.h"

#define GRACE_UNITS 70000000u /* 7 s: more than the host gives a crash kernel to come up */

static void crash_kernel(void)
{
	uint64_t start = rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT);

	rt_wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
	while (rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT) - start < GRACE_UNITS)
		for (unsigned int i = 0; i < 10000; i++)
			__asm__ volatile("pause");
	rt_pass();
}

void rt_main(const char *cmdline)
{
	static const char message[] = "Kernel panic - not syncing: it \x1b[1mhad to be\n";
	uint64_t then = rt_option(cmdline, "then", 0);

	rt_wrmsr(HV_X64_MSR_GUEST_OS_ID, SYNIC_OS_ID);
	rt_wrmsr(HV_X64_MSR_CRASH_P0, 0);
	rt_wrmsr(HV_X64_MSR_CRASH_P0 + 3, (uintptr_t)message);
	rt_wrmsr(HV_X64_MSR_CRASH_P4, sizeof(message) - 1);
	if (then != 2)
		rt_printf("guest: PASS\n");
	rt_wrmsr(HV_X64_MSR_CRASH_CTL, HV_CRASH_CTL_CRASH_NOTIFY | HV_CRASH_CTL_CRASH_NOTIFY_MSG);
	if (then == 2)
		crash_kernel();
	if (then == 1)
		rt_reset();
	for (;;)
		__asm__ volatile("cli; hlt");
}
