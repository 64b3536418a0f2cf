/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/err.h"

Test(err, set_returns_the_code_and_keeps_the_text)
{
	struct err err = {0};

	cr_assert_eq(err_set(&err, -ENOENT, "disk %s: no such file", "sda"), -ENOENT);
	cr_assert_eq(err.code, -ENOENT);
	cr_assert_str_eq(err.text, "disk sda: no such file");
}

Test(err, null_is_allowed)
{
	cr_assert_eq(err_set(NULL, -EPERM, "nobody reads %d", 1), -EPERM);
}

Test(err, old_text_may_be_an_argument)
{
	struct err err = {0};

	err_set(&err, -EIO, "cannot read");
	err_set(&err, -EIO, "image a.img: %s", err.text);
	cr_assert_str_eq(err.text, "image a.img: cannot read");
}

Test(err, control_characters_become_question_marks)
{
	struct err err;

	err_set(&err, -EINVAL, "a\nb\tc\x7f\x1b[31m");
	cr_assert_str_eq(err.text, "a?b?c??[31m");
}

Test(err, long_text_is_cut_at_a_character)
{
	struct err err;
	char text[ERR_TEXT_MAX + 100];

	/* One ASCII byte, then two-byte characters: the cut at an odd place falls into one. */
	memset(text, 0, sizeof(text));
	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[sizeof(text) - 2] = '\0';
	err_set(&err, -EINVAL, "%s", text);
	cr_assert_eq(strlen(err.text), ERR_TEXT_MAX - 2);
	cr_assert_eq((unsigned char)err.text[ERR_TEXT_MAX - 3], 0xa9);
}

Test(err, names)
{
	cr_assert_str_eq(err_name(-ENOENT), "ENOENT");
	cr_assert_str_eq(err_name(-EPROTO), "EPROTO");
	cr_assert_str_eq(err_name(-99999), "E?");
	cr_assert_str_eq(err_name(0), "E?");
	cr_assert_str_eq(err_name(EPERM), "E?");
	cr_assert_str_eq(err_name(INT_MIN), "E?");
}
