/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RNDIS control messages: one at a time.
 *
 * Theory of operation: a guest waits for the answer to each but HALT, for ever. The request is a packet, which is
 * completed; the answer is a packet of ours, in a section of the receive buffer. What comes of the request, and the
 * answer's bytes, become the state together with the request's completion; then the answer is put into a section and
 * sent, and the number of its packet stored, before it is published. Whoever finds an answer without a number, or with
 * one that was never published, sends it; whoever finds one that was, does not. The next request is taken up when the
 * last answer has left: it waits in its slot until then, which is no longer than the guest takes to give back the
 * section of that answer.
 *
 *   request --state and completion--> answer, no number --> number --published--> next request
 *
 * What the guest is told of the link without having asked (INDICATE_STATUS) goes the same way: the word "link" of the
 * state says what it was told last, by which packet.
 *
 * Limits: RNDIS_CONTROL_MAX bytes a message.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "base/death.h"
#include "base/log.h"
#include "netvsp_int.h"
#include "sections.h"

#define MAX_PACKETS  8u /* PACKET messages in a transfer */
#define ALIGNMENT    3u /* as a power of two */
#define MAX_TRANSFER (128u * 1024u)

/* ---- what the guest is told ---- */

void rndis_describe(struct netvsp *netvsp, struct oid_nic *ret_nic)
{
	const struct nic_settings *settings = &netvsp->settings;
	const struct netvsp_state *state = netvsp_state(netvsp);

	*ret_nic = (struct oid_nic){
		.mtu = settings->mtu,
		.bits_a_second = settings->speed,
		.connected = netvsp_link(netvsp),
		.name = settings->alias,
		.receive_queues = 1 + netvsp->sub_channels,
		.mac_may_change = settings->may_change_mac,
		.promiscuous = settings->may_be_promiscuous,
	};
	memcpy(ret_nic->mac, settings->mac, MAC_LEN);
	port_offloads(netvsp->port, ret_nic);
	ret_nic->coalescing &= state->version >= NVSP_VERSION_61 && (state->capabilities & NVSP_CAPABILITY_RSC);
	port_counters(netvsp->port, &ret_nic->counters);
}

void rndis_apply(struct netvsp *netvsp)
{
	const struct oid_settings *settings = &netvsp_state(netvsp)->settings;

	port_set(netvsp->port, settings);
	netvsp->hashes = settings->rss.hash_types != 0 && netvsp_state(netvsp)->sub_channels > 0;
	if (netvsp->hashes)
		rss_set(&netvsp->rss, &settings->rss);
}

/* A message of ours on its way. Return: its packet's number; 0: there is no room. */
static uint64_t send_message(struct netvsp *netvsp, const void *bytes, uint32_t len)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET};
	struct vsp_page_range range = {.bytes = len};
	uint16_t section = netvsp->sections.memory ? sections_take(&netvsp->sections) : SECTION_NONE;
	uint64_t id;

	if (section == SECTION_NONE)
		return 0;
	memcpy(sections_ptr(&netvsp->sections, section), bytes, len);
	range.offset = section * netvsp->sections.bytes;
	message.rndis_packet.channel_type = NVSP_CHANNEL_CONTROL;
	message.rndis_packet.section = NVSP_NO_SECTION;
	if (vsp_send_pages(netvsp->channel[0], netvsp_state(netvsp)->receive_id, &range, 1, &message, NVSP_MESSAGE_LEN,
			   &id) < 0) {
		sections_put(&netvsp->sections, section);
		return 0;
	}
	sections_hold(&netvsp->sections, section, SECTION_NONE, SECTION_CONTROL);
	sections_send(&netvsp->sections, section, 0, id);
	return id;
}

/* Return: whether it is on its way; it may have been for long. */
static bool send_answer(struct netvsp *netvsp)
{
	const struct netvsp_state *state = netvsp_state(netvsp);
	uint64_t id;

	if (state->answer_len == 0 || state->answer != 0)
		return true;
	id = send_message(netvsp, state->answer_bytes, state->answer_len);
	if (id == 0)
		return false;
	DEATH(NET_ANSWER_WRITTEN);
	vsp_set_state_word(netvsp->channel[0], offsetof(struct netvsp_state, answer), id);
	DEATH(NET_ANSWER_NUMBERED);
	return true;
}

/* Return: as send_message(). */
static uint64_t indicate(struct netvsp *netvsp, uint32_t status, const uint32_t *info)
{
	const struct rndis_indicate_status body = {
		.status = status, .info_len = info ? sizeof(*info) : 0, .info_offset = info ? sizeof(body) : 0};
	uint8_t bytes[sizeof(struct rndis_header) + sizeof(body) + sizeof(*info)];
	const struct rndis_header header = {.type = RNDIS_MESSAGE_INDICATE_STATUS,
					    .len = (uint32_t)(sizeof(header) + sizeof(body) + body.info_len)};

	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), &body, sizeof(body));
	if (info)
		memcpy(bytes + sizeof(header) + sizeof(body), info, sizeof(*info));
	return send_message(netvsp, bytes, header.len);
}

