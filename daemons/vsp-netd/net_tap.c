/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps and macvtaps.
 *
 * Theory of operation: each read and write is one frame behind its virtio_net_hdr, taken or not taken as a whole, so a
 * successor has nothing to know. A frame goes from and to the guest's memory in one call; only one that must be looked
 * at first is read into private memory (receive()). The kernel checks what a virtio_net_hdr says.
 *
 * A macvtap gets only what is to its own address, so it gets the guest's; and all that is to groups, which vmmgmtd has
 * it do.
 *
 * Limits: frames of up to FRAME_MAX bytes. A tap that is down takes no frames: they are dropped. A macvtap has no
 * filters. Frames that a program of XDP on the host redirects to a tap go past its filter: what is not the guest's is
 * in its memory then, before it is dropped.
 */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "net.h"

#define FRAME_MAX (65535u + 14u + 8u) /* with two tags */
#define SHORT_MAX 256u

struct queue {
	struct tap *tap;
	unsigned int number;
	int fd;
	struct loop_source *source;
	bool listening, waiting;
};

struct tap {
	struct net net;
	bool gone;
	bool macvtap;
	uint8_t mac[6];		  /* that it was given: of a macvtap */
	struct loop_source *tell; /* the host of it */
	struct queue queue[SETTINGS_QUEUES_MAX];
	uint8_t frame[FRAME_MAX + 1]; /* of receive() */
};

static const struct syscall_rule rules[] = {
	{SYS_ioctl, 1, UINT32_MAX, TUNGETIFF},
	{SYS_ioctl, 1, UINT32_MAX, TUNGETFEATURES},
	{SYS_ioctl, 1, UINT32_MAX, SIOCSIFHWADDR},
	{SYS_ioctl, 1, UINT32_MAX, TUNSETVNETHDRSZ},
	{SYS_ioctl, 1, UINT32_MAX, TUNSETOFFLOAD},
	{SYS_ioctl, 1, UINT32_MAX, TUNATTACHFILTER},
	{-1},
};

const struct syscall_list net_tap_calls = {.name = "taps", .rules = rules};

static struct tap *to_tap(struct net *net)
{
	return CONTAINER_OF(net, struct tap, net);
}

static void set_events(struct queue *queue)
{
	unsigned int events = (queue->listening ? LOOP_READ : 0) | (queue->waiting ? LOOP_WRITE : 0);

	(void)loop_set_events(queue->source, queue->tap->gone ? 0 : events);
}

/* The interface was removed, or the queue detached: no descriptor of it does anything any more. */
static bool note_loss(struct tap *tap, int error)
{
	if (error != -EBADFD && error != -ENODEV && error != -ENXIO)
		return false;
	if (!tap->gone)
		loop_arm(tap->tell, 0);
	tap->gone = true;
	for (unsigned int i = 0; i < tap->net.queues; i++)
		set_events(&tap->queue[i]);
	return true;
}

static void on_tell(void *arg)
{
	struct tap *tap = arg;

	tap->net.host.ops->gone(tap->net.host.arg);
}

static void on_ready(int fd, unsigned int events, void *arg)
{
	struct queue *queue = arg;
	struct tap *tap = queue->tap;

	(void)fd;
	if (events & LOOP_WRITE && queue->waiting) {
		queue->waiting = false;
		set_events(queue);
		tap->net.host.ops->writable(tap->net.host.arg, queue->number);
		return; /* which may have closed us */
	}
	if (events & LOOP_READ)
		tap->net.host.ops->readable(tap->net.host.arg, queue->number);
}

/* ---- frames ---- */

/* One that is short and in one piece costs less as one buffer than as two. */
static ssize_t write_frame(int fd, struct net_outgoing *frame)
{
	uint8_t bytes[sizeof(frame->hdr) + SHORT_MAX];

	if (frame->pieces > 2 || frame->len > SHORT_MAX) {
		frame->piece[0] = (struct iovec){&frame->hdr, sizeof(frame->hdr)};
		return writev(fd, frame->piece, (int)frame->pieces);
	}
	memcpy(bytes, &frame->hdr, sizeof(frame->hdr));
	memcpy(bytes + sizeof(frame->hdr), frame->piece[1].iov_base, frame->len);
	return write(fd, bytes, sizeof(frame->hdr) + frame->len);
}

static int tap_send(struct net *net, unsigned int number, struct net_outgoing *frame)
{
	struct tap *tap = to_tap(net);
	struct queue *queue = &tap->queue[number];
	ssize_t n;

	if (tap->gone)
		return -ENODEV;
	do
		n = write_frame(queue->fd, frame);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN) {
		queue->waiting = true;
		set_events(queue);
		return -EAGAIN;
	}
	if (n >= 0)
		return 0;
	n = -errno;
	note_loss(tap, (int)n);
	return (int)n;
}

static int read_frame(struct queue *queue, const struct iovec *iov, unsigned int iovs, size_t *ret_len)
{
	ssize_t n;

	if (queue->tap->gone)
		return -EAGAIN;
	do
		n = readv(queue->fd, iov, (int)iovs);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || note_loss(queue->tap, -errno) ? -EAGAIN : 0;
	if ((size_t)n < sizeof(struct virtio_net_hdr))
		return 0;
	*ret_len = (size_t)n - sizeof(struct virtio_net_hdr);
	return 1;
}

static int tap_receive(struct net *net, unsigned int number, struct net_incoming *ret)
{
	struct tap *tap = to_tap(net);
	const struct iovec iov[] = {{&ret->hdr, sizeof(ret->hdr)}, {tap->frame, sizeof(tap->frame)}};
	int r = read_frame(&tap->queue[number], iov, ARRAY_SIZE(iov), &ret->len);

	if (r <= 0)
		return r;
	ret->piece[0] = (struct iovec){tap->frame, ret->len};
	ret->pieces = 1;
	return ret->len <= FRAME_MAX ? 1 : 0;
}

