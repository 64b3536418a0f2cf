/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "oid.h"
#include "proto/network.pb-c.h"

#define VLAN_TAG_MAX 4094u

static void cleanup_config(Bulkhead__Network__Config **msg)
{
	if (*msg)
		bulkhead__network__config__free_unpacked(*msg, NULL);
}

static void cleanup_change(Bulkhead__Network__Change **msg)
{
	if (*msg)
		bulkhead__network__change__free_unpacked(*msg, NULL);
}

static bool is_alias(const char *s)
{
	size_t len = strlen(s);

	for (size_t i = 0; i < len; i++)
		if (s[i] < 0x20 || s[i] > 0x7e)
			return false;
	return len > 0 && len <= SETTINGS_ALIAS_MAX;
}

static int check_version(uint32_t version, const char *what, struct err *err)
{
	if (version == SETTINGS_VERSION)
		return 0;
	return err_set(
		err, -EPROTONOSUPPORT,
		"network %s: version %u, this vsp-netd knows %u: install matching versions of vmmgmtd and vsp-netd",
		what, version, SETTINGS_VERSION);
}

static int take_guid(const ProtobufCBinaryData *bytes, const char *what, struct abi_guid *ret, struct err *err)
{
	if (bytes->len != sizeof(ret->b))
		return err_set(err, -EINVAL, "network %s: a NIC's GUID has %zu bytes, not %zu", what, bytes->len,
			       sizeof(ret->b));
	memcpy(ret->b, bytes->data, sizeof(ret->b));
	return 0;
}

/* ---- one NIC ---- */

static int take_bandwidth(const Bulkhead__Network__Bandwidth *msg, const char *alias, struct nic_bandwidth *ret,
			  struct err *err)
{
	if (!msg)
		return 0;
	if ((msg->peak && msg->peak < msg->average) || ((msg->peak || msg->burst) && !msg->average))
		return err_set(err, -EINVAL, "NIC %s: a peak or a burst of bandwidth that is not above an average",
			       alias);
	*ret = (struct nic_bandwidth){.average = msg->average, .peak = msg->peak, .burst = msg->burst};
	return 0;
}

static int take_address(const Bulkhead__Network__Address *msg, struct nic_settings *nic, struct err *err)
{
	struct nic_address *address = &nic->address[nic->addresses];

	if ((msg->bytes.len != 4 && msg->bytes.len != 16) || msg->prefix > 8 * msg->bytes.len)
		return err_set(err, -EINVAL,
			       "NIC %s: an address that is neither IPv4 nor IPv6, or its prefix is longer", nic->alias);
	address->family = msg->bytes.len == 4 ? 4 : 6;
	address->prefix = (uint8_t)msg->prefix;
	memcpy(address->bytes, msg->bytes.data, msg->bytes.len);
	nic->addresses++;
	return 0;
}

static int take_vlan(const Bulkhead__Network__Nic *msg, struct nic_settings *nic, struct err *err)
{
	static const enum nic_vlan modes[] = {
		[BULKHEAD__NETWORK__VLAN_MODE__VLAN_MODE_NONE] = NIC_VLAN_NONE,
		[BULKHEAD__NETWORK__VLAN_MODE__VLAN_MODE_ACCESS] = NIC_VLAN_ACCESS,
		[BULKHEAD__NETWORK__VLAN_MODE__VLAN_MODE_TRUNK] = NIC_VLAN_TRUNK,
	};
	bool access, trunk;

	if ((unsigned int)msg->vlan_mode >= ARRAY_SIZE(modes))
		return err_set(err, -EINVAL, "NIC %s: what is to be done with VLAN tags is not known", nic->alias);
	nic->vlan = modes[msg->vlan_mode];
	access = nic->vlan == NIC_VLAN_ACCESS;
	trunk = nic->vlan == NIC_VLAN_TRUNK;
	if (msg->vlan_tag > VLAN_TAG_MAX || (access ? !msg->vlan_tag : !trunk && msg->vlan_tag))
		return err_set(err, -EINVAL, "NIC %s: VLAN %u: of access and trunk use 1 to %u", nic->alias,
			       msg->vlan_tag, VLAN_TAG_MAX);
	if (msg->n_trunk > SETTINGS_TRUNK_MAX || (msg->n_trunk && !trunk))
		return err_set(err, -EINVAL, "NIC %s: %zu VLANs of a trunk: a trunk has at most %u", nic->alias,
			       msg->n_trunk, SETTINGS_TRUNK_MAX);
	nic->vlan_tag = (uint16_t)msg->vlan_tag;
	for (size_t i = 0; i < msg->n_trunk; i++) {
		if (msg->trunk[i] < 1 || msg->trunk[i] > VLAN_TAG_MAX)
			return err_set(err, -EINVAL, "NIC %s: VLAN %u in its trunk: use 1 to %u", nic->alias,
				       msg->trunk[i], VLAN_TAG_MAX);
		nic->trunk[nic->trunks++] = (uint16_t)msg->trunk[i];
	}
	return 0;
}

