/* SPDX-License-Identifier: Apache-2.0 */
/* Raw disks on real files: buffered, and direct where the file system of the tests can do that. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "daemons/vsp-storaged/disk.h"

static struct loop *loop;
static struct engine *engine;
static struct disk *disk;
static struct err err;
static int fd = -1;
static enum disk_zeroes zeroes; /* of the disk that is opened next */
static bool discard;
static bool again; /* a guest has it */
static bool pad_tail;

struct test_request {
	struct disk_request request;
	struct iovec iov[4];
	int result;
	unsigned int dones;
};

static void open_file(off_t len, int flags)
{
	const char *dir = getenv("TMPDIR");
	char path[256];

	snprintf(path, sizeof(path), "%s/disk-XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, len), 0);
	if (flags != O_RDWR) {
		int other = open(path, flags | O_CLOEXEC);

		close(fd);
		fd = other;
	}
	unlink(path);
}

static int open_disk(uint32_t block_bytes, bool readonly)
{
	struct disk_config config = {
		.alias = "sda",
		.image = "/images/a.raw",
		.fd = fd,
		.file = 0,
		.readonly = readonly,
		.block_bytes = block_bytes,
		.zeroes = zeroes,
		.discard = discard,
		.again = again,
		.pad_tail = pad_tail,
	};

	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(engine_open(NULL, loop, &fd, 1, &engine, &err), 0, "%s", err.text);
	return disk_open(&disk_raw, &config, engine, &disk, &err);
}

static void close_all(void)
{
	engine_close(engine);
	disk_close(disk);
	loop_free(loop);
	if (fd >= 0)
		close(fd);
}

TestSuite(disk_raw, .fini = close_all, .timeout = 60);

static void done(struct disk_request *request, int result)
{
	struct test_request *test = CONTAINER_OF(request, struct test_request, request);

	test->result = result;
	test->dones++;
}

static void submit(struct test_request *test, enum disk_op op, uint64_t offset, unsigned int iovs)
{
	test->dones = 0;
	test->request = (struct disk_request){.op = op, .offset = offset, .iov = test->iov, .iovs = iovs, .done = done};
	for (unsigned int i = 0; i < iovs; i++)
		test->request.len += (uint32_t)test->iov[i].iov_len;
	disk_submit(disk, &test->request);
}

static int finish(struct test_request *test)
{
	engine_flush(engine);
	while (!test->dones)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(test->dones, 1);
	return test->result;
}

static void refused(int code, const char *word)
{
	cr_assert_eq(err.code, code, "%s", err.text);
	cr_assert(strstr(err.text, "disk sda"), "%s", err.text);
	cr_assert(strstr(err.text, word), "%s", err.text);
}

/* What is missing of the last block reads as zeroes, wherever it lies in the buffers. */
Test(disk_raw, the_tail_is_filled_up)
{
	static uint8_t image[5000], buf[3 * 2048];
	struct test_request test = {.iov = {{buf, 3000}, {buf + 3000, 1500}, {buf + 4500, 1000}, {buf + 5500, 644}}};

	memset(image, 0x5a, sizeof(image));
	open_file(0, O_RDWR);
	cr_assert_eq(pwrite(fd, image, sizeof(image), 0), (ssize_t)sizeof(image));
	pad_tail = true;
	cr_assert_eq(open_disk(2048, true), 0, "%s", err.text);
	cr_assert_eq(disk->blocks, 3);
	memset(buf, 0xee, sizeof(buf));
	submit(&test, DISK_READ, 0, 4);
	cr_assert_eq(finish(&test), 0);
	for (size_t i = 0; i < sizeof(buf); i++)
		cr_assert_eq(buf[i], i < sizeof(image) ? 0x5a : 0, "byte %zu", i);
	memset(buf, 0xee, sizeof(buf));
	test.iov[0] = (struct iovec){buf, 2048};
	submit(&test, DISK_READ, 4096, 1);
	cr_assert_eq(finish(&test), 0);
	cr_assert(buf[903] == 0x5a && buf[904] == 0 && buf[2047] == 0 && buf[2048] == 0xee);
}

Test(disk_raw, capacity_rounds_down)
{
	open_file(10 * 4096 + 700, O_RDWR);
	cr_assert_eq(open_disk(4096, false), 0);
	cr_assert_eq(disk->blocks, 10);
	cr_assert_eq(disk->block_bytes, 4096);
	cr_assert_geq(disk->physical_block_bytes, 4096);
	cr_assert_not(disk->readonly);
}

Test(disk_raw, empty_image)
{
	open_file(0, O_RDWR);
	open_disk(512, false);
	refused(-EINVAL, "truncate");
}

/* A guest has the disk, and nothing is left of its image: it is served, and everything fails until it is back. */
Test(disk_raw, nothing_is_left)
{
	static uint8_t buf[512];
	struct test_request read = {.iov = {{buf, 512}}};

	again = true;
	open_file(0, O_RDWR);
	cr_assert_eq(open_disk(512, false), 0, "%s", err.text);
	cr_assert_eq(disk->blocks, 1);
	submit(&read, DISK_READ, 0, 1);
	cr_assert_eq(finish(&read), -ENODATA);
	cr_assert_eq(ftruncate(fd, 8192), 0);
	cr_assert_eq(disk_resize(disk, 0), 0);
	cr_assert_eq(disk->blocks, 16);
	submit(&read, DISK_READ, 4096, 1);
	cr_assert_eq(finish(&read), 0);
}

Test(disk_raw, less_than_a_block)
{
	open_file(4095, O_RDWR);
	open_disk(4096, false);
	refused(-EINVAL, "smaller than one block");
}

Test(disk_raw, not_a_disk)
{
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	open_disk(512, false);
	refused(-EINVAL, "block device");
}

Test(disk_raw, descriptor_for_reading_only)
{
	open_file(8192, O_RDONLY);
	open_disk(512, false);
	refused(-EACCES, "read-only");
}

Test(disk_raw, read_only_disk)
{
	struct test_request flush = {0};

	open_file(8192, O_RDONLY);
	cr_assert_eq(open_disk(512, true), 0, "%s", err.text);
	cr_assert(disk->readonly);
	submit(&flush, DISK_FLUSH, 0, 0);
	cr_assert_eq(finish(&flush), 0);
}

/* Buffers at any address, as user space in a guest may pass them. */
static void odd_buffers(void)
{
	static uint8_t out[64 * 1024 + 64], in[64 * 1024 + 64];
	struct test_request write = {.iov = {{out + 3, 509}, {out + 512, 3}, {out + 520, 64 * 1024 - 512}}};
	struct test_request read = {.iov = {{in + 1, 64 * 1024}}};
	struct test_request flush = {0};
	uint8_t *expect = malloc(64 * 1024);

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 31 + 1);
	memcpy(expect, out + 3, 512);
	memcpy(expect + 512, out + 520, 64 * 1024 - 512);
	submit(&write, DISK_WRITE, 8192, 3);
	write.request.fua = true;
	cr_assert_eq(finish(&write), 0);
	submit(&flush, DISK_FLUSH, 0, 0);
	cr_assert_eq(finish(&flush), 0);
	submit(&read, DISK_READ, 8192, 1);
	cr_assert_eq(finish(&read), 0);
	cr_assert_eq(memcmp(in + 1, expect, 64 * 1024), 0);
	free(expect);
}

