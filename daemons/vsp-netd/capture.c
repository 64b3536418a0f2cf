/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "bpf.h"

#define BUFFER_LEN  (1u << 20)
#define FLUSH_LEN   (64u << 10) /* is not waited for any longer */
#define FLUSH_NS    (20 * NS_PER_MS)
#define FILTER_LOOK 1024u /* bytes that a filter sees at least */
#define BLOCK_SHB   0x0a0d0d0au
#define BLOCK_IDB   1u
#define BLOCK_ISB   5u
#define BLOCK_EPB   6u
#define MAGIC	    0x1a2b3c4du
#define LINK_ETHER  1u
#define OPTION_END  0u
#define IF_NAME	    2u
#define IF_TSRESOL  9u
#define EPB_FLAGS   2u
#define EPB_DROPS   4u
#define ISB_IFRECV  4u
#define ISB_IFDROP  5u
#define NANOSECONDS 9u /* 10^-9 */
#define BLOCK_FRAME 12u
#define OPTIONS_MAX 128u

struct capture {
	struct loop_source *source, *timer; /* source: NULL: a regular file */
	int fd;
	bool over, waiting, armed;
	uint32_t snap_len;
	struct sock_filter *filter;	   /* NULL: everything */
	uint64_t passed, dropped, missing; /* missing: since the last one that was written */
	size_t from, to;		   /* of buffer */
	uint8_t frame[CAPTURE_FRAME_MAX];
	uint8_t buffer[BUFFER_LEN];
};

/* A block under construction, in the buffer. */
struct block {
	uint8_t *at;
	size_t len;
};

/* ---- writing ---- */

static void end(struct capture *capture)
{
	capture->over = true;
	if (capture->source)
		(void)loop_set_events(capture->source, 0);
	loop_disarm(capture->timer);
}

static void flush(struct capture *capture)
{
	while (!capture->over && capture->from < capture->to) {
		ssize_t n = write(capture->fd, capture->buffer + capture->from, capture->to - capture->from);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && capture->source)
			break;
		if (n <= 0) {
			end(capture);
			return;
		}
		capture->from += (size_t)n;
	}
	if (capture->from == capture->to)
		capture->from = capture->to = 0;
	capture->waiting = capture->to != 0;
	if (capture->source)
		(void)loop_set_events(capture->source, capture->waiting ? LOOP_WRITE : 0);
}

static void on_writable(int fd, unsigned int events, void *arg)
{
	(void)fd;
	(void)events;
	flush(arg);
}

static void on_timer(void *arg)
{
	struct capture *capture = arg;

	capture->armed = false;
	if (!capture->waiting)
		flush(capture);
}

static void flush_soon(struct capture *capture)
{
	if (capture->waiting)
		return;
	if (capture->to - capture->from >= FLUSH_LEN || !capture->source) {
		flush(capture);
	} else if (!capture->armed) {
		capture->armed = true;
		loop_arm(capture->timer, FLUSH_NS);
	}
}

/* Whether a block of @len has room. */
static bool make_room(struct capture *capture, size_t len)
{
	if (BUFFER_LEN - capture->to >= len)
		return true;
	memmove(capture->buffer, capture->buffer + capture->from, capture->to - capture->from);
	capture->to -= capture->from;
	capture->from = 0;
	return BUFFER_LEN - capture->to >= len;
}

/* ---- blocks ---- */

static struct block begin_block(struct capture *capture, uint32_t type)
{
	struct block block = {capture->buffer + capture->to, 8};

	put_le32(block.at, type);
	return block;
}

static void add(struct block *block, const void *bytes, size_t len)
{
	size_t padded = ALIGN_UP(len, (size_t)4);

	memcpy(block->at + block->len, bytes, len);
	memset(block->at + block->len + len, 0, padded - len);
	block->len += padded;
}

static void add32(struct block *block, uint32_t value)
{
	add(block, &value, sizeof(value));
}

static void add_option(struct block *block, uint32_t code, const void *bytes, size_t len)
{
	add32(block, code | (uint32_t)len << 16);
	add(block, bytes, len);
}

static void end_block(struct capture *capture, struct block *block)
{
	uint32_t len = (uint32_t)block->len + 4;

	put_le32(block->at + 4, len);
	add32(block, len);
	capture->to += len;
}

