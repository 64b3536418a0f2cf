/* SPDX-License-Identifier: Apache-2.0 */
/* org.bulkhead.Manager1: rows, a few lines for each, and the faces of the VMs that come and go. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "dbus_faces.h"

struct faces {
	struct msgbus *bus;
	struct manager *manager;
	struct msgbus_object *object;
	struct vm_face *vms;
};

/* ---- methods ---- */

static void read_xml(struct msgbus_call *call, const char **ret_xml, uint32_t *ret_flags)
{
	struct msgbus_in in;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "su", ret_xml, ret_flags);
}

static void reply_vm(struct msgbus_call *call, const struct vm *vm)
{
	char path[DBUS_VM_PATH_MAX];

	dbus_vm_path(vm, path);
	msgbus_reply(call, "o", path);
}

static void manager1_define(struct msgbus_call *call, void *arg)
{
	struct faces *faces = arg;
	struct domain_report report = {0};
	char path[DBUS_VM_PATH_MAX];
	struct err err = {0};
	struct vm *vm = NULL;
	uint32_t flags;
	const char *xml;
	int r;

	read_xml(call, &xml, &flags);
	if (flags)
		r = err_set(&err, -EINVAL, "flags: a flag is set that this version does not know");
	else
		r = manager_define(faces->manager, xml, &report, &err, &vm);
	if (r < 0) {
		msgbus_fail(call, r, err.text);
	} else {
		dbus_vm_path(vm, path);
		msgbus_reply(call, "oas", path, report.kept);
	}
	domain_report_done(&report);
}

/* A CreateVM under way. */
struct creation {
	struct msgbus_call *call;
	struct domain_report report;
	char path[DBUS_VM_PATH_MAX];
	bool over; /* its end came before manager_create() returned */
	int error;
	char text[ERR_TEXT_MAX];
};

static void creation_answer(struct creation *c)
{
	if (c->error)
		msgbus_fail(c->call, c->error, c->text);
	else
		msgbus_reply(c->call, "oas", c->path, c->report.kept);
	domain_report_done(&c->report);
	free(c);
}

static void on_created(int error, const char *text, void *arg)
{
	struct creation *c = arg;

	c->error = error;
	snprintf(c->text, sizeof(c->text), "%s", text);
	if (*c->path)
		creation_answer(c);
	else
		c->over = true;
}

static void manager1_create(struct msgbus_call *call, void *arg)
{
	struct faces *faces = arg;
	struct creation *c = calloc(1, sizeof(*c));
	struct err err = {0};
	struct vm *vm = NULL;
	uint32_t flags;
	const char *xml;
	int r;

	if (!c) {
		msgbus_fail(call, -ENOMEM, "no memory");
		return;
	}
	c->call = call;
	read_xml(call, &xml, &flags);
	if (flags & ~BULKHEAD_FLAG_PAUSED)
		r = err_set(&err, -EINVAL, "flags: a flag is set that this version does not know");
	else
		r = manager_create(faces->manager, xml, flags & BULKHEAD_FLAG_PAUSED, &c->report, on_created, c, &err,
				   &vm);
	if (r == 0) {
		dbus_vm_path(vm, c->path);
		if (!c->over)
			return;
	} else {
		on_created(r, err.text, c);
	}
	creation_answer(c);
}

static void manager1_check(struct msgbus_call *call, void *arg)
{
	struct domain_report report = {0};
	struct domain domain = {0};
	struct err err = {0};
	struct msgbus_in in;
	const char *xml;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "s", &xml);
	if (domain_parse(xml, strlen(xml), &domain, &report, &err) < 0 && !report.refused)
		msgbus_fail(call, err.code, err.text);
	else
		msgbus_reply(call, "asasas", report.implemented, report.kept, report.refused);
	domain_done(&domain);
	domain_report_done(&report);
}

static void manager1_list(struct msgbus_call *call, void *arg)
{
	struct faces *faces = arg;
	struct msgbus_out out, list, item;
	char path[DBUS_VM_PATH_MAX];

	msgbus_reply_begin(call, &out);
	msgbus_out_open(&out, 'a', "(ssso)", &list);
	for (struct vm *vm = manager_next(faces->manager, NULL); vm; vm = manager_next(faces->manager, vm)) {
		struct vm_info info;

		vm_info(vm, &info);
		dbus_vm_path(vm, path);
		msgbus_out_open(&list, 'r', NULL, &item);
		msgbus_out_write(&item, "ssso", vm_domain(vm)->name, vm_domain(vm)->uuid, vm_state_name(info.state),
				 path);
		msgbus_out_close(&item);
	}
	msgbus_out_close(&list);
	msgbus_reply_end(call, &out);
}

static void lookup(struct msgbus_call *call, struct faces *faces,
		   struct vm *(*find)(const struct manager *manager, const char *key))
{
	struct err err = {0};
	struct msgbus_in in;
	const char *key;
	struct vm *vm;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "s", &key);
	vm = find(faces->manager, key);
	if (vm) {
		reply_vm(call, vm);
		return;
	}
	err_set(&err, -ENOENT, "VM %s: there is none: vmctl list shows all", key);
	msgbus_fail(call, err.code, err.text);
}

static void manager1_lookup_name(struct msgbus_call *call, void *arg)
{
	lookup(call, arg, manager_find_name);
}

