/* SPDX-License-Identifier: Apache-2.0 */
/* What the implemented elements of a definition mean: one function for each, which checks the value and stores it. */
#include <ctype.h>
#include <errno.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uuid/uuid.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "domain_xml_int.h"

/* ---- one function for each row of `fields` ---- */

static void set_domain(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = domain_xml_attr(node, "type");

	if (!type || strcmp(type, "kvm"))
		domain_refuse(p, -EOPNOTSUPP, where, "type is '%s': only 'kvm' is supported", type ? type : "");
}

static void set_name(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *name = domain_xml_text(node);

	if (!name || !*name)
		domain_refuse(p, -EINVAL, where, "it is empty");
	else if (strlen(name) >= DOMAIN_NAME_MAX)
		domain_refuse(p, -EINVAL, where, "it is longer than %u bytes", DOMAIN_NAME_MAX - 1);
	else if (strchr(name, '/') || name[0] == '-' || name[0] == '.' || !domain_xml_clean(name))
		domain_refuse(p, -EINVAL, where, "'%s': no '/', no control character, no '-' or '.' at its start",
			      name);
	else
		strcpy(p->d->name, name);
}

int domain_uuid_normalise(const char *text, char ret[DOMAIN_UUID_MAX])
{
	char dashed[DOMAIN_UUID_MAX];
	size_t n = 0;
	uuid_t uuid;

	/* libvirt takes them with dashes anywhere, or none. */
	for (; *text; text++) {
		if (*text == '-' || *text == ' ')
			continue;
		if (!isxdigit((unsigned char)*text) || n >= DOMAIN_UUID_MAX - 1)
			return -EINVAL;
		dashed[n++] = (char)tolower((unsigned char)*text);
		if (n == 8 || n == 13 || n == 18 || n == 23)
			dashed[n++] = '-';
	}
	dashed[n] = 0;
	if (uuid_parse(dashed, uuid) < 0 || uuid_is_null(uuid))
		return -EINVAL;
	strcpy(ret, dashed);
	return 0;
}

static void set_uuid(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *uuid = domain_xml_text(node);

	if (!uuid || domain_uuid_normalise(uuid, p->d->uuid) < 0)
		domain_refuse(p, -EINVAL, where, "'%s' is not a UUID", uuid ? uuid : "");
}

/* A unit as libvirt takes it, in any case: "b", "byte", "bytes"; a letter alone or with "iB": powers of 1024; with "B":
 * of 1000. Return: bytes, 0 if it is none. */
static uint64_t unit_bytes(const char *unit)
{
	static const char letters[] = "kmgtpe";
	const char *at = *unit ? strchr(letters, tolower((unsigned char)*unit)) : NULL;
	uint64_t base = 1024, bytes = 1;

	if (!strcasecmp(unit, "b") || !strcasecmp(unit, "byte") || !strcasecmp(unit, "bytes"))
		return 1;
	if (!at)
		return 0;
	if (!strcasecmp(unit + 1, "b"))
		base = 1000;
	else if (unit[1] && strcasecmp(unit + 1, "ib"))
		return 0;
	for (const char *s = letters; s <= at; s++)
		bytes *= base;
	return bytes;
}

static int read_bytes(struct domain_parser *p, xmlNode *node, const char *where, uint64_t *ret)
{
	_cleanup_free_ char *text = domain_xml_text(node), *unit = domain_xml_attr(node, "unit");
	uint64_t value, bytes = unit_bytes(unit ? unit : "KiB");

	if (domain_xml_u64(text, &value) < 0) {
		domain_refuse(p, -EINVAL, where, "'%s' is not a number", text ? text : "");
		return -EINVAL;
	}
	if (!bytes) {
		domain_refuse(p, -EINVAL, where, "unit '%s' is not known: use KiB, MiB or GiB", unit);
		return -EINVAL;
	}
	if (__builtin_mul_overflow(value, bytes, ret))
		*ret = UINT64_MAX;
	return 0;
}

