/* SPDX-License-Identifier: Apache-2.0 */
/* What the implemented elements of a definition mean: one function for each, which checks the value and stores it. */
#include <ctype.h>
#include <errno.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "domain_xml_int.h"

static void cleanup_xml_free(xmlChar **s)
{
	if (*s)
		xmlFree(*s);
}

/* ---- reading nodes ---- */

static char *stripped(xmlChar *content)
{
	const char *start = (const char *)content, *end;
	char *copy;

	if (!content)
		return NULL;
	while (isspace((unsigned char)*start))
		start++;
	end = start + strlen(start);
	while (end > start && isspace((unsigned char)end[-1]))
		end--;
	copy = strndup(start, (size_t)(end - start));
	return copy;
}

static char *node_text(xmlNode *node)
{
	_cleanup_(cleanup_xml_free) xmlChar *content = node ? xmlNodeGetContent(node) : NULL;

	return stripped(content);
}

static char *attr(xmlNode *node, const char *name)
{
	_cleanup_(cleanup_xml_free) xmlChar *content = node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;

	return stripped(content);
}

xmlNode *domain_xml_child(xmlNode *node, const char *name)
{
	for (xmlNode *c = node->children; c; c = c->next) {
		if (c->type == XML_ELEMENT_NODE && !strcmp((const char *)c->name, name))
			return c;
	}
	return NULL;
}

static bool is_text_clean(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

static int parse_u64(const char *s, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (!s || !isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || *end)
		return -EINVAL;
	*ret = v;
	return 0;
}

/* An absolute path that can be shown on one line; complains itself. */
static char *read_path(struct domain_parser *p, const char *where, char *path)
{
	if (path && path[0] == '/' && is_text_clean(path) && strlen(path) < 4096)
		return path;
	domain_refuse(p, -EINVAL, where, path && *path ? "'%s' is not an absolute path" : "the path is missing%s",
		      path && *path ? path : "");
	free(path);
	return NULL;
}

/* ---- one function for each row of `fields` ---- */

static void set_domain(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = attr(node, "type");

	if (!type || strcmp(type, "kvm"))
		domain_refuse(p, -EOPNOTSUPP, where, "type is '%s': only 'kvm' is supported", type ? type : "");
}

static void set_name(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *name = node_text(node);

	if (!name || !*name)
		domain_refuse(p, -EINVAL, where, "it is empty");
	else if (strlen(name) >= DOMAIN_NAME_MAX)
		domain_refuse(p, -EINVAL, where, "it is longer than %u bytes", DOMAIN_NAME_MAX - 1);
	else if (strchr(name, '/') || name[0] == '-' || name[0] == '.' || !is_text_clean(name))
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
	_cleanup_free_ char *uuid = node_text(node);

	if (!uuid || domain_uuid_normalise(uuid, p->d->uuid) < 0)
		domain_refuse(p, -EINVAL, where, "'%s' is not a UUID", uuid ? uuid : "");
}

static int read_bytes(struct domain_parser *p, xmlNode *node, const char *where, uint64_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t bytes;
	} units[] = {
		{"b", 1},	   {"bytes", 1},	{"KB", 1000},
		{"k", 1ull << 10}, {"KiB", 1ull << 10}, {"MB", 1000000},
		{"M", 1ull << 20}, {"MiB", 1ull << 20}, {"GB", 1000000000},
		{"G", 1ull << 30}, {"GiB", 1ull << 30}, {"TB", 1000000000000},
		{"T", 1ull << 40}, {"TiB", 1ull << 40},
	};
	_cleanup_free_ char *text = node_text(node), *unit = attr(node, "unit");
	uint64_t value;

	if (parse_u64(text, &value) < 0) {
		domain_refuse(p, -EINVAL, where, "'%s' is not a number", text ? text : "");
		return -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(unit ? unit : "KiB", units[i].unit))
			continue;
		if (__builtin_mul_overflow(value, units[i].bytes, ret))
			*ret = UINT64_MAX;
		return 0;
	}
	domain_refuse(p, -EINVAL, where, "unit '%s' is not known: use KiB, MiB or GiB", unit);
	return -EINVAL;
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
	_cleanup_free_ char *text = node_text(node), *current = attr(node, "current");
	uint64_t cpus, now;

	p->has_cpus = true;
	if (parse_u64(text, &cpus) < 0 || cpus < 1 || cpus > DOMAIN_CPUS_MAX) {
		domain_refuse(p, -EINVAL, where, "'%s': it must be between 1 and %u", text ? text : "",
			      DOMAIN_CPUS_MAX);
		return;
	}
	if (current && (parse_u64(current, &now) < 0 || now != cpus))
		domain_refuse(p, -EOPNOTSUPP, where, "current='%s': processors cannot be added later: use %u", current,
			      (unsigned int)cpus);
	p->d->cpus = (unsigned int)cpus;
}

