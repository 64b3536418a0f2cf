/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service manager's word of how a VSP has ended, for the worker: only its parent learns whether a process has died of
 * what it did. Each VSP's program has an option for it, which its unit names in ExecStopPost=.
 */
#ifndef VSP_END_H
#define VSP_END_H

#include <stdbool.h>

#include "base/err.h"
#include "ipc/loop.h"
#include "proto/methods.h"

struct vsp_end {
	char invocation[VSP_INVOCATION_LEN + 1];
	enum { VSP_END_UNKNOWN, VSP_END_EXITED, VSP_END_KILLED } how;
	unsigned int status;		 /* of the exit; number of the signal */
	char result[VSP_RESULT_MAX + 1]; /* "" if it says no more than the rest */
};

/**
 * vsp_end_read - from the environment of ExecStopPost=: INVOCATION_ID, SERVICE_RESULT, EXIT_CODE, EXIT_STATUS.
 * @get: getenv(), or a test's.
 * Return: 0; -ENOENT (no such environment), -EINVAL, with a line. Spec: systemd.exec(5).
 */
int vsp_end_read(char *(*get)(const char *name), struct vsp_end *ret, struct err *err);

/**
 * vsp_end_tell - tell the worker at @path how the process of provider @name has ended; returns once the next one may
 * start.
 * Return: 0; -ENOENT, -ECONNREFUSED, -ECONNRESET (there is no worker any more); what the worker refuses, with a line.
 */
int vsp_end_tell(struct loop *loop, const char *path, const char *name, const struct vsp_end *end, struct err *err);

#endif
