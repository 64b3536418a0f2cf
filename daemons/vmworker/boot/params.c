/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/params.h"

#include <string.h>

#include "base/bytes.h"

/* offsets in boot_params; from 0x1f1 on those of the setup header */
#define ACPI_RSDP_ADDR	  0x070u
#define EXT_RAMDISK_IMAGE 0x0c0u
#define EXT_RAMDISK_SIZE  0x0c4u
#define EXT_CMD_LINE_PTR  0x0c8u
#define E820_ENTRIES	  0x1e8u
#define VID_MODE	  0x1fau
#define BOOT_FLAG	  0x1feu
#define MAGIC		  0x202u
#define VERSION		  0x206u
#define TYPE_OF_LOADER	  0x210u
#define LOADFLAGS	  0x211u
#define RAMDISK_IMAGE	  0x218u
#define RAMDISK_SIZE	  0x21cu
#define CMD_LINE_PTR	  0x228u
#define INITRD_ADDR_MAX	  0x22cu
#define CMDLINE_SIZE	  0x238u
#define E820_TABLE	  0x2d0u
#define E820_ENTRY_LEN	  20u

#define BOOT_FLAG_VALUE	 0xaa55u
#define VERSION_OURS	 0x020fu /* what we tell a kernel that came without a setup header */
#define LOADED_HIGH	 0x01u
#define LOADER_UNDEFINED 0xffu
#define VID_MODE_NORMAL	 0xffffu

#define E820_RAM      1u
#define E820_RESERVED 2u
#define E820_ACPI     3u

static void params_add_memory(uint8_t *page, uint64_t start, uint64_t end, uint32_t type)
{
	uint8_t *entry = page + E820_TABLE + page[E820_ENTRIES] * E820_ENTRY_LEN;

	if (start >= end)
		return;
	put_le64(entry, start);
	put_le64(entry + 8, end - start);
	put_le32(entry + 16, type);
	page[E820_ENTRIES]++;
}

static void params_memory_map(const struct guest_mem *mem, uint8_t *page)
{
	for (size_t i = 0; i < mem->regions; i++) {
		uint64_t start = mem->region[i].gpa, end = start + mem->region[i].len;

		/* the first MiB has its traditional shape */
		params_add_memory(page, start, MIN(end, BOOT_LOW_RAM_END), E820_RAM);
		if (i == 0) {
			params_add_memory(page, BOOT_ACPI_GPA, BOOT_ACPI_GPA + BOOT_ACPI_LEN, E820_ACPI);
			/* the reset vector; unlike the tables it must stay where it is */
			params_add_memory(page, BOOT_ACPI_GPA + BOOT_ACPI_LEN, BOOT_KERNEL_MIN_GPA, E820_RESERVED);
		}
		params_add_memory(page, MAX(start, BOOT_KERNEL_MIN_GPA), end, E820_RAM);
	}
}

static void params_setup_header(const struct boot_kernel *kernel, uint8_t *page)
{
	if (kernel->setup_len) {
		memcpy(page + BZIMAGE_SETUP_OFFSET, kernel->setup, kernel->setup_len);
	} else {
		put_le16(page + BOOT_FLAG, BOOT_FLAG_VALUE);
		memcpy(page + MAGIC, "HdrS", 4);
		put_le16(page + VERSION, VERSION_OURS);
		put_le32(page + INITRD_ADDR_MAX, (uint32_t)kernel->initrd_max_gpa);
		put_le32(page + CMDLINE_SIZE, kernel->cmdline_max);
	}
	page[LOADFLAGS] |= LOADED_HIGH;
	page[TYPE_OF_LOADER] = LOADER_UNDEFINED;
	put_le16(page + VID_MODE, VID_MODE_NORMAL);
}

void params_build(const struct boot_params_input *in, uint8_t ret_page[BOOT_PARAMS_LEN])
{
	uint8_t *page = ret_page;

	memset(page, 0, BOOT_PARAMS_LEN);
	params_setup_header(in->kernel, page);
	params_memory_map(in->mem, page);
	put_le64(page + ACPI_RSDP_ADDR, in->rsdp_gpa);
	put_le32(page + CMD_LINE_PTR, (uint32_t)in->cmdline_gpa);
	put_le32(page + EXT_CMD_LINE_PTR, (uint32_t)(in->cmdline_gpa >> 32));
	if (in->initrd_len) {
		put_le32(page + RAMDISK_IMAGE, (uint32_t)in->initrd_gpa);
		put_le32(page + EXT_RAMDISK_IMAGE, (uint32_t)(in->initrd_gpa >> 32));
		put_le32(page + RAMDISK_SIZE, (uint32_t)in->initrd_len);
		put_le32(page + EXT_RAMDISK_SIZE, (uint32_t)(in->initrd_len >> 32));
	}
}
