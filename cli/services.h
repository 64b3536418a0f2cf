/* SPDX-License-Identifier: Apache-2.0 */
/* What is printed of the property Services. */
#ifndef CLI_SERVICES_H
#define CLI_SERVICES_H

#include <stddef.h>

#include "cli/json.h"

/**
 * services_line - one service in one line: "storage  serving  pid 123  deaths 2 ...".
 * @service: its properties as json_from_value() gives them; what is missing counts as 0.
 */
void services_line(const char *name, struct json_object *service, char *ret, size_t size);

#endif
