// SPDX-License-Identifier: Apache-2.0
/*
 * The synthetic interrupt controller of each vCPU: message slots (SIMP), event flags (SIEFP), 16 interrupt sources.
 *
 * Theory of operation: a message for the guest goes to the tail of its SINT's queue. The head is copied to the SINT's
 * slot when that is free (type 0): payload first, the type last. If the slot is taken, its "pending" flag is set; a
 * guest that finds it set after clearing the type writes EOM, and we look again. Between our look at the type and our
 * setting of the flag the guest may have cleared the one without seeing the other: so we look once more. Event flags
 * are set by whoever signals (VSPs do so themselves, by the signal cells that follow siefp_changed()). A masked source
 * gets nothing; a polled one gets messages, but no interrupt.
 *
 * Limits: SYNIC_MESSAGES_MAX messages wait at once in a VM; what is beyond is lost (logged); no auto-EOI.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "hv/state.h"

static uint8_t effective_vector(const struct hv_vp *vp, uint32_t sint)
{
	if (!(vp->scontrol & HV_SYNIC_CONTROL_ENABLE) ||
	    vp->sint[sint] & (HV_SYNIC_SINT_MASKED | HV_SYNIC_SINT_POLLING))
		return 0;
	return vp->sint[sint] & HV_SYNIC_SINT_VECTOR_MASK;
}

static uint64_t effective_siefp(const struct hv_vp *vp)
{
	if (!(vp->scontrol & HV_SYNIC_CONTROL_ENABLE) || !(vp->siefp & HV_X64_MSR_PAGE_ENABLE))
		return HV_NO_PAGE;
	return vp->siefp & HV_X64_MSR_PAGE_MASK;
}

static struct hv_queued *pool_get(struct hv *hv)
{
	struct hv_queued *m = hv->pool_free;

	if (m)
		hv->pool_free = m->next;
	else if (hv->pool_used < SYNIC_MESSAGES_MAX)
		m = &hv->pool[hv->pool_used++];
	return m;
}

static void queue_pop(struct hv *hv, struct hv_queue *queue)
{
	struct hv_queued *m = queue->head;

	queue->head = m->next;
	if (!queue->head)
		queue->tail = NULL;
	m->next = hv->pool_free;
	hv->pool_free = m;
	hv->backlog--;
}

/* Whether the slot is free; if not, the guest will tell us by EOM. */
static bool slot_claim(struct hv_message_header *slot)
{
	if (__atomic_load_n(&slot->message_type, __ATOMIC_ACQUIRE) == HV_MESSAGE_TYPE_NONE)
		return true;
	/* pairs with the guest's barrier between clearing the type and reading the flag */
	__atomic_fetch_or(&slot->message_flags, HV_MESSAGE_FLAG_PENDING, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&slot->message_type, __ATOMIC_SEQ_CST) == HV_MESSAGE_TYPE_NONE;
}

/* Move the head of a queue into its slot if that is possible now. Lock held. */
static void deliver(struct hv *hv, uint32_t vp_index, uint32_t sint)
{
	struct hv_vp *vp = &hv->vp[vp_index];
	struct hv_queue *queue = &vp->queue[sint];
	struct hv_message *slot;
	const struct hv_message *m;
	uint8_t vector;

	if (!queue->head || !(vp->scontrol & HV_SYNIC_CONTROL_ENABLE) || !(vp->simp & HV_X64_MSR_PAGE_ENABLE))
		return;
	if (vp->sint[sint] & HV_SYNIC_SINT_MASKED && !(vp->sint[sint] & HV_SYNIC_SINT_POLLING))
		return;
	slot = guest_mem_ptr(hv->mem, (vp->simp & HV_X64_MSR_PAGE_MASK) + sint * sizeof(*slot), sizeof(*slot));
	if (!slot || !slot_claim(&slot->header))
		return;

	m = &queue->head->message;
	memcpy(slot->payload, m->payload, m->header.payload_size);
	slot->header.payload_size = m->header.payload_size;
	memset(slot->header.reserved, 0, sizeof(slot->header.reserved));
	slot->header.sender = m->header.sender;
	__atomic_store_n(&slot->header.message_flags, queue->head->next ? HV_MESSAGE_FLAG_PENDING : 0,
			 __ATOMIC_RELAXED);
	/* pairs with the guest's read of the type before the payload */
	__atomic_store_n(&slot->header.message_type, m->header.message_type, __ATOMIC_RELEASE);
	queue_pop(hv, queue);

	vector = effective_vector(vp, sint);
	if (vector)
		hv->host.inject(hv->host.arg, vp_index, vector);
}

