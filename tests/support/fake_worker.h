/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vmworker as a VSP sees it: the real RPC on a real socket, with a fake guest behind it. It may share a loop with the
 * VSP under test, or serve a VSP in another process. Functions without a result abort the test if they fail.
 */
#ifndef SUPPORT_FAKE_WORKER_H
#define SUPPORT_FAKE_WORKER_H

#include "abi/guid.h"
#include "base/err.h"
#include "fake_guest.h"
#include "ipc/loop.h"

#define FAKE_WORKER_OFFERS_MAX 256u
#define FAKE_WAIT_MS	       5000

struct fake_worker;

struct fake_offer {
	struct abi_guid interface_guid, instance_guid;
	uint32_t flags, subchannel_index;
	uint64_t block_bytes;
	int block_fd; /* of the last open; the worker's */
	bool withdrawn;
};

/* What the provider gets at Attach. Copied. */
struct fake_provider {
	const char *name;
	const void *config;
	size_t config_len;
	const int *fds; /* duplicated */
	size_t fd_count;
	const char *vm_name;
};

/** fake_worker_new - listen in a new private folder below $TMPDIR. @guest outlives it. */
struct fake_worker *fake_worker_new(struct loop *loop, struct fake_guest *guest, const struct fake_provider *provider);
void fake_worker_free(struct fake_worker *worker);
/** fake_worker_path - the socket that the VSP connects to. */
const char *fake_worker_path(const struct fake_worker *worker);

/** fake_worker_wait_ready - run the loop until the VSP called Ready. Return: 0 or -ETIMEDOUT. */
int fake_worker_wait_ready(struct fake_worker *worker);
size_t fake_worker_offers(const struct fake_worker *worker);
const struct fake_offer *fake_worker_offer(const struct fake_worker *worker, size_t index);

/** fake_worker_subchannels - how many the VSP has asked to be shown, the last time. */
uint32_t fake_worker_subchannels(const struct fake_worker *worker);

/* Calls to the VSP about offer @index; they run the loop until the answer. Return: 0 or the negative errno of the
 * answer. */
int fake_worker_open(struct fake_worker *worker, size_t index, struct fake_channel *channel);
int fake_worker_close(struct fake_worker *worker, size_t index);
int fake_worker_retarget(struct fake_worker *worker, size_t index, uint32_t vp);
int fake_worker_quiesce(struct fake_worker *worker);

/** fake_worker_close_begin - the same without waiting; *@outcome becomes 0 or a negative errno, and stays 1 until then.
 */
void fake_worker_close_begin(struct fake_worker *worker, size_t index, int *outcome);
void fake_worker_quiesce_begin(struct fake_worker *worker, int *outcome);

/** fake_worker_lend - the guest has made a GPADL of these pages for whatever channel asks for it. @ranges: @count,
 * copied; none: it is gone. */
void fake_worker_lend(struct fake_worker *worker, uint32_t gpadl, const struct guest_range *ranges, size_t count);
/** fake_worker_hold_lends - what is asked for from now on is answered at fake_worker_answer_lends(). */
void fake_worker_hold_lends(struct fake_worker *worker);
void fake_worker_answer_lends(struct fake_worker *worker);
/** fake_worker_revoke_begin - the guest wants it back; as fake_worker_close_begin(). */
void fake_worker_revoke_begin(struct fake_worker *worker, size_t index, uint32_t gpadl, int *outcome);

/** fake_worker_disconnect - drop the VSP's connection. */
void fake_worker_disconnect(struct fake_worker *worker);

/* What a recovery found, as the VSP's answer to Open says. */
struct fake_recovered {
	uint32_t replayed, lost, duplicate, failed;
};

/** fake_worker_open_begin - fake_worker_open() without waiting. @recover: with the block of the last open, which a
 * predecessor may have left; *@outcome as in fake_worker_close_begin(). @ret: may be NULL; filled with the answer. */
void fake_worker_open_begin(struct fake_worker *worker, size_t index, struct fake_channel *channel, bool recover,
			    struct fake_recovered *ret, int *outcome);

/** fake_worker_change_begin - VSP_CHANGE; as fake_worker_close_begin(). */
void fake_worker_change_begin(struct fake_worker *worker, const void *bytes, size_t len, const int *fds, size_t nfds,
			      int *outcome);

/** fake_worker_status - what the VSP has told last; the worker's. */
const void *fake_worker_status(const struct fake_worker *worker, size_t *ret_len);

/** fake_worker_hand_over - VSP_HAND_OVER, waiting. */
int fake_worker_hand_over(struct fake_worker *worker);

/** fake_worker_ping - VSP_PING, waiting. @ret_waits: what the answer says. */
int fake_worker_ping(struct fake_worker *worker, char ret_waits[80]);

/** fake_worker_is_ready - whether the VSP that is connected now has called Ready. */
bool fake_worker_is_ready(const struct fake_worker *worker);

/** fake_worker_set_cautious - what the next Attach is told: whether predecessors, the last one too, died of what they
 * did. */
void fake_worker_set_cautious(struct fake_worker *worker, bool cautious);

/** fake_worker_set_was_open - what opens with @recover say from now on: whether a predecessor had answered. */
void fake_worker_set_was_open(struct fake_worker *worker, bool was_open);

/** fake_worker_set_gather - opens with @recover say from now on that fake_worker_resumed() follows. */
void fake_worker_set_gather(struct fake_worker *worker, bool gather);
int fake_worker_resumed(struct fake_worker *worker);

/** fake_worker_leave - a keepsake of a predecessor's, before the first Attach. @fd: duplicated. */
void fake_worker_leave(struct fake_worker *worker, const char *key, int fd);

/** fake_worker_kept - the keepsake of this key, the worker's; -1: there is none. */
int fake_worker_kept(const struct fake_worker *worker, const char *key);

/** fake_worker_run - run what the loop has to do now, without waiting. */
void fake_worker_run(struct fake_worker *worker);
/** fake_worker_run_until - run the loop until @done says so. Return: 0 or -ETIMEDOUT (FAKE_WAIT_MS). */
int fake_worker_run_until(struct fake_worker *worker, bool (*done)(void *arg), void *arg);

/** fake_worker_get - next packet for the guest, running the loop until it is there. Return: 0 or -ETIMEDOUT. */
int fake_worker_get(struct fake_worker *worker, struct fake_channel *channel, struct fake_packet *ret_packet);

#endif
