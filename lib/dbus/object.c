/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a call is looked up by path, interface and method; its signature is checked; where the row wants
 * the owner, the caller's uid is asked of the bus once and remembered until that connection ends. Only then the handler
 * runs. The standard interfaces are rows of the same kind whose handlers work on the tables.
 */
#include "dbus/object.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "dbus/internal.h"

#define SIGNATURE_MAX 256

/* A call of a peer's, until it is answered. */
struct msgbus_call {
	struct msgbus *bus;
	DBusMessage *msg, *reply;
	const struct msgbus_method *method;
	uid_t uid;
	struct msgbus_call *next;			   /* of those that are watched */
	void (*gone)(struct msgbus_call *call, void *arg); /* NULL: it is not */
	void *gone_arg;
};

/* A connection whose uid the bus has told us. */
struct caller {
	struct caller *next;
	uid_t uid;
	char name[];
};

static struct msgbus_object *object_at(struct msgbus *bus, const char *path)
{
	struct msgbus_object *object = bus->objects;

	while (object && strcmp(object->path, path))
		object = object->next;
	return object;
}

static const struct msgbus_interface *interface_of(const struct msgbus_object *object, const char *name)
{
	for (size_t i = 0; object && object->interfaces[i]; i++) {
		if (!strcmp(object->interfaces[i]->name, name))
			return object->interfaces[i];
	}
	return NULL;
}

static const struct msgbus_property *property_of(const struct msgbus_interface *interface, const char *name)
{
	for (const struct msgbus_property *p = interface ? interface->properties : NULL; p && p->name; p++) {
		if (!strcmp(p->name, name))
			return p;
	}
	return NULL;
}

static const struct msgbus_method *method_in(const struct msgbus_method *methods, const char *name)
{
	for (; methods && methods->name; methods++) {
		if (!strcmp(methods->name, name))
			return methods;
	}
	return NULL;
}

/* ---- writing properties ---- */

static void write_variant(const struct msgbus_object *object, const struct msgbus_property *p, struct msgbus_out *out)
{
	struct msgbus_out variant;

	msgbus_out_open(out, 'v', p->type, &variant);
	p->get(object->object, &variant);
	msgbus_out_close(&variant);
}

static void write_property(const struct msgbus_object *object, const struct msgbus_property *p, struct msgbus_out *dict)
{
	struct msgbus_out entry;

	msgbus_out_open(dict, 'e', NULL, &entry);
	msgbus_out_write(&entry, "s", p->name);
	write_variant(object, p, &entry);
	msgbus_out_close(&entry);
}

static void write_properties(const struct msgbus_object *object, const struct msgbus_interface *interface,
			     struct msgbus_out *out)
{
	struct msgbus_out dict;

	msgbus_out_open(out, 'a', "{sv}", &dict);
	for (const struct msgbus_property *p = interface ? interface->properties : NULL; p && p->name; p++)
		write_property(object, p, &dict);
	msgbus_out_close(&dict);
}

static void write_interfaces(const struct msgbus_object *object, struct msgbus_out *out)
{
	struct msgbus_out dict, entry;

	msgbus_out_open(out, 'a', "{sa{sv}}", &dict);
	for (size_t i = 0; object->interfaces[i]; i++) {
		msgbus_out_open(&dict, 'e', NULL, &entry);
		msgbus_out_write(&entry, "s", object->interfaces[i]->name);
		write_properties(object, object->interfaces[i], &entry);
		msgbus_out_close(&entry);
	}
	msgbus_out_close(&dict);
}

/* ---- answering ---- */

static struct msgbus_call *call_new(struct msgbus *bus, DBusMessage *msg)
{
	struct msgbus_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	msgbus_ref(bus);
	call->bus = bus;
	call->msg = dbus_message_ref(msg);
	call->uid = (uid_t)-1;
	return call;
}

void msgbus_call_watch(struct msgbus_call *call, void (*gone)(struct msgbus_call *call, void *arg), void *arg)
{
	const bool hears = dbus_message_get_sender(call->msg) && !dbus_message_get_no_reply(call->msg);
	struct msgbus_call **at = &call->bus->watched;

	while (call->gone && *at != call)
		at = &(*at)->next;
	if (call->gone)
		*at = call->next;
	call->gone = hears ? gone : NULL;
	call->gone_arg = arg;
	if (!call->gone)
		return;
	call->next = call->bus->watched;
	call->bus->watched = call;
}

