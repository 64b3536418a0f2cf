/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An experiment with a result: when are the writes of a killed process over? Recovery of a disk stands on it
 * (daemons/vsp-storaged/fence.h).
 *
 * Theory of operation: a submitter makes an I/O ring in which the writing end of a pipe is a registered file, and
 * closes its own descriptor of it; we have the reading end. It submits BLOCKS writes of its pattern, notes what
 * completes, and is killed at a random moment. The kernel lets go of a ring's files when the last of its requests is
 * over: then the pipe ends. From then on nothing may write: what had completed is in the file, each once; our own
 * pattern, written over it at once, is still there a while later. For a pool of threads the end of the process is the
 * fence: its pidfd.
 *
 * The other way, to keep the ring's own descriptor in another process, is closed: kernels since 2024 refuse to send one
 * over a socket. The first line of the output says what this kernel does.
 *
 * --control leaves the fence out: how many old writes land after ours tells whether the device is slow enough for this
 * to prove anything.
 *
 *   fence [--control] [VARIANT...]
 *   FENCE_PATH     file or block device of 16 MiB, overwritten (default: a temporary file in the working directory)
 *   FENCE_FAST     another way to the same blocks, past a delay: there, what direct writes are followed by can overtake
 *                  them (default: FENCE_PATH)
 *   FENCE_ROUNDS   of each variant (2)
 *   FENCE_LATE_MS  how long to wait for late writes (40): more than the device takes
 *   FENCE_KILL_US  the submitter lives at most so long (8000)
 *   FENCE_PARTS    only one variant in so many (1), from number FENCE_PART on (0): for several processes
 */
#include "fence.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"

#define FENCE_MAX_MS 60000

static const struct variant variants[] = {
	{"direct", .direct = true},
	{"buffered"},
	{"direct-dsync", .direct = true, .rw_flags = RWF_DSYNC},
	{"buffered-dsync", .rw_flags = RWF_DSYNC},
	{"buffered-fsync", .fsync = true},
	{"direct-fsync", .direct = true, .fsync = true},
	{"direct-iowq", .direct = true, .sqe_flags = IOSQE_ASYNC},
	{"buffered-iowq", .sqe_flags = IOSQE_ASYNC},
	{"direct-sqpoll", .direct = true, .setup = IORING_SETUP_SQPOLL},
	{"buffered-sqpoll", .setup = IORING_SETUP_SQPOLL},
	{"direct-iopoll", .direct = true, .setup = IORING_SETUP_IOPOLL},
	{"direct-defer", .direct = true, .setup = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN},
	{"buffered-defer", .setup = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN},
	{"direct-engine", .direct = true, .setup = IORING_SETUP_R_DISABLED, .sqe_flags = IOSQE_FIXED_FILE,
	 .engine = true},
	{"buffered-engine", .setup = IORING_SETUP_R_DISABLED, .sqe_flags = IOSQE_FIXED_FILE, .engine = true},
	{"direct-threads", .direct = true, .threads = true},
	{"buffered-threads", .threads = true},
};

/* Sums over a variant's rounds. */
struct tally {
	unsigned int completed, late; /* entries that completed before the kill; blocks that changed after the fence */
	uint64_t longest_ns;	      /* from the kill to the fence */
};

static struct {
	char path[256], fast[256];
	unsigned int rounds, late_ms, kill_us;
	bool control;
} options = {.rounds = 2, .late_ms = 40, .kill_us = 8000};

static uint32_t generation = 1; /* of patterns; never used twice */

static void die(const char *what)
{
	fprintf(stderr, "fence: %s: %s\n", what, strerror(errno));
	exit(2);
}

