/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a channel goes through
 *
 *   BEGIN       -- begin initialization -->     VERSION
 *   VERSION     -- query protocol version -->   PROPERTIES
 *                  (an unknown one: REVISION_MISMATCH, and the guest tries an older one)
 *   PROPERTIES  -- query properties -->         END
 *   END         -- end initialization -->       READY
 *   READY       -- execute SRB, reset
 *
 * The table below says in which state an operation is allowed; anywhere else it gets INVALID_DEVICE_STATE and changes
 * nothing. Each packet is parsed (vstor_parse.c) and answered by exactly one completion, which starts as a copy of the
 * request. An SRB becomes a scsi_request; its outcome is put into SRB and SCSI status. A reset takes back what the host
 * has not begun, and is answered when the requests that came before it are; then the LUNs are as after power-on.
 *
 * What becomes of the LUNs (struct scsi_lun_state) is kept in the state block, together with the completion that
 * changed it. Of several channels' blocks the one with the higher sequence counts, LUN by LUN, before a request of any
 * channel is done again. When a disk goes, the state of its LUN starts over: what comes to its address later does not
 * inherit its modes.
 *
 * Sub-channels: a guest that is in END or READY asks for some of those that the properties promise, and opens what it
 * is shown then. On them it executes SRBs and resets from the start; they have no state of their own but that of the
 * LUNs. All channels of a controller share its LUNs, and a reset on any of them concerns the SRBs of all. One thread
 * serves them: nothing is locked. At a recovery each channel is taken over by itself: a reset may be answered before
 * what other channels had accepted is done again; a guest waits for its own SRBs after a reset, and a host does not
 * forget them.
 *
 * Limits: STORVSP_SLOTS requests at a time on each channel, the rest waits in its ring.
 */
#include "storvsp.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "abi/ring.h"
#include "base/bytes.h"
#include "base/death.h"
#include "base/log.h"
#include "observe.h"
#include "vstor_parse.h"

#define STORVSP_SLOTS 256u

enum storvsp_state {
	STORVSP_BEGIN,
	STORVSP_VERSION,
	STORVSP_PROPERTIES,
	STORVSP_END,
	STORVSP_READY,
	STORVSP_SUB, /* a sub-channel, always; never in a block */
};

/* What a successor must know: in the channel's state block. */
struct storvsp_negotiated {
	uint32_t state; /* enum storvsp_state */
	uint16_t version;
	uint16_t reserved;
	struct scsi_lun_state lun[STORVSP_ADDRESSES];
};

/* Of each packet, from packet() to its completion. */
struct storvsp_request {
	struct vsp_request *vsp;
	struct vstor_request vstor;
	struct scsi_request scsi; /* of an SRB */
	uint64_t sequence;
	struct storvsp_request *prev, *next; /* in one of the controller's lists */
};

struct storvsp_channel {
	bool unsubmitted; /* the engine has not been flushed since */
};

static void list_add(struct storvsp_list *list, struct storvsp_request *request)
{
	request->next = NULL;
	request->prev = list->tail;
	if (list->tail)
		list->tail->next = request;
	else
		list->head = request;
	list->tail = request;
}

static void list_remove(struct storvsp_list *list, struct storvsp_request *request)
{
	*(request->prev ? &request->prev->next : &list->head) = request->next;
	*(request->next ? &request->next->prev : &list->tail) = request->prev;
}

static struct storvsp *storvsp_of(struct vsp_channel *channel)
{
	return vsp_channel_device(channel);
}

static void complain(struct vsp_channel *channel, const char *what, uint32_t operation)
{
	if (log_allowed(&storvsp_of(channel)->complaints, vsp_channel_name(channel)))
		log_warn(vsp_channel_name(channel), "the guest sent %s (operation %u)", what, operation);
}

/* ---- completions ---- */

