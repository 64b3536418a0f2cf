/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw images: regular files and block devices, byte for byte.
 *
 * Theory of operation: a request goes to the engine with the guest's own iovecs. With O_DIRECT the kernel wants memory
 * and lengths aligned; a request that is not (or that the kernel refuses with EINVAL all the same) goes through a
 * buffer of a bounded pool instead, and waits in order for one where all are taken. A descriptor with O_DSYNC makes a
 * disk without a write cache: each write says so to the engine as well, and the guest is told that there is none.
 * Writes of nothing but zeroes can be looked for: they are done as zeroing or as giving back, and as what they are if
 * the host refuses that. Those that are to be on the medium when they complete are not looked at.
 *
 * Blocks that are given back become a hole in the file, or are discarded on the device, whichever reads as zeroes.
 *
 * Where the last block is to be filled up, what is missing of it is put in place of being read.
 *
 * Limits: the capacity is what whole blocks fit in the image when it is opened or disk_resize() is called; an image
 * that shrinks otherwise gives errors: reads beyond its end, and on a device writes, too. Of one that a guest has, and
 * of which nothing is left when a successor opens it, one block is served, and every request for it fails: the other
 * disks go on.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "disk_queue.h"

#define BOUNCE_BUFFERS	       16u
#define PHYSICAL_BLOCK_DEFAULT 4096u
#define OBJECT_MAX	       64

struct raw {
	struct disk disk;
	struct engine *engine;
	int fd; /* the caller's */
	unsigned int file;
	bool unsafe_flush;
	uint64_t padded_from; /* bytes behind it read as zeroes, and are not in the image; UINT64_MAX: there are none */
	enum disk_zeroes zeroes;
	uint32_t mem_align, len_align; /* of O_DIRECT; 1: buffered */
	uint8_t *pool;		       /* BOUNCE_BUFFERS of DISK_MAX_TRANSFER; only with O_DIRECT; touched on use */
	unsigned int pool_free;
	void *pool_stack[BOUNCE_BUFFERS];
	struct disk_queue waiting; /* for a buffer */
};

static const struct syscall_rule rules[] = {
	{SYS_ioctl, 1, UINT32_MAX, BLKGETSIZE64},
	{SYS_ioctl, 1, UINT32_MAX, BLKPBSZGET},
	{SYS_ioctl, 1, UINT32_MAX, BLKSSZGET},
	{SYS_statx},
	{SYS_ftruncate},
	{-1},
};

const struct syscall_list disk_raw_calls = {.name = "raw images", .rules = rules};

static struct raw *to_raw(struct disk *disk)
{
	return CONTAINER_OF(disk, struct raw, disk);
}

/* ---- requests ---- */

static void raw_io_done(struct engine_io *io, int result);

static const enum engine_op engine_op[] = {
	[DISK_READ] = ENGINE_READ,	 [DISK_WRITE] = ENGINE_WRITE, [DISK_FLUSH] = ENGINE_SYNC,
	[DISK_DISCARD] = ENGINE_DISCARD, [DISK_ZERO] = ENGINE_ZERO,
};

/* How a write of zeroes is done. */
static enum engine_op zeroes_op(const struct raw *raw)
{
	return raw->zeroes == DISK_ZEROES_UNMAP && raw->disk.discard ? ENGINE_DISCARD : ENGINE_ZERO;
}

static void start(struct raw *raw, struct disk_request *request, struct iovec *iov, unsigned int iovs)
{
	struct engine_io *io = &request->io;

	io->op = request->as_zeroes ? zeroes_op(raw) : engine_op[request->op];
	io->file = raw->file;
	io->dsync = (request->fua || raw->disk.write_through) && !raw->unsafe_flush;
	io->offset = request->offset;
	io->len = request->len;
	io->iov = iov;
	io->iovs = iovs;
	io->done = raw_io_done;
	engine_submit(raw->engine, io);
}

static void copy_in(const struct disk_request *request)
{
	uint8_t *at = request->bounce;

	for (unsigned int i = 0; i < request->iovs; i++) {
		memcpy(at, request->iov[i].iov_base, request->iov[i].iov_len);
		at += request->iov[i].iov_len;
	}
}

static void copy_out(const struct disk_request *request)
{
	const uint8_t *at = request->bounce;

	for (unsigned int i = 0; i < request->iovs; i++) {
		memcpy(request->iov[i].iov_base, at, request->iov[i].iov_len);
		at += request->iov[i].iov_len;
	}
}

static void start_bounced(struct raw *raw, struct disk_request *request)
{
	request->bounce = raw->pool_stack[--raw->pool_free];
	if (request->op == DISK_WRITE)
		copy_in(request);
	request->bounce_iov = (struct iovec){.iov_base = request->bounce, .iov_len = request->len};
	start(raw, request, &request->bounce_iov, 1);
}

