// SPDX-License-Identifier: Apache-2.0
/* A panic as Linux reports it: the message lies in memory, the fourth and fifth parameters name it. */
#include "rt.h"
#include "synic.h"

void rt_main(const char *cmdline)
{
	static const char message[] = "Kernel panic - not syncing: it \x1b[1mhad to be\n";

	rt_wrmsr(HV_X64_MSR_CRASH_P0, 0);
	rt_wrmsr(HV_X64_MSR_CRASH_P0 + 3, (uintptr_t)message);
	rt_wrmsr(HV_X64_MSR_CRASH_P4, sizeof(message) - 1);
	rt_printf("guest: PASS\n"); /* nothing more is run after the next line */
	rt_wrmsr(HV_X64_MSR_CRASH_CTL, HV_CRASH_CTL_CRASH_NOTIFY | HV_CRASH_CTL_CRASH_NOTIFY_MSG);
	rt_fail("the guest runs on after its crash report");
}
