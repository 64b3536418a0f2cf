/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: on the primary channel a guest says which version of NVSP it speaks, lends a receive and a send
 * buffer, and then speaks RNDIS (rndis.c); with sub-channels, which it asks for, it shares frames out among its vCPUs.
 *
 *   no version -- INIT --> version -- SEND_RECEIVE_BUFFER, SEND_SEND_BUFFER --> buffers -- RNDIS INITIALIZE --> frames
 *
 * Packets of the guest: netvsp_packet.c; its buffers: netvsp_buffers.c. Frames of the guest go to the port
 * (netvsp_tx.c), those of the port to the guest (netvsp_rx.c). All I/O is done when a function of the port returns: so
 * memory that the guest wants back is given back at once. Here: what opens, closes and connects all of this.
 *
 * Recovery (netvsp_recover.c): the negotiated state changes together with the completion of the packet that changes it;
 * the words of the receive buffer's sections stand in the table (sections.h). A successor takes both.
 *
 * Limits: NETVSP_SLOTS requests at a time on each channel; they wait there only for the port, and for the answer to the
 * last control message to leave.
 */
#include "netvsp.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "netvsp_int.h"
#include "sections.h"

_Static_assert(sizeof(struct netvsp_state) % 8 == 0, "its words are aligned");

/* ---- small things ---- */

const struct netvsp_state *netvsp_state(const struct netvsp *netvsp)
{
	return vsp_channel_state(netvsp->channel[0]);
}

void netvsp_complain(struct netvsp *netvsp, const char *what)
{
	if (log_allowed(&netvsp->complaints, netvsp->settings.alias))
		log_warn(netvsp->settings.alias, "the guest sent %s", what);
}

void netvsp_list_add(struct netvsp_list *list, struct netvsp_request *request)
{
	request->next = NULL;
	if (list->tail)
		list->tail->next = request;
	else
		list->head = request;
	list->tail = request;
}

struct netvsp_request *netvsp_list_take(struct netvsp_list *list)
{
	struct netvsp_request *request = list->head;

	list->head = request->next;
	if (!list->head)
		list->tail = NULL;
	return request;
}

void netvsp_count_dropped(struct netvsp *netvsp, uint64_t frames)
{
	if (frames == 0)
		return;
	if (netvsp->channel[0])
		vsp_set_state_word(netvsp->channel[0], offsetof(struct netvsp_state, dropped),
				   netvsp_state(netvsp)->dropped + frames);
	if (netvsp->stats)
		stats_add(&netvsp->stats->count[STATS_NIC_LOST], frames);
	if (netvsp->changed)
		netvsp->changed(netvsp->changed_arg);
}

void netvsp_count_lost(struct netvsp *netvsp)
{
	uint64_t lost = port_lost(netvsp->port);

	if (lost == 0)
		return;
	netvsp_count_dropped(netvsp, lost);
	port_forget_lost(netvsp->port);
}

bool netvsp_link(const struct netvsp *netvsp)
{
	return !netvsp->leaving && port_link(netvsp->port);
}

void netvsp_answer(struct netvsp_request *request, const struct nvsp_message *message, const struct netvsp_state *next)
{
	vsp_complete_state(request->vsp, message, NVSP_MESSAGE_LEN, next);
}

void netvsp_complete(struct netvsp_request *request, uint32_t status, const struct netvsp_state *next)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET_COMPLETE};

	message.rndis_packet_complete.status = status;
	netvsp_answer(request, &message, next);
}

bool netvsp_coalesces(const struct netvsp *netvsp)
{
	const struct netvsp_state *state = netvsp_state(netvsp);

	return state->version >= NVSP_VERSION_61 && (state->capabilities & NVSP_CAPABILITY_RSC) &&
	       (state->settings.offload[OID_OFFLOAD_RSC4] || state->settings.offload[OID_OFFLOAD_RSC6]);
}

/* ---- rings ---- */

