/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of vmctl share. */
#ifndef CLI_VMCTL_H
#define CLI_VMCTL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Exit codes, in vmctl(1). */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,  /* what was asked could not be done; one line on stderr says why */
	EXIT_USAGE = 2,	  /* the command line is wrong */
	EXIT_CRASHED = 3, /* run: the guest crashed */
};

/* Options that every verb takes. */
struct cli {
	bool json;
	bool system; /* the system bus instead of this user's session */
};

struct verb {
	const char *name;
	const char *arguments; /* "NAME [--flag]" */
	const char *summary;
	bool json; /* it prints data, so --json is allowed */
	/* argv[0] is the verb. Return: an exit code. */
	int (*run)(const struct cli *cli, int argc, char **argv);
};

/** cli_fail - one line on stderr, "vmctl: ...". Return: EXIT_FAILED. */
int cli_fail(const struct err *err);

/** cli_usage - "vmctl: @fmt" and the verb's usage in the same line. Return: EXIT_USAGE. */
int cli_usage(const char *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * cli_one_name - the command line of a verb that takes one VM and no options.
 * Return: the name, or NULL (the complaint is printed).
 */
const char *cli_one_name(int argc, char **argv);

int cmd_autostart(const struct cli *cli, int argc, char **argv);
int cmd_console(const struct cli *cli, int argc, char **argv);
int cmd_define(const struct cli *cli, int argc, char **argv);
int cmd_disk(const struct cli *cli, int argc, char **argv);
int cmd_doctor(const struct cli *cli, int argc, char **argv);
int cmd_list(const struct cli *cli, int argc, char **argv);
int cmd_nic(const struct cli *cli, int argc, char **argv);
int cmd_pause(const struct cli *cli, int argc, char **argv);
int cmd_reboot(const struct cli *cli, int argc, char **argv);
int cmd_resume(const struct cli *cli, int argc, char **argv);
int cmd_run(const struct cli *cli, int argc, char **argv);
int cmd_service(const struct cli *cli, int argc, char **argv);
int cmd_show(const struct cli *cli, int argc, char **argv);
int cmd_start(const struct cli *cli, int argc, char **argv);
int cmd_stats(const struct cli *cli, int argc, char **argv);
int cmd_stop(const struct cli *cli, int argc, char **argv);
int cmd_undefine(const struct cli *cli, int argc, char **argv);

#endif
