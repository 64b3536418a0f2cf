/* SPDX-License-Identifier: Apache-2.0 */
#include "broker_nic.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"

#define TUN_DEVICE  "/dev/net/tun"
#define MESSAGE_MAX 512u
#define MARK_MAX    32u
#define ONLY	    UINT32_MAX

static const struct syscall_rule rules[] = {
	{SYS_openat},
	{SYS_ioctl, 1, ONLY, TUNSETIFF},
	{SYS_ioctl, 1, ONLY, TUNGETIFF},
	{SYS_ioctl, 1, ONLY, SIOCGIFINDEX},
	{SYS_ioctl, 1, ONLY, SIOCGIFFLAGS},
	{SYS_ioctl, 1, ONLY, SIOCSIFFLAGS},
	{SYS_ioctl, 1, ONLY, SIOCSIFMTU},
	{SYS_ioctl, 1, ONLY, SIOCBRADDIF},
	{SYS_socket, 0, ONLY, AF_UNIX},
	{SYS_socket, 0, ONLY, AF_NETLINK},
	{SYS_sendto},
	{SYS_recvfrom},
	{-1},
};

const struct syscall_list broker_nic_calls = {.name = "network devices", .rules = rules};

/* ---- a device by its name ---- */

static void set_name(struct ifreq *ifr, const char *name)
{
	*ifr = (struct ifreq){0};
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
}

