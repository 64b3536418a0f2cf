/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the sandbox that binds paths. Spec: landlock(7). */
#ifndef DAEMON_LANDLOCK_H
#define DAEMON_LANDLOCK_H

#include "daemon/sandbox.h"

/** landlock_abi - Return: 1 or more; 0: the kernel has no Landlock, or it is switched off. */
int landlock_abi(void);

/**
 * landlock_enter - nothing by path but @sandbox's paths (NULL: nothing at all) and @extra (one, or NULL), nothing
 * executed, no TCP and, as far as the kernel's Landlock goes, no abstract sockets and, unless @sandbox says so, no
 * signals to the outside. Return: 0, or a negative errno with a line. Context: only this thread and those that it makes from now on; no new privileges.
 */
int landlock_enter(const struct sandbox *sandbox, const struct sandbox_path *extra, struct err *err);

#endif
