/* SPDX-License-Identifier: Apache-2.0 */
#include "vsp/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/death.h"
#include "base/fd.h"

static const struct syscall_rule rules[] = {
	{SYS_memfd_create},
	{SYS_ftruncate},
	{-1},
};

const struct syscall_list stats_calls = {.name = "statistics", .rules = rules};

/* ---- the block ---- */

static int map(struct stats *stats)
{
	void *block =
		mmap(NULL, sizeof(*stats->block), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, stats->fd, 0);

	if (block == MAP_FAILED)
		return -errno;
	(void)madvise(block, sizeof(*stats->block), MADV_DONTDUMP);
	stats->block = block;
	return 0;
}

int stats_new(struct stats **ret_stats)
{
	struct stats *stats = calloc(1, sizeof(*stats));
	int r;

	if (!stats)
		return -ENOMEM;
	stats->fd = fd_memfd("statistics", sizeof(*stats->block));
	r = stats->fd < 0 ? stats->fd : map(stats);
	if (r < 0) {
		stats_free(stats);
		return r;
	}
	stats->block->header.version = STATS_VERSION;
	stats->block->header.bytes = sizeof(*stats->block);
	atomic_store_explicit(&stats->block->header.magic, STATS_MAGIC, memory_order_release);
	*ret_stats = stats;
	return 0;
}

void stats_free(struct stats *stats)
{
	if (!stats)
		return;
	if (stats->block)
		munmap(stats->block, sizeof(*stats->block));
	fd_close(&stats->fd);
	free(stats);
}

static uint32_t count_of(const _Atomic uint32_t *count, uint32_t max)
{
	uint32_t n = atomic_load_explicit(count, memory_order_relaxed);

	return MIN(n, max);
}

/* The counts of the one request that the predecessor was counting; and what was under way is not any more. */
static void put_right(struct stats_block *block)
{
	uint32_t channels = count_of(&block->header.channels, STATS_CHANNELS_MAX);
	uint32_t units = count_of(&block->header.units, STATS_UNITS_MAX);

	for (uint32_t i = 0; i < channels; i++) {
		struct stats_intent *intent = &block->channel[i].intent;
		struct stats_class *class;

		if (intent->state != STATS_INTENT_VALID || intent->unit >= STATS_UNITS_MAX ||
		    intent->class >= STATS_CLASSES)
			continue;
		class = &block->unit[intent->unit].class[intent->class];
		atomic_store_explicit(&class->reqs, intent->reqs, memory_order_relaxed);
		atomic_store_explicit(&class->bytes, intent->bytes, memory_order_relaxed);
		atomic_store_explicit(&class->errors, intent->errors, memory_order_relaxed);
		atomic_store_explicit(&intent->state, STATS_INTENT_TAKEN, memory_order_release);
	}
	for (uint32_t i = 0; i < units; i++)
		atomic_store_explicit(&block->unit[i].queue, 0, memory_order_relaxed);
}

static int check(const struct stats_header *header, const char **ret_why)
{
	if (header->magic != STATS_MAGIC) {
		*ret_why = "they are none";
		return -EPROTO;
	}
	if (header->version != STATS_VERSION) {
		*ret_why = "they are of another version";
		return -EPROTONOSUPPORT;
	}
	if (header->bytes != sizeof(struct stats_block)) {
		*ret_why = "their size is wrong";
		return -EPROTO;
	}
	return 0;
}

int stats_continue(int fd, struct stats **ret_stats, const char **ret_why)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stats *stats;
	struct stat st;
	int r;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 ||
	    st.st_size < (off_t)sizeof(struct stats_header)) {
		*ret_why = "they are no memory of ours";
		return -EPROTO;
	}
	stats = calloc(1, sizeof(*stats));
	*ret_why = "no memory";
	if (!stats)
		return -ENOMEM;
	stats->fd = fd_dup(fd);
	r = stats->fd < 0 ? stats->fd : map(stats);
	/* the header is there in any case; what lies behind the end is not touched before its size is known */
	if (r == 0)
		r = check(&stats->block->header, ret_why);
	if (r == 0 && st.st_size != (off_t)sizeof(*stats->block)) {
		*ret_why = "their size is wrong";
		r = -EPROTO;
	}
	if (r < 0) {
		stats_free(stats);
		return r;
	}
	put_right(stats->block);
	*ret_stats = stats;
	return 0;
}

/* ---- channels ---- */

static bool is_channel(const struct stats_channel *channel, const char *name)
{
	return channel->used && !strncmp(channel->name, name, sizeof(channel->name));
}

static struct stats_channel *find_channel(struct stats_block *block, const char *name, size_t hint)
{
	uint32_t channels = count_of(&block->header.channels, STATS_CHANNELS_MAX);

	if (hint < channels && is_channel(&block->channel[hint], name))
		return &block->channel[hint];
	for (uint32_t i = 0; i < channels; i++)
		if (is_channel(&block->channel[i], name))
			return &block->channel[i];
	return NULL;
}

struct stats_channel *stats_channel(struct stats *stats, const char *name, size_t hint)
{
	struct stats_header *header = &stats->block->header;
	struct stats_channel *channel = find_channel(stats->block, name, hint);
	uint32_t channels = count_of(&header->channels, STATS_CHANNELS_MAX), i;

	if (channel)
		return channel;
	for (i = 0; i < channels && stats->block->channel[i].used; i++)
		;
	if (i == STATS_CHANNELS_MAX)
		return NULL;
	channel = &stats->block->channel[i];
	memset(channel, 0, sizeof(*channel));
	snprintf(channel->name, sizeof(channel->name), "%s", name);
	atomic_store_explicit(&channel->used, 1, memory_order_release);
	if (i == channels)
		atomic_store_explicit(&header->channels, channels + 1, memory_order_release);
	return channel;
}

