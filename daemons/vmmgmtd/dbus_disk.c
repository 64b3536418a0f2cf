/* SPDX-License-Identifier: Apache-2.0 */
/* org.bulkhead.VM1: its disks. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "dbus_faces.h"

_Static_assert(BULKHEAD_CHANGE_PERSISTENT == VM_CHANGE_PERSISTENT && BULKHEAD_CHANGE_CONFIG == VM_CHANGE_CONFIG &&
		       BULKHEAD_CHANGE_FORCE == VM_CHANGE_FORCE && BULKHEAD_DISK_SHRINK == VM_DISK_SHRINK,
	       "the flags of the bus are those of the object");

void dbus_disk_attach(struct msgbus_call *call, void *arg)
{
	dbus_change_attach(call, arg, dbus_disk_attach, vm_attach_disk);
}

void dbus_disk_detach(struct msgbus_call *call, void *arg)
{
	dbus_change_detach(call, arg, dbus_disk_detach, vm_detach_disk);
}

void dbus_disk_set(struct msgbus_call *call, void *arg)
{
	dbus_change_set(call, arg, dbus_disk_set, vm_set_disk);
}

void dbus_disk_resize(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;
	const char *target = "";
	struct msgbus_in in;
	uint64_t bytes = 0;
	uint32_t flags = 0;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "stu", &target, &bytes, &flags);
	if (dbus_change_begins(face, call, flags, BULKHEAD_DISK_SHRINK, dbus_disk_resize))
		vm_resize_disk(face->vm, target, bytes, flags, dbus_change_reply, call);
}

void dbus_disk_set_faults(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;
	const char *target = "", *faults = "";
	struct msgbus_in in;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "ss", &target, &faults);
	if (dbus_change_begins(face, call, 0, 0, dbus_disk_set_faults))
		vm_set_disk_faults(face->vm, target, faults, dbus_change_reply, call);
}

void dbus_disk_change_medium(struct msgbus_call *call, void *arg)
{
	const uint32_t allowed = BULKHEAD_CHANGE_PERSISTENT | BULKHEAD_CHANGE_CONFIG | BULKHEAD_CHANGE_FORCE;
	struct vm_face *face = arg;
	const char *target = "", *image = "";
	struct msgbus_in in;
	uint32_t flags = 0;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "ssu", &target, &image, &flags);
	if (dbus_change_begins(face, call, flags, allowed, dbus_disk_change_medium))
		vm_change_medium(face->vm, target, image, flags, dbus_change_reply, call);
}

/* ---- properties ---- */

void dbus_disk_get_all(void *object, struct msgbus_out *out)
{
	const struct domain *d = vm_domain(((struct vm_face *)object)->vm);
	struct msgbus_out list, item;

	msgbus_out_open(out, 'a', "(sssb)", &list);
	for (size_t i = 0; i < d->disk_count; i++) {
		const struct domain_disk *disk = &d->disks[i];

		msgbus_out_open(&list, 'r', NULL, &item);
		msgbus_out_write(&item, "sssb", disk->target, disk->image ? disk->image : "",
				 disk->type == DOMAIN_DISK_BLOCK ? "block" : "file", (int)disk->readonly);
		msgbus_out_close(&item);
	}
	msgbus_out_close(&list);
}

static void put_setting(const char *setting, void *arg)
{
	msgbus_out_write(arg, "s", setting);
}

void dbus_disk_get_settings(void *object, struct msgbus_out *out)
{
	const struct domain *d = vm_domain(((struct vm_face *)object)->vm);
	struct msgbus_out dict, entry, list;

	msgbus_out_open(out, 'a', "{sas}", &dict);
	for (size_t i = 0; i < d->disk_count; i++) {
		msgbus_out_open(&dict, 'e', NULL, &entry);
		msgbus_out_write(&entry, "s", d->disks[i].target);
		msgbus_out_open(&entry, 'a', "s", &list);
		domain_disk_settings(&d->disks[i], put_setting, &list);
		msgbus_out_close(&list);
		msgbus_out_close(&entry);
	}
	msgbus_out_close(&dict);
}

/* NULL: it does not run, or has not told. */
static const struct worker_drive *find_drive(const struct vm_info *info, const char *target)
{
	for (size_t s = 0; s < info->service_count; s++)
		for (size_t i = 0; i < info->services[s].drive_count; i++)
			if (!strcmp(info->services[s].drives[i].target, target))
				return &info->services[s].drives[i];
	return NULL;
}

void dbus_disk_get_drives(void *object, struct msgbus_out *out)
{
	const struct domain *d = vm_domain(((struct vm_face *)object)->vm);
	struct msgbus_out list, item;
	struct vm_info info;

	vm_info(((struct vm_face *)object)->vm, &info);
	msgbus_out_open(out, 'a', "(ssbb)", &list);
	for (size_t i = 0; i < d->disk_count; i++) {
		const struct worker_drive *drive = find_drive(&info, d->disks[i].target);

		if (!d->disks[i].cdrom)
			continue;
		msgbus_out_open(&list, 'r', NULL, &item);
		msgbus_out_write(&item, "ssbb", d->disks[i].target, "cdrom", (int)(drive && drive->open),
				 (int)(drive && drive->locked));
		msgbus_out_close(&item);
	}
	msgbus_out_close(&list);
}

/* NULL: it works, as far as is known. */
static const char *find_disk_error(const struct vm_info *info, const char *target)
{
	for (size_t s = 0; s < info->service_count; s++)
		for (size_t i = 0; i < info->services[s].error_count; i++)
			if (!strcmp(info->services[s].errors[i].target, target))
				return info->services[s].errors[i].kind;
	return NULL;
}

void dbus_disk_get_errors(void *object, struct msgbus_out *out)
{
	const struct domain *d = vm_domain(((struct vm_face *)object)->vm);
	struct msgbus_out dict, entry;
	struct vm_info info;

	vm_info(((struct vm_face *)object)->vm, &info);
	msgbus_out_open(out, 'a', "{ss}", &dict);
	for (size_t i = 0; i < d->disk_count; i++) {
		const char *error = find_disk_error(&info, d->disks[i].target);

		if (!error)
			continue;
		msgbus_out_open(&dict, 'e', NULL, &entry);
		msgbus_out_write(&entry, "ss", d->disks[i].target, error);
		msgbus_out_close(&entry);
	}
	msgbus_out_close(&dict);
}
