/* SPDX-License-Identifier: Apache-2.0 */
/* Introspection XML, made from the tables; written as data/org.bulkhead.*.xml are, so that a test can compare them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "dbus/internal.h"

#define ARG_TYPE_MAX	 64
#define ARG_NAME_MAX	 64
#define EMITS_ANNOTATION "org.freedesktop.DBus.Property.EmitsChangedSignal"

static const char STANDARD_XML[] = "  <interface name=\"org.freedesktop.DBus.Introspectable\">\n"
				   "    <method name=\"Introspect\">\n"
				   "      <arg name=\"xml\" type=\"s\" direction=\"out\"/>\n"
				   "    </method>\n"
				   "  </interface>\n"
				   "  <interface name=\"org.freedesktop.DBus.Peer\">\n"
				   "    <method name=\"Ping\"/>\n"
				   "    <method name=\"GetMachineId\">\n"
				   "      <arg name=\"machine_uuid\" type=\"s\" direction=\"out\"/>\n"
				   "    </method>\n"
				   "  </interface>\n";

/* Of objects only: a node above them has no properties to ask for. */
static const char PROPERTIES_XML[] = "  <interface name=\"org.freedesktop.DBus.Properties\">\n"
				     "    <method name=\"Get\">\n"
				     "      <arg name=\"interface\" type=\"s\" direction=\"in\"/>\n"
				     "      <arg name=\"property\" type=\"s\" direction=\"in\"/>\n"
				     "      <arg name=\"value\" type=\"v\" direction=\"out\"/>\n"
				     "    </method>\n"
				     "    <method name=\"GetAll\">\n"
				     "      <arg name=\"interface\" type=\"s\" direction=\"in\"/>\n"
				     "      <arg name=\"properties\" type=\"a{sv}\" direction=\"out\"/>\n"
				     "    </method>\n"
				     "    <method name=\"Set\">\n"
				     "      <arg name=\"interface\" type=\"s\" direction=\"in\"/>\n"
				     "      <arg name=\"property\" type=\"s\" direction=\"in\"/>\n"
				     "      <arg name=\"value\" type=\"v\" direction=\"in\"/>\n"
				     "    </method>\n"
				     "    <signal name=\"PropertiesChanged\">\n"
				     "      <arg name=\"interface\" type=\"s\"/>\n"
				     "      <arg name=\"changed\" type=\"a{sv}\"/>\n"
				     "      <arg name=\"invalidated\" type=\"as\"/>\n"
				     "    </signal>\n"
				     "  </interface>\n";

static const char MANAGER_XML[] = "  <interface name=\"org.freedesktop.DBus.ObjectManager\">\n"
				  "    <method name=\"GetManagedObjects\">\n"
				  "      <arg name=\"objects\" type=\"a{oa{sa{sv}}}\" direction=\"out\"/>\n"
				  "    </method>\n"
				  "    <signal name=\"InterfacesAdded\">\n"
				  "      <arg name=\"object\" type=\"o\"/>\n"
				  "      <arg name=\"interfaces\" type=\"a{sa{sv}}\"/>\n"
				  "    </signal>\n"
				  "    <signal name=\"InterfacesRemoved\">\n"
				  "      <arg name=\"object\" type=\"o\"/>\n"
				  "      <arg name=\"interfaces\" type=\"as\"/>\n"
				  "    </signal>\n"
				  "  </interface>\n";

/* The next argument of "s xml, u flags". Return: 1, 0 at the end, -EINVAL. */
static int next_arg(const char **at, char type[ARG_TYPE_MAX], char name[ARG_NAME_MAX])
{
	const char *s = *at + strspn(*at, ", ");
	size_t type_len = strcspn(s, " ,"), name_len;

	if (!*s)
		return 0;
	if (!type_len || type_len >= ARG_TYPE_MAX || s[type_len] != ' ')
		return -EINVAL;
	memcpy(type, s, type_len);
	type[type_len] = 0;
	s += type_len + 1;
	name_len = strcspn(s, " ,");
	if (!name_len || name_len >= ARG_NAME_MAX)
		return -EINVAL;
	memcpy(name, s, name_len);
	name[name_len] = 0;
	*at = s + name_len;
	return 1;
}

int msgbus_signature(const char *args, char *ret, size_t size)
{
	char type[ARG_TYPE_MAX], name[ARG_NAME_MAX];
	size_t used = 0;
	int r;

	if (!size)
		return -ENOSPC;
	ret[0] = 0;
	while ((r = next_arg(&args, type, name)) > 0) {
		size_t len = strlen(type);

		if (used + len >= size)
			return -ENOSPC;
		memcpy(ret + used, type, len + 1);
		used += len;
	}
	return r < 0 ? r : dbus_signature_validate(ret, NULL) ? 0 : -EINVAL;
}

