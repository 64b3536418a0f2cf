/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "guest/iov.h"

void guest_mem_init(struct guest_mem *mem)
{
	memset(mem, 0, sizeof(*mem));
}

static int check_region(const struct guest_mem *mem, uint64_t gpa, uint64_t len, int fd, uint64_t offset)
{
	struct stat st;

	if (len == 0 || (gpa | len | offset) % GUEST_PAGE_SIZE != 0)
		return -EINVAL;
	if (!range_fits(gpa, len, UINT64_MAX) || len > SIZE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < mem->regions; i++) {
		const struct guest_mem_region *other = &mem->region[i];

		if (gpa < other->gpa + other->len && other->gpa < gpa + len)
			return -EINVAL;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!range_fits(offset, len, (uint64_t)st.st_size))
		return -EINVAL;
	return 0;
}

static void insert_sorted(struct guest_mem *mem, const struct guest_mem_region *region)
{
	size_t i = mem->regions++;

	for (; i > 0 && mem->region[i - 1].gpa > region->gpa; i--)
		mem->region[i] = mem->region[i - 1];
	mem->region[i] = *region;
}

int guest_mem_add(struct guest_mem *mem, uint64_t gpa, uint64_t len, int fd, uint64_t offset)
{
	_cleanup_close_ int own = -1;
	void *host;
	int r;

	if (mem->regions == GUEST_MEM_REGIONS_MAX)
		return -ENOSPC;
	r = check_region(mem, gpa, len, fd, offset);
	if (r < 0)
		return r;
	own = fd_dup(fd);
	if (own < 0)
		return own;
	host = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, own, (off_t)offset);
	if (host == MAP_FAILED)
		return -errno;
	/* Wishes only: a kernel without transparent huge pages refuses the first, and nothing depends on either. */
	(void)madvise(host, len, MADV_HUGEPAGE);
	(void)madvise(host, len, MADV_DONTDUMP);

	insert_sorted(mem, &(struct guest_mem_region){
				   .gpa = gpa, .len = len, .offset = offset, .fd = take_fd(&own), .host = host});
	return 0;
}

void guest_mem_done(struct guest_mem *mem)
{
	for (size_t i = 0; i < mem->regions; i++) {
		munmap(mem->region[i].host, mem->region[i].len);
		close(mem->region[i].fd);
	}
	guest_mem_init(mem);
}

/* The region that holds the byte at @gpa, and how many bytes follow it there. */
static const struct guest_mem_region *region_at(const struct guest_mem *mem, uint64_t gpa, uint64_t *ret_left)
{
	for (size_t i = 0; i < mem->regions; i++) {
		const struct guest_mem_region *region = &mem->region[i];

		if (gpa - region->gpa < region->len) {
			*ret_left = region->len - (gpa - region->gpa);
			return region;
		}
	}
	return NULL;
}

const struct guest_mem_region *guest_mem_find(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	uint64_t left;
	const struct guest_mem_region *region = region_at(mem, gpa, &left);

	return region && len <= left ? region : NULL;
}

void *guest_mem_ptr(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	const struct guest_mem_region *region = guest_mem_find(mem, gpa, len);

	return region ? region->host + (gpa - region->gpa) : NULL;
}

/* Whether all of the range is memory; it may cross from one region into one that adjoins it. */
static bool covered(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	if (!range_fits(gpa, len, UINT64_MAX))
		return false;
	while (len > 0) {
		uint64_t left, step;

		if (!region_at(mem, gpa, &left))
			return false;
		step = MIN(left, len);
		gpa += step;
		len -= step;
	}
	return true;
}

int guest_mem_read(const struct guest_mem *mem, uint64_t gpa, void *buf, size_t len)
{
	uint8_t *to = buf;

	if (!covered(mem, gpa, len))
		return -EFAULT;
	while (len > 0) {
		uint64_t left;
		const struct guest_mem_region *region = region_at(mem, gpa, &left);
		size_t step = MIN(left, len);

		memcpy(to, region->host + (gpa - region->gpa), step);
		gpa += step;
		to += step;
		len -= step;
	}
	return 0;
}

int guest_mem_write(const struct guest_mem *mem, uint64_t gpa, const void *buf, size_t len)
{
	const uint8_t *from = buf;

	if (!covered(mem, gpa, len))
		return -EFAULT;
	while (len > 0) {
		uint64_t left;
		const struct guest_mem_region *region = region_at(mem, gpa, &left);
		size_t step = MIN(left, len);

		memcpy(region->host + (gpa - region->gpa), from, step);
		gpa += step;
		from += step;
		len -= step;
	}
	return 0;
}

int guest_mem_iov(const struct guest_mem *mem, const struct guest_range *ranges, size_t count, struct iovec *ret_iov,
		  size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t gpa = ranges[i].gpa, len = ranges[i].len;

		if (!range_fits(gpa, len, UINT64_MAX))
			return -EFAULT;
		while (len > 0) {
			uint64_t left;
			const struct guest_mem_region *region = region_at(mem, gpa, &left);
			uint8_t *base;
			size_t step;

			if (!region)
				return -EFAULT;
			base = region->host + (gpa - region->gpa);
			step = MIN(left, len);
			if (iov_append(ret_iov, &n, max, base, step) < 0)
				return -E2BIG;
			gpa += step;
			len -= step;
		}
	}
	return (int)n;
}