static void call_free(struct msgbus_call *call)
{
	msgbus_call_watch(call, NULL, NULL);
	if (call->reply)
		dbus_message_unref(call->reply);
	dbus_message_unref(call->msg);
	msgbus_unref(call->bus);
	free(call);
}

static void fail_named(struct msgbus_call *call, const char *name, const char *text)
{
	DBusMessage *reply;

	if (!dbus_message_get_no_reply(call->msg)) {
		reply = dbus_message_new_error(call->msg, name, text);
		if (reply)
			msgbus_send(call->bus, reply);
	}
	call_free(call);
}

void msgbus_fail(struct msgbus_call *call, int code, const char *text)
{
	fail_named(call, msgbus_error_name(code), text && dbus_validate_utf8(text, NULL) ? text : strerror(-code));
}

void msgbus_call_in(struct msgbus_call *call, struct msgbus_in *ret_in)
{
	msgbus_in_init(ret_in, call->msg);
}

uid_t msgbus_call_uid(const struct msgbus_call *call)
{
	return call->uid;
}

void msgbus_reply_begin(struct msgbus_call *call, struct msgbus_out *ret_out)
{
	call->reply = dbus_message_new_method_return(call->msg);
	if (call->reply)
		msgbus_out_init(ret_out, call->reply);
	else
		*ret_out = (struct msgbus_out){.error = -ENOMEM};
}

void msgbus_reply_end(struct msgbus_call *call, struct msgbus_out *out)
{
	char want[SIGNATURE_MAX] = "";

	if (out->error) {
		msgbus_fail(call, out->error, "the answer could not be written");
		return;
	}
	/* A handler that breaks its own row is our bug. */
	assert(msgbus_signature(call->method->out, want, sizeof(want)) == 0 &&
	       dbus_message_has_signature(call->reply, want));
	if (!dbus_message_get_no_reply(call->msg))
		msgbus_send(call->bus, take_ptr(call->reply));
	call_free(call);
}

void msgbus_reply(struct msgbus_call *call, const char *types, ...)
{
	struct msgbus_out out;
	va_list ap;

	msgbus_reply_begin(call, &out);
	va_start(ap, types);
	msgbus_out_vwrite(&out, types, ap);
	va_end(ap);
	msgbus_reply_end(call, &out);
}

/* ---- the standard interfaces; their object is the struct msgbus_object, or NULL for a node without one ---- */

static void properties_get(struct msgbus_call *call, void *arg)
{
	struct msgbus_object *object = arg;
	const struct msgbus_property *p;
	const char *interface, *name;
	struct msgbus_in in;
	struct msgbus_out out;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "ss", &interface, &name);
	p = property_of(interface_of(object, interface), name);
	if (!p) {
		fail_named(call, DBUS_ERROR_UNKNOWN_PROPERTY, "no such property");
		return;
	}
	msgbus_reply_begin(call, &out);
	write_variant(object, p, &out);
	msgbus_reply_end(call, &out);
}

static void properties_get_all(struct msgbus_call *call, void *arg)
{
	struct msgbus_object *object = arg;
	const char *interface;
	struct msgbus_in in;
	struct msgbus_out out;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "s", &interface);
	if (!interface_of(object, interface) && strncmp(interface, "org.freedesktop.DBus.", 21)) {
		fail_named(call, DBUS_ERROR_UNKNOWN_INTERFACE, "no such interface");
		return;
	}
	msgbus_reply_begin(call, &out);
	write_properties(object, interface_of(object, interface), &out);
	msgbus_reply_end(call, &out);
}

static void properties_set(struct msgbus_call *call, void *arg)
{
	fail_named(call, DBUS_ERROR_PROPERTY_READ_ONLY, "properties are read-only");
}

static void introspect(struct msgbus_call *call, void *arg)
{
	_cleanup_free_ char *xml = msgbus_introspect(call->bus, dbus_message_get_path(call->msg));

	if (xml)
		msgbus_reply(call, "s", xml);
	else
		fail_named(call, DBUS_ERROR_UNKNOWN_OBJECT, "no such object");
}

