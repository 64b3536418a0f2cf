/* SPDX-License-Identifier: Apache-2.0 */
/* The layer over a disk in memory: who waits, in what order they go on, cancelled ones, groups. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "daemons/vsp-storaged/layer_throttle.h"
#include "tests/support/memdisk.h"

#define REQUESTS 8u

/* One at once, the next one in 1,000 s: a tenth of it is no whole request. */
static const struct throttle_settings slow_reads = {.limit[THROTTLE_READ_IOPS] = {.rate = 1}}, none;

static struct loop *loop;
static struct engine *engine;
static struct throttle_groups *groups;
static struct memdisk mem[2];
static struct disk *disk[2];

struct test_request {
	struct disk_request request;
	struct iovec iov;
	uint8_t data[512];
	unsigned int place; /* in the order of completion, from 1; 0: not yet */
	int result;
};

static struct test_request requests[REQUESTS];
static unsigned int completed;

static void on_done(struct disk_request *request, int result)
{
	struct test_request *test = (struct test_request *)request;

	test->place = ++completed;
	test->result = result;
}

static void submit(unsigned int i, unsigned int to, enum disk_op op)
{
	struct test_request *test = &requests[i];

	*test = (struct test_request){
		.request = {.op = op, .offset = 0, .len = op == DISK_FLUSH ? 0 : 512, .done = on_done}};
	test->iov = (struct iovec){test->data, 512};
	test->request.iov = &test->iov;
	test->request.iovs = op == DISK_FLUSH ? 0 : 1;
	disk_submit(disk[to], &test->request);
}

static void set_up(void)
{
	struct err err = {0};

	cr_assert(zero(int, loop_new(&loop)));
	cr_assert(zero(int, engine_open("threads", loop, NULL, 0, &engine, &err)), "%s", err.text);
	cr_assert(zero(int, throttle_groups_new(loop, engine, &groups)));
	completed = 0;
	for (unsigned int i = 0; i < 2; i++)
		memdisk_init(&mem[i], 16, 512, false);
}

static void open_both(const char *name, const struct throttle_settings *settings)
{
	for (unsigned int i = 0; i < 2; i++)
		cr_assert(zero(int, layer_throttle_open(groups, name, settings, &mem[i].disk, &disk[i])));
}

static void tear_down(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		disk_close(disk[i]);
		memdisk_done(&mem[i]);
	}
	throttle_groups_free(groups);
	engine_close(engine);
	loop_free(loop);
}

TestSuite(layer_throttle, .init = set_up, .fini = tear_down);

Test(layer_throttle, those_that_wait_go_on_in_order_when_the_limit_is_lifted)
{
	open_both("", &slow_reads);
	for (unsigned int i = 0; i < 4; i++)
		submit(i, 0, DISK_READ);
	cr_expect(eq(uint, requests[0].place, 1));
	cr_expect(eq(uint, completed, 1));
	submit(4, 0, DISK_WRITE);
	cr_expect(eq(uint, requests[4].place, 2), "writes have no limit");
	submit(5, 0, DISK_FLUSH);
	cr_expect(eq(uint, requests[5].place, 3), "a flush waits for nobody");
	submit(6, 1, DISK_READ);
	cr_expect(eq(uint, requests[6].place, 4), "the other disk has a limit of its own");
	cr_assert(zero(int, layer_throttle_set(disk[0], NULL, &none)));
	while (completed < 7)
		cr_assert(zero(int, loop_run_once(loop, true)));
	for (unsigned int i = 1; i < 4; i++) {
		cr_expect(eq(uint, requests[i].place, 4 + i));
		cr_expect(zero(int, requests[i].result));
	}
}

Test(layer_throttle, the_timer_lets_them_go_on)
{
	const struct throttle_settings quick = {.limit[THROTTLE_TOTAL_IOPS] = {.rate = 1000}};

	open_both("", &quick);
	for (unsigned int round = 0; round < 40; round++) {
		completed = 0;
		for (unsigned int i = 0; i < REQUESTS; i++)
			submit(i, 0, i % 2 ? DISK_WRITE : DISK_READ);
		while (completed < REQUESTS)
			cr_assert(zero(int, loop_run_once(loop, true)));
	}
}

Test(layer_throttle, cancelled_in_the_layer_or_below)
{
	open_both("", &slow_reads);
	mem[0].hold = true;
	for (unsigned int i = 0; i < 4; i++)
		submit(i, 0, DISK_READ);
	cr_expect(disk_cancel(disk[0], &requests[0].request), "held below");
	cr_expect(disk_cancel(disk[0], &requests[3].request), "the last that waits");
	cr_expect(disk_cancel(disk[0], &requests[1].request), "the first that waits");
	mem[0].hold = false;
	submit(4, 0, DISK_READ);
	cr_assert(zero(int, layer_throttle_set(disk[0], NULL, &none)));
	while (completed < 2)
		cr_assert(zero(int, loop_run_once(loop, true)));
	cr_expect(eq(uint, requests[2].place, 1));
	cr_expect(eq(uint, requests[4].place, 2));
	cr_expect(zero(uint, requests[0].place + requests[1].place + requests[3].place));
}

Test(layer_throttle, a_group_has_one_limit_and_its_disks_take_turns)
{
	open_both("both", &slow_reads);
	for (unsigned int i = 0; i < 4; i++)
		submit(i, 0, DISK_READ);
	for (unsigned int i = 4; i < 7; i++)
		submit(i, 1, DISK_READ);
	cr_expect(eq(uint, completed, 1), "one of all");
	cr_assert(zero(int, layer_throttle_set(disk[1], "both", &none)));
	while (completed < 7)
		cr_assert(zero(int, loop_run_once(loop, true)));
	/* three of each are left: none of a disk before the other disk's of the same place */
	for (unsigned int i = 1; i < 3; i++) {
		cr_expect(lt(uint, requests[i].place, requests[4 + i].place));
		cr_expect(lt(uint, requests[4 + i - 1].place, requests[i + 1].place));
	}
}
