/* SPDX-License-Identifier: Apache-2.0 */
/* What a VSP counts of its channel, over a fake guest and a fake worker: a device that keeps requests until it is told.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "abi/ring.h"
#include "base/clock.h"
#include "vsp/stats_read.h"
#include "vsp_fixture.h"

#define SLOTS	   4u
#define RING_PAGES 5u
#define PAUSE_NS   (30 * NS_PER_MS)

static struct stats_unit *unit;

static struct vsp_request *kept[SLOTS];
static unsigned int kept_count;

static int dev_open(struct vsp_channel *channel, const uint8_t user_data[120])
{
	return 0;
}

static void dev_packet(struct vsp_channel *channel, struct vsp_request *request)
{
	cr_assert_null(request->account.unit);
	kept[kept_count++] = request;
}

static void dev_close(struct vsp_channel *channel)
{
}

static const struct vsp_device_ops ops = {
	.name = "keeper", .slots = SLOTS, .open = dev_open, .packet = dev_packet, .close = dev_close};

static void set_up(void)
{
	static const uint8_t place[STATS_PLACE_LEN];
	const struct fake_provider provider = {.name = "test", .vm_name = "vm1"};
	struct err err = {0};

	vf_init(4u << 20, RING_PAGES, &provider);
	vf_attach();
	cr_assert_eq(vsp_stats_begin(vsp, &err), 0, "%s", err.text);
	unit = stats_unit(vsp_stats(vsp), STATS_DISK, "sda", place, false);
	vf_offer("keeper0", &ops, NULL);
	cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
}

TestSuite(vsp_stats, .init = set_up, .fini = vf_done, .timeout = 30);

static void put(uint64_t id)
{
	static const uint8_t payload[8];

	cr_assert_eq(fake_put_inband(&peer, id, payload, sizeof(payload)), 0);
}

/* The oldest is done. */
static void complete(void)
{
	struct vsp_request *request = kept[0];

	memmove(&kept[0], &kept[1], --kept_count * sizeof(kept[0]));
	request->account = (struct stats_account){.unit = unit, .class = STATS_DISK_READ, .bytes = 512};
	vsp_complete(request, NULL, 0);
}

static bool has_taken(void *arg)
{
	return kept_count == *(unsigned int *)arg;
}

static void taken(unsigned int count)
{
	cr_assert_eq(fake_worker_run_until(worker, has_taken, &count), 0);
}

static void answered(uint64_t id)
{
	struct fake_packet packet;

	cr_assert_eq(fake_worker_get(worker, &peer, &packet), 0);
	cr_assert_eq(packet.transaction_id, id);
}

static struct stats_copy copy_of(void)
{
	struct stats_copy copy;

	cr_assert_eq(stats_read(fake_worker_kept(worker, STATS_KEY), &copy), 0);
	cr_assert_eq(copy.units, 1);
	cr_assert_eq(copy.channels, 1);
	return copy;
}

Test(vsp_stats, requests_and_their_channel)
{
	struct stats_copy copy;

	for (uint64_t i = 0; i < 3; i++)
		put(i);
	taken(3);
	for (uint64_t i = 0; i < 3; i++) {
		complete();
		answered(i);
	}
	copy = copy_of();
	cr_expect_eq(copy.unit[0].class[STATS_DISK_READ].reqs, 3);
	cr_expect_eq(copy.unit[0].class[STATS_DISK_READ].bytes, 1536);
	cr_expect_eq(copy.unit[0].class[STATS_DISK_READ].timed, 3);
	cr_expect_eq(copy.unit[0].class[STATS_DISK_WRITE].reqs, 0);
	cr_expect_str_eq(copy.channel[0].name, "keeper0");
	cr_expect_eq(copy.channel[0].requests, 3);
	cr_expect_eq(copy.channel[0].kicks, peer.kicks);
	cr_expect_geq(copy.channel[0].interrupts, 1);
	cr_expect_eq(copy.channel[0].interrupts + copy.channel[0].quiet, 3);
	stats_copy_done(&copy);
}

Test(vsp_stats, completed_together_counted_each)
{
	struct stats_copy copy;

	for (uint64_t i = 0; i < SLOTS; i++)
		put(i);
	taken(SLOTS);
	vsp_batch_begin(vsp);
	while (kept_count > 0)
		complete();
	vsp_batch_end(vsp);
	for (uint64_t i = 0; i < SLOTS; i++)
		answered(i);
	copy = copy_of();
	cr_expect_eq(copy.unit[0].class[STATS_DISK_READ].reqs, SLOTS);
	cr_expect_eq(copy.unit[0].class[STATS_DISK_READ].timed, SLOTS);
	stats_copy_done(&copy);
}

/* What is beyond the last free slot has been seen, and waits there. */
Test(vsp_stats, waiting_in_the_ring_is_time)
{
	const struct stats_class *class = &unit->class[STATS_DISK_READ];
	uint64_t wait;

	for (uint64_t i = 0; i < 2 * SLOTS; i++)
		put(i);
	taken(SLOTS);
	fake_worker_run(worker);
	usleep(PAUSE_NS / 1000);
	for (uint64_t i = 0; i < SLOTS; i++) {
		complete();
		answered(i);
	}
	wait = class->ns[STATS_WAIT];
	cr_expect_geq(class->ns[STATS_BACK_END], SLOTS * PAUSE_NS);
	taken(SLOTS);
	for (uint64_t i = SLOTS; i < 2 * SLOTS; i++) {
		complete();
		answered(i);
	}
	cr_expect_geq(class->ns[STATS_WAIT] - wait, SLOTS * PAUSE_NS);
	cr_expect_eq(class->timed, 2 * SLOTS);
}

/* With more looks at a full ring than there are marks the sum stays that of all the waits. */
Test(vsp_stats, many_looks_at_a_ring_that_stays_full)
{
	const unsigned int rounds = 100, behind = 80;
	const struct stats_class *class = &unit->class[STATS_DISK_READ];
	uint64_t since[200], all = 0, seen;

	for (uint64_t i = 0; i < SLOTS + behind; i++) {
		since[i] = clock_now_ns();
		put(i);
	}
	taken(SLOTS);
	for (uint64_t i = 0; i < SLOTS + behind + rounds; i++) {
		complete();
		answered(i);
		all += clock_now_ns() - since[i];
		if (i < rounds) {
			since[SLOTS + behind + i] = clock_now_ns();
			put(SLOTS + behind + i);
		}
		usleep(200);
		if (i < behind + rounds)
			taken(SLOTS);
	}
	seen = class->ns[STATS_WAIT] + class->ns[STATS_BACK_END] + class->ns[STATS_COMPLETION];
	cr_expect_eq(class->timed, SLOTS + behind + rounds);
	/* what the guest took to look is no time of the host's: it can only be less */
	cr_expect_leq(seen, all);
	cr_expect_geq(class->ns[STATS_WAIT], all / 2);
}
