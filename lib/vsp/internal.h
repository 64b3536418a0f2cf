/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lib/vsp know of each other; no VSP includes it. */
#ifndef VSP_INTERNAL_H
#define VSP_INTERNAL_H

#include "base/log.h"
#include "guest/channel.h"
#include "proto/methods.h"
#include "vsp/block.h"
#include "vsp/vsp.h"

#define VSP_FDS_MAX 240u

struct rpc_conn;
struct vsp_mapping;
struct vsp_revocation;

enum vsp_channel_state {
	VSP_CHANNEL_CLOSED = 0,
	VSP_CHANNEL_OPEN,
	VSP_CHANNEL_CLOSING, /* nothing more is read; waits for the last request in flight */
};

/* Told once an asynchronous step is over. */
struct vsp_done {
	void (*fn)(void *arg);
	void *arg;
};

/* A list of slot numbers with room for all of them. */
struct slot_list {
	uint16_t *slot;
	uint32_t head, count; /* head: only of a queue */
};

/* What the ring's reader knows of write_index, and since when. */
struct vsp_arrivals {
	uint32_t write;
	uint64_t seen_ns;
};

#define VSP_MARKS_MAX 32u

/* What waits in the ring, and since when that is known: up to where it was filled at each of these looks. */
struct vsp_marks {
	struct vsp_mark {
		uint32_t write;
		uint64_t seen_ns;
	} mark[VSP_MARKS_MAX];
	uint32_t count;
};

/*
 * An offer and, while the guest has it open, its channel. Owner: the vsp.
 * Each slot is in exactly one place: free, replay (accepted by a predecessor), in flight (with the device), waiting
 * (done, no room in the ring), or written (in the ring, not yet published).
 */
struct vsp_channel {
	struct vsp *vsp;
	const struct vsp_device_ops *ops;
	void *device;
	char name[64];
	struct block_geometry offered;	/* of a fresh block */
	struct block_geometry geometry; /* of the block there is: a predecessor's may differ */
	uint32_t offer_id;
	uint16_t index; /* subchannel_index */
	struct log_limit limit;

	enum vsp_channel_state state;
	bool failed;	 /* rings are not touched any more */
	bool draining;	 /* vsp_channel_drain() is on the stack */
	bool starved;	 /* packets wait in the ring for a free slot */
	bool again;	 /* packets wait in the ring for their turn */
	bool dirty;	 /* in vsp->dirty */
	bool wait_room;	 /* pending_send_size is set */
	bool room_due;	 /* the device is to be told that there is room */
	bool passed;	 /* the ring's cursor is ahead of the block's */
	bool withdrawn;	 /* goes once it is closed */
	bool recovering; /* inside ops->recover() */
	bool stranded;	 /* a predecessor's, which could not be taken over: the guest has it open all the same */
	bool cautious;	 /* replay alone, one after another; ends with the last one */
	int culprit;	 /* slot whose request is failed instead of replayed; -1: none */
	struct channel channel;
	struct block block;
	struct loop_source *kick;
	struct vsp_request *requests; /* one for each slot */
	bool *busy;		      /* one for each slot: in flight */
	uint8_t *device_data;	      /* ops->request_size for each slot */
	size_t device_stride;
	void *data; /* ops->channel_size */
	struct slot_list free, waiting, written, replay;
	uint32_t in_flight;
	uint64_t numbered, sent;     /* packets of our own: written into the ring, published */
	size_t refused_len;	     /* behind the descriptor, of the longest that found no room; 0: none did */
	struct stats_channel *stats; /* what it counts; NULL: nothing */
	struct stats_slot *stats_slot;
	struct vsp_arrivals arrivals; /* see vsp_stats.c */
	struct vsp_marks marks;
	struct vsp_done closed;
	struct vsp_mapping *mappings; /* see vsp_buffer.c */
	struct vsp_buffer *buffers;
	struct vsp_revocation *revocations;
	uint32_t turns; /* signals in a row during which the guest ran: up to TURNS */
};

