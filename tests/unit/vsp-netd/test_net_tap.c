/* SPDX-License-Identifier: Apache-2.0 */
/* A port over a tap, in a network namespace of the test's own; the other side is a packet socket on the interface. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "daemons/vsp-netd/port.h"

#define ROOM   70000u
#define QUEUES 2u
#define TYPE   0x88b5

static struct loop *loop;
static struct port *port;
static struct nic_settings settings;
static struct oid_settings guest;
static int wire = -1, control = -1;
static uint8_t room[ROOM];
static _Alignas(8) uint8_t memory[PORT_MEMORY_LEN];
static struct port_received received;
static unsigned int links;
static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, other_mac[6] = {2, 0, 0, 0, 0, 2};

static void on_ready(void *arg, unsigned int queue)
{
	(void)arg;
	port_listen(port, queue, false);
}

static void on_link(void *arg, bool up)
{
	(void)arg;
	(void)up;
	links++;
}

static const struct port_client_ops client_ops = {on_ready, on_ready, on_link};
static const struct port_client client = {.ops = &client_ops};

/* Root's own, or one of a user's. */
static void enter_namespace(void)
{
	if (geteuid() == 0 && unshare(CLONE_NEWNET) == 0)
		return;
	cr_assert_eq(unshare(CLONE_NEWUSER | CLONE_NEWNET), 0, "neither root nor user namespaces");
}

static int open_tap(short flags)
{
	struct ifreq ifr = {.ifr_name = "tap0"};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	cr_assert(fd >= 0, "/dev/net/tun: %s", strerror(errno));
	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags);
	cr_assert_eq(ioctl(fd, TUNSETIFF, &ifr), 0, "TUNSETIFF: %s", strerror(errno));
	return fd;
}

static void set_flags(const char *name, short flags)
{
	struct ifreq ifr = {0};

	strcpy(ifr.ifr_name, name);
	ifr.ifr_flags = flags;
	cr_assert_eq(ioctl(control, SIOCSIFFLAGS, &ifr), 0);
}

