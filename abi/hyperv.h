/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Hyper-V interface between hypervisor and guest: CPUID leaves, MSRs, hypercalls, the pages they share.
 * Spec: Hypervisor Top Level Functional Specification (TLFS); names are its own.
 */
#ifndef ABI_HYPERV_H
#define ABI_HYPERV_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define HV_PAGE_SIZE 4096u

/* ---- CPUID ---- */

#define HV_CPUID_VENDOR_AND_MAX_FUNCTIONS 0x40000000u
#define HV_CPUID_INTERFACE		  0x40000001u
#define HV_CPUID_VERSION		  0x40000002u
#define HV_CPUID_FEATURES		  0x40000003u
#define HV_CPUID_ENLIGHTENMENT_INFO	  0x40000004u
#define HV_CPUID_IMPLEMENT_LIMITS	  0x40000005u
#define HV_CPUID_IMPLEMENT_HARDWARE	  0x40000006u /* hardware features in use */

#define HV_CPUID_SIGNATURE_EBX	    0x7263694du /* "Micr" */
#define HV_CPUID_SIGNATURE_ECX	    0x666f736fu /* "osof" */
#define HV_CPUID_SIGNATURE_EDX	    0x76482074u /* "t Hv" */
#define HV_CPUID_INTERFACE_HV1	    0x31237648u /* "Hv#1" */
#define HV_CPUID_HYPERVISOR_PRESENT (1u << 31)	/* leaf 1, ECX */

/* HV_CPUID_FEATURES.EAX: partition privileges that are MSRs */
#define HV_MSR_VP_RUNTIME_AVAILABLE	     (1u << 0)
#define HV_MSR_TIME_REF_COUNT_AVAILABLE	     (1u << 1)
#define HV_MSR_SYNIC_AVAILABLE		     (1u << 2)
#define HV_MSR_SYNTIMER_AVAILABLE	     (1u << 3)
#define HV_MSR_APIC_ACCESS_AVAILABLE	     (1u << 4)
#define HV_MSR_HYPERCALL_AVAILABLE	     (1u << 5)
#define HV_MSR_VP_INDEX_AVAILABLE	     (1u << 6)
#define HV_MSR_RESET_AVAILABLE		     (1u << 7)
#define HV_MSR_REFERENCE_TSC_AVAILABLE	     (1u << 9)
#define HV_MSR_GUEST_IDLE_AVAILABLE	     (1u << 10)
#define HV_ACCESS_FREQUENCY_MSRS	     (1u << 11)
#define HV_ACCESS_TSC_INVARIANT		     (1u << 15)
/* HV_CPUID_FEATURES.EBX */
#define HV_POST_MESSAGES		     (1u << 4)
#define HV_SIGNAL_EVENTS		     (1u << 5)
/* HV_CPUID_FEATURES.EDX */
#define HV_FEATURE_FREQUENCY_MSRS_AVAILABLE  (1u << 8)
#define HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE (1u << 10)
/* HV_CPUID_ENLIGHTENMENT_INFO.EAX: hints */
#define HV_X64_RELAXED_TIMING_RECOMMENDED    (1u << 5)
#define HV_DEPRECATING_AEOI_RECOMMENDED	     (1u << 9)
#define HV_SPINLOCK_NEVER_NOTIFY	     0xffffffffu /* EBX */

/* ---- MSRs ---- */

#define HV_MSR_FIRST			 0x40000000u /* the range that is the hypervisor's */
#define HV_MSR_COUNT			 0x200u
#define HV_X64_MSR_GUEST_OS_ID		 0x40000000u
#define HV_X64_MSR_HYPERCALL		 0x40000001u
#define HV_X64_MSR_VP_INDEX		 0x40000002u
#define HV_X64_MSR_RESET		 0x40000003u
#define HV_X64_MSR_TIME_REF_COUNT	 0x40000020u
#define HV_X64_MSR_REFERENCE_TSC	 0x40000021u
#define HV_X64_MSR_TSC_FREQUENCY	 0x40000022u /* Hz */
#define HV_X64_MSR_APIC_FREQUENCY	 0x40000023u /* Hz */
#define HV_X64_MSR_VP_ASSIST_PAGE	 0x40000073u
#define HV_X64_MSR_SCONTROL		 0x40000080u
#define HV_X64_MSR_SVERSION		 0x40000081u
#define HV_X64_MSR_SIEFP		 0x40000082u
#define HV_X64_MSR_SIMP			 0x40000083u
#define HV_X64_MSR_EOM			 0x40000084u
#define HV_X64_MSR_SINT0		 0x40000090u
#define HV_X64_MSR_SINT15		 0x4000009fu
#define HV_X64_MSR_CRASH_P0		 0x40000100u
#define HV_X64_MSR_CRASH_P4		 0x40000104u
#define HV_X64_MSR_CRASH_CTL		 0x40000105u
#define HV_X64_MSR_TSC_INVARIANT_CONTROL 0x40000118u

/* Bits that HYPERCALL, REFERENCE_TSC, SIEFP, SIMP and VP_ASSIST_PAGE share: bit 0 enables, 12 and up hold the page. */
#define HV_X64_MSR_PAGE_ENABLE	    (1ull << 0)
#define HV_X64_MSR_PAGE_MASK	    (~0xfffull)
#define HV_X64_MSR_HYPERCALL_LOCKED (1ull << 1)

#define HV_X64_MSR_RESET_NOW	(1ull << 0)
#define HV_SYNIC_CONTROL_ENABLE (1ull << 0)
#define HV_SYNIC_VERSION_1	1u

