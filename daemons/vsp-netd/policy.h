/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a NIC's settings allow: VLANs, and addresses that its guest may send from. Pure functions over the head of a
 * frame, a private copy; any thread.
 *
 * Theory of operation: nic_settings.may_spoof_mac not set: a frame, and what ARP and neighbour discovery in it say of
 * its sender, has the guest's MAC address. nic_settings.address not empty: only ARP, IPv4 and IPv6 are sent, from
 * addresses of the list; besides, from IPv6's link-local address that is made of the MAC address, from 0.0.0.0 for
 * DHCP and as an ARP probe, from :: for duplicate address detection, solicitation of routers and group membership.
 * Neighbours are told of the guest's addresses only; router advertisements and redirects are not a guest's to send.
 *
 * Limits: one tag is looked behind. What cannot be judged within the head (neighbour discovery that is longer, or in
 * fragments; too many extension headers) is not sent where there is a list.
 */
#ifndef NETD_POLICY_H
#define NETD_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "headers.h"
#include "settings.h"

#define POLICY_MAC_LEN 6u

enum policy_vlan {
	POLICY_DROP,
	POLICY_UNTAGGED,
	POLICY_TAGGED,
};

/** policy_vlan_out - of a frame that the guest sends, @tagged with @tag or not: how it leaves. @ret_tag: with which. */
enum policy_vlan policy_vlan_out(const struct nic_settings *settings, bool tagged, uint16_t tag, uint16_t *ret_tag);
/** policy_vlan_in - of a frame for the guest: how it gets it; a tag stays as it is. */
enum policy_vlan policy_vlan_in(const struct nic_settings *settings, bool tagged, uint16_t tag);

/** policy_hides_vlan - whether a frame that passes for untagged has a service tag (IEEE 802.1ad), where only VLANs that
 * are named may pass. */
bool policy_hides_vlan(const struct nic_settings *settings, const struct headers *headers);

/**
 * policy_may_send - whether the guest is who it says.
 * @mac: the guest's address. @head: the first @head_len bytes of a frame of @len, an Ethernet header at least;
 * @headers: of it.
 */
bool policy_may_send(const struct nic_settings *settings, const uint8_t mac[POLICY_MAC_LEN], const uint8_t *head,
		     size_t head_len, size_t len, const struct headers *headers);

#endif
