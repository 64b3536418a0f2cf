/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "boot/unpack.h"
#include "boot_fixture.h"

#define PLAIN_LEN (9u << 20) /* more than one block of LZ4's */

static uint8_t *plain, *packed;
static size_t packed_len, seen;
static int sink_result;

static int fake_sink(void *arg, const uint8_t *buf, size_t len)
{
	cr_assert_leq(seen + len, PLAIN_LEN);
	cr_assert_eq(memcmp(buf, plain + seen, len), 0);
	seen += len;
	return sink_result;
}

static const char *const formats[] = {"gzip", "xz", "lzma", "zstd", "lz4"};

static void setup(void)
{
	plain = malloc(PLAIN_LEN);
	packed = malloc(2 * PLAIN_LEN);
	for (size_t i = 0; i < PLAIN_LEN; i++)
		plain[i] = (uint8_t)((i >> 6) * 31);
}

static void teardown(void)
{
	free(plain);
	free(packed);
}

static int run(size_t in_len, uint64_t limit)
{
	seen = 0;
	return unpack(packed, in_len, limit, fake_sink, NULL);
}

TestSuite(unpack, .init = setup, .fini = teardown, .timeout = 60);

Test(unpack, every_format)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		packed_len = craft_pack(formats[i], plain, PLAIN_LEN, packed, 2 * PLAIN_LEN);
		cr_assert_str_eq(unpack_format(packed, packed_len), formats[i]);
		cr_assert_eq(run(packed_len, PLAIN_LEN), 0, "%s", formats[i]);
		cr_assert_eq(seen, PLAIN_LEN);
		put_le32(packed + packed_len, PLAIN_LEN); /* as in a bzImage */
		cr_assert_eq(run(packed_len + 4, PLAIN_LEN), 0, "%s with its size behind it", formats[i]);
		cr_assert_eq(run(packed_len, PLAIN_LEN - 1), -EFBIG, "%s", formats[i]);
	}
}

Test(unpack, cut_short)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		packed_len = craft_pack(formats[i], plain, PLAIN_LEN, packed, 2 * PLAIN_LEN);
		cr_assert_eq(run(packed_len / 2, PLAIN_LEN), -EPROTO, "%s", formats[i]);
		cr_assert_eq(run(packed_len - 1, PLAIN_LEN), -EPROTO, "%s", formats[i]);
	}
}

Test(unpack, damaged)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		packed_len = craft_pack(formats[i], plain, PLAIN_LEN, packed, 2 * PLAIN_LEN);
		memset(packed + 8, 0xff, 64);
		seen = 0;
		cr_assert_lt(unpack(packed, packed_len, PLAIN_LEN, fake_sink, NULL), 0, "%s", formats[i]);
	}
}

Test(unpack, unknown_format)
{
	cr_assert_null(unpack_format("BZh91AY", 7));
	cr_assert_null(unpack_format("\x1f", 1));
	cr_assert_eq(unpack("BZh91AY", 7, 100, fake_sink, NULL), -ENOTSUP);
	cr_assert_eq(unpack("", 0, 100, fake_sink, NULL), -ENOTSUP);
}

Test(unpack, sink_ends_it)
{
	sink_result = -ENOEXEC;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		packed_len = craft_pack(formats[i], plain, PLAIN_LEN, packed, 2 * PLAIN_LEN);
		cr_assert_eq(run(packed_len, PLAIN_LEN), -ENOEXEC);
	}
}
