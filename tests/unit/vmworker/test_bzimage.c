/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "boot/bzimage.h"
#include "boot_fixture.h"

static uint8_t file[8192];
static size_t len;
static struct bzimage image;
static const char *why;

static int parse(void)
{
	return bzimage_parse(file, MIN(len, BZIMAGE_HEAD_LEN), len, &image, &why);
}

static void setup(void)
{
	len = craft_bzimage("payload", 7, file, sizeof(file));
}

static void expect_refusal(const char *word)
{
	cr_assert_eq(parse(), -ENOEXEC);
	cr_assert_not_null(strstr(why, word), "'%s' does not say '%s'", why, word);
	setup();
}

TestSuite(bzimage, .init = setup);

Test(bzimage, fields)
{
	cr_assert_eq(parse(), 0);
	cr_assert_eq(image.code_offset, CRAFT_CODE_OFFSET);
	cr_assert_eq(image.code_len, len - CRAFT_CODE_OFFSET);
	cr_assert_eq(image.payload_offset, CRAFT_CODE_OFFSET + CRAFT_PAYLOAD_OFFSET);
	cr_assert_eq(image.payload_len, 7 + 4);
	cr_assert(image.entry_64);
	cr_assert_eq(image.load_gpa, CRAFT_LOAD_GPA);
	cr_assert_eq(image.init_len, CRAFT_INIT_LEN);
	cr_assert_eq(image.initrd_max_gpa, CRAFT_INITRD_MAX);
	cr_assert_eq(image.cmdline_max, CRAFT_CMDLINE_MAX);
	cr_assert_eq(image.setup_len, 0x268 - 0x1f1);
	cr_assert_eq(memcmp(image.setup, file + 0x1f1, image.setup_len), 0);
}

Test(bzimage, older_protocols)
{
	put_le16(file + 0x206, 0x020b);
	put_le16(file + 0x236, 0);
	cr_assert_eq(parse(), 0);
	cr_assert_not(image.entry_64);
	put_le16(file + 0x206, 0x0207);
	cr_assert_eq(parse(), 0);
	cr_assert_eq(image.payload_len, 0);
	cr_assert_eq(image.load_gpa, 0x100000);
	put_le16(file + 0x206, 0x0202);
	cr_assert_eq(parse(), 0);
	cr_assert_eq(image.initrd_max_gpa, 0x37ffffff);
	cr_assert_eq(image.cmdline_max, 255);
	file[0x1f1] = 0; /* means 4 */
	len = sizeof(file);
	cr_assert_eq(parse(), 0);
	cr_assert_eq(image.code_offset, 5 * 512);
}

Test(bzimage, refusals)
{
	file[0x202] = 'h';
	expect_refusal("no Linux kernel");
	file[0x1fe] = 0;
	expect_refusal("no Linux kernel");
	put_le16(file + 0x236, 0);
	expect_refusal("32-bit");
	file[0x211] = 0;
	expect_refusal("zImage");
	put_le16(file + 0x206, 0x0201);
	expect_refusal("very old");
	file[0x1f1] = 255;
	expect_refusal("cut short");
	put_le32(file + 0x24c, (uint32_t)len);
	expect_refusal("packed kernel");
	put_le32(file + 0x248, UINT32_MAX);
	expect_refusal("packed kernel");
}

Test(bzimage, header_length_is_bounded)
{
	file[0x201] = 0xff;
	cr_assert_eq(parse(), 0);
	cr_assert_eq(image.setup_len, BZIMAGE_SETUP_MAX);
	file[0x201] = 0;
	cr_assert_eq(parse(), 0);
	cr_assert_eq(image.setup_len, 0x202 - 0x1f1);
}

Test(bzimage, every_cut)
{
	size_t whole = len;

	for (len = 0; len < whole - 16; len++)
		cr_assert_eq(parse(), -ENOEXEC, "cut to %zu", len);
}
