/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a port: port.c (its life), port_transmit.c, port_receive.c. */
#ifndef NETD_PORT_INT_H
#define NETD_PORT_INT_H

#include "filter.h"
#include "net.h"
#include "port.h"

/* Of one queue. */
struct port_queue {
	struct port *port;
	/* What has come before the last change of what the kernel filters, or of the guest's offloads, is behind us: no
	 * frame is there any more that was let through by other rules. */
	bool settled;
	bool listening; /* the client wants ops->readable() */
	/* The frame that is being cut: a next port_transmit() of the same one goes on behind what was sent. */
	size_t segments_sent;
	size_t cut_len;
	uint8_t cut_head[PORT_HEAD_MAX];
};

struct port {
	struct loop *loop;
	struct nic_settings settings;
	void *memory;
	struct net *net;
	struct port_client client;
	bool connected;
	bool peer_gone;
	bool told_link;		    /* what the client was told last */
	struct loop_source *teller; /* of changes of the link */
	struct oid_settings guest;  /* what it has set */
	struct filter filter;
	bool filtered;			/* the kernel runs it */
	bool guest_checks, guest_joins; /* received frames may have partial checksums; may be LSO frames */
	struct oid_counters counters;
	struct port_queue queue[SETTINGS_QUEUES_MAX];
};

/** port_serves - whether frames pass at all. */
bool port_serves(const struct port *port);

#endif