static void bounce(struct raw *raw, struct disk_request *request)
{
	if (raw->pool_free > 0) {
		start_bounced(raw, request);
		return;
	}
	disk_queue_push(&raw->waiting, request);
}

static void give_back(struct raw *raw, struct disk_request *request)
{
	struct disk_request *next = disk_queue_pop(&raw->waiting);

	raw->pool_stack[raw->pool_free++] = request->bounce;
	request->bounce = NULL;
	if (next)
		start_bounced(raw, next);
}

static bool moves_data(const struct disk_request *request)
{
	return engine_moves_data(engine_op[request->op]);
}

/* Where the file system or the device has no such thing, or not in pieces of our block size. */
static int without_holes(int result)
{
	static const int errors[] = {-EINVAL, -ENODEV, -ENOSYS, -ENOTTY};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (result == errors[i])
			return -EOPNOTSUPP;
	return result;
}

/* A device says that there is no space for what is beyond its end, too. */
static bool is_beyond(const struct raw *raw, const struct disk_request *request)
{
	uint64_t bytes;

	return ioctl(raw->fd, BLKGETSIZE64, &bytes) == 0 && request->offset + request->len > bytes;
}

static void submit(struct raw *raw, struct disk_request *request);

static void raw_io_done(struct engine_io *io, int result)
{
	struct disk_request *request = CONTAINER_OF(io, struct disk_request, io);
	struct raw *raw = to_raw(request->disk);

	if (request->as_zeroes && result < 0) {
		request->as_zeroes = false;
		if (without_holes(result) == -EOPNOTSUPP)
			raw->zeroes = DISK_ZEROES_WRITE;
		submit(raw, request);
		return;
	}
	if (result == -ENOSPC && is_beyond(raw, request))
		result = -ENODATA;
	if (request->bounce) {
		if (result == 0 && request->op == DISK_READ)
			copy_out(request);
		give_back(raw, request);
	} else if (!moves_data(request) && request->op != DISK_FLUSH) {
		result = without_holes(result);
	} else if (result == -EINVAL && raw->pool && moves_data(request) && io->offset == request->offset) {
		bounce(raw, request);
		return;
	}
	request->done(request, result);
}

/* Whether O_DIRECT takes the iovecs as they are. */
static bool aligned(const struct raw *raw, const struct disk_request *request)
{
	uint64_t mem = 0, len = 0;

	for (unsigned int i = 0; i < request->iovs; i++) {
		mem |= (uintptr_t)request->iov[i].iov_base;
		len |= request->iov[i].iov_len;
	}
	return (mem & (raw->mem_align - 1)) == 0 && (len & (raw->len_align - 1)) == 0;
}

static void submit(struct raw *raw, struct disk_request *request)
{
	if (!moves_data(request) || request->as_zeroes || !raw->pool || aligned(raw, request))
		start(raw, request, request->iov, request->iovs);
	else
		bounce(raw, request);
}

/* A guest that changes its data meanwhile gets the one or the other. */
static bool only_zeroes(const struct disk_request *request)
{
	for (unsigned int i = 0; i < request->iovs; i++) {
		const uint8_t *at = request->iov[i].iov_base;
		size_t len = request->iov[i].iov_len;

		if (len > 0 && (at[0] != 0 || memcmp(at, at + 1, len - 1) != 0))
			return false;
	}
	return true;
}

/* A read that goes beyond the image's last byte: what is behind it is zero, the rest is read. Return: whether there is
 * a rest. */
static bool pad(const struct raw *raw, struct disk_request *request)
{
	uint64_t left = raw->padded_from - MIN(request->offset, raw->padded_from);
	unsigned int kept = 0;

	for (unsigned int i = 0; i < request->iovs; i++) {
		struct iovec *iov = &request->iov[i];
		size_t real = (size_t)MIN((uint64_t)iov->iov_len, left);

		memset((uint8_t *)iov->iov_base + real, 0, iov->iov_len - real);
		iov->iov_len = real;
		left -= real;
		if (real > 0)
			kept = i + 1;
	}
	request->iovs = kept;
	return kept > 0;
}

static bool needs_no_io(const struct raw *raw, struct disk_request *request)
{
	if (request->op == DISK_FLUSH)
		return raw->unsafe_flush || raw->disk.readonly;
	return request->op == DISK_READ && request->offset + request->len > raw->padded_from && !pad(raw, request);
}

static void raw_submit(struct disk *disk, struct disk_request *request)
{
	struct raw *raw = to_raw(disk);

	request->disk = disk;
	request->bounce = NULL;
	request->as_zeroes = raw->zeroes != DISK_ZEROES_WRITE && request->op == DISK_WRITE && !request->fua &&
			     !disk->write_through && only_zeroes(request);
	if (needs_no_io(raw, request))
		request->done(request, 0);
	else
		submit(raw, request);
}

