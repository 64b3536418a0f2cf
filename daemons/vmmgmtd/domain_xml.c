/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's domain XML to struct domain; the only place that includes libxml2.
 *
 * Theory of operation: the text is parsed without entities, without a DTD and without the network. One walk over the
 * tree puts every element and attribute into one of the three lists (domain_rules.c) and, for those that have a row in
 * `fields`, calls the row's function, which checks the value and stores it. Complaints are collected, so that one look
 * shows them all; at the end what must be there is checked.
 *
 * Limits: DOMAIN_XML_MAX bytes, DOMAIN_DEPTH_MAX levels, ELEMENTS_MAX elements, REPORT_MAX entries of a list.
 */
#include "domain.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "domain_rules.h"

#define PATH_TEXT_MAX 512
#define REPORT_MAX    1024
#define ELEMENTS_MAX  4096u /* outside of what is merely kept */

struct parser {
	struct domain *d;
	struct domain_report *report;
	int code; /* of the first complaint */
	uint64_t current_memory_bytes;
	unsigned int elements; /* walked */
	bool has_memory, has_cpus;
};

static void cleanup_xml_doc(xmlDoc **doc)
{
	xmlFreeDoc(*doc);
}

static void cleanup_xml_free(xmlChar **s)
{
	if (*s)
		xmlFree(*s);
}

/* ---- the lists ---- */

static void list_add(char ***list, size_t *count, const char *text)
{
	char **more;

	if (*count >= REPORT_MAX)
		return;
	more = reallocarray(*list, *count + 2, sizeof(**list));
	if (!more)
		return;
	*list = more;
	more[*count] = strdup(text);
	if (!more[*count])
		return;
	text_clean(more[*count]);
	more[++*count] = NULL;
}

static void refuse(struct parser *p, int code, const char *where, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void refuse(struct parser *p, int code, const char *where, const char *fmt, ...)
{
	char text[PATH_TEXT_MAX + ERR_TEXT_MAX];
	int n = snprintf(text, sizeof(text), "%s: ", where);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	if (!p->code)
		p->code = code;
	list_add(&p->report->refused, &p->report->refused_count, text);
}

static void keep(struct parser *p, const char *where, const char *reason)
{
	char text[PATH_TEXT_MAX + ERR_TEXT_MAX];

	snprintf(text, sizeof(text), "%s: %s", where, reason);
	list_add(&p->report->kept, &p->report->kept_count, text);
}

static void list_free(char ***list, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		free((*list)[i]);
	free(*list);
	*list = NULL;
	*count = 0;
}

void domain_report_done(struct domain_report *report)
{
	list_free(&report->implemented, &report->implemented_count);
	list_free(&report->kept, &report->kept_count);
	list_free(&report->refused, &report->refused_count);
}

void domain_done(struct domain *d)
{
	free(d->kernel);
	free(d->initrd);
	free(d->cmdline);
	free(d->console_log);
	free(d->xml);
	for (size_t i = 0; i < d->disk_count; i++)
		free(d->disks[i].image);
	*d = (struct domain){0};
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

static xmlNode *child(xmlNode *node, const char *name)
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
static char *read_path(struct parser *p, const char *where, char *path)
{
	if (path && path[0] == '/' && is_text_clean(path) && strlen(path) < 4096)
		return path;
	refuse(p, -EINVAL, where, path && *path ? "'%s' is not an absolute path" : "the path is missing%s",
	       path && *path ? path : "");
	free(path);
	return NULL;
}

/* ---- one function for each row of `fields` ---- */

static void set_domain(struct parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = attr(node, "type");

	if (!type || strcmp(type, "kvm"))
		refuse(p, -EOPNOTSUPP, where, "type is '%s': only 'kvm' is supported", type ? type : "");
}

static void set_name(struct parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *name = node_text(node);

	if (!name || !*name)
		refuse(p, -EINVAL, where, "it is empty");
	else if (strlen(name) >= DOMAIN_NAME_MAX)
		refuse(p, -EINVAL, where, "it is longer than %u bytes", DOMAIN_NAME_MAX - 1);
	else if (strchr(name, '/') || name[0] == '-' || name[0] == '.' || !is_text_clean(name))
		refuse(p, -EINVAL, where, "'%s': no '/', no control character, no '-' or '.' at its start", name);
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

static void set_uuid(struct parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *uuid = node_text(node);

	if (!uuid || domain_uuid_normalise(uuid, p->d->uuid) < 0)
		refuse(p, -EINVAL, where, "'%s' is not a UUID", uuid ? uuid : "");
}

static int read_bytes(struct parser *p, xmlNode *node, const char *where, uint64_t *ret)
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
		refuse(p, -EINVAL, where, "'%s' is not a number", text ? text : "");
		return -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(unit ? unit : "KiB", units[i].unit))
			continue;
		if (__builtin_mul_overflow(value, units[i].bytes, ret))
			*ret = UINT64_MAX;
		return 0;
	}
	refuse(p, -EINVAL, where, "unit '%s' is not known: use KiB, MiB or GiB", unit);
	return -EINVAL;
}

