/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by domain_xml.c (the document, the walk, the lists) and domain_xml_fields.c (what single elements mean). */
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

/** domain_xml_child - the first element of that name in @node; NULL if there is none. */
xmlNode *domain_xml_child(xmlNode *node, const char *name);

#endif
