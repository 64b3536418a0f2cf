// SPDX-License-Identifier: Apache-2.0
/* Channels that come and go while the guest runs: sub-channels, a device that is withdrawn and offered again, one that
 * is new. Against vsp-channels. */
#include "rt.h"
#include "vmbus.h"
#include "vsp_channels.h"

#define ROUNDS	   4u
#define RING_PAGES 4u

static uint8_t rings[CHANNELS_SUBS + 2][RING_PAGES * VMBUS_PAGE_SIZE] __attribute__((aligned(VMBUS_PAGE_SIZE)));
static struct vmbus_channel primary, sub[CHANNELS_SUBS], other;

/* The host's next message, of @type. */
static const void *next(uint32_t type)
{
	const struct vmbus_msg_header *header = vmbus_next_message();

	if (header->msgtype != type)
		rt_fail("message %u where %u was due", header->msgtype, type);
	return header;
}

static void say(struct vmbus_channel *channel, uint32_t command, uint32_t value)
{
	struct channels_packet packet = {command, value}, answer = {0};
	struct vmpacket_descriptor desc;
	uint32_t len;

	if (!vmbus_send(channel, VMPACKET_DATA_INBAND, value, NULL, 0, &packet, sizeof(packet)))
		rt_fail("the ring is full");
	vmbus_wait_packet(channel);
	if (!vmbus_receive(channel, &desc, &answer, sizeof(answer), &len) || desc.type != VMPACKET_COMPLETION ||
	    answer.command != command || answer.value != value)
		rt_fail("command %u is not completed", command);
}

static void open(struct vmbus_channel *channel, uint32_t ring, const struct vmbus_msg_offer_channel *offer)
{
	struct vmbus_msg_offer_channel copy;

	memcpy(&copy, offer, sizeof(copy));
	if (vmbus_open(channel, &copy, rings[ring], RING_PAGES, 0))
		rt_fail("relid %u cannot be opened", copy.child_relid);
	say(channel, CHANNELS_ECHO, 1000 + ring);
}

static void release(uint32_t relid)
{
	struct vmbus_msg_relid msg = {.header.msgtype = VMBUS_MSG_RELID_RELEASED, .child_relid = relid};

	vmbus_post(&msg, sizeof(msg));
}

static void open_subs(void)
{
	struct vmbus_msg_offer_channel offers[CHANNELS_SUBS];

	say(&primary, CHANNELS_SUBCHANNELS, CHANNELS_SUBS);
	for (uint32_t i = 0; i < CHANNELS_SUBS; i++) {
		memcpy(&offers[i], next(VMBUS_MSG_OFFERCHANNEL), sizeof(offers[i]));
		if (offers[i].offer.sub_channel_index != i + 1 ||
		    memcmp(&offers[i].offer.if_instance, &primary.offer.offer.if_instance, sizeof(struct abi_guid)))
			rt_fail("sub-channel %u: index %u", i + 1, offers[i].offer.sub_channel_index);
	}
	for (uint32_t i = 0; i < CHANNELS_SUBS; i++)
		open(&sub[i], 1 + i, &offers[i]);
}

/* As a driver leaves its device: sub-channels first. */
static void close_all(void)
{
	for (uint32_t i = 0; i < CHANNELS_SUBS; i++) {
		vmbus_close(&sub[i]);
		release(sub[i].offer.child_relid);
	}
	vmbus_close(&primary);
}

/* Everything of the device is rescinded, last the primary channel; it comes again once that is released, not before. */
static void lose_device(void)
{
	uint32_t relids = 0, gone;

	say(&primary, CHANNELS_REPLACE, 0);
	do {
		gone = ((const struct vmbus_msg_relid *)next(VMBUS_MSG_RESCIND_CHANNELOFFER))->child_relid;
		if (gone > 31 || relids & 1u << gone)
			rt_fail("relid %u is rescinded", gone);
		relids |= 1u << gone;
	} while (gone != primary.offer.child_relid);
	for (uint32_t i = 0; i < CHANNELS_SUBS; i++)
		if (!(relids & 1u << sub[i].offer.child_relid))
			rt_fail("relid %u is not rescinded", sub[i].offer.child_relid);
	for (uint32_t relid = 1; relid < 32; relid++)
		if (relids & 1u << relid)
			release(relid);
}

void rt_main(const char *cmdline)
{
	static struct vmbus_msg_offer_channel offers[VMBUS_OFFERS];
	struct abi_guid type = CHANNELS_TYPE;
	const struct vmbus_msg_offer_channel *offer;
	uint32_t count;

	vmbus_start();
	vmbus_synic_start(0);
	rt_check(vmbus_contact(VMBUS_VERSION_5_3, 0), "contact");
	count = vmbus_request_offers(offers);
	offer = vmbus_find(offers, count, type);
	rt_check(offer, "no such device");
	for (uint32_t i = 0; i < count; i++)
		rt_check(!offers[i].offer.sub_channel_index, "a sub-channel in the list");
	open(&primary, 0, offer);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		open_subs();
		close_all();
		open(&primary, 0, &primary.offer);
		open_subs();
		lose_device();
		open(&primary, 0, next(VMBUS_MSG_OFFERCHANNEL));
	}
	say(&primary, CHANNELS_ADD, 77);
	open(&other, CHANNELS_SUBS + 1, next(VMBUS_MSG_OFFERCHANNEL));
	rt_check(other.offer.offer.if_instance.b[15] == 77, "another device came");
	vmbus_unload();
	rt_printf("%u rounds\n", ROUNDS);
	rt_pass();
}