static void set_memory(struct parser *p, xmlNode *node, const char *where)
{
	uint64_t bytes;

	p->has_memory = true;
	if (read_bytes(p, node, where, &bytes) < 0)
		return;
	if (bytes < DOMAIN_MEMORY_MIN || bytes > DOMAIN_MEMORY_MAX)
		refuse(p, -EINVAL, where, "it must be between 1 MiB and 4 TiB");
	else
		p->d->memory_bytes = ALIGN_UP(bytes, 1ull << 20);
}

static void set_current_memory(struct parser *p, xmlNode *node, const char *where)
{
	read_bytes(p, node, where, &p->current_memory_bytes);
}

static void set_huge_pages(struct parser *p, xmlNode *node, const char *where)
{
	p->d->huge_pages = true;
}

static void set_vcpu(struct parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *text = node_text(node), *current = attr(node, "current");
	uint64_t cpus, now;

	p->has_cpus = true;
	if (parse_u64(text, &cpus) < 0 || cpus < 1 || cpus > DOMAIN_CPUS_MAX) {
		refuse(p, -EINVAL, where, "'%s': it must be between 1 and %u", text ? text : "", DOMAIN_CPUS_MAX);
		return;
	}
	if (current && (parse_u64(current, &now) < 0 || now != cpus))
		refuse(p, -EOPNOTSUPP, where, "current='%s': processors cannot be added later: use %u", current,
		       (unsigned int)cpus);
	p->d->cpus = (unsigned int)cpus;
}

static void set_os_type(struct parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = node_text(node), *arch = attr(node, "arch");

	if (!type || strcmp(type, "hvm"))
		refuse(p, -EOPNOTSUPP, where, "'%s': only 'hvm' is supported", type ? type : "");
	if (arch && strcmp(arch, "x86_64"))
		refuse(p, -EOPNOTSUPP, where, "arch '%s': only 'x86_64' is supported", arch);
}

static void set_kernel(struct parser *p, xmlNode *node, const char *where)
{
	free(p->d->kernel); /* an element given twice is complained of elsewhere */
	p->d->kernel = read_path(p, where, node_text(node));
}

static void set_initrd(struct parser *p, xmlNode *node, const char *where)
{
	free(p->d->initrd); /* an element given twice is complained of elsewhere */
	p->d->initrd = read_path(p, where, node_text(node));
}

static void set_cmdline(struct parser *p, xmlNode *node, const char *where)
{
	char *text = node_text(node);

	if (text && strlen(text) >= DOMAIN_CMDLINE_MAX)
		refuse(p, -EINVAL, where, "it is longer than %u bytes", DOMAIN_CMDLINE_MAX - 1);
	else if (text && !is_text_clean(text))
		refuse(p, -EINVAL, where, "it has line breaks or control characters");
	free(p->d->cmdline);
	p->d->cmdline = text;
}

static enum domain_event read_event(struct parser *p, xmlNode *node, const char *where, bool crash)
{
	_cleanup_free_ char *text = node_text(node);

	if (text && !strcmp(text, "destroy"))
		return DOMAIN_EVENT_DESTROY;
	if (text && !strcmp(text, "restart"))
		return DOMAIN_EVENT_RESTART;
	if (text && crash && !strcmp(text, "preserve"))
		return DOMAIN_EVENT_PRESERVE;
	refuse(p, -EOPNOTSUPP, where, "'%s' is not supported: use 'destroy'%s 'restart'%s", text ? text : "",
	       crash ? "," : " or", crash ? " or 'preserve'" : "");
	return DOMAIN_EVENT_DEFAULT;
}

