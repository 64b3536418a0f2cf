/* SPDX-License-Identifier: Apache-2.0 */
#include "netdev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

int netdev_enter_users(void)
{
	char uids[32], gids[32];
	int r;

	snprintf(uids, sizeof(uids), "0 %u 1", (unsigned int)geteuid());
	snprintf(gids, sizeof(gids), "0 %u 1", (unsigned int)getegid());
	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	r = write_file("/proc/self/setgroups", "deny");
	if (r == 0)
		r = write_file("/proc/self/gid_map", gids);
	return r == 0 ? write_file("/proc/self/uid_map", uids) : r;
}

int netdev_enter_namespace(void)
{
	int r = geteuid() == 0 ? 0 : netdev_enter_users();

	if (r == 0 && unshare(CLONE_NEWNET) < 0)
		r = -errno;
	return r;
}

/* Return: 0 or a negative errno. */
static int control(unsigned long request, void *argument)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = ioctl(fd, request, argument) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static struct ifreq named(const char *name)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return ifr;
}

int netdev_up(const char *name)
{
	struct ifreq ifr = named(name);

	ifr.ifr_flags = IFF_UP;
	return control(SIOCSIFFLAGS, &ifr);
}

int netdev_tap(const char *name, short flags, const uint8_t *mac)
{
	struct ifreq ifr = named(name);
	char path[128];
	int fd, r = 0;

	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		r = -errno;
	if (r == 0 && mac) {
		ifr = named(name);
		ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
		memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
		r = control(SIOCSIFHWADDR, &ifr);
	}
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	(void)write_file(path, "1"); /* there may be no IPv6 */
	if (r == 0)
		r = netdev_up(name);
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

static void put_address(struct sockaddr *to, const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	inet_pton(AF_INET, address, &in.sin_addr);
	memcpy(to, &in, sizeof(in));
}

int netdev_address(const char *name, const char *address)
{
	struct ifreq ifr = named(name);
	int r;

	put_address(&ifr.ifr_addr, address);
	r = control(SIOCSIFADDR, &ifr);
	if (r < 0)
		return r;
	put_address(&ifr.ifr_netmask, "255.255.255.0");
	return control(SIOCSIFNETMASK, &ifr);
}

int netdev_gateway(const char *gateway)
{
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

	put_address(&route.rt_dst, "0.0.0.0");
	put_address(&route.rt_genmask, "0.0.0.0");
	put_address(&route.rt_gateway, gateway);
	return control(SIOCADDRT, &route);
}

int netdev_stock_tcp(void)
{
	int r = write_file("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456");

	return r == 0 ? write_file("/proc/sys/net/ipv4/tcp_wmem", "4096 16384 4194304") : r;
}

unsigned long netdev_received(const char *name, unsigned long *ret_bytes)
{
	FILE *file = fopen("/proc/thread-self/net/dev", "re");
	unsigned long bytes, packets, found = 0;
	char line[512], this[32];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, " %31[^:]: %lu %lu", this, &bytes, &packets) != 3 || strcmp(this, name) != 0)
			continue;
		found = packets;
		if (ret_bytes)
			*ret_bytes = bytes;
		break;
	}
	if (file)
		fclose(file);
	return found;
}
