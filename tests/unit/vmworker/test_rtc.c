/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dev/dev.h"

#define T0 UINT64_C(1709211599) /* 2024-02-29 12:59:59, a Thursday */

static uint64_t wall_ns;
static void *rtc;

static uint64_t fake_wall_clock_ns(void *arg)
{
	return wall_ns;
}

static const struct device_host fake_host = {.wall_clock_ns = fake_wall_clock_ns};

static void setup(void)
{
	wall_ns = T0 * NS_PER_SEC;
	rtc = malloc(rtc_device.state_size);
	rtc_device.init(rtc, &fake_host);
}

static void teardown(void)
{
	rtc_device.done(rtc);
	free(rtc);
}

static uint8_t get(uint8_t reg)
{
	rtc_device.write(rtc, 0, 1, reg);
	return (uint8_t)rtc_device.read(rtc, 1, 1);
}

static void set(uint8_t reg, uint8_t value)
{
	rtc_device.write(rtc, 0, 1, reg);
	rtc_device.write(rtc, 1, 1, value);
}

/* century, year, month, day, hour, minute, second as the registers hold them */
static void expect(const uint8_t want[7])
{
	static const uint8_t reg[7] = {0x32, 9, 8, 7, 4, 2, 0};

	for (int i = 0; i < 7; i++)
		cr_assert_eq(get(reg[i]), want[i], "register %#x is %#x, not %#x", reg[i], get(reg[i]), want[i]);
}

TestSuite(rtc, .init = setup, .fini = teardown);

Test(rtc, bcd_24h)
{
	expect((uint8_t[]){0x20, 0x24, 0x02, 0x29, 0x12, 0x59, 0x59});
	cr_assert_eq(get(6), 5, "Thursday");
	wall_ns += NS_PER_SEC;
	expect((uint8_t[]){0x20, 0x24, 0x02, 0x29, 0x13, 0x00, 0x00});
}

Test(rtc, binary)
{
	set(0x0b, 0x06);
	expect((uint8_t[]){20, 24, 2, 29, 12, 59, 59});
}

Test(rtc, twelve_hours)
{
	set(0x0b, 0x00);
	cr_assert_eq(get(4), 0x92, "12 pm");
	wall_ns += NS_PER_SEC;
	cr_assert_eq(get(4), 0x81, "1 pm");
	wall_ns += 11 * 3600 * NS_PER_SEC;
	cr_assert_eq(get(4), 0x12, "12 am");
	set(4, 0x93);
	set(0x0b, 0x02);
	cr_assert_eq(get(4), 0x93, "13 pm is no hour: kept as written");
	set(4, 0x15);
	set(0x0b, 0x00);
	cr_assert_eq(get(4), 0x83);
}

Test(rtc, status_registers)
{
	cr_assert_eq(get(0x0a), 0x26);
	cr_assert_eq(get(0x0b), 0x02);
	cr_assert_eq(get(0x0d), 0x80);
	set(0x0d, 0);
	cr_assert_eq(get(0x0d), 0x80);
	set(0x0a, 0xff & ~0x60);
	cr_assert_eq(get(0x0a), 0x1f, "update in progress cannot be written");
	cr_assert_eq(rtc_device.read(rtc, 0, 1), 0xff);
}

Test(rtc, update_in_progress_ends)
{
	unsigned int busy = 0;

	for (int ms = 0; ms < 1000; ms++, wall_ns += NS_PER_MS)
		busy += get(0x0a) >> 7;
	cr_assert_eq(busy, 2);
	wall_ns += NS_PER_SEC - NS_PER_MS;
	cr_assert_eq(get(0x0a) >> 7, 1);
	set(0x0b, 0x82);
	cr_assert_eq(get(0x0a) >> 7, 0, "no update while the guest sets the clock");
}

/* As Linux sets the clock. */
static void set_clock(const uint8_t time[7])
{
	static const uint8_t reg[7] = {0x32, 9, 8, 7, 4, 2, 0};
	uint8_t control = get(0x0b), frequency = get(0x0a);

	set(0x0b, control | 0x80);
	set(0x0a, frequency | 0x70);
	for (int i = 0; i < 7; i++)
		set(reg[i], time[i]);
	set(0x0b, control);
	set(0x0a, frequency);
}

Test(rtc, set_with_hold)
{
	const uint8_t when[] = {0x20, 0x31, 0x12, 0x31, 0x23, 0x59, 0x58};

	set_clock(when);
	expect(when);
	wall_ns += NS_PER_SEC / 2;
	expect((uint8_t[]){0x20, 0x31, 0x12, 0x31, 0x23, 0x59, 0x59});
	wall_ns += NS_PER_SEC;
	expect((uint8_t[]){0x20, 0x32, 0x01, 0x01, 0x00, 0x00, 0x00});
	rtc_device.reset(rtc);
	expect((uint8_t[]){0x20, 0x32, 0x01, 0x01, 0x00, 0x00, 0x00});
}

