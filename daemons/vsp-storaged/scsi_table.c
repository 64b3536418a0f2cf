/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE table of commands, of disks and of drives, and the command that tells it: REPORT SUPPORTED OPERATION CODES. A bit
 * of a CDB that the table does not know is refused before the handler runs (scsi.c). Spec: SPC-4, SBC-3, MMC-6.
 */
#include <string.h>

#include "abi/mmc.h"
#include "base/bytes.h"
#include "scsi_command.h"

#define ONE	    0xff
#define TWO	    0xff, 0xff
#define FOUR	    0xff, 0xff, 0xff, 0xff
#define EIGHT	    FOUR, FOUR
#define GROUP	    0x1f /* group number: taken, not used */
#define DPO_FUA	    (SCSI_RW_DPO | SCSI_RW_FUA)
#define LBA_6	    0x1f, TWO
#define CHECK_BITS  (SCSI_RW_DPO | SCSI_VERIFY_BYTCHK)
#define CHECK_ONE   (SCSI_RW_DPO | SCSI_VERIFY_BYTCHK_1)
#define SYNC_BITS   0x06 /* SYNC_NV, IMMED */
#define READS	    SCSI_NEEDS_MEDIUM
#define WRITES	    (SCSI_NEEDS_MEDIUM | SCSI_WRITES)
#define WRITES_FUA  (WRITES | SCSI_HAS_FUA)
#define ON_MEDIUM   (WRITES | SCSI_ON_MEDIUM)
#define DISK_READS  (READS | SCSI_OF_DISKS)
#define DISK_WRITES (WRITES | SCSI_OF_DISKS)
#define DRIVE	    (SCSI_OF_DRIVES | SCSI_NO_ATTENTION)
#define DRIVE_READS (READS | SCSI_OF_DRIVES)
#define ANY_LUN	    (SCSI_FOR_ANY_LUN | SCSI_NO_ATTENTION)
/* Beside reservations of others; what does not say anything is for who may write. */
#define FREE	    RESERVATION_HARMLESS
#define READERS	    RESERVATION_READS
#define ACTIONS(of) .actions = (of), .actions_count = ARRAY_SIZE(of)

/* Operation codes that have service actions: their commands by service action. */
static const struct scsi_command service_actions_in_16[] = {
	[SCSI_SAI_READ_CAPACITY_16] = {"READ CAPACITY(16)",
				       16,
				       SCSI_IN,
				       DISK_READS,
				       {0, 0, EIGHT, FOUR, 0x01, 0},
				       scsi_read_capacity_16,
				       FREE},
};

static const struct scsi_command maintenance_in[] = {
	[SCSI_MI_REPORT_OPERATION_CODES] = {"REPORT SUPPORTED OPERATION CODES",
					    12,
					    SCSI_IN,
					    0,
					    {0, 0, 0x87, ONE, TWO, FOUR, 0, 0},
					    scsi_report_operation_codes,
					    FREE},
};

#define PR_IN(action, handler)                                                                                         \
	[SCSI_PRI_##action] = {"PERSISTENT RESERVE IN, " #action, 10,	   SCSI_IN, SCSI_SHARED,                       \
			       {0, 0, 0, 0, 0, 0, 0, TWO, 0},	  handler, FREE}
#define PR_OUT(action)                                                                                                 \
	[SCSI_PRO_##                                                                                                   \
		action] = {"PERSISTENT RESERVE OUT, " #action, 10,  SCSI_OUT, SCSI_SHARED, {0, 0, ONE, 0, 0, FOUR, 0}, \
			   scsi_persistent_reserve_out,	       FREE}

static const struct scsi_command persistent_reserve_in[] = {
	PR_IN(READ_KEYS, scsi_persistent_reserve_in),
	PR_IN(READ_RESERVATION, scsi_persistent_reserve_in),
	PR_IN(REPORT_CAPABILITIES, scsi_report_reserve_capabilities),
	PR_IN(READ_FULL_STATUS, scsi_persistent_reserve_in),
};

