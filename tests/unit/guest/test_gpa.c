/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>

#include "guest/gpa.h"

static struct guest_range out[70];
static uint32_t total = 77;

#define HEADER(ranges)	   ((uint64_t)(ranges) << 32)
#define RANGE(offset, len) ((uint64_t)(offset) << 32 | (len))

static int parse(const uint64_t *words, size_t count)
{
	return gpa_list_parse(words, count * 8, out, 65, &total);
}

Test(gpa, one_range_with_an_offset)
{
	uint64_t list[] = {HEADER(1), RANGE(512, 8192), 5, 9, 10};

	cr_assert_eq(parse(list, 5), 2);
	cr_assert_eq(total, 8192);
	cr_assert_eq(out[0].gpa, 5 * 4096 + 512);
	cr_assert_eq(out[0].len, 4096 - 512);
	cr_assert_eq(out[1].gpa, 9 * 4096);
	cr_assert_eq(out[1].len, 4096 + 512, "pages that follow each other are one range");
}

Test(gpa, the_largest_of_storvsc)
{
	uint64_t list[2 + 65] = {HEADER(1), RANGE(4095, 256 * 1024)};

	for (int i = 0; i < 65; i++)
		list[2 + i] = 1000 - 2 * i;
	cr_assert_eq(parse(list, 67), 65);
	cr_assert_eq(total, 256 * 1024);
	cr_assert_eq(out[0].len, 1);
	cr_assert_eq(out[64].len, 4095);
}

Test(gpa, several_ranges)
{
	uint64_t list[] = {HEADER(3), RANGE(0, 10), 1, RANGE(100, 0), 2, RANGE(10, 20), 1};

	cr_assert_eq(parse(list, 7), 1, "the empty one gives nothing, and the third goes on where the first ended");
	cr_assert_eq(total, 30);
	cr_assert_eq(out[0].len, 30);
}

Test(gpa, nothing)
{
	uint64_t list[] = {HEADER(0)};

	cr_assert_eq(parse(list, 1), 0);
	cr_assert_eq(total, 0);
}

Test(gpa, broken)
{
	uint64_t cut[] = {HEADER(1), RANGE(0, 4097), 5};
	uint64_t two[] = {HEADER(2), RANGE(0, 4096), 5};
	uint64_t offset[] = {HEADER(1), RANGE(4096, 1), 5, 6};
	uint64_t pfn[] = {HEADER(1), RANGE(0, 1), GPA_PFN_MAX + 1};
	uint64_t many[] = {HEADER(GPA_LIST_RANGES_MAX + 1), 0};

	cr_assert_eq(gpa_list_parse(cut, 7, out, 65, &total), -EPROTO);
	cr_assert_eq(gpa_list_parse(cut, 12, out, 65, &total), -EPROTO);
	cr_assert_eq(parse(cut, 3), -EPROTO);
	cr_assert_eq(parse(two, 3), -EPROTO);
	cr_assert_eq(parse(offset, 4), -EPROTO);
	cr_assert_eq(parse(pfn, 3), -EPROTO);
	cr_assert_eq(parse(many, 2), -E2BIG);
	cr_assert_eq(total, 77, "untouched on failure");
}

Test(gpa, too_many_pieces)
{
	uint64_t list[] = {HEADER(1), RANGE(0, 3 * 4096), 1, 3, 5};

	cr_assert_eq(gpa_list_parse(list, sizeof(list), out, 2, &total), -E2BIG);
	cr_assert_eq(gpa_list_parse(list, sizeof(list), out, 3, &total), 3);
}
