/* SPDX-License-Identifier: Apache-2.0 */
/* Network interfaces, in the network namespace that the caller is in. All return a negative errno if they fail. */
#ifndef BENCH_NETDEV_H
#define BENCH_NETDEV_H

#include <stdbool.h>
#include <stdint.h>

/** netdev_enter_namespace - be in a new network namespace, in which we may do all. */
int netdev_enter_namespace(void);
/** netdev_enter_users - be in a new user namespace, as root there, with all that is mapped in this one. */
int netdev_enter_users(void);

/** netdev_tap - make a tap that is up, and says nothing by itself. @flags: besides IFF_TAP and IFF_NO_PI. @mac: NULL:
 * any. Return: its descriptor, which does not block. */
int netdev_tap(const char *name, short flags, const uint8_t *mac);
int netdev_up(const char *name);
/** netdev_address - an IPv4 address, with /24; netdev_gateway - the way to everybody. */
int netdev_address(const char *name, const char *address);
int netdev_gateway(const char *gateway);
/** netdev_stock_tcp - what TCP may buffer in this namespace, as Linux sets it by itself; else it is what this machine
 * was tuned to, which no guest knows of. */
int netdev_stock_tcp(void);

/** netdev_received - frames that have come out of the interface, and their bytes; 0: there is none of this name. */
unsigned long netdev_received(const char *name, unsigned long *ret_bytes);

#endif
