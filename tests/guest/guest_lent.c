// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that is lent to a device, which puts packets of its own into it: torn down while it is lent, its channel
 * closed without a word, the connection ended, the machine reset. Against vsp-own, which may die on the way: each
 * packet comes once, and nothing is written into what the guest has back. "resets=N": so often, first.
 */
#include "rt.h"
#include "tests/deaths/vsp_own.h"
#include "vmbus.h"

#define RING_PAGES 4u
#define LENT_PAGES ((OWN_SECTIONS * OWN_SECTION + VMBUS_PAGE_SIZE - 1) / VMBUS_PAGE_SIZE)
#define GPADL	   0x1e000u
#define REQUEST_ID 77u
#define NO_ENTRY   2u /* ENOENT */
#define BACK	   0xee

static uint8_t rings[RING_PAGES * VMBUS_PAGE_SIZE] __attribute__((aligned(VMBUS_PAGE_SIZE)));
static uint8_t memory[3][LENT_PAGES * VMBUS_PAGE_SIZE] __attribute__((aligned(VMBUS_PAGE_SIZE)));
static struct vmbus_channel channel;
static struct own_packet answer;
static bool waiting;		       /* for it */
static uint64_t number, target;	       /* of the last packet that came, and that is to come */
static uint64_t section[OWN_SECTIONS]; /* packet that holds it; 0: it is the device's */
static const volatile uint8_t *lent;   /* what the packets lie in now */

/* ---- packets ---- */

static uint64_t stamp(uint64_t n)
{
	return *(const volatile uint64_t *)(lent + n * OWN_SECTION);
}

static void take_pages(uint64_t id, uint64_t n)
{
	if (id != number + 1)
		rt_fail("packet %lu behind %lu", id, number);
	number = id;
	if (n >= OWN_SECTIONS || section[n])
		rt_fail("packet %lu lies in section %lu", id, n);
	if (stamp(n) != id)
		rt_fail("packet %lu holds %lu", id, stamp(n));
	section[n] = id;
}

/* Return: whether there was a packet. */
static bool receive(void)
{
	struct vmpacket_descriptor desc;
	struct own_packet packet = {0};
	uint32_t len;

	if (!vmbus_receive(&channel, &desc, &packet, sizeof(packet), &len))
		return false;
	if (desc.type == VMPACKET_DATA_TRANSFER_PAGES) {
		take_pages(desc.transaction_id, packet.command);
	} else if (desc.type == VMPACKET_COMPLETION && desc.transaction_id == REQUEST_ID && waiting) {
		waiting = false;
		answer = packet;
	} else {
		rt_fail("a packet of type %u with id %lu", desc.type, desc.transaction_id);
	}
	return true;
}

static uint32_t held(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < OWN_SECTIONS; i++)
		count += section[i] != 0;
	return count;
}

static void give_back(uint32_t most)
{
	for (uint32_t i = OWN_SECTIONS; i > 0 && most > 0; i--) {
		if (!section[i - 1])
			continue;
		if (stamp(i - 1) != section[i - 1])
			rt_fail("section %u changed", i - 1);
		if (!vmbus_send(&channel, VMPACKET_COMPLETION, section[i - 1], NULL, 0, "ok", 2))
			return;
		section[i - 1] = 0;
		most--;
	}
}

static uint64_t ask(uint64_t command, uint64_t value)
{
	const struct own_packet packet = {command, value};

	while (!vmbus_send(&channel, VMPACKET_DATA_INBAND, REQUEST_ID, NULL, 0, &packet, sizeof(packet)))
		rt_idle(true);
	waiting = true;
	while (waiting)
		if (!receive())
			vmbus_wait_packet(&channel);
	return answer.value;
}

/* @count more packets; those that are @kept are not given back. */
static void packets(uint32_t count, uint32_t kept)
{
	target += count;
	ask(OWN_SEND, target);
	while (number < target) {
		if (!receive())
			vmbus_wait_packet(&channel);
		if (held() > kept)
			give_back((held() - kept + 1) / 2);
	}
}

