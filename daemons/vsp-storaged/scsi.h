/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCSI disks on a controller: commands in, status, sense and data out. Knows no VMBus and no image format: a front end
 * brings struct scsi_request, a struct disk is below.
 */
#ifndef STORAGED_SCSI_H
#define STORAGED_SCSI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "abi/guid.h"
#include "abi/scsi.h"
#include "base/clock.h"
#include "base/log.h"
#include "disk.h"

#define SCSI_ALIAS_MAX	   32u
#define SCSI_SERIAL_MAX	   36u
#define SCSI_OBJECT_MAX	   (SCSI_ALIAS_MAX + 6u)
#define SCSI_IMAGE_MAX	   255u
#define SCSI_SCRATCH_LEN   (64u * 1024u)
#define SCSI_SENSE_LEN_MAX (SCSI_SENSE_DESCRIPTOR_LEN + SCSI_SENSE_INFORMATION_LEN)

enum scsi_direction {
	SCSI_NONE,
	SCSI_IN, /* device to initiator */
	SCSI_OUT,
};

enum scsi_outcome {
	SCSI_COMPLETE,	  /* status and sense say how */
	SCSI_NO_LUN,	  /* there is no such LUN, and the path is one that has LUNs */
	SCSI_BAD_REQUEST, /* the request contradicts itself: wrong direction, short CDB */
	SCSI_ABORTED,	  /* scsi_abort() */
};

struct scsi_lun;
struct scsi_command;
struct stats_unit;
struct reservation;

/* What scsi_mark() can say of a request. */
#define SCSI_MARK_NONE	  0u
#define SCSI_MARK_MATCHED 1u /* COMPARE AND WRITE: the blocks were equal, they may be written already */

enum scsi_place {
	SCSI_NOWHERE,
	SCSI_WRITING, /* a write that went past the lane */
	SCSI_IN_LANE,
};

/* Owned by the front end, who does not touch it from execute to done. */
struct scsi_request {
	uint8_t path, target, lun;
	uint8_t cdb[SCSI_CDB_LEN_MAX];
	uint8_t cdb_len;
	enum scsi_direction direction; /* SCSI_NONE: not said */
	struct iovec *iov;	       /* the initiator's buffer; the array may be used up */
	unsigned int iovs;
	uint32_t data_len; /* bytes in it, at most DISK_MAX_TRANSFER for reads and writes to succeed */
	/* A predecessor executed this request up to there; SCSI_MARK_NONE: this is the first time. */
	uint32_t mark;
	/* Keep @mark where a successor finds it when it executes this request again; NULL: there are none. */
	void (*set_mark)(struct scsi_request *request, uint32_t mark);
	/* On the loop's thread; may be called inside scsi_execute() and scsi_abort(). */
	void (*done)(struct scsi_request *request);

	/* the outcome */
	enum scsi_outcome outcome;
	uint8_t status; /* SCSI_STATUS_... */
	uint8_t sense[SCSI_SENSE_LEN_MAX];
	uint8_t sense_len;     /* 0 unless status is CHECK CONDITION */
	uint32_t transferred;  /* bytes of the buffer that were used */
	struct scsi_lun *unit; /* NULL: none is there */
	bool unit_changed;     /* unit->state is another than before: to be kept together with the outcome */

	/* ours */
	const struct scsi_command *command;
	struct disk_request disk;
	bool on_disk; /* the disk has it */
	bool abort;   /* stop at the next step */
	enum scsi_place place;
	bool alone;	    /* in the lane: no write may be under way beside it */
	bool running;	    /* in the lane: its turn has come */
	uint8_t phase;	    /* of a command of several steps */
	uint8_t modes;	    /* what they become */
	uint64_t ticket;    /* of reservation_enter(); 0: nothing is to be left */
	uint32_t wanted;    /* bytes of the buffer that the command is about */
	uint64_t at, left;  /* bytes on the disk */
	struct iovec piece; /* of the scratch, for the step under way */
	void (*step)(struct scsi_request *request, int result);
	struct scsi_request *next; /* in the lane */
};

