/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/memdisk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static struct memdisk *to_mem(struct disk *disk)
{
	return CONTAINER_OF(disk, struct memdisk, disk);
}

static void perform(struct memdisk *mem, struct disk_request *request)
{
	uint8_t *at = mem->data + request->offset;

	if (mem->fail) {
		request->done(request, mem->fail);
		return;
	}
	if ((request->op == DISK_DISCARD || request->op == DISK_ZERO) && mem->solid) {
		request->done(request, -EOPNOTSUPP);
		return;
	}
	if (request->op == DISK_DISCARD || request->op == DISK_ZERO)
		memset(at, 0, request->len);
	mem->discards += request->op == DISK_DISCARD;
	mem->zeroings += request->op == DISK_ZERO;
	mem->flushes += request->op == DISK_FLUSH;
	mem->fua_writes += request->op == DISK_WRITE && request->fua;
	for (unsigned int i = 0; i < request->iovs; i++) {
		struct iovec *iov = &request->iov[i];

		if (request->op == DISK_READ)
			memcpy(iov->iov_base, at, iov->iov_len);
		else
			memcpy(at, iov->iov_base, iov->iov_len);
		at += iov->iov_len;
	}
	request->done(request, 0);
}

static void mem_submit(struct disk *disk, struct disk_request *request)
{
	struct memdisk *mem = to_mem(disk);
	struct disk_request **end = &mem->head;

	if (!mem->hold) {
		perform(mem, request);
		return;
	}
	request->next = NULL;
	while (*end)
		end = &(*end)->next;
	*end = request;
}

static bool mem_cancel(struct disk *disk, struct disk_request *request)
{
	struct memdisk *mem = to_mem(disk);

	for (struct disk_request **at = &mem->head; *at && !mem->begun; at = &(*at)->next) {
		if (*at == request) {
			*at = request->next;
			return true;
		}
	}
	return false;
}

/* It is its owner's: memdisk_done(). */
static void mem_close(struct disk *disk)
{
}

static const struct disk_ops mem_ops = {
	.name = "memory",
	.submit = mem_submit,
	.cancel = mem_cancel,
	.close = mem_close,
};

void memdisk_init(struct memdisk *mem, uint64_t blocks, uint32_t block_bytes, bool readonly)
{
	memset(mem, 0, sizeof(*mem));
	mem->disk = (struct disk){.ops = &mem_ops,
				  .blocks = blocks,
				  .block_bytes = block_bytes,
				  .physical_block_bytes = 4096,
				  .readonly = readonly,
				  .discard = !readonly};
	/* Tests of huge disks do not touch the data. */
	if (blocks * block_bytes <= 64u << 20)
		mem->data = calloc(blocks, block_bytes);
}

void memdisk_done(struct memdisk *mem)
{
	free(mem->data);
}

bool memdisk_release(struct memdisk *mem)
{
	struct disk_request *request = mem->head;

	if (!request)
		return false;
	mem->head = request->next;
	perform(mem, request);
	return true;
}
