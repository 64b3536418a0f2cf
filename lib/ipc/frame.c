/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "ipc/rpc.h"

#define HELLO_FIXED_LEN 14u
#define ERRNO_MAX	4095

/* Which header fields a kind uses. */
static const struct kind_rule {
	bool known;
	bool has_method;
	bool has_id;
	bool may_have_fds;
} kind_rules[] = {
	/* clang-format off */
	/*                  known method id     descriptors */
	[FRAME_HELLO]   = { true, false, false, false },
	[FRAME_REQUEST] = { true, true,  true,  true },
	[FRAME_REPLY]   = { true, false, true,  true },
	[FRAME_ERROR]   = { true, false, true,  false },
	[FRAME_NOTIFY]  = { true, true,  false, true },
	[FRAME_GOODBYE] = { true, false, false, false },
	/* clang-format on */
};

int frame_parse(const void *buf, size_t len, struct frame *ret_frame)
{
	const uint8_t *p = buf;
	const struct kind_rule *rule;
	struct frame frame;

	if (len < FRAME_HEADER_LEN || len > RPC_MSG_MAX || get_le32(p) != FRAME_MAGIC)
		return -EPROTO;
	if (p[4] >= ARRAY_SIZE(kind_rules) || !kind_rules[p[4]].known || p[5] != 0)
		return -EPROTO;
	rule = &kind_rules[p[4]];
	frame = (struct frame){
		.kind = p[4],
		.nfds = get_le16(p + 6),
		.method = get_le32(p + 8),
		.id = get_le64(p + 16),
		.payload = p + FRAME_HEADER_LEN,
		.payload_len = len - FRAME_HEADER_LEN,
	};
	if (get_le32(p + 12) != frame.payload_len)
		return -EPROTO;
	if ((frame.method != 0) != rule->has_method || (frame.id != 0) != rule->has_id)
		return -EPROTO;
	if (frame.nfds > (rule->may_have_fds ? RPC_FDS_MAX : 0))
		return -EPROTO;
	*ret_frame = frame;
	return 0;
}

void frame_put_header(void *buf, const struct frame *frame)
{
	uint8_t *p = buf;

	put_le32(p, FRAME_MAGIC);
	p[4] = (uint8_t)frame->kind;
	p[5] = 0;
	put_le16(p + 6, (uint16_t)frame->nfds);
	put_le32(p + 8, frame->method);
	put_le32(p + 12, (uint32_t)frame->payload_len);
	put_le64(p + 16, frame->id);
}

/* Put the name of @len characters into @service. */
static int service_parse(struct frame_service *service, const void *name, size_t len, uint32_t version)
{
	const char *p = name;

	if (len > FRAME_SERVICE_MAX || (len == 0 && version != 0))
		return -EPROTO;
	for (size_t i = 0; i < len; i++) {
		if (!(p[i] >= 'a' && p[i] <= 'z') && !(p[i] >= '0' && p[i] <= '9') && p[i] != '-')
			return -EPROTO;
	}
	memset(service, 0, sizeof(*service));
	memcpy(service->name, p, len);
	service->version = version;
	return 0;
}

int frame_service_set(struct frame_service *service, const char *name, uint32_t version)
{
	if (!name)
		return service_parse(service, "", 0, 0);
	return *name && service_parse(service, name, strlen(name), version) == 0 ? 0 : -EINVAL;
}

int frame_parse_hello(const void *payload, size_t len, struct frame_hello *ret_hello)
{
	const uint8_t *p = payload;
	struct frame_hello hello = {0};

	if (len < 4)
		return -EPROTO;
	hello.frame_version = get_le32(p);
	if (hello.frame_version != FRAME_VERSION) {
		*ret_hello = hello;
		return -EPROTONOSUPPORT;
	}
	if (len < HELLO_FIXED_LEN || len != HELLO_FIXED_LEN + p[12] + p[13])
		return -EPROTO;
	if (service_parse(&hello.serves, p + HELLO_FIXED_LEN, p[12], get_le32(p + 4)) < 0 ||
	    service_parse(&hello.wants, p + HELLO_FIXED_LEN + p[12], p[13], get_le32(p + 8)) < 0)
		return -EPROTO;
	*ret_hello = hello;
	return 0;
}

size_t frame_put_hello(void *payload, const struct frame_hello *hello)
{
	size_t serves_len = strlen(hello->serves.name), wants_len = strlen(hello->wants.name);
	uint8_t *p = payload;

	put_le32(p, hello->frame_version);
	put_le32(p + 4, hello->serves.version);
	put_le32(p + 8, hello->wants.version);
	p[12] = (uint8_t)serves_len;
	p[13] = (uint8_t)wants_len;
	memcpy(p + HELLO_FIXED_LEN, hello->serves.name, serves_len);
	memcpy(p + HELLO_FIXED_LEN + serves_len, hello->wants.name, wants_len);
	return HELLO_FIXED_LEN + serves_len + wants_len;
}

int frame_parse_error(const void *payload, size_t len, struct err *ret_err)
{
	const uint8_t *p = payload;
	int32_t code;

	if (len < 4 || len >= 4 + ERR_TEXT_MAX)
		return -EPROTO;
	code = (int32_t)get_le32(p);
	if (code >= 0 || code < -ERRNO_MAX || memchr(p + 4, '\0', len - 4))
		return -EPROTO;
	err_set(ret_err, code, "%.*s", (int)(len - 4), (const char *)p + 4);
	return 0;
}

size_t frame_put_error(void *payload, const struct err *err)
{
	size_t text_len = strlen(err->text);
	uint8_t *p = payload;

	assert(err->code < 0 && err->code >= -ERRNO_MAX);
	put_le32(p, (uint32_t)err->code);
	memcpy(p + 4, err->text, text_len);
	return 4 + text_len;
}