static void manager1_lookup_uuid(struct msgbus_call *call, void *arg)
{
	lookup(call, arg, manager_find_uuid);
}

static const struct msgbus_method methods[] = {
	{"DefineVM", "s xml, u flags", "o vm, as warnings", MSGBUS_OWNER, manager1_define},
	{"CreateVM", "s xml, u flags", "o vm, as warnings", MSGBUS_OWNER, manager1_create},
	{"CheckXML", "s xml", "as implemented, as kept, as refused", MSGBUS_ANYONE, manager1_check},
	{"ListVMs", "", "a(ssso) vms", MSGBUS_ANYONE, manager1_list},
	{"LookupByName", "s name", "o vm", MSGBUS_ANYONE, manager1_lookup_name},
	{"LookupByUUID", "s uuid", "o vm", MSGBUS_ANYONE, manager1_lookup_uuid},
	{NULL},
};

static const struct msgbus_signal signals[] = {
	{"VMAdded", "o vm, s name"},
	{"VMRemoved", "o vm, s name, s state, s reason"},
	{NULL},
};

/* ---- properties ---- */

static void get_version(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", PACKAGE_VERSION);
}

static void get_mode(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", manager_config(((struct faces *)object)->manager)->mode);
}

static void get_runtime_directory(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", manager_config(((struct faces *)object)->manager)->base);
}

static void get_quarantined(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "as", manager_quarantined(((struct faces *)object)->manager));
}

static const struct msgbus_property properties[] = {
	{"Version", "s", MSGBUS_CONST, get_version},
	{"Mode", "s", MSGBUS_CONST, get_mode},
	{"RuntimeDirectory", "s", MSGBUS_CONST, get_runtime_directory},
	{"Quarantined", "as", MSGBUS_CONST, get_quarantined},
	{NULL},
};

const struct msgbus_interface dbus_manager_interface = {
	.name = BULKHEAD_MANAGER_INTERFACE,
	.methods = methods,
	.properties = properties,
	.signals = signals,
};

/* ---- faces ---- */

static const struct msgbus_interface *const manager_interfaces[] = {&dbus_manager_interface, NULL};
static const struct msgbus_interface *const vm_interfaces[] = {&dbus_vm_interface, NULL};

static void on_vm_added(struct vm *vm, void *arg)
{
	struct faces *faces = arg;
	struct vm_face *face = calloc(1, sizeof(*face));
	char path[DBUS_VM_PATH_MAX];

	if (!face) {
		log_error(vm_domain(vm)->name, "no memory for its D-Bus object");
		return;
	}
	face->manager = faces->manager;
	face->vm = vm;
	dbus_vm_path(vm, path);
	vm_set_user(vm, face);
	if (msgbus_object_add(faces->bus, path, vm_interfaces, face, &face->object) < 0) {
		log_error(vm_domain(vm)->name, "no memory for its D-Bus object");
		vm_set_user(vm, NULL);
		free(face);
		return;
	}
	face->next = faces->vms;
	faces->vms = face;
	msgbus_object_emit(faces->object, BULKHEAD_MANAGER_INTERFACE, "VMAdded", "os", path, vm_domain(vm)->name);
}

static void on_vm_removed(struct vm *vm, void *arg)
{
	struct faces *faces = arg;
	struct vm_face *face = vm_user(vm), **at = &faces->vms;
	char path[DBUS_VM_PATH_MAX];
	struct vm_info info;

	if (!face)
		return;
	while (*at != face)
		at = &(*at)->next;
	*at = face->next;
	msgbus_object_remove(&face->object);
	free(face);
	vm_set_user(vm, NULL);
	vm_info(vm, &info);
	dbus_vm_path(vm, path);
	msgbus_object_emit(faces->object, BULKHEAD_MANAGER_INTERFACE, "VMRemoved", "osss", path, vm_domain(vm)->name,
			   vm_state_name(info.state), info.reason);
}

static void on_vm_changed(struct vm *vm, void *arg)
{
	if (vm_user(vm))
		dbus_vm_changed(vm_user(vm));
}

static const struct manager_events manager_events = {on_vm_added, on_vm_removed, on_vm_changed};

int faces_new(struct msgbus *bus, struct manager *manager, struct err *err, struct faces **ret_faces)
{
	struct faces *faces = calloc(1, sizeof(*faces));
	int r = faces ? msgbus_object_manager(bus, BULKHEAD_ROOT_PATH) : -ENOMEM;

	if (r == 0) {
		faces->bus = bus;
		faces->manager = manager;
		r = msgbus_object_add(bus, BULKHEAD_MANAGER_PATH, manager_interfaces, faces, &faces->object);
	}
	if (r < 0) {
		free(faces);
		return err_set(err, r, "D-Bus: the objects cannot be made: %s", strerror(-r));
	}
	for (struct vm *vm = manager_next(manager, NULL); vm; vm = manager_next(manager, vm))
		on_vm_added(vm, faces);
	manager_set_events(manager, &manager_events, faces);
	*ret_faces = faces;
	return 0;
}

void faces_free(struct faces *faces)
{
	if (!faces)
		return;
	manager_set_events(faces->manager, NULL, NULL);
	while (faces->vms) {
		struct vm_face *face = faces->vms;

		faces->vms = face->next;
		msgbus_object_remove(&face->object);
		vm_set_user(face->vm, NULL);
		free(face);
	}
	msgbus_object_remove(&faces->object);
	free(faces);
}
