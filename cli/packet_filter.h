/* SPDX-License-Identifier: Apache-2.0 */
/* Filters for packets, as tcpdump takes them. */
#ifndef CLI_PACKET_FILTER_H
#define CLI_PACKET_FILTER_H

#include "base/err.h"

#define PACKET_FILTER_MAX 256u /* instructions */

/**
 * packet_filter_compile - @text (pcap-filter(7)) to classic BPF over Ethernet frames.
 * @ret: NULL-terminated lines "CODE JT JF K", heap: packet_filter_free().
 * Return: 0; -EINVAL, -E2BIG, -ENOENT (libpcap is not installed) with a line.
 */
int packet_filter_compile(const char *text, struct err *err, char ***ret);
/** packet_filter_free - NULL is allowed. */
void packet_filter_free(char **lines);

#endif
