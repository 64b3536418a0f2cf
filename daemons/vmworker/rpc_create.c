/* SPDX-License-Identifier: Apache-2.0 */
/* What a manager wants of a VM: CREATE, checked. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "proto/worker.pb-c.h"
#include "rpc_int.h"

static enum vm_action action_of(Bulkhead__Worker__OnEvent event, enum vm_action by_default)
{
	static const enum vm_action actions[] = {
		[BULKHEAD__WORKER__ON_EVENT__ON_EVENT_DESTROY] = VM_DESTROY,
		[BULKHEAD__WORKER__ON_EVENT__ON_EVENT_RESTART] = VM_RESTART,
		[BULKHEAD__WORKER__ON_EVENT__ON_EVENT_PRESERVE] = VM_PRESERVE,
	};

	return event && (unsigned int)event < ARRAY_SIZE(actions) ? actions[event] : by_default;
}

/* Each provider's program, and its own. Return: 0 or -EINVAL. */
static int share_provider(const Bulkhead__Worker__Provider *p, const int *fds, size_t nfds, size_t *inout_next,
			  struct provider_config *config)
{
	size_t next = *inout_next;

	*config = (struct provider_config){
		.name = p->name,
		.config = p->config.data,
		.config_len = p->config.len,
		.program_fd = -1,
		.program = p->program,
		.args = (const char *const *)p->args,
		.nargs = p->n_args,
		.idle = p->idle,
	};
	if (p->has_program && (next == nfds || !p->program[0]))
		return -EINVAL;
	if (p->has_program)
		config->program_fd = fds[next++];
	if (p->fd_count > nfds - next)
		return -EINVAL;
	config->fds = fds + next;
	config->nfds = p->fd_count;
	*inout_next = next + p->fd_count;
	return 0;
}

/* Descriptors come in a fixed order; the last ones belong to the providers. Return: 0 or -EINVAL. */
static int share_fds(const Bulkhead__Worker__CreateRequest *req, const int *fds, size_t nfds, struct vm_config *config,
		     struct provider_config *providers)
{
	size_t next = 0;

	config->initrd_fd = config->log_fd = -1;
	if (nfds < 2u + (req->has_initrd != 0) + (req->has_serial_log != 0) || req->n_providers > PROVIDERS_MAX)
		return -EINVAL;
	config->kvm_fd = fds[next++];
	config->kernel_fd = fds[next++];
	if (req->has_initrd)
		config->initrd_fd = fds[next++];
	if (req->has_serial_log)
		config->log_fd = fds[next++];
	for (size_t i = 0; i < req->n_providers; i++)
		if (share_provider(req->providers[i], fds, nfds, &next, &providers[i]) < 0)
			return -EINVAL;
	config->providers = providers;
	config->provider_count = req->n_providers;
	return next == nfds ? 0 : -EINVAL;
}

int rpc_read_create(const ProtobufCMessage *msg, const char *uuid, const int *fds, size_t nfds,
		    struct vm_config *ret_config, struct provider_config ret_providers[PROVIDERS_MAX], struct err *err)
{
	const Bulkhead__Worker__CreateRequest *req = (const Bulkhead__Worker__CreateRequest *)msg;
	struct vm_config config = {
		.name = req->name,
		.uuid = req->uuid,
		.memory_bytes = req->memory_bytes,
		.huge_pages = req->huge_pages,
		.cpus = req->cpus,
		.cmdline = req->cmdline,
		.kernel_name = req->kernel_name[0] ? req->kernel_name : "kernel",
		.initrd_name = req->initrd_name[0] ? req->initrd_name : "initrd",
		.on_poweroff = action_of(req->on_poweroff, VM_DESTROY),
		.on_reboot = action_of(req->on_reboot, VM_RESTART),
		.on_crash = action_of(req->on_crash, VM_DESTROY),
	};

	if (strcmp(req->uuid, uuid))
		return err_set(err, -EINVAL, "this worker was started for VM %s, not %s", uuid, req->uuid);
	if (share_fds(req, fds, nfds, &config, ret_providers) < 0)
		return err_set(err, -EINVAL, "%zu descriptors came with the request: not those that it names", nfds);
	*ret_config = config;
	return 0;
}
