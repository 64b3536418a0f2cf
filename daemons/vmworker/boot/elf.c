/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

bool elf_detect(const void *head, size_t head_len)
{
	return head_len >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG);
}

static const char *elf_check_header(const Elf64_Ehdr *ehdr, size_t head_len)
{
	if (ehdr->e_ident[EI_CLASS] != ELFCLASS64)
		return "is a 32-bit ELF file; use a 64-bit kernel";
	if (ehdr->e_ident[EI_DATA] != ELFDATA2LSB || ehdr->e_machine != EM_X86_64)
		return "is an ELF file for another processor; use a kernel for x86-64";
	if (ehdr->e_type != ET_EXEC)
		return "is an ELF file but not an executable with fixed addresses; use vmlinux or bzImage";
	if (ehdr->e_version != EV_CURRENT || ehdr->e_phentsize != sizeof(Elf64_Phdr) || !ehdr->e_phnum)
		return "has a damaged ELF header; get the file again";
	if (!range_fits(ehdr->e_phoff, (uint64_t)ehdr->e_phnum * sizeof(Elf64_Phdr), head_len))
		return "has its ELF program headers where no kernel has them; get the file again";
	return NULL;
}

static const char *elf_add_segment(const Elf64_Phdr *phdr, uint64_t file_len, struct elf_image *image)
{
	if (image->segments == ELF_SEGMENTS_MAX)
		return "has more segments than any kernel; use vmlinux or bzImage";
	if (phdr->p_filesz > phdr->p_memsz || !range_fits(phdr->p_paddr, phdr->p_memsz, UINT64_MAX))
		return "has a damaged ELF program header; get the file again";
	if (!range_fits(phdr->p_offset, phdr->p_filesz, file_len))
		return "is cut short: it ends before its last segment; get the file again";
	image->segment[image->segments++] = (struct elf_segment){
		.offset = phdr->p_offset,
		.file_len = phdr->p_filesz,
		.paddr = phdr->p_paddr,
		.mem_len = phdr->p_memsz,
	};
	image->file_end = MAX(image->file_end, phdr->p_offset + phdr->p_filesz);
	return NULL;
}

static int elf_compare_segments(const void *a, const void *b)
{
	const struct elf_segment *x = a, *y = b;

	return x->paddr < y->paddr ? -1 : x->paddr > y->paddr;
}

static const char *elf_check_segments(struct elf_image *image)
{
	if (!image->segments)
		return "is an ELF file with nothing to load; use vmlinux or bzImage";
	qsort(image->segment, image->segments, sizeof(image->segment[0]), elf_compare_segments);
	for (size_t i = 1; i < image->segments; i++) {
		const struct elf_segment *below = &image->segment[i - 1];

		if (below->paddr + below->mem_len > image->segment[i].paddr)
			return "has ELF segments that overlap in memory; get the file again";
	}
	return NULL;
}

/* The physical address of the entry. Kernels give it so already; other programs may give a virtual one. */
static const char *elf_find_entry(const Elf64_Ehdr *ehdr, const Elf64_Phdr *phdrs, struct elf_image *image)
{
	for (size_t i = 0; i < image->segments; i++) {
		if (ehdr->e_entry - image->segment[i].paddr < image->segment[i].mem_len) {
			image->entry = ehdr->e_entry;
			return NULL;
		}
	}
	for (size_t i = 0; i < ehdr->e_phnum; i++) {
		if (phdrs[i].p_type == PT_LOAD && ehdr->e_entry - phdrs[i].p_vaddr < phdrs[i].p_memsz) {
			image->entry = phdrs[i].p_paddr + (ehdr->e_entry - phdrs[i].p_vaddr);
			return NULL;
		}
	}
	return "has an entry point outside of its segments; use vmlinux or bzImage";
}

int elf_parse(const void *head, size_t head_len, uint64_t file_len, struct elf_image *ret_image, const char **ret_why)
{
	struct elf_image image = {0};
	Elf64_Phdr phdrs[ELF_HEAD_LEN / sizeof(Elf64_Phdr)];
	Elf64_Ehdr ehdr;
	const char *why;

	head_len = MIN(head_len, ELF_HEAD_LEN);
	if (head_len < sizeof(ehdr) || !elf_detect(head, head_len)) {
		*ret_why = "is no ELF file; use vmlinux or bzImage";
		return -ENOEXEC;
	}
	memcpy(&ehdr, head, sizeof(ehdr));
	why = elf_check_header(&ehdr, head_len);
	if (!why)
		memcpy(phdrs, (const uint8_t *)head + ehdr.e_phoff, ehdr.e_phnum * sizeof(Elf64_Phdr));
	for (size_t i = 0; !why && i < ehdr.e_phnum; i++) {
		if (phdrs[i].p_type == PT_LOAD && phdrs[i].p_memsz)
			why = elf_add_segment(&phdrs[i], file_len, &image);
	}
	if (!why)
		why = elf_check_segments(&image);
	if (!why)
		why = elf_find_entry(&ehdr, phdrs, &image);
	if (why) {
		*ret_why = why;
		return -ENOEXEC;
	}
	*ret_image = image;
	return 0;
}
