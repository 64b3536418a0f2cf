/* SPDX-License-Identifier: Apache-2.0 */
/* A real dbus-daemon for a test. */
#ifndef TEST_DBUS_FIXTURE_H
#define TEST_DBUS_FIXTURE_H

#include <sys/types.h>

struct test_bus {
	pid_t pid;
	char folder[128];
	char address[256];
};

void test_bus_start(struct test_bus *bus);
void test_bus_stop(struct test_bus *bus);

#endif
