/* SPDX-License-Identifier: Apache-2.0 */
/* The layer of faults over a disk in memory: errors, delays, who waits for whom, power cuts; layers that come and go.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "daemons/vsp-storaged/layers.h"
#include "tests/support/memdisk.h"

#define REQUESTS 64u
#define BLOCKS	 64u

struct test_request {
	struct disk_request request;
	struct iovec iov;
	uint8_t data[4096];
	unsigned int place; /* in the order of completion, from 1; 0: not yet */
	int result;
};

static struct loop *loop;
static struct engine *engine;
static struct layers layers;
static struct memdisk mem;
static struct disk *top;
static struct lun_settings settings;
static struct test_request requests[REQUESTS];
static unsigned int completed, cuts;
static struct fault_cut last_cut;

static void on_done(struct disk_request *request, int result)
{
	struct test_request *test = (struct test_request *)request;

	cr_assert(zero(uint, test->place), "done twice");
	test->place = ++completed;
	test->result = result;
}

static void on_cut(void *arg, const struct fault_cut *cut)
{
	(void)arg;
	cuts++;
	last_cut = *cut;
}

static void submit(unsigned int i, enum disk_op op, unsigned int block, unsigned int blocks, uint8_t value)
{
	struct test_request *test = &requests[i];

	*test = (struct test_request){.request = {.op = op,
						  .offset = (uint64_t)block * 512,
						  .len = op == DISK_FLUSH ? 0 : (uint64_t)blocks * 512,
						  .done = on_done}};
	memset(test->data, value, sizeof(test->data));
	test->iov = (struct iovec){test->data, (size_t)blocks * 512};
	test->request.iov = &test->iov;
	test->request.iovs = op == DISK_READ || op == DISK_WRITE;
	disk_submit(top, &test->request);
}

static void set(void)
{
	cr_assert(zero(int, layers_set(&layers, &settings, &top)));
}

static void cut(void)
{
	settings.fault.power_off = true;
	set();
	layer_fault_when_cut(layers_find(top, &layer_fault), on_cut, NULL);
}

static void rule(struct fault_rule one)
{
	settings.fault.rule[settings.fault.rules++] = one;
}

static void set_up(void)
{
	struct err err = {0};

	cr_assert(zero(int, loop_new(&loop)));
	cr_assert(zero(int, engine_open("threads", loop, NULL, 0, &engine, &err)), "%s", err.text);
	layers = (struct layers){.loop = loop, .engine = engine};
	cr_assert(zero(int, throttle_groups_new(loop, engine, &layers.groups)));
	memdisk_init(&mem, BLOCKS, 512, false);
	top = &mem.disk;
	settings = (struct lun_settings){.discard = true};
	completed = cuts = 0;
}

static void tear_down(void)
{
	disk_close(top);
	memdisk_done(&mem);
	throttle_groups_free(layers.groups);
	engine_close(engine);
	loop_free(loop);
}

TestSuite(layer_fault, .init = set_up, .fini = tear_down);

Test(layer_fault, nothing_asked_for_is_no_layer)
{
	set();
	cr_expect(eq(ptr, top, &mem.disk));
}

Test(layer_fault, errors_and_torn_writes)
{
	unsigned int some = 0;

	rule((struct fault_rule){.ops = 1u << DISK_READ, .to = 512, .ppm = FAULT_PPM, .times = 1, .error = -EIO});
	rule((struct fault_rule){
		.effect = FAULT_TORN, .ops = 1u << DISK_WRITE, .from = 4096, .ppm = FAULT_PPM, .error = -ENOSPC});
	set();
	submit(0, DISK_READ, 0, 1, 9);
	submit(1, DISK_READ, 0, 1, 9);
	submit(2, DISK_WRITE, 0, 1, 1);
	cr_expect(eq(int, requests[0].result, -EIO));
	cr_expect(zero(int, requests[1].result), "once");
	cr_expect(zero(int, requests[2].result));
	for (unsigned int i = 0; i < 20; i++) {
		memset(mem.data, 0, (size_t)BLOCKS * 512);
		submit(3, DISK_WRITE, 8, 8, 5);
		cr_expect(eq(int, requests[3].result, -ENOSPC));
		some += mem.data[8 * 512] == 5;
		cr_expect(zero(uint, mem.data[15 * 512]), "not all of it");
	}
	cr_expect(gt(uint, some, 5), "but the beginning");
}

Test(layer_fault, a_delay_and_cancelled_ones)
{
	rule((struct fault_rule){.effect = FAULT_DELAY, .ops = 1u << DISK_READ, .ppm = FAULT_PPM, .delay_us = 50000});
	set();
	for (unsigned int i = 0; i < 3; i++)
		submit(i, DISK_READ, i, 1, 9);
	submit(3, DISK_WRITE, 0, 1, 1);
	cr_expect(eq(uint, completed, 1), "the write");
	cr_expect(disk_cancel(top, &requests[1].request));
	while (completed < 3)
		cr_assert(zero(int, loop_run_once(loop, true)));
	cr_expect(eq(uint, requests[0].place, 2));
	cr_expect(eq(uint, requests[2].place, 3));
	cr_expect(zero(uint, requests[1].place));
	cr_expect(eq(u8, requests[0].data[0], 1), "it was read after its delay");
}

