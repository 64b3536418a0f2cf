/* SPDX-License-Identifier: Apache-2.0 */
/* INQUIRY and its vital product data pages. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi_command.h"

#define PAGE_MAX 256u

/* One page: fills in what follows the header. Return: its length. */
struct vpd_page {
	uint8_t code;
	uint16_t flags; /* SCSI_OF_DISKS */
	size_t (*build)(const struct scsi_lun *lun, uint8_t *page);
};

static size_t vpd_supported(const struct scsi_lun *lun, uint8_t *page);

static const char *product(const struct scsi_lun *lun)
{
	return lun && lun->type == SCSI_DVD ? SCSI_DRIVE : SCSI_PRODUCT;
}

static size_t vpd_serial(const struct scsi_lun *lun, uint8_t *page)
{
	size_t len = strlen(lun->serial);

	memcpy(page, lun->serial, len);
	return len;
}

static size_t designator(uint8_t *at, uint8_t code_set, uint8_t type, const void *value, size_t len)
{
	at[0] = code_set;
	at[1] = type; /* of the logical unit */
	at[3] = (uint8_t)len;
	memcpy(&at[4], value, len);
	return 4 + len;
}

static size_t vpd_device_id(const struct scsi_lun *lun, uint8_t *page)
{
	char t10[sizeof(SCSI_VENDOR) + sizeof(SCSI_PRODUCT) + SCSI_SERIAL_MAX];
	uint8_t naa[8];
	size_t len;

	len = (size_t)snprintf(t10, sizeof(t10), "%s%s%s", SCSI_VENDOR, product(lun), lun->serial);
	put_be64(naa, lun->naa);
	len = designator(page, SCSI_CODE_SET_ASCII, SCSI_DESIGNATOR_T10, t10, len);
	return len + designator(page + len, SCSI_CODE_SET_BINARY, SCSI_DESIGNATOR_NAA, naa, sizeof(naa));
}

static size_t vpd_block_limits(const struct scsi_lun *lun, uint8_t *page)
{
	const struct disk *disk = lun->disk;
	uint32_t per_physical = disk->physical_block_bytes / disk->block_bytes;

	/* Offsets as in the specification, which counts the header. */
	page[4 - 4] = SCSI_BLOCK_LIMITS_WSNZ;
	page[5 - 4] = (uint8_t)scsi_compare_and_write_max(disk);
	put_be16(&page[6 - 4], (uint16_t)per_physical);
	put_be32(&page[8 - 4], DISK_MAX_TRANSFER / disk->block_bytes);
	put_be64(&page[36 - 4], SCSI_WRITE_SAME_MAX / disk->block_bytes);
	if (disk->discard) {
		put_be32(&page[20 - 4], UINT32_MAX); /* blocks at once */
		put_be32(&page[24 - 4], SCSI_UNMAP_DESCRIPTORS_MAX);
		put_be32(&page[28 - 4], per_physical);
		put_be32(&page[32 - 4], SCSI_BLOCK_LIMITS_UGAVALID); /* aligned with block 0 */
	}
	return SCSI_VPD_BLOCK_LIMITS_LEN;
}

static size_t vpd_block_device(const struct scsi_lun *lun, uint8_t *page)
{
	(void)lun;
	put_be16(&page[4 - 4], 1); /* it does not rotate */
	return SCSI_VPD_BLOCK_DEVICE_LEN;
}

static size_t vpd_provisioning(const struct scsi_lun *lun, uint8_t *page)
{
	/* All zero: fully provisioned, no UNMAP, no WRITE SAME with it. */
	if (lun->disk->discard) {
		page[5 - 4] = SCSI_PROVISIONING_LBPU | SCSI_PROVISIONING_LBPWS | SCSI_PROVISIONING_LBPWS10 |
			      SCSI_PROVISIONING_LBPRZ;
		page[6 - 4] = SCSI_PROVISIONING_THIN;
	}
	return SCSI_VPD_PROVISIONING_LEN;
}

