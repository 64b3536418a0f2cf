/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the Hyper-V interface, shared by the files of this folder and by nobody else. */
#ifndef VMWORKER_HV_STATE_H
#define VMWORKER_HV_STATE_H

#include <pthread.h>

#include "abi/hyperv.h"
#include "hv/hv.h"

/* A message on its way to the guest: in the pool's free list or in one SINT's queue. */
struct hv_queued {
	struct hv_queued *next;
	struct hv_message message;
};

struct hv_queue {
	struct hv_queued *head, *tail;
};

/* Written by its own vCPU's thread, read by any: hv->lock. */
struct hv_vp {
	uint64_t scontrol, siefp, simp, vp_assist;
	uint64_t sint[HV_SINTS];
	struct hv_queue queue[HV_SINTS];
};

struct hv {
	struct hv_config config;
	struct guest_mem *mem;
	struct hv_host host;

	pthread_mutex_t lock; /* all below; host callbacks but inject() are made without it */
	uint64_t guest_os_id, hypercall, reference_tsc, tsc_invariant;
	uint64_t tsc_scale;
	int64_t tsc_offset; /* 100 ns units */
	uint64_t crash[HV_CRASH_PARAMS];

	struct hv_queued *pool; /* SYNIC_MESSAGES_MAX; untouched ones cost no memory */
	struct hv_queued *pool_free;
	size_t pool_used; /* never handed out yet: from here on */
	unsigned int backlog;

	struct hv_vp vp[];
};

/* The bytes of the hypercall page (hypercall_page.c). */
extern const uint8_t hv_hypercall_code[];
extern const size_t hv_hypercall_code_len;

/* MSR groups (msr.c's table): a vCPU's read or write of one. Return: 0 or -EINVAL (#GP). */
int synic_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value);
int synic_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value);
void synic_reset(struct hv *hv);

int time_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value);
int time_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value);
void time_init(struct hv *hv);

int crash_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value);
int crash_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value);

int hypercall_msr_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value);
int hypercall_msr_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value);

/* hv_page_ok - an enabled page register must point into guest memory. */
bool hv_page_ok(struct hv *hv, uint64_t value);

#endif