/* A socket for ioctls about devices; any will do. */
static int open_control(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int find_index(int control, const char *name, int *ret)
{
	struct ifreq ifr;

	set_name(&ifr, name);
	if (ioctl(control, SIOCGIFINDEX, &ifr) < 0)
		return -errno;
	*ret = ifr.ifr_ifindex;
	return 0;
}

static int set_mtu(int control, const char *name, unsigned int mtu)
{
	struct ifreq ifr;

	set_name(&ifr, name);
	ifr.ifr_mtu = (int)mtu;
	return ioctl(control, SIOCSIFMTU, &ifr) < 0 ? -errno : 0;
}

static int set_up(int control, const char *name)
{
	struct ifreq ifr;

	set_name(&ifr, name);
	if (ioctl(control, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	if (ifr.ifr_flags & IFF_UP)
		return 0;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(control, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

/* MAC addresses of NICs are different ones on a host, and so are these. */
void broker_nic_name(const struct domain_nic *nic, char ret[DOMAIN_IFNAME_MAX])
{
	if (*nic->dev)
		snprintf(ret, DOMAIN_IFNAME_MAX, "%s", nic->dev);
	else
		snprintf(ret, DOMAIN_IFNAME_MAX, "bh%02x%02x%02x%02x%02x%02x", nic->mac[0], nic->mac[1], nic->mac[2],
			 nic->mac[3], nic->mac[4], nic->mac[5]);
}

/* ---- taps ---- */

static const char privilege[] = "network devices are made by the system's vmmgmtd only: use vmctl --system, "
				"type='user', or type='ethernet' with a "
				"tap of yours and managed='no'";

static int fail_tap(const struct domain_nic *nic, const char *name, int r, struct err *err)
{
	if (r == -EPERM || r == -EACCES)
		return nic->existing ? err_set(err, r,
					       "NIC %s: tap %s: permission denied: make it for the user that vmmgmtd "
					       "runs as (ip tuntap "
					       "add dev %s mode tap user USER%s vnet_hdr)",
					       nic->alias, name, name, nic->queues > 1 ? " multi_queue" : "")
				     : err_set(err, r, "NIC %s: permission denied: %s", nic->alias, privilege);
	if (r == -EBUSY)
		return err_set(err, r, "NIC %s: tap %s is in use: end who uses it, or name another", nic->alias, name);
	if (r == -EINVAL && nic->existing)
		return err_set(err, r,
			       "NIC %s: tap %s: it was made otherwise: it needs vnet_hdr, and multi_queue exactly if "
			       "there is more "
			       "than one queue",
			       nic->alias, name);
	if (r == -ENOENT || r == -ENODEV)
		return err_set(err, r, "NIC %s: %s is missing: load the module tun", nic->alias, TUN_DEVICE);
	return err_set(err, r, "NIC %s: tap %s: %s", nic->alias, name, strerror(-r));
}

static int open_queue(const struct domain_nic *nic, char name[DOMAIN_IFNAME_MAX], int *ret_fd)
{
	_cleanup_close_ int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq ifr;

	if (fd < 0)
		return -errno;
	set_name(&ifr, name);
	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (nic->queues > 1 ? IFF_MULTI_QUEUE : 0));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -errno;
	snprintf(name, DOMAIN_IFNAME_MAX, "%.15s", ifr.ifr_name);
	*ret_fd = take_fd(&fd);
	return 0;
}

static int open_queues(const struct domain_nic *nic, int control, char name[DOMAIN_IFNAME_MAX], struct err *err,
		       int *ret_fds)
{
	int index, r = 0;

	/* One that is there already is somebody's, if it is not said to be ours. */
	broker_nic_name(nic, name);
	if (!nic->existing && find_index(control, name, &index) == 0)
		return err_set(
			err, -EEXIST,
			"NIC %s: there is a network device %s already: name another, or, with type='ethernet', say "
			"managed='no'",
			nic->alias, name);
	if (nic->existing && find_index(control, nic->dev, &index) < 0)
		return err_set(err, -ENODEV,
			       "NIC %s: there is no tap %s: make it (ip tuntap add dev %s mode tap vnet_hdr)",
			       nic->alias, nic->dev, nic->dev);
	for (unsigned int i = 0; r == 0 && i < nic->queues; i++)
		r = open_queue(nic, name, &ret_fds[i]);
	return r < 0 ? fail_tap(nic, name, r, err) : 0;
}

static int join_bridge(const struct domain_nic *nic, int control, const char *name, struct err *err)
{
	struct ifreq ifr;
	int bridge, r = find_index(control, nic->source, &bridge);

	if (r < 0)
		return err_set(err, -ENODEV,
			       "NIC %s: there is no bridge %s: make it (ip link add %s type bridge), or name another",
			       nic->alias, nic->source, nic->source);
	set_name(&ifr, nic->source);
	r = find_index(control, name, &ifr.ifr_ifindex);
	if (r == 0 && ioctl(control, SIOCBRADDIF, &ifr) < 0)
		r = -errno;
	if (r == -EOPNOTSUPP)
		return err_set(
			err, r,
			"NIC %s: %s is no bridge of the kernel's: name one, or, if it is one of Open vSwitch, say "
			"<virtualport type='openvswitch'/>",
			nic->alias, nic->source);
	return r < 0 ? err_set(err, r, "NIC %s: it cannot join bridge %s: %s", nic->alias, nic->source, strerror(-r))
		     : 0;
}

static int open_tap(const struct domain_nic *nic, int control, struct err *err, int *ret_fds)
{
	char name[DOMAIN_IFNAME_MAX];
	int bridge, r = 0;

	/* Before anything is made: this is what goes wrong. */
	if (nic->type == DOMAIN_NIC_BRIDGE && !nic->on_ovs && find_index(control, nic->source, &bridge) < 0)
		return join_bridge(nic, control, "", err);
	r = open_queues(nic, control, name, err, ret_fds);
	if (r < 0 || nic->existing)
		return r;
	if (nic->type == DOMAIN_NIC_BRIDGE && !nic->on_ovs)
		r = join_bridge(nic, control, name, err);
	if (r < 0)
		return r;
	r = set_mtu(control, name, nic->mtu);
	if (r == 0)
		r = set_up(control, name);
	return r < 0 ? err_set(err, r, "NIC %s: tap %s cannot be set up: %s", nic->alias, name, strerror(-r)) : 0;
}

/* ---- macvtap, by rtnetlink ---- */

struct message {
	struct nlmsghdr header;
	struct ifinfomsg link;
	char attributes[MESSAGE_MAX];
};

static struct rtattr *add(struct message *msg, unsigned short type, const void *data, size_t len)
{
	struct rtattr *at = (struct rtattr *)((char *)msg + NLMSG_ALIGN(msg->header.nlmsg_len));

	at->rta_type = type;
	at->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(at), data, len);
	msg->header.nlmsg_len = NLMSG_ALIGN(msg->header.nlmsg_len) + (uint32_t)RTA_ALIGN(at->rta_len);
	return at;
}

/* What was added since belongs to it. */
static void end_nested(struct message *msg, struct rtattr *nested)
{
	nested->rta_len = (unsigned short)((char *)msg + msg->header.nlmsg_len - (char *)nested);
}

union reply {
	struct nlmsghdr header;
	char bytes[8192];
};

/* Return: what the kernel answers, if that is an error or NLMSG_ERROR is expected; 0 with one of @type. */
static int exchange(struct message *msg, unsigned short type, union reply *ret)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	const struct nlmsgerr *error = NLMSG_DATA(&ret->header);
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (send(fd, msg, msg->header.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, ret, sizeof(*ret), 0);
	if (n < 0)
		return -errno;
	if (n < (ssize_t)NLMSG_LENGTH(0) || ret->header.nlmsg_len > (size_t)n)
		return -EPROTO;
	if (ret->header.nlmsg_type == NLMSG_ERROR)
		return ret->header.nlmsg_len < NLMSG_LENGTH(sizeof(*error)) ? -EPROTO : error->error;
	return ret->header.nlmsg_type == type ? 0 : -EPROTO;
}

static int ask_kernel(struct message *msg)
{
	union reply reply;

	return exchange(msg, NLMSG_ERROR, &reply);
}

/* Return: NULL if there is none with so many bytes. */
static const void *find_attribute(const void *list, size_t list_len, unsigned short type, size_t len, size_t *ret_len)
{
	const char *at = list;
	struct rtattr head;

	while (list_len >= sizeof(head)) {
		memcpy(&head, at, sizeof(head));
		if (head.rta_len < sizeof(head) || head.rta_len > list_len)
			return NULL;
		if (head.rta_type == type && head.rta_len >= RTA_LENGTH(len)) {
			*ret_len = head.rta_len - RTA_LENGTH(0);
			return at + RTA_LENGTH(0);
		}
		if (RTA_ALIGN(head.rta_len) >= list_len)
			return NULL;
		at += RTA_ALIGN(head.rta_len);
		list_len -= RTA_ALIGN(head.rta_len);
	}
	return NULL;
}

static int macvtap_make(const struct domain_nic *nic, const char *name, int below)
{
	static const uint32_t modes[] = {
		[DOMAIN_MACVTAP_VEPA] = MACVLAN_MODE_VEPA,
		[DOMAIN_MACVTAP_BRIDGE] = MACVLAN_MODE_BRIDGE,
		[DOMAIN_MACVTAP_PRIVATE] = MACVLAN_MODE_PRIVATE,
		[DOMAIN_MACVTAP_PASSTHROUGH] = MACVLAN_MODE_PASSTHRU,
	};
	struct message msg = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			   .nlmsg_type = RTM_NEWLINK,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL},
	};
	const uint32_t link = (uint32_t)below, mtu = nic->mtu;
	struct rtattr *info, *data;

	add(&msg, IFLA_LINK, &link, sizeof(link));
	add(&msg, IFLA_IFNAME, name, strlen(name) + 1);
	add(&msg, IFLA_ADDRESS, nic->mac, sizeof(nic->mac));
	add(&msg, IFLA_MTU, &mtu, sizeof(mtu));
	info = add(&msg, IFLA_LINKINFO, NULL, 0);
	add(&msg, IFLA_INFO_KIND, "macvtap", strlen("macvtap") + 1);
	data = add(&msg, IFLA_INFO_DATA, NULL, 0);
	add(&msg, IFLA_MACVLAN_MODE, &modes[nic->mode], sizeof(modes[0]));
	end_nested(&msg, data);
	end_nested(&msg, info);
	return ask_kernel(&msg);
}

/* What stands beside a device of ours: the guest may give it another address. */
static void macvtap_mark(const struct domain_nic *nic, char ret[MARK_MAX])
{
	char mac[DOMAIN_MAC_TEXT];

	domain_mac_text(nic->mac, mac);
	snprintf(ret, MARK_MAX, "bulkhead %s", mac);
}

/* Mark it, and set it up. Frames to groups come to it, whichever the guest has joined: vsp-netd knows. */
static int macvtap_set_up(const struct domain_nic *nic, const char *name)
{
	struct message msg = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			   .nlmsg_type = RTM_NEWLINK,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.link = {.ifi_flags = IFF_UP | IFF_ALLMULTI, .ifi_change = IFF_UP | IFF_ALLMULTI},
	};
	char mark[MARK_MAX];

	macvtap_mark(nic, mark);
	add(&msg, IFLA_IFNAME, name, strlen(name) + 1);
	add(&msg, IFLA_IFALIAS, mark, strlen(mark));
	return ask_kernel(&msg);
}

