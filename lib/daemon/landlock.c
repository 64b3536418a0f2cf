// SPDX-License-Identifier: Apache-2.0
/*
 * The C library has no calls for Landlock, and the headers that we are built with may be older than the kernel that we
 * run on: so the numbers are here.
 */
#include "daemon/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"

#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH      1

/* Rights of the file system. */
#define FS_WRITE_FILE  (UINT64_C(1) << 1)
#define FS_READ_FILE   (UINT64_C(1) << 2)
#define FS_READ_DIR    (UINT64_C(1) << 3)
#define FS_REMOVE_DIR  (UINT64_C(1) << 4)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_DIR    (UINT64_C(1) << 7)
#define FS_MAKE_REG    (UINT64_C(1) << 8)
#define FS_MAKE_SOCK   (UINT64_C(1) << 9)
#define FS_TRUNCATE    (UINT64_C(1) << 14)
#define FS_IOCTL_DEV   (UINT64_C(1) << 15)	     /* kept with what is opened, also where that is handed to others */
#define FS_FILE_WRITE  (FS_WRITE_FILE | FS_TRUNCATE) /* what makes sense for a file itself */
#define FS_IMAGE       (FS_FILE_WRITE | FS_IOCTL_DEV)
#define FS_DIR_WRITE   (FS_FILE_WRITE | FS_REMOVE_FILE | FS_MAKE_REG | FS_MAKE_SOCK)

#define SCOPE_SIGNALS (UINT64_C(1) << 1)

struct ruleset {
	uint64_t fs, net, scoped;
};

struct path_beneath {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

/* What each version of the interface knows, all of it: the first row is ABI 1, and each has what the earlier ones had.
 */
static const struct abi {
	struct ruleset handled;
	size_t size; /* of struct ruleset */
} abis[] = {
	{{.fs = (UINT64_C(1) << 13) - 1}, 8},
	{{.fs = (UINT64_C(1) << 14) - 1}, 8},			      /* link and rename to other folders */
	{{.fs = (UINT64_C(1) << 15) - 1}, 8},			      /* truncate */
	{{.fs = (UINT64_C(1) << 15) - 1, .net = 3}, 16},	      /* bind and connect of TCP */
	{{.fs = (UINT64_C(1) << 16) - 1, .net = 3}, 16},	      /* ioctl on devices */
	{{.fs = (UINT64_C(1) << 16) - 1, .net = 3, .scoped = 3}, 24}, /* abstract sockets, signals */
};

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static uint64_t rights(const struct sandbox_path *path, bool is_folder)
{
	uint64_t all = FS_READ_FILE;

	if (is_folder)
		all |= FS_READ_DIR;
	if (path->write)
		all |= is_folder ? FS_DIR_WRITE : FS_FILE_WRITE;
	if (path->folders && is_folder)
		all |= FS_MAKE_DIR | FS_REMOVE_DIR;
	if (path->images)
		all |= is_folder ? FS_IMAGE | FS_MAKE_REG : FS_IMAGE;
	return all;
}

static int add_path(int ruleset_fd, uint64_t handled, const struct sandbox_path *path, struct err *err)
{
	_cleanup_close_ int fd = open(path->path, O_PATH | O_CLOEXEC);
	struct path_beneath rule = {.parent_fd = fd};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "sandbox: %s: %s", path->path, strerrordesc_np(errno));
	rule.allowed = rights(path, S_ISDIR(st.st_mode)) & handled;
	if (syscall(SYS_landlock_add_rule, ruleset_fd, RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_set(err, -errno, "sandbox: %s: Landlock: %s", path->path, strerrordesc_np(errno));
	return 0;
}

int landlock_enter(const struct sandbox *sandbox, const struct sandbox_path *extra, struct err *err)
{
	const struct abi *abi = &abis[MIN((size_t)landlock_abi(), ARRAY_SIZE(abis)) - 1];
	const struct sandbox_path *paths = sandbox->paths;
	struct ruleset handled = abi->handled;
	_cleanup_close_ int fd = -1;
	int r = 0;

	if (sandbox->signals)
		handled.scoped &= ~SCOPE_SIGNALS;
	fd = (int)syscall(SYS_landlock_create_ruleset, &handled, abi->size, 0);

	if (fd < 0)
		return err_set(err, -errno, "sandbox: Landlock: %s", strerrordesc_np(errno));
	for (; r == 0 && paths && paths->path; paths++)
		r = add_path(fd, handled.fs, paths, err);
	if (r == 0 && extra)
		r = add_path(fd, handled.fs, extra, err);
	if (r == 0 && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		r = err_set(err, -errno, "sandbox: Landlock: %s", strerrordesc_np(errno));
	return r;
}
