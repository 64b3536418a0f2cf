/* SPDX-License-Identifier: Apache-2.0 */
/* A server in a process of its own and a client, over a real bus. */
#include <criterion/criterion.h>
#include <dbus/dbus.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dbus/object.h"
#include "fixture.h"

#define NAME  "org.bulkhead.Test1"
#define IFACE "org.bulkhead.Test1"
#define PATH  "/org/bulkhead/test/one"
#define ROOT  "/org/bulkhead"

/* ---- the server ---- */

struct server {
	struct msgbus *bus;
	struct loop *loop;
	struct msgbus_object *object, *extra;
	uint64_t number;
	struct msgbus_call *waiting;
	uint32_t gone; /* callers */
};

static const struct msgbus_interface *const interfaces[];

static void echo(struct msgbus_call *call, void *arg)
{
	struct msgbus_in in;
	const char *s;
	uint32_t u;
	bool b;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "sub", &s, &u, &b);
	msgbus_reply(call, "sub", s, u, (int)b);
}

static void fail(struct msgbus_call *call, void *arg)
{
	struct msgbus_in in;
	uint32_t code;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "u", &code);
	msgbus_fail(call, -(int)code, "the thing: what is wrong: the remedy");
}

static void get_pipe(struct msgbus_call *call, void *arg)
{
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(write(fds[1], "through", 7), 7);
	msgbus_reply(call, "h", fds[0]);
	close(fds[0]);
	close(fds[1]);
}

static void whoami(struct msgbus_call *call, void *arg)
{
	msgbus_reply(call, "u", (uint32_t)msgbus_call_uid(call));
}

static void set_number(struct msgbus_call *call, void *arg)
{
	static const char *const names[] = {"Number", NULL};
	struct server *server = arg;
	struct msgbus_in in;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "t", &server->number);
	msgbus_object_changed(server->object, IFACE, names);
	msgbus_object_emit(server->object, IFACE, "NumberSet", "ts", server->number, "by you");
	msgbus_reply(call, "");
}

static void on_gone(struct msgbus_call *call, void *arg)
{
	struct server *server = arg;

	server->gone++;
	if (server->waiting == call)
		server->waiting = NULL;
	msgbus_fail(call, -ECANCELED, "nobody hears this");
}

static void later(struct msgbus_call *call, void *arg)
{
	struct server *server = arg;

	msgbus_call_watch(call, on_gone, server);
	server->waiting = call;
}

static void count_gone(struct msgbus_call *call, void *arg)
{
	const struct server *server = arg;

	msgbus_reply(call, "ub", server->gone, server->waiting != NULL);
}

static void finish_later(struct msgbus_call *call, void *arg)
{
	struct server *server = arg;

	if (server->waiting)
		msgbus_reply(server->waiting, "s", "at last");
	server->waiting = NULL;
	msgbus_reply(call, "");
}

static void add_object(struct msgbus_call *call, void *arg)
{
	struct server *server = arg;
	int r = msgbus_object_add(server->bus, ROOT "/test/two", interfaces, server, &server->extra);

	if (r < 0)
		msgbus_fail(call, r, "there already");
	else
		msgbus_reply(call, "");
}

static void remove_object(struct msgbus_call *call, void *arg)
{
	msgbus_object_remove(&((struct server *)arg)->extra);
	msgbus_reply(call, "");
}

static void bad_text(struct msgbus_call *call, void *arg)
{
	msgbus_reply(call, "s", "caf\xe9 \xff");
}

static const struct msgbus_method methods[] = {
	{"Echo", "s text, u number, b flag", "s text, u number, b flag", MSGBUS_ANYONE, echo},
	{"Fail", "u errno", "", MSGBUS_ANYONE, fail},
	{"GetPipe", "", "h pipe", MSGBUS_OWNER, get_pipe},
	{"WhoAmI", "", "u uid", MSGBUS_OWNER, whoami},
	{"SetNumber", "t number", "", MSGBUS_ANYONE, set_number},
	{"Later", "", "s text", MSGBUS_ANYONE, later},
	{"FinishLater", "", "", MSGBUS_ANYONE, finish_later},
	{"CountGone", "", "u gone, b waiting", MSGBUS_ANYONE, count_gone},
	{"Add", "", "", MSGBUS_ANYONE, add_object},
	{"Remove", "", "", MSGBUS_ANYONE, remove_object},
	{"BadText", "", "s text", MSGBUS_ANYONE, bad_text},
	{NULL},
};

