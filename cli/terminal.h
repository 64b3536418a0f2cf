/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's console on this terminal. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include "base/err.h"

enum terminal_end {
	TERMINAL_EOF,	    /* the guest's side has ended */
	TERMINAL_ESCAPE,    /* Ctrl-] was typed */
	TERMINAL_SIGNALLED, /* SIGINT, SIGTERM or SIGHUP came */
};

/**
 * terminal_relay - copy between stdin/stdout and a console socket until one of the ends above.
 * A terminal on stdin is put into raw mode meanwhile and always restored. An end of stdin that is no terminal only
 * stops the input. Output that stdout does not take fast enough waits.
 * @stream: SOCK_STREAM, stays the caller's.
 * Return: an enum terminal_end, or a negative errno with a line.
 */
int terminal_relay(int stream, struct err *err);

#endif
