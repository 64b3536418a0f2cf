/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A back end: frames to and from descriptors. It judges nothing; the port (port.h) in front of it does.
 *
 * All functions run on the loop's thread; none calls the host (struct net_host_ops) but from the loop.
 */
#ifndef NETD_NET_H
#define NETD_NET_H

#include <linux/filter.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "ipc/loop.h"
#include "settings.h"

struct net;

/* Who is served. Constant. */
struct net_host_ops {
	void (*readable)(void *arg, unsigned int queue);
	void (*writable)(void *arg, unsigned int queue); /* after -EAGAIN of send(); when what was gathered is sent */
	void (*gone)(void *arg); /* once: what was behind the descriptor is not there any more */
};

struct net_host {
	const struct net_host_ops *ops;
	void *arg;
};

#define NET_PIECES_MAX 80u

/* A frame on its way out. piece[0] is the back end's, for what it puts before the frame, which is in those behind it.
 */
struct net_outgoing {
	struct virtio_net_hdr hdr; /* all zero for a back end without offloads */
	struct iovec piece[NET_PIECES_MAX];
	unsigned int pieces; /* 2 or more */
	size_t len;	     /* of the frame */
	bool more;	     /* it is a segment, and others of the same frame of the guest's follow */
};

/* A frame that has come, in the back end's memory, until its next receive(). */
struct net_incoming {
	struct virtio_net_hdr hdr;
	struct iovec piece[2];
	unsigned int pieces; /* 1 or 2 */
	size_t len;
};

struct net_ops {
	const char *name;
	bool offloads;	     /* the descriptor carries a virtio_net_hdr with each frame */
	size_t send_max;     /* bytes of the longest frame */
	bool checksums_good; /* those of what comes are known to be right */
	/* Return: 0: sent, or to be sent before anything else; -EAGAIN: nothing has happened, writable() follows;
	 * another negative errno: dropped. */
	int (*send)(struct net *net, unsigned int queue, struct net_outgoing *frame);
	void (*send_end)(struct net *net, unsigned int queue); /* of a batch; may be NULL */
	/* Return: 1; 0: one was dropped here, go on; -EAGAIN. */
	int (*receive)(struct net *net, unsigned int queue, struct net_incoming *ret);
	/*
	 * Straight to where it is wanted: its first @head_len bytes to @head, the rest to @iov; of one that is longer
	 * *@ret_len is more than there is room for. NULL: cannot. Return: as receive().
	 */
	int (*receive_into)(struct net *net, unsigned int queue, struct virtio_net_hdr *ret_hdr, void *head,
			    size_t head_len, const struct iovec *iov, unsigned int iovs, size_t *ret_len);
	void (*listen)(struct net *net, unsigned int queue, bool listen);
	/* What send() has taken and not sent yet is given back, each frame behind its length in 4 bytes, big-endian, if
	 * @room bytes at @to are enough. NULL: there never is any. Return: how many bytes. */
	size_t (*take_back)(struct net *net, void *to, size_t room);
	/* What send() has taken and not sent yet is dropped, and counted. NULL: there never is any. */
	void (*drop)(struct net *net);
	/* What receive() has given last it gives once more, to a successor. NULL: cannot. */
	void (*put_back)(struct net *net);
	/* What comes may have: TUN_F_* of linux/if_tun.h. NULL: nothing. Return: 0 or a negative errno. */
	int (*set_offloads)(struct net *net, unsigned int offloads);
	/*
	 * Of what comes from now on, only what @filter passes: classic BPF over the frame. What has come already still
	 * follows. NULL: cannot. Return: 0 or a negative errno: nothing is filtered.
	 */
	int (*set_filter)(struct net *net, const struct sock_fprog *filter);
	/* The guest's address has become @mac: what the descriptor is of takes frames to it. NULL: it takes all frames,
	 * or none is meant. Return: 0 or a negative errno. */
	int (*set_mac)(struct net *net, const uint8_t mac[6]);
	void (*close)(struct net *net);
};

/* The beginning of each back end's own struct. */
struct net {
	const struct net_ops *ops;
	struct net_host host;
	unsigned int queues;
	unsigned int gathered; /* of the frames that send() has taken: not sent yet */
	unsigned int lost;     /* of those: dropped, or in part, after all; the port takes them from here, and counts */
	/* The frame that send() has taken segments of, and others follow; net_give_up(): none do. */
	bool part;    /* some of them are not sent yet; "gathered" does not count it */
	bool counted; /* some of them were dropped: "lost" has counted it, and nobody is to do so again */
};

/**
 * net_tap_open - taps or macvtaps with IFF_VNET_HDR, a descriptor for each queue.
 * @fds: @queues of them, taken over (set to -1) with success.
 * Return: 0; a negative errno with a line that says what to do.
 */
int net_tap_open(struct loop *loop, const struct net_host *host, int *fds, unsigned int queues, struct net **ret_net,
		 struct err *err);
extern const struct syscall_list net_tap_calls;

/** net_give_up - of the frame that segments were taken of no others follow. Return: whether it is to be counted as
 * lost: it is not yet. */
static inline bool net_give_up(struct net *net)
{
	bool counted = net->counted;

	net->part = net->counted = false;
	return !counted;
}

#define NET_STREAM_MEMORY_LEN (136u << 10)

/**
 * net_stream_open - a connected stream socket of the UNIX kind.
 * @generation: of what is behind it. @memory: NET_STREAM_MEMORY_LEN bytes, shared with the predecessor and the
 * successor. Return: as net_tap_open().
 */
int net_stream_open(struct loop *loop, const struct net_host *host, int *fd, unsigned int generation, bool large_frames,
		    void *memory, struct net **ret_net, struct err *err);

#endif
