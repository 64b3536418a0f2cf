/* SPDX-License-Identifier: Apache-2.0 */
/* A list of system calls that a piece of code needs, declared beside it; lib/daemon/sandbox.h makes a filter of them. */
#ifndef BASE_SYSCALLS_H
#define BASE_SYSCALLS_H

#include <stdint.h>

/* One call. With a mask, only if (argument @arg & @mask) == @value: an ioctl's family, a socket's domain. */
struct syscall_rule {
	int number;	     /* SYS_... */
	unsigned int arg;    /* 0..5 */
	uint64_t mask, value; /* mask 0: whatever the arguments */
};

/* Rules end with number -1. */
struct syscall_list {
	const char *name; /* of the code, for messages */
	const struct syscall_rule *rules;
};

#endif