/* Bits of scsi_lun_state.modes; what they are when clear is the default. */
#define SCSI_MODES_NO_CACHE    0x01u /* WCE is off: each write is on the medium when it completes */
#define SCSI_MODES_DESCRIPTORS 0x02u /* D_SENSE: sense data as descriptors */
#define SCSI_MODES_PROTECTED   0x04u /* SWP: writes are refused */
#define SCSI_MODES_STOPPED     0x08u /* START STOP UNIT: medium access is refused */
#define SCSI_MODES_LOCKED      0x10u /* PREVENT ALLOW MEDIUM REMOVAL: the medium stays in the drive */
#define SCSI_MODES_ALL	       0x1fu

enum scsi_lun_greeting {
	SCSI_POWERED_ON = 0, /* the initiator does not know yet */
	SCSI_GREETED = 1,
	SCSI_WAS_RESET = 2, /* and the initiator does not know yet */
};

/*
 * What has become of a LUN while an initiator used it, and what of that it knows: for a successor, and for another
 * host. All zero: powered on. A fixed layout; it changes only together with the front end's state_version.
 */
struct scsi_lun_state {
	union {
		uint64_t blocks; /* of a disk: the capacity that the initiator knows */
		/* Of a drive; media as struct scsi_lun names them. */
		struct {
			uint16_t known; /* which medium the initiator knows to be there; 0: none */
			uint16_t event; /* which one the last media event was about; 0: none */
			uint16_t open;	/* the tray is open since this one was in it, if it still is; 0: it is not */
			uint16_t reserved;
		} medium;
	};
	uint32_t sequence;     /* counts the changes, wraps; 0: there were none */
	uint8_t modes;	       /* SCSI_MODES_... */
	uint8_t greeting;      /* enum scsi_lun_greeting */
	uint8_t write_through; /* the disk's, as the initiator knows it: 0 or 1 */
	uint8_t news;	       /* of its reservations, as the initiator knows it: reservation_nexus.attention */
};

/* Whether it is there for the initiator. */
enum scsi_presence {
	SCSI_PRESENT,
	SCSI_LEAVING, /* it is not there for who looks for it; who uses it still can */
	SCSI_GONE,    /* it is not there, and need not have a disk */
};

enum scsi_type {
	SCSI_DISK,
	SCSI_DVD, /* a drive whose medium comes and goes */
};

/* What is wrong with a disk, from the least to the worst. */
enum scsi_error_kind {
	SCSI_ERROR_NONE,
	SCSI_ERROR_NO_SPACE,
	SCSI_ERROR_READ_ONLY,
	SCSI_ERROR_IO,	   /* anything else */
	SCSI_ERROR_SHRUNK, /* it is shorter than it was */
	SCSI_ERROR_GONE,
};

#define SCSI_ERROR_QUIET_NS (10 * NS_PER_SEC)

/* The error state of a LUN (scsi_error.c), and the request that met it last. */
struct scsi_error {
	enum scsi_error_kind kind;
	enum disk_op op;
	uint64_t offset, len;
	uint64_t met_ns;
};

/* A disk at an address. Made by scsi_lun_init(). */
struct scsi_lun {
	uint8_t target, lun;
	enum scsi_type type;
	uint16_t medium; /* of a drive: names what is in it, or that nothing is; never 0; another one at each change */
	bool eject_wanted; /* of a drive: the host would like the initiator to open the tray */
	bool changing;	   /* of a drive: the host has opened the tray */
	enum scsi_presence presence;
	bool missed;	   /* leaving, and the initiator has looked */
	uint32_t commands; /* counts those that have found it, wraps */
	char alias[SCSI_ALIAS_MAX + 1];
	char object[SCSI_OBJECT_MAX + 1]; /* "disk sda", for the log */
	char image[SCSI_IMAGE_MAX + 1];	  /* for the log; "": not known */
	char serial[SCSI_SERIAL_MAX + 1];
	uint64_t naa; /* a locally assigned name */
	struct disk *disk;
	struct reservation *reservation; /* the caller's; NULL: nobody shares the disk */
	struct log_limit errors;
	struct scsi_error error;
	void (*error_changed)(void *arg); /* error.kind is another; NULL: nobody wants to know */
	void *error_arg;
	struct stats_unit *stats; /* what it counts, the caller's; NULL: nothing */
	struct scsi_lun_state state;
	struct scsi_request *lane_head, *lane_tail; /* see scsi_lane.c */
	bool lane_moving;			    /* scsi_lane_go_on() is on the stack */
	unsigned int writers;			    /* writes with the disk that went past the lane */
	unsigned int alone;			    /* requests in the lane that want no write beside them */
	uint8_t *scratch[2]; /* SCSI_SCRATCH_LEN bytes each, of the first in the lane; touched on use */
};

