/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818 real-time clock with 128 bytes of CMOS RAM.
 *
 * Theory of operation: nothing ticks. The clock is the host's wall clock plus an offset, and the time registers are
 * computed from it at each read. Setting the clock computes a new offset. While register B's SET bit or register A's
 * divider reset holds the clock, or what a guest wrote is no date, the time registers are plain memory; the offset
 * follows as soon as the clock runs again. "Update in progress" shows during the last 2.2 ms of each second, as the
 * data sheet has it, and never longer. Register C's flags are derived, when it is read, from the time that has passed
 * since it was last read.
 *
 * Limits: no interrupt line (the ACPI tables announce none, so guests do not wait for one) and no square wave.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "dev/dev.h"

#define RTC_LEN	  2u
#define RTC_INDEX 0u
#define RTC_DATA  1u

#define CMOS_LEN	   128u
#define CMOS_SECONDS	   0x00u
#define CMOS_SECONDS_ALARM 0x01u
#define CMOS_MINUTES	   0x02u
#define CMOS_MINUTES_ALARM 0x03u
#define CMOS_HOURS	   0x04u
#define CMOS_HOURS_ALARM   0x05u
#define CMOS_WEEKDAY	   0x06u
#define CMOS_DAY	   0x07u
#define CMOS_MONTH	   0x08u
#define CMOS_YEAR	   0x09u
#define CMOS_A		   0x0au
#define CMOS_B		   0x0bu
#define CMOS_C		   0x0cu
#define CMOS_D		   0x0du
#define CMOS_CENTURY	   0x32u /* named in the FADT */

#define A_UIP		0x80u
#define A_DIVIDER_RUN	0x20u
#define A_DIVIDER_RESET 0x60u /* 0x60 and 0x70 hold the divider chain */
#define A_RATE		0x0fu
#define B_SET		0x80u
#define B_ENABLES	0x78u /* periodic, alarm, update, square wave: cleared by reset */
#define B_BINARY	0x04u
#define B_24H		0x02u
#define C_IRQF		0x80u
#define C_PERIODIC	0x40u
#define C_ALARM		0x20u
#define C_UPDATE	0x10u
#define D_VALID		0x80u
#define HOURS_PM	0x80u
#define ALARM_ANY	0xc0u /* an alarm byte with both bits set matches everything */

#define UIP_NS		UINT64_C(2228000) /* 244 us of warning and 1984 us of update */
#define SECONDS_PER_DAY 86400

#define RTC_VERSION 1u

struct rtc {
	struct device_host host;
	int64_t offset_ns;  /* the clock minus the host's wall clock; meaningless while held */
	uint64_t c_read_ns; /* the clock when register C was last read */
	bool held;	    /* the time registers in cmos[] are the time */
	uint8_t index;
	uint8_t cmos[CMOS_LEN]; /* not held: time registers are stale */
};

static uint64_t rtc_now_ns(const struct rtc *rtc)
{
	return rtc->host.wall_clock_ns(rtc->host.arg) + (uint64_t)rtc->offset_ns;
}

static uint8_t rtc_encode(const struct rtc *rtc, int value)
{
	return (uint8_t)(rtc->cmos[CMOS_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

/* Return: -1 if @raw is not a number in register B's format. */
static int rtc_decode(const struct rtc *rtc, uint8_t raw)
{
	if (rtc->cmos[CMOS_B] & B_BINARY)
		return raw;
	return (raw & 0xf) > 9 || raw >> 4 > 9 ? -1 : (raw >> 4) * 10 + (raw & 0xf);
}

static uint8_t rtc_encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->cmos[CMOS_B] & B_24H)
		return rtc_encode(rtc, hour);
	return rtc_encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOURS_PM : 0);
}

static int rtc_decode_hour(const struct rtc *rtc, uint8_t raw)
{
	int hour;

	if (rtc->cmos[CMOS_B] & B_24H)
		return rtc_decode(rtc, raw);
	hour = rtc_decode(rtc, raw & (uint8_t)~HOURS_PM);
	if (hour < 1 || hour > 12)
		return -1;
	return hour % 12 + (raw & HOURS_PM ? 12 : 0);
}

/* Put the running clock's time into the time registers. */
static void rtc_refresh(struct rtc *rtc)
{
	time_t now = (time_t)(rtc_now_ns(rtc) / NS_PER_SEC);
	struct tm tm;

	if (rtc->held || !gmtime_r(&now, &tm))
		return;
	rtc->cmos[CMOS_SECONDS] = rtc_encode(rtc, tm.tm_sec);
	rtc->cmos[CMOS_MINUTES] = rtc_encode(rtc, tm.tm_min);
	rtc->cmos[CMOS_HOURS] = rtc_encode_hour(rtc, tm.tm_hour);
	rtc->cmos[CMOS_WEEKDAY] = rtc_encode(rtc, tm.tm_wday + 1);
	rtc->cmos[CMOS_DAY] = rtc_encode(rtc, tm.tm_mday);
	rtc->cmos[CMOS_MONTH] = rtc_encode(rtc, tm.tm_mon + 1);
	rtc->cmos[CMOS_YEAR] = rtc_encode(rtc, tm.tm_year % 100);
	rtc->cmos[CMOS_CENTURY] = rtc_encode(rtc, tm.tm_year / 100 + 19);
}

