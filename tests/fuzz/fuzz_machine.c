// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzz target: port accesses of a guest to the core devices, serial input, and a saved machine.
 * The input is a row of operations: one byte (kind, size), a port, a value; kind 3 loads the rest as a saved machine.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OP_LEN 7u /* kind and size, port (2), value (4) */

static void fake_set_line(void *arg, unsigned int gsi, bool level)
{
	assert(gsi == MACHINE_UART_GSI);
}

static void fake_output(void *arg, const void *buf, size_t len)
{
	assert(len == 1);
}

static void fake_event(void *arg)
{
}

static const struct machine_host fake_host = {
	.set_line = fake_set_line,
	.serial_output = fake_output,
	.serial_input_ready = fake_event,
	.power_off = fake_event,
	.reset = fake_event,
};

/* What was loaded can be saved, and that is the same again. */
static void load(struct machine *machine, const uint8_t *data, size_t size)
{
	void *saved, *again;
	size_t saved_len, again_len;
	int r = machine_load(machine, data, size);

	if (r < 0) {
		assert(r == -EPROTO || r == -EPROTONOSUPPORT);
		return;
	}
	assert(machine_save(machine, &saved, &saved_len) == 0);
	assert(machine_load(machine, saved, saved_len) == 0);
	assert(machine_save(machine, &again, &again_len) == 0);
	assert(saved_len == again_len && !memcmp(saved, again, saved_len));
	free(saved);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine *machine;

	assert(machine_new(&fake_host, &machine) == 0);
	for (; size >= OP_LEN; data += OP_LEN, size -= OP_LEN) {
		uint8_t value[4];

		memcpy(value, data + 3, 4);
		switch (data[0] & 3) {
		case 0:
		case 1:
			machine_pio(machine, get_le16(data + 1), data[0] & 1, 1u << (data[0] >> 2) % 3, value);
			break;
		case 2:
			assert(machine_serial_input(machine, value, 4) <= 4);
			break;
		case 3:
			load(machine, data + 1, size - 1);
			size = OP_LEN;
			break;
		}
	}
	machine_free(machine);
	return 0;
}
