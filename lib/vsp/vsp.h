/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every VSP shares: attachment to the worker, offers, channels, requests, drain, the state block.
 *
 * Theory of operation: a VSP is one process with one event loop. vsp_attach() connects to the worker, maps guest memory
 * and fetches the configuration and its descriptors. The VSP makes its offers. When the guest opens a channel, the
 * library maps the ring and calls ops->open; each packet is copied once, checked, accepted into a slot of the channel's
 * state block, and handed to ops->packet as a struct vsp_request; after a batch ops->batch_end. The VSP completes each
 * request exactly once. Close and quiesce stop reading the ring, wait until every accepted request is completed, call
 * ops->close, then unmap and acknowledge.
 *
 * Recovery: if a predecessor of this process had the channel open, the library takes over where it stopped: what it had
 * published counts, what it had executed is published, what it had accepted comes again through ops->packet, in the old
 * order, before anything new, once ops->recover has seen all channels that were open. The device's negotiated state
 * lies in the block; it changes together with a completion, by vsp_complete_state(), or a word of it by itself, by
 * vsp_set_state_word(). The device must see to it before vsp_ready() that no I/O of the predecessor's is
 * under way any more (the fence): what it needs for that it finds among the keepsakes.
 *
 * The worker asks every few seconds whether the loop still runs; it kills a process that does not answer. So nothing
 * may block the loop's thread for long; what has to wait before vsp_ready() runs the loop, and says so by vsp_waits().
 *
 * Completions made inside ops->packet, ops->batch_end or between vsp_batch_begin() and vsp_batch_end() are published
 * together (one commit, at most one interrupt); outside of these each is published at once.
 *
 * Limits: VSP_IOV_MAX pieces of guest memory a request, VSP_CHANNELS_MAX offers.
 */
#ifndef VSP_VSP_H
#define VSP_VSP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "abi/guid.h"
#include "base/err.h"
#include "guest/mem.h"
#include "ipc/loop.h"
#include "vsp/stats.h"

struct guest_buffer;
struct vsp;
struct vsp_buffer;
struct vsp_channel;

#define VSP_IOV_MAX	 68u   /* a 256 KiB transfer that starts within a page, and room */
#define VSP_CHANNELS_MAX 2047u /* as many as a guest can have */

/* One packet of the guest, accepted; lives in a slot until vsp_complete(). */
struct vsp_request {
	struct vsp_channel *channel; /* what is used most comes first: it is in few cache lines then */
	uint64_t transaction_id;
	const void *payload; /* private copy, a multiple of 8 bytes long */
	void *device_data;   /* @request_size bytes of the device's own, zeroed at accept */
	uint32_t slot;
	uint32_t payload_len;
	uint16_t type; /* VMPACKET_DATA_INBAND, VMPACKET_DATA_GPA_DIRECT, VMPACKET_COMPLETION (of a packet of ours) */
	bool wants_completion; /* if not, vsp_complete() only frees the slot */
	/* Why the page list cannot be used (iovs is 0 then): -EFAULT (not memory), -E2BIG (too many pieces); else 0. */
	int data_error;
	unsigned int iovs;
	uint32_t data_len;
	struct stats_account account; /* the device's to fill in before vsp_complete(); unit is NULL at accept */
	struct stats_times times;     /* the library's */
	uint32_t mark;		      /* vsp_mark() of a predecessor, which died of or with this request; 0: none */
	/* data pages of a GPA-direct packet: validated, mapped; 0 for in-band packets */
	struct iovec iov[VSP_IOV_MAX];
};

/* A VSP's device: constant. All functions run on the loop's thread. @channel in packet() is open, in close() for the
 * last time. */
