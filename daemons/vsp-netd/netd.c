/* SPDX-License-Identifier: Apache-2.0 */
#include "netd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/nvsp.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "proto/methods.h"

#define OFFER_FLAGS 0x7u /* the guest may talk to the device; transfer pages, GPADLs */
#define NAME_LEN    (SETTINGS_ALIAS_MAX + 16u)

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
	bool known; /* whether a guest has it */
};

struct netd {
	struct loop *loop;
	struct vsp *vsp;
	struct kept *kept;
	struct netd_nic *nic[SETTINGS_NICS_MAX];
	size_t nics;
	struct loop_source *tick, *teller;

	/* the change under way; NULL: there is none */
	struct vsp_change *call;
	struct netd_nic *changing;
	unsigned int answers; /* that are missing, of an attach */
	struct err refused;
	uint32_t timeout_ms;
	uint64_t deadline_ns, quiet_ns, packets;

	uint8_t told[VSP_STATUS_MAX];
	size_t told_len;
};

/* ---- what the manager hears ---- */

static void fill_status(const struct netd_nic *nic, struct nic_status *ret)
{
	struct port_address seen[SETTINGS_STATUS_ADDRESSES];

	*ret = (struct nic_status){
		.alias = nic->netvsp.settings.alias,
		.link = port_link(nic->port),
		.peer_gone = port_peer_gone(nic->port),
		.capturing = port_capturing(nic->port),
		.dropped = netvsp_dropped(&nic->netvsp),
		.addresses = port_addresses(nic->port, seen, ARRAY_SIZE(seen)),
	};
	netvsp_mac(&nic->netvsp, ret->mac);
	for (size_t i = 0; i < ret->addresses; i++) {
		ret->address[i].family = seen[i].family;
		memcpy(ret->address[i].bytes, seen[i].bytes, sizeof(seen[i].bytes));
	}
}

static void on_teller(void *arg)
{
	struct nic_status list[SETTINGS_NICS_MAX];
	struct netd *netd = arg;
	uint8_t now[VSP_STATUS_MAX];
	size_t len;

	for (size_t i = 0; i < netd->nics; i++) {
		/* By now the worker has said what a predecessor's guest has open. */
		if (!netd->nic[i]->known && !netvsp_guest_has(&netd->nic[i]->netvsp))
			port_connect(netd->nic[i]->port, NULL);
		netd->nic[i]->known = true;
		fill_status(netd->nic[i], &list[i]);
	}
	len = settings_pack_status(list, netd->nics, now, sizeof(now));
	loop_arm(netd->teller, NETD_LOOK_NS);
	if (len == 0 || (len == netd->told_len && !memcmp(now, netd->told, len)))
		return;
	if (vsp_tell(netd->vsp, now, len) < 0)
		return;
	memcpy(netd->told, now, len);
	netd->told_len = len;
}

static void on_changed(void *arg)
{
	struct netd *netd = arg;

	loop_arm(netd->teller, NETD_TELL_NS);
}

/* ---- NICs ---- */

static struct netd_nic *find(const struct netd *netd, const struct abi_guid *instance)
{
	for (size_t i = 0; i < netd->nics; i++)
		if (!memcmp(&netd->nic[i]->netvsp.settings.instance, instance, sizeof(*instance)))
			return netd->nic[i];
	return NULL;
}

/* @fds: those that @settings name are taken over, also on failure. */
static int add_nic(struct netd *netd, const struct nic_settings *settings, int *fds, size_t nfds,
		   struct netd_nic **ret_nic, struct err *err)
{
	struct netd_nic *nic = calloc(1, sizeof(*nic));
	void *memory = kept_memory(netd->kept, &settings->instance);
	int r;

	if (!nic || !memory || netd->nics == SETTINGS_NICS_MAX) {
		free(nic);
		return err_set(err, nic ? -ENOSPC : -ENOMEM, "NIC %s: there is no room for it: at most %u NICs",
			       settings->alias, SETTINGS_NICS_MAX);
	}
	r = port_new(netd->loop, settings, fds, nfds, memory, &nic->port, err);
	if (r < 0) {
		free(nic);
		return r;
	}
	netvsp_init(&nic->netvsp, netd->vsp, nic->port, settings, netvsp_sub_channels(vsp_cpus(netd->vsp)));
	nic->netvsp.changed = on_changed;
	nic->netvsp.changed_arg = netd;
	netd->nic[netd->nics++] = nic;
	*ret_nic = nic;
	return 0;
}

static void free_nic(struct netd_nic *nic)
{
	netvsp_done(&nic->netvsp);
	port_free(nic->port);
	free(nic);
}

