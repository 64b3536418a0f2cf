/* SPDX-License-Identifier: Apache-2.0 */
/* State blocks of a hostile predecessor: what is found sound can be recovered, and is sound afterwards. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "vsp/block.h"

#define RING_LEN 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct block_geometry geometry = {
	.slots = 4, .packet_max = 64, .reply_max = 16, .state_len = 8, .state_version = 1, .table_len = 16};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = block_size(&geometry);
	int fd = fd_memfd("block", len);
	struct block_recovery recovery;
	struct block block;
	const char *why;
	uint8_t *bytes;

	assert(fd >= 0);
	bytes = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert(bytes != MAP_FAILED);
	/* A fresh block, over which the input is laid by XOR: an empty input is a sound one. */
	assert(block_format(&block, fd, &geometry, RING_LEN, RING_LEN, 0, 0) == 0);
	block_done(&block);
	for (size_t i = 0; i < size && i < len; i++)
		bytes[i] ^= data[i];
	if (block_attach(&block, fd, &geometry, RING_LEN, RING_LEN, &why) == 0) {
		block_recover_begin(&block, &recovery);
		assert(recovery.in_read < RING_LEN && recovery.out_write < RING_LEN);
		block_recover_end(&block, &recovery);
		assert(recovery.count <= block.header->slots && recovery.sent == block.header->sent);
		assert(block_check(block.header, block.len, &geometry, RING_LEN, RING_LEN, &why) == 0);
		block_done(&block);
	}
	munmap(bytes, len);
	close(fd);
	return 0;
}