__attribute__((format(printf, 2, 3))) static bool bad(const struct variant *variant, const char *format, ...)
{
	va_list args;

	printf("not ok %s: ", variant->name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	return false;
}

static int open_file(const struct variant *variant, const char *path)
{
	return open(path, O_RDWR | O_CLOEXEC | (variant->direct ? O_DIRECT : 0));
}

/* ---- the submitter ---- */

/* @ret_fence: the pipe that ends with the ring. */
static pid_t start(const struct variant *variant, int fd, struct shared *shared, int *ret_fence)
{
	int fence[2], go[2];
	char byte;
	pid_t pid;

	if (pipe2(fence, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(fence[0]);
		close(go[0]);
		submitter(variant, fd, fence[1], shared, go[1]);
	}
	close(fence[1]);
	close(go[1]);
	if (read(go[0], &byte, 1) != 1)
		die("no word from the submitter");
	close(go[0]);
	*ret_fence = fence[0];
	return pid;
}

/* Return: when. */
static uint64_t kill_submitter(pid_t pid)
{
	uint64_t begin;
	unsigned int us = (unsigned int)rand() % (options.kill_us + 1);
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), status;
	struct pollfd wait = {.fd = pidfd, .events = POLLIN};

	if (pidfd < 0)
		die("pidfd_open");
	if (us > 0)
		usleep(us);
	begin = clock_now_ns();
	kill(pid, SIGKILL);
	/* All its threads have ended when this says so. */
	if (poll(&wait, 1, FENCE_MAX_MS) != 1)
		die("the submitter does not end");
	close(pidfd);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) {
		fprintf(stderr, "fence: the submitter ended by itself\n");
		exit(2);
	}
	return begin;
}

/* ---- the fence ---- */

static bool wait_fence(const struct variant *variant, int fence)
{
	struct pollfd wait = {.fd = fence, .events = POLLIN};
	char byte;

	if (poll(&wait, 1, FENCE_MAX_MS) != 1)
		return bad(variant, "the ring has not ended after a minute");
	if (read(fence, &byte, 1) != 0)
		return bad(variant, "the pipe holds a byte");
	return true;
}

/* ---- the file ---- */

static void transfer(int fd, struct shared *mine, bool write)
{
	uint8_t *data = mine->data;
	ssize_t n = write ? pwrite(fd, data, FILE_LEN, 0) : pread(fd, data, FILE_LEN, 0);

	if (n != FILE_LEN)
		die(write ? "cannot write" : "cannot read");
}

static void fill(struct shared *shared, uint32_t pattern)
{
	for (uint32_t i = 0; i < BLOCKS; i++)
		fill_block(shared->data + (size_t)i * BLOCK_LEN, pattern, i);
}

/* Of what completed: once each, and with success it is in the file. */
static bool check_completed(const struct variant *variant, int fd, const struct shared *shared, struct shared *mine,
			    uint32_t pattern, struct tally *tally)
{
	transfer(fd, mine, false);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		bool sync = is_fsync(variant, i);

		if (shared->completions[i] == 0)
			continue;
		tally->completed++;
		if (shared->completions[i] > 1)
			return bad(variant, "entry %u completed %u times", i, shared->completions[i]);
		if (shared->result[i] != (sync ? 0 : (int32_t)BLOCK_LEN))
			return bad(variant, "entry %u: result %d", i, shared->result[i]);
		if (!sync && whose_block(mine->data + (size_t)i * BLOCK_LEN, i) != pattern)
			return bad(variant, "block %u: success, but it is not in the file", i);
	}
	return true;
}

/* Our pattern over the whole, and a while later. */
static void look_for_late(int fd, struct shared *mine, uint32_t old, struct tally *tally)
{
	fill(mine, generation++);
	transfer(fd, mine, true);
	usleep(options.late_ms * 1000);
	transfer(fd, mine, false);
	for (uint32_t i = 0; i < BLOCKS; i++)
		tally->late += has_generation(mine->data + (size_t)i * BLOCK_LEN, old);
}

/* ---- rounds ---- */

static bool one_round(const struct variant *variant, struct shared *shared, struct shared *mine, struct tally *tally)
{
	uint32_t pattern = generation++;
	int fence, fd = open_file(variant, options.path);
	int fast = open_file(variant, variant->direct ? options.fast : options.path);
	bool good = true;
	uint64_t begin;
	pid_t pid;

	if (fd < 0 || fast < 0)
		die("cannot open the file");
	memset(shared->completions, 0, sizeof(shared->completions));
	fill(shared, pattern);
	pid = start(variant, fd, shared, &fence);
	begin = kill_submitter(pid);
	if (!variant->threads && !options.control)
		good = wait_fence(variant, fence);
	tally->longest_ns = MAX(tally->longest_ns, clock_now_ns() - begin);
	if (!options.control)
		good = good && check_completed(variant, fd, shared, mine, pattern, tally);
	if (good)
		look_for_late(fast, mine, pattern, tally);
	if (!variant->threads && !wait_fence(variant, fence))
		good = false;
	close(fence);
	close(fast);
	close(fd);
	return good;
}

