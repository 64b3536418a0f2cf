/* SPDX-License-Identifier: Apache-2.0 */
/* Input: control messages of RNDIS, each behind its length (16 bits): questions and settings, one after the other. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "daemons/vsp-netd/oid.h"
#include "daemons/vsp-netd/rndis_parse.h"

#define CHANNELS 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void one(const uint8_t *data, size_t len, struct oid_settings *settings)
{
	static const struct oid_nic nic = {.mtu = 1500,
					   .name = "fuzz",
					   .receive_queues = CHANNELS,
					   .lso_max_bytes = 61440,
					   .checksums = true,
					   .coalescing = true,
					   .mac_may_change = true};
	struct rndis_control control;
	uint8_t reply[OID_REPLY_MAX] = {0};
	size_t reply_len;

	if (rndis_control_parse(data, len, &control) < 0)
		return;
	if (control.type == RNDIS_MESSAGE_QUERY) {
		oid_query(&nic, settings, control.oid, control.info, control.info_len, reply, &reply_len);
		assert(reply_len <= sizeof(reply));
	} else if (control.type == RNDIS_MESSAGE_SET) {
		oid_set(&nic, settings, CHANNELS, control.oid, control.info, control.info_len);
		assert(oid_settings_valid(settings, CHANNELS));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct oid_settings settings = {0};

	while (len >= 2) {
		size_t n = MIN((size_t)get_le16(data), len - 2);

		one(data + 2, n, &settings);
		data += 2 + n;
		len -= 2 + n;
	}
	return 0;
}
