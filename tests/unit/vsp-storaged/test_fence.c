/* SPDX-License-Identifier: Apache-2.0 */
/* The fence, alone and with the engines. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "daemons/vsp-storaged/engine.h"
#include "daemons/vsp-storaged/fence.h"

static struct loop *loop;
static struct fence *fence;
static int ring_end, kept_end, dones, outcome;

static void on_done(void *arg, int result)
{
	cr_assert_eq(arg, &outcome);
	outcome = result;
	dones++;
}

static void set_up(void)
{
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(fence_pipe(&ring_end, &kept_end), 0);
	fence = NULL;
	dones = 0;
	outcome = 1;
}

static void tear_down(void)
{
	fence_free(fence);
	fd_close(&ring_end);
	fd_close(&kept_end);
	loop_free(loop);
}

TestSuite(fence, .init = set_up, .fini = tear_down, .timeout = 30);

static int begin(int fd)
{
	struct err err = {0};
	int r = fence_new(loop, fd, on_done, &outcome, &err, &fence);

	cr_assert_eq(r < 0, err.text[0] != '\0');
	cr_assert_eq(dones, 0, "done inside fence_new()");
	return r;
}

static void finish(void)
{
	while (dones == 0)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(loop_run_once(loop, false), 0);
	cr_assert_eq(dones, 1);
}

Test(fence, ends_with_the_other_end)
{
	cr_assert_eq(begin(kept_end), 0);
	cr_assert_eq(loop_run_once(loop, false), 0);
	cr_assert_eq(dones, 0);
	fd_close(&ring_end);
	finish();
	cr_assert_eq(outcome, 0);
}

Test(fence, has_ended_before)
{
	fd_close(&ring_end);
	cr_assert_eq(begin(kept_end), 0);
	finish();
	cr_assert_eq(outcome, 0);
}

Test(fence, a_byte_is_nonsense)
{
	cr_assert_eq(write(ring_end, "x", 1), 1);
	cr_assert_eq(begin(kept_end), 0);
	finish();
	cr_assert_eq(outcome, -EPROTO);
}

Test(fence, is_lifted)
{
	fence_lift(ring_end);
	cr_assert_eq(begin(kept_end), 0);
	finish();
	cr_assert_eq(outcome, 0);
}

Test(fence, is_given_up)
{
	cr_assert_eq(begin(kept_end), 0);
	fence_free(fence);
	fence = NULL;
	fd_close(&ring_end);
	cr_assert_eq(loop_run_once(loop, false), 0);
	cr_assert_eq(dones, 0);
}

Test(fence, other_descriptors)
{
	int blocking[2], pair[2], event = eventfd(0, EFD_NONBLOCK), memory = fd_memfd("fence", 4096);

	cr_assert_eq(pipe(blocking), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	cr_assert_eq(begin(ring_end), -EPROTO);
	cr_assert_eq(begin(blocking[0]), -EPROTO);
	cr_assert_eq(begin(pair[0]), -EPROTO);
	cr_assert_eq(begin(event), -EPROTO);
	cr_assert_eq(begin(memory), -EPROTO);
	cr_assert_eq(begin(-1), -EBADF);
	cr_assert_null(fence);
	close(blocking[0]);
	close(blocking[1]);
	close(pair[0]);
	close(pair[1]);
	close(event);
	close(memory);
}

/* ---- of an engine ---- */

static struct engine *open_engine(const char *name, int fd)
{
	struct engine *engine;
	struct err err = {0};

	cr_assert_eq(engine_open(name, loop, &fd, 1, &engine, &err), 0, "%s", err.text);
	return engine;
}

Test(fence, of_the_io_uring_engine)
{
	int file = fd_memfd("image", 4096), kept;
	struct engine *engine = open_engine("io_uring", file);

	kept = fd_dup(engine_keep(engine));
	cr_assert_geq(kept, 0);
	cr_assert_eq(begin(kept), 0);
	cr_assert_eq(loop_run_once(loop, false), 0);
	cr_assert_eq(dones, 0, "the ring still lives");
	engine_close(engine);
	finish();
	cr_assert_eq(outcome, 0);
	close(kept);
	close(file);
}

Test(fence, of_the_engine_of_threads)
{
	int file = fd_memfd("image", 4096);
	struct engine *engine = open_engine("threads", file);

	cr_assert_eq(engine_keep(engine), -ENOENT);
	engine_close(engine);
	close(file);
}

#define WRITES	  32u
#define WRITE_LEN (128u * 1024u)
#define FILE_LEN  (WRITES * WRITE_LEN)

static uint8_t data[FILE_LEN];

static void send_fd(int socket, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	if (sendmsg(socket, &msg, 0) != 1)
		_exit(1);
}

static int receive_fd(int socket)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd;

	cr_assert_eq(recvmsg(socket, &msg, MSG_CMSG_CLOEXEC), 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void ignore(struct engine_io *io, int result)
{
	(void)io;
	(void)result;
}

static _Noreturn void predecessor(int file, int socket)
{
	static struct engine_io io[WRITES];
	static struct iovec iov[WRITES];
	struct engine *engine = open_engine("io_uring", file);

	send_fd(socket, engine_keep(engine));
	memset(data, 1, sizeof(data));
	for (unsigned int i = 0; i < WRITES; i++) {
		iov[i] = (struct iovec){data + i * WRITE_LEN, WRITE_LEN};
		io[i] = (struct engine_io){.op = ENGINE_WRITE,
					   .offset = i * WRITE_LEN,
					   .iov = &iov[i],
					   .iovs = 1,
					   .dsync = true,
					   .done = ignore};
		engine_submit(engine, &io[i]);
	}
	engine_flush(engine);
	if (write(socket, "", 1) != 1)
		_exit(1);
	for (;;)
		loop_run_once(loop, true);
}

/* It is killed with writes under way; after the fence the file changes no more. */
Test(fence, of_a_killed_process)
{
	char path[] = "fence-unit-XXXXXX";
	int file = mkostemp(path, O_CLOEXEC), pair[2], kept;
	char byte;
	pid_t pid;

	cr_assert_geq(file, 0);
	unlink(path);
	cr_assert_eq(ftruncate(file, FILE_LEN), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (pid == 0)
		predecessor(file, pair[1]);
	kept = receive_fd(pair[0]);
	cr_assert_eq(read(pair[0], &byte, 1), 1); /* all writes are under way */
	kill(pid, SIGKILL);
	cr_assert_eq(begin(kept), 0);
	finish();
	cr_assert_eq(outcome, 0);
	memset(data, 2, sizeof(data));
	cr_assert_eq(pwrite(file, data, FILE_LEN, 0), FILE_LEN);
	/* all its threads, which could still write, have ended */
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(pread(file, data, FILE_LEN, 0), FILE_LEN);
	for (size_t i = 0; i < FILE_LEN; i++)
		cr_assert_eq(data[i], 2);
	close(pair[0]);
	close(pair[1]);
	close(kept);
	close(file);
}
