/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects that we serve on a bus: tables of methods, properties and signals. Properties, Introspectable, Peer and
 * ObjectManager are made from the tables.
 *
 * A call is checked against its row (signature, permission of the caller's uid) before the handler runs.
 */
#ifndef DBUS_OBJECT_H
#define DBUS_OBJECT_H

#include "dbus/conn.h"

struct msgbus_call;
struct msgbus_object;

enum msgbus_permission {
	MSGBUS_ANYONE, /* whoever reaches the bus: reading only */
	MSGBUS_OWNER,  /* root and the user that we run as; whoever the bus lets through after msgbus_trust_callers() */
};

/* Rows. Arguments are written as "s xml, u flags": type and name of each. Tables end with a row whose name is NULL. */
struct msgbus_method {
	const char *name;
	const char *in, *out; /* "" for none */
	enum msgbus_permission permission;
	/* Exactly one msgbus_reply() or msgbus_fail() must follow, now or later. */
	void (*handler)(struct msgbus_call *call, void *object);
};

enum msgbus_emits {
	MSGBUS_EMITS, /* PropertiesChanged carries the new value */
	MSGBUS_CONST,
};

struct msgbus_property {
	const char *name;
	const char *type; /* signature */
	enum msgbus_emits emits;
	void (*get)(void *object, struct msgbus_out *out); /* writes exactly one value of that type */
};

struct msgbus_signal {
	const char *name;
	const char *args;
};

/* An interface: constant. NULL tables are empty. */
struct msgbus_interface {
	const char *name;
	const struct msgbus_method *methods;
	const struct msgbus_property *properties;
	const struct msgbus_signal *signals;
};

/** msgbus_signature - the signature of an argument list: "s xml, u flags" -> "su". Return: 0 or -EINVAL, -ENOSPC. */
int msgbus_signature(const char *args, char *ret, size_t size);

/** msgbus_interface_xml - the <interface> element of the introspection XML. Return: heap text, or NULL without memory.
 */
char *msgbus_interface_xml(const struct msgbus_interface *interface);

/**
 * msgbus_object_add - serve an object. With a manager (below) above it, InterfacesAdded is sent.
 * @path:       valid object path.
 * @interfaces: NULL-terminated, constant.
 * Return: 0; -EEXIST (path taken), -EINVAL, -ENOMEM.
 */
int msgbus_object_add(struct msgbus *bus, const char *path, const struct msgbus_interface *const *interfaces,
		      void *object, struct msgbus_object **ret_object);

/** msgbus_object_remove - stop serving it (InterfacesRemoved) and set the pointer to NULL. Calls in progress can still
 * be answered. */
void msgbus_object_remove(struct msgbus_object **object);

/** msgbus_object_manager - serve org.freedesktop.DBus.ObjectManager on @path for all objects below it. */
int msgbus_object_manager(struct msgbus *bus, const char *path);

/** msgbus_object_changed - send PropertiesChanged for @names (NULL-terminated array) of @interface. */
void msgbus_object_changed(struct msgbus_object *object, const char *interface, const char *const *names);

/** msgbus_object_emit - send a signal of @interface's table. @types, ...: as for msgbus_out_write(); they must fit the
 * row. */
void msgbus_object_emit(struct msgbus_object *object, const char *interface, const char *signal, const char *types,
			...);

/* ---- answering ---- */

/** msgbus_call_in - a cursor on the first argument; the signature has been checked. */
void msgbus_call_in(struct msgbus_call *call, struct msgbus_in *ret_in);

/** msgbus_call_uid - who calls; (uid_t)-1 for methods that anyone may call. */
uid_t msgbus_call_uid(const struct msgbus_call *call);

/**
 * msgbus_call_watch - be told if the caller leaves the bus before its answer, which nobody would hear then. Not of one
 * that has said that it waits for no answer: it may leave when it likes.
 * @gone: called from the loop, at most once; @call must be answered all the same, and may be in it. NULL: not any more.
 */
void msgbus_call_watch(struct msgbus_call *call, void (*gone)(struct msgbus_call *call, void *arg), void *arg);

/** msgbus_reply - answer; @call is gone afterwards. @types must be the row's out signature, of what msgbus_out_write()
 * takes. */
void msgbus_reply(struct msgbus_call *call, const char *types, ...);

/** msgbus_reply_begin, msgbus_reply_end - the same for replies with containers. @call is gone after _end. */
void msgbus_reply_begin(struct msgbus_call *call, struct msgbus_out *ret_out);
void msgbus_reply_end(struct msgbus_call *call, struct msgbus_out *out);

/** msgbus_fail - answer with the error that stands for @code, and one line for a person. @call is gone afterwards. */
void msgbus_fail(struct msgbus_call *call, int code, const char *text);

/** msgbus_error_name - "org.bulkhead.Error.NotFound" for -ENOENT ... */
const char *msgbus_error_name(int code);
/** msgbus_error_code - the negative errno that stands for a D-Bus error name; -EREMOTEIO for unknown ones. */
int msgbus_error_code(const char *name);

#endif
