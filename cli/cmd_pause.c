/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl pause, vmctl resume */
#include "config.h"

#include <stdio.h>

#include "cli/client.h"
#include "cli/vmctl.h"

static int call(const struct cli *cli, int argc, char **argv, const char *method, const char *done)
{
	const char *name = cli_one_name(argc, argv);
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r;

	if (!name)
		return EXIT_USAGE;
	if (client_open_vm(cli, name, &client, path, &err) < 0)
		return cli_fail(&err);
	r = client_vm_do(&client, path, method, &err);
	client_close(&client);
	if (r < 0)
		return cli_fail(&err);
	printf("%s %s\n", name, done);
	return EXIT_OK;
}

int cmd_pause(const struct cli *cli, int argc, char **argv)
{
	return call(cli, argc, argv, "Pause", "is paused");
}

int cmd_resume(const struct cli *cli, int argc, char **argv)
{
	return call(cli, argc, argv, "Resume", "runs");
}