static void send_link(struct netvsp *netvsp)
{
	bool up = netvsp_link(netvsp);
	uint64_t id;

	if (!netvsp_state(netvsp)->initialized || (netvsp_state(netvsp)->link & 1) == up)
		return;
	id = indicate(netvsp, up ? RNDIS_STATUS_MEDIA_CONNECT : RNDIS_STATUS_MEDIA_DISCONNECT, NULL);
	if (id == 0)
		return;
	DEATH(NET_LINK_WRITTEN);
	vsp_set_state_word(netvsp->channel[0], offsetof(struct netvsp_state, link), id << 1 | up);
}

/* One that is lost with a process is of no harm: guests ask when they begin. */
static void send_speed(struct netvsp *netvsp)
{
	uint32_t speed = (uint32_t)MIN(netvsp->settings.speed / 100, (uint64_t)UINT32_MAX);

	if (netvsp->speed_changed &&
	    (!netvsp_state(netvsp)->initialized || !(netvsp_state(netvsp)->capabilities & NVSP_CAPABILITY_TEAMING) ||
	     indicate(netvsp, RNDIS_STATUS_LINK_SPEED_CHANGE, &speed) > 0))
		netvsp->speed_changed = false;
}

/* ---- messages ---- */

/* A request, and what comes of it. */
struct control {
	struct rndis_control message;
	struct netvsp_state next;
	bool failed; /* to be answered so, without being done */
};

/* The answer's bytes: a header, the request's number if it has one, and @len bytes of @rest. */
static void put_answer(struct control *control, bool numbered, const void *rest, uint32_t len)
{
	struct rndis_header header = {.type = control->message.type | RNDIS_COMPLETION,
				      .len = (uint32_t)(sizeof(header) + (numbered ? sizeof(uint32_t) : 0) + len)};
	uint8_t *at = control->next.answer_bytes;

	memcpy(at, &header, sizeof(header));
	at += sizeof(header);
	if (numbered) {
		memcpy(at, &control->message.request_id, sizeof(uint32_t));
		at += sizeof(uint32_t);
	}
	memcpy(at, rest, len);
	control->next.answer_len = header.len;
	control->next.answer = 0;
}

static void put_status(struct control *control, uint32_t status)
{
	put_answer(control, true, &status, sizeof(status));
}

static void op_initialize(struct netvsp *netvsp, struct control *control)
{
	struct rndis_initialize_complete complete = {
		.status = RNDIS_STATUS_SUCCESS,
		.major_version = RNDIS_MAJOR_VERSION,
		.minor_version = RNDIS_MINOR_VERSION,
		.device_flags = RNDIS_DEVICE_CONNECTIONLESS,
		.medium = RNDIS_MEDIUM_802_3,
		.max_packets = MAX_PACKETS,
		.max_transfer_bytes = MAX_TRANSFER,
		.packet_alignment = ALIGNMENT,
	};

	if (control->failed || control->message.major_version != RNDIS_MAJOR_VERSION)
		complete.status = RNDIS_STATUS_FAILURE;
	if (complete.status == RNDIS_STATUS_SUCCESS) {
		control->next.initialized = 1;
		control->next.link = netvsp_link(netvsp);
		if (log_allowed(&netvsp->greetings, netvsp->settings.alias))
			log_info(netvsp->settings.alias, "the guest is ready, network protocol %u.%u",
				 control->next.version >> 16, control->next.version & 0xffff);
	}
	put_answer(control, true, &complete.status, sizeof(complete) - sizeof(uint32_t));
}

/* Nothing comes or goes any more. */
static void op_halt(struct netvsp *netvsp, struct control *control)
{
	(void)netvsp;
	control->next.initialized = 0;
	control->next.answer_len = 0;
	memset(&control->next.settings, 0, sizeof(control->next.settings));
}

static void op_reset(struct netvsp *netvsp, struct control *control)
{
	const struct rndis_reset_complete complete = {
		.status = control->failed ? RNDIS_STATUS_FAILURE : RNDIS_STATUS_SUCCESS, .addressing_reset = 1};

	(void)netvsp;
	control->next.settings.filter = 0;
	control->next.settings.multicast_count = 0;
	memset(control->next.settings.multicast, 0, sizeof(control->next.settings.multicast));
	put_answer(control, false, &complete, sizeof(complete));
}

