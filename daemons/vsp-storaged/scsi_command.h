/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the SCSI commands; see scsi.h for everybody else. */
#ifndef STORAGED_SCSI_COMMAND_H
#define STORAGED_SCSI_COMMAND_H

#include "reservation.h"
#include "scsi.h"

#define SCSI_VENDOR   "Bulkhead"
#define SCSI_PRODUCT  "Virtual Disk    "
#define SCSI_DRIVE    "Virtual DVD-ROM "
#define SCSI_REVISION "1.0 "

#define SCSI_UNMAP_DESCRIPTORS_MAX 256u
#define SCSI_WRITE_SAME_MAX	   (16u << 20) /* bytes */

/* ---- the table (scsi_table.c) ---- */

#define SCSI_FOR_ANY_LUN  0x01u	 /* answers for LUNs that are not there, too */
#define SCSI_NO_ATTENTION 0x02u	 /* unit attentions do not concern it */
#define SCSI_NEEDS_MEDIUM 0x04u	 /* refused while the unit is stopped */
#define SCSI_WRITES	  0x08u	 /* refused on a write-protected disk */
#define SCSI_PROVISIONING 0x10u	 /* only on a disk that can give blocks back */
#define SCSI_HAS_FUA	  0x20u	 /* byte 1 has the FUA bit */
#define SCSI_ON_MEDIUM	  0x40u	 /* what it writes is on the medium when it ends */
#define SCSI_OF_DISKS	  0x80u	 /* no drive has it */
#define SCSI_OF_DRIVES	  0x100u /* no disk has it */
#define SCSI_SHARED	  0x200u /* only on a disk that others share */

/* An operation code, or one of its service actions. */
struct scsi_command {
	const char *name; /* NULL: there is no such command */
	uint8_t cdb_len;
	enum scsi_direction direction;
	uint16_t flags;			 /* SCSI_FOR_ANY_LUN ... */
	uint8_t usage[SCSI_CDB_LEN_MAX]; /* the bits that mean something; [0] and the service action do not count */
	void (*handler)(struct scsi_controller *controller, struct scsi_request *request);
	enum reservation_access access;	    /* what it does, beside reservations of others */
	const struct scsi_command *actions; /* by service action; NULL: it has none */
	uint8_t actions_count;
};

/**
 * scsi_find_command - what a CDB asks for.
 * @lun: of which it is asked; NULL: one that is not there.
 * Return: NULL: there is no such command, and *@ret_opcode_known says whether only the service action is unknown.
 */
const struct scsi_command *scsi_find_command(const struct scsi_lun *lun, const uint8_t *cdb, bool *ret_opcode_known);

/* ---- how a command ends: exactly one of these, once ---- */

/** scsi_good - GOOD, with request->transferred as it stands. */
void scsi_good(struct scsi_request *request);
/** scsi_check - CHECK CONDITION. @asc: code << 8 | qualifier. */
void scsi_check(struct scsi_request *request, uint8_t key, uint16_t asc);
/** scsi_check_at - the same, with the INFORMATION field. */
void scsi_check_at(struct scsi_request *request, uint8_t key, uint16_t asc, uint64_t information);
/** scsi_invalid_field - CHECK CONDITION: ILLEGAL REQUEST, INVALID FIELD IN CDB. @byte, @bit: where it begins. */
void scsi_invalid_field(struct scsi_request *request, unsigned int byte, unsigned int bit);
/** scsi_invalid_parameter - the same of the parameter list. */
void scsi_invalid_parameter(struct scsi_request *request, unsigned int byte, unsigned int bit);
/** scsi_host_failed - CHECK CONDITION: what the host refused, logged. */
void scsi_host_failed(struct scsi_request *request, int error);
/** scsi_error_met - the host has refused request->disk, with a negative errno: part of scsi_host_failed(). */
void scsi_error_met(struct scsi_request *request, int error);
/** scsi_error_retry - request->disk has gone well, and its LUN is in an error state. */
void scsi_error_retry(const struct scsi_request *request);

/** scsi_host_did - request->disk has gone well. */
static inline void scsi_host_did(const struct scsi_request *request)
{
	if (request->unit->error.kind != SCSI_ERROR_NONE)
		scsi_error_retry(request);
}

