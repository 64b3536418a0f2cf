/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a transfer: PACKET messages one behind the other, or a control message. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-netd/rndis_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void frames(const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t head_len = MIN(len, (size_t)RNDIS_HEAD_MAX);
		uint8_t *head = malloc(head_len);
		struct rndis_frame frame;
		int r;

		memcpy(head, data, head_len);
		r = rndis_frame_parse(head, head_len, len, &frame);
		free(head);
		if (r < 0)
			return;
		assert(frame.message_len >= RNDIS_HEADER_LEN && frame.message_len <= len);
		assert(frame.len > 0 && frame.offset <= frame.message_len &&
		       frame.len <= frame.message_len - frame.offset);
		data += frame.message_len;
		len -= frame.message_len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rndis_control control;
	char name[24], value[24];

	frames(data, len);
	if (rndis_control_parse(data, len, &control) < 0 || !control.info)
		return 0;
	assert(control.info >= data && control.info_len <= len &&
	       (size_t)(control.info - data) <= len - control.info_len);
	if (rndis_parameter_parse(control.info, control.info_len, name, value, sizeof(name)) == 0)
		assert(strlen(name) < sizeof(name) && strlen(value) < sizeof(value));
	return 0;
}
