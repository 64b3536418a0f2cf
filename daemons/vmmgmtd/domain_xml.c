/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's domain XML to struct domain; domain_xml*.c are the only places that include libxml2.
 *
 * Theory of operation: the text is parsed without entities, without a DTD and without the network. One walk over the
 * tree puts every element and attribute into one of the three lists (domain_rules.c) and, for those that have a row in
 * `fields`, calls the row's function, which checks the value and stores it. Complaints are collected, so that one look
 * shows them all; at the end what must be there is checked.
 *
 * Limits: DOMAIN_XML_MAX bytes, DOMAIN_DEPTH_MAX levels, ELEMENTS_MAX elements, REPORT_MAX entries of a list.
 */
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <uuid/uuid.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "domain_rules.h"
#include "domain_xml_int.h"

static const struct syscall_rule rules[] = {
	{SYS_getppid}, /* libuuid, beside getrandom() */
	{-1},
};

const struct syscall_list domain_calls = {.name = "XML", .rules = rules};

#define PATH_TEXT_MAX 512
#define REPORT_MAX    1024
#define ELEMENTS_MAX  4096u /* outside of what is merely kept */

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

void domain_refuse(struct domain_parser *p, int code, const char *where, const char *fmt, ...)
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

void domain_keep(struct domain_parser *p, const char *where, const char *reason)
{
	char text[PATH_TEXT_MAX + ERR_TEXT_MAX];

	snprintf(text, sizeof(text), "%s: %s", where, reason);
	text_clean(text);
	for (size_t i = 0; i < p->report->kept_count; i++) {
		if (!strcmp(p->report->kept[i], text))
			return;
	}
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
	free(d->disks);
	for (size_t i = 0; i < d->nic_count; i++)
		domain_nic_done(&d->nics[i]);
	free(d->nics);
	*d = (struct domain){0};
}

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

/* libvirt's prefix for a namespace that it knows; the document's own, or '?', for others. */
static const char *prefix_of(const xmlNs *ns)
{
	static const char *const known[] = {"qemu", "xen", "lxc", "bhyve", "vmware"};
	static const char start[] = "http://libvirt.org/schemas/domain/", end[] = "/1.0";
	const char *href = ns ? (const char *)ns->href : NULL;

	if (!ns)
		return "";
	for (size_t i = 0; href && i < ARRAY_SIZE(known); i++) {
		size_t n = strlen(known[i]);

		if (!strncmp(href, start, sizeof(start) - 1) && !strncmp(href + sizeof(start) - 1, known[i], n) &&
		    !strcmp(href + sizeof(start) - 1 + n, end))
			return known[i];
	}
	return ns->prefix ? (const char *)ns->prefix : "?";
}

static bool place_below(const struct place *top, xmlNode *node, struct place *ret)
{
	const char *prefix = prefix_of(node->ns);
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
static bool judge(struct domain_parser *p, xmlNode *node, const struct place *place)
{
	const struct domain_rule *rule = domain_rule_find(place->path);

	switch (rule->verdict) {
	case DOMAIN_IMPLEMENTED:
		list_add(&p->report->implemented, &p->report->implemented_count, place->where);
		return true;
	case DOMAIN_KEPT:
		domain_keep(p, place->path, rule->reason);
		return false;
	default:
		domain_refuse(p, -EOPNOTSUPP, place->where, "%s", rule->reason);
		return false;
	}
}

static void store(struct domain_parser *p, xmlNode *node, const struct place *place)
{
	const struct domain_field *field = domain_field_find(place->path);
	bool alone;

	if (!field)
		return;
	if (!field->many && position(node, &alone) > 1)
		domain_refuse(p, -EINVAL, place->where, "it is given twice");
	else if (field->set)
		field->set(p, node, place->where);
}

static void walk(struct domain_parser *p, xmlNode *node, const struct place *place, unsigned int depth)
{
	struct place below;

	if (!judge(p, node, place))
		return;
	/* position() looks at all siblings: so their number is bounded before. */
	p->elements += (unsigned int)xmlChildElementCount(node);
	if (depth > DOMAIN_DEPTH_MAX || p->elements > ELEMENTS_MAX) {
		domain_refuse(p, -EINVAL, place->where, "too many elements: at most %u, and %u levels", ELEMENTS_MAX,
			      DOMAIN_DEPTH_MAX);
		return;
	}
	for (xmlAttr *a = node->properties; a; a = a->next) {
		if (!place_below(place, (xmlNode *)a, &below))
			domain_refuse(p, -EINVAL, place->where, "a name is too long");
		else
			judge(p, (xmlNode *)a, &below);
	}
	store(p, node, place);
	for (xmlNode *c = node->children; c; c = c->next) {
		if (c->type == XML_ENTITY_REF_NODE || c->type == XML_DTD_NODE)
			domain_refuse(p, -EINVAL, place->where, "entities are not allowed");
		if (c->type != XML_ELEMENT_NODE)
			continue;
		if (!place_below(place, c, &below))
			domain_refuse(p, -EINVAL, place->where, "a name is too long");
		else
			walk(p, c, &below, depth + 1);
	}
}

/* Whether something was said of @path itself: then it is not missing as well. */
static bool is_refused(const struct domain_parser *p, const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < p->report->refused_count; i++) {
		if (!strncmp(p->report->refused[i], path, len) && strchr(":[", p->report->refused[i][len]))
			return true;
	}
	return false;
}

