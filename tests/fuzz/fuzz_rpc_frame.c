/* SPDX-License-Identifier: Apache-2.0 */
/* One packet of a peer. What is accepted must say the same when it is written again. */
#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "ipc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_hello(const struct frame *frame)
{
	struct frame_hello hello;
	uint8_t again[FRAME_HELLO_MAX];

	if (frame_parse_hello(frame->payload, frame->payload_len, &hello) < 0)
		return;
	assert(frame_put_hello(again, &hello) == frame->payload_len);
	assert(memcmp(again, frame->payload, frame->payload_len) == 0);
}

static void check_error(const struct frame *frame)
{
	uint8_t again[FRAME_ERROR_MAX];
	char cleaned[ERR_TEXT_MAX];
	struct err err;

	if (frame_parse_error(frame->payload, frame->payload_len, &err) < 0)
		return;
	assert(frame_put_error(again, &err) <= frame->payload_len);
	assert(memcmp(again, frame->payload, 4) == 0);
	memcpy(cleaned, err.text, sizeof(cleaned));
	text_clean(cleaned);
	assert(strcmp(cleaned, err.text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t header[FRAME_HEADER_LEN];
	struct frame frame;

	if (frame_parse(data, len, &frame) < 0)
		return 0;
	frame_put_header(header, &frame);
	assert(memcmp(header, data, sizeof(header)) == 0);
	assert(frame.payload + frame.payload_len == data + len);
	if (frame.kind == FRAME_HELLO)
		check_hello(&frame);
	if (frame.kind == FRAME_ERROR || frame.kind == FRAME_GOODBYE)
		check_error(&frame);
	return 0;
}
