/* SPDX-License-Identifier: Apache-2.0 */
/* Changes, one at a time: attach, detach, set, capture. The theory is in netd.h. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "netd_int.h"

static void change_end(struct netd *netd, const struct err *err)
{
	struct vsp_change *call = take_ptr(netd->call);

	netd->changing = NULL;
	netd_on_changed(netd);
	if (call)
		vsp_changed(call, err);
}

/* Its offers are withdrawn: until they are gone. What is in the rings until then is answered first. */
static void begin_to_go(struct netd *netd, struct netd_nic *nic)
{
	netvsp_refuse(&nic->netvsp);
	(void)netd_withdraw(netd, nic);
	nic->presence = NETD_GOING;
	loop_arm(netd->tick, 0);
}

static void on_offer_over(void *arg, const struct err *err)
{
	struct netd *netd = arg;
	static const struct err none;

	if (err->code && !netd->refused.code)
		netd->refused = *err;
	if (--netd->answers > 0 || !netd->changing || vsp_hands_over(netd->vsp))
		return;
	netd->changing->presence = NETD_PRESENT;
	if (netd->refused.code)
		begin_to_go(netd, netd->changing);
	else
		change_end(netd, &none);
}

static void attach(struct netd *netd, const struct nic_settings *settings, int *fds, size_t nfds, struct err *err)
{
	struct netd_nic *nic = netd_find(netd, &settings->instance);
	struct vsp_offer_desc desc;
	char name[NETD_NAME_LEN];
	int r;

	if (nic) {
		/* of a predecessor, which did not live to answer */
		change_end(netd, err);
		return;
	}
	netd_offer_name(&(struct netd_nic){.netvsp.settings = *settings}, 0, name);
	if (vsp_offered(netd->vsp, name)) {
		err_set(err, -EEXIST, "NIC %s: there is one of this name already", settings->alias);
		return;
	}
	if (netd_add(netd, settings, fds, nfds, &nic, err) < 0) {
		kept_release(netd->kept, &settings->instance);
		return;
	}
	netd_observe_nic(netd, nic, true);
	nic->presence = NETD_ARRIVING;
	netd->changing = nic;
	netd->answers = 1; /* ours */
	netd->refused = (struct err){0};
	for (uint32_t c = 0; c <= nic->netvsp.sub_channels; c++) {
		netd_describe_offer(nic, c, name, &desc);
		r = vsp_offer_begin(netd->vsp, &desc, netd_ops_of(c), &nic->netvsp, on_offer_over, netd);
		if (r == 0)
			netd->answers++;
		else if (!netd->refused.code)
			err_set(&netd->refused, r, "NIC %s: it cannot be offered: %s", settings->alias, err_name(r));
	}
	on_offer_over(netd, &(struct err){0});
}

static void detach(struct netd *netd, struct netd_nic *nic, uint32_t timeout_ms)
{
	netd->changing = nic;
	netd->timeout_ms = timeout_ms;
	netd->refused = (struct err){0};
	netd->quiet_ns = clock_now_ns();
	netd->deadline_ns = netd->quiet_ns + (timeout_ms ? timeout_ms * NS_PER_MS : NETD_FORCE_NS);
	netd->packets = nic->netvsp.packets;
	netd->begins = netvsp_begins(&nic->netvsp);
	if (!netvsp_guest_has(&nic->netvsp)) {
		begin_to_go(netd, nic);
		return;
	}
	nic->presence = NETD_LEAVING;
	netvsp_leave(&nic->netvsp, true);
	if (timeout_ms == 0)
		netvsp_refuse(&nic->netvsp);
	loop_arm(netd->tick, NETD_TICK_NS);
}

/* For how long; of a timeout that is hardly longer the half, but not in the middle of its set-up. */
static uint64_t quiet_needed(const struct netd *netd, const struct netd_nic *nic)
{
	uint64_t ns = nic->netvsp.hashes ? NETD_QUIET_NS : NETD_SETUP_NS;

	if (netvsp_begins(&nic->netvsp))
		return NETD_BEGIN_NS;
	return netd->timeout_ms ? MIN(ns, netd->timeout_ms * NS_PER_MS / 2) : ns;
}

