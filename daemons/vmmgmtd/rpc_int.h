/* SPDX-License-Identifier: Apache-2.0 */
/* Between rpc.c and the files for single providers: their configurations, changes, states, as bytes. */
#ifndef VMMGMTD_RPC_INT_H
#define VMMGMTD_RPC_INT_H

#include <stdio.h>

#include "base/text.h"
#include "worker.h"

/** rpc_copy_text - of a peer's, for terminals: cut off, and cleaned. */
static inline void rpc_copy_text(char *ret, size_t size, const char *text)
{
	snprintf(ret, size, "%s", text);
	text_clean(ret);
}

/** rpc_storage_config - the configuration for vsp-storaged, the same for the same disks. @count: controllers; at
 * least those that have disks are in it. @ret: heap. Return: 0, -ENOMEM. */
int rpc_storage_config(const struct domain *domain, unsigned int count, uint8_t **ret, size_t *ret_len);
/** rpc_storage_change - what it is asked. @ret: heap. Return: 0, -ENOMEM. */
int rpc_storage_change(const struct worker_disk_change *change, uint8_t **ret, size_t *ret_len);
/** rpc_storage_status - what it tells. */
void rpc_storage_status(const uint8_t *data, size_t len, struct worker_service *ret);
/** rpc_storage_place - the place of a disk's first descriptor: each has one, and those that have reservations another
 * one behind it. @index: or their number. */
size_t rpc_storage_place(const struct domain *domain, size_t index);

/** rpc_network_config - the configuration for vsp-netd, the same for the same NICs. @ret: heap. Return: 0, -ENOMEM. */
int rpc_network_config(const struct domain *domain, uint8_t **ret, size_t *ret_len);
/** rpc_network_change - what it is asked. @ret: heap. Return: 0, -ENOMEM. */
int rpc_network_change(const struct worker_nic_change *change, uint8_t **ret, size_t *ret_len);
/** rpc_network_status - what it tells. */
void rpc_network_status(const uint8_t *data, size_t len, struct worker_service *ret);
/** rpc_network_peers - what such a configuration, of a worker's, says of what is behind NICs. Return: of how many. */
size_t rpc_network_peers(const uint8_t *data, size_t len, struct worker_nic_peer ret[DOMAIN_NICS_MAX]);
/** rpc_network_place - the place of a NIC's first descriptor: each has one for each queue. @index: or their number. */
size_t rpc_network_place(const struct domain *domain, size_t index);

#endif