/* @state: what the negotiated state becomes; NULL: it stays. */
static void reply_state(struct storvsp_request *request, uint32_t status, const struct storvsp_negotiated *state)
{
	struct vstor_packet *packet = &request->vstor.packet;

	packet->operation = VSTOR_OPERATION_COMPLETE_IO;
	packet->flags = 0;
	packet->status = status;
	vsp_complete_state(request->vsp, packet, request->vstor.reply_len, state);
}

static void reply(struct storvsp_request *request, uint32_t status)
{
	reply_state(request, status, NULL);
}

struct srb_outcome {
	uint8_t srb_status;
	uint32_t status;
};

static const struct srb_outcome srb_outcomes[] = {
	[SCSI_COMPLETE] = {SRB_STATUS_SUCCESS, VSTOR_STATUS_SUCCESS},
	[SCSI_NO_LUN] = {SRB_STATUS_INVALID_LUN, VSTOR_STATUS_DEVICE_DOES_NOT_EXIST},
	[SCSI_BAD_REQUEST] = {SRB_STATUS_INVALID_REQUEST, VSTOR_STATUS_INVALID_PARAMETER},
	[SCSI_ABORTED] = {SRB_STATUS_ABORTED, VSTOR_STATUS_CANCELLED},
};

static const struct storvsp_negotiated *negotiated(struct vsp_channel *channel)
{
	return vsp_channel_state(channel);
}

_Static_assert(offsetof(struct storvsp_negotiated, lun) % 8 == 0 && offsetof(struct scsi_lun_state, sequence) == 8 &&
		       sizeof(struct scsi_lun_state) == 16,
	       "all of a LUN's state but the capacity is one word");

static size_t address_of(const struct scsi_lun *lun)
{
	return (size_t)lun->target * SETTINGS_LUNS_MAX + lun->lun;
}

void storvsp_units_changed(const struct storvsp *storvsp)
{
	if (storvsp->units_changed)
		storvsp->units_changed(storvsp->units_arg);
}

/* @changed: the LUN whose state is another now, NULL: none. */
static void reply_srb(struct storvsp_request *request, enum scsi_outcome outcome, const struct scsi_lun *changed)
{
	struct vmscsi_request *srb = &request->vstor.packet.vm_srb;
	const struct scsi_request *scsi = &request->scsi;
	uint32_t status = srb_outcomes[outcome].status;
	uint8_t sense_len = 0;

	srb->srb_status = srb_outcomes[outcome].srb_status;
	srb->scsi_status = SCSI_STATUS_GOOD;
	srb->data_transfer_length = 0;
	if (outcome == SCSI_COMPLETE) {
		srb->scsi_status = scsi->status;
		srb->data_transfer_length = scsi->transferred;
	}
	if (outcome == SCSI_COMPLETE && scsi->status == SCSI_STATUS_CHECK_CONDITION) {
		sense_len = MIN(scsi->sense_len, request->vstor.srb.sense_max);
		srb->srb_status = SRB_STATUS_ERROR | (sense_len ? SRB_STATUS_AUTOSENSE_VALID : 0);
		status = VSTOR_STATUS_IO_DEVICE_ERROR;
		memset(srb->sense_data, 0, sizeof(srb->sense_data));
		memcpy(srb->sense_data, scsi->sense, sense_len);
	} else if (outcome == SCSI_COMPLETE && scsi->status != SCSI_STATUS_GOOD) {
		/* Guests that do not look at the SCSI status must not take it for done. */
		srb->srb_status = SRB_STATUS_ERROR;
		status = VSTOR_STATUS_IO_DEVICE_ERROR;
	}
	srb->sense_info_length = sense_len;
	if (changed) {
		struct storvsp_negotiated next = *negotiated(request->vsp->channel);

		next.lun[address_of(changed)] = changed->state;
		storvsp_units_changed(storvsp_of(request->vsp->channel));
		reply_state(request, status, &next);
	} else {
		reply(request, status);
	}
}

/* ---- SRBs and resets ---- */