static bool raw_cancel(struct disk *disk, struct disk_request *request)
{
	struct raw *raw = to_raw(disk);

	if (disk_queue_remove(&raw->waiting, request))
		return true;
	if (!engine_cancel(raw->engine, &request->io))
		return false;
	if (request->bounce)
		give_back(raw, request);
	return true;
}

/* ---- open and close ---- */

static void raw_close(struct disk *disk)
{
	struct raw *raw = to_raw(disk);

	if (raw->pool)
		munmap(raw->pool, (size_t)BOUNCE_BUFFERS * DISK_MAX_TRANSFER);
	free(raw);
}

static int size_of(const struct disk_config *config, const struct stat *st, uint64_t *ret_bytes, struct err *err)
{
	if (S_ISREG(st->st_mode)) {
		*ret_bytes = (uint64_t)st->st_size;
		return 0;
	}
	if (!S_ISBLK(st->st_mode))
		return err_set(err, -EINVAL, "disk %s: %s is neither a file nor a block device: name one that is",
			       config->alias, config->image);
	if (ioctl(config->fd, BLKGETSIZE64, ret_bytes) < 0) {
		int r = -errno;

		*ret_bytes = 0;
		if (config->again)
			return 0;
		return err_set(err, r, "disk %s: cannot tell the size of %s: %s", config->alias, config->image,
			       strerror(-r));
	}
	return 0;
}

/* The block size that the medium likes, if it says so; a sane one in any case. */
static uint32_t physical_block(const struct disk_config *config, const struct stat *st)
{
	unsigned int bytes = PHYSICAL_BLOCK_DEFAULT;

	if (config->physical_block_bytes)
		return config->physical_block_bytes;
	if (S_ISBLK(st->st_mode) && ioctl(config->fd, BLKPBSZGET, &bytes) < 0)
		bytes = PHYSICAL_BLOCK_DEFAULT;
	if (bytes < config->block_bytes || bytes > 1u << 20 || (bytes & (bytes - 1)) != 0)
		bytes = config->block_bytes;
	return bytes;
}

/* What O_DIRECT asks of memory and of lengths on this file. */
static void direct_alignment(const struct disk_config *config, const struct stat *st, uint32_t *ret_mem,
			     uint32_t *ret_len)
{
	int sector;

	*ret_mem = *ret_len = 512;
	if (S_ISBLK(st->st_mode)) {
		if (ioctl(config->fd, BLKSSZGET, &sector) == 0 && sector > 512)
			*ret_mem = *ret_len = (uint32_t)sector;
		return;
	}
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(config->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 && (stx.stx_mask & STATX_DIOALIGN) &&
	    stx.stx_dio_offset_align > 0) {
		*ret_mem = MAX(stx.stx_dio_mem_align, 1u);
		*ret_len = stx.stx_dio_offset_align;
	}
#endif
}

static int set_up_direct(struct raw *raw, const struct disk_config *config, const struct stat *st, int flags,
			 struct err *err)
{
	char object[OBJECT_MAX];
	void *pool;

	direct_alignment(config, st, &raw->mem_align, &raw->len_align);
	if (raw->len_align > config->block_bytes || raw->padded_from != UINT64_MAX) {
		snprintf(object, sizeof(object), "disk %s", config->alias);
		log_warn(object,
			 "%s takes direct I/O of %u bytes only, the disk has blocks of %u%s: going through the page "
			 "cache",
			 config->image, raw->len_align, config->block_bytes,
			 raw->padded_from == UINT64_MAX ? "" : " and ends within one");
		raw->mem_align = raw->len_align = 1;
		if (fcntl(config->fd, F_SETFL, flags & ~O_DIRECT) < 0)
			return err_set(err, -errno, "disk %s: %s: cannot switch direct I/O off: use cache='writeback'",
				       config->alias, config->image);
		return 0;
	}
	pool = mmap(NULL, (size_t)BOUNCE_BUFFERS * DISK_MAX_TRANSFER, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool == MAP_FAILED)
		return err_set(err, -ENOMEM, "disk %s: out of memory", config->alias);
	raw->pool = pool;
	for (unsigned int i = 0; i < BOUNCE_BUFFERS; i++)
		raw->pool_stack[raw->pool_free++] = raw->pool + (size_t)i * DISK_MAX_TRANSFER;
	return 0;
}

static int check_access(const struct disk_config *config, int flags, struct err *err)
{
	int mode = flags & O_ACCMODE;

	if (mode == O_WRONLY || (mode == O_RDONLY && !config->readonly))
		return err_set(
			err, -EACCES, "disk %s: %s was opened %s: make it readable and writable, or the disk read-only",
			config->alias, config->image, mode == O_RDONLY ? "for reading only" : "for writing only");
	return 0;
}

