/* SPDX-License-Identifier: Apache-2.0 */
#include "reservations.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uuid.h>

#include "base/cleanup.h"
#include "base/fd.h"

#define BOOT_ID	     "/proc/sys/kernel/random/boot_id"
#define NAME_MAX_LEN 128

_Static_assert(sizeof(uuid_t) == RESERVATIONS_POWER_LEN, "a start of the host has a UUID");

static const struct syscall_rule rules[] = {
	{SYS_openat},
	{SYS_statx},
	{SYS_fsync},
	{-1},
};

const struct syscall_list reservations_calls = {.name = "reservations of disks", .rules = rules};

static int name_of(int image_fd, char ret[NAME_MAX_LEN])
{
	struct statx st;

	if (statx(image_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
		return -errno;
	if (S_ISBLK(st.stx_mode))
		snprintf(ret, NAME_MAX_LEN, "block-%u-%u", st.stx_rdev_major, st.stx_rdev_minor);
	else if (st.stx_mask & STATX_BTIME)
		snprintf(ret, NAME_MAX_LEN, "file-%u-%u-%" PRIu64 "-%" PRId64 ".%09u", st.stx_dev_major,
			 st.stx_dev_minor, (uint64_t)st.stx_ino, (int64_t)st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
	else
		snprintf(ret, NAME_MAX_LEN, "file-%u-%u-%" PRIu64, st.stx_dev_major, st.stx_dev_minor,
			 (uint64_t)st.stx_ino);
	return 0;
}

static int open_file(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT) {
		fd = openat(folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0 && fsync(folder) < 0) {
			int r = -errno;

			close(fd);
			return r;
		}
	}
	return fd < 0 ? -errno : fd;
}

int reservations_open(const char *folder, int image_fd, const char *alias, struct err *err, int *ret_fd)
{
	_cleanup_close_ int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	char name[NAME_MAX_LEN];
	struct stat st;
	int r;

	if (dir < 0)
		return err_set(err, -errno, "disk %s: the folder of reservations, %s: %s", alias, folder,
			       strerror(errno));
	r = name_of(image_fd, name);
	if (r < 0)
		return err_set(err, r, "disk %s: its image cannot be told from others: %s", alias, strerror(-r));
	fd = open_file(dir, name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, fd < 0 ? fd : -errno, "disk %s: its reservations, %s/%s: %s", alias, folder, name,
			       strerror(fd < 0 ? -fd : errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "disk %s: its reservations, %s/%s: it is no regular file: remove it",
			       alias, folder, name);
	*ret_fd = take_fd(&fd);
	return 0;
}

void reservations_power(uint8_t ret[RESERVATIONS_POWER_LEN])
{
	_cleanup_close_ int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	char text[UUID_STR_LEN] = "";

	memset(ret, 0, RESERVATIONS_POWER_LEN);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1)
		(void)uuid_parse(text, ret);
}
