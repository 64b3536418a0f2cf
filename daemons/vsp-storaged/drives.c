/* SPDX-License-Identifier: Apache-2.0 */
#include "drives.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/methods.h"

struct drives {
	struct vsp *vsp;
	struct storaged *storaged;
	struct loop_source *timer;
	bool armed;
	uint8_t told[VSP_STATUS_MAX];
	size_t told_len; /* 0: nothing yet */
};

/* Return: how many there are; those beyond SETTINGS_DRIVES_MAX are left out. */
static size_t list_drives(const struct storaged *storaged, struct drive_status *list)
{
	size_t count = 0;

	for (size_t c = 0; c < storaged->controllers; c++) {
		const struct scsi_controller *scsi = &storaged->controller[c].storvsp.scsi;

		for (size_t i = 0; i < scsi->luns && count < SETTINGS_DRIVES_MAX; i++) {
			struct scsi_lun *lun = &scsi->lun[i];

			if (lun->presence == SCSI_GONE || lun->type != SCSI_DVD)
				continue;
			list[count++] = (struct drive_status){
				.alias = lun->alias,
				.open = scsi_tray_open(lun),
				.locked = scsi_tray_locked(lun),
			};
		}
	}
	return count;
}

static void on_timer(void *arg)
{
	struct drive_status list[SETTINGS_DRIVES_MAX];
	struct drives *drives = arg;
	uint8_t now[VSP_STATUS_MAX];
	size_t count, len;

	drives->armed = false;
	count = list_drives(drives->storaged, list);
	if (count == 0 && drives->told_len == 0)
		return;
	len = settings_pack_drives(list, count, now, sizeof(now));
	if (len == 0) {
		log_warn(NULL, "the manager does not hear of %zu drives: there is no room for as many", count);
		return;
	}
	if (len == drives->told_len && !memcmp(now, drives->told, len))
		return;
	if (vsp_tell(drives->vsp, now, len) < 0)
		return; /* it ends */
	memcpy(drives->told, now, len);
	drives->told_len = len;
}

void drives_look(void *arg)
{
	struct drives *drives = arg;

	if (!drives || drives->armed)
		return;
	drives->armed = true;
	loop_arm(drives->timer, DRIVES_PAUSE_NS);
}

int drives_new(struct loop *loop, struct vsp *vsp, struct storaged *storaged, struct drives **ret_drives)
{
	struct drives *drives = calloc(1, sizeof(*drives));
	int r = drives ? loop_add_timer(loop, on_timer, drives, &drives->timer) : -ENOMEM;

	if (r < 0) {
		free(drives);
		return r;
	}
	drives->vsp = vsp;
	drives->storaged = storaged;
	*ret_drives = drives;
	return 0;
}

void drives_free(struct drives *drives)
{
	if (!drives)
		return;
	loop_remove(&drives->timer);
	free(drives);
}