/* What a predecessor left. */
struct vsp_keepsake {
	char key[VSP_KEY_MAX + 1];
	uint8_t *data;
	size_t len;
	int fd;
};

struct vsp {
	struct loop *loop;
	struct vsp_config config;
	struct rpc_conn *conn;
	struct guest_mem mem;
	struct signal_map cells;
	uint32_t cpus;
	char *vm_name;
	uint8_t *config_bytes;
	size_t config_len;
	int fds[VSP_FDS_MAX];
	size_t fd_count;
	uint32_t generation;
	bool cautious, at_fault; /* predecessors died of what they did; the last one did */
	const char *waits_for;	 /* vsp_waits() */
	struct vsp_keepsake keepsakes[VSP_KEEPSAKES_MAX];
	size_t keepsake_count;
	struct stats *stats; /* NULL: nothing is counted */

	struct vsp_channel *channels[VSP_CHANNELS_MAX];
	size_t channel_count;
	struct vsp_channel *dirty[VSP_CHANNELS_MAX];
	size_t dirty_count;
	unsigned int batch_depth;
	bool ending;		     /* vsp_free(): devices are not told of anything any more */
	bool handing_over;	     /* who closes a channel now is not its guest */
	bool polling;		     /* rings are looked at without kicks: they stay masked */
	bool gathers;		     /* the worker says when all have been taken over */
	bool gathering;		     /* more channels are to be taken over before a request of any is begun */
	uint32_t mapping;	     /* buffers that ops->recover() has asked for and that are still to come */
	struct loop_source *work;    /* deferred: closing, channels whose turn comes again */
	struct vsp_done quiesced[2]; /* the guest leaves, and an upgrade */
	size_t quiesced_count;
};

/* ---- vsp.c ---- */

/** vsp_find - channel by offer id, or NULL. */
struct vsp_channel *vsp_find(struct vsp *vsp, uint32_t offer_id);

/** vsp_quiesce - close every channel; @done once nothing touches guest memory any more. Return: 0 or -EBUSY (a guest
 * that leaves and an upgrade are waited for already). */
int vsp_quiesce(struct vsp *vsp, struct vsp_done done);

/** vsp_is_held - a predecessor's channels are still being taken over: no request is begun, no page sent. */
static inline bool vsp_is_held(const struct vsp *vsp)
{
	return vsp->gathering || vsp->mapping > 0;
}

/** vsp_gathered - all channels of a predecessor have been opened: what waited for that goes on. */
void vsp_gathered(struct vsp *vsp);

/** vsp_channel_touched - the channel has something to publish: now, or at the end of the batch. */
void vsp_channel_touched(struct vsp_channel *channel);

/* ---- vsp_channel.c ---- */

/* An open as the worker asked for it. Descriptors are the caller's until vsp_channel_open() succeeds. */
struct vsp_open {
	struct channel_params params;
	int block_fd;
	bool recover;  /* if the block was formatted, go on with it */
	bool was_open; /* with recover: it must have been formatted */
	bool gather;   /* nothing is read or replayed on any channel before vsp_gathered() */
	uint8_t user_data[120];
};

/* What a recovery found; all 0 for a fresh channel. */
struct vsp_recovered {
	uint32_t replayed, lost, duplicate, failed;
	const char *why; /* what a predecessor left cannot be used; NULL: it was not looked at, or is sound */
};

/** vsp_channel_open - Return: 0; -EBUSY (it is open); -ENODEV (it is withdrawn); what mapping, the block's check or the
 * device refused. It takes over kick_fd and irq_fd. @ret: in any case. */
int vsp_channel_open(struct vsp_channel *channel, const struct vsp_open *open, struct vsp_recovered *ret);

/** vsp_channel_close - stop reading; @done once everything is drained and unmapped. Return: 0 or -EBUSY (it is
 * closing). */
