/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/nvsp.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "base/log.h"
#include "netd_int.h"

#define OFFER_FLAGS 0x7u /* the guest may talk to the device; transfer pages, GPADLs */

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

/* What comes for a NIC that no guest has open is dropped from now on. */
static void look_for_guests(struct netd *netd)
{
	for (size_t i = 0; i < netd->nics; i++) {
		struct netd_nic *nic = netd->nic[i];

		if (!nic->known && !netvsp_guest_has(&nic->netvsp) && !vsp_hands_over(netd->vsp))
			port_connect(nic->port, NULL);
		nic->known = true;
	}
}

static void on_teller(void *arg)
{
	struct nic_status list[SETTINGS_NICS_MAX];
	struct netd *netd = arg;
	uint64_t now_ns = clock_now_ns();
	uint8_t now[VSP_STATUS_MAX];
	size_t len;

	if (!netd->gathered && !vsp_gathering(netd->vsp))
		netd->gathered = now_ns >= netd->patience_ns;
	if (netd->gathered)
		look_for_guests(netd);
	for (size_t i = 0; i < netd->nics; i++)
		fill_status(netd->nic[i], &list[i]);
	len = settings_pack_status(list, netd->nics, now, sizeof(now));
	loop_arm(netd->teller, now_ns < netd->patience_ns ? netd->patience_ns - now_ns : NETD_LOOK_NS);
	if (len == 0 || (len == netd->told_len && !memcmp(now, netd->told, len)))
		return;
	if (vsp_tell(netd->vsp, now, len) < 0)
		return;
	memcpy(netd->told, now, len);
	netd->told_len = len;
}

void netd_on_changed(void *arg)
{
	struct netd *netd = arg;

	loop_arm(netd->teller, NETD_TELL_NS);
}

void netd_gathered(struct netd *netd)
{
	netd->gathered = true;
	look_for_guests(netd);
	netd_on_changed(netd);
}

/* ---- NICs ---- */

struct netd_nic *netd_find(const struct netd *netd, const struct abi_guid *instance)
{
	for (size_t i = 0; i < netd->nics; i++)
		if (!memcmp(&netd->nic[i]->netvsp.settings.instance, instance, sizeof(*instance)))
			return netd->nic[i];
	return NULL;
}

int netd_add(struct netd *netd, const struct nic_settings *settings, int *fds, size_t nfds, struct netd_nic **ret_nic,
	     struct err *err)
{
	struct netd_nic *nic = calloc(1, sizeof(*nic));
	void *memory = kept_memory(netd->kept, &settings->instance);
	int r;

	if (!nic || !memory || netd->nics == SETTINGS_NICS_MAX) {
		free(nic);
		return err_set(err, nic ? -ENOSPC : -ENOMEM, "NIC %s: there is no room for it: at most %u NICs",
			       settings->alias, SETTINGS_NICS_MAX);
	}
	r = port_new(netd->loop, settings, fds, nfds, memory, vsp_generation(netd->vsp), &nic->port, err);
	if (r < 0) {
		free(nic);
		return r;
	}
	netvsp_init(&nic->netvsp, netd->vsp, nic->port, settings, netvsp_sub_channels(vsp_cpus(netd->vsp)));
	nic->netvsp.changed = netd_on_changed;
	nic->netvsp.changed_arg = netd;
	netd->nic[netd->nics++] = nic;
	*ret_nic = nic;
	return 0;
}

void netd_observe_nic(struct netd *netd, struct netd_nic *nic, bool fresh)
{
	const struct nic_settings *settings = &nic->netvsp.settings;
	uint8_t place[STATS_PLACE_LEN] = {0};

	if (!netd->stats)
		return;
	memcpy(place, &settings->instance, sizeof(settings->instance));
	nic->netvsp.stats = stats_unit(netd->stats, STATS_NIC, settings->alias, place, fresh);
	port_observe(nic->port, nic->netvsp.stats);
	if (!nic->netvsp.stats)
		log_warn(settings->alias, "it is not counted: there are statistics of %u NICs already",
			 STATS_UNITS_MAX);
}

