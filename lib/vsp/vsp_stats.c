/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VSP counts of its channels and their requests: from the steps of a request to stats.h.
 *
 * Theory of operation: a packet was seen with the first look at write_index that found it: when the ring is drained,
 * and whenever answers are published. If packets stay in the ring, for want of slots or of time, a mark says up to
 * where the ring was filled then, and since when; packets before that mark have its time, whenever they are taken out.
 *
 * Limits: VSP_MARKS_MAX marks. With as many, neighbours become one, of the mean of their times.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "vsp/internal.h"

/* ---- the process ---- */

static int keep(struct vsp *vsp, struct stats *stats, struct err *err)
{
	int r = vsp_keep(vsp, STATS_KEY, stats->fd, NULL, 0, err);

	if (r < 0)
		stats_free(stats);
	else
		vsp->stats = stats;
	return r;
}

int vsp_stats_begin(struct vsp *vsp, struct err *err)
{
	const char *why = NULL;
	struct stats *stats;
	const void *data;
	size_t len;
	int r, fd = vsp_keepsake(vsp, STATS_KEY, &data, &len);

	if (fd >= 0 && stats_continue(fd, &vsp->stats, &why) == 0)
		return 0;
	if (fd >= 0)
		log_warn(vsp->config.name,
			 "the statistics of its predecessor cannot be gone on with: %s: they begin anew", why);
	r = stats_new(&stats);
	return r < 0 ? err_set(err, r, "statistics: %s", err_name(r)) : keep(vsp, stats, err);
}

struct stats *vsp_stats(const struct vsp *vsp)
{
	return vsp->stats;
}

/* ---- a channel ---- */

void vsp_stats_opened(struct vsp_channel *channel, bool fresh)
{
	channel->marks = (struct vsp_marks){0};
	channel->arrivals = (struct vsp_arrivals){.write = channel->channel.in.write};
	if (!channel->stats)
		return;
	if (fresh)
		stats_channel_fresh(channel->vsp->stats, channel->stats);
	else
		stats_channel_recover(channel->vsp->stats, channel->stats);
}

void vsp_stats_kicked(struct vsp_channel *channel, uint64_t kicks)
{
	if (!channel->stats)
		return;
	stats_add(&channel->stats->kicks, kicks);
	stats_add(&channel->stats->wakes, 1);
}

/* ---- requests: seen ---- */

/* Bytes that lie in the ring from the cursor to @write. */
static uint32_t ahead(const struct ring_reader *in, uint32_t write)
{
	return write >= in->cursor ? write - in->cursor : in->ring->data_len - in->cursor + write;
}

/* Two become one, of the mean of their times, by what lies before each: room for as many again. */
static void merge(const struct ring_reader *in, struct vsp_marks *marks)
{
	uint64_t before = 0;

	for (uint32_t i = 0; i < VSP_MARKS_MAX / 2; i++) {
		const struct vsp_mark *a = &marks->mark[2 * i], *b = a + 1;
		uint64_t len_b = ahead(in, b->write) - ahead(in, a->write), len = ahead(in, b->write) - before;

		/* marks lie behind one another, and behind the cursor */
		before = ahead(in, b->write);
		marks->mark[i] = (struct vsp_mark){b->write, a->seen_ns + (b->seen_ns - a->seen_ns) * len_b /
										  MAX(len, UINT64_C(1))};
	}
	marks->count = VSP_MARKS_MAX / 2;
}

/* If the reader knows of more than before: it has come by now. */
static void look(struct vsp_channel *channel)
{
	const struct ring_reader *in = &channel->channel.in;

	if (in->write == channel->arrivals.write)
		return;
	channel->arrivals = (struct vsp_arrivals){in->write, channel->vsp->stats->now_ns};
}

/* What lies in the ring has that time, when its turn comes. */
static void mark(struct vsp_channel *channel)
{
	const struct ring_reader *in = &channel->channel.in;
	struct vsp_marks *marks = &channel->marks;

	if (in->write == in->cursor ||
	    (marks->count > 0 && ahead(in, marks->mark[marks->count - 1].write) >= ahead(in, in->write)))
		return;
	if (marks->count == VSP_MARKS_MAX)
		merge(in, marks);
	marks->mark[marks->count++] = (struct vsp_mark){in->write, channel->arrivals.seen_ns};
}

void vsp_stats_seen(struct vsp_channel *channel)
{
	if (channel->stats)
		mark(channel);
}

void vsp_stats_left(struct vsp_channel *channel)
{
	/* a corrupt index is the drain's to find; what the ring's reader knows of write_index is inside the ring */
	if (!channel->stats || ring_empty(&channel->channel.in) != 0)
		return;
	look(channel);
	mark(channel);
}

/* The packet that ends at the cursor. A mark is over when the cursor is there, or, of a guest whose write_index was
 * within a packet, behind it. */
