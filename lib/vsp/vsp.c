/* SPDX-License-Identifier: Apache-2.0 */
#include "vsp/vsp.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "ipc/rpc.h"
#include "vsp/internal.h"

struct vsp_channel *vsp_find(struct vsp *vsp, uint32_t offer_id)
{
	for (size_t i = 0; i < vsp->channel_count; i++)
		if (vsp->channels[i]->offer_id == offer_id)
			return vsp->channels[i];
	return NULL;
}

/* ---- deferred work ---- */

static bool all_closed(const struct vsp *vsp)
{
	for (size_t i = 0; i < vsp->channel_count; i++)
		if (vsp->channels[i]->state != VSP_CHANNEL_CLOSED)
			return false;
	return true;
}

/* A primary channel goes after its sub-channels. */
static bool has_subchannel_that_goes(const struct vsp *vsp, const struct vsp_channel *channel)
{
	for (size_t i = 0; channel->index == 0 && i < vsp->channel_count; i++)
		if (vsp->channels[i]->index > 0 && vsp->channels[i]->withdrawn &&
		    vsp->channels[i]->device == channel->device)
			return true;
	return false;
}

/* Backwards: sub-channels are offered behind their primary channel. */
static void remove_withdrawn(struct vsp *vsp)
{
	for (size_t i = vsp->channel_count; i > 0; i--) {
		struct vsp_channel *channel = vsp->channels[i - 1];

		if (channel->withdrawn && channel->state == VSP_CHANNEL_CLOSED && !channel->dirty &&
		    !has_subchannel_that_goes(vsp, channel)) {
			/* if it cannot be sent the connection ends, and all offers with it */
			if (channel->offer_id != UINT32_MAX)
				(void)vsp_rpc_withdraw(vsp, channel->offer_id);
			stats_channel_end(channel->stats);
			free(channel);
			for (size_t j = i; j < vsp->channel_count; j++)
				vsp->channels[j - 1] = vsp->channels[j];
			vsp->channel_count--;
		}
	}
}

static void tell_quiesced(struct vsp *vsp)
{
	while (vsp->quiesced_count > 0) {
		struct vsp_done done = vsp->quiesced[--vsp->quiesced_count];

		done.fn(done.arg);
	}
}

static void on_work(void *arg)
{
	struct vsp *vsp = arg;

	for (size_t i = 0; i < vsp->channel_count; i++)
		vsp_channel_work(vsp->channels[i]);
	remove_withdrawn(vsp);
	if (all_closed(vsp))
		tell_quiesced(vsp);
}

static void nothing(void *arg)
{
}

int vsp_quiesce(struct vsp *vsp, struct vsp_done done)
{
	if (vsp->quiesced_count == ARRAY_SIZE(vsp->quiesced))
		return -EBUSY;
	vsp->quiesced[vsp->quiesced_count++] = done;
	/* A channel that is closing already answers to whoever closes it. */
	for (size_t i = 0; i < vsp->channel_count; i++) {
		if (vsp->channels[i]->state == VSP_CHANNEL_OPEN)
			vsp_channel_close(vsp->channels[i], (struct vsp_done){.fn = nothing});
		vsp->channels[i]->stranded = false;
	}
	loop_wake(vsp->work);
	return 0;
}

void vsp_gathered(struct vsp *vsp)
{
	vsp->gathering = false;
	loop_wake(vsp->work);
	if (vsp->config.gathered)
		vsp->config.gathered(vsp->config.arg);
}

/* ---- batches ---- */

void vsp_batch_begin(struct vsp *vsp)
{
	vsp_stats_tick(vsp);
	vsp->batch_depth++;
}

void vsp_batch_end(struct vsp *vsp)
{
	assert(vsp->batch_depth > 0);
	/* The depth stays while we work: what completes meanwhile joins the list. */
	while (vsp->batch_depth == 1 && vsp->dirty_count > 0) {
		struct vsp_channel *channel = vsp->dirty[--vsp->dirty_count];

		channel->dirty = false;
		vsp_channel_flush(channel);
		if (channel->starved && channel->free.count > 0)
			vsp_channel_drain(channel);
	}
	vsp->batch_depth--;
}

void vsp_channel_touched(struct vsp_channel *channel)
{
	struct vsp *vsp = channel->vsp;

	if (vsp->batch_depth == 0) {
		vsp_channel_flush(channel);
		/* The device is busy with this request: it gets new ones from the loop. */
		if (channel->starved && channel->free.count > 0)
			loop_wake(vsp->work);
	} else if (!channel->dirty) {
		channel->dirty = true;
		vsp->dirty[vsp->dirty_count++] = channel;
	}
}

/* ---- polling ---- */

void vsp_poll_begin(struct vsp *vsp)
{
	vsp->polling = true;
	for (size_t i = 0; i < vsp->channel_count; i++)
		vsp_channel_mask(vsp->channels[i]);
}

bool vsp_poll(struct vsp *vsp)
{
	bool any = false;

	for (size_t i = 0; i < vsp->channel_count; i++)
		any |= vsp_channel_poll(vsp->channels[i]);
	return any;
}

