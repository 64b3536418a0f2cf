/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "boot/acpi.h"
#include "machine.h"

#define GPA 0xe0000u

static uint8_t space[0x2000];
static size_t used;

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *p++);
	return s;
}

/* The table at @gpa, after the checks that hold for every one. */
static const uint8_t *table(uint64_t gpa, const char *signature)
{
	const uint8_t *p = space + (gpa - GPA);

	cr_assert_geq(gpa, GPA);
	cr_assert(range_fits(gpa - GPA, 36, used));
	cr_assert(range_fits(gpa - GPA, get_le32(p + 4), used));
	cr_assert_eq(memcmp(p, signature, 4), 0, "%.4s is not %s", (const char *)p, signature);
	cr_assert_eq(sum(p, get_le32(p + 4)), 0, "checksum of %s", signature);
	return p;
}

static const uint8_t *find(const char *signature)
{
	const uint8_t *xsdt = table(get_le64(space + 24), "XSDT");

	for (size_t at = 36; at < get_le32(xsdt + 4); at += 8) {
		uint64_t gpa = get_le64(xsdt + at);

		if (!memcmp(space + (gpa - GPA), signature, 4))
			return table(gpa, signature);
	}
	cr_assert_fail("no %s", signature);
	return NULL;
}

static void build(unsigned int cpus)
{
	memset(space, 0xaa, sizeof(space));
	cr_assert_eq(acpi_build(GPA, cpus, space, sizeof(space), &used), 0);
}

/* Whether the compiled DSDT holds these bytes. */
static bool dsdt_has(const void *bytes, size_t len)
{
	const uint8_t *dsdt = table(get_le64(find("FACP") + 140), "DSDT");

	return memmem(dsdt, get_le32(dsdt + 4), bytes, len);
}

Test(acpi, rsdp)
{
	build(1);
	cr_assert_eq(memcmp(space, "RSD PTR ", 8), 0);
	cr_assert_eq(sum(space, 20), 0);
	cr_assert_eq(sum(space, 36), 0);
	cr_assert_eq(space[15], 2);
	cr_assert_eq(get_le32(space + 16), 0, "no RSDT");
}

Test(acpi, fadt)
{
	const uint8_t *fadt;

	build(1);
	fadt = find("FACP");
	cr_assert_eq(get_le32(fadt + 4), 276);
	cr_assert_eq(get_le32(fadt + 112), 1u << 20 | 1u << 10 | 1u << 5 | 1u << 4 | 1u << 0);
	cr_assert_eq(get_le16(fadt + 109) & 0x22, 0, "no keyboard controller; a clock");
	cr_assert_eq(fadt[108], 0x32);
	cr_assert_eq(fadt[116], 1, "an I/O port");
	cr_assert_eq(get_le64(fadt + 120), MACHINE_ACPI_PORT + MACHINE_ACPI_RESET);
	cr_assert_eq(fadt[128], MACHINE_ACPI_RESET_VALUE);
	cr_assert_eq(get_le64(fadt + 248), MACHINE_ACPI_PORT + MACHINE_ACPI_SLEEP_CONTROL);
	cr_assert_eq(get_le64(fadt + 260), MACHINE_ACPI_PORT + MACHINE_ACPI_SLEEP_STATUS);
	table(get_le64(fadt + 140), "DSDT");
}

Test(acpi, madt)
{
	static const unsigned int counts[] = {1, 2, ACPI_CPUS_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		unsigned int cpus = 0, ioapics = 0;
		const uint8_t *madt;

		build(counts[i]);
		madt = find("APIC");
		cr_assert_eq(get_le32(madt + 36), MACHINE_LAPIC_GPA);
		for (size_t at = 44; at < get_le32(madt + 4); at += madt[at + 1]) {
			cr_assert_geq(madt[at + 1], 2);
			if (madt[at] == 0) {
				cr_assert_eq(madt[at + 3], cpus++);
				cr_assert_eq(get_le32(madt + at + 4), 1);
			} else if (madt[at] == 1) {
				ioapics++;
				cr_assert_eq(get_le32(madt + at + 4), MACHINE_IOAPIC_GPA);
				cr_assert_eq(get_le32(madt + at + 8), 0);
			}
		}
		cr_assert_eq(cpus, counts[i]);
		cr_assert_eq(ioapics, 1);
	}
}

/* What the machine has and what the DSDT says are the same. */
Test(acpi, dsdt_matches_the_machine)
{
	uint8_t io[8] = {0x47, 1}, irq[9] = {0x89, 6, 0, 0x03, 1}, window[46] = {0x8a, 43, 0};

	build(1);
	put_le16(io + 2, MACHINE_UART_PORT);
	put_le16(io + 4, MACHINE_UART_PORT);
	io[6] = 1;
	io[7] = MACHINE_UART_LEN;
	cr_assert(dsdt_has(io, sizeof(io)), "the serial port's ports");
	put_le16(io + 2, MACHINE_RTC_PORT);
	put_le16(io + 4, MACHINE_RTC_PORT);
	io[7] = MACHINE_RTC_LEN;
	cr_assert(dsdt_has(io, sizeof(io)), "the clock's ports");
	put_le32(irq + 5, MACHINE_UART_GSI);
	cr_assert(dsdt_has(irq, sizeof(irq)), "the serial port's interrupt: edge, active high");
	put_le64(window + 14, MACHINE_VMBUS_MMIO_GPA);
	put_le64(window + 22, MACHINE_VMBUS_MMIO_GPA + MACHINE_VMBUS_MMIO_LEN - 1);
	put_le64(window + 38, MACHINE_VMBUS_MMIO_LEN);
	cr_assert(dsdt_has(window + 14, 32), "VMBus's window");
	cr_assert(dsdt_has("_HID\rVMBus", 11), "VMBus");
	cr_assert(dsdt_has("_HID\rACPI0004", 14), "its parent");
	cr_assert(dsdt_has("_S5_\x12\x07\x04\x0a", 8), "soft off");
}

Test(acpi, no_room)
{
	for (size_t max = 0; max < 512; max++)
		cr_assert_eq(acpi_build(GPA, 1, space, max, &used), -ENOSPC);
}
