// SPDX-License-Identifier: Apache-2.0
/* Fuzz target: one message of a guest to VMBus, and the ranges of its GPADL. */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bus_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_ranges(const struct bus_msg_gpadl *gpadl)
{
	uint64_t words[VMBUS_MESSAGE_PAYLOAD_MAX / 8];
	struct bus_gpa_cursor cursor = {words, gpadl->words_here};
	struct bus_gpa_range range;
	uint64_t sum = 0;

	memcpy(words, gpadl->words, (size_t)gpadl->words_here * 8);
	while (bus_gpa_next(&cursor, &range) == 0) {
		assert(range.pages > 0 && range.pfn >= words && range.pfn + range.pages <= words + gpadl->words_here);
		assert((uint64_t)range.pages * 4096 >= (uint64_t)range.byte_offset + range.byte_count);
		for (uint32_t i = 0; i < range.pages; i++)
			sum += range.pfn[i];
	}
	__asm__ volatile("" : : "r"(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bus_msg msg;
	int r = bus_msg_parse(data, size, &msg);

	assert(r == 0 || r == -EPROTO || r == -EOPNOTSUPP);
	if (r < 0)
		return 0;
	if (msg.type == VMBUS_MSG_GPADL_HEADER || msg.type == VMBUS_MSG_GPADL_BODY) {
		assert((const uint8_t *)msg.gpadl.words + (size_t)msg.gpadl.words_here * 8 == data + size);
		if (msg.type == VMBUS_MSG_GPADL_HEADER)
			assert(msg.gpadl.ranges && msg.gpadl.words_here <= msg.gpadl.total_words);
		walk_ranges(&msg.gpadl);
	}
	return 0;
}
