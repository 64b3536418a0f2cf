/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int program_find(const char *name, char *ret_path, size_t size)
{
	const char *at = getenv("PATH");

	for (at = at ? at : "/usr/bin"; *at; at += strcspn(at, ":"), at += *at == ':') {
		int n = snprintf(ret_path, size, "%.*s/%s", (int)strcspn(at, ":"), at, name);

		if (*at == '/' && n > 0 && (size_t)n < size && access(ret_path, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}
