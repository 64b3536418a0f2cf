/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/json.h"
#include "cli/services.h"
#include "cli/vmctl.h"

static int show_xml(struct client *client, const char *path, struct err *err)
{
	struct msgbus_msg *msg = NULL;
	const char *xml;
	struct msgbus_in in;
	int r = msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "GetXML", 0, err, &msg, "u",
			    0u);

	if (r < 0)
		return r;
	msgbus_msg_in(msg, &in);
	r = msgbus_in_read(&in, "s", &xml);
	if (r == 0)
		fputs(xml, stdout);
	else
		err_set(err, r, "the manager's answer is not understood: is it of another version?");
	msgbus_msg_free(msg);
	return r;
}

static void print_services(struct json_object *services)
{
	char line[1024];

	json_object_object_foreach(services, name, service)
	{
		services_line(name, service, line, sizeof(line));
		printf("%-16s %s\n", "service", line);
	}
}

/* One line a property; what is empty now is left out. */
static void print_text(struct json_object *properties)
{
	json_object_object_foreach(properties, key, value)
	{
		const char *text;

		if (strcmp(key, "services") == 0) {
			print_services(value);
			continue;
		}
		text = json_object_is_type(value, json_type_string)
			       ? json_object_get_string(value)
			       : json_object_to_json_string_ext(value, JSON_C_TO_STRING_SPACED |
									       JSON_C_TO_STRING_NOSLASHESCAPE);

		if (text[0] && strcmp(text, "[ ]") != 0)
			printf("%-16s %s\n", key, text);
	}
}

static int show_properties(const struct cli *cli, struct client *client, const char *path, struct err *err)
{
	struct json_object *properties = NULL;
	int r = client_properties(client, path, err, &properties);

	if (r < 0)
		return r;
	if (cli->json) {
		json_print(properties);
	} else {
		print_text(properties);
		json_object_put(properties);
	}
	return 0;
}

int cmd_show(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"xml", no_argument, NULL, 'x'}, {NULL, 0, NULL, 0}};
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	bool xml = false;
	int option, r;

	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option != 'x')
			return cli_usage(argv[0], "unknown option '%s'", argv[optind - 1]);
		xml = true;
	}
	if (argc - optind != 1)
		return cli_usage(argv[0], "the name of one VM is needed");
	if (xml && cli->json)
		return cli_usage(argv[0], "--xml and --json exclude each other");
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = xml ? show_xml(&client, path, &err) : show_properties(cli, &client, path, &err);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}
