/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsp-storaged that dies at each place of base/death.h in turn, over a fake guest: whatever it dies of, every request
 * is completed exactly once and brings what it must, and the image holds what was written.
 *
 * Usage: test_deaths [PLAN]...   a PLAN is a value of BULKHEAD_DEATHS; without: each point alone, at its first and at
 * its fifth passage, and, with BULKHEAD_CHECK_LONG=1, each followed by each point of the recovery.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/ring.h"
#include "abi/scsi.h"
#include "abi/vstor.h"
#include "base/bytes.h"
#include "base/death.h"
#include "base/fd.h"
#include "fake_storage.h"
#include "life.h"
#include "vsp/stats_read.h"

#define PROGRAM	     "tests/deaths/vsp-storaged-deaths"
#define DISK_LEN     (1u << 20)
#define IO_LEN	     4096u
#define BURST	     48u /* more than a ring of one page holds */
#define ROUNDS	     3u
#define RING_PAGES   2u
#define CONTROL_ID   1000u
#define SWAP_ID	     999u
#define SWAP_AT	     (DISK_LEN - 512u) /* a block that COMPARE AND WRITE counts up */
#define RESERVE_ID   998u
#define SWAP_OUTCOME 6u /* its first outcome is that of the sixth request */

/* Everything of one run. */
static struct {
	struct fake_guest guest;
	struct fake_channel peer;
	struct life life;
	int image, reservations;
	uint64_t key; /* with which it is registered */
	uint32_t refused;
	bool poison; /* successors are cautious: one request is refused, and sent again */
	int refused_id;
	uint64_t page[BURST], swap_page;
	bool hearing; /* a unit attention */
	bool in_flight[CONTROL_ID + 1];
	unsigned int waiting;
	struct vstor_packet answer;
	uint8_t model[DISK_LEN];
} run;

static void fail(const char *what, unsigned long number)
{
	life_fail(&run.life, what, number);
}

static bool wait_for(bool (*done)(void), const char *what)
{
	return life_wait_for(&run.life, done, what);
}

/* ---- the guest ---- */

static void receive(void)
{
	struct fake_packet packet;

	while (fake_get(&run.peer, &packet) == 0) {
		if (packet.type != VMPACKET_COMPLETION || packet.transaction_id > CONTROL_ID ||
		    !run.in_flight[packet.transaction_id]) {
			fail("a completion of what is not in flight", packet.transaction_id);
			continue;
		}
		run.in_flight[packet.transaction_id] = false;
		run.waiting--;
		memcpy(&run.answer, packet.payload, sizeof(run.answer));
		if (run.answer.status == 0 || run.hearing)
			continue;
		if (!run.poison || run.refused++ > 0 || run.answer.vm_srb.scsi_status != SCSI_STATUS_CHECK_CONDITION)
			fail("a request failed", packet.transaction_id);
		run.refused_id = (int)packet.transaction_id;
	}
}

static bool all_answered(void)
{
	receive();
	return run.waiting == 0;
}

static void sent(uint64_t id)
{
	if (run.in_flight[id])
		abort();
	run.in_flight[id] = true;
	run.waiting++;
}

static bool control(uint32_t operation, uint16_t version)
{
	struct vstor_packet packet = {.operation = operation, .flags = VSTOR_REQUEST_COMPLETION_FLAG};

	packet.version.major_minor = version;
	if (fake_put_inband(&run.peer, CONTROL_ID, &packet, sizeof(packet)) < 0)
		abort();
	sent(CONTROL_ID);
	return wait_for(all_answered, "a control message is not answered");
}

/* The disk says first that it was powered on; once, however often its service dies. */
static bool hear_power_on(void)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_EXECUTE_SRB,
				      .flags = VSTOR_REQUEST_COMPLETION_FLAG,
				      .vm_srb.cdb_length = 6,
				      .vm_srb.sense_info_length = 20};
	bool ok;

	if (fake_put_inband(&run.peer, CONTROL_ID, &packet, sizeof(packet)) < 0)
		abort();
	run.hearing = true;
	sent(CONTROL_ID);
	ok = wait_for(all_answered, "TEST UNIT READY is not answered");
	run.hearing = false;
	if (ok && (run.answer.vm_srb.scsi_status != SCSI_STATUS_CHECK_CONDITION ||
		   run.answer.vm_srb.sense_data[12] != SCSI_ASC_POWER_ON_OCCURRED >> 8))
		fail("the disk was not powered on", run.answer.vm_srb.scsi_status);
	return ok;
}