struct vsp_device_ops {
	const char *name;
	size_t request_size; /* bytes of device_data for each slot */
	size_t channel_size; /* bytes of the device's own for each open channel, zeroed at open: vsp_channel_data() */
	unsigned int slots;  /* requests accepted at once on a channel; more wait in the ring */
	size_t packet_max;   /* bytes of the longest packet, with descriptor and page list; 0: BLOCK_PACKET_DEFAULT */
	size_t reply_max;    /* bytes of the longest completion payload; 0: BLOCK_REPLY_DEFAULT */
	size_t state_size;   /* bytes of negotiated state that a successor needs: vsp_channel_state() */
	uint32_t state_version; /* of its layout; what is older is known too */
	size_t table_size;	/* bytes of words of the device's own that a successor needs: vsp_channel_table() */
	int (*open)(struct vsp_channel *channel,
		    const uint8_t user_data[120]); /* 0 or a negative errno: the open fails */
	/* Instead of open(), at a recovery: vsp_channel_state() is a predecessor's, to be checked. 0 or a negative
	 * errno: the channel stays stopped. NULL: nothing to check. Of a channel that open() or recover() has refused
	 * the device keeps nothing; all others are closed by close(), but at vsp_free(). */
	int (*recover)(struct vsp_channel *channel);
	void (*packet)(struct vsp_channel *channel, struct vsp_request *request);
	/* Predecessors have died of this request: answer it with the protocol's error, without executing it. */
	void (*fail)(struct vsp_channel *channel, struct vsp_request *request);
	void (*batch_end)(struct vsp_channel *channel); /* after the last packet of a batch: submit now; may be NULL */
	/* The guest closes the channel, or another process is about to serve it: vsp_leave() what waits for something
	 * that may never come. May be NULL. */
	void (*closing)(struct vsp_channel *channel);
	void (*close)(struct vsp_channel *channel); /* no request is in flight any more */
	/* The guest has closed a channel that was open under a predecessor and could not be taken over
	 * (vsp_stranded()): it was never open here. May be NULL. */
	void (*abandoned)(struct vsp_channel *channel);
	/*
	 * The guest has completed the packet of ours that vsp_send_pages() numbered @id: @payload is a private copy.
	 * Not counted among the slots. After a recovery it may be told again of one that a predecessor was told of, and
	 * guests make numbers up: the device knows which are under way. NULL: it sends none.
	 */
	void (*completed)(struct vsp_channel *channel, uint64_t id, const void *payload, size_t len);
	/* After -EAGAIN of vsp_send() or vsp_send_pages(): there is room. After recover() too, once all channels of the
	 * predecessor are taken over: before that vsp_send_pages() says -EAGAIN. Inside a batch. May be NULL. */
	void (*room)(struct vsp_channel *channel);
	/* The guest wants memory back that it has lent: nothing of it may be touched any more. vsp_buffer_release() at
	 * once, or when the I/O that uses it is over. */
	void (*revoked)(struct vsp_channel *channel, struct vsp_buffer *buffer);
};

struct vsp_offer_desc {
	struct abi_guid interface_guid, instance_guid;
	uint16_t flags;
	uint16_t mmio_megabytes;
	const void *user_defined;
	size_t user_defined_len;
	uint16_t subchannel_index;
	const char *name; /* in messages: "scsi0" */
};

struct vsp_change;

struct vsp_config {
	const char *name;	 /* "storage" */
	const char *program;	 /* name and version, for people; NULL: none */
	uint32_t state_version;	 /* the newest of its devices' ops */
	const char *worker_path; /* the worker's socket */
	const char *invocation;	 /* a service manager's number for this run, $INVOCATION_ID; NULL: none */
	/* The worker went away: the VSP must end. Do not vsp_free() inside. */
	void (*worker_gone)(void *arg, const char *why);
	/* What it serves is to change, while it serves: @bytes (@len, from the manager; nothing in it is trusted) say
	 * how. @fds: the descriptors that came with it, up to VSP_CHANGE_FDS_MAX; the callee sets those that it takes
	 * over to -1. vsp_changed() follows, perhaps from inside. NULL: nothing can change. */
	void (*change)(void *arg, const void *bytes, size_t len, int *fds, size_t nfds, struct vsp_change *change);
	/* Once, inside vsp_ready() or later: all channels that a predecessor's guest has open have been asked for; what
	 * is closed now it has not open. A worker that is too old does not say so. NULL: nobody wants to know. */
	void (*gathered)(void *arg);
	void *arg;
};

/**
 * vsp_attach - connect, attach, map; runs the loop until it is done or failed.
 * Return: 0; a negative errno with one line.
 */