/* The date in the time registers. Return: whether it is one. */
static bool rtc_parse(const struct rtc *rtc, time_t *ret_time)
{
	int century = rtc_decode(rtc, rtc->cmos[CMOS_CENTURY]), year = rtc_decode(rtc, rtc->cmos[CMOS_YEAR]);
	struct tm tm = {
		.tm_sec = rtc_decode(rtc, rtc->cmos[CMOS_SECONDS]),
		.tm_min = rtc_decode(rtc, rtc->cmos[CMOS_MINUTES]),
		.tm_hour = rtc_decode_hour(rtc, rtc->cmos[CMOS_HOURS]),
		.tm_mday = rtc_decode(rtc, rtc->cmos[CMOS_DAY]),
		.tm_mon = rtc_decode(rtc, rtc->cmos[CMOS_MONTH]) - 1,
		.tm_year = (century - 19) * 100 + year,
	};
	struct tm same = tm;
	time_t t;

	if (century < 19 || century > 99 || year < 0 || year > 99 || tm.tm_sec < 0 || tm.tm_min < 0 || tm.tm_hour < 0)
		return false;
	t = timegm(&same); /* normalises what is no date, so that the two differ */
	if (t < 0 || same.tm_sec != tm.tm_sec || same.tm_min != tm.tm_min || same.tm_hour != tm.tm_hour ||
	    same.tm_mday != tm.tm_mday || same.tm_mon != tm.tm_mon)
		return false;
	*ret_time = t;
	return true;
}

