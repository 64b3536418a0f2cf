// SPDX-License-Identifier: Apache-2.0
/* Reference time, the page by which the guest computes it alone, and the frequencies that spare it any calibration. */
#include <errno.h>

#include "base/bytes.h"
#include "hv/state.h"

#define TIME_UNITS_PER_SEC 10000000u /* 100 ns */

void time_init(struct hv *hv)
{
	hv->tsc_scale = (uint64_t)(((unsigned __int128)TIME_UNITS_PER_SEC << 64) / hv->config.tsc_hz);
	hv->tsc_offset = 0; /* KVM's guest TSC starts at 0 */
}

uint64_t hv_reference_at(const struct hv *hv, uint64_t tsc)
{
	return (uint64_t)(((unsigned __int128)tsc * hv->tsc_scale) >> 64) + (uint64_t)hv->tsc_offset;
}

uint64_t hv_reference_time(struct hv *hv, uint32_t vp)
{
	return hv_reference_at(hv, hv->host.tsc(hv->host.arg, vp));
}

/* A guest may be reading the page: the sequence is 0 ("ask the MSR") while the rest changes. */
static void time_fill_page(struct hv *hv, uint64_t gpa)
{
	struct hv_reference_tsc_page *page = guest_mem_ptr(hv->mem, gpa, HV_PAGE_SIZE);

	if (!page)
		return;
	__atomic_store_n(&page->tsc_sequence, 0, __ATOMIC_RELAXED);
	/* each release pairs with the guest's re-read of the sequence after its reads */
	__atomic_store_n(&page->reserved, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&page->tsc_scale, hv->tsc_scale, __ATOMIC_RELEASE);
	__atomic_store_n(&page->tsc_offset, hv->tsc_offset, __ATOMIC_RELEASE);
	__atomic_store_n(&page->tsc_sequence, 1, __ATOMIC_RELEASE);
}

int time_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value)
{
	switch (msr) {
	case HV_X64_MSR_TIME_REF_COUNT:
		*ret_value = hv_reference_time(hv, vp);
		return 0;
	case HV_X64_MSR_TSC_FREQUENCY:
		*ret_value = hv->config.tsc_hz;
		return 0;
	case HV_X64_MSR_APIC_FREQUENCY:
		*ret_value = hv->config.apic_hz;
		return 0;
	}
	pthread_mutex_lock(&hv->lock);
	*ret_value = msr == HV_X64_MSR_REFERENCE_TSC ? hv->reference_tsc : hv->tsc_invariant;
	pthread_mutex_unlock(&hv->lock);
	return 0;
}

int time_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value)
{
	if (msr == HV_X64_MSR_TSC_INVARIANT_CONTROL) {
		if (value & ~HV_TSC_INVARIANT_EXPOSED)
			return -EINVAL;
		pthread_mutex_lock(&hv->lock);
		hv->tsc_invariant = value;
		pthread_mutex_unlock(&hv->lock);
		return 0;
	}
	if (!hv_page_ok(hv, value))
		return -EINVAL;
	pthread_mutex_lock(&hv->lock);
	hv->reference_tsc = value;
	if (value & HV_X64_MSR_PAGE_ENABLE)
		time_fill_page(hv, value & HV_X64_MSR_PAGE_MASK);
	pthread_mutex_unlock(&hv->lock);
	return 0;
}
