/* SPDX-License-Identifier: Apache-2.0 */
/* Small kernels for the tests of boot/. */
#ifndef TESTS_BOOT_FIXTURE_H
#define TESTS_BOOT_FIXTURE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#define CRAFT_TEXT_GPA 0x200000u
#define CRAFT_TEXT_LEN 0x2345u /* in the file */
#define CRAFT_TEXT_MEM 0x4000u
#define CRAFT_DATA_GPA 0x300000u
#define CRAFT_DATA_LEN 0x1008u
#define CRAFT_ENTRY    (CRAFT_TEXT_GPA + 0x10u)
#define CRAFT_ELF_LEN  0x5008u

/* An ELF file: text at file offset 0x1000, data at 0x4000; the byte at file offset n is craft_byte(n). */
struct craft_elf {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[3]; /* note, text, data */
	uint8_t rest[CRAFT_ELF_LEN - sizeof(Elf64_Ehdr) - 3 * sizeof(Elf64_Phdr)];
};

static inline uint8_t craft_byte(size_t offset)
{
	return (uint8_t)(offset * 7 + (offset >> 8));
}

void craft_elf(struct craft_elf *elf);

/* Pack @len bytes as @format ("gzip", "xz", "lzma", "zstd", "lz4"). Return: the packed length. */
size_t craft_pack(const char *format, const void *in, size_t len, uint8_t *out, size_t max);

#define CRAFT_CODE_OFFSET    0x400u
#define CRAFT_PAYLOAD_OFFSET 0x300u /* in the code */
#define CRAFT_LOAD_GPA	     0x1000000u
#define CRAFT_INIT_LEN	     0x100000u
#define CRAFT_INITRD_MAX     0x2ffffffu
#define CRAFT_CMDLINE_MAX    100u

/* A bzImage around @payload, with a size of four bytes behind it. Return: its length. */
size_t craft_bzimage(const void *payload, size_t len, uint8_t *out, size_t max);

#endif
