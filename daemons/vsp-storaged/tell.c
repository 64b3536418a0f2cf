/* SPDX-License-Identifier: Apache-2.0 */
#include "tell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/methods.h"

struct tell {
	struct vsp *vsp;
	struct storaged *storaged;
	struct loop_source *timer;
	bool armed;
	uint64_t told_ns; /* when something was told last; 0: never */
	uint8_t told[VSP_STATUS_MAX];
	size_t told_len; /* 0: nothing yet */
};

/* Return: how many there are that have something to tell; those beyond SETTINGS_TOLD_MAX are left out. */
static size_t list_luns(const struct storaged *storaged, struct lun_status *list)
{
	size_t count = 0;

	for (size_t c = 0; c < storaged->controllers; c++) {
		const struct scsi_controller *scsi = &storaged->controller[c].storvsp.scsi;

		for (size_t i = 0; i < scsi->luns && count < SETTINGS_TOLD_MAX; i++) {
			const struct scsi_lun *lun = &scsi->lun[i];
			bool drive = lun->type == SCSI_DVD;

			if (lun->presence == SCSI_GONE || (!drive && lun->error.kind == SCSI_ERROR_NONE))
				continue;
			list[count++] = (struct lun_status){
				.alias = lun->alias,
				.drive = drive,
				.open = drive && scsi_tray_open(lun),
				.locked = drive && scsi_tray_locked(lun),
				.error = lun->error.kind,
			};
		}
	}
	return count;
}

static void on_timer(void *arg)
{
	struct lun_status list[SETTINGS_TOLD_MAX];
	struct tell *tell = arg;
	uint8_t now[VSP_STATUS_MAX];
	size_t count, len;

	tell->armed = false;
	count = list_luns(tell->storaged, list);
	/* What a predecessor has told stays until something else is told. */
	if (count == 0 && tell->told_len == 0 && vsp_generation(tell->vsp) == 0)
		return;
	len = settings_pack_status(list, count, now, sizeof(now));
	if (len == 0) {
		log_warn(NULL, "the manager does not hear of %zu disks: there is no room for as many", count);
		return;
	}
	if (len == tell->told_len && !memcmp(now, tell->told, len))
		return;
	if (vsp_tell(tell->vsp, now, len) < 0)
		return; /* it ends */
	memcpy(tell->told, now, len);
	tell->told_len = len;
	tell->told_ns = clock_now_ns();
}

void tell_look(void *arg)
{
	struct tell *tell = arg;
	uint64_t now_ns, next_ns;

	if (!tell || tell->armed)
		return;
	now_ns = clock_now_ns();
	next_ns = tell->told_ns ? tell->told_ns + TELL_EVERY_NS : 0;
	tell->armed = true;
	loop_arm(tell->timer, next_ns > now_ns + TELL_PAUSE_NS ? next_ns - now_ns : TELL_PAUSE_NS);
}

int tell_new(struct loop *loop, struct vsp *vsp, struct storaged *storaged, struct tell **ret_tell)
{
	struct tell *tell = calloc(1, sizeof(*tell));
	int r = tell ? loop_add_timer(loop, on_timer, tell, &tell->timer) : -ENOMEM;

	if (r < 0) {
		free(tell);
		return r;
	}
	tell->vsp = vsp;
	tell->storaged = storaged;
	*ret_tell = tell;
	return 0;
}

void tell_free(struct tell *tell)
{
	if (!tell)
		return;
	loop_remove(&tell->timer);
	free(tell);
}
