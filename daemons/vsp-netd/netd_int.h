/* SPDX-License-Identifier: Apache-2.0 */
/* What netd.c and netd_change.c know of each other. */
#ifndef NETD_NETD_INT_H
#define NETD_NETD_INT_H

#include "netd.h"
#include "proto/methods.h"

#define NETD_NAME_LEN (SETTINGS_ALIAS_MAX + 16u)

enum netd_presence {
	NETD_PRESENT,
	NETD_ARRIVING, /* its offers are not taken yet */
	NETD_LEAVING,  /* the guest has been told that the link is down */
	NETD_GOING,    /* its offers are withdrawn */
};

struct netd_nic {
	struct netvsp netvsp;
	struct port *port;
	enum netd_presence presence;
	bool known; /* whether a guest has it: its port knows, too */
};

struct netd {
	struct loop *loop;
	struct vsp *vsp;
	struct kept *kept;
	struct stats *stats; /* the vsp's; NULL: nothing is counted */
	struct netd_nic *nic[SETTINGS_NICS_MAX];
	size_t nics;
	struct loop_source *tick, *teller;
	bool gathered;	      /* what a predecessor's guest has open has been asked for */
	uint64_t patience_ns; /* until then a worker that is too old to say so may ask */

	/* the change under way; NULL: there is none */
	struct vsp_change *call;
	struct netd_nic *changing;
	unsigned int answers; /* that are missing, of an attach */
	struct err refused;
	uint32_t timeout_ms;
	uint64_t deadline_ns, quiet_ns, packets;
	bool begins; /* netvsp_begins(), when that was looked at last */

	uint8_t told[VSP_STATUS_MAX];
	size_t told_len;
};

/* ---- netd.c ---- */

/** netd_on_changed - the manager is to hear of it. @arg: the netd. */
void netd_on_changed(void *arg);
/** netd_find - NULL: there is none. */
struct netd_nic *netd_find(const struct netd *netd, const struct abi_guid *instance);
/**
 * netd_add - plug in one more.
 * @fds: those that @settings name are taken over, also on failure. Return: 0; a negative errno with a line.
 */
int netd_add(struct netd *netd, const struct nic_settings *settings, int *fds, size_t nfds, struct netd_nic **ret_nic,
	     struct err *err);
/** netd_observe_nic - it is counted from now on. @fresh: it has just come; else a predecessor may have counted it. */
void netd_observe_nic(struct netd *netd, struct netd_nic *nic, bool fresh);
/** netd_remove - for good: another one may come to its place. */
void netd_remove(struct netd *netd, struct netd_nic *nic);
/** netd_offer_name - the primary channel has the NIC's name. */
void netd_offer_name(const struct netd_nic *nic, uint32_t channel, char ret[NETD_NAME_LEN]);
void netd_describe_offer(const struct netd_nic *nic, uint32_t channel, char name[NETD_NAME_LEN],
			 struct vsp_offer_desc *ret);
const struct vsp_device_ops *netd_ops_of(uint32_t channel);
/** netd_withdraw - all of its offers. Return: whether one is left. */
bool netd_withdraw(struct netd *netd, const struct netd_nic *nic);

/* ---- netd_change.c ---- */

/** netd_on_tick - the change under way goes on. @arg: the netd. */
void netd_on_tick(void *arg);

#endif
