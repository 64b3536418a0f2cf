/* SPDX-License-Identifier: Apache-2.0 */
/* READ CAPACITY. */
#include "base/bytes.h"
#include "scsi_command.h"

void scsi_read_capacity_10(struct scsi_controller *controller, struct scsi_request *request)
{
	const struct disk *disk = request->unit->disk;
	uint8_t data[SCSI_READ_CAPACITY_10_LEN];

	(void)controller;
	if (get_be32(&request->cdb[2]) != 0 && !(request->cdb[8] & SCSI_READ_CAPACITY_10_PMI)) {
		scsi_invalid_field(request, 2, 7);
		return;
	}
	put_be32(&data[0], (uint32_t)MIN(disk->blocks - 1, (uint64_t)UINT32_MAX));
	put_be32(&data[4], disk->block_bytes);
	scsi_data_in(request, data, sizeof(data), sizeof(data));
}

void scsi_read_capacity_16(struct scsi_controller *controller, struct scsi_request *request)
{
	const struct disk *disk = request->unit->disk;
	uint8_t data[SCSI_READ_CAPACITY_16_LEN] = {0};
	uint8_t exponent = 0;

	(void)controller;
	if (get_be64(&request->cdb[2]) != 0 && !(request->cdb[14] & SCSI_READ_CAPACITY_16_PMI)) {
		scsi_invalid_field(request, 2, 7);
		return;
	}
	while (exponent < 15 && disk->block_bytes << (exponent + 1) <= disk->physical_block_bytes)
		exponent++;
	put_be64(&data[0], disk->blocks - 1);
	put_be32(&data[8], disk->block_bytes);
	data[13] = exponent;
	data[14] = disk->discard ? SCSI_READ_CAPACITY_LBPME | SCSI_READ_CAPACITY_LBPRZ : 0;
	scsi_data_in(request, data, sizeof(data), get_be32(&request->cdb[10]));
}
