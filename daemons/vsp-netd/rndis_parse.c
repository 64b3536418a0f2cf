/* SPDX-License-Identifier: Apache-2.0 */
#include "rndis_parse.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

int rndis_header_parse(const struct rndis_header *header, size_t left)
{
	return header->len < RNDIS_HEADER_LEN || header->len > left ? -EPROTO : 0;
}

/* ---- frames ---- */

/* Per-packet info that a guest may send; all others are of no use to us. */
static const struct {
	uint32_t type;
	size_t has, value; /* in struct rndis_frame */
} infos[] = {
	{RNDIS_INFO_CHECKSUM, offsetof(struct rndis_frame, has_checksum), offsetof(struct rndis_frame, checksum)},
	{RNDIS_INFO_LARGE_SEND, offsetof(struct rndis_frame, has_lso), offsetof(struct rndis_frame, lso)},
	{RNDIS_INFO_8021Q, offsetof(struct rndis_frame, has_8021q), offsetof(struct rndis_frame, ieee8021q)},
};

static int take_info(struct rndis_frame *frame, const struct rndis_packet_info *info, const uint8_t *at)
{
	for (size_t i = 0; i < ARRAY_SIZE(infos); i++) {
		bool *has = (bool *)((uint8_t *)frame + infos[i].has);

		if (infos[i].type != info->type)
			continue;
		if (*has || !range_fits(info->offset, sizeof(uint32_t), info->size))
			return -EPROTO;
		*has = true;
		memcpy((uint8_t *)frame + infos[i].value, at + info->offset, sizeof(uint32_t));
	}
	return 0;
}

/* @bytes: the per-packet info, @len bytes. */
static int parse_infos(struct rndis_frame *frame, const uint8_t *bytes, uint32_t len)
{
	while (len > 0) {
		struct rndis_packet_info info;

		if (len < sizeof(info))
			return -EPROTO;
		memcpy(&info, bytes, sizeof(info));
		if (info.size < sizeof(info) || info.size > len || info.offset < sizeof(info) ||
		    info.offset > info.size || take_info(frame, &info, bytes) < 0)
			return -EPROTO;
		bytes += info.size;
		len -= info.size;
	}
	return 0;
}

int rndis_frame_parse(const void *head, size_t head_len, size_t left, struct rndis_frame *ret_frame)
{
	const uint8_t *bytes = head;
	struct rndis_header header;
	struct rndis_packet packet;
	uint32_t body;

	memset(ret_frame, 0, sizeof(*ret_frame));
	if (head_len < sizeof(header) + sizeof(packet))
		return -EPROTO;
	memcpy(&header, bytes, sizeof(header));
	memcpy(&packet, bytes + sizeof(header), sizeof(packet));
	if (header.type != RNDIS_MESSAGE_PACKET || rndis_header_parse(&header, left) < 0 ||
	    header.len < sizeof(header) + sizeof(packet))
		return -EPROTO;
	body = header.len - (uint32_t)sizeof(header);
	if (packet.data_len == 0 || packet.data_offset < sizeof(packet) ||
	    !range_fits(packet.data_offset, packet.data_len, body))
		return -EPROTO;
	if (packet.info_len > 0 &&
	    (packet.info_offset < sizeof(packet) ||
	     !range_fits(packet.info_offset, packet.info_len, MIN((size_t)body, head_len - sizeof(header)))))
		return -EPROTO;
	ret_frame->message_len = header.len;
	ret_frame->offset = (uint32_t)sizeof(header) + packet.data_offset;
	ret_frame->len = packet.data_len;
	return parse_infos(ret_frame, bytes + sizeof(header) + packet.info_offset, packet.info_len);
}

/* ---- control messages ---- */

static int parse_initialize(struct rndis_control *control, const uint8_t *body, uint32_t len)
{
	struct rndis_initialize initialize;

	(void)len;
	memcpy(&initialize, body, sizeof(initialize));
	control->request_id = initialize.request_id;
	control->major_version = initialize.major_version;
	control->minor_version = initialize.minor_version;
	control->max_transfer_bytes = initialize.max_transfer_bytes;
	return 0;
}