/* Return: whether what is told of a device says that it is the NIC's: a macvtap with its mark, or its address. */
static bool is_macvtap_of(const union reply *told, const struct domain_nic *nic)
{
	static const char kind[] = "macvtap";
	const size_t head = NLMSG_LENGTH(sizeof(struct ifinfomsg));
	const void *found, *info, *what = NULL;
	char mark[MARK_MAX];
	bool ours;
	size_t len;

	if (told->header.nlmsg_len < head)
		return false;
	macvtap_mark(nic, mark);
	found = find_attribute(told->bytes + head, told->header.nlmsg_len - head, IFLA_IFALIAS, strlen(mark), &len);
	ours = found && strnlen(found, len) == strlen(mark) && !memcmp(found, mark, strlen(mark));
	found = find_attribute(told->bytes + head, told->header.nlmsg_len - head, IFLA_ADDRESS, sizeof(nic->mac), &len);
	ours |= found && len == sizeof(nic->mac) && !memcmp(found, nic->mac, len);
	if (!ours)
		return false;
	info = find_attribute(told->bytes + head, told->header.nlmsg_len - head, IFLA_LINKINFO, 0, &len);
	if (info)
		what = find_attribute(info, len, IFLA_INFO_KIND, sizeof(kind) - 1, &len);
	return what && strnlen(what, len) == sizeof(kind) - 1 && !memcmp(what, kind, sizeof(kind) - 1);
}