static void get_managed_objects(struct msgbus_call *call, void *arg)
{
	struct msgbus *bus = call->bus;
	struct msgbus_out out, dict, entry;

	msgbus_reply_begin(call, &out);
	msgbus_out_open(&out, 'a', "{oa{sa{sv}}}", &dict);
	for (struct msgbus_object *o = bus->objects; o; o = o->next) {
		if (!msgbus_is_below(o->path, bus->manager_path))
			continue;
		msgbus_out_open(&dict, 'e', NULL, &entry);
		msgbus_out_write(&entry, "o", o->path);
		write_interfaces(o, &entry);
		msgbus_out_close(&entry);
	}
	msgbus_out_close(&dict);
	msgbus_reply_end(call, &out);
}

static const struct msgbus_method properties_methods[] = {
	{"Get", "s interface, s property", "v value", MSGBUS_ANYONE, properties_get},
	{"GetAll", "s interface", "a{sv} properties", MSGBUS_ANYONE, properties_get_all},
	{"Set", "s interface, s property, v value", "", MSGBUS_ANYONE, properties_set},
	{NULL},
};

static const struct msgbus_method introspectable_methods[] = {
	{"Introspect", "", "s xml", MSGBUS_ANYONE, introspect},
	{NULL},
};

static const struct msgbus_method manager_methods[] = {
	{"GetManagedObjects", "", "a{oa{sa{sv}}} objects", MSGBUS_ANYONE, get_managed_objects},
	{NULL},
};

/* ---- dispatch ---- */

struct target {
	const struct msgbus_method *method;
	void *arg;
	const char *error, *text; /* why there is none */
};

static const struct msgbus_method *find_standard(struct msgbus *bus, const struct msgbus_object *object,
						 const char *path, const char *interface, const char *member)
{
	const struct {
		const char *name;
		const struct msgbus_method *methods;
		bool there;
	} standard[] = {
		{DBUS_INTERFACE_PROPERTIES, properties_methods, object != NULL},
		{DBUS_INTERFACE_INTROSPECTABLE, introspectable_methods, true},
		{"org.freedesktop.DBus.ObjectManager", manager_methods, !strcmp(path, bus->manager_path)},
	};

	for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++) {
		const struct msgbus_method *m = NULL;

		if (standard[i].there && (!interface || !strcmp(interface, standard[i].name)))
			m = method_in(standard[i].methods, member);
		if (m)
			return m;
	}
	return NULL;
}

static struct target find_target(struct msgbus *bus, DBusMessage *msg)
{
	const char *path = dbus_message_get_path(msg), *member = dbus_message_get_member(msg);
	const char *name = dbus_message_get_interface(msg);
	struct msgbus_object *object = object_at(bus, path);
	const struct msgbus_method *m = find_standard(bus, object, path, name, member);

	if (m)
		return (struct target){m, object, NULL, NULL};
	if (!object)
		return (struct target){NULL, NULL, DBUS_ERROR_UNKNOWN_OBJECT, "no such object"};
	if (name && !interface_of(object, name))
		return (struct target){NULL, NULL, DBUS_ERROR_UNKNOWN_INTERFACE, "no such interface"};
	for (size_t i = 0; object->interfaces[i]; i++) {
		if (name && strcmp(name, object->interfaces[i]->name))
			continue;
		m = method_in(object->interfaces[i]->methods, member);
		if (m)
			return (struct target){m, object->object, NULL, NULL};
	}
	return (struct target){NULL, NULL, DBUS_ERROR_UNKNOWN_METHOD, "no such method"};
}

/* Look up again: between the question for the uid and its answer the object may have gone. */
static void call_run(struct msgbus_call *call)
{
	struct target target = find_target(call->bus, call->msg);
	char want[SIGNATURE_MAX] = "";

	if (!target.method) {
		fail_named(call, target.error, target.text);
		return;
	}
	call->method = target.method;
	if (msgbus_signature(target.method->in, want, sizeof(want)) < 0 ||
	    !dbus_message_has_signature(call->msg, want)) {
		fail_named(call, DBUS_ERROR_INVALID_ARGS, "the arguments are of other types");
		return;
	}
	target.method->handler(call, target.arg);
}

/* ---- the caller's uid ---- */

