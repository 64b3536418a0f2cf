/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a D-Bus bus, dispatched by the event loop; calls to others and their signals (the client's side).
 *
 * This folder is the only one that includes libdbus. Everything runs on the loop's thread.
 */
#ifndef DBUS_CONN_H
#define DBUS_CONN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "dbus/value.h"
#include "ipc/loop.h"

/* The names of our API; data/org.bulkhead.*.xml describe it. */
#define BULKHEAD_BUS_NAME	   "org.bulkhead.Manager1"
#define BULKHEAD_ROOT_PATH	   "/org/bulkhead"
#define BULKHEAD_MANAGER_PATH	   "/org/bulkhead/Manager1"
#define BULKHEAD_MANAGER_INTERFACE "org.bulkhead.Manager1"
#define BULKHEAD_VM_INTERFACE	   "org.bulkhead.VM1"
#define BULKHEAD_VM_PATH_PREFIX	   "/org/bulkhead/vm/"
/* CreateVM, Start */
#define BULKHEAD_FLAG_PAUSED	   1u
/* Shutdown, Reboot */
#define BULKHEAD_FLAG_FORCE	   1u
/* GetXML */
#define BULKHEAD_FLAG_KEPT	   1u
/* What changes a VM's disks or NICs (AttachDisk, SetInterface ...): as they apply */
#define BULKHEAD_CHANGE_PERSISTENT 1u
#define BULKHEAD_CHANGE_CONFIG	   2u
#define BULKHEAD_CHANGE_FORCE	   4u
/* ResizeDisk */
#define BULKHEAD_DISK_SHRINK	   8u

#define DBUS_PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"

struct msgbus;

/** msgbus_calls - what a connection to a bus on a UNIX socket needs in the sandbox. */
extern const struct syscall_list msgbus_calls;

/**
 * msgbus_open - connect to a bus and register there.
 * @address: a D-Bus address ("unix:path=..."), or "system" or "session" for the well-known ones.
 * Return: 0; -ENOENT, -ECONNREFUSED (nobody there), -EACCES, -EIO with one line in @err.
 */
int msgbus_open(struct loop *loop, const char *address, struct err *err, struct msgbus **ret_bus);

/** msgbus_free - flush and close. Objects, subscriptions and calls of it are gone. NULL is allowed. */
void msgbus_free(struct msgbus *bus);

/** msgbus_on_closed - @fn is called once when the bus goes away; it may msgbus_free(). */
void msgbus_on_closed(struct msgbus *bus, void (*fn)(void *arg), void *arg);

/** msgbus_trust_callers - the bus itself lets nobody call us who may not (its policy): no uid is looked at any more. */
void msgbus_trust_callers(struct msgbus *bus);

/** msgbus_unique_name - ":1.5" */
const char *msgbus_unique_name(const struct msgbus *bus);

/** msgbus_request_name - own a well-known name. Return: 0; -EEXIST if another has it; ... */
int msgbus_request_name(struct msgbus *bus, const char *name, struct err *err);

/** msgbus_flush - wait until everything that was sent is with the bus. */
void msgbus_flush(struct msgbus *bus);

/**
 * msgbus_watch_clients - tell how many other connections the bus has, now and at each change (for a bus of our own).
 * Return: 0 or a negative errno.
 */
int msgbus_watch_clients(struct msgbus *bus, void (*fn)(unsigned int clients, void *arg), void *arg, struct err *err);

/* ---- calls ---- */

struct msgbus_msg;

/** msgbus_msg_in - a cursor on its first argument. */
void msgbus_msg_in(struct msgbus_msg *msg, struct msgbus_in *ret_in);
const char *msgbus_msg_path(const struct msgbus_msg *msg);
const char *msgbus_msg_member(const struct msgbus_msg *msg);
/** msgbus_msg_free - NULL is allowed. */
void msgbus_msg_free(struct msgbus_msg *msg);

/**
 * msgbus_call - call a method and wait for its outcome. The loop does not run meanwhile; signals that arrive are
 * dispatched later.
 * @deadline_ms: 0: 30 s. DefineVM is quick; CreateVM, Start and Destroy answer within 60 s.
 * @err:     the peer's own line on its errors.
 * @ret_msg: the reply; may be NULL.
 * @types, ...: arguments as for msgbus_out_write(); "" for none.
 * Return: 0; a negative errno that stands for the error's name (org.bulkhead.Error.NotFound: -ENOENT ...; unknown
 * names: -EREMOTEIO); -ETIMEDOUT; -ESRCH if nobody owns @dest; -ECONNRESET if the bus or the peer went away.
 */
int msgbus_call(struct msgbus *bus, const char *dest, const char *path, const char *interface, const char *method,
		unsigned int deadline_ms, struct err *err, struct msgbus_msg **ret_msg, const char *types, ...);
int msgbus_vcall(struct msgbus *bus, const char *dest, const char *path, const char *interface, const char *method,
		 unsigned int deadline_ms, struct err *err, struct msgbus_msg **ret_msg, const char *types, va_list ap);

/** msgbus_call_fn - the outcome of a call, exactly once. @error, @text as above; @msg is NULL on error, valid during
 * the call. */
typedef void (*msgbus_reply_fn)(int error, const char *text, struct msgbus_msg *msg, void *arg);

/** msgbus_call_async - the same without waiting; @fn is called from the loop (with -ECONNRESET in msgbus_free()). */
int msgbus_call_async(struct msgbus *bus, const char *dest, const char *path, const char *interface, const char *method,
		      unsigned int deadline_ms, msgbus_reply_fn fn, void *arg, const char *types, ...);

/** msgbus_get - read one property, of a basic type. @type, @ret: as for msgbus_in_read(), but strings are heap copies
 * (char **). */
int msgbus_get(struct msgbus *bus, const char *dest, const char *path, const char *interface, const char *property,
	       struct err *err, char type, void *ret);

/**
 * msgbus_get_all - read all properties of an interface. @ret_in: a cursor on the inside of the a{sv}: while
 * (msgbus_in_type(&in) == 'e') enter the entry, read its "s", enter its variant. It is valid as long as *@ret_msg.
 */
int msgbus_get_all(struct msgbus *bus, const char *dest, const char *path, const char *interface, struct err *err,
		   struct msgbus_msg **ret_msg, struct msgbus_in *ret_in);

/* ---- signals ---- */

struct msgbus_sub;

typedef void (*msgbus_signal_fn)(struct msgbus_msg *msg, void *arg);

/**
 * msgbus_subscribe - be told of signals; what the bus receives after the return is not missed.
 * @sender, @path, @interface, @member: NULL for any.
 * @fn: called from the loop; it may unsubscribe.
 */
int msgbus_subscribe(struct msgbus *bus, const char *sender, const char *path, const char *interface,
		     const char *member, msgbus_signal_fn fn, void *arg, struct err *err, struct msgbus_sub **ret_sub);

/** msgbus_unsubscribe - and set the pointer to NULL. *@sub may be NULL. */
void msgbus_unsubscribe(struct msgbus_sub **sub);

#endif