static void set_memory(struct domain_parser *p, xmlNode *node, const char *where)
{
	uint64_t bytes;

	p->has_memory = true;
	if (read_bytes(p, node, where, &bytes) < 0)
		return;
	if (bytes < DOMAIN_MEMORY_MIN || bytes > DOMAIN_MEMORY_MAX)
		domain_refuse(p, -EINVAL, where, "it must be between 1 MiB and 4 TiB");
	else
		p->d->memory_bytes = ALIGN_UP(bytes, 1ull << 20);
}

static void set_current_memory(struct domain_parser *p, xmlNode *node, const char *where)
{
	read_bytes(p, node, where, &p->current_memory_bytes);
}

static void set_huge_pages(struct domain_parser *p, xmlNode *node, const char *where)
{
	p->d->huge_pages = true;
}

static void set_vcpu(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *text = domain_xml_text(node), *current = domain_xml_attr(node, "current");
	uint64_t cpus, now;

	p->has_cpus = true;
	if (domain_xml_u64(text, &cpus) < 0 || cpus < 1 || cpus > DOMAIN_CPUS_MAX) {
		domain_refuse(p, -EINVAL, where, "'%s': it must be between 1 and %u", text ? text : "",
			      DOMAIN_CPUS_MAX);
		return;
	}
	if (current && (domain_xml_u64(current, &now) < 0 || now < 1 || now > cpus)) {
		domain_refuse(p, -EINVAL, where, "current='%s': it must be between 1 and %u", current,
			      (unsigned int)cpus);
		return;
	}
	if (current && now < cpus)
		domain_keep(p, where, "has no effect beyond current: processors cannot be added later");
	p->d->cpus = (unsigned int)(current ? now : cpus);
}

/* One thread serves all disks: the largest budget is its. */
static void set_poll(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *max = domain_xml_attr(node, "max");
	uint64_t ns = 0;

	if (max && (domain_xml_u64(max, &ns) < 0 || ns > DOMAIN_POLL_MAX_NS))
		domain_refuse(p, -EINVAL, where, "max '%s': nanoseconds, 0 (no polling) to %u", max,
			      DOMAIN_POLL_MAX_NS);
	else
		p->d->poll_max_ns = MAX(p->d->poll_max_ns, (unsigned int)ns);
}

static void set_os_type(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = domain_xml_text(node), *arch = domain_xml_attr(node, "arch");

	if (!type || strcmp(type, "hvm"))
		domain_refuse(p, -EOPNOTSUPP, where, "'%s': only 'hvm' is supported", type ? type : "");
	if (arch && strcmp(arch, "x86_64"))
		domain_refuse(p, -EOPNOTSUPP, where, "arch '%s': only 'x86_64' is supported", arch);
}

static void set_kernel(struct domain_parser *p, xmlNode *node, const char *where)
{
	free(p->d->kernel); /* an element given twice is complained of elsewhere */
	p->d->kernel = domain_xml_path(p, where, domain_xml_text(node));
}

static void set_initrd(struct domain_parser *p, xmlNode *node, const char *where)
{
	free(p->d->initrd); /* an element given twice is complained of elsewhere */
	p->d->initrd = domain_xml_path(p, where, domain_xml_text(node));
}

static void set_cmdline(struct domain_parser *p, xmlNode *node, const char *where)
{
	char *text = domain_xml_text(node);

	if (text && strlen(text) >= DOMAIN_CMDLINE_MAX)
		domain_refuse(p, -EINVAL, where, "it is longer than %u bytes", DOMAIN_CMDLINE_MAX - 1);
	else if (text && !domain_xml_clean(text))
		domain_refuse(p, -EINVAL, where, "it has line breaks or control characters");
	free(p->d->cmdline);
	p->d->cmdline = text;
}

/* libvirt's values; what is not implemented has the reason instead. */
struct event_value {
	const char *name;
	enum domain_event event;
	const char *refusal;
};

#define RENAME "a VM is not renamed: use 'restart'"
#define DUMP   "there are no memory dumps: use 'preserve', or the guest's own kdump with"

static const struct event_value off_values[] = {
	{"destroy", DOMAIN_EVENT_DESTROY, NULL},
	{"restart", DOMAIN_EVENT_RESTART, NULL},
	{"preserve", DOMAIN_EVENT_DEFAULT, "a VM that is off has nothing to preserve: use 'destroy'"},
	{"rename-restart", DOMAIN_EVENT_DEFAULT, RENAME},
	{NULL},
};

