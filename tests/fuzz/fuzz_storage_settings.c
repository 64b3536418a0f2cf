/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a storage configuration as the worker hands it over; eight descriptors. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/vsp-storaged/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct settings *settings = NULL;
	struct err err = {0};
	int r = settings_parse(data, len, 8, &settings, &err);

	assert((r == 0) == (settings != NULL));
	assert((r == 0) == (err.text[0] == '\0'));
	for (size_t c = 0; settings && c < settings->controllers; c++) {
		for (size_t l = 0; l < settings->controller[c].luns; l++) {
			const struct lun_settings *lun = &settings->controller[c].lun[l];

			assert(lun->fd_index < 8 && lun->lun < SETTINGS_LUNS_MAX && lun->alias[0] && lun->image[0]);
		}
	}
	free(settings);
	return 0;
}
