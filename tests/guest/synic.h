/* SPDX-License-Identifier: Apache-2.0 */
/* The Hyper-V interface from the guest's side, one step at a time, for guests that test exactly that. */
#ifndef GUEST_SYNIC_H
#define GUEST_SYNIC_H

#include "abi/hyperv.h"
#include "rt.h"

#define SYNIC_CPUS   RT_CPUS_MAX
#define SYNIC_SINT   2u
#define SYNIC_VECTOR 0x60u
#define SYNIC_OS_ID  0x8100000000000000ull

/** synic_hypercall_page - say who we are, and have the page put in place. */
void synic_hypercall_page(void);
/** synic_hypercall - call it. @input, @output: value or GPA. Return: the result. */
uint64_t synic_hypercall(uint64_t control, uint64_t input, uint64_t output);

/** synic_start - pages, SINT2 and SCONTROL of this vCPU; its interrupts are counted. */
void synic_start(void);
uint32_t synic_interrupts(uint32_t cpu);
struct hv_message *synic_slot(uint32_t cpu);

/** synic_wait - until a message lies in @cpu's slot (or the guest fails after some 10 s); polls. */
const struct hv_message *synic_wait(uint32_t cpu);
/** synic_release - empty this vCPU's slot; EOM if more is pending. */
void synic_release(void);

/** synic_post - HvPostMessage of type 1. Return: status. */
uint64_t synic_post(uint32_t connection, const void *payload, uint32_t len);

/** synic_contact - VMBus's first message, which is answered by a message on @cpu. Return: status. */
uint64_t synic_contact(uint32_t cpu);
/** synic_unload - VMBus's last message, answered as well. */
uint64_t synic_unload(void);

#endif
