/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three lists against libvirt's own schema (RELAX NG, package libvirt0) and against the manual: each element and
 * attribute that a domain may have is in one of them, below what is implemented; each row is about one.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "domain.h"
#include "domain_rules.h"

#define FILES_MAX   16
#define DEFINES_MAX 4096
#define PATHS_MAX   1024
#define PATH_LEN    256

/* The grammar: all files that domain.rng includes, and their definitions. */
static xmlDoc *files[FILES_MAX];
static size_t file_count;
static xmlNode *defines[DEFINES_MAX];
static size_t define_count;

/* What a domain may have, with the definitions that were followed for each element ("path|definition"). */
static char *paths[PATHS_MAX], *followed[8 * PATHS_MAX];
static size_t path_count, followed_count;

/* Of versions of libvirt newer than the oldest that these tests run with. */
static const char *const newer[] = {
	"/domain/iothreadids/iothread/poll",
	"/domain/iothreadids/iothread/poll/@max",
	"/domain/iothreadids/iothread/poll/@grow",
	"/domain/iothreadids/iothread/poll/@shrink",
	"/domain/throttlegroups",
	"/domain/os/shim",
	"/domain/os/varstore",
	"/domain/devices/crypto",
	"/domain/devices/pstore",
	"/domain/devices/disk/throttlefilters",
	"/domain/devices/disk/driver/@discard_no_unref",
	"/domain/devices/disk/driver/statistics",
	"/domain/devices/disk/source/dataStore",
	"/domain/devices/disk/bulkhead:faults", /* our own */
};

/* ---- the schema ---- */

static char *get(xmlNode *node, const char *name)
{
	return (char *)xmlGetNoNsProp(node, (const xmlChar *)name);
}

static bool is(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

static void load(const char *name)
{
	char path[PATH_LEN];
	xmlDoc *doc;

	snprintf(path, sizeof(path), TEST_SCHEMAS "/%s", name);
	doc = xmlReadFile(path, NULL, XML_PARSE_NONET);
	cr_assert(doc, "%s: libvirt's schemas are missing: install libvirt-clients", path);
	cr_assert_lt(file_count, FILES_MAX);
	files[file_count++] = doc;
	for (xmlNode *n = xmlDocGetRootElement(doc)->children; n; n = n->next) {
		if (is(n, "include")) {
			char *href = get(n, "href");

			load(href);
			xmlFree(href);
		} else if (is(n, "define")) {
			cr_assert_lt(define_count, DEFINES_MAX);
			defines[define_count++] = n;
		}
	}
}

/* Return: whether @text was not there yet. */
static bool add(char **list, size_t *count, size_t max, const char *text)
{
	for (size_t i = 0; i < *count; i++) {
		if (!strcmp(list[i], text))
			return false;
	}
	cr_assert_lt(*count, max);
	list[(*count)++] = strdup(text);
	return true;
}

static void walk(xmlNode *nodes, const char *path);

static void follow(xmlNode *ref, const char *path)
{
	char *name = get(ref, "name"), key[2 * PATH_LEN];
	bool is_new;

	snprintf(key, sizeof(key), "%s|%s", path, name);
	is_new = add(followed, &followed_count, ARRAY_SIZE(followed), key);
	for (size_t i = 0; is_new && i < define_count; i++) {
		char *other = get(defines[i], "name");

		if (!strcmp(name, other))
			walk(defines[i]->children, path);
		xmlFree(other);
	}
	xmlFree(name);
}

static void visit(xmlNode *node, const char *path, const char *name)
{
	char *ns = get(node, "ns"), below[PATH_LEN];
	const char *at = is(node, "attribute") ? "@" : "", *prefix = ns ? strstr(ns, "/domain/") : NULL;

	if (prefix) {
		prefix += strlen("/domain/");
		snprintf(below, sizeof(below), "%s/%s%.*s:%s", path, at, (int)strcspn(prefix, "/"), prefix, name);
	} else {
		snprintf(below, sizeof(below), "%s/%s%s", path, at, name);
	}
	xmlFree(ns);
	add(paths, &path_count, PATHS_MAX, below);
	if (!*at && domain_rule_find(below)->verdict == DOMAIN_IMPLEMENTED)
		walk(node->children, below);
}

/* <element> and <attribute> have their name as an attribute, or as children: <name>, <choice> of <name>. */
static void visit_names(xmlNode *node, xmlNode *names, const char *path)
{
	for (xmlNode *n = names; n; n = n->next) {
		if (is(n, "name")) {
			char *name = (char *)xmlNodeGetContent(n);

			visit(node, path, name);
			xmlFree(name);
		} else if (is(n, "choice")) {
			visit_names(node, n->children, path);
		}
	}
}

static void walk(xmlNode *nodes, const char *path)
{
	for (xmlNode *n = nodes; n; n = n->next) {
		if (n->type != XML_ELEMENT_NODE || is(n, "name") || is(n, "anyName"))
			continue;
		if (is(n, "ref")) {
			follow(n, path);
		} else if (is(n, "element") || is(n, "attribute")) {
			char *name = get(n, "name");

			if (name)
				visit(n, path, name);
			else
				visit_names(n, n->children, path);
			xmlFree(name);
		} else {
			walk(n->children, path);
		}
	}
}

static void setup(void)
{
	load("domain.rng");
	for (xmlNode *n = xmlDocGetRootElement(files[0])->children; n; n = n->next) {
		if (is(n, "start"))
			walk(n->children, "");
	}
}

static void teardown(void)
{
	for (size_t i = 0; i < file_count; i++)
		xmlFreeDoc(files[i]);
	for (size_t i = 0; i < path_count; i++)
		free(paths[i]);
	for (size_t i = 0; i < followed_count; i++)
		free(followed[i]);
}

TestSuite(domain_rules, .timeout = 60);

Test(domain_rules, all_of_libvirts_schema_is_in_a_list, .init = setup, .fini = teardown)
{
	cr_assert_gt(path_count, 200, "%zu names only: is the schema read?", path_count);
	for (size_t i = 0; i < path_count; i++)
		cr_expect_str_eq(domain_rule_find(paths[i])->path, paths[i], "%s is in no list", paths[i]);
}

static bool is_newer(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(newer); i++) {
		if (!strcmp(newer[i], path))
			return true;
	}
	return false;
}