static bool concerns(const struct storvsp_request *reset, const struct storvsp_request *srb)
{
	const struct vstor_srb *a = &reset->vstor.srb, *b = &srb->vstor.srb;

	if (reset->vstor.operation != VSTOR_OPERATION_RESET_LUN)
		return true;
	return a->path == b->path && a->target == b->target && a->lun == b->lun;
}

static bool reset_waits(const struct storvsp *storvsp, const struct storvsp_request *reset)
{
	for (const struct storvsp_request *srb = storvsp->srbs.head; srb; srb = srb->next)
		if (srb->sequence < reset->sequence && concerns(reset, srb))
			return true;
	return false;
}

static void reply_reset(struct storvsp_request *reset)
{
	struct storvsp_negotiated next = *negotiated(reset->vsp->channel);
	struct scsi_controller *controller = &storvsp_of(reset->vsp->channel)->scsi;
	const struct vstor_srb *of = &reset->vstor.srb;

	for (size_t i = 0; i < controller->luns; i++) {
		struct scsi_lun *lun = &controller->lun[i];

		if (lun->presence == SCSI_GONE)
			continue;
		if (reset->vstor.operation == VSTOR_OPERATION_RESET_LUN &&
		    (of->path != SCSI_PATH_WITH_LUNS || of->target != lun->target || of->lun != lun->lun))
			continue;
		scsi_lun_reset(lun);
		next.lun[address_of(lun)] = lun->state;
	}
	storvsp_units_changed(storvsp_of(reset->vsp->channel));
	reply_state(reset, VSTOR_STATUS_SUCCESS, &next);
}

static void finish_resets(struct storvsp *storvsp)
{
	struct storvsp_request *next;

	for (struct storvsp_request *reset = storvsp->resets.head; reset; reset = next) {
		next = reset->next;
		if (reset_waits(storvsp, reset))
			continue;
		list_remove(&storvsp->resets, reset);
		reply_reset(reset);
	}
}

static void srb_done(struct scsi_request *scsi)
{
	struct storvsp_request *request = CONTAINER_OF(scsi, struct storvsp_request, scsi);
	struct storvsp *storvsp = storvsp_of(request->vsp->channel);

	list_remove(&storvsp->srbs, request);
	observe_done(scsi, &request->vsp->account);
	reply_srb(request, scsi->outcome, scsi->unit_changed ? scsi->unit : NULL);
	finish_resets(storvsp);
}

static void srb_mark(struct scsi_request *scsi, uint32_t mark)
{
	vsp_mark(CONTAINER_OF(scsi, struct storvsp_request, scsi)->vsp, mark);
}

static const enum scsi_direction scsi_directions[] = {
	[VSTOR_DIRECTION_NONE] = SCSI_NONE,
	[VSTOR_DIRECTION_READ] = SCSI_IN,
	[VSTOR_DIRECTION_WRITE] = SCSI_OUT,
};

static void op_execute_srb(struct vsp_channel *channel, struct storvsp_request *request)
{
	struct storvsp_channel *state = vsp_channel_data(channel);
	struct storvsp *storvsp = storvsp_of(channel);
	const struct vstor_srb *srb = &request->vstor.srb;
	struct vsp_request *vsp = request->vsp;
	struct scsi_request *scsi = &request->scsi;

	if (vsp->data_error || srb->data_len > vsp->data_len) {
		complain(channel, "an SRB without the pages for its data", request->vstor.operation);
		reply_srb(request, SCSI_BAD_REQUEST, NULL);
		return;
	}
	scsi->path = srb->path;
	scsi->target = srb->target;
	scsi->lun = srb->lun;
	memcpy(scsi->cdb, srb->cdb, sizeof(scsi->cdb));
	scsi->cdb_len = srb->cdb_len;
	scsi->direction = scsi_directions[srb->direction];
	scsi->iov = vsp->iov;
	scsi->iovs = vsp->iovs;
	scsi->data_len = srb->data_len;
	scsi->mark = vsp->mark;
	scsi->set_mark = srb_mark;
	scsi->done = srb_done;
	list_add(&storvsp->srbs, request);
	state->unsubmitted = true;
	scsi_execute(&storvsp->scsi, scsi);
}

