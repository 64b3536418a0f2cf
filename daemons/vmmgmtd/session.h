/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded instance: one vmmgmtd for a user's base folder (dbus/session.h), its lock, its own bus, going into the
 * background.
 */
#ifndef VMMGMTD_SESSION_H
#define VMMGMTD_SESSION_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "dbus/session.h"

/**
 * session_lock - become the one that serves.
 * Return: 0 and the descriptor that holds the lock until it is closed; -EBUSY if another one serves; ...
 */
int session_lock(const struct session_paths *paths, struct err *err, int *ret_fd);

/**
 * session_wait_other - after -EBUSY: until the other one's bus answers.
 * Return: 0; -EAGAIN if it has given up the lock: take it; -ETIMEDOUT.
 */
int session_wait_other(struct loop *loop, const struct session_paths *paths, struct err *err);

/**
 * session_bus_start - run a dbus-daemon for us alone; it ends with us, however we end.
 * Return: 0 once it listens at paths->address, and a pidfd; a negative errno with one line.
 * Context: before the sandbox, and not in a thread that may end: the bus would end with it.
 */
int session_bus_start(const struct session_paths *paths, struct err *err, int *ret_pidfd);

/** session_bus_stop - end it and take its files away. @pidfd: closed; -1 if it was not started. */
void session_bus_stop(const struct session_paths *paths, int *pidfd);

/** session_calls - what session_bus_stop() needs in the sandbox. */
extern const struct syscall_list session_calls;

/**
 * session_daemonize - go on in a child in the background, with paths->log as its output; the parent stays here until it
 * is told, and exits. Return: 0 in the child, with the descriptor for session_tell(); a negative errno in the parent,
 * if there is no child.
 */
int session_daemonize(const struct session_paths *paths, struct err *err, int *ret_fd);

/** session_tell - tell the waiting parent: NULL: ready; else what it is to print before it fails. @fd: closed; -1:
 * there is no parent. */
void session_tell(int *fd, const char *error);

#endif