#define SCSI_PATH_WITH_LUNS 0u /* storvsc scans eight paths; the disks are on the first */

struct scsi_controller {
	struct scsi_lun *lun; /* of those that are not gone, no two are at the same address */
	size_t luns;
};

/**
 * scsi_lun_init - put a disk at an address.
 * @instance: the controller's, @target, @lun: with the serial they make the disk's worldwide name, the same at every
 * start.
 * @serial:   up to SCSI_SERIAL_MAX printable characters; "": the name serves as one.
 * @disk:     stays the caller's, open as long as the LUN.
 * Return: 0 or -ENOMEM.
 */
int scsi_lun_init(struct scsi_lun *lun, const struct abi_guid *instance, uint8_t target, uint8_t number,
		  const char *alias, const char *serial, struct disk *disk);
void scsi_lun_done(struct scsi_lun *lun);

/**
 * scsi_lun_share - others share the disk. It has the same name for all of them.
 * @reservation: stays the caller's, open as long as the LUN.
 */
void scsi_lun_share(struct scsi_lun *lun, struct reservation *reservation, const char *serial);

/** scsi_fenced - whether @request writes, and was admitted by reservations that are not so any more. */
bool scsi_fenced(const struct scsi_request *request);

/**
 * scsi_lun_restore - what a predecessor left of this LUN becomes its state.
 * Return: 0; -EPROTO: it is not one that a LUN can be in.
 */
int scsi_lun_restore(struct scsi_lun *lun, const struct scsi_lun_state *state);

/** scsi_lun_greet - as if the initiator had been told of everything: no unit attention waits. */
void scsi_lun_greet(struct scsi_lun *lun);

/** scsi_lun_start_over - what comes to this address next was never used; newer than what there was. */
void scsi_lun_start_over(struct scsi_lun *lun);

/**
 * scsi_lun_make_drive - after scsi_lun_init(): it is a drive for removable media, whose disk is its medium; one of no
 * blocks: there is none.
 * @number: counts the changes of its medium; its lower part names the medium.
 */
void scsi_lun_make_drive(struct scsi_lun *lun, uint32_t number);

/** scsi_lun_set_medium - another medium, or none, is in a drive of which nothing is in flight; its tray is closed.
 * @disk: as scsi_lun_init()'s. Return: the one before, the caller's again. */
struct disk *scsi_lun_set_medium(struct scsi_lun *lun, struct disk *disk, uint32_t number);

/** scsi_lun_has_medium - whether this is what scsi_lun_make_drive() or scsi_lun_set_medium() last named. */
bool scsi_lun_has_medium(const struct scsi_lun *lun, uint32_t number);

/** scsi_medium - of a drive: the one that can be used now; 0: none. */
uint16_t scsi_medium(const struct scsi_lun *lun);
/** scsi_tray_open, scsi_tray_locked - of a drive. */
bool scsi_tray_open(const struct scsi_lun *lun);
bool scsi_tray_locked(const struct scsi_lun *lun);

/** scsi_lun_works, scsi_lun_lost - its error state is: none, which is logged if there was one; nothing is left of it.
 */
void scsi_lun_works(struct scsi_lun *lun);
void scsi_lun_lost(struct scsi_lun *lun);

/** scsi_lun_power_on, scsi_lun_reset - modes as at the start, and a unit attention that says why. */
void scsi_lun_power_on(struct scsi_lun *lun);
void scsi_lun_reset(struct scsi_lun *lun);

/**
 * scsi_execute - run a command; done() is called exactly once.
 * Spec: SPC-4, SBC-3; what a LUN that is not there answers was checked with Linux's storvsc.
 */
void scsi_execute(struct scsi_controller *controller, struct scsi_request *request);

/** scsi_fail - instead of scsi_execute(): done() with CHECK CONDITION, HARDWARE ERROR. */
void scsi_fail(struct scsi_request *request);

/** scsi_abort - end @request early if the host has not begun with it; it is done() either way, now or later. */
void scsi_abort(struct scsi_request *request);

#endif
