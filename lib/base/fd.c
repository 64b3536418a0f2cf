/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define READ_ALL_STEP 4096u

void fd_close(int *fd)
{
	int saved_errno = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved_errno;
}

int fd_dup(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : copy;
}

int fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int fd_read_full(int fd, void *buf, size_t len, off_t offset)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		offset += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_write_full(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_read_all(int fd, size_t limit, char **ret_buf, size_t *ret_len)
{
	_cleanup_free_ char *buf = NULL;
	size_t size = 0, len = 0;

	limit = MIN(limit, (size_t)SSIZE_MAX - 2);
	for (;;) {
		ssize_t n;

		/* Room for one byte beyond the limit, which tells "exactly at the limit" from "beyond it", and the NUL.
		 */
		if (len + 2 > size) {
			char *bigger;

			size = MIN(size ? size * 2 : READ_ALL_STEP, limit + 2);
			bigger = realloc(buf, size);
			if (!bigger)
				return -ENOMEM;
			buf = bigger;
		}
		n = read(fd, buf + len, size - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > limit)
			return -EFBIG;
	}
	buf[len] = '\0';
	*ret_buf = take_ptr(buf);
	*ret_len = len;
	return 0;
}

int fd_memfd(const char *name, size_t len)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	/* Linux before 6.3 does not know MFD_NOEXEC_SEAL. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len) < 0)
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return take_fd(&fd);
}

/* Fill the new file @fd and bring it to the disk. */
static int fill_durably(int fd, const void *buf, size_t len, mode_t mode)
{
	int r = fd_write_full(fd, buf, len);

	if (r < 0)
		return r;
	if (fchmod(fd, mode) < 0) /* exactly @mode, whatever the umask is */
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

static int sync_folder(int dir_fd)
{
	/* By a descriptor of our own: @dir_fd may be O_PATH or AT_FDCWD. */
	_cleanup_close_ int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int file_replace(int dir_fd, const char *name, const void *buf, size_t len, mode_t mode)
{
	_cleanup_close_ int fd = -1;
	char temporary[32];
	uint64_t random;
	int r;

	if (!*name || strchr(name, '/'))
		return -EINVAL;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	/* Not made from @name, which may be as long as a name can be. */
	snprintf(temporary, sizeof(temporary), ".tmp-%016llx", (unsigned long long)random);
	fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = fill_durably(fd, buf, len, mode);
	if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dir_fd, temporary, 0);
		return r;
	}
	return sync_folder(dir_fd);
}
