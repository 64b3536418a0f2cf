/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a drive that has no medium: no blocks. Whoever asks for some all the same is told so. */
#include <errno.h>
#include <stdlib.h>

#include "disk.h"

static int empty_open(const struct disk_config *config, struct engine *engine, struct disk **ret_disk, struct err *err)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	(void)engine;
	if (!disk)
		return err_set(err, -ENOMEM, "disk %s: out of memory", config->alias);
	*disk = (struct disk){
		.ops = &disk_empty,
		.block_bytes = config->block_bytes,
		.physical_block_bytes = config->block_bytes,
		.readonly = true,
	};
	*ret_disk = disk;
	return 0;
}

static void empty_submit(struct disk *disk, struct disk_request *request)
{
	(void)disk;
	request->done(request, -ENOMEDIUM);
}

static bool empty_cancel(struct disk *disk, struct disk_request *request)
{
	(void)disk;
	(void)request;
	return false; /* it was done at once */
}

static void empty_close(struct disk *disk)
{
	free(disk);
}

const struct disk_ops disk_empty = {
	.name = "empty",
	.open = empty_open,
	.submit = empty_submit,
	.cancel = empty_cancel,
	.close = empty_close,
};
