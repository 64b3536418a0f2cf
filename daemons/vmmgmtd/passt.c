/* SPDX-License-Identifier: Apache-2.0 */
#include "passt.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "program.h"

#define ROOM		 (16 << 20)
#define SEGMENTS_AT_ONCE 128u
#define CONNECTIONS	 8u /* that send so many at the same time */
/* With its headers and what Linux keeps beside them, such a one fits into 32 KiB of a guest's memory in a row, which
 * its kernel finds; of longer ones it gets no more done for the CPU time. */
#define SEGMENT_MAX	 32000u

int passt_find(char *ret_path, size_t size)
{
	return program_find("passt", ret_path, size);
}

/* The rules of definitions bound what there can be. */
__attribute__((format(printf, 2, 3))) static void add(struct passt_arguments *args, const char *fmt, ...)
{
	char *at = args->text + args->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(at, sizeof(args->text) - args->used, fmt, ap);
	va_end(ap);
	assert(n >= 0 && (size_t)n < sizeof(args->text) - args->used && args->count < PASST_ARGUMENTS);
	args->list[args->count++] = at;
	args->list[args->count] = NULL;
	args->used += (size_t)n + 1;
}

static void add_address(struct passt_arguments *args, const struct domain_address *address)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(address->v6 ? AF_INET6 : AF_INET, address->bytes, text, sizeof(text));
	add(args, "-a%s", text);
	if (!address->v6 && address->prefix < 32)
		add(args, "-n%u", address->prefix);
}

/* ADDRESS%DEVICE/PORT-PORT:PORT-PORT,~PORT-PORT or all. */
static void add_forward(struct passt_arguments *args, const struct domain_forward *forward)
{
	char text[512];
	size_t len = 0;

#define PUT(...) (len += (size_t)snprintf(text + len, sizeof(text) - len, __VA_ARGS__))
	if (*forward->address || *forward->dev)
		PUT("%s%s%s/", forward->address, *forward->dev ? "%" : "", forward->dev);
	for (size_t i = 0; i < forward->range_count; i++) {
		const struct domain_range *range = &forward->ranges[i];
		const unsigned int last = range->to + (unsigned int)(range->end - range->start);

		PUT("%s%s%u", i ? "," : "", range->exclude ? "~" : "", range->start);
		if (range->end != range->start)
			PUT("-%u", range->end);
		if (range->to != range->start && range->end != range->start)
			PUT(":%u-%u", range->to, last);
		else if (range->to != range->start)
			PUT(":%u", range->to);
	}
	if (!forward->range_count)
		PUT("all");
#undef PUT
	add(args, "-%c%s", forward->udp ? 'u' : 't', text);
}

void passt_arguments(const struct domain_nic *nic, struct passt_arguments *ret)
{
	*ret = (struct passt_arguments){.count = 0};
	add(ret, "-f");
	add(ret, "-e");
	add(ret, "-F0");
	add(ret, "-m%u", nic->mtu);
	if (nic->source)
		add(ret, "-i%s", nic->source);
	for (size_t i = 0; i < nic->address_count; i++)
		add_address(ret, &nic->addresses[i]);
	for (size_t i = 0; i < nic->forward_count; i++)
		add_forward(ret, &nic->forwards[i]);
}

uint32_t passt_room(int fd)
{
	const int wanted = ROOM;
	socklen_t len = sizeof(int);
	int room = 0;

	/* The second one is held to net.core.wmem_max. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &len) < 0)
		return 0;
	return MIN((uint32_t)room / (SEGMENTS_AT_ONCE * CONNECTIONS), SEGMENT_MAX);
}
