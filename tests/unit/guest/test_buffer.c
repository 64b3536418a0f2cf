/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "guest/buffer.h"

#define PAGE  ((size_t)GUEST_PAGE_SIZE)
#define SPLIT UINT64_C(0x100000) /* two regions adjoin here, which lie apart in our memory */
#define HIGH  (UINT64_C(1) << 32)

static struct guest_mem mem;
static struct guest_buffer buffer;

static void set_up(void)
{
	int fd = fd_memfd("mem", 64u << 20);

	guest_mem_init(&mem);
	cr_assert_eq(guest_mem_add(&mem, 0, SPLIT, fd, 2u << 20), 0);
	cr_assert_eq(guest_mem_add(&mem, SPLIT, SPLIT, fd, 0), 0);
	cr_assert_eq(guest_mem_add(&mem, HIGH, 48u << 20, fd, 4u << 20), 0);
	close(fd);
}

static void tear_down(void)
{
	guest_buffer_done(&buffer);
	guest_mem_done(&mem);
}

TestSuite(buffer, .init = set_up, .fini = tear_down);

static uint8_t *host(uint64_t gpa)
{
	return guest_mem_ptr(&mem, gpa, 1);
}

Test(buffer, init_refuses)
{
	struct guest_range range = {HIGH, 0};
	struct guest_range two[] = {{HIGH, 16383 * PAGE}, {HIGH, 2 * PAGE}};

	cr_assert_eq(guest_buffer_init(&buffer, &mem, &range, 0), -EINVAL, "no page");
	cr_assert_eq(guest_buffer_init(&buffer, &mem, &range, 1), -EINVAL, "an empty one");
	range = (struct guest_range){HIGH + 8, PAGE};
	cr_assert_eq(guest_buffer_init(&buffer, &mem, &range, 1), -EINVAL, "unaligned");
	range = (struct guest_range){HIGH, PAGE + 8};
	cr_assert_eq(guest_buffer_init(&buffer, &mem, &range, 1), -EINVAL, "not whole pages");
	range = (struct guest_range){HIGH, (GUEST_BUFFER_PAGES_MAX + 1) * PAGE};
	cr_assert_eq(guest_buffer_init(&buffer, &mem, &range, 1), -EINVAL, "too many");
	range = (struct guest_range){0, UINT64_MAX - PAGE + 1};
	cr_assert_eq(guest_buffer_init(&buffer, &mem, &range, 1), -EINVAL, "far too many");
	cr_assert_eq(guest_buffer_init(&buffer, &mem, two, 2), -EINVAL, "too many in all");
	range = (struct guest_range){HIGH + (48u << 20) - PAGE, 2 * PAGE};
	cr_assert_eq(guest_buffer_init(&buffer, &mem, &range, 1), -EFAULT, "beyond the end");
	range = (struct guest_range){UINT64_MAX - PAGE + 1, 2 * PAGE};
	cr_assert_eq(guest_buffer_init(&buffer, &mem, &range, 1), -EFAULT, "wraps");
	cr_assert_null(buffer.page);
}

