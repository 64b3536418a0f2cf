/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl: the verb table, and what is printed from it. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/vmctl.h"
#include "dbus/conn.h"

static const struct verb verbs[] = {
	{"define", "[--check] FILE|-", "define a VM from libvirt domain XML, or change its definition", true,
	 cmd_define},
	{"undefine", "NAME", "forget a VM's definition (its disks stay)", false, cmd_undefine},
	{"list", "", "list the VMs", true, cmd_list},
	{"show", "NAME [--xml]", "show one VM", true, cmd_show},
	{"start", "NAME [--paused] [--console]", "start a VM", false, cmd_start},
	{"stop", "NAME [--force] [--timeout SECONDS]",
	 "ask a guest to shut down, and wait; by force: pull the VM's plug", false, cmd_stop},
	{"reboot", "NAME [--force] [--timeout SECONDS]",
	 "ask a guest to restart, and wait; by force: press the reset button", false, cmd_reboot},
	{"pause", "NAME", "let a VM stand still", false, cmd_pause},
	{"resume", "NAME", "let a paused VM go on", false, cmd_resume},
	{"autostart", "NAME [--disable] | --start-all | --stop-all", "let a VM come up with the host, or not", false,
	 cmd_autostart},
	{"console", "NAME", "attach to a VM's serial console (leave with Ctrl-])", false, cmd_console},
	{"run",
	 "--kernel FILE [--initrd FILE] [--append TEXT] [--disk FILE[,ro|,shareable]]... [--nic "
	 "TYPE[,WORD=VALUE]...]... "
	 "[--memory SIZE] [--cpus N] [--name NAME]",
	 "run a VM on this terminal until it powers off", false, cmd_run},
	{"service", "list VM | upgrade VM SERVICE [--exe FILE]",
	 "show the processes that serve a VM's devices, or replace one under the running guest", true, cmd_service},
	{"disk",
	 "list VM | attach VM FILE [--device cdrom] [--target TARGET] [--readonly] [--shareable] [--cache MODE] "
	 "[--sector BYTES] "
	 "[--serial TEXT] [--persistent | --config] | detach VM TARGET [--timeout SECONDS | --force] [--persistent | "
	 "--config] | resize VM TARGET SIZE|--rescan [--shrink] | change-media VM TARGET FILE|--eject [--force] "
	 "[--persistent | --config] | set VM TARGET NAME=VALUE... [--no-limits] "
	 "[--persistent | --config] | fault VM TARGET FAULT...|--clear|--power-cut",
	 "show a VM's disks, or change them, under the running guest too", true, cmd_disk},
	{"nic",
	 "list VM | attach VM [--type TYPE] [--source SOURCE] [--mode MODE] [--target DEV] [--mac ADDRESS] [--mtu "
	 "BYTES] "
	 "[--queues N] [--vlan TAG] [--forward PROTO:PORT[:PORT][,...]] [--alias NAME] [--persistent | --config] | "
	 "detach VM "
	 "NIC [--timeout SECONDS | --force] [--persistent | --config] | set VM NIC NAME=VALUE... [--persistent | "
	 "--config] | "
	 "capture VM NIC --write FILE [--length BYTES] [FILTER...]",
	 "show a VM's NICs, or change them, under the running guest too", true, cmd_nic},
	{"stats", "[VM [--watch [SECONDS]]]",
	 "show what a VM's disks have done, and how long it took; or each VM's sum", true, cmd_stats},
	{"doctor", "", "say whether this host is fit", true, cmd_doctor},
};

static const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	}
	return NULL;
}

static void print_usage(FILE *out)
{
	fprintf(out, "Usage: vmctl [--system] [--json] VERB ...\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(out, "  %-9s %s\n            vmctl %s%s%s\n", verbs[i].name, verbs[i].summary, verbs[i].name,
			verbs[i].arguments[0] ? " " : "", verbs[i].arguments);
	fprintf(out,
		"\n  --json    print data as JSON (list, show, define --check, service list, disk list, nic list,\n  "
		"          stats, doctor)\n"
		"  --system  talk to the system's manager instead of this user's own\n"
		"  --help    this text; --version: the version. The manual: man vmctl\n");
}

int cli_fail(const struct err *err)
{
	/* what a bus says of a vanished peer is no help */
	if (err->code == -ECONNRESET) {
		fputs("vmctl: the manager went away while it was asked; VMs that run go on: run the command again\n",
		      stderr);
		return EXIT_FAILED;
	}
	/* what the system bus says for those that its policy keeps out */
	if (err->code == -EACCES && strncmp(err->text, "Rejected send message", 21) == 0) {
		fputs("vmctl: the system's VMs are for root and the members of the group bulkhead: have yourself added "
		      "to it (adduser "
		      "USER bulkhead) and log in again, or leave out --system\n",
		      stderr);
		return EXIT_FAILED;
	}
	if (err->code == -ESRCH && strstr(err->text, BULKHEAD_BUS_NAME)) {
		fputs("vmctl: nobody serves the system's VMs: is the package installed, and what does \"systemctl "
		      "status vmmgmtd\" "
		      "say?\n",
		      stderr);
		return EXIT_FAILED;
	}
	fprintf(stderr, "vmctl: %s\n", err->text[0] ? err->text : err_name(err->code));
	return EXIT_FAILED;
}

int cli_usage(const char *verb, const char *fmt, ...)
{
	const struct verb *row = verb_find(verb);
	va_list ap;

	fputs("vmctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (row)
		fprintf(stderr, "; usage: vmctl %s%s%s\n", row->name, row->arguments[0] ? " " : "", row->arguments);
	else
		fputs("; see vmctl --help\n", stderr);
	return EXIT_USAGE;
}

const char *cli_one_name(int argc, char **argv)
{
	if (argc == 2 && argv[1][0] != '-')
		return argv[1];
	cli_usage(argv[0], argc < 2	       ? "the name of a VM is missing"
			   : argv[1][0] == '-' ? "unknown option"
					       : "too many arguments");
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"system", no_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	struct cli cli = {0};
	const struct verb *verb;
	int option;

	signal(SIGPIPE, SIG_IGN);
	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			cli.json = true;
			break;
		case 's':
			cli.system = true;
			break;
		case 'h':
			print_usage(stdout);
			return EXIT_OK;
		case 'V':
			puts("vmctl " PACKAGE_VERSION);
			return EXIT_OK;
		default:
			return cli_usage("", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind == argc)
		return cli_usage("", "a verb is missing");
	verb = verb_find(argv[optind]);
	if (!verb)
		return cli_usage("", "unknown verb '%s'", argv[optind]);
	argc -= optind;
	argv += optind;
	/* --json and --help may stand behind the verb too */
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			printf("vmctl %s%s%s\n  %s\n", verb->name, verb->arguments[0] ? " " : "", verb->arguments,
			       verb->summary);
			return EXIT_OK;
		}
		if (verb->json && strcmp(argv[i], "--json") == 0) {
			cli.json = true;
			memmove(argv + i, argv + i + 1, (size_t)(argc - i) * sizeof(*argv));
			argc--;
			i--;
		}
	}
	if (cli.json && !verb->json)
		return cli_usage(verb->name, "'%s' prints no data, so there is no --json", verb->name);
	optind = 0; /* verbs parse their own part from the start */
	return verb->run(&cli, argc, argv);
}
