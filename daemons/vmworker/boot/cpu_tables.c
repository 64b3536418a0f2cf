/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/cpu_tables.h"

#include "base/bytes.h"
#include "boot/layout.h"

#define ENTRIES		 512u /* of a page table */
#define TABLES_GIB	 4u
#define PTE_PRESENT	 0x01u
#define PTE_WRITE	 0x02u
#define PTE_LARGE	 0x80u
#define LARGE_PAGE_SHIFT 21u

#define TABLE_GPA(n) (BOOT_TABLES_GPA + (n)*GUEST_PAGE_SIZE)

/* null, null, 64-bit code, data; accessed bits set so that nothing writes to them */
static const uint64_t cpu_gdt[] = {0, 0, UINT64_C(0x00af9b000000ffff), UINT64_C(0x00cf93000000ffff)};

static int cpu_tables_write_pages(struct guest_mem *mem)
{
	uint64_t level4[ENTRIES] = {TABLE_GPA(1) | PTE_PRESENT | PTE_WRITE};
	uint64_t level3[ENTRIES] = {0}, level2[ENTRIES];
	int r;

	for (uint64_t gib = 0; gib < TABLES_GIB; gib++) {
		level3[gib] = TABLE_GPA(2 + gib) | PTE_PRESENT | PTE_WRITE;
		for (uint64_t i = 0; i < ENTRIES; i++)
			level2[i] = (gib * ENTRIES + i) << LARGE_PAGE_SHIFT | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
		r = guest_mem_write(mem, TABLE_GPA(2 + gib), level2, sizeof(level2));
		if (r < 0)
			return r;
	}
	r = guest_mem_write(mem, TABLE_GPA(1), level3, sizeof(level3));
	if (r < 0)
		return r;
	return guest_mem_write(mem, TABLE_GPA(0), level4, sizeof(level4));
}

int cpu_tables_write(struct guest_mem *mem, struct boot_entry *ret_entry)
{
	int r = cpu_tables_write_pages(mem);

	if (r < 0)
		return r;
	r = guest_mem_write(mem, BOOT_GDT_GPA, cpu_gdt, sizeof(cpu_gdt));
	if (r < 0)
		return r;
	ret_entry->cr3_gpa = TABLE_GPA(0);
	ret_entry->gdt_gpa = BOOT_GDT_GPA;
	ret_entry->gdt_len = sizeof(cpu_gdt);
	ret_entry->rsp = BOOT_STACK_TOP_GPA;
	return 0;
}
