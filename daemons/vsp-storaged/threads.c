/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine of threads, for hosts without io_uring: THREADS of them take I/Os from one queue, and hand them back by
 * another, which the loop empties when it is woken.
 *
 * A process of which threads still do I/O has not ended: its end is the fence for a successor.
 *
 * Limits: at most THREADS I/Os are with the host at a time.
 */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"

#define THREADS 8u

static const struct syscall_rule setup_rules[] = {
	{SYS_clone, 0, CLONE_THREAD, CLONE_THREAD},
	{-1},
};

const struct syscall_list threads_setup_calls = {.name = "threads, set-up", .rules = setup_rules};

static const struct syscall_rule service_rules[] = {
	{SYS_preadv}, {SYS_pwritev2}, {SYS_fdatasync}, {SYS_fallocate}, {-1},
};

const struct syscall_list threads_calls = {.name = "threads", .rules = service_rules};

struct threads {
	struct engine engine;
	struct loop_source *wake;
	pthread_t thread[THREADS];
	unsigned int started;
	int fds[ENGINE_FILES_MAX];

	pthread_mutex_t lock; /* of everything below */
	pthread_cond_t work, idle;
	struct engine_queue todo, done;
	bool stop;
};

static struct threads *to_threads(struct engine *engine)
{
	return CONTAINER_OF(engine, struct threads, engine);
}

/* One attempt. Return: bytes or a negative errno. */
static int attempt(int fd, const struct engine_io *io)
{
	ssize_t n = 0;

	switch (io->op) {
	case ENGINE_READ:
		n = preadv(fd, io->iov, (int)io->iovs, (off_t)io->offset);
		break;
	case ENGINE_WRITE:
		n = pwritev2(fd, io->iov, (int)io->iovs, (off_t)io->offset, io->dsync ? RWF_DSYNC : 0);
		break;
	case ENGINE_SYNC:
		n = fdatasync(fd);
		break;
	case ENGINE_DISCARD:
	case ENGINE_ZERO:
		n = fallocate(fd, engine_fallocate_mode(io->op), (off_t)io->offset, (off_t)io->len);
		break;
	}
	return n < 0 ? -errno : (int)n;
}

static void *thread_main(void *arg)
{
	struct threads *threads = arg;

	pthread_mutex_lock(&threads->lock);
	for (;;) {
		struct engine_io *io = engine_queue_pop(&threads->todo);

		if (!io) {
			if (threads->stop)
				break;
			pthread_cond_wait(&threads->work, &threads->lock);
			continue;
		}
		pthread_mutex_unlock(&threads->lock);
		while (engine_io_advance(io, attempt(threads->fds[io->file], io)))
			;
		pthread_mutex_lock(&threads->lock);
		engine_queue_push(&threads->done, io);
		loop_wake(threads->wake);
		pthread_cond_signal(&threads->idle);
	}
	pthread_mutex_unlock(&threads->lock);
	return NULL;
}

static void threads_submit(struct engine *engine, struct engine_io *io)
{
	struct threads *threads = to_threads(engine);

	pthread_mutex_lock(&threads->lock);
	engine_queue_push(&threads->todo, io);
	pthread_cond_signal(&threads->work);
	pthread_mutex_unlock(&threads->lock);
}

/* Call done() for what the threads have finished; what they finish meanwhile has its own wake-up. Return: whether there
 * was any. */
static bool finish(struct threads *threads)
{
	struct engine_queue done;
	struct engine_io *io;

	pthread_mutex_lock(&threads->lock);
	done = threads->done;
	threads->done = (struct engine_queue){0};
	pthread_mutex_unlock(&threads->lock);
	if (!done.head)
		return false;
	engine_batch_begin(&threads->engine);
	while ((io = engine_queue_pop(&done)))
		engine_io_finish(&threads->engine, io);
	engine_batch_end(&threads->engine);
	return true;
}

static bool threads_poll(struct engine *engine)
{
	return finish(to_threads(engine));
}

static void on_wake(void *arg)
{
	finish(arg);
}

static void threads_flush(struct engine *engine)
{
	(void)engine; /* every I/O goes to the threads at once */
}

/* Whoever takes up an I/O of this file takes the lock before, and after us. */
static int threads_set_file(struct engine *engine, unsigned int file, int fd)
{
	struct threads *threads = to_threads(engine);

	pthread_mutex_lock(&threads->lock);
	threads->fds[file] = fd;
	pthread_mutex_unlock(&threads->lock);
	return 0;
}

static bool threads_cancel(struct engine *engine, struct engine_io *io)
{
	struct threads *threads = to_threads(engine);
	bool found;

	pthread_mutex_lock(&threads->lock);
	found = engine_queue_remove(&threads->todo, io);
	pthread_mutex_unlock(&threads->lock);
	return found;
}

static void threads_free(struct threads *threads)
{
	pthread_mutex_lock(&threads->lock);
	threads->stop = true;
	pthread_cond_broadcast(&threads->work);
	pthread_mutex_unlock(&threads->lock);
	for (unsigned int i = 0; i < threads->started; i++)
		pthread_join(threads->thread[i], NULL);
	loop_remove(&threads->wake);
	pthread_cond_destroy(&threads->work);
	pthread_cond_destroy(&threads->idle);
	pthread_mutex_destroy(&threads->lock);
	free(threads);
}

static void threads_close(struct engine *engine)
{
	struct threads *threads = to_threads(engine);

	while (engine->in_flight > 0) {
		pthread_mutex_lock(&threads->lock);
		while (!threads->done.head)
			pthread_cond_wait(&threads->idle, &threads->lock);
		pthread_mutex_unlock(&threads->lock);
		finish(threads);
	}
	threads_free(threads);
}

static int start_threads(struct threads *threads)
{
	sigset_t all, old;
	int r = 0;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (r == 0 && threads->started < THREADS) {
		r = -pthread_create(&threads->thread[threads->started], NULL, thread_main, threads);
		if (r == 0)
			threads->started++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static int threads_open(struct loop *loop, const int *fds, size_t count, struct engine **ret_engine, struct err *err)
{
	struct threads *threads = calloc(1, sizeof(*threads));
	int r;

	if (!threads)
		return err_set(err, -ENOMEM, "I/O threads: out of memory");
	for (size_t i = 0; i < count; i++)
		threads->fds[i] = fds[i];
	pthread_mutex_init(&threads->lock, NULL);
	pthread_cond_init(&threads->work, NULL);
	pthread_cond_init(&threads->idle, NULL);
	r = loop_add_wake(loop, on_wake, threads, &threads->wake);
	if (r == 0)
		r = start_threads(threads);
	if (r < 0) {
		threads_free(threads);
		return err_set(err, r, "I/O threads: cannot start them: %s", strerror(-r));
	}
	*ret_engine = &threads->engine;
	return 0;
}

const struct engine_ops threads_engine = {
	.name = "threads",
	.open = threads_open,
	.submit = threads_submit,
	.flush = threads_flush,
	.poll = threads_poll,
	.cancel = threads_cancel,
	.set_file = threads_set_file,
	.close = threads_close,
};
