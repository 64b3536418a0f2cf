/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-netd/rndis_parse.h"

/* ---- frames ---- */

static struct {
	struct rndis_header header;
	struct rndis_packet packet;
	struct {
		struct rndis_packet_info info;
		uint32_t value;
	} infos[3];
	uint8_t frame[60];
} packet;

static struct rndis_frame frame;

static void set_info(size_t i, uint32_t type, uint32_t value)
{
	packet.infos[i].info = (struct rndis_packet_info){.size = 16, .type = type, .offset = 12};
	packet.infos[i].value = value;
}

static void set_up(void)
{
	memset(&packet, 0, sizeof(packet));
	packet.header = (struct rndis_header){.type = RNDIS_MESSAGE_PACKET, .len = sizeof(packet)};
	packet.packet.data_offset = offsetof(__typeof__(packet), frame) - RNDIS_HEADER_LEN;
	packet.packet.data_len = sizeof(packet.frame);
	packet.packet.info_offset = sizeof(packet.packet);
	packet.packet.info_len = sizeof(packet.infos);
	set_info(0, RNDIS_INFO_CHECKSUM, RNDIS_TX_IPV4 | RNDIS_TX_TCP);
	set_info(1, RNDIS_INFO_8021Q, 7 << RNDIS_8021Q_VLAN_SHIFT);
	set_info(2, RNDIS_INFO_HASH, 0x1234);
}

/* @left: of the transfer. What is parsed has no byte behind its end: a sanitizer sees one too many. */
static int parse_of(size_t left)
{
	size_t len = MIN(left, MIN(sizeof(packet), (size_t)RNDIS_HEAD_MAX));
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, &packet, len);
	r = rndis_frame_parse(copy, len, left, &frame);
	free(copy);
	return r;
}

static int parse(void)
{
	return parse_of(sizeof(packet));
}

Test(rndis_frame, whole, .init = set_up)
{
	cr_assert_eq(parse(), 0);
	cr_assert_eq(frame.message_len, sizeof(packet));
	cr_assert_eq(frame.offset, offsetof(__typeof__(packet), frame));
	cr_assert_eq(frame.len, 60);
	cr_assert(frame.has_checksum);
	cr_assert_eq(frame.checksum, RNDIS_TX_IPV4 | RNDIS_TX_TCP);
	cr_assert(frame.has_8021q);
	cr_assert_eq(frame.ieee8021q, 7 << RNDIS_8021Q_VLAN_SHIFT);
	cr_assert_not(frame.has_lso);
}

Test(rndis_frame, without_infos, .init = set_up)
{
	packet.packet.info_len = 0;
	packet.packet.info_offset = 0;
	cr_assert_eq(parse(), 0);
	cr_assert_not(frame.has_checksum || frame.has_lso || frame.has_8021q);
}

Test(rndis_frame, more_messages_follow, .init = set_up)
{
	cr_assert_eq(parse_of(sizeof(packet) + 5000), 0);
	cr_assert_eq(frame.message_len, sizeof(packet));
}

Test(rndis_frame, a_frame_longer_than_the_head, .init = set_up)
{
	packet.header.len = 9000;
	packet.packet.data_len = 9000 - offsetof(__typeof__(packet), frame);
	cr_assert_eq(parse_of(9000), 0);
	cr_assert_eq(frame.len, packet.packet.data_len);
	cr_assert_eq(parse_of(8999), -EPROTO);
}

