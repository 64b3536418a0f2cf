/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation, locks: an image that is written has an exclusive lock on the whole file. One that is only read
 * has shared locks on three bytes. The bytes are those by which QEMU tells others what it does with an image
 * (block/file-posix.c): 100 + n is locked by who uses permission n, 200 + n by who lets nobody else use it; 0 is
 * reading, 1 writing, 3 resizing. QEMU takes shared locks and then looks for conflicts; so do we for images that we
 * only read, and for those that others may write as well (<shareable/>: each of them must say so). All are locks of the
 * open file (F_OFD_SETLK): they go with the descriptor to the process that uses it. A block device that is written is
 * opened with O_EXCL, too, which keeps mounts away.
 */
#include "broker.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define LOCK_USES_READ	  100
#define LOCK_USES_WRITE	  101
#define LOCK_USES_RESIZE  103
#define LOCK_KEEPS_WRITE  201
#define LOCK_KEEPS_RESIZE 203

/* A killed vsp-storaged's io_uring lets go of its files a moment after the process is gone: with nobody of ours to
 * name, we look again for so long. */
#define BUSY_GRACE_MS 1000u
#define BUSY_PAUSE_MS 10u

static const struct syscall_rule rules[] = {
	{SYS_openat},
	{SYS_newfstatat},
	{SYS_faccessat2},
	{SYS_fstatfs},
	{SYS_ftruncate}, /* a console's log */
	{SYS_ioctl, 1, UINT32_MAX, BLKGETSIZE64},
	{-1},
};

const struct syscall_list broker_calls = {.name = "opening for others", .rules = rules};

/* ---- why an open failed ---- */

struct remedy {
	int error;
	const char *text;
};

static const char *find_remedy(const struct remedy *remedies, int error)
{
	for (; remedies->error; remedies++) {
		if (remedies->error == error)
			return remedies->text;
	}
	return strerror(error);
}

static const struct remedy read_remedies[] = {
	{ENOENT, "there is no such file: correct the path"},
	{ENOTDIR, "a part of its path is not a folder: correct the path"},
	{EACCES, "permission denied: make it readable for the user that vmmgmtd runs as"},
	{ELOOP, "too many symbolic links"},
	{0},
};

static const struct remedy disk_remedies[] = {
	{ENOENT, "there is no such file: make it (truncate -s 10G FILE) or correct the path"},
	{ENOTDIR, "a part of its path is not a folder: correct the path"},
	{EACCES,
	 "permission denied: make it readable and writable for the user that vmmgmtd runs as, or the disk read-only"},
	{EPERM, "permission denied: it may be immutable (lsattr): make the disk read-only"},
	{EROFS, "it is on a read-only file system: make the disk read-only"},
	{EISDIR, "it is a folder: name an image file"},
	{ENXIO, "there is no such device"},
	{ENOMEDIUM, "there is no medium in it"},
	{EINVAL, "cache='none' does not work on this file system: use cache='writeback'"},
	{ETXTBSY, "it is a program that runs"},
	{0},
};

static const struct remedy log_remedies[] = {
	{ENOENT, "its folder is missing: make it"},
	{ENOTDIR, "a part of its path is not a folder: correct the path"},
	{EACCES, "permission denied: make it writable for the user that vmmgmtd runs as"},
	{EROFS, "it is on a read-only file system: name another file"},
	{EISDIR, "it is a folder: name a file"},
	{ENOSPC, "the file system is full"},
	{0},
};

static const struct remedy kvm_remedies[] = {
	{ENOENT,
	 "there is none: load kvm_amd or kvm_intel, or turn on virtualization in the firmware (see vmctl doctor)"},
	{ENODEV,
	 "there is none: load kvm_amd or kvm_intel, or turn on virtualization in the firmware (see vmctl doctor)"},
	{EACCES,
	 "permission denied: add the user that vmmgmtd runs as to the group kvm, and log in again (see vmctl doctor)"},
	{EPERM, "permission denied: the container or sandbox around vmmgmtd forbids it (see vmctl doctor)"},
	{EBUSY, "another hypervisor has it: stop that one"},
	{0},
};

