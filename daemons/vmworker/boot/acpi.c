/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/acpi.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "machine.h"

/* boot/dsdt.asl, compiled */
static const uint8_t acpi_dsdt[] = {
#include "boot/dsdt.inc"
};

_Static_assert(MACHINE_VMBUS_MMIO_GPA + MACHINE_VMBUS_MMIO_LEN - 1 == MACHINE_VMBUS_MMIO_LAST,
	       "the VMBus window has one end");

#define ACPI_OEM_ID	  "BULKHD"
#define ACPI_OEM_TABLE_ID "BULKHEAD"
#define ACPI_CREATOR_ID	  "BLKH"

/* every table but the RSDP starts with this header */
#define HEADER_LENGTH		4u
#define HEADER_REVISION		8u
#define HEADER_CHECKSUM		9u
#define HEADER_OEM_ID		10u
#define HEADER_OEM_TABLE_ID	16u
#define HEADER_OEM_REVISION	24u
#define HEADER_CREATOR_ID	28u
#define HEADER_CREATOR_REVISION 32u
#define HEADER_LEN		36u

#define RSDP_LEN	       36u
#define RSDP_V1_LEN	       20u
#define RSDP_CHECKSUM	       8u
#define RSDP_OEM_ID	       9u
#define RSDP_REVISION	       15u
#define RSDP_LENGTH	       20u
#define RSDP_XSDT	       24u
#define RSDP_EXTENDED_CHECKSUM 32u

#define FADT_CENTURY	     108u
#define FADT_BOOT_ARCH	     109u
#define FADT_FLAGS	     112u
#define FADT_RESET_REG	     116u
#define FADT_RESET_VALUE     128u
#define FADT_MINOR_VERSION   131u
#define FADT_X_DSDT	     140u
#define FADT_SLEEP_CONTROL   244u
#define FADT_SLEEP_STATUS    256u
#define FADT_LEN	     276u
#define FADT_REVISION	     6u
#define FADT_MINOR	     4u
#define FADT_CMOS_CENTURY    0x32u
#define BOOT_ARCH_NO_VGA     (1u << 2) /* and, by what is not set: no legacy devices, no keyboard controller */
#define FADT_WBINVD	     (1u << 0)
#define FADT_NO_POWER_BUTTON (1u << 4) /* none in fixed hardware */
#define FADT_NO_SLEEP_BUTTON (1u << 5)
#define FADT_RESET_SUPPORTED (1u << 10)
#define FADT_HW_REDUCED	     (1u << 20)

#define GAS_IO		1u
#define GAS_BYTE_ACCESS 1u

#define MADT_REVISION	   5u
#define MADT_LAPIC_GPA	   36u
#define MADT_ENTRIES	   44u
#define MADT_LAPIC	   0u
#define MADT_LAPIC_LEN	   8u
#define MADT_LAPIC_ENABLED 1u
#define MADT_IOAPIC	   1u
#define MADT_IOAPIC_LEN	   12u
#define MADT_LAPIC_NMI	   4u
#define MADT_LAPIC_NMI_LEN 6u
#define MADT_ALL_CPUS	   0xffu
#define MADT_NMI_LINT	   1u

/* Where the next table goes. Invariant: used is a multiple of 16 and at most max. */
struct acpi_space {
	uint8_t *buf;
	size_t used, max;
	uint64_t gpa;
};

/* Return: room for a table of @len bytes, cleared, and its address; NULL if there is none. */
static uint8_t *acpi_take(struct acpi_space *space, size_t len, uint64_t *ret_gpa)
{
	uint8_t *table = space->buf + space->used;

	if (ALIGN_UP(len, 16) > space->max - space->used)
		return NULL;
	*ret_gpa = space->gpa + space->used;
	space->used += ALIGN_UP(len, 16);
	memset(table, 0, ALIGN_UP(len, 16));
	return table;
}

static uint8_t acpi_checksum(const uint8_t *bytes, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *bytes++);
	return (uint8_t)-sum;
}

static uint8_t *acpi_begin(struct acpi_space *space, const char *signature, uint8_t revision, size_t len,
			   uint64_t *ret_gpa)
{
	uint8_t *table = acpi_take(space, len, ret_gpa);

	if (!table)
		return NULL;
	memcpy(table, signature, 4);
	put_le32(table + HEADER_LENGTH, (uint32_t)len);
	table[HEADER_REVISION] = revision;
	memcpy(table + HEADER_OEM_ID, ACPI_OEM_ID, 6);
	memcpy(table + HEADER_OEM_TABLE_ID, ACPI_OEM_TABLE_ID, 8);
	put_le32(table + HEADER_OEM_REVISION, 1);
	memcpy(table + HEADER_CREATOR_ID, ACPI_CREATOR_ID, 4);
	put_le32(table + HEADER_CREATOR_REVISION, 1);
	return table;
}

static void acpi_end(uint8_t *table)
{
	table[HEADER_CHECKSUM] = acpi_checksum(table, get_le32(table + HEADER_LENGTH));
}

/* A generic address structure: one byte at an I/O port. */
static void acpi_put_port(uint8_t *gas, uint16_t port)
{
	gas[0] = GAS_IO;
	gas[1] = 8; /* bits */
	gas[3] = GAS_BYTE_ACCESS;
	put_le64(gas + 4, port);
}