static void open_wire(void)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(TYPE)};
	int on = 1;

	address.sll_ifindex = (int)if_nametoindex("tap0");
	wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(TYPE));
	cr_assert(wire >= 0);
	cr_assert_eq(setsockopt(wire, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	cr_assert_eq(bind(wire, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void set_up(void)
{
	int fds[QUEUES];
	struct err err = {0};

	enter_namespace();
	cr_assert_eq(loop_new(&loop), 0);
	control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (unsigned int i = 0; i < QUEUES; i++)
		fds[i] = open_tap(IFF_VNET_HDR | IFF_MULTI_QUEUE);
	set_flags("tap0", IFF_UP);
	settings = (struct nic_settings){.alias = "net0", .backend = NIC_TAP, .queues = QUEUES, .mtu = 1500};
	memcpy(settings.mac, mac, 6);
	guest = (struct oid_settings){.filter = RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST};
	cr_assert_eq(port_new(loop, &settings, fds, QUEUES, memory, 0, &port, &err), 0, "%s", err.text);
	cr_assert(fds[0] == -1 && fds[1] == -1);
	open_wire();
	port_connect(port, &client);
	port_set(port, &guest);
}

static void tear_down(void)
{
	port_free(port);
	loop_free(loop);
	fd_close(&wire);
	fd_close(&control);
}

TestSuite(net_tap, .init = set_up, .fini = tear_down, .timeout = 20);

/* ---- helpers ---- */

static void make(uint8_t *frame, const uint8_t *to, size_t len)
{
	memcpy(frame, to, 6);
	memcpy(frame + 6, other_mac, 6);
	put_be16(frame + 12, TYPE);
	for (size_t i = 14; i < len; i++)
		frame[i] = (uint8_t)(i * 3);
}

static void put_hdr(const uint8_t *to, size_t len, const struct virtio_net_hdr *hdr)
{
	static uint8_t bytes[ROOM];

	memcpy(bytes, hdr, sizeof(*hdr));
	make(bytes + sizeof(*hdr), to, len);
	cr_assert_eq(send(wire, bytes, sizeof(*hdr) + len, 0), (ssize_t)(sizeof(*hdr) + len), "%s", strerror(errno));
}

static void put(const uint8_t *to, size_t len)
{
	const struct virtio_net_hdr none = {0};

	put_hdr(to, len, &none);
}

/* From whichever queue the kernel has chosen. */
static int get(void)
{
	const struct iovec iov[] = {{room, 100}, {room + 100, 50}, {room + 150, ROOM - 150}};
	int r = port_receive(port, 0, iov, 3, &received);

	return r == -EAGAIN ? port_receive(port, 1, iov, 3, &received) : r;
}

/* The next one of ours: the kernel looks for IPv6 neighbours when it likes. */
static int get_some(void)
{
	int r;

	while ((r = get()) == 0 || (r == 1 && received.headers.type != TYPE))
		;
	return r;
}

static void check_room(const uint8_t *to, size_t len)
{
	static uint8_t want[ROOM];

	make(want, to, len);
	cr_assert_eq(received.len, len);
	cr_assert_eq(memcmp(room, want, len), 0);
	cr_assert_eq(memcmp(received.head, want, received.head_len), 0);
}

static bool untouched(void)
{
	for (size_t i = 0; i < ROOM; i++)
		if (room[i] != 0xaa)
			return false;
	return true;
}

/* ---- to the guest ---- */

Test(net_tap, gets_what_is_its_own)
{
	static const size_t lens[] = {60, 255, 256, 257, 1514};
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	cr_assert_eq(get_some(), -EAGAIN);
	memset(room, 0xaa, ROOM);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		put(other_mac, lens[i]);
	cr_assert_eq(get_some(), -EAGAIN);
	cr_assert(untouched(), "another's frame got into the guest's memory");
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		put(i % 2 ? mac : broadcast, lens[i]);
		cr_assert_eq(get_some(), 1);
		check_room(i % 2 ? mac : broadcast, lens[i]);
	}
}

/* What was let through before is judged by what the guest wants now. */
Test(net_tap, what_the_guest_no_longer_wants_does_not_come)
{
	cr_assert_eq(get_some(), -EAGAIN);
	memset(room, 0xaa, ROOM);
	put(mac, 1000);
	guest.filter = RNDIS_FILTER_BROADCAST;
	port_set(port, &guest);
	put(mac, 1000);
	cr_assert_eq(get_some(), -EAGAIN);
	cr_assert(untouched());
	guest.filter |= RNDIS_FILTER_DIRECTED;
	port_set(port, &guest);
	put(mac, 1000);
	cr_assert_eq(get_some(), 1);
	check_room(mac, 1000);
}

Test(net_tap, nothing_waits_for_a_nic_that_is_opened)
{
	port_connect(port, NULL);
	put(mac, 1000);
	port_connect(port, &client);
	port_set(port, &guest);
	cr_assert_eq(get_some(), -EAGAIN);
}

/* The kernel goes on judging as the guest has set it. */
Test(net_tap, what_comes_at_a_hand_over_waits)
{
	port_hold(port);
	put(other_mac, 1000);
	put(mac, 1000);
	for (unsigned int i = 0; i < 3; i++)
		cr_assert_eq(loop_run_once(loop, false), 0);
	port_set(port, &guest);
	port_connect(port, &client);
	cr_assert_eq(get_some(), 1);
	check_room(mac, 1000);
	cr_assert_eq(get_some(), -EAGAIN);
}

Test(net_tap, what_is_set_at_a_hand_over_drops_nothing)
{
	struct err err = {0};

	port_hold(port);
	put(mac, 1000);
	settings.link_down = true;
	cr_assert_eq(port_change(port, &settings, &(int){-1}, &err), 0);
	settings.link_down = false;
	cr_assert_eq(port_change(port, &settings, &(int){-1}, &err), 0);
	put(other_mac, 1000);
	put(mac, 1000);
	cr_assert_eq(loop_run_once(loop, false), 0);
	port_set(port, &guest);
	port_connect(port, &client);
	for (unsigned int i = 0; i < 2; i++) {
		cr_assert_eq(get_some(), 1);
		check_room(mac, 1000);
	}
	cr_assert_eq(get_some(), -EAGAIN);
}

Test(net_tap, only_who_may_is_promiscuous)
{
	guest.filter = RNDIS_FILTER_PROMISCUOUS;
	port_set(port, &guest);
	put(other_mac, 1000);
	cr_assert_eq(get_some(), -EAGAIN);
	put(mac, 1000);
	cr_assert_eq(get_some(), 1);
	settings.may_be_promiscuous = true;
	cr_assert_eq(port_change(port, &settings, &(int){-1}, NULL), 0);
	put(other_mac, 1000);
	cr_assert_eq(get_some(), 1);
	check_room(other_mac, 1000);
}

/* A checksum that the sender left out comes as it is to a guest that takes that, else filled in. */
Test(net_tap, offloads_are_as_the_guest_has_set_them)
{
	const struct virtio_net_hdr hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};

	put_hdr(mac, 1000, &hdr);
	cr_assert_eq(get_some(), 1);
	cr_assert_eq(received.hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
	memset(guest.offload, OID_OFFLOAD_TX | OID_OFFLOAD_RX, OID_OFFLOAD_CHECKSUM_UDP6 + 1);
	port_set(port, &guest);
	cr_assert_eq(get_some(), -EAGAIN);
	put_hdr(mac, 1000, &hdr);
	cr_assert_eq(get_some(), 1);
	cr_assert_eq(received.hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	cr_assert_eq(received.hdr.csum_start, 34);
}

/* ---- from the guest ---- */

Test(net_tap, sends_through_each_queue)
{
	static struct port_frame frame;
	uint8_t bytes[2000], rest[1000];
	struct virtio_net_hdr hdr;

	make(frame.head, other_mac, 200);
	memcpy(frame.head + 6, mac, 6);
	frame.head_len = 200;
	memset(rest, 0x55, sizeof(rest));
	frame.rest[0] = (struct iovec){rest, 300};
	frame.rest[1] = (struct iovec){rest + 300, 700};
	frame.rests = 2;
	frame.len = 1200;
	for (unsigned int queue = 0; queue < QUEUES; queue++) {
		frame.head[20] = (uint8_t)queue;
		cr_assert_eq(port_transmit(port, queue, &frame), 0);
		port_transmit_end(port);
		cr_assert_eq(recv(wire, bytes, sizeof(bytes), 0), (ssize_t)(sizeof(hdr) + 1200));
		cr_assert_eq(memcmp(bytes + sizeof(hdr), frame.head, 200), 0);
		cr_assert_eq(memcmp(bytes + sizeof(hdr) + 200, rest, 1000), 0);
	}
}

Test(net_tap, an_interface_that_is_removed_is_told)
{
	struct ifreq ifr = {.ifr_name = "tap0"};
	struct {
		struct {
			uint32_t len;
			uint16_t type, flags;
			uint32_t seq, pid;
		} header;
		struct {
			uint8_t family, pad;
			uint16_t type;
			int32_t index;
			uint32_t flags, change;
		} link;
	} request = {.header = {.len = sizeof(request), .type = 17 /* RTM_DELLINK */, .flags = 5}};
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);

	port_listen(port, 0, true);
	cr_assert_eq(ioctl(control, SIOCGIFINDEX, &ifr), 0);
	request.link.index = ifr.ifr_ifindex;
	cr_assert_eq(send(netlink, &request, sizeof(request), 0), (ssize_t)sizeof(request));
	cr_assert(recv(netlink, room, sizeof(room), 0) > 0);
	cr_assert_eq(get(), -EAGAIN);
	while (!links)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert(port_peer_gone(port));
	close(netlink);
}

/* ---- what is refused ---- */

Test(net_tap, other_descriptors_are_refused)
{
	struct port *other = NULL;
	struct err err = {0};
	int fds[QUEUES];

	fds[0] = open("/dev/null", O_RDWR);
	fds[1] = -1;
	settings.queues = 1;
	cr_assert_lt(port_new(loop, &settings, fds, 1, memory, 0, &other, &err), 0);
	cr_assert_eq(fds[0], -1);
	fds[0] = open("/dev/net/tun", O_RDWR);
	cr_assert_lt(port_new(loop, &settings, fds, 1, memory, 0, &other, &err), 0);
	settings.queues = 2;
	cr_assert_eq(port_new(loop, &settings, fds, 1, memory, 0, &other, &err), -EINVAL);
}

/* A macvtap on one end of a veth; the wire is the other one. Return: its descriptor; -1: there is none here. */
static int open_macvtap(void)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	char path[32];
	int fd;

	if (system("exec 2>/dev/null; ip link add low0 type veth peer name tap0 && ip link set low0 up && ip link set "
		   "tap0 up && "
		   "ip link add link low0 name mac0 address 02:00:00:00:00:01 type macvtap && ip link set mac0 up") !=
	    0)
		return -1;
	snprintf(path, sizeof(path), "/dev/tap%u", if_nametoindex("mac0"));
	fd = open(path, O_RDWR | O_CLOEXEC);
	/* Its node may be that of a device of another namespace. */
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNGETIFF, &ifr) < 0 ||
	    strcmp(ifr.ifr_name, "mac0") != 0)
		return -1;
	return fd;
}