Test(rtc, held_clock_stands)
{
	set(0x0b, 0x82);
	wall_ns += 100 * NS_PER_SEC;
	expect((uint8_t[]){0x20, 0x24, 0x02, 0x29, 0x12, 0x59, 0x59});
	set(0x0b, 0x02);
	wall_ns += NS_PER_SEC;
	expect((uint8_t[]){0x20, 0x24, 0x02, 0x29, 0x13, 0x00, 0x00});
}

Test(rtc, fields_one_by_one)
{
	set(9, 0x23); /* 2023 has no 29 February: kept as written */
	expect((uint8_t[]){0x20, 0x23, 0x02, 0x29, 0x12, 0x59, 0x59});
	set(7, 0x28);
	wall_ns += NS_PER_SEC;
	expect((uint8_t[]){0x20, 0x23, 0x02, 0x28, 0x13, 0x00, 0x00});
	set(0, 0xff);
	cr_assert_eq(get(0), 0xff);
	set(0, 0x30);
	cr_assert_eq(get(0), 0x30);
	wall_ns += 5 * NS_PER_SEC;
	cr_assert_eq(get(0), 0x35);
}

Test(rtc, rate_change_keeps_the_time)
{
	for (int i = 0; i < 10; i++) {
		wall_ns += NS_PER_SEC / 10;
		set(0x0a, (uint8_t)(0x20 | i));
	}
	expect((uint8_t[]){0x20, 0x24, 0x02, 0x29, 0x13, 0x00, 0x00});
}

Test(rtc, flags)
{
	set(0x0a, 0x20);
	get(0x0c);
	cr_assert_eq(get(0x0c), 0);
	wall_ns += NS_PER_SEC;
	cr_assert_eq(get(0x0c), 0x10, "an update; no alarm at 13:00:00");
}

Test(rtc, alarm_and_periodic_flags)
{
	set(0x0a, 0x26); /* 976.6 us */
	set(0x0b, 0x22); /* alarm enabled */
	set(1, 0x05);
	set(3, 0x00);
	set(5, 0x13);
	get(0x0c);
	wall_ns += NS_PER_MS;
	cr_assert_eq(get(0x0c), 0x40);
	wall_ns += 5 * NS_PER_SEC;
	cr_assert_eq(get(0x0c), 0x50);
	wall_ns += NS_PER_SEC;
	cr_assert_eq(get(0x0c), 0xf0);
	set(1, 0xff);
	set(3, 0xff);
	set(5, 0xff);
	wall_ns += NS_PER_SEC;
	cr_assert_eq(get(0x0c), 0xf0, "every second");
	wall_ns -= 10 * NS_PER_SEC;
	cr_assert_eq(get(0x0c), 0, "a host clock that goes back is no event");
}

Test(rtc, cmos_ram)
{
	for (int i = 0x0e; i < 0x80; i++)
		if (i != 0x32)
			set((uint8_t)i, (uint8_t)~i);
	rtc_device.reset(rtc);
	for (int i = 0x0e; i < 0x80; i++)
		if (i != 0x32)
			cr_assert_eq(get((uint8_t)i), (uint8_t)~i);
	rtc_device.write(rtc, 0, 1, 0x80 | 0x0e);
	cr_assert_eq(rtc_device.read(rtc, 1, 1), (uint8_t)~0x0e, "bit 7 of the index is not an address");
}

Test(rtc, reset_disables_interrupts)
{
	set(0x0b, 0x7e);
	rtc_device.reset(rtc);
	cr_assert_eq(get(0x0b), 0x06);
	set(0x0b, 0x86);
	rtc_device.reset(rtc);
	cr_assert_eq(get(0x0b), 0x06, "a reset lets a held clock go");
	wall_ns += NS_PER_SEC;
	cr_assert_eq(get(0), 0);
}

Test(rtc, save_and_load)
{
	const uint8_t when[] = {0x20, 0x31, 0x12, 0x31, 0x23, 0x59, 0x58};
	uint8_t buf[DEVICE_SAVE_MAX];
	size_t len;

	set_clock(when);
	set(0x40, 0x99);
	len = rtc_device.save(rtc, buf, sizeof(buf));
	rtc_device.init(rtc, &fake_host);
	cr_assert_eq(rtc_device.load(rtc, buf, len), 0);
	cr_assert_eq(rtc_device.read(rtc, 1, 1), 0x99, "the index too");
	expect(when);
	cr_assert_eq(rtc_device.load(rtc, buf, 0), -EPROTO);
	cr_assert_eq(rtc_device.load(rtc, buf, len - 1), -EPROTO);
	buf[1] = 0x80;
	cr_assert_eq(rtc_device.load(rtc, buf, len), -EPROTO);
	buf[0] = 2;
	cr_assert_eq(rtc_device.load(rtc, buf, len), -EPROTONOSUPPORT);
	expect(when);
}
