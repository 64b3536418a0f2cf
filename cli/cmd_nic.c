/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl nic: the NICs of a VM. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cli/cmd_nic.h"
#include "cli/devices.h"
#include "cli/json.h"
#include "cli/nic_words.h"
#include "cli/stats.h"

#define SETTINGS_MAX 64

/* What the options say. */
struct nic_options {
	uint32_t flags;
	struct nic_words words;
};

#define AT(member) offsetof(struct nic_options, member)

static const struct cli_option attach_options[] = {
	{"type", AT(words.type), 0, 0},
	{"source", AT(words.source), 0, 0},
	{"mode", AT(words.mode), 0, 0},
	{"target", AT(words.target), 0, 0},
	{"mac", AT(words.mac), 0, 0},
	{"mtu", AT(words.mtu), 0, 0},
	{"queues", AT(words.queues), 0, 0},
	{"vlan", AT(words.vlan), 0, 0},
	{"forward", AT(words.forward), 0, 0},
	{"alias", AT(words.alias), 0, 0},
	{"virtualport", AT(words.virtualport), 0, 0},
	{"persistent", 0, 0, BULKHEAD_CHANGE_PERSISTENT},
	{"config", 0, 0, BULKHEAD_CHANGE_CONFIG},
	{NULL, 0, 0, 0},
};
static const struct cli_option set_options[] = {
	{"persistent", 0, 0, BULKHEAD_CHANGE_PERSISTENT},
	{"config", 0, 0, BULKHEAD_CHANGE_CONFIG},
	{NULL, 0, 0, 0},
};

static int parse(int argc, char **argv, const struct cli_option *table, struct nic_options *options)
{
	return device_options("nic", argc, argv, table, options, &options->flags);
}

/* ---- list ---- */

static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

static const char *get_text(struct json_object *object, const char *key)
{
	struct json_object *value = get(object, key);

	return value ? json_object_get_string(value) : "";
}

/* What has passed; NULL: nobody knows. @statistics: NULL of a VM that does not run, or whose version counts none. */
static struct json_object *find_statistics(struct json_object *statistics, const char *alias)
{
	struct json_object *list = get(statistics, "net");

	for (size_t i = 0; json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++) {
		struct json_object *nic = json_object_array_get_idx(list, i);

		if (!strcmp(get_text(nic, "name"), alias))
			return nic;
	}
	return NULL;
}

/* An array of objects: the alias, what the property has, the settings as an object. */
static struct json_object *list_json(struct json_object *nics, struct json_object *statistics)
{
	struct json_object *list = json_object_new_array();

	json_object_object_foreach(nics, alias, nic)
	{
		struct json_object *row = json_object_new_object();

		json_object_object_add(row, "nic", json_object_new_string(alias));
		json_object_object_foreach(nic, key, value)
		{
			if (strcmp(key, "settings") != 0)
				json_object_object_add(row, key, json_object_get(value));
		}
		json_object_object_add(row, "settings", device_settings_json(get(nic, "settings")));
		json_object_object_add(row, "statistics", json_object_get(find_statistics(statistics, alias)));
		json_object_array_add(list, row);
	}
	return list;
}

static void print_list(struct json_object *list, const char *separator)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		printf("%s%s", i ? separator : "", json_object_get_string(json_object_array_get_idx(list, i)));
}

static void print_statistics(struct json_object *nic)
{
	struct stats_nic passed;

	if (!nic)
		return;
	stats_nic_take(nic, &passed);
	stats_nic_print(stdout, &passed);
}

static void list_lines(struct json_object *nics, struct json_object *statistics)
{
	printf("%-8s %-8s %-12s %-17s %-5s %s\n", "NIC", "TYPE", "SOURCE", "MAC", "LINK", "ADDRESSES, SETTINGS");
	json_object_object_foreach(nics, alias, nic)
	{
		const char *source = get_text(nic, "source"), *link = get_text(nic, "link");
		struct json_object *addresses = get(nic, "addresses"), *settings = get(nic, "settings");

		printf("%-8s %-8s %-12s %-17s %-5s ", alias, get_text(nic, "type"), *source ? source : "-",
		       get_text(nic, "mac"), *link ? link : "-");
		print_list(addresses, " ");
		if (addresses && json_object_array_length(addresses) && settings && json_object_array_length(settings))
			printf("  ");
		print_list(settings, "  ");
		printf("%s%s\n", json_object_get_boolean(get(nic, "peer_gone")) ? "  (nobody is behind it)" : "",
		       json_object_get_boolean(get(nic, "capturing")) ? "  (captured)" : "");
		print_statistics(find_statistics(statistics, alias));
	}
}

static void print_nics(const struct cli *cli, struct client *client, const char *path, struct json_object *properties)
{
	struct json_object *statistics = NULL, *nics;
	struct err err = {0};

	if (!json_object_object_get_ex(properties, "interfaces", &nics))
		return;
	if (client_statistics(client, path, CLIENT_STATISTICS_MS, &err, &statistics) == -ETIMEDOUT)
		fprintf(stderr, "vmctl: note: %s: what has passed is missing\n", err.text);
	if (cli->json)
		json_print(list_json(nics, statistics));
	else
		list_lines(nics, statistics);
	json_object_put(statistics);
}

static int nic_list(const struct cli *cli, int argc, char **argv)
{
	return device_list(cli, "nic", argc, argv, print_nics);
}

/* ---- attach ---- */

static int nic_attach(const struct cli *cli, int argc, char **argv)
{
	struct nic_options options = {0};
	_cleanup_free_ char *xml = NULL;
	struct err err = {0};
	int r = parse(argc, argv, attach_options, &options);

	if (r)
		return r;
	if (argc - optind != 1)
		return cli_usage("nic", "attach: the name of one VM is needed");
	r = nic_words_xml(&options.words, &xml, &err);
	if (r < 0)
		return cli_usage("nic", "%s", err.text);
	return device_attach(cli, argv[optind], "AttachInterface", xml, options.flags);
}

/* ---- detach ---- */

static int nic_detach(const struct cli *cli, int argc, char **argv)
{
	return device_detach(cli, "nic", argc, argv, "a NIC", "DetachInterface");
}

/* ---- set ---- */

static int nic_set(const struct cli *cli, int argc, char **argv)
{
	const char *settings[SETTINGS_MAX + 1] = {NULL};
	struct nic_options options = {0};
	int count, r = parse(argc, argv, set_options, &options);

	if (r)
		return r;
	count = argc - optind - 2;
	if (count < 1 || count > SETTINGS_MAX)
		return cli_usage("nic", "set: the name of a VM, a NIC, and NAME=VALUE are needed");
	for (int i = 0; i < count; i++)
		settings[i] = argv[optind + 2 + i];
	return device_change(cli, argv[optind], "SetInterface", DEVICE_DEADLINE_MS, "sasu", argv[optind + 1], settings,
			     options.flags);
}

int cmd_nic(const struct cli *cli, int argc, char **argv)
{
	static const struct device_word words[] = {
		{"list", true, nic_list}, {"attach", false, nic_attach},   {"detach", false, nic_detach},
		{"set", false, nic_set},  {"capture", false, nic_capture},
	};

	return device_words(cli, argc, argv, words, ARRAY_SIZE(words));
}