static void set_os_type(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = node_text(node), *arch = attr(node, "arch");

	if (!type || strcmp(type, "hvm"))
		domain_refuse(p, -EOPNOTSUPP, where, "'%s': only 'hvm' is supported", type ? type : "");
	if (arch && strcmp(arch, "x86_64"))
		domain_refuse(p, -EOPNOTSUPP, where, "arch '%s': only 'x86_64' is supported", arch);
}

static void set_kernel(struct domain_parser *p, xmlNode *node, const char *where)
{
	free(p->d->kernel); /* an element given twice is complained of elsewhere */
	p->d->kernel = read_path(p, where, node_text(node));
}

static void set_initrd(struct domain_parser *p, xmlNode *node, const char *where)
{
	free(p->d->initrd); /* an element given twice is complained of elsewhere */
	p->d->initrd = read_path(p, where, node_text(node));
}

static void set_cmdline(struct domain_parser *p, xmlNode *node, const char *where)
{
	char *text = node_text(node);

	if (text && strlen(text) >= DOMAIN_CMDLINE_MAX)
		domain_refuse(p, -EINVAL, where, "it is longer than %u bytes", DOMAIN_CMDLINE_MAX - 1);
	else if (text && !is_text_clean(text))
		domain_refuse(p, -EINVAL, where, "it has line breaks or control characters");
	free(p->d->cmdline);
	p->d->cmdline = text;
}

static enum domain_event read_event(struct domain_parser *p, xmlNode *node, const char *where, bool crash)
{
	_cleanup_free_ char *text = node_text(node);

	if (text && !strcmp(text, "destroy"))
		return DOMAIN_EVENT_DESTROY;
	if (text && !strcmp(text, "restart"))
		return DOMAIN_EVENT_RESTART;
	if (text && crash && !strcmp(text, "preserve"))
		return DOMAIN_EVENT_PRESERVE;
	domain_refuse(p, -EOPNOTSUPP, where, "'%s' is not supported: use 'destroy'%s 'restart'%s", text ? text : "",
		      crash ? "," : " or", crash ? " or 'preserve'" : "");
	return DOMAIN_EVENT_DEFAULT;
}

static void set_on_poweroff(struct domain_parser *p, xmlNode *node, const char *where)
{
	p->d->on_poweroff = read_event(p, node, where, false);
}

static void set_on_reboot(struct domain_parser *p, xmlNode *node, const char *where)
{
	p->d->on_reboot = read_event(p, node, where, false);
}

static void set_on_crash(struct domain_parser *p, xmlNode *node, const char *where)
{
	p->d->on_crash = read_event(p, node, where, true);
}

/* ---- disks ---- */

/* "sda" 0, "sdz" 25, "sdaa" 26. Return: -EINVAL for other names, -ERANGE beyond the controller's LUNs. */
static int target_lun(const char *target, unsigned int *ret)
{
	unsigned int n = 0;

	if (strncmp(target, "sd", 2) || !target[2] || strlen(target) > 4)
		return -EINVAL;
	for (const char *s = target + 2; *s; s++) {
		if (*s < 'a' || *s > 'z')
			return -EINVAL;
		n = n * 26 + (unsigned int)(*s - 'a') + 1;
	}
	if (n > DOMAIN_LUNS_MAX)
		return -ERANGE;
	*ret = n - 1;
	return 0;
}

