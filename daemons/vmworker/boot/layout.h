/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What direct boot puts into the first MiB of guest memory. The guest may use all of it again once it has its own page
 * tables and has copied boot_params and the command line; the ACPI tables are marked so that it keeps them.
 */
#ifndef VMWORKER_BOOT_LAYOUT_H
#define VMWORKER_BOOT_LAYOUT_H

#define BOOT_GDT_GPA	    0x1000u
#define BOOT_PARAMS_GPA	    0x2000u
#define BOOT_PARAMS_LEN	    0x1000u
#define BOOT_STACK_TOP_GPA  0x10000u /* grows down; the kernel has one of its own, small guests use this */
#define BOOT_TABLES_GPA	    0x10000u /* page tables: 6 pages */
#define BOOT_CMDLINE_GPA    0x20000u
#define BOOT_CMDLINE_MAX    0x10000u /* with the closing NUL */
#define BOOT_LOW_RAM_END    0x9f000u /* conventional memory */
#define BOOT_ACPI_GPA	    0xe0000u /* where a guest that is not told looks for the RSDP */
#define BOOT_ACPI_LEN	    0x10000u
#define BOOT_RESET_GPA	    0xffff0u /* where processors start after a reset: a guest may jump there for one */
#define BOOT_KERNEL_MIN_GPA 0x100000u /* kernels and initrds lie above */

#endif
