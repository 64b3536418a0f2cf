/* SPDX-License-Identifier: Apache-2.0 */
/* Two connected sides on one loop, or one side and a raw socket that says what it likes; counting of descriptors. */
#ifndef TESTS_IPC_FIXTURE_H
#define TESTS_IPC_FIXTURE_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "ipc/conn.h"
#include "proto/types.pb-c.h"

enum {
	M_ECHO = 1,	/* MemoryRange -> MemoryRange, with as many descriptors as came (up to 4) */
	M_LATER = 2,	/* Empty -> Empty: kept in side.held until the test answers */
	M_ADMIN = 3,	/* Empty -> Empty: role 2 only */
	M_TWO_FDS = 4,	/* Empty -> Empty: exactly two descriptors */
	M_NOTE = 5,	/* notification of a MemoryRange */
	M_BAD_TYPE = 6, /* Empty -> Empty: fails with -ENOSPC */
	M_BYE = 7,	/* Empty -> Empty: frees the connection inside the handler */
	M_UNKNOWN = 99,
};

struct side {
	struct rpc_conn *conn;
	bool connected;
	unsigned int closed; /* how often */
	int error;
	char why[ERR_TEXT_MAX];
	struct rpc_call *held[RPC_QUEUE_MAX + 1];
	size_t nheld;
	unsigned int notes;
	uint64_t note_gpa;
	int keep_fd; /* the last descriptor that M_ECHO was given, if asked for */
	bool want_fd;
};

struct outcome {
	unsigned int count;
	int error;
	char text[ERR_TEXT_MAX];
	uint64_t gpa;
	size_t nfds;
	int fd;		       /* the first one, kept */
	struct rpc_conn *free; /* given up inside the callback */
};

extern const struct rpc_service test_service;
extern const struct rpc_conn_ops side_ops;

void fixture_pair(struct loop *loop, struct side *a, struct side *b);
/* A side and the raw other end of its connection, which has said HELLO and read ours if @greet. */
int fixture_raw(struct loop *loop, struct side *side, bool greet);
void fixture_settle(struct loop *loop);
void fixture_until(struct loop *loop, const unsigned int *count);
size_t count_fds(void);
void on_outcome(int error, const char *text, const ProtobufCMessage *msg, int *fds, size_t nfds, void *arg);
void raw_send(int fd, const void *data, size_t len, const int *fds, size_t nfds);
size_t raw_frame(uint8_t *buf, enum frame_kind kind, uint32_t method, uint64_t id, const void *payload, size_t len,
		 unsigned int nfds);
/* Receive one frame on the raw side; the payload stays valid until the next. -EAGAIN: none; -EPIPE: the end. */
int raw_receive(int fd, struct frame *ret_frame);

#endif
