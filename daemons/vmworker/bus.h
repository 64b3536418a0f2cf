/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMBus server: contact, offers, GPADLs, open, close, retarget, unload. Runs on the event loop only. It knows no
 * KVM, no RPC: the guest is reached through struct bus_guest_ops, providers through struct bus_provider_ops. Spec:
 * Linux drivers/hv, include/linux/hyperv.h; OpenVMM vm/devices/vmbus (behaviour).
 */
#ifndef VMWORKER_BUS_H
#define VMWORKER_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/guid.h"
#include "base/err.h"
#include "guest/mem.h"
#include "ipc/loop.h"

struct bus;
struct bus_offer;

#define BUS_CHANNELS_MAX 2047u /* of all providers, sub-channels that no guest sees included */
#define BUS_SINT	 2u    /* VMBus's interrupt source */

/* How the bus reaches the guest. Implemented by vm.c over hv/ and irq.c; by a fake in tests. */
struct bus_guest_ops {
	/* Put a message (at most 240 bytes) on @vp's message queue for SINT2. Never fails: it is queued until the slot
	 * is free. */
	void (*post_message)(void *arg, uint32_t vp, const void *payload, size_t len);
	/* Kicks: the guest's HvSignalEvent(@connection_id) fires @eventfd, with no exit to us. Return 0 or a negative
	 * errno. */
	int (*kick_assign)(void *arg, uint32_t connection_id, int eventfd);
	void (*kick_release)(void *arg, uint32_t connection_id, int eventfd);
	/* Interrupts: writing @eventfd injects SINT2's vector on @vp. Assigning again moves it. */
	int (*irq_assign)(void *arg, uint32_t vp, int eventfd);
	void (*irq_release)(void *arg, int eventfd);
	/* Raise the event flag @flag of @vp ourselves: sets the bit in the flags page (if there is one) and injects. */
	void (*raise_event)(void *arg, uint32_t vp, uint32_t flag);
	uint32_t (*cpus)(void *arg);
};

/*
 * What a provider is told to do with a channel. Each call is answered exactly once, by bus_opened(), bus_closed(),
 * bus_retargeted(), bus_quiesced(), before it returns or later, and calls of one kind for one offer in their order. A
 * provider that can answer no more is reported by bus_provider_away(), which must not be called from inside one of
 * these functions; nothing is called while it is away. Once it has answered "quiesce", all its channels are closed,
 * whatever else it still has to answer.
 */
struct bus_open {
	uint32_t relid;
	uint32_t target_vp;
	const struct guest_range *ring; /* whole pages, in order; valid during the call */
	size_t ring_ranges;
	uint32_t downstream_page;
	const void *user_data; /* 120 bytes; valid during the call */
	int kick_fd, irq_fd;   /* the bus's; valid until closed */
	int block_fd;	       /* state block memfd, the bus's; sealed against a change of its size */
	bool recover;	       /* an earlier open of this channel may have reached a process that is dead now */
	bool was_open;	       /* it had answered that, too */
	bool gather;	       /* others follow, and resumed() after them: no request of any is to be begun before */
};

struct bus_provider_ops {
	void (*open)(void *arg, uint32_t offer_id, const struct bus_open *open);
	void (*close)(void *arg, uint32_t offer_id);
	void (*retarget)(void *arg, uint32_t offer_id, uint32_t target_vp);
	void (*quiesce)(void *arg); /* drain and close every channel */
	/* The guest wants memory back that was lent, see bus_lend(); bus_revoked() once nothing of it is touched any
	 * more. Close and quiesce cover it. NULL for who borrows nothing. */
	void (*revoke)(void *arg, uint32_t offer_id, uint32_t gpadl);
	/* In bus_provider_back(): all channels that were open or opening, if there were any, have been asked for. Not
	 * answered. May be NULL. */
	void (*resumed)(void *arg);
};

/* Lives as long as the bus, whatever happens to the processes that serve it. */
struct bus_provider;

struct bus_offer_desc {
	struct abi_guid interface_guid, instance_guid;
	uint16_t flags;
	uint16_t mmio_megabytes;
	uint8_t user_defined[120];
	uint16_t subchannel_index;
	uint64_t block_bytes; /* size of the channel's state block: a fresh, zeroed memfd for each open */
};

/** bus_new - @guest, @arg, @loop, @mem: kept by reference. Return: 0 or -ENOMEM. */
int bus_new(struct loop *loop, struct guest_mem *mem, const struct bus_guest_ops *guest, void *arg,
	    struct bus **ret_bus);
/** bus_free - close everything, without a word to guest or providers. NULL is allowed. */
void bus_free(struct bus *bus);

/** bus_message - the guest posted a message (HvPostMessage), already copied. @connection_id: 1 or 4. Context: event
 * loop. */
void bus_message(struct bus *bus, uint32_t connection_id, uint32_t type, const void *payload, size_t len);

/**
 * bus_reset - the guest is being reset: every channel is closed at its provider, all guest state is dropped, offers
 * stay. The vCPUs stand still, and what they have posted before is thrown away by the caller. One reset at a time.
 * @done: called once all providers have acknowledged, or are back again; that may be before bus_reset() returns.
 */
void bus_reset(struct bus *bus, void (*done)(void *arg), void *arg);