static void set_on_poweroff(struct parser *p, xmlNode *node, const char *where)
{
	p->d->on_poweroff = read_event(p, node, where, false);
}

static void set_on_reboot(struct parser *p, xmlNode *node, const char *where)
{
	p->d->on_reboot = read_event(p, node, where, false);
}

static void set_on_crash(struct parser *p, xmlNode *node, const char *where)
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

static void disk_cache(struct parser *p, struct domain_disk *disk, xmlNode *driver, const char *where)
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
		refuse(p, -EOPNOTSUPP, where,
		       "driver type '%s': only 'raw' is supported: qemu-img convert -O raw makes one", type);
	for (size_t i = 0; i < ARRAY_SIZE(caches); i++) {
		if (strcmp(cache ? cache : "default", caches[i].name))
			continue;
		disk->direct = caches[i].direct;
		disk->sync = caches[i].sync;
		disk->unsafe_flush = caches[i].unsafe_flush;
		return;
	}
	refuse(p, -EINVAL, where,
	       "driver cache '%s' is not known: use none, writeback, writethrough, directsync or unsafe", cache);
}

static void disk_source(struct parser *p, struct domain_disk *disk, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = attr(node, "type");
	xmlNode *source = child(node, "source");

	if (!type || !strcmp(type, "file"))
		disk->type = DOMAIN_DISK_FILE;
	else if (!strcmp(type, "block"))
		disk->type = DOMAIN_DISK_BLOCK;
	else
		refuse(p, -EOPNOTSUPP, where, "type '%s': only 'file' and 'block' are supported", type);
	if (!source)
		refuse(p, -EINVAL, where, "it has no <source>: name its image");
	else
		disk->image = read_path(p, where, attr(source, disk->type == DOMAIN_DISK_FILE ? "file" : "dev"));
}

static void disk_target(struct parser *p, struct domain_disk *disk, xmlNode *node, const char *where)
{
	xmlNode *target = child(node, "target");
	_cleanup_free_ char *dev = attr(target, "dev"), *bus = attr(target, "bus");
	int r;

	if (bus && strcmp(bus, "scsi")) {
		refuse(p, -EOPNOTSUPP, where, "bus '%s' is not supported: use bus='scsi' and dev='sda'", bus);
		return;
	}
	r = dev ? target_lun(dev, &disk->lun) : -EINVAL;
	if (r == -ERANGE) {
		refuse(p, -EINVAL, where, "target '%s': a controller has %u disks: sda to sdbl", dev, DOMAIN_LUNS_MAX);
	} else if (r < 0) {
		refuse(p, -EINVAL, where, "target '%s': it must be sda, sdb ...", dev ? dev : "");
	} else {
		strcpy(disk->target, dev);
		for (size_t i = 0; i < p->d->disk_count; i++) {
			if (!strcmp(p->d->disks[i].target, dev))
				refuse(p, -EINVAL, where, "target '%s' is taken by another disk", dev);
		}
	}
}

static void disk_details(struct parser *p, struct domain_disk *disk, xmlNode *node, const char *where)
{
	xmlNode *blockio = child(node, "blockio"), *serial = child(node, "serial");
	_cleanup_free_ char *bytes = attr(blockio, "logical_block_size"), *text = node_text(serial);
	uint64_t value = 512;

	if (bytes && (parse_u64(bytes, &value) < 0 || (value != 512 && value != 4096)))
		refuse(p, -EOPNOTSUPP, where, "logical_block_size '%s': only 512 and 4096 are supported", bytes);
	disk->block_bytes = (unsigned int)value;
	disk->readonly = child(node, "readonly") != NULL;
	for (const char *s = text; s && *s; s++) {
		if (*s <= 0x20 || *s > 0x7e) {
			refuse(p, -EINVAL, where, "serial: only printable ASCII without spaces");
			return;
		}
	}
	if (text && strlen(text) >= DOMAIN_SERIAL_MAX)
		refuse(p, -EINVAL, where, "serial: it is longer than %u characters", DOMAIN_SERIAL_MAX - 1);
	else if (text)
		strcpy(disk->serial, text);
}

