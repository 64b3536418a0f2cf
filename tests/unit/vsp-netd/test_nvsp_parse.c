/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-netd/nvsp_parse.h"

static struct nvsp_message message;

static int parse(uint32_t type, size_t len, uint32_t version)
{
	uint8_t bytes[NVSP_MESSAGE_LEN + 8];

	memset(bytes, 0x5a, sizeof(bytes));
	put_le32(bytes, type);
	return nvsp_parse(bytes, len, version, &message);
}

Test(nvsp_parse, layouts)
{
	cr_assert_eq(sizeof(struct nvsp_message), NVSP_MESSAGE_LEN);
}

/* What guests may send, from which version on, and how long it is at least. */
static const struct {
	uint32_t type;
	size_t len;
	uint32_t before, from;
} rows[] = {
	{NVSP_MESSAGE_SEND_NDIS_VERSION, 12, 0, NVSP_VERSION_1},
	{NVSP_MESSAGE_SEND_RECEIVE_BUFFER, 10, 0, NVSP_VERSION_1},
	{NVSP_MESSAGE_REVOKE_RECEIVE_BUFFER, 6, 0, NVSP_VERSION_1},
	{NVSP_MESSAGE_SEND_SEND_BUFFER, 10, 0, NVSP_VERSION_1},
	{NVSP_MESSAGE_REVOKE_SEND_BUFFER, 6, 0, NVSP_VERSION_1},
	{NVSP_MESSAGE_SEND_RNDIS_PACKET, 16, 0, NVSP_VERSION_1},
	{NVSP_MESSAGE_SEND_NDIS_CONFIG, 20, NVSP_VERSION_1, NVSP_VERSION_2},
	{NVSP_MESSAGE_SWITCH_DATA_PATH, 8, NVSP_VERSION_2, NVSP_VERSION_4},
	{NVSP_MESSAGE_SUBCHANNEL, 12, NVSP_VERSION_4, NVSP_VERSION_5},
};

Test(nvsp_parse, versions_and_lengths)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cr_assert_eq(parse(rows[i].type, rows[i].len, rows[i].before), -EOPNOTSUPP, "%u", rows[i].type);
		cr_assert_eq(parse(rows[i].type, rows[i].len, rows[i].from), 0, "%u", rows[i].type);
		cr_assert_eq(parse(rows[i].type, rows[i].len, NVSP_VERSION_61), 0, "%u", rows[i].type);
		cr_assert_eq(parse(rows[i].type, rows[i].len - 1, NVSP_VERSION_61), -EPROTO, "%u", rows[i].type);
		cr_assert_eq(message.type, rows[i].type);
	}
}

Test(nvsp_parse, init_comes_before_a_version)
{
	cr_assert_eq(parse(NVSP_MESSAGE_INIT, 12, 0), 0);
	cr_assert_eq(message.init.min_version, 0x5a5a5a5a);
	cr_assert_eq(parse(NVSP_MESSAGE_INIT, 11, 0), -EPROTO);
	cr_assert_eq(parse(NVSP_MESSAGE_INIT, 12, NVSP_VERSION_61), 0);
}

Test(nvsp_parse, what_is_behind_its_end_is_zero)
{
	cr_assert_eq(parse(NVSP_MESSAGE_SUBCHANNEL, 12, NVSP_VERSION_5), 0);
	cr_assert_eq(message.bytes[7], 0x5a);
	for (size_t i = 8; i < sizeof(message.bytes); i++)
		cr_assert_eq(message.bytes[i], 0);
}

Test(nvsp_parse, longer_than_known)
{
	cr_assert_eq(parse(NVSP_MESSAGE_SUBCHANNEL, NVSP_MESSAGE_LEN + 8, NVSP_VERSION_5), 0);
}

Test(nvsp_parse, not_a_guests)
{
	static const uint32_t types[] = {
		0,
		NVSP_MESSAGE_INIT_COMPLETE,
		NVSP_MESSAGE_SEND_RECEIVE_BUFFER_COMPLETE,
		NVSP_MESSAGE_SEND_RNDIS_PACKET_COMPLETE,
		NVSP_MESSAGE_SEND_VF_ASSOCIATION,
		NVSP_MESSAGE_SEND_INDIRECTION_TABLE,
		NVSP_MESSAGE_PD_API,
		137,
		UINT32_MAX,
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		cr_assert_eq(parse(types[i], NVSP_MESSAGE_LEN, NVSP_VERSION_61), -EOPNOTSUPP, "%u", types[i]);
	for (size_t len = 0; len < 4; len++) {
		cr_assert_eq(parse(NVSP_MESSAGE_INIT, len, NVSP_VERSION_61), -EPROTO);
		cr_assert_eq(message.type, 0);
	}
}

Test(nvsp_parse, choose_version)
{
	uint32_t status = 0;

	cr_assert_eq(nvsp_choose_version(NVSP_VERSION_61, NVSP_VERSION_61, &status), NVSP_VERSION_61);
	cr_assert_eq(nvsp_choose_version(NVSP_VERSION_1, UINT32_MAX, &status), NVSP_VERSION_61);
	cr_assert_eq(nvsp_choose_version(0, NVSP_VERSION_4 + 1, &status), NVSP_VERSION_4);
	cr_assert_eq(nvsp_choose_version(NVSP_VERSION_1, NVSP_VERSION_1, &status), NVSP_VERSION_1);
	cr_assert_eq(status, 0);
	cr_assert_eq(nvsp_choose_version(NVSP_VERSION_61 + 1, UINT32_MAX, &status), 0);
	cr_assert_eq(status, NVSP_STATUS_PROTOCOL_TOO_NEW);
	cr_assert_eq(nvsp_choose_version(0, 1, &status), 0);
	cr_assert_eq(status, NVSP_STATUS_PROTOCOL_TOO_OLD);
	cr_assert_eq(nvsp_choose_version(NVSP_VERSION_4 + 1, NVSP_VERSION_4 + 2, &status), 0);
	cr_assert_eq(status, NVSP_STATUS_PROTOCOL_UNSUPPORTED);
	cr_assert_eq(nvsp_choose_version(NVSP_VERSION_6, NVSP_VERSION_1, &status), 0);
	cr_assert(nvsp_version_known(NVSP_VERSION_5));
	cr_assert_not(nvsp_version_known(0));
	cr_assert_not(nvsp_version_known(NVSP_VERSION_5 + 1));
}