/* What the kernel tells of a device. Return: 0; -ENODEV; another negative errno. */
static int ask_about(const char *name, union reply *ret)
{
	struct message question = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			   .nlmsg_type = RTM_GETLINK,
			   .nlmsg_flags = NLM_F_REQUEST},
	};
	const uint32_t terse = RTEXT_FILTER_SKIP_STATS;
	int r;

	add(&question, IFLA_IFNAME, name, strlen(name) + 1);
	add(&question, IFLA_EXT_MASK, &terse, sizeof(terse));
	r = exchange(&question, RTM_NEWLINK, ret);
	return r == 0 && ret->header.nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)) ? -EPROTO : r;
}

/* A name may be that of anybody's device. Return: -EEXIST: it is. */
static int macvtap_remove(const struct domain_nic *nic, const char *name)
{
	struct message msg = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			   .nlmsg_type = RTM_DELLINK,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
	};
	union reply told;
	int r = ask_about(name, &told);

	if (r < 0)
		return r;
	if (!is_macvtap_of(&told, nic))
		return -EEXIST;
	/* By its number: the name may be another's by now. */
	memcpy(&msg.link, NLMSG_DATA(&told.header), sizeof(msg.link));
	msg.link = (struct ifinfomsg){.ifi_index = msg.link.ifi_index};
	return ask_kernel(&msg);
}

/* Each queue is an open of its device, with the features that ours need. Of two devices with one number, in two network
 * namespaces, only one has its node: it must be the right one. */
static int macvtap_open(const struct domain_nic *nic, const char *name, int index, int *ret_fds)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/tap%d", index);
	for (unsigned int i = 0; i < nic->queues; i++) {
		struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
							 (nic->queues > 1 ? IFF_MULTI_QUEUE : 0))};

		ret_fds[i] = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (ret_fds[i] < 0 || ioctl(ret_fds[i], TUNSETIFF, &ifr) < 0 || ioctl(ret_fds[i], TUNGETIFF, &ifr) < 0)
			return -errno;
		if (strncmp(ifr.ifr_name, name, IFNAMSIZ) != 0)
			return -ENXIO;
	}
	return 0;
}

