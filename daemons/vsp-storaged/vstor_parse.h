/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of storvsc, from bytes to structs: pure functions. */
#ifndef STORAGED_VSTOR_PARSE_H
#define STORAGED_VSTOR_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/vstor.h"

enum vstor_direction {
	VSTOR_DIRECTION_NONE, /* the guest says nothing usable */
	VSTOR_DIRECTION_READ,
	VSTOR_DIRECTION_WRITE,
};

/* An SRB of EXECUTE_SRB; of RESET_*, only the address. */
struct vstor_srb {
	uint8_t path, target, lun;
	uint8_t cdb[VSTOR_CDB_LEN_MAX]; /* zero behind cdb_len */
	uint8_t cdb_len;		/* 1 to 16 */
	uint8_t sense_max;		/* sense bytes that the guest takes, 0 to VSTOR_SENSE_LEN_MAX */
	enum vstor_direction direction;
	uint32_t data_len; /* bytes that the guest means to transfer; not checked against its pages */
};

struct vstor_request {
	uint32_t operation; /* one that a guest may send; see vstor_parse() */
	size_t reply_len;   /* VSTOR_PACKET_LEN or VSTOR_PACKET_LEN_WIN7: a guest's buffer has the size of what it sends
			     */
	/* By operation. */
	struct vstor_srb srb;	    /* EXECUTE_SRB, RESET_BUS, RESET_LUN, RESET_ADAPTER */
	uint16_t version;	    /* QUERY_PROTOCOL_VERSION */
	uint16_t sub_channels;	    /* CREATE_SUB_CHANNELS */
	struct vstor_packet packet; /* as it came, zero behind its end: the completion starts from it */
};

/**
 * vstor_reply_len - bytes of the completion of a packet of @len bytes, good or bad.
 * Return: VSTOR_PACKET_LEN, VSTOR_PACKET_LEN_WIN7.
 */
size_t vstor_reply_len(size_t len);

/**
 * vstor_parse - check one packet of a guest.
 * @payload: @len bytes, a private copy.
 * @ret_request: written whole; on an error only operation, reply_len and packet hold something.
 * Return: 0; -EPROTO (too short, or an SRB that contradicts itself); -EOPNOTSUPP (an operation that is not a guest's to
 * send, or that a SCSI controller does not have). Context: any thread.
 */
int vstor_parse(const void *payload, size_t len, struct vstor_request *ret_request);

#endif
