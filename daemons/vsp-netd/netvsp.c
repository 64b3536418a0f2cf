/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: on the primary channel a guest says which version of NVSP it speaks, lends a receive and a send
 * buffer, and then speaks RNDIS (rndis.c); with sub-channels, which it asks for, it shares frames out among its vCPUs.
 *
 *   no version -- INIT --> version -- SEND_RECEIVE_BUFFER, SEND_SEND_BUFFER --> buffers -- RNDIS INITIALIZE --> frames
 *
 * Each packet of the guest is parsed (nvsp_parse.c) and completed exactly once: with an answer, with nothing if it
 * wants none, or with a status. A buffer is mapped with the worker's help: what named it is answered then. What comes
 * too early, twice, or is not for a sub-channel gets NVSP_STATUS_FAILURE and changes nothing.
 *
 * Frames of the guest go to the port (netvsp_tx.c), those of the port to the guest (netvsp_rx.c). All I/O is done when
 * a function of the port returns: so memory that the guest wants back is given back at once.
 *
 * Recovery: the negotiated state changes together with the completion of the packet that changes it; the words of the
 * receive buffer's sections stand in the table (sections.h). A successor takes both, maps the buffers, and looks
 * through the sections once it knows of each channel what was published (settle()).
 *
 * Limits: NETVSP_SLOTS requests at a time on each channel; they wait there only for the port, and for the answer to the
 * last control message to leave.
 */
#include "netvsp.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "abi/ring.h"
#include "base/bytes.h"
#include "base/death.h"
#include "guest/buffer.h"
#include "netvsp_int.h"
#include "nvsp_parse.h"
#include "sections.h"

#define MDL_CHAIN_MAX	  34u /* as hosts say */
#define SECTIONS_MIN	  (2u * NETVSP_LANDING_MAX)
#define SEND_SECTIONS_MAX 65536u

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
	vsp_set_state_word(netvsp->channel[0], offsetof(struct netvsp_state, dropped),
			   netvsp_state(netvsp)->dropped + frames);
	if (netvsp->changed)
		netvsp->changed(netvsp->changed_arg);
}

bool netvsp_link(const struct netvsp *netvsp)
{
	return !netvsp->leaving && port_link(netvsp->port);
}

static void answer(struct netvsp_request *request, const struct nvsp_message *message, const struct netvsp_state *next)
{
	vsp_complete_state(request->vsp, message, NVSP_MESSAGE_LEN, next);
}

void netvsp_complete(struct netvsp_request *request, uint32_t status, const struct netvsp_state *next)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET_COMPLETE};

	message.rndis_packet_complete.status = status;
	answer(request, &message, next);
}

/* ---- versions ---- */

static void op_init(struct netvsp *netvsp, struct netvsp_request *request)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_INIT_COMPLETE};
	struct netvsp_state next = *netvsp_state(netvsp);
	const struct nvsp_init *init = &request->message.init;
	uint32_t status = NVSP_STATUS_FAILURE;

	if (next.version == 0) {
		next.version = nvsp_choose_version(init->min_version, init->max_version, &status);
		if (next.version)
			status = NVSP_STATUS_SUCCESS;
	} else {
		netvsp_complain(netvsp, "another version, when one was agreed on");
	}
	message.init_complete.version = next.version;
	message.init_complete.max_mdl_chain_len = MDL_CHAIN_MAX;
	message.init_complete.status = status;
	answer(request, &message, &next);
}

static void op_ndis_version(struct netvsp *netvsp, struct netvsp_request *request)
{
	struct netvsp_state next = *netvsp_state(netvsp);

	next.ndis_major = request->message.ndis_version.major;
	next.ndis_minor = request->message.ndis_version.minor;
	vsp_complete_state(request->vsp, NULL, 0, &next);
}

