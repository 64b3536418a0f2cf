/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the bus share: the bus, its providers, its offers. Event loop only.
 */
#ifndef VMWORKER_BUS_INT_H
#define VMWORKER_BUS_INT_H

#include <stdbool.h>
#include <sys/queue.h>

#include "base/log.h"
#include "bus.h"
#include "bus_gpadl.h"
#include "bus_msg.h"

/*
 * A channel signals on BUS_CONNECTION_BASE + relid: 0x2001..0x27ff, clear of the connections that carry messages (1 and
 * 4).
 */
#define BUS_CONNECTION_BASE 0x2000u

/* After the guest's first list: the least time from an offer or a release of a rescinded relid to the next offer. */
#define BUS_OFFER_PACE_NS (20 * 1000 * 1000ull)
#define BUS_RELEASE_NS	  (10 * 1000 * 1000 * 1000ull) /* in which a guest lets go of what it was told to */

/* A channel as guest and provider see it together. bus_channel.c has the table. */
enum chan_state {
	CHAN_HIDDEN,	      /* the guest does not know it; the provider is idle */
	CHAN_OFFERED,	      /* the guest knows it, closed; the provider is idle */
	CHAN_OPENING,	      /* the provider was asked to open */
	CHAN_OPENING_CLOSE,   /* the same, but the guest has closed meanwhile */
	CHAN_OPEN,	      /* runs; or would, while the provider is away */
	CHAN_RESUMING,	      /* open for the guest; the successor was asked to open it */
	CHAN_DEAD,	      /* open for the guest, but the successor could not open it */
	CHAN_RETARGETING,     /* runs; the provider was told of another vCPU */
	CHAN_CLOSING,	      /* the provider was asked to close */
	CHAN_CLOSING_REOPEN,  /* the same, and the guest asks for another open */
	CHAN_CLOSING_RELEASE, /* the same, and the guest has released the relid */
	CHAN_DRAINING,	      /* the guest has left; the provider was asked to quiesce */
	CHAN_RESCINDED,	      /* withdrawn; the guest has not released the relid yet */
	CHAN_STATES
};

enum chan_event_type {
	CHAN_EV_OPEN,	    /* OPENCHANNEL */
	CHAN_EV_CLOSE,	    /* CLOSECHANNEL */
	CHAN_EV_MODIFY,	    /* MODIFYCHANNEL */
	CHAN_EV_RELEASED,   /* RELID_RELEASED */
	CHAN_EV_DISCONNECT, /* UNLOAD, another INITIATE_CONTACT, reset */
	CHAN_EV_OPENED,	    /* the provider's answers */
	CHAN_EV_CLOSED,
	CHAN_EV_RETARGETED,
	CHAN_EV_QUIESCED,
	CHAN_EV_AWAY, /* the provider is away */
	CHAN_EV_BACK, /* it is back, and has offered this again */
	CHAN_EV_GONE, /* it is back, and has not; or it has withdrawn this */
	CHAN_EVENTS
};

struct chan_event {
	enum chan_event_type type;
	const struct bus_msg_open *open; /* CHAN_EV_OPEN */
	uint32_t vp;			 /* CHAN_EV_MODIFY */
	int status;			 /* CHAN_EV_OPENED */
};

/*
 * Invariants: relid is 0 exactly in HIDDEN (and then the guest has never heard of it or has let go of it); provider is
 * NULL in RESCINDED only, and there unless it is a sub-channel that may be shown again; the three descriptors are open
 * and ring is there exactly in OPENING..DRAINING. While the provider is away no channel is RETARGETING or RESUMING, and
 * nothing is stale.
 */
struct bus_offer {
	TAILQ_ENTRY(bus_offer) link;
	struct bus *bus;
	struct bus_provider *provider;
	struct bus_offer_desc desc;
	uint32_t id;
	enum chan_state state;
	bool wanted;	  /* to be offered to a guest that has its list already, once it is HIDDEN */
	bool withdrawn;	  /* a sub-channel that is closing: to be rescinded then */
	uint64_t told_ns; /* RESCINDED: when the guest was told; 0: the log says that it has not let go */
	bool made;	  /* by the process that serves now or will at its bus_provider_back() */
	uint32_t relid;

	int kick_fd, irq_fd, block_fd;
	struct bus_msg_open opened; /* what the guest asked for */
	struct guest_range *ring;
	size_t ring_ranges;
	bool on_gpadl; /* gpadl is in the table and is this channel's GPADL_RING */
	uint32_t gpadl;
	uint32_t target_vp;
	uint32_t retarget_next; /* RETARGETING below 5.3, RESUMING: go on to this vCPU */
	bool retarget_again;
	bool close_later;	    /* CLOSING*: the provider still opens it, and is asked to close it then */
	struct bus_msg_open reopen; /* CLOSING_REOPEN */
	/* answers of the provider that are still to come and that nobody waits for any more */
	unsigned int stale[CHAN_EVENTS];
};

struct bus_provider {
	TAILQ_ENTRY(bus_provider) link;
	struct bus *bus;
	char *name;
	const struct bus_provider_ops *ops;
	void *arg;
	bool away;
	bool quiescing; /* was asked to, or is away with channels that drain */
	bool resuming;	/* bus_provider_back() asks for what was open, and tells when that is all */
};

enum bus_state {
	BUS_DISCONNECTED,
	BUS_CONNECTED,
	BUS_DISCONNECTING, /* providers quiesce; then bus.next */
};

