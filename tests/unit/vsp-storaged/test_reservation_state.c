/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of reservations, each field made wrong; and what they allow, and become. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "abi/scsi.h"
#include "base/bytes.h"
#include "daemons/vsp-storaged/reservation.h"

#define NONE RESERVATION_NOBODY
#define A    0u
#define B    1u
#define C    2u

static struct reservation_state state;
static uint8_t bytes[RESERVATION_PAGE];
static uint8_t news[RESERVATION_NEXUSES];

/* Three who share the disk; A and B are registered. */
static void set_up(void)
{
	state = (struct reservation_state){.generation = 7, .pr_generation = 3, .holder = NONE};
	for (uint8_t i = 0; i < 3; i++) {
		state.nexus[i].used = true;
		state.nexus[i].vm[0] = i;
	}
	state.nexus[A].key = 0xa;
	state.nexus[B].key = 0xb;
}

TestSuite(reservation_state, .init = set_up, .timeout = 30);
TestSuite(reservation_rules, .init = set_up, .timeout = 30);

/* ---- bytes ---- */

static int parse(void)
{
	struct reservation_state got;

	return reservation_state_parse(bytes, &got);
}

Test(reservation_state, comes_back)
{
	struct reservation_state got;

	state.type = RESERVATION_WRITE_EXCLUSIVE;
	state.holder = B;
	state.aptpl = true;
	state.nexus[B].mark = 0x12345678;
	state.nexus[B].attention = 200;
	state.nexus[B].what = 5;
	memset(state.power, 0x5a, sizeof(state.power));
	reservation_state_print(&state, bytes);
	cr_assert_eq(reservation_state_parse(bytes, &got), 0);
	cr_assert(got.generation == 7 && got.pr_generation == 3 && got.type == 1 && got.holder == B && got.aptpl);
	cr_assert_eq(memcmp(&got.nexus[B], &state.nexus[B], sizeof(got.nexus[B])), 0);
	cr_assert_eq(memcmp(got.power, state.power, sizeof(got.power)), 0);
}

/* The last of three pages is as long as they go, and each may hold the reservation. */
Test(reservation_state, full)
{
	for (uint8_t i = 0; i < RESERVATION_NEXUSES; i++)
		state.nexus[i] = (struct reservation_nexus){.used = true, .vm = {i}, .key = i + 1u};
	state.type = RESERVATION_EXCLUSIVE_ACCESS;
	state.holder = RESERVATION_NEXUSES - 1;
	reservation_state_print(&state, bytes);
	cr_assert_eq(parse(), 0);
}

/* Every single byte counts: what is not in its place is found out by the checksum. */
Test(reservation_state, each_byte)
{
	reservation_state_print(&state, bytes);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 1;
		cr_assert_eq(parse(), -EPROTO, "byte %zu", i);
		bytes[i] ^= 1;
	}
	cr_assert_eq(parse(), 0);
}

/* What is whole, and wrong all the same: as somebody writes it who knows the checksum. */
static void wrong_type(void)
{
	state.type = 2;
}
static void wrong_high_type(void)
{
	state.type = 9;
}
static void wrong_generation(void)
{
	state.generation = 0;
}
static void wrong_holder_of_none(void)
{
	state.holder = A;
}
static void wrong_no_holder(void)
{
	state.type = 1;
}
static void wrong_far_holder(void)
{
	state.type = 1, state.holder = RESERVATION_NEXUSES;
}
static void wrong_free_holder(void)
{
	state.type = 1, state.holder = 5;
}
static void wrong_unregistered_holder(void)
{
	state.type = 1, state.holder = C;
}
static void wrong_holder_of_all(void)
{
	state.type = 7, state.holder = A;
}
static void wrong_all_of_none(void)
{
	state.type = 7, state.nexus[A].key = state.nexus[B].key = 0;
}
static void wrong_twins(void)
{
	state.nexus[C].vm[0] = 1;
}
static void wrong_news(void)
{
	state.nexus[C].what = 6;
}