static void op_ndis_config(struct netvsp *netvsp, struct netvsp_request *request)
{
	struct netvsp_state next = *netvsp_state(netvsp);

	next.frame_bytes = request->message.ndis_config.frame_bytes;
	next.capabilities = request->message.ndis_config.capabilities;
	vsp_complete_state(request->vsp, NULL, 0, &next);
}

static void op_data_path(struct netvsp *netvsp, struct netvsp_request *request)
{
	(void)netvsp;
	/* There is one; guests expect a completion without a message. */
	vsp_complete(request->vsp, NULL, 0);
}

/* ---- buffers ---- */

bool netvsp_coalesces(const struct netvsp *netvsp)
{
	const struct netvsp_state *state = netvsp_state(netvsp);

	return state->version >= NVSP_VERSION_61 && (state->capabilities & NVSP_CAPABILITY_RSC) &&
	       (state->settings.offload[OID_OFFLOAD_RSC4] || state->settings.offload[OID_OFFLOAD_RSC6]);
}

static uint32_t section_bytes(uint32_t mtu)
{
	return ALIGN_UP(NETVSP_HEAD_LEN + mtu + ETHERNET_HEADER_LEN + 4u, NETVSP_PAGE);
}

/* @request: SEND_RECEIVE_BUFFER. Return: whether @buffer is in use now; *@next says how. */
static bool use_receive_buffer(struct netvsp *netvsp, const struct netvsp_request *request, struct vsp_buffer *buffer,
			       struct netvsp_state *next)
{
	_Atomic uint64_t *owner = vsp_channel_table(netvsp->channel[0]);
	size_t len = vsp_buffer_memory(buffer)->len;

	next->mtu = netvsp->settings.mtu;
	next->section_bytes = section_bytes(next->mtu);
	next->sections = (uint32_t)MIN(len / next->section_bytes, (size_t)NETVSP_SECTIONS_MAX);
	next->receive_gpadl = request->message.send_buffer.gpadl;
	next->receive_id = request->message.send_buffer.id;
	if (next->sections < SECTIONS_MIN)
		return false;
	/* What an earlier buffer has left there. */
	for (size_t i = 0; i < NETVSP_SECTIONS_MAX; i++)
		atomic_store_explicit(&owner[i], 0, memory_order_relaxed);
	return sections_init(&netvsp->sections, buffer, next->sections, next->section_bytes, owner) == 0;
}

static void on_receive_buffer(void *arg, struct vsp_buffer *buffer, int error)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RECEIVE_BUFFER_COMPLETE};
	struct nvsp_send_receive_buffer_complete *complete = &message.receive_buffer_complete;
	struct netvsp *netvsp = arg;
	struct netvsp_request *request = netvsp->mapping;
	struct netvsp_state next = *netvsp_state(netvsp);

	netvsp->mapping = NULL;
	if (error == -ECANCELED) { /* a successor is asked again */
		vsp_leave(request->vsp);
		return;
	}
	complete->status = NVSP_STATUS_FAILURE;
	if (!buffer || !use_receive_buffer(netvsp, request, buffer, &next)) {
		netvsp_complain(netvsp, "a receive buffer that cannot be used");
		vsp_buffer_release(buffer);
		answer(request, &message, NULL);
		return;
	}
	complete->status = NVSP_STATUS_SUCCESS;
	complete->runs = 1;
	complete->run[0].section_bytes = next.section_bytes;
	complete->run[0].sections = next.sections;
	complete->run[0].end_offset = next.section_bytes * next.sections;
	answer(request, &message, &next);
	rndis_go(netvsp); /* what had no section to be answered in */
	netvsp_listen(netvsp);
}

