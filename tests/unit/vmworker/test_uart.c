/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dev/dev.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

/* what the fake host has seen */
static struct {
	bool line;
	unsigned int edges; /* rising */
	char out[64];
	size_t out_len;
	unsigned int ready;
} seen;

static void fake_set_line(void *arg, bool level)
{
	cr_assert_neq(level, seen.line, "only changes are reported");
	seen.line = level;
	seen.edges += level;
}

static void fake_output(void *arg, const void *buf, size_t len)
{
	memcpy(seen.out + seen.out_len, buf, len);
	seen.out_len += len;
}

static void fake_input_ready(void *arg)
{
	seen.ready++;
}

static const struct device_host fake_host = {
	.set_line = fake_set_line,
	.output = fake_output,
	.input_ready = fake_input_ready,
};

static void *uart;

static void setup(void)
{
	memset(&seen, 0, sizeof(seen));
	uart = malloc(uart_device.state_size);
	uart_device.init(uart, &fake_host);
}

static void teardown(void)
{
	uart_device.done(uart);
	free(uart);
}

static uint8_t in(uint32_t reg)
{
	return (uint8_t)uart_device.read(uart, reg, 1);
}

static void out(uint32_t reg, uint8_t value)
{
	uart_device.write(uart, reg, 1, value);
}

TestSuite(uart, .init = setup, .fini = teardown);

Test(uart, power_on)
{
	cr_assert_eq(in(IER), 0);
	cr_assert_eq(in(IIR), 0x01);
	cr_assert_eq(in(LCR), 0);
	cr_assert_eq(in(MCR), 0);
	cr_assert_eq(in(LSR), 0x60);
	cr_assert_eq(in(MSR), 0xb0);
	cr_assert_not(seen.line);
}

Test(uart, output_in_order)
{
	for (const char *p = "hello"; *p; p++)
		out(DATA, (uint8_t)*p);
	cr_assert_eq(seen.out_len, 5);
	cr_assert_eq(memcmp(seen.out, "hello", 5), 0);
	cr_assert_eq(in(LSR), 0x60);
}

Test(uart, divisor_latch_hides_data_and_ier)
{
	out(LCR, 0x83);
	out(DATA, 0x01);
	out(IER, 0x02);
	cr_assert_eq(in(DATA), 0x01);
	cr_assert_eq(in(IER), 0x02);
	out(LCR, 0x03);
	cr_assert_eq(in(IER), 0);
	cr_assert_eq(seen.out_len, 0);
}

Test(uart, scratch)
{
	out(SCR, 0x5a);
	cr_assert_eq(in(SCR), 0x5a);
}

/* What a driver does to tell a 16550A from its relatives. */
Test(uart, is_a_16550a)
{
	out(IER, 0x0f);
	cr_assert_eq(in(IER), 0x0f);
	out(IER, 0xff);
	cr_assert_eq(in(IER), 0x0f, "no sleep mode, no DMA, no UUE bits");
	out(IER, 0);
	out(IIR, 0x01);
	cr_assert_eq(in(IIR)&0xc0, 0xc0);
	out(LCR, 0x80);
	out(IIR, 0x21); /* 64-byte FIFO of a 16750 */
	cr_assert_eq(in(IIR)&0x20, 0);
	out(LCR, 0xbf);
	cr_assert_neq(in(IIR), 0, "no enhanced feature register");
	out(LCR, 0);
	out(IIR, 0);
	cr_assert_eq(in(IIR)&0xc0, 0);
}

