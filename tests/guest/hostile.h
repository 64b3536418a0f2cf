/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the hostile guest share. Each part is a table of cases, one row each; a case does its worst, asks
 * for what the protocol says of it, and may leave any mess behind: hostile_leave() and a look at the host follow.
 */
#ifndef GUEST_HOSTILE_H
#define GUEST_HOSTILE_H

#include "disk.h"
#include "rt.h"

#define HOSTILE_MEMORY	(64ull << 20) /* of the VM, in bytes: what lies behind is outside */
#define HOSTILE_VCPU	1u	      /* whose program hostile_beside() sets */
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct hostile_case {
	const char *name;
	void (*run)(void);
};

struct hostile_group {
	const char *name;
	const struct hostile_case *cases;
	uint32_t count;
};

extern const struct hostile_group hostile_hv, hostile_synic, hostile_messages, hostile_states, hostile_rings,
	hostile_vstor;

/* One for all; its memory is disk.c's. */
extern struct vmbus_channel hostile_channel;
extern uint64_t hostile_burst; /* messages */
/* A page that nothing lies in. */
extern uint8_t hostile_page[4096], hostile_buffer[65536];

uint32_t hostile_random(void);
/** hostile_field - small numbers that hit what exists, as often as anything. */
uint32_t hostile_field(void);
/** hostile_now - in units of 100 ns. */
uint64_t hostile_now(void);

/** hostile_connect - as disk_connect(), on @cpu. */
void hostile_connect(uint32_t cpu);
/** hostile_contact - contact and offers. Return: that of the disk's controller. */
const struct vmbus_msg_offer_channel *hostile_contact(void);
/** hostile_leave - end the connection, whatever its state; no message from before comes any more. */
void hostile_leave(void);
/** hostile_restore - hypercall page and SynIC as they should be. */
void hostile_restore(void);

/** hostile_beside - have the second vCPU call @fn again and again; NULL: stop, and wait for the last call's end. */
void hostile_beside(void (*fn)(void));

/** hostile_read - submit a READ(10) of @blocks with that transaction id, into hostile_buffer. Return: there was room.
 */
bool hostile_read(uint64_t id, uint32_t lba, uint16_t blocks);
/** hostile_drain - take packets until @count have come; fails the guest if they do not come. */
void hostile_drain(uint32_t count);

#endif
