/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of "vmctl disk". */
#ifndef CLI_CMD_DISK_H
#define CLI_CMD_DISK_H

#include "cli/vmctl.h"

struct json_object;

/* Words of "vmctl disk": as cmd_disk(), from the word on. */
int disk_set(const struct cli *cli, int argc, char **argv);
int disk_fault(const struct cli *cli, int argc, char **argv);

/** disk_settings_json - an array of "NAME=VALUE" as an object; what is a number becomes one. NULL: an empty one. */
struct json_object *disk_settings_json(struct json_object *settings);

/** disk_settings_print - the same on the line of a list: two blanks before each. */
void disk_settings_print(struct json_object *settings);

#endif
