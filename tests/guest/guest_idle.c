// SPDX-License-Identifier: Apache-2.0
/*
 * Says that it is there and sleeps until it is ended from outside: for tests of the manager. "name=N" is printed back.
 */
#include "rt.h"

void rt_main(const char *cmdline)
{
	rt_printf("guest: idle %lu\n", rt_option(cmdline, "name", 0));
	for (;;)
		__asm__ volatile("cli; hlt" : : : "memory");
}
