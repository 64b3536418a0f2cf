/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl stop, vmctl reboot: what the guest is asked for, and what is done without asking it. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/client.h"
#include "cli/vmctl.h"

#define TIMEOUT_DEFAULT_S 120u
#define TIMEOUT_MAX_S	  86400u

struct end {
	const char *ask; /* method that asks the guest */
	int (*force)(struct client *client, const char *path, struct err *err);
	const char *done; /* "NAME %s" */
};

struct options {
	bool force, ask;
	uint32_t timeout_s;
};

static bool read_timeout(const char *text, uint32_t *ret_s)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || n < 1 || n > TIMEOUT_MAX_S)
		return false;
	*ret_s = (uint32_t)n;
	return true;
}

/* Return: EXIT_OK or EXIT_USAGE. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{"force", no_argument, NULL, 'f'}, {"timeout", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
	bool timeout = false;
	int option;

	*o = (struct options){.timeout_s = TIMEOUT_DEFAULT_S};
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option == 'f')
			o->force = true;
		else if (option != 't')
			return cli_usage(argv[0], option == ':' ? "option '%s' needs a value" : "unknown option '%s'",
					 argv[optind - 1]);
		else if (!read_timeout(optarg, &o->timeout_s))
			return cli_usage(argv[0], "--timeout: '%s' is not a number of seconds from 1 to %u", optarg,
					 TIMEOUT_MAX_S);
		else
			timeout = true;
	}
	if (argc - optind != 1)
		return cli_usage(argv[0], "the name of one VM is needed");
	o->ask = !o->force || timeout;
	return EXIT_OK;
}

static int run(struct client *client, const struct end *end, const struct options *o, const char *path, struct err *err)
{
	int r = 0;

	if (o->ask)
		r = client_vm_ask(client, path, end->ask, 0, o->timeout_s, err);
	if (o->ask && (r == 0 || !o->force))
		return r;
	if (o->ask)
		fprintf(stderr, "vmctl: note: %s: uses force\n", err->text);
	return end->force(client, path, err);
}

static int end_vm(const struct cli *cli, const struct end *end, int argc, char **argv)
{
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	struct options o;
	int r = parse(argc, argv, &o);

	if (r != EXIT_OK)
		return r;
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = run(&client, end, &o, path, &err);
	client_close(&client);
	if (r < 0)
		return cli_fail(&err);
	printf("%s %s\n", argv[optind], end->done);
	return EXIT_OK;
}

static int destroy(struct client *client, const char *path, struct err *err)
{
	return client_vm_call(client, path, "Destroy", 0, err);
}

static int reset(struct client *client, const char *path, struct err *err)
{
	return client_vm_do(client, path, "Reset", err);
}

int cmd_stop(const struct cli *cli, int argc, char **argv)
{
	static const struct end stop = {"Shutdown", destroy, "is off"};

	return end_vm(cli, &stop, argc, argv);
}

int cmd_reboot(const struct cli *cli, int argc, char **argv)
{
	static const struct end reboot = {"Reboot", reset, "starts again"};

	return end_vm(cli, &reboot, argc, argv);
}
