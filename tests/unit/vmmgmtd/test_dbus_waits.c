/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that wait for a change which vmmgmtd makes by itself, over a real bus: they come again, or their caller leaves.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "dbus_faces.h"
#include "domain_with.h"
#include "fixture.h"
#include "runtime.h"
#include "scratch.h"
#include "vm_change.h"

#define NAME "org.bulkhead.Test1"
#define PATH "/org/bulkhead/vm/test"

static void on_changed(struct vm *vm, void *arg)
{
}

static const struct launcher_ops ops; /* nothing is started */
static const struct vm_events events = {.changed = on_changed, .ended = on_changed};
static const struct msgbus_interface *const interfaces[] = {&dbus_vm_interface, NULL};

static struct {
	char base[64];
	struct test_bus daemon;
	struct loop *loop;
	struct msgbus *bus, *client;
	struct launcher launcher;
	struct vm_env env;
	struct vm_change change; /* of vmmgmtd's own */
	struct vm_face face;
} fx;

static void setup(void)
{
	struct domain domain;
	struct err err = {0};

	scratch_new(fx.base, sizeof(fx.base));
	test_bus_start(&fx.daemon);
	cr_assert_eq(loop_new(&fx.loop), 0);
	fx.launcher = (struct launcher){.ops = &ops, .loop = fx.loop};
	fx.env = (struct vm_env){
		.loop = fx.loop, .launcher = &fx.launcher, .base = fx.base, .logs = fx.base, .events = &events};
	domain_with("", &domain);
	cr_assert_eq(runtime_make(fx.base, UUID, domain.xml, false, &err), 0, "%s", err.text);
	fx.face.vm = vm_new(&fx.env, &domain, true);
	cr_assert(fx.face.vm);
	fx.face.vm->has_folder = true;
	fx.face.vm->state = VM_RUNNING;
	fx.change = (struct vm_change){.vm = fx.face.vm, .kind = &vm_change_nics, .own = true};
	fx.face.vm->change = &fx.change;
	vm_set_user(fx.face.vm, &fx.face);
	cr_assert_eq(msgbus_open(fx.loop, fx.daemon.address, &err, &fx.bus), 0, "%s", err.text);
	cr_assert_eq(msgbus_object_add(fx.bus, PATH, interfaces, &fx.face, &fx.face.object), 0);
	cr_assert_eq(msgbus_request_name(fx.bus, NAME, &err), 0, "%s", err.text);
	cr_assert_eq(msgbus_open(fx.loop, fx.daemon.address, &err, &fx.client), 0, "%s", err.text);
}

static void teardown(void)
{
	msgbus_free(fx.client);
	msgbus_object_remove(&fx.face.object);
	vm_free(fx.face.vm);
	msgbus_free(fx.bus);
	loop_free(fx.loop);
	test_bus_stop(&fx.daemon);
	scratch_remove(fx.base);
}

TestSuite(dbus_waits, .init = setup, .fini = teardown, .timeout = 30);

static int outcome = 1;
static char outcome_text[256];

static void on_outcome(int error, const char *text, struct msgbus_msg *msg, void *arg)
{
	outcome = error;
	snprintf(outcome_text, sizeof(outcome_text), "%s", text ? text : "");
}

static void call_waits(void)
{
	cr_assert_eq(msgbus_call_async(fx.client, NAME, PATH, BULKHEAD_VM_INTERFACE, "DetachInterface", 5000,
				       on_outcome, NULL, "suu", "net0", 0u, 1u),
		     0);
	while (!fx.face.vm->behind)
		cr_assert_eq(loop_run_once(fx.loop, true), 0);
}

Test(dbus_waits, a_call_that_waits_comes_again)
{
	call_waits();
	fx.face.vm->change = NULL;
	vm_waiters_done(&fx.face.vm->behind, 0, "");
	while (outcome > 0)
		cr_assert_eq(loop_run_once(fx.loop, true), 0);
	cr_assert_eq(outcome, -EBUSY, "its worker is not there");
	cr_assert(strstr(outcome_text, "does not answer now"), "%s", outcome_text);
}

Test(dbus_waits, a_caller_that_leaves_is_not_waited_for)
{
	call_waits();
	msgbus_free(take_ptr(fx.client));
	while (fx.face.vm->behind)
		cr_assert_eq(loop_run_once(fx.loop, true), 0);
	cr_assert_eq(fx.face.vm->change, &fx.change, "that goes on");
}

/* It has nothing to hear any more of who leaves. */
Test(dbus_waits, a_caller_that_leaves_after_its_turn)
{
	call_waits();
	vm_waiters_done(&fx.face.vm->behind, -EBUSY, "its time is up");
	while (outcome > 0)
		cr_assert_eq(loop_run_once(fx.loop, true), 0);
	cr_assert_eq(outcome, -EBUSY);
	msgbus_free(take_ptr(fx.client));
	for (unsigned int i = 0; i < 10; i++) {
		usleep(10000);
		loop_run_once(fx.loop, false);
	}
}