void vsp_poll_end(struct vsp *vsp)
{
	vsp->polling = false;
	for (size_t i = 0; i < vsp->channel_count; i++)
		vsp_channel_unmask(vsp->channels[i]);
}

/* ---- attach ---- */

static int take_regions(struct vsp *vsp, const struct vsp_attachment *attachment, struct err *err)
{
	for (size_t i = 0; i < attachment->region_count; i++) {
		const struct guest_mem_region *region = &attachment->regions[i];
		int r = guest_mem_add(&vsp->mem, region->gpa, region->len, region->fd, region->offset);

		if (r < 0)
			return err_set(err, r, "guest memory at 0x%llx: cannot map %llu bytes: %s",
				       (unsigned long long)region->gpa, (unsigned long long)region->len, err_name(r));
	}
	return 0;
}

int vsp_attached(struct vsp *vsp, struct vsp_attachment *attachment, struct err *err)
{
	int r = take_regions(vsp, attachment, err);

	if (r < 0)
		return r;
	r = signal_map_init(&vsp->cells, attachment->cells_fd);
	if (r < 0)
		return err_set(err, r, "signal cells of the worker: cannot map them: %s", err_name(r));
	if (attachment->cpus == 0 || attachment->cpus > vsp->cells.cpus)
		return err_set(err, -EPROTO, "worker: %u vCPUs but signal cells for %u", attachment->cpus,
			       vsp->cells.cpus);
	vsp->cpus = attachment->cpus;
	vsp->vm_name = strdup(attachment->vm_name);
	vsp->config_bytes = malloc(MAX(attachment->config_len, (size_t)1));
	if (!vsp->vm_name || !vsp->config_bytes)
		return err_set(err, -ENOMEM, "out of memory");
	if (attachment->config_len > 0)
		memcpy(vsp->config_bytes, attachment->config, attachment->config_len);
	vsp->config_len = attachment->config_len;
	for (size_t i = 0; i < attachment->fd_count; i++)
		vsp->fds[vsp->fd_count++] = take_fd(&attachment->fds[i]);
	memcpy(vsp->keepsakes, attachment->keepsakes, sizeof(vsp->keepsakes));
	vsp->keepsake_count = attachment->keepsake_count;
	attachment->keepsake_count = 0;
	vsp->generation = attachment->generation;
	vsp->cautious = attachment->cautious;
	vsp->at_fault = attachment->at_fault;
	return 0;
}

int vsp_attach(struct loop *loop, const struct vsp_config *config, struct vsp **ret_vsp, struct err *err)
{
	struct vsp *vsp = calloc(1, sizeof(*vsp));
	int r;

	if (!vsp)
		return err_set(err, -ENOMEM, "out of memory");
	vsp->loop = loop;
	vsp->config = *config;
	guest_mem_init(&vsp->mem);
	r = loop_add_wake(loop, on_work, vsp, &vsp->work);
	if (r < 0)
		err_set(err, r, "event loop: %s", err_name(r));
	else
		r = vsp_rpc_attach(vsp, err);
	if (r < 0) {
		vsp_free(vsp);
		return r;
	}
	*ret_vsp = vsp;
	return 0;
}

void vsp_free(struct vsp *vsp)
{
	if (!vsp)
		return;
	vsp->ending = true;
	rpc_conn_free(vsp->conn);
	for (size_t i = 0; i < vsp->channel_count; i++) {
		struct vsp_channel *channel = vsp->channels[i];

		/* The worker hears nothing of it any more; the call is only freed. */
		if (channel->state == VSP_CHANNEL_CLOSING)
			channel->closed.fn(channel->closed.arg);
		vsp_channel_drop(channel);
		free(channel);
	}
	stats_free(vsp->stats);
	tell_quiesced(vsp);
	loop_remove(&vsp->work);
	signal_map_done(&vsp->cells);
	guest_mem_done(&vsp->mem);
	for (size_t i = 0; i < vsp->fd_count; i++)
		fd_close(&vsp->fds[i]);
	for (size_t i = 0; i < vsp->keepsake_count; i++) {
		fd_close(&vsp->keepsakes[i].fd);
		free(vsp->keepsakes[i].data);
	}
	free(vsp->config_bytes);
	free(vsp->vm_name);
	free(vsp);
}

const void *vsp_config_bytes(const struct vsp *vsp, size_t *ret_len)
{
	*ret_len = vsp->config_len;
	return vsp->config_bytes;
}

int vsp_config_fd(const struct vsp *vsp, size_t index)
{
	return index < vsp->fd_count ? vsp->fds[index] : -1;
}

size_t vsp_config_fds(const struct vsp *vsp)
{
	return vsp->fd_count;
}

void vsp_take_config_fds(struct vsp *vsp, int *ret_fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ret_fds[i] = i < vsp->fd_count ? take_fd(&vsp->fds[i]) : -1;
}

const char *vsp_vm_name(const struct vsp *vsp)
{
	return vsp->vm_name;
}

uint32_t vsp_cpus(const struct vsp *vsp)
{
	return vsp->cpus;
}

bool vsp_hands_over(const struct vsp *vsp)
{
	return vsp->handing_over;
}

