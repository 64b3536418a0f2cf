/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Hyper-V interface as one vCPU and one partition see it: CPUID, MSRs, hypercalls, SynIC, reference time, crash
 * report. It knows no KVM: what it needs from the VM comes through struct hv_host. Spec: Hypervisor Top Level
 * Functional Specification; Linux include/asm-generic/hyperv-tlfs.h.
 */
#ifndef VMWORKER_HV_H
#define VMWORKER_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/mem.h"

struct hv;

/* I/O ports of the hypercall page (hv/hypercall_page.c): a signal carries the connection id in eax. */
#define HV_SIGNAL_PORT                                                                                                 \
	0x5c00u /* 4 bytes: KVM turns it into the channel's eventfd; the exit means "no such connection" */
#define HV_HYPERCALL_PORT 0x5c04u /* 4 bytes: every other hypercall; registers hold the input */

#define HV_SINTS 16u

/* Context of all callbacks: the vCPU thread or event loop that called us. */
struct hv_host {
	/* inject an interrupt of @vector on @vp (edge MSI). Any thread. */
	void (*inject)(void *arg, uint32_t vp, uint8_t vector);
	/* SINT @sint of @vp now has @vector (0: masked or disabled): routes for irqfds follow. vCPU thread. */
	void (*sint_changed)(void *arg, uint32_t vp, uint32_t sint, uint8_t vector);
	/* The event flags page of @vp is now at @gpa (HV_NO_PAGE: none). vCPU thread. */
	void (*siefp_changed)(void *arg, uint32_t vp, uint64_t gpa);
	/* HvPostMessage: bounded queue. Return: 0, -EAGAIN (full: the guest sees HV_STATUS_INSUFFICIENT_BUFFERS),
	 * -ENOENT (no such connection). */
	int (*post_message)(void *arg, uint32_t connection_id, uint32_t type, const void *payload, size_t len);
	/* HvSignalEvent that KVM did not take (the slow form). Return: 0 or -ENOENT (no such connection). */
	int (*signal_event)(void *arg, uint32_t connection_id);
	/* the guest asked for a reset of the machine (HV_X64_MSR_RESET): note it and return. vCPU thread. */
	void (*reset)(void *arg);
	/* the guest wrote a crash report; @text: its message, cleaned UTF-8, "" if none. vCPU thread. */
	void (*crashed)(void *arg, const uint64_t params[5], const char *text);
	/* the guest has taken its OS id back: another kernel follows. vCPU thread. */
	void (*os_left)(void *arg);
	uint64_t (*tsc)(void *arg, uint32_t vp); /* the guest's TSC now. @vp's thread. */
	void *arg;
};

#define HV_NO_PAGE UINT64_MAX

struct hv_config {
	uint32_t cpus;
	uint64_t tsc_hz;
	uint64_t apic_hz;
};

int hv_new(const struct hv_config *config, struct guest_mem *mem, const struct hv_host *host, struct hv **ret_hv);
void hv_free(struct hv *hv);
/** hv_reset - power-on state; reference time goes on. Context: no vCPU runs. */
void hv_reset(struct hv *hv);

/** hv_cpuid_leaf - the synthetic leaves 0x40000000..0x40000005(6). Return: false if @leaf is not ours. */
bool hv_cpuid_leaf(const struct hv_config *config, uint32_t leaf, uint32_t ret_regs[4]);

/** hv_msr_read, hv_msr_write - 0x40000000..0x400001ff. Return: 0, or -EINVAL: the guest gets #GP. Context: @vp's
 * thread. */
int hv_msr_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value);
int hv_msr_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value);

/* hypercall input by register; the result goes to rax */
struct hv_hypercall {
	uint64_t control; /* rcx */
	uint64_t input;	  /* rdx: GPA, or value if fast */
	uint64_t output;  /* r8 */
};
uint64_t hv_hypercall(struct hv *hv, uint32_t vp, const struct hv_hypercall *call);

/** synic_post - a message for @vp's @sint: queued, delivered in order as the slot becomes free. @len: at most 240.
 * Context: any thread. */
void synic_post(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t type, const void *payload, size_t len);

/** synic_raise_event - set @flag of @vp's @sint and inject. Context: any thread. */
void synic_raise_event(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t flag);

/** synic_backlog - messages that wait for their slots, all vCPUs together. Who makes the hypervisor post more must stop
 * at SYNIC_BACKLOG_MAX: SYNIC_MESSAGES_MAX is the end. Context: any thread. */
unsigned int synic_backlog(struct hv *hv);
#define SYNIC_BACKLOG_MAX  4096u
#define SYNIC_MESSAGES_MAX 8192u

/** hv_reference_time - 100 ns units since the partition was made. Context: @vp's thread. */
uint64_t hv_reference_time(struct hv *hv, uint32_t vp);
/** hv_reference_at - the same for a value of the guest's TSC. Context: any thread. */
uint64_t hv_reference_at(const struct hv *hv, uint64_t tsc);

/**
 * hv_crash_text - make the message of a crash report fit for people: valid UTF-8, no control characters but newline and
 * tab.
 * @raw: @len bytes of the guest's. @ret_text: at least @len + 1 bytes, NUL-terminated; ends at the first NUL of @raw.
 */
void hv_crash_text(const uint8_t *raw, size_t len, char *ret_text);

#endif
