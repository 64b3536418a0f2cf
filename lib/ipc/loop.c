/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a source is an event of libevent's plus our callback. Whatever another thread may do, waking and
 * stopping, goes through an eventfd, so that the base needs no locks and a signal handler may do it as well. Every
 * callback returns through source_done(), which is where a stop takes effect; a source may be gone by then.
 */
#include "ipc/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"

enum source_kind {
	SOURCE_FD,
	SOURCE_TIMER,
	SOURCE_SIGNAL,
	SOURCE_WAKE,
};

/* On its loop's list from source_new() to loop_remove(). */
struct loop_source {
	struct loop *loop;
	struct loop_source *prev, *next;
	struct event *event;
	enum source_kind kind;
	unsigned int events; /* LOOP_*: SOURCE_FD only */
	int wake_fd;	     /* SOURCE_WAKE only, else -1 */
	loop_fd_fn fd_fn;
	loop_fn fn;
	void *arg;
};

struct loop {
	struct event_base *base;
	struct loop_source *sources;
	struct loop_source *stop_wake;
	atomic_bool stop; /* asked for, and loop_run() has not returned since */
	bool running;
};

/* libevent writes its warnings to stderr unless told otherwise; the callers get the errno. */
static void ignore_message(int severity, const char *message)
{
}

static struct event_base *base_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (!config)
		return NULL;
	/* Emulated timers depend on the loop's: microseconds, counted from now and not from when the loop woke up. */
	event_config_set_flag(config,
			      EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static void stop_woken(void *arg)
{
	/* source_done() sees the flag. */
}

int loop_new(struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return -ENOMEM;
	event_set_log_callback(ignore_message);
	loop->base = base_new();
	r = loop->base ? loop_add_wake(loop, stop_woken, loop, &loop->stop_wake) : -ENOMEM;
	if (r < 0) {
		loop_free(loop);
		return r;
	}
	*ret_loop = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	assert(!loop->running);
	while (loop->sources) {
		struct loop_source *source = loop->sources;

		loop_remove(&source);
	}
	if (loop->base)
		event_base_free(loop->base);
	free(loop);
}

static int dispatch(struct loop *loop, int flags)
{
	int r;

	if (loop->running)
		return -EBUSY;
	loop->running = true;
	r = event_base_loop(loop->base, flags);
	loop->running = false;
	return r < 0 ? -EIO : 0;
}

int loop_run(struct loop *loop)
{
	int r = 0;

	if (!atomic_load(&loop->stop))
		r = dispatch(loop, EVLOOP_NO_EXIT_ON_EMPTY);
	if (r != -EBUSY)
		atomic_store(&loop->stop, false);
	return r;
}

int loop_run_once(struct loop *loop, bool wait)
{
	return dispatch(loop, EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK));
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stop, true);
	loop_wake(loop->stop_wake);
}

bool loop_stopping(const struct loop *loop)
{
	return atomic_load(&loop->stop);
}

static void source_done(struct loop *loop)
{
	if (atomic_load(&loop->stop))
		event_base_loopbreak(loop->base);
}

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_source *source = arg;
	struct loop *loop = source->loop;

	source->fd_fn(fd, (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0), source->arg);
	source_done(loop);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop_source *source = arg;
	struct loop *loop = source->loop;
	uint64_t count;

	/* Before the callback: a wake-up that comes while it runs must bring another. */
	if (read(fd, &count, sizeof(count)) == sizeof(count))
		source->fn(source->arg);
	source_done(loop);
}

static void on_plain(evutil_socket_t fd, short what, void *arg)
{
	struct loop_source *source = arg;
	struct loop *loop = source->loop;

	source->fn(source->arg);
	source_done(loop);
}

static struct loop_source *source_new(struct loop *loop, enum source_kind kind, void *arg)
{
	struct loop_source *source = calloc(1, sizeof(*source));

	if (!source)
		return NULL;
	source->loop = loop;
	source->kind = kind;
	source->wake_fd = -1;
	source->arg = arg;
	source->next = loop->sources;
	if (source->next)
		source->next->prev = source;
	loop->sources = source;
	return source;
}

