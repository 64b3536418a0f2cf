/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 16550A serial port.
 *
 * Theory of operation: the line has no speed. A byte written to the transmitter leaves at once, so the transmitter is
 * always empty, and its interrupt is pending again right after each write. Received bytes wait in a FIFO of 16 (one
 * byte while FIFOs are off); input() takes no more than fit, so nothing is ever overrun, and input_ready tells when
 * there is room again. As there is no time on the line, the "character timeout" is immediate: fewer bytes than the
 * trigger level raise that cause. The interrupt line follows the causes alone; it is not gated by OUT2, which only some
 * boards do.
 *
 * Limits: break, parity and framing errors do not exist on this line; the divisor is kept and has no effect.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "dev/dev.h"

#define UART_LEN      8u
#define UART_FIFO_LEN 16u

/* register offsets; 0 and 1 are the divisor latch while LCR_DLAB is set */
#define UART_DATA 0u
#define UART_IER  1u
#define UART_IIR  2u /* read; write: FCR */
#define UART_LCR  3u
#define UART_MCR  4u
#define UART_LSR  5u
#define UART_MSR  6u
#define UART_SCR  7u

#define IER_RECEIVED 0x01u
#define IER_TRANSMIT 0x02u
#define IER_LINE     0x04u
#define IER_MODEM    0x08u
#define IER_MASK     0x0fu

#define IIR_MODEM    0x00u
#define IIR_NONE     0x01u
#define IIR_TRANSMIT 0x02u
#define IIR_RECEIVED 0x04u
#define IIR_TIMEOUT  0x0cu
#define IIR_FIFO     0xc0u

#define FCR_ENABLE	   0x01u
#define FCR_CLEAR_RECEIVED 0x02u
#define FCR_TRIGGER_SHIFT  6u

#define LCR_DLAB 0x80u

#define MCR_DTR	 0x01u
#define MCR_RTS	 0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define MCR_MASK 0x1fu

#define LSR_READY	   0x01u
#define LSR_TRANSMIT_EMPTY 0x60u /* holding register and shifter */

#define MSR_CTS	       0x10u
#define MSR_DSR	       0x20u
#define MSR_RI	       0x40u
#define MSR_DCD	       0x80u
#define MSR_DELTA_MASK 0x0fu
#define MSR_DELTA_RI   0x04u /* trailing edge only */

#define UART_VERSION 1u

struct uart {
	struct device_host host;
	uint8_t ier, fcr, lcr, mcr, msr, scr;
	uint8_t divisor[2];
	bool transmit_pending; /* the transmitter's interrupt cause */
	bool starved;	       /* input() has refused bytes since the last input_ready */
	bool line;	       /* level of the interrupt line */
	uint8_t fifo[UART_FIFO_LEN];
	uint8_t fifo_head; /* < UART_FIFO_LEN */
	uint8_t fifo_len;  /* <= UART_FIFO_LEN */
};

static bool uart_fifo_on(const struct uart *uart)
{
	return uart->fcr & FCR_ENABLE;
}

static unsigned int uart_room(const struct uart *uart)
{
	unsigned int max = uart_fifo_on(uart) ? UART_FIFO_LEN : 1;

	return uart->fifo_len < max ? max - uart->fifo_len : 0;
}

static void uart_put(struct uart *uart, uint8_t byte)
{
	uart->fifo[(uart->fifo_head + uart->fifo_len++) % UART_FIFO_LEN] = byte;
}

/* The cause of highest priority that is pending and enabled, as IIR shows it in its low four bits. */
static uint8_t uart_cause(const struct uart *uart)
{
	static const uint8_t trigger[] = {1, 4, 8, 14};

	if ((uart->ier & IER_RECEIVED) && uart->fifo_len) {
		if (uart_fifo_on(uart) && uart->fifo_len < trigger[uart->fcr >> FCR_TRIGGER_SHIFT])
			return IIR_TIMEOUT;
		return IIR_RECEIVED;
	}
	if ((uart->ier & IER_TRANSMIT) && uart->transmit_pending)
		return IIR_TRANSMIT;
	if ((uart->ier & IER_MODEM) && (uart->msr & MSR_DELTA_MASK))
		return IIR_MODEM;
	return IIR_NONE;
}

static void uart_update_line(struct uart *uart)
{
	bool level = uart_cause(uart) != IIR_NONE;

	if (level == uart->line)
		return;
	uart->line = level;
	uart->host.set_line(uart->host.arg, level);
}

/* Whoever was refused may offer its bytes again, once there is room. */
static void uart_feed(struct uart *uart)
{
	if (!uart->starved || uart->fifo_len || (uart->mcr & MCR_LOOP))
		return;
	uart->starved = false;
	if (uart->host.input_ready)
		uart->host.input_ready(uart->host.arg);
}

