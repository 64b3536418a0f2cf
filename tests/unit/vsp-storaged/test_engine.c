/* SPDX-License-Identifier: Apache-2.0 */
/* Both engines on real files. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "daemons/vsp-storaged/engine.h"

#define FILE_LEN (1u << 20)

enum { RW, RO, FULL, SOCKET, FILES };

static struct loop *loop;
static struct engine *engine;
static int fds[FILES], peer;

struct test_io {
	struct engine_io io;
	struct iovec iov[4];
	int result;
	unsigned int dones;
};

static unsigned int total;

static void io_done(struct engine_io *io, int result)
{
	struct test_io *test = CONTAINER_OF(io, struct test_io, io);

	test->result = result;
	test->dones++;
	total++;
}

static int make_file(char *path, size_t size)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	snprintf(path, size, "%s/engine-XXXXXX", dir ? dir : "/tmp");
	fd = mkostemp(path, O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, FILE_LEN), 0);
	return fd;
}

static void start(const char *name)
{
	struct err err = {0};
	char path[256];
	int pair[2];

	fds[RW] = make_file(path, sizeof(path));
	fds[RO] = open(path, O_RDONLY | O_CLOEXEC);
	fds[FULL] = open("/dev/full", O_RDWR | O_CLOEXEC);
	unlink(path);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fds[SOCKET] = pair[0];
	peer = pair[1];
	total = 0;
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(engine_open(name, loop, fds, FILES, &engine, &err), 0, "%s", err.text);
	cr_assert_str_eq(engine->ops->name, name);
}

static void stop(void)
{
	engine_close(engine);
	loop_free(loop);
	for (int i = 0; i < FILES; i++)
		close(fds[i]);
	close(peer);
}

static void submit(struct test_io *test, enum engine_op op, unsigned int file, uint64_t offset, unsigned int iovs)
{
	test->dones = 0;
	test->result = 1;
	test->io.op = op;
	test->io.file = file;
	test->io.offset = offset;
	test->io.iov = test->iov;
	test->io.iovs = iovs;
	test->io.done = io_done;
	engine_submit(engine, &test->io);
	cr_assert_eq(test->dones, 0, "done inside submit");
}

static void wait_all(unsigned int count)
{
	engine_flush(engine);
	while (total < count)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(engine->in_flight, 0);
	total = 0;
}

static int run(struct test_io *test, enum engine_op op, unsigned int file, uint64_t offset, unsigned int iovs)
{
	submit(test, op, file, offset, iovs);
	wait_all(1);
	cr_assert_eq(test->dones, 1);
	return test->result;
}

static struct test_io one(void *buf, size_t len)
{
	return (struct test_io){.iov = {{buf, len}}};
}

struct engine_name {
	char name[16];
};

ParameterizedTestParameters(engine, each)
{
	static struct engine_name names[] = {{"io_uring"}, {"threads"}};

	return cr_make_param_array(struct engine_name, names, ARRAY_SIZE(names));
}

static void reads_and_writes(void)
{
	uint8_t out[8192], in[8192 + 100];
	struct test_io write = {.iov = {{out, 1}, {out + 1, 4095}, {out + 4096, 0}, {out + 4096, 4096}}};
	struct test_io read = {.iov = {{in, 5000}, {in + 5000, 3192}}};
	struct test_io again = one(in, 8192);

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 13);
	memset(in, 0, sizeof(in));
	cr_assert_eq(run(&write, ENGINE_WRITE, RW, 12345, 4), 0);
	cr_assert_eq(run(&read, ENGINE_READ, RO, 12345, 2), 0);
	cr_assert_eq(memcmp(in, out, 8192), 0);
	write = one(out + 1, 8191);
	write.io.dsync = true;
	cr_assert_eq(run(&write, ENGINE_WRITE, RW, 12345, 1), 0);
	cr_assert_eq(run(&again, ENGINE_READ, RW, 12345, 1), 0);
	cr_assert_eq(memcmp(in, out + 1, 8191), 0);
	write = one(NULL, 0);
	cr_assert_eq(run(&write, ENGINE_SYNC, RW, 0, 0), 0);
}

/* A hole, and zeroes that take space; where the file system of the tests has none, the engine says so. */
static void holes(void)
{
	static const enum engine_op ops[] = {ENGINE_DISCARD, ENGINE_ZERO};
	static uint8_t buf[3 * 4096], zeroes[4096];

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct test_io write = one(buf, sizeof(buf)), hole = {.io.len = 4096}, read = one(buf, sizeof(buf));
		struct stat st;
		int r;

		memset(buf, 0x5a, sizeof(buf));
		cr_assert_eq(run(&write, ENGINE_WRITE, RW, 0, 1), 0);
		r = run(&hole, ops[i], RW, 4096, 0);
		cr_assert(r == 0 || r == -EOPNOTSUPP, "%d", r);
		cr_assert_eq(run(&read, ENGINE_READ, RW, 0, 1), 0);
		cr_assert_eq(buf[4095], 0x5a);
		cr_assert_eq(buf[8192], 0x5a);
		cr_assert(r < 0 || memcmp(buf + 4096, zeroes, 4096) == 0);
		/* Beyond the end: the file stays as long as it is. */
		hole.io.len = FILE_LEN;
		r = run(&hole, ops[i], RW, FILE_LEN - 4096, 0);
		cr_assert(r == 0 || r == -EOPNOTSUPP, "%d", r);
		cr_assert_eq(fstat(fds[RW], &st), 0);
		cr_assert_eq(st.st_size, FILE_LEN);
		cr_assert_eq(run(&hole, ops[i], RO, 0, 0), -EBADF);
	}
}