static void netvsp_batch_end(struct vsp_channel *channel)
{
	struct netvsp_channel *data = vsp_channel_data(channel);

	if (data->transmitted) {
		port_transmit_end(netvsp_of(channel)->port);
		netvsp_count_lost(netvsp_of(channel));
	}
	data->transmitted = false;
}

static void netvsp_completed(struct vsp_channel *channel, uint64_t id, const void *payload, size_t len)
{
	struct netvsp_channel *data = vsp_channel_data(channel);
	struct netvsp *netvsp = netvsp_of(channel);

	(void)payload; /* a status that is of no use: what the guest could not take is lost */
	(void)len;
	netvsp_settle(netvsp);
	if (sections_completed(&netvsp->sections, data->index, id) == 0)
		return;
	rndis_go(netvsp);
	netvsp_listen(netvsp);
}

static void netvsp_room(struct vsp_channel *channel)
{
	struct netvsp *netvsp = netvsp_of(channel);

	netvsp_settle(netvsp);
	netvsp_receive_again(netvsp, channel);
	rndis_go(netvsp);
	netvsp_listen(netvsp);
}

/* ---- the port ---- */

static void on_readable(void *arg, unsigned int queue)
{
	netvsp_receive(arg, queue);
}

static void on_writable(void *arg, unsigned int queue)
{
	struct netvsp *netvsp = arg;

	(void)queue;
	vsp_batch_begin(netvsp->vsp);
	netvsp_transmit_go_all(netvsp);
	port_transmit_end(netvsp->port);
	netvsp_count_lost(netvsp);
	vsp_batch_end(netvsp->vsp);
}

static void tell(struct netvsp *netvsp)
{
	if (netvsp->channel[0] && netvsp->settled) {
		vsp_batch_begin(netvsp->vsp);
		rndis_go(netvsp);
		vsp_batch_end(netvsp->vsp);
	}
	if (netvsp->changed)
		netvsp->changed(netvsp->changed_arg);
}

static void on_link(void *arg, bool up)
{
	(void)up; /* port_link() says so, too */
	tell(arg);
}

static const struct port_client_ops client_ops = {on_readable, on_writable, on_link};

/* ---- open and close ---- */

void netvsp_connect(struct netvsp *netvsp, struct vsp_channel *channel)
{
	const struct port_client client = {.ops = &client_ops, .arg = netvsp};

	netvsp->channel[0] = channel;
	rndis_apply(netvsp);
	port_connect(netvsp->port, &client);
}

void netvsp_init_channel(struct vsp_channel *channel)
{
	struct netvsp_channel *data = vsp_channel_data(channel);

	data->index = vsp_channel_index(channel);
	data->first = data->last = SECTION_NONE;
}

static int netvsp_open(struct vsp_channel *channel, const uint8_t user_data[120])
{
	struct netvsp *netvsp = netvsp_of(channel);

	(void)user_data;
	netvsp_init_channel(channel);
	netvsp->settled = true;
	netvsp->closing = netvsp->taken_over = false;
	/* of an earlier guest's, or of before it closed its NIC, perhaps while a predecessor handed over */
	port_connect(netvsp->port, NULL);
	netvsp_count_lost(netvsp);
	netvsp_connect(netvsp, channel);
	return 0;
}

/* What the guest had on it is ours again. */
static void forget_sub(struct netvsp *netvsp, unsigned int index)
{
	if (netvsp->settled)
		sections_forget(&netvsp->sections, index);
	else
		netvsp->forgotten |= 1u << index;
}

static int netvsp_sub_open(struct vsp_channel *channel, const uint8_t user_data[120])
{
	(void)user_data;
	netvsp_init_channel(channel);
	/* of a predecessor's, which could not be taken over: numbers begin anew */
	forget_sub(netvsp_of(channel), vsp_channel_index(channel));
	netvsp_of(channel)->channel[vsp_channel_index(channel)] = channel;
	return 0;
}

