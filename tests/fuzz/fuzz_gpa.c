/* SPDX-License-Identifier: Apache-2.0 */
/* Page lists of GPA-direct packets: whatever is accepted is within the limits and adds up. */
#include <assert.h>
#include <stdint.h>

#include "guest/gpa.h"

#define RANGES 68u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_range ranges[RANGES];
	uint64_t sum = 0;
	uint32_t total;
	int n = gpa_list_parse(data, size, ranges, RANGES, &total);

	if (n < 0)
		return 0;
	assert((unsigned int)n <= RANGES);
	for (int i = 0; i < n; i++) {
		assert(ranges[i].len > 0);
		assert(ranges[i].gpa <= GPA_PFN_MAX * GUEST_PAGE_SIZE + GUEST_PAGE_SIZE - 1);
		sum += ranges[i].len;
	}
	assert(sum == total && total <= GPA_LIST_BYTES_MAX);
	return 0;
}
