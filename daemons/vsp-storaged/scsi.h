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
#include "base/log.h"
#include "disk.h"

#define SCSI_ALIAS_MAX	   32u
#define SCSI_SERIAL_MAX	   36u
#define SCSI_OBJECT_MAX	   (SCSI_ALIAS_MAX + 6u)
#define SCSI_VERIFY_CHUNK  (64u * 1024u)
#define SCSI_SENSE_LEN_MAX SCSI_SENSE_FIXED_LEN

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

/* Owned by the front end, who does not touch it from execute to done. */
struct scsi_request {
	uint8_t path, target, lun;
	uint8_t cdb[SCSI_CDB_LEN_MAX];
	uint8_t cdb_len;
	enum scsi_direction direction; /* SCSI_NONE: not said */
	struct iovec *iov;	       /* the initiator's buffer; the array may be used up */
	unsigned int iovs;
	uint32_t data_len; /* bytes in it, at most DISK_MAX_TRANSFER for reads and writes to succeed */
	/* On the loop's thread; may be called inside scsi_execute() and scsi_abort(). */
	void (*done)(struct scsi_request *request);

	/* the outcome */
	enum scsi_outcome outcome;
	uint8_t status; /* SCSI_STATUS_... */
	uint8_t sense[SCSI_SENSE_LEN_MAX];
	uint8_t sense_len;    /* 0 unless status is CHECK CONDITION */
	uint32_t transferred; /* bytes of the buffer that were used */

	/* ours */
	struct scsi_lun *unit;
	struct disk_request disk;
	bool on_disk;	      /* the disk has it */
	bool abort;	      /* stop at the next step */
	uint32_t wanted;      /* bytes */
	uint64_t verify_at;   /* bytes */
	uint64_t verify_left; /* bytes */
	struct iovec verify_iov;
	struct scsi_request *next;
};

/* A disk at an address. Made by scsi_lun_init(), constant but for the verification. */
struct scsi_lun {
	uint8_t target, lun;
	char alias[SCSI_ALIAS_MAX + 1];
	char object[SCSI_OBJECT_MAX + 1]; /* "disk sda", for the log */
	char serial[SCSI_SERIAL_MAX + 1];
	uint64_t naa; /* a locally assigned name */
	struct disk *disk;
	struct log_limit errors;
	uint8_t *scratch; /* SCSI_VERIFY_CHUNK bytes for VERIFY, one at a time */
	struct scsi_request *verify_head, *verify_tail;
};

struct scsi_controller {
	struct scsi_lun *lun; /* sorted by target, then lun */
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
 * scsi_execute - run a command; done() is called exactly once.
 * Spec: SPC-4, SBC-3; what a LUN that is not there answers was checked with Linux's storvsc.
 */
void scsi_execute(struct scsi_controller *controller, struct scsi_request *request);

/** scsi_fail - instead of scsi_execute(): done() with CHECK CONDITION, HARDWARE ERROR. */
void scsi_fail(struct scsi_request *request);

/** scsi_abort - end @request early if the host has not begun with it; it is done() either way, now or later. */
void scsi_abort(struct scsi_request *request);

#endif