/* Whether answers still reach the guest there, and what it has comes back. */
static bool works(const struct netvsp *netvsp, size_t index)
{
	return netvsp->channel[index] && !vsp_failed(netvsp->channel[index]);
}

bool netvsp_owes(const struct netvsp *netvsp)
{
	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++) {
		const struct netvsp_channel *data = works(netvsp, i) ? vsp_channel_data(netvsp->channel[i]) : NULL;

		if (data && data->waiting.head)
			return true;
	}
	return works(netvsp, 0) && (netvsp->controls.head || netvsp->mapping);
}

bool netvsp_begins(const struct netvsp *netvsp)
{
	if (!works(netvsp, 0) || netvsp->hashes)
		return false;
	/* It waits until all that it has asked for are open. */
	for (uint16_t i = 1; i <= netvsp_state(netvsp)->sub_channels; i++)
		if (!netvsp->channel[i] && (!netvsp->taken_over || !vsp_stranded(netvsp->channel[0], i)))
			return true;
	return !netvsp_state(netvsp)->initialized;
}

bool netvsp_guest_holds(const struct netvsp *netvsp)
{
	const struct netvsp_sections *sections = &netvsp->sections;
	unsigned int stranded = 0;

	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++) {
		if (netvsp->channel[i] && !works(netvsp, i))
			return false;
		stranded |= (unsigned int)!netvsp->channel[i] << i;
	}
	if (!sections->memory)
		return false;
	return !netvsp->settled ||
	       sections->free + netvsp->landing.sections + sections_out(sections, stranded) < sections->count;
}

void netvsp_refuse(struct netvsp *netvsp)
{
	netvsp->refuses = true;
	vsp_batch_begin(netvsp->vsp);
	netvsp_transmit_go_all(netvsp);
	vsp_batch_end(netvsp->vsp);
	netvsp_listen(netvsp);
	/* What the guest has put into its rings before it hears that they are gone. */
	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++)
		if (netvsp->channel[i])
			vsp_empty(netvsp->channel[i]);
}

static void netvsp_closing(struct vsp_channel *channel)
{
	struct netvsp_channel *data = vsp_channel_data(channel);
	struct netvsp *netvsp = netvsp_of(channel);

	for (; data->waiting.head; stats_leave(netvsp->stats))
		vsp_leave(netvsp_list_take(&data->waiting)->vsp);
	while (data->index == 0 && netvsp->controls.head)
		vsp_leave(netvsp_list_take(&netvsp->controls)->vsp);
	if (data->index > 0)
		return;
	netvsp->closing = true;
	netvsp_listen(netvsp);
}

static void netvsp_sub_close(struct vsp_channel *channel)
{
	struct netvsp_channel *data = vsp_channel_data(channel);
	struct netvsp *netvsp = netvsp_of(channel);

	assert(!data->waiting.head);
	if (netvsp->sections.memory)
		netvsp_receive_drop(netvsp, channel);
	/* Beside the primary one it may be for a successor, which has to know. */
	if (!netvsp->closing)
		forget_sub(netvsp, data->index);
	netvsp->channel[data->index] = NULL;
	netvsp_listen(netvsp);
}

/* It could not be taken over, and what the guest had on it stayed there until now. */
static void netvsp_sub_abandoned(struct vsp_channel *channel)
{
	forget_sub(netvsp_of(channel), vsp_channel_index(channel));
	netvsp_listen(netvsp_of(channel));
}

/* What comes for a guest that only gets another service waits for that. */
static void disconnect(struct netvsp *netvsp)
{
	if (vsp_hands_over(netvsp->vsp))
		port_hold(netvsp->port);
	else
		port_connect(netvsp->port, NULL);
}

