/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that sends packets of its own, in memory that the guest has lent, and dies at each place of base/death.h in
 * turn: whatever it dies of, the guest sees each number once and in order, what it holds does not change under it, and
 * at the end every section is the device's again.
 *
 * Usage: test_deaths_own [PLAN]...   as test_deaths
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/ring.h"
#include "base/bytes.h"
#include "base/death.h"
#include "life.h"
#include "vsp_own.h"

#define PROGRAM	   "tests/deaths/vsp-own-deaths"
#define RING_PAGES 2u
#define ROUNDS	   3u
#define PER_ROUND  150u /* more than sections */
#define GPADL	   0xe1e20u
#define REQUEST_ID 77u

/* Everything of one run. */
static struct {
	struct fake_guest guest;
	struct fake_channel peer;
	struct life life;
	uint64_t lent[2];		/* pages */
	uint64_t number, target;	/* of the last packet that came, and that is to come */
	uint64_t section[OWN_SECTIONS]; /* packet that holds it; 0: it is the device's */
	uint32_t held;
	bool in_flight;
	struct own_packet answer;
} run;

static void fail(const char *what, unsigned long number)
{
	life_fail(&run.life, what, number);
}

/* ---- the guest ---- */

static uint64_t stamp(uint64_t section)
{
	uint64_t at = section * OWN_SECTION;

	return get_le64(fake_guest_ptr(&run.guest, run.lent[at / GUEST_PAGE_SIZE] + at % GUEST_PAGE_SIZE));
}

static void take_pages(const struct fake_packet *packet)
{
	const struct transfer_page_header *header = (const struct transfer_page_header *)packet->header;
	uint64_t section = header->range[0].byte_offset / OWN_SECTION;

	if (packet->transaction_id != run.number + 1)
		fail("a number twice, or one that is missing", packet->transaction_id);
	run.number = packet->transaction_id;
	if (header->page_set_id != OWN_BUFFER || header->range_count != 1 || section >= OWN_SECTIONS ||
	    get_le64(packet->payload) != section) {
		fail("a packet of nowhere", section);
		return;
	}
	if (run.section[section])
		fail("a section twice", section);
	if (stamp(section) != run.number)
		fail("a section holds something else", section);
	run.section[section] = run.number;
	run.held++;
}

static void receive(void)
{
	struct fake_packet packet;

	while (fake_get(&run.peer, &packet) == 0) {
		if (packet.type == VMPACKET_DATA_TRANSFER_PAGES) {
			take_pages(&packet);
		} else if (packet.type == VMPACKET_COMPLETION && packet.transaction_id == REQUEST_ID && run.in_flight) {
			run.in_flight = false;
			memcpy(&run.answer, packet.payload, sizeof(run.answer));
		} else {
			fail("a packet out of place", packet.type);
		}
	}
}

/* @most of what it holds, from the end; as much as the ring takes. */
static void give_back(uint32_t most)
{
	for (uint32_t i = OWN_SECTIONS; i > 0 && most > 0; i--) {
		uint64_t *held = &run.section[i - 1];

		if (!*held)
			continue;
		if (stamp(i - 1) != *held)
			fail("a section changed under the guest", i - 1);
		if (fake_put_completion(&run.peer, *held, "ok", 2) < 0)
			return;
		*held = 0;
		run.held--;
		most--;
	}
}

static bool all_came(void)
{
	receive();
	/* it works with some of them for a while */
	give_back((run.held + 1) / 2);
	return run.number == run.target && !run.in_flight;
}

static bool answered(void)
{
	receive();
	return !run.in_flight;
}

static bool nothing_held(void)
{
	receive();
	give_back(run.held);
	return run.held == 0;
}

static void ask(uint64_t command, uint64_t value)
{
	const struct own_packet packet = {command, value};

	run.in_flight = true;
	while (fake_put_inband(&run.peer, REQUEST_ID, &packet, sizeof(packet)) == -EAGAIN && !run.life.failures)
		life_step(&run.life);
}

static bool lend(void)
{
	ask(OWN_LEND, GPADL);
	if (!life_wait_for(&run.life, answered, "what is lent is not taken"))
		return false;
	if (run.answer.value)
		fail("what is lent is refused", run.answer.value);
	return true;
}

static bool one_round(void)
{
	run.target += PER_ROUND;
	ask(OWN_SEND, run.target);
	return life_wait_for(&run.life, all_came, "packets do not come");
}