#define HV_SYNIC_SINT_COUNT	    16u
#define HV_SYNIC_SINT_VECTOR_MASK   0xffull
#define HV_SYNIC_SINT_MASKED	    (1ull << 16)
#define HV_SYNIC_SINT_AUTO_EOI	    (1ull << 17)
#define HV_SYNIC_SINT_POLLING	    (1ull << 18)
#define HV_SYNIC_SINT_RESET	    HV_SYNIC_SINT_MASKED
#define HV_SYNIC_FIRST_VALID_VECTOR 16u

#define HV_CRASH_CTL_CRASH_NOTIFY     (1ull << 63)
#define HV_CRASH_CTL_CRASH_NOTIFY_MSG (1ull << 62) /* P3: message's GPA, P4: its length */
#define HV_CRASH_PARAMS		      5u
#define HV_CRASH_MESSAGE_MAX	      4096u

#define HV_TSC_INVARIANT_EXPOSED (1ull << 0)

/* ---- hypercalls ---- */

#define HVCALL_NOTIFY_LONG_SPIN_WAIT 0x0008u
#define HVCALL_POST_MESSAGE	     0x005cu
#define HVCALL_SIGNAL_EVENT	     0x005du

/* The input value (rcx). */
#define HV_HYPERCALL_CODE_MASK	       0xffffull
#define HV_HYPERCALL_FAST	       (1ull << 16)
#define HV_HYPERCALL_VARHEAD_MASK      (0x3ffull << 17)
#define HV_HYPERCALL_RSVD_MASK	       ((0xfull << 27) | (0xfull << 44) | (0xfull << 60))
#define HV_HYPERCALL_REP_COUNT_MASK    (0xfffull << 32)
#define HV_HYPERCALL_REP_START_MASK    (0xfffull << 48)
#define HV_HYPERCALL_SIGNAL_EVENT_FAST (HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST)

#define HV_STATUS_SUCCESS		  0x00u
#define HV_STATUS_INVALID_HYPERCALL_CODE  0x02u
#define HV_STATUS_INVALID_HYPERCALL_INPUT 0x03u
#define HV_STATUS_INVALID_ALIGNMENT	  0x04u
#define HV_STATUS_INVALID_PARAMETER	  0x05u
#define HV_STATUS_ACCESS_DENIED		  0x06u
#define HV_STATUS_OPERATION_DENIED	  0x08u
#define HV_STATUS_INVALID_VP_INDEX	  0x0eu
#define HV_STATUS_INVALID_PORT_ID	  0x11u
#define HV_STATUS_INVALID_CONNECTION_ID	  0x12u
#define HV_STATUS_INSUFFICIENT_BUFFERS	  0x13u

#define HV_MESSAGE_SIZE		 256u
#define HV_MESSAGE_PAYLOAD_SIZE	 240u
#define HV_MESSAGE_TYPE_NONE	 0x00000000u
#define HV_MESSAGE_TYPE_CHANNEL	 1u	     /* VMBus */
#define HV_MESSAGE_TYPE_HV_FIRST 0x80000000u /* these and up belong to the hypervisor itself */
#define HV_MESSAGE_FLAG_PENDING	 0x01u

struct hv_input_post_message {
	uint32_t connection_id;
	uint32_t reserved;
	uint32_t message_type;
	uint32_t payload_size;
	uint8_t payload[HV_MESSAGE_PAYLOAD_SIZE];
};

struct hv_input_signal_event {
	uint32_t connection_id;
	uint16_t flag_number;
	uint16_t reserved;
};

/* ---- pages shared with the guest ---- */

struct hv_message_header {
	uint32_t message_type; /* written last by the hypervisor, cleared by the guest */
	uint8_t payload_size;
	uint8_t message_flags;
	uint8_t reserved[2];
	uint64_t sender; /* port id */
};

struct hv_message {
	struct hv_message_header header;
	uint8_t payload[HV_MESSAGE_PAYLOAD_SIZE];
};

/* SIMP: a slot for each SINT. */
struct hv_message_page {
	struct hv_message sint_message[HV_SYNIC_SINT_COUNT];
};

/* SIEFP: 2,048 flags for each SINT. */
#define HV_EVENT_FLAGS_COUNT 2048u
#define HV_EVENT_FLAGS_BYTES 256u

struct hv_synic_event_flags {
	uint64_t flags[HV_EVENT_FLAGS_COUNT / 64];
};

struct hv_synic_event_flags_page {
	struct hv_synic_event_flags sint_event_flags[HV_SYNIC_SINT_COUNT];
};

/* reference time (100 ns) = (tsc * tsc_scale >> 64) + tsc_offset, while tsc_sequence is not 0 and unchanged around it
 */
struct hv_reference_tsc_page {
	uint32_t tsc_sequence;
	uint32_t reserved;
	uint64_t tsc_scale;
	int64_t tsc_offset;
};

_Static_assert(sizeof(struct hv_input_post_message) == 256, "HvPostMessage input");
_Static_assert(sizeof(struct hv_input_signal_event) == 8, "HvSignalEvent input");
_Static_assert(sizeof(struct hv_message) == HV_MESSAGE_SIZE, "message");
_Static_assert(sizeof(struct hv_message_page) == HV_PAGE_SIZE, "SIMP");
_Static_assert(sizeof(struct hv_synic_event_flags_page) == HV_PAGE_SIZE, "SIEFP");
_Static_assert(sizeof(struct hv_reference_tsc_page) == 24, "reference TSC page");

#endif