Test(domain_rules, no_row_is_about_nothing, .init = setup, .fini = teardown)
{
	size_t count;
	const struct domain_rule *rules = domain_rules(&count);

	for (size_t i = 0; i < count; i++) {
		size_t p = 0;

		while (p < path_count && strcmp(paths[p], rules[i].path))
			p++;
		cr_expect(p < path_count || is_newer(rules[i].path), "%s is not in libvirt's schema", rules[i].path);
	}
}

/* ---- the lists themselves ---- */

Test(domain_rules, each_has_a_reason_and_stands_once)
{
	size_t count;
	const struct domain_rule *rules = domain_rules(&count);

	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < i; k++)
			cr_expect_str_neq(rules[i].path, rules[k].path, "it is there twice");
		cr_expect_eq(domain_rule_find(rules[i].path)->reason, rules[i].reason, "%s", rules[i].path);
		cr_expect_eq(rules[i].reason == NULL, rules[i].verdict == DOMAIN_IMPLEMENTED, "%s", rules[i].path);
	}
	cr_assert_eq(domain_rule_find("/domain/nothing")->verdict, DOMAIN_REFUSED);
	cr_assert_eq(domain_rule_find("")->verdict, DOMAIN_REFUSED);
}

/* ---- the manual ---- */

static char *manual(void)
{
	int fd = open(TEST_MAN, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t len;

	cr_assert_eq(fd_read_all(fd, 1 << 20, &text, &len), 0, "%s", TEST_MAN);
	close(fd);
	return text;
}

/* The rows of a verdict as the manual shows them. */
static char *as_manual(enum domain_verdict verdict)
{
	size_t count, len = 0;
	const struct domain_rule *rules = domain_rules(&count);
	char *text = NULL;
	FILE *f = open_memstream(&text, &len);

	for (size_t i = 0; i < count; i++) {
		if (rules[i].verdict == verdict)
			fprintf(f, ".It Ic %s\n%s\n", rules[i].path, rules[i].reason);
	}
	fclose(f);
	return text;
}

static void compare(const char *text, const char *name, enum domain_verdict verdict)
{
	_cleanup_free_ char *ours = as_manual(verdict), *theirs = NULL;
	char mark[64];
	const char *start, *end;

	snprintf(mark, sizeof(mark), ".\\\" the list: %s\n", name);
	start = strstr(text, mark);
	cr_assert(start, "the manual has no line %s", mark);
	start += strlen(mark);
	end = strstr(start, ".El\n");
	cr_assert(end);
	theirs = strndup(start, (size_t)(end - start));
	cr_expect_str_eq(theirs, ours, "put this into the manual:\n%s", ours);
}

Test(domain_rules, the_manual_has_the_lists)
{
	_cleanup_free_ char *text = manual();

	compare(text, "kept", DOMAIN_KEPT);
	compare(text, "refused", DOMAIN_REFUSED);
}

/* Each implemented element and attribute is at least named. */
Test(domain_rules, the_manual_names_what_is_implemented)
{
	_cleanup_free_ char *text = manual();
	size_t count;
	const struct domain_rule *rules = domain_rules(&count);
	char *end = strstr(text, ".Ss Kept");

	cr_assert(end);
	*end = 0;
	for (size_t i = 0; i < count; i++) {
		const char *name = strrchr(rules[i].path, '/') + 1;

		if (rules[i].verdict == DOMAIN_IMPLEMENTED)
			cr_expect(strstr(text, name + (*name == '@')), "%s is not in the manual", rules[i].path);
	}
}