/* ---- files ---- */

/* Not blocking, so that a FIFO or a device in the wrong place cannot hold us up. */
static int open_checked(const char *path, int flags, mode_t mode, struct stat *ret_st)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
	int r;

	if (fd < 0)
		return -errno;
	r = fstat(fd, ret_st) < 0 ? -errno : 0;
	if (r == 0 && (fcntl(fd, F_SETFL, flags & (O_APPEND | O_DIRECT)) < 0))
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int broker_open_read(const char *what, const char *path, struct err *err, int *ret_fd)
{
	struct stat st;
	_cleanup_close_ int fd = open_checked(path, O_RDONLY, 0, &st);

	if (fd < 0)
		return err_set(err, fd, "%s %s: %s", what, path, find_remedy(read_remedies, -fd));
	if (S_ISDIR(st.st_mode))
		return err_set(err, -EISDIR, "%s %s: it is a folder: name a file", what, path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s %s: it is not a regular file", what, path);
	if (st.st_size == 0)
		return err_set(err, -EINVAL, "%s %s: it is empty", what, path);
	*ret_fd = take_fd(&fd);
	return 0;
}

int broker_open_program(const char *path, struct err *err, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	char magic[SELFMAG] = "";
	struct statvfs fs;
	int r = broker_open_read("program", path, err, &fd);

	if (r < 0)
		return r;
	if (faccessat(fd, "", X_OK, AT_EMPTY_PATH | AT_EACCESS) < 0)
		return err_set(err, -EACCES, "program %s: it is not executable: chmod +x, or name another file", path);
	if (fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_NOEXEC))
		return err_set(err, -EACCES, "program %s: its file system is mounted noexec: put it elsewhere", path);
	/* By its descriptor a script cannot be run. */
	if (pread(fd, magic, sizeof(magic), 0) != SELFMAG || memcmp(magic, ELFMAG, SELFMAG) != 0)
		return err_set(err, -ENOEXEC, "program %s: it is not an ELF program: name another file", path);
	*ret_fd = take_fd(&fd);
	return 0;
}

int broker_open_log(const char *path, bool append, struct err *err, int *ret_fd)
{
	struct stat st;
	_cleanup_close_ int fd = open_checked(path, O_WRONLY | O_CREAT | O_APPEND, 0600, &st);

	if (fd == -ENXIO)
		return err_set(err, -EINVAL, "console log %s: it is not a regular file: name another", path);
	if (fd < 0)
		return err_set(err, fd, "console log %s: %s", path, find_remedy(log_remedies, -fd));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "console log %s: it is not a regular file: name another", path);
	if (!append && ftruncate(fd, 0) < 0)
		return err_set(err, -errno, "console log %s: cannot empty it: %s", path, strerror(errno));
	*ret_fd = take_fd(&fd);
	return 0;
}

int broker_open_kvm(const char *path, struct err *err, int *ret_fd)
{
	struct stat st;
	_cleanup_close_ int fd = open_checked(path, O_RDWR, 0, &st);

	if (fd < 0)
		return err_set(err, fd, "%s: %s", path, find_remedy(kvm_remedies, -fd));
	if (!S_ISCHR(st.st_mode))
		return err_set(err, -ENODEV, "%s: it is not a device (see vmctl doctor)", path);
	*ret_fd = take_fd(&fd);
	return 0;
}

/* ---- locks ---- */

static int lock_range(int fd, short type, off_t start, off_t len)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
}

/* The bytes that one takes, and those that nobody else must have; 0 ends a list. */
struct shared_locks {
	off_t ours[4], theirs[3];
};