/* Whether it is allowed depends on more than the reservation: reservation_apply() says. */
static const struct scsi_command persistent_reserve_out[] = {
	PR_OUT(REGISTER),
	PR_OUT(RESERVE),
	PR_OUT(RELEASE),
	PR_OUT(CLEAR),
	PR_OUT(PREEMPT),
	PR_OUT(PREEMPT_AND_ABORT),
	PR_OUT(REGISTER_AND_IGNORE),
};

/* By operation code. */
static const struct scsi_command commands[256] = {
	[SCSI_TEST_UNIT_READY] = {"TEST UNIT READY", 6, SCSI_NONE, READS, {0}, scsi_test_unit_ready, FREE},
	[SCSI_REQUEST_SENSE] =
		{"REQUEST SENSE", 6, SCSI_IN, SCSI_NO_ATTENTION, {0, 0x01, 0, 0, ONE, 0}, scsi_request_sense, FREE},
	[SCSI_READ_6] = {"READ(6)", 6, SCSI_IN, DISK_READS, {0, LBA_6, ONE, 0}, scsi_read, READERS},
	[SCSI_WRITE_6] = {"WRITE(6)", 6, SCSI_OUT, DISK_WRITES, {0, LBA_6, ONE, 0}, scsi_write},
	[SCSI_INQUIRY] = {"INQUIRY", 6, SCSI_IN, ANY_LUN, {0, 0x01, ONE, TWO, 0}, scsi_inquiry, FREE},
	[SCSI_MODE_SELECT_6] =
		{"MODE SELECT(6)", 6, SCSI_OUT, 0, {0, SCSI_MODE_SELECT_PF, 0, 0, ONE, 0}, scsi_mode_select_6},
	[SCSI_MODE_SENSE_6] = {"MODE SENSE(6)", 6, SCSI_IN, 0, {0, 0x08, TWO, ONE, 0}, scsi_mode_sense_6, READERS},
	[SCSI_START_STOP_UNIT] =
		{"START STOP UNIT", 6, SCSI_NONE, 0, {0, 0x01, 0, 0x0f, 0xf7, 0}, scsi_start_stop_unit},
	[SCSI_PREVENT_ALLOW] =
		{"PREVENT ALLOW MEDIUM REMOVAL", 6, SCSI_NONE, 0, {0, 0, 0, 0, 0x01, 0}, scsi_prevent_allow},
	[SCSI_READ_CAPACITY_10] =
		{"READ CAPACITY(10)", 10, SCSI_IN, READS, {0, 0, FOUR, 0, 0, 0x01, 0}, scsi_read_capacity_10, FREE},
	[SCSI_READ_10] = {"READ(10)", 10, SCSI_IN, READS, {0, DPO_FUA, FOUR, GROUP, TWO, 0}, scsi_read, READERS},
	[SCSI_WRITE_10] = {"WRITE(10)", 10, SCSI_OUT, WRITES_FUA, {0, DPO_FUA, FOUR, GROUP, TWO, 0}, scsi_write},
	[SCSI_WRITE_AND_VERIFY_10] = {"WRITE AND VERIFY(10)",
				      10,
				      SCSI_OUT,
				      ON_MEDIUM,
				      {0, CHECK_ONE, FOUR, GROUP, TWO, 0},
				      scsi_write_and_verify},
	[SCSI_VERIFY_10] =
		{"VERIFY(10)", 10, SCSI_OUT, READS, {0, CHECK_BITS, FOUR, GROUP, TWO, 0}, scsi_verify, READERS},
	[SCSI_SYNCHRONIZE_CACHE_10] = {"SYNCHRONIZE CACHE(10)",
				       10,
				       SCSI_NONE,
				       READS,
				       {0, SYNC_BITS, FOUR, GROUP, TWO, 0},
				       scsi_synchronize_cache},
	[SCSI_WRITE_SAME_10] = {"WRITE SAME(10)",
				10,
				SCSI_OUT,
				DISK_WRITES,
				{0, SCSI_WRITE_SAME_UNMAP, FOUR, GROUP, TWO, 0},
				scsi_write_same},
	[SCSI_UNMAP] =
		{"UNMAP", 10, SCSI_OUT, DISK_WRITES | SCSI_PROVISIONING, {0, 0, 0, 0, 0, 0, GROUP, TWO, 0}, scsi_unmap},
	[MMC_READ_TOC] = {"READ TOC/PMA/ATIP",
			  10,
			  SCSI_IN,
			  DRIVE_READS,
			  {0, MMC_TOC_MSF, MMC_TOC_FORMAT, 0, 0, 0, ONE, TWO, 0},
			  scsi_read_toc},
	[MMC_GET_CONFIGURATION] = {"GET CONFIGURATION",
				   10,
				   SCSI_IN,
				   DRIVE,
				   {0, MMC_CONFIG_RT, TWO, 0, 0, 0, TWO, 0},
				   scsi_get_configuration,
				   FREE},
	[MMC_GET_EVENT_STATUS] = {"GET EVENT STATUS NOTIFICATION",
				  10,
				  SCSI_IN,
				  DRIVE,
				  {0, MMC_EVENT_POLLED, 0, 0, ONE, 0, 0, TWO, 0},
				  scsi_get_event_status,
				  FREE},
	[MMC_READ_DISC_INFO] = {"READ DISC INFORMATION",
				10,
				SCSI_IN,
				DRIVE_READS,
				{0, MMC_DISC_INFO_TYPE, 0, 0, 0, 0, 0, TWO, 0},
				scsi_read_disc_info},
	[MMC_READ_TRACK_INFO] = {"READ TRACK INFORMATION",
				 10,
				 SCSI_IN,
				 DRIVE_READS,
				 {0, MMC_TRACK_ADDRESS, FOUR, 0, TWO, 0},
				 scsi_read_track_info},
	[SCSI_MODE_SELECT_10] = {"MODE SELECT(10)",
				 10,
				 SCSI_OUT,
				 0,
				 {0, SCSI_MODE_SELECT_PF, 0, 0, 0, 0, 0, TWO, 0},
				 scsi_mode_select_10},
	[SCSI_MODE_SENSE_10] =
		{"MODE SENSE(10)", 10, SCSI_IN, 0, {0, 0x18, TWO, 0, 0, 0, TWO, 0}, scsi_mode_sense_10, READERS},
	[SCSI_PERSISTENT_RESERVE_IN] = {ACTIONS(persistent_reserve_in)},
	[SCSI_PERSISTENT_RESERVE_OUT] = {ACTIONS(persistent_reserve_out)},
	[SCSI_READ_16] = {"READ(16)", 16, SCSI_IN, DISK_READS, {0, DPO_FUA, EIGHT, FOUR, GROUP, 0}, scsi_read, READERS},
	[SCSI_COMPARE_AND_WRITE] = {"COMPARE AND WRITE",
				    16,
				    SCSI_OUT,
				    WRITES_FUA | SCSI_OF_DISKS,
				    {0, DPO_FUA, EIGHT, 0, 0, 0, ONE, GROUP, 0},
				    scsi_compare_and_write},
	[SCSI_WRITE_16] = {"WRITE(16)",
			   16,
			   SCSI_OUT,
			   WRITES_FUA | SCSI_OF_DISKS,
			   {0, DPO_FUA, EIGHT, FOUR, GROUP, 0},
			   scsi_write},
	[SCSI_WRITE_AND_VERIFY_16] = {"WRITE AND VERIFY(16)",
				      16,
				      SCSI_OUT,
				      ON_MEDIUM | SCSI_OF_DISKS,
				      {0, CHECK_ONE, EIGHT, FOUR, GROUP, 0},
				      scsi_write_and_verify},
	[SCSI_VERIFY_16] =
		{"VERIFY(16)", 16, SCSI_OUT, DISK_READS, {0, CHECK_BITS, EIGHT, FOUR, GROUP, 0}, scsi_verify, READERS},
	[SCSI_SYNCHRONIZE_CACHE_16] = {"SYNCHRONIZE CACHE(16)",
				       16,
				       SCSI_NONE,
				       DISK_READS,
				       {0, SYNC_BITS, EIGHT, FOUR, GROUP, 0},
				       scsi_synchronize_cache},
	[SCSI_WRITE_SAME_16] = {"WRITE SAME(16)",
				16,
				SCSI_OUT,
				DISK_WRITES,
				{0, SCSI_WRITE_SAME_UNMAP | SCSI_WRITE_SAME_NDOB, EIGHT, FOUR, GROUP, 0},
				scsi_write_same},
	[SCSI_SERVICE_ACTION_IN_16] = {ACTIONS(service_actions_in_16)},
	[SCSI_REPORT_LUNS] =
		{"REPORT LUNS", 12, SCSI_IN, ANY_LUN, {0, 0, ONE, 0, 0, 0, FOUR, 0, 0}, scsi_report_luns, FREE},
	[SCSI_MAINTENANCE_IN] = {ACTIONS(maintenance_in)},
	[SCSI_READ_12] = {"READ(12)", 12, SCSI_IN, READS, {0, DPO_FUA, FOUR, FOUR, GROUP, 0}, scsi_read, READERS},
	[SCSI_WRITE_12] = {"WRITE(12)", 12, SCSI_OUT, WRITES_FUA, {0, DPO_FUA, FOUR, FOUR, GROUP, 0}, scsi_write},
	[MMC_READ_DVD_STRUCTURE] = {"READ DVD STRUCTURE",
				    12,
				    SCSI_IN,
				    DRIVE_READS,
				    {0, MMC_DVD_MEDIA_TYPE, FOUR, ONE, ONE, TWO, 0xc0, 0},
				    scsi_read_dvd_structure},
	[SCSI_WRITE_AND_VERIFY_12] = {"WRITE AND VERIFY(12)",
				      12,
				      SCSI_OUT,
				      ON_MEDIUM | SCSI_OF_DISKS,
				      {0, CHECK_ONE, FOUR, FOUR, GROUP, 0},
				      scsi_write_and_verify},
	[SCSI_VERIFY_12] =
		{"VERIFY(12)", 12, SCSI_OUT, DISK_READS, {0, CHECK_BITS, FOUR, FOUR, GROUP, 0}, scsi_verify, READERS},
	[MMC_READ_CD_MSF] = {"READ CD MSF",
			     12,
			     SCSI_IN,
			     DRIVE_READS,
			     {0, MMC_READ_TYPE | MMC_READ_DAP, 0, ONE, TWO, ONE, TWO, MMC_READ_FIELDS, 0, 0},
			     scsi_read_cd_msf,
			     READERS},
	[MMC_SET_CD_SPEED] = {"SET CD SPEED",
			      12,
			      SCSI_NONE,
			      SCSI_OF_DRIVES,
			      {0, MMC_SPEED_ROTATION, FOUR, 0, 0, 0, 0, 0, 0},
			      scsi_set_cd_speed},
	[MMC_MECHANISM_STATUS] = {"MECHANISM STATUS",
				  12,
				  SCSI_IN,
				  DRIVE,
				  {0, 0, 0, 0, 0, 0, 0, 0, TWO, 0, 0},
				  scsi_mechanism_status,
				  FREE},
	[MMC_READ_CD] = {"READ CD",
			 12,
			 SCSI_IN,
			 DRIVE_READS,
			 {0, MMC_READ_TYPE | MMC_READ_DAP, FOUR, ONE, TWO, MMC_READ_FIELDS, 0, 0},
			 scsi_read_cd,
			 READERS},
};