static void get_number(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "t", ((struct server *)object)->number);
}

static void get_list(void *object, struct msgbus_out *out)
{
	static const char *const list[] = {"a", "b", NULL};

	msgbus_out_write(out, "as", list);
}

static void get_name(void *object, struct msgbus_out *out)
{
	msgbus_out_write(out, "s", "test");
}

static const struct msgbus_property properties[] = {
	{"Number", "t", MSGBUS_EMITS, get_number},
	{"List", "as", MSGBUS_EMITS, get_list},
	{"Name", "s", MSGBUS_CONST, get_name},
	{NULL},
};

static const struct msgbus_signal signals[] = {{"NumberSet", "t number, s by"}, {NULL}};
static const struct msgbus_interface interface = {IFACE, methods, properties, signals};
static const struct msgbus_interface *const interfaces[] = {&interface, NULL};

static void on_closed(void *arg)
{
	loop_stop(arg);
}

static void serve(const char *address, int ready)
{
	struct server server = {0};
	struct err err = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (loop_new(&server.loop) < 0 || msgbus_open(server.loop, address, &err, &server.bus) < 0)
		_exit(1);
	msgbus_on_closed(server.bus, on_closed, server.loop);
	if (msgbus_object_manager(server.bus, ROOT) < 0 ||
	    msgbus_object_add(server.bus, PATH, interfaces, &server, &server.object) < 0 ||
	    msgbus_request_name(server.bus, NAME, &err) < 0)
		_exit(1);
	if (write(ready, "", 1) != 1)
		_exit(1);
	loop_run(server.loop);
	msgbus_object_remove(&server.object);
	msgbus_object_remove(&server.extra);
	msgbus_free(server.bus);
	loop_free(server.loop);
	_exit(0);
}

/* ---- the client ---- */

static struct test_bus daemon_of_test;
static struct loop *loop;
static struct msgbus *bus;
static pid_t server_pid;
static struct err err;

static void setup(void)
{
	int fds[2];
	char byte;

	test_bus_start(&daemon_of_test);
	cr_assert_eq(pipe(fds), 0);
	server_pid = fork();
	if (server_pid == 0)
		serve(daemon_of_test.address, fds[1]);
	close(fds[1]);
	cr_assert_eq(read(fds[0], &byte, 1), 1, "the server does not start");
	close(fds[0]);
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(msgbus_open(loop, daemon_of_test.address, &err, &bus), 0, "%s", err.text);
}

static void teardown(void)
{
	msgbus_free(bus);
	loop_free(loop);
	kill(server_pid, SIGKILL);
	waitpid(server_pid, NULL, 0);
	test_bus_stop(&daemon_of_test);
}

TestSuite(msgbus, .init = setup, .fini = teardown, .timeout = 30);

#define CALL(method, ret, ...) msgbus_call(bus, NAME, PATH, IFACE, method, 5000, &err, ret, __VA_ARGS__)

Test(msgbus, call_and_reply)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	const char *s;
	uint32_t u;
	bool b;

	cr_assert_eq(CALL("Echo", &msg, "sub", "grün", 42u, 1), 0, "%s", err.text);
	msgbus_msg_in(msg, &in);
	cr_assert_eq(msgbus_in_read(&in, "sub", &s, &u, &b), 0);
	cr_assert_str_eq(s, "grün");
	cr_assert_eq(u, 42);
	cr_assert(b);
	cr_assert_eq(msgbus_in_type(&in), 0);
	cr_assert_eq(msgbus_in_read(&in, "s", &s), -EBADMSG);
	msgbus_msg_free(msg);
}

