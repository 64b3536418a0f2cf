/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a drive says of the disc: one session, one track of data, complete. Spec: MMC-6 6.22 (READ DISC INFORMATION),
 * 6.23 (READ DVD STRUCTURE), 6.26 (READ TOC/PMA/ATIP), 6.27 (READ TRACK INFORMATION).
 *
 * Limits: the table of contents has no PMA, ATIP or CD-TEXT; a DVD has one layer, no copy protection and no burst
 * cutting area.
 */
#include <string.h>

#include "abi/mmc.h"
#include "base/bytes.h"
#include "scsi_command.h"

/* ---- READ TOC ---- */

static void put_msf(uint8_t *at, uint64_t lba)
{
	uint64_t frames = MIN(lba + MMC_LEAD_IN, (uint64_t)UINT8_MAX * 60 * MMC_FRAMES);

	at[0] = (uint8_t)(frames / MMC_FRAMES / 60);
	at[1] = (uint8_t)(frames / MMC_FRAMES % 60);
	at[2] = (uint8_t)(frames % MMC_FRAMES);
}

static void put_address(uint8_t *at, uint64_t lba, bool msf)
{
	if (msf)
		put_msf(at + 1, lba);
	else
		put_be32(at, (uint32_t)lba);
}

/* One format: what follows the two bytes of length. @first: byte 6 of the CDB. Return: length; 0: there is no such
 * track or session. */
struct toc_format {
	size_t (*build)(const struct scsi_lun *lun, bool msf, uint8_t first, uint8_t *at);
};

static size_t put_track(uint8_t *at, uint8_t track, uint64_t lba, bool msf)
{
	at[1] = MMC_TOC_DATA;
	at[2] = track;
	put_address(&at[4], lba, msf);
	return 8;
}

static size_t toc_tracks(const struct scsi_lun *lun, bool msf, uint8_t first, uint8_t *at)
{
	size_t len = 2;

	if (first > 1 && first != MMC_TOC_LEAD_OUT)
		return 0;
	at[0] = at[1] = 1; /* first and last track */
	if (first <= 1)
		len += put_track(at + len, 1, 0, msf);
	return len + put_track(at + len, MMC_TOC_LEAD_OUT, lun->disk->blocks, msf);
}

static size_t toc_session(const struct scsi_lun *lun, bool msf, uint8_t first, uint8_t *at)
{
	(void)lun;
	(void)first;
	at[0] = at[1] = 1; /* first and last session */
	return 2 + put_track(at + 2, 1, 0, msf);
}

static size_t toc_full(const struct scsi_lun *lun, bool msf, uint8_t first, uint8_t *at)
{
	static const uint8_t points[] = {MMC_TOC_POINT_FIRST, MMC_TOC_POINT_LAST, MMC_TOC_POINT_LEAD_OUT, 1};

	(void)msf; /* always so */
	if (first > 1)
		return 0;
	at[0] = at[1] = 1;
	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		uint8_t *entry = at + 2 + 11 * i;

		entry[0] = 1; /* session */
		entry[1] = MMC_TOC_DATA;
		entry[3] = points[i];
		if (points[i] == MMC_TOC_POINT_FIRST || points[i] == MMC_TOC_POINT_LAST)
			entry[8] = 1; /* track */
		else
			put_msf(&entry[8], points[i] == MMC_TOC_POINT_LEAD_OUT ? lun->disk->blocks : 0);
	}
	return 2 + 11 * ARRAY_SIZE(points);
}

static const struct toc_format toc_formats[] = {
	[MMC_TOC_FORMAT_TRACKS] = {toc_tracks},
	[MMC_TOC_FORMAT_SESSION] = {toc_session},
	[MMC_TOC_FORMAT_FULL] = {toc_full},
};

void scsi_read_toc(struct scsi_controller *controller, struct scsi_request *request)
{
	const uint8_t *cdb = request->cdb;
	uint8_t format = cdb[2] & MMC_TOC_FORMAT, data[64] = {0};
	size_t len;

	(void)controller;
	if (format == 0)
		format = cdb[9] >> MMC_TOC_FORMAT_OLD;
	if (format >= ARRAY_SIZE(toc_formats)) {
		scsi_invalid_field(request, 2, 3);
		return;
	}
	len = toc_formats[format].build(request->unit, cdb[1] & MMC_TOC_MSF, cdb[6], data + 2);
	if (len == 0) {
		scsi_invalid_field(request, 6, 7);
		return;
	}
	put_be16(data, (uint16_t)len);
	scsi_data_in(request, data, 2 + len, get_be16(&cdb[7]));
}

