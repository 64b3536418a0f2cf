/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session mode: where a user's own vmmgmtd and its bus are, and how a client gets to them.
 *
 * Theory of operation: vmmgmtd keeps everything of a user below one private folder, the *base*:
 *
 *	<base>/bus		socket of the private bus
 *	<base>/lock		held (flock) by the vmmgmtd that serves
 *	<base>/log		what vmmgmtd and the bus said
 *	<base>/<uuid>/		runtime folder of a VM
 *
 * base is --runtime-dir DIR, else $BULKHEAD_RUNTIME_DIR, else $XDG_RUNTIME_DIR/bulkhead, else /tmp/bulkhead-<uid>: a
 *folder that is ours, 0700, no symbolic link; anything else is refused. Definitions: $XDG_CONFIG_HOME/bulkhead/vms
 *(~/.config), or <base>/vms where the base was given.
 *
 * `vmmgmtd --session --daemonize` returns 0 when the bus serves BULKHEAD_BUS_NAME, no matter who started it. vmmgmtd
 *and its bus end after 30 s without a VM and without a client; a VM outlives both. A client that is connected keeps
 *them; a client whose bus goes away (vmmgmtd was killed) calls session_connect() again and finds its VM under the same
 *object path.
 */
#ifndef DBUS_SESSION_H
#define DBUS_SESSION_H

#include "base/err.h"
#include "dbus/conn.h"
#include "ipc/loop.h"

struct session_paths {
	char base[256];
	char bus[300];	   /* <base>/bus */
	char address[512]; /* "unix:path=<base>/bus" */
	char vms[512];	   /* definitions */
	char log[300];	   /* <base>/log */
	bool base_given;
};

/**
 * session_paths - work out the paths and make the base if it is missing.
 * @base: NULL for the default.
 * Return: 0; -EPERM, -ENOTDIR, -ENAMETOOLONG, -EACCES ... with one line in @err.
 */
int session_paths(const char *base, struct session_paths *ret_paths, struct err *err);

/**
 * session_connect - a connection on which vmmgmtd has answered; starts it if needed (within 20 s).
 * @base: as above.
 * Return: 0; a negative errno with one line that says what to do.
 */
int session_connect(struct loop *loop, const char *base, struct err *err, struct msgbus **ret_bus);

/** session_program - path of one of our daemons: in $BULKHEAD_LIBEXECDIR (build trees), else where they are installed.
 * Return: 0, -ENOENT with one line. */
int session_program(const char *name, char *ret_path, size_t size, struct err *err);

#endif
