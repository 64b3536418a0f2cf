/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which frames a guest is to get: those to its address, to groups that it has joined, to all, as its packet filter
 * says; others only if it may be promiscuous. Once in C, once as a program that the kernel runs. Pure functions.
 */
#ifndef NETD_FILTER_H
#define NETD_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oid.h"

struct filter {
	uint32_t kinds; /* RNDIS_FILTER_*; 0: no frame at all */
	uint8_t mac[MAC_LEN];
	unsigned int groups; /* of FILTER_MULTICAST */
	uint8_t group[OID_MULTICAST_MAX][MAC_LEN];
};

/** filter_set - @guest: what it has set; valid. @mac: the host's address of the NIC. */
void filter_set(struct filter *filter, const struct oid_settings *guest, const uint8_t mac[MAC_LEN],
		bool may_change_mac, bool may_be_promiscuous);

/** filter_passes - @destination: a frame's. */
bool filter_passes(const struct filter *filter, const uint8_t destination[MAC_LEN]);

#define FILTER_PROGRAM_MAX (16u + 5u * OID_MULTICAST_MAX)

/** filter_program - the same, over a frame. Return: instructions in @ret, at most FILTER_PROGRAM_MAX. */
size_t filter_program(const struct filter *filter, struct sock_filter *ret);

#endif