/* ---- disc and track ---- */

void scsi_read_disc_info(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t data[MMC_DISC_INFO_LEN] = {
		[2] = MMC_DISC_COMPLETE,
		[3] = 1, /* first track */
		[4] = 1, /* sessions */
		[5] = 1,
		[6] = 1, /* first and last track of the last one */
		[7] = MMC_DISC_UNRESTRICTED,
	};

	(void)controller;
	if (request->cdb[1] & MMC_DISC_INFO_TYPE) {
		scsi_invalid_field(request, 1, 2);
		return;
	}
	put_be16(data, sizeof(data) - 2);
	memset(&data[16], 0xff, 8); /* nothing can be recorded: no next lead-in and lead-out */
	scsi_data_in(request, data, sizeof(data), get_be16(&request->cdb[7]));
}

static bool in_track(const struct scsi_lun *lun, uint8_t how, uint32_t address)
{
	return how == MMC_TRACK_BY_LBA ? address < lun->disk->blocks : how <= MMC_TRACK_BY_SESSION && address == 1;
}

void scsi_read_track_info(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t data[MMC_TRACK_INFO_LEN] = {
		[2] = 1, /* track */
		[3] = 1, /* session */
		[5] = MMC_TRACK_MODE_DATA,
		[6] = MMC_TRACK_DATA_MODE_1,
	};
	uint32_t blocks = (uint32_t)MIN(request->unit->disk->blocks, (uint64_t)UINT32_MAX);

	(void)controller;
	if (!in_track(request->unit, request->cdb[1] & MMC_TRACK_ADDRESS, get_be32(&request->cdb[2]))) {
		scsi_invalid_field(request, 2, 7);
		return;
	}
	put_be16(data, sizeof(data) - 2);
	put_be32(&data[24], blocks);
	scsi_data_in(request, data, sizeof(data), get_be16(&request->cdb[7]));
}

/* ---- READ DVD STRUCTURE ---- */

struct dvd_structure {
	uint8_t format;
	uint16_t len; /* without the header */
	void (*build)(const struct scsi_lun *lun, uint8_t *at);
};

static void dvd_physical(const struct scsi_lun *lun, uint8_t *at)
{
	at[1] = MMC_DVD_RATE_NOT_SAID; /* 120 mm */
	at[2] = MMC_DVD_LAYER_EMBOSSED;
	put_be32(&at[4], MMC_DVD_FIRST_SECTOR);
	put_be32(&at[8],
		 (uint32_t)MIN(MMC_DVD_FIRST_SECTOR + lun->disk->blocks - 1, (uint64_t)MMC_DVD_LAST_SECTOR_MAX));
}

static void dvd_list(const struct scsi_lun *lun, uint8_t *at);

static const struct dvd_structure dvd_structures[] = {
	{MMC_DVD_PHYSICAL, 2048, dvd_physical},
	{MMC_DVD_COPYRIGHT, 4, NULL}, /* no protection, no regions */
	{MMC_DVD_MANUFACTURER, 2048, NULL},
	{MMC_DVD_LIST, 12, dvd_list},
};

static void dvd_list(const struct scsi_lun *lun, uint8_t *at)
{
	(void)lun;
	for (size_t i = 0; i < ARRAY_SIZE(dvd_structures) - 1; i++) {
		at[4 * i] = dvd_structures[i].format;
		at[4 * i + 1] = MMC_DVD_READABLE;
		put_be16(&at[4 * i + 2], (uint16_t)(dvd_structures[i].len + MMC_DVD_HEADER_LEN));
	}
}

void scsi_read_dvd_structure(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t data[MMC_DVD_HEADER_LEN + 2048] = {0};
	const uint8_t *cdb = request->cdb;
	const struct dvd_structure *structure = NULL;

	(void)controller;
	if (cdb[1] & MMC_DVD_MEDIA_TYPE) {
		scsi_invalid_field(request, 1, 3);
		return;
	}
	if (scsi_medium_is_cd(request->unit)) {
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_INCOMPATIBLE_FORMAT);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(dvd_structures); i++)
		if (dvd_structures[i].format == cdb[7])
			structure = &dvd_structures[i];
	if (!structure || cdb[6] != 0) {
		scsi_invalid_field(request, structure ? 6 : 7, 7);
		return;
	}
	put_be16(data, structure->len + MMC_DVD_HEADER_LEN - 2);
	if (structure->build)
		structure->build(request->unit, data + MMC_DVD_HEADER_LEN);
	scsi_data_in(request, data, MMC_DVD_HEADER_LEN + (size_t)structure->len, get_be16(&cdb[8]));
}
