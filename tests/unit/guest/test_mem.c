/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <unistd.h>

#include "base/fd.h"
#include "guest/mem.h"

static struct guest_mem mem;

/* Two regions that adjoin at 1 MiB, and one far above. */
static void set_up(void)
{
	int fd = fd_memfd("mem", 4u << 20);

	guest_mem_init(&mem);
	cr_assert_eq(guest_mem_add(&mem, UINT64_C(1) << 32, 1u << 20, fd, 2u << 20), 0);
	cr_assert_eq(guest_mem_add(&mem, 1u << 20, 1u << 20, fd, 0), 0);
	cr_assert_eq(guest_mem_add(&mem, 0, 1u << 20, fd, 1u << 20), 0);
	close(fd);
}

static void tear_down(void)
{
	guest_mem_done(&mem);
}

TestSuite(mem, .init = set_up, .fini = tear_down);

Test(mem, regions_are_sorted)
{
	cr_assert_eq(mem.regions, 3);
	cr_assert_eq(mem.region[0].gpa, 0);
	cr_assert_eq(mem.region[1].gpa, 1u << 20);
	cr_assert_eq(mem.region[2].gpa, UINT64_C(1) << 32);
}

Test(mem, add_refuses)
{
	int fd = fd_memfd("x", 1u << 20);

	cr_assert_eq(guest_mem_add(&mem, 4096, 4096, fd, 0), -EINVAL, "overlap");
	cr_assert_eq(guest_mem_add(&mem, 8u << 20, 2u << 20, fd, 0), -EINVAL, "beyond the memfd");
	cr_assert_eq(guest_mem_add(&mem, 8u << 20, 4096, fd, 1u << 20), -EINVAL, "at its end");
	cr_assert_eq(guest_mem_add(&mem, (8u << 20) + 1, 4096, fd, 0), -EINVAL, "unaligned");
	cr_assert_eq(guest_mem_add(&mem, 8u << 20, 0, fd, 0), -EINVAL, "empty");
	cr_assert_eq(guest_mem_add(&mem, UINT64_MAX - 4095, 8192, fd, 0), -EINVAL, "wraps");
	cr_assert_eq(guest_mem_add(&mem, 8u << 20, 4096, -1, 0), -EBADF);
	for (unsigned int i = 3; i < GUEST_MEM_REGIONS_MAX; i++)
		cr_assert_eq(guest_mem_add(&mem, (8u << 20) + i * 4096, 4096, fd, 0), 0);
	cr_assert_eq(guest_mem_add(&mem, 16u << 20, 4096, fd, 0), -ENOSPC);
	close(fd);
}

Test(mem, ptr_stays_in_one_region)
{
	cr_assert_not_null(guest_mem_ptr(&mem, 0, 1u << 20));
	cr_assert_null(guest_mem_ptr(&mem, 1, 1u << 20));
	cr_assert_null(guest_mem_ptr(&mem, 2u << 20, 1));
	cr_assert_not_null(guest_mem_ptr(&mem, (2u << 20) - 1, 1));
	cr_assert_null(guest_mem_ptr(&mem, UINT64_MAX, 2));
	cr_assert_null(guest_mem_ptr(&mem, 4096, UINT64_MAX));
}

Test(mem, copies_cross_regions_that_adjoin)
{
	char text[] = "bulkhead", back[sizeof(text)];

	cr_assert_eq(guest_mem_write(&mem, (1u << 20) - 4, text, sizeof(text)), 0);
	cr_assert_eq(guest_mem_read(&mem, (1u << 20) - 4, back, sizeof(back)), 0);
	cr_assert_str_eq(back, text);
	cr_assert_eq(*(char *)guest_mem_ptr(&mem, 1u << 20, 1), text[4]);
}

Test(mem, copies_are_all_or_nothing)
{
	char text[] = "bulkhead";
	uint8_t *last = guest_mem_ptr(&mem, (2u << 20) - 1, 1);

	cr_assert_eq(guest_mem_write(&mem, (2u << 20) - 1, text, sizeof(text)), -EFAULT);
	cr_assert_eq(*last, 0);
	cr_assert_eq(guest_mem_read(&mem, UINT64_MAX - 2, text, sizeof(text)), -EFAULT);
	cr_assert_str_eq(text, "bulkhead");
}

Test(mem, iov)
{
	struct guest_range ranges[] = {{4096, 100}, {4196, 50}, {UINT64_C(1) << 32, 10}, {0, 1}};
	struct iovec iov[4];

	cr_assert_eq(guest_mem_iov(&mem, ranges, 4, iov, 4), 3);
	cr_assert_eq(iov[0].iov_base, guest_mem_ptr(&mem, 4096, 150));
	cr_assert_eq(iov[0].iov_len, 150);
	cr_assert_eq(iov[1].iov_len, 10);
	cr_assert_eq(guest_mem_iov(&mem, ranges, 4, iov, 2), -E2BIG);
	ranges[2].len = (1u << 20) + 1;
	cr_assert_eq(guest_mem_iov(&mem, ranges, 4, iov, 4), -EFAULT);
	ranges[2] = (struct guest_range){UINT64_MAX, 2};
	cr_assert_eq(guest_mem_iov(&mem, ranges, 4, iov, 4), -EFAULT);
}