void netd_observe(struct netd *netd, struct stats *stats)
{
	netd->stats = stats;
	for (size_t i = 0; i < netd->nics; i++)
		netd_observe_nic(netd, netd->nic[i], false);
	stats_sweep(stats);
}

static void free_nic(struct netd_nic *nic)
{
	netvsp_done(&nic->netvsp);
	port_free(nic->port);
	free(nic);
}

void netd_remove(struct netd *netd, struct netd_nic *nic)
{
	struct abi_guid instance = nic->netvsp.settings.instance;
	size_t i = 0;

	while (netd->nic[i] != nic)
		i++;
	for (netd->nics--; i < netd->nics; i++)
		netd->nic[i] = netd->nic[i + 1];
	if (netd->stats)
		stats_unit_end(netd->stats, nic->netvsp.stats);
	free_nic(nic);
	kept_release(netd->kept, &instance);
	netd_on_changed(netd);
}

/* ---- offers ---- */

void netd_offer_name(const struct netd_nic *nic, uint32_t channel, char ret[NETD_NAME_LEN])
{
	if (channel == 0)
		snprintf(ret, NETD_NAME_LEN, "%s", nic->netvsp.settings.alias);
	else
		snprintf(ret, NETD_NAME_LEN, "%s.%u", nic->netvsp.settings.alias, channel);
}

void netd_describe_offer(const struct netd_nic *nic, uint32_t channel, char name[NETD_NAME_LEN],
			 struct vsp_offer_desc *ret)
{
	netd_offer_name(nic, channel, name);
	*ret = (struct vsp_offer_desc){
		.interface_guid = NVSP_NIC_INTERFACE_GUID,
		.instance_guid = nic->netvsp.settings.instance,
		.flags = OFFER_FLAGS,
		.subchannel_index = (uint16_t)channel,
		.name = name,
	};
}

const struct vsp_device_ops *netd_ops_of(uint32_t channel)
{
	return channel == 0 ? &netvsp_ops : &netvsp_sub_ops;
}

int netd_offer(struct netd *netd, struct err *err)
{
	struct vsp_offer_desc desc;
	char name[NETD_NAME_LEN];
	int r = 0;

	for (size_t i = 0; i < netd->nics; i++) {
		struct netd_nic *nic = netd->nic[i];

		for (uint32_t c = 0; r == 0 && c <= nic->netvsp.sub_channels; c++) {
			netd_describe_offer(nic, c, name, &desc);
			r = vsp_offer(netd->vsp, &desc, netd_ops_of(c), &nic->netvsp, err);
		}
	}
	if (vsp_generation(netd->vsp) > 0)
		netd->patience_ns = clock_now_ns() + NETD_LOOK_NS;
	if (r == 0)
		loop_arm(netd->teller, netd->patience_ns ? NETD_LOOK_NS : NETD_TELL_NS);
	return r;
}

bool netd_withdraw(struct netd *netd, const struct netd_nic *nic)
{
	bool any = false;
	char name[NETD_NAME_LEN];

	/* Sub-channels first. */
	for (uint32_t c = nic->netvsp.sub_channels + 1; c > 0; c--) {
		struct vsp_channel *channel;

		netd_offer_name(nic, c - 1, name);
		channel = vsp_offered(netd->vsp, name);
		any |= channel != NULL;
		if (channel && nic->presence != NETD_GOING)
			vsp_withdraw(channel);
	}
	return any;
}

/* ---- life ---- */

int netd_open(struct loop *loop, struct vsp *vsp, const struct settings *settings, int *fds, size_t nfds,
	      struct netd **ret_netd, struct err *err)
{
	struct netd *netd = calloc(1, sizeof(*netd));
	struct netd_nic *nic;
	int r = netd ? loop_add_timer(loop, netd_on_tick, netd, &netd->tick) : -ENOMEM;

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
		r = netd_add(netd, &settings->nic[i], fds, nfds, &nic, err);
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
