/* SPDX-License-Identifier: Apache-2.0 */
/* Limits over simulated time: what comes through in a while is what was allowed. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/clock.h"
#include "daemons/vsp-storaged/throttle.h"

/* Somebody who always has a request of @bytes, for @seconds. Return: how many came through. */
static uint64_t run(struct throttle *throttle, bool write, uint32_t bytes, double seconds)
{
	uint64_t end = throttle->at_ns + (uint64_t)(seconds * (double)NS_PER_SEC), now = throttle->at_ns, wait,
		 count = 0;

	for (;;) {
		wait = throttle_wait(throttle, write, now);
		now += wait;
		if (now > end)
			return count;
		if (wait)
			continue;
		throttle_take(throttle, write, bytes);
		count++;
	}
}

static bool near(uint64_t value, uint64_t wanted)
{
	return value * 20 >= wanted * 19 && value * 20 <= wanted * 21;
}

static struct throttle limited(enum throttle_kind kind, struct throttle_limit limit)
{
	struct throttle throttle = {0};
	struct throttle_settings settings = {0};

	settings.limit[kind] = limit;
	throttle_set(&throttle, &settings, NS_PER_SEC);
	return throttle;
}

Test(throttle, each_kind_holds_within_five_per_cent)
{
	static const struct {
		enum throttle_kind kind;
		bool write;
		uint64_t rate;
		uint32_t bytes;
		uint64_t wanted; /* in 20 s */
	} cases[] = {
		{THROTTLE_TOTAL_IOPS, false, 500, 4096, 10000},
		{THROTTLE_TOTAL_IOPS, true, 7, 4096, 140},
		{THROTTLE_READ_IOPS, false, 100000, 512, 2000000},
		{THROTTLE_WRITE_IOPS, true, 50, 262144, 1000},
		{THROTTLE_TOTAL_BYTES, true, 1 << 20, 4096, 20 * 256},
		{THROTTLE_READ_BYTES, false, 100 << 20, 262144, 20 * 400},
		{THROTTLE_WRITE_BYTES, true, 200000, 65536, 61},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct throttle throttle = limited(cases[i].kind, (struct throttle_limit){.rate = cases[i].rate});
		uint64_t count = run(&throttle, cases[i].write, cases[i].bytes, 20);

		cr_expect(near(count, cases[i].wanted), "case %zu: %lu instead of %lu", i, (unsigned long)count,
			  (unsigned long)cases[i].wanted);
	}
}

Test(throttle, a_limit_of_one_direction_leaves_the_other_alone)
{
	struct throttle throttle = limited(THROTTLE_READ_IOPS, (struct throttle_limit){.rate = 1});

	throttle_take(&throttle, false, 512);
	cr_expect(gt(u64, throttle_wait(&throttle, false, throttle.at_ns), 0));
	for (unsigned int i = 0; i < 1000; i++) {
		cr_assert(zero(u64, throttle_wait(&throttle, true, throttle.at_ns)));
		throttle_take(&throttle, true, 512);
	}
}

Test(throttle, a_burst_goes_at_its_rate_for_its_time)
{
	struct throttle throttle =
		limited(THROTTLE_TOTAL_IOPS, (struct throttle_limit){.rate = 100, .burst = 1000, .burst_seconds = 5});

	cr_expect(near(run(&throttle, false, 512, 5), 5000));
	cr_expect(near(run(&throttle, false, 512, 20), 2000));
	/* after a rest, again */
	run(&throttle, false, 512, 0);
	throttle_wait(&throttle, false, throttle.at_ns + 100 * NS_PER_SEC);
	cr_expect(near(run(&throttle, false, 512, 5), 5000));
}

Test(throttle, large_requests_count_more)
{
	struct throttle throttle = {0};
	struct throttle_settings settings = {.limit[THROTTLE_TOTAL_IOPS] = {.rate = 100}, .io_bytes = 16384};

	throttle_set(&throttle, &settings, NS_PER_SEC);
	cr_expect(near(run(&throttle, false, 65536, 40), 1000));
	cr_expect(near(run(&throttle, false, 512, 40), 4000));
}

Test(throttle, a_lower_limit_does_not_stop_all)
{
	struct throttle throttle = limited(THROTTLE_TOTAL_BYTES, (struct throttle_limit){.rate = 1 << 30});
	struct throttle_settings less = {.limit[THROTTLE_TOTAL_BYTES] = {.rate = 4096}}, none = {0};

	run(&throttle, false, 262144, 10);
	throttle_set(&throttle, &less, throttle.at_ns);
	cr_expect(le(u64, throttle_wait(&throttle, false, throttle.at_ns), NS_PER_SEC));
	throttle_take(&throttle, false, 262144);
	cr_expect(gt(u64, throttle_wait(&throttle, false, throttle.at_ns), 60 * NS_PER_SEC));
	throttle_set(&throttle, &none, throttle.at_ns);
	cr_expect(zero(u64, throttle_wait(&throttle, false, throttle.at_ns)));
	cr_expect(not(throttle_limits(&none)));
	cr_expect(throttle_limits(&less));
}
