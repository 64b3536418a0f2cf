// SPDX-License-Identifier: Apache-2.0
/* What a service manager says of a process that has ended. */
#include "vsp/end.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#define RUN "0123456789abcdef0123456789abcdef"

static const struct end_case {
	const char *invocation, *result, *code, *status;
	int r; /* expected */
	int how;
	unsigned int number;
	const char *said;
} cases[] = {
	{RUN, "success", "exited", "0", 0, VSP_END_EXITED, 0, ""},
	{RUN, "exit-code", "exited", "255", 0, VSP_END_EXITED, 255, ""},
	{RUN, "signal", "killed", "KILL", 0, VSP_END_KILLED, SIGKILL, ""},
	{RUN, "core-dump", "dumped", "SEGV", 0, VSP_END_KILLED, SIGSEGV, ""},
	{RUN, "oom-kill", "killed", "KILL", 0, VSP_END_KILLED, SIGKILL, "oom-kill"},
	{RUN, "watchdog", "dumped", "ABRT", 0, VSP_END_KILLED, SIGABRT, "watchdog"},
	{RUN, "signal", "killed", "RTMIN+3", 0, VSP_END_UNKNOWN, 0, ""},
	{RUN, "signal", "killed", "SIGKILL", 0, VSP_END_UNKNOWN, 0, ""},
	{RUN, "resources", NULL, NULL, 0, VSP_END_UNKNOWN, 0, "resources"},
	{RUN, "timeout", "some", "thing", 0, VSP_END_UNKNOWN, 0, "timeout"},
	{NULL, "success", "exited", "0", -ENOENT, 0, 0, ""},
	{RUN, NULL, "exited", "0", -ENOENT, 0, 0, ""},
	{"", "success", "exited", "0", -EINVAL, 0, 0, ""},
	{RUN "0", "success", "exited", "0", -EINVAL, 0, 0, ""},
	{"0123456789ABCDEF0123456789abcdef", "success", "exited", "0", -EINVAL, 0, 0, ""},
	{RUN, "success", "exited", "", -EINVAL, 0, 0, ""},
	{RUN, "success", "exited", "256", -EINVAL, 0, 0, ""},
	{RUN, "success", "exited", "-1", -EINVAL, 0, 0, ""},
	{RUN, "success", "exited", "1x", -EINVAL, 0, 0, ""},
	{RUN, "a line\nmore", "exited", "1", -EINVAL, 0, 0, ""},
	{RUN, "abcdefghijklmnopqrstuvwxyzabcdef", "exited", "1", -EINVAL, 0, 0, ""},
};

static const struct end_case *now;

static char *get(const char *name)
{
	const char *value = !strcmp(name, "INVOCATION_ID")    ? now->invocation
			    : !strcmp(name, "SERVICE_RESULT") ? now->result
			    : !strcmp(name, "EXIT_CODE")      ? now->code
			    : !strcmp(name, "EXIT_STATUS")    ? now->status
							      : NULL;

	return (char *)value;
}

Test(end, read)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vsp_end end;
		struct err err = {0};
		int r;

		now = &cases[i];
		r = vsp_end_read(get, &end, &err);
		cr_assert_eq(r, now->r, "case %zu: %s", i, err.text);
		if (r < 0) {
			cr_assert(*err.text, "case %zu", i);
			continue;
		}
		cr_assert_eq((int)end.how, now->how, "case %zu", i);
		cr_assert(end.how == VSP_END_UNKNOWN || end.status == now->number, "case %zu", i);
		cr_assert_str_eq(end.result, now->said, "case %zu", i);
		cr_assert_str_eq(end.invocation, RUN);
	}
}
