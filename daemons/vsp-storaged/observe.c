/* SPDX-License-Identifier: Apache-2.0 */
#include "observe.h"

#include <string.h>

#include "abi/mmc.h"
#include "base/log.h"

/* By operation code: stats_disk_class + 1; 0: STATS_DISK_OTHER. */
#define IS(class) (STATS_DISK_##class + 1)
#define UNMAP_BIT 0xff /* WRITE SAME: what it does the CDB says */

static const uint8_t classes[256] = {
	[SCSI_READ_6] = IS(READ),
	[SCSI_READ_10] = IS(READ),
	[SCSI_READ_12] = IS(READ),
	[SCSI_READ_16] = IS(READ),
	[MMC_READ_CD] = IS(READ),
	[MMC_READ_CD_MSF] = IS(READ),
	[SCSI_WRITE_6] = IS(WRITE),
	[SCSI_WRITE_10] = IS(WRITE),
	[SCSI_WRITE_12] = IS(WRITE),
	[SCSI_WRITE_16] = IS(WRITE),
	[SCSI_WRITE_AND_VERIFY_10] = IS(WRITE),
	[SCSI_WRITE_AND_VERIFY_12] = IS(WRITE),
	[SCSI_WRITE_AND_VERIFY_16] = IS(WRITE),
	[SCSI_WRITE_SAME_10] = UNMAP_BIT,
	[SCSI_WRITE_SAME_16] = UNMAP_BIT,
	[SCSI_COMPARE_AND_WRITE] = IS(WRITE),
	[SCSI_SYNCHRONIZE_CACHE_10] = IS(FLUSH),
	[SCSI_SYNCHRONIZE_CACHE_16] = IS(FLUSH),
	[SCSI_UNMAP] = IS(DISCARD),
};

void observe_lun(struct stats *stats, const struct abi_guid *instance, struct scsi_lun *lun, bool fresh)
{
	uint8_t place[STATS_PLACE_LEN] = {0};

	if (lun->presence == SCSI_GONE)
		return;
	memcpy(place, instance, sizeof(*instance));
	place[sizeof(*instance)] = lun->target;
	place[sizeof(*instance) + 1] = lun->lun;
	lun->stats = stats_unit(stats, STATS_DISK, lun->alias, place, fresh);
	if (!lun->stats)
		log_warn(lun->object, "it is not counted: there are statistics of %u disks already", STATS_UNITS_MAX);
}

/* Its unit says first what has happened to it; the command is sent again. */
static bool is_attention(const struct scsi_request *request)
{
	bool descriptors = request->sense_len > 0 && (request->sense[0] & 0x7f) == SCSI_SENSE_DESCRIPTOR_CURRENT;

	if (request->status != SCSI_STATUS_CHECK_CONDITION || request->sense_len < 3)
		return false;
	return (request->sense[descriptors ? 1 : 2] & 0x0f) == SCSI_SENSE_UNIT_ATTENTION;
}

static uint8_t class_of(const uint8_t *cdb)
{
	uint8_t class = classes[cdb[0]];

	if (class == UNMAP_BIT)
		return cdb[1] & SCSI_WRITE_SAME_UNMAP ? STATS_DISK_DISCARD : STATS_DISK_WRITE;
	return class ? (uint8_t)(class - 1) : STATS_DISK_OTHER;
}

void observe_done(const struct scsi_request *request, struct stats_account *ret)
{
	struct stats_unit *unit = request->unit ? request->unit->stats : NULL;

	if (!unit)
		return;
	stats_leave(unit);
	ret->unit = unit;
	ret->class = class_of(request->cdb);
	ret->bytes = ret->class <= STATS_DISK_WRITE ? request->transferred : 0;
	ret->error =
		request->outcome != SCSI_COMPLETE || (request->status != SCSI_STATUS_GOOD && !is_attention(request));
}
