/* SPDX-License-Identifier: Apache-2.0 */
/* ELF64 executables for x86-64: bytes in, load list out. */
#ifndef VMWORKER_BOOT_ELF_H
#define VMWORKER_BOOT_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_HEAD_LEN	 4096u /* the part of a file that elf_parse() looks at */
#define ELF_SEGMENTS_MAX 32u

/* Invariant: file_len <= mem_len, mem_len > 0, nothing overflows, [offset, offset + file_len) lies in the file. */
struct elf_segment {
	uint64_t offset, file_len;
	uint64_t paddr, mem_len;
};

/* Invariant: segments are sorted by paddr and do not overlap; the entry is a physical address within one of them. */
struct elf_image {
	uint64_t entry;
	uint64_t file_end; /* behind the last byte of the file that a segment needs */
	size_t segments;
	struct elf_segment segment[ELF_SEGMENTS_MAX];
};

/** elf_detect - whether a file that starts with these bytes calls itself ELF. */
bool elf_detect(const void *head, size_t head_len);

/**
 * elf_parse - read the headers of an executable that is to be loaded at its physical addresses.
 * @head: the file's first @head_len bytes: ELF_HEAD_LEN, or all of a smaller file.
 * @file_len: of the whole file; UINT64_MAX if it is not known yet.
 * @ret_why: what is wrong and the remedy, static, to follow the file's name; set only on failure.
 * Return: 0 or -ENOEXEC.
 * Context: any thread; pure.
 * Spec: System V ABI, chapters 4 and 5.
 */
int elf_parse(const void *head, size_t head_len, uint64_t file_len, struct elf_image *ret_image, const char **ret_why);

#endif
