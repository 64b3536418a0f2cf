/* SPDX-License-Identifier: Apache-2.0 */
/* Taps and macvtaps, made in a network namespace of the test's own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "broker_nic.h"

static int control;
static int fds[DOMAIN_NIC_QUEUES_MAX];

static void setup(void)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 && unshare(CLONE_NEWNET) < 0)
		cr_skip_test("no network namespace may be made here");
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		cr_skip_test("there is no /dev/net/tun here");
	control = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(control, 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = -1;
}

static void teardown(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	close(control);
}

TestSuite(broker_nic, .init = setup, .fini = teardown, .timeout = 60);

static void make_bridge(const char *name)
{
	cr_assert_eq(ioctl(control, SIOCBRADDBR, name), 0, "%s", strerror(errno));
}

/* What a device is: its MTU, whether it is up. */
static void look(const char *name, int *ret_mtu, bool *ret_up)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	cr_assert_eq(ioctl(control, SIOCGIFMTU, &ifr), 0, "%s: %s", name, strerror(errno));
	*ret_mtu = ifr.ifr_mtu;
	cr_assert_eq(ioctl(control, SIOCGIFFLAGS, &ifr), 0);
	*ret_up = ifr.ifr_flags & IFF_UP;
}

/* What is on one cannot join it once more. */
static bool is_on_bridge(const char *bridge, const char *name)
{
	struct ifreq ifr = {.ifr_ifindex = (int)if_nametoindex(name)};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", bridge);
	return ioctl(control, SIOCBRADDIF, &ifr) < 0 && errno == EBUSY;
}

static unsigned int flags_of(int fd)
{
	struct ifreq ifr = {0};

	cr_assert_eq(ioctl(fd, TUNGETIFF, &ifr), 0);
	return (unsigned short)ifr.ifr_flags;
}

