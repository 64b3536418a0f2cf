/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of what a VM has, while it runs or not: disks (vm_disk.c), NICs (vm_nic.c).
 *
 * Theory of operation: of a VM that is off only the definition changes. Of one that runs, what runs: what it needs is
 * opened by vmmgmtd, the worker keeps it for each process that serves it and hands it on. What the VM has, the worker
 * knows; definition.xml in the runtime folder has to say the same. So before the worker is asked, the plan is written
 * beside it: what runs then, and what is kept then if that is to change too. After the worker's answer first the kept
 * definition is replaced, then the plan becomes definition.xml, in one step; or it is dropped. If this process ends, or
 * the worker's connection, before all of that is done, vm_changes_settle() asks the worker which of both it is, and
 * does the rest. Before that it asks what is behind the VM's NICs (vm_peers_are()): the worker's configuration has it,
 * and definitions have not. From the new connection on until all of that is done the VM is `unsettled`: no other change
 * begins, which would overwrite the plan. If the worker does not tell, or the plan cannot be read, or not become
 * definition.xml, it is tried again, after longer and longer pauses. An older worker, which cannot tell, is believed to
 * have what is known.
 *
 * Limits: one change at a time. Who asks for another one is refused; but for those that vmmgmtd makes by itself (links,
 * what is behind a NIC, what is settled) he waits, at most 10 s: vm_change_wait(). Who leaves the bus while he waits is
 * not waited for; a change that has begun is made, whoever has left.
 */
#ifndef VMMGMTD_VM_CHANGE_H
#define VMMGMTD_VM_CHANGE_H

#include "vm_int.h"

/* What can change; constant. */
struct vm_change_kind {
	const char *service; /* that serves it */
	const char *what;    /* "disk", for people; "disks": more of them */
	const char *verb;    /* of vmctl */
	const char *none;    /* why none can come: for people */
};

extern const struct vm_change_kind vm_change_disks, vm_change_nics;

struct vm_change {
	struct vm *vm;
	const struct vm_change_kind *kind;
	struct domain then; /* what runs then; xml is NULL: as now */
	struct domain kept; /* what is kept then; xml is NULL: as it follows */
	bool keeps;	    /* what is kept changes, too */
	bool planned;	    /* the plan is written */
	bool own;	    /* vmmgmtd makes it by itself */
	char name[DOMAIN_ALIAS_MAX];
	vm_change_fn done;
	void *arg;
};

/** vm_change_new - NULL without memory. Owner: the caller, until vm_change_ask() has succeeded. */
struct vm_change *vm_change_new(struct vm *vm, const struct vm_change_kind *kind, vm_change_fn done, void *arg);
/** vm_change_cleanup - for _cleanup_(): nobody was asked, so its plan goes, too. */
void vm_change_cleanup(struct vm_change **change);

/** vm_change_check - Return: 0 if what runs can be changed now; else with a line. */
int vm_change_check(const struct vm *vm, const struct vm_change_kind *kind, struct err *err);
/** vm_change_check_flags - VM_CHANGE_*. Return: 0; -EBADFD with a line: nothing of the VM is kept. */
int vm_change_check_flags(const struct vm *vm, unsigned int flags, struct err *err);
/** vm_change_is_off - whether only the definition changes. */
bool vm_change_is_off(const struct vm *vm, unsigned int flags);
/** vm_change_keep_only - replace what is kept of a VM that is off, or of one that runs, by @then, which is taken over
 * on success. */
int vm_change_keep_only(struct vm *vm, struct domain *then, struct err *err);

/** vm_change_send_fn - ask the worker: worker_change_disk(), worker_change_nic(). */
typedef int (*vm_change_send_fn)(struct worker *worker, const void *what, worker_done_fn done, void *arg);

/** vm_change_plan - write the plan before anything is made for the change: whoever comes after a death finds it, and
 * undoes what was made. Nothing is done if it is written already. Return: 0; a negative errno with a line. */
int vm_change_plan(struct vm_change *change, struct err *err);
/** vm_change_ask - write the plan, ask the worker. @change is taken over on success, and done once the worker has
 * answered. Return: 0; a negative errno with a line. */
int vm_change_ask(struct vm_change *change, vm_change_send_fn send, const void *what, struct err *err);

/* ---- shared by vm_change.c and vm_settle.c ---- */

#define VM_CHANGE_NO_DEFINITION "runtime folder: the definition cannot be replaced"

void vm_change_free(struct vm_change *change);
/** vm_change_made - the definitions follow. Return: 0; a negative errno: the plan has not become definition.xml. */
int vm_change_made(struct vm *vm, struct vm_change *change);
/** vm_change_unsettle - it is tried again (vm_changes_settle()): a change that began now would take the place of the
 * plan. @what, @why: for the log. */
void vm_change_unsettle(struct vm *vm, const char *what, const char *why);
/** vm_change_go_on - none is under way: those who have waited ask again. */
void vm_change_go_on(struct vm *vm);
/** vm_change_end - @change is over, and freed. */
void vm_change_end(struct vm_change *change);

#endif
