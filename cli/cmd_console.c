/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "cli/console.h"
#include "cli/vmctl.h"

static int attach(struct client *client, const char *name)
{
	_cleanup_close_ int stream = -1;
	char path[CLIENT_PATH_MAX];
	struct err err = {0};
	int r = client_find(client, name, path, &err);

	if (r < 0)
		return cli_fail(&err);
	stream = client_console(client, path, true, &err);
	if (stream < 0)
		return cli_fail(&err);
	console_hint(name, "leave");
	r = terminal_relay(stream, &err);
	if (r < 0)
		return cli_fail(&err);
	return r == TERMINAL_EOF ? console_outcome(client, path, name) : EXIT_OK;
}

int cmd_console(const struct cli *cli, int argc, char **argv)
{
	const char *name = cli_one_name(argc, argv);
	struct client client;
	struct err err = {0};
	int code;

	if (!name)
		return EXIT_USAGE;
	if (client_open(cli, &client, &err) < 0)
		return cli_fail(&err);
	code = attach(&client, name);
	client_close(&client);
	return code;
}
