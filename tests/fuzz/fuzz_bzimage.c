// SPDX-License-Identifier: Apache-2.0
/* Fuzz target: the setup header of a bzImage. The file is the input followed by as many zeros as its last four bytes
 * say. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "boot/bzimage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t head_len = MIN(size, BZIMAGE_HEAD_LEN);
	uint64_t file_len = size + (size >= BZIMAGE_HEAD_LEN ? get_le32(data + size - 4) : 0);
	uint8_t *head = malloc(head_len ? head_len : 1);
	struct bzimage image;
	const char *why = NULL;

	memcpy(head, data, head_len);
	if (bzimage_parse(head, head_len, file_len, &image, &why) == 0) {
		assert(range_fits(image.code_offset, image.code_len, file_len));
		assert(image.code_len > BZIMAGE_ENTRY_64);
		assert(!image.payload_len || image.payload_offset >= image.code_offset);
		assert(range_fits(image.payload_offset, image.payload_len, file_len));
		assert(image.init_len >= image.code_len);
		assert(image.setup_len <= BZIMAGE_SETUP_MAX);
	} else {
		assert(why && *why);
	}
	free(head);
	return 0;
}