/* Return: whether the guest sends nothing any more. */
static bool is_quiet(struct netd *netd, const struct netd_nic *nic, uint64_t now_ns)
{
	const bool begins = netvsp_begins(&nic->netvsp);

	if (!netvsp_guest_has(&nic->netvsp))
		return true;
	/* What it waits for must not be left unanswered: it would wait for ever. */
	if (nic->netvsp.packets != netd->packets || begins != netd->begins || netvsp_owes(&nic->netvsp) ||
	    netvsp_guest_holds(&nic->netvsp)) {
		netd->packets = nic->netvsp.packets;
		netd->begins = begins;
		netd->quiet_ns = now_ns;
	}
	return now_ns - netd->quiet_ns >= quiet_needed(netd, nic);
}

static void give_up(struct netd *netd, struct netd_nic *nic)
{
	const bool begins = netvsp_begins(&nic->netvsp);
	struct err err = {0};

	nic->presence = NETD_PRESENT;
	netvsp_leave(&nic->netvsp, false);
	err_set(&err, -ETIMEDOUT, "NIC %s: the guest %s for %u.%u s: it stays; %s, or force it out",
		nic->netvsp.settings.alias,
		begins ? "has been setting it up" : "was told that its link is down, and went on using it",
		netd->timeout_ms / 1000, netd->timeout_ms % 1000 / 100,
		begins ? "try again" : "stop its use in the guest");
	log_warn(nic->netvsp.settings.alias, "%s", err.text);
	change_end(netd, &err);
}

void netd_on_tick(void *arg)
{
	struct netd *netd = arg;
	struct netd_nic *nic = netd->changing;
	uint64_t now_ns = clock_now_ns();

	/* Whose channels are closed for a successor, has not let go of anything: that is asked the same. */
	if (!nic || vsp_hands_over(netd->vsp))
		return;
	if (nic->presence == NETD_LEAVING && is_quiet(netd, nic, now_ns)) {
		begin_to_go(netd, nic);
		return;
	}
	if (nic->presence == NETD_LEAVING && now_ns >= netd->deadline_ns) {
		if (netd->timeout_ms == 0)
			begin_to_go(netd, nic);
		else
			give_up(netd, nic);
		return;
	}
	if (nic->presence == NETD_GOING && !netd_withdraw(netd, nic)) {
		struct err err = netd->refused;

		netd_remove(netd, nic);
		change_end(netd, &err);
		return;
	}
	loop_arm(netd->tick, NETD_TICK_NS);
}

static void set(struct netd *netd, struct netd_nic *nic, const struct nic_settings *settings, int *fds, size_t nfds,
		struct err *err)
{
	if (strcmp(settings->alias, nic->netvsp.settings.alias) != 0) {
		err_set(err, -EINVAL, "NIC %s: it cannot become %s", nic->netvsp.settings.alias, settings->alias);
		return;
	}
	if (port_change(nic->port, settings, nfds > 0 ? &fds[0] : &(int){-1}, err) == 0) {
		netvsp_set(&nic->netvsp, settings);
		change_end(netd, err);
	}
}

static void capture(struct netd *netd, struct netd_nic *nic, const struct nic_change *change, int *fds, size_t nfds,
		    struct err *err)
{
	int fd = nfds > 0 ? take_fd(&fds[0]) : -1;

	if (port_capture(nic->port, fd, change->filter, change->filter_len, change->snap_len, err) == 0)
		change_end(netd, err);
}

void netd_change(struct netd *netd, const struct nic_change *change, int *fds, size_t nfds, struct vsp_change *call)
{
	struct netd_nic *nic = netd_find(netd, &change->instance);
	struct err err = {0};

	if (netd->call)
		err_set(&err, -EBUSY, "another NIC is being attached or detached");
	else if (!nic && change->kind != NIC_ATTACH)
		err_set(&err, -ENOENT, "there is no such NIC");
	if (err.code) {
		vsp_changed(call, &err);
		return;
	}
	netd->call = call;
	if (change->kind == NIC_ATTACH)
		attach(netd, &change->nic, fds, nfds, &err);
	else if (change->kind == NIC_DETACH)
		detach(netd, nic, change->timeout_ms);
	else if (change->kind == NIC_SET)
		set(netd, nic, &change->nic, fds, nfds, &err);
	else
		capture(netd, nic, change, fds, nfds, &err);
	if (err.code)
		change_end(netd, &err);
}