int vsp_attach(struct loop *loop, const struct vsp_config *config, struct vsp **ret_vsp, struct err *err);
/** vsp_free - unmap, close; channels that are open are dropped without a word to the guest. */
void vsp_free(struct vsp *vsp);

/** What the worker handed over; all stay the vsp's. */
const void *vsp_config_bytes(const struct vsp *vsp, size_t *ret_len);
int vsp_config_fd(const struct vsp *vsp, size_t index); /* -1 if there is no such descriptor */
/** vsp_config_fds - how many of them there are. */
size_t vsp_config_fds(const struct vsp *vsp);
/** vsp_take_config_fds - the first @count of them, which are the caller's from now on; -1 if there are no more. */
void vsp_take_config_fds(struct vsp *vsp, int *ret_fds, size_t count);
const char *vsp_vm_name(const struct vsp *vsp);
uint32_t vsp_cpus(const struct vsp *vsp);

/**
 * vsp_tell - what the manager should know of what is served, instead of what was told before; at any time after
 * vsp_ready().
 * @bytes: @len, up to VSP_STATUS_MAX; of a format of its own.
 * Return: 0 or a negative errno: it has not been told. A worker that is too old for it does not take it.
 */
int vsp_tell(struct vsp *vsp, const void *bytes, size_t len);

/** vsp_changed - the answer to vsp_config.change(): err->code is 0, or nothing has changed. @change is gone. */
void vsp_changed(struct vsp_change *change, const struct err *err);

/** vsp_hands_over - whether another process is about to serve: what is closed now is closed for it, and the guest has
 * it open all the same. */
bool vsp_hands_over(const struct vsp *vsp);

/** vsp_gathering - whether some of a predecessor's channels have been asked for, and others may follow: until
 * vsp_config.gathered(). */
bool vsp_gathering(const struct vsp *vsp);

/** vsp_generation - how many processes have served under this name before: 0 for the first. */
uint32_t vsp_generation(const struct vsp *vsp);

/**
 * vsp_keep - leave something with the worker for our successors; replaces what has the same @key.
 * @key: 1 to VSP_KEY_MAX bytes. @fd: stays the caller's. @data: @len bytes, at most VSP_KEEPSAKE_MAX (proto/methods.h).
 * Return: 0; -EINVAL (too long), what the worker refused, with a line.
 */
int vsp_keep(struct vsp *vsp, const char *key, int fd, const void *data, size_t len, struct err *err);

/** vsp_keepsake - what a predecessor left. Return: its descriptor, which stays the vsp's, or -ENOENT. Nothing of it is
 * to be trusted. */
int vsp_keepsake(const struct vsp *vsp, const char *key, const void **ret_data, size_t *ret_len);

/**
 * vsp_stats_begin - count from now on, where a predecessor has stopped; what it has left and cannot be used is told of
 * in the log. Before the first offer, once nothing of a predecessor's is under way any more.
 * Return: 0; a negative errno with a line: nothing is counted.
 */
int vsp_stats_begin(struct vsp *vsp, struct err *err);
/** vsp_stats - for the device's units; the vsp's. NULL: nothing is counted. */
struct stats *vsp_stats(const struct vsp *vsp);

/** vsp_offer - make an offer; waits for the worker's answer. @device: argument for vsp_channel_device(). */
int vsp_offer(struct vsp *vsp, const struct vsp_offer_desc *desc, const struct vsp_device_ops *ops, void *device,
	      struct err *err);
/**
 * vsp_offer_begin - the same after vsp_ready(), without waiting.
 * @done: told once, from the loop: 0, or a negative errno with a line, and the offer is gone.
 * Return: 0 or a negative errno: @done is not told.
 */
int vsp_offer_begin(struct vsp *vsp, const struct vsp_offer_desc *desc, const struct vsp_device_ops *ops, void *device,
		    void (*done)(void *arg, const struct err *err), void *arg);
/**
 * vsp_withdraw - offer a channel no more: it is drained and closed, then the worker is told, and the guest by it. In
 * this order, for a guest that is told frees the rings at once; a request that it puts in before it hears of it is
 * never answered: the device sees to it that the guest asks nothing then. Withdraw sub-channels before their primary
 * channel. The same instance may be offered again once vsp_offered() does not find it any more. @channel is gone then.
 * After vsp_ready(), not inside a device's function.
 */
