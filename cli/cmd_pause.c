/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl pause, vmctl resume */
#include "config.h"

#include "cli/client.h"
#include "cli/vmctl.h"

static int pause_vm(struct client *client, const char *path, struct err *err)
{
	return client_vm_do(client, path, "Pause", err);
}

int cmd_pause(const struct cli *cli, int argc, char **argv)
{
	return client_verb(cli, argc, argv, pause_vm, "is paused");
}

static int resume_vm(struct client *client, const char *path, struct err *err)
{
	return client_vm_do(client, path, "Resume", err);
}

int cmd_resume(const struct cli *cli, int argc, char **argv)
{
	return client_verb(cli, argc, argv, resume_vm, "runs");
}
