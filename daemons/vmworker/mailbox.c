// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "mailbox.h"

void mailbox_init(struct mailbox *box)
{
	pthread_mutex_init(&box->lock, NULL);
	box->head = box->count = 0;
}

void mailbox_done(struct mailbox *box)
{
	pthread_mutex_destroy(&box->lock);
}

int mailbox_put(struct mailbox *box, uint32_t connection_id, uint32_t type, const void *payload, size_t len)
{
	struct mail *mail;
	int r = -EAGAIN;

	if (len > sizeof(mail->payload))
		return -EMSGSIZE;
	pthread_mutex_lock(&box->lock);
	if (box->count < MAILBOX_MESSAGES) {
		mail = &box->mail[(box->head + box->count++) % MAILBOX_MESSAGES];
		mail->connection_id = connection_id;
		mail->type = type;
		mail->len = (uint32_t)len;
		memcpy(mail->payload, payload, len);
		r = 0;
	}
	pthread_mutex_unlock(&box->lock);
	return r;
}

int mailbox_get(struct mailbox *box, struct mail *ret_mail)
{
	int r = -EAGAIN;

	pthread_mutex_lock(&box->lock);
	if (box->count) {
		*ret_mail = box->mail[box->head];
		box->head = (box->head + 1) % MAILBOX_MESSAGES;
		box->count--;
		r = 0;
	}
	pthread_mutex_unlock(&box->lock);
	return r;
}

void mailbox_clear(struct mailbox *box)
{
	pthread_mutex_lock(&box->lock);
	box->head = box->count = 0;
	pthread_mutex_unlock(&box->lock);
}
