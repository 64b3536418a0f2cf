/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsp-netd between a guest and a tap, against a process that only moves frames between memory and a tap, and beside
 * DPDK's testpmd; between a guest and passt, against pasta: CPU time for each frame or MiB, kicks and interrupts,
 * memory. This process is guest, worker and the other side of the tap, in a network namespace of its own. What is sent
 * is counted by the interface, what is received is compared with what was sent; a frame that is missing makes a
 * measurement fail. Run it with a release build.
 *
 * Limits: the kernel drops what the guests send, for it is to nobody. One queue, no sub-channels.
 */
#include "network.h"

#include <errno.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "bench.h"
#include "netdev.h"
#include "process.h"

#define WINDOW_NS (350 * NS_PER_MS)
#define BATCH	  512u
#define QUIET	  8u /* times of 10 ms */
#define ETHER_IP  0x0800

enum target_id { TARGET_OURS, TARGET_FLOOR, TARGET_OURS_LRO, TARGET_FLOOR_LRO, TARGETS };

enum metric {
	METRIC_SEND,	/* us of the process for each frame */
	METRIC_RECEIVE, /* the same */
	METRIC_KICKS,	/* for each frame sent */
	METRIC_INTERRUPTS,
};

struct load {
	enum metric metric;
	size_t len;	   /* of a frame */
	uint16_t gso_size; /* 0: no LSO */
	bool coalesced;	   /* the guest takes what is longer than its MTU */
};

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, nobody[6] = {2, 0, 0, 0, 0, 9};
static const char *const names[TARGETS] = {"tapours", "tapfloor", "tapourslro", "tapfloorlro"};
static struct network_target *targets[TARGETS];
static int taps[TARGETS], wires[TARGETS];
static uint8_t frame[NETWORK_FRAME_MAX];

/* ---- taps ---- */

static bool coalesces(enum target_id id)
{
	return id == TARGET_OURS_LRO || id == TARGET_FLOOR_LRO;
}

