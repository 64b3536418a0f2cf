/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: the one ordered table of core devices (machine.c) and everything that walks it.
 */
#ifndef VMWORKER_MACHINE_H
#define VMWORKER_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct machine;

/* Fixed platform addresses, shared with the ACPI tables (boot/acpi.c, boot/dsdt.asl). */
#define MACHINE_UART_PORT 0x3f8u
#define MACHINE_UART_GSI 4u
#define MACHINE_UART_LEN 8u
#define MACHINE_RTC_PORT 0x70u
#define MACHINE_RTC_LEN 2u
#define MACHINE_I8042_PORT 0x60u      /* 0x60..0x64 */
#define MACHINE_ACPI_PORT 0x600u      /* sleep control, sleep status, reset: hardware-reduced ACPI */
#define MACHINE_ACPI_SLEEP_CONTROL 0u
#define MACHINE_ACPI_SLEEP_STATUS 1u
#define MACHINE_ACPI_RESET 2u
#define MACHINE_ACPI_RESET_VALUE 0x01u
#define MACHINE_ACPI_S5_TYPE 5u /* SLP_TYP of soft off, in \_S5 */
#define MACHINE_IOAPIC_GPA 0xfec00000u
#define MACHINE_LAPIC_GPA 0xfee00000u
/* Guest RAM: [0, low) and, beyond 3 GiB, the rest from 4 GiB on. The hole holds the VMBus MMIO window and the APICs. */
#define MACHINE_LOW_RAM_MAX 0xc0000000ull
#define MACHINE_HIGH_RAM_GPA 0x100000000ull
#define MACHINE_VMBUS_MMIO_GPA 0xe0000000ull
#define MACHINE_VMBUS_MMIO_LEN 0x10000000ull
#define MACHINE_VMBUS_MMIO_LAST 0xefffffffull /* GPA + LEN - 1, as the ACPI tables want it */

struct machine_host {
	void (*set_line)(void *arg, unsigned int gsi, bool level);
	void (*serial_output)(void *arg, const void *buf, size_t len);
	/* the serial port has room again for bytes that machine_serial_input() refused; under the machine's lock */
	void (*serial_input_ready)(void *arg);
	/* The last two only note the wish (they run on a vCPU thread under the machine's lock) and return at once. */
	void (*power_off)(void *arg);
	void (*reset)(void *arg);
	void *arg;
};

/** machine_new - build every device of the table. Return: 0 or -ENOMEM. */
int machine_new(const struct machine_host *host, struct machine **ret_machine);
void machine_free(struct machine *machine);

/** machine_reset - all devices to their power-on state. Context: no vCPU runs. */
void machine_reset(struct machine *machine);

/**
 * machine_pio - one port access of a vCPU.
 * @data: @size bytes (1, 2 or 4); written for a read (all ones where nothing answers).
 * Context: any vCPU thread; takes the machine's lock.
 */
void machine_pio(struct machine *machine, uint16_t port, bool is_write, unsigned int size, void *data);

/** machine_serial_input - bytes for the guest's serial port. Return: how many were taken. Context: event loop. */
size_t machine_serial_input(struct machine *machine, const void *buf, size_t len);

/**
 * machine_save, machine_load - all devices in table order: {name, length, bytes} with a version in front.
 * @ret_buf: heap, the caller frees it.
 * Load is all or nothing; it makes no callback, so interrupt lines are the interrupt controllers' own saved state.
 * Return: 0; -ENOMEM; load: -EPROTO (damaged), -EPROTONOSUPPORT (a version that we do not know).
 * Context: no vCPU runs.
 */
int machine_save(struct machine *machine, void **ret_buf, size_t *ret_len);
int machine_load(struct machine *machine, const void *buf, size_t len);

#endif
