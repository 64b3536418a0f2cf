/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_systemd.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "dbus/conn.h"
#include "dbus/object.h"
#include "ipc/loop.h"

#define NAME	"org.freedesktop.systemd1"
#define PATH	"/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define SERVICE "org.freedesktop.systemd1.Service"
#define CONTROL "org.bulkhead.Test1"
#define TEXT	96

/* The plan, as it came over the bus: "" for NULL. */
static struct {
	char refuse[TEXT], job[TEXT], result[TEXT];
	uint32_t pid, unaware;
	bool left, stuck;
	int32_t code, status;
} plan = {.result = "success"};

static const char *unit_name;
static char heard[2048];
static uint32_t jobs;
static struct msgbus *own_bus;
static struct msgbus_object *manager, *unit;

__attribute__((format(printf, 1, 2))) static void hear(const char *fmt, ...)
{
	size_t len = strlen(heard);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(heard + len, sizeof(heard) - len, fmt, ap);
	va_end(ap);
}

/* ---- its manager ---- */

static void subscribe(struct msgbus_call *call, void *arg)
{
	hear("Subscribe\n");
	msgbus_reply(call, "");
}

static void job_path(char ret[TEXT])
{
	snprintf(ret, TEXT, PATH "/job/%u", jobs);
}

static void end_job(const char *result)
{
	char path[TEXT];

	job_path(path);
	msgbus_object_emit(manager, MANAGER, "JobRemoved", "uoss", jobs, path, unit_name, result);
}

static void start_unit(struct msgbus_call *call, void *arg)
{
	const char *name, *mode;
	struct msgbus_in in;
	char path[TEXT];

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "ss", &name, &mode);
	hear("StartUnit %s %s\n", name, mode);
	if (*plan.refuse) {
		msgbus_fail(call, -EREMOTEIO, plan.refuse);
		return;
	}
	jobs++;
	job_path(path);
	msgbus_reply(call, "o", path);
	/* Somebody else's first: that must not be taken for ours. */
	msgbus_object_emit(manager, MANAGER, "JobRemoved", "uoss", 0u, PATH "/job/0", unit_name, "failed");
	if (plan.left)
		end_job("failed");
	else if (*plan.job)
		end_job(plan.job);
}

/* Fields of the log are written down, as "FIELD=VALUE" each; of other properties the names. */
static void hear_property(struct msgbus_in *property)
{
	struct msgbus_in value, fields, field;
	const char *key;
	uint8_t byte;

	msgbus_in_read(property, "s", &key);
	hear(" %s", key);
	if (strcmp(key, "LogExtraFields") != 0)
		return;
	msgbus_in_enter(property, &value);
	msgbus_in_enter(&value, &fields);
	while (msgbus_in_type(&fields) && msgbus_in_enter(&fields, &field) == 0) {
		hear(" ");
		while (msgbus_in_type(&field) && msgbus_in_read(&field, "y", &byte) == 0)
			hear("%c", byte);
	}
}

static void start_transient(struct msgbus_call *call, void *arg)
{
	struct msgbus_in in, properties, property;
	const char *name, *mode;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "ss", &name, &mode);
	hear("StartTransientUnit %s %s", name, mode);
	msgbus_in_enter(&in, &properties);
	while (msgbus_in_type(&properties) && msgbus_in_enter(&properties, &property) == 0)
		hear_property(&property);
	hear("\n");
	msgbus_fail(call, -EREMOTEIO, "No such program.");
}

static void stop_unit(struct msgbus_call *call, void *arg)
{
	const char *name, *mode;
	struct msgbus_in in;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "ss", &name, &mode);
	hear("StopUnit %s %s\n", name, mode);
	msgbus_reply(call, "o", PATH "/job/999");
	if (plan.stuck)
		return;
	plan.left = false;
	end_job("canceled");
	msgbus_object_emit(manager, MANAGER, "JobRemoved", "uoss", 999u, PATH "/job/999", unit_name, "done");
}

static void reset_failed(struct msgbus_call *call, void *arg)
{
	struct msgbus_in in;
	const char *name;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "s", &name);
	hear("ResetFailedUnit %s\n", name);
	msgbus_fail(call, -ENOENT, "Unit not loaded.");
}

static const struct msgbus_method manager_methods[] = {
	{"Subscribe", "", "", MSGBUS_ANYONE, subscribe},
	{"StartUnit", "s name, s mode", "o job", MSGBUS_ANYONE, start_unit},
	{"StartTransientUnit", "s name, s mode, a(sv) properties, a(sa(sv)) aux", "o job", MSGBUS_ANYONE,
	 start_transient},
	{"StopUnit", "s name, s mode", "o job", MSGBUS_ANYONE, stop_unit},
	{"ResetFailedUnit", "s name", "", MSGBUS_ANYONE, reset_failed},
	{NULL},
};
static const struct msgbus_signal manager_signals[] = {{"JobRemoved", "u id, o job, s unit, s result"}, {NULL}};
static const struct msgbus_interface manager_interface = {MANAGER, manager_methods, NULL, manager_signals};

