/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "cli/client.h"
#include "cli/vmctl.h"

int cmd_undefine(const struct cli *cli, int argc, char **argv)
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
	r = client_vm_call(&client, path, "Undefine", 0, &err);
	client_close(&client);
	if (r < 0)
		return cli_fail(&err);
	printf("%s is no longer defined\n", name);
	return EXIT_OK;
}
