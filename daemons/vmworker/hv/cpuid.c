// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "abi/hyperv.h"
#include "base/bytes.h"
#include "hv/hv.h"

#define HV_VERSION_BUILD 20348u
#define HV_VERSION_MAJOR 10u

/* What we are and offer. Bits that make Linux believe it is the root partition (3.EBX 1, 12, 20, 22) must never be set.
 */
static const uint32_t leaves[][4] = {
	[HV_CPUID_VENDOR_AND_MAX_FUNCTIONS & 0xf] = {HV_CPUID_IMPLEMENT_HARDWARE, HV_CPUID_SIGNATURE_EBX,
						     HV_CPUID_SIGNATURE_ECX, HV_CPUID_SIGNATURE_EDX},
	[HV_CPUID_INTERFACE & 0xf] = {HV_CPUID_INTERFACE_HV1},
	[HV_CPUID_VERSION & 0xf] = {HV_VERSION_BUILD, HV_VERSION_MAJOR << 16},
	[HV_CPUID_FEATURES & 0xf] = {HV_MSR_TIME_REF_COUNT_AVAILABLE | HV_MSR_SYNIC_AVAILABLE |
					     HV_MSR_HYPERCALL_AVAILABLE | HV_MSR_VP_INDEX_AVAILABLE |
					     HV_MSR_RESET_AVAILABLE | HV_MSR_REFERENCE_TSC_AVAILABLE |
					     HV_ACCESS_FREQUENCY_MSRS | HV_ACCESS_TSC_INVARIANT,
				     HV_POST_MESSAGES | HV_SIGNAL_EVENTS, 0,
				     HV_FEATURE_FREQUENCY_MSRS_AVAILABLE | HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE},
	/* Without "deprecate AEOI" Linux programs auto-EOI, which an in-kernel APIC cannot do. */
	[HV_CPUID_ENLIGHTENMENT_INFO & 0xf] = {HV_X64_RELAXED_TIMING_RECOMMENDED | HV_DEPRECATING_AEOI_RECOMMENDED,
					       HV_SPINLOCK_NEVER_NOTIFY},
	[HV_CPUID_IMPLEMENT_LIMITS & 0xf] = {0},
	[HV_CPUID_IMPLEMENT_HARDWARE & 0xf] = {0},
};

bool hv_cpuid_leaf(const struct hv_config *config, uint32_t leaf, uint32_t ret_regs[4])
{
	if (leaf < HV_CPUID_VENDOR_AND_MAX_FUNCTIONS || leaf - HV_CPUID_VENDOR_AND_MAX_FUNCTIONS >= ARRAY_SIZE(leaves))
		return false;
	memcpy(ret_regs, leaves[leaf & 0xf], sizeof(leaves[0]));
	if (leaf == HV_CPUID_IMPLEMENT_LIMITS)
		ret_regs[0] = ret_regs[1] = config->cpus;
	return true;
}
