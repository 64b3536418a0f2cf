/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How VMs have ended, <base>/ended/<uuid>: what somebody may still ask, or what is still to be done. A vmmgmtd that is
 * killed after a VM's end leaves it to the next one.
 *
 * A file is lines "name value" in a fixed order, the first of them the version, then the guest's message and the
 * definition, as long as the lines say.
 */
#ifndef VMMGMTD_ENDED_H
#define VMMGMTD_ENDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/syscalls.h"

struct ended {
	bool crashed, persistent;
	uint64_t at_ns; /* when; of clock_now_ns(), which goes on until the host starts anew */
	bool again;	/* it starts again at again_at_ns */
	uint64_t again_at_ns;
	uint64_t again_pause_ns; /* the pause until then */
	char reason[ERR_TEXT_MAX];
	char *guest_message; /* heap; NULL: none */
	char *xml;	     /* heap: what it ran with */
};

/** ended_calls - what this needs in the sandbox. */
extern const struct syscall_list ended_calls;

void ended_done(struct ended *ended);

/** ended_parse - @len bytes of a file. @ret: ended_done() it. Return: 0; -EINVAL; -EPROTONOSUPPORT (of another
 * version); -ENOMEM. */
int ended_parse(const char *text, size_t len, struct ended *ret);

/** ended_save - replace the file, atomically; the folder is made if it is missing. Return: 0 or a negative errno. */
int ended_save(const char *base, const char *uuid, const struct ended *ended);

/** ended_remove - it is not wanted any more. There need be none. */
void ended_remove(const char *base, const char *uuid);

/** ended_scan - call @fn for each file that can be read; any other is removed, but one of another version. */
void ended_scan(const char *base, void (*fn)(const char *uuid, struct ended *ended, void *arg), void *arg);

#endif