Test(msgbus, errors_have_names_and_text)
{
	static const int codes[] = {ENOENT, EEXIST, EINVAL, EBUSY, EBADFD, EACCES, ENOMEM, EOPNOTSUPP, ETIMEDOUT};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		cr_expect_eq(CALL("Fail", NULL, "u", (uint32_t)codes[i]), -codes[i], "%s", strerror(codes[i]));
		cr_expect_str_eq(err.text, "the thing: what is wrong: the remedy");
	}
	cr_assert_eq(CALL("Fail", NULL, "u", (uint32_t)EXDEV), -EREMOTEIO);
	cr_assert_str_eq(msgbus_error_name(-EXDEV), "org.bulkhead.Error.Failed");
	cr_assert_str_eq(msgbus_error_name(-EPERM), "org.bulkhead.Error.PermissionDenied");
}

Test(msgbus, wrong_calls_are_refused)
{
	cr_assert_eq(CALL("NoSuch", NULL, ""), -EOPNOTSUPP);
	cr_assert_eq(CALL("Echo", NULL, "s", "only one"), -EINVAL);
	cr_assert_eq(CALL("Echo", NULL, "uss", 1u, "a", "b"), -EINVAL);
	cr_assert_eq(msgbus_call(bus, NAME, PATH, "org.other", "Echo", 0, &err, NULL, ""), -EOPNOTSUPP);
	cr_assert_eq(msgbus_call(bus, NAME, "/nowhere", IFACE, "Echo", 0, &err, NULL, ""), -ENOENT);
	cr_assert_eq(msgbus_call(bus, NAME, "not a path", IFACE, "Echo", 0, &err, NULL, ""), -EINVAL);
	cr_assert_eq(msgbus_call(bus, "org.bulkhead.Nobody", PATH, IFACE, "Echo", 0, &err, NULL, ""), -ESRCH);
	cr_assert_eq(msgbus_call(bus, NAME, PATH, DBUS_PROPERTIES_INTERFACE, "Get", 0, &err, NULL, "ss", IFACE, "Nope"),
		     -EOPNOTSUPP);
}

Test(msgbus, descriptors_pass)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	char text[16] = "";
	int fd = -1;

	cr_assert_eq(CALL("GetPipe", &msg, ""), 0, "%s", err.text);
	msgbus_msg_in(msg, &in);
	cr_assert_eq(msgbus_in_read(&in, "h", &fd), 0);
	msgbus_msg_free(msg);
	cr_assert_eq(read(fd, text, sizeof(text)), 7);
	cr_assert_str_eq(text, "through");
	close(fd);
}

Test(msgbus, callers_uid_is_known)
{
	for (int i = 0; i < 2; i++) { /* asked of the bus, then remembered */
		struct msgbus_msg *msg = NULL;
		struct msgbus_in in;
		uint32_t uid = 12345;

		cr_assert_eq(CALL("WhoAmI", &msg, ""), 0, "%s", err.text);
		msgbus_msg_in(msg, &in);
		cr_assert_eq(msgbus_in_read(&in, "u", &uid), 0);
		cr_assert_eq(uid, geteuid());
		msgbus_msg_free(msg);
	}
}

Test(msgbus, text_that_is_no_utf8_is_cleaned)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	const char *s;

	cr_assert_eq(CALL("BadText", &msg, ""), 0, "%s", err.text);
	msgbus_msg_in(msg, &in);
	cr_assert_eq(msgbus_in_read(&in, "s", &s), 0);
	cr_assert_eq(strncmp(s, "caf?", 4), 0, "%s", s);
	msgbus_msg_free(msg);
}

Test(msgbus, properties)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in dict, entry, value;
	unsigned int n = 0;
	uint64_t number = 1;
	char *name = NULL;

	cr_assert_eq(CALL("SetNumber", NULL, "t", UINT64_C(1) << 40), 0);
	cr_assert_eq(msgbus_get(bus, NAME, PATH, IFACE, "Number", &err, 't', &number), 0);
	cr_assert_eq(number, UINT64_C(1) << 40);
	cr_assert_eq(msgbus_get(bus, NAME, PATH, IFACE, "Name", &err, 's', &name), 0);
	cr_assert_str_eq(name, "test");
	free(name);
	cr_assert_eq(msgbus_get(bus, NAME, PATH, IFACE, "Name", &err, 'u', &number), -EBADMSG);
	cr_assert_eq(msgbus_get_all(bus, NAME, PATH, IFACE, &err, &msg, &dict), 0);
	while (msgbus_in_type(&dict) == 'e') {
		const char *key;

		cr_assert_eq(msgbus_in_enter(&dict, &entry), 0);
		cr_assert_eq(msgbus_in_read(&entry, "s", &key), 0);
		cr_assert_eq(msgbus_in_enter(&entry, &value), 0);
		if (!strcmp(key, "List")) {
			char **list = NULL;

			cr_assert_eq(msgbus_in_strv(&value, &list), 0);
			cr_assert_str_eq(list[1], "b");
			cr_assert_null(list[2]);
			msgbus_strv_free(list);
		}
		n++;
	}
	cr_assert_eq(n, 3);
	msgbus_msg_free(msg);
}