/* ---- its unit ---- */

static void get_code(void *object, struct msgbus_out *out)
{
	int32_t code = plan.unaware ? 0 : plan.code;

	plan.unaware -= plan.unaware > 0;
	msgbus_out_write(out, "i", code);
}

static void get_status(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "i", plan.status);
}

static void get_pid(void *object, struct msgbus_out *out)
{
	hear("GetAll\n");
	msgbus_out_write(out, "u", plan.pid);
}

static void get_text(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", "what it says of itself");
}

static void get_result(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", plan.result);
}

static const struct msgbus_property unit_properties[] = {
	{"ExecMainPID", "u", MSGBUS_EMITS, get_pid},	   {"ExecMainCode", "i", MSGBUS_EMITS, get_code},
	{"ExecMainStatus", "i", MSGBUS_EMITS, get_status}, {"StatusText", "s", MSGBUS_EMITS, get_text},
	{"Result", "s", MSGBUS_EMITS, get_result},	   {NULL},
};
static const struct msgbus_interface unit_interface = {SERVICE, NULL, unit_properties, NULL};
static const struct msgbus_interface *const unit_interfaces[] = {&unit_interface, NULL};

/* Object paths have letters and digits; the rest is _xx. */
static void serve_unit(void)
{
	char path[256] = PATH "/unit/";
	size_t len = strlen(path);

	for (const char *c = unit_name; *c; c++)
		len += (size_t)snprintf(path + len, sizeof(path) - len, isalnum((unsigned char)*c) ? "%c" : "_%02x",
					(unsigned char)*c);
	if (msgbus_object_add(own_bus, path, unit_interfaces, NULL, &unit) < 0)
		_exit(1);
}

/* ---- what the test asks ---- */

static void set_plan(struct msgbus_call *call, void *arg)
{
	const char *refuse, *job, *result;
	struct msgbus_in in;
	bool gone;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "ssbuiiusbb", &refuse, &job, &gone, &plan.pid, &plan.code, &plan.status, &plan.unaware,
		       &result, &plan.left, &plan.stuck);
	snprintf(plan.refuse, TEXT, "%s", refuse);
	snprintf(plan.job, TEXT, "%s", job);
	snprintf(plan.result, TEXT, "%s", result);
	if (gone)
		msgbus_object_remove(&unit);
	msgbus_reply(call, "");
}

static void get_heard(struct msgbus_call *call, void *arg)
{
	msgbus_reply(call, "s", heard);
}

static const struct msgbus_method control_methods[] = {
	{"Plan", "s refuse, s job, b gone, u pid, i code, i status, u unaware, s result, b left, b stuck", "",
	 MSGBUS_ANYONE, set_plan},
	{"Heard", "", "s calls", MSGBUS_ANYONE, get_heard},
	{NULL},
};
static const struct msgbus_interface control_interface = {CONTROL, control_methods, NULL, NULL};
static const struct msgbus_interface *const manager_interfaces[] = {&manager_interface, &control_interface, NULL};

static void serve(const char *address, int ready)
{
	struct loop *loop;
	struct err err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (loop_new(&loop) < 0 || msgbus_open(loop, address, &err, &own_bus) < 0)
		_exit(1);
	serve_unit();
	if (msgbus_object_add(own_bus, PATH, manager_interfaces, NULL, &manager) < 0 ||
	    msgbus_request_name(own_bus, NAME, &err) < 0 || write(ready, "", 1) != 1)
		_exit(1);
	loop_run(loop);
	_exit(0);
}

pid_t fake_systemd_start(const char *address, const char *name)
{
	int fds[2];
	char byte;
	pid_t pid;

	unit_name = name;
	cr_assert_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0)
		serve(address, fds[1]);
	close(fds[1]);
	cr_assert_eq(read(fds[0], &byte, 1), 1, "the service manager does not start");
	close(fds[0]);
	return pid;
}

void fake_systemd_plan(struct msgbus *bus, const struct fake_plan *to)
{
	struct err err;

	cr_assert_eq(msgbus_call(bus, NAME, PATH, CONTROL, "Plan", 0, &err, NULL, "ssbuiiusbb",
				 to->refuse ? to->refuse : "", to->job ? to->job : "", (int)to->gone, to->pid, to->code,
				 to->status, to->unaware, to->result ? to->result : "success", (int)to->left,
				 (int)to->stuck),
		     0, "%s", err.text);
}

void fake_systemd_heard(struct msgbus *bus, char *ret, size_t size)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	struct err err;
	const char *text;

	cr_assert_eq(msgbus_call(bus, NAME, PATH, CONTROL, "Heard", 0, &err, &msg, ""), 0, "%s", err.text);
	msgbus_msg_in(msg, &in);
	cr_assert_eq(msgbus_in_read(&in, "s", &text), 0);
	snprintf(ret, size, "%s", text);
	msgbus_msg_free(msg);
}
