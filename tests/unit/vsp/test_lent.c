/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that a guest lends to a device. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "abi/ring.h"
#include "guest/buffer.h"
#include "vsp_fixture.h"

#define SLOTS	   4u
#define RING_PAGES 3u
#define GPADL	   0xe1e20u
#define PAGE	   4096u

static uint64_t pages;

/* ---- the device ---- */

static struct vsp_channel *channel;
static struct vsp_buffer *mine[4]; /* what it has */
static unsigned int mine_count, told, revoked, packets;
static int last_error;
static bool clings; /* does not let go when the guest wants it */
static uint32_t maps_at_recover;

static void take(void *arg, struct vsp_buffer *buffer, int error)
{
	cr_assert_eq(arg, &told);
	cr_assert_eq(buffer != NULL, error == 0);
	told++;
	last_error = error;
	if (buffer)
		mine[mine_count++] = buffer;
}

static void let_go(struct vsp_buffer *buffer)
{
	unsigned int i = 0;

	while (mine[i] != buffer)
		i++;
	mine[i] = mine[--mine_count];
	vsp_buffer_release(buffer);
}

static int dev_open(struct vsp_channel *opened, const uint8_t user_data[120])
{
	channel = opened;
	return 0;
}

static int dev_recover(struct vsp_channel *opened)
{
	channel = opened;
	for (uint32_t i = 0; i < maps_at_recover; i++)
		cr_assert_eq(vsp_buffer_map(opened, GPADL + i, take, &told), 0);
	return 0;
}

static void dev_packet(struct vsp_channel *from, struct vsp_request *request)
{
	packets++;
	vsp_complete(request, request->payload, request->payload_len);
}

static void dev_close(struct vsp_channel *from)
{
	while (mine_count > 0)
		let_go(mine[0]);
	channel = NULL;
}

static void dev_revoked(struct vsp_channel *from, struct vsp_buffer *buffer)
{
	revoked++;
	if (!clings)
		let_go(buffer);
}

static const struct vsp_device_ops ops = {
	.name = "nic",
	.slots = SLOTS,
	.open = dev_open,
	.recover = dev_recover,
	.packet = dev_packet,
	.close = dev_close,
	.revoked = dev_revoked,
};

/* ---- around it ---- */

static void attach(void)
{
	vf_attach();
	vf_offer("nic0", &ops, NULL);
}

static void lend(uint32_t gpadl)
{
	const struct guest_range ranges[] = {{pages + 2 * PAGE, PAGE}, {pages, 2 * PAGE}};

	fake_worker_lend(worker, gpadl, ranges, 2);
}

static void set_up(void)
{
	vf_init(64u << 20, RING_PAGES, NULL);
	pages = fake_guest_alloc(&guest, 3);
	attach();
	lend(GPADL);
	cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
	fake_worker_run(worker);
}

TestSuite(lent, .init = set_up, .fini = vf_done, .timeout = 30);

static bool was_told(void *arg)
{
	return told >= *(unsigned int *)arg;
}

static void wait_told(unsigned int times)
{
	cr_assert_eq(fake_worker_run_until(worker, was_told, &times), 0);
	cr_assert_eq(told, times);
}

static void map(uint32_t gpadl)
{
	cr_assert_eq(vsp_buffer_map(channel, gpadl, take, &told), 0);
	cr_assert_eq(told, 0, "never from inside");
	wait_told(1);
	told = 0;
}

static bool is_answered(void *arg)
{
	return *(int *)arg <= 0;
}

static void wait_answer(const int *outcome)
{
	cr_assert_eq(fake_worker_run_until(worker, is_answered, (void *)outcome), 0);
	cr_assert_eq(*outcome, 0);
}

