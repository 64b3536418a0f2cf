/* SPDX-License-Identifier: Apache-2.0 */
/* The core devices, one descriptor each; machine.c puts them together. */
#ifndef VMWORKER_DEV_DEV_H
#define VMWORKER_DEV_DEV_H

#include "device.h"

/* 16550A serial port: set_line, output, input_ready. Spec: National Semiconductor PC16550D data sheet. */
extern const struct device_desc uart_device;

/* MC146818 clock and CMOS RAM, without its interrupt line: wall_clock_ns. Spec: Motorola MC146818A data sheet. */
extern const struct device_desc rtc_device;

/* The system-control half of a keyboard controller, with no keyboard: reset. */
extern const struct device_desc i8042_device;

/* Hardware-reduced ACPI: sleep control, sleep status, reset register: power_off, reset. Spec: ACPI 6.4, 4.8.3.6-7. */
extern const struct device_desc acpi_pm_device;

#endif
