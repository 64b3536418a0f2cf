/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outside of the serial port: a PTY, a log file, and stream sockets for attached consoles.
 * Theory of operation: the guest never waits for a reader. The log gets everything; the PTY and each socket get what they
 * take, with a buffer of CONSOLE_BUFFER bytes each; what a slow reader misses is replaced by one line saying how much.
 */
#ifndef VMWORKER_CONSOLE_H
#define VMWORKER_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "ipc/loop.h"

/* What a console needs, its PTY reserved in the sandbox. */
extern const struct syscall_list console_calls;

#define CONSOLE_BACKLOG (64u * 1024u)
#define CONSOLE_BUFFER (1024u * 1024u)

struct console;

/**
 * console_new - @log_fd: taken over (also on failure), -1 for none; a file, or a pipe that then becomes non-blocking.
 * @want_pty: also offer a PTY.
 * @input: bytes for the guest; returns how many were taken (the rest is offered again by console_input_ready()). Called on
 * the loop's thread.
 * Return: 0 or a negative errno with a line. Context: the loop's thread.
 */
int console_new(struct loop *loop, int log_fd, bool want_pty, size_t (*input)(void *arg, const void *buf, size_t len),
		void *arg, struct err *err, struct console **ret_console);
/** console_free - flush what the log and the sockets still take within a second, then close all. Context: the loop's thread;
 * no other thread uses it any more. */
void console_free(struct console *console);

/** console_write - output of the guest. Context: any thread; never blocks. */
void console_write(struct console *console, const void *buf, size_t len);

/** console_input_ready - the guest has room again. Context: any thread. */
void console_input_ready(struct console *console);

/** console_open - a new SOCK_STREAM socket whose other end is the guest's serial port. The caller owns the descriptor.
 * @backlog: begin with the last CONSOLE_BACKLOG bytes. Return: descriptor or a negative errno: -EMFILE (too many consoles are
 * attached) ... Context: the loop's thread. */
int console_open(struct console *console, bool backlog);

/** console_reserve_pty - open now the PTY that a console_new() will want: in the sandbox it could not. If it cannot be
 * opened, console_new() tells. Context: once, before there are threads. */
void console_reserve_pty(void);

/** console_pty_path - "" if there is none. */
const char *console_pty_path(const struct console *console);

#endif