static void errors(void)
{
	uint8_t buf[4096] = {0};
	struct test_io io = one(buf, 4096);

	/* The end of the file, at once and on the way. */
	cr_assert_eq(run(&io, ENGINE_READ, RW, FILE_LEN, 1), -ENODATA);
	io = one(buf, 4096);
	cr_assert_eq(run(&io, ENGINE_READ, RW, FILE_LEN - 100, 1), -ENODATA);
	io = one(buf, 4096);
	cr_assert_eq(run(&io, ENGINE_WRITE, RO, 0, 1), -EBADF);
	io = one(buf, 4096);
	cr_assert_eq(run(&io, ENGINE_WRITE, FULL, 0, 1), -ENOSPC);
	io = one((void *)16, 4096);
	cr_assert_eq(run(&io, ENGINE_READ, RW, 0, 1), -EFAULT);
	io = one(NULL, 0);
	cr_assert_eq(run(&io, ENGINE_SYNC, SOCKET, 0, 0), -EINVAL);
}

#define MANY 1500u

/* More than the ring holds and more than the engine gives the host at a time. */
static void many(void)
{
	struct test_io *io = calloc(MANY, sizeof(*io));
	uint32_t *value = calloc(MANY, sizeof(*value));

	for (uint32_t i = 0; i < MANY; i++) {
		value[i] = i;
		io[i] = one(&value[i], 4);
		submit(&io[i], ENGINE_WRITE, RW, i * 512, 1);
	}
	cr_assert_eq(engine->in_flight, MANY);
	wait_all(MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		cr_assert_eq(io[i].result, 0);
		cr_assert_eq(io[i].dones, 1);
		value[i] = 0;
		io[i] = one(&value[i], 4);
		submit(&io[i], ENGINE_READ, RO, i * 512, 1);
	}
	wait_all(MANY);
	for (uint32_t i = 0; i < MANY; i++)
		cr_assert_eq(value[i], i);
	free(value);
	free(io);
}

static struct test_io chained[3];
static uint8_t chain_buf[512];

static void chain_done(struct engine_io *io, int result)
{
	struct test_io *test = CONTAINER_OF(io, struct test_io, io);

	io_done(io, result);
	if (test == &chained[2])
		return;
	test[1] = one(chain_buf, sizeof(chain_buf));
	test[1].io.op = ENGINE_READ;
	test[1].io.file = RW;
	test[1].io.iov = test[1].iov;
	test[1].io.iovs = 1;
	test[1].io.done = chain_done;
	engine_submit(engine, &test[1].io);
}