/* Every field that can be wrong. */
static const struct {
	const char *what;
	size_t at;
	uint32_t value;
} wrong[] = {
	{"type", offsetof(__typeof__(packet), header.type), RNDIS_MESSAGE_SET},
	{"length of a header", offsetof(__typeof__(packet), header.len), 8},
	{"length of less", offsetof(__typeof__(packet), header.len), 43},
	{"length of nothing", offsetof(__typeof__(packet), header.len), 0},
	{"length beyond", offsetof(__typeof__(packet), header.len), sizeof(packet) + 1},
	{"length of all", offsetof(__typeof__(packet), header.len), UINT32_MAX},
	{"frame in the header", offsetof(__typeof__(packet), packet.data_offset), 35},
	{"frame at the end", offsetof(__typeof__(packet), packet.data_offset), sizeof(packet) - 8},
	{"frame far away", offsetof(__typeof__(packet), packet.data_offset), UINT32_MAX},
	{"frame of nothing", offsetof(__typeof__(packet), packet.data_len), 0},
	{"frame beyond", offsetof(__typeof__(packet), packet.data_len), 61},
	{"frame of all", offsetof(__typeof__(packet), packet.data_len), UINT32_MAX},
	{"infos in the header", offsetof(__typeof__(packet), packet.info_offset), 32},
	{"infos at the end", offsetof(__typeof__(packet), packet.info_offset), sizeof(packet) - 8},
	{"infos far away", offsetof(__typeof__(packet), packet.info_offset), UINT32_MAX - 4},
	{"infos beyond", offsetof(__typeof__(packet), packet.info_len), sizeof(packet)},
	{"infos of all", offsetof(__typeof__(packet), packet.info_len), UINT32_MAX},
	{"half an info", offsetof(__typeof__(packet), packet.info_len), 40},
	{"info of nothing", offsetof(__typeof__(packet), infos[1].info.size), 0},
	{"info of less", offsetof(__typeof__(packet), infos[1].info.size), 11},
	{"info beyond", offsetof(__typeof__(packet), infos[2].info.size), 17},
	{"info of all", offsetof(__typeof__(packet), infos[1].info.size), UINT32_MAX},
	{"value in the header", offsetof(__typeof__(packet), infos[0].info.offset), 8},
	{"value beyond", offsetof(__typeof__(packet), infos[0].info.offset), 13},
	{"value far away", offsetof(__typeof__(packet), infos[0].info.offset), UINT32_MAX - 2},
	{"an info twice", offsetof(__typeof__(packet), infos[2].info.type), RNDIS_INFO_CHECKSUM},
};

Test(rndis_frame, wrong_fields)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		set_up();
		memcpy((uint8_t *)&packet + wrong[i].at, &wrong[i].value, 4);
		cr_assert_eq(parse(), -EPROTO, "%s", wrong[i].what);
	}
}

Test(rndis_frame, every_shorter_transfer, .init = set_up)
{
	for (size_t left = 0; left < sizeof(packet); left++)
		cr_assert_eq(parse_of(left), -EPROTO);
}

Test(rndis_frame, infos_behind_the_head, .init = set_up)
{
	packet.header.len = 4096;
	packet.packet.info_offset = RNDIS_HEAD_MAX;
	cr_assert_eq(parse_of(4096), -EPROTO);
}

/* ---- control messages ---- */

static struct {
	struct rndis_header header;
	union {
		struct rndis_initialize initialize;
		struct {
			struct rndis_request request;
			uint8_t info[6];
		};
	};
} message;

static struct rndis_control control;

static int parse_control(size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, &message, len);
	r = rndis_control_parse(copy, len, &control);
	if (r == 0 && control.info)
		control.info = (const uint8_t *)&message + (control.info - copy);
	free(copy);
	return r;
}

static void set_up_set(void)
{
	message.header = (struct rndis_header){.type = RNDIS_MESSAGE_SET, .len = 34};
	message.request = (struct rndis_request){
		.request_id = 5, .oid = 0x0001010e, .info_len = 6, .info_offset = sizeof(struct rndis_request)};
}

Test(rndis_control, initialize)
{
	message.header = (struct rndis_header){.type = RNDIS_MESSAGE_INITIALIZE, .len = 24};
	message.initialize = (struct rndis_initialize){1, 2, 3, 4};
	cr_assert_eq(parse_control(24), 0);
	cr_assert_eq(control.type, RNDIS_MESSAGE_INITIALIZE);
	cr_assert_eq(control.request_id, 1);
	cr_assert_eq(control.major_version, 2);
	cr_assert_eq(control.minor_version, 3);
	cr_assert_eq(control.max_transfer_bytes, 4);
	message.header.len = 23;
	cr_assert_eq(parse_control(24), -EPROTO);
	cr_assert_eq(control.type, RNDIS_MESSAGE_INITIALIZE);
}

Test(rndis_control, set, .init = set_up_set)
{
	cr_assert_eq(parse_control(34), 0);
	cr_assert_eq(control.request_id, 5);
	cr_assert_eq(control.oid, 0x0001010e);
	cr_assert_eq(control.info_len, 6);
	cr_assert_eq(control.info, message.info);
	for (size_t len = 0; len < 34; len++)
		cr_assert_eq(parse_control(len), -EPROTO);
}

