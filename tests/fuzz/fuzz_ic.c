/* SPDX-License-Identifier: Apache-2.0 */
/* Input: the payload of a packet on an integration service's channel. */
#include <assert.h>
#include <string.h>

#include "ic/ic_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct ic_version list[] = {{1, 0}, {3, 0}, {3, 1}, {3, 2}};
	static const struct ic_versions frameworks = {list, 2}, versions = {list, 4};
	struct ic_version framework, version;
	struct ic_message message;

	if (ic_parse(data, len, &message) < 0)
		return 0;
	assert((const uint8_t *)message.body == data + IC_HEADERS_LEN && message.len <= len - IC_HEADERS_LEN);
	if (ic_parse_negotiated(&message, &frameworks, &versions, &framework, &version) == 0) {
		assert(framework.minor == 0 && (framework.major == 1 || framework.major == 3));
		assert(version.minor <= 2 && (version.major == 1 || version.major == 3));
	}
	return 0;
}
