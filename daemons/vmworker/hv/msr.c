// SPDX-License-Identifier: Apache-2.0
/* The table of all synthetic MSRs; what is not in it, or cannot be written, gives the guest #GP. */
#include <errno.h>

#include "base/bytes.h"
#include "hv/state.h"

static int vp_index_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value)
{
	*ret_value = vp;
	return 0;
}

static int reset_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value)
{
	*ret_value = 0;
	return 0;
}

static int reset_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value)
{
	if (value & HV_X64_MSR_RESET_NOW)
		hv->host.reset(hv->host.arg);
	return 0;
}

static int assist_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value)
{
	pthread_mutex_lock(&hv->lock);
	*ret_value = hv->vp[vp].vp_assist;
	pthread_mutex_unlock(&hv->lock);
	return 0;
}

/* Linux writes it on every vCPU whatever we offer; we have nothing to say in that page. */
static int assist_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value)
{
	if (!hv_page_ok(hv, value))
		return -EINVAL;
	pthread_mutex_lock(&hv->lock);
	hv->vp[vp].vp_assist = value;
	pthread_mutex_unlock(&hv->lock);
	return 0;
}

static const struct msr_row {
	uint32_t first, last;
	int (*read)(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value);
	int (*write)(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value);
} rows[] = {
	{HV_X64_MSR_GUEST_OS_ID, HV_X64_MSR_HYPERCALL, hypercall_msr_read, hypercall_msr_write},
	{HV_X64_MSR_VP_INDEX, HV_X64_MSR_VP_INDEX, vp_index_read, NULL},
	{HV_X64_MSR_RESET, HV_X64_MSR_RESET, reset_read, reset_write},
	{HV_X64_MSR_REFERENCE_TSC, HV_X64_MSR_REFERENCE_TSC, time_read, time_write},
	{HV_X64_MSR_TSC_INVARIANT_CONTROL, HV_X64_MSR_TSC_INVARIANT_CONTROL, time_read, time_write},
	{HV_X64_MSR_TIME_REF_COUNT, HV_X64_MSR_APIC_FREQUENCY, time_read, NULL},
	{HV_X64_MSR_VP_ASSIST_PAGE, HV_X64_MSR_VP_ASSIST_PAGE, assist_read, assist_write},
	{HV_X64_MSR_SVERSION, HV_X64_MSR_SVERSION, synic_read, NULL},
	{HV_X64_MSR_SCONTROL, HV_X64_MSR_EOM, synic_read, synic_write},
	{HV_X64_MSR_SINT0, HV_X64_MSR_SINT15, synic_read, synic_write},
	{HV_X64_MSR_CRASH_P0, HV_X64_MSR_CRASH_CTL, crash_read, crash_write},
};

/* The first row that has the MSR counts. */
static const struct msr_row *msr_find(uint32_t msr)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (msr >= rows[i].first && msr <= rows[i].last)
			return &rows[i];
	return NULL;
}

int hv_msr_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value)
{
	const struct msr_row *row = msr_find(msr);

	return row && row->read ? row->read(hv, vp, msr, ret_value) : -EINVAL;
}

int hv_msr_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value)
{
	const struct msr_row *row = msr_find(msr);

	return row && row->write ? row->write(hv, vp, msr, value) : -EINVAL;
}