/* What would fail if it were done twice: it compares with what the round before has written. */
static bool swap(void)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_EXECUTE_SRB, .flags = VSTOR_REQUEST_COMPLETION_FLAG};
	struct vmscsi_request *srb = &packet.vm_srb;
	uint8_t *page = fake_guest_ptr(&run.guest, run.swap_page);

	memcpy(page, run.model + SWAP_AT, 512);
	memcpy(page + 512, run.model + SWAP_AT, 512);
	page[512]++;
	run.model[SWAP_AT]++;
	srb->cdb_length = 16;
	srb->sense_info_length = 20;
	srb->data_in = VSTOR_DATA_OUT;
	srb->data_transfer_length = 1024;
	srb->cdb[0] = SCSI_COMPARE_AND_WRITE;
	put_be64(&srb->cdb[2], SWAP_AT / 512);
	srb->cdb[13] = 1;
	if (fake_put_pages(&run.peer, SWAP_ID, &run.swap_page, 1, 0, 1024, &packet, sizeof(packet)) < 0)
		abort();
	sent(SWAP_ID);
	return wait_for(all_answered, "COMPARE AND WRITE is not answered");
}

/* The same: each time it must name the key that the time before has left. */
static bool reserve(void)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_EXECUTE_SRB, .flags = VSTOR_REQUEST_COMPLETION_FLAG};
	struct vmscsi_request *srb = &packet.vm_srb;
	uint8_t *page = fake_guest_ptr(&run.guest, run.swap_page);

	memset(page, 0, SCSI_PRO_LIST_LEN);
	put_be64(page, run.key);
	put_be64(page + 8, ++run.key);
	srb->cdb_length = 10;
	srb->sense_info_length = 20;
	srb->data_in = VSTOR_DATA_OUT;
	srb->data_transfer_length = SCSI_PRO_LIST_LEN;
	srb->cdb[0] = SCSI_PERSISTENT_RESERVE_OUT;
	srb->cdb[1] = SCSI_PRO_REGISTER;
	put_be32(&srb->cdb[5], SCSI_PRO_LIST_LEN);
	if (fake_put_pages(&run.peer, RESERVE_ID, &run.swap_page, 1, 0, SCSI_PRO_LIST_LEN, &packet, sizeof(packet)) < 0)
		abort();
	sent(RESERVE_ID);
	return wait_for(all_answered, "PERSISTENT RESERVE OUT is not answered");
}

static void put(uint32_t i, uint8_t opcode)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_EXECUTE_SRB, .flags = VSTOR_REQUEST_COMPLETION_FLAG};
	struct vmscsi_request *srb = &packet.vm_srb;

	srb->cdb_length = 10;
	srb->sense_info_length = 20;
	srb->data_in = opcode == SCSI_WRITE_10 ? VSTOR_DATA_OUT : VSTOR_DATA_IN;
	srb->data_transfer_length = IO_LEN;
	srb->cdb[0] = opcode;
	put_be32(&srb->cdb[2], i * (IO_LEN / 512));
	put_be16(&srb->cdb[7], IO_LEN / 512);
	while (fake_put_pages(&run.peer, i, &run.page[i], 1, 0, IO_LEN, &packet, sizeof(packet)) == -EAGAIN) {
		life_step(&run.life);
		receive();
		if (run.life.failures)
			return;
	}
	sent(i);
}

static bool burst(uint8_t opcode)
{
	run.refused_id = -1;
	for (uint32_t i = 0; i < BURST && !run.life.failures; i++)
		put(i, opcode);
	if (!wait_for(all_answered, "requests are not answered"))
		return false;
	if (run.refused_id < 0)
		return true;
	put((uint32_t)run.refused_id, opcode);
	return wait_for(all_answered, "the refused request is not answered");
}