Test(rndis_control, set_without_info, .init = set_up_set)
{
	message.request.info_len = 0;
	message.request.info_offset = UINT32_MAX;
	cr_assert_eq(parse_control(34), 0);
	cr_assert_null(control.info);
	cr_assert_eq(control.info_len, 0);
}

Test(rndis_control, info_elsewhere, .init = set_up_set)
{
	static const uint32_t offsets[] = {0, 19, 21, 26, 34, UINT32_MAX - 5};

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		message.request.info_offset = offsets[i];
		cr_assert_eq(parse_control(34), -EPROTO, "%u", offsets[i]);
	}
}

Test(rndis_control, types)
{
	static const struct {
		uint32_t type;
		int result;
	} types[] = {
		{0, -EOPNOTSUPP},
		{RNDIS_MESSAGE_PACKET, -EOPNOTSUPP},
		{RNDIS_MESSAGE_HALT, 0},
		{RNDIS_MESSAGE_QUERY, 0},
		{RNDIS_MESSAGE_RESET, 0},
		{RNDIS_MESSAGE_INDICATE_STATUS, -EOPNOTSUPP},
		{RNDIS_MESSAGE_KEEPALIVE, 0},
		{9, -EOPNOTSUPP},
		{RNDIS_MESSAGE_QUERY | RNDIS_COMPLETION, -EOPNOTSUPP},
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		set_up_set();
		message.header.type = types[i].type;
		cr_assert_eq(parse_control(34), types[i].result, "%u", types[i].type);
		cr_assert_eq(control.type, types[i].type);
	}
}

/* ---- parameters ---- */

#define NAME  "NetworkAddress"
#define VALUE "00155d010203"

static struct {
	struct rndis_config_parameter parameter;
	uint16_t name[sizeof(NAME) - 1], value[sizeof(VALUE) - 1];
} info;

static char name[32], value[32];

static void set_up_parameter(void)
{
	info.parameter = (struct rndis_config_parameter){
		.name_offset = offsetof(__typeof__(info), name),
		.name_len = sizeof(info.name),
		.type = RNDIS_PARAMETER_STRING,
		.value_offset = offsetof(__typeof__(info), value),
		.value_len = sizeof(info.value),
	};
	for (size_t i = 0; i < ARRAY_SIZE(info.name); i++)
		info.name[i] = (uint16_t)NAME[i];
	for (size_t i = 0; i < ARRAY_SIZE(info.value); i++)
		info.value[i] = (uint16_t)VALUE[i];
}

static int parse_parameter(void)
{
	return rndis_parameter_parse((const uint8_t *)&info, sizeof(info), name, value, sizeof(name));
}

Test(rndis_parameter, text, .init = set_up_parameter)
{
	cr_assert_eq(parse_parameter(), 0);
	cr_assert_str_eq(name, NAME);
	cr_assert_str_eq(value, VALUE);
}

Test(rndis_parameter, wrong, .init = set_up_parameter)
{
	info.parameter.type = RNDIS_PARAMETER_INTEGER;
	cr_assert_eq(parse_parameter(), -EOPNOTSUPP);
	set_up_parameter();
	info.parameter.value_offset++;
	cr_assert_eq(parse_parameter(), -EPROTO);
	set_up_parameter();
	info.parameter.value_len--;
	cr_assert_eq(parse_parameter(), -EPROTO);
	set_up_parameter();
	info.parameter.name_offset = UINT32_MAX;
	cr_assert_eq(parse_parameter(), -EPROTO);
	set_up_parameter();
	info.value[3] = 0x20ac;
	cr_assert_eq(parse_parameter(), -EOPNOTSUPP);
	set_up_parameter();
	cr_assert_eq(rndis_parameter_parse((const uint8_t *)&info, sizeof(info), name, value, sizeof(VALUE) - 1),
		     -EOPNOTSUPP);
	for (uint32_t len = 0; len < sizeof(info); len++)
		cr_assert_eq(rndis_parameter_parse((const uint8_t *)&info, len, name, value, sizeof(name)), -EPROTO);
}