bool vsp_gathering(const struct vsp *vsp)
{
	return vsp->gathering;
}

uint32_t vsp_generation(const struct vsp *vsp)
{
	return vsp->generation;
}

int vsp_keep(struct vsp *vsp, const char *key, int fd, const void *data, size_t len, struct err *err)
{
	if (!key[0] || strlen(key) > VSP_KEY_MAX || len > VSP_KEEPSAKE_MAX)
		return err_set(err, -EINVAL, "keepsake \"%s\": its key has 1 to %u bytes, its data %u at most", key,
			       VSP_KEY_MAX, VSP_KEEPSAKE_MAX);
	return vsp_rpc_keep(vsp, key, fd, data, len, err);
}

int vsp_keepsake(const struct vsp *vsp, const char *key, const void **ret_data, size_t *ret_len)
{
	for (size_t i = 0; i < vsp->keepsake_count; i++) {
		if (strcmp(vsp->keepsakes[i].key, key) != 0)
			continue;
		*ret_data = vsp->keepsakes[i].data;
		*ret_len = vsp->keepsakes[i].len;
		return vsp->keepsakes[i].fd;
	}
	return -ENOENT;
}

/* ---- offers ---- */

static struct vsp_channel *channel_new(struct vsp *vsp, const struct vsp_offer_desc *desc,
				       const struct vsp_device_ops *ops, void *device)
{
	struct vsp_channel *channel = calloc(1, sizeof(*channel));

	if (!channel)
		return NULL;
	channel->vsp = vsp;
	channel->ops = ops;
	channel->device = device;
	channel->offer_id = UINT32_MAX;
	channel->index = desc->subchannel_index;
	channel->channel.kick_fd = channel->channel.irq_fd = -1;
	channel->offered = (struct block_geometry){
		.slots = ops->slots,
		.packet_max = (uint32_t)(ops->packet_max ? ops->packet_max : BLOCK_PACKET_DEFAULT),
		.reply_max = (uint32_t)(ops->reply_max ? ops->reply_max : BLOCK_REPLY_DEFAULT),
		.state_len = (uint32_t)ops->state_size,
		.state_version = ops->state_version,
		.table_len = (uint32_t)ops->table_size,
	};
	channel->geometry = channel->offered;
	snprintf(channel->name, sizeof(channel->name), "%s", desc->name);
	if (vsp->stats)
		channel->stats = stats_channel(vsp->stats, channel->name, vsp->channel_count);
	if (channel->stats)
		channel->stats_slot = stats_slots(vsp->stats, channel->stats);
	return channel;
}

int vsp_offer(struct vsp *vsp, const struct vsp_offer_desc *desc, const struct vsp_device_ops *ops, void *device,
	      struct err *err)
{
	struct vsp_channel *channel;
	size_t bytes;
	int r;

	if (vsp->channel_count == VSP_CHANNELS_MAX)
		return err_set(err, -ENOSPC, "%s: more than %u offers", desc->name, VSP_CHANNELS_MAX);
	channel = channel_new(vsp, desc, ops, device);
	if (!channel)
		return err_set(err, -ENOMEM, "out of memory");
	bytes = block_size(&channel->offered);
	assert(bytes > 0);
	vsp->channels[vsp->channel_count++] = channel;
	r = vsp_rpc_offer(channel, desc, bytes, err);
	if (r < 0) {
		vsp->channel_count--;
		free(channel);
	}
	return r;
}

int vsp_offer_begin(struct vsp *vsp, const struct vsp_offer_desc *desc, const struct vsp_device_ops *ops, void *device,
		    void (*done)(void *arg, const struct err *err), void *arg)
{
	struct vsp_channel *channel;
	int r;

	if (vsp->channel_count == VSP_CHANNELS_MAX)
		return -ENOSPC;
	channel = channel_new(vsp, desc, ops, device);
	if (!channel)
		return -ENOMEM;
	vsp->channels[vsp->channel_count++] = channel;
	r = vsp_rpc_offer_begin(channel, desc, block_size(&channel->offered), done, arg);
	if (r < 0) {
		vsp->channel_count--;
		free(channel);
	}
	return r;
}

void vsp_withdraw(struct vsp_channel *channel)
{
	channel->withdrawn = true;
	if (channel->state == VSP_CHANNEL_OPEN)
		vsp_channel_close(channel, (struct vsp_done){.fn = nothing});
	loop_wake(channel->vsp->work);
}

struct vsp_channel *vsp_offered(const struct vsp *vsp, const char *name)
{
	for (size_t i = 0; i < vsp->channel_count; i++)
		if (!strcmp(vsp->channels[i]->name, name))
			return vsp->channels[i];
	return NULL;
}

int vsp_subchannels(struct vsp_channel *channel, uint32_t count)
{
	return vsp_rpc_subchannels(channel->vsp, channel->offer_id, count);
}

void vsp_waits(struct vsp *vsp, const char *what)
{
	vsp->waits_for = what;
}

int vsp_ready(struct vsp *vsp, struct err *err)
{
	return vsp_rpc_ready(vsp, err);
}
