/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of lib/ipc/rpc.h as they stand on the wire: one SOCK_SEQPACKET packet each, little-endian. Pure
 * functions: bytes in, struct or error out.
 *
 *   0  magic         u32  FRAME_MAGIC
 *   4  kind          u8   enum frame_kind
 *   5  reserved      u8   0
 *   6  descriptors   u16  that come with the packet
 *   8  method        u32  request and notification; else 0
 *  12  payload_len   u32  the rest of the packet, exactly
 *  16  id            u64  request: new; reply and error: the request's; else 0
 *  24  payload
 *
 * The payload of a request, reply or notification is a protobuf message; that of a HELLO, an error and a GOODBYE is
 * described at their functions. Header and the first field of a HELLO are the same in every version.
 */
#ifndef IPC_FRAME_H
#define IPC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define FRAME_MAGIC	  0x50524842u /* "BHRP" */
#define FRAME_VERSION	  1u
#define FRAME_HEADER_LEN  24u
#define FRAME_SERVICE_MAX 32u /* characters of a service's name */
#define FRAME_HELLO_MAX	  (14u + 2u * FRAME_SERVICE_MAX)
#define FRAME_ERROR_MAX	  (4u + ERR_TEXT_MAX)

enum frame_kind {
	FRAME_HELLO = 1,
	FRAME_REQUEST = 2,
	FRAME_REPLY = 3,
	FRAME_ERROR = 4, /* the answer to a request that failed */
	FRAME_NOTIFY = 5,
	FRAME_GOODBYE = 6, /* the sender drops the connection, and why */
};

struct frame {
	enum frame_kind kind;
	uint32_t method;
	uint64_t id;
	unsigned int nfds;
	const uint8_t *payload; /* in the buffer that was parsed */
	size_t payload_len;
};

/**
 * frame_parse - check and take apart one packet.
 * @buf: @len bytes as received.
 * Return: 0, or -EPROTO (length, magic, kind, a field that does not go with the kind, too many descriptors).
 */
int frame_parse(const void *buf, size_t len, struct frame *ret_frame);

/** frame_put_header - the FRAME_HEADER_LEN bytes for @frame (its payload pointer is not used). */
void frame_put_header(void *buf, const struct frame *frame);

/* A service's name ("" for none) and version. */
struct frame_service {
	char name[FRAME_SERVICE_MAX + 1];
	uint32_t version;
};

/* What each side says first. */
struct frame_hello {
	uint32_t frame_version;
	struct frame_service serves; /* what the sender serves on this connection; "" if nothing */
	struct frame_service wants;  /* what it takes the receiver for; "" if anything */
};

/** frame_service_set - fill from a name (NULL: none) that is ours. Return: 0, or -EINVAL if it is no service's name. */
int frame_service_set(struct frame_service *service, const char *name, uint32_t version);

/**
 * frame_parse_hello - payload: frame version u32, version served u32, version wanted u32, length of the name served u8,
 * of the name wanted u8, the two names (a-z, 0-9, '-').
 * Return: 0; -EPROTO; -EPROTONOSUPPORT with only frame_version set: the peer speaks another version of this.
 */
int frame_parse_hello(const void *payload, size_t len, struct frame_hello *ret_hello);

/** frame_put_hello - Return: bytes written to @payload, which has room for FRAME_HELLO_MAX. */
size_t frame_put_hello(void *payload, const struct frame_hello *hello);

/**
 * frame_parse_error - payload of FRAME_ERROR and FRAME_GOODBYE: negative errno i32, one line of text.
 * @ret_err: its text is made printable.
 * Return: 0 or -EPROTO.
 */
int frame_parse_error(const void *payload, size_t len, struct err *ret_err);

/** frame_put_error - Return: bytes written to @payload, which has room for FRAME_ERROR_MAX. */
size_t frame_put_error(void *payload, const struct err *err);

#endif
