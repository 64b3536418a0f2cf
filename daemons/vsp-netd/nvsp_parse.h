/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of netvsc, from bytes to structs: pure functions. */
#ifndef NETD_NVSP_PARSE_H
#define NETD_NVSP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/nvsp.h"

/**
 * nvsp_parse - check one message of a guest.
 * @payload: @len bytes, a private copy. @version: NVSP_VERSION_*, the negotiated one; 0: none yet.
 * @ret_message: as it came, zero behind its end; of an unknown type, that only.
 * Return: 0; -EPROTO (too short for what it says that it is); -EOPNOTSUPP (a type that is not a guest's to send, or not
 * in this version). Context: any thread.
 */
int nvsp_parse(const void *payload, size_t len, uint32_t version, struct nvsp_message *ret_message);

/** nvsp_version_known - whether we speak it: NVSP_VERSION_*. */
bool nvsp_version_known(uint32_t version);

/**
 * nvsp_choose_version - Return: the newest version of those from @min to @max that we speak; 0: none, and *@ret_status
 * says why.
 */
uint32_t nvsp_choose_version(uint32_t min, uint32_t max, uint32_t *ret_status);

#endif
