/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/console.h"
#include "cli/vmctl.h"

/* Started paused, so that the console misses nothing. */
static int start_with_console(struct client *client, const char *path, const char *name, struct err *err)
{
	_cleanup_close_ int stream = -1;
	int r = client_vm_call(client, path, "Start", BULKHEAD_FLAG_PAUSED, err);

	if (r < 0)
		return cli_fail(err);
	stream = client_console(client, path, true, err);
	if (stream < 0)
		return cli_fail(err);
	console_hint(name, "leave");
	r = msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "Resume", 0, err, NULL, "");
	if (r == 0)
		r = terminal_relay(stream, err);
	if (r < 0)
		return cli_fail(err);
	return r == TERMINAL_EOF ? console_outcome(client, path, name) : EXIT_OK;
}

static int start(struct client *client, const char *name, bool paused, bool console)
{
	char path[CLIENT_PATH_MAX];
	struct err err = {0};

	if (client_find(client, name, path, &err) < 0)
		return cli_fail(&err);
	if (console)
		return start_with_console(client, path, name, &err);
	if (client_vm_call(client, path, "Start", paused ? BULKHEAD_FLAG_PAUSED : 0, &err) < 0)
		return cli_fail(&err);
	printf("%s %s\n", name, paused ? "stands at its first instruction" : "runs");
	return EXIT_OK;
}

int cmd_start(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"paused", no_argument, NULL, 'p'},
		{"console", no_argument, NULL, 'c'},
		{NULL, 0, NULL, 0},
	};
	bool paused = false, console = false;
	struct client client;
	struct err err = {0};
	int option, code;

	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option == 'p')
			paused = true;
		else if (option == 'c')
			console = true;
		else
			return cli_usage(argv[0], "unknown option '%s'", argv[optind - 1]);
	}
	if (argc - optind != 1)
		return cli_usage(argv[0], "the name of one VM is needed");
	if (paused && console)
		return cli_usage(argv[0], "--paused and --console exclude each other");
	if (client_open(cli, &client, &err) < 0)
		return cli_fail(&err);
	code = start(&client, argv[optind], paused, console);
	client_close(&client);
	return code;
}