/* Return: of the device that it is on; 0: nobody knows. */
static uint32_t mtu_below(const struct domain_nic *nic)
{
	const size_t head = NLMSG_LENGTH(sizeof(struct ifinfomsg));
	const void *found = NULL;
	union reply told;
	uint32_t mtu = 0;
	size_t len;

	if (ask_about(nic->source, &told) == 0)
		found = find_attribute(told.bytes + head, told.header.nlmsg_len - head, IFLA_MTU, sizeof(mtu), &len);
	if (found)
		memcpy(&mtu, found, sizeof(mtu));
	return mtu;
}

/* Return: why there can be no macvtap on it, whatever it is like; NULL: that is not known. */
static const char *unfit_below(const char *name)
{
	const struct ifinfomsg *info;
	union reply told;

	if (ask_about(name, &told) < 0)
		return NULL;
	info = NLMSG_DATA(&told.header);
	if (info->ifi_flags & IFF_LOOPBACK)
		return "leads nowhere";
	return info->ifi_type != ARPHRD_ETHER ? "is not an Ethernet device" : NULL;
}

/* The kernel has one number for all of them. */
static int fail_below(const struct domain_nic *nic, struct err *err)
{
	const char *unfit = unfit_below(nic->source);
	const uint32_t mtu = mtu_below(nic);

	if (unfit)
		return err_set(err, -EINVAL, "NIC %s: %s %s: name another device", nic->alias, nic->source, unfit);
	if (mtu && nic->mtu > mtu)
		return err_set(
			err, -EINVAL,
			"NIC %s: its MTU is more than that of %s: give it at most %u, or %s more (ip link set %s "
			"mtu %u)",
			nic->alias, nic->source, mtu, nic->source, nic->source, nic->mtu);
	return err_set(err, -EINVAL,
		       "NIC %s: a macvtap on %s cannot be made: one with mode passthrough must be alone there: detach "
		       "the others, or name another device",
		       nic->alias, nic->source);
}

static int fail_macvtap(const struct domain_nic *nic, int r, struct err *err)
{
	if (r == -EOPNOTSUPP)
		return err_set(err, r, "NIC %s: the kernel has no macvtap: load the module macvtap", nic->alias);
	if (r == -EBUSY)
		return err_set(err, r, "NIC %s: %s is in use by a bridge or the like: name another device", nic->alias,
			       nic->source);
	if (r == -EINVAL)
		return fail_below(nic, err);
	return err_set(err, r, "NIC %s: a macvtap on %s cannot be made: %s", nic->alias, nic->source, strerror(-r));
}

static int open_macvtap(const struct domain_nic *nic, int control, struct err *err, int *ret_fds)
{
	char name[DOMAIN_IFNAME_MAX];
	int below = 0, index = 0, r = find_index(control, nic->source, &below);

	if (r < 0)
		return err_set(err, -ENODEV, "NIC %s: there is no network device %s: correct <source dev=>", nic->alias,
			       nic->source);
	broker_nic_name(nic, name);
	r = macvtap_make(nic, name, below);
	if (r == -EEXIST && !*nic->dev && macvtap_remove(nic, name) == 0) /* of a VM that ended with the manager away */
		r = macvtap_make(nic, name, below);
	if (r == -EEXIST)
		return err_set(err, r, "NIC %s: there is a network device %s already: name another", nic->alias, name);
	if (r == -EPERM)
		return err_set(err, r, "NIC %s: permission denied: %s", nic->alias, privilege);
	if (r < 0)
		return fail_macvtap(nic, r, err);
	r = macvtap_set_up(nic, name);
	if (r == 0)
		r = find_index(control, name, &index);
	if (r == 0)
		r = macvtap_open(nic, name, index, ret_fds);
	if (r == 0)
		return 0;
	macvtap_remove(nic, name);
	if (r == -EADDRINUSE)
		return err_set(err, r, "NIC %s: its MAC address is in use on %s already: give it another", nic->alias,
			       nic->source);
	if (r == -EPERM)
		return err_set(err, r,
			       "NIC %s: vmmgmtd may not open macvtaps: \"modprobe macvtap\", restart vmmgmtd.service, "
			       "and try again",
			       nic->alias);
	return err_set(err, r, "NIC %s: macvtap %s cannot be opened: %s", nic->alias, name, strerror(-r));
}