Test(reservation_state, each_field)
{
	static void (*const wrongs[])(void) = {
		wrong_type,	     wrong_high_type,	wrong_generation,  wrong_holder_of_none,
		wrong_no_holder,     wrong_far_holder,	wrong_free_holder, wrong_unregistered_holder,
		wrong_holder_of_all, wrong_all_of_none, wrong_twins,	   wrong_news,
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
		set_up();
		wrongs[i]();
		reservation_state_print(&state, bytes);
		cr_assert_eq(parse(), -EPROTO, "%zu", i);
	}
}

Test(reservation_state, head)
{
	const uint8_t id[RESERVATION_ID_LEN] = "a disk's name..";
	uint8_t got[RESERVATION_ID_LEN];

	memset(bytes, 0, sizeof(bytes));
	cr_assert_eq(reservation_head_parse(bytes, got), -ENODATA);
	reservation_head_print(id, bytes);
	cr_assert_eq(reservation_head_parse(bytes, got), 0);
	cr_assert_eq(memcmp(id, got, sizeof(id)), 0);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 0x80;
		cr_assert_eq(reservation_head_parse(bytes, got), -EPROTO, "byte %zu", i);
		bytes[i] ^= 0x80;
	}
}

/* ---- what is allowed ---- */

Test(reservation_rules, allowed)
{
	/* by type; who holds it, who is registered, who is neither; what of writes, reads, the rest */
	static const struct {
		uint8_t type;
		const char *holder, *registered, *other;
	} rows[] = {
		{RESERVATION_NONE, "wr-", "wr-", "wr-"},
		{RESERVATION_WRITE_EXCLUSIVE, "wr-", " r-", " r-"},
		{RESERVATION_EXCLUSIVE_ACCESS, "wr-", "  -", "  -"},
		{RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS, "wr-", "wr-", " r-"},
		{RESERVATION_EXCLUSIVE_ACCESS_REGISTRANTS, "wr-", "wr-", "  -"},
		{RESERVATION_WRITE_EXCLUSIVE_ALL, "wr-", "wr-", " r-"},
		{RESERVATION_EXCLUSIVE_ACCESS_ALL, "wr-", "wr-", "  -"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *who[] = {rows[i].holder, rows[i].registered, rows[i].other};

		state.type = rows[i].type;
		state.holder = state.type == RESERVATION_NONE || reservation_of_all(state.type) ? NONE : A;
		for (uint8_t nexus = A; nexus <= C; nexus++)
			for (unsigned int access = 0; access < RESERVATION_ACCESSES; access++)
				cr_assert_eq(reservation_allows(&state, nexus, (enum reservation_access)access),
					     who[nexus][access] != ' ', "type %u, nexus %u, access %u", rows[i].type,
					     nexus, access);
	}
}

/* ---- what becomes of it ---- */

static enum reservation_verdict order(uint8_t nexus, uint8_t action, uint8_t type, uint64_t key, uint64_t action_key)
{
	struct reservation_order o = {.action = action, .type = type, .key = key, .action_key = action_key};

	return reservation_apply(&state, nexus, &o, news);
}

Test(reservation_rules, register)
{
	cr_assert_eq(order(C, SCSI_PRO_REGISTER, 0, 1, 0xc), RESERVATION_CONFLICT, "it has no key");
	cr_assert_eq(order(C, SCSI_PRO_REGISTER, 0, 0, 0), RESERVATION_UNCHANGED);
	cr_assert_eq(state.pr_generation, 3);
	cr_assert_eq(order(C, SCSI_PRO_REGISTER, 0, 0, 0xc), RESERVATION_DONE);
	cr_assert_eq(order(C, SCSI_PRO_REGISTER, 0, 0, 0xcc), RESERVATION_CONFLICT);
	cr_assert_eq(order(C, SCSI_PRO_REGISTER, 0, 0xc, 0xcc), RESERVATION_DONE);
	cr_assert_eq(order(C, SCSI_PRO_REGISTER_AND_IGNORE, 0, 0x77, 0xccc), RESERVATION_DONE);
	cr_assert_eq(state.nexus[C].key, 0xccc);
	cr_assert_eq(order(C, SCSI_PRO_REGISTER, 0, 0xccc, 0), RESERVATION_DONE);
	cr_assert_eq(state.nexus[C].key, 0);
	cr_assert_eq(state.pr_generation, 7);
}

Test(reservation_rules, reserve_and_release)
{
	static const uint8_t types[] = {1, 3, 5, 6, 7, 8};

	cr_assert_eq(order(C, SCSI_PRO_RESERVE, 1, 0, 0), RESERVATION_CONFLICT, "not registered");
	cr_assert_eq(order(A, SCSI_PRO_RESERVE, 1, 0xb, 0), RESERVATION_CONFLICT, "another's key");
	cr_assert_eq(order(A, SCSI_PRO_RESERVE, 2, 0xa, 0), RESERVATION_BAD_TYPE);
	for (size_t i = 0; i < sizeof(types); i++) {
		bool all = types[i] >= 7;

		cr_assert_eq(order(A, SCSI_PRO_RESERVE, types[i], 0xa, 0), RESERVATION_DONE);
		cr_assert_eq(order(A, SCSI_PRO_RESERVE, types[i], 0xa, 0), RESERVATION_UNCHANGED);
		cr_assert_eq(order(A, SCSI_PRO_RESERVE, types[i] == 1 ? 3 : 1, 0xa, 0), RESERVATION_CONFLICT);
		cr_assert_eq(order(B, SCSI_PRO_RESERVE, types[i], 0xb, 0),
			     all ? RESERVATION_UNCHANGED : RESERVATION_CONFLICT);
		if (!all)
			cr_assert_eq(order(B, SCSI_PRO_RELEASE, types[i], 0xb, 0), RESERVATION_UNCHANGED);
		cr_assert_eq(order(A, SCSI_PRO_RELEASE, types[i] == 1 ? 3 : 1, 0xa, 0), RESERVATION_BAD_RELEASE);
		cr_assert_eq(order(A, SCSI_PRO_RELEASE, types[i], 0xa, 0), RESERVATION_DONE);
		cr_assert_eq(news[B], types[i] < 5 ? 0 : 4, "type %u", types[i]);
		cr_assert_eq(news[A], 0);
		cr_assert_eq(news[C], 0);
		cr_assert(state.type == RESERVATION_NONE && state.holder == NONE);
	}
	cr_assert_eq(order(A, SCSI_PRO_RELEASE, 1, 0xa, 0), RESERVATION_UNCHANGED, "there is none");
	cr_assert_eq(state.pr_generation, 3, "these do not count");
}

/* Who lets go of its registration lets go of its reservation. */
Test(reservation_rules, unregister)
{
	cr_assert_eq(order(A, SCSI_PRO_RESERVE, 5, 0xa, 0), RESERVATION_DONE);
	cr_assert_eq(order(A, SCSI_PRO_REGISTER, 0, 0xa, 0), RESERVATION_DONE);
	cr_assert(state.type == RESERVATION_NONE && news[B] == 4);
	cr_assert_eq(order(B, SCSI_PRO_RESERVE, 8, 0xb, 0), RESERVATION_DONE);
	cr_assert_eq(order(A, SCSI_PRO_REGISTER, 0, 0, 0xa), RESERVATION_DONE);
	cr_assert_eq(order(B, SCSI_PRO_REGISTER, 0, 0xb, 0), RESERVATION_DONE);
	cr_assert_eq(state.type, 8, "A is one of them");
	cr_assert_eq(order(A, SCSI_PRO_REGISTER, 0, 0xa, 0), RESERVATION_DONE);
	cr_assert_eq(state.type, RESERVATION_NONE);
}

Test(reservation_rules, clear)
{
	cr_assert_eq(order(B, SCSI_PRO_RESERVE, 1, 0xb, 0), RESERVATION_DONE);
	cr_assert_eq(order(C, SCSI_PRO_CLEAR, 0, 0, 0), RESERVATION_CONFLICT);
	cr_assert_eq(order(A, SCSI_PRO_CLEAR, 0, 0xa, 0), RESERVATION_DONE);
	cr_assert(state.type == RESERVATION_NONE && !state.nexus[A].key && !state.nexus[B].key);
	cr_assert(news[B] == 3 && news[A] == 0 && news[C] == 0);
	cr_assert_eq(state.pr_generation, 4);
}

Test(reservation_rules, preempt_registration)
{
	cr_assert_eq(order(A, SCSI_PRO_PREEMPT, 1, 0xa, 0), RESERVATION_BAD_KEY);
	cr_assert_eq(order(A, SCSI_PRO_PREEMPT, 1, 0xa, 0x99), RESERVATION_CONFLICT, "nobody has it");
	cr_assert_eq(order(A, SCSI_PRO_PREEMPT, 1, 0xa, 0xb), RESERVATION_DONE);
	cr_assert(state.type == RESERVATION_NONE && state.nexus[A].key && !state.nexus[B].key);
	cr_assert_eq(news[B], 5);
	cr_assert_eq(order(B, SCSI_PRO_PREEMPT, 1, 0xb, 0xa), RESERVATION_CONFLICT, "it is out");
	cr_assert_eq(state.pr_generation, 4);
}

Test(reservation_rules, preempt_reservation)
{
	cr_assert_eq(order(C, SCSI_PRO_REGISTER, 0, 0, 0xc), RESERVATION_DONE);
	cr_assert_eq(order(B, SCSI_PRO_RESERVE, 5, 0xb, 0), RESERVATION_DONE);
	cr_assert_eq(order(A, SCSI_PRO_PREEMPT_AND_ABORT, 4, 0xa, 0xb), RESERVATION_BAD_TYPE);
	cr_assert_eq(order(A, SCSI_PRO_PREEMPT_AND_ABORT, 1, 0xa, 0xb), RESERVATION_DONE);
	cr_assert(state.type == 1 && state.holder == A && !state.nexus[B].key && state.nexus[C].key);
	cr_assert_eq(news[B], 5, "preempted");
	cr_assert_eq(news[C], 4, "another type: released");
	/* Its own key: the registration stays. */
	cr_assert_eq(order(A, SCSI_PRO_PREEMPT, 3, 0xa, 0xa), RESERVATION_DONE);
	cr_assert(state.type == 3 && state.holder == A && state.nexus[A].key == 0xa);
}

Test(reservation_rules, preempt_all_registrants)
{
	cr_assert_eq(order(B, SCSI_PRO_RESERVE, 7, 0xb, 0), RESERVATION_DONE);
	cr_assert_eq(order(A, SCSI_PRO_PREEMPT, 1, 0xa, 0xb), RESERVATION_DONE, "one registration");
	cr_assert(state.type == 7 && !state.nexus[B].key);
	cr_assert_eq(order(B, SCSI_PRO_REGISTER, 0, 0, 0xb), RESERVATION_DONE);
	cr_assert_eq(order(A, SCSI_PRO_PREEMPT, 1, 0xa, 0), RESERVATION_DONE, "all of them");
	cr_assert(state.type == 1 && state.holder == A && !state.nexus[B].key);
}

Test(reservation_rules, power)
{
	const uint8_t power[RESERVATION_ID_LEN] = "another start..", again[RESERVATION_ID_LEN] = "and another one";

	state.aptpl = true;
	cr_assert_eq(order(A, SCSI_PRO_RESERVE, 1, 0xa, 0), RESERVATION_DONE);
	cr_assert(!reservation_power_on(&state, state.power));
	cr_assert(!reservation_power_on(&state, (const uint8_t[RESERVATION_ID_LEN]){0}), "the host does not tell");
	cr_assert(reservation_power_on(&state, power));
	cr_assert(state.type == 1 && state.nexus[A].key && state.pr_generation == 3, "it was to stay");
	state.aptpl = false;
	cr_assert(reservation_power_on(&state, again));
	cr_assert(state.type == 0 && state.holder == NONE && !state.nexus[A].key && state.pr_generation == 0);
	cr_assert(state.nexus[A].used);
}