static int acpi_add_dsdt(struct acpi_space *space, uint64_t *ret_gpa)
{
	uint8_t *table = acpi_take(space, sizeof(acpi_dsdt), ret_gpa);

	if (!table)
		return -ENOSPC;
	memcpy(table, acpi_dsdt, sizeof(acpi_dsdt));
	return 0;
}

static int acpi_add_fadt(struct acpi_space *space, uint64_t dsdt_gpa, uint64_t *ret_gpa)
{
	uint8_t *fadt = acpi_begin(space, "FACP", FADT_REVISION, FADT_LEN, ret_gpa);

	if (!fadt)
		return -ENOSPC;
	fadt[FADT_CENTURY] = FADT_CMOS_CENTURY;
	put_le16(fadt + FADT_BOOT_ARCH, BOOT_ARCH_NO_VGA);
	put_le32(fadt + FADT_FLAGS,
		 FADT_WBINVD | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON | FADT_RESET_SUPPORTED | FADT_HW_REDUCED);
	acpi_put_port(fadt + FADT_RESET_REG, MACHINE_ACPI_PORT + MACHINE_ACPI_RESET);
	fadt[FADT_RESET_VALUE] = MACHINE_ACPI_RESET_VALUE;
	fadt[FADT_MINOR_VERSION] = FADT_MINOR;
	put_le64(fadt + FADT_X_DSDT, dsdt_gpa);
	acpi_put_port(fadt + FADT_SLEEP_CONTROL, MACHINE_ACPI_PORT + MACHINE_ACPI_SLEEP_CONTROL);
	acpi_put_port(fadt + FADT_SLEEP_STATUS, MACHINE_ACPI_PORT + MACHINE_ACPI_SLEEP_STATUS);
	acpi_end(fadt);
	return 0;
}

static int acpi_add_madt(struct acpi_space *space, unsigned int cpus, uint64_t *ret_gpa)
{
	size_t len = MADT_ENTRIES + cpus * MADT_LAPIC_LEN + MADT_IOAPIC_LEN + MADT_LAPIC_NMI_LEN;
	uint8_t *madt = acpi_begin(space, "APIC", MADT_REVISION, len, ret_gpa), *entry;

	if (!madt)
		return -ENOSPC;
	put_le32(madt + MADT_LAPIC_GPA, MACHINE_LAPIC_GPA);
	entry = madt + MADT_ENTRIES;
	for (unsigned int i = 0; i < cpus; i++, entry += MADT_LAPIC_LEN) {
		entry[0] = MADT_LAPIC;
		entry[1] = MADT_LAPIC_LEN;
		entry[2] = (uint8_t)i; /* processor's uid */
		entry[3] = (uint8_t)i; /* APIC id */
		put_le32(entry + 4, MADT_LAPIC_ENABLED);
	}
	entry[0] = MADT_IOAPIC;
	entry[1] = MADT_IOAPIC_LEN;
	put_le32(entry + 4, MACHINE_IOAPIC_GPA); /* id 0, first GSI 0 */
	entry += MADT_IOAPIC_LEN;
	entry[0] = MADT_LAPIC_NMI;
	entry[1] = MADT_LAPIC_NMI_LEN;
	entry[2] = MADT_ALL_CPUS;
	entry[5] = MADT_NMI_LINT;
	acpi_end(madt);
	return 0;
}

static int acpi_add_xsdt(struct acpi_space *space, const uint64_t *tables_gpa, size_t tables, uint64_t *ret_gpa)
{
	uint8_t *xsdt = acpi_begin(space, "XSDT", 1, HEADER_LEN + tables * 8, ret_gpa);

	if (!xsdt)
		return -ENOSPC;
	for (size_t i = 0; i < tables; i++)
		put_le64(xsdt + HEADER_LEN + i * 8, tables_gpa[i]);
	acpi_end(xsdt);
	return 0;
}

static void acpi_fill_rsdp(uint8_t *rsdp, uint64_t xsdt_gpa)
{
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + RSDP_OEM_ID, ACPI_OEM_ID, 6);
	rsdp[RSDP_REVISION] = 2;
	put_le32(rsdp + RSDP_LENGTH, RSDP_LEN);
	put_le64(rsdp + RSDP_XSDT, xsdt_gpa);
	rsdp[RSDP_CHECKSUM] = acpi_checksum(rsdp, RSDP_V1_LEN);
	rsdp[RSDP_EXTENDED_CHECKSUM] = acpi_checksum(rsdp, RSDP_LEN);
}

int acpi_build(uint64_t gpa, unsigned int cpus, void *buf, size_t max, size_t *ret_len)
{
	struct acpi_space space = {.buf = buf, .max = ALIGN_DOWN(max, 16), .gpa = gpa};
	uint64_t rsdp_gpa, dsdt_gpa, tables_gpa[2], xsdt_gpa;
	uint8_t *rsdp = acpi_take(&space, RSDP_LEN, &rsdp_gpa);

	assert(cpus >= 1 && cpus <= ACPI_CPUS_MAX);
	if (!rsdp || acpi_add_dsdt(&space, &dsdt_gpa) < 0 || acpi_add_fadt(&space, dsdt_gpa, &tables_gpa[0]) < 0 ||
	    acpi_add_madt(&space, cpus, &tables_gpa[1]) < 0 ||
	    acpi_add_xsdt(&space, tables_gpa, ARRAY_SIZE(tables_gpa), &xsdt_gpa) < 0)
		return -ENOSPC;
	acpi_fill_rsdp(rsdp, xsdt_gpa);
	*ret_len = space.used;
	return 0;
}