/* A done() may submit, and nobody flushes. */
static void chain(void)
{
	chained[0] = one(chain_buf, sizeof(chain_buf));
	submit(&chained[0], ENGINE_READ, RW, 0, 1);
	chained[0].io.done = chain_done;
	wait_all(3);
	cr_assert_eq(chained[2].result, 0);
}

static unsigned int begun, ended;

static void on_begin(void *arg)
{
	(void)arg;
	begun++;
}

static void on_end(void *arg)
{
	(void)arg;
	ended++;
}

static void batches(void)
{
	uint8_t buf[2][512];
	struct test_io a = one(buf[0], 512), b = one(buf[1], 512);

	engine_set_batch(engine, on_begin, on_end, NULL);
	submit(&a, ENGINE_READ, RW, 0, 1);
	submit(&b, ENGINE_READ, RW, 512, 1);
	wait_all(2);
	cr_assert_geq(begun, 1);
	cr_assert_eq(begun, ended);
}

/* close() waits for what is in flight. */
static void closing(void)
{
	static uint8_t buf[64][4096];
	static struct test_io io[64];

	for (int i = 0; i < 64; i++) {
		io[i] = one(buf[i], 4096);
		io[i].io.dsync = true;
		submit(&io[i], ENGINE_WRITE, RW, (uint64_t)i * 4096, 1);
	}
	stop();
	cr_assert_eq(total, 64);
}

/* Reads of the page cache that follow one another for as long as nobody else has had a turn. */
static bool endless;

static void read_again(struct engine_io *io, int result)
{
	struct test_io *test = CONTAINER_OF(io, struct test_io, io);
	static uint8_t buf[512];

	cr_assert_eq(result, 0);
	if (!endless) {
		io_done(io, result);
		return;
	}
	test->iov[0] = (struct iovec){buf, sizeof(buf)};
	io->iov = test->iov;
	io->iovs = 1;
	io->offset = 0;
	engine_submit(engine, io);
}

static void have_turn(void *arg)
{
	endless = false;
}

static void turns(void)
{
	struct loop_source *other;
	struct test_io test = {.io = {.op = ENGINE_READ, .file = RW, .done = read_again}};

	endless = true;
	cr_assert_eq(loop_add_wake(loop, have_turn, NULL, &other), 0);
	loop_wake(other);
	read_again(&test.io, 0);
	wait_all(1);
	cr_assert_not(endless);
	loop_remove(&other);
}

ParameterizedTest(struct engine_name *param, engine, each, .timeout = 60)
{
	start(param->name);
	reads_and_writes();
	holes();
	errors();
	many();
	chain();
	batches();
	turns();
	closing();
}

/* What the ring holds cannot be taken back; what waits behind it can. */
Test(engine, cancel, .timeout = 60)
{
	struct test_io *io = calloc(ENGINE_DEPTH + 2, sizeof(*io));
	uint8_t buf[512];

	start("io_uring");
	for (unsigned int i = 0; i < ENGINE_DEPTH + 2; i++) {
		io[i] = one(buf, sizeof(buf));
		submit(&io[i], ENGINE_READ, RW, 0, 1);
	}
	cr_assert_not(engine_cancel(engine, &io[0].io));
	cr_assert(engine_cancel(engine, &io[ENGINE_DEPTH].io));
	cr_assert_not(engine_cancel(engine, &io[ENGINE_DEPTH].io));
	wait_all(ENGINE_DEPTH + 1);
	cr_assert_eq(io[ENGINE_DEPTH].dones, 0);
	cr_assert_eq(io[ENGINE_DEPTH + 1].dones, 1);
	stop();
	free(io);
}

