/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's packets: NVSP, of which each message is one row of a table.
 *
 * Theory of operation: each packet is parsed (nvsp_parse.c) and completed exactly once: with an answer, with nothing if
 * the guest wants none, or with a status. What comes too early, twice, or is not for a sub-channel gets
 * NVSP_STATUS_FAILURE and changes nothing. A completion that we did not ask for is of no effect.
 */
#include <errno.h>

#include "abi/ring.h"
#include "base/bytes.h"
#include "base/death.h"
#include "netvsp_int.h"
#include "nvsp_parse.h"

#define MDL_CHAIN_MAX 34u /* as hosts say */

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
	netvsp_answer(request, &message, &next);
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

/* ---- sub-channels ---- */

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
	netvsp_answer(request, &message, &next);
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
	{NVSP_MESSAGE_SEND_RECEIVE_BUFFER, NVSP_MESSAGE_SEND_RECEIVE_BUFFER_COMPLETE, false, netvsp_op_receive_buffer},
	{NVSP_MESSAGE_SEND_SEND_BUFFER, NVSP_MESSAGE_SEND_SEND_BUFFER_COMPLETE, false, netvsp_op_send_buffer},
	{NVSP_MESSAGE_REVOKE_RECEIVE_BUFFER, 0, false, netvsp_op_revoke_receive_buffer},
	{NVSP_MESSAGE_REVOKE_SEND_BUFFER, 0, false, netvsp_op_revoke_send_buffer},
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
	netvsp_settle(netvsp);
	return netvsp->channel[0] ? 0 : -ENOTCONN;
}

void netvsp_packet(struct vsp_channel *channel, struct vsp_request *vsp)
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
void netvsp_fail(struct vsp_channel *channel, struct vsp_request *vsp)
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