static void check_present(struct domain_parser *p, bool present, const char *path, const char *text)
{
	if (!present && !is_refused(p, path))
		domain_refuse(p, -EINVAL, path, "%s", text);
}

/* What no single element can know. */
static void check_whole(struct domain_parser *p)
{
	const struct domain *d = p->d;

	check_present(p, *d->name, "/domain/name", "it is missing");
	check_present(p, p->has_memory, "/domain/memory", "it is missing");
	check_present(p, d->kernel, "/domain/os/kernel",
		      "it is missing: name the kernel to start (a vmlinux or bzImage)");
	if (p->code)
		return;
	if (!p->has_cpus)
		p->d->cpus = 1;
	if (p->current_memory_bytes > d->memory_bytes)
		domain_refuse(p, -EINVAL, "/domain/currentMemory", "it is more than <memory>");
	else if (p->current_memory_bytes && ALIGN_UP(p->current_memory_bytes, 1ull << 20) < d->memory_bytes)
		domain_keep(p, "/domain/currentMemory", "has no effect: the guest gets all of <memory>");
}

/* ---- the document ---- */

static bool has_doctype(const char *xml, size_t len)
{
	static const char word[] = "<!DOCTYPE";

	return memmem(xml, len, word, sizeof(word) - 1) != NULL;
}

xmlDoc *domain_xml_document(const char *what, const char *xml, size_t len, struct err *err)
{
	const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA;
	xmlDoc *doc;

	if (len == 0 || len > DOMAIN_XML_MAX || memchr(xml, 0, len)) {
		err_set(err, -EINVAL, "%s: %s", what,
			len == 0	       ? "it is empty"
			: len > DOMAIN_XML_MAX ? "it is larger than 1 MiB"
					       : "it has a NUL byte: is it XML?");
		return NULL;
	}
	if (has_doctype(xml, len)) {
		err_set(err, -EINVAL, "%s: a DOCTYPE is not allowed: remove it", what);
		return NULL;
	}
	xmlResetLastError();
	doc = xmlReadMemory(xml, (int)len, NULL, "UTF-8", options);
	if (!doc || doc->intSubset || !xmlDocGetRootElement(doc)) {
		const xmlError *e = xmlGetLastError();

		err_set(err, -EINVAL, "%s: not well-formed XML, line %d: %.*s", what, e ? e->line : 1,
			e && e->message ? (int)strcspn(e->message, "\n") : 0, e && e->message ? e->message : "");
		xmlFreeDoc(doc);
		return NULL;
	}
	return doc;
}

static int add_uuid(struct domain *d, xmlDoc *doc)
{
	xmlNode *root = xmlDocGetRootElement(doc), *name = domain_xml_child(root, "name"), *node;
	uuid_t uuid;

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
	return 0;
}

/* The definition with what it lacked. */
static int complete(struct domain_parser *p, xmlDoc *doc)
{
	struct domain *d = p->d;
	xmlChar *text = NULL;
	int len = 0, r = domain_xml_complete_nics(p, doc);

	if (r == 0 && !*d->uuid) {
		p->completed = true;
		r = add_uuid(d, doc);
	}
	if (r < 0 || !p->completed)
		return r;
	xmlDocDumpMemoryEnc(doc, &text, &len, "UTF-8");
	if (!text)
		return -ENOMEM;
	d->xml = strndup((const char *)text, (size_t)len);
	xmlFree(text);
	return d->xml ? 0 : -ENOMEM;
}

static int fail_refused(const struct domain_parser *p, struct err *err)
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
	struct domain_parser p = {.d = &d, .report = ret_report ? ret_report : &own};
	struct place top = {"", ""}, root;
	int r = 0;

	if (ret_report)
		*ret_report = (struct domain_report){0};
	doc = domain_xml_document("definition", xml, len, err);
	if (!doc)
		return -EINVAL;
	if (!place_below(&top, xmlDocGetRootElement(doc), &root) || strcmp(root.path, "/domain")) {
		domain_refuse(&p, -EINVAL, "definition", "its root element is not <domain>: is it a libvirt domain?");
	} else {
		walk(&p, xmlDocGetRootElement(doc), &root, 1);
		check_whole(&p);
	}
	if (p.code)
		r = fail_refused(&p, err);
	else
		r = complete(&p, doc);
	if (r == 0 && !d.xml)
		r = (d.xml = strndup(xml, len)) ? 0 : -ENOMEM;
	if (r < 0 && !p.code)
		err_set(err, r, "definition: %s", strerror(-r));
	if (r < 0)
		domain_done(&d);
	else
		*ret = d;
	return r;
}

unsigned int domain_controllers(const struct domain *d)
{
	unsigned int count = 0;

	for (size_t i = 0; i < d->disk_count; i++)
		count = MAX(count, d->disks[i].controller + 1);
	return count;
}

void domain_guid(const struct domain *d, const char *what, uint8_t ret[16])
{
	uuid_t vm;

	uuid_parse(d->uuid, vm);
	uuid_generate_sha1(ret, vm, what, strlen(what));
}
