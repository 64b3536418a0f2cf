/* SPDX-License-Identifier: Apache-2.0 */
/* org.bulkhead.VM1: what methods that change its disks or NICs have in common. */
#include <errno.h>
#include <stdlib.h>

#include "dbus_faces.h"

void dbus_change_reply_name(int error, const char *text, const char *name, void *arg)
{
	if (error)
		msgbus_fail(arg, error, text);
	else
		msgbus_reply(arg, "s", name);
}

void dbus_change_reply(int error, const char *text, const char *name, void *arg)
{
	(void)name;
	if (error)
		msgbus_fail(arg, error, text);
	else
		msgbus_reply(arg, "");
}

/* ---- calls that wait ---- */

/* A call that comes again. */
struct later {
	struct vm *vm;
	struct msgbus_call *call;
	dbus_method_fn handler;
};

static void on_later(int error, const char *text, void *arg)
{
	struct later later = *(struct later *)arg;

	free(arg);
	msgbus_call_watch(later.call, NULL, NULL);
	if (!error && vm_user(later.vm))
		later.handler(later.call, vm_user(later.vm));
	else
		msgbus_fail(later.call, error ? error : -ECANCELED, error ? text : "vmmgmtd is ending");
}

/* Whoever has interrupted a command does not expect that it is done seconds later. */
static void on_caller_gone(struct msgbus_call *call, void *arg)
{
	vm_change_wait_no_more(((struct later *)arg)->vm, arg);
}

static bool waits(const struct vm_face *face, struct msgbus_call *call, uint32_t flags, dbus_method_fn handler)
{
	struct later *later = malloc(sizeof(*later));

	if (!later)
		return false;
	*later = (struct later){face->vm, call, handler};
	if (vm_change_wait(face->vm, flags, on_later, later)) {
		msgbus_call_watch(call, on_caller_gone, later);
		return true;
	}
	free(later);
	return false;
}

bool dbus_change_begins(const struct vm_face *face, struct msgbus_call *call, uint32_t flags, uint32_t allowed,
			dbus_method_fn handler)
{
	return dbus_vm_check_flags(call, flags, allowed) && !waits(face, call, flags, handler);
}

/* ---- methods that disks and NICs have ---- */

void dbus_change_attach(struct msgbus_call *call, struct vm_face *face, dbus_method_fn handler,
			void (*attach)(struct vm *vm, const char *xml, unsigned int flags, vm_change_fn done,
				       void *arg))
{
	const char *xml = "";
	struct msgbus_in in;
	uint32_t flags = 0;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "su", &xml, &flags);
	if (dbus_change_begins(face, call, flags, BULKHEAD_CHANGE_PERSISTENT | BULKHEAD_CHANGE_CONFIG, handler))
		attach(face->vm, xml, flags, dbus_change_reply_name, call);
}

void dbus_change_detach(struct msgbus_call *call, struct vm_face *face, dbus_method_fn handler,
			void (*detach)(struct vm *vm, const char *name, unsigned int flags, uint32_t timeout_s,
				       vm_change_fn done, void *arg))
{
	const uint32_t allowed = BULKHEAD_CHANGE_PERSISTENT | BULKHEAD_CHANGE_CONFIG | BULKHEAD_CHANGE_FORCE;
	uint32_t flags = 0, timeout_s = 0;
	const char *name = "";
	struct msgbus_in in;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "suu", &name, &flags, &timeout_s);
	if (dbus_change_begins(face, call, flags, allowed, handler))
		detach(face->vm, name, flags, timeout_s, dbus_change_reply, call);
}

void dbus_change_set(struct msgbus_call *call, struct vm_face *face, dbus_method_fn handler,
		     void (*set)(struct vm *vm, const char *name, const char *const *settings, unsigned int flags,
				 vm_change_fn done, void *arg))
{
	const char *name = "";
	char **settings = NULL;
	struct msgbus_in in;
	uint32_t flags = 0;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "s", &name);
	if (msgbus_in_strv(&in, &settings) < 0 || msgbus_in_read(&in, "u", &flags) < 0)
		msgbus_fail(call, -EINVAL, "settings: they cannot be read");
	else if (dbus_change_begins(face, call, flags, BULKHEAD_CHANGE_PERSISTENT | BULKHEAD_CHANGE_CONFIG, handler))
		set(face->vm, name, (const char *const *)settings, flags, dbus_change_reply, call);
	msgbus_strv_free(settings);
}
