/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of "vmctl nic". */
#ifndef CLI_CMD_NIC_H
#define CLI_CMD_NIC_H

#include "cli/vmctl.h"

/** nic_capture - "vmctl nic capture": as cmd_nic(), from the word on. */
int nic_capture(const struct cli *cli, int argc, char **argv);

#endif
