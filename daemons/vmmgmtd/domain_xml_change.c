/* SPDX-License-Identifier: Apache-2.0 */
/* A definition with one disk more or less, or another medium: the document is changed there and nowhere else, and read
 * again as a whole.
 */
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "domain_xml_int.h"

xmlNode *domain_xml_nth(xmlNode *devices, const char *name, size_t n)
{
	for (xmlNode *node = devices ? xmlFirstElementChild(devices) : NULL; node; node = xmlNextElementSibling(node)) {
		if (!strcmp((const char *)node->name, name) && n-- == 0)
			return node;
	}
	return NULL;
}

int domain_xml_read_again(xmlDoc *doc, struct domain *ret, struct err *err)
{
	xmlChar *text = NULL;
	int len = 0, r;

	xmlDocDumpMemoryEnc(doc, &text, &len, "UTF-8");
	if (!text)
		return err_set(err, -ENOMEM, "definition: no memory");
	r = domain_parse((const char *)text, (size_t)len, ret, NULL, err);
	xmlFree(text);
	return r;
}

static bool is_blank(const xmlNode *node)
{
	return node && node->type == XML_TEXT_NODE && xmlIsBlankNode(node);
}

int domain_xml_insert(xmlNode *devices, xmlNode *node)
{
	xmlNode *last = NULL, *space, *next;

	for (size_t n = 0; (next = domain_xml_nth(devices, (const char *)node->name, n)); n++)
		last = next;
	space = last && is_blank(last->prev) ? xmlCopyNode(last->prev, 0) : NULL;
	if (space)
		last = xmlAddNextSibling(last, space);
	if (last ? xmlAddNextSibling(last, node) : xmlAddChild(devices, node))
		return 0;
	xmlFreeNode(node);
	return -ENOMEM;
}

xmlNode *domain_xml_part(xmlDoc *doc, const char *name, const char *xml, struct err *err)
{
	_cleanup_(cleanup_xml_doc) xmlDoc *part = domain_xml_document(name, xml, strlen(xml), err);
	xmlNode *node;

	if (!part)
		return NULL;
	if (strcmp((const char *)xmlDocGetRootElement(part)->name, name) != 0) {
		err_set(err, -EINVAL, "%s: its root element is not <%s>", name, name);
		return NULL;
	}
	node = xmlDocCopyNode(xmlDocGetRootElement(part), doc, 1);
	if (!node)
		err_set(err, -ENOMEM, "%s: no memory", name);
	return node;
}

xmlNode *domain_xml_devices(xmlDoc *doc)
{
	xmlNode *devices = domain_xml_child(xmlDocGetRootElement(doc), "devices");

	return devices ? devices : xmlNewChild(xmlDocGetRootElement(doc), NULL, (const xmlChar *)"devices", NULL);
}

static int add_free_target(const struct domain *from, xmlNode *node, struct err *err)
{
	char name[8];

	for (unsigned int n = 0; n < DOMAIN_DISKS_MAX; n++) {
		bool taken = false;
		xmlNode *target;

		domain_target_name(n, name);
		for (size_t i = 0; i < from->disk_count; i++)
			taken |= !strcmp(from->disks[i].target, name);
		if (taken)
			continue;
		target = xmlNewChild(node, NULL, (const xmlChar *)"target", NULL);
		if (!target || !xmlNewProp(target, (const xmlChar *)"dev", (const xmlChar *)name) ||
		    !xmlNewProp(target, (const xmlChar *)"bus", (const xmlChar *)"scsi"))
			return err_set(err, -ENOMEM, "disk: no memory");
		return 0;
	}
	return err_set(err, -ENOSPC, "VM %s: no target is free for another disk: detach one first", from->name);
}

int domain_add_disk(const struct domain *from, const char *disk, struct domain *ret, struct err *err)
{
	_cleanup_(cleanup_xml_doc) xmlDoc *doc = domain_xml_document("definition", from->xml, strlen(from->xml), err);
	xmlNode *node = doc ? domain_xml_part(doc, "disk", disk, err) : NULL, *devices;
	int r;

	if (!node)
		return err->code;
	devices = domain_xml_devices(doc);
	r = devices ? 0 : err_set(err, -ENOMEM, "disk: no memory");
	if (r == 0 && !domain_xml_child(node, "target"))
		r = add_free_target(from, node, err);
	if (r < 0) {
		xmlFreeNode(node);
		return r;
	}
	if (domain_xml_insert(devices, node) < 0)
		return err_set(err, -ENOMEM, "disk: no memory");
	return domain_xml_read_again(doc, ret, err);
}

