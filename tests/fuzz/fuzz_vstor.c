/* SPDX-License-Identifier: Apache-2.0 */
/* Input: one vstor packet. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "daemons/vsp-storaged/vstor_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t zero[VSTOR_CDB_LEN_MAX];
	struct vstor_request request;
	const struct vstor_srb *srb = &request.srb;
	int r = vstor_parse(data, len, &request);

	assert(request.reply_len == VSTOR_PACKET_LEN || request.reply_len == VSTOR_PACKET_LEN_WIN7);
	assert(request.reply_len == VSTOR_PACKET_LEN_WIN7 || len >= VSTOR_PACKET_LEN);
	if (r == 0 && request.operation == VSTOR_OPERATION_EXECUTE_SRB) {
		assert(srb->cdb_len >= 1 && srb->cdb_len <= VSTOR_CDB_LEN_MAX);
		assert(srb->sense_max <= VSTOR_SENSE_LEN_MAX);
		assert(!memcmp(srb->cdb + srb->cdb_len, zero, VSTOR_CDB_LEN_MAX - srb->cdb_len));
	}
	return 0;
}
