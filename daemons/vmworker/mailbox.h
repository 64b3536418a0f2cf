/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest has posted (HvPostMessage) and the event loop has not yet read: bounded, filled by vCPU threads.
 */
#ifndef VMWORKER_MAILBOX_H
#define VMWORKER_MAILBOX_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/hyperv.h"

#define MAILBOX_MESSAGES 256u

struct mail {
	uint32_t connection_id;
	uint32_t type;
	uint32_t len; /* at most HV_MESSAGE_PAYLOAD_SIZE */
	uint8_t payload[HV_MESSAGE_PAYLOAD_SIZE];
};

/* Invariant: head < MAILBOX_MESSAGES, count <= MAILBOX_MESSAGES. */
struct mailbox {
	pthread_mutex_t lock;
	uint32_t head, count;
	struct mail mail[MAILBOX_MESSAGES];
};

void mailbox_init(struct mailbox *box);
void mailbox_done(struct mailbox *box);

/** mailbox_put - copy a message in. Return: 0; -EAGAIN (full); -EMSGSIZE. Context: any thread. */
int mailbox_put(struct mailbox *box, uint32_t connection_id, uint32_t type, const void *payload, size_t len);
/** mailbox_get - take the oldest. Return: 0 or -EAGAIN (empty). Context: any thread. */
int mailbox_get(struct mailbox *box, struct mail *ret_mail);
/** mailbox_clear - drop all. */
void mailbox_clear(struct mailbox *box);

#endif
