/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"

/* In order of preference. */
static const struct engine_ops *const engines[] = {&uring_engine, &threads_engine};

int engine_open(const char *name, struct loop *loop, const int *fds, size_t count, struct engine **ret_engine,
		struct err *err)
{
	struct err why = {0};
	int r;

	if (count > ENGINE_FILES_MAX)
		return err_set(err, -E2BIG, "%zu images: at most %u for one VM", count, ENGINE_FILES_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
		if (name && strcmp(name, engines[i]->name))
			continue;
		r = engines[i]->open(loop, fds, count, ret_engine, &why);
		if (r == 0) {
			(*ret_engine)->ops = engines[i];
			for (size_t file = 0; file < count; file++)
				(*ret_engine)->has_file[file] = true;
			log_info(NULL, "I/O engine: %s", engines[i]->name);
			return 0;
		}
		if (name || i + 1 == ARRAY_SIZE(engines))
			return err_set(err, r, "%s", why.text);
		log_notice(NULL, "%s; using %s", why.text, engines[i + 1]->name);
	}
	return err_set(err, -EINVAL, "I/O engine %s: there are io_uring and threads", name);
}

void engine_close(struct engine *engine)
{
	if (engine)
		engine->ops->close(engine);
}

void engine_set_batch(struct engine *engine, void (*begin)(void *arg), void (*end)(void *arg), void *arg)
{
	engine->batch_begin = begin;
	engine->batch_end = end;
	engine->batch_arg = arg;
}

int engine_add_file(struct engine *engine, int fd)
{
	unsigned int file = 0;
	int r;

	while (file < ENGINE_FILES_MAX && engine->has_file[file])
		file++;
	if (file == ENGINE_FILES_MAX)
		return -ENOSPC;
	r = engine->ops->set_file(engine, file, fd);
	if (r < 0)
		return r;
	engine->has_file[file] = true;
	return (int)file;
}

int engine_remove_file(struct engine *engine, unsigned int file)
{
	int r = engine->ops->set_file(engine, file, -1);

	if (r == 0)
		engine->has_file[file] = false;
	return r;
}

void engine_batch_begin(struct engine *engine)
{
	if (engine->batch_begin)
		engine->batch_begin(engine->batch_arg);
}

void engine_batch_end(struct engine *engine)
{
	if (engine->batch_end)
		engine->batch_end(engine->batch_arg);
}

void engine_submit(struct engine *engine, struct engine_io *io)
{
	assert(io->iovs > 0 || !engine_moves_data(io->op));
	io->next = NULL;
	io->retries = 0;
	io->result = 0;
	engine->in_flight++;
	engine->ops->submit(engine, io);
}

void engine_flush(struct engine *engine)
{
	engine->ops->flush(engine);
}

bool engine_poll(struct engine *engine)
{
	return engine->in_flight > 0 && engine->ops->poll(engine);
}

void engine_set_polling(struct engine *engine, bool on)
{
	if (engine->ops->set_polling)
		engine->ops->set_polling(engine, on);
}

bool engine_cancel(struct engine *engine, struct engine_io *io)
{
	if (!engine->ops->cancel(engine, io))
		return false;
	engine->in_flight--;
	return true;
}

int engine_keep(struct engine *engine)
{
	return engine->ops->keep ? engine->ops->keep(engine) : -ENOENT;
}

/* Drop @bytes from the front of the iovecs. Return: whether something is left. */
static bool consume(struct engine_io *io, size_t bytes)
{
	io->offset += bytes;
	while (io->iovs > 0) {
		size_t step = MIN(bytes, io->iov->iov_len);

		io->iov->iov_base = (uint8_t *)io->iov->iov_base + step;
		io->iov->iov_len -= step;
		bytes -= step;
		if (io->iov->iov_len > 0)
			break;
		io->iov++;
		io->iovs--;
	}
	assert(bytes == 0);
	return io->iovs > 0;
}

int engine_fallocate_mode(enum engine_op op)
{
	return FALLOC_FL_KEEP_SIZE | (op == ENGINE_DISCARD ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
}

bool engine_io_advance(struct engine_io *io, int result)
{
	if (result == -EINTR || result == -EAGAIN) {
		io->result = -EAGAIN;
		return io->retries++ < ENGINE_RETRIES_MAX;
	}
	if (result < 0 || !engine_moves_data(io->op)) {
		io->result = result;
		return false;
	}
	io->retries = 0;
	if (result > 0) {
		io->result = 0;
		return consume(io, (size_t)result);
	}
	io->result = io->op == ENGINE_READ ? -ENODATA : -EIO;
	return false;
}

void engine_io_finish(struct engine *engine, struct engine_io *io)
{
	assert(engine->in_flight > 0);
	engine->in_flight--;
	io->done(io, io->result);
}

void engine_queue_push(struct engine_queue *queue, struct engine_io *io)
{
	io->next = NULL;
	if (queue->tail)
		queue->tail->next = io;
	else
		queue->head = io;
	queue->tail = io;
}

struct engine_io *engine_queue_pop(struct engine_queue *queue)
{
	struct engine_io *io = queue->head;

	if (!io)
		return NULL;
	queue->head = io->next;
	if (!queue->head)
		queue->tail = NULL;
	io->next = NULL;
	return io;
}

bool engine_queue_remove(struct engine_queue *queue, struct engine_io *io)
{
	struct engine_io *before = NULL;

	for (struct engine_io *at = queue->head; at; before = at, at = at->next) {
		if (at != io)
			continue;
		*(before ? &before->next : &queue->head) = io->next;
		if (queue->tail == io)
			queue->tail = before;
		io->next = NULL;
		return true;
	}
	return false;
}
