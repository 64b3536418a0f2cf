/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cli/args.h"

Test(args, sizes)
{
	static const struct {
		const char *text;
		int result;
		uint64_t bytes;
	} rows[] = {
		{"1048576", 0, 1048576},
		{"512M", 0, UINT64_C(512) << 20},
		{"2g", 0, UINT64_C(2) << 30},
		{"1GiB", 0, UINT64_C(1) << 30},
		{"", -EINVAL, 0},
		{"M", -EINVAL, 0},
		{"-1M", -EINVAL, 0},
		{"1MB", -EINVAL, 0},
		{"1X", -EINVAL, 0},
		{"99999999999999999999", -EINVAL, 0},
		{"99999999999T", -EINVAL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t bytes = 0;

		cr_assert_eq(arg_parse_size(rows[i].text, &bytes), rows[i].result, "%s", rows[i].text);
		cr_assert_eq(bytes, rows[i].bytes, "%s", rows[i].text);
	}
}

Test(args, numbers)
{
	static const struct {
		const char *text;
		int result;
		uint32_t number;
	} rows[] = {
		{"1", 0, 1},
		{"64", 0, 64},
		{"65", -EINVAL, 0},
		{"0", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"0x1", -EINVAL, 0},
		{"4294967297", -EINVAL, 0},
		{"99999999999999999999", -EINVAL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t number = 0;

		cr_assert_eq(arg_parse_number(rows[i].text, 64, &number), rows[i].result, "%s", rows[i].text);
		cr_assert_eq(number, rows[i].number, "%s", rows[i].text);
	}
}

Test(args, paths)
{
	_cleanup_free_ char *there = arg_absolute("/usr/../usr"), *missing = arg_absolute("/usr/../no such file");
	_cleanup_free_ char *relative = arg_absolute("no such file");

	cr_assert_str_eq(there, "/usr");
	cr_assert_str_eq(missing, "/usr/../no such file");
	cr_assert_eq(relative[0], '/');
}
