/* SPDX-License-Identifier: Apache-2.0 */
/* What `vmctl doctor` asks: is this /dev/kvm fit? */
#ifndef VMWORKER_PROBE_H
#define VMWORKER_PROBE_H

#include <stdio.h>

/**
 * probe_kvm - open /dev/kvm, look at it, and print a line for each check: "ID ok|warn|fail TEXT".
 * IDs: "kvm" (there, and we may use it), "kvm-capabilities", "stock-kernels" (it executes what stock kernels are made
 * of). Return: 0 if nothing failed, 1 if something did. Context: a process that does nothing else.
 */
int probe_kvm(FILE *out);

#endif
