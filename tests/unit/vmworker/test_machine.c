/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

static struct {
	unsigned int gsi;
	bool level;
	char out[64];
	size_t out_len;
	unsigned int ready, power_offs, resets;
} seen;

static void fake_set_line(void *arg, unsigned int gsi, bool level)
{
	cr_assert_eq(arg, &seen);
	seen.gsi = gsi;
	seen.level = level;
}

static void fake_output(void *arg, const void *buf, size_t len)
{
	memcpy(seen.out + seen.out_len, buf, len);
	seen.out_len += len;
}

static void fake_ready(void *arg)
{
	seen.ready++;
}

static void fake_power_off(void *arg)
{
	seen.power_offs++;
}

static void fake_reset(void *arg)
{
	seen.resets++;
}

static const struct machine_host fake_host = {
	.set_line = fake_set_line,
	.serial_output = fake_output,
	.serial_input_ready = fake_ready,
	.power_off = fake_power_off,
	.reset = fake_reset,
	.arg = &seen,
};

static struct machine *machine;

static void setup(void)
{
	memset(&seen, 0, sizeof(seen));
	cr_assert_eq(machine_new(&fake_host, &machine), 0);
}

static void teardown(void)
{
	machine_free(machine);
}

static uint32_t in(uint16_t port, unsigned int size)
{
	uint32_t value = 0;

	machine_pio(machine, port, false, size, &value);
	return value;
}

static void out(uint16_t port, unsigned int size, uint32_t value)
{
	machine_pio(machine, port, true, size, &value);
}

TestSuite(machine, .init = setup, .fini = teardown);

Test(machine, ports)
{
	out(MACHINE_UART_PORT, 1, 'A');
	cr_assert_eq(seen.out_len, 1);
	cr_assert_eq(seen.out[0], 'A');
	cr_assert_eq(in(0x64, 1), 0);
	out(MACHINE_RTC_PORT, 1, 0x0d);
	cr_assert_eq(in(MACHINE_RTC_PORT + 1, 1), 0x80);
	out(MACHINE_ACPI_PORT + MACHINE_ACPI_RESET, 1, MACHINE_ACPI_RESET_VALUE);
	cr_assert_eq(seen.resets, 1);
	out(MACHINE_ACPI_PORT, 1, 0x20 | MACHINE_ACPI_S5_TYPE << 2);
	cr_assert_eq(seen.power_offs, 1);
	out(0x64, 1, 0xfe);
	cr_assert_eq(seen.resets, 2);
}

Test(machine, nothing_there_reads_ones)
{
	cr_assert_eq(in(0x80, 1), 0xff);
	cr_assert_eq(in(0xcf8, 4), 0xffffffff);
	cr_assert_eq(in(0xffff, 4), 0xffffffff, "beyond the last port");
	out(0xffff, 4, 0);
	out(0x80, 2, 0);
}

Test(machine, wide_accesses_are_split)
{
	cr_assert_eq(in(MACHINE_UART_PORT + 5, 2), 0xb060, "line and modem status");
	cr_assert_eq(in(MACHINE_UART_PORT + 7, 2), 0xff00, "scratch, and nothing behind it");
	out(MACHINE_RTC_PORT, 2, 0x5a0e); /* index and data at once */
	cr_assert_eq(in(MACHINE_RTC_PORT + 1, 1), 0x5a);
}

Test(machine, serial_input_and_line)
{
	out(MACHINE_UART_PORT + 1, 1, 0x01);
	cr_assert_eq(machine_serial_input(machine, "xy", 2), 1);
	cr_assert_eq(seen.gsi, MACHINE_UART_GSI);
	cr_assert(seen.level);
	cr_assert_eq(in(MACHINE_UART_PORT, 1), 'x');
	cr_assert_not(seen.level);
	cr_assert_eq(seen.ready, 1);
}

Test(machine, reset)
{
	out(MACHINE_UART_PORT + 7, 1, 0x42);
	machine_reset(machine);
	cr_assert_eq(in(MACHINE_UART_PORT + 7, 1), 0);
}

Test(machine, save_and_load)
{
	void *buf;
	size_t len;

	out(MACHINE_UART_PORT + 7, 1, 0x42);
	out(MACHINE_RTC_PORT, 2, 0x5a0e);
	cr_assert_eq(machine_save(machine, &buf, &len), 0);
	machine_free(machine);
	cr_assert_eq(machine_new(&fake_host, &machine), 0);
	cr_assert_eq(machine_load(machine, buf, len), 0);
	cr_assert_eq(in(MACHINE_UART_PORT + 7, 1), 0x42);
	cr_assert_eq(in(MACHINE_RTC_PORT + 1, 1), 0x5a);
	free(buf);
}

Test(machine, load_is_all_or_nothing)
{
	uint8_t *buf;
	void *saved;
	size_t len;

	out(MACHINE_UART_PORT + 7, 1, 0x42);
	cr_assert_eq(machine_save(machine, &saved, &len), 0);
	out(MACHINE_UART_PORT + 7, 1, 0x43);
	for (size_t cut = 0; cut < len; cut++) {
		buf = malloc(cut ? cut : 1);
		memcpy(buf, saved, cut);
		cr_assert_eq(machine_load(machine, buf, cut), -EPROTO, "cut to %zu", cut);
		free(buf);
	}
	buf = calloc(1, len + 1);
	memcpy(buf, saved, len);
	cr_assert_eq(machine_load(machine, buf, len + 1), -EPROTO);
	buf[4] ^= 1; /* a device's name */
	cr_assert_eq(machine_load(machine, buf, len), -EPROTO);
	buf[0]++;
	cr_assert_eq(machine_load(machine, buf, len), -EPROTONOSUPPORT);
	cr_assert_eq(in(MACHINE_UART_PORT + 7, 1), 0x43);
	free(buf);
	free(saved);
}
