/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a service manager on a bus of the test's own, in a process of its own. It does with the one unit
 * that it knows what it was told (fake_systemd_plan()): takes or refuses a StartUnit, says by JobRemoved how the job
 * went, and answers GetAll with the unit's state. What was asked of it is written down (fake_systemd_heard()).
 *
 * Limits: one unit, one job at a time; nothing is started.
 */
#ifndef TEST_FAKE_SYSTEMD_H
#define TEST_FAKE_SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct msgbus;

struct fake_plan {
	const char *refuse;   /* StartUnit fails with this line; NULL: it does not */
	const char *job;      /* result of the job: "done", "failed" ...; NULL: the job does not end */
	bool gone;	      /* it has no such unit when GetAll comes */
	uint32_t pid;	      /* ExecMainPID */
	int code, status;     /* ExecMainCode, ExecMainStatus */
	unsigned int unaware; /* so many GetAll still say code 0 */
	const char *result;   /* Result; NULL: "success" */
	bool left;	      /* it is busy with an earlier run until StopUnit: a StartUnit joins that, and fails */
	bool stuck;	      /* the job of a StopUnit does not end */
};

/** fake_systemd_start - serve on the bus at @address. @unit: the name of the one that it knows. Return: its pid. */
pid_t fake_systemd_start(const char *address, const char *unit);
/** fake_systemd_plan - from now on. @bus: the test's connection. */
void fake_systemd_plan(struct msgbus *bus, const struct fake_plan *plan);
/** fake_systemd_heard - the calls so far, one a line: "StartUnit foo.service replace". */
void fake_systemd_heard(struct msgbus *bus, char *ret, size_t size);

#endif
