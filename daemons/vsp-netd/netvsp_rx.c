/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames for the guest.
 *
 * Theory of operation: sections for the longest frame that may come are kept ready (the landing), and the port writes
 * into them behind the room for an RNDIS head. A frame that fits into one section is one PACKET message there. A longer
 * one, which the guest has asked for (coalescing), is one message for each section, marked as parts of the same. All
 * messages of a batch for a channel, the one that receive-side scaling names, go out in one transfer-page packet.
 *
 * The section that a frame will begin in says so before the port is asked for one: a frame that a dying process had
 * taken from the back end is counted as dropped by its successor, wherever it was.
 *
 * The port is listened to as long as there are sections for a frame, some are left for answers, and no channel's ring
 * is full: what comes else waits in the back end, which drops what it cannot hold.
 *
 * A checksum that the host has not filled in is filled in, of coalesced frames too: a guest may check for itself
 * ("ethtool -K eth0 rx off", of which it tells nobody), or pass frames on.
 *
 * Limits: RECEIVE_BUDGET frames before others have their turn.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/death.h"
#include "frame.h"
#include "guest/buffer.h"
#include "netvsp_int.h"
#include "sections.h"

#define RECEIVE_BUDGET	 128u
#define SECTIONS_RESERVE 8u /* for what is not a frame */

_Static_assert(NETVSP_HEAD_LEN >= FRAME_INFO_MAX, "the head has its place");
_Static_assert(NETVSP_LANDING_MAX *(NETVSP_PAGE - NETVSP_HEAD_LEN) >= PORT_FRAME_MAX, "the longest frame has, too");

/* ---- landing ---- */

static uint32_t section_room(const struct netvsp *netvsp)
{
	return netvsp->sections.bytes - NETVSP_HEAD_LEN;
}

/* Where a section's frame goes, page by page. */
static void aim(struct netvsp *netvsp, uint32_t place, uint16_t section)
{
	struct netvsp_landing *landing = &netvsp->landing;
	const struct netvsp_sections *sections = &netvsp->sections;
	size_t page = (size_t)section * landing->iovs_each;
	struct iovec *iov = &landing->iov[place * landing->iovs_each];

	landing->section[place] = section;
	iov[0] = (struct iovec){sections->memory->page[page] + NETVSP_HEAD_LEN, NETVSP_PAGE - NETVSP_HEAD_LEN};
	for (unsigned int i = 1; i < landing->iovs_each; i++)
		iov[i] = (struct iovec){sections->memory->page[page + i], NETVSP_PAGE};
}

static void clear_landing(struct netvsp *netvsp)
{
	while (netvsp->landing.sections > 0)
		sections_put(&netvsp->sections, netvsp->landing.section[--netvsp->landing.sections]);
}

static uint32_t sections_wanted(const struct netvsp *netvsp)
{
	uint32_t room = section_room(netvsp);

	return netvsp_coalesces(netvsp) ? (PORT_FRAME_MAX + room - 1) / room : 1;
}

/* Return: whether a frame may come. */
static bool fill_landing(struct netvsp *netvsp)
{
	struct netvsp_landing *landing = &netvsp->landing;

	landing->iovs_each = netvsp->sections.bytes / NETVSP_PAGE;
	while (landing->sections < landing->want) {
		if (netvsp->sections.free <= SECTIONS_RESERVE)
			return false;
		aim(netvsp, landing->sections++, sections_take(&netvsp->sections));
	}
	return true;
}

/* Its first sections are in use now. */
static void advance_landing(struct netvsp_landing *landing, uint32_t used)
{
	landing->sections -= used;
	memmove(landing->section, landing->section + used, landing->sections * sizeof(landing->section[0]));
	memmove(landing->iov, landing->iov + used * landing->iovs_each,
		(size_t)landing->sections * landing->iovs_each * sizeof(landing->iov[0]));
}

/* ---- sending ---- */

static void send_packet(struct netvsp *netvsp, struct vsp_channel *channel, struct netvsp_channel *data)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET};
	uint64_t id;
	int r;

	if (data->ranges == 0)
		return;
	message.rndis_packet.section = NVSP_NO_SECTION;
	r = vsp_send_pages(channel, netvsp_state(netvsp)->receive_id, data->range, data->ranges, &message,
			   NVSP_MESSAGE_LEN, &id);
	if (r == -EAGAIN) {
		netvsp->stuck += !data->stuck;
		data->stuck = true;
		return;
	}
	netvsp->stuck -= data->stuck;
	data->stuck = false;
	if (r == 0)
		sections_send(&netvsp->sections, data->first, data->index, id);
	else /* the channel is going, or its ring is too small for any */
		netvsp_count_dropped(netvsp, sections_put_all(&netvsp->sections, data->first));
	DEATH(NET_FRAMES_GIVEN);
	data->ranges = 0;
	data->first = data->last = SECTION_NONE;
}

static void send_all(struct netvsp *netvsp)
{
	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++)
		if (netvsp->channel[i])
			send_packet(netvsp, netvsp->channel[i], vsp_channel_data(netvsp->channel[i]));
}

void netvsp_receive_again(struct netvsp *netvsp, struct vsp_channel *channel)
{
	struct netvsp_channel *data = vsp_channel_data(channel);

	if (netvsp->channel[0] && data->stuck)
		send_packet(netvsp, channel, data);
}

void netvsp_receive_drop(struct netvsp *netvsp, struct vsp_channel *channel)
{
	struct netvsp_channel *data = vsp_channel_data(channel);

	if (data->ranges > 0)
		netvsp_count_dropped(netvsp, sections_put_all(&netvsp->sections, data->first));
	netvsp->stuck -= data->stuck;
	data->stuck = false;
	data->ranges = 0;
	data->first = data->last = SECTION_NONE;
}