void vsp_withdraw(struct vsp_channel *channel);
/** vsp_offered - the channel of the offer of this @name, also while it is being withdrawn; NULL if there is none. */
struct vsp_channel *vsp_offered(const struct vsp *vsp, const char *name);

/**
 * vsp_subchannels - the guest has asked for sub-channels by the device's protocol: it sees those from now on that were
 * offered with subchannel_index 1 to @count (offer all that a guest may ask for before vsp_ready(), so that a successor
 * does the same). @channel: the primary channel, open. Return: 0; a negative errno: the worker is gone.
 */
int vsp_subchannels(struct vsp_channel *channel, uint32_t count);

/**
 * vsp_waits - before vsp_ready(): something that may take long keeps us from it, while the loop runs. The worker, which
 * asks again and again whether we live, neither kills us for it nor leaves people in the dark.
 * @what: a constant, as in "waits for WHAT"; NULL: it is over.
 */
void vsp_waits(struct vsp *vsp, const char *what);

/** vsp_ready - everything is offered. */
int vsp_ready(struct vsp *vsp, struct err *err);

/** The device's own: private memory of channel_size bytes; the argument of vsp_offer(); the offer's name. */
void *vsp_channel_data(struct vsp_channel *channel);
void *vsp_channel_device(struct vsp_channel *channel);
const char *vsp_channel_name(const struct vsp_channel *channel);
/** vsp_channel_index - the offer's subchannel_index; 0: a primary channel. */
uint16_t vsp_channel_index(const struct vsp_channel *channel);

/** vsp_channel_state - state_size bytes in the channel's state block, zeroed at open; a fixed layout of the device's
 * own; vsp_complete_state() changes them. */
const void *vsp_channel_state(const struct vsp_channel *channel);

/**
 * vsp_complete - finish a request: the completion packet (type 11) goes into the ring, the slot is freed. The
 * guest is signalled once a batch, when it must be. If the ring is full the completion waits in its slot and goes out
 * when there is room.
 * @payload: @len bytes of the device's reply, at most reply_max; may be 0 bytes.
 * It never calls back into the device. @request is gone afterwards.
 */
void vsp_complete(struct vsp_request *request, const void *payload, size_t len);

/** vsp_complete_state - the same, and the device's state becomes @state (state_size bytes) with it: both or neither. */
void vsp_complete_state(struct vsp_request *request, const void *payload, size_t len, const void *state);

/**
 * vsp_leave - instead of completing it, inside ops->closing() or later: a successor is given the request again, with
 * its mark; the guest that closes its channel hears nothing of it. @request is gone afterwards.
 */
void vsp_leave(struct vsp_request *request);

/**
 * vsp_set_state_word - eight bytes of an open channel's state become @value by themselves: a successor finds either
 * those or the ones before. @offset: a multiple of 8, within state_size.
 */
void vsp_set_state_word(struct vsp_channel *channel, size_t offset, uint64_t value);

/**
 * vsp_mark - before the device does what could not be told afterwards from not having been done: whoever is given this
 * request again, after us, finds @mark with it. @mark: not 0.
 */
void vsp_mark(struct vsp_request *request, uint32_t mark);

/**
 * vsp_batch_begin, vsp_batch_end - a back end reaps many results: what is completed in between, on any channel of @vsp,
 * is published at the end. May be nested. vsp_batch_end() then takes up packets that waited for a free slot: it calls
 * ops->packet.
 */
void vsp_batch_begin(struct vsp *vsp);
void vsp_batch_end(struct vsp *vsp);

/**
 * vsp_poll_begin, vsp_poll, vsp_poll_end - for a thread that looks at the rings itself instead of waiting for the loop:
 * in between, guests are told not to kick, and vsp_poll() takes up what they have put into the rings of open channels.
 * vsp_poll_end() looks once more behind the last one that was told otherwise. The loop may run in between; whoever
 * polls must run it now and then. Return: whether there was anything.
 */
void vsp_poll_begin(struct vsp *vsp);
bool vsp_poll(struct vsp *vsp);
void vsp_poll_end(struct vsp *vsp);

