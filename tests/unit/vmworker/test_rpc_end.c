// SPDX-License-Identifier: Apache-2.0
/* What a peer says of the end of a process. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "proto/vsp.pb-c.h"
#include "rpc_int.h"

#define RUN	"0123456789abcdef0123456789abcdef"
#define UNKNOWN BULKHEAD__VSP__END__END_UNKNOWN
#define EXITED	BULKHEAD__VSP__END__END_EXITED
#define KILLED	BULKHEAD__VSP__END__END_KILLED

static const struct end_case {
	uint32_t version;
	const char *invocation;
	int how;
	uint32_t number;
	const char *result;
	int r, status; /* expected */
} cases[] = {
	{1, RUN, EXITED, 0, "", 0, W_EXITCODE(0, 0)},
	{1, RUN, EXITED, 255, "", 0, W_EXITCODE(255, 0)},
	{1, RUN, KILLED, SIGSEGV, "", 0, W_EXITCODE(0, SIGSEGV)},
	{1, RUN, KILLED, 64, "oom-kill", 0, W_EXITCODE(0, 64)},
	{1, RUN, UNKNOWN, 7, "resources", 0, -1},
	{0, RUN, EXITED, 0, "", -EPROTONOSUPPORT, 0},
	{2, RUN, EXITED, 0, "", -EPROTONOSUPPORT, 0},
	{1, "", EXITED, 0, "", -EINVAL, 0},
	{1, RUN "0", EXITED, 0, "", -EINVAL, 0},
	{1, "0123456789abcdef0123456789abcdeg", EXITED, 0, "", -EINVAL, 0},
	{1, RUN, EXITED, 256, "", -EINVAL, 0},
	{1, RUN, KILLED, 0, "", -EINVAL, 0},
	{1, RUN, KILLED, 65, "", -EINVAL, 0},
	{1, RUN, 3, 1, "", -EINVAL, 0},
	{1, RUN, -1, 1, "", -EINVAL, 0},
	{1, RUN, EXITED, 0, "a\nline", -EINVAL, 0},
	{1, RUN, EXITED, 0, "abcdefghijklmnopqrstuvwxyzabcdef", -EINVAL, 0},
};

Test(rpc_end, read)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct end_case *c = &cases[i];
		Bulkhead__Vsp__EndedRequest req = BULKHEAD__VSP__ENDED_REQUEST__INIT;
		struct service_end end = {0};
		struct err err = {0};

		req.version = c->version;
		req.name = (char *)"storage";
		req.invocation = (char *)c->invocation;
		req.how = (Bulkhead__Vsp__End)c->how;
		req.status = c->number;
		req.result = (char *)c->result;
		cr_assert_eq(rpc_read_end(&req.base, &end, &err), c->r, "case %zu: %s", i, err.text);
		if (c->r < 0)
			continue;
		cr_assert_eq(end.status, c->status, "case %zu: %d", i, end.status);
		cr_assert_str_eq(end.result, c->result);
		cr_assert_str_eq(end.invocation, RUN);
	}
}
