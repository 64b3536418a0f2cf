/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of bytes that grows to a limit and then forgets its oldest ones. Not thread-safe. */
#ifndef VMWORKER_CONSOLE_QUEUE_H
#define VMWORKER_CONSOLE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

/* Invariant: len <= cap <= max; the bytes are buf[(head + i) % cap]. */
struct console_queue {
	uint8_t *buf; /* owned; NULL while cap is 0 */
	size_t cap, head, len, max;
	uint64_t missed; /* bytes forgotten, or never stored for lack of memory; the user of the queue clears it */
};

/** queue_init - an empty queue that holds at most @max bytes. It owns memory only while it holds bytes. */
void queue_init(struct console_queue *queue, size_t max);
void queue_done(struct console_queue *queue);

/** queue_put - append @len bytes; what is too much pushes out the oldest. Never fails: see missed. */
void queue_put(struct console_queue *queue, const void *buf, size_t len);

/** queue_peek - the oldest bytes that lie together. Return: how many, with *@ret_buf valid until the next call; 0 if
 * empty. */
size_t queue_peek(const struct console_queue *queue, const uint8_t **ret_buf);

/** queue_skip - forget the oldest @len bytes; @len is at most what the queue holds. */
void queue_skip(struct console_queue *queue, size_t len);

/** queue_copy - append all bytes of @from to @queue. */
void queue_copy(struct console_queue *queue, const struct console_queue *from);

#endif
