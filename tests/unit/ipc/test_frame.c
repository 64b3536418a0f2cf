/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "ipc/frame.h"
#include "ipc/rpc.h"

static size_t put(uint8_t *buf, enum frame_kind kind, uint32_t method, uint64_t id, unsigned int nfds,
		  size_t payload_len)
{
	struct frame frame = {.kind = kind, .method = method, .id = id, .nfds = nfds, .payload_len = payload_len};

	memset(buf, 0xa5, FRAME_HEADER_LEN + payload_len);
	frame_put_header(buf, &frame);
	return FRAME_HEADER_LEN + payload_len;
}

Test(frame, layout_on_the_wire)
{
	uint8_t buf[FRAME_HEADER_LEN + 3];
	static const uint8_t expected[FRAME_HEADER_LEN] = {
		0x42, 0x48, 0x52, 0x50, 2, 0, 3, 0, 0x11, 0, 0, 0, 3, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1,
	};

	put(buf, FRAME_REQUEST, 0x11, 0x0102030405060708, 3, 3);
	cr_assert_arr_eq(buf, expected, sizeof(expected));
}

Test(frame, round_trip)
{
	uint8_t buf[FRAME_HEADER_LEN + 100];
	struct frame frame;

	cr_assert_eq(frame_parse(buf, put(buf, FRAME_REQUEST, 7, UINT64_MAX, RPC_FDS_MAX, 100), &frame), 0);
	cr_assert_eq(frame.kind, FRAME_REQUEST);
	cr_assert_eq(frame.method, 7);
	cr_assert_eq(frame.id, UINT64_MAX);
	cr_assert_eq(frame.nfds, RPC_FDS_MAX);
	cr_assert_eq(frame.payload, buf + FRAME_HEADER_LEN);
	cr_assert_eq(frame.payload_len, 100);
}

Test(frame, fields_go_with_the_kind)
{
	static const struct {
		enum frame_kind kind;
		uint32_t method;
		uint64_t id;
		unsigned int nfds;
		int result;
	} cases[] = {
		{FRAME_HELLO, 0, 0, 0, 0},
		{FRAME_HELLO, 1, 0, 0, -EPROTO},
		{FRAME_HELLO, 0, 1, 0, -EPROTO},
		{FRAME_HELLO, 0, 0, 1, -EPROTO},
		{FRAME_REQUEST, 1, 1, 0, 0},
		{FRAME_REQUEST, 0, 1, 0, -EPROTO},
		{FRAME_REQUEST, 1, 0, 0, -EPROTO},
		{FRAME_REQUEST, 1, 1, RPC_FDS_MAX + 1, -EPROTO},
		{FRAME_REPLY, 0, 1, RPC_FDS_MAX, 0},
		{FRAME_REPLY, 1, 1, 0, -EPROTO},
		{FRAME_REPLY, 0, 0, 0, -EPROTO},
		{FRAME_ERROR, 0, 1, 0, 0},
		{FRAME_ERROR, 0, 1, 1, -EPROTO},
		{FRAME_ERROR, 0, 0, 0, -EPROTO},
		{FRAME_NOTIFY, 1, 0, 1, 0},
		{FRAME_NOTIFY, 1, 1, 0, -EPROTO},
		{FRAME_NOTIFY, 0, 0, 0, -EPROTO},
		{FRAME_GOODBYE, 0, 0, 0, 0},
		{FRAME_GOODBYE, 0, 0, 1, -EPROTO},
		{0, 0, 0, 0, -EPROTO},
		{7, 0, 0, 0, -EPROTO},
	};
	uint8_t buf[FRAME_HEADER_LEN];
	struct frame frame;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put(buf, cases[i].kind, cases[i].method, cases[i].id, cases[i].nfds, 0);
		cr_assert_eq(frame_parse(buf, sizeof(buf), &frame), cases[i].result, "case %zu", i);
	}
}

Test(frame, length_must_be_exact)
{
	static uint8_t buf[RPC_MSG_MAX + 1];
	struct frame frame;
	size_t len = put(buf, FRAME_NOTIFY, 1, 0, 0, 10);

	cr_assert_eq(frame_parse(buf, len, &frame), 0);
	cr_assert_eq(frame_parse(buf, len - 1, &frame), -EPROTO);
	cr_assert_eq(frame_parse(buf, len + 1, &frame), -EPROTO);
	for (size_t i = 0; i < FRAME_HEADER_LEN; i++)
		cr_assert_eq(frame_parse(buf, i, &frame), -EPROTO);
	len = put(buf, FRAME_NOTIFY, 1, 0, 0, RPC_MSG_MAX - FRAME_HEADER_LEN);
	cr_assert_eq(frame_parse(buf, len, &frame), 0);
	len = put(buf, FRAME_NOTIFY, 1, 0, 0, RPC_MSG_MAX - FRAME_HEADER_LEN + 1);
	cr_assert_eq(frame_parse(buf, len, &frame), -EPROTO);
}

