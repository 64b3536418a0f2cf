/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams, over the deaths of who serves them: a process receives, or sends, numbered frames and is killed, at each of
 * its steps and anywhere; another one takes over. Each frame comes at most once, in order and whole.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where the process dies that was told to. */
static void step(const char *name);
#define STEP(name) step(name)
#define PEEK_BASE  (1 << 20) /* so that it is put back often */
#define PEEK_LOW   (1 << 19)
static ssize_t send_or_not(int fd, const struct msghdr *msg, int flags);
#define sendmsg send_or_not
#include "daemons/vsp-netd/net_stream.c" /* NOLINT(bugprone-suspicious-include) */

#undef sendmsg

#include "base/clock.h"

#define FRAMES	   20000u
#define HEAD_LEN   (14u + 4u) /* the number is behind the Ethernet header */
#define KILLS	   60u
#define DEATHS_MAX (KILLS + 64u)

/* What outlives the processes. */
struct shared {
	uint8_t memory[NET_STREAM_MEMORY_LEN];
	_Atomic uint32_t next;	 /* to be sent */
	_Atomic uint32_t frames; /* handed out */
	_Atomic uint32_t number[FRAMES];
	_Atomic bool wrong, over;
};

static struct shared *shared;
static int ours = -1, theirs = -1;
static struct net *net;
static struct loop *loop;
static const char *dies_at;
static unsigned int dies_after;
static unsigned int gone;

static void step(const char *name)
{
	if (dies_at && strcmp(name, dies_at) == 0 && --dies_after == 0)
		kill(getpid(), SIGKILL);
}

static unsigned int no_memory; /* the kernel has none, so many times */

static ssize_t send_or_not(int fd, const struct msghdr *msg, int flags)
{
	if (no_memory == 0)
		return sendmsg(fd, msg, flags);
	no_memory--;
	errno = ENOBUFS;
	return -1;
}

static void ignore(void *arg, unsigned int queue)
{
	(void)arg;
	(void)queue;
}

static void on_gone(void *arg)
{
	(void)arg;
	gone++;
}

static const struct net_host_ops host_ops = {ignore, ignore, on_gone};
static const struct net_host host = {&host_ops, NULL};

static void set_up(void)
{
	int pair[2];

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(shared, MAP_FAILED);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ours = pair[0];
	theirs = pair[1];
}

TestSuite(net_stream, .init = set_up, .timeout = 60);

/* ---- frames ---- */

static size_t len_of(uint32_t number)
{
	static const size_t lens[] = {60, 1514, 9014, 18, 300, 20000, 64, 4096, 4097, 32764, 1000};

	return lens[number % ARRAY_SIZE(lens)];
}

static void fill_frame(uint8_t *frame, uint32_t number)
{
	memset(frame, (int)(number & 0xff), len_of(number));
	memcpy(frame + 14, &number, 4);
}

/* Its number. */
static bool read_frame_number(const uint8_t *frame, size_t len, uint32_t *ret)
{
	memcpy(ret, frame + 14, 4);
	return len >= HEAD_LEN && *ret < FRAMES && len == len_of(*ret) &&
	       (len == HEAD_LEN || frame[len - 1] == (uint8_t)*ret);
}

/* ---- the process that dies ---- */

