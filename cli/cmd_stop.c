/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>

#include "cli/client.h"
#include "cli/vmctl.h"

int cmd_stop(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"force", no_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	bool force = false;
	int option, r;

	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option != 'f')
			return cli_usage(argv[0], "unknown option '%s'", argv[optind - 1]);
		force = true;
	}
	if (argc - optind != 1)
		return cli_usage(argv[0], "the name of one VM is needed");
	if (!force)
		return cli_usage(argv[0],
				 "a guest cannot be asked to shut down yet: power it off from inside, or give --force "
				 "to pull its plug");
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = client_vm_call(&client, path, "Destroy", 0, &err);
	client_close(&client);
	if (r < 0)
		return cli_fail(&err);
	printf("%s is off\n", argv[optind]);
	return EXIT_OK;
}
