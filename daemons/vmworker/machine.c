/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "dev/dev.h"

#define MACHINE_NO_GSI	UINT32_MAX
#define MACHINE_DEVICES ARRAY_SIZE(machine_table)

/* One device of the machine: what it is and where. */
struct machine_row {
	const struct device_desc *desc;
	uint16_t port;
	uint32_t gsi;
};

/* THE device table. Everything below walks it, in this order. */
static const struct machine_row machine_table[] = {
	{&uart_device, MACHINE_UART_PORT, MACHINE_UART_GSI},
	{&rtc_device, MACHINE_RTC_PORT, MACHINE_NO_GSI},
	{&i8042_device, MACHINE_I8042_PORT, MACHINE_NO_GSI},
	{&acpi_pm_device, MACHINE_ACPI_PORT, MACHINE_NO_GSI},
};

struct machine_slot {
	struct machine *machine;
	const struct machine_row *row;
	void *state; /* owned; of row->desc->state_size */
};

/* Invariant: slot[i] belongs to machine_table[i]; the lock is held around every device function. */
struct machine {
	pthread_mutex_t lock;
	struct machine_host host;
	struct machine_slot slot[MACHINE_DEVICES];
};

/* ---- what devices ask for; under the machine's lock ---- */

static void machine_set_line(void *arg, bool level)
{
	struct machine_slot *slot = arg;

	if (slot->row->gsi != MACHINE_NO_GSI)
		slot->machine->host.set_line(slot->machine->host.arg, slot->row->gsi, level);
}

static void machine_output(void *arg, const void *buf, size_t len)
{
	struct machine_slot *slot = arg;

	slot->machine->host.serial_output(slot->machine->host.arg, buf, len);
}

static void machine_input_ready(void *arg)
{
	struct machine_slot *slot = arg;

	if (slot->machine->host.serial_input_ready)
		slot->machine->host.serial_input_ready(slot->machine->host.arg);
}

static void machine_power_off(void *arg)
{
	struct machine_slot *slot = arg;

	slot->machine->host.power_off(slot->machine->host.arg);
}

static void machine_ask_reset(void *arg)
{
	struct machine_slot *slot = arg;

	slot->machine->host.reset(slot->machine->host.arg);
}

static uint64_t machine_wall_clock_ns(void *arg)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t machine_now_ns(void *arg)
{
	return clock_now_ns();
}

/* A new state block for @slot's device. Return: NULL without memory. */
static void *machine_build(struct machine_slot *slot)
{
	const struct device_host host = {
		.set_line = machine_set_line,
		.output = machine_output,
		.power_off = machine_power_off,
		.reset = machine_ask_reset,
		.input_ready = machine_input_ready,
		.wall_clock_ns = machine_wall_clock_ns,
		.now_ns = machine_now_ns,
		.arg = slot,
	};
	void *state = calloc(1, slot->row->desc->state_size);

	if (state)
		slot->row->desc->init(state, &host);
	return state;
}

static void machine_destroy(const struct machine_row *row, void *state)
{
	if (!state)
		return;
	row->desc->done(state);
	free(state);
}

int machine_new(const struct machine_host *host, struct machine **ret_machine)
{
	struct machine *machine = calloc(1, sizeof(*machine));

	if (!machine)
		return -ENOMEM;
	pthread_mutex_init(&machine->lock, NULL);
	machine->host = *host;
	for (size_t i = 0; i < MACHINE_DEVICES; i++) {
		struct machine_slot *slot = &machine->slot[i];

		slot->machine = machine;
		slot->row = &machine_table[i];
		slot->state = machine_build(slot);
		if (!slot->state) {
			machine_free(machine);
			return -ENOMEM;
		}
	}
	*ret_machine = machine;
	return 0;
}

void machine_free(struct machine *machine)
{
	if (!machine)
		return;
	for (size_t i = 0; i < MACHINE_DEVICES; i++)
		machine_destroy(machine->slot[i].row, machine->slot[i].state);
	pthread_mutex_destroy(&machine->lock);
	free(machine);
}

void machine_reset(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	for (size_t i = 0; i < MACHINE_DEVICES; i++)
		machine->slot[i].row->desc->reset(machine->slot[i].state);
	pthread_mutex_unlock(&machine->lock);
}

/* ---- port I/O ---- */

static struct machine_slot *machine_find(struct machine *machine, uint32_t port)
{
	for (size_t i = 0; i < MACHINE_DEVICES; i++) {
		const struct machine_row *row = machine->slot[i].row;

		if (port >= row->port && port - row->port < row->desc->region_len)
			return &machine->slot[i];
	}
	return NULL;
}

/* One access that the device at @port (if any) decodes as it is. */
static void machine_access(struct machine_slot *slot, uint32_t port, bool is_write, unsigned int size, uint8_t *data)
{
	uint32_t value = UINT32_MAX;

	if (!slot) {
		if (!is_write)
			memset(data, 0xff, size);
		return;
	}
	if (is_write) {
		value = 0;
		memcpy(&value, data, size);
		slot->row->desc->write(slot->state, port - slot->row->port, size, value);
	} else {
		value = slot->row->desc->read(slot->state, port - slot->row->port, size);
		memcpy(data, &value, size);
	}
}

