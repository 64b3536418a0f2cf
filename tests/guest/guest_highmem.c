// SPDX-License-Identifier: Apache-2.0
/* A guest of 5 GiB: what is beyond 3 GiB lies from 4 GiB on, is announced, is memory, and is known to the host. */
#include <stddef.h>

#include "abi/hyperv.h"
#include "rt.h"

#define GIB	     (1ull << 30)
#define HIGH_GPA     (4 * GIB)
#define HIGH_LEN     (2 * GIB)
#define BOOT_PARAMS  0x2000u
#define E820_ENTRIES 0x1e8u
#define E820_TABLE   0x2d0u
#define ADDRESS	     0x000ffffffffff000ull

struct e820_entry {
	uint64_t start, len;
	uint32_t type;
} __attribute__((packed));

static uint64_t directory[2][512] __attribute__((aligned(4096)));

static void check_map(void)
{
	const uint8_t *params = (const uint8_t *)(uintptr_t)BOOT_PARAMS;
	const struct e820_entry *entry = (const struct e820_entry *)(params + E820_TABLE);
	uint64_t low_end = 0, high = 0;

	for (uint32_t i = 0; i < params[E820_ENTRIES]; i++) {
		if (entry[i].type != 1)
			continue;
		if (entry[i].start == HIGH_GPA)
			high = entry[i].len;
		else if (entry[i].start + entry[i].len > low_end)
			low_end = entry[i].start + entry[i].len;
	}
	rt_check(low_end == 3 * GIB && high == HIGH_LEN, "memory map: low end %lx, high %lx", low_end, high);
}

/* The loader has mapped 4 GiB. */
static void map_high(void)
{
	uint64_t cr3, *level3;

	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	level3 = (uint64_t *)(*(uint64_t *)(cr3 & ADDRESS) & ADDRESS);
	for (uint64_t gib = 0; gib < HIGH_LEN / GIB; gib++) {
		for (uint64_t i = 0; i < 512; i++)
			directory[gib][i] = (HIGH_GPA + gib * GIB + (i << 21)) | 0x83;
		level3[4 + gib] = (uintptr_t)directory[gib] | 3;
	}
	__asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
}

static void check_memory(void)
{
	volatile uint64_t *low = (uint64_t *)(3 * GIB - 8);
	volatile uint64_t *first = (uint64_t *)HIGH_GPA, *last = (uint64_t *)(HIGH_GPA + HIGH_LEN - 8);

	*low = 1;
	*first = 2;
	*last = 3;
	rt_check(*low == 1 && *first == 2 && *last == 3, "memory reads %lx %lx %lx", *low, *first, *last);
}

static void check_host(void)
{
	uint64_t gpa = HIGH_GPA + HIGH_LEN - 4096;
	volatile struct hv_reference_tsc_page *page = (struct hv_reference_tsc_page *)gpa;

	page->tsc_sequence = 0;
	rt_wrmsr(HV_X64_MSR_REFERENCE_TSC, gpa | 1);
	rt_check(page->tsc_sequence == 1 && page->tsc_scale, "the host does not write to the last page");
	rt_check(!rt_try_wrmsr(HV_X64_MSR_REFERENCE_TSC, (gpa + 4096) | 1), "a page beyond the end is taken");
	rt_check(!rt_try_wrmsr(HV_X64_MSR_REFERENCE_TSC, 3 * GIB | 1), "a page in the hole is taken");
}

void rt_main(const char *cmdline)
{
	check_map();
	map_high();
	check_memory();
	check_host();
	rt_pass();
}
