/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of the host's that are not ours. */
#ifndef VMMGMTD_PROGRAM_H
#define VMMGMTD_PROGRAM_H

#include <stddef.h>

/** program_find - where one is installed: the first of $PATH. Return: 0, -ENOENT. */
int program_find(const char *name, char *ret_path, size_t size);

#endif