static void op_reset(struct vsp_channel *channel, struct storvsp_request *request)
{
	struct storvsp_channel *state = vsp_channel_data(channel);
	struct storvsp *storvsp = storvsp_of(channel);
	struct storvsp_request *srb, *next;

	list_add(&storvsp->resets, request);
	state->unsubmitted = true;
	/* An abort may end other requests on the way, but only ones that are older: what is gone is looked up again. */
	for (srb = storvsp->srbs.head; srb; srb = next) {
		next = srb->next;
		if (!concerns(request, srb) || srb->scsi.abort)
			continue;
		scsi_abort(&srb->scsi);
		next = storvsp->srbs.head;
	}
	finish_resets(storvsp);
}

/* ---- initialization ---- */

static void advance(struct vsp_channel *channel, struct storvsp_request *request, enum storvsp_state state)
{
	struct storvsp_negotiated next = *negotiated(channel);

	next.state = state;
	reply_state(request, VSTOR_STATUS_SUCCESS, &next);
}

static void op_begin(struct vsp_channel *channel, struct storvsp_request *request)
{
	advance(channel, request, STORVSP_VERSION);
}

static const uint16_t versions[] = {
	VSTOR_VERSION_WIN10, VSTOR_VERSION_WIN8_1, VSTOR_VERSION_WIN8, VSTOR_VERSION_WIN7, VSTOR_VERSION_WIN6,
};

static void op_version(struct vsp_channel *channel, struct storvsp_request *request)
{
	struct storvsp_negotiated next = *negotiated(channel);

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		if (versions[i] != request->vstor.version)
			continue;
		next.state = STORVSP_PROPERTIES;
		next.version = versions[i];
		reply_state(request, VSTOR_STATUS_SUCCESS, &next);
		return;
	}
	reply(request, VSTOR_STATUS_REVISION_MISMATCH);
}

static void op_properties(struct vsp_channel *channel, struct storvsp_request *request)
{
	struct vmstorage_channel_properties *properties = &request->vstor.packet.storage_channel_properties;

	memset(properties, 0, sizeof(*properties));
	properties->max_transfer_bytes = STORVSP_MAX_TRANSFER;
	/* Guests of older versions know of no sub-channels. */
	if (negotiated(channel)->version >= VSTOR_VERSION_WIN8 && storvsp_of(channel)->sub_channels > 0) {
		properties->max_channel_cnt = (uint16_t)storvsp_of(channel)->sub_channels;
		properties->flags = VSTOR_CHANNEL_SUPPORTS_MULTI_CHANNEL;
	}
	advance(channel, request, STORVSP_END);
}

static void op_end(struct vsp_channel *channel, struct storvsp_request *request)
{
	uint16_t version = negotiated(channel)->version;

	/* A guest may open and close as often as it likes. */
	if (log_allowed(&storvsp_of(channel)->greetings, vsp_channel_name(channel)))
		log_info(vsp_channel_name(channel), "the guest is ready, storage protocol %u.%u", version >> 8,
			 version & 0xff);
	advance(channel, request, STORVSP_READY);
}

/* Those that it asks for are offered to it before or after it has the answer. */
static void op_sub_channels(struct vsp_channel *channel, struct storvsp_request *request)
{
	uint32_t count = request->vstor.sub_channels;
	int r = 0;

	if (count > storvsp_of(channel)->sub_channels || negotiated(channel)->version < VSTOR_VERSION_WIN8)
		r = count > 0 ? -EINVAL : 0;
	else if (count > 0)
		r = vsp_subchannels(channel, count);
	reply(request, r == -EINVAL ? VSTOR_STATUS_INVALID_PARAMETER
		       : r < 0	    ? VSTOR_STATUS_UNSUCCESSFUL
				    : VSTOR_STATUS_SUCCESS);
}