static void on_send_buffer(void *arg, struct vsp_buffer *buffer, int error)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_SEND_BUFFER_COMPLETE};
	struct netvsp *netvsp = arg;
	struct netvsp_request *request = netvsp->mapping;
	struct netvsp_state next = *netvsp_state(netvsp);

	netvsp->mapping = NULL;
	if (error == -ECANCELED) { /* as above */
		vsp_leave(request->vsp);
		return;
	}
	message.send_buffer_complete.status = NVSP_STATUS_FAILURE;
	if (buffer)
		next.send_sections = (uint32_t)MIN(vsp_buffer_memory(buffer)->len / NETVSP_SEND_SECTION_BYTES,
						   (size_t)SEND_SECTIONS_MAX);
	if (!buffer || next.send_sections == 0) {
		netvsp_complain(netvsp, "a send buffer that cannot be used");
		vsp_buffer_release(buffer);
		answer(request, &message, NULL);
		return;
	}
	netvsp->send_buffer = buffer;
	next.send_gpadl = request->message.send_buffer.gpadl;
	next.send_id = request->message.send_buffer.id;
	message.send_buffer_complete.status = NVSP_STATUS_SUCCESS;
	message.send_buffer_complete.section_bytes = NETVSP_SEND_SECTION_BYTES;
	answer(request, &message, &next);
}

/* @have: such a buffer is there already. */
static void map_buffer(struct netvsp *netvsp, struct netvsp_request *request, bool have, uint32_t refusal,
		       void (*done)(void *arg, struct vsp_buffer *buffer, int error))
{
	struct nvsp_message message = {.type = refusal};
	int r = have || netvsp->mapping ? -EBUSY : 0;

	if (r == 0) {
		netvsp->mapping = request;
		r = vsp_buffer_map(netvsp->channel[0], request->message.send_buffer.gpadl, done, netvsp);
		if (r == 0)
			return;
		netvsp->mapping = NULL;
	}
	netvsp_complain(netvsp, r == -EBUSY ? "a second buffer of its kind" : "a buffer, which could not be mapped");
	message.send_buffer_complete.status = NVSP_STATUS_FAILURE; /* where the other one has it, too */
	answer(request, &message, NULL);
}

static void op_receive_buffer(struct netvsp *netvsp, struct netvsp_request *request)
{
	map_buffer(netvsp, request, netvsp->sections.memory != NULL, NVSP_MESSAGE_SEND_RECEIVE_BUFFER_COMPLETE,
		   on_receive_buffer);
}

static void op_send_buffer(struct netvsp *netvsp, struct netvsp_request *request)
{
	map_buffer(netvsp, request, netvsp->send_buffer != NULL, NVSP_MESSAGE_SEND_SEND_BUFFER_COMPLETE,
		   on_send_buffer);
}

/* Nothing that is in it, or was to be, comes to the guest any more. */
static void drop_receive_buffer(struct netvsp *netvsp)
{
	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++)
		if (netvsp->channel[i])
			netvsp_receive_drop(netvsp, netvsp->channel[i]);
	sections_done(&netvsp->sections);
	netvsp->landing.sections = 0;
	netvsp_listen(netvsp);
}

static void drop_send_buffer(struct netvsp *netvsp)
{
	vsp_buffer_release(netvsp->send_buffer);
	netvsp->send_buffer = NULL;
}

static void op_revoke_receive_buffer(struct netvsp *netvsp, struct netvsp_request *request)
{
	struct netvsp_state next = *netvsp_state(netvsp);

	drop_receive_buffer(netvsp);
	next.sections = 0;
	vsp_complete_state(request->vsp, NULL, 0, &next);
}

static void op_revoke_send_buffer(struct netvsp *netvsp, struct netvsp_request *request)
{
	struct netvsp_state next = *netvsp_state(netvsp);

	drop_send_buffer(netvsp);
	next.send_sections = 0;
	vsp_complete_state(request->vsp, NULL, 0, &next);
}

static void netvsp_revoked(struct vsp_channel *channel, struct vsp_buffer *buffer)
{
	struct netvsp *netvsp = netvsp_of(channel);

	/* The state says that it is there: a successor finds that it is not. */
	if (netvsp->sections.buffer == buffer)
		drop_receive_buffer(netvsp);
	else if (netvsp->send_buffer == buffer)
		drop_send_buffer(netvsp);
}