/* @nfds: descriptors there are, of which the NIC names some; SIZE_MAX: it has its own already. */
static int take_backend(const Bulkhead__Network__Nic *msg, size_t nfds, struct nic_settings *nic, struct err *err)
{
	static const struct {
		enum nic_backend backend;
		unsigned int queues_max;
	} backends[] = {
		[BULKHEAD__NETWORK__BACKEND__BACKEND_TAP] = {NIC_TAP, SETTINGS_QUEUES_MAX},
		[BULKHEAD__NETWORK__BACKEND__BACKEND_STREAM] = {NIC_STREAM, 1},
	};

	if ((unsigned int)msg->backend >= ARRAY_SIZE(backends))
		return err_set(err, -EINVAL, "NIC %s: what it is connected to is not known", nic->alias);
	if (msg->queues < 1 || msg->queues > backends[msg->backend].queues_max)
		return err_set(err, -EINVAL, "NIC %s: %u queues: use 1 to %u", nic->alias, msg->queues,
			       backends[msg->backend].queues_max);
	if (!range_fits(msg->fd_index, msg->queues, nfds))
		return err_set(err, -EINVAL, "NIC %s: descriptor %u of %zu, for %u queues", nic->alias, msg->fd_index,
			       nfds, msg->queues);
	nic->backend = backends[msg->backend].backend;
	nic->fd_index = msg->fd_index;
	nic->queues = msg->queues;
	nic->fd_generation = msg->fd_generation;
	return 0;
}

static int take_link(const Bulkhead__Network__Nic *msg, struct nic_settings *nic, struct err *err)
{
	if (msg->mac.len != sizeof(nic->mac) || (msg->mac.data[0] & 1))
		return err_set(err, -EINVAL, "NIC %s: its MAC address is not one of a single station", nic->alias);
	memcpy(nic->mac, msg->mac.data, sizeof(nic->mac));
	if (msg->mtu < OID_MTU_MIN || msg->mtu > OID_MTU_MAX)
		return err_set(err, -EINVAL, "NIC %s: an MTU of %u: use %u to %u", nic->alias, msg->mtu, OID_MTU_MIN,
			       OID_MTU_MAX);
	nic->mtu = msg->mtu;
	nic->speed = msg->speed ? msg->speed : SETTINGS_DEFAULT_SPEED;
	nic->link_down = msg->link_down;
	nic->large_frames = msg->large_frames;
	nic->segment_max = msg->large_frames && nic->backend == NIC_STREAM ? msg->segment_max : 0;
	nic->may_spoof_mac = msg->may_spoof_mac;
	nic->may_change_mac = msg->may_change_mac;
	nic->may_be_promiscuous = msg->may_be_promiscuous;
	return 0;
}

