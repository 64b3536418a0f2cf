/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking over a NIC.
 *
 * Theory of operation: a predecessor's state is checked, the buffers are mapped again (netvsp_buffers.c), and once all
 * channels are taken over, what it had given to the rings is compared with what of that was published
 * (netvsp_settle()): sections, the answer to the last control message, what the guest was told of the link. What the
 * guest had on a sub-channel that it has closed meanwhile is ours again; one that it has open, and that could not be
 * taken over, keeps what is out there.
 */
#include <errno.h>
#include <stddef.h>

#include "netvsp_int.h"
#include "nvsp_parse.h"
#include "sections.h"

static bool state_valid(const struct netvsp *netvsp, const struct netvsp_state *state)
{
	if (state->version != 0 && !nvsp_version_known(state->version))
		return false;
	if (state->sections > 0 && (state->sections > NETVSP_SECTIONS_MAX || state->sections < NETVSP_SECTIONS_MIN ||
				    state->mtu < OID_MTU_MIN || state->mtu > OID_MTU_MAX ||
				    state->section_bytes != netvsp_section_bytes(state->mtu)))
		return false;
	return state->send_sections <= NETVSP_SEND_SECTIONS_MAX && state->sub_channels <= netvsp->sub_channels &&
	       state->initialized <= 1 && state->answer_len <= NETVSP_ANSWER_MAX &&
	       oid_settings_valid(&state->settings, 1 + state->sub_channels);
}

int netvsp_recover(struct vsp_channel *channel)
{
	const struct netvsp_state *state = vsp_channel_state(channel);
	struct netvsp *netvsp = netvsp_of(channel);
	int r;

	if (!state_valid(netvsp, state))
		return -EPROTO;
	netvsp_init_channel(channel);
	netvsp->settled = netvsp->closing = false;
	netvsp->taken_over = true;
	netvsp->forgotten = 0;
	netvsp_connect(netvsp, channel);
	r = netvsp_map_again(netvsp);
	if (r < 0) {
		netvsp->channel[0] = NULL;
		port_connect(netvsp->port, NULL);
	}
	return r;
}

int netvsp_sub_recover(struct vsp_channel *channel)
{
	netvsp_init_channel(channel);
	netvsp_of(channel)->channel[vsp_channel_index(channel)] = channel;
	return 0;
}

/* Whether the guest has closed it, and perhaps opened it anew. */
static bool has_ended(const struct netvsp *netvsp, unsigned int index)
{
	return netvsp->forgotten & 1u << index ||
	       (!netvsp->channel[index] && !vsp_stranded(netvsp->channel[0], (uint16_t)index));
}

static void settle_sections(struct netvsp *netvsp)
{
	uint64_t sent[NETVSP_CHANNELS_MAX];

	for (unsigned int i = 0; i < NETVSP_CHANNELS_MAX; i++)
		sent[i] = has_ended(netvsp, i) || !netvsp->channel[i] ? UINT64_MAX : vsp_sent(netvsp->channel[i]);
	/* who dies in between leaves them to be counted twice, not never */
	netvsp_count_dropped(netvsp, sections_lost(&netvsp->sections, sent));
	sections_recover(&netvsp->sections, sent);
	for (unsigned int i = 0; i < NETVSP_CHANNELS_MAX; i++)
		if (has_ended(netvsp, i))
			sections_forget(&netvsp->sections, i);
}

/* What was given to the ring, and what of that the guest has: known once all channels are taken over. */
void netvsp_settle(struct netvsp *netvsp)
{
	const struct netvsp_state *state;
	uint64_t sent;

	if (netvsp->settled || !netvsp->channel[0])
		return;
	netvsp->settled = true;
	state = netvsp_state(netvsp);
	sent = vsp_sent(netvsp->channel[0]);
	netvsp_count_lost(netvsp);
	if (netvsp->sections.memory)
		settle_sections(netvsp);
	if (state->answer > sent)
		vsp_set_state_word(netvsp->channel[0], offsetof(struct netvsp_state, answer), 0);
	if (state->link >> 1 > sent)
		vsp_set_state_word(netvsp->channel[0], offsetof(struct netvsp_state, link), !(state->link & 1));
	rndis_go(netvsp);
	netvsp_listen(netvsp);
}