/* The modem's lines: our own outputs in loopback, else a modem that is always there. */
static uint8_t uart_modem_lines(const struct uart *uart)
{
	if (!(uart->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return ((uart->mcr & MCR_RTS) ? MSR_CTS : 0) | ((uart->mcr & MCR_DTR) ? MSR_DSR : 0) |
	       ((uart->mcr & MCR_OUT1) ? MSR_RI : 0) | ((uart->mcr & MCR_OUT2) ? MSR_DCD : 0);
}

static void uart_update_modem(struct uart *uart)
{
	uint8_t lines = uart_modem_lines(uart), old = uart->msr;
	uint8_t delta = (uint8_t)((lines ^ old) >> 4);

	if (lines & MSR_RI) /* the ring indicator counts when it falls */
		delta &= (uint8_t)~MSR_DELTA_RI;
	uart->msr = lines | (old & MSR_DELTA_MASK) | delta;
}

static void uart_reset(void *state)
{
	struct uart *uart = state;

	uart->ier = uart->fcr = uart->lcr = uart->mcr = uart->scr = 0;
	uart->divisor[0] = 12; /* 9600 baud, as firmware leaves it */
	uart->divisor[1] = 0;
	uart->msr = uart_modem_lines(uart);
	uart->transmit_pending = false;
	uart->fifo_head = uart->fifo_len = 0;
	uart_update_line(uart);
	uart_feed(uart);
}

static void uart_init(void *state, const struct device_host *host)
{
	struct uart *uart = state;

	memset(uart, 0, sizeof(*uart));
	uart->host = *host;
	uart_reset(uart);
}

static uint8_t uart_read_data(struct uart *uart)
{
	uint8_t byte;

	if (!uart->fifo_len)
		return 0;
	byte = uart->fifo[uart->fifo_head];
	uart->fifo_head = (uart->fifo_head + 1) % UART_FIFO_LEN;
	uart->fifo_len--;
	uart_feed(uart);
	return byte;
}

static uint8_t uart_read_iir(struct uart *uart)
{
	uint8_t cause = uart_cause(uart);

	if (cause == IIR_TRANSMIT) /* reading it acknowledges it */
		uart->transmit_pending = false;
	return cause | (uart_fifo_on(uart) ? IIR_FIFO : 0);
}

static uint8_t uart_read_register(struct uart *uart, uint32_t offset)
{
	uint8_t value;

	switch (offset) {
	case UART_DATA:
		return uart_read_data(uart);
	case UART_IER:
		return uart->ier;
	case UART_IIR:
		return uart_read_iir(uart);
	case UART_LCR:
		return uart->lcr;
	case UART_MCR:
		return uart->mcr;
	case UART_LSR:
		return LSR_TRANSMIT_EMPTY | (uart->fifo_len ? LSR_READY : 0);
	case UART_MSR:
		value = uart->msr;
		uart->msr &= (uint8_t)~MSR_DELTA_MASK;
		return value;
	case UART_SCR:
		return uart->scr;
	default:
		return 0xff;
	}
}

static uint32_t uart_read(void *state, uint32_t offset, unsigned int size)
{
	struct uart *uart = state;
	uint8_t value;

	if ((uart->lcr & LCR_DLAB) && offset <= UART_IER)
		return uart->divisor[offset];
	value = uart_read_register(uart, offset);
	uart_update_line(uart);
	return value;
}

static void uart_write_data(struct uart *uart, uint8_t byte)
{
	if (!(uart->mcr & MCR_LOOP))
		uart->host.output(uart->host.arg, &byte, 1);
	else if (uart_room(uart))
		uart_put(uart, byte);
	uart->transmit_pending = true;
}

static void uart_write_ier(struct uart *uart, uint8_t value)
{
	/* Enabling the cause while the transmitter is empty raises it. Linux tests that it does so every time. */
	if ((value & IER_TRANSMIT) && !(uart->ier & IER_TRANSMIT))
		uart->transmit_pending = true;
	uart->ier = value & IER_MASK;
}

static void uart_write_fcr(struct uart *uart, uint8_t value)
{
	bool toggled = (value ^ uart->fcr) & FCR_ENABLE;

	uart->fcr = value & FCR_ENABLE ? value & (uint8_t)(FCR_ENABLE | 3u << FCR_TRIGGER_SHIFT) : 0;
	if (toggled || (value & FCR_ENABLE && value & FCR_CLEAR_RECEIVED))
		uart->fifo_head = uart->fifo_len = 0;
	uart_feed(uart);
}

static void uart_write(void *state, uint32_t offset, unsigned int size, uint32_t value32)
{
	struct uart *uart = state;
	uint8_t value = (uint8_t)value32;

	if ((uart->lcr & LCR_DLAB) && offset <= UART_IER) {
		uart->divisor[offset] = value;
		return;
	}
	switch (offset) {
	case UART_DATA:
		uart_write_data(uart, value);
		break;
	case UART_IER:
		uart_write_ier(uart, value);
		break;
	case UART_IIR:
		uart_write_fcr(uart, value);
		break;
	case UART_LCR:
		uart->lcr = value;
		break;
	case UART_MCR:
		uart->mcr = value & MCR_MASK;
		uart_update_modem(uart);
		uart_feed(uart);
		break;
	case UART_SCR:
		uart->scr = value;
		break;
	}
	uart_update_line(uart);
}

static size_t uart_input(void *state, const void *buf, size_t len)
{
	struct uart *uart = state;
	const uint8_t *bytes = buf;
	size_t taken = 0;

	while (taken < len && !(uart->mcr & MCR_LOOP) && uart_room(uart))
		uart_put(uart, bytes[taken++]);
	if (taken < len)
		uart->starved = true;
	uart_update_line(uart);
	return taken;
}

/* The saved form: version, registers, divisor, pending, number of received bytes, the bytes in order. */
enum {
	SAVED_VERSION,
	SAVED_IER,
	SAVED_FCR,
	SAVED_LCR,
	SAVED_MCR,
	SAVED_MSR,
	SAVED_SCR,
	SAVED_DIVISOR,
	SAVED_PENDING = SAVED_DIVISOR + 2,
	SAVED_FIFO_LEN,
	SAVED_FIFO,
};

static size_t uart_save(const void *state, void *buf, size_t max)
{
	const struct uart *uart = state;
	uint8_t *out = buf;

	out[SAVED_VERSION] = UART_VERSION;
	out[SAVED_IER] = uart->ier;
	out[SAVED_FCR] = uart->fcr;
	out[SAVED_LCR] = uart->lcr;
	out[SAVED_MCR] = uart->mcr;
	out[SAVED_MSR] = uart->msr;
	out[SAVED_SCR] = uart->scr;
	memcpy(out + SAVED_DIVISOR, uart->divisor, sizeof(uart->divisor));
	out[SAVED_PENDING] = uart->transmit_pending;
	out[SAVED_FIFO_LEN] = uart->fifo_len;
	for (unsigned int i = 0; i < uart->fifo_len; i++)
		out[SAVED_FIFO + i] = uart->fifo[(uart->fifo_head + i) % UART_FIFO_LEN];
	return SAVED_FIFO + uart->fifo_len;
}

static int uart_load(void *state, const void *buf, size_t len)
{
	struct uart *uart = state;
	const uint8_t *in = buf;

	if (len < 1)
		return -EPROTO;
	if (in[SAVED_VERSION] != UART_VERSION)
		return -EPROTONOSUPPORT;
	if (len < SAVED_FIFO || in[SAVED_FIFO_LEN] > UART_FIFO_LEN || len != (size_t)SAVED_FIFO + in[SAVED_FIFO_LEN])
		return -EPROTO;
	if (in[SAVED_IER] & ~IER_MASK || in[SAVED_MCR] & ~MCR_MASK || in[SAVED_PENDING] > 1)
		return -EPROTO;
	uart->ier = in[SAVED_IER];
	uart->fcr = in[SAVED_FCR];
	uart->lcr = in[SAVED_LCR];
	uart->mcr = in[SAVED_MCR];
	uart->msr = in[SAVED_MSR];
	uart->scr = in[SAVED_SCR];
	memcpy(uart->divisor, in + SAVED_DIVISOR, sizeof(uart->divisor));
	uart->transmit_pending = in[SAVED_PENDING];
	uart->fifo_head = 0;
	uart->fifo_len = in[SAVED_FIFO_LEN];
	memcpy(uart->fifo, in + SAVED_FIFO, uart->fifo_len);
	uart->starved = true; /* whoever has input asks again */
	uart->line = uart_cause(uart) != IIR_NONE;
	return 0;
}

static void uart_done(void *state)
{
}

const struct device_desc uart_device = {
	.name = "uart",
	.state_size = sizeof(struct uart),
	.region_len = UART_LEN,
	.access_max = 1,
	.init = uart_init,
	.reset = uart_reset,
	.read = uart_read,
	.write = uart_write,
	.input = uart_input,
	.save = uart_save,
	.load = uart_load,
	.done = uart_done,
};