static void disk_cache(struct domain_parser *p, struct domain_disk *disk, xmlNode *driver, const char *where)
{
	static const struct {
		const char *name;
		bool direct, sync, unsafe_flush;
	} caches[] = {
		{"default", false, false, false},  {"writeback", false, false, false},
		{"none", true, false, false},	   {"writethrough", false, true, false},
		{"directsync", true, true, false}, {"unsafe", false, false, true},
	};
	_cleanup_free_ char *type = attr(driver, "type"), *cache = attr(driver, "cache");

	if (type && strcmp(type, "raw"))
		domain_refuse(p, -EOPNOTSUPP, where,
			      "driver type '%s': only 'raw' is supported: qemu-img convert -O raw makes one", type);
	for (size_t i = 0; i < ARRAY_SIZE(caches); i++) {
		if (strcmp(cache ? cache : "default", caches[i].name))
			continue;
		disk->direct = caches[i].direct;
		disk->sync = caches[i].sync;
		disk->unsafe_flush = caches[i].unsafe_flush;
		return;
	}
	domain_refuse(p, -EINVAL, where,
		      "driver cache '%s' is not known: use none, writeback, writethrough, directsync or unsafe", cache);
}

static void disk_source(struct domain_parser *p, struct domain_disk *disk, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = attr(node, "type");
	xmlNode *source = domain_xml_child(node, "source");

	if (!type || !strcmp(type, "file"))
		disk->type = DOMAIN_DISK_FILE;
	else if (!strcmp(type, "block"))
		disk->type = DOMAIN_DISK_BLOCK;
	else
		domain_refuse(p, -EOPNOTSUPP, where, "type '%s': only 'file' and 'block' are supported", type);
	if (!source)
		domain_refuse(p, -EINVAL, where, "it has no <source>: name its image");
	else
		disk->image = read_path(p, where, attr(source, disk->type == DOMAIN_DISK_FILE ? "file" : "dev"));
}

static void disk_target(struct domain_parser *p, struct domain_disk *disk, xmlNode *node, const char *where)
{
	xmlNode *target = domain_xml_child(node, "target");
	_cleanup_free_ char *dev = attr(target, "dev"), *bus = attr(target, "bus");
	int r;

	if (bus && strcmp(bus, "scsi")) {
		domain_refuse(p, -EOPNOTSUPP, where, "bus '%s' is not supported: use bus='scsi' and dev='sda'", bus);
		return;
	}
	r = dev ? target_lun(dev, &disk->lun) : -EINVAL;
	if (r == -ERANGE) {
		domain_refuse(p, -EINVAL, where, "target '%s': a controller has %u disks: sda to sdbl", dev,
			      DOMAIN_LUNS_MAX);
	} else if (r < 0) {
		domain_refuse(p, -EINVAL, where, "target '%s': it must be sda, sdb ...", dev ? dev : "");
	} else {
		strcpy(disk->target, dev);
		for (size_t i = 0; i < p->d->disk_count; i++) {
			if (!strcmp(p->d->disks[i].target, dev))
				domain_refuse(p, -EINVAL, where, "target '%s' is taken by another disk", dev);
		}
	}
}

static void disk_details(struct domain_parser *p, struct domain_disk *disk, xmlNode *node, const char *where)
{
	xmlNode *blockio = domain_xml_child(node, "blockio"), *serial = domain_xml_child(node, "serial");
	_cleanup_free_ char *bytes = attr(blockio, "logical_block_size"), *text = node_text(serial);
	uint64_t value = 512;

	if (bytes && (parse_u64(bytes, &value) < 0 || (value != 512 && value != 4096)))
		domain_refuse(p, -EOPNOTSUPP, where, "logical_block_size '%s': only 512 and 4096 are supported", bytes);
	disk->block_bytes = (unsigned int)value;
	disk->readonly = domain_xml_child(node, "readonly") != NULL;
	for (const char *s = text; s && *s; s++) {
		if (*s <= 0x20 || *s > 0x7e) {
			domain_refuse(p, -EINVAL, where, "serial: only printable ASCII without spaces");
			return;
		}
	}
	if (text && strlen(text) >= DOMAIN_SERIAL_MAX)
		domain_refuse(p, -EINVAL, where, "serial: it is longer than %u characters", DOMAIN_SERIAL_MAX - 1);
	else if (text)
		strcpy(disk->serial, text);
}