void loop_remove(struct loop_source **ref)
{
	struct loop_source *source = take_ptr(*ref);

	if (!source)
		return;
	if (source->event)
		event_free(source->event);
	fd_close(&source->wake_fd);
	if (source->prev)
		source->prev->next = source->next;
	else
		source->loop->sources = source->next;
	if (source->next)
		source->next->prev = source->prev;
	free(source);
}

/* Give @source its event; hand it to the caller, or free it on failure. */
static int source_start(struct loop_source *source, int fd, short what, event_callback_fn fn, bool add,
			struct loop_source **ret_source)
{
	int r = 0;

	source->event = event_new(source->loop->base, fd, what, fn, source);
	if (!source->event) {
		r = -ENOMEM;
	} else if (add) {
		errno = 0;
		if (event_add(source->event, NULL) < 0)
			r = errno ? -errno : -EIO;
	}
	if (r < 0)
		loop_remove(&source);
	else
		*ret_source = source;
	return r;
}

static short to_libevent(unsigned int events)
{
	return (short)(EV_PERSIST | (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0));
}

int loop_add_fd(struct loop *loop, int fd, unsigned int events, loop_fd_fn fn, void *arg,
		struct loop_source **ret_source)
{
	struct loop_source *source = source_new(loop, SOURCE_FD, arg);

	if (!source)
		return -ENOMEM;
	source->fd_fn = fn;
	source->events = events;
	return source_start(source, fd, to_libevent(events), on_fd, events != 0, ret_source);
}

int loop_set_events(struct loop_source *source, unsigned int events)
{
	int fd = event_get_fd(source->event);

	assert(source->kind == SOURCE_FD);
	if (events == source->events)
		return 0;
	source->events = 0;
	event_del(source->event);
	if (event_assign(source->event, source->loop->base, fd, to_libevent(events), on_fd, source) < 0)
		return -EINVAL;
	errno = 0;
	if (events && event_add(source->event, NULL) < 0)
		return errno ? -errno : -EIO;
	source->events = events;
	return 0;
}

int loop_add_timer(struct loop *loop, loop_fn fn, void *arg, struct loop_source **ret_source)
{
	struct loop_source *source = source_new(loop, SOURCE_TIMER, arg);

	if (!source)
		return -ENOMEM;
	source->fn = fn;
	return source_start(source, -1, 0, on_plain, false, ret_source);
}

void loop_arm(struct loop_source *source, uint64_t delay_ns)
{
	uint64_t us = delay_ns / 1000 + (delay_ns % 1000 != 0);
	struct timeval tv = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};

	assert(source->kind == SOURCE_TIMER);
	event_add(source->event, &tv);
}

void loop_disarm(struct loop_source *source)
{
	assert(source->kind == SOURCE_TIMER);
	event_del(source->event);
}

int loop_add_signal(struct loop *loop, int signum, loop_fn fn, void *arg, struct loop_source **ret_source)
{
	struct loop_source *source = source_new(loop, SOURCE_SIGNAL, arg);

	if (!source)
		return -ENOMEM;
	source->fn = fn;
	return source_start(source, signum, EV_SIGNAL | EV_PERSIST, on_plain, true, ret_source);
}

int loop_add_wake(struct loop *loop, loop_fn fn, void *arg, struct loop_source **ret_source)
{
	struct loop_source *source = source_new(loop, SOURCE_WAKE, arg);

	if (!source)
		return -ENOMEM;
	source->fn = fn;
	source->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (source->wake_fd < 0) {
		int r = -errno;

		loop_remove(&source);
		return r;
	}
	return source_start(source, source->wake_fd, EV_READ | EV_PERSIST, on_wake, true, ret_source);
}

void loop_wake(struct loop_source *source)
{
	static const uint64_t one = 1;
	int saved_errno = errno;

	/* EAGAIN: the counter is full, so the callback runs anyway. */
	while (write(source->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}