/* ---- sub-channels ---- */

uint32_t netvsp_sub_channels(uint32_t cpus)
{
	return MIN(cpus, NETVSP_CHANNELS_MAX) - 1;
}

/* Those that it asks for are offered to it before or after it has the answer. */
static void op_sub_channels(struct netvsp *netvsp, struct netvsp_request *request)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SUBCHANNEL};
	const struct nvsp_subchannel_request *asked = &request->message.subchannel_request;
	struct netvsp_state next = *netvsp_state(netvsp);
	uint32_t count = MIN(asked->count, netvsp->sub_channels);
	int r = 0;

	if (asked->operation != NVSP_SUBCHANNEL_ALLOCATE || (next.sub_channels > 0 && next.sub_channels != count))
		r = -EINVAL;
	else if (count > 0)
		r = vsp_subchannels(netvsp->channel[0], count);
	message.subchannel_complete.status = r < 0 ? NVSP_STATUS_FAILURE : NVSP_STATUS_SUCCESS;
	if (r == 0)
		next.sub_channels = message.subchannel_complete.count = count;
	answer(request, &message, &next);
}

/* ---- packets ---- */

static void op_rndis(struct netvsp *netvsp, struct netvsp_request *request)
{
	if (request->message.rndis_packet.channel_type == NVSP_CHANNEL_DATA)
		netvsp_transmit(netvsp, request);
	else if (request->vsp->channel == netvsp->channel[0])
		rndis_control(netvsp, request);
	else
		netvsp_complete(request, NVSP_STATUS_FAILURE, NULL);
}

/* What a guest may send; @refused: the type of the answer that says no, 0: one without a message. */
static const struct operation {
	uint32_t type, refused;
	bool sub; /* on a sub-channel, too */
	void (*handler)(struct netvsp *netvsp, struct netvsp_request *request);
} operations[] = {
	{NVSP_MESSAGE_SEND_RNDIS_PACKET, NVSP_MESSAGE_SEND_RNDIS_PACKET_COMPLETE, true, op_rndis},
	{NVSP_MESSAGE_INIT, NVSP_MESSAGE_INIT_COMPLETE, false, op_init},
	{NVSP_MESSAGE_SEND_NDIS_VERSION, 0, false, op_ndis_version},
	{NVSP_MESSAGE_SEND_NDIS_CONFIG, 0, false, op_ndis_config},
	{NVSP_MESSAGE_SEND_RECEIVE_BUFFER, NVSP_MESSAGE_SEND_RECEIVE_BUFFER_COMPLETE, false, op_receive_buffer},
	{NVSP_MESSAGE_SEND_SEND_BUFFER, NVSP_MESSAGE_SEND_SEND_BUFFER_COMPLETE, false, op_send_buffer},
	{NVSP_MESSAGE_REVOKE_RECEIVE_BUFFER, 0, false, op_revoke_receive_buffer},
	{NVSP_MESSAGE_REVOKE_SEND_BUFFER, 0, false, op_revoke_send_buffer},
	{NVSP_MESSAGE_SWITCH_DATA_PATH, 0, false, op_data_path},
	{NVSP_MESSAGE_SUBCHANNEL, NVSP_MESSAGE_SUBCHANNEL, false, op_sub_channels},
};

static const struct operation *operation_of(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		if (operations[i].type == type)
			return &operations[i];
	return NULL;
}

static void refuse(struct netvsp_request *request)
{
	const struct operation *operation = operation_of(request->message.type);
	struct nvsp_message message = {.type = operation ? operation->refused : 0};

	if (message.type == NVSP_MESSAGE_INIT_COMPLETE)
		message.init_complete.status = NVSP_STATUS_FAILURE;
	else
		message.send_buffer_complete.status = NVSP_STATUS_FAILURE; /* it comes first in all others */
	vsp_complete(request->vsp, &message, message.type ? NVSP_MESSAGE_LEN : 0);
}