/* More than there are bounce buffers. */
static void many_odd_buffers(void)
{
	static uint8_t buf[40][4096 + 1];
	static struct test_request request[40];

	for (int i = 0; i < 40; i++) {
		memset(buf[i], i, sizeof(buf[i]));
		request[i].iov[0] = (struct iovec){buf[i] + 1, 4096};
		submit(&request[i], DISK_WRITE, (uint64_t)i * 4096, 1);
	}
	for (int i = 0; i < 40; i++)
		cr_assert_eq(finish(&request[i]), 0);
	for (int i = 0; i < 40; i++) {
		memset(buf[i], 0xff, sizeof(buf[i]));
		request[i].iov[0] = (struct iovec){buf[i] + 1, 4096};
		submit(&request[i], DISK_READ, (uint64_t)i * 4096, 1);
	}
	for (int i = 0; i < 40; i++) {
		cr_assert_eq(finish(&request[i]), 0);
		cr_assert_eq(buf[i][1], i);
		cr_assert_eq(buf[i][4096], i);
	}
}

Test(disk_raw, buffered)
{
	open_file(1 << 20, O_RDWR);
	cr_assert_eq(open_disk(512, false), 0, "%s", err.text);
	odd_buffers();
	many_odd_buffers();
}

Test(disk_raw, direct)
{
	open_file(1 << 20, O_RDWR | O_DIRECT);
	if (fd < 0)
		cr_skip_test("this file system has no direct I/O");
	cr_assert_eq(open_disk(4096, false), 0, "%s", err.text);
	odd_buffers();
	many_odd_buffers();
}

