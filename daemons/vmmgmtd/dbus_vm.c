/* SPDX-License-Identifier: Apache-2.0 */
/* org.bulkhead.VM1: rows, and a few lines for each. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "dbus_faces.h"

void dbus_vm_path(const struct vm *vm, char ret[DBUS_VM_PATH_MAX])
{
	snprintf(ret, DBUS_VM_PATH_MAX, BULKHEAD_VM_PATH_PREFIX "%s", vm_domain(vm)->uuid);
	for (char *s = ret; *s; s++) {
		if (*s == '-')
			*s = '_';
	}
}

/* ---- methods ---- */

static void reply_done(int error, const char *text, void *arg)
{
	struct msgbus_call *call = arg;

	if (error)
		msgbus_fail(call, error, text);
	else
		msgbus_reply(call, "");
}

bool dbus_vm_check_flags(struct msgbus_call *call, uint32_t flags, uint32_t allowed)
{
	if (flags & ~allowed)
		msgbus_fail(call, -EINVAL, "flags: a flag is set that this version does not know");
	return !(flags & ~allowed);
}

/* The flags of a call that takes nothing else. Return: as dbus_vm_check_flags(). */
static bool read_flags(struct msgbus_call *call, uint32_t allowed, uint32_t *ret_flags)
{
	struct msgbus_in in;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "u", ret_flags);
	return dbus_vm_check_flags(call, *ret_flags, allowed);
}

static void vm1_start(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;
	uint32_t flags;

	if (read_flags(call, BULKHEAD_FLAG_PAUSED, &flags))
		vm_start(face->vm, flags & BULKHEAD_FLAG_PAUSED, reply_done, call);
}

static void vm1_destroy(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;
	uint32_t flags;

	if (read_flags(call, 0, &flags))
		vm_destroy(face->vm, reply_done, call);
}

static void vm1_pause(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;

	vm_pause(face->vm, reply_done, call);
}

static void vm1_resume(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;

	vm_resume(face->vm, reply_done, call);
}

static void vm1_reset(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;

	vm_reset(face->vm, reply_done, call);
}

static void ask(struct msgbus_call *call, struct vm_face *face, enum worker_ask what)
{
	uint32_t flags, timeout_s = 0;
	struct msgbus_in in;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "uu", &flags, &timeout_s);
	if (read_flags(call, BULKHEAD_FLAG_FORCE, &flags))
		vm_ask(face->vm, what, flags & BULKHEAD_FLAG_FORCE, timeout_s, reply_done, call);
}

static void vm1_shutdown(struct msgbus_call *call, void *arg)
{
	ask(call, arg, WORKER_ASK_SHUTDOWN);
}

static void vm1_reboot(struct msgbus_call *call, void *arg)
{
	ask(call, arg, WORKER_ASK_REBOOT);
}

static void vm1_undefine(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;
	struct err err = {0};
	uint32_t flags;
	int r;

	if (!read_flags(call, 0, &flags))
		return;
	r = manager_undefine(face->manager, face->vm, &err);
	reply_done(r, err.text, call);
}

static void vm1_get_xml(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;
	uint32_t flags;

	if (read_flags(call, BULKHEAD_FLAG_KEPT, &flags))
		msgbus_reply(call, "s", (flags ? vm_kept(face->vm) : vm_domain(face->vm))->xml);
}

static void vm1_set_autostart(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;
	struct err err = {0};
	struct msgbus_in in;
	bool on = false;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "b", &on);
	reply_done(manager_set_autostart(face->manager, face->vm, on, &err), err.text, call);
}

static void console_done(int error, const char *text, int fd, void *arg)
{
	struct msgbus_call *call = arg;

	if (error)
		msgbus_fail(call, error, text);
	else
		msgbus_reply(call, "h", fd);
	if (fd >= 0)
		close(fd);
}

static void vm1_open_console(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;
	bool backlog = false;
	struct msgbus_in in;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "b", &backlog);
	vm_open_console(face->vm, backlog, console_done, call);
}

static void vm1_upgrade_service(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;
	const char *service = "", *path = "";
	struct msgbus_in in;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "ss", &service, &path);
	vm_upgrade(face->vm, service, path, reply_done, call);
}

static void vm1_get_statistics(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;
	uint32_t flags;

	if (read_flags(call, 0, &flags))
		dbus_stats_reply(face->vm, call);
}

