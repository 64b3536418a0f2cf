/* SPDX-License-Identifier: Apache-2.0 */
/* A first-in, first-out list of disk requests that wait, in a back end or a layer. All zero: empty. */
#ifndef STORAGED_DISK_QUEUE_H
#define STORAGED_DISK_QUEUE_H

#include "disk.h"

struct disk_queue {
	struct disk_request *head, *tail;
};

static inline void disk_queue_push(struct disk_queue *queue, struct disk_request *request)
{
	request->next = NULL;
	*(queue->tail ? &queue->tail->next : &queue->head) = request;
	queue->tail = request;
}

/** disk_queue_pop - Return: the oldest one; NULL if there is none. */
static inline struct disk_request *disk_queue_pop(struct disk_queue *queue)
{
	struct disk_request *request = queue->head;

	if (request)
		queue->head = request->next;
	if (!queue->head)
		queue->tail = NULL;
	return request;
}

/** disk_queue_remove - Return: whether @request was in it. */
static inline bool disk_queue_remove(struct disk_queue *queue, struct disk_request *request)
{
	struct disk_request *before = NULL;

	for (struct disk_request *at = queue->head; at; before = at, at = at->next) {
		if (at != request)
			continue;
		*(before ? &before->next : &queue->head) = at->next;
		if (queue->tail == at)
			queue->tail = before;
		return true;
	}
	return false;
}

#endif