Test(buffer, pieces_are_merged_where_they_can_be)
{
	struct guest_range ranges[] = {{HIGH, 3 * PAGE}, {HIGH + 8 * PAGE, PAGE}, {SPLIT - PAGE, 2 * PAGE}};
	struct iovec iov[8];

	cr_assert_eq(guest_buffer_init(&buffer, &mem, ranges, 3), 0);
	cr_assert_eq(buffer.pages, 6);
	cr_assert_eq(buffer.len, 6 * PAGE);
	cr_assert_eq(guest_buffer_iov(&buffer, 0, buffer.len, iov, 8), 4, "the run over the border is two");
	cr_assert_eq(iov[0].iov_base, host(HIGH));
	cr_assert_eq(iov[0].iov_len, 3 * PAGE);
	cr_assert_eq(iov[1].iov_base, host(HIGH + 8 * PAGE));
	cr_assert_eq(iov[2].iov_base, host(SPLIT - PAGE));
	cr_assert_eq(iov[3].iov_base, host(SPLIT));
	cr_assert_eq(guest_buffer_iov(&buffer, 3 * PAGE - 5, 10, iov, 8), 2);
	cr_assert_eq(iov[0].iov_base, host(HIGH + 3 * PAGE - 5));
	cr_assert_eq(iov[0].iov_len, 5);
	cr_assert_eq(iov[1].iov_base, host(HIGH + 8 * PAGE));
	cr_assert_eq(iov[1].iov_len, 5);
	cr_assert_eq(guest_buffer_iov(&buffer, 3 * PAGE - 5, 10, iov, 1), -E2BIG);
	cr_assert_eq(guest_buffer_iov(&buffer, 100, 0, iov, 0), 0);
	cr_assert_eq(guest_buffer_iov(&buffer, 6 * PAGE, 0, iov, 0), 0);
	cr_assert_eq(guest_buffer_iov(&buffer, 6 * PAGE, 1, iov, 8), -EFAULT);
	cr_assert_eq(guest_buffer_iov(&buffer, 1, 6 * PAGE, iov, 8), -EFAULT);
	cr_assert_eq(guest_buffer_iov(&buffer, SIZE_MAX, 2, iov, 8), -EFAULT);
}

Test(buffer, copies)
{
	struct guest_range ranges[] = {{HIGH + 8 * PAGE, PAGE}, {HIGH, PAGE}, {HIGH + 4 * PAGE, PAGE}};
	uint8_t out[4096 + 20], back[sizeof(out)];

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 256);
	cr_assert_eq(guest_buffer_init(&buffer, &mem, ranges, 3), 0);
	cr_assert_eq(guest_buffer_write(&buffer, PAGE - 10, out, sizeof(out)), 0);
	cr_assert_arr_eq(host(HIGH + 9 * PAGE - 10), out, 10);
	cr_assert_arr_eq(host(HIGH), out + 10, PAGE);
	cr_assert_arr_eq(host(HIGH + 4 * PAGE), out + 10 + PAGE, sizeof(out) - 10 - PAGE);
	cr_assert_eq(guest_buffer_read(&buffer, PAGE - 10, back, sizeof(back)), 0);
	cr_assert_arr_eq(back, out, sizeof(out));
	cr_assert_eq(guest_buffer_write(&buffer, 2 * PAGE, out, sizeof(out)), -EFAULT);
	cr_assert_arr_eq(host(HIGH + 4 * PAGE), out + 10 + PAGE, 10, "nothing was copied");
	cr_assert_eq(guest_buffer_read(&buffer, 3 * PAGE - 1, back, 2), -EFAULT);
	cr_assert_eq(guest_buffer_read(&buffer, 3 * PAGE, back, 0), 0);
}

/* What a guest lends for what it receives: every page by itself, the last first. */
Test(buffer, many_scattered_pages)
{
	static struct guest_range ranges[7936];
	size_t count = sizeof(ranges) / sizeof(ranges[0]);
	struct iovec iov[3];

	for (size_t i = 0; i < count; i++)
		ranges[i] = (struct guest_range){HIGH + (count - 1 - i) * PAGE, PAGE};
	cr_assert_eq(guest_buffer_init(&buffer, &mem, ranges, count), 0);
	cr_assert_eq(buffer.len, 31u << 20);
	cr_assert_eq(guest_buffer_iov(&buffer, 1234 * PAGE + 4000, PAGE, iov, 3), 2);
	cr_assert_eq(iov[1].iov_base, host(HIGH + (count - 1 - 1235) * PAGE));
	cr_assert_eq(guest_buffer_write(&buffer, (31u << 20) - 4, "last", 4), 0);
	cr_assert_arr_eq(host(HIGH + PAGE - 4), "last", 4);
}
