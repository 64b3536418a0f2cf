/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime folder of a VM that runs, <base>/<uuid>: what a later vmmgmtd needs to find it again.
 *
 *	definition.xml	what it runs with
 *	state		struct runtime_state, as lines "name value", the first of them the version
 *	then.xml	while its disks change: what it runs with then
 *	kept.xml	beside that: the definition that is kept then, if that changes too
 *	nics		what has been behind its NICs: the version, and "alias given unplugged" lines (struct
 *domain_nic) worker.sock ...	of its daemons
 *	worker.last	written by a worker that ends in order: "off" or "crashed", and in a second line the reason
 */
#ifndef VMMGMTD_RUNTIME_H
#define VMMGMTD_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "launcher.h"

/** runtime_calls - what this needs in the sandbox. */
extern const struct syscall_list runtime_calls;

struct runtime_state {
	bool up; /* its start was finished: worth keeping */
	bool persistent;
	struct launch_id worker, storage, network; /* network: none in versions before 5 */
	/* on_crash=restart; all 0 in a state of version 1 */
	bool again;		 /* it was started because it had crashed */
	uint64_t again_pause_ns; /* the pause before that; 0: none */
	uint64_t began_ns;	 /* this run, of clock_now_ns(); 0: not known */
	bool destroyed; /* it ends because somebody wants it to, whatever it looks like; false in versions 1 and 2 */
	unsigned int
		controllers; /* for disks, that it was started with; 0 in versions before 4: as the definition says */
};

/** runtime_make - a new, empty folder (what was there is removed) with the definition. Return: 0; a negative errno with
 * one line. @shared: the daemons run as another user, of the group of @base (which has the set-group-ID bit): they may
 * make their own files in it, and not touch ours. */
int runtime_make(const char *base, const char *uuid, const char *xml, bool shared, struct err *err);

/** runtime_save - replace the state, atomically. Return: 0 or a negative errno. */
int runtime_save(const char *base, const char *uuid, const struct runtime_state *state);

/** runtime_load - Return: 0; -EPROTONOSUPPORT if a later version has written it; another negative errno if the folder
 * is not one of a VM, or incomplete. @ret_xml: heap. */
int runtime_load(const char *base, const char *uuid, struct runtime_state *ret_state, char **ret_xml, size_t *ret_len);

/** runtime_plan - a change is about to be made: write down then.xml and, unless it is NULL, kept.xml. Return: 0 or a
 * negative errno, and there is no plan. */
int runtime_plan(const char *base, const char *uuid, const char *then, const char *kept);

/** runtime_plan_load - Return: 0; -ENOENT (no change was planned); another negative errno. @ret_then, @ret_kept (NULL:
 * none): heap. */
int runtime_plan_load(const char *base, const char *uuid, char **ret_then, char **ret_kept);

/** runtime_plan_made - then.xml becomes definition.xml, in one step. Return: 0 or a negative errno. */
int runtime_plan_made(const char *base, const char *uuid);
/** runtime_plan_dropped - nothing has changed. */
void runtime_plan_dropped(const char *base, const char *uuid);

/** runtime_save_nics, runtime_load_nics - what has been behind NICs, as lines of vm_peer.c's; @ret: heap. Return: 0 or
 * a negative errno. */
int runtime_save_nics(const char *base, const char *uuid, const char *lines);
int runtime_load_nics(const char *base, const char *uuid, char **ret);

/** runtime_parse_state - the text of the file "state", of this version or an earlier one. Return: as above. */
int runtime_parse_state(const char *text, struct runtime_state *ret);

/** runtime_last - how the worker ended, in its own words. @ret_reason: one clean line. Return: 0; -ENOENT if it was
 * killed; -EINVAL ... */
int runtime_last(const char *base, const char *uuid, bool *ret_crashed, char *ret_reason, size_t size);

/** runtime_parse_last - the text of worker.last. Return: 0, -EINVAL. */
int runtime_parse_last(const char *text, bool *ret_crashed, char *ret_reason, size_t size);

/** runtime_remove - the folder and what is in it. */
void runtime_remove(const char *base, const char *uuid);

/** runtime_scan - call @fn for each folder whose name is a UUID. */
void runtime_scan(const char *base, void (*fn)(const char *uuid, void *arg), void *arg);

#endif
