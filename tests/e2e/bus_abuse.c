/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that vmmgmtd serves on D-Bus, found by introspection and called wrongly: other types, absurd values,
 *things that are not there, twice at once, by somebody who may not. Each must give a named error and leave the state as
 *it was.
 *
 * usage: bus-abuse ADDRESS wrong | twice | forbidden NAME XML
 *	NAME	a VM that is there
 *	XML	a definition that could be made: its name is not that of a VM
 *
 * Prints "ok WHAT" and "not ok WHAT: WHY". A method with an argument whose name is not in `goods` is a failure: it
 *needs a row there.
 */
#include <dbus/dbus.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"

#define BUS_NAME     "org.bulkhead.Manager1"
#define ROOT	     "/org/bulkhead"
#define MANAGER	     ROOT "/Manager1"
#define OURS	     "org.bulkhead."
#define NOBODY	     "/org/bulkhead/vm/00000000_0000_4000_8000_000000000000"
#define OBJECT_OWNER "org.freedesktop.DBus.ObjectManager"
#define DEADLINE_MS  60000
#define ARGS_MAX     8
#define HUGE_LEN     (16u << 20)

static DBusConnection *bus;
static const char *victim, *xml;
static char victim_uuid[64], *huge;
static int failures;

/* What a method is called with where only another argument is wrong. */
static const struct good {
	const char *name, *type;
	const char *text;
} goods[] = {
	{"flags", "u", NULL},	     {"backlog", "b", NULL},
	{"on", "b", NULL},	     {"service", "s", "storage"},
	{"program", "s", ""},	     {"xml", "s", NULL},
	{"name", "s", NULL},	     {"uuid", "s", NULL},
	{"timeout", "u", NULL},	     {"interface", "s", "org.bulkhead.VM1"},
	{"property", "s", "State"},  {"value", "v", "x"},
	{"disk", "s", "<disk/>"},    {"target", "s", "sdz"},
	{"bytes", "t", NULL},	     {"settings", "as", NULL},
	{"nic", "s", "net9"},	     {"file", "h", NULL},
	{"length", "u", NULL},	     {"filter", "as", NULL},
	{"faults", "s", "power=on"}, {"image", "s", "/none.iso"},
};

/* Methods that change nothing. */
static const char *const readers[] = {"CheckXML", "ListVMs", "LookupByName", "LookupByUUID"};

/* Methods of which only one of two calls at once may succeed. */
static const char *const exclusive[] = {"Start", "Undefine", "DefineVM", "CreateVM"};

struct method {
	char *path, *interface, *name;
	size_t args;
	char *arg_name[ARGS_MAX], *arg_type[ARGS_MAX];
};

static bool in_list(const char *const *list, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(list[i], what))
			return true;
	}
	return false;
}

