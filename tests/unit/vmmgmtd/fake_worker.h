/* SPDX-License-Identifier: Apache-2.0 */
/* A worker of a VM that runs, for tests of its manager: it answers changes when the test says so. */
#ifndef TEST_FAKE_WORKER_H
#define TEST_FAKE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "domain.h"
#include "ipc/loop.h"

struct fake_worker {
	struct loop *loop;
	struct rpc_server *server;
	struct rpc_conn *conn;	     /* of the manager; NULL: none */
	struct rpc_call *change;     /* under way; NULL: none */
	unsigned int changes;	     /* that it was asked for */
	bool holds;		     /* it answers nothing that it is asked about itself, until it goes on */
	uint32_t refuses;	     /* GET_PROVIDER: bit 0: the next one, bit 1: the one behind it, ... */
	int refuses_with;	     /* error; 0: -ENOMEM */
	struct rpc_call *held[2];    /* SUBSCRIBE, GET_PROVIDER; NULL: none */
	uint8_t *config, *config_of; /* of its vsp-netd's; the one that comes with the change. Heap */
	size_t len, len_of;
};

/** fake_worker_start - listen on @path. */
void fake_worker_start(struct fake_worker *worker, struct loop *loop, const char *path);
void fake_worker_stop(struct fake_worker *worker);
/** fake_worker_hang_up - close the manager's connection; what is asked on it has no answer. */
void fake_worker_hang_up(struct fake_worker *worker);
/** fake_worker_go_on - after `holds`: answer what was held. */
void fake_worker_go_on(struct fake_worker *worker);
/** fake_worker_has - what its VM has is as @domain says. */
void fake_worker_has(struct fake_worker *worker, const struct domain *domain);
/** fake_worker_answer - the change under way: 0, and it is made; or an error. */
void fake_worker_answer(struct fake_worker *worker, int error);

#endif
