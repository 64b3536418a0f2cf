/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a vCPU thread only appends to a staging queue and wakes the loop, once for all that gathers
 * until the loop comes. The loop takes the staged bytes, in order, and gives them to every sink (log, PTY, sockets):
 * what a sink does not take at once waits in the sink's own queue. A queue that is full forgets its oldest bytes, and a
 * line tells so at that place. Under a stream of output the loop comes every CONSOLE_GATHER_NS, not for each byte.
 * Input goes the other way: what the guest does not take waits in the sink, which is not read meanwhile.
 *
 * Limits: output waits in CONSOLE_LOG_BUFFER bytes at most for the loop, and for a log that is a pipe;
 * CONSOLE_SOCKETS_MAX attached consoles. Writing to a log that is a file may block the loop, never the guest.
 */
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "console_queue.h"

#define PTY_PATH_MAX	    64
#define CONSOLE_LOG_BUFFER  (64u * 1024u * 1024u)
#define CONSOLE_SOCKETS_MAX 32u
#define CONSOLE_GATHER_NS   (2 * NS_PER_MS)
#define CONSOLE_FLUSH_NS    NS_PER_SEC
#define CONSOLE_INPUT_LEN   256u
#define CONSOLE_NOTE_LEN    64u

enum sink_kind { SINK_LOG, SINK_PTY, SINK_SOCKET };

/* Somewhere that output goes. Invariant: bytes go out in the order note, queue; nothing new starts while either has
 * some. */
struct sink {
	struct console *console;
	struct sink *next;
	enum sink_kind kind;
	int fd;			    /* owned */
	struct loop_source *source; /* NULL for a log that is a file: it is always ready */
	bool dead;		    /* to be freed by console_sweep() */
	bool eof;		    /* nothing more to read */
	struct console_queue queue;
	char note[CONSOLE_NOTE_LEN]; /* the line about missed bytes, while it is being written */
	size_t note_len, note_pos;
	uint64_t note_missed;		  /* how many it tells of; 0 once it is out */
	uint8_t input[CONSOLE_INPUT_LEN]; /* read, and not taken by the guest yet */
	size_t input_len, input_pos;
};

struct console {
	struct loop *loop;
	size_t (*input)(void *arg, const void *buf, size_t len);
	void *input_arg;
	struct sink *sinks;
	unsigned int sockets;
	int pty_slave; /* held open: without it the master would report a hang-up for ever */
	char pty_path[PTY_PATH_MAX];
	struct console_queue backlog;
	struct loop_source *output_wake, *input_wake, *gather_timer;
	uint64_t drained_ns;
	struct log_limit log_limit;

	pthread_mutex_t lock; /* of the two below */
	struct console_queue stage;
	bool woken;
};

/* ---- sinks ---- */

