/* SPDX-License-Identifier: Apache-2.0 */
/* The network VSP: a NIC behind a VMBus channel and its sub-channels. */
#ifndef NETD_NETVSP_H
#define NETD_NETVSP_H

#include "base/log.h"
#include "oid.h"
#include "port.h"
#include "rss.h"
#include "settings.h"
#include "vsp/vsp.h"

#define NETVSP_STATE_VERSION 1u	   /* of what a successor finds in the channel's state block */
#define NETVSP_CHANNELS_MAX  8u	   /* of a NIC */
#define NETVSP_SECTIONS_MAX  8192u /* of a receive buffer */

struct netvsp_channel;
struct netvsp_request;

/* First in, first out. */
struct netvsp_list {
	struct netvsp_request *head, *tail;
};

/* The receive buffer: see sections.h. Without one, memory is NULL. */
struct netvsp_sections {
	struct vsp_buffer *buffer;
	const struct guest_buffer *memory;
	uint32_t bytes; /* of a section, whole pages */
	uint32_t count;
	_Atomic uint64_t *owner; /* in the state block: of each section */
	uint16_t *stack;	 /* free ones */
	uint32_t free;
	uint16_t *next;	 /* of the same packet */
	uint16_t *other; /* packet's first one, in a bucket */
	uint16_t *bucket;
};

#define NETVSP_LANDING_MAX  17u /* sections that the longest frame needs */
#define NETVSP_LANDING_IOVS 24u

/* Where the next frame goes. */
struct netvsp_landing {
	uint16_t section[NETVSP_LANDING_MAX];
	uint32_t sections, want;
	struct iovec iov[NETVSP_LANDING_IOVS]; /* of each section the same number */
	unsigned int iovs_each;
};

/* A NIC as it is offered; the argument of vsp_offer(), for its sub-channels too. */
struct netvsp {
	struct vsp *vsp;
	struct port *port;
	struct nic_settings settings;
	uint32_t sub_channels; /* that are offered: subchannel_index 1 to this */

	struct vsp_channel *channel[NETVSP_CHANNELS_MAX]; /* that are open; 0: the primary one */
	bool settled;		/* what a predecessor left in the receive buffer has been looked through */
	unsigned int forgotten; /* bits: sub-channels that the guest has closed before that */
	struct netvsp_sections sections;
	struct netvsp_landing landing;
	struct vsp_buffer *send_buffer;
	struct netvsp_request *mapping; /* waits for a buffer of the guest's */
	struct netvsp_list controls;	/* wait for their turn */
	struct rss rss;
	bool hashes;		  /* rss is of use: the guest has several channels, and has set it */
	bool taken_over;	  /* the primary channel was a predecessor's */
	bool leaving;		  /* netvsp_leave() */
	bool refuses;		  /* nothing passes any more */
	uint64_t packets;	  /* of the guest's, all of them */
	bool listening;		  /* to the port */
	bool speed_changed;	  /* the guest is to hear of it */
	bool closing;		  /* the primary channel: the guest closes it, or a successor comes */
	unsigned int stuck;	  /* channels whose ring has no room for what was received */
	struct stats_unit *stats; /* what it counts; NULL: nothing */
	struct log_limit complaints, greetings;
	void (*changed)(void *arg); /* what the manager hears of has; NULL: nobody wants to know */
	void *changed_arg;
};

/* Of the primary channel, and of the others. */
extern const struct vsp_device_ops netvsp_ops, netvsp_sub_ops;

/** netvsp_init - @netvsp: zeroed. @port: outlives it; has the NIC as its client from the guest's open on. */
void netvsp_init(struct netvsp *netvsp, struct vsp *vsp, struct port *port, const struct nic_settings *settings,
		 uint32_t sub_channels);

/** netvsp_done - before vsp_free() and port_free(). A zeroed one is allowed. */
void netvsp_done(struct netvsp *netvsp);

/** netvsp_sub_channels - how many sub-channels a NIC of a VM with @cpus vCPUs offers. */
uint32_t netvsp_sub_channels(uint32_t cpus);

/** netvsp_set - other settings, which the port has already. The guest hears of link and speed; of another MTU when it
 * opens the NIC the next time. */
void netvsp_set(struct netvsp *netvsp, const struct nic_settings *settings);

/** netvsp_leave - for the guest the link is down, and it is given no more frames; or, as it stays, up again. */
void netvsp_leave(struct netvsp *netvsp, bool leaving);

/** netvsp_dropped - frames that were in flight when a process died, or when where they were to go was taken away, since
 * the guest has opened the NIC. */
uint64_t netvsp_dropped(const struct netvsp *netvsp);

/** netvsp_mac - that the guest uses. */
void netvsp_mac(const struct netvsp *netvsp, uint8_t ret_mac[MAC_LEN]);

/** netvsp_owes - whether the guest waits for answers: transmits that the back end does not take, control messages. Not
 * those of a channel that has failed: they reach nobody. */
bool netvsp_owes(const struct netvsp *netvsp);

/** netvsp_begins - whether the guest has opened it and is still setting it up: it may think for long before it asks the
 * next thing, and waits for the answer then. Not, if its channel has failed. */
bool netvsp_begins(const struct netvsp *netvsp);

/** netvsp_guest_holds - whether sections of the receive buffer are in its hands that may come back: not on a channel
 * that could not be taken over, none if a channel has failed. */
bool netvsp_guest_holds(const struct netvsp *netvsp);

/** netvsp_refuse - it is to go: from now on what the guest sends, has sent, or waits with, is answered with a failure,
 * and it gets no frames. Control messages are answered as ever. Not inside a device's function. */
void netvsp_refuse(struct netvsp *netvsp);

/** netvsp_guest_has - whether a guest has the NIC open. */
bool netvsp_guest_has(const struct netvsp *netvsp);

#endif