static void op_query(struct netvsp *netvsp, struct control *control)
{
	struct {
		uint32_t status, info_len, info_offset;
		uint8_t info[OID_REPLY_MAX];
	} reply = {.status = RNDIS_STATUS_FAILURE};
	const struct rndis_control *message = &control->message;
	struct oid_nic nic;
	size_t len = 0;

	rndis_describe(netvsp, &nic);
	if (!control->failed)
		reply.status = oid_query(&nic, &control->next.settings, message->oid, message->info, message->info_len,
					 reply.info, &len);
	reply.info_len = (uint32_t)len;
	reply.info_offset = len > 0 ? sizeof(struct rndis_query_complete) : 0;
	if (message->oid == OID_GEN_MEDIA_CONNECT_STATUS)
		control->next.link = nic.connected;
	put_answer(control, true, &reply, (uint32_t)(offsetof(typeof(reply), info) + len));
}

static void op_set(struct netvsp *netvsp, struct control *control)
{
	const struct rndis_control *message = &control->message;
	uint32_t status = RNDIS_STATUS_FAILURE;
	struct oid_nic nic;

	rndis_describe(netvsp, &nic);
	if (!control->failed && control->next.initialized)
		status = oid_set(&nic, &control->next.settings, 1 + control->next.sub_channels, message->oid,
				 message->info, message->info_len);
	put_status(control, status);
}

static void op_keepalive(struct netvsp *netvsp, struct control *control)
{
	(void)netvsp;
	put_status(control, control->failed ? RNDIS_STATUS_FAILURE : RNDIS_STATUS_SUCCESS);
}

static void (*const operations[])(struct netvsp *netvsp, struct control *control) = {
	[RNDIS_MESSAGE_INITIALIZE] = op_initialize, [RNDIS_MESSAGE_HALT] = op_halt,
	[RNDIS_MESSAGE_QUERY] = op_query,	    [RNDIS_MESSAGE_SET] = op_set,
	[RNDIS_MESSAGE_RESET] = op_reset,	    [RNDIS_MESSAGE_KEEPALIVE] = op_keepalive,
};

_Static_assert(NETVSP_ANSWER_MAX >= sizeof(struct rndis_header) + sizeof(struct rndis_query_complete) + OID_REPLY_MAX,
	       "the longest answer fits");

static void execute(struct netvsp *netvsp, struct netvsp_request *request)
{
	struct control control = {.failed = request->status == NVSP_STATUS_FAILURE};
	uint8_t bytes[RNDIS_CONTROL_MAX];
	ssize_t len = netvsp_transfer_len(netvsp, request);
	int r = len < 0 || len > (ssize_t)sizeof(bytes) ? -EPROTO : 0;

	if (r == 0)
		r = netvsp_copy(netvsp, request, 0, bytes, (size_t)len);
	if (r == 0)
		r = rndis_control_parse(bytes, (size_t)len, &control.message);
	/* Without a buffer no answer can come. */
	if (r < 0 || !netvsp->sections.memory) {
		netvsp_complain(netvsp, "a control message that is malformed, or not for a NIC");
		netvsp_complete(request, NVSP_STATUS_INVALID_RNDIS_PACKET, NULL);
		return;
	}
	/* The parser knows the same ones. */
	assert(control.message.type < ARRAY_SIZE(operations) && operations[control.message.type]);
	control.next = *netvsp_state(netvsp);
	operations[control.message.type](netvsp, &control);
	netvsp_complete(request, NVSP_STATUS_SUCCESS, &control.next);
	/* The guest waits for its transmits to end, which nobody may ever take any more. */
	if (control.message.type == RNDIS_MESSAGE_HALT)
		netvsp_transmit_go_all(netvsp);
	rndis_apply(netvsp);
	netvsp_listen(netvsp);
	if (netvsp->changed && control.message.type == RNDIS_MESSAGE_SET)
		netvsp->changed(netvsp->changed_arg);
}

static bool answer_has_left(const struct netvsp *netvsp)
{
	const struct netvsp_state *state = netvsp_state(netvsp);

	return state->answer_len == 0 || (state->answer != 0 && state->answer <= vsp_sent(netvsp->channel[0]));
}

/* Without a buffer there is nothing to wait for: it is refused. */
static bool may_execute(struct netvsp *netvsp)
{
	if (!netvsp->sections.memory)
		return netvsp->controls.head;
	return send_answer(netvsp) && netvsp->controls.head && answer_has_left(netvsp);
}

void rndis_go(struct netvsp *netvsp)
{
	if (!netvsp->channel[0] || !netvsp->settled)
		return;
	while (may_execute(netvsp))
		execute(netvsp, netvsp_list_take(&netvsp->controls));
	if (!netvsp->sections.memory)
		return;
	send_link(netvsp);
	send_speed(netvsp);
}

void rndis_control(struct netvsp *netvsp, struct netvsp_request *request)
{
	netvsp_list_add(&netvsp->controls, request);
	rndis_go(netvsp);
}
