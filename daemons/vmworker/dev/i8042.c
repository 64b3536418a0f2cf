/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left of the AT keyboard controller where there is no keyboard: its reset line, and port B (0x61) between its
 * ports.
 *
 * Theory of operation: the status port always reads 0: "input buffer empty" lets a guest that wants to reboot write its
 * command at once, "output buffer empty" means that no byte waits for it. No other command is answered. The FADT says
 * that there is no controller, so a driver does not look for one.
 * Port B: the output of timer 2 reads as expired and the refresh bit toggles, so no loop that waits for either can
 * hang.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "dev/dev.h"

#define I8042_DATA    0u
#define I8042_PORT_B  1u
#define I8042_COMMAND 4u /* read: status */
#define I8042_LEN     5u

#define I8042_CMD_WRITE_OUTPUT 0xd1u /* the next data byte goes to the output port */
#define I8042_CMD_PULSE	       0xf0u /* 0xf0..0xff: pulse those of outputs 0-3 low whose bit is 0 */
#define I8042_OUT_RESET_N      0x01u /* output 0: processor reset, active low */

#define PORT_B_REFRESH	  0x10u
#define PORT_B_TIMER2_OUT 0x20u
#define PORT_B_WRITABLE	  0x0fu

#define I8042_VERSION 1u

struct i8042 {
	struct device_host host;
	uint8_t port_b;	       /* bits 0-3 as written, bit 4: refresh */
	bool output_port_next; /* the next data byte goes to the output port */
};

static void i8042_reset(void *state)
{
	struct i8042 *kbc = state;

	kbc->port_b = 0;
	kbc->output_port_next = false;
}

static void i8042_init(void *state, const struct device_host *host)
{
	struct i8042 *kbc = state;

	kbc->host = *host;
	i8042_reset(kbc);
}

static uint32_t i8042_read(void *state, uint32_t offset, unsigned int size)
{
	struct i8042 *kbc = state;

	switch (offset) {
	case I8042_DATA:
	case I8042_COMMAND:
		return 0;
	case I8042_PORT_B:
		kbc->port_b ^= PORT_B_REFRESH;
		return kbc->port_b | PORT_B_TIMER2_OUT;
	default:
		return 0xff;
	}
}

static void i8042_command(struct i8042 *kbc, uint8_t command)
{
	kbc->output_port_next = command == I8042_CMD_WRITE_OUTPUT;
	if ((command & I8042_CMD_PULSE) == I8042_CMD_PULSE && !(command & I8042_OUT_RESET_N))
		kbc->host.reset(kbc->host.arg);
}

static void i8042_data(struct i8042 *kbc, uint8_t value)
{
	if (kbc->output_port_next && !(value & I8042_OUT_RESET_N))
		kbc->host.reset(kbc->host.arg);
	kbc->output_port_next = false;
}

static void i8042_write(void *state, uint32_t offset, unsigned int size, uint32_t value)
{
	struct i8042 *kbc = state;

	switch (offset) {
	case I8042_DATA:
		i8042_data(kbc, (uint8_t)value);
		break;
	case I8042_PORT_B:
		kbc->port_b = (uint8_t)((kbc->port_b & ~PORT_B_WRITABLE) | (value & PORT_B_WRITABLE));
		break;
	case I8042_COMMAND:
		i8042_command(kbc, (uint8_t)value);
		break;
	}
}

static size_t i8042_save(const void *state, void *buf, size_t max)
{
	const struct i8042 *kbc = state;
	const uint8_t saved[] = {I8042_VERSION, kbc->port_b, kbc->output_port_next};

	memcpy(buf, saved, sizeof(saved));
	return sizeof(saved);
}

static int i8042_load(void *state, const void *buf, size_t len)
{
	struct i8042 *kbc = state;
	const uint8_t *saved = buf;

	if (len < 1)
		return -EPROTO;
	if (saved[0] != I8042_VERSION)
		return -EPROTONOSUPPORT;
	if (len != 3 || (saved[1] & ~(PORT_B_WRITABLE | PORT_B_REFRESH)) || saved[2] > 1)
		return -EPROTO;
	kbc->port_b = saved[1];
	kbc->output_port_next = saved[2];
	return 0;
}

static void i8042_done(void *state)
{
}

const struct device_desc i8042_device = {
	.name = "i8042",
	.state_size = sizeof(struct i8042),
	.region_len = I8042_LEN,
	.access_max = 1,
	.init = i8042_init,
	.reset = i8042_reset,
	.read = i8042_read,
	.write = i8042_write,
	.save = i8042_save,
	.load = i8042_load,
	.done = i8042_done,
};