int broker_open_nic(const struct domain_nic *nic, struct err *err, int *ret_fds)
{
	_cleanup_close_ int control = open_control();
	int fds[DOMAIN_NIC_QUEUES_MAX], r;

	if (control < 0)
		return err_set(err, control, "NIC %s: %s", nic->alias, strerror(-control));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = -1;
	r = nic->type == DOMAIN_NIC_DIRECT ? open_macvtap(nic, control, err, fds) : open_tap(nic, control, err, fds);
	for (size_t i = 0; r < 0 && i < ARRAY_SIZE(fds); i++)
		fd_close(&fds[i]);
	for (unsigned int i = 0; r == 0 && i < nic->queues; i++)
		ret_fds[i] = fds[i];
	return r;
}

int broker_nic_set_mtu(const struct domain_nic *nic, struct err *err)
{
	_cleanup_close_ int control = open_control();
	char name[DOMAIN_IFNAME_MAX];
	int r = control < 0 ? control : 0;
	uint32_t below;

	if (nic->existing)
		return 0;
	broker_nic_name(nic, name);
	if (r == 0)
		r = set_mtu(control, name, nic->mtu);
	if (r == -ENODEV)
		return err_set(err, r,
			       "NIC %s: there is no network device %s: it was removed, or its VM runs since an earlier "
			       "version, which named it otherwise: set its MTU with --config, and start the VM anew",
			       nic->alias, name);
	if (r == -EINVAL && nic->type == DOMAIN_NIC_DIRECT && (below = mtu_below(nic)) && nic->mtu > below)
		return fail_below(nic, err);
	return r < 0 ? err_set(err, r, "NIC %s: %s cannot have MTU %u: %s", nic->alias, name, nic->mtu,
			       r == -EPERM ? privilege : strerror(-r))
		     : 0;
}

static bool is_on_bridge(const union reply *told, const char *bridge)
{
	const size_t head = NLMSG_LENGTH(sizeof(struct ifinfomsg));
	const struct ifinfomsg *link;
	const void *found;
	union reply about;
	uint32_t master;
	size_t len;
	int r;

	found = find_attribute(told->bytes + head, told->header.nlmsg_len - head, IFLA_MASTER, sizeof(master), &len);
	r = found ? ask_about(bridge, &about) : -ENODEV;
	if (r < 0)
		return r != -ENODEV;
	memcpy(&master, found, sizeof(master));
	link = NLMSG_DATA(&about.header);
	return link->ifi_index == (int)master && link->ifi_flags & IFF_UP;
}

bool broker_nic_plugged(const struct domain_nic *nic)
{
	const unsigned int wanted = nic->type == DOMAIN_NIC_DIRECT ? IFF_UP | IFF_RUNNING : IFF_UP;
	const struct ifinfomsg *link;
	char name[DOMAIN_IFNAME_MAX];
	union reply told;
	int r;

	broker_nic_name(nic, name);
	r = ask_about(name, &told);
	/* A tap may have another name: that of an earlier version, or a new one of its host's. That it is gone its
	 * vsp-netd sees. */
	if (r < 0)
		return r != -ENODEV || nic->type != DOMAIN_NIC_DIRECT;
	link = NLMSG_DATA(&told.header);
	if ((link->ifi_flags & wanted) != wanted)
		return false;
	return nic->type != DOMAIN_NIC_BRIDGE || nic->on_ovs || is_on_bridge(&told, nic->source);
}

void broker_nic_gone(const struct domain_nic *nic)
{
	char name[DOMAIN_IFNAME_MAX];

	if (nic->type != DOMAIN_NIC_DIRECT)
		return;
	broker_nic_name(nic, name);
	macvtap_remove(nic, name);
}
