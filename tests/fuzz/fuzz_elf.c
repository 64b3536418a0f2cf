// SPDX-License-Identifier: Apache-2.0
/* Fuzz target: the headers of an ELF kernel. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "boot/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct elf_image *image, uint64_t file_len)
{
	uint64_t end = 0;
	int inside = 0;

	assert(image->segments >= 1 && image->segments <= ELF_SEGMENTS_MAX);
	for (size_t i = 0; i < image->segments; i++) {
		const struct elf_segment *segment = &image->segment[i];

		assert(segment->mem_len > 0 && segment->file_len <= segment->mem_len);
		assert(range_fits(segment->offset, segment->file_len, file_len));
		assert(range_fits(segment->paddr, segment->mem_len, UINT64_MAX));
		assert(segment->paddr >= end);
		assert(segment->offset + segment->file_len <= image->file_end);
		end = segment->paddr + segment->mem_len;
		inside += image->entry - segment->paddr < segment->mem_len;
	}
	assert(inside == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *head = malloc(size ? size : 1); /* so that one byte too many is seen */
	struct elf_image image;
	const char *why = NULL;

	memcpy(head, data, size);
	if (elf_parse(head, size, size, &image, &why) == 0)
		check(&image, size);
	else
		assert(why && *why);
	if (elf_parse(head, size, UINT64_MAX, &image, &why) == 0)
		check(&image, UINT64_MAX);
	free(head);
	return 0;
}