struct heard {
	unsigned int count;
	uint64_t number;
	char member[64];
	struct msgbus_sub **stop;
};

static void on_number(struct msgbus_msg *msg, void *arg)
{
	struct heard *heard = arg;
	struct msgbus_in in;

	heard->count++;
	snprintf(heard->member, sizeof(heard->member), "%s", msgbus_msg_member(msg));
	msgbus_msg_in(msg, &in);
	if (msgbus_in_type(&in) == 't')
		msgbus_in_read(&in, "t", &heard->number);
	if (heard->stop)
		msgbus_unsubscribe(heard->stop);
}

static void run_until(const unsigned int *count, unsigned int wanted)
{
	while (*count < wanted)
		cr_assert_eq(loop_run_once(loop, true), 0);
}

Test(msgbus, signals_that_came_during_a_call_are_not_lost)
{
	struct heard heard = {0}, changed = {0}, once = {0};
	struct msgbus_sub *sub = NULL, *sub_changed = NULL, *sub_once = NULL;

	once.stop = &sub_once;
	cr_assert_eq(msgbus_subscribe(bus, NAME, PATH, IFACE, "NumberSet", on_number, &heard, &err, &sub), 0);
	cr_assert_eq(msgbus_subscribe(bus, NAME, PATH, IFACE, NULL, on_number, &once, &err, &sub_once), 0);
	cr_assert_eq(msgbus_subscribe(bus, NULL, PATH, DBUS_PROPERTIES_INTERFACE, "PropertiesChanged", on_number,
				      &changed, &err, &sub_changed),
		     0);
	for (uint64_t i = 1; i <= 3; i++)
		cr_assert_eq(CALL("SetNumber", NULL, "t", i), 0);
	run_until(&heard.count, 3);
	run_until(&changed.count, 3);
	cr_assert_eq(heard.number, 3);
	cr_assert_eq(once.count, 1);
	msgbus_unsubscribe(&sub);
	cr_assert_null(sub);
	cr_assert_eq(CALL("SetNumber", NULL, "t", UINT64_C(4)), 0);
	run_until(&changed.count, 4);
	cr_assert_eq(heard.count, 3);
}

struct outcome {
	unsigned int count;
	int error;
	char text[64];
};

static void on_outcome(int error, const char *text, struct msgbus_msg *msg, void *arg)
{
	struct outcome *outcome = arg;
	struct msgbus_in in;
	const char *s;

	outcome->count++;
	outcome->error = error;
	if (!error) {
		msgbus_msg_in(msg, &in);
		cr_assert_eq(msgbus_in_read(&in, "s", &s), 0);
		snprintf(outcome->text, sizeof(outcome->text), "%s", s);
	}
}

Test(msgbus, answers_that_come_later)
{
	struct outcome outcome = {0}, lost = {0};

	cr_assert_eq(msgbus_call_async(bus, NAME, PATH, IFACE, "Later", 5000, on_outcome, &outcome, ""), 0);
	cr_assert_eq(CALL("FinishLater", NULL, ""), 0);
	run_until(&outcome.count, 1);
	cr_assert_eq(outcome.error, 0);
	cr_assert_str_eq(outcome.text, "at last");
	/* a deadline, and the end of the connection */
	cr_assert_eq(msgbus_call(bus, NAME, PATH, IFACE, "Later", 100, &err, NULL, ""), -ETIMEDOUT);
	cr_assert_eq(msgbus_call_async(bus, NAME, PATH, IFACE, "Later", 100, on_outcome, &outcome, ""), 0);
	run_until(&outcome.count, 2);
	cr_assert_eq(outcome.error, -ETIMEDOUT);
	cr_assert_eq(msgbus_call_async(bus, NAME, PATH, IFACE, "Later", 5000, on_outcome, &lost, ""), 0);
	msgbus_free(bus);
	bus = NULL;
	cr_assert_eq(lost.count, 1);
	cr_assert_eq(lost.error, -ECONNRESET);
}