/* ---- packets ---- */

#define IN(state) (1u << (state))

struct operation {
	unsigned int states; /* mask of IN(): where it is allowed */
	void (*handler)(struct vsp_channel *channel, struct storvsp_request *request);
};

static const struct operation operations[] = {
	[VSTOR_OPERATION_EXECUTE_SRB] = {IN(STORVSP_READY) | IN(STORVSP_SUB), op_execute_srb},
	[VSTOR_OPERATION_RESET_LUN] = {IN(STORVSP_READY) | IN(STORVSP_SUB), op_reset},
	[VSTOR_OPERATION_RESET_ADAPTER] = {IN(STORVSP_READY) | IN(STORVSP_SUB), op_reset},
	[VSTOR_OPERATION_RESET_BUS] = {IN(STORVSP_READY) | IN(STORVSP_SUB), op_reset},
	[VSTOR_OPERATION_BEGIN_INITIALIZATION] = {IN(STORVSP_BEGIN), op_begin},
	[VSTOR_OPERATION_END_INITIALIZATION] = {IN(STORVSP_END), op_end},
	[VSTOR_OPERATION_QUERY_PROTOCOL_VERSION] = {IN(STORVSP_VERSION), op_version},
	[VSTOR_OPERATION_QUERY_PROPERTIES] = {IN(STORVSP_PROPERTIES), op_properties},
	[VSTOR_OPERATION_CREATE_SUB_CHANNELS] = {IN(STORVSP_END) | IN(STORVSP_READY), op_sub_channels},
};

static void refuse(struct storvsp_request *request, uint32_t status)
{
	if (request->vstor.operation == VSTOR_OPERATION_EXECUTE_SRB)
		request->vstor.packet.vm_srb.srb_status = SRB_STATUS_INVALID_REQUEST;
	reply(request, status);
}

static void take_packet(struct vsp_channel *channel, struct vsp_request *vsp, uint32_t state)
{
	struct storvsp_request *request = vsp->device_data;
	int r;

	DEATH_REQUEST(vsp->transaction_id);
	if (vsp->type == VMPACKET_COMPLETION) {
		/* Nothing that we send wants one. */
		vsp_complete(vsp, NULL, 0);
		return;
	}
	request->vsp = vsp;
	request->sequence = storvsp_of(channel)->sequence++;
	r = vstor_parse(vsp->payload, vsp->payload_len, &request->vstor);
	if (r < 0) {
		complain(channel, r == -EOPNOTSUPP ? "what it may not send" : "a malformed packet",
			 request->vstor.operation);
		refuse(request,
		       r == -EOPNOTSUPP ? VSTOR_STATUS_INVALID_DEVICE_REQUEST : VSTOR_STATUS_INVALID_PARAMETER);
		return;
	}
	if (!(operations[request->vstor.operation].states & IN(state))) {
		complain(channel, "a packet out of order", request->vstor.operation);
		refuse(request, VSTOR_STATUS_INVALID_DEVICE_STATE);
		return;
	}
	operations[request->vstor.operation].handler(channel, request);
}

static void storvsp_packet(struct vsp_channel *channel, struct vsp_request *vsp)
{
	take_packet(channel, vsp, negotiated(channel)->state);
}

static void storvsp_sub_packet(struct vsp_channel *channel, struct vsp_request *vsp)
{
	take_packet(channel, vsp, STORVSP_SUB);
}

static void storvsp_batch_end(struct vsp_channel *channel)
{
	struct storvsp_channel *state = vsp_channel_data(channel);

	if (state->unsubmitted && storvsp_of(channel)->engine)
		engine_flush(storvsp_of(channel)->engine);
	state->unsubmitted = false;
}

