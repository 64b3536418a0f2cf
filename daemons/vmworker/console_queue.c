/* SPDX-License-Identifier: Apache-2.0 */
#include "console_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define QUEUE_CAP_MIN 4096u

void queue_init(struct console_queue *queue, size_t max)
{
	*queue = (struct console_queue){.max = max};
}

void queue_done(struct console_queue *queue)
{
	free(queue->buf);
	queue_init(queue, queue->max);
}

/* Copy @len bytes from the position @at on; they may wrap. */
static void queue_store(struct console_queue *queue, size_t at, const uint8_t *buf, size_t len)
{
	size_t start = at % queue->cap, first = MIN(len, queue->cap - start);

	memcpy(queue->buf + start, buf, first);
	memcpy(queue->buf, buf + first, len - first);
}

/* Make room for @len bytes in all, as far as limit and memory allow. */
static void queue_grow(struct console_queue *queue, size_t len)
{
	size_t cap = MAX(queue->cap, MIN(QUEUE_CAP_MIN, queue->max)), first;
	uint8_t *buf;

	while (cap < len && cap < queue->max)
		cap = MIN(cap * 2, queue->max);
	if (cap == queue->cap)
		return;
	buf = malloc(cap);
	if (!buf)
		return;
	first = MIN(queue->len, queue->cap - queue->head);
	if (queue->len) {
		memcpy(buf, queue->buf + queue->head, first);
		memcpy(buf + first, queue->buf, queue->len - first);
	}
	free(queue->buf);
	queue->buf = buf;
	queue->cap = cap;
	queue->head = 0;
}

void queue_put(struct console_queue *queue, const void *buf, size_t len)
{
	const uint8_t *bytes = buf;

	if (!len)
		return;
	if (len > queue->cap - queue->len)
		queue_grow(queue, queue->len + MIN(len, queue->max));
	if (len > queue->cap) { /* not even these alone */
		queue->missed += queue->len + (len - queue->cap);
		bytes += len - queue->cap;
		len = queue->cap;
		queue->head = queue->len = 0;
	} else if (len > queue->cap - queue->len) {
		size_t old = len - (queue->cap - queue->len);

		queue->missed += old;
		queue->head = (queue->head + old) % queue->cap;
		queue->len -= old;
	}
	if (!len)
		return;
	queue_store(queue, queue->head + queue->len, bytes, len);
	queue->len += len;
}

size_t queue_peek(const struct console_queue *queue, const uint8_t **ret_buf)
{
	if (!queue->len)
		return 0;
	*ret_buf = queue->buf + queue->head;
	return MIN(queue->len, queue->cap - queue->head);
}

void queue_skip(struct console_queue *queue, size_t len)
{
	assert(len <= queue->len);
	queue->len -= len;
	if (queue->len) {
		queue->head = (queue->head + len) % queue->cap;
		return;
	}
	queue->head = 0; /* begin again at the pages that are warm */
	if (queue->cap > QUEUE_CAP_MIN) {
		free(queue->buf);
		queue->buf = NULL;
		queue->cap = 0;
	}
}

void queue_copy(struct console_queue *queue, const struct console_queue *from)
{
	size_t first = MIN(from->len, from->cap - from->head);

	if (!from->len)
		return;
	queue_put(queue, from->buf + from->head, first);
	queue_put(queue, from->buf, from->len - first);
}