static void settle(struct netvsp *netvsp);

/* Return: 0, or it is not for us, and has been completed. */
static int take(struct vsp_channel *channel, struct vsp_request *vsp)
{
	struct netvsp_request *request = vsp->device_data;
	struct netvsp *netvsp = netvsp_of(channel);
	int r;

	request->vsp = vsp;
	netvsp->packets++;
	if (vsp->type == VMPACKET_COMPLETION) {
		vsp_complete(vsp, NULL, 0);
		return -ENOMSG;
	}
	/* Without the primary channel nothing is negotiated. */
	r = nvsp_parse(vsp->payload, vsp->payload_len, netvsp->channel[0] ? netvsp_state(netvsp)->version : 0,
		       &request->message);
	if (r < 0)
		return r;
	settle(netvsp);
	return netvsp->channel[0] ? 0 : -ENOTCONN;
}

static void netvsp_packet(struct vsp_channel *channel, struct vsp_request *vsp)
{
	struct netvsp_request *request = vsp->device_data;
	struct netvsp *netvsp = netvsp_of(channel);
	const struct operation *operation;
	int r;

	DEATH_REQUEST(vsp->transaction_id);
	r = take(channel, vsp);
	if (r == -ENOMSG)
		return;
	operation = r == 0 ? operation_of(request->message.type) : NULL;
	if (!operation || (!operation->sub && channel != netvsp->channel[0])) {
		netvsp_complain(netvsp, r == -EPROTO ? "a malformed packet" : "a packet that it may not send there");
		refuse(request);
		return;
	}
	if (vsp->mark)
		netvsp_take_mark(netvsp, request);
	operation->handler(netvsp, request);
}

/* As a NIC that breaks on it. A control message needs its answer all the same. */
static void netvsp_fail(struct vsp_channel *channel, struct vsp_request *vsp)
{
	struct netvsp_request *request = vsp->device_data;
	struct netvsp *netvsp = netvsp_of(channel);
	int r = take(channel, vsp);

	if (r == -ENOMSG)
		return;
	request->status = NVSP_STATUS_FAILURE;
	if (r == 0 && channel == netvsp->channel[0] && request->message.type == NVSP_MESSAGE_SEND_RNDIS_PACKET &&
	    request->message.rndis_packet.channel_type != NVSP_CHANNEL_DATA)
		rndis_control(netvsp, request);
	else
		refuse(request);
}

static void netvsp_batch_end(struct vsp_channel *channel)
{
	struct netvsp_channel *data = vsp_channel_data(channel);

	if (data->transmitted)
		port_transmit_end(netvsp_of(channel)->port);
	data->transmitted = false;
}

static void netvsp_completed(struct vsp_channel *channel, uint64_t id, const void *payload, size_t len)
{
	struct netvsp_channel *data = vsp_channel_data(channel);
	struct netvsp *netvsp = netvsp_of(channel);

	(void)payload; /* a status that is of no use: what the guest could not take is lost */
	(void)len;
	settle(netvsp);
	if (sections_completed(&netvsp->sections, data->index, id) == 0)
		return;
	rndis_go(netvsp);
	netvsp_listen(netvsp);
}

static void netvsp_room(struct vsp_channel *channel)
{
	struct netvsp *netvsp = netvsp_of(channel);

	settle(netvsp);
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
	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++)
		if (netvsp->channel[i])
			netvsp_transmit_go(netvsp, netvsp->channel[i]);
	port_transmit_end(netvsp->port);
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

static void connect_port(struct netvsp *netvsp, struct vsp_channel *channel)
{
	const struct port_client client = {.ops = &client_ops, .arg = netvsp};

	netvsp->channel[0] = channel;
	port_connect(netvsp->port, &client);
	rndis_apply(netvsp);
}

