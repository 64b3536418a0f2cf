/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reservations allow, and what each service action of PERSISTENT RESERVE OUT makes of them. Pure.
 *
 * Theory of operation: an order is applied to a copy of the state; that copy becomes the state only if the order is
 * carried out. Each service action is a row of the table at the end. What others are to hear of it is collected for
 * each nexus: the last word is the one that counts. Spec: SPC-4 5.13 (r36).
 *
 * Limits: one target port, one logical unit scope; no REGISTER AND MOVE, no REPLACE LOST RESERVATION.
 */
#include <string.h>

#include "abi/scsi.h"
#include "base/bytes.h"
#include "reservation.h"

#define QUALIFIER(asc) ((uint8_t)((asc)&0xff))

/* ---- what is allowed ---- */

/* For who does not have the reservation. Bit n: access n is refused. */
#define NO(access) (1u << (access))

static const struct {
	bool known;
	uint8_t registered, others;
} refusals[] = {
	[RESERVATION_NONE] = {false, 0, 0},
	[RESERVATION_WRITE_EXCLUSIVE] = {true, NO(RESERVATION_WRITES), NO(RESERVATION_WRITES)},
	[RESERVATION_EXCLUSIVE_ACCESS] = {true, NO(RESERVATION_WRITES) | NO(RESERVATION_READS),
					  NO(RESERVATION_WRITES) | NO(RESERVATION_READS)},
	[RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS] = {true, 0, NO(RESERVATION_WRITES)},
	[RESERVATION_EXCLUSIVE_ACCESS_REGISTRANTS] = {true, 0, NO(RESERVATION_WRITES) | NO(RESERVATION_READS)},
	[RESERVATION_WRITE_EXCLUSIVE_ALL] = {true, 0, NO(RESERVATION_WRITES)},
	[RESERVATION_EXCLUSIVE_ACCESS_ALL] = {true, 0, NO(RESERVATION_WRITES) | NO(RESERVATION_READS)},
};

bool reservation_known_type(uint8_t type)
{
	return type < ARRAY_SIZE(refusals) && refusals[type].known;
}

static bool registered(const struct reservation_state *state, uint8_t nexus)
{
	return state->nexus[nexus].key != 0;
}

bool reservation_holds(const struct reservation_state *state, uint8_t nexus)
{
	return reservation_of_all(state->type) ? registered(state, nexus)
					       : state->type != RESERVATION_NONE && state->holder == nexus;
}

bool reservation_allows(const struct reservation_state *state, uint8_t nexus, enum reservation_access access)
{
	uint8_t refused = registered(state, nexus) ? refusals[state->type].registered : refusals[state->type].others;

	return reservation_holds(state, nexus) || !(refused & NO(access));
}

/* ---- what becomes of it ---- */

/* An order under way. */
struct change {
	struct reservation_state state;
	const struct reservation_order *order;
	uint8_t nexus; /* whose order it is */
	uint8_t *news;
};

static void tell(struct change *change, size_t nexus, uint16_t asc)
{
	if (nexus != change->nexus && change->state.nexus[nexus].used)
		change->news[nexus] = QUALIFIER(asc);
}

static void tell_registered(struct change *change, uint16_t asc)
{
	for (size_t i = 0; i < RESERVATION_NEXUSES; i++)
		if (change->state.nexus[i].key)
			tell(change, i, asc);
}

static void release(struct change *change)
{
	change->state.type = RESERVATION_NONE;
	change->state.holder = RESERVATION_NOBODY;
}

static void reserve(struct change *change, uint8_t type)
{
	change->state.type = type;
	change->state.holder = reservation_of_all(type) ? RESERVATION_NOBODY : change->nexus;
}

static bool any_left(const struct reservation_state *state)
{
	for (size_t i = 0; i < RESERVATION_NEXUSES; i++)
		if (state->nexus[i].key)
			return true;
	return false;
}

/* One registration less; a reservation that nobody has any more is released. */
static void unregister(struct change *change, size_t nexus)
{
	struct reservation_state *state = &change->state;
	uint8_t type = state->type;

	state->nexus[nexus].key = 0;
	if (reservation_of_all(type) ? any_left(state) : state->holder != nexus)
		return;
	if (type == RESERVATION_NONE)
		return;
	release(change);
	if (reservation_of_registrants(type))
		tell_registered(change, SCSI_ASC_RESERVATIONS_RELEASED);
}

static enum reservation_verdict do_register(struct change *change)
{
	const struct reservation_order *order = change->order;
	struct reservation_nexus *us = &change->state.nexus[change->nexus];

	if (order->action == SCSI_PRO_REGISTER && order->key != us->key)
		return RESERVATION_CONFLICT;
	if (!order->action_key && !us->key)
		return RESERVATION_UNCHANGED;
	if (order->action_key)
		us->key = order->action_key;
	else
		unregister(change, change->nexus);
	change->state.aptpl = order->aptpl;
	change->state.pr_generation++;
	return RESERVATION_DONE;
}

static enum reservation_verdict do_reserve(struct change *change)
{
	const struct reservation_state *state = &change->state;
	uint8_t type = change->order->type;