/** scsi_end - the outcomes that have no SCSI status. */
void scsi_end(struct scsi_request *request, enum scsi_outcome outcome);
/**
 * scsi_data_in - GOOD with parameter data: as much of @data as the CDB's allocation length and the buffer allow.
 */
void scsi_data_in(struct scsi_request *request, const void *data, size_t len, uint32_t allocation_len);

/**
 * scsi_build_sense - sense data, in the format that @descriptors says.
 * @sense: SCSI_SENSE_LEN_MAX bytes. @specific: three bytes, or NULL; @information: or NULL; not both.
 * Return: its length.
 */
uint8_t scsi_build_sense(uint8_t *sense, bool descriptors, uint8_t key, uint16_t asc, const uint8_t *specific,
			 const uint64_t *information);

/* ---- unit attentions (scsi_attention.c) ---- */

/** scsi_attention - the most important one that waits, SCSI_ASC_NONE if there is none. */
uint16_t scsi_attention(const struct scsi_lun *lun);
/** scsi_attention_told - @asc, which scsi_attention() named, reaches the initiator with this request. */
void scsi_attention_told(struct scsi_request *request, uint16_t asc);
/** scsi_state_changed - unit->state has, with the outcome of this request. */
void scsi_state_changed(struct scsi_request *request);

/* ---- media of drives (scsi_medium.c) ---- */

/** scsi_medium_there - Return: whether there is one; if not, the command has ended. */
bool scsi_medium_there(struct scsi_request *request);
/** scsi_medium_is_cd - by its size: what would not fit on a CD is a DVD. */
bool scsi_medium_is_cd(const struct scsi_lun *lun);

/* ---- mode pages (scsi_mode.c) ---- */

struct scsi_mode_page {
	uint8_t code;
	uint8_t len;			  /* with its two bytes of header */
	uint16_t flags;			  /* SCSI_OF_DISKS, SCSI_OF_DRIVES */
	const struct scsi_mode_bit *bits; /* what the initiator can change */
	uint8_t bits_count;
	void (*build)(const struct scsi_lun *lun, uint8_t *page); /* the rest, but for code and length; NULL: zeroes */
};

/* One bit of a page, for one of SCSI_MODES_... */
struct scsi_mode_bit {
	uint8_t byte, mask, modes;
	bool inverted;					/* the page's bit is set while that of the modes is not */
	bool (*changeable)(const struct scsi_lun *lun); /* NULL: always; where it is not, the bit is 0 */
};

/** scsi_mode_page - Return: NULL: @lun has none. */
const struct scsi_mode_page *scsi_mode_page(const struct scsi_lun *lun, uint8_t code);
/** scsi_build_mode_page - @control: SCSI_MODE_PAGE_CURRENT, _CHANGEABLE or _DEFAULT. @at: page->len bytes. */
void scsi_build_mode_page(const struct scsi_mode_page *page, const struct scsi_lun *lun, uint8_t control, uint8_t modes,
			  uint8_t *at);

/** scsi_set_modes - with the outcome of this request. */
void scsi_set_modes(struct scsi_request *request, uint8_t modes);

/* ---- extents (scsi_block.c) ---- */

struct scsi_extent {
	uint64_t lba;
	uint32_t blocks;
};

/** scsi_extent_of - LBA and length of a CDB, whose places follow from the group of its operation code. */
struct scsi_extent scsi_extent_of(const uint8_t *cdb);
/** scsi_extent_ok - Return: whether it is within the disk; if not, the command has ended. */
bool scsi_extent_ok(struct scsi_request *request, const struct scsi_extent *extent);
/** scsi_length_byte - where the CDB says the length, for field pointers. */
unsigned int scsi_length_byte(const uint8_t *cdb);
/** scsi_compare_and_write_max - COMPARE AND WRITE's longest, in blocks. */
uint32_t scsi_compare_and_write_max(const struct disk *disk);
/** scsi_fua - whether this write is to be on the medium when it completes: its FUA bit, or the cache is off. */
bool scsi_fua(const struct scsi_request *request);
/** scsi_no_cache - whether the initiator has switched the write cache off. */
bool scsi_no_cache(const struct scsi_lun *lun);

/* ---- the lane (scsi_lane.c) ---- */

/**
 * scsi_lane_enter - take a place in the LUN's lane. @step is called with 0 when it is this request's turn, and with the
 * result of each scsi_lane_io(): 0, or -EOPNOTSUPP; whatever else the host refuses ends the request by itself. A step
 * ends the request or calls scsi_lane_io(), once.
 */
