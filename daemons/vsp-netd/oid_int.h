/* SPDX-License-Identifier: Apache-2.0 */
/* What the table of OIDs (oid.c) knows of the handlers in oid_set.c. */
#ifndef NETD_OID_INT_H
#define NETD_OID_INT_H

#include "oid.h"

/* One SET, as it is carried out: oid_set(). */
struct oid_change {
	const struct oid_nic *nic;
	struct oid_settings *settings;
	uint32_t channels;
	const uint8_t *info;
	uint32_t len;
};

/** oid_set_* - Return: RNDIS_STATUS_*; change->settings is changed with SUCCESS only. */
uint32_t oid_set_filter(struct oid_change *change);
uint32_t oid_set_lookahead(struct oid_change *change);
uint32_t oid_set_multicast(struct oid_change *change);
uint32_t oid_set_nothing(struct oid_change *change);
uint32_t oid_set_rss(struct oid_change *change);
uint32_t oid_set_offloads(struct oid_change *change);
uint32_t oid_set_parameter(struct oid_change *change);

#endif
