/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/console.h"
#include "cli/run_options.h"
#include "cli/vmctl.h"

#define EXIT_SIGNALLED 130 /* as a shell says of a command that Ctrl-C ended */

static int destroy(struct client *client, const char *path, struct err *err)
{
	int r = client_vm_call(client, path, "Destroy", 0, err);

	if (r == -ECONNRESET || r == -ESRCH) {
		r = client_reopen(client, err);
		if (r == 0)
			r = client_vm_call(client, path, "Destroy", 0, err);
	}
	return r;
}

static int stop(struct client *client, const char *path, const char *name, int how)
{
	struct err err = {0};

	if (destroy(client, path, &err) < 0)
		return cli_fail(&err);
	fprintf(stderr, "vmctl: %s was stopped\n", name);
	return how == TERMINAL_SIGNALLED ? EXIT_SIGNALLED : EXIT_FAILED;
}

/* Created paused, so that the console is there before the guest's first byte. */
static int run(struct client *client, const struct run_options *options)
{
	_cleanup_free_ char *xml = run_options_xml(options);
	_cleanup_close_ int stream = -1;
	char path[CLIENT_PATH_MAX];
	struct err err = {0}, ignored;
	int r;

	if (!xml)
		err_set(&err, -ENOMEM, "out of memory");
	if (!xml || client_new_vm(client, "CreateVM", xml, BULKHEAD_FLAG_PAUSED, path, &err) < 0)
		return cli_fail(&err);
	stream = client_console(client, path, true, &err);
	r = stream < 0 ? stream
		       : msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "Resume", 0, &err,
				     NULL, "");
	if (r == 0) {
		console_hint(options->name, "stop the VM");
		r = terminal_relay(stream, &err);
	}
	if (r < 0) {
		destroy(client, path, &ignored);
		return cli_fail(&err);
	}
	if (r != TERMINAL_EOF)
		return stop(client, path, options->name, r);
	return console_outcome(client, path, options->name);
}

int cmd_run(const struct cli *cli, int argc, char **argv)
{
	struct run_options options;
	struct client client;
	struct err err = {0};
	int code;

	if (run_options_parse(argc, argv, &options, &err) < 0)
		return cli_usage(argv[0], "%s", err.text);
	if (client_open(cli, &client, &err) < 0) {
		run_options_done(&options);
		return cli_fail(&err);
	}
	code = run(&client, &options);
	client_close(&client);
	run_options_done(&options);
	return code;
}