static const struct shared_locks reads = {
	{LOCK_USES_READ, LOCK_KEEPS_WRITE, LOCK_KEEPS_RESIZE, 0},
	{LOCK_USES_WRITE, LOCK_USES_RESIZE, 0},
};
static const struct shared_locks reads_shareable = {
	{LOCK_USES_READ, LOCK_KEEPS_RESIZE, 0},
	{LOCK_USES_RESIZE, 0},
};
static const struct shared_locks writes_shareable = {
	{LOCK_USES_READ, LOCK_USES_WRITE, LOCK_KEEPS_RESIZE, 0},
	{LOCK_KEEPS_WRITE, LOCK_USES_RESIZE, 0},
};

static int lock_shared(int fd, const struct shared_locks *locks)
{
	for (const off_t *byte = locks->ours; *byte; byte++) {
		int r = lock_range(fd, F_RDLCK, *byte, 1);

		if (r < 0)
			return r;
	}
	for (const off_t *byte = locks->theirs; *byte; byte++) {
		struct flock probe = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = *byte, .l_len = 1};

		if (fcntl(fd, F_OFD_GETLK, &probe) < 0)
			return -errno;
		if (probe.l_type != F_UNLCK)
			return -EBUSY;
	}
	return 0;
}

static int lock_image(int fd, const struct domain_disk *disk)
{
	if (disk->readonly)
		return lock_shared(fd, disk->shareable ? &reads_shareable : &reads);
	return disk->shareable ? lock_shared(fd, &writes_shareable) : lock_range(fd, F_WRLCK, 0, 0);
}

/* ---- disks ---- */

bool broker_same_image(const char *path, const struct stat *st)
{
	struct stat other;

	if (stat(path, &other) < 0)
		return false;
	if (S_ISBLK(st->st_mode) && S_ISBLK(other.st_mode))
		return other.st_rdev == st->st_rdev;
	return other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

static int fail_busy(const struct domain_disk *disk, const struct stat *st, const struct broker_owners *owners,
		     struct err *err)
{
	const char *owner = owners ? owners->find(st, owners->arg) : NULL;

	if (owner)
		return err_set(err, -EBUSY, "disk %s: image %s is in use by VM %s: stop that VM, or use another image",
			       disk->target, disk->image, owner);
	return err_set(
		err, -EBUSY,
		"disk %s: image %s is in use by another program (QEMU, a mount?): end that, or use another image",
		disk->target, disk->image);
}

static int check_kind(const struct domain_disk *disk, const struct stat *st, struct err *err)
{
	if (S_ISDIR(st->st_mode))
		return err_set(err, -EISDIR, "disk %s: image %s: it is a folder: name an image file", disk->target,
			       disk->image);
	if (disk->type == DOMAIN_DISK_FILE && !S_ISREG(st->st_mode))
		return err_set(err, -EINVAL, "disk %s: image %s: it is not a regular file%s", disk->target, disk->image,
			       S_ISBLK(st->st_mode) ? ": use type='block' and <source dev=...>" : "");
	if (disk->type == DOMAIN_DISK_BLOCK && !S_ISBLK(st->st_mode))
		return err_set(err, -EINVAL, "disk %s: %s: it is not a block device%s", disk->target, disk->image,
			       S_ISREG(st->st_mode) ? ": use type='file' and <source file=...>" : "");
	return 0;
}

static int check_size(const struct domain_disk *disk, int fd, const struct stat *st, struct err *err)
{
	uint64_t size = (uint64_t)st->st_size;

	if (S_ISBLK(st->st_mode) && ioctl(fd, BLKGETSIZE64, &size) < 0)
		return err_set(err, -errno, "disk %s: %s: its size cannot be read: %s", disk->target, disk->image,
			       strerror(errno));
	if (disk->cdrom && size == 0)
		return err_set(err, -EINVAL, "disk %s: image %s is empty: name another", disk->target, disk->image);
	if (!disk->cdrom && size < disk->block_bytes)
		return err_set(err, -EINVAL, "disk %s: image %s is empty: give it a size (truncate -s 10G FILE)",
			       disk->target, disk->image);
	return 0;
}

static int disk_flags(const struct domain_disk *disk)
{
	int flags = disk->readonly ? O_RDONLY : O_RDWR;

	if (disk->direct)
		flags |= O_DIRECT;
	if (disk->sync)
		flags |= O_DSYNC;
	if (disk->type == DOMAIN_DISK_BLOCK && !disk->readonly && !disk->shareable)
		flags |= O_EXCL;
	return flags;
}

/* Open, check, lock. Return: 0; -EBUSY with no line; another negative errno with one. */
static int open_locked(const struct domain_disk *disk, struct err *err, int *ret_fd, struct stat *ret_st)
{
	_cleanup_close_ int fd = -1;
	int r;

	/* Looked at before it is opened: opening some devices does something. */
	if (stat(disk->image, ret_st) == 0) {
		r = check_kind(disk, ret_st, err);
		if (r < 0)
			return r;
	}
	fd = open_checked(disk->image, disk_flags(disk), 0, ret_st);
	if (fd == -EBUSY)
		return fd;
	if (fd < 0)
		return err_set(err, fd, "disk %s: image %s: %s", disk->target, disk->image,
			       find_remedy(disk_remedies, -fd));
	r = check_kind(disk, ret_st, err);
	if (r < 0)
		return r;
	r = lock_image(fd, disk);
	if (r < 0 && r != -EBUSY)
		return err_set(err, r, "disk %s: image %s: it cannot be locked: %s", disk->target, disk->image,
			       strerror(-r));
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

/* So that each disk has a descriptor. */
static int open_nothing(const struct domain_disk *disk, struct err *err, int *ret_fd)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "disk %s: /dev/null: %s", disk->target, strerror(errno));
	*ret_fd = fd;
	return 0;
}