static void disk_twice(struct parser *p, const struct domain_disk *disk, const char *where)
{
	for (size_t i = 0; i < p->d->disk_count && disk->image; i++) {
		const struct domain_disk *other = &p->d->disks[i];

		if (other->image && !strcmp(other->image, disk->image) && !(other->readonly && disk->readonly))
			refuse(p, -EINVAL, where, "image %s is that of disk %s, too", disk->image, other->target);
	}
}

static void add_disk(struct parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *device = attr(node, "device");
	xmlNode *backing = child(node, "backingStore");
	struct domain_disk disk = {0};

	if (device && strcmp(device, "disk")) {
		refuse(p, -EOPNOTSUPP, where, "device '%s': only 'disk' is supported: remove it", device);
		return;
	}
	if (p->d->disk_count >= DOMAIN_DISKS_MAX) {
		refuse(p, -EOPNOTSUPP, where, "more than %u disks are not supported", DOMAIN_DISKS_MAX);
		return;
	}
	if (backing && xmlFirstElementChild(backing))
		refuse(p, -EOPNOTSUPP, where,
		       "backing files are not supported: qemu-img convert -O raw makes one image");
	disk_source(p, &disk, node, where);
	disk_cache(p, &disk, child(node, "driver"), where);
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

static void set_log(struct parser *p, char *file, const char *append, const char *where)
{
	file = read_path(p, where, file);
	if (!file)
		return;
	/* <serial> and the <console> that mirrors it say the same. */
	if (p->d->console_log && strcmp(p->d->console_log, file))
		refuse(p, -EINVAL, where, "the serial port has a log already: %s", p->d->console_log);
	free(p->d->console_log);
	p->d->console_log = file;
	p->d->console_log_append = is_yes(append);
}

static void set_serial(struct parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = attr(node, "type"), *port = attr(child(node, "target"), "port"), *append = NULL;
	xmlNode *log = child(node, "log"), *source = child(node, "source");

	if (port && strcmp(port, "0")) {
		refuse(p, -EOPNOTSUPP, where, "port %s: there is one serial port, 0: remove it", port);
		return;
	}
	if (type && !strcmp(type, "file")) {
		append = attr(source, "append");
		set_log(p, attr(source, "path"), append, where);
	} else if (type && strcmp(type, "pty")) {
		refuse(p, -EOPNOTSUPP, where, "type '%s': only 'pty' and 'file' are supported", type);
	}
	if (log) {
		free(append);
		append = attr(log, "append");
		set_log(p, attr(log, "file"), append, where);
	}
}

static void set_console(struct parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = attr(child(node, "target"), "type");

	if (type && strcmp(type, "serial"))
		refuse(p, -EOPNOTSUPP, where, "target type '%s': only 'serial' is supported", type);
	else
		set_serial(p, node, where);
}

struct field {
	const char *path;
	bool many; /* may stand there more than once */
	void (*set)(struct parser *p, xmlNode *node, const char *where);
};

static const struct field fields[] = {
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

/* ---- the walk ---- */

/* @path is for the rules, @where for people: it tells apart elements of one name. */
struct place {
	char path[PATH_TEXT_MAX], where[PATH_TEXT_MAX];
};

static unsigned int position(xmlNode *node, bool *ret_alone)
{
	unsigned int before = 0, total = 0;

	for (xmlNode *n = node->parent ? node->parent->children : node; n; n = n->next) {
		if (n->type != XML_ELEMENT_NODE || strcmp((const char *)n->name, (const char *)node->name))
			continue;
		total++;
		if (n == node)
			before = total;
	}
	*ret_alone = total <= 1;
	return before;
}

static bool place_below(const struct place *top, xmlNode *node, struct place *ret)
{
	const char *prefix = node->ns && node->ns->prefix ? (const char *)node->ns->prefix : "";
	const char *at = node->type == XML_ATTRIBUTE_NODE ? "@" : "", *colon = *prefix ? ":" : "";
	bool alone = true;
	unsigned int n = node->type == XML_ELEMENT_NODE ? position(node, &alone) : 0;
	int len = snprintf(ret->path, sizeof(ret->path), "%s/%s%s%s%s", top->path, at, prefix, colon,
			   (const char *)node->name);
	int where_len;

	if (alone)
		where_len = snprintf(ret->where, sizeof(ret->where), "%s/%s%s%s%s", top->where, at, prefix, colon,
				     (const char *)node->name);
	else
		where_len = snprintf(ret->where, sizeof(ret->where), "%s/%s%s%s%s[%u]", top->where, at, prefix, colon,
				     (const char *)node->name, n);
	return len >= 0 && len < (int)sizeof(ret->path) && where_len >= 0 && where_len < (int)sizeof(ret->where);
}

/* Return: whether to look below. */
static bool judge(struct parser *p, xmlNode *node, const struct place *place)
{
	const struct domain_rule *rule = domain_rule_find(place->path);

	switch (rule->verdict) {
	case DOMAIN_IMPLEMENTED:
		list_add(&p->report->implemented, &p->report->implemented_count, place->where);
		return true;
	case DOMAIN_KEPT:
		keep(p, place->where, rule->reason);
		return false;
	default:
		refuse(p, -EOPNOTSUPP, place->where, "%s", rule->reason);
		return false;
	}
}

static void store(struct parser *p, xmlNode *node, const struct place *place)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		bool alone;

		if (strcmp(fields[i].path, place->path))
			continue;
		if (!fields[i].many && position(node, &alone) > 1)
			refuse(p, -EINVAL, place->where, "it is given twice");
		else if (fields[i].set)
			fields[i].set(p, node, place->where);
	}
}

