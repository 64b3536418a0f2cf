/* SPDX-License-Identifier: Apache-2.0 */
/* What every daemon does at its start and end. */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "ipc/loop.h"

/**
 * daemon_init - the first thing in main(): close-on-exec for stray descriptors above 2, no core of guest memory unless asked
 * (RLIMIT_CORE 0 and not dumpable; both stay as they are when BULKHEAD_DEBUG=1: debuggers and LeakSanitizer need ptrace), SIGPIPE ignored,
 * umask 077, log_init(), @program as the name of the process (ps, pgrep), no new privileges; what is missing of descriptors 0 to 2 is /dev/null.
 * Return: 0 or a negative errno with a line that says what to do.
 */
int daemon_init(const char *program, const char *vm, struct err *err);

/** daemon_stop_on_signals - SIGTERM and SIGINT stop @loop. Return: 0 or a negative errno. */
int daemon_stop_on_signals(struct loop *loop);

/**
 * daemon_ready - tell the launcher that we serve: READY=1 with @status to the service manager (sd_notify(3)), to whose
 * socket daemon_init() has connected; and, where BULKHEAD_READY_FD names a descriptor, one byte there and close it
 * (fork/exec launcher). Both variables are removed from the environment.
 */
void daemon_ready(const char *status);

/**
 * daemon_watchdog - where the service manager wants a sign of life (WATCHDOG_USEC), give one twice in that time from
 * @loop, for as long as the loop turns. Without one nothing is done.
 * Return: 0 or a negative errno. Context: before daemon_ready().
 */
int daemon_watchdog(struct loop *loop);

/**
 * daemon_drop_privileges - become @uid:@gid for good with no supplementary groups and no capabilities at all (bounding, ambient
 * and inheritable sets emptied). As an ordinary user: only the capability sets are emptied.
 * Return: 0 or a negative errno with a line that says what to do.
 * Context: before there are other threads: capabilities belong to each thread.
 */
int daemon_drop_privileges(uid_t uid, gid_t gid, struct err *err);

/**
 * daemon_keep_capabilities - give up all capabilities for good but those of @keep (bits: 1 << CAP_...) that we have;
 * the bounding, ambient and inheritable sets are emptied. User and groups stay.
 * Return: 0 or a negative errno with a line. Context: as daemon_drop_privileges().
 */
int daemon_keep_capabilities(uint64_t keep, struct err *err);

#endif
