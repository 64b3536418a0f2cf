/* SPDX-License-Identifier: Apache-2.0 */
/* The process that is killed. */
#include "fence.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SUBMIT_STEP 8u /* entries handed over by one call */
#define THREADS	    8u

void fill_block(uint8_t *block, uint32_t generation, uint32_t number)
{
	uint64_t word = (uint64_t)generation << 32 | number;

	for (uint32_t i = 0; i < BLOCK_LEN; i += sizeof(word))
		memcpy(block + i, &word, sizeof(word));
}

uint32_t whose_block(const uint8_t *block, uint32_t number)
{
	uint64_t first, word;

	memcpy(&first, block, sizeof(first));
	if ((uint32_t)first != number)
		return 0;
	for (uint32_t i = 0; i < BLOCK_LEN; i += sizeof(word)) {
		memcpy(&word, block + i, sizeof(word));
		if (word != first)
			return 0;
	}
	return (uint32_t)(first >> 32);
}

bool has_generation(const uint8_t *block, uint32_t generation)
{
	for (uint32_t i = 0; i < BLOCK_LEN; i += 8) {
		uint64_t word;

		memcpy(&word, block + i, sizeof(word));
		if (word >> 32 == generation)
			return true;
	}
	return false;
}

/* As the engine does it. */
static int restrict_ring(struct io_uring *ring)
{
	struct io_uring_restriction rule[] = {
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV},
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_FIXED_FILE},
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE},
	};

	if (syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, rule, 3) < 0)
		return -errno;
	return syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0 ? -errno : 0;
}

int make_ring(const struct variant *variant, int fd, int fence, struct io_uring *ring)
{
	struct io_uring_params params = {.flags = variant->setup, .sq_thread_idle = 1000};
	int files[] = {fd, fence};
	int r = io_uring_queue_init_params(BLOCKS, ring, &params);

	if (r < 0)
		return r;
	r = io_uring_register_files(ring, files, 2);
	if (r == 0 && variant->engine)
		r = restrict_ring(ring);
	if (r < 0)
		io_uring_queue_exit(ring);
	return r;
}

bool is_fsync(const struct variant *variant, uint32_t number)
{
	return variant->fsync && number % 8 == 7;
}

void prepare_entry(const struct variant *variant, struct io_uring_sqe *sqe, int fd, struct shared *shared,
		   uint32_t number)
{
	static struct iovec iov[BLOCKS];

	iov[number].iov_base = shared->data + (size_t)number * BLOCK_LEN;
	iov[number].iov_len = BLOCK_LEN;
	if (is_fsync(variant, number))
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	else
		io_uring_prep_writev2(sqe, variant->engine ? 0 : fd, &iov[number], 1, (uint64_t)number * BLOCK_LEN,
				      variant->rw_flags);
	io_uring_sqe_set_flags(sqe, variant->sqe_flags);
	io_uring_sqe_set_data64(sqe, number);
}

/* Record, then move the head: what is recorded is over. */
static void reap(const struct variant *variant, struct io_uring *ring, struct shared *shared)
{
	uint32_t head = *ring->cq.khead;

	if (variant->setup & (IORING_SETUP_IOPOLL | IORING_SETUP_DEFER_TASKRUN))
		syscall(__NR_io_uring_enter, ring->ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
	while (head != __atomic_load_n(ring->cq.ktail, __ATOMIC_ACQUIRE)) {
		const struct io_uring_cqe *cqe = &ring->cq.cqes[head & *ring->cq.kring_mask];

		shared->result[cqe->user_data] = cqe->res;
		atomic_fetch_add(&shared->completions[cqe->user_data], 1);
		head++;
		__atomic_store_n(ring->cq.khead, head, __ATOMIC_RELEASE);
	}
}

static void submit_all(const struct variant *variant, int fd, int fence, struct shared *shared, int go)
{
	struct io_uring ring;

	if (make_ring(variant, fd, fence, &ring) < 0)
		_exit(1);
	/* The ring's is the only one now. */
	close(fence);
	if (write(go, "", 1) != 1)
		_exit(1);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		prepare_entry(variant, io_uring_get_sqe(&ring), fd, shared, i);
		if ((i + 1) % SUBMIT_STEP == 0 && io_uring_submit(&ring) < 0)
			_exit(1);
		reap(variant, &ring, shared);
	}
	for (;;) {
		reap(variant, &ring, shared);
		usleep(50);
	}
}

struct pool {
	const struct variant *variant;
	int fd;
	struct shared *shared;
	atomic_uint next;
};

static void *pool_thread(void *arg)
{
	struct pool *pool = arg;
	uint32_t number;

	while ((number = atomic_fetch_add(&pool->next, 1)) < BLOCKS) {
		struct iovec iov = {pool->shared->data + (size_t)number * BLOCK_LEN, BLOCK_LEN};

		pool->shared->result[number] =
			(int32_t)pwritev2(pool->fd, &iov, 1, (off_t)number * BLOCK_LEN, pool->variant->rw_flags);
		atomic_fetch_add(&pool->shared->completions[number], 1);
	}
	return NULL;
}

static void write_by_threads(const struct variant *variant, int fd, struct shared *shared, int go)
{
	static struct pool pool;
	pthread_t thread;

	pool.variant = variant;
	pool.fd = fd;
	pool.shared = shared;
	if (write(go, "", 1) != 1)
		_exit(1);
	for (unsigned int i = 0; i < THREADS; i++)
		if (pthread_create(&thread, NULL, pool_thread, &pool) != 0)
			_exit(1);
	for (;;)
		pause();
}

void submitter(const struct variant *variant, int fd, int fence, struct shared *shared, int go)
{
	if (variant->threads)
		write_by_threads(variant, fd, shared, go);
	submit_all(variant, fd, fence, shared, go);
	_exit(1);
}
