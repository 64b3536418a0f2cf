/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring engine: one ring for the process.
 *
 * Theory of operation: submit fills a submission entry; flush hands all of them over with one system call and then
 * looks at the completion queue, for what the page cache had is complete already. The ring's eventfd is switched off
 * meanwhile, so that only what completes later wakes the loop. With ENGINE_DEPTH I/Os in the ring, further ones wait in
 * a queue of ours: the completion queue cannot overflow. Completion callbacks may submit more: the run goes round until
 * nothing is left to hand over or to reap, or RUN_MAX are done; then the loop has its turn, for a guest that reads from
 * the page cache could keep us here for ever, and our own eventfd brings us back.
 *
 * The ring starts disabled, takes its restrictions (the opcodes below, registered files only; of registrations only
 * that one file takes the place of another) and is then enabled. Its last registered file is the fence for a successor
 * (fence.h), which no entry names.
 *
 * Limits: if the kernel takes no entries for lack of memory, they are offered again after RETRY_NS.
 */
#include "engine.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "fence.h"

#define SQ_ENTRIES 256u
#define REAP_BATCH 64u
#define RUN_MAX	   ENGINE_DEPTH /* completions in one turn of the loop */
#define RETRY_NS   (2 * NS_PER_MS)

struct uring {
	struct engine engine;
	struct io_uring ring;
	int event_fd;
	int fence_fd, fence_ring_fd; /* see fence.h; the first ends with the ring and this process */
	struct loop_source *event, *retry;
	unsigned int in_ring; /* entries filled in and not reaped: at most ENGINE_DEPTH */
	struct engine_queue waiting;
	bool running; /* uring_run() is on the stack */
	bool polling; /* the eventfd stays off: somebody looks */
};

static const struct syscall_rule setup_rules[] = {
	{SYS_io_uring_setup},
	{SYS_io_uring_register},
	{-1},
};

const struct syscall_list uring_setup_calls = {.name = "io_uring, set-up", .rules = setup_rules};

/* With a ring made later, without restrictions, any file could be opened past the filter. */
static const struct syscall_rule service_rules[] = {
	{SYS_io_uring_enter},
	{SYS_io_uring_register, 1, UINT32_MAX, IORING_REGISTER_FILES_UPDATE},
	{-1},
};

const struct syscall_list uring_calls = {.name = "io_uring", .rules = service_rules};

static const uint8_t opcodes[] = {IORING_OP_READ,   IORING_OP_WRITE, IORING_OP_READV,
				  IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE};

static struct uring *to_uring(struct engine *engine)
{
	return CONTAINER_OF(engine, struct uring, engine);
}

/* Room for one more entry: the kernel takes the others first if need be. NULL: it will not, now. */
static struct io_uring_sqe *next_entry(struct uring *uring)
{
	struct io_uring_sqe *sqe;

	if (uring->in_ring >= ENGINE_DEPTH)
		return NULL;
	sqe = io_uring_get_sqe(&uring->ring);
	if (!sqe && io_uring_submit(&uring->ring) > 0)
		sqe = io_uring_get_sqe(&uring->ring);
	return sqe;
}

/* One piece: the kernel need not fetch a list of them. */
static void prep_read(struct io_uring_sqe *sqe, const struct engine_io *io)
{
	if (io->iovs == 1)
		io_uring_prep_read(sqe, (int)io->file, io->iov->iov_base, (unsigned int)io->iov->iov_len, io->offset);
	else
		io_uring_prep_readv(sqe, (int)io->file, io->iov, io->iovs, io->offset);
}

static void prep_write(struct io_uring_sqe *sqe, const struct engine_io *io)
{
	if (io->iovs == 1)
		io_uring_prep_write(sqe, (int)io->file, io->iov->iov_base, (unsigned int)io->iov->iov_len, io->offset);
	else
		io_uring_prep_writev(sqe, (int)io->file, io->iov, io->iovs, io->offset);
	sqe->rw_flags = io->dsync ? RWF_DSYNC : 0;
}

static bool give(struct uring *uring, struct engine_io *io)
{
	struct io_uring_sqe *sqe = next_entry(uring);

	if (!sqe)
		return false;
	switch (io->op) {
	case ENGINE_READ:
		prep_read(sqe, io);
		break;
	case ENGINE_WRITE:
		prep_write(sqe, io);
		break;
	case ENGINE_SYNC:
		io_uring_prep_fsync(sqe, (int)io->file, IORING_FSYNC_DATASYNC);
		break;
	case ENGINE_DISCARD:
	case ENGINE_ZERO:
		io_uring_prep_fallocate(sqe, (int)io->file, engine_fallocate_mode(io->op), io->offset, io->len);
		break;
	}
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, io);
	uring->in_ring++;
	return true;
}

