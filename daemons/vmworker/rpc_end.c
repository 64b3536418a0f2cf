// SPDX-License-Identifier: Apache-2.0
/* Who tells how a VSP that the service manager runs has ended. Spec: proto/vsp.proto, EndedRequest. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/text.h"
#include "proto/methods.h"
#include "proto/types.pb-c.h"
#include "proto/vsp.pb-c.h"
#include "rpc_int.h"

#define EXIT_STATUS_MAX 255u
#define SIGNAL_MAX	64u

/* Return: 0; -EINVAL. @ret_status: as of waitpid(). */
static int read_status(const Bulkhead__Vsp__EndedRequest *req, int *ret_status)
{
	int status = -1;

	if (req->how == BULKHEAD__VSP__END__END_EXITED && req->status <= EXIT_STATUS_MAX)
		status = W_EXITCODE((int)req->status, 0);
	else if (req->how == BULKHEAD__VSP__END__END_KILLED && req->status >= 1 && req->status <= SIGNAL_MAX)
		status = W_EXITCODE(0, (int)req->status);
	else if (req->how != BULKHEAD__VSP__END__END_UNKNOWN)
		return -EINVAL;
	*ret_status = status;
	return 0;
}

int rpc_read_end(const ProtobufCMessage *msg, struct service_end *ret, struct err *err)
{
	const Bulkhead__Vsp__EndedRequest *req = (const Bulkhead__Vsp__EndedRequest *)msg;
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz-";

	if (req->version != VSP_ENDED_VERSION)
		return err_set(err, -EPROTONOSUPPORT, "the end of a process is told in version %u, known is %u",
			       req->version, VSP_ENDED_VERSION);
	if (!text_is_hex(req->invocation, VSP_INVOCATION_LEN) || strlen(req->result) > VSP_RESULT_MAX ||
	    strspn(req->result, letters) != strlen(req->result) || read_status(req, &ret->status) < 0)
		return err_set(err, -EINVAL, "malformed word of the end of a process");
	strcpy(ret->invocation, req->invocation);
	strcpy(ret->result, req->result);
	return 0;
}

static void on_done(void *arg, const struct err *err)
{
	Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;

	if (err->code)
		rpc_fail(arg, err->code, "%s", err->text);
	else
		rpc_reply(arg, &empty.base, NULL, 0);
}

void vsp_handle_ended(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		      void *arg)
{
	const Bulkhead__Vsp__EndedRequest *req = (const Bulkhead__Vsp__EndedRequest *)msg;
	struct vm *vm = peer_vm(arg, call);
	struct service_end end = {0};
	struct provider *provider;
	struct err err = {0};

	if (!vm)
		return;
	provider = providers_find(vm_providers(vm), req->name);
	if (!provider)
		err_set(&err, -ENOENT, "this VM has no such provider: the end of its process is no news");
	else
		rpc_read_end(msg, &end, &err);
	if (err.code) {
		log_warn(provider ? provider->name : NULL, "%s", err.text);
		rpc_fail(call, err.code, "%s", err.text);
		return;
	}
	service_told(provider, &end, on_done, call);
}
