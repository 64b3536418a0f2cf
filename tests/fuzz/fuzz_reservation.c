/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: a byte that says how many orders there are, orders of 20 bytes each (nexus, service action, type, APTPL, the
 * two keys), then a page of the file of reservations, the zeroes at its end left out. Where it is none, its first eight
 * bytes say who is registered with what. What the orders make of it must always be what can be written and read again.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "abi/scsi.h"
#include "base/bytes.h"
#include "daemons/vsp-storaged/reservation.h"

#define ORDER_LEN  20u
#define ORDERS_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct reservation_state *state)
{
	uint8_t page[RESERVATION_PAGE];
	struct reservation_state again;

	reservation_state_print(state, page);
	assert(reservation_state_parse(page, &again) == 0);
	assert(again.type == state->type && again.holder == state->holder && again.generation == state->generation);
	for (uint8_t i = 0; i < RESERVATION_NEXUSES; i++)
		if (reservation_holds(state, i))
			assert(reservation_allows(state, i, RESERVATION_WRITES));
}

static void apply(struct reservation_state *state, const uint8_t *order, size_t len)
{
	uint8_t news[RESERVATION_NEXUSES];

	for (unsigned int i = 0; i < ORDERS_MAX && len >= ORDER_LEN; i++, order += ORDER_LEN, len -= ORDER_LEN) {
		uint8_t nexus = order[0] % RESERVATION_NEXUSES;
		struct reservation_order o = {.action = order[1] % (SCSI_PRO_REGISTER_AND_IGNORE + 1),
					      .type = order[2],
					      .aptpl = order[3] & 1,
					      .key = get_be64(order + 4),
					      .action_key = get_be64(order + 12)};
		enum reservation_verdict verdict;

		if (!state->nexus[nexus].used)
			continue;
		verdict = reservation_apply(state, nexus, &o, news);
		assert(news[nexus] == 0);
		assert(verdict <= RESERVATION_BAD_RELEASE);
		check(state);
	}
}

/* The fields that no checksum guards: what a state that is printed from them reads as. */
static void from_fields(const uint8_t *data, struct reservation_state *state)
{
	*state = (struct reservation_state){.generation = 1, .holder = RESERVATION_NOBODY};
	for (uint8_t i = 0; i < 8; i++)
		state->nexus[i] = (struct reservation_nexus){.used = data[i] & 1, .vm = {i}, .key = data[i] >> 1};
	for (uint8_t i = 0; i < 8; i++)
		if (!state->nexus[i].used)
			state->nexus[i] = (struct reservation_nexus){0};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t page[RESERVATION_PAGE] = {0}, id[RESERVATION_ID_LEN];
	struct reservation_state state;
	size_t orders_len = len > 0 ? data[0] * (size_t)ORDER_LEN : 0;
	const uint8_t *orders = data + 1;
	int r;

	if (len < 1 + orders_len)
		return 0;
	memcpy(page, orders + orders_len, MIN(len - 1 - orders_len, sizeof(page)));
	(void)reservation_head_parse(page, id);
	r = reservation_state_parse(page, &state);
	assert(r == 0 || r == -EPROTO || r == -EPROTONOSUPPORT);
	if (r < 0)
		from_fields(page, &state);
	check(&state);
	apply(&state, orders, orders_len);
	return 0;
}
