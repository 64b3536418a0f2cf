/* SPDX-License-Identifier: Apache-2.0 */
#include "fence.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define LIFTED 'q'

struct fence {
	int fd;
	struct loop_source *end, *patience;
	uint64_t begin_ns;
	void (*done)(void *arg, int result);
	void *arg;
};

int fence_pipe(int *ret_ring_end, int *ret_kept_end)
{
	int end[2];

	if (pipe2(end, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	*ret_kept_end = end[0];
	*ret_ring_end = end[1];
	return 0;
}

void fence_lift(int ring_end)
{
	/* If it does not get through, the end of the ring does. */
	(void)!write(ring_end, &(char){LIFTED}, 1);
}

static void on_end(int fd, unsigned int events, void *arg)
{
	struct fence *fence = arg;
	int result = 0;
	ssize_t n;
	char byte;

	(void)events;
	n = read(fd, &byte, 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != 0 && !(n == 1 && byte == LIFTED))
		result = n < 0 ? -errno : -EPROTO;
	loop_remove(&fence->end);
	loop_remove(&fence->patience);
	fence->done(fence->arg, result);
}

static void on_patience(void *arg)
{
	struct fence *fence = arg;

	log_warn(NULL, "still waiting for the I/O of the predecessor to end, for %" PRIu64 " s now",
		 (clock_now_ns() - fence->begin_ns) / NS_PER_SEC);
	loop_arm(fence->patience, FENCE_PATIENCE_NS);
}

/* A reading end on which a read of ours cannot block. */
static int check(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISFIFO(st.st_mode) || (flags & O_ACCMODE) != O_RDONLY || !(flags & O_NONBLOCK))
		return -EPROTO;
	return 0;
}

int fence_new(struct loop *loop, int fd, void (*done)(void *arg, int result), void *arg, struct err *err,
	      struct fence **ret_fence)
{
	struct fence *fence;
	int r = check(fd);

	if (r < 0)
		return err_set(err, r, "what the predecessor left to wait for its I/O is no pipe of ours");
	fence = calloc(1, sizeof(*fence));
	if (!fence)
		return err_set(err, -ENOMEM, "waiting for the predecessor's I/O: out of memory");
	fence->fd = fd;
	fence->done = done;
	fence->arg = arg;
	fence->begin_ns = clock_now_ns();
	r = loop_add_fd(loop, fd, LOOP_READ, on_end, fence, &fence->end);
	if (r == 0)
		r = loop_add_timer(loop, on_patience, fence, &fence->patience);
	if (r < 0) {
		fence_free(fence);
		return err_set(err, r, "waiting for the predecessor's I/O: %s", strerror(-r));
	}
	loop_arm(fence->patience, FENCE_PATIENCE_NS);
	*ret_fence = fence;
	return 0;
}

void fence_free(struct fence *fence)
{
	if (!fence)
		return;
	loop_remove(&fence->end);
	loop_remove(&fence->patience);
	free(fence);
}