static void print_args(FILE *f, const char *args, const char *direction)
{
	char type[ARG_TYPE_MAX], name[ARG_NAME_MAX];

	while (next_arg(&args, type, name) > 0) {
		fprintf(f, "      <arg name=\"%s\" type=\"%s\"", name, type);
		if (direction)
			fprintf(f, " direction=\"%s\"", direction);
		fputs("/>\n", f);
	}
}

static void print_method(FILE *f, const struct msgbus_method *m)
{
	if (!*m->in && !*m->out) {
		fprintf(f, "    <method name=\"%s\"/>\n", m->name);
		return;
	}
	fprintf(f, "    <method name=\"%s\">\n", m->name);
	print_args(f, m->in, "in");
	print_args(f, m->out, "out");
	fputs("    </method>\n", f);
}

static void print_property(FILE *f, const struct msgbus_property *p)
{
	fprintf(f, "    <property name=\"%s\" type=\"%s\" access=\"read\"", p->name, p->type);
	if (p->emits == MSGBUS_CONST)
		fprintf(f, ">\n      <annotation name=\"%s\" value=\"const\"/>\n    </property>\n", EMITS_ANNOTATION);
	else
		fputs("/>\n", f);
}

static void print_interface(FILE *f, const struct msgbus_interface *interface)
{
	fprintf(f, "  <interface name=\"%s\">\n", interface->name);
	for (const struct msgbus_method *m = interface->methods; m && m->name; m++)
		print_method(f, m);
	for (const struct msgbus_signal *s = interface->signals; s && s->name; s++) {
		fprintf(f, "    <signal name=\"%s\">\n", s->name);
		print_args(f, s->args, NULL);
		fputs("    </signal>\n", f);
	}
	for (const struct msgbus_property *p = interface->properties; p && p->name; p++)
		print_property(f, p);
	fputs("  </interface>\n", f);
}

char *msgbus_interface_xml(const struct msgbus_interface *interface)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	print_interface(f, interface);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

bool msgbus_is_below(const char *path, const char *top)
{
	size_t len = strlen(top);

	if (!strcmp(top, "/"))
		return path[1] != 0;
	return !strncmp(path, top, len) && path[len] == '/';
}

/* The name of @path's part right below @top. */
static const char *child_of(const char *path, const char *top, size_t *ret_len)
{
	const char *child = path + (strcmp(top, "/") ? strlen(top) + 1 : 1);

	*ret_len = strcspn(child, "/");
	return child;
}

/* Each child once: at the first object of the list that has it. */
static bool first_with_child(struct msgbus *bus, const char *top, const struct msgbus_object *object)
{
	size_t len, other_len;
	const char *child = child_of(object->path, top, &len);

	for (const struct msgbus_object *o = bus->objects; o && o != object; o = o->next) {
		const char *other;

		if (!msgbus_is_below(o->path, top))
			continue;
		other = child_of(o->path, top, &other_len);
		if (other_len == len && !memcmp(other, child, len))
			return false;
	}
	return true;
}

static unsigned int print_node(FILE *f, struct msgbus *bus, const char *path)
{
	unsigned int found = 0;

	fputs(DBUS_INTROSPECT_1_0_XML_DOCTYPE_DECL_NODE "<node>\n", f);
	for (const struct msgbus_object *o = bus->objects; o; o = o->next) {
		if (strcmp(o->path, path))
			continue;
		found++;
		fputs(PROPERTIES_XML, f);
		for (size_t i = 0; o->interfaces[i]; i++)
			print_interface(f, o->interfaces[i]);
	}
	if (!strcmp(bus->manager_path, path)) {
		found++;
		fputs(MANAGER_XML, f);
	}
	fputs(STANDARD_XML, f);
	for (const struct msgbus_object *o = bus->objects; o; o = o->next) {
		size_t len;
		const char *child;

		if (!msgbus_is_below(o->path, path))
			continue;
		found++;
		child = child_of(o->path, path, &len);
		if (first_with_child(bus, path, o))
			fprintf(f, "  <node name=\"%.*s\"/>\n", (int)len, child);
	}
	fputs("</node>\n", f);
	return found;
}

char *msgbus_introspect(struct msgbus *bus, const char *path)
{
	unsigned int found;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	found = print_node(f, bus, path);
	if (fclose(f) || !found) {
		free(text);
		return NULL;
	}
	return text;
}