static bool offered(const struct scsi_lun *lun, const struct scsi_command *command)
{
	uint16_t not_here = lun && lun->type == SCSI_DVD ? SCSI_OF_DISKS : SCSI_OF_DRIVES;

	return command->name && !(command->flags & not_here) &&
	       (!(command->flags & SCSI_PROVISIONING) || (lun && lun->disk->discard)) &&
	       (!(command->flags & SCSI_SHARED) || (lun && lun->reservation));
}

/* Of an operation code with service actions. */
static bool any_offered(const struct scsi_lun *lun, const struct scsi_command *command)
{
	for (unsigned int i = 0; i < command->actions_count; i++)
		if (offered(lun, &command->actions[i]))
			return true;
	return false;
}

const struct scsi_command *scsi_find_command(const struct scsi_lun *lun, const uint8_t *cdb, bool *ret_opcode_known)
{
	const struct scsi_command *command = &commands[cdb[0]];
	uint8_t action = cdb[1] & SCSI_SERVICE_ACTION_MASK;

	*ret_opcode_known = false;
	if (command->actions) {
		*ret_opcode_known = any_offered(lun, command);
		if (action >= command->actions_count)
			return NULL;
		command = &command->actions[action];
	}
	return offered(lun, command) ? command : NULL;
}

/* ---- REPORT SUPPORTED OPERATION CODES ---- */