static void none_is_lost(void)
{
	uint64_t count;

	while (held())
		give_back(OWN_SECTIONS);
	count = ask(OWN_COUNT, 0);
	rt_check(count == 0, "%lu sections are lost", count);
}

/* ---- memory ---- */

static void lend(uint32_t gpadl, uint32_t n)
{
	uint64_t error;

	rt_check(vmbus_gpadl(channel.offer.child_relid, gpadl, memory[n], LENT_PAGES) == 0, "GPADL %#x", gpadl);
	lent = memory[n];
	error = ask(OWN_LEND, gpadl);
	rt_check(error == 0, "GPADL %#x is refused: %lu", gpadl, error);
}

/* From now on it is ours. */
static void had_back(uint32_t n)
{
	memset(memory[n], BACK, sizeof(memory[n]));
}

static void check_back(uint32_t n)
{
	for (uint32_t i = 0; i < sizeof(memory[n]); i++)
		if (((volatile uint8_t *)memory[n])[i] != BACK)
			rt_fail("byte %u of memory %u changed after the guest had it back", i, n);
}

static void open_channel(void)
{
	static struct vmbus_msg_offer_channel offers[VMBUS_OFFERS];
	const struct vmbus_msg_offer_channel *offer;
	struct abi_guid type = OWN_TYPE;

	offer = vmbus_find(offers, vmbus_request_offers(offers), type);
	rt_check(offer, "no such device");
	rt_check(vmbus_open(&channel, offer, rings, RING_PAGES, 0) == 0, "it cannot be opened");
	number = target = 0;
	memset(section, 0, sizeof(section));
}

/* ---- what is done with it ---- */

static void refused(void)
{
	rt_check(ask(OWN_LEND, GPADL + 99) == NO_ENTRY, "a GPADL that is not there");
	rt_check(ask(OWN_LEND, channel.gpadl) == NO_ENTRY, "a ring");
}

static void torn_down_while_lent(void)
{
	packets(130, 30);
	vmbus_gpadl_teardown(channel.offer.child_relid, GPADL);
	had_back(0);
	for (uint32_t i = 0; i < OWN_SECTIONS; i++) {
		if (!section[i])
			continue;
		while (!vmbus_send(&channel, VMPACKET_COMPLETION, section[i], NULL, 0, NULL, 0))
			rt_idle(true);
		section[i] = 0;
	}
	target += 20;
	ask(OWN_SEND, target);
	none_is_lost();
	rt_check(number == target - 20, "packets in memory that is not there");
	check_back(0);
	lend(GPADL + 1, 1);
	packets(50, 0);
	none_is_lost();
	check_back(0);
}

static void closed_while_lent(void)
{
	uint32_t relid = channel.offer.child_relid;
	struct vmbus_msg_offer_channel offer = channel.offer;

	packets(40, 40);
	vmbus_close(&channel);
	vmbus_gpadl_teardown(relid, GPADL + 1);
	had_back(1);
	rt_check(vmbus_open(&channel, &offer, rings, RING_PAGES, 0) == 0, "it cannot be opened again");
	number = target = 0;
	memset(section, 0, sizeof(section));
	lend(GPADL, 2);
	packets(50, 0);
	none_is_lost();
	check_back(1);
}

static void left_while_lent(void)
{
	packets(40, 40);
	vmbus_unload();
	had_back(2);
	rt_check(vmbus_contact(VMBUS_VERSION_5_3, 0), "contact again");
	open_channel();
	lend(GPADL, 0);
	packets(200, 10);
	none_is_lost();
	check_back(2);
}

void rt_main(const char *cmdline)
{
	uint64_t lives, resets = rt_option(cmdline, "resets", 0);

	vmbus_start();
	vmbus_synic_start(0);
	rt_check(vmbus_contact(VMBUS_VERSION_5_3, 0), "contact");
	open_channel();
	lives = ask(OWN_LIVES, 0);
	rt_printf("life %lu\n", lives);
	refused();
	lend(GPADL, 0);
	packets(150, 0);
	none_is_lost();
	if (lives < resets) {
		packets(40, 40);
		rt_reset();
	}
	torn_down_while_lent();
	closed_while_lent();
	left_while_lent();
	vmbus_unload();
	rt_pass();
}
