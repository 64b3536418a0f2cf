/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker for NICs: the only code that makes network devices. What it hands back is closed on exec.
 *
 * A tap lives as long as a descriptor of it: the worker's, in the end. A macvtap does not: broker_nic_gone() removes
 * it. Ports of Open vSwitch are ovs.h's.
 */
#ifndef VMMGMTD_BROKER_NIC_H
#define VMMGMTD_BROKER_NIC_H

#include <stdbool.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "domain.h"

/** broker_nic_calls - what this needs in the sandbox. */
extern const struct syscall_list broker_nic_calls;

/**
 * broker_open_nic - make the device of a NIC that is no stream, and open each of its queues; it is up, has the NIC's
 * MTU, and is where it belongs.
 * @ret_fds: room for nic->queues.
 * Return: 0; a negative errno with one line that says what to do, and nothing is left.
 */
int broker_open_nic(const struct domain_nic *nic, struct err *err, int *ret_fds);

/** broker_nic_name - of the device of a NIC that is no stream: <target dev=>, else one of its own, from its MAC
 * address.
 */
void broker_nic_name(const struct domain_nic *nic, char ret[DOMAIN_IFNAME_MAX]);

/** broker_nic_set_mtu - give its device the NIC's MTU; a tap that was there stays as it is. Return: 0; a negative errno
 * with a line. */
int broker_nic_set_mtu(const struct domain_nic *nic, struct err *err);

/** broker_nic_plugged - whether frames can pass at the host's side: its device is there and up, on its bridge, which is
 * up; what is below a macvtap has a carrier. Also true if nobody knows. */
bool broker_nic_plugged(const struct domain_nic *nic);

/** broker_nic_gone - remove what does not go by itself, if it is there: a macvtap with the NIC's name and address.
 * Other devices of that name are not the NIC's, and stay. */
void broker_nic_gone(const struct domain_nic *nic);

#endif