	if (!reservation_known_type(type))
		return RESERVATION_BAD_TYPE;
	if (state->type != RESERVATION_NONE)
		return reservation_holds(state, change->nexus) && state->type == type ? RESERVATION_UNCHANGED
										      : RESERVATION_CONFLICT;
	reserve(change, type);
	return RESERVATION_DONE;
}

static enum reservation_verdict do_release(struct change *change)
{
	uint8_t type = change->state.type;

	if (!reservation_holds(&change->state, change->nexus))
		return RESERVATION_UNCHANGED;
	if (change->order->type != type)
		return RESERVATION_BAD_RELEASE;
	release(change);
	if (reservation_of_registrants(type) || reservation_of_all(type))
		tell_registered(change, SCSI_ASC_RESERVATIONS_RELEASED);
	return RESERVATION_DONE;
}

static enum reservation_verdict do_clear(struct change *change)
{
	tell_registered(change, SCSI_ASC_RESERVATIONS_PREEMPTED);
	for (size_t i = 0; i < RESERVATION_NEXUSES; i++)
		change->state.nexus[i].key = 0;
	release(change);
	change->state.pr_generation++;
	return RESERVATION_DONE;
}

/* Registrations with @key go, 0: all; but for ours if @spare_us. Return: how many there were. */
static unsigned int remove_key(struct change *change, uint64_t key, bool spare_us)
{
	struct reservation_state *state = &change->state;
	unsigned int removed = 0;

	for (size_t i = 0; i < RESERVATION_NEXUSES; i++) {
		if (!state->nexus[i].key || (key && state->nexus[i].key != key) || (spare_us && i == change->nexus))
			continue;
		unregister(change, i);
		tell(change, i, SCSI_ASC_REGISTRATIONS_PREEMPTED);
		removed++;
	}
	return removed;
}

/* The reservation changes hands. */
static void take_over(struct change *change)
{
	uint8_t before = change->state.type;

	release(change);
	(void)remove_key(change, change->order->action_key, true);
	if (before != change->order->type && before != RESERVATION_WRITE_EXCLUSIVE &&
	    before != RESERVATION_EXCLUSIVE_ACCESS)
		tell_registered(change, SCSI_ASC_RESERVATIONS_RELEASED);
	reserve(change, change->order->type);
}

static enum reservation_verdict do_preempt(struct change *change)
{
	const struct reservation_state *state = &change->state;
	uint64_t key = change->order->action_key;
	bool all = reservation_of_all(state->type);

	if (!key && !all)
		return RESERVATION_BAD_KEY;
	if (all ? !key : state->type != RESERVATION_NONE && state->nexus[state->holder].key == key) {
		if (!reservation_known_type(change->order->type))
			return RESERVATION_BAD_TYPE;
		take_over(change);
	} else if (!remove_key(change, key, false)) {
		return RESERVATION_CONFLICT;
	}
	change->state.pr_generation++;
	return RESERVATION_DONE;
}

struct action {
	enum reservation_verdict (*apply)(struct change *change);
	bool registered; /* only with the key that this nexus is registered with */
};

static const struct action actions[] = {
	[SCSI_PRO_REGISTER] = {do_register, false},
	[SCSI_PRO_RESERVE] = {do_reserve, true},
	[SCSI_PRO_RELEASE] = {do_release, true},
	[SCSI_PRO_CLEAR] = {do_clear, true},
	[SCSI_PRO_PREEMPT] = {do_preempt, true},
	[SCSI_PRO_PREEMPT_AND_ABORT] = {do_preempt, true},
	[SCSI_PRO_REGISTER_AND_IGNORE] = {do_register, false},
};

enum reservation_verdict reservation_apply(struct reservation_state *state, uint8_t nexus,
					   const struct reservation_order *order, uint8_t ret_news[RESERVATION_NEXUSES])
{
	struct change change = {.state = *state, .order = order, .nexus = nexus, .news = ret_news};
	const struct action *action = &actions[order->action];
	uint64_t key = state->nexus[nexus].key;
	enum reservation_verdict verdict;

	memset(ret_news, 0, RESERVATION_NEXUSES);
	if (action->registered && (!key || order->key != key))
		return RESERVATION_CONFLICT;
	verdict = action->apply(&change);
	if (verdict == RESERVATION_DONE)
		*state = change.state;
	return verdict;
}

bool reservation_power_on(struct reservation_state *state, const uint8_t power[RESERVATION_ID_LEN])
{
	static const uint8_t unknown[RESERVATION_ID_LEN];

	if (!memcmp(power, unknown, RESERVATION_ID_LEN) || !memcmp(state->power, power, RESERVATION_ID_LEN))
		return false;
	memcpy(state->power, power, RESERVATION_ID_LEN);
	if (state->aptpl)
		return true;
	state->type = RESERVATION_NONE;
	state->holder = RESERVATION_NOBODY;
	state->pr_generation = 0;
	for (size_t i = 0; i < RESERVATION_NEXUSES; i++)
		state->nexus[i].key = 0;
	return true;
}