static void report(bool good, const char *why, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void report(bool good, const char *why, const char *fmt, ...)
{
	va_list ap;

	fputs(good ? "ok " : "not ok ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	if (!good)
		printf(": %.300s", why);
	putchar('\n');
	fflush(stdout);
	failures += !good;
}

/* ---- values ---- */

static void put_container(DBusMessageIter *iter, int type, const char *inside, const char *text)
{
	DBusMessageIter sub;

	dbus_message_iter_open_container(iter, type, inside, &sub);
	if (text)
		dbus_message_iter_append_basic(&sub, DBUS_TYPE_STRING, &text);
	dbus_message_iter_close_container(iter, &sub);
}

/* @number for numbers, @text for strings. */
static void put(DBusMessageIter *iter, const char *type, uint64_t number, const char *text)
{
	union {
		uint64_t t;
		double d;
		dbus_bool_t b;
		const char *s;
		int h;
	} value = {.t = number};

	if (!strcmp(type, "as")) {
		put_container(iter, DBUS_TYPE_ARRAY, "s", NULL);
	} else if (!strcmp(type, "a{sv}")) {
		put_container(iter, DBUS_TYPE_ARRAY, "{sv}", NULL);
	} else if (!strcmp(type, "v")) {
		put_container(iter, DBUS_TYPE_VARIANT, "s", text ? text : "x");
	} else if (!strcmp(type, "(s)")) {
		put_container(iter, DBUS_TYPE_STRUCT, NULL, "x");
	} else {
		if (*type == 's')
			value.s = text ? text : "x";
		else if (*type == 'o')
			value.s = text && *text == '/' ? text : "/x";
		else if (*type == 'g')
			value.s = "s";
		else if (*type == 'd')
			value.d = 1e308;
		else if (*type == 'b')
			value.b = number & 1;
		else if (*type == 'h')
			value.h = STDOUT_FILENO;
		dbus_message_iter_append_basic(iter, *type, &value);
	}
}

static const char *good_text(const char *name)
{
	if (!strcmp(name, "xml"))
		return xml;
	if (!strcmp(name, "name"))
		return victim;
	if (!strcmp(name, "uuid"))
		return victim_uuid;
	for (size_t i = 0; i < ARRAY_SIZE(goods); i++) {
		if (!strcmp(goods[i].name, name))
			return goods[i].text;
	}
	return NULL;
}

static bool is_known(const char *name, const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(goods); i++) {
		if (!strcmp(goods[i].name, name) && !strcmp(goods[i].type, type))
			return true;
	}
	return false;
}

static DBusMessage *call_of(const struct method *m)
{
	return dbus_message_new_method_call(BUS_NAME, m->path, m->interface, m->name);
}

/* The call with good values, but for argument @wrong, which is left to the caller's @put_wrong. */
static DBusMessage *call_with(const struct method *m, size_t wrong, const char *type, uint64_t number, const char *text)
{
	DBusMessage *msg = call_of(m);
	DBusMessageIter iter;

	dbus_message_iter_init_append(msg, &iter);
	for (size_t i = 0; i < m->args; i++) {
		if (i == wrong)
			put(&iter, type, number, text);
		else
			put(&iter, m->arg_type[i], 0, good_text(m->arg_name[i]));
	}
	return msg;
}

/* ---- calls ---- */

/* Takes @msg. Return: the reply, or the error as a message. */
static DBusMessage *ask(DBusMessage *msg)
{
	DBusPendingCall *pending = NULL;
	DBusMessage *reply;

	if (!dbus_connection_send_with_reply(bus, msg, &pending, DEADLINE_MS) || !pending) {
		fputs("bus-abuse: the connection is gone\n", stderr);
		exit(1);
	}
	dbus_message_unref(msg);
	dbus_pending_call_block(pending);
	reply = dbus_pending_call_steal_reply(pending);
	dbus_pending_call_unref(pending);
	return reply;
}

static const char *error_text(DBusMessage *reply)
{
	const char *text = "";

	if (dbus_message_get_type(reply) != DBUS_MESSAGE_TYPE_ERROR)
		return "it was accepted";
	dbus_message_get_args(reply, NULL, DBUS_TYPE_STRING, &text, DBUS_TYPE_INVALID);
	return *text ? text : "an error without a text";
}

/* Named, with one line for a person, and not by the bus because nobody answered. */
static bool is_named_error(DBusMessage *reply, const char *wanted)
{
	const char *name = dbus_message_get_error_name(reply), *text = error_text(reply);

	if (!name || !*text || strlen(text) > 4096)
		return false;
	for (const char *s = text; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	if (wanted)
		return !strcmp(name, wanted);
	return !strncmp(name, OURS, strlen(OURS)) || !strcmp(name, DBUS_ERROR_INVALID_ARGS) ||
	       !strcmp(name, DBUS_ERROR_UNKNOWN_PROPERTY) || !strcmp(name, DBUS_ERROR_UNKNOWN_INTERFACE) ||
	       !strcmp(name, DBUS_ERROR_UNKNOWN_OBJECT) || !strcmp(name, DBUS_ERROR_PROPERTY_READ_ONLY);
}

static bool must_fail(DBusMessage *msg, const char *wanted, const struct method *m, const char *what)
{
	DBusMessage *reply = ask(msg);
	const char *name = dbus_message_get_error_name(reply);
	bool good = is_named_error(reply, wanted);
	char why[512];

	snprintf(why, sizeof(why), "%s: %.300s", name ? name : "", error_text(reply));
	if (!good)
		report(false, why, "%s %s.%s: %s", m->path, m->interface, m->name, what);
	dbus_message_unref(reply);
	return good;
}

/* ---- what there is ---- */

static struct method *methods;
static size_t method_count;

static char *attribute(xmlNode *node, const char *name)
{
	xmlChar *value = xmlGetNoNsProp(node, (const xmlChar *)name);
	char *copy = strdup(value ? (const char *)value : "");

	xmlFree(value);
	return copy;
}

static bool is(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

static void add_method(const char *path, const char *interface, xmlNode *node)
{
	struct method m = {.path = strdup(path), .interface = strdup(interface), .name = attribute(node, "name")};

	for (xmlNode *n = node->children; n; n = n->next) {
		_cleanup_free_ char *direction = is(n, "arg") ? attribute(n, "direction") : NULL;

		if (!direction || strcmp(direction, "in") || m.args == ARGS_MAX)
			continue;
		m.arg_name[m.args] = attribute(n, "name");
		m.arg_type[m.args] = attribute(n, "type");
		if (!is_known(m.arg_name[m.args], m.arg_type[m.args]))
			report(false, "the table of good values has no such row", "%s.%s: argument %s of type %s",
			       interface, m.name, m.arg_name[m.args], m.arg_type[m.args]);
		m.args++;
	}
	methods = reallocarray(methods, method_count + 1, sizeof(*methods));
	methods[method_count++] = m;
}

static void explore(const char *path)
{
	DBusMessage *reply =
		ask(dbus_message_new_method_call(BUS_NAME, path, DBUS_INTERFACE_INTROSPECTABLE, "Introspect"));
	const char *text = "";
	xmlDoc *doc;

	dbus_message_get_args(reply, NULL, DBUS_TYPE_STRING, &text, DBUS_TYPE_INVALID);
	doc = xmlReadMemory(text, (int)strlen(text), NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR);
	for (xmlNode *n = doc ? xmlDocGetRootElement(doc)->children : NULL; n; n = n->next) {
		_cleanup_free_ char *name = n->type == XML_ELEMENT_NODE ? attribute(n, "name") : NULL;
		char below[512];

		snprintf(below, sizeof(below), "%s/%s", path, name ? name : "");
		if (is(n, "node"))
			explore(below);
		for (xmlNode *c = is(n, "interface") ? n->children : NULL; c; c = c->next) {
			if (is(c, "method") && strcmp(name, DBUS_INTERFACE_PEER)) /* libdbus itself answers these */
				add_method(path, name, c);
		}
	}
	xmlFreeDoc(doc);
	dbus_message_unref(reply);
}

/* Everything that all objects say of themselves, as text. */
static void dump(DBusMessageIter *iter, FILE *to)
{
	for (int type; (type = dbus_message_iter_get_arg_type(iter)) != DBUS_TYPE_INVALID;
	     dbus_message_iter_next(iter)) {
		DBusMessageIter sub;
		uint64_t number = 0;
		const char *text;

		if (dbus_type_is_container(type)) {
			dbus_message_iter_recurse(iter, &sub);
			fputc('{', to);
			dump(&sub, to);
			fputc('}', to);
		} else if (type == DBUS_TYPE_STRING || type == DBUS_TYPE_OBJECT_PATH || type == DBUS_TYPE_SIGNATURE) {
			dbus_message_iter_get_basic(iter, &text);
			fprintf(to, "%s;", text);
		} else {
			dbus_message_iter_get_basic(iter, &number);
			fprintf(to, "%llu;", (unsigned long long)number);
		}
	}
}

static char *state(void)
{
	DBusMessage *owner =
		dbus_message_new_method_call(DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "GetNameOwner");
	DBusMessage *objects = ask(dbus_message_new_method_call(BUS_NAME, ROOT, OBJECT_OWNER, "GetManagedObjects"));
	const char *name = BUS_NAME;
	DBusMessageIter iter;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	dbus_message_append_args(owner, DBUS_TYPE_STRING, &name, DBUS_TYPE_INVALID);
	owner = ask(owner);
	dbus_message_iter_init(owner, &iter);
	dump(&iter, f);
	dbus_message_iter_init(objects, &iter);
	dump(&iter, f);
	fclose(f);
	dbus_message_unref(owner);
	dbus_message_unref(objects);
	return text;
}

/* ---- wrong types, wrong values ---- */

static const char *const types[] = {"y", "b", "n", "q", "i", "u",  "x",	    "t",  "d",
				    "s", "o", "g", "h", "v", "as", "a{sv}", "(s)"};
static const uint64_t numbers[] = {UINT64_MAX, 1ull << 31, 0x40000000};
static const char *const texts[] = {
	"",
	" ",
	".",
	"..",
	"../../../../etc/passwd",
	"/",
	"/dev/zero",
	"/nonexistent",
	"%s%n%999999d",
	"\001\002\033[2J\r\n\t\177",
	"a\nb",
	"\xf0\x9f\x92\xa9",
	"<domain type='kvm'/>",
	"-1",
	NULL,
};

static bool wrong_types(const struct method *m)
{
	DBusMessage *msg = call_with(m, SIZE_MAX, NULL, 0, NULL);
	DBusMessageIter iter;
	bool good = true;

	dbus_message_iter_init_append(msg, &iter);
	put(&iter, "s", 0, "x");
	good &= must_fail(msg, DBUS_ERROR_INVALID_ARGS, m, "an argument too many");
	if (m->args)
		good &= must_fail(call_of(m), DBUS_ERROR_INVALID_ARGS, m, "no arguments");
	for (size_t a = 0; a < m->args; a++) {
		for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
			if (strcmp(types[t], m->arg_type[a]))
				good &= must_fail(call_with(m, a, types[t], 0, NULL), DBUS_ERROR_INVALID_ARGS, m,
						  types[t]);
		}
	}
	return good;
}

static bool wrong_values(const struct method *m)
{
	bool good = true, properties = !strcmp(m->interface, DBUS_INTERFACE_PROPERTIES);

	for (size_t a = 0; a < m->args; a++) {
		const char *fine = good_text(m->arg_name[a]);

		for (size_t i = 0; strchr("nqiuxt", *m->arg_type[a]) && i < ARRAY_SIZE(numbers); i++)
			good &= must_fail(call_with(m, a, m->arg_type[a], numbers[i], NULL), NULL, m, m->arg_name[a]);
		for (size_t i = 0; strchr("so", *m->arg_type[a]) && i < ARRAY_SIZE(texts); i++) {
			const char *text = texts[i] ? texts[i] : huge;

			/* CheckXML has an answer for everything that is XML. */
			if (*text == '<' && in_list(readers, ARRAY_SIZE(readers), m->name))
				continue;
			if (!fine || strcmp(fine, text))
				good &= must_fail(call_with(m, a, m->arg_type[a], 0, text), NULL, m, m->arg_name[a]);
		}
		if (properties && *m->arg_type[a] == 'v')
			good &= must_fail(call_with(m, a, "v", 0, "x"), NULL, m, "properties are read-only");
	}
	return good;
}

/* Of an object, an interface, a method that is not there. */
static bool wrong_places(const struct method *m)
{
	struct method nobody = *m, interface = *m, name = *m;
	bool good = true;

	nobody.path = (char *)NOBODY;
	interface.interface = (char *)"org.bulkhead.Nothing1";
	name.name = (char *)"Frobnicate";
	if (strncmp(m->interface, OURS, strlen(OURS)))
		return true;
	good &= must_fail(call_with(&nobody, SIZE_MAX, NULL, 0, NULL), DBUS_ERROR_UNKNOWN_OBJECT, &nobody,
			  "no such VM");
	good &= must_fail(call_with(&interface, SIZE_MAX, NULL, 0, NULL), DBUS_ERROR_UNKNOWN_INTERFACE, &interface,
			  "no such interface");
	good &= must_fail(call_with(&name, SIZE_MAX, NULL, 0, NULL), DBUS_ERROR_UNKNOWN_METHOD, &name,
			  "no such method");
	return good;
}

static void wrong(void)
{
	char *before = state();

	for (size_t i = 0; i < method_count; i++) {
		const struct method *m = &methods[i];
		bool good = wrong_types(m);

		good &= wrong_values(m);
		good &= wrong_places(m);
		if (good)
			report(true, "", "%s %s.%s", m->path, m->interface, m->name);
	}
	_cleanup_free_ char *after = state();

	report(!strcmp(before, after), after, "the state is as it was before");
	free(before);
}

/* ---- forbidden ---- */

static void forbidden(void)
{
	for (size_t i = 0; i < method_count; i++) {
		const struct method *m = &methods[i];
		bool ours = !strncmp(m->interface, OURS, strlen(OURS));

		if (!ours)
			continue;
		if (must_fail(call_with(m, SIZE_MAX, NULL, 0, NULL), DBUS_ERROR_ACCESS_DENIED, m, "not by everybody"))
			report(true, "", "%s %s.%s is forbidden", m->path, m->interface, m->name);
	}
}

/* ---- twice at once ---- */

static DBusPendingCall *begin(DBusMessage *msg)
{
	DBusPendingCall *pending = NULL;

	if (!dbus_connection_send_with_reply(bus, msg, &pending, DEADLINE_MS) || !pending)
		exit(1);
	dbus_message_unref(msg);
	return pending;
}

/* Return: whether it succeeded; @ret_good: or failed as it should. */
static bool outcome(DBusPendingCall *pending, bool *ret_good, char *why, size_t size)
{
	DBusMessage *reply;
	bool success;

	dbus_pending_call_block(pending);
	reply = dbus_pending_call_steal_reply(pending);
	success = dbus_message_get_type(reply) != DBUS_MESSAGE_TYPE_ERROR;
	if (!success && !is_named_error(reply, NULL)) {
		*ret_good = false;
		snprintf(why, size, "%s: %.300s", dbus_message_get_error_name(reply), error_text(reply));
	}
	dbus_message_unref(reply);
	dbus_pending_call_unref(pending);
	return success;
}

/* A method of the VM that @xml makes, or of the manager. */
static DBusMessage *simple(const char *path, const char *interface, const char *name, const char *types_of,
			   const char *text)
{
	DBusMessage *msg = dbus_message_new_method_call(BUS_NAME, path, interface, name);
	DBusMessageIter iter;

	dbus_message_iter_init_append(msg, &iter);
	for (const char *t = types_of; *t; t++) {
		const char type[] = {*t, 0};

		put(&iter, type, 0, text);
	}
	return msg;
}

static bool make_vm(bool running, char *ret_path, size_t size)
{
	DBusMessage *reply = ask(simple(MANAGER, OURS "Manager1", "DefineVM", "su", xml));
	const char *path = "";

	dbus_message_get_args(reply, NULL, DBUS_TYPE_OBJECT_PATH, &path, DBUS_TYPE_INVALID);
	snprintf(ret_path, size, "%s", path);
	dbus_message_unref(reply);
	if (running && *ret_path)
		dbus_message_unref(ask(simple(ret_path, OURS "VM1", "Start", "u", NULL)));
	return *ret_path;
}

static void twice_one(const struct method *m, bool running)
{
	bool good = true, of_vm = !strcmp(m->interface, OURS "VM1"), one, two;
	char path[256] = MANAGER, why[512] = "both succeeded";
	struct method mine = *m;
	DBusPendingCall *first, *second;

	if (of_vm && !make_vm(running, path, sizeof(path))) {
		report(false, "the VM cannot be made", "%s twice at once", m->name);
		return;
	}
	mine.path = path;
	first = begin(call_with(&mine, SIZE_MAX, NULL, 0, NULL));
	second = begin(call_with(&mine, SIZE_MAX, NULL, 0, NULL));
	one = outcome(first, &good, why, sizeof(why));
	two = outcome(second, &good, why, sizeof(why));
	if (one && two && in_list(exclusive, ARRAY_SIZE(exclusive), m->name))
		good = false;
	report(good, why, "%s twice at once%s", m->name, !of_vm ? "" : running ? ", running" : ", off");
}

/* Ends what twice_one() made, whatever became of it: the VM of @xml's name. */
static void clear(const char *name)
{
	DBusMessage *reply = ask(simple(MANAGER, OURS "Manager1", "LookupByName", "s", name));
	const char *path = NULL;

	if (dbus_message_get_args(reply, NULL, DBUS_TYPE_OBJECT_PATH, &path, DBUS_TYPE_INVALID)) {
		dbus_message_unref(ask(simple(path, OURS "VM1", "Destroy", "u", NULL)));
		dbus_message_unref(ask(simple(path, OURS "VM1", "Undefine", "u", NULL)));
	}
	dbus_message_unref(reply);
}

static void twice(void)
{
	const char *start = strstr(xml, "<name>");
	char name[128] = "";

	if (start)
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(start + 6, "<"), start + 6);
	for (size_t i = 0; i < method_count; i++) {
		const struct method *m = &methods[i];
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again |= !strcmp(methods[k].name, m->name) && !strcmp(methods[k].interface, m->interface);
		if (again || strncmp(m->interface, OURS, strlen(OURS)))
			continue;
		twice_one(m, false);
		clear(name);
		if (strcmp(m->interface, OURS "VM1"))
			continue;
		twice_one(m, true);
		clear(name);
	}
}

/* ---- set-up ---- */

static void find_victim(void)
{
	DBusMessage *reply = ask(simple(MANAGER, OURS "Manager1", "LookupByName", "s", victim));
	const char *path = "", *uuid;

	dbus_message_get_args(reply, NULL, DBUS_TYPE_OBJECT_PATH, &path, DBUS_TYPE_INVALID);
	uuid = strrchr(path, '/');
	snprintf(victim_uuid, sizeof(victim_uuid), "%s", uuid ? uuid + 1 : "");
	for (char *s = victim_uuid; *s; s++)
		*s = *s == '_' ? '-' : *s;
	dbus_message_unref(reply);
}

/* Return: 0, or -1 and a line. */
static int connect_to(const char *address)
{
	DBusError error = DBUS_ERROR_INIT;

	bus = dbus_connection_open_private(address, &error);
	if (!bus || !dbus_bus_register(bus, &error)) {
		fprintf(stderr, "bus-abuse: %s\n", error.message);
		return -1;
	}
	dbus_connection_set_exit_on_disconnect(bus, FALSE);
	return 0;
}

/* Who may see the methods is somebody else than who calls them. */
static int connect_as_nobody(const char *address)
{
	dbus_connection_close(bus);
	dbus_connection_unref(bus);
	if (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0) {
		perror("bus-abuse: cannot be somebody else");
		return -1;
	}
	return connect_to(address);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = {{"wrong", wrong}, {"twice", twice}, {"forbidden", forbidden}};
	if (argc != 5) {
		fputs("usage: bus-abuse ADDRESS wrong|twice|forbidden NAME XML\n", stderr);
		return 2;
	}
	victim = argv[3];
	xml = argv[4];
	if (connect_to(argv[1]) < 0)
		return 1;
	huge = malloc(HUGE_LEN + 1);
	memset(huge, 'A', HUGE_LEN);
	huge[HUGE_LEN] = 0;
	find_victim();
	explore(ROOT);
	report(method_count > 20, "is anybody there?", "%zu methods", method_count);
	if (!strcmp(argv[2], "forbidden") && connect_as_nobody(argv[1]) < 0)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!strcmp(argv[2], modes[i].name))
			modes[i].run();
	}
	return failures != 0;
}
