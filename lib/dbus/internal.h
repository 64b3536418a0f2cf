/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of this folder only. */
#ifndef DBUS_INTERNAL_H
#define DBUS_INTERNAL_H

#include <dbus/dbus.h>

#include "dbus/conn.h"
#include "dbus/object.h"

#define ERROR_PREFIX "org.bulkhead.Error."

struct msgbus_msg {
	DBusMessage *msg;
	bool on_heap; /* msgbus_msg_free() frees it */
};

struct caller;
struct client;
struct pending;

/* A connection. Freed when the owner has let go of it and no dispatch is under way (refs). */
struct msgbus {
	struct loop *loop;
	DBusConnection *conn;
	struct loop_source *dispatch;
	unsigned int refs;
	bool released; /* msgbus_free() was called */
	bool trusting; /* msgbus_trust_callers() */
	bool lost;     /* the bus went away */
	void (*closed)(void *arg);
	void *closed_arg;
	void (*clients)(unsigned int clients, void *arg);
	void *clients_arg;
	struct client *client_list; /* who else is on the bus */
	unsigned int client_count;
	struct msgbus_sub *client_sub;
	struct msgbus_sub *subs;
	struct msgbus_object *objects;
	struct pending *pending;
	struct caller *callers;		/* whose uid is known */
	struct msgbus_sub *callers_sub; /* their end */
	struct msgbus_call *watched;	/* msgbus_call_watch() */
	char manager_path[128];		/* of the ObjectManager; "" if there is none */
};

void msgbus_in_init(struct msgbus_in *in, DBusMessage *msg);
void msgbus_out_init(struct msgbus_out *out, DBusMessage *msg);
/** msgbus_out_vwrite - msgbus_out_write(). */
void msgbus_out_vwrite(struct msgbus_out *out, const char *types, va_list ap);

void msgbus_ref(struct msgbus *bus);
void msgbus_unref(struct msgbus *bus);

/** msgbus_send - queue @msg and drop our reference to it. Return: 0 or -ENOMEM, -ECONNRESET. */
int msgbus_send(struct msgbus *bus, DBusMessage *msg);

/** msgbus_reply_code - what an error reply means. */
int msgbus_reply_code(DBusMessage *reply);

/** msgbus_dispatch_call - a method call for us. */
void msgbus_dispatch_call(struct msgbus *bus, DBusMessage *msg);
/** msgbus_dispatch_signal - to the subscriptions. */
void msgbus_dispatch_signal(struct msgbus *bus, DBusMessage *msg);

/** msgbus_subs_free, msgbus_pending_fail, msgbus_objects_free - what msgbus_free() ends. */
void msgbus_subs_free(struct msgbus *bus);
void msgbus_pending_fail(struct msgbus *bus);
void msgbus_objects_free(struct msgbus *bus);
void msgbus_clients_free(struct msgbus *bus);

/* object.c for introspect.c */
struct msgbus_object {
	struct msgbus *bus;
	struct msgbus_object *next;
	char *path;
	const struct msgbus_interface *const *interfaces;
	void *object;
};

/** msgbus_introspect - the XML of @path: its interfaces and the nodes below it; NULL without memory or if there is
 * nothing. */
char *msgbus_introspect(struct msgbus *bus, const char *path);

/** msgbus_is_below - whether @path lies below @top. */
bool msgbus_is_below(const char *path, const char *top);

#endif
