/* SPDX-License-Identifier: Apache-2.0 */
/* Between spawner.c in the daemon and spawner_helper.c in its helper: one record of the socket is one message. */
#ifndef DAEMON_SPAWNER_MSG_H
#define DAEMON_SPAWNER_MSG_H

#include <stdint.h>
#include <sys/types.h>

#include "daemon/spawner.h"

enum spawner_kind {
	SPAWNER_START = 1, /* to the helper: strings behind it, with the descriptors below */
	SPAWNER_STARTED,   /* its answer: pid and value 0 with a pidfd, or a negative errno in value */
	SPAWNER_ENDED,	   /* from the helper: pid, and in value what waitpid() said */
	SPAWNER_KILL,	   /* to the helper: pid */
	SPAWNER_AGAIN,	   /* from the keeper: the helper was killed, there is another one */
};

enum spawner_fd {
	SPAWNER_FD_EXE,
	SPAWNER_FD_LOG,
	SPAWNER_FD_READY,
	SPAWNER_FD_IN,
	SPAWNER_FDS
}; /* IN: if there is one */

struct spawner_msg {
	uint32_t kind;
	int32_t pid;
	int32_t value;	 /* SPAWNER_START: the number of strings, the name included */
	uint32_t serial; /* SPAWNER_START: any number; SPAWNER_STARTED: the same */
	uint32_t len;	 /* of the strings behind it, each with its NUL; 0 but for SPAWNER_START */
};

struct spawner_start {
	struct spawner_msg msg;
	char strings[SPAWNER_BYTES_MAX];
};

/** spawner_send - one message of @len bytes with @count descriptors. Return: 0 or a negative errno. */
int spawner_send(int fd, const void *msg, size_t len, const int *fds, size_t count);

/**
 * spawner_receive - one message.
 * @fds: room for SPAWNER_FDS; those that came are the caller's, the others are -1.
 * Return: its bytes, 0 at the end, or a negative errno (-EAGAIN: nothing there, with MSG_DONTWAIT in @flags).
 */
ssize_t spawner_receive(int fd, void *msg, size_t size, int flags, int *fds);

/** spawner_helper - what the keeper and the helper do until the other end of @fd closes; it never returns. */
void spawner_helper(int fd) __attribute__((noreturn));

#endif
