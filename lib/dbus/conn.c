/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: libdbus tells us its descriptors (watches) and timeouts, each of which becomes a loop source;
 * whenever messages are waiting, a wake source runs dbus_connection_dispatch(). Every message comes through one filter:
 * calls go to object.c, signals to the subscriptions, the loss of the bus to the owner. Callbacks may free the
 * connection: the object itself lives on until the dispatch that runs has returned.
 */
#include "dbus/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "dbus/internal.h"

static const struct syscall_rule rules[] = {
	{SYS_socket, 0, UINT32_MAX, AF_UNIX},
	{SYS_connect},
	{SYS_getsockname},
	{SYS_getresuid}, /* whether we are setuid */
	{SYS_getresgid},
	{SYS_openat}, /* the machine's id, if somebody asks for it */
	{-1},
};

const struct syscall_list msgbus_calls = {.name = "D-Bus", .rules = rules};

struct watch {
	DBusWatch *watch;
	struct loop_source *source;
};

static void on_watch(int fd, unsigned int events, void *arg)
{
	struct watch *w = arg;
	unsigned int flags = 0;

	if (events & LOOP_READ)
		flags |= DBUS_WATCH_READABLE;
	if (events & LOOP_WRITE)
		flags |= DBUS_WATCH_WRITABLE;
	dbus_watch_handle(w->watch, flags & (dbus_watch_get_flags(w->watch) | DBUS_WATCH_HANGUP | DBUS_WATCH_ERROR));
}

static unsigned int watch_events(DBusWatch *watch)
{
	unsigned int flags = dbus_watch_get_enabled(watch) ? dbus_watch_get_flags(watch) : 0;

	return (flags & DBUS_WATCH_READABLE ? LOOP_READ : 0) | (flags & DBUS_WATCH_WRITABLE ? LOOP_WRITE : 0);
}

static dbus_bool_t watch_add(DBusWatch *watch, void *arg)
{
	struct msgbus *bus = arg;
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return FALSE;
	w->watch = watch;
	if (loop_add_fd(bus->loop, dbus_watch_get_unix_fd(watch), watch_events(watch), on_watch, w, &w->source) < 0) {
		free(w);
		return FALSE;
	}
	dbus_watch_set_data(watch, w, NULL);
	return TRUE;
}

static void watch_remove(DBusWatch *watch, void *arg)
{
	struct watch *w = dbus_watch_get_data(watch);

	if (!w)
		return;
	dbus_watch_set_data(watch, NULL, NULL);
	loop_remove(&w->source);
	free(w);
}

static void watch_toggle(DBusWatch *watch, void *arg)
{
	struct watch *w = dbus_watch_get_data(watch);

	if (w)
		loop_set_events(w->source, watch_events(watch));
}

struct timeout {
	DBusTimeout *timeout;
	struct loop_source *source;
};

static void timeout_arm(struct timeout *t)
{
	if (dbus_timeout_get_enabled(t->timeout))
		loop_arm(t->source, (uint64_t)dbus_timeout_get_interval(t->timeout) * NS_PER_MS);
	else
		loop_disarm(t->source);
}

static void on_timeout(void *arg)
{
	struct timeout *t = arg;

	/* libdbus's timeouts repeat until they are removed, which handling them may do. */
	timeout_arm(t);
	dbus_timeout_handle(t->timeout);
}

static dbus_bool_t timeout_add(DBusTimeout *timeout, void *arg)
{
	struct msgbus *bus = arg;
	struct timeout *t = calloc(1, sizeof(*t));

	if (!t)
		return FALSE;
	t->timeout = timeout;
	if (loop_add_timer(bus->loop, on_timeout, t, &t->source) < 0) {
		free(t);
		return FALSE;
	}
	dbus_timeout_set_data(timeout, t, NULL);
	timeout_arm(t);
	return TRUE;
}

static void timeout_remove(DBusTimeout *timeout, void *arg)
{
	struct timeout *t = dbus_timeout_get_data(timeout);

	if (!t)
		return;
	dbus_timeout_set_data(timeout, NULL, NULL);
	loop_remove(&t->source);
	free(t);
}

static void timeout_toggle(DBusTimeout *timeout, void *arg)
{
	struct timeout *t = dbus_timeout_get_data(timeout);

	if (t)
		timeout_arm(t);
}

static void on_dispatch_status(DBusConnection *conn, DBusDispatchStatus status, void *arg)
{
	struct msgbus *bus = arg;

	if (status != DBUS_DISPATCH_COMPLETE && bus->dispatch)
		loop_wake(bus->dispatch);
}

static void on_dispatch(void *arg)
{
	struct msgbus *bus = arg;

	msgbus_ref(bus);
	while (!bus->released && dbus_connection_dispatch(bus->conn) == DBUS_DISPATCH_DATA_REMAINS)
		;
	/* Without memory a message stays queued: try again in the next round. */
	if (!bus->released && dbus_connection_get_dispatch_status(bus->conn) != DBUS_DISPATCH_COMPLETE)
		loop_wake(bus->dispatch);
	msgbus_unref(bus);
}

