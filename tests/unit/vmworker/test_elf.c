/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "boot/elf.h"
#include "boot_fixture.h"

static struct craft_elf elf;
static struct elf_image image;
static const char *why;

static int parse(void)
{
	why = NULL;
	return elf_parse(&elf, ELF_HEAD_LEN, sizeof(elf), &image, &why);
}

static void expect_refusal(const char *word)
{
	image.segments = 77;
	cr_assert_eq(parse(), -ENOEXEC);
	cr_assert_not_null(strstr(why, word), "'%s' does not say '%s'", why, word);
	cr_assert_eq(image.segments, 77, "untouched");
	craft_elf(&elf);
}

static void setup(void)
{
	craft_elf(&elf);
}

TestSuite(elf, .init = setup);

Test(elf, load_list)
{
	cr_assert_eq(parse(), 0);
	cr_assert_eq(image.entry, CRAFT_ENTRY);
	cr_assert_eq(image.segments, 2);
	cr_assert_eq(image.segment[0].paddr, CRAFT_TEXT_GPA);
	cr_assert_eq(image.segment[0].offset, 0x1000);
	cr_assert_eq(image.segment[0].file_len, CRAFT_TEXT_LEN);
	cr_assert_eq(image.segment[0].mem_len, CRAFT_TEXT_MEM);
	cr_assert_eq(image.segment[1].paddr, CRAFT_DATA_GPA);
	cr_assert_eq(image.file_end, CRAFT_ELF_LEN);
}

Test(elf, sorted_by_address)
{
	Elf64_Phdr first = elf.phdr[1];

	elf.phdr[1] = elf.phdr[2];
	elf.phdr[2] = first;
	cr_assert_eq(parse(), 0);
	cr_assert_eq(image.segment[0].paddr, CRAFT_TEXT_GPA);
}

Test(elf, virtual_entry)
{
	elf.ehdr.e_entry = 0xffffffff80100020;
	cr_assert_eq(parse(), 0);
	cr_assert_eq(image.entry, CRAFT_DATA_GPA + 0x20);
}

Test(elf, empty_segments_do_not_count)
{
	elf.phdr[2].p_memsz = elf.phdr[2].p_filesz = 0;
	elf.phdr[2].p_paddr = UINT64_MAX;
	cr_assert_eq(parse(), 0);
	cr_assert_eq(image.segments, 1);
}

Test(elf, other_files)
{
	elf.ehdr.e_ident[0] = 'M';
	expect_refusal("no ELF");
	elf.ehdr.e_ident[EI_CLASS] = ELFCLASS32;
	expect_refusal("32-bit");
	elf.ehdr.e_machine = EM_AARCH64;
	expect_refusal("another processor");
	elf.ehdr.e_ident[EI_DATA] = ELFDATA2MSB;
	expect_refusal("another processor");
	elf.ehdr.e_type = ET_DYN;
	expect_refusal("not an executable");
	elf.ehdr.e_phnum = 0;
	expect_refusal("damaged");
	elf.ehdr.e_phentsize = 32;
	expect_refusal("damaged");
}

Test(elf, hostile_headers)
{
	elf.ehdr.e_phnum = 0xffff;
	expect_refusal("program headers");
	elf.ehdr.e_phoff = UINT64_MAX - 10;
	expect_refusal("program headers");
	elf.ehdr.e_phoff = ELF_HEAD_LEN - 3 * sizeof(Elf64_Phdr) + 1;
	expect_refusal("program headers");
	elf.phdr[1].p_filesz = CRAFT_TEXT_MEM + 1;
	expect_refusal("damaged");
	elf.phdr[1].p_paddr = UINT64_MAX - 0x100;
	expect_refusal("damaged");
	elf.phdr[1].p_offset = UINT64_MAX - 0x100;
	expect_refusal("cut short");
	elf.phdr[2].p_offset++;
	expect_refusal("cut short");
	elf.phdr[2].p_paddr = CRAFT_TEXT_GPA + CRAFT_TEXT_MEM - 1;
	expect_refusal("overlap");
	elf.phdr[2].p_paddr = CRAFT_TEXT_GPA;
	expect_refusal("overlap");
	elf.ehdr.e_entry = CRAFT_TEXT_GPA + CRAFT_TEXT_MEM;
	expect_refusal("entry");
	elf.phdr[1].p_type = elf.phdr[2].p_type = PT_NOTE;
	expect_refusal("nothing to load");
}

Test(elf, too_many_segments)
{
	Elf64_Phdr *phdr = elf.phdr;

	for (unsigned int i = 0; i <= ELF_SEGMENTS_MAX; i++)
		phdr[i] = (Elf64_Phdr){.p_type = PT_LOAD, .p_paddr = 0x100000 + i * 0x1000, .p_memsz = 0x1000};
	elf.ehdr.e_phnum = ELF_SEGMENTS_MAX + 1;
	elf.ehdr.e_entry = 0x100000;
	cr_assert_eq(parse(), -ENOEXEC);
	elf.ehdr.e_phnum = ELF_SEGMENTS_MAX;
	cr_assert_eq(parse(), 0);
	cr_assert_eq(image.segments, ELF_SEGMENTS_MAX);
}

Test(elf, every_cut)
{
	for (size_t len = 0; len < sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr); len++)
		cr_assert_eq(elf_parse(&elf, len, len, &image, &why), -ENOEXEC);
}
