/* SPDX-License-Identifier: Apache-2.0 */
#include "ip.h"

#include <errno.h>
#include <stdbool.h>

#include "base/bytes.h"

#define IPV6_HEADER_LEN	     40u
#define PROTOCOL_HOP_BY_HOP  0
#define PROTOCOL_ROUTING     43
#define PROTOCOL_FRAGMENT    44
#define PROTOCOL_DESTINATION 60
#define EXTENSIONS_MAX	     16u

static bool is_extension(int protocol)
{
	return protocol == PROTOCOL_HOP_BY_HOP || protocol == PROTOCOL_ROUTING || protocol == PROTOCOL_DESTINATION;
}

/* In a later fragment nothing is where it would be; neighbour discovery is never in fragments (RFC 6980). */
int ip6_find(const uint8_t *head, size_t len, size_t network, size_t *ret_at)
{
	size_t at = network + IPV6_HEADER_LEN;
	int protocol = head[network + 6];

	for (unsigned int i = 0; is_extension(protocol); i++) {
		if (i == EXTENSIONS_MAX || at + 2 > len)
			return -EPROTO;
		protocol = head[at];
		at += ((size_t)head[at + 1] + 1) * 8;
	}
	if (protocol == PROTOCOL_FRAGMENT && (at >= len || head[at] == PROTOCOL_ICMP6 || is_extension(head[at])))
		return -EPROTO;
	*ret_at = at;
	return protocol;
}
