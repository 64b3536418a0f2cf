/* SPDX-License-Identifier: Apache-2.0 */
/* Between door and door-sg: one request and its reply at a time, over a stream socket, on one machine. */
#ifndef TESTS_SCSI_DOOR_H
#define TESTS_SCSI_DOOR_H

#include <stdint.h>

#define DOOR_SOCKET   "BULKHEAD_DOOR"	      /* environment: the socket's number */
#define DOOR_SECTORS  "BULKHEAD_DOOR_SECTORS" /* what BLKSECTGET says */
#define DOOR_DATA_MAX (4u << 20)

/* Followed by @len bytes if @out. */
struct door_request {
	uint32_t out; /* 1: the initiator's data go to the device */
	uint32_t len;
	uint32_t cdb_len;
	uint8_t cdb[16];
};

/* Followed by @len bytes of the request that was not @out. */
struct door_reply {
	uint32_t outcome; /* enum scsi_outcome */
	uint32_t status;
	uint32_t transferred;
	uint32_t sense_len;
	uint8_t sense[32];
};

#endif