static void init_channel(struct vsp_channel *channel)
{
	struct netvsp_channel *data = vsp_channel_data(channel);

	data->index = vsp_channel_index(channel);
	data->first = data->last = SECTION_NONE;
}

static int netvsp_open(struct vsp_channel *channel, const uint8_t user_data[120])
{
	struct netvsp *netvsp = netvsp_of(channel);

	(void)user_data;
	init_channel(channel);
	netvsp->settled = true;
	connect_port(netvsp, channel);
	return 0;
}

static int netvsp_sub_open(struct vsp_channel *channel, const uint8_t user_data[120])
{
	(void)user_data;
	init_channel(channel);
	netvsp_of(channel)->channel[vsp_channel_index(channel)] = channel;
	return 0;
}

bool netvsp_owes(const struct netvsp *netvsp)
{
	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++) {
		const struct netvsp_channel *data = netvsp->channel[i] ? vsp_channel_data(netvsp->channel[i]) : NULL;

		if (data && data->waiting.head)
			return true;
	}
	return netvsp->controls.head || netvsp->mapping;
}

void netvsp_refuse_waiting(struct netvsp *netvsp)
{
	vsp_batch_begin(netvsp->vsp);
	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++) {
		struct netvsp_channel *data = netvsp->channel[i] ? vsp_channel_data(netvsp->channel[i]) : NULL;

		while (data && data->waiting.head)
			netvsp_complete(netvsp_list_take(&data->waiting), NVSP_STATUS_FAILURE, NULL);
	}
	vsp_batch_end(netvsp->vsp);
}

static void netvsp_closing(struct vsp_channel *channel)
{
	struct netvsp_channel *data = vsp_channel_data(channel);
	struct netvsp *netvsp = netvsp_of(channel);

	while (data->waiting.head)
		vsp_leave(netvsp_list_take(&data->waiting)->vsp);
	while (data->index == 0 && netvsp->controls.head)
		vsp_leave(netvsp_list_take(&netvsp->controls)->vsp);
}

static void netvsp_sub_close(struct vsp_channel *channel)
{
	struct netvsp_channel *data = vsp_channel_data(channel);
	struct netvsp *netvsp = netvsp_of(channel);

	assert(!data->waiting.head);
	if (netvsp->sections.memory) {
		netvsp_receive_drop(netvsp, channel);
		sections_forget(&netvsp->sections, data->index);
	}
	netvsp->channel[data->index] = NULL;
	netvsp_listen(netvsp);
}

static void netvsp_close(struct vsp_channel *channel)
{
	struct netvsp *netvsp = netvsp_of(channel);

	assert(!netvsp->controls.head && !netvsp->mapping);
	drop_receive_buffer(netvsp);
	drop_send_buffer(netvsp);
	netvsp->channel[0] = NULL;
	netvsp->hashes = false;
	port_connect(netvsp->port, NULL);
	if (netvsp->changed)
		netvsp->changed(netvsp->changed_arg);
}

/* ---- recovery ---- */

static bool state_valid(const struct netvsp *netvsp, const struct netvsp_state *state)
{
	if (state->version != 0 && !nvsp_version_known(state->version))
		return false;
	if (state->sections > 0 &&
	    (state->sections > NETVSP_SECTIONS_MAX || state->sections < SECTIONS_MIN || state->mtu < OID_MTU_MIN ||
	     state->mtu > OID_MTU_MAX || state->section_bytes != section_bytes(state->mtu)))
		return false;
	return state->send_sections <= SEND_SECTIONS_MAX && state->sub_channels <= netvsp->sub_channels &&
	       state->initialized <= 1 && state->answer_len <= NETVSP_ANSWER_MAX &&
	       oid_settings_valid(&state->settings, 1 + state->sub_channels);
}

