/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the SCSI commands; see scsi.h for everybody else. */
#ifndef STORAGED_SCSI_COMMAND_H
#define STORAGED_SCSI_COMMAND_H

#include "scsi.h"

#define SCSI_VENDOR   "Bulkhead"
#define SCSI_PRODUCT  "Virtual Disk    "
#define SCSI_REVISION "1.0 "

/* ---- how a command ends: exactly one of these, once ---- */

/** scsi_good - GOOD, with request->transferred as it stands. */
void scsi_good(struct scsi_request *request);
/** scsi_check - CHECK CONDITION. @asc: code << 8 | qualifier. */
void scsi_check(struct scsi_request *request, uint8_t key, uint16_t asc);
/** scsi_invalid_field - CHECK CONDITION: ILLEGAL REQUEST, INVALID FIELD IN CDB. */
void scsi_invalid_field(struct scsi_request *request);
/** scsi_end - the outcomes that have no SCSI status. */
void scsi_end(struct scsi_request *request, enum scsi_outcome outcome);
/**
 * scsi_data_in - GOOD with parameter data: as much of @data as the CDB's allocation length and the buffer allow.
 */
void scsi_data_in(struct scsi_request *request, const void *data, size_t len, uint32_t allocation_len);

/* ---- commands. request->unit is the LUN; NULL only where the table says so ---- */

/* scsi_inquiry.c */
void scsi_inquiry(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_mode.c */
void scsi_mode_sense_6(struct scsi_controller *controller, struct scsi_request *request);
void scsi_mode_sense_10(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_block.c */
void scsi_read(struct scsi_controller *controller, struct scsi_request *request);
void scsi_write(struct scsi_controller *controller, struct scsi_request *request);
void scsi_verify_10(struct scsi_controller *controller, struct scsi_request *request);
void scsi_synchronize_cache(struct scsi_controller *controller, struct scsi_request *request);
void scsi_start_stop_unit(struct scsi_controller *controller, struct scsi_request *request);
void scsi_read_capacity_10(struct scsi_controller *controller, struct scsi_request *request);
void scsi_service_action_in_16(struct scsi_controller *controller, struct scsi_request *request);
/** scsi_block_abort - see scsi_abort(). */
void scsi_block_abort(struct scsi_request *request);

#endif
