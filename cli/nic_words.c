/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/nic_words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cli/xml.h"

/* ---- words ---- */

#define AT(member) offsetof(struct nic_words, member)

static const struct {
	const char *name;
	size_t at;
} names[] = {
	{"source", AT(source)}, {"mode", AT(mode)},
	{"target", AT(target)}, {"mac", AT(mac)},
	{"mtu", AT(mtu)},	{"queues", AT(queues)},
	{"vlan", AT(vlan)},	{"forward", AT(forward)},
	{"alias", AT(alias)},	{"virtualport", AT(virtualport)},
};

static int take_word(char *word, struct nic_words *words, struct err *err)
{
	char *value = strchr(word, '=');
	const char **at = NULL;

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].name, word))
			at = (const char **)((char *)words + names[i].at);
	if (!at || !value || !*value)
		return err_set(
			err, -EINVAL,
			"'%s' is not a word of a NIC with a value (source=, mode=, target=, mac=, mtu=, queues=, "
			"vlan=, forward=, alias=, virtualport=)",
			word);
	if (*at)
		return err_set(err, -EINVAL, "'%s' is there twice", word);
	*at = value;
	return 0;
}

int nic_words_parse(char *text, struct nic_words *ret_words, struct err *err)
{
	struct nic_words words = {0};
	char *at = NULL, *word = strtok_r(text, ",", &at);
	int r = 0;

	if (!word)
		return err_set(err, -EINVAL, "its type is missing");
	words.type = word;
	while (r == 0 && (word = strtok_r(NULL, ",", &at)))
		r = take_word(word, &words, err);
	if (r == 0)
		*ret_words = words;
	return r;
}

/* ---- XML ---- */

/* <@element @attribute='@value'/>, if there is a value. */
static void put_element(FILE *out, const char *element, const char *attribute, const char *value)
{
	if (!value)
		return;
	fprintf(out, "<%s", element);
	xml_put_attribute(out, attribute, value);
	fputs("/>", out);
}

/* The attribute of <source> that says what --source says. */
static const struct nic_type {
	const char *name, *type, *source;
	const char *prefix; /* of its value */
	bool needs_source;
} nic_types[] = {
	{"user", "user", "dev", "", false},
	{"bridge", "bridge", "bridge", "", true},
	{"ethernet", "ethernet", NULL, "", false},
	{"direct", "direct", "dev", "", true},
	{"server", "internal", "name", "server:", true},
	{"client", "internal", "name", "client:", true},
};

static void put_source(FILE *out, const struct nic_type *type, const struct nic_words *words)
{
	if (!words->source)
		return;
	fprintf(out, "<source %s='%s", type->source, type->prefix);
	xml_put_text(out, words->source);
	fputc('\'', out);
	xml_put_attribute(out, "mode", words->mode);
	fputs("/>", out);
}

/* "tcp:2222:22,udp:53", or with + between them. Return: 0, -EINVAL. */
static int put_forwards(FILE *out, const char *text)
{
	_cleanup_free_ char *copy = strdup(text ? text : "");
	char *at = NULL;

	for (char *one = copy ? strtok_r(copy, ",+", &at) : NULL; one; one = strtok_r(NULL, ",+", &at)) {
		char proto[4] = "";
		unsigned int host, guest;
		int end = 0, n = sscanf(one, "%3[a-z]:%u%n:%u%n", proto, &host, &end, &guest, &end);

		if (n < 2 || one[end])
			return -EINVAL;
		fprintf(out, "<portForward proto='%s'><range start='%u'", proto, host);
		if (n == 3)
			fprintf(out, " to='%u'", guest);
		fputs("/></portForward>", out);
	}
	return 0;
}

static int put_nic(FILE *out, const struct nic_type *type, const struct nic_words *words)
{
	int r;

	fprintf(out, "<interface type='%s'>", type->type);
	put_source(out, type, words);
	put_element(out, "mac", "address", words->mac);
	put_element(out, "mtu", "size", words->mtu);
	put_element(out, "driver", "queues", words->queues);
	put_element(out, "alias", "name", words->alias);
	put_element(out, "virtualport", "type", words->virtualport);
	if (words->target) {
		fputs("<target", out);
		xml_put_attribute(out, "dev", words->target);
		fprintf(out, "%s/>", !strcmp(type->name, "ethernet") ? " managed='no'" : "");
	}
	if (words->vlan) {
		fputs("<vlan>", out);
		put_element(out, "tag", "id", words->vlan);
		fputs("</vlan>", out);
	}
	r = put_forwards(out, words->forward);
	fputs("</interface>", out);
	return r;
}

int nic_words_xml(const struct nic_words *words, char **ret_xml, struct err *err)
{
	const char *name = words->type ? words->type : "user";
	const struct nic_type *type = NULL;
	char *xml = NULL;
	size_t len;
	FILE *out;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(nic_types); i++)
		if (!strcmp(nic_types[i].name, name))
			type = &nic_types[i];
	if (!type)
		return err_set(err, -EINVAL, "type '%s': it is user, bridge, ethernet, direct, server or client", name);
	if (type->needs_source && !words->source)
		return err_set(err, -EINVAL, "type %s: a source is needed", name);
	if (words->source && !type->source)
		return err_set(err, -EINVAL, "type %s: there is no source: a tap of yours is its target", name);
	out = open_memstream(&xml, &len);
	if (!out)
		return err_set(err, -ENOMEM, "out of memory");
	r = put_nic(out, type, words);
	if (fclose(out) != 0 || r < 0) {
		free(xml);
		return r < 0 ? err_set(err, r, "forward '%s' is not PROTO:PORT[:PORT][,...]", words->forward)
			     : err_set(err, -ENOMEM, "out of memory");
	}
	*ret_xml = xml;
	return 0;
}