/* What is sent through the wire comes out of the tap; each frame is behind a virtio_net_hdr. */
static int open_tap(enum target_id id)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET};
	const int on = 1, room = 8 << 20;

	taps[id] = netdev_tap(names[id], IFF_VNET_HDR, NULL);
	if (taps[id] < 0)
		return taps[id];
	if (coalesces(id) && ioctl(taps[id], TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0)
		return -errno;
	address.sll_ifindex = (int)if_nametoindex(names[id]);
	wires[id] = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (wires[id] < 0 || bind(wires[id], (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    setsockopt(wires[id], SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0 ||
	    setsockopt(wires[id], SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0)
		return -errno;
	/* Else it holds three frames with LSO. */
	if (coalesces(id))
		(void)setsockopt(wires[id], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	return 0;
}

static unsigned long arrived(enum target_id id)
{
	return netdev_received(names[id], NULL);
}

/* ---- one measurement ---- */

/*
 * A partial checksum of the frame's TCP that is the same when it is filled in, so that the frame comes as it was sent:
 * x with x = -(x + the other words), so x = -(the other words) / 2, modulo 2^16 - 1, where 1 / 2 is 2^15.
 */
static uint16_t own_checksum(size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 34; i < len; i++)
		sum += i % 2 ? frame[i] : (uint64_t)frame[i] << 8;
	return (uint16_t)((UINT16_MAX - sum % UINT16_MAX) * 32768 % UINT16_MAX);
}

static struct virtio_net_hdr make_frame(const struct load *load, const uint8_t *to)
{
	struct virtio_net_hdr hdr = {0};

	memset(frame, 0x5a, load->len);
	memcpy(frame, to, 6);
	memcpy(frame + 6, mac, 6);
	put_be16(frame + 12, ETHER_IP);
	memset(frame + 14, 0, 40);
	frame[14] = 0x45;
	put_be16(frame + 16, (uint16_t)(load->len - 14));
	frame[22] = 64;
	frame[23] = 6;
	put_be32(frame + 26, 0x0a000001);
	put_be32(frame + 30, 0x0a000002);
	frame[46] = 0x50;
	if (load->gso_size) {
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		hdr.gso_size = load->gso_size;
		hdr.hdr_len = 54;
		hdr.csum_start = 34;
		hdr.csum_offset = 16;
		put_be16(frame + 50, own_checksum(load->len));
	}
	return hdr;
}

/* Return: frames; 0: it failed. */
static unsigned long send_window(const struct load *load, enum target_id id)
{
	struct virtio_net_hdr hdr = make_frame(load, nobody);
	uint64_t end = clock_now_ns() + WINDOW_NS;
	unsigned long sent = 0, before = arrived(id);

	if (targets[id]->ops->load(targets[id], &hdr, frame, load->len) < 0)
		return 0;
	while (clock_now_ns() < end) {
		if (targets[id]->ops->send(targets[id], BATCH) < 0)
			return 0;
		sent += BATCH;
	}
	return arrived(id) - before == sent ? sent : 0;
}

static void send_some(struct virtio_net_hdr *hdr, size_t len, enum target_id id)
{
	const struct iovec iov[] = {{hdr, sizeof(*hdr)}, {frame, len}};

	for (unsigned int i = 0; i < 16; i++)
		(void)!writev(wires[id], iov, 2);
}

/* Return: frames; 0: it failed. */
static unsigned long receive_window(const struct load *load, enum target_id id)
{
	struct virtio_net_hdr hdr = make_frame(load, mac);
	uint64_t end = clock_now_ns() + WINDOW_NS;
	unsigned long taken = 0;
	int n;

	if (targets[id]->ops->load(targets[id], &hdr, frame, load->len) < 0)
		return 0;
	while (clock_now_ns() < end) {
		send_some(&hdr, load->len, id);
		n = targets[id]->ops->take(targets[id]);
		if (n < 0)
			return 0;
		taken += (unsigned long)n;
	}
	/* The next window may have another frame: what is under way comes, even if its carrier is kept waiting. */
	for (unsigned int quiet = 0; quiet < QUIET;) {
		poll(NULL, 0, 10);
		n = targets[id]->ops->take(targets[id]);
		if (n < 0)
			return 0;
		taken += (unsigned long)n;
		quiet = n > 0 ? 0 : quiet + 1;
	}
	return taken;
}

static int start(enum target_id id)
{
	struct network_ours how = {.fd = taps[id], .mac = mac, .coalesces = coalesces(id)};

	if (targets[id])
		return 0;
	return id == TARGET_OURS || id == TARGET_OURS_LRO ? network_ours_start(&how, &targets[id])
							  : network_floor_start(taps[id], &targets[id]);
}

static double measure(const struct load *load, enum target_id id)
{
	unsigned long frames;
	uint64_t kicks, interrupts;
	double cpu;
	int r = start(id);

	if (r < 0) {
		fprintf(stderr, "network: %s: %s\n", names[id], strerror(-r));
		return -1;
	}
	kicks = targets[id]->kicks;
	interrupts = targets[id]->interrupts;
	cpu = process_seconds(targets[id]->clock);
	frames = load->metric == METRIC_RECEIVE ? receive_window(load, id) : send_window(load, id);
	if (frames == 0)
		return -1;
	if (load->metric == METRIC_KICKS)
		return (double)(targets[id]->kicks - kicks) / (double)frames;
	if (load->metric == METRIC_INTERRUPTS)
		return (double)(targets[id]->interrupts - interrupts) / (double)frames;
	return (process_seconds(targets[id]->clock) - cpu) * 1e6 / (double)frames;
}

static double ours(void *arg)
{
	const struct load *load = arg;

	return measure(load, load->coalesced ? TARGET_OURS_LRO : TARGET_OURS);
}

static double limit(void *arg)
{
	const struct load *load = arg;

	return measure(load, load->coalesced ? TARGET_FLOOR_LRO : TARGET_FLOOR);
}

/* All of the process, once it has sent and received. */
static double memory(void *arg)
{
	return measure(arg, TARGET_OURS) < 0 ? -1 : bench_private_kib(targets[TARGET_OURS]->pid);
}

/* ---- the program ---- */

#define LOAD(what, ...)                                                                                                \
	&(struct load)                                                                                                 \
	{                                                                                                              \
		.metric = METRIC_##what, __VA_ARGS__                                                                   \
	}
#define USER(...)                                                                                                      \
	&(struct network_user)                                                                                         \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}
#define PASTA                                                                                                          \
	.lower_is_better = true, .ours = network_user_ours, .peer = network_user_pasta, .missing = network_user_missing
#define FLOOR .lower_is_better = true, .ours = ours, .peer = limit, .peer_name = "tap forwarder"
#define BOUND .lower_is_better = true, .ours = ours, .peer_name = "limit", .peer_value = 0.10, .must = 1.0

static const struct bench_case cases[] = {
	{"send_lso_cpu", "us", FLOOR, .must = 0.70, .stretch = 0.95, .arg = LOAD(SEND, .len = 65000, .gso_size = 1448)},
	{"send_1514_cpu", "us", FLOOR, .arg = LOAD(SEND, .len = 1514)},
	{"send_64_cpu", "us", FLOOR, .arg = LOAD(SEND, .len = 64)},
	{"receive_1514_cpu", "us", FLOOR, .arg = LOAD(RECEIVE, .len = 1514)},
	{"receive_64_cpu", "us", FLOOR, .arg = LOAD(RECEIVE, .len = 64)},
	{"receive_lso_cpu", "us", FLOOR, .arg = LOAD(RECEIVE, .len = 65000, .gso_size = 1448, .coalesced = true)},
	{"receive_1514_lro_cpu", "us", FLOOR, .arg = LOAD(RECEIVE, .len = 1514, .coalesced = true)},
	{"user_receive_cpu", "us/MiB", PASTA, .peer_name = "pasta", .must = 0.70, .stretch = 1.0,
	 .arg = USER(0, false, "1500")},
	{"user_receive_lro_cpu", "us/MiB", PASTA, .peer_name = "pasta, MTU 65520", .must = 0.70, .stretch = 1.0,
	 .arg = USER(1, true, "65520")},
	{"send_64_testpmd_cpu", "us", .lower_is_better = true, .ours = ours, .peer = network_testpmd,
	 .peer_name = "testpmd vhost+tap", .missing = network_testpmd_missing, .arg = LOAD(SEND, .len = 64)},
	{"send_64_testpmd_null_cpu", "us", .lower_is_better = true, .ours = ours, .peer = network_testpmd_alone,
	 .peer_name = "testpmd null+tap", .missing = network_testpmd_alone_missing, .arg = LOAD(SEND, .len = 64)},
	{"send_1514_kicks", "per packet", BOUND, .arg = LOAD(KICKS, .len = 1514)},
	{"send_1514_interrupts", "per packet", BOUND, .arg = LOAD(INTERRUPTS, .len = 1514)},
	{"memory", "KiB", .lower_is_better = true, .ours = memory, .peer_name = "limit", .peer_value = 3072,
	 .must = 1.0, .arg = LOAD(SEND, .len = 65000, .gso_size = 1448)},
	{"send_64_kicks", "per packet", BOUND, .arg = LOAD(KICKS, .len = 64)},
	{"send_64_interrupts", "per packet", BOUND, .arg = LOAD(INTERRUPTS, .len = 64)},
};

int main(int argc, char **argv)
{
	int r;

	if (argc == 3 && strcmp(argv[1], "--receive") == 0)
		return network_user_receive(argv[2]);
	r = netdev_enter_namespace();
	for (unsigned int i = 0; i < TARGETS && r == 0; i++)
		r = open_tap(i);
	if (r < 0)
		fprintf(stderr, "network: no taps in a network namespace of its own: %s\n", strerror(-r));
	else
		r = bench_main(argc, argv, cases, ARRAY_SIZE(cases));
	for (unsigned int i = 0; i < TARGETS; i++)
		if (targets[i])
			targets[i]->ops->stop(targets[i]);
	network_user_stop();
	network_testpmd_stop();
	return r < 0 ? 1 : r;
}