static ssize_t sink_write(const struct sink *sink, const void *buf, size_t len)
{
	ssize_t n;

	do
		n = sink->kind == SINK_SOCKET ? send(sink->fd, buf, len, MSG_NOSIGNAL) : write(sink->fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* What is left of @sink's output cannot be written. */
static void sink_fail(struct sink *sink, int r)
{
	/* A peer that is gone does not come back; a disk that is full may have room again later. */
	sink->dead = sink->kind == SINK_SOCKET || (sink->kind == SINK_LOG && r == -EPIPE);
	if (sink->kind != SINK_SOCKET && log_allowed(&sink->console->log_limit, "console"))
		log_warn("console", "cannot write to the %s: %s; output is missing there",
			 sink->kind == SINK_LOG ? "log" : "PTY", strerror(-r));
	sink->queue.missed += sink->queue.len + sink->note_missed;
	sink->note_len = sink->note_pos = 0;
	sink->note_missed = 0;
	queue_skip(&sink->queue, sink->queue.len);
}

/* What is missing here gets its line, before anything else. */
static void sink_note(struct sink *sink)
{
	sink->note_missed += sink->queue.missed;
	sink->queue.missed = 0;
	sink->note_pos = 0;
	sink->note_len = (size_t)snprintf(sink->note, sizeof(sink->note), "\r\n[console: %llu bytes missed]\r\n",
					  (unsigned long long)sink->note_missed);
}

/* Return: bytes written of the note, or of the queue; 0 if there is nothing; or a negative errno. */
static ssize_t sink_write_some(struct sink *sink)
{
	const uint8_t *buf;
	size_t len;
	ssize_t n;

	if (sink->queue.missed && (sink->note_pos == 0 || sink->note_pos == sink->note_len))
		sink_note(sink);
	if (sink->note_pos < sink->note_len) {
		n = sink_write(sink, sink->note + sink->note_pos, sink->note_len - sink->note_pos);
		sink->note_pos += n > 0 ? (size_t)n : 0;
		if (sink->note_pos == sink->note_len)
			sink->note_missed = 0;
	} else {
		len = queue_peek(&sink->queue, &buf);
		if (!len)
			return 0;
		n = sink_write(sink, buf, len);
		queue_skip(&sink->queue, n > 0 ? (size_t)n : 0);
	}
	return n ? n : -EIO;
}

/* Write as much as the sink takes. */
static void sink_flush(struct sink *sink)
{
	ssize_t n;

	do
		n = sink_write_some(sink);
	while (n > 0);
	if (n < 0 && n != -EAGAIN)
		sink_fail(sink, (int)n);
}

static bool sink_has_output(const struct sink *sink)
{
	return !sink->dead && (sink->note_pos < sink->note_len || sink->queue.len);
}

/* Wait for what we need: room if output waits, bytes if the guest takes them. */
static void sink_set_events(struct sink *sink)
{
	unsigned int events = 0;

	if (!sink->source || sink->dead)
		return;
	if (sink_has_output(sink))
		events |= LOOP_WRITE;
	if (sink->kind != SINK_LOG && !sink->eof && sink->input_pos == sink->input_len)
		events |= LOOP_READ;
	loop_set_events(sink->source, events);
}

static bool sink_is_abandoned(const struct sink *sink)
{
	struct pollfd pfd = {.fd = sink->fd};

	return sink->kind == SINK_SOCKET && poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLHUP | POLLERR));
}

/* Offer the guest what was read from @sink. */
static void sink_offer(struct sink *sink)
{
	struct console *console = sink->console;

	if (sink->input_pos < sink->input_len)
		sink->input_pos += console->input(console->input_arg, sink->input + sink->input_pos,
						  sink->input_len - sink->input_pos);
}

static void sink_read(struct sink *sink)
{
	ssize_t n = read(sink->fd, sink->input, sizeof(sink->input));

	if (n > 0) {
		sink->input_len = (size_t)n;
		sink->input_pos = 0;
		sink_offer(sink);
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A peer that will send no more may still listen. */
	sink->eof = true;
	sink->dead = sink->kind == SINK_SOCKET && (n < 0 || sink_is_abandoned(sink));
}

static void sink_free(struct sink *sink)
{
	loop_remove(&sink->source);
	fd_close(&sink->fd);
	queue_done(&sink->queue);
	free(sink);
}

/* Free the sinks that died. */
static void console_sweep(struct console *console)
{
	struct sink **at = &console->sinks;

	while (*at) {
		struct sink *sink = *at;

		if (!sink->dead) {
			at = &sink->next;
			continue;
		}
		*at = sink->next;
		console->sockets -= sink->kind == SINK_SOCKET;
		sink_free(sink);
	}
}

static void sink_ready(int fd, unsigned int events, void *arg)
{
	struct sink *sink = arg;

	if (events & LOOP_WRITE)
		sink_flush(sink);
	if (events & LOOP_READ && sink->kind == SINK_LOG)
		sink_flush(sink); /* an error: the write tells which */
	else if (events & LOOP_READ && !sink->eof && sink->input_pos == sink->input_len)
		sink_read(sink);
	sink_set_events(sink);
	console_sweep(sink->console);
}

/* @fd: taken over, also on failure. */
static int console_add_sink(struct console *console, enum sink_kind kind, int fd, struct sink **ret_sink)
{
	struct sink *sink = calloc(1, sizeof(*sink));
	struct stat st;
	int r = 0;

	if (!sink) {
		close(fd);
		return -ENOMEM;
	}
	sink->console = console;
	sink->kind = kind;
	sink->fd = fd;
	queue_init(&sink->queue, kind == SINK_LOG ? CONSOLE_LOG_BUFFER : CONSOLE_BUFFER);
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode)) {
		r = fd_set_nonblock(fd, true);
		if (r == 0)
			r = loop_add_fd(console->loop, fd, kind == SINK_LOG ? 0 : LOOP_READ, sink_ready, sink,
					&sink->source);
	}
	if (r < 0) {
		sink_free(sink);
		return r;
	}
	sink->next = console->sinks;
	console->sinks = sink;
	console->sockets += kind == SINK_SOCKET;
	*ret_sink = sink;
	return 0;
}