static struct caller *caller_find(struct msgbus *bus, const char *name)
{
	struct caller *caller = bus->callers;

	while (caller && strcmp(caller->name, name))
		caller = caller->next;
	return caller;
}

/* Each may answer itself, and others. */
static void tell_watched(struct msgbus *bus, const char *name)
{
	struct msgbus_call *call = bus->watched;

	while (call) {
		void (*gone)(struct msgbus_call * call, void *arg) = call->gone;
		void *arg = call->gone_arg;

		if (strcmp(dbus_message_get_sender(call->msg), name) != 0) {
			call = call->next;
			continue;
		}
		msgbus_call_watch(call, NULL, NULL);
		gone(call, arg);
		call = bus->watched;
	}
}

static void on_caller_gone(struct msgbus_msg *msg, void *arg)
{
	struct msgbus *bus = arg;
	const char *name, *old, *new;
	struct msgbus_in in;

	msgbus_msg_in(msg, &in);
	if (msgbus_in_read(&in, "sss", &name, &old, &new) < 0 || *new)
		return;
	tell_watched(bus, name);
	for (struct caller **at = &bus->callers; *at; at = &(*at)->next) {
		struct caller *caller = *at;

		if (strcmp(caller->name, name))
			continue;
		*at = caller->next;
		free(caller);
		return;
	}
}

static void caller_remember(struct msgbus *bus, const char *name, uid_t uid)
{
	struct caller *caller;

	if (!bus->callers_sub || caller_find(bus, name))
		return;
	caller = malloc(sizeof(*caller) + strlen(name) + 1);
	if (!caller)
		return;
	strcpy(caller->name, name);
	caller->uid = uid;
	caller->next = bus->callers;
	bus->callers = caller;
}

static bool read_uid(struct msgbus_msg *msg, uid_t *ret)
{
	struct msgbus_in in, dict, entry, value;

	msgbus_msg_in(msg, &in);
	msgbus_in_enter(&in, &dict);
	while (msgbus_in_type(&dict)) {
		const char *key;
		uint32_t uid;

		if (msgbus_in_enter(&dict, &entry) < 0 || msgbus_in_read(&entry, "s", &key) < 0)
			return false;
		if (strcmp(key, "UnixUserID"))
			continue;
		if (msgbus_in_enter(&entry, &value) < 0 || msgbus_in_read(&value, "u", &uid) < 0)
			return false;
		*ret = uid;
		return true;
	}
	return false;
}

static void call_run_as(struct msgbus_call *call, uid_t uid)
{
	if (uid != 0 && uid != geteuid()) {
		fail_named(call, DBUS_ERROR_ACCESS_DENIED, "only root and the user that vmmgmtd runs as may do this");
		return;
	}
	call->uid = uid;
	call_run(call);
}

static void on_credentials(int error, const char *text, struct msgbus_msg *msg, void *arg)
{
	struct msgbus_call *call = arg;
	uid_t uid;

	if (error || call->bus->released || !read_uid(msg, &uid)) {
		fail_named(call, DBUS_ERROR_ACCESS_DENIED, "the bus does not say who calls");
		return;
	}
	caller_remember(call->bus, dbus_message_get_sender(call->msg), uid);
	call_run_as(call, uid);
}

void msgbus_trust_callers(struct msgbus *bus)
{
	bus->trusting = true;
}

void msgbus_dispatch_call(struct msgbus *bus, DBusMessage *msg)
{
	const char *sender = dbus_message_get_sender(msg);
	struct target target = find_target(bus, msg);
	struct msgbus_call *call = call_new(bus, msg);
	struct caller *caller;

	if (!call)
		return;
	if (!target.method || target.method->permission == MSGBUS_ANYONE || bus->trusting) {
		call_run(call);
		return;
	}
	caller = sender ? caller_find(bus, sender) : NULL;
	if (caller) {
		call_run_as(call, caller->uid);
		return;
	}
	if (!sender || msgbus_call_async(bus, DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS,
					 "GetConnectionCredentials", 0, on_credentials, call, "s", sender) < 0)
		fail_named(call, DBUS_ERROR_ACCESS_DENIED, "the bus does not say who calls");
}

/* ---- objects ---- */

