/* SPDX-License-Identifier: Apache-2.0 */
/* A definition with a NIC more, less, or set otherwise: the document is changed there, and read again as a whole. */
#include <errno.h>
#include <inttypes.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "domain_xml_nic.h"

#define NAME_LEN 32u
#define TEXT_LEN 640u /* a trunk of all tags */

int domain_add_nic(const struct domain *from, const char *nic, struct domain *ret, struct err *err)
{
	_cleanup_(cleanup_xml_doc) xmlDoc *doc = domain_xml_document("definition", from->xml, strlen(from->xml), err);
	xmlNode *node = doc ? domain_xml_part(doc, "interface", nic, err) : NULL, *devices;

	if (!node)
		return err->code;
	devices = domain_xml_devices(doc);
	if (!devices)
		xmlFreeNode(node);
	if (!devices || domain_xml_insert(devices, node) < 0)
		return err_set(err, -ENOMEM, "interface: no memory");
	return domain_xml_read_again(doc, ret, err);
}

/* The document, and in it the element. */
static int open_nic(const struct domain *from, size_t index, xmlDoc **ret_doc, xmlNode **ret_node, struct err *err)
{
	xmlDoc *doc = domain_xml_document("definition", from->xml, strlen(from->xml), err);

	if (!doc)
		return -EINVAL;
	*ret_doc = doc;
	*ret_node = domain_xml_nth(domain_xml_child(xmlDocGetRootElement(doc), "devices"), "interface", index);
	return *ret_node ? 0 : err_set(err, -ENOENT, "VM %s: it has no such NIC", from->name);
}

int domain_remove_nic(const struct domain *from, size_t index, struct domain *ret, struct err *err)
{
	_cleanup_(cleanup_xml_doc) xmlDoc *doc = NULL;
	xmlNode *node;
	int r = open_nic(from, index, &doc, &node, err);

	if (r < 0)
		return r;
	domain_xml_remove(node);
	return domain_xml_read_again(doc, ret, err);
}

char *domain_nic_xml(const struct domain *domain, size_t index)
{
	_cleanup_(cleanup_xml_doc) xmlDoc *doc = NULL;
	xmlBuffer *buffer = xmlBufferCreate();
	struct err err = {0};
	char *text = NULL;
	xmlNode *node;

	if (buffer && open_nic(domain, index, &doc, &node, &err) == 0 && xmlNodeDump(buffer, doc, node, 0, 0) >= 0)
		text = strdup((const char *)xmlBufferContent(buffer));
	xmlBufferFree(buffer);
	return text;
}

/* ---- single settings: each changes the element; 0, -ENOMEM, or -EINVAL: that is no value ---- */

static xmlNode *get_child(xmlNode *node, const char *name)
{
	xmlNode *child = domain_xml_child(node, name);

	return child ? child : xmlNewChild(node, NULL, (const xmlChar *)name, NULL);
}

static void remove_child(xmlNode *node, const char *name)
{
	domain_xml_remove(domain_xml_child(node, name));
}

static int set_attribute(xmlNode *node, const char *child, const char *name, const char *value)
{
	xmlNode *to = get_child(node, child);

	return to && xmlSetProp(to, (const xmlChar *)name, (const xmlChar *)value) ? 0 : -ENOMEM;
}

static int set_link(xmlNode *nic, const char *name, const char *value)
{
	return set_attribute(nic, "link", "state", value);
}

static int set_mtu(xmlNode *nic, const char *name, const char *value)
{
	return set_attribute(nic, "mtu", "size", value);
}

static int set_trust(xmlNode *nic, const char *name, const char *value)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return -EINVAL;
	return xmlSetProp(nic, (const xmlChar *)"trustGuestRxFilters", (const xmlChar *)value) ? 0 : -ENOMEM;
}

/* "inbound.average" */
static int set_bandwidth(xmlNode *nic, const char *name, const char *value)
{
	const char *part = strchr(name, '.') + 1;
	char way[NAME_LEN];
	xmlNode *bandwidth = get_child(nic, "bandwidth"), *node;

	snprintf(way, sizeof(way), "%.*s", (int)(part - 1 - name), name);
	node = bandwidth ? get_child(bandwidth, way) : NULL;
	if (!node)
		return -ENOMEM;
	xmlUnsetProp(node, (const xmlChar *)part);
	if (*value && strcmp(value, "0") != 0 && !xmlNewProp(node, (const xmlChar *)part, (const xmlChar *)value))
		return -ENOMEM;
	if (!node->properties)
		remove_child(bandwidth, way);
	if (!xmlFirstElementChild(bandwidth))
		remove_child(nic, "bandwidth");
	return 0;
}

static int set_no_bandwidth(xmlNode *nic, const char *name, const char *value)
{
	if (strcmp(value, "none") != 0)
		return -EINVAL;
	remove_child(nic, "bandwidth");
	return 0;
}

static int add_tag(xmlNode *vlan, const char *id, bool native)
{
	xmlNode *tag = xmlNewChild(vlan, NULL, (const xmlChar *)"tag", NULL);

	if (!tag || !xmlNewProp(tag, (const xmlChar *)"id", (const xmlChar *)id))
		return -ENOMEM;
	return native && !xmlNewProp(tag, (const xmlChar *)"nativeMode", (const xmlChar *)"untagged") ? -ENOMEM : 0;
}

