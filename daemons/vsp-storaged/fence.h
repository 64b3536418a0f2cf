/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fence: nothing is replayed before the predecessor's own I/O is over, or an old write could land after a newer
 * one.
 *
 * Theory of operation: the engine of io_uring has the writing end of a pipe among its ring's registered files, and a
 * descriptor of it that goes with the process. The kernel lets go of a ring's files when the ring is closed, by its maker or by its
 * maker's death, and the last of its requests is over: completed or cancelled. So the reading end, which the worker
 * keeps (vsp_keep()), ends exactly then. A successor waits for that; tests/fence holds the experiment. It takes the kernel some tens of
 * milliseconds (a grace period of RCU). An engine that is closed in peace, with nothing under way, says so by a byte, and a
 * planned hand-over does not wait.
 *
 * The ring's own descriptor would tell which requests succeeded, but kernels since 2024 do not let one be sent over a
 * socket. It would save nothing: reads and writes whose outcome is not in the state block are run again.
 *
 * The engine of threads needs none: its writes are over when its process has ended, which the worker waits for.
 *
 * Limits: a predecessor that was taken over may have left any descriptor: one that is no pipe's reading end, or holds
 * another byte, is an error; one that never ends holds up only its own VM, with a line in the log every FENCE_PATIENCE_NS.
 */
#ifndef STORAGED_FENCE_H
#define STORAGED_FENCE_H

#include "base/err.h"
#include "ipc/loop.h"

#define FENCE_KEY	  "io_uring" /* of the keepsake */
#define FENCE_PATIENCE_NS (5 * NS_PER_SEC)

struct fence;

/**
 * fence_pipe - make a fence.
 * @ret_ring_end: for the ring's registered files.
 * @ret_kept_end: ends with the ring.
 * Return: 0 or a negative errno. Both are the caller's.
 */
int fence_pipe(int *ret_ring_end, int *ret_kept_end);

/** fence_lift - on the ring's end: no I/O is under way, and none will be. */
void fence_lift(int ring_end);

/**
 * fence_new - wait for a predecessor's I/O to be over.
 * @fd:   the kept end; the caller's, open until fence_free().
 * @done: called once, from the loop: 0; -EPROTO: the pipe holds nonsense; what read(2) refused.
 * Return: 0; -EPROTO with a line: no fence; -ENOMEM.
 */
int fence_new(struct loop *loop, int fd, void (*done)(void *arg, int result), void *arg, struct err *err,
	      struct fence **ret_fence);

/** fence_free - also before it is done; not inside done(). NULL is allowed. */
void fence_free(struct fence *fence);

#endif