/* ---- callers that leave ---- */

static void on_clients(unsigned int clients, void *arg)
{
	*(unsigned int *)arg = clients;
}

static uint32_t gone(bool *ret_waiting)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	uint32_t count;

	cr_assert_eq(CALL("CountGone", &msg, ""), 0, "%s", err.text);
	msgbus_msg_in(msg, &in);
	cr_assert_eq(msgbus_in_read(&in, "ub", &count, ret_waiting), 0);
	msgbus_msg_free(msg);
	return count;
}

Test(msgbus, a_caller_that_leaves)
{
	struct msgbus *other = NULL;
	struct outcome outcome = {0}, mine = {0};
	bool waiting = false;

	cr_assert_eq(msgbus_open(loop, daemon_of_test.address, &err, &other), 0);
	for (unsigned int i = 0; i < 3; i++)
		cr_assert_eq(msgbus_call_async(other, NAME, PATH, IFACE, "Later", 5000, on_outcome, &outcome, ""), 0);
	msgbus_flush(other);
	while (!waiting)
		cr_assert_eq(gone(&waiting), 0);
	msgbus_free(other);
	while (gone(&waiting) < 3)
		;
	cr_assert(!waiting);
	cr_assert_eq(msgbus_call_async(bus, NAME, PATH, IFACE, "Later", 5000, on_outcome, &mine, ""), 0);
	cr_assert_eq(CALL("FinishLater", NULL, ""), 0);
	run_until(&mine.count, 1);
	cr_assert_eq(mine.error, 0, "who stays is answered");
	cr_assert_eq(gone(&waiting), 3);
}

/* As of dbus-send without --print-reply. */
Test(msgbus, a_caller_that_waits_for_no_answer)
{
	DBusConnection *conn = dbus_connection_open_private(daemon_of_test.address, NULL);
	DBusMessage *msg = dbus_message_new_method_call(NAME, PATH, IFACE, "Later");
	unsigned int clients = 0;
	bool waiting = false;

	cr_assert(conn && dbus_bus_register(conn, NULL));
	cr_assert_eq(msgbus_watch_clients(bus, on_clients, &clients, &err), 0);
	cr_assert_eq(clients, 2);
	dbus_message_set_no_reply(msg, true);
	cr_assert(dbus_connection_send(conn, msg, NULL));
	dbus_message_unref(msg);
	dbus_connection_flush(conn);
	dbus_connection_close(conn);
	dbus_connection_unref(conn);
	while (clients == 2)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(gone(&waiting), 0); /* the server has heard of it, too */
	cr_assert(waiting);
}

Test(msgbus, a_peer_that_dies)
{
	struct outcome outcome = {0};

	cr_assert_eq(msgbus_call_async(bus, NAME, PATH, IFACE, "Later", 5000, on_outcome, &outcome, ""), 0);
	msgbus_flush(bus);
	kill(server_pid, SIGKILL);
	run_until(&outcome.count, 1);
	cr_assert(outcome.error == -ECONNRESET || outcome.error == -ESRCH, "%d", outcome.error);
}

static void on_lost(void *arg)
{
	++*(unsigned int *)arg;
	msgbus_free(bus);
	bus = NULL;
}

Test(msgbus, a_bus_that_dies)
{
	unsigned int lost = 0;

	msgbus_on_closed(bus, on_lost, &lost);
	kill(daemon_of_test.pid, SIGKILL);
	run_until(&lost, 1);
	waitpid(daemon_of_test.pid, NULL, 0); /* or it may still listen */
	daemon_of_test.pid = 0;
	cr_assert_eq(msgbus_open(loop, daemon_of_test.address, &err, &bus), -ECONNREFUSED);
	cr_assert_eq(msgbus_open(loop, "unix:path=/nonexistent/bus", &err, &bus), -ENOENT);
}