static void walk(struct parser *p, xmlNode *node, const struct place *place, unsigned int depth)
{
	struct place below;

	if (!judge(p, node, place))
		return;
	/* position() looks at all siblings: so their number is bounded before. */
	p->elements += (unsigned int)xmlChildElementCount(node);
	if (depth > DOMAIN_DEPTH_MAX || p->elements > ELEMENTS_MAX) {
		refuse(p, -EINVAL, place->where, "too many elements: at most %u, and %u levels", ELEMENTS_MAX,
		       DOMAIN_DEPTH_MAX);
		return;
	}
	for (xmlAttr *a = node->properties; a; a = a->next) {
		if (!place_below(place, (xmlNode *)a, &below))
			refuse(p, -EINVAL, place->where, "a name is too long");
		else
			judge(p, (xmlNode *)a, &below);
	}
	store(p, node, place);
	for (xmlNode *c = node->children; c; c = c->next) {
		if (c->type == XML_ENTITY_REF_NODE || c->type == XML_DTD_NODE)
			refuse(p, -EINVAL, place->where, "entities are not allowed");
		if (c->type != XML_ELEMENT_NODE)
			continue;
		if (!place_below(place, c, &below))
			refuse(p, -EINVAL, place->where, "a name is too long");
		else
			walk(p, c, &below, depth + 1);
	}
}

/* What no single element can know. */
static void check_whole(struct parser *p)
{
	const struct domain *d = p->d;

	if (p->code)
		return; /* what is refused may be what is missing */
	if (!*d->name)
		refuse(p, -EINVAL, "/domain/name", "it is missing");
	if (!p->has_memory)
		refuse(p, -EINVAL, "/domain/memory", "it is missing");
	if (!p->has_cpus)
		p->d->cpus = 1;
	if (!d->kernel)
		refuse(p, -EINVAL, "/domain/os/kernel",
		       "it is missing: name the kernel to start (a vmlinux or bzImage)");
	if (p->current_memory_bytes > d->memory_bytes)
		refuse(p, -EINVAL, "/domain/currentMemory", "it is more than <memory>");
	else if (p->current_memory_bytes && ALIGN_UP(p->current_memory_bytes, 1ull << 20) < d->memory_bytes)
		keep(p, "/domain/currentMemory", "has no effect: the guest gets all of <memory>");
}

/* ---- the document ---- */

static bool has_doctype(const char *xml, size_t len)
{
	static const char word[] = "<!DOCTYPE";

	return memmem(xml, len, word, sizeof(word) - 1) != NULL;
}