static bool count_sections(void)
{
	if (!life_wait_for(&run.life, nothing_held, "completions find no room"))
		return false;
	ask(OWN_COUNT, 0);
	if (!life_wait_for(&run.life, answered, "the sections are not counted"))
		return false;
	if (run.answer.value)
		fail("sections are lost", run.answer.value);
	return true;
}

/* ---- one run ---- */

static void set_up(const char *plan)
{
	const struct fake_provider provider = {.name = OWN_PROVIDER};
	struct guest_range ranges[2];

	memset(&run, 0, sizeof(run));
	run.life.program = PROGRAM;
	run.life.plan = plan;
	run.life.peer = &run.peer;
	if (loop_new(&run.life.loop) < 0)
		abort();
	fake_guest_init(&run.guest, 4u << 20, 2);
	fake_channel_init(&run.peer, &run.guest, 9, 0, RING_PAGES);
	run.lent[1] = fake_guest_alloc(&run.guest, 1);
	run.lent[0] = fake_guest_alloc(&run.guest, 1);
	for (int i = 0; i < 2; i++)
		ranges[i] = (struct guest_range){run.lent[i], GUEST_PAGE_SIZE};
	run.life.worker = fake_worker_new(run.life.loop, &run.guest, &provider);
	fake_worker_lend(run.life.worker, GPADL, ranges, 2);
}

static void tear_down(void)
{
	life_end(&run.life);
	fake_worker_free(run.life.worker);
	fake_channel_done(&run.peer);
	fake_guest_done(&run.guest);
	loop_free(run.life.loop);
}

/* Return: whether all was well. */
static bool run_plan(const char *plan, bool *ret_never)
{
	unsigned int planned;
	bool ok;

	set_up(plan);
	planned = life_planned(&run.life);
	life_spawn(&run.life);
	ok = life_open(&run.life) && lend();
	for (unsigned int round = 0; ok && round < ROUNDS; round++)
		ok = one_round();
	if (ok) {
		life_hand_over(&run.life);
		ok = one_round() && count_sections();
	}
	ok = ok && run.life.failures == 0;
	*ret_never = ok && run.life.deaths < planned;
	if (ok && run.life.deaths > planned) {
		fail("died more often than it should", run.life.deaths);
		ok = false;
	}
	printf("%s: %s: %u deaths, %llu packets%s\n", ok ? "ok" : "FAIL", plan, run.life.deaths,
	       (unsigned long long)run.number, *ret_never ? " (not passed so often)" : "");
	fflush(stdout);
	tear_down();
	return ok;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* What only a disk or a NIC passes, or who is cautious. */
static bool is_of_others(const char *point)
{
	return begins(point, "stats-") || begins(point, "reserve-") || begins(point, "net-") ||
	       !strcmp(point, "marked") || !strcmp(point, "recover-trial");
}

static bool run_point(const char *first, const char *point, unsigned int passage, bool must_pass)
{
	return life_run_point(run_plan, first, point, passage, must_pass);
}

static bool run_all(void)
{
	bool is_long = getenv("BULKHEAD_CHECK_LONG") && strcmp(getenv("BULKHEAD_CHECK_LONG"), "1") == 0;
	bool ok = true;

	for (size_t i = 0; i < (size_t)LIFE_POINTS; i++) {
		const bool own = begins(life_points[i], "own-"), recovery = begins(life_points[i], "recover-");

		if (is_of_others(life_points[i]))
			continue;
		if (recovery) {
			ok &= run_point("own-freed:30", life_points[i], 1,
					strcmp(life_points[i], "recover-replay") != 0);
			ok &= run_point("own-table:95", life_points[i], 1, false);
			continue;
		}
		ok &= run_point("", life_points[i], 1, true);
		/* of batches there are fewer where the machine is slow */
		if (own || begins(life_points[i], "commit-"))
			ok &= run_point("", life_points[i], own ? 40 : 5,
					i >= DEATH_AT_OWN_WRITTEN && i <= DEATH_AT_OWN_FREED);
		for (size_t j = 0; own && j < (size_t)LIFE_POINTS; j++)
			if (begins(life_points[j], is_long ? "recover-" : "own-") && !is_of_others(life_points[j]))
				ok &= run_point(life_points[i], life_points[j], 3, false);
	}
	return ok;
}

int main(int argc, char **argv)
{
	return life_main(argc, argv, run_plan, run_all);
}
