/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM's services count: the worker hands over their blocks, which they write and are not believed in
 * (vsp/stats_read.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "vm_int.h"
#include "vsp/stats_read.h"

struct get_stats {
	struct vm *vm;
	vm_stats_fn fn;
	void *arg;
};

/* Those that can be read. Return: how many. */
static size_t read_blocks(struct vm *vm, const int *fds, size_t count, struct stats_copy *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < MIN(count, (size_t)WORKER_SERVICES_MAX); i++) {
		int r = stats_read(fds[i], &ret[n]);

		if (r == 0)
			n++;
		else if (log_allowed(&vm->told, vm->domain.name))
			log_warn(vm->domain.name, "statistics of a service are left out: %s",
				 r == -EPROTONOSUPPORT ? "it counts as another version does" : strerror(-r));
	}
	return n;
}

static void on_statistics(int error, const char *text, const int *fds, size_t count, void *arg)
{
	struct stats_copy copy[WORKER_SERVICES_MAX] = {{0}};
	struct get_stats get = *(struct get_stats *)arg;
	char line[REASON_MAX];
	size_t n;

	free(arg);
	if (error) {
		if (error == -ENOSYS) {
			error = -EOPNOTSUPP;
			text = "its vmworker is of before statistics: they come with its next start";
		}
		vm_put_text(line, sizeof(line), "VM %s: %s", get.vm->domain.name, *text ? text : strerror(-error));
		get.fn(error, line, NULL, 0, get.arg);
		return;
	}
	n = read_blocks(get.vm, fds, count, copy);
	get.fn(0, "", copy, n, get.arg);
	while (n)
		stats_copy_done(&copy[--n]);
}

void vm_get_statistics(struct vm *vm, vm_stats_fn fn, void *arg)
{
	struct get_stats *get = NULL;
	struct err err = {0};
	int r = vm_must_run(vm, &err);

	if (r == 0 && !(get = malloc(sizeof(*get))))
		r = err_set(&err, -ENOMEM, "no memory");
	if (r == 0) {
		*get = (struct get_stats){vm, fn, arg};
		r = worker_get_statistics(vm->conn, on_statistics, get);
		if (r < 0)
			err_set(&err, r, "VM %s: its vmworker cannot be asked: %s", vm->domain.name, strerror(-r));
	}
	if (r < 0) {
		free(get);
		fn(r, err.text, NULL, 0, arg);
	}
}
