/* SPDX-License-Identifier: Apache-2.0 */
/* The tables that the boot vCPU needs to start in long mode. */
#ifndef VMWORKER_BOOT_CPU_TABLES_H
#define VMWORKER_BOOT_CPU_TABLES_H

#include "boot/boot.h"
#include "guest/mem.h"

/**
 * cpu_tables_write - write the GDT and page tables (the first 4 GiB mapped one to one, 2 MiB pages, writable) as
 * layout.h has them, and name them in @ret_entry (cr3_gpa, gdt_gpa, gdt_len, rsp). Return: 0 or -EFAULT: no memory
 * there.
 */
int cpu_tables_write(struct guest_mem *mem, struct boot_entry *ret_entry);

#endif