/* For good: another one may come to its place. */
static void remove_nic(struct netd *netd, struct netd_nic *nic)
{
	struct abi_guid instance = nic->netvsp.settings.instance;
	size_t i = 0;

	while (netd->nic[i] != nic)
		i++;
	for (netd->nics--; i < netd->nics; i++)
		netd->nic[i] = netd->nic[i + 1];
	free_nic(nic);
	kept_release(netd->kept, &instance);
	on_changed(netd);
}

/* ---- offers ---- */

/* The primary channel has the NIC's name. */
static void offer_name(const struct netd_nic *nic, uint32_t channel, char ret[NAME_LEN])
{
	if (channel == 0)
		snprintf(ret, NAME_LEN, "%s", nic->netvsp.settings.alias);
	else
		snprintf(ret, NAME_LEN, "%s.%u", nic->netvsp.settings.alias, channel);
}

static void describe_offer(const struct netd_nic *nic, uint32_t channel, char name[NAME_LEN],
			   struct vsp_offer_desc *ret)
{
	offer_name(nic, channel, name);
	*ret = (struct vsp_offer_desc){
		.interface_guid = NVSP_NIC_INTERFACE_GUID,
		.instance_guid = nic->netvsp.settings.instance,
		.flags = OFFER_FLAGS,
		.subchannel_index = (uint16_t)channel,
		.name = name,
	};
}

static const struct vsp_device_ops *ops_of(uint32_t channel)
{
	return channel == 0 ? &netvsp_ops : &netvsp_sub_ops;
}

int netd_offer(struct netd *netd, struct err *err)
{
	struct vsp_offer_desc desc;
	char name[NAME_LEN];
	int r = 0;

	for (size_t i = 0; i < netd->nics; i++) {
		struct netd_nic *nic = netd->nic[i];

		for (uint32_t c = 0; r == 0 && c <= nic->netvsp.sub_channels; c++) {
			describe_offer(nic, c, name, &desc);
			r = vsp_offer(netd->vsp, &desc, ops_of(c), &nic->netvsp, err);
		}
	}
	if (r == 0)
		loop_arm(netd->teller, vsp_generation(netd->vsp) > 0 ? NETD_LOOK_NS : NETD_TELL_NS);
	return r;
}

/* Return: whether one of its offers is left. */
static bool withdraw(struct netd *netd, const struct netd_nic *nic)
{
	bool any = false;
	char name[NAME_LEN];

	/* Sub-channels first. */
	for (uint32_t c = nic->netvsp.sub_channels + 1; c > 0; c--) {
		struct vsp_channel *channel;

		offer_name(nic, c - 1, name);
		channel = vsp_offered(netd->vsp, name);
		any |= channel != NULL;
		if (channel && nic->presence != NETD_GOING)
			vsp_withdraw(channel);
	}
	return any;
}

/* ---- changes ---- */

static void change_end(struct netd *netd, const struct err *err)
{
	struct vsp_change *call = take_ptr(netd->call);

	netd->changing = NULL;
	on_changed(netd);
	if (call)
		vsp_changed(call, err);
}

/* Its offers are withdrawn: until they are gone. */
static void begin_to_go(struct netd *netd, struct netd_nic *nic)
{
	netvsp_refuse_waiting(&nic->netvsp);
	(void)withdraw(netd, nic);
	nic->presence = NETD_GOING;
	loop_arm(netd->tick, 0);
}

static void on_offer_over(void *arg, const struct err *err)
{
	struct netd *netd = arg;
	static const struct err none;

	if (err->code && !netd->refused.code)
		netd->refused = *err;
	if (--netd->answers > 0 || !netd->changing)
		return;
	netd->changing->presence = NETD_PRESENT;
	if (netd->refused.code)
		begin_to_go(netd, netd->changing);
	else
		change_end(netd, &none);
}

static void attach(struct netd *netd, const struct nic_settings *settings, int *fds, size_t nfds, struct err *err)
{
	struct netd_nic *nic = find(netd, &settings->instance);
	struct vsp_offer_desc desc;
	char name[NAME_LEN];
	int r;

	if (nic) {
		/* of a predecessor, which did not live to answer */
		change_end(netd, err);
		return;
	}
	offer_name(&(struct netd_nic){.netvsp.settings = *settings}, 0, name);
	if (vsp_offered(netd->vsp, name)) {
		err_set(err, -EEXIST, "NIC %s: there is one of this name already", settings->alias);
		return;
	}
	if (add_nic(netd, settings, fds, nfds, &nic, err) < 0) {
		kept_release(netd->kept, &settings->instance);
		return;
	}
	nic->presence = NETD_ARRIVING;
	netd->changing = nic;
	netd->answers = 1; /* ours */
	netd->refused = (struct err){0};
	for (uint32_t c = 0; c <= nic->netvsp.sub_channels; c++) {
		describe_offer(nic, c, name, &desc);
		r = vsp_offer_begin(netd->vsp, &desc, ops_of(c), &nic->netvsp, on_offer_over, netd);
		if (r == 0)
			netd->answers++;
		else if (!netd->refused.code)
			err_set(&netd->refused, r, "NIC %s: it cannot be offered: %s", settings->alias, err_name(r));
	}
	on_offer_over(netd, &(struct err){0});
}

