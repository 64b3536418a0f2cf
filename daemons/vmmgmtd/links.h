/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells when something of the host's network devices has changed, so that links of guests can follow (vm_link.c).
 *
 * Theory of operation: the kernel tells of each change by rtnetlink. What it tells is not read: who listens looks at
 * the devices that he has, a moment later, once for whatever has happened until then.
 */
#ifndef VMMGMTD_LINKS_H
#define VMMGMTD_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/syscalls.h"
#include "ipc/loop.h"

struct links;

/** links_calls - what this needs in the sandbox. */
extern const struct syscall_list links_calls;

/** links_fn - look. Return: whether to look again soon. */
typedef bool (*links_fn)(void *arg);

/** links_new - Return: 0 or a negative errno. */
int links_new(struct loop *loop, links_fn fn, void *arg, struct links **ret_links);
/** links_free - NULL is allowed. */
void links_free(struct links *links);
/** links_look - look soon, whatever the kernel says. NULL is allowed. */
void links_look(struct links *links);
/** links_look_in - the same after so long: what was seen could not be told. */
void links_look_in(struct links *links, uint64_t delay_ns);

#endif