/* One byte more than there is room for shows that a frame is too long. */
static int tap_receive_into(struct net *net, unsigned int number, struct virtio_net_hdr *ret_hdr, void *head,
			    size_t head_len, const struct iovec *iov, unsigned int iovs, size_t *ret_len)
{
	struct tap *tap = to_tap(net);
	struct iovec all[NET_PIECES_MAX];
	uint8_t more;

	if (iovs > NET_PIECES_MAX - 3)
		return -EINVAL;
	all[0] = (struct iovec){ret_hdr, sizeof(*ret_hdr)};
	all[1] = (struct iovec){head, head_len};
	memcpy(&all[2], iov, iovs * sizeof(*iov));
	all[2 + iovs] = (struct iovec){&more, 1};
	return read_frame(&tap->queue[number], all, iovs + 3, ret_len);
}

static void tap_listen(struct net *net, unsigned int number, bool listen)
{
	struct queue *queue = &to_tap(net)->queue[number];

	if (queue->listening == listen)
		return;
	queue->listening = listen;
	set_events(queue);
}

/* ---- settings: of the interface, whichever queue is asked ---- */

static int tap_set_offloads(struct net *net, unsigned int offloads)
{
	return ioctl(to_tap(net)->queue[0].fd, TUNSETOFFLOAD, (unsigned long)offloads) < 0 ? -errno : 0;
}

static int tap_set_filter(struct net *net, const struct sock_fprog *filter)
{
	return ioctl(to_tap(net)->queue[0].fd, TUNATTACHFILTER, filter) < 0 ? -errno : 0;
}

/* Of a tap the address is the host's end's. */
static int tap_set_mac(struct net *net, const uint8_t mac[6])
{
	struct tap *tap = to_tap(net);
	struct ifreq ifr = {.ifr_hwaddr = {.sa_family = ARPHRD_ETHER}};

	if (!tap->macvtap || tap->gone || !memcmp(tap->mac, mac, sizeof(tap->mac)))
		return 0;
	memcpy(ifr.ifr_hwaddr.sa_data, mac, sizeof(tap->mac));
	if (ioctl(tap->queue[0].fd, SIOCSIFHWADDR, &ifr) < 0)
		return -errno;
	memcpy(tap->mac, mac, sizeof(tap->mac));
	return 0;
}

static void tap_close(struct net *net)
{
	struct tap *tap = to_tap(net);

	for (unsigned int i = 0; i < net->queues; i++) {
		loop_remove(&tap->queue[i].source);
		fd_close(&tap->queue[i].fd);
	}
	loop_remove(&tap->tell);
	free(tap);
}

static const struct net_ops tap_ops = {
	.name = "tap",
	.offloads = true,
	.send_max = FRAME_MAX,
	.send = tap_send,
	.receive = tap_receive,
	.receive_into = tap_receive_into,
	.listen = tap_listen,
	.set_offloads = tap_set_offloads,
	.set_filter = tap_set_filter,
	.set_mac = tap_set_mac,
	.close = tap_close,
};

/* Of both, only /dev/net/tun makes anything else than taps. */
static bool is_macvtap(int fd)
{
	unsigned int features = 0;

	return ioctl(fd, TUNGETFEATURES, &features) == 0 && !(features & IFF_TUN);
}

static int check(int fd, struct err *err)
{
	const int header_len = sizeof(struct virtio_net_hdr);
	struct ifreq ifr = {0};

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return err_set(err, -errno,
			       "the descriptor is no tap's (%s); hand over one of /dev/net/tun or /dev/tapN",
			       err_name(-errno));
	if ((ifr.ifr_flags & (IFF_TAP | IFF_VNET_HDR | IFF_NO_PI)) != (IFF_TAP | IFF_VNET_HDR | IFF_NO_PI))
		return err_set(err, -EINVAL, "tap %.*s: it must be made with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR",
			       IFNAMSIZ, ifr.ifr_name);
	if (ioctl(fd, TUNSETVNETHDRSZ, &header_len) < 0)
		return err_set(err, -errno, "tap %.*s: its header cannot have %d bytes: %s", IFNAMSIZ, ifr.ifr_name,
			       header_len, err_name(-errno));
	return fd_set_nonblock(fd, true);
}

int net_tap_open(struct loop *loop, const struct net_host *host, int *fds, unsigned int queues, struct net **ret_net,
		 struct err *err)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	int r;

	if (!tap)
		return err_set(err, -ENOMEM, "no memory for a tap");
	tap->net = (struct net){&tap_ops, *host, queues};
	for (unsigned int i = 0; i < queues; i++)
		tap->queue[i] = (struct queue){.tap = tap, .number = i, .fd = -1};
	r = loop_add_timer(loop, on_tell, tap, &tap->tell);
	for (unsigned int i = 0; i < queues && r == 0; i++) {
		r = check(fds[i], err);
		if (r == 0)
			r = loop_add_fd(loop, fds[i], 0, on_ready, &tap->queue[i], &tap->queue[i].source);
	}
	if (r < 0) {
		if (!err || !err->code)
			err_set(err, r, "tap: it cannot be watched: %s", err_name(r));
		tap_close(&tap->net);
		return r;
	}
	for (unsigned int i = 0; i < queues; i++)
		tap->queue[i].fd = take_fd(&fds[i]);
	tap->macvtap = is_macvtap(tap->queue[0].fd);
	*ret_net = &tap->net;
	return 0;
}
