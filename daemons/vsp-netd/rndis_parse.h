/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RNDIS messages of a guest, from bytes to structs: pure functions.
 *
 * Theory of operation: what a guest sends in one go, a transfer, holds one control message, or PACKET messages one
 * behind the other. The frames stay where they are, in the guest's memory, which it may change at any time; so the
 * caller copies the head of each message, RNDIS_HEAD_MAX bytes or what is left of the transfer, and what is parsed is
 * the copy.
 */
#ifndef NETD_RNDIS_PARSE_H
#define NETD_RNDIS_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/rndis.h"

#define RNDIS_HEADER_LEN  8u	/* struct rndis_header */
#define RNDIS_HEAD_MAX	  256u	/* bytes of a PACKET before its frame, per-packet info and all; guests need about 120 */
#define RNDIS_CONTROL_MAX 4096u /* bytes of a control message */

/* One PACKET. */
struct rndis_frame {
	uint32_t message_len; /* to the next message; at least its head, at most what is left of the transfer */
	uint32_t offset;      /* of the frame, from the start of the message */
	uint32_t len;	      /* offset + len <= message_len */
	bool has_checksum, has_lso, has_8021q;
	uint32_t checksum;  /* RNDIS_TX_* */
	uint32_t lso;	    /* RNDIS_LSO_* */
	uint32_t ieee8021q; /* RNDIS_8021Q_* */
};

/** rndis_header_parse - Return: 0; -EPROTO: shorter than its header, or longer than @left bytes of the transfer. */
int rndis_header_parse(const struct rndis_header *header, size_t left);

/**
 * rndis_frame_parse - a PACKET message.
 * @head: its first @head_len bytes, a private copy; MIN(@left, RNDIS_HEAD_MAX) of them. @left: bytes of the transfer
 * from its start on.
 * Return: 0; -EPROTO: lengths or offsets that contradict each other, an empty frame, per-packet info that does not fit
 * into the head or comes twice. Context: any thread.
 */
int rndis_frame_parse(const void *head, size_t head_len, size_t left, struct rndis_frame *ret_frame);

/* A control message. */
struct rndis_control {
	uint32_t type;	     /* enum rndis_message_type */
	uint32_t request_id; /* but of RESET */
	/* INITIALIZE */
	uint32_t major_version, minor_version, max_transfer_bytes;
	/* QUERY, SET */
	uint32_t oid;
	const uint8_t *info; /* in the message; may be unaligned */
	uint32_t info_len;
};

/**
 * rndis_control_parse - a message that is not a PACKET.
 * @bytes: all @len bytes of the transfer, a private copy.
 * Return: 0; -EPROTO: as above; ret_control->type is what it says that it is, or 0; -EOPNOTSUPP: not a guest's to send.
 */
int rndis_control_parse(const void *bytes, size_t len, struct rndis_control *ret_control);

/**
 * rndis_parameter_parse - SET of OID_GEN_RNDIS_CONFIG_PARAMETER with a text.
 * @ret_name, @ret_value: @size bytes each; printable ASCII, terminated.
 * Return: 0; -EPROTO: it contradicts itself; -EOPNOTSUPP: not a text, or one that does not fit or is not ASCII.
 */
int rndis_parameter_parse(const uint8_t *info, uint32_t info_len, char *ret_name, char *ret_value, size_t size);

#endif
