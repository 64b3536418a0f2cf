/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to others and their signals. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "dbus/internal.h"

#define DEADLINE_DEFAULT_MS 30000u
#define MATCH_MAX	    1024u

/* An asynchronous call, on its connection's list until its outcome. */
struct pending {
	struct msgbus *bus;
	struct pending *next;
	DBusPendingCall *call;
	msgbus_reply_fn fn;
	void *arg;
};

/* A subscription; @dead ones are freed when no dispatch walks the list any more. */
struct msgbus_sub {
	struct msgbus *bus;
	struct msgbus_sub *next;
	char *match, *sender, *path, *interface, *member;
	msgbus_signal_fn fn;
	void *arg;
};

void msgbus_msg_in(struct msgbus_msg *msg, struct msgbus_in *ret_in)
{
	msgbus_in_init(ret_in, msg->msg);
}

const char *msgbus_msg_path(const struct msgbus_msg *msg)
{
	return dbus_message_get_path(msg->msg);
}

const char *msgbus_msg_member(const struct msgbus_msg *msg)
{
	return dbus_message_get_member(msg->msg);
}

void msgbus_msg_free(struct msgbus_msg *msg)
{
	if (!msg || !msg->on_heap)
		return;
	dbus_message_unref(msg->msg);
	free(msg);
}

static int call_send(struct msgbus *bus, const char *dest, const char *path, const char *interface, const char *method,
		     unsigned int deadline_ms, const char *types, va_list ap, DBusPendingCall **ret_call)
{
	DBusMessage *msg;
	struct msgbus_out out;
	bool sent;

	if (bus->released || bus->lost)
		return -ECONNRESET;
	if (!dbus_validate_path(path, NULL))
		return -EINVAL;
	msg = dbus_message_new_method_call(dest, path, interface, method);
	if (!msg)
		return -ENOMEM;
	msgbus_out_init(&out, msg);
	msgbus_out_vwrite(&out, types, ap);
	*ret_call = NULL;
	sent = !out.error && dbus_connection_send_with_reply(bus->conn, msg, ret_call,
							     (int)(deadline_ms ? deadline_ms : DEADLINE_DEFAULT_MS));
	dbus_message_unref(msg);
	if (out.error)
		return out.error;
	if (!sent)
		return -ENOMEM;
	return *ret_call ? 0 : -ECONNRESET;
}

/* What an error reply says: its first argument, if that is text. */
static const char *reply_text(DBusMessage *reply)
{
	const char *text = "";

	if (!dbus_message_get_args(reply, NULL, DBUS_TYPE_STRING, &text, DBUS_TYPE_INVALID))
		return dbus_message_get_error_name(reply);
	return text;
}

int msgbus_vcall(struct msgbus *bus, const char *dest, const char *path, const char *interface, const char *method,
		 unsigned int deadline_ms, struct err *err, struct msgbus_msg **ret_msg, const char *types, va_list ap)
{
	DBusPendingCall *call = NULL;
	DBusMessage *reply;
	int r;

	r = call_send(bus, dest, path, interface, method, deadline_ms, types, ap, &call);
	if (r < 0)
		return err_set(err, r, "%s: %s", method, r == -ECONNRESET ? "the bus is gone" : strerror(-r));
	dbus_pending_call_block(call);
	reply = dbus_pending_call_steal_reply(call);
	dbus_pending_call_unref(call);
	if (!reply)
		return err_set(err, -ECONNRESET, "%s: the bus is gone", method);
	if (dbus_message_get_type(reply) == DBUS_MESSAGE_TYPE_ERROR) {
		r = err_set(err, msgbus_reply_code(reply), "%s", reply_text(reply));
		dbus_message_unref(reply);
		return r;
	}
	if (!ret_msg) {
		dbus_message_unref(reply);
		return 0;
	}
	*ret_msg = calloc(1, sizeof(**ret_msg));
	if (!*ret_msg) {
		dbus_message_unref(reply);
		return err_set(err, -ENOMEM, "%s: no memory", method);
	}
	**ret_msg = (struct msgbus_msg){.msg = reply, .on_heap = true};
	return 0;
}

