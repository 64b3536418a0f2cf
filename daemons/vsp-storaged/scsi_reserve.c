/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PERSISTENT RESERVE IN and OUT, and what reservations mean for all other commands.
 *
 * Theory of operation: what a command does to the disk stands in its row of the table (scsi_table.c). Of a shared disk
 * each command asks before it begins whether it may; one that writes is counted until it ends. PERSISTENT RESERVE IN
 * and OUT take a place in the lane, one after the other, and end when what they tell is so: see reservation.h, which
 * also has what makes a PERSISTENT RESERVE OUT take effect once, whoever dies. Spec: SPC-4 5.13, 6.15, 6.16;
 * SBC-3 4.17.
 *
 * Limits: scope is the logical unit; SPEC_I_PT, ALL_TG_PT and REGISTER AND MOVE are refused, as the capabilities say.
 * PREEMPT AND ABORT ends the writes of those that may not write any more; reads, and writes that are still allowed, end
 * as they would.
 * There is no TransportID for VMBus: an I_T nexus shows one of SRP's form, with the controller's instance GUID.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "reservation.h"
#include "scsi_command.h"

#define TARGET_PORT 1u /* relative target port identifier */
#define STATUS_MAX  (SCSI_PRI_FULL_STATUS_LEN + SCSI_TRANSPORT_ID_LEN)

/* ---- for all commands ---- */

static void conflict(struct scsi_request *request)
{
	request->status = SCSI_STATUS_RESERVATION_CONFLICT;
	scsi_end(request, SCSI_COMPLETE);
}

/* Commands that are harmless with some values of byte 4: (byte & mask) == value. */
static const struct {
	uint8_t opcode, mask, value;
} harmless[] = {
	{SCSI_START_STOP_UNIT, SCSI_START_STOP_POWER_MASK | SCSI_START_STOP_START, SCSI_START_STOP_START},
	{SCSI_PREVENT_ALLOW, 0x03, 0},
};

static enum reservation_access access_of(const struct scsi_request *request)
{
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
		if (request->cdb[0] == harmless[i].opcode && (request->cdb[4] & harmless[i].mask) == harmless[i].value)
			return RESERVATION_HARMLESS;
	return request->command->access;
}

bool scsi_reserve_enter(struct scsi_request *request)
{
	struct reservation *reservation = request->unit->reservation;
	enum reservation_access access = access_of(request);

	if (reservation_enter(reservation, access, &request->ticket))
		return true;
	if (reservation->broken)
		scsi_check(request, SCSI_SENSE_HARDWARE_ERROR, SCSI_ASC_INTERNAL_TARGET_FAILURE);
	else
		conflict(request);
	return false;
}

void scsi_reserve_leave(struct scsi_request *request)
{
	reservation_leave(request->unit->reservation, request->ticket);
	request->ticket = 0;
}

bool scsi_fenced(const struct scsi_request *request)
{
	const struct reservation *reservation = request->unit ? request->unit->reservation : NULL;

	return reservation && request->ticket && request->ticket != reservation->state.generation &&
	       (reservation->denied & 1u << RESERVATION_WRITES);
}

/* ---- in the lane ---- */

static void go_on(void *arg, int result)
{
	struct scsi_request *request = arg;

	request->phase = 1;
	request->step(request, result);
}

static void failed(struct scsi_request *request, int error)
{
	log_error(request->unit->object, "reservations: %s",
		  error == -ETIMEDOUT ? "another VM does not give way in time"
		  : error == -EPROTO  ? "their file is damaged"
				      : strerror(-error));
	scsi_check(request, SCSI_SENSE_HARDWARE_ERROR,
		   error == -ETIMEDOUT ? SCSI_ASC_TIMEOUT_ON_LOGICAL_UNIT : SCSI_ASC_INTERNAL_TARGET_FAILURE);
}

/* ---- PERSISTENT RESERVE IN ---- */

/* Each: what follows the header of PRGENERATION and length. @at: room for all nexuses. Return: bytes. */

static size_t read_keys(const struct reservation *reservation, uint8_t *at)
{
	size_t len = 0;

	for (size_t i = 0; i < RESERVATION_NEXUSES; i++) {
		if (!reservation->state.nexus[i].key)
			continue;
		put_be64(at + len, reservation->state.nexus[i].key);
		len += 8;
	}
	return len;
}

static size_t read_reservation(const struct reservation *reservation, uint8_t *at)
{
	const struct reservation_state *state = &reservation->state;

	if (state->type == RESERVATION_NONE)
		return 0;
	if (!reservation_of_all(state->type))
		put_be64(at, state->nexus[state->holder].key);
	at[13] = state->type;
	return SCSI_PRI_RESERVATION_LEN;
}

static void full_status(const struct reservation_state *state, uint8_t nexus, uint8_t *at)
{
	put_be64(at, state->nexus[nexus].key);
	if (reservation_holds(state, nexus)) {
		at[12] = SCSI_PRI_HOLDER;
		at[13] = state->type;
	}
	put_be16(at + 18, TARGET_PORT);
	put_be32(at + 20, SCSI_TRANSPORT_ID_LEN);
	at += SCSI_PRI_FULL_STATUS_LEN;
	at[0] = SCSI_TRANSPORT_ID_SRP;
	memcpy(at + SCSI_TRANSPORT_ID_SRP_PORT, state->nexus[nexus].controller, RESERVATION_ID_LEN);
}