/** vsp_empty - take up what the guest has put into the ring of an open channel, as much as the ring can hold: but not
 * what waits for a slot. Not inside a device's function, nor in a batch. */
void vsp_empty(struct vsp_channel *channel);

/** vsp_send - an in-band packet of our own (type 6), no completion wanted. Return: 0, -EAGAIN (ring full, or
 * inside ops->recover(): ops->room() follows), -EPIPE (not open), -EMSGSIZE (the empty ring would not hold it). */
int vsp_send(struct vsp_channel *channel, uint64_t transaction_id, const void *payload, size_t len);

/* A run of bytes in a buffer that the guest has lent. */
struct vsp_page_range {
	uint32_t bytes, offset;
};

/**
 * vsp_send_pages - a transfer-page packet (type 7): what is meant lies in memory that the guest has lent. The guest
 * completes it: ops->completed(). Published with the batch, at most once, whoever dies when.
 * @buffer: the guest's name of that memory, by the device's protocol. @ranges: @count of them, at most
 * VSP_PAGE_RANGES_MAX.
 * @ret_id: its number, by which the guest completes it; of each channel they grow, from 1 on, also over its
 * predecessors' (vsp_sent()); those of packets that never left are given again, so in recover() the device forgets what
 * it knows of them. It stores what a successor must know of this one before the batch ends: outside of a batch the
 * packet is published before this returns.
 * Return: 0; -EAGAIN (ring full, or a predecessor's channels are still being taken over: ops->room() follows); -EPIPE
 * (not open); -EMSGSIZE (the empty ring would not hold it).
 */
#define VSP_PAGE_RANGES_MAX 64u
int vsp_send_pages(struct vsp_channel *channel, uint16_t buffer, const struct vsp_page_range *ranges, size_t count,
		   const void *payload, size_t len, uint64_t *ret_id);

/** vsp_sent - the number of the last packet that the guest has seen, or will see whoever dies: of a predecessor's, in
 * ops->recover(), what has a larger one never left. */
uint64_t vsp_sent(const struct vsp_channel *channel);

/** vsp_stranded - whether the sub-channel @index beside @primary was open under a predecessor and could not be taken
 * over, so that the guest has it open all the same; until it closes it, or opens it anew. Known once all channels are
 * taken over; true if the worker is too old to say when that is. */
bool vsp_stranded(const struct vsp_channel *primary, uint16_t index);

/**
 * vsp_channel_table - the table_size bytes of the channel's table, zeroed at open. Each word is stored by itself, with
 * atomic_store_explicit(); a successor finds it as it was stored last.
 */
_Atomic uint64_t *vsp_channel_table(struct vsp_channel *channel);

/**
 * vsp_buffer_map - memory that the guest has lent to the device under a GPADL, which it names by the device's protocol.
 * @done: told once, from the loop, with the buffer, which is the callee's, or with NULL and a negative errno: -ENOENT
 * (there is no such GPADL for this channel), -ECANCELED (the channel closes: a request that waits for this may be left
 * by vsp_leave()), -ENOMEM.
 * Inside ops->recover(): no request of the VSP's channels is begun before @done was told.
 * Return: 0 or a negative errno: @done is not told.
 */
int vsp_buffer_map(struct vsp_channel *channel, uint32_t gpadl,
		   void (*done)(void *arg, struct vsp_buffer *buffer, int error), void *arg);
/** vsp_buffer_memory - until vsp_buffer_release(): guest/buffer.h. */
const struct guest_buffer *vsp_buffer_memory(const struct vsp_buffer *buffer);
/** vsp_buffer_release - it is touched no more; before ops->close() returns. vsp_free() releases what is left. NULL is
 * allowed. */
void vsp_buffer_release(struct vsp_buffer *buffer);

/**
 * vsp_channel_fail - the guest broke the protocol: stop this channel (logged once with @why) until the guest closes it;
 * the rest goes on. Requests in flight are still to be completed; nothing of them reaches the guest any more.
 */
void vsp_channel_fail(struct vsp_channel *channel, const char *why);
/** vsp_failed - whether the channel, which is open, has failed so, here or under a predecessor. */
bool vsp_failed(const struct vsp_channel *channel);

#endif
