// SPDX-License-Identifier: Apache-2.0
/* The hypercall page's MSRs, and the two hypercalls. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hv/state.h"

int hypercall_msr_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value)
{
	pthread_mutex_lock(&hv->lock);
	*ret_value = msr == HV_X64_MSR_GUEST_OS_ID ? hv->guest_os_id : hv->hypercall;
	pthread_mutex_unlock(&hv->lock);
	return 0;
}

static int hypercall_place(struct hv *hv, uint64_t value)
{
	uint8_t page[HV_PAGE_SIZE];

	memset(page, 0xcc, sizeof(page));
	memcpy(page, hv_hypercall_code, hv_hypercall_code_len);
	return guest_mem_write(hv->mem, value & HV_X64_MSR_PAGE_MASK, page, sizeof(page)) ? -EINVAL : 0;
}

static int hypercall_enable(struct hv *hv, uint64_t value)
{
	if (hv->hypercall & HV_X64_MSR_HYPERCALL_LOCKED)
		return value == hv->hypercall ? 0 : -EINVAL;
	if (!hv->guest_os_id) /* a guest that has not said what it is gets no page */
		value &= ~HV_X64_MSR_PAGE_ENABLE;
	if (value & HV_X64_MSR_PAGE_ENABLE && hypercall_place(hv, value))
		return -EINVAL;
	hv->hypercall = value;
	return 0;
}

int hypercall_msr_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value)
{
	bool left = false;
	int r = 0;

	pthread_mutex_lock(&hv->lock);
	if (msr == HV_X64_MSR_HYPERCALL) {
		r = hypercall_enable(hv, value);
	} else {
		left = hv->guest_os_id && !value;
		hv->guest_os_id = value;
		if (!value)
			hv->hypercall &= ~HV_X64_MSR_PAGE_ENABLE;
	}
	pthread_mutex_unlock(&hv->lock);
	if (left)
		hv->host.os_left(hv->host.arg);
	return r;
}

static uint64_t status_of(int error)
{
	switch (error) {
	case 0:
		return HV_STATUS_SUCCESS;
	case -EAGAIN:
		return HV_STATUS_INSUFFICIENT_BUFFERS;
	case -ENOENT:
		return HV_STATUS_INVALID_CONNECTION_ID;
	default:
		return HV_STATUS_INVALID_PARAMETER;
	}
}

/* Copy a parameter block out of guest memory: 8-byte aligned, within one page. */
static uint64_t read_input(struct hv *hv, uint64_t gpa, uint64_t offset, void *buf, size_t len)
{
	if (gpa & 7 || (gpa & (HV_PAGE_SIZE - 1)) + offset + len > HV_PAGE_SIZE)
		return HV_STATUS_INVALID_ALIGNMENT;
	return guest_mem_read(hv->mem, gpa + offset, buf, len) ? HV_STATUS_INVALID_PARAMETER : HV_STATUS_SUCCESS;
}

static uint64_t post_message(struct hv *hv, const struct hv_hypercall *call, bool fast)
{
	struct hv_input_post_message in;
	const size_t head = offsetof(struct hv_input_post_message, payload);
	uint64_t status;

	status = read_input(hv, call->input, 0, &in, head);
	if (status)
		return status;
	if (in.payload_size > sizeof(in.payload) || in.message_type == HV_MESSAGE_TYPE_NONE ||
	    in.message_type >= HV_MESSAGE_TYPE_HV_FIRST)
		return HV_STATUS_INVALID_PARAMETER;
	status = read_input(hv, call->input, head, in.payload, in.payload_size);
	if (status)
		return status;
	return status_of(
		hv->host.post_message(hv->host.arg, in.connection_id, in.message_type, in.payload, in.payload_size));
}

static uint64_t signal_event(struct hv *hv, const struct hv_hypercall *call, bool fast)
{
	struct hv_input_signal_event in;
	uint64_t status;

	if (fast) {
		memcpy(&in, &call->input, sizeof(in));
	} else {
		status = read_input(hv, call->input, 0, &in, sizeof(in));
		if (status)
			return status;
	}
	if (in.flag_number || in.reserved)
		return HV_STATUS_INVALID_PARAMETER;
	return status_of(hv->host.signal_event(hv->host.arg, in.connection_id));
}

static const struct hypercall_row {
	uint16_t code;
	bool may_be_fast;
	uint64_t (*run)(struct hv *hv, const struct hv_hypercall *call, bool fast);
} rows[] = {
	{HVCALL_POST_MESSAGE, false, post_message},
	{HVCALL_SIGNAL_EVENT, true, signal_event},
};

uint64_t hv_hypercall(struct hv *hv, uint32_t vp, const struct hv_hypercall *call)
{
	const uint64_t not_simple = HV_HYPERCALL_RSVD_MASK | HV_HYPERCALL_VARHEAD_MASK | HV_HYPERCALL_REP_COUNT_MASK |
				    HV_HYPERCALL_REP_START_MASK;
	bool fast = call->control & HV_HYPERCALL_FAST, enabled;

	pthread_mutex_lock(&hv->lock);
	enabled = hv->hypercall & HV_X64_MSR_PAGE_ENABLE;
	pthread_mutex_unlock(&hv->lock);
	if (!enabled)
		return HV_STATUS_OPERATION_DENIED;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].code != (call->control & HV_HYPERCALL_CODE_MASK))
			continue;
		/* both are simple hypercalls; bits 27 to 31 are reserved or for nested hypervisors */
		if (call->control & (not_simple | 1ull << 31) || (fast && !rows[i].may_be_fast))
			return HV_STATUS_INVALID_HYPERCALL_INPUT;
		return rows[i].run(hv, call, fast);
	}
	return HV_STATUS_INVALID_HYPERCALL_CODE;
}