static const struct msgbus_method methods[] = {
	{"Start", "u flags", "", MSGBUS_OWNER, vm1_start},
	{"Destroy", "u flags", "", MSGBUS_OWNER, vm1_destroy},
	{"Shutdown", "u flags, u timeout", "", MSGBUS_OWNER, vm1_shutdown},
	{"Reboot", "u flags, u timeout", "", MSGBUS_OWNER, vm1_reboot},
	{"Pause", "", "", MSGBUS_OWNER, vm1_pause},
	{"Resume", "", "", MSGBUS_OWNER, vm1_resume},
	{"Reset", "", "", MSGBUS_OWNER, vm1_reset},
	{"Undefine", "u flags", "", MSGBUS_OWNER, vm1_undefine},
	{"SetAutostart", "b on", "", MSGBUS_OWNER, vm1_set_autostart},
	{"GetXML", "u flags", "s xml", MSGBUS_OWNER, vm1_get_xml},
	{"OpenConsole", "b backlog", "h console", MSGBUS_OWNER, vm1_open_console},
	{"UpgradeService", "s service, s program", "", MSGBUS_OWNER, vm1_upgrade_service},
	{"GetStatistics", "u flags", "a{sv} statistics", MSGBUS_OWNER, vm1_get_statistics},
	{"AttachDisk", "s disk, u flags", "s target", MSGBUS_OWNER, dbus_disk_attach},
	{"DetachDisk", "s target, u flags, u timeout", "", MSGBUS_OWNER, dbus_disk_detach},
	{"ResizeDisk", "s target, t bytes, u flags", "", MSGBUS_OWNER, dbus_disk_resize},
	{"SetDisk", "s target, as settings, u flags", "", MSGBUS_OWNER, dbus_disk_set},
	{"SetDiskFaults", "s target, s faults", "", MSGBUS_OWNER, dbus_disk_set_faults},
	{"ChangeMedium", "s target, s image, u flags", "", MSGBUS_OWNER, dbus_disk_change_medium},
	{"AttachInterface", "s interface, u flags", "s nic", MSGBUS_OWNER, dbus_nic_attach},
	{"DetachInterface", "s nic, u flags, u timeout", "", MSGBUS_OWNER, dbus_nic_detach},
	{"SetInterface", "s nic, as settings, u flags", "", MSGBUS_OWNER, dbus_nic_set},
	{"CaptureInterface", "s nic, h file, u length, as filter", "", MSGBUS_OWNER, dbus_nic_capture},
	{"StopCapture", "s nic", "", MSGBUS_OWNER, dbus_nic_stop_capture},
	{NULL},
};

/* ---- properties ---- */

static struct vm_info info_of(void *object)
{
	struct vm_face *face = object;
	struct vm_info info;

	vm_info(face->vm, &info);
	return info;
}

static const struct domain *domain_of(void *object)
{
	return vm_domain(((struct vm_face *)object)->vm);
}

static void get_name(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", domain_of(object)->name);
}

static void get_uuid(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", domain_of(object)->uuid);
}

static void get_state(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", vm_state_name(info_of(object).state));
}

static void get_reason(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", info_of(object).reason);
}

static void get_guest_message(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", info_of(object).guest_message);
}

static void get_persistent(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "b", (int)info_of(object).persistent);
}

static void get_autostart(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "b", (int)info_of(object).autostart);
}

static void get_memory(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "t", domain_of(object)->memory_bytes);
}

static void get_cpus(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "u", domain_of(object)->cpus);
}

static void get_console_pty(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", info_of(object).console_pty);
}

static void get_console_log(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", domain_of(object)->console_log);
}

static void get_log_file(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", info_of(object).log_file);
}

static void get_resets(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "t", info_of(object).resets);
}

static void get_worker_pid(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "u", (uint32_t)info_of(object).worker_pid);
}

static void get_storage_pid(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "u", (uint32_t)info_of(object).storage_pid);
}

static void put_entry(struct msgbus_out *dict, const char *key, char type, const void *value)
{
	if (type == 's')
		msgbus_out_entry(dict, key, "s", (const char *)value);
	else if (type == 'u')
		msgbus_out_entry(dict, key, "u", *(const uint32_t *)value);
	else
		msgbus_out_entry(dict, key, "t", *(const uint64_t *)value);
}

