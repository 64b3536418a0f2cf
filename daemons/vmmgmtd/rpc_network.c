/* SPDX-License-Identifier: Apache-2.0 */
/* proto/network.proto: what vsp-netd is told, and tells. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "proto/network.pb-c.h"
#include "rpc_int.h"

#define NETWORK_VERSION 1u
#define SPEED		UINT64_C(10000000000) /* bits a second, as the guest shows it */

/* A NIC's message with what hangs on it. */
struct nic_message {
	Bulkhead__Network__Nic nic;
	Bulkhead__Network__Bandwidth inbound, outbound;
	Bulkhead__Network__Address address[DOMAIN_ADDRESSES_MAX], *addresses[DOMAIN_ADDRESSES_MAX];
	uint32_t trunk[DOMAIN_TRUNK_MAX];
	uint8_t guid[16];
};

static void fill_bandwidth(Bulkhead__Network__Bandwidth *msg, const struct domain_bandwidth *bandwidth)
{
	bulkhead__network__bandwidth__init(msg);
	msg->average = bandwidth->average;
	msg->peak = bandwidth->peak;
	msg->burst = bandwidth->burst;
}

/* passt knows itself what it has given to its guest. */
static void fill_addresses(struct nic_message *msg, const struct domain_nic *nic)
{
	for (size_t i = 0; i < nic->address_count && nic->type != DOMAIN_NIC_USER; i++) {
		Bulkhead__Network__Address *address = &msg->address[i];

		bulkhead__network__address__init(address);
		address->bytes =
			(ProtobufCBinaryData){nic->addresses[i].v6 ? 16 : 4, (uint8_t *)nic->addresses[i].bytes};
		address->prefix = nic->addresses[i].prefix;
		msg->addresses[i] = address;
		msg->nic.n_addresses++;
	}
	msg->nic.addresses = msg->addresses;
}

static void fill_vlan(struct nic_message *msg, const struct domain_nic *nic)
{
	if (nic->on_ovs) /* its port does that */
		return;
	msg->nic.vlan_mode = nic->trunk	 ? BULKHEAD__NETWORK__VLAN_MODE__VLAN_MODE_TRUNK
			     : nic->vlan ? BULKHEAD__NETWORK__VLAN_MODE__VLAN_MODE_ACCESS
					 : BULKHEAD__NETWORK__VLAN_MODE__VLAN_MODE_NONE;
	msg->nic.vlan_tag = nic->vlan;
	for (size_t i = 0; i < nic->trunk_count; i++)
		msg->trunk[i] = nic->trunk_tags[i];
	msg->nic.n_trunk = nic->trunk_count;
	msg->nic.trunk = msg->trunk;
}

static void fill_nic(struct nic_message *msg, const struct domain *domain, const struct domain_nic *nic,
		     size_t fd_index)
{
	Bulkhead__Network__Nic *to = &msg->nic;

	bulkhead__network__nic__init(to);
	domain_guid(domain, nic->alias, msg->guid);
	to->instance_guid = (ProtobufCBinaryData){sizeof(msg->guid), msg->guid};
	to->alias = (char *)nic->alias;
	to->mac = (ProtobufCBinaryData){sizeof(nic->mac), (uint8_t *)nic->mac};
	to->backend = domain_nic_streams(nic) ? BULKHEAD__NETWORK__BACKEND__BACKEND_STREAM
					      : BULKHEAD__NETWORK__BACKEND__BACKEND_TAP;
	to->fd_index = (uint32_t)fd_index;
	to->queues = nic->queues;
	to->fd_generation = nic->generation;
	to->mtu = nic->mtu;
	to->speed = SPEED;
	to->large_frames = nic->type == DOMAIN_NIC_USER; /* passt takes them */
	to->segment_max = nic->segment_max;
	to->link_down = nic->link_down || nic->unplugged;
	fill_bandwidth(&msg->inbound, &nic->inbound);
	fill_bandwidth(&msg->outbound, &nic->outbound);
	to->inbound = &msg->inbound;
	to->outbound = &msg->outbound;
	fill_vlan(msg, nic);
	to->may_spoof_mac = to->may_change_mac = to->may_be_promiscuous = nic->trusted;
	fill_addresses(msg, nic);
}

size_t rpc_network_place(const struct domain *domain, size_t index)
{
	size_t place = 0;

	for (size_t i = 0; i < index; i++)
		place += domain->nics[i].queues;
	return place;
}

int rpc_network_config(const struct domain *domain, uint8_t **ret, size_t *ret_len)
{
	Bulkhead__Network__Config config = BULKHEAD__NETWORK__CONFIG__INIT;
	_cleanup_free_ struct nic_message *nics = calloc(DOMAIN_NICS_MAX, sizeof(*nics));
	Bulkhead__Network__Nic *list[DOMAIN_NICS_MAX];

	if (!nics)
		return -ENOMEM;
	for (size_t i = 0; i < domain->nic_count; i++) {
		fill_nic(&nics[i], domain, &domain->nics[i], rpc_network_place(domain, i));
		list[i] = &nics[i].nic;
	}
	config.version = NETWORK_VERSION;
	config.n_nics = domain->nic_count;
	config.nics = list;
	*ret_len = bulkhead__network__config__get_packed_size(&config);
	*ret = malloc(*ret_len);
	if (!*ret)
		return -ENOMEM;
	bulkhead__network__config__pack(&config, *ret);
	return 0;
}

