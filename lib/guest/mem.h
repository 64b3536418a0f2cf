/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM as a process maps it: a few regions of memfds, bounds-checked access. What lies there may change under us
 * at any moment: copy once, check the copy, use the copy.
 */
#ifndef GUEST_MEM_H
#define GUEST_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define GUEST_PAGE_SIZE	      4096u
#define GUEST_PAGE_SHIFT      12u
#define GUEST_MEM_REGIONS_MAX 8u

/* A run of guest memory; in page lists both fields are multiples of the page size. */
struct guest_range {
	uint64_t gpa;
	uint64_t len;
};

/* Regions do not overlap and are sorted by gpa. */
struct guest_mem_region {
	uint64_t gpa;
	uint64_t len;	 /* multiple of the page size */
	uint64_t offset; /* in the memfd */
	int fd;		 /* owned by the guest_mem */
	uint8_t *host;	 /* mapped, read and write */
};

struct guest_mem {
	struct guest_mem_region region[GUEST_MEM_REGIONS_MAX];
	size_t regions;
};

/** guest_mem_init - empty map. */
void guest_mem_init(struct guest_mem *mem);

/**
 * guest_mem_add - map one more region; @fd is duplicated. Huge pages are asked for, core dumps leave it out.
 * Return: 0; -EINVAL (overlap, alignment, beyond the memfd's end); -ENOSPC; -ENOMEM; what fstat or dup refused.
 */
int guest_mem_add(struct guest_mem *mem, uint64_t gpa, uint64_t len, int fd, uint64_t offset);

/** guest_mem_done - unmap and close everything. */
void guest_mem_done(struct guest_mem *mem);

/** guest_mem_find - the region that holds all of [@gpa, @gpa + @len), or NULL. Context: any thread. */
const struct guest_mem_region *guest_mem_find(const struct guest_mem *mem, uint64_t gpa, uint64_t len);

/** guest_mem_ptr - host address of [@gpa, @gpa + @len) if it lies within one region, else NULL. Context: any thread. */
void *guest_mem_ptr(const struct guest_mem *mem, uint64_t gpa, uint64_t len);

/**
 * guest_mem_read, guest_mem_write - bounds-checked copy; regions that adjoin are one memory here.
 * Return: 0 or -EFAULT (nothing is copied). Context: any thread.
 */
int guest_mem_read(const struct guest_mem *mem, uint64_t gpa, void *buf, size_t len);
int guest_mem_write(const struct guest_mem *mem, uint64_t gpa, const void *buf, size_t len);

/**
 * guest_mem_iov - iovecs over the byte ranges @ranges, neighbours merged.
 * Return: number of iovecs; -EFAULT (a range outside memory); -E2BIG (more than @max). *@ret_iov is scratch on failure.
 */
int guest_mem_iov(const struct guest_mem *mem, const struct guest_range *ranges, size_t count, struct iovec *ret_iov,
		  size_t max);

#endif
