/* SPDX-License-Identifier: Apache-2.0 */
/* What is where in the packets that policies and learned addresses are about. Spec: RFC 826, 791, 8200, 4443, 4861,
 * 2131. */
#ifndef NETD_IP_H
#define NETD_IP_H

#include <stddef.h>
#include <stdint.h>

#define TYPE_IPV4   0x0800u
#define TYPE_ARP    0x0806u
#define TYPE_IPV6   0x86ddu
#define TYPE_8021AD 0x88a8u

#define ARP_ETHERNET   1u
#define ARP_LEN	       28u
#define ARP_SENDER_MAC 8u
#define ARP_SENDER_IP  14u

#define IPV4_SOURCE	 12u
#define IPV6_SOURCE	 8u
#define IPV6_ADDRESS_LEN 16u

#define PROTOCOL_ICMP6		      58
#define ICMP6_LISTENER_REPORT	      131u
#define ICMP6_LISTENER_DONE	      132u
#define ICMP6_LISTENER_REPORT_2	      143u
#define ICMP6_ROUTER_SOLICITATION     133u
#define ICMP6_ROUTER_ADVERTISEMENT    134u
#define ICMP6_NEIGHBOUR_SOLICITATION  135u
#define ICMP6_NEIGHBOUR_ADVERTISEMENT 136u
#define ICMP6_REDIRECT		      137u
#define ND_TARGET		      8u
#define ND_SOURCE_MAC		      1u
#define ND_TARGET_MAC		      2u

#define DHCP_SERVER_PORT 67u
#define DHCP_CLIENT_PORT 68u

/**
 * ip6_find - the protocol behind IPv6's extension headers.
 * @head: the first @len bytes of a frame, whose IPv6 header, all of it there, begins at @network.
 * @ret_at: where it begins, perhaps behind the end of @head.
 * Return: its number; -EPROTO: not within @head, or in fragments and not to be told apart. Context: any thread.
 */
int ip6_find(const uint8_t *head, size_t len, size_t network, size_t *ret_at);

#endif
