/* SPDX-License-Identifier: Apache-2.0 */
/* The limit: io_uring in this process, without a guest. Its CPU time is that of the benchmark's own loop, too. */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "storage.h"

struct floor {
	struct storage_target target;
	struct io_uring ring;
};

static int floor_put(struct storage_target *target, unsigned int slot, uint64_t offset, uint32_t len)
{
	struct floor *floor = CONTAINER_OF(target, struct floor, target);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&floor->ring);

	if (!sqe)
		return -EBUSY;
	io_uring_prep_read_fixed(sqe, 0, target->area + (size_t)slot * len, len, offset, 0);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data64(sqe, (uint64_t)len << 32 | slot);
	return 0;
}

static int floor_get(struct storage_target *target)
{
	struct floor *floor = CONTAINER_OF(target, struct floor, target);
	struct io_uring_cqe *cqe;
	uint64_t data;
	int result;

	if (io_uring_peek_cqe(&floor->ring, &cqe) != 0)
		return -EAGAIN;
	data = cqe->user_data;
	result = cqe->res;
	io_uring_cqe_seen(&floor->ring, cqe);
	return result == (int)(data >> 32) ? (int)(uint32_t)data : -EIO;
}

static int floor_wait(struct storage_target *target)
{
	int r = io_uring_submit_and_wait(&CONTAINER_OF(target, struct floor, target)->ring, 1);

	return r < 0 ? r : 0;
}

static void floor_stop(struct storage_target *target)
{
	struct floor *floor = CONTAINER_OF(target, struct floor, target);

	io_uring_queue_exit(&floor->ring);
	free(target->area);
	free(floor);
}

static const struct storage_target_ops floor_ops = {floor_put, floor_get, floor_wait, floor_stop};

int storage_floor_start(int image, struct storage_target **ret)
{
	struct floor *floor = calloc(1, sizeof(*floor));
	struct iovec iov = {.iov_len = STORAGE_AREA};
	int r;

	if (!floor)
		return -ENOMEM;
	floor->target.ops = &floor_ops;
	floor->target.clock = CLOCK_PROCESS_CPUTIME_ID;
	iov.iov_base = floor->target.area = aligned_alloc(STORAGE_PIECE, STORAGE_AREA);
	r = iov.iov_base ? io_uring_queue_init(STORAGE_DEPTH_MAX, &floor->ring, 0) : -ENOMEM;
	if (r < 0) {
		free(floor->target.area);
		free(floor);
		return r;
	}
	r = io_uring_register_buffers(&floor->ring, &iov, 1);
	if (r == 0)
		r = io_uring_register_files(&floor->ring, &image, 1);
	if (r < 0) {
		floor_stop(&floor->target);
		return r;
	}
	*ret = &floor->target;
	return 0;
}
