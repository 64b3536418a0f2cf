/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VSP for test_deaths_own and guest_lent: its device sends numbered packets in sections of memory that the guest has
 * lent, and keeps in its table which packet holds which section. It dies where it is told to.
 */
#include "tests/deaths/vsp_own.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "base/death.h"
#include "guest/buffer.h"
#include "tests/support/provider.h"
#include "vsp/vsp.h"

/* What a successor needs. */
struct state {
	uint64_t gpadl;	 /* 0: nothing is lent */
	uint64_t target; /* number of the last packet that is to be sent */
};

static struct provider own;
static struct vsp_buffer *buffer;
static struct vsp_request *lending; /* waits for it */
static uint64_t numbered;	    /* the last packet that was sent */
static uint64_t lives;

static struct state state_of(const struct vsp_channel *channel)
{
	struct state state;

	memcpy(&state, vsp_channel_state(channel), sizeof(state));
	return state;
}

/* ---- sections ---- */

static uint32_t find(struct vsp_channel *channel, uint64_t id)
{
	_Atomic uint64_t *table = vsp_channel_table(channel);
	uint32_t section = 0;

	while (section < OWN_SECTIONS && atomic_load_explicit(&table[section], memory_order_relaxed) != id)
		section++;
	return section;
}

static void store(struct vsp_channel *channel, uint32_t section, uint64_t id)
{
	atomic_store_explicit(&vsp_channel_table(channel)[section], id, memory_order_release);
}

static bool send_one(struct vsp_channel *channel)
{
	uint32_t section = find(channel, 0);
	const struct vsp_page_range range = {OWN_SECTION, section * OWN_SECTION};
	const uint64_t where = section;
	uint64_t id;

	if (section == OWN_SECTIONS || vsp_send_pages(channel, OWN_BUFFER, &range, 1, &where, sizeof(where), &id) < 0)
		return false;
	store(channel, section, id);
	DEATH(OWN_TABLE);
	if (guest_buffer_write(vsp_buffer_memory(buffer), range.offset, &id, sizeof(id)) < 0)
		vsp_channel_fail(channel, "the guest has lent too little");
	numbered = id;
	return true;
}

/* As much as there is room for. */
static void pump(struct vsp_channel *channel)
{
	vsp_batch_begin(own.vsp);
	while (buffer && numbered < state_of(channel).target && send_one(channel))
		;
	vsp_batch_end(own.vsp);
}

static void own_completed(struct vsp_channel *channel, uint64_t id, const void *payload, size_t len)
{
	uint32_t section = id ? find(channel, id) : OWN_SECTIONS;

	/* it may be told twice */
	if (section < OWN_SECTIONS)
		store(channel, section, 0);
	DEATH(OWN_FREED);
	pump(channel);
}

/* ---- what it is lent ---- */

static void take(void *arg, struct vsp_buffer *lent, int error)
{
	struct vsp_channel *channel = arg;
	struct state state = state_of(channel);
	struct vsp_request *request = lending;
	struct own_packet packet;

	if (lent) {
		vsp_buffer_release(buffer);
		buffer = lent;
	}
	lending = NULL;
	if (request) {
		memcpy(&packet, request->payload, sizeof(packet));
		state.gpadl = packet.value;
		packet.value = (uint64_t)-error;
		vsp_complete_state(request, &packet, sizeof(packet), &state);
	}
	pump(channel);
}

static void own_revoked(struct vsp_channel *channel, struct vsp_buffer *lent)
{
	if (buffer == lent)
		buffer = NULL;
	vsp_buffer_release(lent);
}

/* ---- requests ---- */

static void own_packet(struct vsp_channel *channel, struct vsp_request *request)
{
	struct state state = state_of(channel);
	struct own_packet packet = {0};

	memcpy(&packet, request->payload, MIN((size_t)request->payload_len, sizeof(packet)));
	if (packet.command == OWN_LEND && !lending) {
		lending = request;
		if (vsp_buffer_map(channel, (uint32_t)packet.value, take, channel) == 0)
			return;
		lending = NULL;
	} else if (packet.command == OWN_SEND) {
		state.target = packet.value;
	} else if (packet.command == OWN_COUNT) {
		packet.value = 0;
		for (uint32_t i = 0; i < OWN_SECTIONS; i++)
			packet.value += vsp_channel_table(channel)[i] != 0;
	} else if (packet.command == OWN_LIVES) {
		packet.value = lives++;
	}
	vsp_complete_state(request, &packet, sizeof(packet), &state);
	pump(channel);
}

static void own_fail(struct vsp_channel *channel, struct vsp_request *request)
{
	vsp_complete(request, NULL, 0);
}

static int own_open(struct vsp_channel *channel, const uint8_t user_data[120])
{
	numbered = 0;
	return 0;
}

static int own_recover(struct vsp_channel *channel)
{
	uint64_t gpadl = state_of(channel).gpadl;

	numbered = vsp_sent(channel);
	for (uint32_t i = 0; i < OWN_SECTIONS; i++)
		if (vsp_channel_table(channel)[i] > numbered)
			store(channel, i, 0);
	return gpadl ? vsp_buffer_map(channel, (uint32_t)gpadl, take, channel) : 0;
}

static void own_close(struct vsp_channel *channel)
{
	vsp_buffer_release(buffer);
	buffer = NULL;
}

static const struct vsp_device_ops ops = {
	.name = "own",
	.slots = 4,
	.state_size = sizeof(struct state),
	.table_size = OWN_SECTIONS * sizeof(uint64_t),
	.open = own_open,
	.recover = own_recover,
	.packet = own_packet,
	.fail = own_fail,
	.close = own_close,
	.completed = own_completed,
	.room = pump,
	.revoked = own_revoked,
};

static int offer(struct provider *provider, struct err *err)
{
	const struct vsp_offer_desc desc = {.interface_guid = OWN_TYPE, .instance_guid = {{2}}, .name = "own0"};

	return vsp_offer(provider->vsp, &desc, &ops, NULL, err);
}

int main(int argc, char **argv)
{
	own = (struct provider){.name = OWN_PROVIDER, .program = "vsp-own", .offer = offer};
	return provider_main(&own, argc, argv);
}
