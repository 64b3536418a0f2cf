/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "ic/ic_parse.h"

static const struct ic_version ours[] = {{1, 0}, {3, 0}, {3, 2}};
static const struct ic_versions frameworks = {ours, 2}, versions = {ours, 3};

struct answer {
	struct ic_negotiate head;
	struct ic_version version[256];
} __attribute__((packed));

static int negotiated(const struct answer *answer, size_t len, struct ic_version *ret_framework,
		      struct ic_version *ret_version)
{
	const struct ic_message message = {.body = answer, .len = len};

	return ic_parse_negotiated(&message, &frameworks, &versions, ret_framework, ret_version);
}

Test(ic_parse, what_is_built_is_parsed)
{
	const struct ic_message in = {
		.framework = {3, 0},
		.version = {3, 1},
		.type = IC_MESSAGE_SHUTDOWN,
		.status = IC_STATUS_FAIL,
		.transaction_id = 200,
		.flags = IC_FLAG_RESPONSE,
		.body = "twelve bytes",
		.len = 12,
	};
	uint8_t payload[64] = {0};
	struct ic_message out;

	cr_assert_eq(ic_build(&in, payload), IC_HEADERS_LEN + 12);
	cr_assert_eq(ic_parse(payload, IC_HEADERS_LEN + 16, &out), 0);
	cr_assert_eq(out.type, IC_MESSAGE_SHUTDOWN);
	cr_assert_eq(out.version.minor, 1);
	cr_assert_eq(out.status, IC_STATUS_FAIL);
	cr_assert_eq(out.transaction_id, 200);
	cr_assert_eq(out.flags, IC_FLAG_RESPONSE);
	cr_assert_eq(out.len, 12);
	cr_assert_eq(memcmp(out.body, "twelve bytes", 12), 0);
}

Test(ic_parse, the_bytes_are_those_of_linux)
{
	const struct ic_message in = {
		.framework = {3, 0}, .version = {4, 0}, .type = 4, .transaction_id = 7, .flags = 3};
	static const uint8_t wire[] = {1, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 4, 0,
				       4, 0, 0, 0, 0,  0, 0, 0, 0, 0, 7, 3, 0, 0};
	uint8_t payload[IC_HEADERS_LEN];

	cr_assert_eq(ic_build(&in, payload), sizeof(wire));
	cr_assert_arr_eq(payload, wire, sizeof(wire));
	cr_assert_eq(sizeof(struct ic_shutdown), 2060);
	cr_assert_eq(sizeof(struct ic_timesync), 25);
	cr_assert_eq(sizeof(struct ic_timesync_ref), 22);
	cr_assert_eq(sizeof(struct ic_heartbeat), 40);
}

Test(ic_parse, shorter_than_it_says)
{
	const struct ic_message in = {.body = "twelve bytes", .len = 12};
	uint8_t payload[64] = {0};
	struct ic_message out;
	size_t len = ic_build(&in, payload);

	for (size_t n = 0; n < len; n++)
		cr_assert_eq(ic_parse(payload, n, &out), -EPROTO, "%zu bytes", n);
	payload[4] = 19; /* the pipe's length: less than a header */
	cr_assert_eq(ic_parse(payload, len, &out), -EPROTO);
	memset(payload + 4, 0xff, 4);
	cr_assert_eq(ic_parse(payload, len, &out), -EPROTO);
	ic_build(&in, payload);
	payload[18] = 13; /* the body's: more than the pipe's */
	cr_assert_eq(ic_parse(payload, sizeof(payload), &out), -EPROTO);
}

Test(ic_parse, the_newest_that_both_know)
{
	const struct answer one = {{1, 1, 0}, {{1, 0}, {3, 2}}};
	const struct answer many = {{3, 4, 0}, {{9, 9}, {3, 0}, {1, 0}, {3, 9}, {1, 0}, {3, 0}, {7, 0}}};
	struct ic_version framework, version;

	cr_assert_eq(negotiated(&one, sizeof(one.head) + 8, &framework, &version), 0);
	cr_assert(framework.major == 1 && version.major == 3 && version.minor == 2);
	cr_assert_eq(negotiated(&many, sizeof(many.head) + 28, &framework, &version), 0);
	cr_assert(framework.major == 3 && version.major == 3 && version.minor == 0);
}

Test(ic_parse, no_version_in_common)
{
	static const struct answer answers[] = {
		{{0, 0, 0}, {{1, 0}, {3, 0}}}, {{1, 0, 0}, {{1, 0}, {3, 0}}}, {{0, 1, 0}, {{1, 0}, {3, 0}}},
		{{1, 1, 0}, {{2, 0}, {3, 0}}}, {{1, 1, 0}, {{1, 0}, {3, 3}}},
	};
	struct ic_version framework, version;

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		cr_assert_eq(negotiated(&answers[i], sizeof(answers[i].head) + 8, &framework, &version), -EOPNOTSUPP);
}

Test(ic_parse, wrong_counts)
{
	struct answer answer = {{1, 1, 0}, {{1, 0}, {3, 0}}};
	struct ic_version framework, version;

	for (size_t len = 0; len < sizeof(answer.head) + 8; len++)
		cr_assert_eq(negotiated(&answer, len, &framework, &version), -EPROTO, "%zu bytes", len);
	answer.head = (struct ic_negotiate){2, 1, 0};
	cr_assert_eq(negotiated(&answer, sizeof(answer.head) + 8, &framework, &version), -EPROTO);
	answer.head = (struct ic_negotiate){0xffff, 0xffff, 0};
	cr_assert_eq(negotiated(&answer, sizeof(answer), &framework, &version), -EPROTO);
	answer.head = (struct ic_negotiate){IC_VERSIONS_MAX + 1, 1, 0};
	cr_assert_eq(negotiated(&answer, sizeof(answer), &framework, &version), -EPROTO);
	answer.head = (struct ic_negotiate){IC_VERSIONS_MAX, IC_VERSIONS_MAX, 0};
	cr_assert_eq(negotiated(&answer, sizeof(answer), &framework, &version), -EOPNOTSUPP);
}

Test(ic_parse, all_versions_are_named)
{
	uint8_t body[64];
	static const uint8_t wire[] = {2, 0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0,
				       0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 3, 0, 2, 0};

	cr_assert_eq(ic_build_negotiate(&frameworks, &versions, body), sizeof(wire));
	cr_assert_arr_eq(body, wire, sizeof(wire));
}