static size_t read_full_status(const struct reservation *reservation, uint8_t *at)
{
	size_t len = 0;

	for (uint8_t i = 0; i < RESERVATION_NEXUSES; i++) {
		if (!reservation->state.nexus[i].key)
			continue;
		full_status(&reservation->state, i, at + len);
		len += STATUS_MAX;
	}
	return len;
}

static size_t (*const reads[])(const struct reservation *reservation, uint8_t *at) = {
	[SCSI_PRI_READ_KEYS] = read_keys,
	[SCSI_PRI_READ_RESERVATION] = read_reservation,
	[SCSI_PRI_READ_FULL_STATUS] = read_full_status,
};

static void read_step(struct scsi_request *request, int result)
{
	const struct reservation *reservation = request->unit->reservation;
	uint8_t data[SCSI_PRI_HEADER_LEN + RESERVATION_NEXUSES * STATUS_MAX] = {0};
	size_t len;

	if (request->phase == 0) {
		reservation_settle(request->unit->reservation, go_on, request);
		return;
	}
	if (result < 0) {
		failed(request, result);
		return;
	}
	len = reads[request->cdb[1] & SCSI_SERVICE_ACTION_MASK](reservation, data + SCSI_PRI_HEADER_LEN);
	put_be32(data, reservation->state.pr_generation);
	put_be32(data + 4, (uint32_t)len);
	scsi_data_in(request, data, SCSI_PRI_HEADER_LEN + len, get_be16(&request->cdb[7]));
}

void scsi_persistent_reserve_in(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	scsi_lane_enter(request, read_step);
}

void scsi_report_reserve_capabilities(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t data[SCSI_PRI_CAPABILITIES_LEN] = {0};

	(void)controller;
	put_be16(data, sizeof(data));
	data[2] = SCSI_PRI_CAPABLE_PTPL;
	data[3] = SCSI_PRI_TYPES_VALID | (request->unit->reservation->state.aptpl ? SCSI_PRI_PTPL_ACTIVE : 0);
	put_be16(data + 4, SCSI_PRI_TYPES);
	scsi_data_in(request, data, sizeof(data), get_be16(&request->cdb[7]));
}

/* ---- PERSISTENT RESERVE OUT ---- */

static void mark(void *arg, uint32_t mark)
{
	struct scsi_request *request = arg;

	if (request->set_mark)
		request->set_mark(request, mark);
}

/* Return: whether the list asks for nothing that there is not; if not, the command has ended. */
static bool take_order(struct scsi_request *request, struct reservation_order *order)
{
	uint8_t list[SCSI_PRO_LIST_LEN];

	scsi_data_out(request, list, sizeof(list));
	if (list[20] & (SCSI_PRO_SPEC_I_PT | SCSI_PRO_ALL_TG_PT)) {
		scsi_invalid_parameter(request, 20, list[20] & SCSI_PRO_SPEC_I_PT ? 3 : 2);
		return false;
	}
	*order = (struct reservation_order){
		.action = request->cdb[1] & SCSI_SERVICE_ACTION_MASK,
		.type = request->cdb[2] & SCSI_PRO_TYPE,
		.aptpl = list[20] & SCSI_PRO_APTPL,
		.key = get_be64(list),
		.action_key = get_be64(list + 8),
	};
	return true;
}

static void answer(struct scsi_request *request, int verdict)
{
	switch (verdict) {
	case RESERVATION_DONE:
	case RESERVATION_UNCHANGED:
		request->transferred = SCSI_PRO_LIST_LEN;
		scsi_good(request);
		break;
	case RESERVATION_CONFLICT:
		conflict(request);
		break;
	case RESERVATION_BAD_TYPE:
		scsi_invalid_field(request, 2, 3);
		break;
	case RESERVATION_BAD_KEY:
		scsi_invalid_parameter(request, 8, 7);
		break;
	case RESERVATION_BAD_RELEASE:
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_INVALID_RELEASE);
		break;
	default:
		failed(request, verdict);
		break;
	}
}

static void reserve_step(struct scsi_request *request, int result)
{
	struct reservation_order order;

	if (request->phase > 0)
		answer(request, result);
	else if (take_order(request, &order))
		reservation_order(request->unit->reservation, &order, request->mark, mark, go_on, request);
}

/* REGISTER, REGISTER AND IGNORE EXISTING KEY and CLEAR are of no scope. */
static bool has_scope(uint8_t action)
{
	return action == SCSI_PRO_RESERVE || action == SCSI_PRO_RELEASE || action == SCSI_PRO_PREEMPT ||
	       action == SCSI_PRO_PREEMPT_AND_ABORT;
}

void scsi_persistent_reserve_out(struct scsi_controller *controller, struct scsi_request *request)
{
	uint32_t len = get_be32(&request->cdb[5]);

	(void)controller;
	if (has_scope(request->cdb[1] & SCSI_SERVICE_ACTION_MASK) && (request->cdb[2] & SCSI_PRO_SCOPE))
		scsi_invalid_field(request, 2, 7);
	else if (len != SCSI_PRO_LIST_LEN || request->data_len < len)
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_PARAMETER_LIST_LENGTH_ERROR);
	else
		scsi_lane_enter(request, reserve_step);
}
