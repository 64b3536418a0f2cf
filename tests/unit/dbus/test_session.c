/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dbus/session.h"

static char folder[64], base[128];
static struct session_paths paths;
static struct err err;

static void setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/bulkhead-session-XXXXXX");
	cr_assert(mkdtemp(folder));
	snprintf(base, sizeof(base), "%s/base", folder);
	unsetenv("BULKHEAD_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", folder, 1);
	setenv("XDG_CONFIG_HOME", "/cfg", 1);
}

static void teardown(void)
{
	char path[160];

	unlink(base);
	rmdir(base);
	snprintf(path, sizeof(path), "%s/bulkhead", folder);
	rmdir(path);
	rmdir(folder);
}

TestSuite(session, .init = setup, .fini = teardown);

Test(session, default_paths)
{
	char wanted[160];
	struct stat st;

	cr_assert_eq(session_paths(NULL, &paths, &err), 0, "%s", err.text);
	snprintf(wanted, sizeof(wanted), "%s/bulkhead", folder);
	cr_assert_str_eq(paths.base, wanted);
	cr_assert_str_eq(paths.vms, "/cfg/bulkhead/vms");
	cr_assert(!paths.base_given);
	cr_assert_eq(stat(paths.base, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0700);
}

Test(session, given_paths)
{
	char wanted[160];

	cr_assert_eq(session_paths(base, &paths, &err), 0, "%s", err.text);
	snprintf(wanted, sizeof(wanted), "unix:path=%s/bus", base);
	cr_assert_str_eq(paths.address, wanted);
	snprintf(wanted, sizeof(wanted), "%s/vms", base);
	cr_assert_str_eq(paths.vms, wanted);
	setenv("BULKHEAD_RUNTIME_DIR", base, 1);
	cr_assert_eq(session_paths(NULL, &paths, &err), 0);
	cr_assert_str_eq(paths.base, base);
	cr_assert(paths.base_given);
}

Test(session, folders_of_others_are_refused)
{
	char deep[400];

	cr_assert_eq(symlink("/tmp", base), 0);
	cr_assert_eq(session_paths(base, &paths, &err), -ENOTDIR);
	unlink(base);
	if (geteuid() == 0) {
		cr_assert_eq(mkdir(base, 0700), 0);
		cr_assert_eq(chown(base, 65534, 65534), 0);
		cr_assert_eq(session_paths(base, &paths, &err), -EPERM);
		cr_assert(strstr(err.text, "belongs to uid 65534"));
	}
	snprintf(deep, sizeof(deep), "/%0200d", 0);
	cr_assert_eq(session_paths(deep, &paths, &err), -ENAMETOOLONG);
}

Test(session, open_folders_are_closed)
{
	struct stat st;

	cr_assert_eq(mkdir(base, 0700), 0);
	cr_assert_eq(chmod(base, 0777), 0);
	cr_assert_eq(session_paths(base, &paths, &err), 0);
	cr_assert_eq(stat(base, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0700);
}

Test(session, programs)
{
	char path[256];

	setenv("BULKHEAD_LIBEXECDIR", "/bin", 1);
	cr_assert_eq(session_program("sh", path, sizeof(path), &err), 0);
	cr_assert_str_eq(path, "/bin/sh");
	cr_assert_eq(session_program("no-such-program", path, sizeof(path), &err), -ENOENT);
	cr_assert(strstr(err.text, "BULKHEAD_LIBEXECDIR"));
}

Test(session, nobody_can_be_started)
{
	struct msgbus *bus = NULL;
	struct loop *loop = NULL;

	setenv("BULKHEAD_LIBEXECDIR", folder, 1);
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(session_connect(loop, base, &err, &bus), -ENOENT);
	cr_assert(strstr(err.text, "vmmgmtd: not found"));
	loop_free(loop);
}
