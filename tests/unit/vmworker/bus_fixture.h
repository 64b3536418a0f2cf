/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bus between a fake guest and fake providers: 4 MiB of memory at 1 MiB, two vCPUs, every message and call recorded.
 */
#ifndef TEST_BUS_FIXTURE_H
#define TEST_BUS_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/vmbus.h"
#include "bus.h"

#define FX_CPUS	       2u
#define FX_MEM_GPA     0x100000ull
#define FX_MEM_LEN     0x400000ull
#define FX_PFN	       (FX_MEM_GPA / 4096)
#define FX_MESSAGES    4096u
#define FX_BLOCK_BYTES 8192u
#define FX_KICKS       64u

enum fx_call { FX_NONE, FX_OPEN, FX_CLOSE, FX_RETARGET, FX_QUIESCE, FX_REVOKE };

struct fx_message {
	uint32_t vp;
	size_t len;
	uint8_t bytes[VMBUS_MESSAGE_PAYLOAD_MAX];
};

struct fx_provider {
	struct bus_provider *bus;
	bool answers; /* at once, from inside the call */
	int open_status;
	unsigned int calls[FX_REVOKE + 1];
	enum fx_call last;
	uint32_t last_offer;
	struct bus_open open;
	struct guest_range ring[64];
	uint8_t user_data[VMBUS_USER_DEFINED_MAX];
	uint32_t vp;
	uint32_t gpadl;			  /* of the last FX_REVOKE */
	unsigned int resumed, opens_then; /* how often, and the calls of FX_OPEN before */
};

struct fx {
	struct loop *loop;
	struct guest_mem mem;
	struct bus *bus;
	struct fx_message messages[FX_MESSAGES];
	uint32_t connection;	 /* of the guest's messages */
	unsigned int head, tail; /* messages[head..tail) are not looked at yet */
	struct {
		uint32_t connection_id;
		int fd;
	} kicks[FX_KICKS];
	struct {
		uint32_t vp;
		int fd;
	} irqs[FX_KICKS];
	unsigned int kicks_held, irqs_held;
	int kick_result, irq_result; /* negative: the next assignments fail */
	unsigned int raised[FX_CPUS];
	uint32_t raised_flag;
	unsigned int resets;
	struct fx_provider provider;
};

extern struct fx fx;

void fx_init(void);
void fx_done(void);

/** fx_provider_replace - its successor offers nothing. */
void fx_provider_replace(struct fx_provider *provider);
/** fx_provider_add, fx_offer - one provider, one offer whose instance GUID ends with @n. */
void fx_provider_add(struct fx_provider *provider);
int fx_offer(struct fx_provider *provider, uint8_t n, uint32_t *ret_offer_id);

/** fx_send - the guest posts @message on the connection of the version that fx_contact() asked for last. */
void fx_send(const void *message, size_t len);

/** fx_next - the bus's next message if it has @type and at least @len bytes, else NULL; NULL too if there is none. */
const void *fx_next(uint32_t type, size_t len);
/** fx_silent - no message is left. */
bool fx_silent(void);

/** The guest's side of the protocol. */
void fx_contact(uint32_t version, uint32_t vp);
void fx_simple(uint32_t type);
void fx_relid(uint32_t type, uint32_t relid);
void fx_pair(uint32_t type, uint32_t relid, uint32_t value);
void fx_open(uint32_t relid, uint32_t open_id, uint32_t gpadl, uint32_t vp, uint32_t downstream);
/** fx_gpadl - all messages of a GPADL of @pages pages from @pfn on. */
void fx_gpadl(uint32_t relid, uint32_t gpadl, uint64_t pfn, uint32_t pages);

#endif