static const struct event_value crash_values[] = {
	{"destroy", DOMAIN_EVENT_DESTROY, NULL},
	{"restart", DOMAIN_EVENT_RESTART, NULL},
	{"preserve", DOMAIN_EVENT_PRESERVE, NULL},
	{"rename-restart", DOMAIN_EVENT_DEFAULT, RENAME},
	{"coredump-destroy", DOMAIN_EVENT_DEFAULT, DUMP " 'destroy'"},
	{"coredump-restart", DOMAIN_EVENT_DEFAULT, DUMP " 'restart'"},
	{NULL},
};

static enum domain_event read_event(struct domain_parser *p, xmlNode *node, const char *where,
				    const struct event_value *values)
{
	_cleanup_free_ char *text = domain_xml_text(node);
	const struct event_value *v = values;

	while (v->name && strcmp(text ? text : "", v->name))
		v++;
	if (!v->name)
		domain_refuse(p, -EINVAL, where, "'%s' is not known: use 'destroy'%s 'restart'%s", text ? text : "",
			      values == crash_values ? "," : " or", values == crash_values ? " or 'preserve'" : "");
	else if (v->refusal)
		domain_refuse(p, -EOPNOTSUPP, where, "'%s': %s", text, v->refusal);
	return v->event;
}

static void set_on_poweroff(struct domain_parser *p, xmlNode *node, const char *where)
{
	p->d->on_poweroff = read_event(p, node, where, off_values);
}

static void set_on_reboot(struct domain_parser *p, xmlNode *node, const char *where)
{
	p->d->on_reboot = read_event(p, node, where, off_values);
}

static void set_on_crash(struct domain_parser *p, xmlNode *node, const char *where)
{
	p->d->on_crash = read_event(p, node, where, crash_values);
}

/* ---- the serial port ---- */

static bool is_yes(const char *s)
{
	return s && (!strcmp(s, "on") || !strcmp(s, "yes"));
}

static void set_log(struct domain_parser *p, char *file, const char *append, const char *where)
{
	file = domain_xml_path(p, where, file);
	if (!file)
		return;
	/* <serial> and the <console> that mirrors it say the same. */
	if (p->d->console_log && strcmp(p->d->console_log, file))
		domain_refuse(p, -EINVAL, where, "the serial port has a log already: %s", p->d->console_log);
	free(p->d->console_log);
	p->d->console_log = file;
	p->d->console_log_append = is_yes(append);
}

static void set_serial(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = domain_xml_attr(node, "type"),
			    *port = domain_xml_attr(domain_xml_child(node, "target"), "port"), *append = NULL;
	xmlNode *log = domain_xml_child(node, "log"), *source = domain_xml_child(node, "source");

	if (port && strcmp(port, "0")) {
		domain_refuse(p, -EOPNOTSUPP, where, "port %s: there is one serial port, 0: remove it", port);
		return;
	}
	if (type && !strcmp(type, "file")) {
		append = domain_xml_attr(source, "append");
		set_log(p, domain_xml_attr(source, "path"), append, where);
	} else if (type && strcmp(type, "pty")) {
		domain_refuse(p, -EOPNOTSUPP, where, "type '%s': only 'pty' and 'file' are supported", type);
	}
	if (log) {
		free(append);
		append = domain_xml_attr(log, "append");
		set_log(p, domain_xml_attr(log, "file"), append, where);
	}
}

static void set_console(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = domain_xml_attr(domain_xml_child(node, "target"), "type");

	if (type && strcmp(type, "serial"))
		domain_refuse(p, -EOPNOTSUPP, where, "target type '%s': only 'serial' is supported", type);
	else
		set_serial(p, node, where);
}