static xmlDoc *read_document(const char *xml, size_t len, struct err *err)
{
	const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA;
	xmlDoc *doc;

	if (len == 0 || len > DOMAIN_XML_MAX || memchr(xml, 0, len)) {
		err_set(err, -EINVAL, "definition: %s",
			len == 0	       ? "it is empty"
			: len > DOMAIN_XML_MAX ? "it is larger than 1 MiB"
					       : "it has a NUL byte: is it XML?");
		return NULL;
	}
	if (has_doctype(xml, len)) {
		err_set(err, -EINVAL, "definition: a DOCTYPE is not allowed: remove it");
		return NULL;
	}
	xmlResetLastError();
	doc = xmlReadMemory(xml, (int)len, NULL, "UTF-8", options);
	if (!doc || doc->intSubset || !xmlDocGetRootElement(doc)) {
		const xmlError *e = xmlGetLastError();

		err_set(err, -EINVAL, "definition: not well-formed XML, line %d: %.*s", e ? e->line : 1,
			e && e->message ? (int)strcspn(e->message, "\n") : 0, e && e->message ? e->message : "");
		xmlFreeDoc(doc);
		return NULL;
	}
	return doc;
}

/* The definition with the UUID that it lacked. */
static int add_uuid(struct domain *d, xmlDoc *doc)
{
	xmlNode *root = xmlDocGetRootElement(doc), *name = child(root, "name"), *node;
	xmlChar *text = NULL;
	uuid_t uuid;
	int len = 0;

	uuid_generate_random(uuid);
	uuid_unparse_lower(uuid, d->uuid);
	node = xmlNewDocRawNode(doc, root->ns, (const xmlChar *)"uuid", (const xmlChar *)d->uuid);
	if (!node)
		return -ENOMEM;
	if (name->prev && name->prev->type == XML_TEXT_NODE) {
		xmlNode *space = xmlCopyNode(name->prev, 0);

		if (space)
			name = xmlAddNextSibling(name, space);
	}
	xmlAddNextSibling(name, node);
	xmlDocDumpMemoryEnc(doc, &text, &len, "UTF-8");
	if (!text)
		return -ENOMEM;
	d->xml = strndup((const char *)text, (size_t)len);
	xmlFree(text);
	return d->xml ? 0 : -ENOMEM;
}

static int fail_refused(const struct parser *p, struct err *err)
{
	size_t more = p->report->refused_count - 1;

	if (!p->report->refused_count)
		return err_set(err, -ENOMEM, "definition: no memory");
	if (!more)
		return err_set(err, p->code, "%s", p->report->refused[0]);
	return err_set(err, p->code, "%s (and %zu more)", p->report->refused[0], more);
}

int domain_parse(const char *xml, size_t len, struct domain *ret, struct domain_report *ret_report, struct err *err)
{
	_cleanup_(domain_report_done) struct domain_report own = {0};
	_cleanup_(cleanup_xml_doc) xmlDoc *doc = NULL;
	struct domain d = {0};
	struct parser p = {.d = &d, .report = ret_report ? ret_report : &own};
	struct place top = {"", ""}, root;
	int r = 0;

	if (ret_report)
		*ret_report = (struct domain_report){0};
	doc = read_document(xml, len, err);
	if (!doc)
		return -EINVAL;
	if (!place_below(&top, xmlDocGetRootElement(doc), &root) || strcmp(root.path, "/domain"))
		refuse(&p, -EINVAL, "definition", "its root element is not <domain>: is it a libvirt domain?");
	else
		walk(&p, xmlDocGetRootElement(doc), &root, 1);
	check_whole(&p);
	if (p.code)
		r = fail_refused(&p, err);
	else if (!*d.uuid)
		r = add_uuid(&d, doc);
	else
		r = (d.xml = strndup(xml, len)) ? 0 : -ENOMEM;
	if (r == -ENOMEM)
		err_set(err, r, "definition: no memory");
	if (r < 0)
		domain_done(&d);
	else
		*ret = d;
	return r;
}

void domain_guid(const struct domain *d, const char *what, uint8_t ret[16])
{
	uuid_t vm;

	uuid_parse(d->uuid, vm);
	uuid_generate_sha1(ret, vm, what, strlen(what));
}