static int storvsp_open(struct vsp_channel *channel, const uint8_t user_data[120])
{
	struct scsi_controller *controller = &storvsp_of(channel)->scsi;

	(void)user_data; /* storvsc sends zeroes */
	for (size_t i = 0; i < controller->luns; i++)
		scsi_lun_power_on(&controller->lun[i]);
	storvsp_units_changed(storvsp_of(channel));
	storvsp_of(channel)->channel = channel;
	return 0;
}

static int storvsp_sub_open(struct vsp_channel *channel, const uint8_t user_data[120])
{
	(void)channel;
	(void)user_data;
	return 0;
}

static bool is_newer(uint32_t sequence, uint32_t than)
{
	return (int32_t)(sequence - than) > 0;
}

/* LUNs that were given to the guest since have no state in the block: all zero. */
static int recover_luns(struct vsp_channel *channel)
{
	struct storvsp *storvsp = storvsp_of(channel);
	struct scsi_controller *controller = &storvsp->scsi;

	storvsp_units_changed(storvsp);
	for (size_t i = 0; i < STORVSP_ADDRESSES; i++) {
		uint32_t sequence = negotiated(channel)->lun[i].sequence;

		if (is_newer(sequence, storvsp->lun_sequence[i]))
			storvsp->lun_sequence[i] = sequence;
	}
	for (size_t i = 0; i < controller->luns; i++) {
		struct scsi_lun *lun = &controller->lun[i];
		const struct scsi_lun_state *state = &negotiated(channel)->lun[address_of(lun)];

		if (is_newer(state->sequence, lun->state.sequence) && scsi_lun_restore(lun, state) < 0)
			return -EPROTO;
	}
	return 0;
}

static int storvsp_recover(struct vsp_channel *channel)
{
	const struct storvsp_negotiated *state = negotiated(channel);
	bool known = state->state <= STORVSP_VERSION && state->version == 0;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		known |= state->state > STORVSP_VERSION && state->state <= STORVSP_READY &&
			 state->version == versions[i];
	if (!known)
		return -EPROTO;
	r = recover_luns(channel);
	if (r == 0)
		storvsp_of(channel)->channel = channel;
	return r;
}

static void srb_failed(struct scsi_request *scsi)
{
	reply_srb(CONTAINER_OF(scsi, struct storvsp_request, scsi), scsi->outcome, NULL);
}

/* As a disk that breaks on it. */
static void storvsp_fail(struct vsp_channel *channel, struct vsp_request *vsp)
{
	struct storvsp_request *request = vsp->device_data;

	request->vsp = vsp;
	if (vsp->type == VMPACKET_COMPLETION || vstor_parse(vsp->payload, vsp->payload_len, &request->vstor) < 0) {
		refuse(request, VSTOR_STATUS_INVALID_PARAMETER);
	} else if (request->vstor.operation == VSTOR_OPERATION_EXECUTE_SRB) {
		request->scsi.done = srb_failed;
		scsi_fail(&request->scsi);
	} else {
		reply(request, VSTOR_STATUS_IO_DEVICE_ERROR);
	}
	(void)channel;
}

static void assert_none_of(const struct vsp_channel *channel, const struct storvsp_list *list)
{
	for (const struct storvsp_request *request = list->head; request; request = request->next)
		assert(request->vsp->channel != channel);
}

static void storvsp_sub_close(struct vsp_channel *channel)
{
	assert_none_of(channel, &storvsp_of(channel)->srbs);
	assert_none_of(channel, &storvsp_of(channel)->resets);
}

static void storvsp_close(struct vsp_channel *channel)
{
	storvsp_sub_close(channel);
	storvsp_of(channel)->channel = NULL;
}

uint32_t storvsp_sub_channels(size_t controllers, uint32_t cpus)
{
	return MIN((uint32_t)(STORVSP_CHANNELS_MAX / controllers), cpus) - 1;
}