void domain_xml_remove(xmlNode *node)
{
	if (!node)
		return;
	if (is_blank(node->prev)) {
		xmlNode *space = node->prev;

		xmlUnlinkNode(space);
		xmlFreeNode(space);
	}
	xmlUnlinkNode(node);
	xmlFreeNode(node);
}

int domain_remove_disk(const struct domain *from, size_t index, struct domain *ret, struct err *err)
{
	_cleanup_(cleanup_xml_doc) xmlDoc *doc = domain_xml_document("definition", from->xml, strlen(from->xml), err);
	xmlNode *node;

	if (!doc)
		return -EINVAL;
	node = domain_xml_nth(domain_xml_child(xmlDocGetRootElement(doc), "devices"), "disk", index);
	if (!node)
		return err_set(err, -ENOENT, "VM %s: it has no such disk", from->name);
	domain_xml_remove(node);
	return domain_xml_read_again(doc, ret, err);
}

static int fill_source(xmlNode *source, const char *image, enum domain_disk_type type, unsigned int number)
{
	const char *name = type == DOMAIN_DISK_BLOCK ? "dev" : "file";
	char text[16];

	snprintf(text, sizeof(text), "%u", number);
	if (image && !xmlNewProp(source, (const xmlChar *)name, (const xmlChar *)image))
		return -ENOMEM;
	return number && !xmlNewProp(source, (const xmlChar *)"index", (const xmlChar *)text) ? -ENOMEM : 0;
}

/* Another <source>, where it was or before the target. */
static int replace_source(xmlNode *disk, const char *image, enum domain_disk_type type, unsigned int number)
{
	xmlNode *old = domain_xml_child(disk, "source"), *target = domain_xml_child(disk, "target");
	xmlNode *source, *space;

	if (!xmlSetProp(disk, (const xmlChar *)"type", (const xmlChar *)(type == DOMAIN_DISK_BLOCK ? "block" : "file")))
		return -ENOMEM;
	if (!image && !number) {
		domain_xml_remove(old);
		return 0;
	}
	source = xmlNewDocNode(disk->doc, NULL, (const xmlChar *)"source", NULL);
	if (!source)
		return -ENOMEM;
	if (old) {
		xmlReplaceNode(old, source);
		xmlFreeNode(old);
	} else {
		space = is_blank(target->prev) ? xmlCopyNode(target->prev, 0) : NULL;
		xmlAddPrevSibling(target, source);
		if (space)
			xmlAddPrevSibling(target, space);
	}
	return fill_source(source, image, type, number);
}

int domain_change_medium(const struct domain *from, size_t index, const char *image, enum domain_disk_type type,
			 unsigned int number, struct domain *ret, struct err *err)
{
	_cleanup_(cleanup_xml_doc) xmlDoc *doc = NULL;
	xmlNode *node;

	if (!from->disks[index].cdrom)
		return err_set(err, -EINVAL, "VM %s: disk %s is no CD or DVD drive: detach it, and attach another one",
			       from->name, from->disks[index].target);
	doc = domain_xml_document("definition", from->xml, strlen(from->xml), err);
	if (!doc)
		return -EINVAL;
	node = domain_xml_nth(domain_xml_child(xmlDocGetRootElement(doc), "devices"), "disk", index);
	if (!node)
		return err_set(err, -ENOENT, "VM %s: it has no such disk", from->name);
	if (replace_source(node, image, type, number) < 0)
		return err_set(err, -ENOMEM, "disk: no memory");
	return domain_xml_read_again(doc, ret, err);
}

int domain_find_disk(const struct domain *domain, const char *target, size_t *ret_index, struct err *err)
{
	for (size_t i = 0; i < domain->disk_count; i++) {
		if (strcmp(domain->disks[i].target, target) != 0)
			continue;
		*ret_index = i;
		return 0;
	}
	return err_set(err, -ENOENT, "VM %s: it has no disk %s: see \"vmctl disk list %s\"", domain->name, target,
		       domain->name);
}
