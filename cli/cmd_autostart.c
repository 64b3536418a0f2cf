/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which VMs come up with the host. bulkhead-autostart.service runs --start-all when the host boots, and --stop-all
 * before it goes down; one VM that cannot be started or ended keeps none of the others from it.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/vmctl.h"

#define SHUTDOWN_S 60u /* that a guest has before its plug is pulled */

static int get_autostart(struct client *client, const char *path, bool *ret_on, struct err *err)
{
	return msgbus_get(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "Autostart", err, 'b', ret_on);
}

/* Starts it if it is marked. Return: 0 (also if it is not); a negative errno with a line. */
static int start_one(struct client *client, const char *name, const char *state, const char *path, struct err *err)
{
	bool on = false;
	int r;

	if (strcmp(state, "shut-off") != 0)
		return 0;
	r = get_autostart(client, path, &on, err);
	if (r < 0 || !on)
		return r;
	r = client_vm_call(client, path, "Start", 0, err);
	if (r == 0)
		printf("%s runs\n", name);
	return r;
}

static int stop_one(struct client *client, const char *name, const char *state, const char *path, struct err *err)
{
	int r;

	if (strcmp(state, "shut-off") == 0)
		return 0;
	if (client_vm_ask(client, path, "Shutdown", 0, SHUTDOWN_S, err) == 0) {
		printf("%s has shut down\n", name);
		return 0;
	}
	r = client_vm_call(client, path, "Destroy", 0, err);
	if (r == -EBADFD) /* it crashed, and is over already */
		return 0;
	if (r == 0)
		printf("%s is off\n", name);
	return r;
}

static int for_each(const struct cli *cli, int (*fn)(struct client *client, const char *name, const char *state,
						     const char *path, struct err *err))
{
	const char *name, *uuid, *state, *path;
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in, rows, row;
	struct client client;
	struct err err = {0};
	int status = EXIT_OK;

	if (client_open(cli, &client, &err) < 0)
		return cli_fail(&err);
	if (msgbus_call(client.bus, BULKHEAD_BUS_NAME, BULKHEAD_MANAGER_PATH, BULKHEAD_MANAGER_INTERFACE, "ListVMs", 0,
			&err, &msg, "") < 0) {
		client_close(&client);
		return cli_fail(&err);
	}
	msgbus_msg_in(msg, &in);
	msgbus_in_enter(&in, &rows);
	while (msgbus_in_type(&rows) && msgbus_in_enter(&rows, &row) == 0) {
		if (msgbus_in_read(&row, "ssso", &name, &uuid, &state, &path) == 0 &&
		    fn(&client, name, state, path, &err) < 0)
			status = cli_fail(&err);
	}
	msgbus_msg_free(msg);
	client_close(&client);
	return status;
}

static int mark(const struct cli *cli, const char *name, bool on)
{
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r;

	if (client_open_vm(cli, name, &client, path, &err) < 0)
		return cli_fail(&err);
	r = msgbus_call(client.bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "SetAutostart", 0, &err, NULL, "b",
			(int)on);
	client_close(&client);
	if (r < 0)
		return cli_fail(&err);
	printf(on ? "%s comes up with the host\n" : "%s does not come up with the host\n", name);
	if (on && !cli->system)
		fputs("vmctl: note: only the system's VMs are started with the host: see --system\n", stderr);
	return EXIT_OK;
}

int cmd_autostart(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"disable", no_argument, NULL, 'd'},
						{"start-all", no_argument, NULL, 's'},
						{"stop-all", no_argument, NULL, 'e'},
						{NULL, 0, NULL, 0}};
	int option, what = 0;

	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option == '?' || option == ':')
			return cli_usage(argv[0], "unknown option '%s'", argv[optind - 1]);
		if (what)
			return cli_usage(argv[0], "too many options");
		what = option;
	}
	if (argc - optind != (what == 's' || what == 'e' ? 0 : 1))
		return cli_usage(argv[0], argc == optind ? "the name of a VM is missing" : "too many arguments");
	if (what == 's')
		return for_each(cli, start_one);
	if (what == 'e')
		return for_each(cli, stop_one);
	return mark(cli, argv[optind], what != 'd');
}