Test(msgbus, object_manager)
{
	struct heard added = {0}, removed = {0};
	struct msgbus_sub *one = NULL, *two = NULL;
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in, dict;
	unsigned int n = 0;

	cr_assert_eq(msgbus_subscribe(bus, NAME, ROOT, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded",
				      on_number, &added, &err, &one),
		     0);
	cr_assert_eq(msgbus_subscribe(bus, NAME, ROOT, "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved",
				      on_number, &removed, &err, &two),
		     0);
	cr_assert_eq(CALL("Add", NULL, ""), 0);
	cr_assert_eq(CALL("Add", NULL, ""), -EEXIST);
	run_until(&added.count, 1);
	cr_assert_eq(msgbus_call(bus, NAME, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", 0, &err,
				 &msg, ""),
		     0);
	msgbus_msg_in(msg, &in);
	cr_assert_eq(msgbus_in_enter(&in, &dict), 0);
	for (; msgbus_in_type(&dict); msgbus_in_skip(&dict))
		n++;
	cr_assert_eq(n, 2);
	msgbus_msg_free(msg);
	cr_assert_eq(CALL("Remove", NULL, ""), 0);
	run_until(&removed.count, 1);
	cr_assert_eq(msgbus_call(bus, NAME, ROOT "/test/two", IFACE, "Add", 0, &err, NULL, ""), -ENOENT);
}

static void introspect_has(const char *path, const char *wanted, bool there)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	const char *xml;

	cr_assert_eq(
		msgbus_call(bus, NAME, path, "org.freedesktop.DBus.Introspectable", "Introspect", 0, &err, &msg, ""), 0,
		"%s", err.text);
	msgbus_msg_in(msg, &in);
	cr_assert_eq(msgbus_in_read(&in, "s", &xml), 0);
	cr_assert_eq(strstr(xml, wanted) != NULL, there, "%s", xml);
	msgbus_msg_free(msg);
}

static void introspect(const char *path, const char *wanted)
{
	introspect_has(path, wanted, true);
}

Test(msgbus, introspection)
{
	introspect("/", "<node name=\"org\"/>");
	introspect(ROOT, "<interface name=\"org.freedesktop.DBus.ObjectManager\">");
	introspect(ROOT, "<node name=\"test\"/>");
	introspect(PATH, "<arg name=\"flag\" type=\"b\" direction=\"in\"/>");
	introspect(PATH, "<method name=\"Add\"/>");
	introspect(PATH, "<interface name=\"org.freedesktop.DBus.Properties\">");
	introspect_has(ROOT "/test", "<interface name=\"org.freedesktop.DBus.Properties\">", false);
	cr_assert_eq(msgbus_call(bus, NAME, "/other", "org.freedesktop.DBus.Introspectable", "Introspect", 0, &err,
				 NULL, ""),
		     -ENOENT);
}

Test(msgbus, clients_are_counted)
{
	struct msgbus *other = NULL;
	unsigned int clients = 99;

	cr_assert_eq(msgbus_watch_clients(bus, on_clients, &clients, &err), 0);
	cr_assert_eq(clients, 1); /* the server */
	cr_assert_eq(msgbus_open(loop, daemon_of_test.address, &err, &other), 0);
	run_until(&clients, 2);
	msgbus_free(other);
	while (clients != 1)
		cr_assert_eq(loop_run_once(loop, true), 0);
}

Test(signature, from_argument_lists)
{
	char text[16];

	cr_assert_eq(msgbus_signature("", text, sizeof(text)), 0);
	cr_assert_str_eq(text, "");
	cr_assert_eq(msgbus_signature("s xml, u flags, a(ssso) list", text, sizeof(text)), 0);
	cr_assert_str_eq(text, "sua(ssso)");
	cr_assert_eq(msgbus_signature("s", text, sizeof(text)), -EINVAL);
	cr_assert_eq(msgbus_signature("q! x", text, sizeof(text)), -EINVAL);
	cr_assert_eq(msgbus_signature("a(ssssssssssssssssss) list", text, sizeof(text)), -ENOSPC);
}
