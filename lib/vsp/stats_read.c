/* SPDX-License-Identifier: Apache-2.0 */
#include "vsp/stats_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"

/* ---- plain copies ---- */

static void take_name(char ret[STATS_NAME_LEN + 1], const char name[STATS_NAME_LEN])
{
	memcpy(ret, name, STATS_NAME_LEN);
	ret[STATS_NAME_LEN] = '\0';
	for (char *at = ret; *at; at++)
		if (*at <= ' ' || *at > '~')
			*at = '?';
}

static void take_class(struct stats_requests *ret, const struct stats_class *from)
{
	ret->reqs = from->reqs;
	ret->bytes = from->bytes;
	ret->errors = from->errors;
	ret->timed = from->timed;
	for (unsigned int part = 0; part < STATS_PARTS; part++) {
		ret->ns[part] = from->ns[part];
		for (unsigned int i = 0; i < STATS_BUCKETS; i++)
			ret->bucket[part][i] = from->bucket[part][i];
	}
}

static void take_unit(struct stats_unit_copy *ret, const struct stats_unit *from)
{
	ret->id = from->id;
	ret->kind = from->kind;
	take_name(ret->name, from->name);
	ret->queue = from->queue;
	ret->queue_peak = from->queue_peak;
	for (unsigned int i = 0; i < STATS_COUNTS; i++)
		ret->count[i] = from->count[i];
	for (unsigned int c = 0; c < STATS_CLASSES; c++)
		take_class(&ret->class[c], &from -> class[c]);
}

static void take_channel(struct stats_channel_copy *ret, const struct stats_channel *from)
{
	take_name(ret->name, from->name);
	ret->kicks = from->kicks;
	ret->wakes = from->wakes;
	ret->interrupts = from->interrupts;
	ret->quiet = from->quiet;
	ret->requests = from->requests;
}

/* ---- reading ---- */

static int read_channels(stats_read_fn read, void *arg, uint32_t count, struct stats_copy *ret)
{
	size_t len = count * sizeof(struct stats_channel);
	_cleanup_free_ struct stats_channel *channel = malloc(MAX(len, (size_t)1));
	int r;

	ret->channel = calloc(MAX(count, 1u), sizeof(*ret->channel));
	if (!channel || !ret->channel)
		return -ENOMEM;
	r = read(arg, offsetof(struct stats_block, channel), channel, len);
	for (uint32_t i = 0; r == 0 && i < count; i++)
		if (channel[i].used)
			take_channel(&ret->channel[ret->channels++], &channel[i]);
	return r;
}

/* One at a time; one that has gone, or has become another, while it was read is left out. */
static int read_unit(stats_read_fn read, void *arg, uint32_t i, struct stats_unit *buffer, struct stats_copy *ret)
{
	uint64_t at = offsetof(struct stats_block, unit) + (uint64_t)i * sizeof(*buffer), before, after;
	int r = read(arg, at + offsetof(struct stats_unit, id), &before, sizeof(before));

	if (r < 0 || before == 0)
		return r;
	r = read(arg, at, buffer, sizeof(*buffer));
	if (r == 0)
		r = read(arg, at + offsetof(struct stats_unit, id), &after, sizeof(after));
	if (r == 0 && before == after && buffer->id == after)
		take_unit(&ret->unit[ret->units++], buffer);
	return r;
}

static int read_units(stats_read_fn read, void *arg, uint32_t count, struct stats_copy *ret)
{
	_cleanup_free_ struct stats_unit *buffer = malloc(sizeof(*buffer));
	int r = 0;

	ret->unit = calloc(MAX(count, 1u), sizeof(*ret->unit));
	if (!buffer || !ret->unit)
		return -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < count; i++)
		r = read_unit(read, arg, i, buffer, ret);
	return r;
}

int stats_read_from(stats_read_fn read, void *arg, struct stats_copy *ret)
{
	struct stats_copy copy = {0};
	struct stats_header header;
	int r = read(arg, 0, &header, sizeof(header));

	if (r < 0)
		return r;
	if (header.magic != STATS_MAGIC || header.bytes != sizeof(struct stats_block))
		return header.magic == STATS_MAGIC && header.version != STATS_VERSION ? -EPROTONOSUPPORT : -EPROTO;
	if (header.version != STATS_VERSION)
		return -EPROTONOSUPPORT;
	r = read_channels(read, arg, MIN((uint32_t)header.channels, STATS_CHANNELS_MAX), &copy);
	if (r == 0)
		r = read_units(read, arg, MIN((uint32_t)header.units, STATS_UNITS_MAX), &copy);
	if (r < 0)
		stats_copy_done(&copy);
	else
		*ret = copy;
	return r;
}

static int read_fd(void *arg, uint64_t offset, void *ret, size_t len)
{
	return fd_read_full(*(const int *)arg, ret, len, (off_t)offset);
}

int stats_read(int fd, struct stats_copy *ret)
{
	int r;

	/* of nothing but memory a read takes no time */
	if (fcntl(fd, F_GET_SEALS) < 0)
		return -EPROTO;
	r = stats_read_from(read_fd, &fd, ret);
	return r == -EIO ? -EPROTO : r;
}

void stats_copy_done(struct stats_copy *copy)
{
	free(copy->unit);
	free(copy->channel);
	*copy = (struct stats_copy){0};
}