static uint64_t marked(struct vsp_channel *channel)
{
	const struct ring_reader *in = &channel->channel.in;
	struct vsp_marks *marks = &channel->marks;
	uint64_t seen_ns = marks->mark[0].seen_ns;
	uint32_t over = 0;

	while (over < marks->count &&
	       (in->cursor == marks->mark[over].write || ahead(in, marks->mark[over].write) > ahead(in, in->write)))
		over++;
	if (over > 0) {
		marks->count -= over;
		memmove(&marks->mark[0], &marks->mark[over], marks->count * sizeof(marks->mark[0]));
	}
	return seen_ns;
}

void vsp_stats_accept(struct vsp_channel *channel, uint32_t n)
{
	struct vsp_request *request = &channel->requests[n];
	uint64_t seen_ns;

	if (!channel->stats)
		return;
	look(channel);
	seen_ns = channel->marks.count > 0 ? marked(channel) : channel->arrivals.seen_ns;
	request->times = (struct stats_times){.seen_ns = seen_ns, .given_ns = channel->vsp->stats->now_ns};
	channel->stats_slot[n] =
		(struct stats_slot){.sequence = block_next_sequence(&channel->block), .seen_ns = seen_ns};
}

void vsp_stats_passed(struct vsp_channel *channel)
{
	if (!channel->stats)
		return;
	look(channel);
	if (channel->marks.count > 0)
		(void)marked(channel);
}

void vsp_stats_replay(struct vsp_channel *channel, uint32_t n)
{
	uint32_t sequence = block_slot_sequence(&channel->block, n);
	struct vsp_request *request = &channel->requests[n];
	struct stats_slot *slot;
	uint64_t now_ns;

	if (!channel->stats)
		return;
	now_ns = channel->vsp->stats->now_ns;
	slot = &channel->stats_slot[n];
	/* its predecessor did not count, or counted otherwise */
	if (slot->sequence != sequence || slot->seen_ns > now_ns)
		*slot = (struct stats_slot){.sequence = sequence, .seen_ns = now_ns};
	request->times = (struct stats_times){.seen_ns = slot->seen_ns, .given_ns = now_ns};
}

/* ---- given, done, published ---- */

void vsp_stats_given(struct vsp_channel *channel, const uint16_t *slots, uint32_t count)
{
	uint64_t now_ns;

	if (!channel->stats || count == 0)
		return;
	stats_add(&channel->stats->requests, count);
	/* one is handed on as soon as it is taken */
	if (count == 1)
		return;
	now_ns = stats_tick(channel->vsp->stats);
	for (uint32_t i = 0; i < count; i++) {
		struct stats_times *times = &channel->requests[slots[i]].times;

		/* what was answered at once has no use for it */
		if (times->done_ns == 0)
			times->given_ns = now_ns;
	}
}

void vsp_stats_done(struct vsp_channel *channel, uint32_t n)
{
	struct vsp_request *request = &channel->requests[n];
	struct stats *stats = channel->vsp->stats;

	if (!channel->stats || !request->account.unit)
		return;
	request->account.id = atomic_load_explicit(&request->account.unit->id, memory_order_relaxed);
	request->times.done_ns = channel->vsp->batch_depth > 0 ? stats->now_ns : stats_tick(stats);
	stats_count(stats, channel->stats, n, block_slot_sequence(&channel->block, n), &request->account);
}

/* Requests that came and were done together have the same times: those are added together. */
static bool alike(const struct vsp_request *a, const struct vsp_request *b)
{
	return a->account.unit == b->account.unit && a->account.class == b->account.class &&
	       a->account.id == b->account.id && a->times.seen_ns == b->times.seen_ns &&
	       a->times.given_ns == b->times.given_ns && a->times.done_ns == b->times.done_ns;
}

static void add_times(struct vsp_channel *channel)
{
	const struct stats *stats = channel->vsp->stats;
	const struct vsp_request *first = NULL;
	uint32_t count = 0;

	for (uint32_t i = 0; i < channel->written.count; i++) {
		const struct vsp_request *request = &channel->requests[channel->written.slot[i]];

		if (!request->account.unit)
			continue;
		if (first && alike(first, request)) {
			count++;
			continue;
		}
		if (first)
			stats_times_add(stats, &first->account, &first->times, count);
		first = request;
		count = 1;
	}
	if (first)
		stats_times_add(stats, &first->account, &first->times, count);
}

void vsp_stats_published(struct vsp_channel *channel)
{
	struct channel *ring = &channel->channel;

	if (!channel->stats)
		return;
	if (ring->signals > 0 || ring->quiet > 0) {
		stats_add(&channel->stats->interrupts, ring->signals);
		stats_add(&channel->stats->quiet, ring->quiet);
		ring->signals = ring->quiet = 0;
	}
	if (channel->written.count == 0)
		return;
	add_times(channel);
	/* the clock was just read, and the guest may be putting more; who polls looks anyway */
	if (!channel->vsp->polling)
		vsp_stats_left(channel);
}
