/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: commands of 24 bytes each: path, target, LUN, CDB length, direction, flags, buffer length (16 bits), CDB.
 * The buffer begins with the rest of the input, so that lists of parameters can be in there.
 * Every command must be done exactly once, within its buffer, with an outcome that makes sense.
 *
 * Disks and buffers stay from input to input: to get megabytes from the system and to touch them anew for each would
 * take a hundred times as long as the commands. What lies behind a buffer's end is poisoned instead.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/mmc.h"
#include "base/bytes.h"
#include "daemons/vsp-storaged/scsi.h"
#include "tests/support/memdisk.h"

#ifndef __has_feature /* gcc's */
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len)   ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

#define COMMAND_LEN  24u
#define COMMANDS_MAX 16u
#define FLAG_HOLD    1u
#define FLAG_FAIL    2u
#define FLAG_ABORT   4u
#define FLAG_SOLID   8u
#define FLAG_RESET   16u
#define FLAG_MEDIUM  32u
#define DISKS	     3
#define DRIVE_BLOCKS 50u
#define BUFFER_LEN   65536u /* one byte longer than any */

struct command {
	struct scsi_request request;
	struct iovec iov[2];
	unsigned int dones;
};

static uint8_t buffers[COMMANDS_MAX][BUFFER_LEN];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void done(struct scsi_request *request)
{
	struct command *command = CONTAINER_OF(request, struct command, request);

	command->dones++;
	assert(request->transferred <= request->data_len);
	assert(request->sense_len <= SCSI_SENSE_LEN_MAX);
	assert((request->sense_len == 0) ==
	       (request->outcome != SCSI_COMPLETE || request->status != SCSI_STATUS_CHECK_CONDITION));
}

static void start(struct scsi_controller *controller, struct command *command, uint8_t *buf, const uint8_t *in,
		  size_t rest)
{
	struct scsi_request *request = &command->request;
	uint32_t buf_len = get_le16(&in[6]);

	/* A buffer of its own for each, so that a byte too much shows. */
	memcpy(buf, in + COMMAND_LEN, MIN(rest, (size_t)buf_len));
	ASAN_POISON_MEMORY_REGION(buf + buf_len, BUFFER_LEN - buf_len);
	command->iov[0] = (struct iovec){buf, buf_len / 3};
	command->iov[1] = (struct iovec){buf + buf_len / 3, buf_len - buf_len / 3};
	request->path = in[0] & 1;
	request->target = in[1] & 1;
	request->lun = in[2] & 3;
	request->cdb_len = 1 + in[3] % SCSI_CDB_LEN_MAX;
	request->direction = in[4] % 3;
	memcpy(request->cdb, &in[8], request->cdb_len);
	request->iov = command->iov;
	request->iovs = buf_len ? 2 : 0;
	request->data_len = buf_len;
	request->done = done;
	scsi_execute(controller, request);
	if ((in[5] & FLAG_ABORT) && !command->dones)
		scsi_abort(request);
}

/* Another one, or a larger one (of which nothing is there to be read), or none; nothing of it is under way. */
static void change_medium(struct scsi_lun *lun, const struct memdisk *disk)
{
	static const uint64_t blocks[] = {0, DRIVE_BLOCKS, DRIVE_BLOCKS, MMC_CD_BLOCKS_MAX + DRIVE_BLOCKS};

	if (lun->lane_head || disk->head)
		return;
	lun->disk->blocks = blocks[lun->medium % 4];
	(void)scsi_lun_set_medium(lun, lun->disk, lun->medium);
	lun->eject_wanted = lun->medium & 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct abi_guid instance;
	struct command command[COMMANDS_MAX] = {0};
	static struct memdisk disk[DISKS];
	struct scsi_lun lun[DISKS];
	struct scsi_controller controller = {lun, DISKS};
	size_t count = MIN(len / COMMAND_LEN, (size_t)COMMANDS_MAX);

	if (!disk[0].data) {
		memdisk_init(&disk[0], 300, 512, false);
		memdisk_init(&disk[1], 70, 4096, true);
		memdisk_init(&disk[2], DRIVE_BLOCKS, MMC_BLOCK_BYTES, true);
	}
	assert(!scsi_lun_init(&lun[0], &instance, 0, 0, "sda", "", &disk[0].disk));
	assert(!scsi_lun_init(&lun[1], &instance, 0, 1, "sdb", "S", &disk[1].disk));
	assert(!scsi_lun_init(&lun[2], &instance, 0, 2, "sdc", "", &disk[2].disk));
	scsi_lun_make_drive(&lun[2], 0);
	disk[2].disk.blocks = DRIVE_BLOCKS;
	scsi_lun_greet(&lun[2]);
	scsi_lun_greet(&lun[0]);
	scsi_lun_greet(&lun[1]);
	for (size_t i = 0; i < count; i++) {
		const uint8_t *in = data + i * COMMAND_LEN;

		for (int d = 0; d < DISKS; d++) {
			disk[d].hold = in[5] & FLAG_HOLD;
			disk[d].fail = in[5] & FLAG_FAIL ? -EIO : 0;
			disk[d].solid = in[5] & FLAG_SOLID;
		}
		if (in[5] & FLAG_RESET)
			scsi_lun_reset(&lun[0]);
		if (in[5] & FLAG_MEDIUM)
			change_medium(&lun[2], &disk[2]);
		if (disk[2].disk.blocks > DRIVE_BLOCKS)
			disk[2].fail = -EIO;
		start(&controller, &command[i], buffers[i], in, len - (i + 1) * COMMAND_LEN);
	}
	while (memdisk_release(&disk[0]) || memdisk_release(&disk[1]) || memdisk_release(&disk[2]))
		;
	for (size_t i = 0; i < count; i++) {
		assert(command[i].dones == 1);
		ASAN_UNPOISON_MEMORY_REGION(buffers[i], BUFFER_LEN);
	}
	for (int d = 0; d < DISKS; d++) {
		assert(!lun[d].lane_head && !lun[d].writers && !lun[d].alone);
		scsi_lun_done(&lun[d]);
	}
	return 0;
}
