/* SPDX-License-Identifier: Apache-2.0 */
/* A definition with a disk that is set otherwise: limits, what becomes of zeroes and of what is given back, faults. */
#include <errno.h>
#include <inttypes.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "domain_xml_int.h"

#define NAME_LEN      48u
#define FAULTS_HREF   "urn:bulkhead:faults:1"
#define FAULTS_PREFIX "bulkhead"

/* The child @name, if need be a new one. NULL: no memory. */
static xmlNode *get_child(xmlNode *node, const char *name)
{
	xmlNode *child = domain_xml_child(node, name);

	return child ? child : xmlNewChild(node, NULL, (const xmlChar *)name, NULL);
}

/* ---- single settings ---- */

static int set_limit(xmlNode *disk, const char *name, const char *value)
{
	xmlNode *iotune = get_child(disk, "iotune");

	if (!iotune)
		return -ENOMEM;
	domain_xml_remove(domain_xml_child(iotune, name));
	if (*value && strcmp(value, "0") != 0 &&
	    !xmlNewTextChild(iotune, NULL, (const xmlChar *)name, (const xmlChar *)value))
		return -ENOMEM;
	if (!xmlFirstElementChild(iotune))
		domain_xml_remove(iotune);
	return 0;
}

static int set_driver(xmlNode *disk, const char *name, const char *value)
{
	xmlNode *driver = get_child(disk, "driver");

	return driver && xmlSetProp(driver, (const xmlChar *)name, (const xmlChar *)value) ? 0 : -ENOMEM;
}

static int set_one(xmlNode *disk, const char *name, const char *value, struct err *err)
{
	int r = -ENOENT;

	if (!strcmp(name, "limits") && !strcmp(value, "none")) {
		domain_xml_remove(domain_xml_child(disk, "iotune"));
		return 0;
	}
	if (domain_iotune_name(name))
		r = set_limit(disk, name, value);
	else if (!strcmp(name, "discard") || !strcmp(name, "detect_zeroes"))
		r = set_driver(disk, name, value);
	if (r == -ENOENT)
		return err_set(err, -EINVAL, "disk: '%.60s' cannot be set: see vmctl(1)", name);
	return r < 0 ? err_set(err, r, "disk: no memory") : 0;
}

/* Return: whether it is of a limit, and not of the group. */
static int set_all(xmlNode *disk, const char *const *settings, bool *ret_limits, struct err *err)
{
	int r = 0;

	*ret_limits = false;
	for (size_t i = 0; r == 0 && settings[i]; i++) {
		const char *value = strchr(settings[i], '=');
		char name[NAME_LEN];

		if (!value || (size_t)(value - settings[i]) >= sizeof(name))
			return err_set(err, -EINVAL, "disk: '%.60s' is not NAME=VALUE: see vmctl(1)", settings[i]);
		snprintf(name, sizeof(name), "%.*s", (int)(value - settings[i]), settings[i]);
		*ret_limits |= domain_iotune_name(name) && strcmp(name, "group_name") != 0;
		r = set_one(disk, name, value + 1, err);
	}
	return r;
}

/* ---- groups ---- */

static int copy_iotune(xmlNode *to, xmlNode *from)
{
	xmlNode *iotune = domain_xml_child(from, "iotune"), *copy = iotune ? xmlDocCopyNode(iotune, to->doc, 1) : NULL;

	if (!copy)
		return iotune ? -ENOMEM : 0;
	domain_xml_remove(domain_xml_child(to, "iotune"));
	return xmlAddChild(to, copy) ? 0 : -ENOMEM;
}

/* Disks of a group have the same limits: those of the one that was set, or, if it only came, the group's. */
static int share(xmlNode *devices, const struct domain *from, size_t index, bool limits)
{
	xmlNode *disk = domain_xml_nth(devices, "disk", index);
	xmlNode *iotune = domain_xml_child(disk, "iotune");
	_cleanup_free_ char *group = iotune ? domain_xml_text(domain_xml_child(iotune, "group_name")) : NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && group && i < from->disk_count; i++) {
		xmlNode *other = domain_xml_nth(devices, "disk", i);

		if (i == index || strcmp(from->disks[i].iotune.group, group) != 0)
			continue;
		if (!limits)
			return copy_iotune(disk, other);
		r = copy_iotune(other, disk);
	}
	return r;
}

int domain_set_disk(const struct domain *from, size_t index, const char *const *settings, struct domain *ret,
		    struct err *err)
{
	_cleanup_(cleanup_xml_doc) xmlDoc *doc = domain_xml_document("definition", from->xml, strlen(from->xml), err);
	xmlNode *devices, *node;
	bool limits;
	int r;

	if (!doc)
		return -EINVAL;
	devices = domain_xml_child(xmlDocGetRootElement(doc), "devices");
	node = domain_xml_nth(devices, "disk", index);
	if (!node)
		return err_set(err, -ENOENT, "VM %s: it has no such disk", from->name);
	r = set_all(node, settings, &limits, err);
	if (r == 0 && share(devices, from, index, limits) < 0)
		r = err_set(err, -ENOMEM, "disk: no memory");
	return r < 0 ? r : domain_xml_read_again(doc, ret, err);
}

/* ---- faults ---- */

int domain_set_faults(const struct domain *from, size_t index, const char *faults, struct domain *ret, struct err *err)
{
	_cleanup_(cleanup_xml_doc) xmlDoc *doc = domain_xml_document("definition", from->xml, strlen(from->xml), err);
	struct domain_faults parsed;
	xmlNode *node;
	xmlNs *ns;
	int r = doc ? domain_faults_parse(faults, &parsed, err) : -EINVAL;

	if (r < 0)
		return r;
	node = domain_xml_nth(domain_xml_child(xmlDocGetRootElement(doc), "devices"), "disk", index);
	if (!node)
		return err_set(err, -ENOENT, "VM %s: it has no such disk", from->name);
	domain_xml_remove(domain_xml_child(node, "faults"));
	if (*faults) {
		node = xmlNewTextChild(node, NULL, (const xmlChar *)"faults", (const xmlChar *)faults);
		ns = node ? xmlNewNs(node, (const xmlChar *)FAULTS_HREF, (const xmlChar *)FAULTS_PREFIX) : NULL;
		if (!ns)
			return err_set(err, -ENOMEM, "disk: no memory");
		xmlSetNs(node, ns);
	}
	return domain_xml_read_again(doc, ret, err);
}

/* ---- the way back ---- */

void domain_disk_settings(const struct domain_disk *disk, domain_setting_fn fn, void *arg)
{
	static const char *const zeroes[] = {
		[DOMAIN_ZEROES_ON] = "detect_zeroes=on",
		[DOMAIN_ZEROES_UNMAP] = "detect_zeroes=unmap",
	};
	char text[DOMAIN_FAULTS_MAX + 16];

	domain_iotune_settings(&disk->iotune, fn, arg);
	if (!disk->discard)
		fn("discard=ignore", arg);
	if (disk->zeroes != DOMAIN_ZEROES_OFF)
		fn(zeroes[disk->zeroes], arg);
	if (disk->faults.text[0]) {
		snprintf(text, sizeof(text), "faults=%s", disk->faults.text);
		fn(text, arg);
	}
}