static bool rtc_stopped(const struct rtc *rtc)
{
	return rtc->cmos[CMOS_B] & B_SET || (rtc->cmos[CMOS_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

/* What decides whether the clock runs, or what it shows, has changed. @fraction_ns: where in its second a clock starts.
 */
static void rtc_settle(struct rtc *rtc, uint64_t fraction_ns)
{
	time_t t;

	rtc->held = rtc_stopped(rtc) || !rtc_parse(rtc, &t);
	if (rtc->held)
		return;
	rtc->offset_ns = (int64_t)((uint64_t)t * NS_PER_SEC + fraction_ns - rtc->host.wall_clock_ns(rtc->host.arg));
	rtc->c_read_ns = rtc_now_ns(rtc);
}

static void rtc_reset(void *state)
{
	struct rtc *rtc = state;

	/* The battery keeps the time and the RAM. */
	rtc_refresh(rtc);
	rtc->cmos[CMOS_B] &= (uint8_t) ~(B_ENABLES | B_SET);
	rtc->cmos[CMOS_A] = A_DIVIDER_RUN | 6;
	rtc->index = 0;
	if (rtc->held)
		rtc_settle(rtc, 0);
}

static void rtc_init(void *state, const struct device_host *host)
{
	struct rtc *rtc = state;

	memset(rtc, 0, sizeof(*rtc));
	rtc->host = *host;
	rtc->cmos[CMOS_B] = B_24H;
	rtc->c_read_ns = rtc_now_ns(rtc);
	rtc_reset(rtc);
}

static bool rtc_alarm_matches(const struct rtc *rtc, unsigned int reg, int value)
{
	uint8_t raw = rtc->cmos[reg];

	if ((raw & ALARM_ANY) == ALARM_ANY)
		return true;
	return (reg == CMOS_HOURS_ALARM ? rtc_decode_hour(rtc, raw) : rtc_decode(rtc, raw)) == value;
}

/* Whether the alarm's time of day came in (@from, @to], seconds. */
static bool rtc_alarm_passed(const struct rtc *rtc, uint64_t from, uint64_t to)
{
	if (to - from > SECONDS_PER_DAY)
		from = to - SECONDS_PER_DAY;
	for (uint64_t t = from + 1; t <= to; t++) {
		int second = (int)(t % SECONDS_PER_DAY);

		if (rtc_alarm_matches(rtc, CMOS_SECONDS_ALARM, second % 60) &&
		    rtc_alarm_matches(rtc, CMOS_MINUTES_ALARM, second / 60 % 60) &&
		    rtc_alarm_matches(rtc, CMOS_HOURS_ALARM, second / 3600))
			return true;
	}
	return false;
}

/* Nanoseconds between periodic flags, 0 if they are off. Rates 1 and 2 are those of 8 and 9. */
static uint64_t rtc_period_ns(const struct rtc *rtc)
{
	unsigned int rate = rtc->cmos[CMOS_A] & A_RATE;

	if (!rate)
		return 0;
	return (NS_PER_SEC << ((rate <= 2 ? rate + 7 : rate) - 1)) / 32768;
}

static uint8_t rtc_read_c(struct rtc *rtc)
{
	uint64_t before = rtc->c_read_ns, now = rtc_now_ns(rtc), period = rtc_period_ns(rtc);
	uint8_t flags = 0;

	if (rtc->held)
		return 0;
	rtc->c_read_ns = now;
	if (now <= before) /* the host's clock was set back */
		return 0;
	if (now / NS_PER_SEC != before / NS_PER_SEC)
		flags |= C_UPDATE;
	if (period && now / period != before / period)
		flags |= C_PERIODIC;
	if (rtc_alarm_passed(rtc, before / NS_PER_SEC, now / NS_PER_SEC))
		flags |= C_ALARM;
	return flags | (flags & rtc->cmos[CMOS_B] ? C_IRQF : 0);
}

static bool rtc_updating(const struct rtc *rtc)
{
	return !rtc->held && rtc_now_ns(rtc) % NS_PER_SEC >= NS_PER_SEC - UIP_NS;
}

static bool rtc_is_time(unsigned int reg)
{
	switch (reg) {
	case CMOS_SECONDS:
	case CMOS_MINUTES:
	case CMOS_HOURS:
	case CMOS_WEEKDAY:
	case CMOS_DAY:
	case CMOS_MONTH:
	case CMOS_YEAR:
	case CMOS_CENTURY:
		return true;
	default:
		return false;
	}
}

static uint32_t rtc_read(void *state, uint32_t offset, unsigned int size)
{
	struct rtc *rtc = state;

	if (offset != RTC_DATA)
		return 0xff; /* the index is write-only */
	switch (rtc->index) {
	case CMOS_A:
		return rtc->cmos[CMOS_A] | (rtc_updating(rtc) ? A_UIP : 0);
	case CMOS_C:
		return rtc_read_c(rtc);
	case CMOS_D:
		return D_VALID;
	}
	if (rtc_is_time(rtc->index))
		rtc_refresh(rtc);
	return rtc->cmos[rtc->index];
}

static void rtc_write(void *state, uint32_t offset, unsigned int size, uint32_t value)
{
	struct rtc *rtc = state;
	unsigned int reg = rtc->index;
	bool is_control;

	if (offset == RTC_INDEX) {
		rtc->index = value & (CMOS_LEN - 1); /* bit 7 masks NMIs, of which there are none */
		return;
	}
	if (reg == CMOS_C || reg == CMOS_D)
		return;
	is_control = reg == CMOS_A || reg == CMOS_B;
	if (reg == CMOS_A)
		value &= ~A_UIP;
	if (is_control || rtc_is_time(reg))
		rtc_refresh(rtc);
	rtc->cmos[reg] = (uint8_t)value;
	/* A divider that is let go makes its first update half a second later: drivers that set the clock count on it.
	 */
	if (is_control && (rtc->held || rtc_stopped(rtc)))
		rtc_settle(rtc, reg == CMOS_A ? NS_PER_SEC / 2 : 0);
	else if (rtc_is_time(reg) && reg != CMOS_WEEKDAY)
		rtc_settle(rtc, 0);
}

/* The saved form, little endian: version, index, held, offset (8), time of the last read of C (8), CMOS. */
#define SAVED_INDEX  1u
#define SAVED_HELD   2u
#define SAVED_OFFSET 3u
#define SAVED_C_READ 11u
#define SAVED_CMOS   19u
#define SAVED_LEN    (SAVED_CMOS + CMOS_LEN)

static size_t rtc_save(const void *state, void *buf, size_t max)
{
	const struct rtc *rtc = state;
	uint8_t *out = buf;

	out[0] = RTC_VERSION;
	out[SAVED_INDEX] = rtc->index;
	out[SAVED_HELD] = rtc->held;
	put_le64(out + SAVED_OFFSET, (uint64_t)rtc->offset_ns);
	put_le64(out + SAVED_C_READ, rtc->c_read_ns);
	memcpy(out + SAVED_CMOS, rtc->cmos, CMOS_LEN);
	return SAVED_LEN;
}

static int rtc_load(void *state, const void *buf, size_t len)
{
	struct rtc *rtc = state;
	const uint8_t *in = buf;

	if (len < 1)
		return -EPROTO;
	if (in[0] != RTC_VERSION)
		return -EPROTONOSUPPORT;
	if (len != SAVED_LEN || in[SAVED_INDEX] >= CMOS_LEN || in[SAVED_HELD] > 1)
		return -EPROTO;
	rtc->index = in[SAVED_INDEX];
	rtc->held = in[SAVED_HELD];
	rtc->offset_ns = (int64_t)get_le64(in + SAVED_OFFSET);
	rtc->c_read_ns = get_le64(in + SAVED_C_READ);
	memcpy(rtc->cmos, in + SAVED_CMOS, CMOS_LEN);
	return 0;
}

static void rtc_done(void *state)
{
}

const struct device_desc rtc_device = {
	.name = "rtc",
	.state_size = sizeof(struct rtc),
	.region_len = RTC_LEN,
	.access_max = 1,
	.init = rtc_init,
	.reset = rtc_reset,
	.read = rtc_read,
	.write = rtc_write,
	.save = rtc_save,
	.load = rtc_load,
	.done = rtc_done,
};