void scsi_lane_enter(struct scsi_request *request, void (*step)(struct scsi_request *request, int result));
/** scsi_lane_enter_alone - the same; no other write is under way when its turn comes, nor until it ends. */
void scsi_lane_enter_alone(struct scsi_request *request, void (*step)(struct scsi_request *request, int result));
/** scsi_lane_io - @buffer is @len bytes of the scratch to be read or written; NULL: the operation has no data. */
void scsi_lane_io(struct scsi_request *request, enum disk_op op, uint64_t offset, uint64_t len, void *buffer);
/** scsi_lane_submit - the same with a disk request that is filled in but for its done(). */
void scsi_lane_submit(struct scsi_request *request);
/** scsi_lane_leave - it ends. Return: whether scsi_lane_go_on() is called for, after done(). */
bool scsi_lane_leave(struct scsi_request *request);
void scsi_lane_go_on(struct scsi_lun *lun);

/** scsi_data_out - the next @len bytes of the initiator's buffer, which it has, to private memory; uses them up. */
void scsi_data_out(struct scsi_request *request, void *to, size_t len);

/* ---- reservations (scsi_reserve.c), of a LUN that has some ---- */

/** scsi_reserve_enter - Return: whether the command may begin; if not, it has ended. */
bool scsi_reserve_enter(struct scsi_request *request);
/** scsi_reserve_leave - one with a ticket ends. */
void scsi_reserve_leave(struct scsi_request *request);

/* ---- commands. request->unit is the LUN; NULL only where the table says so ---- */

/* scsi.c */
void scsi_test_unit_ready(struct scsi_controller *controller, struct scsi_request *request);
void scsi_request_sense(struct scsi_controller *controller, struct scsi_request *request);
void scsi_report_luns(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_table.c */
void scsi_report_operation_codes(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_inquiry.c */
void scsi_inquiry(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_mode.c, scsi_select.c */
void scsi_mode_sense_6(struct scsi_controller *controller, struct scsi_request *request);
void scsi_mode_sense_10(struct scsi_controller *controller, struct scsi_request *request);
void scsi_mode_select_6(struct scsi_controller *controller, struct scsi_request *request);
void scsi_mode_select_10(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_capacity.c */
void scsi_read_capacity_10(struct scsi_controller *controller, struct scsi_request *request);
void scsi_read_capacity_16(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_block.c */
void scsi_read(struct scsi_controller *controller, struct scsi_request *request);
void scsi_write(struct scsi_controller *controller, struct scsi_request *request);
void scsi_synchronize_cache(struct scsi_controller *controller, struct scsi_request *request);
void scsi_start_stop_unit(struct scsi_controller *controller, struct scsi_request *request);
void scsi_prevent_allow(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_medium.c */
void scsi_load_eject(struct scsi_controller *controller, struct scsi_request *request);
void scsi_get_event_status(struct scsi_controller *controller, struct scsi_request *request);
void scsi_mechanism_status(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_mmc.c */
void scsi_get_configuration(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_mmc_disc.c */
void scsi_read_toc(struct scsi_controller *controller, struct scsi_request *request);
void scsi_read_disc_info(struct scsi_controller *controller, struct scsi_request *request);
void scsi_read_track_info(struct scsi_controller *controller, struct scsi_request *request);
void scsi_read_dvd_structure(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_mmc_read.c */
void scsi_read_cd(struct scsi_controller *controller, struct scsi_request *request);
void scsi_read_cd_msf(struct scsi_controller *controller, struct scsi_request *request);
void scsi_set_cd_speed(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_verify.c */
void scsi_verify(struct scsi_controller *controller, struct scsi_request *request);
void scsi_write_and_verify(struct scsi_controller *controller, struct scsi_request *request);
void scsi_compare_and_write(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_provision.c */
void scsi_unmap(struct scsi_controller *controller, struct scsi_request *request);
void scsi_write_same(struct scsi_controller *controller, struct scsi_request *request);
/* scsi_reserve.c */
void scsi_persistent_reserve_in(struct scsi_controller *controller, struct scsi_request *request);
void scsi_report_reserve_capabilities(struct scsi_controller *controller, struct scsi_request *request);
void scsi_persistent_reserve_out(struct scsi_controller *controller, struct scsi_request *request);

#endif