#define LIST_MAX 4096u

/* The commands' own time limits: none are said. Return: length. */
static size_t timeouts(uint8_t *at)
{
	put_be16(at, SCSI_REPORT_OPS_TIMEOUTS_LEN - 2);
	return SCSI_REPORT_OPS_TIMEOUTS_LEN;
}

static size_t list_one(const struct scsi_command *command, uint8_t opcode, int action, bool with_timeouts, uint8_t *at)
{
	at[0] = opcode;
	if (action >= 0)
		put_be16(&at[2], (uint16_t)action);
	at[5] = (action >= 0 ? SCSI_REPORT_OPS_LIST_SERVACTV : 0) | (with_timeouts ? SCSI_REPORT_OPS_LIST_CTDP : 0);
	put_be16(&at[6], command->cdb_len);
	return SCSI_REPORT_OPS_LIST_LEN + (with_timeouts ? timeouts(at + SCSI_REPORT_OPS_LIST_LEN) : 0);
}

static void report_all(struct scsi_request *request, bool with_timeouts, uint32_t allocation_len)
{
	uint8_t list[LIST_MAX] = {0};
	size_t len = 4;

	for (unsigned int opcode = 0; opcode < ARRAY_SIZE(commands); opcode++) {
		const struct scsi_command *command = &commands[opcode];

		if (offered(request->unit, command))
			len += list_one(command, (uint8_t)opcode, -1, with_timeouts, list + len);
		for (int action = 0; action < command->actions_count; action++)
			if (offered(request->unit, &command->actions[action]))
				len += list_one(&command->actions[action], (uint8_t)opcode, action, with_timeouts,
						list + len);
	}
	put_be32(list, (uint32_t)(len - 4));
	scsi_data_in(request, list, len, allocation_len);
}