Test(frame, output_is_untouched_on_failure)
{
	uint8_t buf[FRAME_HEADER_LEN];
	struct frame frame = {.method = 1234};

	put(buf, FRAME_REQUEST, 1, 1, 0, 0);
	buf[5] = 1;
	cr_assert_eq(frame_parse(buf, sizeof(buf), &frame), -EPROTO);
	cr_assert_eq(frame.method, 1234);
}

Test(frame, hello_round_trip)
{
	struct frame_hello hello = {.frame_version = FRAME_VERSION}, back;
	uint8_t payload[FRAME_HELLO_MAX];
	size_t len;

	cr_assert_eq(frame_service_set(&hello.serves, "a-name-of-the-greatest-length-00", 7), 0);
	cr_assert_eq(frame_service_set(&hello.wants, "worker", 1), 0);
	len = frame_put_hello(payload, &hello);
	cr_assert_eq(frame_parse_hello(payload, len, &back), 0);
	cr_assert_str_eq(back.serves.name, hello.serves.name);
	cr_assert_eq(back.serves.version, 7);
	cr_assert_str_eq(back.wants.name, "worker");
	cr_assert_eq(back.wants.version, 1);
	for (size_t i = 0; i < len; i++)
		cr_assert_eq(frame_parse_hello(payload, i, &back), -EPROTO);
	payload[14] = 'A';
	cr_assert_eq(frame_parse_hello(payload, len, &back), -EPROTO);
}

Test(frame, hello_of_another_version_need_not_look_like_ours)
{
	uint8_t payload[4] = {9, 0, 0, 0};
	struct frame_hello hello;

	cr_assert_eq(frame_parse_hello(payload, 4, &hello), -EPROTONOSUPPORT);
	cr_assert_eq(hello.frame_version, 9);
}

Test(frame, names_of_services)
{
	struct frame_service service;

	cr_assert_eq(frame_service_set(&service, "", 1), -EINVAL);
	cr_assert_eq(frame_service_set(&service, "a b", 1), -EINVAL);
	cr_assert_eq(frame_service_set(&service, "a-name-that-is-longer-than-allowed", 1), -EINVAL);
	cr_assert_eq(frame_service_set(&service, NULL, 1), 0);
	cr_assert_str_eq(service.name, "");
	cr_assert_eq(service.version, 0);
}

Test(frame, error_round_trip)
{
	uint8_t payload[FRAME_ERROR_MAX];
	struct err err, back;
	size_t len;

	err_set(&err, -ENOSPC, "disk full");
	len = frame_put_error(payload, &err);
	cr_assert_eq(len, 4 + 9);
	cr_assert_eq(frame_parse_error(payload, len, &back), 0);
	cr_assert_eq(back.code, -ENOSPC);
	cr_assert_str_eq(back.text, "disk full");
	cr_assert_eq(frame_parse_error(payload, 4, &back), 0);
	cr_assert_str_eq(back.text, "");
	cr_assert_eq(frame_parse_error(payload, 3, &back), -EPROTO);
}

Test(frame, error_codes)
{
	static const struct {
		int32_t code;
		int result;
	} cases[] = {{0, -EPROTO}, {1, -EPROTO}, {-1, 0}, {-4095, 0}, {-4096, -EPROTO}, {INT32_MIN, -EPROTO}};
	uint8_t payload[4];
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_le32(payload, (uint32_t)cases[i].code);
		cr_assert_eq(frame_parse_error(payload, 4, &err), cases[i].result, "%d", cases[i].code);
	}
}

Test(frame, error_text)
{
	uint8_t payload[4 + ERR_TEXT_MAX];
	struct err err;

	memset(payload, 'x', sizeof(payload));
	put_le32(payload, (uint32_t)-5);
	cr_assert_eq(frame_parse_error(payload, sizeof(payload), &err), -EPROTO);
	cr_assert_eq(frame_parse_error(payload, sizeof(payload) - 1, &err), 0);
	cr_assert_eq(strlen(err.text), ERR_TEXT_MAX - 1);
	payload[100] = '\0';
	cr_assert_eq(frame_parse_error(payload, sizeof(payload) - 1, &err), -EPROTO);
}