/** bus_end - nothing will be opened any more: from now on a reset does not wait for providers that are away. One that
 * waits already may call its @done from inside. */
void bus_end(struct bus *bus);

/** bus_reraise - after a change of @vp's SIEFP or SINT2: raise the flags of every open channel that targets it.
 * Context: event loop. */
void bus_reraise(struct bus *bus, uint32_t vp);

/* ---- providers ---- */

/** bus_provider_add - it is away at first: bus_provider_back() is its beginning. Return: 0 or -ENOMEM. */
int bus_provider_add(struct bus *bus, const char *name, const struct bus_provider_ops *ops, void *arg,
		     struct bus_provider **ret_provider);
/**
 * bus_provider_away - its process is dead, or lets go: nothing is asked of it any more, and no answer to what was asked
 * will come. The guest keeps its channels; what it wishes meanwhile is carried out or remembered. May be called again
 * while it is away: what was offered since is forgotten at bus_provider_back(), if it is not offered again.
 */
void bus_provider_away(struct bus_provider *provider);

/**
 * bus_provider_back - a successor has made all its offers, and the predecessor touches no memory any more. Offers that
 * were not made again are rescinded; what was closing is closed; what the guest has open or opening is opened again.
 */
void bus_provider_back(struct bus_provider *provider);

/** bus_provider_forget - a process that was never back has ended, and nobody follows it: its offers are withdrawn. */
void bus_provider_forget(struct bus_provider *provider);

/** bus_provider_ended - while it is away: the process that served has ended, with all its threads. What it was lent is
 * free; its channels wait for a successor. */
void bus_provider_ended(struct bus_provider *provider);

/** bus_provider_resuming - whether a channel that the guest has open still waits for bus_opened() after
 * bus_provider_back(). */
bool bus_provider_resuming(const struct bus_provider *provider);

/** bus_provider_dead - how many of its channels do not answer until the guest closes them: they could not be taken up
 * again. */
unsigned int bus_provider_dead(const struct bus_provider *provider);

/**
 * bus_offer_add - one more channel. A guest that has its list of offers already gets it as soon as it may: at most one
 * such offer in 20 ms, and not before the guest has released a rescinded channel of the same instance. A provider that
 * is away gets back what it offered before by making the same offer (instance GUID, subchannel index, interface GUID):
 * the id is the same, and the rest of @desc counts from the channel's next open on. Return: 0 and the offer's id;
 * -EEXIST (instance GUID and subchannel index in use); -ENOENT (the sub-channel's primary channel is not offered);
 * -ENOSPC; -EINVAL (no instance GUID, or block_bytes is not whole pages, 0, or more than 64 MiB); -ENOMEM.
 */
int bus_offer_add(struct bus_provider *provider, const struct bus_offer_desc *desc, uint32_t *ret_offer_id);

/**
 * bus_offer_withdraw - the provider does not offer this any more, nor its sub-channels, and touches no memory of
 * theirs: what was asked for them needs no answer. The guest is told (RESCIND_CHANNELOFFER); instance GUID and relid
 * are used again only once it has let go of them. Return: 0, -ENOENT.
 */
int bus_offer_withdraw(struct bus_provider *provider, uint32_t offer_id);

/** bus_offer_known - whether it offers this, and has not withdrawn it. */
bool bus_offer_known(const struct bus_provider *provider, uint32_t offer_id);

/**
 * bus_subchannels - the guest asked for sub-channels of a device, by the device's own protocol: from now on it sees
 * those with index 1 to @count that were offered, all the others not yet. They are offered with bus_offer_add() like
 * others, with the primary channel's GUIDs, but are not in a guest's list. They end with the open of their primary
 * channel: the provider is asked to close what is still open, and they are rescinded; they may be shown again then.
 * @offer_id: the primary channel. Return: 0; -ENOENT; -ENOTCONN (it is not open); -EINVAL (it is a sub-channel itself).
 */
int bus_subchannels(struct bus_provider *provider, uint32_t offer_id, uint32_t count);

/**
 * bus_lend - the pages of a GPADL that the guest has made for a device's channel, for the device to use. The guest is
 * not told of their end before bus_revoked(), bus_closed(), bus_quiesced() or bus_provider_ended(). May be asked for
 * again.
 * @ret_ranges: heap, the caller's; whole pages, in order, neighbours merged.
 * Return: 0; -ENOENT (no such offer; no such GPADL of its channel, or a ring, or not one range of whole pages);
 * -ENOTCONN (the channel is not open, or is being closed); -ENOSPC (BUS_LENT_MAX are lent); -ENOMEM.
 */
#define BUS_LENT_MAX 8u /* of one channel */
int bus_lend(struct bus_provider *provider, uint32_t offer_id, uint32_t gpadl, struct guest_range **ret_ranges,
	     size_t *ret_count);

void bus_opened(struct bus_provider *provider, uint32_t offer_id, int status);
void bus_closed(struct bus_provider *provider, uint32_t offer_id);
void bus_retargeted(struct bus_provider *provider, uint32_t offer_id);
void bus_quiesced(struct bus_provider *provider);
void bus_revoked(struct bus_provider *provider, uint32_t offer_id, uint32_t gpadl);

#endif
