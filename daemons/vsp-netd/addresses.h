/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP addresses that a guest was seen to use: it says so in ARP and neighbour discovery, or a DHCP server has given it
 * one. For people to read; nothing is decided by them.
 *
 * Limits: ADDRESSES_MAX, the newest first; what is not seen any more goes when there are newer ones.
 */
#ifndef NETD_ADDRESSES_H
#define NETD_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "headers.h"
#include "port.h"

#define ADDRESSES_MAX	   16u
#define ADDRESSES_DHCP_LEN 700u /* bytes of a frame within which its DHCP options are looked for */

struct addresses {
	size_t count;
	struct port_address address[ADDRESSES_MAX]; /* the newest first */
};

/** addresses_sent - a frame of the guest's, that it may send. @head: its first @len bytes, private; @headers: of it. */
void addresses_sent(struct addresses *addresses, const uint8_t *head, size_t len, const struct headers *headers);

/** addresses_dhcp - whether a frame for the guest may be a DHCP server's. @head: as above. */
bool addresses_dhcp(const uint8_t *head, const struct headers *headers);
/** addresses_given - such a frame's first @len bytes, ADDRESSES_DHCP_LEN at most, private. @mac: the guest's. */
void addresses_given(struct addresses *addresses, const uint8_t *frame, size_t len, const struct headers *headers,
		     const uint8_t *mac);

#endif