int msgbus_call(struct msgbus *bus, const char *dest, const char *path, const char *interface, const char *method,
		unsigned int deadline_ms, struct err *err, struct msgbus_msg **ret_msg, const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = msgbus_vcall(bus, dest, path, interface, method, deadline_ms, err, ret_msg, types, ap);
	va_end(ap);
	return r;
}

static void pending_unlink(struct pending *p)
{
	struct pending **at = &p->bus->pending;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
}

static void pending_done(struct pending *p, DBusMessage *reply)
{
	struct msgbus *bus = p->bus;

	msgbus_ref(bus);
	pending_unlink(p);
	if (!reply) {
		p->fn(-ECONNRESET, "the bus is gone", NULL, p->arg);
	} else if (dbus_message_get_type(reply) == DBUS_MESSAGE_TYPE_ERROR) {
		p->fn(msgbus_reply_code(reply), reply_text(reply), NULL, p->arg);
	} else {
		struct msgbus_msg msg = {.msg = reply};

		p->fn(0, "", &msg, p->arg);
	}
	if (reply)
		dbus_message_unref(reply);
	dbus_pending_call_unref(p->call);
	free(p);
	msgbus_unref(bus);
}

static void on_pending(DBusPendingCall *call, void *arg)
{
	pending_done(arg, dbus_pending_call_steal_reply(call));
}

int msgbus_call_async(struct msgbus *bus, const char *dest, const char *path, const char *interface, const char *method,
		      unsigned int deadline_ms, msgbus_reply_fn fn, void *arg, const char *types, ...)
{
	struct pending *p = calloc(1, sizeof(*p));
	va_list ap;
	int r;

	if (!p)
		return -ENOMEM;
	va_start(ap, types);
	r = call_send(bus, dest, path, interface, method, deadline_ms, types, ap, &p->call);
	va_end(ap);
	if (r < 0) {
		free(p);
		return r;
	}
	p->bus = bus;
	p->fn = fn;
	p->arg = arg;
	p->next = bus->pending;
	bus->pending = p;
	if (!dbus_pending_call_set_notify(p->call, on_pending, p, NULL)) {
		pending_unlink(p);
		dbus_pending_call_cancel(p->call);
		dbus_pending_call_unref(p->call);
		free(p);
		return -ENOMEM;
	}
	return 0;
}

void msgbus_pending_fail(struct msgbus *bus)
{
	while (bus->pending) {
		dbus_pending_call_cancel(bus->pending->call);
		pending_done(bus->pending, NULL);
	}
}

int msgbus_get(struct msgbus *bus, const char *dest, const char *path, const char *interface, const char *property,
	       struct err *err, char type, void *ret)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in, value;
	char types[2] = {type};
	int r = msgbus_call(bus, dest, path, DBUS_PROPERTIES_INTERFACE, "Get", 0, err, &msg, "ss", interface, property);

	if (r < 0)
		return r;
	msgbus_msg_in(msg, &in);
	msgbus_in_enter(&in, &value);
	if (type == 's' || type == 'o' || type == 'g') {
		const char *s;

		r = msgbus_in_read(&value, types, &s);
		if (r == 0) {
			char *copy = strdup(s);

			r = copy ? 0 : -ENOMEM;
			if (copy)
				*(char **)ret = copy;
		}
	} else {
		r = msgbus_in_read(&value, types, ret);
	}
	msgbus_msg_free(msg);
	return r < 0 ? err_set(err, r, "property %s is of another type", property) : 0;
}