Test(disk_raw, waiting_for_a_buffer_can_be_cancelled)
{
	static uint8_t buf[20][4096 + 1];
	static struct test_request request[20];

	open_file(1 << 20, O_RDWR | O_DIRECT);
	if (fd < 0)
		cr_skip_test("this file system has no direct I/O");
	cr_assert_eq(open_disk(4096, false), 0, "%s", err.text);
	for (int i = 0; i < 20; i++) {
		request[i].iov[0] = (struct iovec){buf[i] + 1, 4096};
		submit(&request[i], DISK_READ, 0, 1);
	}
	cr_assert(disk_cancel(disk, &request[18].request));
	for (int i = 0; i < 20; i++)
		if (i != 18)
			cr_assert_eq(finish(&request[i]), 0);
	cr_assert_eq(request[18].dones, 0);
}

Test(disk_raw, image_that_shrinks)
{
	static uint8_t buf[4096];
	struct test_request read = {.iov = {{buf, 4096}}};

	open_file(1 << 20, O_RDWR);
	cr_assert_eq(open_disk(512, false), 0);
	cr_assert_eq(ftruncate(fd, 1000), 0);
	submit(&read, DISK_READ, 0, 1);
	cr_assert_eq(finish(&read), -ENODATA);
}

/* cache='writethrough' and 'directsync' are how the descriptor was opened. */
static void write_on_medium(int flags, bool expected)
{
	struct test_request write = {0};
	uint8_t *out = aligned_alloc(4096, 4096);

	open_file(1 << 20, flags);
	cr_assert_eq(open_disk(512, false), 0, "%s", err.text);
	cr_assert_eq(disk->write_through, expected);
	memset(out, 0x5a, 4096);
	write.iov[0] = (struct iovec){out, 4096};
	submit(&write, DISK_WRITE, 0, 1);
	cr_assert_eq(write.request.io.dsync, expected, "the engine must be told so for each write");
	cr_assert_eq(finish(&write), 0);
	free(out);
}

Test(disk_raw, write_through)
{
	write_on_medium(O_RDWR | O_DSYNC, true);
}

Test(disk_raw, write_back)
{
	write_on_medium(O_RDWR, false);
}

/* Discarded and zeroed blocks read as zeroes, or the disk says that it cannot. */
static void holes(void)
{
	static const enum disk_op ops[] = {DISK_DISCARD, DISK_ZERO};
	static uint8_t buf[16384], zero[8192];

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct test_request write = {.iov = {{buf, sizeof(buf)}}}, read = {.iov = {{buf, sizeof(buf)}}};
		struct test_request hole = {0};
		int r;

		memset(buf, 0x5a, sizeof(buf));
		submit(&write, DISK_WRITE, 0, 1);
		cr_assert_eq(finish(&write), 0);
		hole.request = (struct disk_request){.op = ops[i], .offset = 4096, .len = 8192, .done = done};
		disk_submit(disk, &hole.request);
		r = finish(&hole);
		cr_assert(r == 0 || r == -EOPNOTSUPP, "%d", r);
		submit(&read, DISK_READ, 0, 1);
		cr_assert_eq(finish(&read), 0);
		cr_assert(buf[4095] == 0x5a && buf[12288] == 0x5a);
		cr_assert(r < 0 || memcmp(buf + 4096, zero, sizeof(zero)) == 0);
	}
}

Test(disk_raw, holes)
{
	open_file(1 << 20, O_RDWR);
	cr_assert_eq(open_disk(512, false), 0, "%s", err.text);
	holes();
}