/* In order: nothing overtakes what waits. */
static void uring_queue(struct uring *uring, struct engine_io *io)
{
	if (uring->waiting.head || !give(uring, io))
		engine_queue_push(&uring->waiting, io);
}

static void uring_submit(struct engine *engine, struct engine_io *io)
{
	uring_queue(to_uring(engine), io);
}

static void give_waiting(struct uring *uring)
{
	while (uring->waiting.head) {
		struct engine_io *io = engine_queue_pop(&uring->waiting);

		if (give(uring, io))
			continue;
		io->next = uring->waiting.head;
		uring->waiting.head = io;
		if (!uring->waiting.tail)
			uring->waiting.tail = io;
		return;
	}
}

/* Return: how many were reaped. */
static unsigned int reap(struct uring *uring)
{
	struct {
		struct engine_io *io;
		int result;
	} done[REAP_BATCH];
	struct io_uring_cqe *cqe[REAP_BATCH];
	unsigned int n = io_uring_peek_batch_cqe(&uring->ring, cqe, REAP_BATCH);

	for (unsigned int i = 0; i < n; i++) {
		done[i].io = io_uring_cqe_get_data(cqe[i]);
		done[i].result = cqe[i]->res;
	}
	io_uring_cq_advance(&uring->ring, n);
	assert(n <= uring->in_ring);
	uring->in_ring -= n;
	if (n == 0)
		return 0;
	engine_batch_begin(&uring->engine);
	for (unsigned int i = 0; i < n; i++) {
		if (engine_io_advance(done[i].io, done[i].result))
			uring_queue(uring, done[i].io);
		else
			engine_io_finish(&uring->engine, done[i].io);
	}
	engine_batch_end(&uring->engine);
	return n;
}

/* Hand over and reap until there is nothing left to do at once, or the turn is over. Return: whether it is over. */
static bool uring_run(struct uring *uring)
{
	unsigned int done = 0;

	if (uring->running)
		return false;
	uring->running = true;
	if (!uring->polling)
		io_uring_cq_eventfd_toggle(&uring->ring, false);
	for (;;) {
		unsigned int n;
		int r = 0;

		give_waiting(uring);
		if (io_uring_sq_ready(&uring->ring) > 0)
			r = io_uring_submit(&uring->ring);
		if (done >= RUN_MAX) {
			(void)eventfd_write(uring->event_fd, 1);
			if (!uring->polling)
				io_uring_cq_eventfd_toggle(&uring->ring, true);
			break;
		}
		n = reap(uring);
		done += n;
		if (n > 0)
			continue;
		if (r < 0) {
			loop_arm(uring->retry, RETRY_NS);
		} else if (io_uring_sq_ready(&uring->ring) > 0 ||
			   (uring->waiting.head && uring->in_ring < ENGINE_DEPTH)) {
			continue;
		}
		if (uring->polling)
			break;
		/* Pairs with the kernel, which writes the entry before it looks at the eventfd's switch. */
		io_uring_cq_eventfd_toggle(&uring->ring, true);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (io_uring_cq_ready(&uring->ring) == 0)
			break;
		io_uring_cq_eventfd_toggle(&uring->ring, false);
	}
	uring->running = false;
	return done >= RUN_MAX;
}

static void uring_flush(struct engine *engine)
{
	uring_run(to_uring(engine));
}

static bool uring_poll(struct engine *engine)
{
	struct uring *uring = to_uring(engine);

	if (io_uring_cq_ready(&uring->ring) == 0)
		return false;
	uring_run(uring);
	return true;
}