static int take_nic(const Bulkhead__Network__Nic *msg, size_t nfds, struct nic_settings *nic, struct err *err)
{
	int r;

	memset(nic, 0, sizeof(*nic));
	if (!is_alias(msg->alias))
		return err_set(err, -EINVAL, "network: the alias of a NIC is not 1 to %u printable characters",
			       SETTINGS_ALIAS_MAX);
	strcpy(nic->alias, msg->alias);
	r = take_guid(&msg->instance_guid, nic->alias, &nic->instance, err);
	if (r == 0)
		r = take_backend(msg, nfds, nic, err);
	if (r == 0)
		r = take_link(msg, nic, err);
	if (r == 0)
		r = take_bandwidth(msg->inbound, nic->alias, &nic->inbound, err);
	if (r == 0)
		r = take_bandwidth(msg->outbound, nic->alias, &nic->outbound, err);
	if (r == 0)
		r = take_vlan(msg, nic, err);
	if (r == 0 && msg->n_addresses > SETTINGS_ADDRESSES_MAX)
		r = err_set(err, -EINVAL, "NIC %s: %zu addresses: at most %u", nic->alias, msg->n_addresses,
			    SETTINGS_ADDRESSES_MAX);
	for (size_t i = 0; r == 0 && i < msg->n_addresses; i++)
		r = take_address(msg->addresses[i], nic, err);
	return r;
}

/* ---- all of them ---- */

static bool share_descriptors(const struct nic_settings *a, const struct nic_settings *b)
{
	return a->fd_index < b->fd_index + b->queues && b->fd_index < a->fd_index + a->queues;
}

static int check_differs(const struct settings *settings, const struct nic_settings *nic, struct err *err)
{
	for (size_t i = 0; i < settings->nics; i++) {
		const struct nic_settings *other = &settings->nic[i];

		if (!strcmp(other->alias, nic->alias) ||
		    !memcmp(&other->instance, &nic->instance, sizeof(nic->instance)))
			return err_set(err, -EINVAL, "NIC %s: NIC %s has the same alias or GUID", nic->alias,
				       other->alias);
		if (share_descriptors(other, nic))
			return err_set(err, -EINVAL, "NIC %s: its descriptors are NIC %s's already", nic->alias,
				       other->alias);
	}
	return 0;
}

static int take_nics(const Bulkhead__Network__Config *msg, size_t nfds, struct settings *settings, struct err *err)
{
	int r = check_version(msg->version, "configuration", err);

	if (r == 0 && msg->n_nics > SETTINGS_NICS_MAX)
		r = err_set(err, -EINVAL, "network configuration: %zu NICs: at most %u", msg->n_nics,
			    SETTINGS_NICS_MAX);
	for (size_t i = 0; r == 0 && i < msg->n_nics; i++) {
		struct nic_settings *nic = &settings->nic[i];

		r = take_nic(msg->nics[i], nfds, nic, err);
		if (r == 0)
			r = check_differs(settings, nic, err);
		settings->nics++;
	}
	return r;
}

int settings_parse(const void *bytes, size_t len, size_t nfds, struct settings *ret_settings, struct err *err)
{
	_cleanup_(cleanup_config) Bulkhead__Network__Config *msg = NULL;
	int r;

	memset(ret_settings, 0, sizeof(*ret_settings));
	msg = bulkhead__network__config__unpack(NULL, len, bytes);
	if (!msg)
		return err_set(err, -EPROTO, "network configuration: %zu bytes that are not one", len);
	r = take_nics(msg, nfds, ret_settings, err);
	if (r < 0)
		memset(ret_settings, 0, sizeof(*ret_settings));
	return r;
}

/* ---- changes ---- */

static int take_detach(const Bulkhead__Network__Detach *msg, struct nic_change *change, struct err *err)
{
	change->kind = NIC_DETACH;
	change->timeout_ms = msg->timeout_ms;
	return take_guid(&msg->instance_guid, "change", &change->instance, err);
}

static int take_capture(const Bulkhead__Network__Capture *msg, struct nic_change *change, struct err *err)
{
	change->kind = NIC_CAPTURE;
	change->snap_len = msg->snap_len;
	if (msg->n_filter > SETTINGS_FILTER_MAX)
		return err_set(err, -EINVAL, "network change: a filter of %zu instructions: at most %u", msg->n_filter,
			       SETTINGS_FILTER_MAX);
	for (size_t i = 0; i < msg->n_filter; i++) {
		const Bulkhead__Network__FilterInsn *insn = msg->filter[i];

		if (insn->code > UINT16_MAX || insn->jt > UINT8_MAX || insn->jf > UINT8_MAX)
			return err_set(err, -EINVAL, "network change: instruction %zu of a filter is not one", i);
		change->filter[i] = (struct sock_filter){
			.code = (uint16_t)insn->code, .jt = (uint8_t)insn->jt, .jf = (uint8_t)insn->jf, .k = insn->k};
	}
	change->filter_len = msg->n_filter;
	return take_guid(&msg->instance_guid, "change", &change->instance, err);
}