Test(broker_nic, a_tap_on_a_bridge)
{
	const struct domain_nic nic = {.alias = "net0",
				       .type = DOMAIN_NIC_BRIDGE,
				       .source = (char *)"br0",
				       .dev = "mine",
				       .queues = 3,
				       .mtu = 4000};
	struct err err = {0};
	bool up;
	int mtu;

	make_bridge("br0");
	cr_assert_eq(broker_open_nic(&nic, &err, fds), 0, "%s", err.text);
	cr_assert(fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0 && fds[3] < 0);
	look("mine", &mtu, &up);
	cr_assert(mtu == 4000 && up);
	cr_assert(is_on_bridge("br0", "mine"));
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(flags_of(fds[i]) & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE),
			     IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
		cr_expect(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		cr_expect(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
	}
	for (int i = 0; i < 3; i++) {
		close(fds[i]);
		fds[i] = -1;
	}
	cr_assert_eq(if_nametoindex("mine"), 0, "it goes with its last descriptor");
}

Test(broker_nic, names)
{
	struct domain_nic nic = {
		.alias = "net0", .type = DOMAIN_NIC_ETHERNET, .mac = {2, 0, 0, 0, 0, 0xfe}, .queues = 1, .mtu = 1500};
	struct err err = {0};
	int other, mtu;
	bool up;

	cr_assert_eq(broker_open_nic(&nic, &err, fds), 0, "%s", err.text);
	cr_assert_neq(if_nametoindex("bh0200000000fe"), 0);
	nic.mtu = 2000;
	cr_assert_eq(broker_nic_set_mtu(&nic, &err), 0, "%s", err.text);
	look("bh0200000000fe", &mtu, &up);
	cr_assert_eq(mtu, 2000);
	cr_assert_eq(flags_of(fds[0]) & IFF_MULTI_QUEUE, 0);
	strcpy(nic.dev, "bh0200000000fe");
	cr_assert_eq(broker_open_nic(&nic, &err, &other), -EEXIST);
	cr_assert(strstr(err.text, "a network device bh0200000000fe already"), "%s", err.text);
	nic.existing = true;
	cr_assert_eq(broker_open_nic(&nic, &err, &other), -EBUSY);
	cr_assert(strstr(err.text, "bh0200000000fe is in use"), "%s", err.text);
	strcpy(nic.dev, "none");
	cr_assert_eq(broker_open_nic(&nic, &err, &other), -ENODEV);
	cr_assert(strstr(err.text, "there is no tap none: make it"), "%s", err.text);
}

Test(broker_nic, a_tap_that_is_there)
{
	struct domain_nic nic = {.alias = "net0",
				 .type = DOMAIN_NIC_ETHERNET,
				 .dev = "theirs",
				 .existing = true,
				 .queues = 1,
				 .mtu = 1500};
	struct ifreq ifr = {.ifr_name = "theirs", .ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct err err = {0};

	cr_assert_eq(ioctl(fd, TUNSETIFF, &ifr), 0);
	cr_assert_eq(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
	cr_assert_eq(broker_open_nic(&nic, &err, fds), 0, "%s", err.text);
	cr_assert(flags_of(fds[0]) & IFF_VNET_HDR);
	close(fds[0]);
	fds[0] = -1;
	nic.queues = 2;
	cr_assert_eq(broker_open_nic(&nic, &err, fds), -EINVAL);
	cr_assert(strstr(err.text, "multi_queue"), "%s", err.text);
	cr_assert_neq(if_nametoindex("theirs"), 0, "it stays");
}

Test(broker_nic, bridges_that_are_none)
{
	struct domain_nic nic = {.alias = "net0",
				 .type = DOMAIN_NIC_BRIDGE,
				 .source = (char *)"br0",
				 .dev = "mine",
				 .queues = 1,
				 .mtu = 1500};
	struct err err = {0};

	cr_assert_eq(broker_open_nic(&nic, &err, fds), -ENODEV);
	cr_assert(strstr(err.text, "there is no bridge br0: make it"), "%s", err.text);
	nic.source = (char *)"lo";
	cr_assert_eq(broker_open_nic(&nic, &err, fds), -EOPNOTSUPP, "%s", err.text);
	cr_assert(strstr(err.text, "lo is no bridge"), "%s", err.text);
	cr_assert_eq(if_nametoindex("mine"), 0, "nothing is left");
}

Test(broker_nic, macvtap)
{
	struct domain_nic nic = {.alias = "net0",
				 .type = DOMAIN_NIC_DIRECT,
				 .source = (char *)"br0",
				 .mode = DOMAIN_MACVTAP_BRIDGE,
				 .mac = {0x52, 0x54, 0, 1, 2, 3},
				 .queues = 1,
				 .mtu = 1400};
	struct ifreq ifr = {.ifr_name = "bh525400010203"};
	struct err err = {0};
	int r;

	nic.source = (char *)"none";
	cr_assert_eq(broker_open_nic(&nic, &err, fds), -ENODEV);
	cr_assert(strstr(err.text, "there is no network device none"), "%s", err.text);
	nic.source = (char *)"br0";
	make_bridge("br0");
	r = broker_open_nic(&nic, &err, fds);
	if (r < 0) { /* no module; or no node in /dev for a device of another namespace's */
		cr_assert_eq(if_nametoindex(ifr.ifr_name), 0, "nothing is left: %s", err.text);
		cr_skip_test("%s", err.text);
	}
	cr_assert_eq(ioctl(control, SIOCGIFHWADDR, &ifr), 0);
	cr_assert_arr_eq(ifr.ifr_hwaddr.sa_data, nic.mac, 6);
	cr_assert_eq(ioctl(control, SIOCGIFFLAGS, &ifr), 0);
	cr_assert(ifr.ifr_flags & IFF_UP && ifr.ifr_flags & IFF_ALLMULTI);
	/* Its guest has changed it: it is the NIC's all the same. */
	memset(&ifr.ifr_hwaddr, 0, sizeof(ifr.ifr_hwaddr));
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	ifr.ifr_hwaddr.sa_data[0] = 2;
	cr_assert_eq(ioctl(fds[0], SIOCSIFHWADDR, &ifr), 0, "%s", strerror(errno));
	broker_nic_gone(&nic);
	cr_assert_eq(if_nametoindex(ifr.ifr_name), 0);
}

Test(broker_nic, devices_of_others)
{
	struct domain_nic nic = {.alias = "net0",
				 .type = DOMAIN_NIC_DIRECT,
				 .source = (char *)"br0",
				 .dev = "br1",
				 .mac = {0x52, 0x54, 0, 1, 2, 3},
				 .queues = 1,
				 .mtu = 1400};
	struct ifreq ifr = {.ifr_name = "br1", .ifr_hwaddr = {.sa_family = ARPHRD_ETHER}};
	struct err err = {0};
	int r;

	make_bridge("br0");
	make_bridge("br1");
	memcpy(ifr.ifr_hwaddr.sa_data, nic.mac, 6);
	cr_assert_eq(ioctl(control, SIOCSIFHWADDR, &ifr), 0, "%s", strerror(errno));
	r = broker_open_nic(&nic, &err, fds);
	cr_assert(r == -EEXIST || r == -EOPNOTSUPP, "%s", err.text);
	broker_nic_gone(&nic);
	cr_assert_neq(if_nametoindex("br1"), 0, "a bridge, even with the NIC's address");
	if (system("exec ip link add link br0 name tap7 address 52:54:00:01:02:04 type macvtap") != 0)
		cr_skip_test("no macvtap can be made here");
	strcpy(nic.dev, "tap7");
	cr_assert_eq(broker_open_nic(&nic, &err, fds), -EEXIST);
	cr_assert(strstr(err.text, "a network device tap7 already"), "%s", err.text);
	broker_nic_gone(&nic);
	cr_assert_neq(if_nametoindex("tap7"), 0, "a macvtap with another address");
	nic.mac[5] = 4;
	broker_nic_gone(&nic);
	cr_assert_eq(if_nametoindex("tap7"), 0, "it is the NIC's");
}