static void on_receive_buffer_again(void *arg, struct vsp_buffer *buffer, int error)
{
	struct netvsp *netvsp = arg;
	const struct netvsp_state *state = netvsp_state(netvsp);

	/* Without one there is nowhere to put frames: the guest had asked for it back. */
	if (buffer && vsp_buffer_memory(buffer)->len >= (size_t)state->sections * state->section_bytes)
		error = sections_init(&netvsp->sections, buffer, state->sections, state->section_bytes,
				      vsp_channel_table(netvsp->channel[0]));
	if (!buffer || !netvsp->sections.memory) {
		log_warn(netvsp->settings.alias, "the guest's receive buffer is not there any more (%s)",
			 err_name(error));
		vsp_buffer_release(buffer);
	}
}

static void on_send_buffer_again(void *arg, struct vsp_buffer *buffer, int error)
{
	struct netvsp *netvsp = arg;
	size_t need = (size_t)netvsp_state(netvsp)->send_sections * NETVSP_SEND_SECTION_BYTES;

	if (buffer && vsp_buffer_memory(buffer)->len >= need) {
		netvsp->send_buffer = buffer;
		return;
	}
	log_warn(netvsp->settings.alias, "the guest's send buffer is not there any more (%s)", err_name(error));
	vsp_buffer_release(buffer);
}

static int netvsp_recover(struct vsp_channel *channel)
{
	const struct netvsp_state *state = vsp_channel_state(channel);
	struct netvsp *netvsp = netvsp_of(channel);
	int r = 0;

	if (!state_valid(netvsp, state))
		return -EPROTO;
	init_channel(channel);
	netvsp->settled = false;
	connect_port(netvsp, channel);
	if (state->sections > 0)
		r = vsp_buffer_map(channel, state->receive_gpadl, on_receive_buffer_again, netvsp);
	if (r == 0 && state->send_sections > 0)
		r = vsp_buffer_map(channel, state->send_gpadl, on_send_buffer_again, netvsp);
	if (r < 0) {
		netvsp->channel[0] = NULL;
		port_connect(netvsp->port, NULL);
	}
	return r;
}

static int netvsp_sub_recover(struct vsp_channel *channel)
{
	init_channel(channel);
	netvsp_of(channel)->channel[vsp_channel_index(channel)] = channel;
	return 0;
}

/* What was given to the ring, and what of that the guest has: known once all channels are taken over. */
static void settle(struct netvsp *netvsp)
{
	uint64_t sent[NETVSP_CHANNELS_MAX];
	const struct netvsp_state *state;

	if (netvsp->settled || !netvsp->channel[0])
		return;
	netvsp->settled = true;
	state = netvsp_state(netvsp);
	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++)
		sent[i] = netvsp->channel[i] ? vsp_sent(netvsp->channel[i]) : UINT64_MAX;
	if (netvsp->sections.memory)
		netvsp_count_dropped(netvsp, sections_recover(&netvsp->sections, sent));
	if (state->answer > sent[0])
		vsp_set_state_word(netvsp->channel[0], offsetof(struct netvsp_state, answer), 0);
	if (state->link >> 1 > sent[0])
		vsp_set_state_word(netvsp->channel[0], offsetof(struct netvsp_state, link), !(state->link & 1));
	rndis_go(netvsp);
	netvsp_listen(netvsp);
}

/* ---- for the host ---- */

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
		port_connect(netvsp->port, NULL);
	sections_done(&netvsp->sections);
	drop_send_buffer(netvsp);
}

void netvsp_set(struct netvsp *netvsp, const struct nic_settings *settings)
{
	bool speed = settings->speed != netvsp->settings.speed;

	netvsp->settings = *settings;
	if (netvsp->channel[0])
		rndis_apply(netvsp);
	netvsp->speed_changed |= speed;
	tell(netvsp);
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
	.completed = netvsp_completed,
	.room = netvsp_room,
};
