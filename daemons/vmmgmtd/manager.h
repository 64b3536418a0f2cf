/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of VMs of a host or user, and their definitions on disk. It knows no D-Bus.
 *
 * Invariants: names and UUIDs are unique; a persistent VM has its file in the store. A transient VM that has ended
 * stays for MANAGER_LINGER_S, also if the next vmmgmtd runs by then, so that who waits for its end can ask how it was,
 * or until its name or UUID is wanted.
 */
#ifndef VMMGMTD_MANAGER_H
#define VMMGMTD_MANAGER_H

#include "vm.h"

#define MANAGER_LINGER_S 30u

struct manager;

struct manager_events {
	void (*added)(struct vm *vm, void *arg);
	void (*removed)(struct vm *vm, void *arg); /* it is freed after that */
	void (*changed)(struct vm *vm, void *arg);
};

struct manager_config {
	const char *mode;	  /* "session" or "system" */
	const char *base;	  /* runtime folders */
	const char *vms;	  /* definitions */
	const char *logs;	  /* of the daemons of VMs; made if it is missing */
	const char *reservations; /* folder of those of shared disks, which is there */
	const char *kvm;
	struct launcher *launcher; /* both outlive the manager */
	struct spawner *spawner;   /* of other programs than the launcher's; NULL: there is none */
};

/**
 * manager_new - load the definitions and find the VMs that run. A definition that cannot be used is named, and the rest
 * is served.
 * @config: its strings must outlive the manager.
 */
int manager_new(struct loop *loop, const struct manager_config *config, struct err *err, struct manager **ret_manager);

/** manager_settle - run the loop until the state of every VM that was found again is known, or 5 s have gone by. */
void manager_settle(struct manager *manager);

/** manager_free - lets go of all VMs; they go on. */
void manager_free(struct manager *manager);

/** manager_set_events - from now on. @events: constant. */
void manager_set_events(struct manager *manager, const struct manager_events *events, void *arg);

const struct manager_config *manager_config(const struct manager *manager);
const char *const *manager_quarantined(const struct manager *manager);

/** manager_busy - how many VMs have processes, or are to start again. */
unsigned int manager_busy(const struct manager *manager);

/** manager_next - walk all VMs, sorted by name: NULL gives the first, the last gives NULL. */
struct vm *manager_next(const struct manager *manager, const struct vm *vm);

struct vm *manager_find_name(const struct manager *manager, const char *name);
struct vm *manager_find_uuid(const struct manager *manager, const char *uuid);

/** manager_define - keep a definition. @report: as in domain_parse(). Return: 0 and the VM; a negative errno with one
 * line. */
int manager_define(struct manager *manager, const char *xml, struct domain_report *report, struct err *err,
		   struct vm **ret_vm);

/** manager_create - start a transient VM. Return: 0 and the VM, and @done is called once it runs, or could not (from
 * inside, too: then it is removed soon); a negative errno with one line. */
int manager_create(struct manager *manager, const char *xml, bool paused, struct domain_report *report, vm_done_fn done,
		   void *arg, struct err *err, struct vm **ret_vm);

/** manager_undefine - forget a definition. A VM that does not run is removed. */
int manager_undefine(struct manager *manager, struct vm *vm, struct err *err);

/** manager_set_autostart - whether a defined VM comes up with the host. Return: 0; -EBADFD (not defined), ... with one
 * line. */
int manager_set_autostart(struct manager *manager, struct vm *vm, bool on, struct err *err);

#endif