Test(lent, what_is_lent_is_the_guests_memory)
{
	const struct guest_buffer *memory;

	map(GPADL);
	cr_assert_eq(last_error, 0);
	memory = vsp_buffer_memory(mine[0]);
	cr_assert_eq(memory->len, 3 * PAGE);
	cr_assert_eq(guest_buffer_write(memory, PAGE - 3, "bulkhead", 8), 0);
	cr_assert_arr_eq(fake_guest_ptr(&guest, pages + 3 * PAGE - 3), "bul", 3);
	cr_assert_arr_eq(fake_guest_ptr(&guest, pages), "khead", 5);
}

Test(lent, what_is_not)
{
	struct guest_range range = {64u << 20, PAGE};

	map(GPADL + 1);
	cr_assert_eq(last_error, -ENOENT);
	fake_worker_lend(worker, GPADL + 1, &range, 1);
	map(GPADL + 1);
	cr_assert_eq(last_error, -ENOENT, "the worker names what is no memory");
	range = (struct guest_range){pages + 1, PAGE};
	fake_worker_lend(worker, GPADL + 1, &range, 1);
	map(GPADL + 1);
	cr_assert_eq(last_error, -ENOENT);
	cr_assert_eq(mine_count, 0);
}

/* As a NIC gets it: more than a message between processes would hold. */
Test(lent, many_scattered_pages)
{
	static struct guest_range ranges[8190];
	const struct guest_buffer *memory;
	uint64_t from = fake_guest_alloc(&guest, 8190);

	for (size_t i = 0; i < 8190; i++)
		ranges[i] = (struct guest_range){from + (8189 - i) * PAGE, PAGE};
	fake_worker_lend(worker, 5, ranges, 8190);
	map(5);
	cr_assert_eq(last_error, 0);
	memory = vsp_buffer_memory(mine[0]);
	cr_assert_eq(memory->pages, 8190);
	cr_assert_eq(guest_buffer_write(memory, 8189 * PAGE, "first", 5), 0);
	cr_assert_arr_eq(fake_guest_ptr(&guest, from), "first", 5);
}

/* ---- wanted back ---- */

Test(lent, given_back_at_once)
{
	int outcome;

	map(GPADL);
	fake_worker_revoke_begin(worker, 0, GPADL, &outcome);
	wait_answer(&outcome);
	cr_assert_eq(revoked, 1);
	cr_assert_eq(mine_count, 0);
	fake_worker_revoke_begin(worker, 0, GPADL, &outcome);
	wait_answer(&outcome);
	cr_assert_eq(revoked, 1, "nobody has it any more");
}

Test(lent, given_back_later)
{
	int outcome;

	clings = true;
	map(GPADL);
	fake_worker_revoke_begin(worker, 0, GPADL, &outcome);
	fake_worker_run(worker);
	cr_assert_eq(revoked, 1);
	cr_assert_eq(outcome, 1, "it may still be touched");
	let_go(mine[0]);
	wait_answer(&outcome);
}

/* A guest names one GPADL for two purposes. */
Test(lent, the_same_twice)
{
	int outcome, other;

	clings = true;
	map(GPADL);
	map(GPADL);
	lend(GPADL + 1);
	map(GPADL + 1);
	cr_assert_eq(mine_count, 3);
	fake_worker_revoke_begin(worker, 0, GPADL, &outcome);
	fake_worker_run(worker);
	cr_assert_eq(revoked, 2);
	let_go(mine[0]);
	fake_worker_run(worker);
	cr_assert_eq(outcome, 1);
	let_go(mine[1]);
	wait_answer(&outcome);
	fake_worker_revoke_begin(worker, 0, GPADL + 1, &other);
	fake_worker_run(worker);
	cr_assert_eq(revoked, 3);
	cr_assert_eq(other, 1);
	let_go(mine[0]);
	wait_answer(&other);
}

Test(lent, of_its_own_accord)
{
	map(GPADL);
	let_go(mine[0]);
	vsp_buffer_release(NULL);
	map(GPADL);
	cr_assert_eq(last_error, 0);
}

