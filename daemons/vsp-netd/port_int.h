/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a port: port.c (its life), port_transmit.c, port_receive.c. */
#ifndef NETD_PORT_INT_H
#define NETD_PORT_INT_H

#include "addresses.h"
#include "bandwidth.h"
#include "base/log.h"
#include "capture.h"
#include "filter.h"
#include "net.h"
#include "offload.h"
#include "port.h"
#include "vsp/stats.h"

#define PORT_CARRY_LEN (119u << 10)

/* What outlives the process, behind what is the back end's; a predecessor that did not know of it has left zeros. */
struct port_kept {
	/* frames of both ways that are with the port: neither the host nor the NIC has them */
	_Atomic uint64_t in_hand;
	/* by plan: see port_carry.c */
	_Atomic uint32_t carried;  /* bytes in carry */
	_Atomic uint32_t cut_next; /* segment of the next frame for the guest; those before it has */
	uint32_t generation;	   /* of the descriptor that the frames are for */
	uint16_t process;	   /* that has left it, or taken it */
	uint16_t cut_step;	   /* bytes of a segment that cut_next counts */
	uint8_t carry[PORT_CARRY_LEN];
};

/* What a predecessor had not sent yet: a copy. Mostly there is none, and its memory is never touched. */
struct port_carry {
	size_t len, at;	     /* len 0: nothing */
	unsigned int frames; /* from at on */
	uint8_t bytes[PORT_CARRY_LEN];
};

/* Of one queue. */
struct port_queue {
	struct port *port;
	/* What has come before the last change of what the kernel filters, or of the guest's offloads, is behind us: no
	 * frame is there any more that was let through by other rules. */
	bool settled;
	bool listening; /* the client wants ops->readable() */
	bool told_wait; /* -EAGAIN of port_transmit() for the sake of the bandwidth */
};

#define PORT_LEFT_MAX (PORT_FRAME_MAX + 4u) /* with a tag */

/* What is left of a frame that is being cut into segments, in private memory: to be sent before anything else. */
struct port_left {
	uint8_t *bytes; /* PORT_LEFT_MAX of them; NULL: the back end cuts */
	size_t len;	/* of the whole frame; 0: nothing is left */
	size_t next;	/* segment */
	size_t step;
	struct virtio_net_hdr hdr;
	struct headers headers;
};

/* A frame for the guest that is being cut into segments. Where it lies is the back end's until its next receive(). */
struct port_cut {
	struct net_incoming frame; /* len 0: there is none */
	uint8_t head[PORT_HEAD_MAX];
	struct headers headers; /* of head */
	size_t next;		/* segment */
	size_t step;
	uint8_t gso_type;
};

enum { PORT_IN, PORT_OUT, PORT_WAYS }; /* to the guest, from the guest */

/* What one direction is held to. */
struct port_way {
	struct bandwidth bandwidth;
	struct loop_source *timer;
	bool waits; /* until the timer fires */
};

struct port {
	struct loop *loop;
	struct nic_settings settings;
	void *memory;
	uint32_t process;	/* which one we are */
	struct port_kept *kept; /* in memory */
	uint64_t lost;		/* frames, not counted yet: see port_lost() */
	struct net *net;
	struct port_client client;
	bool known; /* whether a guest has it: port_connect() was called */
	bool connected;
	bool peer_gone;
	struct log_limit complaints;
	bool told_link;		    /* what the client was told last */
	struct loop_source *teller; /* of changes of the link */
	struct oid_settings guest;  /* what it has set */
	struct filter filter;
	bool filtered;			/* the kernel runs it */
	bool guest_checks, guest_joins; /* received frames may have partial checksums; may be LSO frames */
	_Atomic uint64_t *count;	/* by enum stats_nic_count: a unit's, or own_count */
	_Atomic uint64_t own_count[STATS_NIC_COUNTS];
	struct addresses addresses;
	struct port_way way[PORT_WAYS];
	struct capture *capture; /* NULL: none */
	struct port_left left;
	struct port_cut cut;
	struct port_carry carry;
	struct loop_source *more; /* of it */
	struct port_queue queue[SETTINGS_QUEUES_MAX];
};

/** port_serves - whether frames pass at all. */
bool port_serves(const struct port *port);

/** port_send_left - Return: 0: nothing is left; -EAGAIN. */
int port_send_left(struct port *port);

/** port_left_frames - what is left, if it is not counted as lost already. */
static inline unsigned int port_left_frames(const struct port *port)
{
	return port->left.len > 0 && !port->net->counted;
}

/** port_left_cut - how @left is cut. @whole: its bytes; outlives what is returned. */
struct offload_cut port_left_cut(const struct port_left *left, const struct iovec *whole);

/** port_carry_leave - another process is about to serve: it gets what is not sent yet. Nothing is sent afterwards. */
void port_carry_leave(struct port *port);
/** port_carry_take - once plugged in: what a predecessor has left. port_carry_drop - it is lost. */
void port_carry_take(struct port *port);
void port_carry_drop(struct port *port);
/** port_carry_send - Return: 0: nothing is left; -EAGAIN. */
int port_carry_send(struct port *port);

/** port_cut_left - segments of a frame for the guest that is being cut, to come. */
size_t port_cut_left(const struct port_cut *cut);

/** port_note - what a successor is to count as lost, if it comes now. */
static inline void port_note(struct port *port)
{
	uint64_t in_hand;

	port->lost += port->net->lost;
	port->net->lost = 0;
	in_hand = port->lost + port->net->gathered + port->carry.frames + port_left_frames(port);
	if (port->cut.frame.len > 0)
		in_hand += port_cut_left(&port->cut);
	if (in_hand != atomic_load_explicit(&port->kept->in_hand, memory_order_relaxed))
		atomic_store_explicit(&port->kept->in_hand, in_hand, memory_order_release);
}

/** port_must_wait - whether no frame may pass this way now; then the one who asked is told when it may. */
bool port_must_wait(struct port *port, unsigned int way);
/** port_count - one more. Return: 0, as of a frame that is over. */
static inline int port_count(struct port *port, enum stats_nic_count what)
{
	stats_add(&port->count[what], 1);
	return 0;
}

/** port_passed - a frame of @len bytes has passed. */
static inline void port_passed(struct port *port, unsigned int way, size_t len)
{
	stats_add(&port->count[way == PORT_IN ? STATS_NIC_RX_PACKETS : STATS_NIC_TX_PACKETS], 1);
	stats_add(&port->count[way == PORT_IN ? STATS_NIC_RX_BYTES : STATS_NIC_TX_BYTES], len);
	if (bandwidth_limits(&port->way[way].bandwidth))
		bandwidth_take(&port->way[way].bandwidth, len);
}

#endif
