/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a NIC is plugged into: one port of a switch. Between the NIC (netvsp.h), which knows VMBus and RNDIS, and a back
 * end (net.h), which knows a descriptor: here the frames are judged, counted, limited and captured.
 *
 * Theory of operation: both sides hand over one frame at a time, with what a virtio_net_hdr says of it. A frame to the
 * back end is sent, dropped, or has to wait (-EAGAIN). A frame to the guest is written into the memory that the NIC
 * names only if the guest may have it: what is not its own never gets there. Of LSO and checksums the port needs but
 * the flags, the type and the segments' size: places, lengths and pseudo-headers in the head it fills in itself.
 *
 * Limits: PORT_HEAD_MAX bytes of a frame are looked at; PORT_FRAME_MAX is the longest. All functions run on the loop's
 * thread.
 */
#ifndef NETD_PORT_H
#define NETD_PORT_H

#include <linux/filter.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "headers.h"
#include "ipc/loop.h"
#include "oid.h"
#include "settings.h"

#define PORT_HEAD_MAX	HEADERS_MAX
#define PORT_FRAME_MAX	(65535u + ETHERNET_HEADER_LEN + 4u)
#define PORT_MEMORY_LEN (256u << 10)

struct stats_unit;
struct port;

/* The NIC, as a port sees it. Constant. None of these is called from inside a function of the port. */
struct port_client_ops {
	void (*readable)(void *arg, unsigned int queue); /* port_receive() until -EAGAIN */
	void (*writable)(void *arg,
			 unsigned int queue); /* after -EAGAIN of port_transmit(), and when the link changes */
	void (*link)(void *arg, bool up);     /* it has changed */
};

struct port_client {
	const struct port_client_ops *ops;
	void *arg;
};

/* A frame of the guest's. */
struct port_frame {
	struct virtio_net_hdr hdr;   /* csum_start and the like count from the frame's start */
	uint8_t head[PORT_HEAD_MAX]; /* its first bytes, a private copy: this is what is judged, and sent */
	size_t head_len;
	struct iovec rest[72]; /* what follows, in guest memory */
	unsigned int rests;
	size_t len;
	bool tagged;  /* the guest has given its tag beside the frame */
	uint16_t tag; /* IEEE 802.1Q control information, host order */
};

/* A frame for the guest. */
struct port_received {
	struct virtio_net_hdr hdr;
	uint8_t head[PORT_HEAD_MAX]; /* its first bytes, a private copy; the frame itself is in the guest's memory */
	size_t head_len, len;
	struct headers headers; /* of head */
	bool tagged;		/* the tag was taken out of the frame: to be given beside it */
	uint16_t tag;
};

/**
 * port_new - plug in.
 * @fds: @settings names them by place; those that it names are taken over, also on failure (set to -1).
 * @memory: PORT_MEMORY_LEN bytes that outlive this process, for what a successor must know of the descriptors
 * (kept.h); outlives the port. Zeroed, or a predecessor's, of any content.
 * @process: the number of this one, of those that have served in turn: what one older than the last has left is stale.
 * Nothing is taken, or dropped, before port_connect().
 * Return: 0; a negative errno with a line that says what to do.
 */
int port_new(struct loop *loop, const struct nic_settings *settings, int *fds, size_t nfds, void *memory,
	     uint32_t process, struct port **ret_port, struct err *err);
/** port_free - NULL is allowed. */
void port_free(struct port *port);

/**
 * port_lost - frames of both ways that the port had when a predecessor died, when the guest closed its NIC, or when
 * what it was plugged into was taken away: they have perhaps come to nobody. The same again, whoever asks, until
 * port_forget_lost(): so they are counted first.
 */
uint64_t port_lost(const struct port *port);
void port_forget_lost(struct port *port);

/**
 * port_connect - the guest has opened its NIC, or closed it (NULL): then nothing is transmitted or received. What there
 * is no room for yet, and what has come or comes, is dropped; what the port had taken of it already counts as lost. Who
 * connects a guest that has just opened it begins with NULL: what a predecessor has left is of an earlier life of the
 * NIC. @client: copied.
 */
void port_connect(struct port *port, const struct port_client *client);
/** port_hold - whom the guest has its NIC from is this process no more, but a successor, which connects: until then
 * what comes waits where it is, as far as there is room, and the kernel judges it as before. The successor gets what
 * was not sent yet, too. */
void port_hold(struct port *port);

/**
 * port_change - other settings of the same NIC, while it serves; what cannot change is refused.
 * @fd: a new descriptor of the back end (what was behind the old one is gone), taken over (-1 then); -1: none.
 * Return: 0; a negative errno with a line: nothing has changed.
 */
int port_change(struct port *port, const struct nic_settings *settings, int *fd, struct err *err);

/**
 * port_capture - what passes is written to @fd as pcapng, from now on; taken over, also on failure. What does not fit
 * into a buffer while nobody reads is dropped, and counted. -1: no more. @filter: a classic BPF program over the frame,
 * @filter_len instructions, checked here; 0: everything. @snap_len: bytes of each frame; 0: all.
 * Return: 0; -EINVAL: no filter that can be run; another negative errno; with a line: what was captured before goes on.
 */
int port_capture(struct port *port, int fd, const struct sock_filter *filter, size_t filter_len, uint32_t snap_len,
		 struct err *err);
/** port_capturing - whether somebody still reads. */
bool port_capturing(const struct port *port);

/** port_offloads - what the back end can do, and so the guest may be told: in the words of struct oid_nic. */
void port_offloads(const struct port *port, struct oid_nic *nic);
/** port_link - whether the link is up. */
bool port_link(const struct port *port);
/** port_peer_gone - whether what was behind the descriptor has closed it; the link is down until port_change(). */
bool port_peer_gone(const struct port *port);
/** port_queues - how many queues the back end has, at least 1. */
unsigned int port_queues(const struct port *port);
void port_counters(const struct port *port, struct oid_counters *ret);
/** port_observe - what passes is counted in @unit, of STATS_NIC, from now on; it outlives the port. NULL: in the port.
 */
void port_observe(struct port *port, struct stats_unit *unit);
/** port_addresses - IP addresses that the guest was seen to use. Return: how many of @max were written. */
struct port_address {
	uint8_t family; /* 4, 6 */
	uint8_t bytes[16];
};
size_t port_addresses(const struct port *port, struct port_address *ret, size_t max);

/** port_set - what the guest has set: filter, MAC address, multicast list, offloads. @settings is valid. Before
 * port_connect(): it has set that under a predecessor, so that nothing of its own is dropped on the way. */
void port_set(struct port *port, const struct oid_settings *settings);

/**
 * port_transmit - a frame of the guest's.
 * Return: 0: it is gone (sent, or dropped and counted); -EAGAIN: nothing has happened, ops->writable() follows.
 */
int port_transmit(struct port *port, unsigned int queue, const struct port_frame *frame);
/** port_transmit_end - after the last one of a batch. */
void port_transmit_end(struct port *port);

/**
 * port_receive - the next frame that the guest may have.
 * @iov: @iovs pieces of the guest's memory, with room for a frame of @room bytes at least as long as the MTU allows; a
 * longer one is dropped.
 * Return: 1: *@ret is filled in; 0: one has been dropped, go on; -EAGAIN: there is none, ops->readable() follows.
 */
int port_receive(struct port *port, unsigned int queue, const struct iovec *iov, unsigned int iovs,
		 struct port_received *ret);

/** port_listen - whether ops->readable() is wanted for @queue; at first not. */
void port_listen(struct port *port, unsigned int queue, bool listen);

#endif
