/* SPDX-License-Identifier: Apache-2.0 */
/* Values of elements and attributes, as the functions for single elements read them. */
#include <ctype.h>
#include <errno.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "domain_xml_int.h"

static void cleanup_xml_free(xmlChar **s)
{
	if (*s)
		xmlFree(*s);
}

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

char *domain_xml_text(xmlNode *node)
{
	_cleanup_(cleanup_xml_free) xmlChar *content = node ? xmlNodeGetContent(node) : NULL;

	return stripped(content);
}

char *domain_xml_attr(xmlNode *node, const char *name)
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

bool domain_xml_clean(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

int domain_xml_u64(const char *s, uint64_t *ret)
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
char *domain_xml_path(struct domain_parser *p, const char *where, char *path)
{
	if (path && path[0] == '/' && domain_xml_clean(path) && strlen(path) < 4096)
		return path;
	domain_refuse(p, -EINVAL, where, path && *path ? "'%s' is not an absolute path" : "the path is missing%s",
		      path && *path ? path : "");
	free(path);
	return NULL;
}
