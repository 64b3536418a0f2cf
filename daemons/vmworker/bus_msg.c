/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_msg.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

static int parse_contact(const uint8_t *p, size_t len, struct bus_msg *msg)
{
	struct vmbus_msg_initiate_contact wire;

	memcpy(&wire, p, sizeof(wire));
	msg->contact.connection_id = 0;
	msg->contact.version = wire.vmbus_version_requested;
	msg->contact.target_vp = wire.target_vcpu;
	msg->contact.sint = wire.msg_sint;
	msg->contact.vtl = wire.msg_vtl;
	return 0;
}

static int parse_open(const uint8_t *p, size_t len, struct bus_msg *msg)
{
	struct vmbus_msg_open_channel wire;

	memcpy(&wire, p, sizeof(wire));
	msg->open.relid = wire.child_relid;
	msg->open.open_id = wire.openid;
	msg->open.gpadl = wire.ringbuffer_gpadlhandle;
	msg->open.target_vp = wire.target_vp;
	msg->open.downstream_page = wire.downstream_ringbuffer_pageoffset;
	memcpy(msg->open.user_data, wire.userdata, sizeof(msg->open.user_data));
	return 0;
}

static int parse_gpadl_header(const uint8_t *p, size_t len, struct bus_msg *msg)
{
	struct vmbus_msg_gpadl_header wire;
	size_t here = len - sizeof(wire);

	memcpy(&wire, p, sizeof(wire));
	if (wire.rangecount == 0 || wire.range_buflen == 0 || wire.range_buflen % 8 || here % 8 ||
	    here > wire.range_buflen)
		return -EPROTO;
	msg->gpadl.relid = wire.child_relid;
	msg->gpadl.gpadl = wire.gpadl;
	msg->gpadl.total_words = wire.range_buflen / 8u;
	msg->gpadl.ranges = wire.rangecount;
	msg->gpadl.words = p + sizeof(wire);
	msg->gpadl.words_here = (uint32_t)(here / 8);
	return 0;
}

static int parse_gpadl_body(const uint8_t *p, size_t len, struct bus_msg *msg)
{
	struct vmbus_msg_gpadl_body wire;
	size_t here = len - sizeof(wire);

	/* msgnumber is not looked at: Linux leaves it 0 in every body. */
	memcpy(&wire, p, sizeof(wire));
	if (here % 8)
		return -EPROTO;
	msg->gpadl.relid = 0;
	msg->gpadl.gpadl = wire.gpadl;
	msg->gpadl.total_words = 0;
	msg->gpadl.ranges = 0;
	msg->gpadl.words = p + sizeof(wire);
	msg->gpadl.words_here = (uint32_t)(here / 8);
	return 0;
}

static int parse_pair(const uint8_t *p, size_t len, struct bus_msg *msg)
{
	msg->pair.relid = get_le32(p + sizeof(struct vmbus_msg_header));
	msg->pair.value = get_le32(p + sizeof(struct vmbus_msg_header) + 4);
	return 0;
}

static int parse_relid(const uint8_t *p, size_t len, struct bus_msg *msg)
{
	msg->relid = get_le32(p + sizeof(struct vmbus_msg_header));
	return 0;
}

static int parse_header(const uint8_t *p, size_t len, struct bus_msg *msg)
{
	return 0;
}

static const struct {
	size_t min_len;
	int (*parse)(const uint8_t *p, size_t len, struct bus_msg *msg);
} parsers[VMBUS_MSG_COUNT] = {
	[VMBUS_MSG_REQUESTOFFERS] = {sizeof(struct vmbus_msg_header), parse_header},
	[VMBUS_MSG_OPENCHANNEL] = {sizeof(struct vmbus_msg_open_channel), parse_open},
	[VMBUS_MSG_CLOSECHANNEL] = {sizeof(struct vmbus_msg_relid), parse_relid},
	[VMBUS_MSG_GPADL_HEADER] = {sizeof(struct vmbus_msg_gpadl_header), parse_gpadl_header},
	[VMBUS_MSG_GPADL_BODY] = {sizeof(struct vmbus_msg_gpadl_body), parse_gpadl_body},
	[VMBUS_MSG_GPADL_TEARDOWN] = {sizeof(struct vmbus_msg_gpadl_teardown), parse_pair},
	[VMBUS_MSG_RELID_RELEASED] = {sizeof(struct vmbus_msg_relid), parse_relid},
	[VMBUS_MSG_INITIATE_CONTACT] = {sizeof(struct vmbus_msg_initiate_contact), parse_contact},
	[VMBUS_MSG_UNLOAD] = {sizeof(struct vmbus_msg_header), parse_header},
	[VMBUS_MSG_MODIFYCHANNEL] = {sizeof(struct vmbus_msg_modify_channel), parse_pair},
};

int bus_msg_parse(const void *payload, size_t len, struct bus_msg *ret_msg)
{
	struct bus_msg msg;
	int r;

	if (len < sizeof(struct vmbus_msg_header) || len > VMBUS_MESSAGE_PAYLOAD_MAX)
		return -EPROTO;
	msg.type = get_le32(payload);
	if (msg.type >= VMBUS_MSG_COUNT || !parsers[msg.type].parse)
		return -EOPNOTSUPP;
	if (len < parsers[msg.type].min_len)
		return -EPROTO;
	r = parsers[msg.type].parse(payload, len, &msg);
	if (r < 0)
		return r;
	*ret_msg = msg;
	return 0;
}

int bus_gpa_next(struct bus_gpa_cursor *cursor, struct bus_gpa_range *ret_range)
{
	struct bus_gpa_range range;
	uint64_t pages;

	if (cursor->count == 0)
		return -EPROTO;
	range.byte_count = (uint32_t)cursor->words[0];
	range.byte_offset = (uint32_t)(cursor->words[0] >> 32);
	if (range.byte_count == 0 || range.byte_offset >= GUEST_PAGE_SIZE)
		return -EPROTO;
	pages = ((uint64_t)range.byte_offset + range.byte_count + GUEST_PAGE_SIZE - 1) / GUEST_PAGE_SIZE;
	if (pages > cursor->count - 1)
		return -EPROTO;
	range.pages = (uint32_t)pages;
	range.pfn = cursor->words + 1;
	cursor->words += 1 + pages;
	cursor->count -= 1 + (uint32_t)pages;
	*ret_range = range;
	return 0;
}