int vsp_channel_close(struct vsp_channel *channel, struct vsp_done done);

/** vsp_channel_flush - publish completions and read_index, signal once. */
void vsp_channel_flush(struct vsp_channel *channel);

/** vsp_channel_drain - take up packets, as many as slots and budget allow. */
void vsp_channel_drain(struct vsp_channel *channel);

/** vsp_channel_poll - take up what is in the ring, which stays masked. Return: whether there was anything. */
bool vsp_channel_poll(struct vsp_channel *channel);

/** vsp_channel_mask, vsp_channel_unmask - around a time of polling. */
void vsp_channel_mask(struct vsp_channel *channel);
void vsp_channel_unmask(struct vsp_channel *channel);

/** vsp_channel_work - deferred work of this channel. */
void vsp_channel_work(struct vsp_channel *channel);

/** vsp_channel_drop - unmap and free what an open channel holds, at once. */
void vsp_channel_drop(struct vsp_channel *channel);

/** vsp_channel_fill - the request that slot @n, whose contents are checked, holds. Return: 0, or why its pages cannot
 * be used. */
int vsp_channel_fill(struct vsp_channel *channel, uint32_t n);

/** vsp_channel_give - the filled request of slot @n, on no list, goes to the device by @give. */
void vsp_channel_give(struct vsp_channel *channel, uint32_t n,
		      void (*give)(struct vsp_channel *channel, struct vsp_request *request));

/** vsp_channel_corrupt - why the channel fails that has met @error in a ring. */
const char *vsp_channel_corrupt(int error);

/* ---- vsp_send.c ---- */

/** vsp_channel_ask_room - the guest is to kick us once what was refused fits. Return: 0, or why the ring is corrupt. */
int vsp_channel_ask_room(struct vsp_channel *channel);

/** vsp_channel_tell_room - if it is due. */
void vsp_channel_tell_room(struct vsp_channel *channel);

/* ---- vsp_buffer.c ---- */

/** vsp_buffer_lent - the worker's answer: @error, or @count ranges in @fd, which stays the caller's. @mapping is gone.
 */
void vsp_buffer_lent(struct vsp_mapping *mapping, int error, int fd, uint32_t count);

/** vsp_buffer_revoke - the guest wants @gpadl back; @done once nothing touches it. Return: 0, -ENOMEM. */
int vsp_buffer_revoke(struct vsp_channel *channel, uint32_t gpadl, struct vsp_done done);

/** vsp_buffers_drop - the channel has no device any more: what it holds is free, what it waits for is forgotten. */
void vsp_buffers_drop(struct vsp_channel *channel);

/* ---- vsp_stats.c: what is counted of a channel; each does nothing if that is nothing ---- */

/** vsp_stats_opened - the channel has a state block, a @fresh one or a predecessor's. */
void vsp_stats_opened(struct vsp_channel *channel, bool fresh);
/** vsp_stats_kicked - the guest has kicked @kicks times. */
void vsp_stats_kicked(struct vsp_channel *channel, uint64_t kicks);
/** vsp_stats_accept - the packet before the reader's cursor is about to be accepted into slot @n. */
void vsp_stats_accept(struct vsp_channel *channel, uint32_t n);
/** vsp_stats_passed - the packet before the reader's cursor takes no slot. */
void vsp_stats_passed(struct vsp_channel *channel);
/** vsp_stats_replay - the request in slot @n is done again. */
void vsp_stats_replay(struct vsp_channel *channel, uint32_t n);
/** vsp_stats_given - the device has handed on what it got: @count slots. */
void vsp_stats_given(struct vsp_channel *channel, const uint16_t *slots, uint32_t count);
/** vsp_stats_seen - what the last look at the ring has found, and was not taken out yet, was there when the clock was
 * read. vsp_stats_left - the same after another look: packets stay there for a while. */