/* tmpfs cannot zero a range in older kernels. */
Test(disk_raw, holes_in_memory)
{
	fd = memfd_create("disk", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	cr_assert_eq(open_disk(512, false), 0, "%s", err.text);
	holes();
}

/* Writes @len bytes of @byte. Return: as what. */
static enum engine_op write_bytes(int byte, size_t len, bool fua)
{
	static uint8_t buf[16384];
	struct test_request write = {.iov = {{buf, len / 2}, {buf + len / 2, len - len / 2}}};
	enum engine_op op;

	memset(buf, byte, len);
	write.request = (struct disk_request){
		.op = DISK_WRITE, .offset = 4096, .len = len, .iov = write.iov, .iovs = 2, .done = done, .fua = fua};
	disk_submit(disk, &write.request);
	op = write.request.io.op;
	cr_assert_eq(finish(&write), 0);
	return op;
}

static void expect_bytes(int byte, size_t len)
{
	static uint8_t buf[16384];
	struct test_request read = {.iov = {{buf, len}}};

	memset(buf, 0xee, len);
	submit(&read, DISK_READ, 4096, 1);
	cr_assert_eq(finish(&read), 0);
	for (size_t i = 0; i < len; i++)
		cr_assert_eq(buf[i], byte);
}

Test(disk_raw, zeroes_are_found)
{
	zeroes = DISK_ZEROES_DETECT;
	open_file(1 << 20, O_RDWR);
	cr_assert_eq(open_disk(512, false), 0, "%s", err.text);
	cr_assert_eq(write_bytes(0x5a, 8192, false), ENGINE_WRITE);
	expect_bytes(0x5a, 8192);
	cr_assert_eq(write_bytes(0, 8192, true), ENGINE_WRITE, "to be on the medium");
	cr_assert_eq(write_bytes(0x5a, 8192, false), ENGINE_WRITE);
	cr_assert_eq(write_bytes(0, 8192, false), ENGINE_ZERO);
	expect_bytes(0, 8192);
}

Test(disk_raw, zeroes_are_given_back)
{
	zeroes = DISK_ZEROES_UNMAP;
	discard = true;
	open_file(1 << 20, O_RDWR);
	cr_assert_eq(open_disk(512, false), 0, "%s", err.text);
	cr_assert_eq(write_bytes(0x5a, 8192, false), ENGINE_WRITE);
	cr_assert_eq(write_bytes(0, 8192, false), ENGINE_DISCARD);
	expect_bytes(0, 8192);
}

/* Not zeroed by the host, but written: tmpfs of older kernels. */
Test(disk_raw, zeroes_are_written_where_nothing_else_can_be_done)
{
	zeroes = DISK_ZEROES_DETECT;
	fd = memfd_create("disk", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	cr_assert_eq(open_disk(512, false), 0, "%s", err.text);
	cr_assert_eq(write_bytes(0x5a, 8192, false), ENGINE_WRITE);
	(void)write_bytes(0, 8192, false);
	expect_bytes(0, 8192);
}

Test(disk_raw, whether_blocks_can_be_given_back)
{
	open_file(1 << 20, O_RDWR);
	cr_assert_eq(open_disk(512, false), 0, "%s", err.text);
	cr_assert_not(disk->discard, "it was not asked for");
}

Test(disk_raw, resize)
{
	struct stat st;

	open_file(8192, O_RDWR);
	cr_assert_eq(open_disk(512, false), 0, "%s", err.text);
	cr_assert_eq(disk_resize(disk, 16384), 0);
	cr_assert_eq(disk->blocks, 32);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, 16384);
	cr_assert_eq(disk_resize(disk, 4096), 0);
	cr_assert_eq(disk->blocks, 8);
	/* Somebody else did it. */
	cr_assert_eq(ftruncate(fd, 5000), 0);
	cr_assert_eq(disk->blocks, 8);
	cr_assert_eq(disk_resize(disk, 0), 0);
	cr_assert_eq(disk->blocks, 9);
	cr_assert_eq(ftruncate(fd, 100), 0);
	cr_assert_eq(disk_resize(disk, 0), -EINVAL);
	cr_assert_eq(disk->blocks, 9, "nothing has changed");
	cr_assert_eq(disk_resize(disk, UINT64_MAX & ~511ull), -EFBIG);
}
