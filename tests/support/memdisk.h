/* SPDX-License-Identifier: Apache-2.0 */
/* A disk in memory, for tests: completes at once or when told, counts flushes, fails on demand. */
#ifndef TESTS_MEMDISK_H
#define TESTS_MEMDISK_H

#include "daemons/vsp-storaged/disk.h"

struct memdisk {
	struct disk disk;
	uint8_t *data;
	bool hold;  /* keep requests until memdisk_release() */
	bool begun; /* what is held cannot be cancelled */
	bool solid; /* it can neither discard nor zero */
	int fail;   /* result of the next requests, if not 0 */
	unsigned int flushes, fua_writes, discards, zeroings;
	struct disk_request *head; /* held, first in first out */
};

void memdisk_init(struct memdisk *mem, uint64_t blocks, uint32_t block_bytes, bool readonly);
void memdisk_done(struct memdisk *mem);

/** memdisk_release - do the oldest held request. Return: whether there was one. */
bool memdisk_release(struct memdisk *mem);

#endif
