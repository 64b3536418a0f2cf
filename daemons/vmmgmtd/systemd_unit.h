/* SPDX-License-Identifier: Apache-2.0 */
/* What systemd calls the units of a VM's processes, and what it is told of them. */
#ifndef VMMGMTD_SYSTEMD_UNIT_H
#define VMMGMTD_SYSTEMD_UNIT_H

#include <sys/types.h>

#include "base/err.h"
#include "dbus/value.h"
#include "launcher.h"

#define SYSTEMD_UNIT_PREFIX "/org/freedesktop/systemd1/unit/"
#define SYSTEMD_UNIT_MAX    128
#define SYSTEMD_PATH_MAX    (sizeof(SYSTEMD_UNIT_PREFIX) + 3 * SYSTEMD_UNIT_MAX)

/** systemd_unit_name - the instance of @program's template unit for a VM. */
void systemd_unit_name(const char *program, const char *uuid, char ret[SYSTEMD_UNIT_MAX]);

/** systemd_unit_path - a unit's object path: letters and digits; the rest is _xx. */
void systemd_unit_path(const char *unit, char ret[SYSTEMD_PATH_MAX]);

/** systemd_unit_of - the unit that a process belongs to: the last part of its control group. Return: 0 or -ESRCH. */
int systemd_unit_of(pid_t pid, char ret[SYSTEMD_UNIT_MAX]);

/** systemd_unit_environment - write what the template cannot know: <@base>/<UUID>/<program>.env. Return: 0; a negative
 * errno with a line. */
int systemd_unit_environment(const char *base, const struct launch_request *request, struct err *err);

/** systemd_transient_name - the unit of a program that is not ours. */
void systemd_transient_name(const struct launch_request *request, char ret[SYSTEMD_UNIT_MAX]);

/** systemd_transient_fill - the arguments of StartTransientUnit for it. @arg: a struct launch_request. */
void systemd_transient_fill(struct msgbus_out *out, void *arg);

#endif