static bool has_mac(const char *name, const uint8_t want[6])
{
	struct ifreq ifr = {0};

	strcpy(ifr.ifr_name, name);
	cr_assert_eq(ioctl(control, SIOCGIFHWADDR, &ifr), 0);
	return !memcmp(ifr.ifr_hwaddr.sa_data, want, 6);
}

/* It takes only what is to its own address. */
Test(net_macvtap, has_the_address_of_the_guest)
{
	static const uint8_t own[6] = {2, 0, 0, 0, 0, 9};
	struct err err = {0};
	int fd;

	enter_namespace();
	cr_assert_eq(loop_new(&loop), 0);
	control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	fd = open_macvtap();
	if (fd < 0)
		cr_skip_test("no macvtap can be made here");
	settings = (struct nic_settings){.alias = "net0", .backend = NIC_TAP, .queues = 1, .mtu = 1500};
	memcpy(settings.mac, mac, 6);
	guest = (struct oid_settings){.filter = RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST};
	memcpy(guest.mac, own, 6);
	cr_assert_eq(port_new(loop, &settings, &fd, 1, memory, 0, &port, &err), 0, "%s", err.text);
	port_connect(port, &client);
	port_set(port, &guest);
	cr_assert(has_mac("mac0", mac), "it is not trusted");
	settings.may_change_mac = true;
	cr_assert_eq(port_change(port, &settings, &(int){-1}, &err), 0, "%s", err.text);
	cr_assert(has_mac("mac0", own));
	port_connect(port, NULL);
	cr_assert(has_mac("mac0", mac), "nobody has it");
	port_free(port);
	close(control);
	loop_free(loop);
}
