// SPDX-License-Identifier: Apache-2.0
#include "synic.h"

#include "abi/vmbus.h"

#define X2APIC_EOI	0x80bu
#define WAIT_TIME_UNITS 100000000u /* 10 s in units of 100 ns */

#define PAGE __attribute__((aligned(HV_PAGE_SIZE)))

static uint8_t hypercall_page[HV_PAGE_SIZE] PAGE;
static struct hv_message_page messages[SYNIC_CPUS] PAGE;
static struct hv_synic_event_flags_page events[SYNIC_CPUS] PAGE;
static struct hv_input_post_message post_input PAGE;
static volatile uint32_t interrupts[SYNIC_CPUS];

void synic_hypercall_page(void)
{
	rt_wrmsr(HV_X64_MSR_GUEST_OS_ID, SYNIC_OS_ID);
	rt_wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)hypercall_page | HV_X64_MSR_PAGE_ENABLE);
}

uint64_t synic_hypercall(uint64_t control, uint64_t input, uint64_t output)
{
	uint64_t status;
	register uint64_t r8 __asm__("r8") = output;

	__asm__ volatile("call *%[page]"
			 : "=a"(status), "+c"(control), "+d"(input), "+r"(r8)
			 : [page] "r"((uintptr_t)hypercall_page)
			 : "r9", "r10", "r11", "memory", "cc");
	return status;
}

static void on_interrupt(void)
{
	interrupts[rt_cpu()]++;
	rt_wrmsr(X2APIC_EOI, 0);
}

void synic_start(void)
{
	uint32_t cpu = rt_cpu();

	rt_set_handler(SYNIC_VECTOR, on_interrupt);
	rt_wrmsr(HV_X64_MSR_SIMP, (uintptr_t)&messages[cpu] | HV_X64_MSR_PAGE_ENABLE);
	rt_wrmsr(HV_X64_MSR_SIEFP, (uintptr_t)&events[cpu] | HV_X64_MSR_PAGE_ENABLE);
	rt_wrmsr(HV_X64_MSR_SINT0 + SYNIC_SINT, SYNIC_VECTOR);
	rt_wrmsr(HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
}

uint32_t synic_interrupts(uint32_t cpu)
{
	return interrupts[cpu];
}

struct hv_message *synic_slot(uint32_t cpu)
{
	return &messages[cpu].sint_message[SYNIC_SINT];
}

const struct hv_message *synic_wait(uint32_t cpu)
{
	struct hv_message *slot = synic_slot(cpu);
	uint64_t start = rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT);

	while (__atomic_load_n(&slot->header.message_type, __ATOMIC_ACQUIRE) == HV_MESSAGE_TYPE_NONE) {
		for (unsigned int i = 0; i < 100; i++)
			__asm__ volatile("pause");
		if (rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT) - start > WAIT_TIME_UNITS)
			rt_fail("vCPU %u waits for a message in vain", cpu);
	}
	return slot;
}

void synic_release(void)
{
	struct hv_message *slot = synic_slot(rt_cpu());

	__atomic_store_n(&slot->header.message_type, HV_MESSAGE_TYPE_NONE, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&slot->header.message_flags, __ATOMIC_SEQ_CST) & HV_MESSAGE_FLAG_PENDING)
		rt_wrmsr(HV_X64_MSR_EOM, 0);
}

uint64_t synic_post(uint32_t connection, const void *payload, uint32_t len)
{
	post_input.connection_id = connection;
	post_input.message_type = HV_MESSAGE_TYPE_CHANNEL;
	post_input.payload_size = len;
	memcpy(post_input.payload, payload, len);
	return synic_hypercall(HVCALL_POST_MESSAGE, (uintptr_t)&post_input, 0);
}

uint64_t synic_contact(uint32_t cpu)
{
	struct vmbus_msg_initiate_contact contact;

	memset(&contact, 0, sizeof(contact));
	contact.header.msgtype = VMBUS_MSG_INITIATE_CONTACT;
	contact.vmbus_version_requested = VMBUS_VERSION_5_3;
	contact.target_vcpu = cpu;
	contact.msg_sint = SYNIC_SINT;
	return synic_post(VMBUS_MESSAGE_CONNECTION_ID_4, &contact, sizeof(contact));
}

uint64_t synic_unload(void)
{
	struct vmbus_msg_header unload = {.msgtype = VMBUS_MSG_UNLOAD};

	return synic_post(VMBUS_MESSAGE_CONNECTION_ID_4, &unload, sizeof(unload));
}
