/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/args.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int arg_parse_number(const char *text, uint32_t max, uint32_t *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end || n < 1 || n > max)
		return -EINVAL;
	*ret = (uint32_t)n;
	return 0;
}

int arg_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	unsigned int shift = 0;
	uint64_t number;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		const char *unit = strchr(units, toupper((unsigned char)*end));

		if (!unit)
			return -EINVAL;
		shift = 10 * (unsigned int)(unit - units + 1);
		end++;
		if (strcmp(end, "iB") == 0)
			end += 2;
	}
	if (*end || number > UINT64_MAX >> shift)
		return -EINVAL;
	*ret_bytes = number << shift;
	return 0;
}

char *arg_absolute(const char *path)
{
	char *resolved = path[0] ? realpath(path, NULL) : NULL;
	char folder[PATH_MAX];

	if (resolved)
		return resolved;
	if (path[0] == '/' || !getcwd(folder, sizeof(folder)))
		return strdup(path);
	return asprintf(&resolved, "%s/%s", folder, path) < 0 ? NULL : resolved;
}
