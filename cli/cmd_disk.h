/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of "vmctl disk". */
#ifndef CLI_CMD_DISK_H
#define CLI_CMD_DISK_H

#include "cli/vmctl.h"

struct json_object;

/* Words of "vmctl disk": as cmd_disk(), from the word on. */
int disk_set(const struct cli *cli, int argc, char **argv);
int disk_fault(const struct cli *cli, int argc, char **argv);

/** disk_settings_print - "NAME=VALUE"s on the line of a list: two blanks before each. NULL: none. */
void disk_settings_print(struct json_object *settings);

#endif