Test(layer_fault, what_is_delayed_goes_on_when_the_layer_goes)
{
	rule((struct fault_rule){.effect = FAULT_DELAY, .ops = ~0u, .ppm = FAULT_PPM, .delay_us = FAULT_DELAY_MAX_US});
	settings.fault.has_cache = true;
	set();
	for (unsigned int i = 0; i < 8; i++)
		submit(i, i == 7 ? DISK_FLUSH : DISK_WRITE, 0, 1, (uint8_t)(i + 1));
	cr_expect(zero(uint, completed));
	mem.hold = true;
	settings.fault = (struct fault_settings){0};
	set();
	cr_expect(eq(ptr, top, &mem.disk), "it is gone from the stack");
	mem.hold = false;
	while (memdisk_release(&mem))
		;
	cr_expect(eq(uint, completed, 8), "and has lost none");
	cr_expect(eq(uint, mem.flushes, 1));
}

/* Writes that overlap go one after the other, a flush after the writes before it; the rest does not wait. */
Test(layer_fault, who_waits_for_whom)
{
	settings.fault.has_cache = true;
	set();
	mem.hold = true;
	submit(0, DISK_WRITE, 0, 4, 1);
	submit(1, DISK_WRITE, 3, 2, 2);
	submit(2, DISK_WRITE, 8, 1, 3);
	submit(3, DISK_FLUSH, 0, 0, 0);
	submit(4, DISK_WRITE, 20, 1, 4);
	submit(5, DISK_READ, 30, 1, 0);
	memdisk_release(&mem); /* what 0 will replace: it is written next */
	memdisk_release(&mem); /* and 2 */
	memdisk_release(&mem); /* and 4, which the flush is not about */
	memdisk_release(&mem); /* 5 */
	cr_expect(eq(uint, requests[5].place, 1));
	memdisk_release(&mem);
	memdisk_release(&mem);
	memdisk_release(&mem);
	cr_expect(requests[0].place && requests[2].place && requests[4].place);
	cr_expect(zero(uint, requests[1].place + requests[3].place));
	cr_expect(eq(u8, mem.data[3 * 512], 1));
	memdisk_release(&mem);
	memdisk_release(&mem);
	cr_expect(requests[1].place && !requests[3].place);
	memdisk_release(&mem);
	cr_expect(gt(uint, requests[3].place, 0));
	cr_expect(eq(u8, mem.data[3 * 512], 2));
	cr_expect(memdisk_release(&mem) == false);
}

Test(layer_fault, a_power_cut)
{
	unsigned int lost = 0;

	settings.fault.has_cache = true;
	for (unsigned int seed = 0; seed < 50; seed++) {
		settings.fault.power_off = false;
		settings.fault.seed = seed;
		set();
		submit(0, DISK_WRITE, 0, 8, 1);
		submit(1, DISK_FLUSH, 0, 0, 0);
		submit(2, DISK_WRITE, 0, 4, 2);
		submit(3, DISK_WRITE, 16, 4, 3);
		cr_assert(eq(uint, completed, 4));
		cut();
		cr_assert(eq(uint, cuts, 1));
		cr_assert(zero(int, last_cut.error));
		submit(4, DISK_READ, 0, 1, 0);
		submit(5, DISK_WRITE, 0, 1, 9);
		submit(6, DISK_FLUSH, 0, 0, 0);
		for (unsigned int i = 4; i < 7; i++)
			cr_assert(eq(int, requests[i].result, -ENODEV));
		for (unsigned int i = 0; i < 8; i++)
			cr_assert(mem.data[i * 512] == 1 || (i < 4 && mem.data[i * 512] == 2));
		lost += mem.data[0] == 1 || mem.data[16 * 512] == 0;
		completed = cuts = 0;
		memset(mem.data, 0, (size_t)BLOCKS * 512);
	}
	cr_expect(gt(uint, lost, 10));
	cr_expect(lt(uint, lost, 50));
	settings.fault = (struct fault_settings){0};
	set();
	submit(0, DISK_READ, 0, 1, 9);
	cr_expect(zero(int, requests[0].result), "it is there again");
}