enum bus_next {
	BUS_NEXT_NONE,
	BUS_NEXT_UNLOAD,  /* post UNLOAD_RESPONSE */
	BUS_NEXT_CONTACT, /* answer bus.contact */
	BUS_NEXT_RESET,	  /* call reset_done */
};

TAILQ_HEAD(bus_offers, bus_offer);
TAILQ_HEAD(bus_providers, bus_provider);

struct bus {
	struct loop *loop;
	struct guest_mem *mem;
	const struct bus_guest_ops *guest;
	void *guest_arg;

	enum bus_state state;
	enum bus_next next;
	bool ending;	   /* bus_end() */
	unsigned int hold; /* the end of DISCONNECTING is not looked at while this is not 0 */
	struct bus_msg_contact contact;
	void (*reset_done)(void *arg);
	void *reset_arg;

	uint32_t version;    /* CONNECTED */
	uint32_t message_vp; /* gets our messages */
	bool offers_sent;

	struct bus_offers offers;
	struct bus_providers providers;
	struct bus_offer *by_relid[BUS_CHANNELS_MAX + 1];
	unsigned int live; /* offers that are not RESCINDED */
	uint32_t next_offer_id;
	struct gpadl_table gpadls;
	struct loop_source *pace;
	bool pacing;
	struct loop_source *release;
	bool releasing;		/* release is armed: there may be RESCINDED offers with a told_ns */
	uint64_t release_ns;	/* BUS_RELEASE_NS */
	struct log_limit limit; /* lines that the guest can provoke */
};

/** bus_post - a message of ours to the guest. */
void bus_post(struct bus *bus, const void *message, size_t len);

/** bus_complain - log what a guest did wrong, rate-limited. @object: "channel 3", NULL: the bus. */
void bus_complain(struct bus *bus, const char *object, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** bus_find_relid - what the guest knows by @relid, NULL if nothing. */
struct bus_offer *bus_find_relid(const struct bus *bus, uint32_t relid);

/** bus_disconnected - if the last provider has quiesced, end DISCONNECTING and do what was wished for. */
void bus_disconnected(struct bus *bus);

/** bus_offer_free - the offer's end: off the lists. It has no relid and no descriptors any more. */
void bus_offer_free(struct bus_offer *offer);

/** bus_pump - offer what waits, if the guest has its first list and the pace allows it. */
void bus_pump(struct bus *bus);

/** bus_pace - nothing is offered for BUS_OFFER_PACE_NS from now; then bus_pump(). */
void bus_pace(struct bus *bus);

/** bus_pace_over - the timer's callback. */
void bus_pace_over(void *arg);

/** bus_release_late - the timer's callback: the log names what the guest has not let go of. */
void bus_release_late(void *arg);

/* Messages. */
void bus_on_request_offers(struct bus *bus, const struct bus_msg *msg);
void bus_on_gpadl_header(struct bus *bus, const struct bus_msg *msg);
void bus_on_gpadl_body(struct bus *bus, const struct bus_msg *msg);
void bus_on_gpadl_teardown(struct bus *bus, const struct bus_msg *msg);

/** bus_answer_gpadl - GPADL_CREATED. @r: 0, or why it is refused. */
void bus_answer_gpadl(struct bus *bus, uint32_t relid, uint32_t gpadl, int r);

/** bus_gpadl_unused - nobody touches its pages any more: a teardown that waited for this is answered, and it is gone.
 */
void bus_gpadl_unused(struct bus *bus, struct gpadl *gpadl);

/** bus_lent_back - whatever was lent to the offer's channel is not touched any more. */
void bus_lent_back(struct bus_offer *offer);

/** bus_find_offer - NULL if there is none, or it was withdrawn. */
struct bus_offer *bus_find_offer(const struct bus_provider *provider, uint32_t offer_id);

/** bus_has_primary - whether the provider offers the primary channel of the sub-channel @desc. */
bool bus_has_primary(const struct bus_provider *provider, const struct bus_offer_desc *desc);

/** bus_subchannels_gone - before bus_provider_back(): a sub-channel goes with its primary channel. */
void bus_subchannels_gone(struct bus_provider *provider);

/** bus_subchannels_withdraw - @primary is being closed, or its open is over: its sub-channels are closed, and
 * rescinded. */
void bus_subchannels_withdraw(struct bus_offer *primary);

/** chan_init - a new offer's channel: HIDDEN. */
void chan_init(struct bus_offer *offer);

/** chan_event - one step of the offer's channel. The offer may be freed by it. */
void chan_event(struct bus_offer *offer, const struct chan_event *event);

/** chan_offer - give a HIDDEN offer @relid and tell the guest of it. */
void chan_offer(struct bus_offer *offer, uint32_t relid);

/** chan_rescind - the guest must let go of an OFFERED channel; @forget: its provider does not offer it any more. */
void chan_rescind(struct bus_offer *offer, bool forget);

/** chan_uses_vp - whether the channel's interrupts go to @vp now. */
bool chan_uses_vp(const struct bus_offer *offer, uint32_t vp);

/** chan_done - give back what an open holds of the host. No word to guest or provider. */
void chan_done(struct bus_offer *offer);

/** bus_answer_open, bus_answer_modify - the results of OPENCHANNEL and MODIFYCHANNEL. The second is silent below 5.3.
 */
void bus_answer_open(struct bus *bus, uint32_t relid, uint32_t open_id, uint32_t status);
void bus_answer_modify(struct bus *bus, uint32_t relid, uint32_t status);

#endif