static int set_capacity(struct raw *raw, const struct disk_config *config, uint64_t bytes, struct err *err)
{
	uint64_t tail = bytes % config->block_bytes;
	char object[OBJECT_MAX];

	snprintf(object, sizeof(object), "disk %s", config->alias);
	if (bytes < (config->pad_tail ? 1 : config->block_bytes) && config->again) {
		log_error(object, "nothing is left of %s: the guest gets errors until it is back", config->image);
		raw->disk.blocks = 1;
		raw->disk.lost = true;
		return 0;
	}
	if (bytes < (config->pad_tail ? 1 : config->block_bytes))
		return err_set(
			err, -EINVAL,
			"disk %s: %s is %s: give it a size, for example with truncate --size=10G, or name another",
			config->alias, config->image, bytes == 0 ? "empty" : "smaller than one block");
	raw->disk.blocks = bytes / config->block_bytes;
	if (tail == 0)
		return 0;
	if (config->pad_tail) {
		raw->disk.blocks++;
		raw->padded_from = bytes;
		return 0;
	}
	log_warn(object,
		 "%s has %" PRIu64 " bytes: the guest sees %" PRIu64 " blocks of %u; the last %" PRIu64
		 " bytes stay unused",
		 config->image, bytes, raw->disk.blocks, config->block_bytes, tail);
	return 0;
}

static int raw_set_up(struct raw *raw, const struct disk_config *config, struct err *err)
{
	int flags = fcntl(config->fd, F_GETFL);
	uint64_t bytes = 0;
	struct stat st;
	int r;

	if (flags < 0 || fstat(config->fd, &st) < 0) {
		r = -errno;
		return err_set(err, r, "disk %s: %s: %s", config->alias, config->image, strerror(-r));
	}
	r = size_of(config, &st, &bytes, err);
	if (r == 0)
		r = check_access(config, flags, err);
	if (r == 0)
		r = set_capacity(raw, config, bytes, err);
	if (r == 0 && (flags & O_DIRECT))
		r = set_up_direct(raw, config, &st, flags, err);
	if (r < 0)
		return r;
	raw->disk.physical_block_bytes = physical_block(config, &st);
	raw->disk.write_through = (flags & O_DSYNC) && !config->unsafe_flush;
	return 0;
}

static int raw_resize(struct disk *disk, uint64_t bytes)
{
	struct raw *raw = to_raw(disk);
	uint64_t now = 0;
	struct stat st;

	if (fstat(raw->fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode)) {
		if (bytes > INT64_MAX)
			return -EFBIG;
		if (bytes > 0 && ftruncate(raw->fd, (off_t)bytes) < 0)
			return -errno;
		now = bytes > 0 ? bytes : (uint64_t)st.st_size;
	} else if (ioctl(raw->fd, BLKGETSIZE64, &now) < 0) {
		return -errno;
	} else if (bytes > now) {
		return -ENOSPC;
	}
	if (now < disk->block_bytes)
		return -EINVAL;
	disk->blocks = (S_ISREG(st.st_mode) || bytes == 0 ? now : bytes) / disk->block_bytes;
	return 0;
}

/* What is under way goes on as it was. */
static void raw_set_provisioning(struct disk *disk, bool discard, enum disk_zeroes zeroes)
{
	disk->discard = discard && !disk->readonly;
	to_raw(disk)->zeroes = zeroes;
}

static int raw_open(const struct disk_config *config, struct engine *engine, struct disk **ret_disk, struct err *err)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	int r;

	if (!raw)
		return err_set(err, -ENOMEM, "disk %s: out of memory", config->alias);
	raw->disk.ops = &disk_raw;
	raw->disk.block_bytes = config->block_bytes;
	raw->disk.readonly = config->readonly;
	raw->disk.discard = config->discard && !config->readonly;
	raw->zeroes = config->zeroes;
	raw->engine = engine;
	raw->fd = config->fd;
	raw->file = config->file;
	raw->unsafe_flush = config->unsafe_flush;
	raw->mem_align = raw->len_align = 1;
	raw->padded_from = UINT64_MAX;
	r = raw_set_up(raw, config, err);
	if (r < 0) {
		raw_close(&raw->disk);
		return r;
	}
	*ret_disk = &raw->disk;
	return 0;
}

const struct disk_ops disk_raw = {
	.name = "raw",
	.open = raw_open,
	.submit = raw_submit,
	.cancel = raw_cancel,
	.resize = raw_resize,
	.set_provisioning = raw_set_provisioning,
	.close = raw_close,
};