size_t rpc_network_peers(const uint8_t *data, size_t len, struct worker_nic_peer ret[DOMAIN_NICS_MAX])
{
	Bulkhead__Network__Config *msg = bulkhead__network__config__unpack(NULL, len, data);
	size_t count = msg && msg->version == NETWORK_VERSION ? MIN(msg->n_nics, (size_t)DOMAIN_NICS_MAX) : 0;

	for (size_t i = 0; i < count; i++) {
		ret[i] = (struct worker_nic_peer){.generation = msg->nics[i]->fd_generation,
						  .segment_max = msg->nics[i]->segment_max};
		rpc_copy_text(ret[i].alias, sizeof(ret[i].alias), msg->nics[i]->alias);
	}
	if (msg)
		bulkhead__network__config__free_unpacked(msg, NULL);
	return count;
}

/* ---- changes ---- */

/* @insns: room for all. */
static void fill_capture(Bulkhead__Network__Capture *msg, const struct worker_nic_change *change,
			 Bulkhead__Network__FilterInsn *insns, Bulkhead__Network__FilterInsn **list)
{
	msg->snap_len = change->snap_len;
	for (size_t i = 0; i < change->filter_len; i++) {
		bulkhead__network__filter_insn__init(&insns[i]);
		insns[i].code = change->filter[i].code;
		insns[i].jt = change->filter[i].jt;
		insns[i].jf = change->filter[i].jf;
		insns[i].k = change->filter[i].k;
		list[i] = &insns[i];
	}
	msg->n_filter = change->filter_len;
	msg->filter = list;
}

int rpc_network_change(const struct worker_nic_change *change, uint8_t **ret, size_t *ret_len)
{
	const struct domain_nic *nic = &change->domain->nics[change->index];
	Bulkhead__Network__Change msg = BULKHEAD__NETWORK__CHANGE__INIT;
	Bulkhead__Network__Detach detach = BULKHEAD__NETWORK__DETACH__INIT;
	Bulkhead__Network__Capture capture = BULKHEAD__NETWORK__CAPTURE__INIT;
	Bulkhead__Network__FilterInsn insns[WORKER_FILTER_MAX], *list[WORKER_FILTER_MAX];
	struct nic_message own;

	fill_nic(&own, change->domain, nic, 0);
	msg.version = NETWORK_VERSION;
	switch (change->kind) {
	case WORKER_NIC_ATTACH:
		msg.attach = &own.nic;
		break;
	case WORKER_NIC_SET:
	case WORKER_NIC_PEER:
		msg.set = &own.nic;
		break;
	case WORKER_NIC_DETACH:
		detach.instance_guid = own.nic.instance_guid;
		detach.timeout_ms = change->timeout_ms;
		msg.detach = &detach;
		break;
	case WORKER_NIC_CAPTURE:
		capture.instance_guid = own.nic.instance_guid;
		fill_capture(&capture, change, insns, list);
		msg.capture = &capture;
		break;
	}
	*ret_len = bulkhead__network__change__get_packed_size(&msg);
	*ret = malloc(*ret_len);
	if (!*ret)
		return -ENOMEM;
	bulkhead__network__change__pack(&msg, *ret);
	return 0;
}

/* ---- status ---- */

static void read_nic(const Bulkhead__Network__NicStatus *from, struct worker_nic *ret)
{
	*ret = (struct worker_nic){
		.link = from->link,
		.peer_gone = from->peer_gone,
		.capturing = from->capturing,
		.dropped = from->dropped,
	};
	rpc_copy_text(ret->alias, sizeof(ret->alias), from->alias);
	if (from->mac.len == sizeof(ret->mac))
		memcpy(ret->mac, from->mac.data, sizeof(ret->mac));
	for (size_t i = 0; i < from->n_addresses && ret->address_count < ARRAY_SIZE(ret->addresses); i++) {
		const ProtobufCBinaryData *bytes = &from->addresses[i];
		struct domain_address *address = &ret->addresses[ret->address_count];

		if (bytes->len != 4 && bytes->len != 16)
			continue;
		*address = (struct domain_address){.v6 = bytes->len == 16, .prefix = (unsigned int)bytes->len * 8};
		memcpy(address->bytes, bytes->data, bytes->len);
		ret->address_count++;
	}
}

void rpc_network_status(const uint8_t *data, size_t len, struct worker_service *ret)
{
	Bulkhead__Network__Status *msg = bulkhead__network__status__unpack(NULL, len, data);

	for (size_t i = 0; msg && msg->version == NETWORK_VERSION && i < msg->n_nics; i++) {
		if (ret->nic_count == ARRAY_SIZE(ret->nics))
			break;
		read_nic(msg->nics[i], &ret->nics[ret->nic_count++]);
	}
	if (msg)
		bulkhead__network__status__free_unpacked(msg, NULL);
}
