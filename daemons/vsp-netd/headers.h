/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet, IP, TCP and UDP headers of a frame: where they begin, and no more. Pure functions. */
#ifndef NETD_HEADERS_H
#define NETD_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEADERS_MAX 256u /* bytes of a frame within which its headers are looked for */

#define ETHERNET_HEADER_LEN 14u

enum headers_network {
	HEADERS_OTHER,
	HEADERS_IPV4,
	HEADERS_IPV6,
};

enum headers_transport {
	HEADERS_NO_TRANSPORT, /* another protocol, a fragment, or not within HEADERS_MAX */
	HEADERS_TCP,
	HEADERS_UDP,
};

struct headers {
	bool tagged;	    /* IEEE 802.1Q */
	uint16_t tag;	    /* its control information, host order */
	uint16_t type;	    /* EtherType behind the tag, host order */
	uint16_t network;   /* where the network header begins; Ethernet and one tag lie before it */
	uint16_t transport; /* where TCP or UDP begins */
	uint16_t payload;   /* where their payload begins; of a frame cut short, beyond its end */
	enum headers_network network_type;
	enum headers_transport transport_type;
};

/**
 * headers_parse - @frame: its first @len bytes, a private copy; more than HEADERS_MAX are not looked at.
 * Return: 0; -EPROTO: shorter than an Ethernet header. What is not understood is HEADERS_OTHER, HEADERS_NO_TRANSPORT.
 * Context: any thread.
 */
int headers_parse(const uint8_t *frame, size_t len, struct headers *ret_headers);

#endif