/* Whether the host and the file take it. Return: NULL, or why not. */
static const char *why_not(const struct variant *variant, struct shared *shared)
{
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	int r, fd = open_file(variant, options.path);

	if (fd < 0)
		return "the file does not open so";
	if (variant->threads) {
		close(fd);
		return NULL;
	}
	r = make_ring(variant, fd, fd, &ring);
	if (r == 0) {
		prepare_entry(variant, io_uring_get_sqe(&ring), fd, shared, 0);
		r = io_uring_submit(&ring);
		if (r == 1)
			r = io_uring_wait_cqe(&ring, &cqe);
		if (r == 0)
			r = cqe->res;
		io_uring_queue_exit(&ring);
	}
	close(fd);
	return r < 0 ? strerror(-r) : NULL;
}

static bool run(const struct variant *variant, struct shared *shared, struct shared *mine)
{
	const char *why = why_not(variant, shared);
	struct tally tally = {0};

	if (why) {
		printf("not here %s: %s\n", variant->name, why);
		return true;
	}
	for (unsigned int i = 0; i < options.rounds; i++)
		if (!one_round(variant, shared, mine, &tally))
			return false;
	if (tally.late > 0 && !options.control)
		return bad(variant, "%u old writes landed after the fence", tally.late);
	printf("%s %s: completed before the kill %u of %u, late %u, longest fence %.1f ms\n",
	       options.control ? "control" : "ok", variant->name, tally.completed, options.rounds * BLOCKS, tally.late,
	       (double)tally.longest_ns / 1e6);
	fflush(stdout);
	return true;
}

/* ---- the program ---- */

static unsigned int number(const char *name, unsigned int value)
{
	const char *text = getenv(name);

	return text ? (unsigned int)strtoul(text, NULL, 10) : value;
}

static void prepare_file(void)
{
	const char *path = getenv("FENCE_PATH"), *fast = getenv("FENCE_FAST");
	int fd;

	snprintf(options.path, sizeof(options.path), "%s", path ? path : "fence-XXXXXX");
	if (!path) {
		fd = mkstemp(options.path);
		if (fd < 0 || posix_fallocate(fd, 0, FILE_LEN) != 0)
			die("cannot make a file");
		close(fd);
	}
	snprintf(options.fast, sizeof(options.fast), "%s", fast ? fast : options.path);
}

static struct shared *map_shared(void)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		die("mmap");
	return shared;
}

/* The road not taken. */
static void try_to_send_a_ring(void)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {control, 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	struct io_uring ring;
	int pair[2], r;

	r = io_uring_queue_init(1, &ring, 0);
	if (r < 0) {
		printf("# no io_uring: %s\n", strerror(-r));
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &ring.ring_fd, sizeof(int));
	printf("# a ring's descriptor sent over a socket: %s\n",
	       sendmsg(pair[0], &msg, 0) < 0 ? strerror(errno) : "taken");
	close(pair[0]);
	close(pair[1]);
	io_uring_queue_exit(&ring);
}

static bool chosen(int argc, char **argv, const char *name)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc == 1;
}

int main(int argc, char **argv)
{
	struct shared *shared = map_shared(), *mine = map_shared();
	unsigned int part = number("FENCE_PART", 0), parts = MAX(number("FENCE_PARTS", 1), 1u);
	bool good = true;

	if (argc > 1 && !strcmp(argv[1], "--control")) {
		options.control = true;
		argc--;
		argv++;
	}
	options.rounds = number("FENCE_ROUNDS", options.rounds);
	options.late_ms = number("FENCE_LATE_MS", options.late_ms);
	options.kill_us = number("FENCE_KILL_US", options.kill_us);
	prepare_file();
	try_to_send_a_ring();
	srand((unsigned int)clock_now_ns());
	for (size_t i = 0; i < ARRAY_SIZE(variants); i++)
		if (i % parts == part && chosen(argc, argv, variants[i].name))
			good &= run(&variants[i], shared, mine);
	if (!getenv("FENCE_PATH"))
		unlink(options.path);
	return good ? 0 : 1;
}