static void check_pages(void)
{
	for (uint32_t i = 0; i < BURST; i++)
		if (memcmp(fake_guest_ptr(&run.guest, run.page[i]), run.model + (size_t)i * IO_LEN, IO_LEN) != 0)
			fail("a read brought something else, block", i);
}

static bool one_round(unsigned int round)
{
	if (!run.poison && !(swap() && reserve()))
		return false;
	for (uint32_t i = 0; i < BURST; i++) {
		memset(run.model + (size_t)i * IO_LEN, (int)(round * 61 + i + 1), IO_LEN);
		memcpy(fake_guest_ptr(&run.guest, run.page[i]), run.model + (size_t)i * IO_LEN, IO_LEN);
	}
	if (!burst(SCSI_WRITE_10))
		return false;
	for (uint32_t i = 0; i < BURST; i++)
		memset(fake_guest_ptr(&run.guest, run.page[i]), 0xee, IO_LEN);
	if (!burst(SCSI_READ_10))
		return false;
	check_pages();
	return true;
}

static bool shake_hands(void)
{
	return life_open(&run.life) && control(VSTOR_OPERATION_BEGIN_INITIALIZATION, 0) &&
	       control(VSTOR_OPERATION_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_WIN10) &&
	       control(VSTOR_OPERATION_QUERY_PROPERTIES, 0) && control(VSTOR_OPERATION_END_INITIALIZATION, 0) &&
	       hear_power_on();
}

/* ---- one run ---- */

