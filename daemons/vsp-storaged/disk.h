/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk as the front ends see it: a number of logical blocks that are read, written, flushed and given back. What is
 * behind it is a back end, perhaps with layers before it (layers.h): one file and one constant struct disk_ops each.
 */
#ifndef STORAGED_DISK_H
#define STORAGED_DISK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "engine.h"

#define DISK_MAX_TRANSFER (256u * 1024u) /* bytes of one request */

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,   /* what was written and completed before is on the medium */
	DISK_DISCARD, /* the blocks read as zeroes, and take no space if that can be */
	DISK_ZERO,    /* the blocks read as zeroes, and keep their space */
};

/* Owned by the front end, who does not touch it from submit to done. */
struct disk_request {
	enum disk_op op;
	bool fua;	   /* writes: complete when the data is on the medium */
	uint64_t offset;   /* bytes, within the disk, multiple of its block size */
	uint64_t len;	   /* bytes, multiple of the block size; reads, writes: 1 to DISK_MAX_TRANSFER; flush: 0 */
	struct iovec *iov; /* of reads and writes: exactly @len bytes; any alignment; the array may be used up */
	unsigned int iovs;
	/*
	 * @result: 0 (all of it) or a negative errno; -EOPNOTSUPP: this disk cannot discard or zero, write instead. On
	 * the loop's thread; may be called inside disk_submit().
	 */
	void (*done)(struct disk_request *request, int result);

	/* the back end's */
	struct disk *disk;
	struct engine_io io;
	struct iovec bounce_iov;
	void *bounce;
	bool as_zeroes; /* a write of nothing but zeroes, done as something cheaper */
	struct disk_request *next;
};

/* What becomes of writes of nothing but zeroes. */
enum disk_zeroes {
	DISK_ZEROES_WRITE,  /* they are written */
	DISK_ZEROES_DETECT, /* DISK_ZERO */
	DISK_ZEROES_UNMAP,  /* DISK_DISCARD if the disk may, else DISK_ZERO */
};

struct disk_config {
	const char *alias; /* "sda", for messages */
	const char *image; /* where it comes from, for messages */
	int fd;		   /* stays the caller's, open as long as the disk; O_DIRECT and O_DSYNC on it are heeded */
	unsigned int file; /* the engine's number of @fd */
	bool readonly;
	bool pad_tail;	   /* of a read-only one: bytes behind the last whole block make another, with zeroes */
	bool unsafe_flush; /* flush and FUA are acknowledged without being done */
	bool discard;	   /* what the guest gives back is given back to the host */
	enum disk_zeroes zeroes;
	bool again; /* a guest has it already: where there is nothing left of the image, its requests fail */
	uint32_t block_bytes;
	uint32_t physical_block_bytes; /* 0: the medium's */
};

struct disk;

/* A back end. Constant; `struct disk` is its first member. */
struct disk_ops {
	const char *name; /* "raw" */
	int (*open)(const struct disk_config *config, struct engine *engine, struct disk **ret_disk, struct err *err);
	void (*submit)(struct disk *disk, struct disk_request *request);
	bool (*cancel)(struct disk *disk, struct disk_request *request);
	int (*resize)(struct disk *disk, uint64_t bytes); /* as disk_resize(); NULL: it cannot */
	/* As disk_set_provisioning(); NULL: it cannot. */
	void (*set_provisioning)(struct disk *disk, bool discard, enum disk_zeroes zeroes);
	/*
	 * Of a layer: what waits in it goes on, to the disk below, in order; nothing comes any more. It frees itself
	 * when nothing of it is under way; the disk below is the caller's again at once.
	 */
	void (*leave)(struct disk *disk);
	void (*close)(struct disk *disk); /* nothing is in flight; that of a layer closes the disk below, too */
};

struct disk {
	const struct disk_ops *ops;
	struct disk *below;	       /* of a layer, its own; NULL: this is a back end */
	uint64_t blocks;	       /* at least 1; 0: there is no medium */
	uint32_t block_bytes;	       /* 512 or 4096; of media in drives 2048 */
	uint32_t physical_block_bytes; /* a power of two, at least block_bytes: writes of less cost a read */
	bool readonly;
	bool write_through; /* a write is on the medium when it completes: there is no cache to flush */
	bool discard;	    /* the guest may be told that it can give blocks back */
	bool lost;	    /* opened again, and nothing is left of it: requests fail */
};

extern const struct disk_ops disk_raw;
extern const struct disk_ops disk_empty;	 /* of a drive without a medium: neither fd nor file count */
extern const struct syscall_list disk_raw_calls; /* to open one, or change its size, in the sandbox */

/**
 * disk_open - open a disk with a back end.
 * Return: 0; a negative errno with a line that names the disk, the image and the remedy.
 */
static inline int disk_open(const struct disk_ops *ops, const struct disk_config *config, struct engine *engine,
			    struct disk **ret_disk, struct err *err)
{
	return ops->open(config, engine, ret_disk, err);
}

/** disk_submit - take @request over. engine_flush() follows, but from inside a done(). */
static inline void disk_submit(struct disk *disk, struct disk_request *request)
{
	disk->ops->submit(disk, request);
}

/** disk_cancel - Return: true: @request is the caller's again, and will not be done; false: it goes on. */
static inline bool disk_cancel(struct disk *disk, struct disk_request *request)
{
	return disk->ops->cancel(disk, request);
}

/**
 * disk_resize - make what is behind it as large, and then disk->blocks; requests beyond the new end that are under way
 * may fail.
 * @bytes: a multiple of the block size; 0: it has changed its size, which is only taken over.
 * Return: 0; -EOPNOTSUPP (it cannot); -ENOSPC (a device is not as large); -EINVAL (less than a block is left); what the
 * host refused: nothing has changed.
 */
static inline int disk_resize(struct disk *disk, uint64_t bytes)
{
	return disk->ops->resize ? disk->ops->resize(disk, bytes) : -EOPNOTSUPP;
}

/** disk_set_provisioning - what becomes of blocks that are given back and of zeroes that are written, from now on. */
static inline void disk_set_provisioning(struct disk *disk, bool discard, enum disk_zeroes zeroes)
{
	if (disk->ops->set_provisioning)
		disk->ops->set_provisioning(disk, discard, zeroes);
}

/** disk_resize_below - what a layer does of disk_resize(). */
static inline int disk_resize_below(struct disk *layer, uint64_t bytes)
{
	int r = disk_resize(layer->below, bytes);

	layer->blocks = layer->below->blocks;
	return r;
}

/** disk_set_provisioning_below - what a layer does of disk_set_provisioning(). */
static inline void disk_set_provisioning_below(struct disk *layer, bool discard, enum disk_zeroes zeroes)
{
	disk_set_provisioning(layer->below, discard, zeroes);
	layer->discard = layer->below->discard;
}

/** disk_close - NULL is allowed. */
static inline void disk_close(struct disk *disk)
{
	if (disk)
		disk->ops->close(disk);
}

#endif
