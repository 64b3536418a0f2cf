/* SPDX-License-Identifier: Apache-2.0 */
/* Mode pages, as a table of the bits that can be changed, and MODE SENSE. Spec: SPC-4, SBC-3. */
#include <string.h>

#include "abi/mmc.h"
#include "base/bytes.h"
#include "scsi_command.h"

#define BUFFER_MAX 128u

static bool has_cache(const struct scsi_lun *lun)
{
	return !lun->disk->readonly && !lun->disk->write_through;
}

static const struct scsi_mode_bit caching_bits[] = {
	{2, SCSI_MODE_CACHING_WCE, SCSI_MODES_NO_CACHE, true, has_cache},
};

static const struct scsi_mode_bit control_bits[] = {
	{2, SCSI_MODE_CONTROL_D_SENSE, SCSI_MODES_DESCRIPTORS, false, NULL},
	{4, SCSI_MODE_CONTROL_SWP, SCSI_MODES_PROTECTED, false, NULL},
};

static void build_control(const struct scsi_lun *lun, uint8_t *page)
{
	(void)lun;
	page[3] = SCSI_MODE_CONTROL_QAM_1;
}

/* What a drive can do; nothing of it can be changed. */
static void build_capabilities(const struct scsi_lun *lun, uint8_t *page)
{
	page[2] = MMC_CAPABILITIES_DVD_ROM;
	page[6] = MMC_CAPABILITIES_TRAY | MMC_CAPABILITIES_EJECT | MMC_CAPABILITIES_LOCK |
		  (scsi_tray_locked(lun) ? MMC_CAPABILITIES_LOCKED : 0);
	put_be16(&page[8], MMC_CAPABILITIES_SPEED);
	put_be16(&page[12], MMC_CAPABILITIES_BUFFER);
	put_be16(&page[14], MMC_CAPABILITIES_SPEED);
}

/* In ascending order. */
static const struct scsi_mode_page pages[] = {
	{MMC_MODE_PAGE_ERROR_RECOVERY, MMC_MODE_PAGE_ERROR_RECOVERY_LEN, SCSI_OF_DRIVES, NULL, 0, NULL},
	{SCSI_MODE_PAGE_CACHING, SCSI_MODE_PAGE_CACHING_LEN, SCSI_OF_DISKS, caching_bits, ARRAY_SIZE(caching_bits),
	 NULL},
	{SCSI_MODE_PAGE_CONTROL_MODE, SCSI_MODE_PAGE_CONTROL_LEN, 0, control_bits, ARRAY_SIZE(control_bits),
	 build_control},
	{MMC_MODE_PAGE_CAPABILITIES, MMC_MODE_PAGE_CAPABILITIES_LEN, SCSI_OF_DRIVES, NULL, 0, build_capabilities},
};

static bool has_page(const struct scsi_lun *lun, const struct scsi_mode_page *page)
{
	return !(page->flags & (lun->type == SCSI_DVD ? SCSI_OF_DISKS : SCSI_OF_DRIVES));
}

const struct scsi_mode_page *scsi_mode_page(const struct scsi_lun *lun, uint8_t code)
{
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (pages[i].code == code && has_page(lun, &pages[i]))
			return &pages[i];
	return NULL;
}

void scsi_build_mode_page(const struct scsi_mode_page *page, const struct scsi_lun *lun, uint8_t control, uint8_t modes,
			  uint8_t *at)
{
	memset(at, 0, page->len);
	at[0] = page->code;
	at[1] = page->len - 2;
	if (page->build && control != SCSI_MODE_PAGE_CHANGEABLE)
		page->build(lun, at);
	for (size_t i = 0; i < page->bits_count; i++) {
		const struct scsi_mode_bit *bit = &page->bits[i];
		bool set = !(modes & bit->modes) == bit->inverted;

		if (bit->changeable && !bit->changeable(lun))
			continue;
		if (set || control == SCSI_MODE_PAGE_CHANGEABLE)
			at[bit->byte] |= bit->mask;
	}
}

