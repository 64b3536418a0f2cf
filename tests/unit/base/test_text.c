/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

Test(text, clean)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},
		{"plain", "plain"},
		{"two\nlines\r\n", "two?lines??"},
		{"\x1b[2Jclear\x7f", "?[2Jclear?"},
		{"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\xa2", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\xa2"},
		{"C1: \xc2\x9b.", "C1: ?."},
		{"no-break: \xc2\xa0.", "no-break: \xc2\xa0."},
		{"stray \x80 \xff \xfe.", "stray ? ? ?."},
		{"overlong \xc0\xaf \xe0\x80\xaf.", "overlong ?? ???."},
		{"surrogate \xed\xa0\x80.", "surrogate ???."},
		{"beyond \xf4\x90\x80\x80 \xf5.", "beyond ???? ?."},
		{"broken \xe2\x82.", "broken ?."},
		{"broken \xe2\x82\xc3\xa9", "broken ?\xc3\xa9"},
		{"cut \xe2\x82", "cut "},
		{"cut \xf0\x9f\x9a", "cut "},
		{"cut \xc3", "cut "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *s = strdup(cases[i].in);

		text_clean(s);
		cr_assert_str_eq(s, cases[i].out, "case %zu: \"%s\"", i, s);
		text_clean(s);
		cr_assert_str_eq(s, cases[i].out, "case %zu, twice", i);
		free(s);
	}
}

Test(text, clean_lines_keeps_newlines)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},
		{"\n", "\n"},
		{"two\nlines\n", "two\nlines\n"},
		{"\x1b[2Jclear\r\n\ttab", "?[2Jclear?\n?tab"},
		{"cut \xe2\x82\n\ncut \xc3\nend", "cut \n\ncut \nend"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *s = strdup(cases[i].in);

		text_clean_lines(s);
		cr_assert_str_eq(s, cases[i].out, "case %zu: \"%s\"", i, s);
		free(s);
	}
}

Test(text, hexadecimal_digits)
{
	cr_assert(text_is_hex("", 0) && text_is_hex("09af", 4));
	cr_assert(!text_is_hex("09af", 3) && !text_is_hex("09af", 5));
	cr_assert(!text_is_hex("09AF", 4) && !text_is_hex("09ag", 4) && !text_is_hex("09a ", 4));
}