int msgbus_get_all(struct msgbus *bus, const char *dest, const char *path, const char *interface, struct err *err,
		   struct msgbus_msg **ret_msg, struct msgbus_in *ret_in)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	int r = msgbus_call(bus, dest, path, DBUS_PROPERTIES_INTERFACE, "GetAll", 0, err, &msg, "s", interface);

	if (r < 0)
		return r;
	msgbus_msg_in(msg, &in);
	r = msgbus_in_enter(&in, ret_in);
	if (r < 0) {
		msgbus_msg_free(msg);
		return err_set(err, r, "the answer to GetAll is malformed");
	}
	*ret_msg = msg;
	return 0;
}

/* ---- signals ---- */

static void sub_free(struct msgbus_sub *sub)
{
	free(sub->match);
	free(sub->sender);
	free(sub->path);
	free(sub->interface);
	free(sub->member);
	free(sub);
}

static bool copy_opt(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return !from || *to;
}

static struct msgbus_sub *sub_new(const char *sender, const char *path, const char *interface, const char *member)
{
	struct msgbus_sub *sub = calloc(1, sizeof(*sub));
	char match[MATCH_MAX];
	int n = 0;
	const struct {
		const char *key, *value;
	} parts[] = {{"sender", sender}, {"path", path}, {"interface", interface}, {"member", member}};

	if (!sub)
		return NULL;
	n = snprintf(match, sizeof(match), "type='signal'");
	for (size_t i = 0; i < 4 && n < (int)sizeof(match); i++) {
		if (parts[i].value)
			n += snprintf(match + n, sizeof(match) - (size_t)n, ",%s='%s'", parts[i].key, parts[i].value);
	}
	if (n >= (int)sizeof(match) || !copy_opt(&sub->match, match) || !copy_opt(&sub->sender, sender) ||
	    !copy_opt(&sub->path, path) || !copy_opt(&sub->interface, interface) || !copy_opt(&sub->member, member)) {
		sub_free(sub);
		return NULL;
	}
	return sub;
}

int msgbus_subscribe(struct msgbus *bus, const char *sender, const char *path, const char *interface,
		     const char *member, msgbus_signal_fn fn, void *arg, struct err *err, struct msgbus_sub **ret_sub)
{
	struct msgbus_sub *sub = sub_new(sender, path, interface, member);
	DBusError error = DBUS_ERROR_INIT;
	int r;

	if (!sub)
		return err_set(err, -ENOMEM, "D-Bus: no memory");
	sub->bus = bus;
	sub->fn = fn;
	sub->arg = arg;
	dbus_bus_add_match(bus->conn, sub->match, &error);
	if (dbus_error_is_set(&error)) {
		r = err_set(err, msgbus_error_code(error.name), "D-Bus: %s", error.message);
		dbus_error_free(&error);
		sub_free(sub);
		return r;
	}
	sub->next = bus->subs;
	bus->subs = sub;
	*ret_sub = sub;
	return 0;
}

void msgbus_unsubscribe(struct msgbus_sub **ref)
{
	struct msgbus_sub *sub = take_ptr(*ref), **at;

	if (!sub)
		return;
	for (at = &sub->bus->subs; *at != sub; at = &(*at)->next)
		;
	*at = sub->next;
	if (!sub->bus->released && !sub->bus->lost)
		dbus_bus_remove_match(sub->bus->conn, sub->match, NULL);
	sub_free(sub);
}

void msgbus_subs_free(struct msgbus *bus)
{
	while (bus->subs) {
		struct msgbus_sub *sub = bus->subs;

		bus->subs = sub->next;
		sub_free(sub);
	}
}

static bool matches(const char *want, const char *have)
{
	return !want || (have && !strcmp(want, have));
}

/* A well-known name as sender has been checked by the bus; messages carry the unique one. */
static bool sub_wants(const struct msgbus_sub *sub, DBusMessage *msg)
{
	if (sub->sender && (sub->sender[0] == ':' || !strcmp(sub->sender, DBUS_SERVICE_DBUS)) &&
	    !matches(sub->sender, dbus_message_get_sender(msg)))
		return false;
	return matches(sub->path, dbus_message_get_path(msg)) &&
	       matches(sub->interface, dbus_message_get_interface(msg)) &&
	       matches(sub->member, dbus_message_get_member(msg));
}

