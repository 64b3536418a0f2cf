/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking over a channel from a predecessor.
 *
 * Theory of operation: all channels that were open are taken over before a request of any is begun, so that the device
 * knows what each of them brings (vsp_gathered(); a worker of before that asks for each by itself). The fence has
 * passed: no I/O of the predecessor's is under way. The block says where the rings go on; both indices are published
 * again, its commit is ended, and the guest is signalled once, whatever the predecessor had told it: a spurious
 * interrupt is harmless, a missing one is a hang. Slots that are DONE wait for their place in the ring; ACCEPTED ones
 * are given to the device in the order in which they were accepted, and only then the ring is read on, without waiting
 * for a kick.
 *
 * A successor of processes that died of their own fault is cautious: it replays one request at a time and marks it in
 * the block before. If it dies of that one too, the next finds the mark and fails the request to the guest; if it was
 * killed meanwhile, the next tries the same.
 */
#include <errno.h>
#include <string.h>

#include "abi/ring.h"
#include "base/death.h"
#include "vsp/internal.h"

static void sort_slots(struct vsp_channel *channel, const struct block_recovery *recovery)
{
	uint32_t slots = channel->geometry.slots;

	for (uint32_t i = 0; i < recovery->count; i++) {
		uint32_t n = recovery->slot[i];
		bool done = block_slot(&channel->block, n)->state == BLOCK_SLOT_DONE;

		slot_put(done ? &channel->waiting : &channel->replay, slots, n);
	}
	channel->free.count = 0;
	for (uint32_t n = slots; n > 0; n--)
		if (block_slot(&channel->block, n - 1)->state == BLOCK_SLOT_FREE)
			slot_push(&channel->free, n - 1);
}

static void choose_culprit(struct vsp_channel *channel, const struct block_recovery *recovery,
			   struct vsp_recovered *ret)
{
	channel->cautious = channel->vsp->cautious;
	if (!channel->cautious || !channel->vsp->at_fault || recovery->trial < 0 ||
	    block_slot(&channel->block, (uint32_t)recovery->trial)->state != BLOCK_SLOT_ACCEPTED)
		return;
	channel->culprit = recovery->trial;
	ret->failed = 1;
	log_error(channel->name, "request in slot %d failed to the guest: this service has died of it again and again",
		  recovery->trial);
}

int vsp_channel_recover(struct vsp_channel *channel, struct vsp_recovered *ret)
{
	struct block_recovery recovery;
	int r = 0;

	block_recover_begin(&channel->block, &recovery);
	channel->sent = channel->numbered = recovery.sent;
	if (!recovery.failed) {
		r = channel_resume(&channel->channel, &(struct channel_cursors){recovery.in_read, recovery.out_write});
		if (r < 0)
			return r;
		DEATH(RECOVER_PUBLISHED);
	}
	/* The device comes last of what can fail. */
	channel->recovering = true;
	if (channel->ops->recover)
		r = channel->ops->recover(channel);
	channel->recovering = false;
	if (r < 0) {
		ret->why = "the device's own state is not one that it can be in";
		return r;
	}
	if (recovery.failed) {
		channel->failed = true;
		return 0;
	}
	block_recover_end(&channel->block, &recovery);
	sort_slots(channel, &recovery);
	*ret = (struct vsp_recovered){
		.replayed = channel->replay.count, .lost = recovery.lost, .duplicate = recovery.duplicate};
	choose_culprit(channel, &recovery, ret);
	channel->room_due = true;
	channel_signal(&channel->channel);
	DEATH(RECOVER_SIGNALLED);
	log_info(channel->name, "taken over: %u requests to be done again, %u completions to be sent",
		 channel->replay.count, channel->waiting.count);
	return 0;
}

bool vsp_stranded(const struct vsp_channel *primary, uint16_t index)
{
	const struct vsp *vsp = primary->vsp;

	for (size_t i = 0; i < vsp->channel_count; i++)
		if (vsp->channels[i]->index == index && vsp->channels[i]->device == primary->device)
			return vsp->channels[i]->stranded || !vsp->gathers;
	return false;
}

static void replay_one(struct vsp_channel *channel)
{
	uint32_t n = slot_pop(&channel->replay, channel->geometry.slots);
	struct block_slot *slot = block_slot(&channel->block, n);
	int r = vsp_channel_fill(channel, n);

	/* The pages were good once; a block that says otherwise is answered as a guest would be. */
	if (r < 0)
		slot->data_error = channel->requests[n].data_error = r;
	vsp_stats_replay(channel, n);
	if (channel->cautious)
		block_set_trial(&channel->block, n);
	vsp_channel_give(channel, n, channel->culprit == (int)n ? channel->ops->fail : channel->ops->packet);
	DEATH(RECOVER_REPLAY);
}

bool vsp_channel_replay(struct vsp_channel *channel)
{
	while (channel->replay.count > 0) {
		if (channel->cautious && channel->in_flight > 0)
			return false;
		replay_one(channel);
	}
	if (channel->cautious && channel->in_flight > 0)
		return false;
	if (channel->cautious)
		block_end_trial(&channel->block);
	channel->cautious = false;
	return true;
}