static int parse_id(struct rndis_control *control, const uint8_t *body, uint32_t len)
{
	(void)len;
	control->request_id = get_le32(body);
	return 0;
}

static int parse_nothing(struct rndis_control *control, const uint8_t *body, uint32_t len)
{
	(void)control;
	(void)body;
	(void)len;
	return 0;
}

static int parse_request(struct rndis_control *control, const uint8_t *body, uint32_t len)
{
	struct rndis_request request;

	memcpy(&request, body, sizeof(request));
	control->request_id = request.request_id;
	control->oid = request.oid;
	if (request.info_len == 0)
		return 0;
	if (request.info_offset < sizeof(request) || !range_fits(request.info_offset, request.info_len, len))
		return -EPROTO;
	control->info = body + request.info_offset;
	control->info_len = request.info_len;
	return 0;
}

static const struct {
	uint32_t len; /* of the body, at least */
	int (*parse)(struct rndis_control *control, const uint8_t *body, uint32_t len);
} controls[] = {
	[RNDIS_MESSAGE_INITIALIZE] = {sizeof(struct rndis_initialize), parse_initialize},
	[RNDIS_MESSAGE_HALT] = {sizeof(uint32_t), parse_id},
	[RNDIS_MESSAGE_QUERY] = {sizeof(struct rndis_request), parse_request},
	[RNDIS_MESSAGE_SET] = {sizeof(struct rndis_request), parse_request},
	[RNDIS_MESSAGE_RESET] = {sizeof(uint32_t), parse_nothing},
	[RNDIS_MESSAGE_KEEPALIVE] = {sizeof(uint32_t), parse_id},
};

int rndis_control_parse(const void *bytes, size_t len, struct rndis_control *ret_control)
{
	struct rndis_header header;
	uint32_t body;

	memset(ret_control, 0, sizeof(*ret_control));
	if (len < sizeof(header))
		return -EPROTO;
	memcpy(&header, bytes, sizeof(header));
	ret_control->type = header.type;
	if (rndis_header_parse(&header, len) < 0)
		return -EPROTO;
	if (header.type >= ARRAY_SIZE(controls) || !controls[header.type].parse)
		return -EOPNOTSUPP;
	body = header.len - (uint32_t)sizeof(header);
	if (body < controls[header.type].len)
		return -EPROTO;
	return controls[header.type].parse(ret_control, (const uint8_t *)bytes + sizeof(header), body);
}

/* UTF-16 that is ASCII. */
static int parse_text(const uint8_t *bytes, uint32_t len, char *ret, size_t size)
{
	size_t n = len / 2;

	if (len % 2)
		return -EPROTO;
	if (n >= size)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < n; i++) {
		uint16_t c = get_le16(bytes + 2 * i);

		if (c < ' ' || c > '~')
			return -EOPNOTSUPP;
		ret[i] = (char)c;
	}
	ret[n] = '\0';
	return 0;
}

int rndis_parameter_parse(const uint8_t *info, uint32_t info_len, char *ret_name, char *ret_value, size_t size)
{
	struct rndis_config_parameter parameter;
	int r;

	if (info_len < sizeof(parameter))
		return -EPROTO;
	memcpy(&parameter, info, sizeof(parameter));
	if (!range_fits(parameter.name_offset, parameter.name_len, info_len) ||
	    !range_fits(parameter.value_offset, parameter.value_len, info_len))
		return -EPROTO;
	if (parameter.type != RNDIS_PARAMETER_STRING)
		return -EOPNOTSUPP;
	r = parse_text(info + parameter.name_offset, parameter.name_len, ret_name, size);
	return r < 0 ? r : parse_text(info + parameter.value_offset, parameter.value_len, ret_value, size);
}
