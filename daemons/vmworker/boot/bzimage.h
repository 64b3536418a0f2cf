/* SPDX-License-Identifier: Apache-2.0 */
/* The setup header of a Linux bzImage: bytes in, struct out. */
#ifndef VMWORKER_BOOT_BZIMAGE_H
#define VMWORKER_BOOT_BZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BZIMAGE_HEAD_LEN     4096u  /* the part of a file that bzimage_parse() looks at */
#define BZIMAGE_SETUP_OFFSET 0x1f1u /* of the setup header, in the file and in boot_params alike */
#define BZIMAGE_SETUP_MAX    0x8fu  /* boot_params has no room for more */
#define BZIMAGE_ENTRY_64     0x200u /* of the 64-bit entry, in the code */

/* Invariant: code and payload lie in the file, the payload within the code. */
struct bzimage {
	uint64_t code_offset, code_len;	      /* the protected-mode part */
	uint64_t payload_offset, payload_len; /* the packed kernel; length 0: unknown (before protocol 2.08) */
	bool entry_64;			      /* the code can be entered in 64-bit mode */
	uint64_t load_gpa;		      /* where the code wants to lie, if it is to unpack itself */
	uint64_t init_len;		      /* memory from load_gpa on that it needs until it runs */
	uint64_t initrd_max_gpa;	      /* last byte that an initrd may use */
	uint32_t cmdline_max;		      /* without the closing NUL */
	size_t setup_len;		      /* of setup */
	uint8_t setup[BZIMAGE_SETUP_MAX];     /* the setup header */
};

/** bzimage_detect - whether a file that starts with these bytes calls itself a Linux kernel for x86. */
bool bzimage_detect(const void *head, size_t head_len);

/**
 * bzimage_parse - read and check the setup header.
 * @head: the file's first @head_len bytes: BZIMAGE_HEAD_LEN, or all of a smaller file.
 * @ret_why: what is wrong and the remedy, static, to follow the file's name; set only on failure.
 * Return: 0 or -ENOEXEC.
 * Context: any thread; pure.
 * Spec: Linux Documentation/x86/boot.rst, "The Real-Mode Kernel Header".
 */
int bzimage_parse(const void *head, size_t head_len, uint64_t file_len, struct bzimage *ret_image,
		  const char **ret_why);

#endif
