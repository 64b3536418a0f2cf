/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a byte that chooses the version, one NVSP message. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "daemons/vsp-netd/nvsp_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint32_t versions[] = {
		0, NVSP_VERSION_1, NVSP_VERSION_2, NVSP_VERSION_4, NVSP_VERSION_5, NVSP_VERSION_6, NVSP_VERSION_61,
	};
	struct nvsp_message message;
	uint32_t version, status = 0;

	if (len == 0)
		return 0;
	version = versions[data[0] % ARRAY_SIZE(versions)];
	if (nvsp_parse(data + 1, len - 1, version, &message) < 0)
		return 0;
	assert(message.type == NVSP_MESSAGE_INIT || version != 0);
	if (message.type != NVSP_MESSAGE_INIT)
		return 0;
	version = nvsp_choose_version(message.init.min_version, message.init.max_version, &status);
	assert(version == 0 ? status != 0 : nvsp_version_known(version));
	return 0;
}