static void set_up(const char *plan)
{
	const char *dir = getenv("TMPDIR");
	char path[256];

	memset(&run, 0, sizeof(run));
	run.life.program = PROGRAM;
	run.life.plan = plan;
	run.life.peer = &run.peer;
	snprintf(path, sizeof(path), "%s/deaths-XXXXXX", dir ? dir : "/tmp");
	run.image = mkostemp(path, O_CLOEXEC);
	run.reservations = open(dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (run.image < 0 || run.reservations < 0 || unlink(path) < 0 || ftruncate(run.image, DISK_LEN) < 0 ||
	    loop_new(&run.life.loop) < 0)
		abort();
	fake_guest_init(&run.guest, 4u << 20, 2);
	fake_channel_init(&run.peer, &run.guest, 9, 0, RING_PAGES);
	for (uint32_t i = 0; i < BURST; i++)
		run.page[i] = fake_guest_alloc(&run.guest, 1);
	run.swap_page = fake_guest_alloc(&run.guest, 1);
	run.life.worker = fake_storage_new_shared(run.life.loop, &run.guest, 7, run.image, run.reservations, 1, NULL);
}

static void tear_down(void)
{
	life_end(&run.life);
	fake_worker_free(run.life.worker);
	fake_channel_done(&run.peer);
	fake_guest_done(&run.guest);
	loop_free(run.life.loop);
	close(run.image);
	close(run.reservations);
}

static void check_image(void)
{
	static uint8_t disk[DISK_LEN];

	if (fd_read_full(run.image, disk, sizeof(disk), 0) < 0 || memcmp(disk, run.model, sizeof(disk)) != 0)
		fail("the image holds something else", 0);
}

static void check_class(const struct stats_requests *class, uint64_t reqs, uint64_t bytes, const char *what)
{
	if (class->reqs != reqs || class->bytes != bytes || class->errors != 0)
		fail(what, (unsigned long)class->reqs);
	if (class->timed > class->reqs)
		fail("more times than requests", (unsigned long)class->timed);
}

/* Whoever died when: each request is counted once. */
static void check_statistics(void)
{
	const uint64_t each = (ROUNDS + 1) * BURST, swaps = run.poison ? 0 : ROUNDS + 1;
	struct stats_copy copy;

	if (stats_read(fake_worker_kept(run.life.worker, STATS_KEY), &copy) < 0) {
		fail("there are no statistics", 0);
		return;
	}
	if (copy.units == 1) {
		const struct stats_unit_copy *unit = copy.unit;

		check_class(&unit->class[STATS_DISK_READ], each, each * IO_LEN, "reads counted");
		check_class(&unit->class[STATS_DISK_WRITE], each + swaps, each * IO_LEN + swaps * 1024,
			    "writes counted");
		check_class(&unit->class[STATS_DISK_OTHER], 1 + swaps, 0, "other commands counted");
		if (unit->queue != 0)
			fail("requests counted as under way", unit->queue);
	} else {
		fail("disks counted", copy.units);
	}
	stats_copy_done(&copy);
}

/* Return: whether all was well. */
static bool run_plan(const char *text, bool poison, bool *ret_never)
{
	bool ok;

	set_up(text);
	run.life.poison = run.poison = poison;
	life_spawn(&run.life);
	ok = shake_hands();
	for (unsigned int round = 0; ok && round < ROUNDS; round++)
		ok = one_round(round);
	if (ok) {
		life_hand_over(&run.life);
		ok = one_round(ROUNDS);
	}
	if (ok)
		check_image();
	if (ok)
		check_statistics();
	ok = ok && run.life.failures == 0;
	*ret_never = ok && run.life.deaths < life_planned(&run.life);
	if (ok && run.life.deaths > life_planned(&run.life)) {
		fail("died more often than it should", run.life.deaths);
		ok = false;
	}
	if (ok && poison && run.refused != 1) {
		fail("refused requests, not one", run.refused);
		ok = false;
	}
	printf("%s: %s: %u deaths, %u requests done again%s\n", ok ? "ok" : "FAIL", text, run.life.deaths,
	       run.life.replayed, *ret_never ? " (not passed so often)" : "");
	fflush(stdout);
	tear_down();
	return ok;
}

static bool is_of_recovery(size_t i)
{
	return strncmp(life_points[i], "recover-", 8) == 0;
}

/* A disk sends nothing by itself: test_deaths_own.c; it is no NIC: test_deaths_net.c. */
static bool is_of_own_packets(size_t i)
{
	return strncmp(life_points[i], "own-", 4) == 0 || strncmp(life_points[i], "net-", 4) == 0;
}

static bool run_one(const char *text, bool *ret_never)
{
	return run_plan(text, false, ret_never);
}

/* @first: points of a recovery are reached after a first death only. */
static bool run_point(const char *first, size_t i, unsigned int passage, bool must_pass)
{
	return life_run_point(run_one, first, life_points[i], passage, must_pass);
}

/* One replays for the second time what it died of, and the third refuses it. */
static bool run_poison(void)
{
	bool never;

	return run_plan("accept-cursor:9,recover-trial", true, &never) && !never;
}

static bool run_all(void)
{
	bool is_long = getenv("BULKHEAD_CHECK_LONG") && strcmp(getenv("BULKHEAD_CHECK_LONG"), "1") == 0;
	bool ok = run_poison() && run_point("", DEATH_AT_OUTCOME_REPLY, SWAP_OUTCOME, true);

	for (size_t i = 0; i < (size_t)LIFE_POINTS; i++) {
		if (i == DEATH_AT_RECOVER_TRIAL || is_of_own_packets(i)) /* the first: the cautious only */
			continue;
		if (i == DEATH_AT_RESERVE_FOUND) {
			ok &= run_point("reserve-written:1", i, 1, true);
			ok &= run_point("reserve-synced:2", i, 1, true);
		} else if (is_of_recovery(i)) {
			ok &= run_point("accept-cursor:30", i, 1, true);
			ok &= run_point("commit-valid:3", i, 1, false);
		} else {
			ok &= run_point("", i, 1, true);
			ok &= run_point("", i, 5, false);
		}
		for (size_t j = 0;
		     is_long && !is_of_recovery(i) && i != DEATH_AT_RESERVE_FOUND && j < (size_t)LIFE_POINTS; j++)
			if (is_of_recovery(j) && j != DEATH_AT_RECOVER_TRIAL)
				ok &= run_point(life_points[i], j, 1, false);
	}
	return ok;
}

int main(int argc, char **argv)
{
	return life_main(argc, argv, run_one, run_all);
}
