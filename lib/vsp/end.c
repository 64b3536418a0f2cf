// SPDX-License-Identifier: Apache-2.0
#include "vsp/end.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

static int read_exit(const char *text, struct vsp_end *end)
{
	char *last;
	unsigned long status = strtoul(text, &last, 10);

	if (!*text || *last || status > 255)
		return -EINVAL;
	end->how = VSP_END_EXITED;
	end->status = (unsigned int)status;
	return 0;
}

/* Real-time signals have no name here: nobody sends one. */
static void read_signal(const char *text, struct vsp_end *end)
{
	for (int i = 1; i < SIGRTMIN; i++) {
		const char *name = sigabbrev_np(i);

		if (!name || strcmp(name, text) != 0)
			continue;
		end->how = VSP_END_KILLED;
		end->status = (unsigned int)i;
		return;
	}
}

/* What the code and the status do not say themselves. */
static void read_result(const char *text, struct vsp_end *end)
{
	static const char *const plain[] = {"success", "exit-code", "signal", "core-dump"};

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (!strcmp(text, plain[i]))
			return;
	snprintf(end->result, sizeof(end->result), "%s", text);
}

int vsp_end_read(char *(*get)(const char *name), struct vsp_end *ret, struct err *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz-";
	const char *invocation = get("INVOCATION_ID"), *result = get("SERVICE_RESULT");
	const char *code = get("EXIT_CODE"), *status = get("EXIT_STATUS");
	struct vsp_end end = {.how = VSP_END_UNKNOWN};
	bool bad;

	if (!invocation || !result)
		return err_set(err, -ENOENT, "there is no INVOCATION_ID and SERVICE_RESULT: this is for ExecStopPost=");
	bad = !text_is_hex(invocation, VSP_INVOCATION_LEN) || strlen(result) > VSP_RESULT_MAX ||
	      strspn(result, letters) != strlen(result);
	if (!bad && code && status && !strcmp(code, "exited"))
		bad = read_exit(status, &end) < 0;
	else if (!bad && code && status && (!strcmp(code, "killed") || !strcmp(code, "dumped")))
		read_signal(status, &end);
	if (bad)
		return err_set(err, -EINVAL, "INVOCATION_ID, SERVICE_RESULT or EXIT_STATUS are not those of systemd");
	read_result(result, &end);
	strcpy(end.invocation, invocation);
	*ret = end;
	return 0;
}