static int set_vlan(xmlNode *nic, const char *name, const char *value)
{
	remove_child(nic, "vlan");
	if (!strcmp(value, "none"))
		return 0;
	nic = get_child(nic, "vlan");
	return nic ? add_tag(nic, value, false) : -ENOMEM;
}

static int set_trunk(xmlNode *nic, const char *name, const char *value)
{
	_cleanup_free_ char *tags = strdup(value);
	char *at = NULL;
	xmlNode *vlan;
	int r = 0;

	remove_child(nic, "vlan");
	if (!strcmp(value, "none"))
		return 0;
	vlan = get_child(nic, "vlan");
	if (!tags || !vlan || !xmlNewProp(vlan, (const xmlChar *)"trunk", (const xmlChar *)"yes"))
		return -ENOMEM;
	for (char *tag = strtok_r(tags, ",", &at); r == 0 && tag; tag = strtok_r(NULL, ",", &at))
		r = add_tag(vlan, tag, false);
	return r;
}

static bool is_native(xmlNode *tag)
{
	_cleanup_free_ char *mode = domain_xml_attr(tag, "nativeMode");

	return mode != NULL;
}

static int set_native(xmlNode *nic, const char *name, const char *value)
{
	xmlNode *vlan = domain_xml_child(nic, "vlan"), *next;

	if (!vlan)
		return -EINVAL;
	for (xmlNode *tag = xmlFirstElementChild(vlan); tag; tag = next) {
		next = xmlNextElementSibling(tag);
		if (is_native(tag))
			domain_xml_remove(tag);
	}
	if (!strcmp(value, "none"))
		return 0;
	return add_tag(vlan, value, true);
}

static const struct {
	const char *name;
	int (*set)(xmlNode *nic, const char *name, const char *value);
} settings_known[] = {
	{"link", set_link},
	{"mtu", set_mtu},
	{"trust", set_trust},
	{"inbound.average", set_bandwidth},
	{"inbound.peak", set_bandwidth},
	{"inbound.burst", set_bandwidth},
	{"outbound.average", set_bandwidth},
	{"outbound.peak", set_bandwidth},
	{"outbound.burst", set_bandwidth},
	{"bandwidth", set_no_bandwidth},
	{"vlan", set_vlan},
	{"trunk", set_trunk},
	{"native", set_native},
};

static int set_one(xmlNode *nic, const char *setting, struct err *err)
{
	const char *value = strchr(setting, '=');
	char name[NAME_LEN];
	int r;

	if (!value || (size_t)(value - setting) >= sizeof(name))
		return err_set(err, -EINVAL, "interface: '%.60s' is not NAME=VALUE: see vmctl(1)", setting);
	snprintf(name, sizeof(name), "%.*s", (int)(value - setting), setting);
	for (size_t i = 0; i < ARRAY_SIZE(settings_known); i++) {
		if (strcmp(name, settings_known[i].name) != 0)
			continue;
		r = domain_xml_clean(value + 1) ? settings_known[i].set(nic, name, value + 1) : -EINVAL;
		if (r == -EINVAL)
			return err_set(err, r, "interface: '%.60s' cannot be set so: see vmctl(1)", setting);
		return r < 0 ? err_set(err, r, "interface: no memory") : 0;
	}
	return err_set(err, -EINVAL, "interface: '%.60s' cannot be set: see vmctl(1)", name);
}

int domain_set_nic(const struct domain *from, size_t index, const char *const *settings, struct domain *ret,
		   struct err *err)
{
	_cleanup_(cleanup_xml_doc) xmlDoc *doc = NULL;
	xmlNode *node;
	int r = open_nic(from, index, &doc, &node, err);

	for (size_t i = 0; r == 0 && settings[i]; i++)
		r = set_one(node, settings[i], err);
	return r < 0 ? r : domain_xml_read_again(doc, ret, err);
}

/* ---- the way back ---- */

static void tell_bandwidth(const struct domain_bandwidth *bandwidth, const char *way, domain_setting_fn fn, void *arg)
{
	const struct {
		const char *name;
		uint64_t bytes;
	} parts[] = {{"average", bandwidth->average}, {"peak", bandwidth->peak}, {"burst", bandwidth->burst}};
	char text[2 * NAME_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!parts[i].bytes)
			continue;
		snprintf(text, sizeof(text), "%s.%s=%" PRIu64, way, parts[i].name, parts[i].bytes / 1024);
		fn(text, arg);
	}
}

static void tell_vlan(const struct domain_nic *nic, domain_setting_fn fn, void *arg)
{
	char text[TEXT_LEN] = "trunk=";
	size_t len = strlen(text);

	if (nic->trunk) {
		for (size_t i = 0; i < nic->trunk_count; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u", i ? "," : "",
						nic->trunk_tags[i]);
		fn(text, arg);
	}
	if (nic->vlan) {
		snprintf(text, sizeof(text), "%s=%u", nic->trunk ? "native" : "vlan", nic->vlan);
		fn(text, arg);
	}
}

void domain_nic_settings(const struct domain_nic *nic, domain_setting_fn fn, void *arg)
{
	char text[NAME_LEN];

	if (nic->link_down)
		fn("link=down", arg);
	snprintf(text, sizeof(text), "mtu=%u", nic->mtu);
	if (nic->mtu != 1500)
		fn(text, arg);
	if (nic->trusted)
		fn("trust=yes", arg);
	tell_bandwidth(&nic->inbound, "inbound", fn, arg);
	tell_bandwidth(&nic->outbound, "outbound", fn, arg);
	tell_vlan(nic, fn, arg);
}