static void netvsp_close(struct vsp_channel *channel)
{
	struct netvsp *netvsp = netvsp_of(channel);

	assert(!netvsp->controls.head && !netvsp->mapping);
	netvsp_drop_receive_buffer(netvsp);
	netvsp_drop_send_buffer(netvsp);
	netvsp->channel[0] = NULL;
	netvsp->hashes = netvsp->closing = false;
	disconnect(netvsp);
	/* Of sub-channels that the guest has left open: nobody says any more that the port has room. */
	netvsp_transmit_go_all(netvsp);
	if (netvsp->changed)
		netvsp->changed(netvsp->changed_arg);
}

/* ---- for the host ---- */

uint32_t netvsp_sub_channels(uint32_t cpus)
{
	return MIN(cpus, NETVSP_CHANNELS_MAX) - 1;
}

void netvsp_init(struct netvsp *netvsp, struct vsp *vsp, struct port *port, const struct nic_settings *settings,
		 uint32_t sub_channels)
{
	netvsp->vsp = vsp;
	netvsp->port = port;
	netvsp->settings = *settings;
	netvsp->sub_channels = sub_channels;
}

void netvsp_done(struct netvsp *netvsp)
{
	if (netvsp->channel[0])
		port_hold(netvsp->port);
	sections_done(&netvsp->sections);
	netvsp_drop_send_buffer(netvsp);
}

void netvsp_set(struct netvsp *netvsp, const struct nic_settings *settings)
{
	bool speed = settings->speed != netvsp->settings.speed;

	netvsp->settings = *settings;
	netvsp_count_lost(netvsp);
	if (netvsp->channel[0])
		rndis_apply(netvsp);
	netvsp->speed_changed |= speed;
	tell(netvsp);
}

void netvsp_leave(struct netvsp *netvsp, bool leaving)
{
	netvsp->leaving = leaving;
	tell(netvsp);
	netvsp_listen(netvsp);
}

uint64_t netvsp_dropped(const struct netvsp *netvsp)
{
	return netvsp->channel[0] ? netvsp_state(netvsp)->dropped : 0;
}

void netvsp_mac(const struct netvsp *netvsp, uint8_t ret_mac[MAC_LEN])
{
	static const uint8_t none[MAC_LEN];
	const uint8_t *own = netvsp->channel[0] ? netvsp_state(netvsp)->settings.mac : none;

	memcpy(ret_mac, memcmp(own, none, MAC_LEN) != 0 ? own : netvsp->settings.mac, MAC_LEN);
}

bool netvsp_guest_has(const struct netvsp *netvsp)
{
	return netvsp->channel[0] != NULL;
}

const struct vsp_device_ops netvsp_ops = {
	.name = "netvsp",
	.request_size = sizeof(struct netvsp_request),
	.channel_size = sizeof(struct netvsp_channel),
	.slots = NETVSP_SLOTS,
	.state_size = sizeof(struct netvsp_state),
	.state_version = NETVSP_STATE_VERSION,
	.table_size = NETVSP_SECTIONS_MAX * sizeof(uint64_t),
	.open = netvsp_open,
	.recover = netvsp_recover,
	.packet = netvsp_packet,
	.fail = netvsp_fail,
	.batch_end = netvsp_batch_end,
	.closing = netvsp_closing,
	.close = netvsp_close,
	.completed = netvsp_completed,
	.room = netvsp_room,
	.revoked = netvsp_revoked,
};

const struct vsp_device_ops netvsp_sub_ops = {
	.name = "netvsp sub-channel",
	.request_size = sizeof(struct netvsp_request),
	.channel_size = sizeof(struct netvsp_channel),
	.slots = NETVSP_SLOTS,
	.state_version = NETVSP_STATE_VERSION,
	.open = netvsp_sub_open,
	.recover = netvsp_sub_recover,
	.packet = netvsp_packet,
	.fail = netvsp_fail,
	.batch_end = netvsp_batch_end,
	.closing = netvsp_closing,
	.close = netvsp_sub_close,
	.abandoned = netvsp_sub_abandoned,
	.completed = netvsp_completed,
	.room = netvsp_room,
};