static void uring_set_polling(struct engine *engine, bool on)
{
	struct uring *uring = to_uring(engine);

	uring->polling = on;
	io_uring_cq_eventfd_toggle(&uring->ring, !on);
	/* Pairs with the kernel, which writes the entry before it looks at the eventfd's switch. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!on && io_uring_cq_ready(&uring->ring) > 0)
		(void)eventfd_write(uring->event_fd, 1);
}

static void on_event(int fd, unsigned int events, void *arg)
{
	eventfd_t count;

	(void)events;
	(void)eventfd_read(fd, &count);
	uring_run(arg);
}

static void on_retry(void *arg)
{
	uring_run(arg);
}

static bool uring_cancel(struct engine *engine, struct engine_io *io)
{
	return engine_queue_remove(&to_uring(engine)->waiting, io);
}

static int uring_set_file(struct engine *engine, unsigned int file, int fd)
{
	int r = io_uring_register_files_update(&to_uring(engine)->ring, file, &fd, 1);

	return r < 0 ? r : r == 1 ? 0 : -EIO;
}

static int uring_keep(struct engine *engine)
{
	return to_uring(engine)->fence_fd;
}

static void uring_free(struct uring *uring)
{
	loop_remove(&uring->event);
	loop_remove(&uring->retry);
	if (uring->ring.ring_fd >= 0)
		io_uring_queue_exit(&uring->ring);
	fd_close(&uring->event_fd);
	fd_close(&uring->fence_fd);
	fd_close(&uring->fence_ring_fd);
	free(uring);
}

static void uring_close(struct engine *engine)
{
	struct uring *uring = to_uring(engine);

	for (;;) {
		struct io_uring_cqe *cqe;

		if (uring_run(uring))
			continue;
		if (engine->in_flight == 0)
			break;
		if (io_uring_wait_cqe(&uring->ring, &cqe) < 0)
			usleep(RETRY_NS / 1000);
	}
	fence_lift(uring->fence_ring_fd);
	uring_free(uring);
}

/* The shared liburing 2.3 lacks its calls for restrictions and for enabling the ring. */
static int register_op(struct uring *uring, unsigned int opcode, void *arg, unsigned int count)
{
	return syscall(__NR_io_uring_register, uring->ring.ring_fd, opcode, arg, count) < 0 ? -errno : 0;
}

static int restrict_ring(struct uring *uring)
{
	struct io_uring_restriction rule[ARRAY_SIZE(opcodes) + 3] = {0};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		rule[n].opcode = IORING_RESTRICTION_SQE_OP;
		rule[n++].sqe_op = opcodes[i];
	}
	rule[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	rule[n++].sqe_flags = IOSQE_FIXED_FILE;
	rule[n].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
	rule[n++].sqe_flags = IOSQE_FIXED_FILE;
	rule[n].opcode = IORING_RESTRICTION_REGISTER_OP;
	rule[n++].register_op = IORING_REGISTER_FILES_UPDATE;
	return register_op(uring, IORING_REGISTER_RESTRICTIONS, rule, (unsigned int)n);
}

/* The images, empty places for more, and behind them the fence. */
static int register_files(struct uring *uring, const int *fds, size_t count)
{
	int files[ENGINE_FILES_MAX + 1];
	int r = fence_pipe(&uring->fence_ring_fd, &uring->fence_fd);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ENGINE_FILES_MAX; i++)
		files[i] = i < count ? fds[i] : -1;
	files[ENGINE_FILES_MAX] = uring->fence_ring_fd;
	return io_uring_register_files(&uring->ring, files, ARRAY_SIZE(files));
}

static int set_up(struct uring *uring, const int *fds, size_t count, const char **ret_what)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
		.cq_entries = ENGINE_DEPTH,
	};
	int r;

	*ret_what = "cannot make a ring";
	r = io_uring_queue_init_params(SQ_ENTRIES, &uring->ring, &params);
	if (r < 0) {
		uring->ring.ring_fd = -1;
		return r;
	}
	if (params.cq_entries < ENGINE_DEPTH)
		return -ENOMEM;
	*ret_what = "cannot register the images";
	r = register_files(uring, fds, count);
	if (r < 0)
		return r;
	*ret_what = "cannot register an eventfd";
	r = io_uring_register_eventfd(&uring->ring, uring->event_fd);
	if (r < 0)
		return r;
	*ret_what = "cannot restrict the ring";
	r = restrict_ring(uring);
	if (r < 0)
		return r;
	*ret_what = "cannot enable the ring";
	return register_op(uring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static int uring_open(struct loop *loop, const int *fds, size_t count, struct engine **ret_engine, struct err *err)
{
	struct uring *uring = calloc(1, sizeof(*uring));
	const char *what = "out of memory";
	int r = -ENOMEM;

	if (!uring)
		return err_set(err, r, "io_uring: %s", what);
	uring->ring.ring_fd = -1;
	uring->fence_fd = uring->fence_ring_fd = -1;
	uring->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (uring->event_fd < 0) {
		r = -errno;
		what = "cannot make an eventfd";
	} else {
		r = set_up(uring, fds, count, &what);
		if (r == 0) {
			what = "cannot watch the ring";
			r = loop_add_fd(loop, uring->event_fd, LOOP_READ, on_event, uring, &uring->event);
		}
		if (r == 0)
			r = loop_add_timer(loop, on_retry, uring, &uring->retry);
	}
	if (r < 0) {
		uring_free(uring);
		return err_set(err, r, "io_uring: %s: %s", what, strerror(-r));
	}
	*ret_engine = &uring->engine;
	return 0;
}

const struct engine_ops uring_engine = {
	.name = "io_uring",
	.open = uring_open,
	.submit = uring_submit,
	.flush = uring_flush,
	.poll = uring_poll,
	.set_polling = uring_set_polling,
	.cancel = uring_cancel,
	.keep = uring_keep,
	.set_file = uring_set_file,
	.close = uring_close,
};