void synic_post(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t type, const void *payload, size_t len)
{
	static struct log_limit limit;
	struct hv_queued *m;

	if (vp >= hv->config.cpus || sint >= HV_SINTS || len > HV_MESSAGE_PAYLOAD_SIZE)
		return;
	pthread_mutex_lock(&hv->lock);
	m = pool_get(hv);
	if (m) {
		struct hv_queue *queue = &hv->vp[vp].queue[sint];

		m->next = NULL;
		memset(&m->message.header, 0, sizeof(m->message.header));
		m->message.header.message_type = type;
		m->message.header.payload_size = (uint8_t)len;
		memcpy(m->message.payload, payload, len);
		if (queue->tail)
			queue->tail->next = m;
		else
			queue->head = m;
		queue->tail = m;
		hv->backlog++;
		deliver(hv, vp, sint);
	} else if (log_allowed(&limit, "synic")) {
		log_warn("synic", "vCPU %u reads no messages: one is lost", vp);
	}
	pthread_mutex_unlock(&hv->lock);
}

unsigned int synic_backlog(struct hv *hv)
{
	unsigned int n;

	pthread_mutex_lock(&hv->lock);
	n = hv->backlog;
	pthread_mutex_unlock(&hv->lock);
	return n;
}

void synic_raise_event(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t flag)
{
	uint64_t gpa, *word;
	uint8_t vector;

	if (vp >= hv->config.cpus || sint >= HV_SINTS || flag >= HV_EVENT_FLAGS_COUNT)
		return;
	pthread_mutex_lock(&hv->lock);
	gpa = effective_siefp(&hv->vp[vp]);
	vector = effective_vector(&hv->vp[vp], sint);
	if (gpa != HV_NO_PAGE) {
		word = guest_mem_ptr(hv->mem, gpa + sint * HV_EVENT_FLAGS_BYTES + flag / 64 * 8, 8);
		if (word)
			__atomic_fetch_or(word, 1ull << (flag % 64),
					  __ATOMIC_SEQ_CST); /* pairs with the guest's test-and-clear */
	}
	if (vector)
		hv->host.inject(hv->host.arg, vp, vector);
	pthread_mutex_unlock(&hv->lock);
}

int synic_read(struct hv *hv, uint32_t vp_index, uint32_t msr, uint64_t *ret_value)
{
	const struct hv_vp *vp = &hv->vp[vp_index];

	pthread_mutex_lock(&hv->lock);
	if (msr >= HV_X64_MSR_SINT0)
		*ret_value = vp->sint[msr - HV_X64_MSR_SINT0];
	else if (msr == HV_X64_MSR_SCONTROL)
		*ret_value = vp->scontrol;
	else if (msr == HV_X64_MSR_SIEFP)
		*ret_value = vp->siefp;
	else if (msr == HV_X64_MSR_SIMP)
		*ret_value = vp->simp;
	else
		*ret_value = msr == HV_X64_MSR_SVERSION ? HV_SYNIC_VERSION_1 : 0;
	pthread_mutex_unlock(&hv->lock);
	return 0;
}

