/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O engine: reads, writes and syncs of descriptors straight from and into the caller's memory, completions on the
 * loop. Two implementations of one interface: io_uring (uring.c) and a pool of threads (threads.c) for hosts without
 * it.
 *
 * Theory of operation: engine_submit() takes an I/O over; engine_flush() makes sure that all submitted ones are on
 * their way. done() is called once for each, on the loop's thread, from engine_flush(), engine_poll(), engine_close()
 * or from the loop; never from inside engine_submit(). An I/O that is submitted by a done() needs no engine_flush().
 * Short transfers are continued, -EINTR and -EAGAIN retried; a result of 0 means every byte.
 *
 * Limits: ENGINE_DEPTH I/Os are with the host at a time, more wait in order.
 */
#ifndef STORAGED_ENGINE_H
#define STORAGED_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "ipc/loop.h"

#define ENGINE_DEPTH	   1024u
#define ENGINE_FILES_MAX   256u
#define ENGINE_RETRIES_MAX 100u /* of -EAGAIN and -EINTR without progress */

struct engine;

enum engine_op {
	ENGINE_READ,
	ENGINE_WRITE,
	ENGINE_SYNC,	/* the data and what is needed to find it: fdatasync */
	ENGINE_DISCARD, /* the range reads as zeroes and takes no space; never makes the file longer */
	ENGINE_ZERO,	/* the range reads as zeroes and keeps its space */
};

/* Owned by the caller, who does not touch it from submit to done. */
struct engine_io {
	enum engine_op op;
	unsigned int file; /* which of the descriptors given to engine_open() */
	bool dsync;	   /* writes: complete when the data is on the medium */
	uint64_t offset;
	uint64_t len;	   /* bytes, of ENGINE_DISCARD and ENGINE_ZERO */
	struct iovec *iov; /* of reads and writes; the array is used up by short transfers */
	unsigned int iovs; /* at least one with a byte */
	/*
	 * @result: 0; -ENODATA (end of file before the last byte of a read), -EOPNOTSUPP (nothing has been done: the
	 * file cannot be punched), -ECANCELED, or the host's negative errno.
	 */
	void (*done)(struct engine_io *io, int result);

	/* the engine's */
	struct engine_io *next;
	unsigned int retries;
	int result;
};

/* An implementation. Constant; `struct engine` is its first member. */
struct engine_ops {
	const char *name; /* "io_uring" */
	int (*open)(struct loop *loop, const int *fds, size_t count, struct engine **ret_engine, struct err *err);
	void (*submit)(struct engine *engine, struct engine_io *io);
	void (*flush)(struct engine *engine);
	bool (*poll)(struct engine *engine);
	void (*set_polling)(struct engine *engine, bool on); /* may be NULL */
	bool (*cancel)(struct engine *engine, struct engine_io *io);
	int (*keep)(struct engine *engine); /* as engine_keep(); may be NULL */
	/* I/Os of @file go to @fd from now on; -1: there are none. Return: 0 or a negative errno. */
	int (*set_file)(struct engine *engine, unsigned int file, int fd);
	void (*close)(struct engine *engine);
};

struct engine {
	const struct engine_ops *ops;
	unsigned int in_flight; /* submitted and not done */
	bool has_file[ENGINE_FILES_MAX];
	/* Around a run of done() calls, so that their effects can be published together; may be NULL. */
	void (*batch_begin)(void *arg);
	void (*batch_end)(void *arg); /* may submit and flush */
	void *batch_arg;
};

extern const struct engine_ops uring_engine, threads_engine;

/* What each needs for the sandbox: to be opened, and then. */
extern const struct syscall_list uring_setup_calls, uring_calls, threads_setup_calls, threads_calls;

/**
 * engine_open - choose an engine and start it.
 * @name: "io_uring" or "threads"; NULL: io_uring, or threads with one line in the log where the host has none.
 * @fds:  @count (at most ENGINE_FILES_MAX) descriptors that I/Os name by their place; they stay the caller's and must
 * stay open. Return: 0; a negative errno with one line.
 */
int engine_open(const char *name, struct loop *loop, const int *fds, size_t count, struct engine **ret_engine,
		struct err *err);

/** engine_close - wait for everything in flight (done() is called), stop, free. NULL is allowed. */
void engine_close(struct engine *engine);

/** engine_set_batch - @begin and @end run around each run of done() calls. Before the first submit. */
void engine_set_batch(struct engine *engine, void (*begin)(void *arg), void (*end)(void *arg), void *arg);

/**
 * engine_add_file - one more descriptor for I/Os; it stays the caller's, open until engine_remove_file().
 * Return: its number, for struct engine_io; -ENOSPC; what the host refused.
 */
int engine_add_file(struct engine *engine, int fd);

/** engine_remove_file - no I/O names @file any more, and none does that is under way. The host lets go of the file soon
 * after this returns; its number may be used again. Return: 0; what the host refused: it keeps the file. */
int engine_remove_file(struct engine *engine, unsigned int file);

/** engine_submit - take @io over. */
void engine_submit(struct engine *engine, struct engine_io *io);

/** engine_flush - everything submitted is on its way when this returns; what was quick may be done already. */
void engine_flush(struct engine *engine);

/** engine_poll - done() is called for what is complete now, without waiting for the loop. Return: whether there was
 * any. */
bool engine_poll(struct engine *engine);

/** engine_set_polling - from now on somebody calls engine_poll() again and again: the loop need not be woken; or not
 * any more. */
void engine_set_polling(struct engine *engine, bool on);

/**
 * engine_cancel - take @io back if the host has not seen it. Return: true: it is the caller's again and done() is not
 * called; false: it goes on as before.
 */
bool engine_cancel(struct engine *engine, struct engine_io *io);

/**
 * engine_keep - what is to be left with the worker before the first submit, so that a successor can wait until all I/O
 * of this engine is over, however this process ends: see fence.h.
 * Return: a descriptor, the engine's; -ENOENT: the end of the process is enough.
 */
int engine_keep(struct engine *engine);

/* ---- for implementations ---- */

/** engine_moves_data - whether I/Os of this kind have iovecs; the others are done in one step. */
static inline bool engine_moves_data(enum engine_op op)
{
	return op == ENGINE_READ || op == ENGINE_WRITE;
}

/** engine_fallocate_mode - of ENGINE_DISCARD and ENGINE_ZERO. */
int engine_fallocate_mode(enum engine_op op);

/**
 * engine_io_advance - what the outcome of one attempt means for @io, whose offset and iovecs move forward.
 * @result: bytes, or a negative errno.
 * Return: true: try again with what is left; false: finished, io->result says how.
 */
bool engine_io_advance(struct engine_io *io, int result);

/** engine_batch_begin, engine_batch_end - around calls of engine_io_finish(). */
void engine_batch_begin(struct engine *engine);
void engine_batch_end(struct engine *engine);

/** engine_io_finish - account for @io and call its done(). */
void engine_io_finish(struct engine *engine, struct engine_io *io);

/* A first-in, first-out list of I/Os. */
struct engine_queue {
	struct engine_io *head, *tail;
};

void engine_queue_push(struct engine_queue *queue, struct engine_io *io);
struct engine_io *engine_queue_pop(struct engine_queue *queue); /* NULL if empty */
bool engine_queue_remove(struct engine_queue *queue, struct engine_io *io);

#endif