Test(uart, loopback_modem_lines)
{
	static const struct {
		uint8_t mcr, msr;
	} rows[] = {{0x10, 0x00}, {0x11, 0x20}, {0x12, 0x10}, {0x14, 0x40}, {0x18, 0x80}, {0x1a, 0x90}, {0x1f, 0xf0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		out(MCR, rows[i].mcr);
		cr_assert_eq(in(MSR)&0xf0, rows[i].msr, "row %zu", i);
	}
	out(MCR, 0xff);
	cr_assert_eq(in(MCR), 0x1f);
}

Test(uart, loopback_data)
{
	out(IIR, 0x01);
	out(MCR, 0x10);
	out(DATA, 'x');
	cr_assert_eq(seen.out_len, 0);
	cr_assert_eq(in(LSR)&1, 1);
	cr_assert_eq(uart_device.input(uart, "outside", 7), 0, "the line is cut");
	cr_assert_eq(in(DATA), 'x');
	for (int i = 0; i < 40; i++)
		out(DATA, (uint8_t)i);
	for (int i = 0; i < 16; i++)
		cr_assert_eq(in(DATA), i);
	cr_assert_eq(in(LSR)&1, 0);
	cr_assert_eq(seen.ready, 0);
	out(MCR, 0);
	cr_assert_eq(seen.ready, 1);
}

Test(uart, modem_status_interrupt)
{
	out(IER, 0x08);
	cr_assert_not(seen.line, "no change so far");
	out(MCR, 0x10);
	cr_assert(seen.line);
	cr_assert_eq(in(IIR), 0x00);
	cr_assert_eq(in(MSR), 0x0b, "CTS, DSR, DCD changed");
	cr_assert_not(seen.line);
	cr_assert_eq(in(IIR), 0x01);
	out(MCR, 0x14);
	cr_assert_eq(in(MSR), 0x40, "a rising ring indicator does not count");
	out(MCR, 0x10);
	cr_assert_eq(in(MSR), 0x04, "a falling one does");
}

Test(uart, transmit_interrupt)
{
	out(IER, 0x02);
	cr_assert(seen.line);
	cr_assert_eq(in(IIR), 0x02);
	cr_assert_not(seen.line, "acknowledged by the read");
	cr_assert_eq(in(IIR), 0x01);
	out(DATA, 'a');
	cr_assert(seen.line, "empty again");
	cr_assert_eq(in(IIR), 0x02);
	out(IER, 0);
	cr_assert_not(seen.line);
	out(IER, 0x02);
	cr_assert_eq(in(IIR), 0x02, "enabling it again raises it again");
	cr_assert_eq(seen.edges, 3);
}

Test(uart, receive_without_fifo)
{
	cr_assert_eq(uart_device.input(uart, "abc", 3), 1);
	cr_assert_not(seen.line);
	out(IER, 0x01);
	cr_assert(seen.line);
	cr_assert_eq(in(IIR), 0x04);
	cr_assert_eq(in(LSR), 0x61);
	cr_assert_eq(seen.ready, 0);
	cr_assert_eq(in(DATA), 'a');
	cr_assert_eq(seen.ready, 1);
	cr_assert_not(seen.line);
	cr_assert_eq(in(LSR), 0x60);
	cr_assert_eq(in(DATA), 0);
}

Test(uart, receive_fifo_trigger_and_timeout)
{
	out(IIR, 0x81); /* trigger at 8 */
	out(IER, 0x01);
	cr_assert_eq(uart_device.input(uart, "1234567", 7), 7);
	cr_assert(seen.line);
	cr_assert_eq(in(IIR), 0xcc);
	cr_assert_eq(uart_device.input(uart, "8", 1), 1);
	cr_assert_eq(in(IIR), 0xc4);
	cr_assert_eq(uart_device.input(uart, "9abcdefghijk", 12), 8);
	for (const char *p = "123456789abcdefg"; *p; p++) {
		cr_assert_eq(seen.ready, 0);
		cr_assert_eq(in(DATA), *p);
	}
	cr_assert_eq(seen.ready, 1);
	cr_assert_eq(in(IIR), 0xc1);
	cr_assert_not(seen.line);
}

Test(uart, fifo_clear)
{
	out(IIR, 0x01);
	uart_device.input(uart, "0123456789abcdefghij", 20);
	out(IIR, 0x03);
	cr_assert_eq(in(LSR)&1, 0);
	cr_assert_eq(seen.ready, 1, "the rest is offered again");
	uart_device.input(uart, "x", 1);
	out(IIR, 0x00);
	cr_assert_eq(in(LSR)&1, 0, "turning FIFOs off clears them");
}

Test(uart, priority)
{
	out(IER, 0x0f);
	out(MCR, 0x10);
	out(MCR, 0x00);
	uart_device.input(uart, "z", 1);
	cr_assert_eq(in(IIR), 0x04);
	cr_assert_eq(in(DATA), 'z');
	cr_assert_eq(in(IIR), 0x02);
	cr_assert(seen.line, "one more cause");
	cr_assert_eq(in(IIR), 0x00);
	in(MSR);
	cr_assert_eq(in(IIR), 0x01);
	cr_assert_not(seen.line);
	cr_assert_eq(seen.edges, 1, "the line stayed up in between");
}

Test(uart, reset)
{
	out(IIR, 0x01);
	out(IER, 0x03);
	uart_device.input(uart, "abc", 3);
	uart_device.reset(uart);
	cr_assert_not(seen.line);
	cr_assert_eq(in(IER), 0);
	cr_assert_eq(in(LSR), 0x60);
	cr_assert_eq(in(IIR), 0x01);
}

Test(uart, save_and_load)
{
	uint8_t buf[DEVICE_SAVE_MAX];
	size_t len;

	out(LCR, 0x80);
	out(DATA, 0x34);
	out(IER, 0x12);
	out(LCR, 0x03);
	out(IIR, 0xc1);
	out(IER, 0x05);
	out(MCR, 0x0b);
	out(SCR, 0x77);
	uart_device.input(uart, "hello", 5);
	cr_assert_eq(in(DATA), 'h');
	len = uart_device.save(uart, buf, sizeof(buf));

	uart_device.init(uart, &fake_host);
	memset(&seen, 0, sizeof(seen));
	cr_assert_eq(uart_device.load(uart, buf, len), 0);
	cr_assert_eq(seen.edges, 0);
	cr_assert_eq(in(IER), 0x05);
	cr_assert_eq(in(LCR), 0x03);
	cr_assert_eq(in(MCR), 0x0b);
	cr_assert_eq(in(SCR), 0x77);
	cr_assert_eq(in(IIR), 0xcc);
	seen.line = true; /* the interrupt controller's own state says so */
	for (const char *p = "ello"; *p; p++)
		cr_assert_eq(in(DATA), *p);
	cr_assert_not(seen.line);
	out(LCR, 0x80);
	cr_assert_eq(in(DATA), 0x34);
	cr_assert_eq(in(IER), 0x12);
}

Test(uart, load_refuses_nonsense)
{
	uint8_t buf[DEVICE_SAVE_MAX];
	size_t len = uart_device.save(uart, buf, sizeof(buf));

	cr_assert_eq(uart_device.load(uart, buf, 0), -EPROTO);
	cr_assert_eq(uart_device.load(uart, buf, len - 1), -EPROTO);
	cr_assert_eq(uart_device.load(uart, buf, len + 1), -EPROTO);
	buf[len - 1] = 17; /* received bytes */
	cr_assert_eq(uart_device.load(uart, buf, len + 17), -EPROTO);
	buf[0] = 9;
	cr_assert_eq(uart_device.load(uart, buf, len), -EPROTONOSUPPORT);
}