/* A page that the guest has just put in place starts empty. */
static int write_page(struct hv *hv, uint64_t *reg, uint64_t value)
{
	if (!hv_page_ok(hv, value))
		return -EINVAL;
	if (value & HV_X64_MSR_PAGE_ENABLE && value != *reg)
		memset(guest_mem_ptr(hv->mem, value & HV_X64_MSR_PAGE_MASK, HV_PAGE_SIZE), 0, HV_PAGE_SIZE);
	*reg = value;
	return 0;
}

static int write_sint(struct hv_vp *vp, uint32_t sint, uint64_t value)
{
	if (!(value & HV_SYNIC_SINT_MASKED) && (value & HV_SYNIC_SINT_VECTOR_MASK) < HV_SYNIC_FIRST_VALID_VECTOR)
		return -EINVAL;
	vp->sint[sint] = value;
	return 0;
}

static int write_register(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
	if (msr >= HV_X64_MSR_SINT0)
		return write_sint(vp, msr - HV_X64_MSR_SINT0, value);
	if (msr == HV_X64_MSR_SIEFP)
		return write_page(hv, &vp->siefp, value);
	if (msr == HV_X64_MSR_SIMP)
		return write_page(hv, &vp->simp, value);
	if (msr == HV_X64_MSR_SCONTROL)
		vp->scontrol = value;
	return 0; /* EOM: its effect is the delivery that follows every write */
}

int synic_write(struct hv *hv, uint32_t vp_index, uint32_t msr, uint64_t value)
{
	struct hv_vp *vp = &hv->vp[vp_index];
	uint8_t before[HV_SINTS], after[HV_SINTS];
	uint64_t siefp_before, siefp_after;
	int r;

	pthread_mutex_lock(&hv->lock);
	siefp_before = effective_siefp(vp);
	for (uint32_t s = 0; s < HV_SINTS; s++)
		before[s] = effective_vector(vp, s);
	r = write_register(hv, vp, msr, value);
	siefp_after = effective_siefp(vp);
	for (uint32_t s = 0; s < HV_SINTS; s++)
		after[s] = effective_vector(vp, s);
	pthread_mutex_unlock(&hv->lock);

	/* routes first: what is delivered below must find them */
	if (siefp_before != siefp_after)
		hv->host.siefp_changed(hv->host.arg, vp_index, siefp_after);
	for (uint32_t s = 0; s < HV_SINTS; s++)
		if (before[s] != after[s])
			hv->host.sint_changed(hv->host.arg, vp_index, s, after[s]);

	pthread_mutex_lock(&hv->lock);
	for (uint32_t s = 0; s < HV_SINTS; s++)
		deliver(hv, vp_index, s);
	pthread_mutex_unlock(&hv->lock);
	return r;
}

static void reset_vp(struct hv *hv, uint32_t vp_index)
{
	struct hv_vp *vp = &hv->vp[vp_index];

	pthread_mutex_lock(&hv->lock);
	vp->scontrol = vp->siefp = vp->simp = vp->vp_assist = 0;
	for (uint32_t s = 0; s < HV_SINTS; s++) {
		vp->sint[s] = HV_SYNIC_SINT_RESET;
		while (vp->queue[s].head)
			queue_pop(hv, &vp->queue[s]);
	}
	pthread_mutex_unlock(&hv->lock);
}

void synic_reset(struct hv *hv)
{
	for (uint32_t v = 0; v < hv->config.cpus; v++) {
		uint8_t vectors[HV_SINTS];
		bool had_page = effective_siefp(&hv->vp[v]) != HV_NO_PAGE;

		for (uint32_t s = 0; s < HV_SINTS; s++)
			vectors[s] = effective_vector(&hv->vp[v], s);
		reset_vp(hv, v);
		if (had_page)
			hv->host.siefp_changed(hv->host.arg, v, HV_NO_PAGE);
		for (uint32_t s = 0; s < HV_SINTS; s++)
			if (vectors[s])
				hv->host.sint_changed(hv->host.arg, v, s, 0);
	}
}
