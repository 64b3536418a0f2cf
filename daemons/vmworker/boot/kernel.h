/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel file into guest memory: ELF, bzImage, packed ELF. */
#ifndef VMWORKER_BOOT_KERNEL_H
#define VMWORKER_BOOT_KERNEL_H

#include "base/err.h"
#include "boot/boot.h"
#include "boot/bzimage.h"
#include "guest/mem.h"

struct boot_kernel {
	uint64_t entry_gpa;	 /* 64-bit entry */
	uint64_t end_gpa;	 /* it needs the memory up to here */
	uint64_t initrd_max_gpa; /* last byte that an initrd may use */
	uint32_t cmdline_max;	 /* without the closing NUL */
	size_t setup_len;	 /* of setup; 0: the file had no setup header */
	uint8_t setup[BZIMAGE_SETUP_MAX];
};

/**
 * kernel_load - put the file config->kernel_fd into @mem, above BOOT_KERNEL_MIN_GPA.
 * An ELF file goes to its physical addresses, whether it comes plain, packed or as the payload of a bzImage. A bzImage
 * whose payload we cannot unpack is put where it wants to be and unpacks itself. Return: 0 or a negative errno with a
 * line: -ENOEXEC, -ENOMEM (more memory is needed), -EINVAL (no regular file), -EIO. Context: no vCPU runs.
 */
int kernel_load(const struct boot_config *config, struct guest_mem *mem, struct boot_kernel *ret_kernel,
		struct err *err);

#endif
