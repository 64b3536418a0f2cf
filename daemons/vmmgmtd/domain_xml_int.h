/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by domain_xml.c (the document, the walk, the lists), domain_xml_fields.c and domain_xml_disk.c (what single
 * elements mean), domain_xml_read.c (their values).
 */
#ifndef VMMGMTD_DOMAIN_XML_INT_H
#define VMMGMTD_DOMAIN_XML_INT_H

#include <libxml/tree.h>

#include "domain.h"

struct domain_parser {
	struct domain *d;
	struct domain_report *report;
	int code; /* of the first complaint */
	uint64_t current_memory_bytes;
	unsigned int elements; /* walked */
	bool has_memory, has_cpus;
	bool completed; /* something was written into the document that it lacked */
};

/* What an element means. */
struct domain_field {
	const char *path;
	bool many; /* may stand there more than once */
	void (*set)(struct domain_parser *p, xmlNode *node, const char *where);
};

/** domain_field_find - the row of an implemented element; NULL if it has none. @path: as in the rules. */
const struct domain_field *domain_field_find(const char *path);

/** domain_refuse - a complaint: it goes on the list. @where: the element, for a person. */
void domain_refuse(struct domain_parser *p, int code, const char *where, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** domain_keep - what has no effect: it goes on the list, once. @where: the element; all elements of that path at once.
 */
void domain_keep(struct domain_parser *p, const char *where, const char *reason);

/** domain_xml_child - the first element of that name in @node; NULL if there is none. */
xmlNode *domain_xml_child(xmlNode *node, const char *name);

/** domain_xml_text, domain_xml_attr - the content of an element, an attribute, without blanks around it: heap, NULL if
 * there is none (@node may be NULL). */
char *domain_xml_text(xmlNode *node);
char *domain_xml_attr(xmlNode *node, const char *name);

/** domain_xml_clean - whether @s has neither line breaks nor control characters. */
bool domain_xml_clean(const char *s);

/** domain_xml_u64 - @s as a decimal number. Return: 0, -EINVAL (also for NULL). */
int domain_xml_u64(const char *s, uint64_t *ret);

/** domain_xml_path - @path if it is an absolute path that can be shown on one line; else it complains, frees it and
 * returns NULL. */
char *domain_xml_path(struct domain_parser *p, const char *where, char *path);

/** domain_xml_document - @len bytes of what is called @what as a document, xmlFreeDoc() it; NULL with a line. */
xmlDoc *domain_xml_document(const char *what, const char *xml, size_t len, struct err *err);

static inline void cleanup_xml_doc(xmlDoc **doc)
{
	xmlFreeDoc(*doc);
}

/** domain_xml_remove - take @node out and free it, with the blanks before it. NULL is allowed. */
void domain_xml_remove(xmlNode *node);

/** domain_target_name - the nth target: 0 "sda", 26 "sdaa". */
void domain_target_name(unsigned int n, char ret[8]);

/** domain_xml_iotune - the limits of a disk. @iotune: NULL: none. */
void domain_xml_iotune(struct domain_parser *p, struct domain_iotune *tune, xmlNode *iotune, const char *where);

/** domain_iotune_name - whether it is a child of <iotune>; domain_iotune_settings - its part of domain_disk_settings().
 */
bool domain_iotune_name(const char *name);
void domain_iotune_settings(const struct domain_iotune *tune, domain_setting_fn fn, void *arg);

/** domain_xml_nth - the nth element of that name below @devices (NULL is allowed), NULL: there are fewer. */
xmlNode *domain_xml_nth(xmlNode *devices, const char *name, size_t n);

/** domain_xml_insert - @node as the last of the elements of its name below @devices, on a line of its own where they
 * are. Return: 0; -ENOMEM: it is freed. */
int domain_xml_insert(xmlNode *devices, xmlNode *node);
/** domain_xml_part - the root element of @xml, which must be <@name>, as a node for @doc; NULL with a line. */
xmlNode *domain_xml_part(xmlDoc *doc, const char *name, const char *xml, struct err *err);
/** domain_xml_devices - <devices> of a definition, if need be a new one. NULL: no memory. */
xmlNode *domain_xml_devices(xmlDoc *doc);

/** domain_xml_read_again - @doc, which was changed, as domain_parse() reads it. */
int domain_xml_read_again(xmlDoc *doc, struct domain *ret, struct err *err);

/** domain_xml_disk, domain_xml_nic - the set functions of <disk> and <interface>. */
void domain_xml_disk(struct domain_parser *p, xmlNode *node, const char *where);
void domain_xml_nic(struct domain_parser *p, xmlNode *node, const char *where);
/** domain_xml_complete_nics - write into the document what its NICs lack: alias, MAC address. Return: 0 or -ENOMEM. */
int domain_xml_complete_nics(struct domain_parser *p, xmlDoc *doc);
/** domain_nic_done - what belongs to it. */
void domain_nic_done(struct domain_nic *nic);
/** domain_descriptors - how many the disks and NICs of a definition take. */
size_t domain_descriptors(const struct domain *d);

#endif