static const struct domain_field fields[] = {
	{"/domain", false, set_domain},
	{"/domain/name", false, set_name},
	{"/domain/uuid", false, set_uuid},
	{"/domain/memory", false, set_memory},
	{"/domain/currentMemory", false, set_current_memory},
	{"/domain/memoryBacking", false, NULL},
	{"/domain/memoryBacking/hugepages", false, set_huge_pages},
	{"/domain/vcpu", false, set_vcpu},
	{"/domain/iothreadids", false, NULL},
	{"/domain/iothreadids/iothread", true, NULL},
	{"/domain/iothreadids/iothread/poll", true, set_poll},
	{"/domain/os", false, NULL},
	{"/domain/os/type", false, set_os_type},
	{"/domain/os/kernel", false, set_kernel},
	{"/domain/os/initrd", false, set_initrd},
	{"/domain/os/cmdline", false, set_cmdline},
	{"/domain/on_poweroff", false, set_on_poweroff},
	{"/domain/on_reboot", false, set_on_reboot},
	{"/domain/on_crash", false, set_on_crash},
	{"/domain/devices", false, NULL},
	{"/domain/devices/disk", true, domain_xml_disk},
	{"/domain/devices/disk/driver", false, NULL},
	{"/domain/devices/disk/source", false, NULL},
	{"/domain/devices/disk/target", false, NULL},
	{"/domain/devices/disk/blockio", false, NULL},
	{"/domain/devices/disk/serial", false, NULL},
	{"/domain/devices/disk/address", false, NULL},
	{"/domain/devices/disk/iotune", false, NULL},
	{"/domain/devices/disk/iotune/size_iops_sec", false, NULL},
	{"/domain/devices/disk/iotune/group_name", false, NULL},
	{"/domain/devices/disk/iotune/total_bytes_sec", false, NULL},
	{"/domain/devices/disk/iotune/total_bytes_sec_max", false, NULL},
	{"/domain/devices/disk/iotune/total_bytes_sec_max_length", false, NULL},
	{"/domain/devices/disk/iotune/read_bytes_sec", false, NULL},
	{"/domain/devices/disk/iotune/read_bytes_sec_max", false, NULL},
	{"/domain/devices/disk/iotune/read_bytes_sec_max_length", false, NULL},
	{"/domain/devices/disk/iotune/write_bytes_sec", false, NULL},
	{"/domain/devices/disk/iotune/write_bytes_sec_max", false, NULL},
	{"/domain/devices/disk/iotune/write_bytes_sec_max_length", false, NULL},
	{"/domain/devices/disk/iotune/total_iops_sec", false, NULL},
	{"/domain/devices/disk/iotune/total_iops_sec_max", false, NULL},
	{"/domain/devices/disk/iotune/total_iops_sec_max_length", false, NULL},
	{"/domain/devices/disk/iotune/read_iops_sec", false, NULL},
	{"/domain/devices/disk/iotune/read_iops_sec_max", false, NULL},
	{"/domain/devices/disk/iotune/read_iops_sec_max_length", false, NULL},
	{"/domain/devices/disk/iotune/write_iops_sec", false, NULL},
	{"/domain/devices/disk/iotune/write_iops_sec_max", false, NULL},
	{"/domain/devices/disk/iotune/write_iops_sec_max_length", false, NULL},
	{"/domain/devices/disk/bulkhead:faults", false, NULL},
	{"/domain/devices/interface", true, domain_xml_nic},
	{"/domain/devices/interface/source", false, NULL},
	{"/domain/devices/interface/mac", false, NULL},
	{"/domain/devices/interface/model", false, NULL},
	{"/domain/devices/interface/target", false, NULL},
	{"/domain/devices/interface/backend", false, NULL},
	{"/domain/devices/interface/driver", false, NULL},
	{"/domain/devices/interface/alias", false, NULL},
	{"/domain/devices/interface/link", false, NULL},
	{"/domain/devices/interface/mtu", false, NULL},
	{"/domain/devices/interface/bandwidth", false, NULL},
	{"/domain/devices/interface/bandwidth/inbound", false, NULL},
	{"/domain/devices/interface/bandwidth/outbound", false, NULL},
	{"/domain/devices/interface/vlan", false, NULL},
	{"/domain/devices/serial", true, set_serial},
	{"/domain/devices/serial/log", false, NULL},
	{"/domain/devices/serial/source", false, NULL},
	{"/domain/devices/console", true, set_console},
	{"/domain/devices/console/log", false, NULL},
	{"/domain/devices/console/source", false, NULL},
};

const struct domain_field *domain_field_find(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!strcmp(fields[i].path, path))
			return &fields[i];
	}
	return NULL;
}
