/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables of the machine: hardware-reduced, for the platform addresses of machine.h. */
#ifndef VMWORKER_BOOT_ACPI_H
#define VMWORKER_BOOT_ACPI_H

#include <stddef.h>
#include <stdint.h>

#define ACPI_CPUS_MAX 64u

/**
 * acpi_build - RSDP (at the start), XSDT, FADT, MADT and DSDT, with their checksums.
 * @gpa: where the guest will see @buf; below 4 GiB, a multiple of 16.
 * @cpus: 1..ACPI_CPUS_MAX; APIC ids 0..cpus-1.
 * @buf: @max bytes, cleared here.
 * Return: 0 with the used length, or -ENOSPC.
 * Spec: ACPI 6.4, chapter 5.2.
 */
int acpi_build(uint64_t gpa, unsigned int cpus, void *buf, size_t max, size_t *ret_len);

#endif
