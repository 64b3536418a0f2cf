/* SPDX-License-Identifier: Apache-2.0 */
#include "storaged.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"

static int open_disk(struct storaged *storaged, struct storaged_controller *controller,
		     const struct lun_settings *settings, int fd, struct err *err)
{
	struct scsi_lun *lun = &controller->lun[controller->disks];
	struct disk_config config = {
		.alias = settings->alias,
		.image = settings->image,
		.fd = fd,
		.file = settings->fd_index,
		.readonly = settings->readonly,
		.unsafe_flush = settings->unsafe_flush,
		.discard = settings->discard,
		.zeroes = settings->zeroes,
		.block_bytes = settings->block_bytes,
		.physical_block_bytes = settings->physical_block_bytes,
	};
	struct disk *disk;
	int r;

	r = disk_open(&disk_raw, &config, storaged->engine, &disk, err);
	if (r < 0)
		return r;
	r = scsi_lun_init(lun, &controller->instance, settings->target, settings->lun, settings->alias,
			  settings->serial, disk);
	if (r < 0) {
		disk_close(disk);
		return err_set(err, r, "disk %s: out of memory", settings->alias);
	}
	controller->disks++;
	storaged->disks++;
	log_info(lun->object, "%s:%u:%u: %s, %" PRIu64 " blocks of %u bytes%s%s%s", controller->name, settings->target,
		 settings->lun, settings->image, disk->blocks, disk->block_bytes, disk->readonly ? ", read-only" : "",
		 disk->write_through ? ", write-through" : "", settings->unsafe_flush ? ", flushes are not done" : "");
	return 0;
}

/* By address: REPORT LUNS lists them in order. */
static int by_address(const void *a, const void *b)
{
	const struct scsi_lun *x = a, *y = b;

	return (x->target - y->target) * 256 + (x->lun - y->lun);
}

static int open_controller(struct storaged *storaged, const struct controller_settings *settings, const int *fds,
			   struct err *err)
{
	struct storaged_controller *controller = &storaged->controller[storaged->controllers];
	int r = 0;

	snprintf(controller->name, sizeof(controller->name), "scsi%zu", storaged->controllers);
	controller->instance = settings->instance;
	storaged->controllers++;
	for (size_t i = 0; r == 0 && i < settings->luns; i++)
		r = open_disk(storaged, controller, &settings->lun[i], fds[settings->lun[i].fd_index], err);
	qsort(controller->lun, controller->disks, sizeof(controller->lun[0]), by_address);
	controller->storvsp.engine = storaged->engine;
	controller->storvsp.scsi.lun = controller->lun;
	controller->storvsp.scsi.luns = controller->disks;
	return r;
}

int storaged_open(struct loop *loop, const struct settings *settings, const char *engine, const int *fds, size_t count,
		  struct storaged **ret_storaged, struct err *err)
{
	struct storaged *storaged = calloc(1, sizeof(*storaged));
	int r;

	if (!storaged)
		return err_set(err, -ENOMEM, "storage: out of memory");
	r = engine_open(engine, loop, fds, count, &storaged->engine, err);
	for (size_t i = 0; r == 0 && i < settings->controllers; i++)
		r = open_controller(storaged, &settings->controller[i], fds, err);
	if (r < 0) {
		storaged_free(storaged);
		return r;
	}
	*ret_storaged = storaged;
	return 0;
}

void storaged_free(struct storaged *storaged)
{
	if (!storaged)
		return;
	engine_close(storaged->engine);
	for (size_t c = 0; c < storaged->controllers; c++) {
		for (size_t i = 0; i < storaged->controller[c].disks; i++) {
			struct scsi_lun *lun = &storaged->controller[c].lun[i];

			disk_close(lun->disk);
			scsi_lun_done(lun);
		}
	}
	free(storaged);
}