int broker_open_disk(const struct domain_disk *disk, const struct broker_owners *owners, struct err *err, int *ret_fd)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_MS * NS_PER_MS};
	_cleanup_close_ int fd = -1;
	struct stat st = {0};
	int r = disk->image ? open_locked(disk, err, &fd, &st) : open_nothing(disk, err, ret_fd);

	if (!disk->image)
		return r;
	for (unsigned int waited = 0; r == -EBUSY && waited < BUSY_GRACE_MS; waited += BUSY_PAUSE_MS) {
		if (owners && owners->find(&st, owners->arg))
			break;
		nanosleep(&pause, NULL);
		r = open_locked(disk, err, &fd, &st);
	}
	if (r == -EBUSY)
		return fail_busy(disk, &st, owners, err);
	if (r < 0)
		return r;
	r = check_size(disk, fd, &st, err);
	if (r < 0)
		return r;
	*ret_fd = take_fd(&fd);
	return 0;
}

/* ---- memory ---- */

static uint64_t meminfo(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	unsigned long long value = 0;

	if (!at || sscanf(at + strlen(name), ": %llu", &value) != 1)
		return 0;
	return value;
}

int broker_check_memory(uint64_t bytes, bool huge, struct err *err)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	char text[8192];
	uint64_t have;
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (!n)
		return 0; /* no /proc: the worker will find out */
	text[n] = 0;
	if (huge)
		have = meminfo(text, "HugePages_Free") * meminfo(text, "Hugepagesize") * 1024;
	else
		have = meminfo(text, "MemAvailable") * 1024;
	if (have >= bytes)
		return 0;
	return err_set(err, -ENOMEM, "memory: the VM wants %llu MiB, the host has %llu MiB %s: %s",
		       (unsigned long long)(bytes >> 20), (unsigned long long)(have >> 20),
		       huge ? "of free huge pages" : "available",
		       huge ? "raise vm.nr_hugepages, or remove <hugepages/>" : "give it less, or end something else");
}
