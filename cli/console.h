/* SPDX-License-Identifier: Apache-2.0 */
/* Showing a VM's console until it ends: shared by the verbs console, start and run. */
#ifndef CLI_CONSOLE_H
#define CLI_CONSOLE_H

#include "cli/client.h"
#include "cli/terminal.h"

/**
 * console_hint - on a terminal, say on stderr how to leave.
 * @leaving: what Ctrl-] does: "leave", "stop the VM".
 */
void console_hint(const char *name, const char *leaving);

/**
 * console_outcome - after the end of the stream: wait until the VM's last state is known (10 s at most) and print why
 * it ended on stderr, unless it just powered off.
 * Return: an exit code: EXIT_OK, EXIT_CRASHED or EXIT_FAILED.
 */
int console_outcome(struct client *client, const char *path, const char *name);

#endif
