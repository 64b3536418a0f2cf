/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl service: the processes that serve a VM's devices. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/json.h"
#include "cli/services.h"
#include "cli/vmctl.h"

#define UPGRADE_DEADLINE_MS 130000u /* vmmgmtd gives up after 120 s */

/* @ret: {name: {...}}, json_object_put() it. */
static int read_services(struct client *client, const char *path, struct err *err, struct json_object **ret)
{
	struct json_object *properties = NULL, *services;
	int r = client_properties(client, path, err, &properties);

	if (r < 0)
		return r;
	if (json_object_object_get_ex(properties, "services", &services))
		*ret = json_object_get(services);
	else
		r = err_set(err, -EBADMSG, "the manager knows no services: is it of another version?");
	json_object_put(properties);
	return r;
}

static void print_lines(const char *vm, struct json_object *services)
{
	char line[1024];

	if (!json_object_object_length(services))
		fprintf(stderr, "vmctl: note: VM %s has no services now\n", vm);
	json_object_object_foreach(services, name, service)
	{
		services_line(name, service, line, sizeof(line));
		puts(line);
	}
}

static int service_list(const struct cli *cli, int argc, char **argv)
{
	struct json_object *services = NULL;
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r;

	if (argc != 2 || argv[1][0] == '-')
		return cli_usage("service", "list: the name of one VM is needed");
	if (client_open_vm(cli, argv[1], &client, path, &err) < 0)
		return cli_fail(&err);
	r = read_services(&client, path, &err, &services);
	client_close(&client);
	if (r < 0)
		return cli_fail(&err);
	if (cli->json) {
		json_print(services);
	} else {
		print_lines(argv[1], services);
		json_object_put(services);
	}
	return EXIT_OK;
}

static int upgrade(struct client *client, const char *path, const char *name, const char *exe, struct err *err)
{
	struct json_object *services = NULL, *service;
	char line[1024];
	int r = msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "UpgradeService",
			    UPGRADE_DEADLINE_MS, err, NULL, "ss", name, exe);

	if (r == 0)
		r = read_services(client, path, err, &services);
	if (r < 0)
		return r;
	if (json_object_object_get_ex(services, name, &service)) {
		services_line(name, service, line, sizeof(line));
		puts(line);
	}
	json_object_put(services);
	return 0;
}

static int service_upgrade(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"exe", required_argument, NULL, 'e'}, {NULL, 0, NULL, 0}};
	_cleanup_free_ char *exe = NULL;
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int option, r;

	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option != 'e')
			return cli_usage("service", option == ':' ? "option '%s' needs a value" : "unknown option '%s'",
					 argv[optind - 1]);
		free(exe);
		exe = realpath(optarg, NULL); /* vmmgmtd's folder is another one */
		if (!exe) {
			err_set(&err, -errno, "program %s: %s", optarg, strerror(errno));
			return cli_fail(&err);
		}
	}
	if (argc - optind != 2)
		return cli_usage("service", "upgrade: the names of a VM and of a service are needed");
	if (cli->json)
		return cli_usage("service", "'upgrade' prints no data, so there is no --json");
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = upgrade(&client, path, argv[optind + 1], exe ? exe : "", &err);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}

int cmd_service(const struct cli *cli, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct cli *cli, int argc, char **argv);
	} verbs[] = {{"list", service_list}, {"upgrade", service_upgrade}};

	if (argc < 2)
		return cli_usage(argv[0], "'list' or 'upgrade' is missing");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(cli, argc - 1, argv + 1);
	}
	return cli_usage(argv[0], "unknown verb 'service %s'", argv[1]);
}
