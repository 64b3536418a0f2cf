/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "cli/client.h"
#include "cli/vmctl.h"

#define XML_MAX (1024u * 1024u)

static int read_definition(const char *path, char **ret_xml, struct err *err)
{
	bool from_stdin = strcmp(path, "-") == 0;
	_cleanup_close_ int fd = from_stdin ? fd_dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	size_t len;
	int r;

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	r = fd_read_all(fd, XML_MAX, ret_xml, &len);
	if (r == -EFBIG)
		return err_set(err, r, "%s: larger than 1 MiB: is it a domain definition?", path);
	if (r < 0)
		return err_set(err, r, "%s: %s", path, strerror(-r));
	if (strlen(*ret_xml) != len) {
		free(take_ptr(*ret_xml));
		return err_set(err, -EINVAL, "%s: has NUL bytes: is it a domain definition?", path);
	}
	return 0;
}

int cmd_define(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *xml = NULL;
	_cleanup_free_ char *name = NULL;
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r;

	if (argc != 2 || (argv[1][0] == '-' && argv[1][1]))
		return cli_usage(argv[0], "one file (or - for standard input) is needed");
	if (read_definition(argv[1], &xml, &err) < 0 || client_open(cli, &client, &err) < 0)
		return cli_fail(&err);
	r = client_new_vm(&client, "DefineVM", xml, 0, path, &err);
	if (r == 0)
		r = msgbus_get(client.bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "Name", &err, 's', &name);
	client_close(&client);
	if (r < 0)
		return cli_fail(&err);
	printf("%s is defined\n", name);
	return EXIT_OK;
}