bool storvsp_guest_listens(const struct storvsp *storvsp)
{
	const struct storvsp_negotiated *state = storvsp->channel ? negotiated(storvsp->channel) : NULL;

	return state && state->state == STORVSP_READY && state->version >= VSTOR_VERSION_WIN7;
}

int storvsp_bus_changed(struct storvsp *storvsp)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_ENUMERATE_BUS};
	int r;

	if (!storvsp_guest_listens(storvsp))
		return -ENOTCONN;
	r = vsp_send(storvsp->channel, 0, &packet,
		     negotiated(storvsp->channel)->version < VSTOR_VERSION_WIN8 ? VSTOR_PACKET_LEN_WIN7
										: VSTOR_PACKET_LEN);
	return r == -EPIPE ? -ENOTCONN : r;
}

void storvsp_lun_comes(const struct storvsp *storvsp, struct scsi_lun *lun)
{
	lun->state.sequence = storvsp->lun_sequence[address_of(lun)];
}

void storvsp_lun_goes(struct storvsp *storvsp, struct scsi_lun *lun)
{
	size_t at = offsetof(struct storvsp_negotiated, lun) + address_of(lun) * sizeof(lun->state);
	uint64_t word;

	scsi_lun_start_over(lun);
	storvsp->lun_sequence[address_of(lun)] = lun->state.sequence;
	/* Without a channel, the next one begins with all zero. The capacity means nothing to who was not greeted. */
	memcpy(&word, &lun->state.sequence, sizeof(word));
	if (storvsp->channel)
		vsp_set_state_word(storvsp->channel, at + offsetof(struct scsi_lun_state, sequence), word);
}

bool storvsp_in_flight(const struct storvsp *storvsp, const struct scsi_lun *lun)
{
	for (const struct storvsp_request *srb = storvsp->srbs.head; srb; srb = srb->next)
		if (srb->scsi.unit == lun)
			return true;
	return false;
}

static void abort_all(struct storvsp *storvsp, const struct scsi_lun *lun, bool fenced)
{
	struct storvsp_request *next;

	/* As in op_reset(). */
	for (struct storvsp_request *srb = storvsp->srbs.head; srb; srb = next) {
		next = srb->next;
		if (srb->scsi.unit != lun || srb->scsi.abort || (fenced && !scsi_fenced(&srb->scsi)))
			continue;
		scsi_abort(&srb->scsi);
		next = storvsp->srbs.head;
	}
}

void storvsp_abort(struct storvsp *storvsp, const struct scsi_lun *lun)
{
	abort_all(storvsp, lun, false);
}

void storvsp_abort_fenced(struct storvsp *storvsp, const struct scsi_lun *lun)
{
	abort_all(storvsp, lun, true);
}

const struct vsp_device_ops storvsp_ops = {
	.name = "storvsp",
	.request_size = sizeof(struct storvsp_request),
	.channel_size = sizeof(struct storvsp_channel),
	.slots = STORVSP_SLOTS,
	.state_size = sizeof(struct storvsp_negotiated),
	.state_version = STORVSP_STATE_VERSION,
	.open = storvsp_open,
	.recover = storvsp_recover,
	.packet = storvsp_packet,
	.fail = storvsp_fail,
	.batch_end = storvsp_batch_end,
	.close = storvsp_close,
};

const struct vsp_device_ops storvsp_sub_ops = {
	.name = "storvsp sub-channel",
	.request_size = sizeof(struct storvsp_request),
	.channel_size = sizeof(struct storvsp_channel),
	.slots = STORVSP_SLOTS,
	.state_size = sizeof(struct storvsp_negotiated), /* of which only the LUNs count */
	.state_version = STORVSP_STATE_VERSION,
	.open = storvsp_sub_open,
	.recover = recover_luns,
	.packet = storvsp_sub_packet,
	.fail = storvsp_fail,
	.batch_end = storvsp_batch_end,
	.close = storvsp_sub_close,
};
