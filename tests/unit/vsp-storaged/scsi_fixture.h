/* SPDX-License-Identifier: Apache-2.0 */
/* Two disks in memory on a controller, for the tests of the SCSI commands. */
#ifndef TESTS_SCSI_FIXTURE_H
#define TESTS_SCSI_FIXTURE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-storaged/scsi.h"
#include "tests/support/memdisk.h"

#define BLOCKS	    4096u
#define BUF_LEN	    (300u * 1024u)
#define SENSE(k, a) ((uint32_t)(k) << 16 | (a))

#define INVALID_FIELD	  SENSE(5, 0x2400)
#define INVALID_PARAMETER SENSE(5, 0x2600)
#define LIST_LENGTH	  SENSE(5, 0x1a00)
#define OUT_OF_RANGE	  SENSE(5, 0x2100)
#define WRITE_PROTECT	  SENSE(7, 0x2700)
#define MISCOMPARE	  SENSE(0xe, 0x1d00)

/* LUN 0: BLOCKS of 512 bytes; LUN 3: 100 of 4096, read-only. What they would say first has been said. */
extern struct memdisk disk, ro_disk;
extern struct scsi_lun luns[2];
extern struct scsi_controller controller;
extern uint8_t *buf; /* BUF_LEN bytes of 0xee: the initiator's buffer */

/* The command that run() ran last; how many commands are done. */
extern struct scsi_request req;
extern struct iovec req_iov[3];
extern unsigned int dones;

void scsi_set_up(void);
void scsi_tear_down(void);

/** prepare - the buffer is cut in three, so that commands meet more than one iovec. */
void prepare(struct scsi_request *request, struct iovec iov[3], uint8_t lun, const uint8_t *cdb, size_t cdb_len,
	     enum scsi_direction direction, uint32_t len);
void run(uint8_t lun, const uint8_t *cdb, size_t cdb_len, enum scsi_direction direction, uint32_t len);

#define CDB(...)		    ((const uint8_t[16]){__VA_ARGS__})
#define IN(lun, len, cdb_len, ...)  run(lun, CDB(__VA_ARGS__), cdb_len, SCSI_IN, len)
#define OUT(lun, len, cdb_len, ...) run(lun, CDB(__VA_ARGS__), cdb_len, SCSI_OUT, len)
#define NODATA(lun, cdb_len, ...)   run(lun, CDB(__VA_ARGS__), cdb_len, SCSI_NONE, 0)

/** good - it went well, and that many bytes were used. */
void good(uint32_t transferred);
/** check - it ended with this sense. */
void check(uint32_t sense);
/** field - INVALID FIELD (@in_cdb) or INVALID PARAMETER, which points to this byte and bit. */
void field(bool in_cdb, unsigned int byte, unsigned int bit);

#endif