static void open_net(void)
{
	struct err err = {0};
	int fd = dup(ours);

	if (loop_new(&loop) < 0 || net_stream_open(loop, &host, &fd, 1, false, shared->memory, &net, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		_exit(2);
	}
}

static void note(const struct net_incoming *in)
{
	uint8_t frame[FRAME_MAX];
	uint32_t number, n = atomic_load(&shared->frames);

	memcpy(frame, in->piece[0].iov_base, in->piece[0].iov_len);
	if (in->pieces > 1)
		memcpy(frame + in->piece[0].iov_len, in->piece[1].iov_base, in->piece[1].iov_len);
	if (!read_frame_number(frame, in->len, &number) || n == FRAMES) {
		atomic_store(&shared->wrong, true);
		_exit(3);
	}
	atomic_store(&shared->number[n], number);
	atomic_store(&shared->frames, n + 1);
}

static void receive_all(void)
{
	struct net_incoming in;

	open_net();
	for (;;) {
		int r = net->ops->receive(net, 0, &in);

		if (r == 1)
			note(&in);
		else if (r == -EAGAIN && to_stream(net)->gone)
			_exit(0);
	}
}

static void send_all(void)
{
	static uint8_t frame[FRAME_MAX];

	open_net();
	for (;;) {
		uint32_t number = atomic_load(&shared->next);
		struct net_outgoing out = {.pieces = 3};

		if (number == FRAMES)
			break;
		fill_frame(frame, number);
		out.len = len_of(number);
		out.piece[1] = (struct iovec){frame, 14};
		out.piece[2] = (struct iovec){frame + 14, out.len - 14};
		/* As the guest's NIC does: it is completed, whatever becomes of it. */
		atomic_store(&shared->next, number + 1);
		while (net->ops->send(net, 0, &out) == -EAGAIN)
			(void)loop_run_once(loop, true);
		if (number % 7 == 0)
			net->ops->send_end(net, 0);
	}
	while (to_stream(net)->gathered) {
		net->ops->send_end(net, 0);
		(void)loop_run_once(loop, false);
	}
	_exit(0);
}

/* ---- the peer ---- */

static void *send_numbered(void *arg)
{
	static uint8_t frame[FRAME_MAX + 4];

	(void)arg;
	for (uint32_t i = 0; i < FRAMES && !atomic_load(&shared->over); i++) {
		put_be32(frame, (uint32_t)len_of(i));
		fill_frame(frame + 4, i);
		if (fd_write_full(theirs, frame, len_of(i) + 4) < 0)
			break;
	}
	shutdown(theirs, SHUT_WR);
	return NULL;
}

static bool read_whole(uint8_t *to, size_t len)
{
	return recv(theirs, to, len, MSG_WAITALL) == (ssize_t)len;
}

static void *receive_numbered(void *arg)
{
	static uint8_t frame[FRAME_MAX];
	uint8_t length[4];

	(void)arg;
	while (read_whole(length, 4)) {
		uint32_t len = get_be32(length), number, n = atomic_load(&shared->frames);

		if (len > FRAME_MAX || !read_whole(frame, len) || !read_frame_number(frame, len, &number) ||
		    n == FRAMES) {
			atomic_store(&shared->wrong, true);
			break;
		}
		atomic_store(&shared->number[n], number);
		atomic_store(&shared->frames, n + 1);
	}
	return NULL;
}

/* ---- deaths ---- */

static int run(void (*process)(void), const char *at, unsigned int after, unsigned int us)
{
	pid_t pid = fork();
	int status;

	cr_assert(pid >= 0);
	if (pid == 0) {
		dies_at = at;
		dies_after = after;
		close(theirs);
		process();
	}
	if (us) {
		usleep(us);
		kill(pid, SIGKILL);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* Return: how many died. */
static unsigned int die_often(void (*process)(void), const char *const *steps, size_t count)
{
	unsigned int deaths = 0, seed = 1;

	for (size_t i = 0; i < count; i++)
		for (unsigned int after = 1; after < 4; after++) {
			int status = run(process, steps[i], after, 0);

			cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "nobody died at \"%s\"",
				  steps[i]);
			deaths++;
		}
	for (unsigned int i = 0; i < KILLS; i++)
		deaths += WIFSIGNALED(run(process, NULL, 0, 500 + (unsigned int)rand_r(&seed) % 3000)) != 0;
	cr_assert_eq(run(process, NULL, 0, 0), 0);
	return deaths;
}

/* In order, each once; how many are missing. */
static uint32_t check_numbers(void)
{
	uint32_t n = atomic_load(&shared->frames);

	cr_assert(!atomic_load(&shared->wrong), "a frame is not what it was, after %u", n);
	cr_assert(n > 0);
	for (uint32_t i = 1; i < n; i++)
		cr_assert_lt(shared->number[i - 1], shared->number[i], "frame %u comes behind %u", shared->number[i],
			     shared->number[i - 1]);
	return FRAMES - n;
}

Test(net_stream, a_successor_receives_what_its_predecessor_did_not)
{
	static const char *const steps[] = {"received", "parsed", "settled", "peek", "base", "received"};
	unsigned int deaths;
	pthread_t peer;

	cr_assert_eq(run(receive_all, "anew", 1, 0) & 0x7f, SIGKILL);
	cr_assert_eq(pthread_create(&peer, NULL, send_numbered, NULL), 0);
	deaths = die_often(receive_all, steps, ARRAY_SIZE(steps));
	pthread_join(peer, NULL);
	cr_assert_leq(check_numbers(), deaths, "more are missing than processes died");
}

Test(net_stream, a_successor_sends_nothing_again)
{
	static const char *const steps[] = {"send", "sent"};
	pthread_t peer;

	cr_assert_eq(pthread_create(&peer, NULL, receive_numbered, NULL), 0);
	(void)die_often(send_all, steps, ARRAY_SIZE(steps));
	close(ours);
	pthread_join(peer, NULL);
	(void)check_numbers();
}

/* ---- the loop ---- */

static void on_tick(void *arg)
{
	*(bool *)arg = true;
}

static void send_small(void)
{
	static uint8_t frame[64];
	struct net_outgoing out = {.piece = {{0}, {frame, sizeof(frame)}}, .pieces = 2, .len = sizeof(frame)};

	cr_assert_eq(net->ops->send(net, 0, &out), 0);
}

/* Nor is it asked for while frames are gathered, whatever else is asked for then: a loop that it is always told to
 * would not rest. */
Test(net_stream, nobody_is_told_of_room_who_was_not_refused)
{
	struct loop_source *timer;
	bool ticked = false;

	open_net();
	send_small();
	net->ops->listen(net, 0, true);
	net->ops->send_end(net, 0);
	cr_assert_eq(loop_add_timer(loop, on_tick, &ticked, &timer), 0);
	loop_arm(timer, 50 * NS_PER_MS);
	cr_assert_geq(loop_run_once(loop, true), 0);
	cr_assert(ticked, "something else has happened");
	net->ops->close(net);
	loop_remove(&timer);
	loop_free(loop);
}

/* What was gathered when there was no room is sent when there is. */
Test(net_stream, what_was_refused_is_sent_later)
{
	struct stream *stream;
	uint8_t bytes[4096];

	open_net();
	stream = to_stream(net);
	while (!stream->refused) {
		send_small();
		net->ops->send_end(net, 0);
	}
	cr_assert(stream->gathered > 0 && !stream->waiting);
	while (recv(theirs, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	cr_assert_geq(loop_run_once(loop, true), 0);
	cr_assert(!stream->refused && !stream->gathered);
	cr_assert_eq(recv(theirs, bytes, sizeof(bytes), MSG_DONTWAIT), 4 + 64);
	net->ops->close(net);
	loop_free(loop);
}

/* Nothing tells when the kernel has memory again: what it was needed for is lost, and that is known. */
Test(net_stream, what_the_kernel_has_no_memory_for_is_lost)
{
	static uint8_t frame[64];
	struct net_outgoing out = {
		.piece = {{0}, {frame, sizeof(frame)}}, .pieces = 2, .len = sizeof(frame), .more = true};
	uint8_t bytes[4096];

	open_net();
	for (unsigned int i = 0; i < 3; i++)
		send_small();
	no_memory = 1;
	net->ops->send_end(net, 0);
	cr_assert(net->gathered == 0 && net->lost == 3);
	send_small();
	cr_assert_eq(net->ops->send(net, 0, &out), 0);
	no_memory = 1;
	net->ops->send_end(net, 0);
	cr_assert_eq(net->lost, 5, "also one of which a part was there");
	send_small();
	net->ops->send_end(net, 0);
	cr_assert_eq(net->lost, 5);
	cr_assert_eq(recv(theirs, bytes, sizeof(bytes), MSG_DONTWAIT), 4 + 64);
	net->ops->close(net);
	loop_free(loop);
}

static void send_segment(bool more)
{
	static uint8_t frame[64];
	struct net_outgoing out = {
		.piece = {{0}, {frame, sizeof(frame)}}, .pieces = 2, .len = sizeof(frame), .more = more};

	cr_assert_eq(net->ops->send(net, 0, &out), 0);
}

/* However many of its segments. */
Test(net_stream, a_frame_is_lost_once)
{
	open_net();
	for (unsigned int i = 0; i < 3; i++) {
		no_memory = 1;
		send_segment(i < 2);
		net->ops->send_end(net, 0);
		cr_assert(net->gathered == 0 && net->lost == 1, "%u", net->lost);
	}
	no_memory = 1;
	send_segment(true);
	net->ops->send_end(net, 0);
	cr_assert_eq(net->lost, 2, "another one");
	send_segment(false);
	cr_assert_eq(net->gathered, 0, "it is lost already");
	send_segment(false);
	cr_assert_eq(net->gathered, 1);
	no_memory = 1;
	net->ops->send_end(net, 0);
	cr_assert_eq(net->lost, 3);
	net->ops->close(net);
	loop_free(loop);
}

/* ---- what is refused ---- */

Test(net_stream, other_sockets_are_refused)
{
	struct err err = {0};
	int fd = socket(AF_INET, SOCK_STREAM, 0), pipe_fd[2], pair[2];

	cr_assert_eq(net_stream_open(NULL, &host, &fd, 1, false, shared->memory, &net, &err), -EINVAL);
	cr_assert_neq(fd, -1);
	cr_assert_eq(pipe(pipe_fd), 0);
	cr_assert_eq(net_stream_open(NULL, &host, &pipe_fd[0], 1, false, shared->memory, &net, &err), -ENOTSOCK);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	cr_assert_eq(net_stream_open(NULL, &host, &pair[0], 1, false, shared->memory, &net, &err), -EINVAL);
}

/* Whatever is in the memory: an error, or frames; nothing outside of the ring is read. */
Test(net_stream, what_a_predecessor_left_is_checked)
{
	struct memory *memory = (struct memory *)shared->memory;
	struct net_incoming in;
	struct err err = {0};
	unsigned int refused = 0;

	open_net();
	net->ops->close(net);
	for (unsigned int i = 0; i < 64; i++) {
		int fd = dup(ours);

		atomic_store(&memory->parsed, UINT64_C(0x123456789abcdef) << i % 60);
		atomic_store(&memory->base, i % 3 ? atomic_load(&memory->parsed) + i * 4096 : i);
		atomic_store(&memory->settled, i % 5 ? 0 : UINT64_MAX - i);
		if (net_stream_open(loop, &host, &fd, 1, false, shared->memory, &net, &err) < 0) {
			refused++;
			close(fd);
			continue;
		}
		(void)net->ops->receive(net, 0, &in);
		net->ops->close(net);
	}
	cr_assert(refused > 0 && refused < 64);
	loop_free(loop);
}
