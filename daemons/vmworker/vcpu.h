/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPU threads: they run the guest, dispatch its exits, and stand still when they are told to.
 */
#ifndef VMWORKER_VCPU_H
#define VMWORKER_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "hv/hv.h"
#include "kvm.h"

/* What threads of vCPUs need in the sandbox. */
extern const struct syscall_list vcpu_calls;

struct vcpus;

/* What exits lead to. Context: a vCPU thread; several at once. */
struct vcpu_host {
	void (*pio)(void *arg, uint16_t port, bool is_write, unsigned int size, void *data);
	/* Return: 0, or a negative errno: the guest gets #GP */
	int (*msr_read)(void *arg, uint32_t vp, uint32_t msr, uint64_t *ret_value);
	int (*msr_write)(void *arg, uint32_t vp, uint32_t msr, uint64_t value);
	uint64_t (*hypercall)(void *arg, uint32_t vp, const struct hv_hypercall *call);
	/* @where: NULL: not known */
	void (*triple_fault)(void *arg, uint32_t vp, const struct kvm_where *where);
	/* KVM cannot go on with this vCPU; @why is one line. */
	void (*failed)(void *arg, uint32_t vp, const char *why);
	void *arg;
};

/** vcpus_new - start @count threads, standing still. @kvm: the vCPUs; they stay the caller's. Return: 0 or a negative
 * errno. */
int vcpus_new(struct kvm_vcpu **kvm, uint32_t count, const struct vcpu_host *host, struct vcpus **ret_vcpus);
/** vcpus_free - end and join the threads. NULL is allowed. Context: not a vCPU thread. */
void vcpus_free(struct vcpus *vcpus);

/** vcpus_run - let all run. Context: not a vCPU thread. */
void vcpus_run(struct vcpus *vcpus);
/** vcpus_halt - ask all to stand still, without waiting. Context: any thread; a vCPU thread then runs no more guest
 * code after its exit. */
void vcpus_halt(struct vcpus *vcpus);
/** vcpus_pause - vcpus_halt(), and wait until all stand still with no exit half done. Context: not a vCPU thread. */
void vcpus_pause(struct vcpus *vcpus);

/** vcpus_exits - how often KVM_RUN has returned to us, all vCPUs together. Context: any thread. */
uint64_t vcpus_exits(struct vcpus *vcpus);

#endif