static DBusHandlerResult on_message(DBusConnection *conn, DBusMessage *msg, void *arg)
{
	struct msgbus *bus = arg;

	if (bus->released)
		return DBUS_HANDLER_RESULT_HANDLED;
	if (dbus_message_is_signal(msg, DBUS_INTERFACE_LOCAL, "Disconnected")) {
		bus->lost = true;
		if (bus->closed)
			bus->closed(bus->closed_arg);
		return DBUS_HANDLER_RESULT_HANDLED;
	}
	switch (dbus_message_get_type(msg)) {
	case DBUS_MESSAGE_TYPE_METHOD_CALL:
		msgbus_dispatch_call(bus, msg);
		return DBUS_HANDLER_RESULT_HANDLED;
	case DBUS_MESSAGE_TYPE_SIGNAL:
		msgbus_dispatch_signal(bus, msg);
		return DBUS_HANDLER_RESULT_HANDLED;
	default:
		return DBUS_HANDLER_RESULT_NOT_YET_HANDLED;
	}
}

static DBusConnection *connect_to(const char *address, DBusError *error)
{
	DBusConnection *conn;

	if (!strcmp(address, "system"))
		return dbus_bus_get_private(DBUS_BUS_SYSTEM, error);
	if (!strcmp(address, "session"))
		return dbus_bus_get_private(DBUS_BUS_SESSION, error);
	conn = dbus_connection_open_private(address, error);
	if (conn && !dbus_bus_register(conn, error)) {
		dbus_connection_close(conn);
		dbus_connection_unref(conn);
		return NULL;
	}
	return conn;
}

static bool glue(struct msgbus *bus)
{
	dbus_connection_set_exit_on_disconnect(bus->conn, FALSE);
	dbus_connection_set_dispatch_status_function(bus->conn, on_dispatch_status, bus, NULL);
	return dbus_connection_set_watch_functions(bus->conn, watch_add, watch_remove, watch_toggle, bus, NULL) &&
	       dbus_connection_set_timeout_functions(bus->conn, timeout_add, timeout_remove, timeout_toggle, bus,
						     NULL) &&
	       dbus_connection_add_filter(bus->conn, on_message, bus, NULL);
}

int msgbus_open(struct loop *loop, const char *address, struct err *err, struct msgbus **ret_bus)
{
	struct msgbus *bus = calloc(1, sizeof(*bus));
	DBusError error = DBUS_ERROR_INIT;
	int r;

	if (!bus)
		return err_set(err, -ENOMEM, "D-Bus: no memory");
	bus->loop = loop;
	bus->refs = 1;
	dbus_connection_set_change_sigpipe(FALSE);
	bus->conn = connect_to(address, &error);
	if (!bus->conn) {
		r = msgbus_error_code(error.name);
		err_set(err, r, "D-Bus at %s: %s", address, error.message);
		dbus_error_free(&error);
		free(bus);
		return r;
	}
	r = loop_add_wake(loop, on_dispatch, bus, &bus->dispatch);
	if (r < 0 || !glue(bus)) {
		msgbus_free(bus);
		return err_set(err, -ENOMEM, "D-Bus at %s: no memory", address);
	}
	loop_wake(bus->dispatch);
	*ret_bus = bus;
	return 0;
}

void msgbus_ref(struct msgbus *bus)
{
	bus->refs++;
}

void msgbus_unref(struct msgbus *bus)
{
	if (--bus->refs)
		return;
	dbus_connection_unref(bus->conn);
	free(bus);
}

void msgbus_free(struct msgbus *bus)
{
	if (!bus || bus->released)
		return;
	if (!bus->lost)
		dbus_connection_flush(bus->conn);
	bus->released = true;
	msgbus_pending_fail(bus);
	msgbus_subs_free(bus);
	msgbus_objects_free(bus);
	msgbus_clients_free(bus);
	dbus_connection_close(bus->conn);
	dbus_connection_remove_filter(bus->conn, on_message, bus);
	dbus_connection_set_watch_functions(bus->conn, NULL, NULL, NULL, NULL, NULL);
	dbus_connection_set_timeout_functions(bus->conn, NULL, NULL, NULL, NULL, NULL);
	dbus_connection_set_dispatch_status_function(bus->conn, NULL, NULL, NULL);
	loop_remove(&bus->dispatch);
	msgbus_unref(bus);
}

void msgbus_on_closed(struct msgbus *bus, void (*fn)(void *arg), void *arg)
{
	bus->closed = fn;
	bus->closed_arg = arg;
}

const char *msgbus_unique_name(const struct msgbus *bus)
{
	return dbus_bus_get_unique_name(bus->conn);
}

int msgbus_request_name(struct msgbus *bus, const char *name, struct err *err)
{
	DBusError error = DBUS_ERROR_INIT;
	int r = dbus_bus_request_name(bus->conn, name, DBUS_NAME_FLAG_DO_NOT_QUEUE, &error);

	if (dbus_error_is_set(&error)) {
		r = err_set(err, msgbus_error_code(error.name), "D-Bus name %s: %s", name, error.message);
		dbus_error_free(&error);
		return r;
	}
	if (r == DBUS_REQUEST_NAME_REPLY_EXISTS)
		return err_set(err, -EEXIST, "D-Bus name %s: another process has it", name);
	return 0;
}

void msgbus_flush(struct msgbus *bus)
{
	if (!bus->lost)
		dbus_connection_flush(bus->conn);
}

int msgbus_send(struct msgbus *bus, DBusMessage *msg)
{
	int r = 0;

	if (bus->released || bus->lost)
		r = -ECONNRESET;
	else if (!dbus_connection_send(bus->conn, msg, NULL))
		r = -ENOMEM;
	dbus_message_unref(msg);
	return r;
}