static void put_service(struct msgbus_out *dict, const struct worker_service *service)
{
	const uint32_t pid = (uint32_t)service->pid;
	const struct {
		const char *key;
		char type;
		const void *value;
	} rows[] = {
		{"PID", 'u', &pid},
		{"State", 's', vm_service_state_name(service->state)},
		{"Message", 's', service->message},
		{"Program", 's', service->program},
		{"Deaths", 't', &service->deaths},
		{"Hangs", 't', &service->hangs},
		{"Upgrades", 't', &service->upgrades},
		{"Replayed", 't', &service->replayed},
		{"Lost", 't', &service->lost},
		{"Duplicate", 't', &service->duplicate},
		{"Failed", 't', &service->failed},
		{"LastOutage", 't', &service->last_outage_us},
	};
	struct msgbus_out entry, inside;

	msgbus_out_open(dict, 'e', NULL, &entry);
	msgbus_out_write(&entry, "s", service->name);
	msgbus_out_open(&entry, 'a', "{sv}", &inside);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		put_entry(&inside, rows[i].key, rows[i].type, rows[i].value);
	msgbus_out_close(&inside);
	msgbus_out_close(&entry);
}

static void get_services(void *object, struct msgbus_out *out)
{
	struct vm_info info = info_of(object);
	struct msgbus_out dict;

	msgbus_out_open(out, 'a', "{sa{sv}}", &dict);
	for (size_t i = 0; i < info.service_count; i++)
		if (!info.services[i].idle)
			put_service(&dict, &info.services[i]);
	msgbus_out_close(&dict);
}

static void get_heartbeat(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", vm_heartbeat_name(info_of(object).heartbeat));
}

static void get_integration(void *object, struct msgbus_out *out)
{
	struct vm_info info = info_of(object);
	struct msgbus_out dict, entry;

	msgbus_out_open(out, 'a', "{ss}", &dict);
	for (size_t i = 0; i < info.integration_count; i++) {
		msgbus_out_open(&dict, 'e', NULL, &entry);
		msgbus_out_write(&entry, "ss", info.integration[i].name, info.integration[i].version);
		msgbus_out_close(&entry);
	}
	msgbus_out_close(&dict);
}

static const struct msgbus_property properties[] = {
	{"Name", "s", MSGBUS_EMITS, get_name},
	{"UUID", "s", MSGBUS_CONST, get_uuid},
	{"State", "s", MSGBUS_EMITS, get_state},
	{"StateReason", "s", MSGBUS_EMITS, get_reason},
	{"GuestMessage", "s", MSGBUS_EMITS, get_guest_message},
	{"Persistent", "b", MSGBUS_EMITS, get_persistent},
	{"Autostart", "b", MSGBUS_EMITS, get_autostart},
	{"Memory", "t", MSGBUS_EMITS, get_memory},
	{"CPUs", "u", MSGBUS_EMITS, get_cpus},
	{"Disks", "a(sssb)", MSGBUS_EMITS, dbus_disk_get_all},
	{"DiskSettings", "a{sas}", MSGBUS_EMITS, dbus_disk_get_settings},
	{"Drives", "a(ssbb)", MSGBUS_EMITS, dbus_disk_get_drives},
	{"Interfaces", "a{sa{sv}}", MSGBUS_EMITS, dbus_nic_get_all},
	{"DiskErrors", "a{ss}", MSGBUS_EMITS, dbus_disk_get_errors},
	{"ConsolePty", "s", MSGBUS_EMITS, get_console_pty},
	{"ConsoleLog", "s", MSGBUS_EMITS, get_console_log},
	{"LogFile", "s", MSGBUS_EMITS, get_log_file},
	{"Resets", "t", MSGBUS_EMITS, get_resets},
	{"WorkerPID", "u", MSGBUS_EMITS, get_worker_pid},
	{"StoragePID", "u", MSGBUS_EMITS, get_storage_pid},
	{"Services", "a{sa{sv}}", MSGBUS_EMITS, get_services},
	{"Heartbeat", "s", MSGBUS_EMITS, get_heartbeat},
	{"IntegrationServices", "a{ss}", MSGBUS_EMITS, get_integration},
	{NULL},
};

const struct msgbus_interface dbus_vm_interface = {
	.name = BULKHEAD_VM_INTERFACE,
	.methods = methods,
	.properties = properties,
};

/* Changes are rare and the values small: all that may change goes out together. */
void dbus_vm_changed(struct vm_face *face)
{
	static const char *const names[] = {
		"State",      "StateReason", "GuestMessage", "Persistent",	    "Autostart",    "Memory",
		"CPUs",	      "Disks",	     "ConsolePty",   "ConsoleLog",	    "Resets",	    "WorkerPID",
		"StoragePID", "Services",    "Heartbeat",    "IntegrationServices", "DiskSettings", "Drives",
		"Interfaces", "DiskErrors",  NULL,
	};

	msgbus_object_changed(face->object, BULKHEAD_VM_INTERFACE, names);
}