/* In ascending order. */
static const struct vpd_page pages[] = {
	{SCSI_VPD_SUPPORTED_PAGES, 0, vpd_supported},
	{SCSI_VPD_SERIAL, 0, vpd_serial},
	{SCSI_VPD_DEVICE_ID, 0, vpd_device_id},
	{SCSI_VPD_BLOCK_LIMITS, SCSI_OF_DISKS, vpd_block_limits},
	{SCSI_VPD_BLOCK_DEVICE, SCSI_OF_DISKS, vpd_block_device},
	{SCSI_VPD_PROVISIONING, SCSI_OF_DISKS, vpd_provisioning},
};

static bool has_page(const struct scsi_lun *lun, const struct vpd_page *page)
{
	return !lun || lun->type == SCSI_DISK || !(page->flags & SCSI_OF_DISKS);
}

static uint8_t device(const struct scsi_lun *lun)
{
	if (!lun)
		return SCSI_INQUIRY_DEVICE_ABSENT;
	return lun->type == SCSI_DVD ? SCSI_INQUIRY_DEVICE_DVD : SCSI_INQUIRY_DEVICE_DISK;
}

static size_t vpd_supported(const struct scsi_lun *lun, uint8_t *page)
{
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (has_page(lun, &pages[i]))
			page[count++] = pages[i].code;
	return count;
}

static void inquire_page(struct scsi_request *request, uint32_t allocation_len)
{
	uint8_t page[PAGE_MAX] = {0};
	size_t len = 0;

	page[0] = device(request->unit);
	page[1] = request->cdb[2];
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		if (pages[i].code != request->cdb[2] || !has_page(request->unit, &pages[i]))
			continue;
		if (request->unit)
			len = pages[i].build(request->unit, page + SCSI_VPD_HEADER_LEN);
		put_be16(&page[2], (uint16_t)len);
		scsi_data_in(request, page, SCSI_VPD_HEADER_LEN + len, allocation_len);
		return;
	}
	scsi_invalid_field(request, 2, 7);
}

static const uint16_t standards[][3] = {
	[SCSI_DISK] = {SCSI_STANDARD_SAM_5, SCSI_STANDARD_SPC_4, SCSI_STANDARD_SBC_3},
	[SCSI_DVD] = {SCSI_STANDARD_SAM_5, SCSI_STANDARD_SPC_4, SCSI_STANDARD_MMC_6},
};

void scsi_inquiry(struct scsi_controller *controller, struct scsi_request *request)
{
	uint32_t allocation_len = get_be16(&request->cdb[3]);
	enum scsi_type type = request->unit ? request->unit->type : SCSI_DISK;
	size_t len = request->unit ? SCSI_INQUIRY_LONG_LEN : SCSI_INQUIRY_LEN;
	uint8_t data[SCSI_INQUIRY_LONG_LEN] = {
		[2] = SCSI_VERSION_SPC4,
		[3] = SCSI_INQUIRY_HISUP | SCSI_INQUIRY_FORMAT_2,
		[4] = (uint8_t)(len - 5),
		[7] = SCSI_INQUIRY_CMDQUE,
	};

	(void)controller;
	if (request->cdb[1] & SCSI_INQUIRY_EVPD) {
		inquire_page(request, allocation_len);
		return;
	}
	if (request->cdb[2] != 0) {
		scsi_invalid_field(request, 2, 7);
		return;
	}
	data[0] = device(request->unit);
	data[1] = type == SCSI_DVD ? SCSI_INQUIRY_RMB : 0;
	memcpy(&data[8], SCSI_VENDOR, 8);
	memcpy(&data[16], product(request->unit), 16);
	memcpy(&data[32], SCSI_REVISION, 4);
	for (size_t i = 0; i < ARRAY_SIZE(standards[type]); i++)
		put_be16(&data[SCSI_INQUIRY_VERSIONS + 2 * i], standards[type][i]);
	scsi_data_in(request, data, len, allocation_len);
}
