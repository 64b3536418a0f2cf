// SPDX-License-Identifier: Apache-2.0
/*
 * A guest that does nothing but reset itself must not eat the host: after a few resets each waits for a second. Each
 * life begins with SynIC pages that are in no memory. The count lies in memory, which a reset keeps; so does the TSC.
 */
#include "abi/hyperv.h"
#include "rt.h"

#define COUNTER_GPA   0x1800000u
#define COUNTER_MAGIC 0x6d726f7473u
#define RESETS	      8u
#define SECOND	      10000000u /* in units of reference time */

struct counter {
	uint64_t magic, resets, first;
};

static void bad_pages(void)
{
	static const uint32_t msrs[] = {HV_X64_MSR_SIMP, HV_X64_MSR_SIEFP, HV_X64_MSR_VP_ASSIST_PAGE,
					HV_X64_MSR_REFERENCE_TSC};

	for (unsigned int i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
		for (unsigned int shift = 40; shift < 64; shift++)
			rt_check(!rt_try_wrmsr(msrs[i], 1ull << shift | 1), "MSR %#x took a page at bit %u", msrs[i],
				 shift);
}

void rt_main(const char *cmdline)
{
	struct counter *counter = (struct counter *)COUNTER_GPA;
	uint64_t now = rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT);

	bad_pages();
	if (counter->magic != COUNTER_MAGIC)
		*counter = (struct counter){.magic = COUNTER_MAGIC, .first = now};
	if (counter->resets < RESETS) {
		counter->resets++;
		rt_reset();
	}
	rt_printf("%u resets took %lu units\n", RESETS, now - counter->first);
	rt_check(now - counter->first > 2 * SECOND, "nobody held us back");
	rt_pass();
}
