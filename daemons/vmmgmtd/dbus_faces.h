/* SPDX-License-Identifier: Apache-2.0 */
/* The manager and its VMs on the bus: tables of rows, and the objects that carry them. */
#ifndef VMMGMTD_DBUS_FACES_H
#define VMMGMTD_DBUS_FACES_H

#include "dbus/object.h"
#include "manager.h"

#define DBUS_VM_PATH_MAX 80

struct faces;

/* The tables; data/org.bulkhead.*.xml say the same. */
extern const struct msgbus_interface dbus_manager_interface;
extern const struct msgbus_interface dbus_vm_interface;

/** faces_new - put the manager and its VMs on @bus, and keep them there. */
int faces_new(struct msgbus *bus, struct manager *manager, struct err *err, struct faces **ret_faces);
void faces_free(struct faces *faces);

/** dbus_vm_path - the path of a VM's object. */
void dbus_vm_path(const struct vm *vm, char ret[DBUS_VM_PATH_MAX]);

/* A VM's face: the object of dbus_vm_interface. Made and ended by dbus_manager.c. */
struct vm_face {
	struct vm_face *next;
	struct manager *manager;
	struct vm *vm;
	struct msgbus_object *object;
};

/** dbus_stats_reply - answer GetStatistics. */
void dbus_stats_reply(struct vm *vm, struct msgbus_call *call);

/** dbus_vm_check_flags - Return: whether only @allowed flags are set; else the call has been answered. */
bool dbus_vm_check_flags(struct msgbus_call *call, uint32_t flags, uint32_t allowed);

/** dbus_vm_changed - tell what may have changed. */
void dbus_vm_changed(struct vm_face *face);

/* ---- dbus_change.c ---- */

typedef void (*dbus_method_fn)(struct msgbus_call *call, void *face);

/** dbus_change_begins - Return: whether the call may go on. Else @flags (VM_CHANGE_* of the call) has others than
 * @allowed, and it has been answered; or a change is under way for which it has to wait: @handler gets it again then,
 * if there is still such a VM, and if its caller is still on the bus. */
bool dbus_change_begins(const struct vm_face *face, struct msgbus_call *call, uint32_t flags, uint32_t allowed,
			dbus_method_fn handler);

/** dbus_change_reply_name, dbus_change_reply - of a change of a disk or NIC, as vm_change_fn; @arg: the call. */
void dbus_change_reply_name(int error, const char *text, const char *name, void *arg);
void dbus_change_reply(int error, const char *text, const char *name, void *arg);

/** dbus_change_attach, dbus_change_detach, dbus_change_set - methods of disks and of NICs. @handler: who has @call now.
 */
void dbus_change_attach(struct msgbus_call *call, struct vm_face *face, dbus_method_fn handler,
			void (*attach)(struct vm *vm, const char *xml, unsigned int flags, vm_change_fn done,
				       void *arg));
void dbus_change_detach(struct msgbus_call *call, struct vm_face *face, dbus_method_fn handler,
			void (*detach)(struct vm *vm, const char *name, unsigned int flags, uint32_t timeout_s,
				       vm_change_fn done, void *arg));
void dbus_change_set(struct msgbus_call *call, struct vm_face *face, dbus_method_fn handler,
		     void (*set)(struct vm *vm, const char *name, const char *const *settings, unsigned int flags,
				 vm_change_fn done, void *arg));

/* ---- dbus_disk.c: methods of VM1, and how it tells its properties Disks, DiskSettings, Drives, DiskErrors ---- */

void dbus_disk_attach(struct msgbus_call *call, void *arg);
void dbus_disk_detach(struct msgbus_call *call, void *arg);
void dbus_disk_resize(struct msgbus_call *call, void *arg);
void dbus_disk_set(struct msgbus_call *call, void *arg);
void dbus_disk_set_faults(struct msgbus_call *call, void *arg);
void dbus_disk_change_medium(struct msgbus_call *call, void *arg);
void dbus_disk_get_all(void *object, struct msgbus_out *out);
void dbus_disk_get_settings(void *object, struct msgbus_out *out);
void dbus_disk_get_drives(void *object, struct msgbus_out *out);
void dbus_disk_get_errors(void *object, struct msgbus_out *out);

/* ---- dbus_nic.c: methods of VM1, and how it tells its property Interfaces ---- */

void dbus_nic_attach(struct msgbus_call *call, void *arg);
void dbus_nic_detach(struct msgbus_call *call, void *arg);
void dbus_nic_set(struct msgbus_call *call, void *arg);
void dbus_nic_capture(struct msgbus_call *call, void *arg);
void dbus_nic_stop_capture(struct msgbus_call *call, void *arg);
void dbus_nic_get_all(void *object, struct msgbus_out *out);

#endif