void stats_channel_end(struct stats_channel *channel)
{
	if (channel)
		atomic_store_explicit(&channel->used, 0, memory_order_release);
}

void stats_channel_fresh(struct stats *stats, struct stats_channel *channel)
{
	struct stats_slot *slots = stats_slots(stats, channel);

	atomic_store_explicit(&channel->intent.state, STATS_INTENT_NONE, memory_order_relaxed);
	for (uint32_t i = 0; i < STATS_SLOTS; i++)
		slots[i].counted = 0;
}

void stats_channel_recover(struct stats *stats, struct stats_channel *channel)
{
	struct stats_intent *intent = &channel->intent;

	if (intent->state == STATS_INTENT_TAKEN && intent->slot < STATS_SLOTS)
		stats_slots(stats, channel)[intent->slot].counted =
			stats_slots(stats, channel)[intent->slot].sequence == intent->sequence;
	atomic_store_explicit(&intent->state, STATS_INTENT_NONE, memory_order_release);
}

/* ---- units ---- */

static bool is_unit(const struct stats_unit *unit, enum stats_kind kind, const char *name,
		    const uint8_t place[STATS_PLACE_LEN])
{
	return unit->id && unit->kind == kind && !strncmp(unit->name, name, sizeof(unit->name)) &&
	       !memcmp(unit->place, place, STATS_PLACE_LEN);
}

struct stats_unit *stats_unit(struct stats *stats, enum stats_kind kind, const char *name,
			      const uint8_t place[STATS_PLACE_LEN], bool fresh)
{
	struct stats_header *header = &stats->block->header;
	uint32_t units = count_of(&header->units, STATS_UNITS_MAX), i;
	struct stats_unit *unit;

	for (i = 0; i < units && !fresh; i++) {
		if (!is_unit(&stats->block->unit[i], kind, name, place) || stats->claimed[i])
			continue;
		stats->claimed[i] = true;
		return &stats->block->unit[i];
	}
	for (i = 0; i < units && stats->block->unit[i].id; i++)
		;
	if (i == STATS_UNITS_MAX)
		return NULL;
	unit = &stats->block->unit[i];
	memset(unit, 0, sizeof(*unit));
	unit->kind = kind;
	snprintf(unit->name, sizeof(unit->name), "%s", name);
	memcpy(unit->place, place, STATS_PLACE_LEN);
	stats->claimed[i] = true;
	atomic_store_explicit(&unit->id, ++header->last_id, memory_order_release);
	if (i == units)
		atomic_store_explicit(&header->units, units + 1, memory_order_release);
	return unit;
}

void stats_unit_end(struct stats *stats, struct stats_unit *unit)
{
	if (!unit)
		return;
	stats->claimed[unit - stats->block->unit] = false;
	atomic_store_explicit(&unit->id, 0, memory_order_release);
}

void stats_sweep(struct stats *stats)
{
	uint32_t units = count_of(&stats->block->header.units, STATS_UNITS_MAX);

	for (uint32_t i = 0; i < units; i++)
		if (!stats->claimed[i])
			atomic_store_explicit(&stats->block->unit[i].id, 0, memory_order_release);
}

/* ---- counting ---- */

void stats_count(struct stats *stats, struct stats_channel *channel, uint32_t n, uint32_t sequence,
		 const struct stats_account *account)
{
	struct stats_class *class = &account->unit->class[account->class];
	struct stats_slot *slot = &stats_slots(stats, channel)[n];
	struct stats_intent *intent = &channel->intent;

	/* A predecessor has counted it, and died before it had the outcome. */
	if (slot->counted && slot->sequence == sequence)
		return;
	intent->unit = (uint16_t)(account->unit - stats->block->unit);
	intent->class = account->class;
	intent->slot = n;
	intent->sequence = sequence;
	intent->reqs = atomic_load_explicit(&class->reqs, memory_order_relaxed) + 1;
	intent->bytes = atomic_load_explicit(&class->bytes, memory_order_relaxed) + account->bytes;
	intent->errors = atomic_load_explicit(&class->errors, memory_order_relaxed) + account->error;
	/* release: whoever finds it VALID finds all of it */
	atomic_store_explicit(&intent->state, STATS_INTENT_VALID, memory_order_release);
	/* a death is between two instructions: these are in this order */
	atomic_signal_fence(memory_order_seq_cst);
	DEATH(STATS_INTENT);
	atomic_store_explicit(&class->reqs, intent->reqs, memory_order_relaxed);
	DEATH(STATS_HALF);
	atomic_store_explicit(&class->bytes, intent->bytes, memory_order_relaxed);
	atomic_store_explicit(&class->errors, intent->errors, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	slot->counted = 1;
	DEATH(STATS_COUNTED);
	atomic_store_explicit(&intent->state, STATS_INTENT_NONE, memory_order_release);
	DEATH(STATS_OVER);
}

void stats_times_add(const struct stats *stats, const struct stats_account *account, const struct stats_times *times,
		     uint32_t count)
{
	struct stats_class *class = &account->unit->class[account->class];
	const uint64_t ns[STATS_PARTS] = {
		[STATS_WAIT] = times->given_ns - times->seen_ns,
		[STATS_BACK_END] = times->done_ns - times->given_ns,
		[STATS_COMPLETION] = stats->now_ns - times->done_ns,
	};

	if (atomic_load_explicit(&account->unit->id, memory_order_relaxed) != account->id)
		return;
	stats_add(&class->timed, count);
	for (unsigned int part = 0; part < STATS_PARTS; part++) {
		stats_add(&class->ns[part], ns[part] * count);
		stats_add(&class->bucket[part][stats_bucket(ns[part])], count);
	}
}