static bool sub_alive(const struct msgbus *bus, const struct msgbus_sub *wanted)
{
	const struct msgbus_sub *sub = bus->subs;

	while (sub && sub != wanted)
		sub = sub->next;
	return sub != NULL;
}

#define SIGNAL_SUBS_MAX 64

void msgbus_dispatch_signal(struct msgbus *bus, DBusMessage *message)
{
	struct msgbus_sub *todo[SIGNAL_SUBS_MAX];
	struct msgbus_msg msg = {.msg = message};
	size_t n = 0;

	/* Callbacks may add and remove subscriptions, and free the connection. */
	for (struct msgbus_sub *sub = bus->subs; sub && n < SIGNAL_SUBS_MAX; sub = sub->next) {
		if (sub_wants(sub, message))
			todo[n++] = sub;
	}
	msgbus_ref(bus);
	while (n && !bus->released) {
		n--;
		if (sub_alive(bus, todo[n]))
			todo[n]->fn(&msg, todo[n]->arg);
	}
	msgbus_unref(bus);
}

/* ---- who else is on the bus ---- */

struct client {
	struct client *next;
	char name[];
};

/* Adding what is there and removing what is not are harmless: the list and the signals may overlap. */
static void client_remove(struct msgbus *bus, const char *name)
{
	for (struct client **at = &bus->client_list; *at; at = &(*at)->next) {
		struct client *client = *at;

		if (strcmp(client->name, name))
			continue;
		*at = client->next;
		free(client);
		bus->client_count--;
		return;
	}
}

static void client_add(struct msgbus *bus, const char *name)
{
	struct client *client;

	if (name[0] != ':' || !strcmp(name, msgbus_unique_name(bus)))
		return;
	client_remove(bus, name);
	client = malloc(sizeof(*client) + strlen(name) + 1);
	if (!client)
		return;
	strcpy(client->name, name);
	client->next = bus->client_list;
	bus->client_list = client;
	bus->client_count++;
}

void msgbus_clients_free(struct msgbus *bus)
{
	while (bus->client_list) {
		struct client *client = bus->client_list;

		bus->client_list = client->next;
		free(client);
	}
	bus->client_count = 0;
}

static void on_owner_changed(struct msgbus_msg *msg, void *arg)
{
	struct msgbus *bus = arg;
	const char *name, *old, *new;
	struct msgbus_in in;

	msgbus_msg_in(msg, &in);
	if (msgbus_in_read(&in, "sss", &name, &old, &new) < 0 || name[0] != ':')
		return;
	if (*new)
		client_add(bus, name);
	else
		client_remove(bus, name);
	bus->clients(bus->client_count, bus->clients_arg);
}

int msgbus_watch_clients(struct msgbus *bus, void (*fn)(unsigned int clients, void *arg), void *arg, struct err *err)
{
	struct msgbus_msg *msg = NULL;
	char **names = NULL;
	struct msgbus_in in;
	int r;

	bus->clients = fn;
	bus->clients_arg = arg;
	r = msgbus_subscribe(bus, DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "NameOwnerChanged",
			     on_owner_changed, bus, err, &bus->client_sub);
	if (r < 0)
		return r;
	r = msgbus_call(bus, DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "ListNames", 0, err, &msg, "");
	if (r < 0)
		return r;
	msgbus_msg_in(msg, &in);
	r = msgbus_in_strv(&in, &names);
	msgbus_msg_free(msg);
	if (r < 0)
		return err_set(err, r, "D-Bus: ListNames: malformed answer");
	for (char **name = names; *name; name++)
		client_add(bus, *name);
	msgbus_strv_free(names);
	fn(bus->client_count, arg);
	return 0;
}
