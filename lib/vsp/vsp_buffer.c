/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that a guest has lent to a device.
 *
 * Theory of operation: the worker hands out the page list and from then on does not tell the guest that its GPADL is
 * gone before we have said so, or the channel is closed, or this process has ended. A wish (struct vsp_mapping) is
 * under way until the worker's answer, also while the channel closes: that waits for it, as for a request in flight. If
 * the channel could not be opened after all its device is not told any more. What ops->recover() wishes for holds all
 * channels back, as does what the worker has not asked for yet (vsp_is_held()).
 *
 * When the guest wants a GPADL back (struct vsp_revocation), each buffer that lies over it is revoked; the worker is
 * answered when the last is released. A guest may have named one GPADL twice.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "guest/buffer.h"
#include "vsp/internal.h"

struct vsp_buffer {
	struct vsp_buffer *next; /* of its channel */
	struct vsp_channel *channel;
	uint32_t gpadl;
	bool revoked;
	struct guest_buffer memory;
};

struct vsp_mapping {
	struct vsp_mapping *next; /* of its channel */
	struct vsp *vsp;
	struct vsp_channel *channel; /* NULL: its open has failed, nobody waits */
	uint32_t gpadl;
	bool holds; /* counted in vsp->mapping */
	void (*done)(void *arg, struct vsp_buffer *buffer, int error);
	void *arg;
};

struct vsp_revocation {
	struct vsp_revocation *next; /* of its channel */
	uint32_t gpadl;
	struct vsp_done done;
};

/* ---- mapping ---- */

int vsp_buffer_map(struct vsp_channel *channel, uint32_t gpadl,
		   void (*done)(void *arg, struct vsp_buffer *buffer, int error), void *arg)
{
	struct vsp_mapping *mapping = calloc(1, sizeof(*mapping));
	struct vsp *vsp = channel->vsp;
	int r;

	if (!mapping)
		return -ENOMEM;
	*mapping = (struct vsp_mapping){.next = channel->mappings,
					.vsp = vsp,
					.channel = channel,
					.gpadl = gpadl,
					.holds = channel->recovering,
					.done = done,
					.arg = arg};
	r = channel->state == VSP_CHANNEL_OPEN ? vsp_rpc_lend(vsp, channel->offer_id, gpadl, mapping) : -ECANCELED;
	if (r < 0) {
		free(mapping);
		return r;
	}
	channel->mappings = mapping;
	vsp->mapping += mapping->holds;
	return 0;
}

