/* SPDX-License-Identifier: Apache-2.0 */
/* The experiment on fences: what both processes know. See fence.c. */
#ifndef TESTS_FENCE_H
#define TESTS_FENCE_H

#include <liburing.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BLOCKS	  64u
#define BLOCK_LEN (256u * 1024u)
#define FILE_LEN  (BLOCKS * BLOCK_LEN)

/* A way of writing. */
struct variant {
	const char *name;
	bool direct;
	unsigned int setup;	/* IORING_SETUP_... */
	unsigned int sqe_flags; /* IOSQE_... */
	int rw_flags;		/* RWF_... */
	bool fsync;		/* every eighth entry is an fdatasync */
	bool engine;		/* as our engine makes its ring: restricted, files by number */
	bool threads;		/* no ring: a pool of threads, each with one write */
};

/* What the submitter leaves behind: shared memory. */
struct shared {
	/* Of the completions that it saw: the result, then how many there were for the entry. */
	int32_t result[BLOCKS];
	atomic_uint completions[BLOCKS];
	_Alignas(4096) uint8_t data[FILE_LEN];
};

/**
 * fill_block - the pattern of @block: each 8 bytes say which writing (@generation) and which block they are of.
 * whose_block - Return: the generation that all of @block is of, or 0.
 * has_generation - Return: whether any piece of @block is of @generation.
 */
void fill_block(uint8_t *block, uint32_t generation, uint32_t number);
uint32_t whose_block(const uint8_t *block, uint32_t number);
bool has_generation(const uint8_t *block, uint32_t generation);

/** make_ring - with @fd and @fence as registered files. Return: 0 or a negative errno. */
int make_ring(const struct variant *variant, int fd, int fence, struct io_uring *ring);

/** prepare_entry - entry @number, a write of its block, or an fdatasync. */
void prepare_entry(const struct variant *variant, struct io_uring_sqe *sqe, int fd, struct shared *shared,
		   uint32_t number);
bool is_fsync(const struct variant *variant, uint32_t number);

/** submitter - the process that is killed: makes the ring, writes a byte to @go, submits, reaps. Never returns. */
_Noreturn void submitter(const struct variant *variant, int fd, int fence, struct shared *shared, int go);

#endif