void vsp_stats_seen(struct vsp_channel *channel);
void vsp_stats_left(struct vsp_channel *channel);
/** vsp_stats_done - the request in slot @n is about to have an outcome. */
void vsp_stats_done(struct vsp_channel *channel, uint32_t n);
/** vsp_stats_published - the slots on channel->written are answered, when the clock was last read. */
void vsp_stats_published(struct vsp_channel *channel);

/** vsp_stats_tick - the clock is read: at the beginning of work on many requests. */
static inline void vsp_stats_tick(struct vsp *vsp)
{
	if (vsp->stats)
		stats_tick(vsp->stats);
}

/* ---- vsp_list.c: slot numbers ---- */

int slot_list_alloc(struct slot_list *list, uint32_t slots);
void slot_list_free(struct slot_list *list);
/** slot_push - at the end, of a stack. slot_put, slot_pop - a queue's end and front. */
void slot_push(struct slot_list *list, uint32_t slot);
void slot_put(struct slot_list *list, uint32_t slots, uint32_t slot);
uint32_t slot_pop(struct slot_list *list, uint32_t slots);

/* ---- vsp_recover.c ---- */

/** vsp_channel_recover - take over the attached block and the mapped rings, where the predecessor stopped; nothing is
 * given to the device yet. */
int vsp_channel_recover(struct vsp_channel *channel, struct vsp_recovered *ret);

/** vsp_channel_replay - give the device what the predecessor had accepted. Return: whether all of it is given, so that
 * new packets may be read. */
bool vsp_channel_replay(struct vsp_channel *channel);

/* ---- rpc.c ---- */

/* What the worker's answer to Attach holds. Arrays are valid during the call; descriptors are the callee's if it takes
 * them (-1). */
struct vsp_attachment {
	const struct guest_mem_region *regions; /* gpa, len, offset, fd */
	size_t region_count;
	int cells_fd;
	uint32_t cpus;
	const void *config;
	size_t config_len;
	const char *vm_name;
	int *fds;
	size_t fd_count;
	uint32_t generation;
	bool cautious, at_fault;			  /* predecessors died of what they did; the last one did */
	struct vsp_keepsake keepsakes[VSP_KEEPSAKES_MAX]; /* data is the callee's if it takes it (NULL), fd too (-1) */
	size_t keepsake_count;
};

/** vsp_attached - vsp.c: take over what the worker handed out. */
int vsp_attached(struct vsp *vsp, struct vsp_attachment *attachment, struct err *err);
/** vsp_rpc_attach - connect and attach; calls vsp_attached(). */
int vsp_rpc_attach(struct vsp *vsp, struct err *err);
/** vsp_rpc_offer - make an offer; @channel->offer_id is set before anything else of the worker is looked at. */
int vsp_rpc_offer(struct vsp_channel *channel, const struct vsp_offer_desc *desc, size_t block_bytes, struct err *err);
int vsp_rpc_offer_begin(struct vsp_channel *channel, const struct vsp_offer_desc *desc, size_t block_bytes,
			void (*done)(void *arg, const struct err *err), void *arg);
/** vsp_rpc_withdraw, vsp_rpc_subchannels - ask without waiting. Return: 0 or a negative errno: it was not sent. */
int vsp_rpc_withdraw(struct vsp *vsp, uint32_t offer_id);
int vsp_rpc_subchannels(struct vsp *vsp, uint32_t offer_id, uint32_t count);
/** vsp_rpc_lend - vsp_buffer_lent() follows, never from inside. Return: 0 or a negative errno: it does not. */
int vsp_rpc_lend(struct vsp *vsp, uint32_t offer_id, uint32_t gpadl, struct vsp_mapping *mapping);
int vsp_rpc_ready(struct vsp *vsp, struct err *err);
int vsp_rpc_keep(struct vsp *vsp, const char *key, int fd, const void *data, size_t len, struct err *err);

#endif