Test(lent, a_close_gives_all_back)
{
	int revoke, close;

	clings = true;
	map(GPADL);
	fake_worker_revoke_begin(worker, 0, GPADL, &revoke);
	fake_worker_run(worker);
	cr_assert_eq(revoke, 1);
	fake_worker_close_begin(worker, 0, &close);
	wait_answer(&close);
	cr_assert_eq(revoke, 0, "before the close is answered");
	cr_assert_eq(mine_count, 0);
}

Test(lent, a_close_waits_for_what_was_asked_for)
{
	int close;

	fake_worker_hold_lends(worker);
	cr_assert_eq(vsp_buffer_map(channel, GPADL, take, &told), 0);
	fake_worker_run(worker);
	fake_worker_close_begin(worker, 0, &close);
	fake_worker_run(worker);
	cr_assert_eq(close, 1);
	cr_assert_eq(told, 0);
	fake_worker_answer_lends(worker);
	wait_answer(&close);
	cr_assert_eq(told, 1);
	cr_assert_eq(last_error, -ECANCELED);
}

Test(lent, nothing_for_a_channel_that_is_closed)
{
	struct vsp_channel *was = channel;

	cr_assert_eq(fake_worker_close(worker, 0), 0);
	cr_assert_eq(vsp_buffer_map(was, GPADL, take, &told), -ECANCELED);
	fake_worker_run(worker);
	cr_assert_eq(told, 0);
}

Test(lent, the_worker_goes_away)
{
	fake_worker_hold_lends(worker);
	cr_assert_eq(vsp_buffer_map(channel, GPADL, take, &told), 0);
	fake_worker_run(worker);
	fake_worker_disconnect(worker);
	wait_told(1);
	cr_assert_eq(last_error, -ENOENT);
	cr_assert_lt(vsp_buffer_map(channel, GPADL, take, &told), 0);
}

Test(lent, an_end_with_everything_under_way)
{
	int outcome;

	clings = true;
	map(GPADL);
	fake_worker_revoke_begin(worker, 0, GPADL, &outcome);
	fake_worker_hold_lends(worker);
	cr_assert_eq(vsp_buffer_map(channel, GPADL, take, &told), 0);
	fake_worker_run(worker);
	vsp_free(vsp);
	cr_assert_eq(told, 0, "there may be no device any more");
	vsp = NULL;
}

/* ---- whoever dies ---- */

static void die(void)
{
	fake_worker_disconnect(worker);
	vsp_free(vsp);
	channel = NULL;
	mine_count = 0;
	attach();
}

/* What its predecessor had, a successor has before anything of the guest's is done. */
Test(lent, mapped_again_before_the_first_request)
{
	int outcome;

	lend(GPADL + 1);
	map(GPADL);
	fake_worker_disconnect(worker);
	cr_assert_eq(fake_put_inband(&peer, 1, "x", 1), 0);
	die();
	maps_at_recover = 2;
	packets = 0;
	fake_worker_hold_lends(worker);
	fake_worker_open_begin(worker, 0, &peer, true, NULL, &outcome);
	wait_answer(&outcome);
	fake_worker_run(worker);
	cr_assert_eq(packets, 0);
	fake_worker_answer_lends(worker);
	wait_told(2);
	cr_assert_eq(mine_count, 2);
	cr_assert_eq(fake_worker_get(worker, &peer, &got), 0);
	cr_assert_eq(packets, 1);
}

Test(lent, not_there_any_more)
{
	int outcome;

	map(GPADL);
	die();
	fake_worker_lend(worker, GPADL, NULL, 0);
	maps_at_recover = 1;
	fake_worker_open_begin(worker, 0, &peer, true, NULL, &outcome);
	wait_told(1);
	cr_assert_eq(last_error, -ENOENT);
	cr_assert_eq(fake_put_inband(&peer, 1, "x", 1), 0);
	cr_assert_eq(fake_worker_get(worker, &peer, &got), 0, "it goes on without");
}