/* The pages that the CDB asks for, at @at. Return: their length, 0 if there are no such pages. */
static size_t build_pages(const struct scsi_lun *lun, const uint8_t *cdb, uint8_t *at)
{
	uint8_t code = cdb[2] & SCSI_MODE_PAGE_CODE, control = cdb[2] & SCSI_MODE_PAGE_CONTROL;
	uint8_t modes = control == SCSI_MODE_PAGE_DEFAULT ? 0 : lun->state.modes;
	bool all = code == SCSI_MODE_PAGE_ALL;
	size_t len = 0;

	if (cdb[3] != 0 && !(all && cdb[3] == SCSI_MODE_SUBPAGE_ALL))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		if ((!all && pages[i].code != code) || !has_page(lun, &pages[i]))
			continue;
		scsi_build_mode_page(&pages[i], lun, control, modes, at + len);
		len += pages[i].len;
	}
	return len;
}

/* Return: its length. */
static size_t block_descriptor(const struct disk *disk, bool is_long, uint8_t *at)
{
	if (is_long) {
		put_be64(at, disk->blocks);
		put_be32(at + 12, disk->block_bytes);
		return SCSI_MODE_LONG_DESC_LEN;
	}
	put_be32(at, (uint32_t)MIN(disk->blocks, (uint64_t)UINT32_MAX));
	put_be32(at + 4, disk->block_bytes); /* 24 bits, below a reserved byte */
	return SCSI_MODE_BLOCK_DESC_LEN;
}

/* Header of @header bytes, block descriptor, pages. Return: length; 0: the command has ended. */
static size_t build(struct scsi_request *request, size_t header, bool is_long, uint8_t *buffer,
		    uint8_t *ret_descriptor_len)
{
	size_t len = header, pages_len;

	if ((request->cdb[2] & SCSI_MODE_PAGE_CONTROL) == SCSI_MODE_PAGE_SAVED) {
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_SAVING_PARAMETERS_NOT_SUPPORTED);
		return 0;
	}
	*ret_descriptor_len = 0;
	if (!(request->cdb[1] & SCSI_MODE_SENSE_DBD) && request->unit->type == SCSI_DISK) {
		*ret_descriptor_len = (uint8_t)block_descriptor(request->unit->disk, is_long, buffer + len);
		len += *ret_descriptor_len;
	}
	pages_len = build_pages(request->unit, request->cdb, buffer + len);
	if (pages_len == 0) {
		scsi_invalid_field(request, 2, 5);
		return 0;
	}
	return len + pages_len;
}

static uint8_t device_specific(const struct scsi_lun *lun)
{
	bool protected = lun->disk->readonly || (lun->state.modes & SCSI_MODES_PROTECTED);

	if (lun->type == SCSI_DVD)
		return 0; /* it has no meaning there */
	return SCSI_MODE_DPOFUA | (protected ? SCSI_MODE_WP : 0);
}

void scsi_mode_sense_6(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t buffer[BUFFER_MAX] = {0};
	size_t len = build(request, SCSI_MODE_HEADER_6_LEN, false, buffer, &buffer[3]);

	(void)controller;
	if (len == 0)
		return;
	buffer[0] = (uint8_t)(len - 1);
	buffer[2] = device_specific(request->unit);
	scsi_data_in(request, buffer, len, request->cdb[4]);
}

void scsi_mode_sense_10(struct scsi_controller *controller, struct scsi_request *request)
{
	bool is_long = request->cdb[1] & SCSI_MODE_SENSE_LLBAA;
	uint8_t buffer[BUFFER_MAX] = {0};
	size_t len = build(request, SCSI_MODE_HEADER_10_LEN, is_long, buffer, &buffer[7]);

	(void)controller;
	if (len == 0)
		return;
	put_be16(buffer, (uint16_t)(len - 2));
	buffer[3] = device_specific(request->unit);
	buffer[4] = is_long && buffer[7] ? SCSI_MODE_LONGLBA : 0;
	scsi_data_in(request, buffer, len, get_be16(&request->cdb[7]));
}