/* High half first. */
static void add_time(struct block *block)
{
	struct timespec now;
	uint64_t ns;

	clock_gettime(CLOCK_REALTIME, &now);
	ns = (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
	add32(block, (uint32_t)(ns >> 32));
	add32(block, (uint32_t)ns);
}

static void put_start(struct capture *capture, const char *name)
{
	const uint8_t resolution = NANOSECONDS;
	struct block block = begin_block(capture, BLOCK_SHB);

	add32(&block, MAGIC);
	add32(&block, 1); /* version 1.0 */
	add32(&block, UINT32_MAX);
	add32(&block, UINT32_MAX); /* the section's length is not known */
	end_block(capture, &block);
	block = begin_block(capture, BLOCK_IDB);
	add32(&block, LINK_ETHER);
	add32(&block, capture->snap_len);
	add_option(&block, IF_NAME, name, MIN(strlen(name), OPTIONS_MAX / 2));
	add_option(&block, IF_TSRESOL, &resolution, 1);
	add32(&block, OPTION_END);
	end_block(capture, &block);
}

static void put_end(struct capture *capture)
{
	struct block block;

	if (!make_room(capture, BLOCK_FRAME + OPTIONS_MAX))
		return;
	block = begin_block(capture, BLOCK_ISB);
	add32(&block, 0);
	add_time(&block);
	add_option(&block, ISB_IFRECV, &capture->passed, sizeof(capture->passed));
	add_option(&block, ISB_IFDROP, &capture->dropped, sizeof(capture->dropped));
	add32(&block, OPTION_END);
	end_block(capture, &block);
}

static void put_frame(struct capture *capture, enum capture_way way, size_t have, size_t len)
{
	struct block block = begin_block(capture, BLOCK_EPB);
	uint32_t flags = way;

	add32(&block, 0);
	add_time(&block);
	add32(&block, (uint32_t)have);
	add32(&block, (uint32_t)len);
	add(&block, capture->frame, have);
	add_option(&block, EPB_FLAGS, &flags, sizeof(flags));
	if (capture->missing)
		add_option(&block, EPB_DROPS, &capture->missing, sizeof(capture->missing));
	add32(&block, OPTION_END);
	end_block(capture, &block);
	capture->missing = 0;
}

/* ---- frames ---- */

/* Copied once: what the filter sees is what is written. */
static size_t copy(struct capture *capture, const struct iovec *piece, unsigned int pieces, size_t want)
{
	size_t have = 0;

	for (unsigned int i = 0; i < pieces && have < want; i++) {
		size_t n = MIN(piece[i].iov_len, want - have);

		memcpy(capture->frame + have, piece[i].iov_base, n);
		have += n;
	}
	return have;
}

void capture_frame(struct capture *capture, enum capture_way way, const struct iovec *piece, unsigned int pieces,
		   size_t len)
{
	size_t snap = MIN(len, (size_t)capture->snap_len), have;
	uint32_t wanted = UINT32_MAX;

	if (capture->over || len > CAPTURE_FRAME_MAX)
		return;
	have = copy(capture, piece, pieces,
		    capture->filter ? MIN(MIN(MAX(snap, FILTER_LOOK), len), sizeof(capture->frame)) : snap);
	if (capture->filter)
		wanted = bpf_run(capture->filter, capture->frame, have, len);
	if (!wanted)
		return;
	have = MIN(MIN(have, snap), (size_t)wanted);
	capture->passed++;
	if (make_room(capture, BLOCK_FRAME + OPTIONS_MAX + have)) {
		put_frame(capture, way, have, len);
	} else {
		capture->dropped++;
		capture->missing++;
	}
	flush_soon(capture);
}

/* ---- life ---- */

bool capture_over(const struct capture *capture)
{
	return capture->over;
}

static int watch(struct loop *loop, struct capture *capture)
{
	int r = fd_set_nonblock(capture->fd, true);

	if (r == 0)
		r = loop_add_timer(loop, on_timer, capture, &capture->timer);
	if (r < 0)
		return r;
	r = loop_add_fd(loop, capture->fd, 0, on_writable, capture, &capture->source);
	/* A regular file cannot be watched, and takes everything. */
	return r < 0 && lseek(capture->fd, 0, SEEK_CUR) >= 0 ? 0 : r;
}

int capture_new(struct loop *loop, int *fd, const char *name, const struct sock_filter *filter, size_t filter_len,
		uint32_t snap_len, struct capture **ret_capture, struct err *err)
{
	_cleanup_close_ int own = take_fd(fd);
	struct capture *capture;
	int r;

	if (filter_len && bpf_check(filter, filter_len) < 0)
		return err_set(err, -EINVAL, "%s: the capture's filter is no program of classic BPF over a frame",
			       name);
	capture = calloc(1, sizeof(*capture));
	if (!capture)
		return err_set(err, -ENOMEM, "%s: no memory for a capture", name);
	capture->fd = take_fd(&own);
	capture->snap_len = snap_len && snap_len < CAPTURE_FRAME_MAX ? snap_len : CAPTURE_FRAME_MAX;
	r = watch(loop, capture);
	if (r == 0 && filter_len) {
		capture->filter = calloc(filter_len, sizeof(*filter));
		r = capture->filter ? 0 : -ENOMEM;
	}
	if (r < 0) {
		capture->over = true;
		capture_free(capture);
		return err_set(err, r, "%s: nothing can be captured to this descriptor: %s", name, err_name(r));
	}
	if (filter_len)
		memcpy(capture->filter, filter, filter_len * sizeof(*filter));
	put_start(capture, name);
	flush(capture);
	*ret_capture = capture;
	return 0;
}

void capture_free(struct capture *capture)
{
	if (!capture)
		return;
	if (!capture->over) {
		put_end(capture);
		flush(capture);
	}
	loop_remove(&capture->source);
	loop_remove(&capture->timer);
	fd_close(&capture->fd);
	free(capture->filter);
	free(capture);
}
