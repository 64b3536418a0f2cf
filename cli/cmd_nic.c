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
#include "cli/client.h"
#include "cli/cmd_disk.h"
#include "cli/cmd_nic.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/stats.h"
#include "cli/nic_words.h"

#define TIMEOUT_DEFAULT_S 30u
#define TIMEOUT_MAX_S	  3600u
#define SETTINGS_MAX	  64

/* What the options say. */
struct nic_options {
	uint32_t flags, timeout_s;
	struct nic_words words;
	const char *timeout;
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
static const struct cli_option detach_options[] = {
	{"timeout", AT(timeout), 0, 0},
	{"force", 0, 0, BULKHEAD_CHANGE_FORCE},
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
	int r = cli_options_parse("nic", argc, argv, table, options, &options->flags);

	if (r)
		return r;
	if ((options->flags & BULKHEAD_CHANGE_PERSISTENT) && (options->flags & BULKHEAD_CHANGE_CONFIG))
		return cli_usage("nic", "--persistent and --config contradict each other");
	return 0;
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
		json_object_object_add(row, "settings", disk_settings_json(get(nic, "settings")));
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

static int nic_list(const struct cli *cli, int argc, char **argv)
{
	struct json_object *properties = NULL, *statistics = NULL, *nics;
	struct err err = {0}, ignored = {0};
	char path[CLIENT_PATH_MAX];
	struct client client;
	int r;

	if (argc != 2 || argv[1][0] == '-')
		return cli_usage("nic", "list: the name of one VM is needed");
	if (client_open_vm(cli, argv[1], &client, path, &err) < 0)
		return cli_fail(&err);
	r = client_properties(&client, path, &err, &properties);
	if (r == 0)
		(void)client_statistics(&client, path, &ignored, &statistics);
	client_close(&client);
	if (r < 0)
		return cli_fail(&err);
	if (json_object_object_get_ex(properties, "interfaces", &nics)) {
		if (cli->json)
			json_print(list_json(nics, statistics));
		else
			list_lines(nics, statistics);
	}
	json_object_put(properties);
	json_object_put(statistics);
	return EXIT_OK;
}

/* ---- attach ---- */

static int attach(struct client *client, const char *path, const char *xml, uint32_t flags, struct err *err)
{
	struct msgbus_msg *msg = NULL;
	const char *alias = "";
	struct msgbus_in in;
	int r = msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "AttachInterface",
			    NIC_DEADLINE_MS, err, &msg, "su", xml, flags);

	if (r < 0)
		return r;
	msgbus_msg_in(msg, &in);
	if (msgbus_in_read(&in, "s", &alias) == 0)
		puts(alias);
	msgbus_msg_free(msg);
	return 0;
}

static int nic_attach(const struct cli *cli, int argc, char **argv)
{
	struct nic_options options = {0};
	_cleanup_free_ char *xml = NULL;
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r = parse(argc, argv, attach_options, &options);

	if (r)
		return r;
	if (argc - optind != 1)
		return cli_usage("nic", "attach: the name of one VM is needed");
	r = nic_words_xml(&options.words, &xml, &err);
	if (r < 0)
		return cli_usage("nic", "%s", err.text);
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = attach(&client, path, xml, options.flags, &err);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}

/* ---- detach ---- */

static int nic_detach(const struct cli *cli, int argc, char **argv)
{
	struct nic_options options = {.timeout_s = TIMEOUT_DEFAULT_S};
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r = parse(argc, argv, detach_options, &options);

	if (r)
		return r;
	if (argc - optind != 2)
		return cli_usage("nic", "detach: the name of a VM and a NIC are needed");
	if (options.timeout && (options.flags & BULKHEAD_CHANGE_FORCE))
		return cli_usage("nic", "--force and --timeout contradict each other");
	if (options.timeout && cli_options_timeout(options.timeout, TIMEOUT_MAX_S, &options.timeout_s) < 0)
		return cli_usage("nic", "--timeout '%s' is not a number of seconds from 1 to %u", options.timeout,
				 TIMEOUT_MAX_S);
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = msgbus_call(client.bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "DetachInterface",
			options.timeout_s * 1000 + NIC_DEADLINE_MS, &err, NULL, "suu", argv[optind + 1], options.flags,
			options.timeout_s);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}

/* ---- set ---- */

static int nic_set(const struct cli *cli, int argc, char **argv)
{
	const char *settings[SETTINGS_MAX + 1] = {NULL};
	struct nic_options options = {0};
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int count, r = parse(argc, argv, set_options, &options);

	if (r)
		return r;
	count = argc - optind - 2;
	if (count < 1 || count > SETTINGS_MAX)
		return cli_usage("nic", "set: the name of a VM, a NIC, and NAME=VALUE are needed");
	for (int i = 0; i < count; i++)
		settings[i] = argv[optind + 2 + i];
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = msgbus_call(client.bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "SetInterface", NIC_DEADLINE_MS,
			&err, NULL, "sasu", argv[optind + 1], settings, options.flags);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}

int cmd_nic(const struct cli *cli, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct cli *cli, int argc, char **argv);
	} verbs[] = {{"list", nic_list},
		     {"attach", nic_attach},
		     {"detach", nic_detach},
		     {"set", nic_set},
		     {"capture", nic_capture}};

	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		if (cli->json && verbs[i].run != nic_list)
			return cli_usage(argv[0], "'%s' prints no data, so there is no --json", argv[1]);
		return verbs[i].run(cli, argc - 1, argv + 1);
	}
	return cli_usage(argv[0], "'list', 'attach', 'detach', 'set' or 'capture' is needed");
}