/* ---- one frame ---- */

static struct vsp_channel *choose_channel(struct netvsp *netvsp, const struct port_received *received,
					  struct frame_info *info)
{
	struct vsp_channel *channel;
	uint32_t type;

	if (!netvsp->hashes)
		return netvsp->channel[0];
	type = rss_hash(&netvsp->rss, received->head, &received->headers, &info->hash);
	info->hashed = type != 0;
	channel = netvsp->channel[rss_channel(&netvsp->rss, type, info->hash) % NETVSP_CHANNELS_MAX];
	/* One that the guest has closed, or not opened yet. */
	return channel ? channel : netvsp->channel[0];
}

static void put_part(struct netvsp *netvsp, struct netvsp_channel *data, uint16_t section,
		     const struct frame_info *info, uint32_t len, bool further)
{
	uint8_t head[NETVSP_HEAD_LEN];

	frame_put_head(info, sizeof(head), len, head);
	memcpy(sections_ptr(&netvsp->sections, section), head, sizeof(head));
	sections_hold(&netvsp->sections, section, data->last, further ? SECTION_FURTHER : 0);
	data->range[data->ranges++] = (struct vsp_page_range){.bytes = (uint32_t)sizeof(head) + len,
							      .offset = section * netvsp->sections.bytes};
	if (data->first == SECTION_NONE)
		data->first = section;
	data->last = section;
}

/* Return: whether it is in the landing's first sections, which are in use now. */
static bool deliver(struct netvsp *netvsp, const struct port_received *received)
{
	struct netvsp_landing *landing = &netvsp->landing;
	struct frame_info info = {.tagged = received->tagged, .tag = received->tag};
	struct vsp_channel *channel = choose_channel(netvsp, received, &info);
	struct netvsp_channel *data = vsp_channel_data(channel);
	uint32_t room = section_room(netvsp), parts = ((uint32_t)received->len + room - 1) / room;

	DEATH(NET_FRAME_TAKEN);
	if (received->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		(void)frame_fill_checksum(received, landing->iov, landing->sections * landing->iovs_each);
	info.checksum = frame_checksums(received);
	if (data->ranges + parts > VSP_PAGE_RANGES_MAX)
		send_packet(netvsp, channel, data);
	if (data->stuck) { /* no room for what came before either: this one is lost */
		netvsp_count_dropped(netvsp, 1);
		return false;
	}
	for (uint32_t i = 0; i < parts; i++) {
		if (parts > 1)
			info.part = (uint8_t)(RNDIS_PACKET_ID_PART | (i == 0 ? RNDIS_PACKET_ID_FIRST : 0) |
					      (i == parts - 1 ? RNDIS_PACKET_ID_LAST : 0));
		put_part(netvsp, data, landing->section[i], &info, MIN(room, (uint32_t)received->len - i * room),
			 i > 0);
	}
	advance_landing(landing, parts);
	DEATH(NET_FRAME_RECEIVED);
	return true;
}

/* ---- all of them ---- */

static bool may_receive(struct netvsp *netvsp)
{
	/* A NIC that leaves waits until the guest has given back all that it has. */
	return !netvsp->closing && !netvsp->leaving && !netvsp->refuses && netvsp->channel[0] && netvsp->settled &&
	       netvsp->sections.memory && netvsp_state(netvsp)->initialized && netvsp->stuck == 0 &&
	       fill_landing(netvsp);
}

void netvsp_receive(struct netvsp *netvsp, unsigned int queue)
{
	struct port_received received;
	int r = 0;

	vsp_batch_begin(netvsp->vsp);
	for (unsigned int i = 0; i < RECEIVE_BUDGET && r != -EAGAIN && may_receive(netvsp); i++) {
		sections_expect(&netvsp->sections, netvsp->landing.section[0]);
		r = port_receive(netvsp->port, queue, netvsp->landing.iov,
				 netvsp->landing.sections * netvsp->landing.iovs_each, &received);
		if (r <= 0 || !deliver(netvsp, &received))
			sections_expect_end(&netvsp->sections, netvsp->landing.section[0]);
	}
	if (netvsp->channel[0] && netvsp->sections.memory)
		send_all(netvsp);
	vsp_batch_end(netvsp->vsp);
	netvsp_listen(netvsp);
	/* There may be more, of which no event tells. */
	if (r != -EAGAIN && netvsp->listening)
		port_listen(netvsp->port, queue, true);
}

/* A channel that has failed has no use for it, and must not hold up the others. */
static void retry_stuck(struct netvsp *netvsp)
{
	vsp_batch_begin(netvsp->vsp);
	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++)
		if (netvsp->channel[i])
			netvsp_receive_again(netvsp, netvsp->channel[i]);
	vsp_batch_end(netvsp->vsp);
}

void netvsp_listen(struct netvsp *netvsp)
{
	bool listen;

	if (netvsp->stuck > 0 && netvsp->channel[0] && netvsp->sections.memory)
		retry_stuck(netvsp);

	if (netvsp->sections.memory && netvsp->channel[0]) {
		uint32_t want = sections_wanted(netvsp);

		if (netvsp->landing.want != want)
			clear_landing(netvsp);
		netvsp->landing.want = want;
	}
	listen = may_receive(netvsp);
	if (listen == netvsp->listening)
		return;
	netvsp->listening = listen;
	for (unsigned int i = 0; i < port_queues(netvsp->port); i++)
		port_listen(netvsp->port, i, listen);
}