Test(engine, short_transfers_go_on_where_they_stopped)
{
	uint8_t buf[100];
	struct test_io test = {.iov = {{buf, 10}, {buf + 10, 0}, {buf + 10, 90}}};
	struct engine_io *io = &test.io;

	io->op = ENGINE_WRITE;
	io->offset = 1000;
	io->iov = test.iov;
	io->iovs = 3;
	cr_assert(engine_io_advance(io, 4));
	cr_assert_eq(io->iov->iov_base, buf + 4);
	cr_assert_eq(io->iov->iov_len, 6);
	cr_assert_eq(io->offset, 1004);
	cr_assert(engine_io_advance(io, -EINTR));
	cr_assert(engine_io_advance(io, -EAGAIN));
	cr_assert(engine_io_advance(io, 6));
	cr_assert_eq(io->offset, 1010);
	cr_assert(engine_io_advance(io, 89));
	cr_assert_eq(io->iovs, 1);
	cr_assert_not(engine_io_advance(io, 1));
	cr_assert_eq(io->result, 0);
}

Test(engine, retries_end)
{
	uint8_t buf[1];
	struct test_io test = one(buf, 1);

	test.io.iov = test.iov;
	test.io.iovs = 1;
	for (unsigned int i = 0; i < ENGINE_RETRIES_MAX; i++)
		cr_assert(engine_io_advance(&test.io, -EAGAIN));
	cr_assert_not(engine_io_advance(&test.io, -EAGAIN));
	cr_assert_eq(test.io.result, -EAGAIN);
	test.io.op = ENGINE_WRITE;
	cr_assert_not(engine_io_advance(&test.io, 0));
	cr_assert_eq(test.io.result, -EIO);
}

Test(engine, unknown_name)
{
	struct err err = {0};

	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(engine_open("aio", loop, NULL, 0, &engine, &err), -EINVAL);
	cr_assert(strstr(err.text, "io_uring"));
	/* Without disks there is an engine all the same. */
	cr_assert_eq(engine_open(NULL, loop, NULL, 0, &engine, &err), 0);
	engine_close(engine);
	loop_free(loop);
}

ParameterizedTestParameters(engine, files_come_and_go)
{
	static char names[][16] = {"io_uring", "threads"};

	return cr_make_param_array(char[16], names, ARRAY_SIZE(names));
}

/* Also many times over: numbers are used again, and a file that is gone cannot be reached. */
ParameterizedTest(char *name, engine, files_come_and_go, .timeout = 60)
{
	struct test_io test = {0};
	uint8_t data[512], back[512];
	char path[256];

	start(name);
	for (unsigned int i = 0; i < 300; i++) {
		int fd = make_file(path, sizeof(path)), file = engine_add_file(engine, fd);

		unlink(path);
		cr_assert_eq(file, FILES, "%u: %d", i, file);
		memset(data, (int)i + 1, sizeof(data));
		test.iov[0] = (struct iovec){data, sizeof(data)};
		cr_assert_eq(run(&test, ENGINE_WRITE, (unsigned int)file, 0, 1), 0);
		cr_assert_eq(engine_remove_file(engine, (unsigned int)file), 0);
		cr_assert_eq(pread(fd, back, sizeof(back), 0), (ssize_t)sizeof(back));
		cr_assert_eq(memcmp(data, back, sizeof(data)), 0);
		close(fd);
		test.iov[0] = (struct iovec){data, sizeof(data)};
		cr_assert_eq(run(&test, ENGINE_READ, (unsigned int)file, 0, 1), -EBADF);
	}
	stop();
}

Test(engine, files_are_bounded)
{
	int last = 0;

	start("threads");
	for (unsigned int i = FILES; i < ENGINE_FILES_MAX; i++)
		last = engine_add_file(engine, fds[RW]);
	cr_assert_eq(last, (int)ENGINE_FILES_MAX - 1);
	cr_assert_eq(engine_add_file(engine, fds[RW]), -ENOSPC);
	cr_assert_eq(engine_remove_file(engine, 7), 0);
	cr_assert_eq(engine_add_file(engine, fds[RW]), 7);
	stop();
}
