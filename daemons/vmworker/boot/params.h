/* SPDX-License-Identifier: Apache-2.0 */
/* boot_params, "the zero page": what a boot loader tells a Linux kernel. */
#ifndef VMWORKER_BOOT_PARAMS_H
#define VMWORKER_BOOT_PARAMS_H

#include "boot/kernel.h"
#include "boot/layout.h"
#include "guest/mem.h"

struct boot_params_input {
	const struct boot_kernel *kernel;
	const struct guest_mem *mem; /* its regions become the memory map */
	uint64_t cmdline_gpa;
	uint64_t initrd_gpa, initrd_len; /* length 0: none */
	uint64_t rsdp_gpa;
};

/**
 * params_build - fill @ret_page.
 * Spec: Linux Documentation/x86/zero-page.rst, boot.rst.
 */
void params_build(const struct boot_params_input *in, uint8_t ret_page[BOOT_PARAMS_LEN]);

#endif
