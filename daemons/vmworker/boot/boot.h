/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct boot: puts a kernel, an initrd, a command line and the ACPI tables into guest memory.
 * Spec: Linux Documentation/x86/boot.rst (64-bit protocol), zero-page.rst; ACPI 6.4.
 */
#ifndef VMWORKER_BOOT_H
#define VMWORKER_BOOT_H

#include <stdint.h>

#include "base/err.h"
#include "guest/mem.h"

struct boot_config {
	int kernel_fd;		 /* ELF vmlinux (64-bit entry) or bzImage; regular file; stays the caller's */
	int initrd_fd;		 /* -1: none */
	const char *kernel_name; /* for messages */
	const char *initrd_name;
	const char *cmdline;
	unsigned int cpus; /* 1..64: APIC ids 0..cpus-1 */
	uint64_t memory_bytes;
};

/* The registers of the boot vCPU; everything else as the 64-bit boot protocol wants it: long mode, flat segments,
 * paging on with low memory identity mapped, interrupts off. The tables that this needs lie in guest memory already. */
struct boot_entry {
	uint64_t rip;
	uint64_t rsi; /* boot_params */
	uint64_t rsp;
	uint64_t cr3_gpa; /* page tables */
	uint64_t gdt_gpa; /* null, null, code 0x10, data 0x18 */
	uint16_t gdt_len;
};

/**
 * boot_load - load everything. May be called again after a reset: it rewrites all it owns, whatever the guest did to
 * it.
 * @config: a kernel is ELF (executed at its physical addresses), packed ELF, or bzImage.
 * Return: 0 or a negative errno with a line that names the file and the remedy: -ENOEXEC (not a kernel that we can
 * boot), -ENOMEM (does not fit into the guest's memory), -E2BIG (command line), -EINVAL (no regular file), -EIO ...
 * Context: no vCPU runs.
 */
int boot_load(const struct boot_config *config, struct guest_mem *mem, struct boot_entry *ret_entry, struct err *err);

#endif