/* Copied, so that what is checked is what is used. */
static int read_ranges(int fd, uint32_t count, struct guest_range **ret_ranges)
{
	_cleanup_free_ struct guest_range *ranges = NULL;
	int r;

	if (count == 0 || count > GUEST_BUFFER_PAGES_MAX)
		return -EPROTO;
	ranges = calloc(count, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	r = fd_read_full(fd, ranges, count * sizeof(*ranges), 0);
	if (r < 0)
		return r;
	*ret_ranges = take_ptr(ranges);
	return 0;
}

static int make_buffer(struct vsp_mapping *mapping, int fd, uint32_t count, struct vsp_buffer **ret_buffer)
{
	_cleanup_free_ struct guest_range *ranges = NULL;
	struct vsp_channel *channel = mapping->channel;
	struct vsp_buffer *buffer;
	int r = read_ranges(fd, count, &ranges);

	if (r < 0)
		return r;
	buffer = calloc(1, sizeof(*buffer));
	if (!buffer)
		return -ENOMEM;
	r = guest_buffer_init(&buffer->memory, &channel->vsp->mem, ranges, count);
	if (r < 0) {
		free(buffer);
		return r;
	}
	buffer->channel = channel;
	buffer->gpadl = mapping->gpadl;
	buffer->next = channel->buffers;
	channel->buffers = buffer;
	*ret_buffer = buffer;
	return 0;
}

static void forget_mapping(const struct vsp_mapping *mapping)
{
	struct vsp_mapping **at = &mapping->channel->mappings;

	while (*at != mapping)
		at = &(*at)->next;
	*at = mapping->next;
}

/* Of what the device is told there are three; that the channel closes, only if it does. */
static int told_error(const struct vsp_channel *channel, int error)
{
	if (channel->state != VSP_CHANNEL_OPEN)
		return -ECANCELED;
	return error == -ENOMEM ? error : -ENOENT;
}

static void tell_mapping(struct vsp_mapping *mapping, int error, int fd, uint32_t count)
{
	struct vsp_channel *channel = mapping->channel;
	struct vsp_buffer *buffer = NULL;

	if (error == 0 && channel->state != VSP_CHANNEL_OPEN)
		error = -ECANCELED;
	if (error == 0)
		error = make_buffer(mapping, fd, count, &buffer);
	if (error < 0)
		log_debug(channel->name, "GPADL %#x cannot be used: %s", mapping->gpadl, err_name(error));
	vsp_batch_begin(channel->vsp);
	mapping->done(mapping->arg, buffer, error < 0 ? told_error(channel, error) : 0);
	vsp_batch_end(channel->vsp);
}

void vsp_buffer_lent(struct vsp_mapping *mapping, int error, int fd, uint32_t count)
{
	struct vsp *vsp = mapping->vsp;

	vsp->mapping -= mapping->holds;
	if (mapping->channel)
		forget_mapping(mapping);
	if (mapping->channel && !vsp->ending)
		tell_mapping(mapping, error, fd, count);
	free(mapping);
	/* what waited for it: channels that are held back, or close */
	if (!vsp->ending)
		loop_wake(vsp->work);
}

/* ---- the device's hands ---- */

const struct guest_buffer *vsp_buffer_memory(const struct vsp_buffer *buffer)
{
	return &buffer->memory;
}

static bool is_used(const struct vsp_channel *channel, uint32_t gpadl)
{
	const struct vsp_buffer *buffer = channel->buffers;

	while (buffer && buffer->gpadl != gpadl)
		buffer = buffer->next;
	return buffer != NULL;
}

/* Whoever wants @gpadl back hears that nobody uses it. */
static void answer_revocations(struct vsp_channel *channel, uint32_t gpadl)
{
	struct vsp_revocation **at = &channel->revocations;

	while (*at) {
		struct vsp_revocation *revocation = *at;

		if (revocation->gpadl != gpadl) {
			at = &revocation->next;
			continue;
		}
		*at = revocation->next;
		revocation->done.fn(revocation->done.arg);
		free(revocation);
	}
}

static void free_buffer(struct vsp_buffer *buffer)
{
	guest_buffer_done(&buffer->memory);
	free(buffer);
}

void vsp_buffer_release(struct vsp_buffer *buffer)
{
	struct vsp_buffer **at = buffer ? &buffer->channel->buffers : NULL;
	struct vsp_channel *channel;
	uint32_t gpadl;

	if (!buffer)
		return;
	channel = buffer->channel;
	gpadl = buffer->gpadl;
	while (*at != buffer)
		at = &(*at)->next;
	*at = buffer->next;
	free_buffer(buffer);
	if (!is_used(channel, gpadl))
		answer_revocations(channel, gpadl);
}

/* ---- the guest's wishes ---- */

/* One that is over @gpadl and has not been revoked yet. */
static struct vsp_buffer *next_to_revoke(const struct vsp_channel *channel, uint32_t gpadl)
{
	struct vsp_buffer *buffer = channel->buffers;

	while (buffer && (buffer->gpadl != gpadl || buffer->revoked))
		buffer = buffer->next;
	return buffer;
}

int vsp_buffer_revoke(struct vsp_channel *channel, uint32_t gpadl, struct vsp_done done)
{
	struct vsp_revocation *revocation;
	struct vsp_buffer *buffer;

	if (!is_used(channel, gpadl)) {
		done.fn(done.arg);
		return 0;
	}
	revocation = malloc(sizeof(*revocation));
	if (!revocation)
		return -ENOMEM;
	*revocation = (struct vsp_revocation){channel->revocations, gpadl, done};
	channel->revocations = revocation;
	vsp_batch_begin(channel->vsp);
	/* The device may release this one, and others, inside. */
	while ((buffer = next_to_revoke(channel, gpadl))) {
		buffer->revoked = true;
		if (channel->ops->revoked)
			channel->ops->revoked(channel, buffer);
	}
	vsp_batch_end(channel->vsp);
	return 0;
}

/* ---- the channel's end ---- */

void vsp_buffers_drop(struct vsp_channel *channel)
{
	while (channel->mappings) {
		struct vsp_mapping *mapping = channel->mappings;

		channel->mappings = mapping->next;
		mapping->channel = NULL;
	}
	while (channel->buffers) {
		struct vsp_buffer *buffer = channel->buffers;

		channel->buffers = buffer->next;
		free_buffer(buffer);
	}
	while (channel->revocations)
		answer_revocations(channel, channel->revocations->gpadl);
}
