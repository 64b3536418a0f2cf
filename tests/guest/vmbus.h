/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMBus client for bare-metal guests, as small as the protocol allows: one control flow on the boot vCPU, interrupts
 * on any. Memory is identity-mapped, so that pointers are guest-physical addresses. Whatever goes wrong ends the guest
 * with a line that says what.
 */
#ifndef GUEST_VMBUS_H
#define GUEST_VMBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/ring.h"
#include "abi/vmbus.h"

#define VMBUS_CPUS   64u
#define VMBUS_VECTOR 0x60u /* of SINT2 on every vCPU */
#define VMBUS_OFFERS 64u

/* One direction. The data area does not wrap in memory: copies do. */
struct vmbus_ring {
	struct ring_header *header;
	uint8_t *data;
	uint32_t len;
	uint32_t cursor; /* ours: of the writer for the outgoing ring, of the reader for the incoming one */
};

struct vmbus_channel {
	struct vmbus_msg_offer_channel offer;
	uint32_t gpadl;
	struct vmbus_ring out, in;
	volatile uint32_t events[VMBUS_CPUS]; /* interrupts taken, by vCPU */
	uint64_t kicks;			      /* signals that we sent */
};

/** vmbus_start - hypercall page. Boot vCPU, once after power-on or reset. */
void vmbus_start(void);
/** vmbus_synic_start - message and event pages and SINT2 of this vCPU; then interrupts may be enabled. */
void vmbus_synic_start(uint32_t cpu);
/** vmbus_start_cpus - start the other vCPUs of @cpus, which from then on only take interrupts, as vmbus_synic_start().
 */
void vmbus_start_cpus(uint32_t cpus);

/** vmbus_synic_move - this vCPU's pages are these from now on; nothing that came is lost. Leaves interrupts on. */
void vmbus_synic_move(uint32_t cpu, void *messages_page, void *flags_page);
/** vmbus_synic_page - the page of messages, or of event flags, that a vCPU has now. */
void *vmbus_synic_page(uint32_t cpu, bool flags);
/** vmbus_wake - an interrupt to @cpu that does nothing else. */
void vmbus_wake(uint32_t cpu);

/** vmbus_contact - Return: whether the host speaks @version. */
bool vmbus_contact(uint32_t version, uint32_t cpu);
/** vmbus_request_offers - Return: how many there are. */
uint32_t vmbus_request_offers(struct vmbus_msg_offer_channel offers[VMBUS_OFFERS]);
/** vmbus_find - the first offer of an interface type, NULL if there is none. */
const struct vmbus_msg_offer_channel *vmbus_find(const struct vmbus_msg_offer_channel *offers, uint32_t count,
						 struct abi_guid type);

/** vmbus_gpadl - Return: the host's status. @memory: whole pages. */
uint32_t vmbus_gpadl(uint32_t relid, uint32_t gpadl, void *memory, uint32_t pages);
/** vmbus_gpadl_teardown - waits for the answer. */
void vmbus_gpadl_teardown(uint32_t relid, uint32_t gpadl);

/** vmbus_open - two rings of @pages / 2 pages each in @memory. Return: the host's status. */
uint32_t vmbus_open(struct vmbus_channel *channel, const struct vmbus_msg_offer_channel *offer, void *memory,
		    uint32_t pages, uint32_t cpu);
void vmbus_close(struct vmbus_channel *channel);
/** vmbus_modify - interrupts to @cpu from now on. Return: the host's status (below 5.3: 0 at once). */
uint32_t vmbus_modify(struct vmbus_channel *channel, uint32_t cpu);
void vmbus_unload(void);

/** vmbus_send - @header_len bytes, then @len bytes behind a descriptor of @type; signals the host if it must. Return:
 * false if it is full. */
bool vmbus_send(struct vmbus_channel *channel, uint16_t type, uint64_t id, const void *header, uint32_t header_len,
		const void *payload, uint32_t len);
/** vmbus_receive - the next packet. @ret_len: of its payload, at most @cap. Return: false if there is none. */
bool vmbus_receive(struct vmbus_channel *channel, struct vmpacket_descriptor *ret_desc, void *payload, uint32_t cap,
		   uint32_t *ret_len);
/** vmbus_receive_whole - the same, from its descriptor on, without padding cut off. */
bool vmbus_receive_whole(struct vmbus_channel *channel, struct vmpacket_descriptor *ret_desc, void *bytes, uint32_t cap,
			 uint32_t *ret_len);
/** vmbus_wait_packet - sleep until a packet is there (interrupts are on for that). */
void vmbus_wait_packet(struct vmbus_channel *channel);

/** vmbus_post - any message, for those that test what the host does with it. */
void vmbus_post(const void *message, uint32_t len);
/** vmbus_lossy - from now on messages that find no room here are forgotten; else they end the guest. */
void vmbus_lossy(void);
/** vmbus_try_post, vmbus_hypercall - once, whatever comes of it. Return: the hypervisor's result. */
uint64_t vmbus_try_post(uint32_t connection, uint32_t type, const void *message, uint32_t len);
uint64_t vmbus_hypercall(uint64_t control, uint64_t input, uint64_t output);
/** vmbus_poll_message - the host's next message, NULL if none has come. */
const void *vmbus_poll_message(void);
/** vmbus_next_message - wait for the host's next message; 240 bytes. */
const void *vmbus_next_message(void);
/** vmbus_messages - how many messages @cpu has taken. */
uint32_t vmbus_messages(uint32_t cpu);
/** vmbus_discard - forget what has come so far. */
void vmbus_discard(void);
/** vmbus_signal - kick the host, whatever the rings say. */
void vmbus_signal(struct vmbus_channel *channel);

#endif