static void set_link(struct netd_nic *nic, bool leaving)
{
	nic->netvsp.leaving = leaving;
	netvsp_set(&nic->netvsp, &nic->netvsp.settings);
}

static void detach(struct netd *netd, struct netd_nic *nic, uint32_t timeout_ms)
{
	netd->changing = nic;
	netd->timeout_ms = timeout_ms;
	netd->refused = (struct err){0};
	netd->quiet_ns = clock_now_ns();
	netd->deadline_ns = netd->quiet_ns + timeout_ms * NS_PER_MS;
	netd->packets = nic->netvsp.packets;
	if (timeout_ms == 0 || !netvsp_guest_has(&nic->netvsp)) {
		begin_to_go(netd, nic);
		return;
	}
	nic->presence = NETD_LEAVING;
	set_link(nic, true);
	loop_arm(netd->tick, NETD_TICK_NS);
}

/* Return: whether the guest sends nothing any more. */
static bool is_quiet(struct netd *netd, const struct netd_nic *nic, uint64_t now_ns)
{
	if (!netvsp_guest_has(&nic->netvsp))
		return true;
	/* What it waits for must not be left unanswered: it would wait for ever. */
	if (nic->netvsp.packets != netd->packets || netvsp_owes(&nic->netvsp)) {
		netd->packets = nic->netvsp.packets;
		netd->quiet_ns = now_ns;
	}
	return now_ns - netd->quiet_ns >= NETD_QUIET_NS;
}

static void give_up(struct netd *netd, struct netd_nic *nic)
{
	struct err err = {0};

	nic->presence = NETD_PRESENT;
	set_link(nic, false);
	err_set(&err, -ETIMEDOUT,
		"NIC %s: the guest was told that its link is down, and went on sending for %u.%u s: it stays; stop its "
		"use in the guest, or force it out",
		nic->netvsp.settings.alias, netd->timeout_ms / 1000, netd->timeout_ms % 1000 / 100);
	log_warn(nic->netvsp.settings.alias, "%s", err.text);
	change_end(netd, &err);
}

static void on_tick(void *arg)
{
	struct netd *netd = arg;
	struct netd_nic *nic = netd->changing;
	uint64_t now_ns = clock_now_ns();

	if (!nic)
		return;
	if (nic->presence == NETD_LEAVING && is_quiet(netd, nic, now_ns)) {
		begin_to_go(netd, nic);
		return;
	}
	if (nic->presence == NETD_LEAVING && now_ns >= netd->deadline_ns) {
		give_up(netd, nic);
		return;
	}
	if (nic->presence == NETD_GOING && !withdraw(netd, nic)) {
		struct err err = netd->refused;

		remove_nic(netd, nic);
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
	struct netd_nic *nic = find(netd, &change->instance);
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

/* ---- life ---- */

int netd_open(struct loop *loop, struct vsp *vsp, const struct settings *settings, int *fds, size_t nfds,
	      struct netd **ret_netd, struct err *err)
{
	struct netd *netd = calloc(1, sizeof(*netd));
	struct netd_nic *nic;
	int r = netd ? loop_add_timer(loop, on_tick, netd, &netd->tick) : -ENOMEM;

	if (r == 0)
		r = loop_add_timer(loop, on_teller, netd, &netd->teller);
	if (r < 0)
		err_set(err, r, "event loop: %s", err_name(r));
	if (netd) {
		netd->loop = loop;
		netd->vsp = vsp;
	}
	if (r == 0)
		r = kept_new(vsp, &netd->kept, err);
	for (size_t i = 0; r == 0 && i < settings->nics; i++)
		r = add_nic(netd, &settings->nic[i], fds, nfds, &nic, err);
	for (size_t i = 0; i < nfds; i++)
		fd_close(&fds[i]);
	if (r < 0) {
		netd_free(netd);
		return r;
	}
	*ret_netd = netd;
	return 0;
}

void netd_free(struct netd *netd)
{
	if (!netd)
		return;
	loop_remove(&netd->tick);
	loop_remove(&netd->teller);
	for (size_t i = 0; i < netd->nics; i++)
		free_nic(netd->nic[i]);
	kept_free(netd->kept);
	free(netd);
}

size_t netd_nics(const struct netd *netd)
{
	return netd->nics;
}
