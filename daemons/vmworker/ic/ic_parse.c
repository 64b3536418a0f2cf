/* SPDX-License-Identifier: Apache-2.0 */
#include "ic/ic_parse.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

int ic_parse(const void *payload, size_t len, struct ic_message *ret_message)
{
	struct ic_pipe_header pipe;
	struct ic_header header;

	_Static_assert(sizeof(pipe) + sizeof(header) == IC_HEADERS_LEN, "the headers have no holes");
	if (len < IC_HEADERS_LEN)
		return -EPROTO;
	memcpy(&pipe, payload, sizeof(pipe));
	memcpy(&header, (const uint8_t *)payload + sizeof(pipe), sizeof(header));
	if (pipe.len < sizeof(header) || pipe.len > len - sizeof(pipe) || header.len > pipe.len - sizeof(header))
		return -EPROTO;
	*ret_message = (struct ic_message){
		.framework = header.framework,
		.version = header.version,
		.type = header.type,
		.status = header.status,
		.transaction_id = header.transaction_id,
		.flags = header.flags,
		.body = (const uint8_t *)payload + IC_HEADERS_LEN,
		.len = header.len,
	};
	return 0;
}

static bool names(const uint8_t *list, size_t count, const struct ic_version *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (!memcmp(list + i * sizeof(*wanted), wanted, sizeof(*wanted)))
			return true;
	return false;
}

/* The newest of @ours among the @count of the guest. Return: NULL if there is none. */
static const struct ic_version *choose(const struct ic_versions *ours, const uint8_t *list, size_t count)
{
	for (size_t i = ours->count; i > 0; i--)
		if (names(list, count, &ours->list[i - 1]))
			return &ours->list[i - 1];
	return NULL;
}

int ic_parse_negotiated(const struct ic_message *message, const struct ic_versions *frameworks,
			const struct ic_versions *versions, struct ic_version *ret_framework,
			struct ic_version *ret_version)
{
	const struct ic_version *framework, *version;
	struct ic_negotiate head;
	const uint8_t *list = (const uint8_t *)message->body + sizeof(head);
	size_t total;

	if (message->len < sizeof(head))
		return -EPROTO;
	memcpy(&head, message->body, sizeof(head));
	total = (size_t)head.framework_count + head.version_count;
	if (head.framework_count > IC_VERSIONS_MAX || head.version_count > IC_VERSIONS_MAX ||
	    total * sizeof(struct ic_version) > message->len - sizeof(head))
		return -EPROTO;
	framework = choose(frameworks, list, head.framework_count);
	version = choose(versions, list + head.framework_count * sizeof(*version), head.version_count);
	if (!framework || !version)
		return -EOPNOTSUPP;
	*ret_framework = *framework;
	*ret_version = *version;
	return 0;
}

size_t ic_build(const struct ic_message *message, uint8_t *ret_payload)
{
	const struct ic_pipe_header pipe = {
		.type = IC_PIPE_DATA,
		.len = (uint32_t)(sizeof(struct ic_header) + message->len),
	};
	const struct ic_header header = {
		.framework = message->framework,
		.type = message->type,
		.version = message->version,
		.len = (uint16_t)message->len,
		.status = message->status,
		.transaction_id = message->transaction_id,
		.flags = message->flags,
	};

	memcpy(ret_payload, &pipe, sizeof(pipe));
	memcpy(ret_payload + sizeof(pipe), &header, sizeof(header));
	if (message->len)
		memcpy(ret_payload + IC_HEADERS_LEN, message->body, message->len);
	return IC_HEADERS_LEN + message->len;
}

size_t ic_build_negotiate(const struct ic_versions *frameworks, const struct ic_versions *versions, uint8_t *ret_body)
{
	const struct ic_negotiate head = {
		.framework_count = (uint16_t)frameworks->count,
		.version_count = (uint16_t)versions->count,
	};
	const size_t first = frameworks->count * sizeof(struct ic_version);
	const size_t second = versions->count * sizeof(struct ic_version);

	memcpy(ret_body, &head, sizeof(head));
	memcpy(ret_body + sizeof(head), frameworks->list, first);
	memcpy(ret_body + sizeof(head) + first, versions->list, second);
	return sizeof(head) + first + second;
}