/* ---- output ---- */

static void sink_output(struct sink *sink, const struct console_queue *taken)
{
	sink->queue.missed += taken->missed;
	queue_copy(&sink->queue, taken);
	sink_flush(sink);
	sink_set_events(sink);
}

/* Hand everything that is staged to the sinks. */
static void console_drain(struct console *console)
{
	struct console_queue taken;

	pthread_mutex_lock(&console->lock);
	taken = console->stage;
	queue_init(&console->stage, CONSOLE_LOG_BUFFER);
	console->woken = false;
	pthread_mutex_unlock(&console->lock);

	console->drained_ns = clock_now_ns();
	if (taken.len || taken.missed) {
		queue_copy(&console->backlog, &taken);
		for (struct sink *sink = console->sinks; sink; sink = sink->next)
			sink_output(sink, &taken);
		console_sweep(console);
	}
	queue_done(&taken);
}

static void console_gathered(void *arg)
{
	console_drain(arg);
}

static void console_output_woken(void *arg)
{
	struct console *console = arg;
	uint64_t since = clock_now_ns() - console->drained_ns;

	if (since >= CONSOLE_GATHER_NS)
		console_drain(console);
	else
		loop_arm(console->gather_timer, CONSOLE_GATHER_NS - since);
}

void console_write(struct console *console, const void *buf, size_t len)
{
	bool wake;

	pthread_mutex_lock(&console->lock);
	queue_put(&console->stage, buf, len);
	wake = !console->woken;
	console->woken = true;
	pthread_mutex_unlock(&console->lock);
	if (wake)
		loop_wake(console->output_wake);
}

/* ---- input ---- */

static void console_input_woken(void *arg)
{
	struct console *console = arg;

	for (struct sink *sink = console->sinks; sink; sink = sink->next) {
		sink_offer(sink);
		sink_set_events(sink);
	}
}

void console_input_ready(struct console *console)
{
	loop_wake(console->input_wake);
}

/* ---- life ---- */

static const struct syscall_rule console_rules[] = {
	{SYS_socketpair, 0, UINT32_MAX, AF_UNIX},
	{SYS_ioctl, 1, UINT32_MAX, TIOCGPTN},
	{SYS_ioctl, 1, UINT32_MAX, TCSETS},
	{-1},
};

const struct syscall_list console_calls = {.name = "the console", .rules = console_rules};

/* The PTY of the one VM that this process will have, opened while paths may still be opened. */
static struct {
	bool reserved;
	int error, master, slave;
} spare_pty = {.master = -1, .slave = -1};

/* Return: 0 or a negative errno; what was opened is the caller's in both cases. */
static int open_pty(int *ret_master, int *ret_slave)
{
	char path[PTY_PATH_MAX];

	*ret_slave = -1;
	*ret_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ret_master < 0 || grantpt(*ret_master) < 0 || unlockpt(*ret_master) < 0 ||
	    ptsname_r(*ret_master, path, sizeof(path)) != 0)
		return -errno;
	*ret_slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return *ret_slave < 0 ? -errno : 0;
}

void console_reserve_pty(void)
{
	spare_pty.reserved = true;
	spare_pty.error = open_pty(&spare_pty.master, &spare_pty.slave);
}

static int take_pty(int *ret_master, int *ret_slave)
{
	int r = spare_pty.error;

	if (!spare_pty.reserved)
		return open_pty(ret_master, ret_slave);
	*ret_master = take_fd(&spare_pty.master);
	*ret_slave = take_fd(&spare_pty.slave);
	/* A second one would have to be opened. */
	spare_pty.error = -EBUSY;
	return r;
}

static int console_open_pty(struct console *console, struct err *err)
{
	struct termios raw;
	struct sink *sink;
	int master, r = take_pty(&master, &console->pty_slave);

	if (r == 0 && (ptsname_r(master, console->pty_path, sizeof(console->pty_path)) != 0 ||
		       tcgetattr(console->pty_slave, &raw) < 0))
		r = -errno;
	if (r == 0) {
		cfmakeraw(&raw); /* the guest has a terminal driver of its own */
		r = tcsetattr(console->pty_slave, TCSANOW, &raw) < 0 ? -errno : 0;
	}
	if (r == 0)
		r = console_add_sink(console, SINK_PTY, take_fd(&master), &sink);
	fd_close(&master);
	if (r < 0)
		return err_set(err, r, "no PTY for the console: %s; is /dev/pts mounted?", strerror(-r));
	return 0;
}

