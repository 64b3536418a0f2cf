/* SPDX-License-Identifier: Apache-2.0 */
/* MODE SENSE: nothing can be changed, so there is no MODE SELECT. */
#include <string.h>

#include "base/bytes.h"
#include "scsi_command.h"

#define CONTROL_UNRESTRICTED_REORDERING 0x10u /* of byte 3 */
#define BUFFER_MAX			128u

struct mode_page {
	uint8_t code;
	uint8_t len; /* with its two bytes of header */
	void (*build)(const struct scsi_lun *lun, uint8_t *page);
};

static void page_caching(const struct scsi_lun *lun, uint8_t *page)
{
	if (!lun->disk->readonly && !lun->disk->write_through)
		page[2] = SCSI_MODE_CACHING_WCE;
}

static void page_control(const struct scsi_lun *lun, uint8_t *page)
{
	(void)lun;
	page[3] = CONTROL_UNRESTRICTED_REORDERING;
}

/* In ascending order. */
static const struct mode_page pages[] = {
	{SCSI_MODE_PAGE_CACHING, SCSI_MODE_PAGE_CACHING_LEN, page_caching},
	{SCSI_MODE_PAGE_CONTROL_MODE, SCSI_MODE_PAGE_CONTROL_LEN, page_control},
};

/* The pages that the CDB asks for, at @at. Return: their length, 0 if there are no such pages. */
static size_t build_pages(const struct scsi_lun *lun, const uint8_t *cdb, uint8_t *at)
{
	uint8_t code = cdb[2] & SCSI_MODE_PAGE_CODE;
	uint8_t control = cdb[2] & SCSI_MODE_PAGE_CONTROL;
	bool all = code == SCSI_MODE_PAGE_ALL;
	size_t len = 0;

	if (cdb[3] != 0 && !(all && cdb[3] == SCSI_MODE_SUBPAGE_ALL))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		if (!all && pages[i].code != code)
			continue;
		at[len] = pages[i].code;
		at[len + 1] = pages[i].len - 2;
		if (control != SCSI_MODE_PAGE_CHANGEABLE)
			pages[i].build(lun, at + len);
		len += pages[i].len;
	}
	return len;
}

static void block_descriptor(const struct disk *disk, uint8_t *at)
{
	put_be32(at, (uint32_t)MIN(disk->blocks, (uint64_t)UINT32_MAX));
	put_be32(at + 4, disk->block_bytes); /* 24 bits, below a reserved byte */
}

/* Header of @header bytes, block descriptor, pages. Return: length; 0: the command has ended. */
static size_t build(struct scsi_request *request, size_t header, uint8_t *buffer, uint8_t *ret_descriptor_len)
{
	size_t len = header, pages_len;

	if ((request->cdb[2] & SCSI_MODE_PAGE_CONTROL) == SCSI_MODE_PAGE_SAVED) {
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_SAVING_PARAMETERS_NOT_SUPPORTED);
		return 0;
	}
	*ret_descriptor_len = 0;
	if (!(request->cdb[1] & SCSI_MODE_SENSE_DBD)) {
		block_descriptor(request->unit->disk, buffer + len);
		*ret_descriptor_len = SCSI_MODE_BLOCK_DESC_LEN;
		len += SCSI_MODE_BLOCK_DESC_LEN;
	}
	pages_len = build_pages(request->unit, request->cdb, buffer + len);
	if (pages_len == 0) {
		scsi_invalid_field(request);
		return 0;
	}
	return len + pages_len;
}

static uint8_t device_specific(const struct scsi_lun *lun)
{
	return SCSI_MODE_DPOFUA | (lun->disk->readonly ? SCSI_MODE_WP : 0);
}

void scsi_mode_sense_6(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t buffer[BUFFER_MAX] = {0};
	size_t len = build(request, SCSI_MODE_HEADER_6_LEN, buffer, &buffer[3]);

	(void)controller;
	if (len == 0)
		return;
	buffer[0] = (uint8_t)(len - 1);
	buffer[2] = device_specific(request->unit);
	scsi_data_in(request, buffer, len, request->cdb[4]);
}

void scsi_mode_sense_10(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t buffer[BUFFER_MAX] = {0};
	size_t len = build(request, SCSI_MODE_HEADER_10_LEN, buffer, &buffer[7]);

	(void)controller;
	if (len == 0)
		return;
	put_be16(buffer, (uint16_t)(len - 2));
	buffer[3] = device_specific(request->unit);
	scsi_data_in(request, buffer, len, get_be16(&request->cdb[7]));
}