int msgbus_object_manager(struct msgbus *bus, const char *path)
{
	if (strlen(path) >= sizeof(bus->manager_path) || !dbus_validate_path(path, NULL))
		return -EINVAL;
	strcpy(bus->manager_path, path);
	return 0;
}

static void send_out(struct msgbus *bus, DBusMessage *msg, struct msgbus_out *out)
{
	if (out->error)
		dbus_message_unref(msg);
	else
		msgbus_send(bus, msg);
}

static void announce(struct msgbus_object *object, bool added)
{
	struct msgbus *bus = object->bus;
	struct msgbus_out out, list;
	DBusMessage *msg;

	if (bus->released || !*bus->manager_path || !msgbus_is_below(object->path, bus->manager_path))
		return;
	msg = dbus_message_new_signal(bus->manager_path, "org.freedesktop.DBus.ObjectManager",
				      added ? "InterfacesAdded" : "InterfacesRemoved");
	if (!msg)
		return;
	msgbus_out_init(&out, msg);
	msgbus_out_write(&out, "o", object->path);
	if (added) {
		write_interfaces(object, &out);
	} else {
		msgbus_out_open(&out, 'a', "s", &list);
		for (size_t i = 0; object->interfaces[i]; i++)
			msgbus_out_write(&list, "s", object->interfaces[i]->name);
		msgbus_out_close(&list);
	}
	send_out(bus, msg, &out);
}

int msgbus_object_add(struct msgbus *bus, const char *path, const struct msgbus_interface *const *interfaces, void *arg,
		      struct msgbus_object **ret_object)
{
	struct msgbus_object *object;

	if (!dbus_validate_path(path, NULL))
		return -EINVAL;
	if (object_at(bus, path))
		return -EEXIST;
	if (!bus->callers_sub)
		msgbus_subscribe(bus, DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "NameOwnerChanged",
				 on_caller_gone, bus, NULL, &bus->callers_sub);
	object = calloc(1, sizeof(*object));
	if (!object || !(object->path = strdup(path))) {
		free(object);
		return -ENOMEM;
	}
	object->bus = bus;
	object->interfaces = interfaces;
	object->object = arg;
	object->next = bus->objects;
	bus->objects = object;
	announce(object, true);
	*ret_object = object;
	return 0;
}

void msgbus_object_remove(struct msgbus_object **ref)
{
	struct msgbus_object *object = take_ptr(*ref), **at;

	if (!object)
		return;
	for (at = &object->bus->objects; *at != object; at = &(*at)->next)
		;
	*at = object->next;
	announce(object, false);
	free(object->path);
	free(object);
}

void msgbus_objects_free(struct msgbus *bus)
{
	while (bus->objects) {
		struct msgbus_object *object = bus->objects;

		msgbus_object_remove(&object);
	}
	while (bus->callers) {
		struct caller *caller = bus->callers;

		bus->callers = caller->next;
		free(caller);
	}
}

void msgbus_object_changed(struct msgbus_object *object, const char *name, const char *const *names)
{
	const struct msgbus_interface *interface = interface_of(object, name);
	struct msgbus_out out, dict;
	DBusMessage *msg;

	assert(interface);
	msg = dbus_message_new_signal(object->path, DBUS_INTERFACE_PROPERTIES, "PropertiesChanged");
	if (!msg)
		return;
	msgbus_out_init(&out, msg);
	msgbus_out_write(&out, "s", name);
	msgbus_out_open(&out, 'a', "{sv}", &dict);
	for (; *names; names++) {
		const struct msgbus_property *p = property_of(interface, *names);

		assert(p);
		write_property(object, p, &dict);
	}
	msgbus_out_close(&dict);
	msgbus_out_write(&out, "as", (const char *const *)NULL);
	send_out(object->bus, msg, &out);
}

void msgbus_object_emit(struct msgbus_object *object, const char *interface, const char *signal, const char *types, ...)
{
	struct msgbus_out out;
	DBusMessage *msg = dbus_message_new_signal(object->path, interface, signal);
	va_list ap;

	if (!msg)
		return;
	msgbus_out_init(&out, msg);
	va_start(ap, types);
	msgbus_out_vwrite(&out, types, ap);
	va_end(ap);
	send_out(object->bus, msg, &out);
}