static void disk_twice(struct domain_parser *p, const struct domain_disk *disk, const char *where)
{
	for (size_t i = 0; i < p->d->disk_count && disk->image; i++) {
		const struct domain_disk *other = &p->d->disks[i];

		if (other->image && !strcmp(other->image, disk->image) && !(other->readonly && disk->readonly))
			domain_refuse(p, -EINVAL, where, "image %s is that of disk %s, too", disk->image,
				      other->target);
	}
}

static void add_disk(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *device = attr(node, "device");
	xmlNode *backing = domain_xml_child(node, "backingStore");
	struct domain_disk disk = {0};

	if (device && strcmp(device, "disk")) {
		domain_refuse(p, -EOPNOTSUPP, where, "device '%s': only 'disk' is supported: remove it", device);
		return;
	}
	if (p->d->disk_count >= DOMAIN_DISKS_MAX) {
		domain_refuse(p, -EOPNOTSUPP, where, "more than %u disks are not supported", DOMAIN_DISKS_MAX);
		return;
	}
	if (backing && xmlFirstElementChild(backing))
		domain_refuse(p, -EOPNOTSUPP, where,
			      "backing files are not supported: qemu-img convert -O raw makes one image");
	disk_source(p, &disk, node, where);
	disk_cache(p, &disk, domain_xml_child(node, "driver"), where);
	disk_target(p, &disk, node, where);
	disk_details(p, &disk, node, where);
	disk_twice(p, &disk, where);
	p->d->disks[p->d->disk_count++] = disk;
}

/* ---- the serial port ---- */

static bool is_yes(const char *s)
{
	return s && (!strcmp(s, "on") || !strcmp(s, "yes"));
}

static void set_log(struct domain_parser *p, char *file, const char *append, const char *where)
{
	file = read_path(p, where, file);
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
	_cleanup_free_ char *type = attr(node, "type"), *port = attr(domain_xml_child(node, "target"), "port"),
			    *append = NULL;
	xmlNode *log = domain_xml_child(node, "log"), *source = domain_xml_child(node, "source");

	if (port && strcmp(port, "0")) {
		domain_refuse(p, -EOPNOTSUPP, where, "port %s: there is one serial port, 0: remove it", port);
		return;
	}
	if (type && !strcmp(type, "file")) {
		append = attr(source, "append");
		set_log(p, attr(source, "path"), append, where);
	} else if (type && strcmp(type, "pty")) {
		domain_refuse(p, -EOPNOTSUPP, where, "type '%s': only 'pty' and 'file' are supported", type);
	}
	if (log) {
		free(append);
		append = attr(log, "append");
		set_log(p, attr(log, "file"), append, where);
	}
}

static void set_console(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = attr(domain_xml_child(node, "target"), "type");

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
	{"/domain/os", false, NULL},
	{"/domain/os/type", false, set_os_type},
	{"/domain/os/kernel", false, set_kernel},
	{"/domain/os/initrd", false, set_initrd},
	{"/domain/os/cmdline", false, set_cmdline},
	{"/domain/on_poweroff", false, set_on_poweroff},
	{"/domain/on_reboot", false, set_on_reboot},
	{"/domain/on_crash", false, set_on_crash},
	{"/domain/devices", false, NULL},
	{"/domain/devices/disk", true, add_disk},
	{"/domain/devices/disk/driver", false, NULL},
	{"/domain/devices/disk/source", false, NULL},
	{"/domain/devices/disk/target", false, NULL},
	{"/domain/devices/disk/blockio", false, NULL},
	{"/domain/devices/disk/serial", false, NULL},
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
