/* SPDX-License-Identifier: Apache-2.0 */
#include "links.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

#define MOMENT (50 * NS_PER_MS)
#define SOON   (200 * NS_PER_MS)
#define BATCH  64u /* of messages that are thrown away at a time */

static const struct syscall_rule rules[] = {
	{SYS_socket, 0, UINT32_MAX, AF_NETLINK},
	{SYS_bind},
	{SYS_recvfrom},
	{-1},
};

const struct syscall_list links_calls = {.name = "changes of network devices", .rules = rules};

struct links {
	int fd;
	struct loop_source *source, *timer;
	uint64_t at_ns; /* when it looks; 0: not */
	links_fn fn;
	void *arg;
};

static void arm(struct links *links, uint64_t delay_ns)
{
	const uint64_t at_ns = clock_now_ns() + delay_ns;

	if (links->at_ns && links->at_ns <= at_ns)
		return;
	links->at_ns = at_ns;
	loop_arm(links->timer, delay_ns);
}

static void on_timer(void *arg)
{
	struct links *links = arg;

	links->at_ns = 0;
	if (links->fn(links->arg))
		arm(links, SOON);
}

/* One that says that some were lost (-ENOBUFS) is as good as any. */
static void on_message(int fd, unsigned int events, void *arg)
{
	char byte;

	for (unsigned int i = 0; i < BATCH; i++)
		if (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) < 0 && errno != ENOBUFS)
			break;
	arm(arg, MOMENT);
}

int links_new(struct loop *loop, links_fn fn, void *arg, struct links **ret_links)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	struct links *links = calloc(1, sizeof(*links));
	int r;

	if (!links)
		return -ENOMEM;
	*links = (struct links){.fn = fn, .arg = arg};
	links->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	r = links->fd < 0 || bind(links->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	if (r == 0)
		r = loop_add_timer(loop, on_timer, links, &links->timer);
	if (r == 0)
		r = loop_add_fd(loop, links->fd, LOOP_READ, on_message, links, &links->source);
	if (r < 0) {
		links_free(links);
		return r;
	}
	*ret_links = links;
	return 0;
}

void links_free(struct links *links)
{
	if (!links)
		return;
	loop_remove(&links->source);
	loop_remove(&links->timer);
	fd_close(&links->fd);
	free(links);
}

void links_look(struct links *links)
{
	if (links)
		arm(links, MOMENT);
}

void links_look_in(struct links *links, uint64_t delay_ns)
{
	if (links)
		arm(links, delay_ns);
}
