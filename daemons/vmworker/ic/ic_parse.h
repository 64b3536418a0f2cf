/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of integration services as plain structs, and back. Pure functions over a private copy: no state, no
 * allocation, any thread. Spec: as abi/ic.h.
 */
#ifndef VMWORKER_IC_PARSE_H
#define VMWORKER_IC_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "abi/ic.h"

#define IC_BODY_MAX sizeof(struct ic_shutdown) /* of what we send */

/* A message without its pipe header. */
struct ic_message {
	struct ic_version framework, version;
	uint16_t type; /* enum ic_message_type, or what a guest invents */
	uint32_t status;
	uint8_t transaction_id;
	uint8_t flags;
	const void *body;
	size_t len; /* of the body */
};

/* Versions, oldest first. */
struct ic_versions {
	const struct ic_version *list;
	size_t count;
};

/**
 * ic_parse - take a packet's payload apart.
 * @payload: @len bytes, padding at the end allowed; the result points into it.
 * Return: 0; -EPROTO (shorter than its headers, or than they say).
 */
int ic_parse(const void *payload, size_t len, struct ic_message *ret_message);

/**
 * ic_parse_negotiated - what a guest has chosen: the newest of ours of each kind that its answer names.
 * Return: 0; -EOPNOTSUPP (it names none, or none of ours); -EPROTO (counts beyond the body or IC_VERSIONS_MAX).
 */
int ic_parse_negotiated(const struct ic_message *message, const struct ic_versions *frameworks,
			const struct ic_versions *versions, struct ic_version *ret_framework,
			struct ic_version *ret_version);

/** ic_build - @message as a payload. @ret_payload: room for IC_HEADERS_LEN + message->len bytes. Return: its length. */
size_t ic_build(const struct ic_message *message, uint8_t *ret_payload);

/** ic_build_negotiate - the body of a NEGOTIATE. @ret_body: room for it. Return: its length. */
size_t ic_build_negotiate(const struct ic_versions *frameworks, const struct ic_versions *versions, uint8_t *ret_body);

#endif