Test(layer_fault, a_power_cut_that_ignores_flushes)
{
	unsigned int lost = 0;

	settings.fault.has_cache = settings.fault.flush_ignored = true;
	for (unsigned int seed = 0; seed < 50; seed++) {
		settings.fault.power_off = false;
		settings.fault.seed = seed;
		set();
		submit(0, DISK_WRITE, 0, 8, 1);
		submit(1, DISK_FLUSH, 0, 0, 0);
		cr_assert(zero(int, requests[1].result));
		cut();
		lost += mem.data[0] == 0;
		completed = cuts = 0;
		memset(mem.data, 0, (size_t)BLOCKS * 512);
	}
	cr_expect(zero(uint, mem.flushes));
	cr_expect(gt(uint, lost, 10));
}

Test(layer_fault, a_power_cut_waits_for_what_is_under_way)
{
	settings.fault.has_cache = true;
	set();
	submit(0, DISK_WRITE, 0, 4, 1);
	mem.hold = true;
	submit(1, DISK_WRITE, 8, 4, 2); /* what it replaces is being read */
	submit(2, DISK_WRITE, 8, 4, 3); /* waits for it */
	submit(3, DISK_FLUSH, 0, 0, 0); /* waits for both */
	submit(4, DISK_READ, 0, 1, 0);
	cut();
	cr_expect(zero(uint, cuts));
	cr_expect(eq(int, requests[2].result, -ENODEV));
	cr_expect(eq(int, requests[3].result, -ENODEV));
	while (memdisk_release(&mem))
		;
	cr_expect(eq(uint, cuts, 1));
	cr_expect(eq(int, requests[1].result, -ENODEV));
	cr_expect(zero(int, requests[4].result));
	cr_expect(zero(uint, mem.data[8 * 512]), "it was not begun");
	mem.hold = false;
}

Test(layer_fault, blocks_that_cannot_be_taken_back_count_as_written)
{
	settings.fault.has_cache = true;
	settings.fault.seed = 1;
	do {
		settings.fault.power_off = false;
		settings.fault.seed++;
		mem.fail = 0;
		set();
		submit(0, DISK_WRITE, 0, 8, 1);
		mem.fail = -EIO;
		cut();
		completed = 0;
		memset(mem.data, 1, 8 * 512);
	} while (!last_cut.blocks);
	cr_expect(eq(sz, last_cut.failed, last_cut.blocks));
	cr_expect(zero(int, last_cut.error));
	mem.fail = 0;
}

Test(layer_fault, a_successor_of_one_without_power_has_none)
{
	settings.fault.has_cache = settings.fault.power_off = true;
	set();
	cr_expect(layer_fault_is_off(layers_find(top, &layer_fault)));
	cut();
	cr_expect(eq(uint, cuts, 1), "asked again, it is so already");
	submit(0, DISK_READ, 0, 1, 0);
	cr_expect(eq(int, requests[0].result, -ENODEV));
}

/* ---- both layers ---- */

Test(layer_fault, layers_come_and_go_in_any_order)
{
	const struct throttle_limit one = {.rate = 1};
	unsigned int i = 0;

	settings.throttle.limit[THROTTLE_TOTAL_IOPS] = one;
	set();
	for (; i < 8; i++)
		submit(i, DISK_WRITE, i, 1, (uint8_t)(i + 1));
	cr_expect(eq(uint, completed, 1));
	settings.fault.has_cache = true;
	set();
	cr_expect(eq(ptr, (void *)top->ops, (void *)&layer_throttle));
	cr_expect(eq(ptr, (void *)top->below->ops, (void *)&layer_fault));
	cr_expect(eq(uint, completed, 1));
	settings.throttle = (struct throttle_settings){0};
	set();
	cr_expect(eq(uint, completed, 8), "no limit: none waits");
	cr_expect(eq(ptr, (void *)top->ops, (void *)&layer_fault));
	settings.throttle.limit[THROTTLE_TOTAL_IOPS] = one;
	set();
	cr_expect(eq(ptr, (void *)top->below->ops, (void *)&layer_fault));
	settings.fault.has_cache = false;
	settings.discard = false;
	set();
	cr_expect(eq(ptr, top->below, &mem.disk));
	settings.throttle = (struct throttle_settings){0};
	set();
	cr_expect(eq(ptr, top, &mem.disk));
	for (i = 0; i < 8; i++)
		cr_expect(eq(u8, mem.data[i * 512], i + 1));
}

Test(layer_fault, a_disk_moves_to_another_group_with_what_waits)
{
	const struct throttle_settings slow = {.limit[THROTTLE_TOTAL_IOPS] = {.rate = 1}};
	const struct throttle_settings fast = {.limit[THROTTLE_TOTAL_IOPS] = {.rate = 1000000}};

	settings.throttle = slow;
	strcpy(settings.throttle_group, "slow");
	set();
	for (unsigned int i = 0; i < 8; i++)
		submit(i, DISK_WRITE, i, 1, 1);
	cr_expect(eq(uint, completed, 1));
	settings.throttle = fast;
	strcpy(settings.throttle_group, "fast");
	set();
	while (completed < 8)
		cr_assert(zero(int, loop_run_once(loop, true)));
}