static void report_one(struct scsi_request *request, const uint8_t *cdb, bool with_timeouts, uint32_t allocation_len)
{
	uint8_t data[SCSI_REPORT_OPS_ONE_LEN + SCSI_CDB_LEN_MAX + SCSI_REPORT_OPS_TIMEOUTS_LEN] = {0};
	size_t len = SCSI_REPORT_OPS_ONE_LEN;
	bool known;
	const struct scsi_command *command = scsi_find_command(request->unit, cdb, &known);

	data[1] = SCSI_REPORT_OPS_NOT_SUPPORTED;
	if (command) {
		data[1] = SCSI_REPORT_OPS_SUPPORTED | (with_timeouts ? SCSI_REPORT_OPS_CTDP : 0);
		put_be16(&data[2], command->cdb_len);
		memcpy(&data[len], command->usage, command->cdb_len);
		data[len] = cdb[0];
		if (known)
			data[len + 1] |= cdb[1];
		len += command->cdb_len;
		len += with_timeouts ? timeouts(data + len) : 0;
	}
	scsi_data_in(request, data, len, allocation_len);
}

void scsi_report_operation_codes(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t what = request->cdb[2] & SCSI_REPORT_OPS_WHAT;
	bool with_timeouts = request->cdb[2] & SCSI_REPORT_OPS_RCTD, has_actions;
	uint16_t action = get_be16(&request->cdb[4]);
	uint32_t allocation_len = get_be32(&request->cdb[6]);
	uint8_t cdb[2] = {request->cdb[3]};

	(void)controller;
	has_actions = commands[cdb[0]].actions;
	if (has_actions && action <= SCSI_SERVICE_ACTION_MASK)
		cdb[1] = (uint8_t)action;
	if (what == SCSI_REPORT_OPS_ALL)
		report_all(request, with_timeouts, allocation_len);
	else if (what > SCSI_REPORT_OPS_EITHER ||
		 (has_actions ? what == SCSI_REPORT_OPS_OPCODE : what == SCSI_REPORT_OPS_ACTION))
		scsi_invalid_field(request, 2, 2);
	else if (action > SCSI_SERVICE_ACTION_MASK)
		scsi_invalid_field(request, 4, 7);
	else
		report_one(request, cdb, with_timeouts, allocation_len);
}