void machine_pio(struct machine *machine, uint16_t port, bool is_write, unsigned int size, void *data)
{
	struct machine_slot *slot;

	pthread_mutex_lock(&machine->lock);
	slot = machine_find(machine, port);
	if (slot && size <= slot->row->desc->access_max &&
	    range_fits(port - slot->row->port, size, slot->row->desc->region_len)) {
		machine_access(slot, port, is_write, size, data);
	} else {
		/* as an ISA bus does it: byte by byte, each to whoever answers there */
		for (unsigned int i = 0; i < size; i++)
			machine_access(machine_find(machine, port + i), port + i, is_write, 1, (uint8_t *)data + i);
	}
	pthread_mutex_unlock(&machine->lock);
}

size_t machine_serial_input(struct machine *machine, const void *buf, size_t len)
{
	size_t taken = 0;

	pthread_mutex_lock(&machine->lock);
	for (size_t i = 0; i < MACHINE_DEVICES; i++) {
		if (machine_table[i].desc->input) {
			taken = machine_table[i].desc->input(machine->slot[i].state, buf, len);
			break;
		}
	}
	pthread_mutex_unlock(&machine->lock);
	return taken;
}

/* ---- save and load ---- */

/* The saved form, little endian: version (4), then for each device: its name, padded with zeros, a length (4), the
 * bytes. */
#define MACHINE_VERSION	 1u
#define MACHINE_NAME_LEN 16u
#define MACHINE_SAVE_MAX (4 + MACHINE_DEVICES * (MACHINE_NAME_LEN + 4 + DEVICE_SAVE_MAX))

int machine_save(struct machine *machine, void **ret_buf, size_t *ret_len)
{
	// cppcheck-suppress sizeofDivisionMemfunc ; the number of devices is no size
	uint8_t *buf = calloc(1, MACHINE_SAVE_MAX), *at = buf;

	if (!buf)
		return -ENOMEM;
	put_le32(at, MACHINE_VERSION);
	at += 4;
	pthread_mutex_lock(&machine->lock);
	for (size_t i = 0; i < MACHINE_DEVICES; i++) {
		const struct device_desc *desc = machine_table[i].desc;
		size_t len = desc->save(machine->slot[i].state, at + MACHINE_NAME_LEN + 4, DEVICE_SAVE_MAX);

		memcpy(at, desc->name, strlen(desc->name));
		put_le32(at + MACHINE_NAME_LEN, (uint32_t)len);
		at += MACHINE_NAME_LEN + 4 + len;
	}
	pthread_mutex_unlock(&machine->lock);
	*ret_buf = buf;
	*ret_len = (size_t)(at - buf);
	return 0;
}

/* Load one record from *@buf into a new state block of @slot's device, and step over it. */
static int machine_load_one(struct machine_slot *slot, const uint8_t **buf, size_t *left, void **ret_state)
{
	char name[MACHINE_NAME_LEN] = "";
	void *state;
	uint32_t len;
	int r;

	if (*left < MACHINE_NAME_LEN + 4)
		return -EPROTO;
	memcpy(name, slot->row->desc->name, strlen(slot->row->desc->name));
	len = get_le32(*buf + MACHINE_NAME_LEN);
	if (memcmp(*buf, name, MACHINE_NAME_LEN) || len > *left - MACHINE_NAME_LEN - 4)
		return -EPROTO;
	state = machine_build(slot);
	if (!state)
		return -ENOMEM;
	r = slot->row->desc->load(state, *buf + MACHINE_NAME_LEN + 4, len);
	if (r < 0) {
		machine_destroy(slot->row, state);
		return r;
	}
	*buf += MACHINE_NAME_LEN + 4 + len;
	*left -= MACHINE_NAME_LEN + 4 + len;
	*ret_state = state;
	return 0;
}

int machine_load(struct machine *machine, const void *buf, size_t len)
{
	void *loaded[MACHINE_DEVICES] = {NULL};
	const uint8_t *at = buf;
	size_t left = len;
	int r = 0;

	if (left < 4)
		return -EPROTO;
	if (get_le32(at) != MACHINE_VERSION)
		return -EPROTONOSUPPORT;
	at += 4;
	left -= 4;
	pthread_mutex_lock(&machine->lock);
	for (size_t i = 0; i < MACHINE_DEVICES && r == 0; i++)
		r = machine_load_one(&machine->slot[i], &at, &left, &loaded[i]);
	if (r == 0 && left)
		r = -EPROTO;
	for (size_t i = 0; i < MACHINE_DEVICES; i++) {
		if (r == 0) { /* all or nothing: the new blocks replace the old ones */
			void *old = machine->slot[i].state;

			machine->slot[i].state = loaded[i];
			loaded[i] = old;
		}
		machine_destroy(&machine_table[i], loaded[i]);
	}
	pthread_mutex_unlock(&machine->lock);
	return r;
}
