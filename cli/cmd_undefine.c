/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/client.h"
#include "cli/vmctl.h"

static int undefine_vm(struct client *client, const char *path, struct err *err)
{
	return client_vm_call(client, path, "Undefine", 0, err);
}

int cmd_undefine(const struct cli *cli, int argc, char **argv)
{
	return client_verb(cli, argc, argv, undefine_vm, "is no longer defined");
}
