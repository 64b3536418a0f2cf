/* SPDX-License-Identifier: Apache-2.0 */
/* What the manager wants served, as plain structs (proto/network.proto). */
#ifndef NETD_SETTINGS_H
#define NETD_SETTINGS_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/guid.h"
#include "base/err.h"

#define SETTINGS_VERSION       1u
#define SETTINGS_NICS_MAX      8u
#define SETTINGS_QUEUES_MAX    16u
#define SETTINGS_ALIAS_MAX     32u
#define SETTINGS_TRUNK_MAX     64u
#define SETTINGS_ADDRESSES_MAX 16u
#define SETTINGS_DEFAULT_SPEED UINT64_C(10000000000) /* bits a second, where nobody says */

enum nic_backend {
	NIC_TAP,    /* one descriptor for each queue: taps and macvtaps with IFF_VNET_HDR */
	NIC_STREAM, /* a connected stream socket: 4 bytes of length, big-endian, then the frame (QEMU's; passt) */
};

enum nic_vlan {
	NIC_VLAN_NONE,	 /* frames pass as they are, tagged or not */
	NIC_VLAN_ACCESS, /* the guest sends and gets frames without a tag; outside they have this one */
	NIC_VLAN_TRUNK,	 /* only tagged frames of these numbers, and untagged ones as of the native one */
};

/* Bytes a second; 0: no limit. */
struct nic_bandwidth {
	uint64_t average, peak, burst; /* burst: bytes that may go at the peak's speed */
};

/* An address that the guest may use: @prefix bits of it count. */
struct nic_address {
	uint8_t family; /* 4, 6 */
	uint8_t prefix;
	uint8_t bytes[16];
};

/* One NIC. alias is printable ASCII, never empty. */
struct nic_settings {
	struct abi_guid instance;
	char alias[SETTINGS_ALIAS_MAX + 1];
	uint8_t mac[6];
	enum nic_backend backend;
	unsigned int fd_index;	    /* of the first queue; the others follow */
	unsigned int queues;	    /* 1..SETTINGS_QUEUES_MAX; of a stream 1 */
	unsigned int fd_generation; /* counts what was put behind the descriptors in turn */
	uint32_t mtu;
	uint64_t speed; /* bits a second, as shown in the guest */
	bool link_down;
	bool large_frames; /* of a stream: a process of this host is behind it that takes IP packets of any length, as
			    * LSO leaves them, and whose checksums are right (passt) */
	uint32_t segment_max; /* of large_frames: it may be let send TCP segments so long; 0: as long as the MTU allows
			       */
	struct nic_bandwidth inbound, outbound; /* to the guest, from the guest */
	enum nic_vlan vlan;
	uint16_t vlan_tag; /* of access; of a trunk the native one, 0: none */
	uint16_t trunk[SETTINGS_TRUNK_MAX];
	size_t trunks;
	bool may_spoof_mac; /* the guest may send from any address */
	bool may_change_mac;
	bool may_be_promiscuous;
	struct nic_address address[SETTINGS_ADDRESSES_MAX]; /* that the guest may send from; none: any */
	size_t addresses;
};

/* instance GUIDs, aliases and descriptors differ from one another. */
struct settings {
	struct nic_settings nic[SETTINGS_NICS_MAX];
	size_t nics;
};

/**
 * settings_parse - Provider.config of the provider "network". @nfds: the provider's descriptors.
 * @ret_settings: the caller's; zeroed on failure.
 * Return: 0; -EPROTONOSUPPORT (another version), -EPROTO, -EINVAL with a line that names the NIC and what is wrong.
 */
int settings_parse(const void *bytes, size_t len, size_t nfds, struct settings *ret_settings, struct err *err);

enum nic_change_kind {
	NIC_ATTACH,  /* nic; the change's descriptors are its */
	NIC_DETACH,  /* instance */
	NIC_SET,     /* nic: as it is now; perhaps with a new descriptor behind it (fd_generation is another one) */
	NIC_CAPTURE, /* instance; with a descriptor: where to; without: no more */
};

#define SETTINGS_FILTER_MAX 256u /* instructions */

struct nic_change {
	enum nic_change_kind kind;
	struct abi_guid instance;
	struct nic_settings nic;
	uint32_t timeout_ms; /* of a detach: how long the guest has; 0: it is gone at once */
	uint32_t snap_len;   /* of a capture: bytes of each frame; 0: all */
	size_t filter_len;
	struct sock_filter filter[SETTINGS_FILTER_MAX]; /* over the frame; checked where it is used */
};

/** settings_parse_change - vsp.ChangeRequest.change for this provider. Return: as settings_parse(). */
int settings_parse_change(const void *bytes, size_t len, size_t nfds, struct nic_change *ret_change, struct err *err);

#define SETTINGS_STATUS_ADDRESSES 16u

/* What the manager hears of a NIC. */
struct nic_status {
	const char *alias;
	bool link, peer_gone, capturing;
	uint8_t mac[6];
	struct nic_address address[SETTINGS_STATUS_ADDRESSES]; /* seen; prefix means nothing */
	size_t addresses;
	uint64_t dropped; /* frames in flight when a process died */
};

/** settings_pack_status - for vsp_tell(). Return: bytes written; 0: @size are too few. */
size_t settings_pack_status(const struct nic_status *nics, size_t count, uint8_t *bytes, size_t size);

#endif
