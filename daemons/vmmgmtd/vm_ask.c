/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest is asked for through its shutdown service; the worker asks, waits and keeps the deadline. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm_int.h"

struct ask {
	struct vm *vm;
	enum worker_ask what;
	bool wait;
	vm_done_fn done;
	void *arg;
};

const char *vm_heartbeat_name(enum worker_heartbeat heartbeat)
{
	static const char *const names[] = {
		[WORKER_HEARTBEAT_UNKNOWN] = "unknown",
		[WORKER_HEARTBEAT_OK] = "ok",
		[WORKER_HEARTBEAT_LOST] = "lost",
	};

	return names[heartbeat];
}

void vm_integration_set(struct vm *vm, const struct worker_status *status)
{
	vm->heartbeat = status->heartbeat;
	vm->integration_count = status->integration_count;
	if (status->integration_count)
		memcpy(vm->integration, status->integration, status->integration_count * sizeof(*vm->integration));
}

static void on_asked(int error, const char *text, void *arg)
{
	struct ask ask = *(struct ask *)arg;
	struct vm *vm = ask.vm;
	char line[REASON_MAX];

	free(arg);
	if (!error) {
		/* nobody is told that it has ended before nothing of it is left */
		if (ask.wait && ask.what == WORKER_ASK_SHUTDOWN && vm->ending)
			vm_wait_end(vm, ask.done, ask.arg);
		else
			ask.done(0, "", ask.arg);
		return;
	}
	vm_put_text(line, sizeof(line), "VM %s: %s", vm->domain.name, *text ? text : strerror(-error));
	ask.done(error, line, ask.arg);
}

static int check(const struct vm *vm, uint32_t timeout_s, struct err *err)
{
	int r = vm_must_run(vm, err);

	if (r == 0 && vm->state == VM_PAUSED)
		r = err_set(err, -EBADFD, "VM %s: it is paused: resume it first", vm->domain.name);
	if (r == 0 && timeout_s > VM_ASK_TIMEOUT_MAX_S)
		r = err_set(err, -EINVAL, "timeout: %u s: at most %u", timeout_s, VM_ASK_TIMEOUT_MAX_S);
	return r;
}

void vm_ask(struct vm *vm, enum worker_ask what, bool force, uint32_t timeout_s, vm_done_fn done, void *arg)
{
	struct err err = {0};
	struct ask *ask = NULL;
	int r = check(vm, timeout_s, &err);

	if (r == 0 && !(ask = malloc(sizeof(*ask))))
		r = err_set(&err, -ENOMEM, "no memory");
	if (r == 0) {
		*ask = (struct ask){vm, what, timeout_s > 0, done, arg};
		r = worker_ask_guest(vm->conn, what, force, timeout_s, on_asked, ask);
		if (r < 0)
			err_set(&err, r, "VM %s: its vmworker cannot be asked: %s", vm->domain.name, strerror(-r));
	}
	if (r < 0) {
		free(ask);
		done(r, err.text, arg);
	}
}