static int console_add_sources(struct console *console)
{
	int r = loop_add_wake(console->loop, console_output_woken, console, &console->output_wake);

	if (r == 0)
		r = loop_add_wake(console->loop, console_input_woken, console, &console->input_wake);
	if (r == 0)
		r = loop_add_timer(console->loop, console_gathered, console, &console->gather_timer);
	return r;
}

static void console_close(struct console *console)
{
	while (console->sinks) {
		struct sink *sink = console->sinks;

		console->sinks = sink->next;
		sink_free(sink);
	}
	loop_remove(&console->output_wake);
	loop_remove(&console->input_wake);
	loop_remove(&console->gather_timer);
	fd_close(&console->pty_slave);
	queue_done(&console->backlog);
	queue_done(&console->stage);
	pthread_mutex_destroy(&console->lock);
	free(console);
}

int console_new(struct loop *loop, int log_fd, bool want_pty, size_t (*input)(void *arg, const void *buf, size_t len),
		void *arg, struct err *err, struct console **ret_console)
{
	struct console *console = calloc(1, sizeof(*console));
	struct sink *sink;
	int r;

	if (!console) {
		fd_close(&log_fd);
		return err_set(err, -ENOMEM, "no memory for the console; free some on this host");
	}
	console->loop = loop;
	console->input = input;
	console->input_arg = arg;
	console->pty_slave = -1;
	pthread_mutex_init(&console->lock, NULL);
	queue_init(&console->backlog, CONSOLE_BACKLOG);
	queue_init(&console->stage, CONSOLE_LOG_BUFFER);
	r = console_add_sources(console);
	if (r == 0 && log_fd >= 0)
		r = console_add_sink(console, SINK_LOG, take_fd(&log_fd), &sink);
	fd_close(&log_fd);
	if (r < 0)
		err_set(err, r, "the console cannot be set up: %s", strerror(-r));
	else if (want_pty)
		r = console_open_pty(console, err);
	if (r < 0) {
		console_close(console);
		return r;
	}
	*ret_console = console;
	return 0;
}

/* Give sinks that still take output until @deadline_ns. */
static void console_flush(struct console *console, uint64_t deadline_ns)
{
	struct pollfd pfds[CONSOLE_SOCKETS_MAX + 1];

	for (;;) {
		uint64_t now = clock_now_ns();
		nfds_t count = 0;

		for (struct sink *sink = console->sinks; sink; sink = sink->next) {
			if (sink->kind == SINK_PTY || !sink_has_output(sink))
				continue; /* nobody may ever read a PTY */
			sink_flush(sink);
			if (sink->source && sink_has_output(sink))
				pfds[count++] = (struct pollfd){.fd = sink->fd, .events = POLLOUT};
		}
		if (!count || now >= deadline_ns)
			return;
		poll(pfds, count, (int)((deadline_ns - now) / NS_PER_MS) + 1);
	}
}

void console_free(struct console *console)
{
	if (!console)
		return;
	console_drain(console);
	console_flush(console, clock_now_ns() + CONSOLE_FLUSH_NS);
	console_close(console);
}

int console_open(struct console *console, bool backlog)
{
	_cleanup_close_ int theirs = -1;
	struct sink *sink;
	int fds[2], r;

	console_drain(console); /* so that backlog and new output join without a seam */
	for (sink = console->sinks; sink; sink = sink->next)
		sink->dead = sink->dead || sink_is_abandoned(sink);
	console_sweep(console);
	if (console->sockets == CONSOLE_SOCKETS_MAX)
		return -EMFILE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	theirs = fds[1];
	r = console_add_sink(console, SINK_SOCKET, fds[0], &sink);
	if (r < 0)
		return r;
	if (backlog)
		queue_copy(&sink->queue, &console->backlog);
	sink_flush(sink);
	sink_set_events(sink);
	console_sweep(console);
	return take_fd(&theirs);
}

const char *console_pty_path(const struct console *console)
{
	return console->pty_path;
}