/* Descriptors of a SET are all of the NIC's, or none. */
static int take_change(const Bulkhead__Network__Change *msg, size_t nfds, struct nic_change *change, struct err *err)
{
	const Bulkhead__Network__Nic *nic = msg->attach ? msg->attach : msg->set;
	bool fds_ok = msg->detach ? nfds == 0 : msg->capture ? nfds <= 1 : true;
	int r;

	if ((msg->attach != NULL) + (msg->detach != NULL) + (msg->set != NULL) + (msg->capture != NULL) != 1)
		return err_set(err, -EINVAL, "network change: none that this vsp-netd knows, or several");
	if (nic)
		fds_ok = nfds == nic->queues || (msg->set && nfds == 0);
	if (!fds_ok)
		return err_set(err, -EINVAL, "network change: %zu descriptors came with it", nfds);
	if (msg->detach)
		return take_detach(msg->detach, change, err);
	if (msg->capture)
		return take_capture(msg->capture, change, err);
	change->kind = msg->attach ? NIC_ATTACH : NIC_SET;
	r = take_nic(nic, msg->set && nfds == 0 ? SIZE_MAX : nfds, &change->nic, err);
	change->instance = change->nic.instance;
	return r;
}

int settings_parse_change(const void *bytes, size_t len, size_t nfds, struct nic_change *ret_change, struct err *err)
{
	_cleanup_(cleanup_change) Bulkhead__Network__Change *msg = NULL;
	int r;

	memset(ret_change, 0, sizeof(*ret_change));
	msg = bulkhead__network__change__unpack(NULL, len, bytes);
	if (!msg)
		return err_set(err, -EPROTO, "network change: %zu bytes that are not one", len);
	r = check_version(msg->version, "change", err);
	if (r == 0)
		r = take_change(msg, nfds, ret_change, err);
	if (r < 0)
		memset(ret_change, 0, sizeof(*ret_change));
	return r;
}

/* ---- what the manager hears ---- */

static void fill_status(const struct nic_status *from, Bulkhead__Network__NicStatus *msg,
			ProtobufCBinaryData *addresses)
{
	bulkhead__network__nic_status__init(msg);
	msg->alias = (char *)from->alias;
	msg->link = from->link;
	msg->peer_gone = from->peer_gone;
	msg->capturing = from->capturing;
	msg->dropped = from->dropped;
	msg->mac = (ProtobufCBinaryData){sizeof(from->mac), (uint8_t *)from->mac};
	msg->addresses = addresses;
	for (size_t i = 0; i < from->addresses; i++)
		addresses[msg->n_addresses++] =
			(ProtobufCBinaryData){from->address[i].family == 4 ? 4 : 16, (uint8_t *)from->address[i].bytes};
}

size_t settings_pack_status(const struct nic_status *nics, size_t count, uint8_t *bytes, size_t size)
{
	Bulkhead__Network__Status msg = BULKHEAD__NETWORK__STATUS__INIT;
	Bulkhead__Network__NicStatus list[SETTINGS_NICS_MAX], *at[SETTINGS_NICS_MAX];
	ProtobufCBinaryData addresses[SETTINGS_NICS_MAX][SETTINGS_STATUS_ADDRESSES];

	msg.version = SETTINGS_VERSION;
	msg.n_nics = MIN(count, (size_t)SETTINGS_NICS_MAX);
	msg.nics = at;
	for (size_t i = 0; i < msg.n_nics; i++) {
		fill_status(&nics[i], &list[i], addresses[i]);
		at[i] = &list[i];
	}
	return bulkhead__network__status__get_packed_size(&msg) <= size ? bulkhead__network__status__pack(&msg, bytes)
									: 0;
}
