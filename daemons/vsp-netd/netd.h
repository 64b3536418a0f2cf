/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole of one vsp-netd: its NICs, each with its port and its offers.
 *
 * Theory of operation: NICs that the configuration names are plugged in and offered before vsp_ready(); others come and
 * go while the guest runs, one change at a time.
 *
 *   ATTACH   the port is plugged in, all channels are offered; done when the worker has taken the offers.
 *   DETACH   the guest is told that the link is down: then it sends nothing more. Once nothing has come for
 *            NETD_QUIET_NS, and all sections of the receive buffer have come back, the offers are withdrawn; done when
 *            they are gone. A guest that goes on keeps its NIC, and the link comes back. A driver that has requests in
 *            a ring which nobody reads any more waits for them for ever (Linux: with the lock of all its network
 *            devices): therefore, and one that is setting the NIC up has longer, for it may think between two
 *            requests: NETD_BEGIN_NS, and NETD_SETUP_NS until RSS is set, which is the last thing that drivers with
 *            several channels do; of others nothing tells. By force (without a timeout) it is the same, but that from
 *            the beginning nothing passes: what the guest sends is answered with a failure; and after NETD_FORCE_NS
 *            the rings are emptied so once more, and the NIC goes whatever the guest does.
 *   SET      port and NIC are told.
 *   CAPTURE  the port is.
 *
 * A change that is under way when another process is about to serve stands still: that one is asked the same.
 * What has changed is told to the manager NETD_TELL_NS later, all at once.
 *
 * A successor's ports take nothing, and drop nothing, before it is known which NICs the guest has open: the worker says
 * when that is (netd_gathered()); a worker that does not is given NETD_LOOK_NS.
 *
 * Limits: SETTINGS_NICS_MAX NICs.
 */
#ifndef NETD_NETD_H
#define NETD_NETD_H

#include "kept.h"
#include "netvsp.h"

#define NETD_TICK_NS  (20 * NS_PER_MS)
#define NETD_QUIET_NS (300 * NS_PER_MS)
#define NETD_SETUP_NS NS_PER_SEC       /* of one that may still be setting it up */
#define NETD_BEGIN_NS (5 * NS_PER_SEC) /* of one that is: a driver may have given up there */
#define NETD_FORCE_NS (3 * NS_PER_SEC)
#define NETD_TELL_NS  (100 * NS_PER_MS)
#define NETD_LOOK_NS  (2 * NS_PER_SEC) /* addresses that are seen tell nobody, nor does an old worker */

struct netd;

/**
 * netd_open - plug in what @settings name.
 * @fds: @nfds of them, taken over, also on failure. Return: 0; a negative errno with a line that says what to do.
 */
int netd_open(struct loop *loop, struct vsp *vsp, const struct settings *settings, int *fds, size_t nfds,
	      struct netd **ret_netd, struct err *err);
/** netd_observe - its NICs are counted in @stats from now on, those that a predecessor had where that stopped. After
 * netd_open(), before netd_offer(). */
void netd_observe(struct netd *netd, struct stats *stats);
/** netd_offer - before vsp_ready(). */
int netd_offer(struct netd *netd, struct err *err);
/** netd_free - before vsp_free(). NULL is allowed. */
void netd_free(struct netd *netd);

/** netd_gathered - vsp_config.gathered(): for a NIC that is not open nobody waits. After netd_offer(). */
void netd_gathered(struct netd *netd);

size_t netd_nics(const struct netd *netd);

/**
 * netd_change - after vsp_ready(). @fds: @nfds of them; those that are taken over are set to -1. @call: answered with
 * vsp_changed(), perhaps before this returns.
 */
void netd_change(struct netd *netd, const struct nic_change *change, int *fds, size_t nfds, struct vsp_change *call);

#endif
