// SPDX-License-Identifier: Apache-2.0
/* The worker is told of an end. Spec: proto/vsp.proto, EndedRequest. */
#include "ipc/rpc.h"
#include "proto/types.pb-c.h"
#include "proto/vsp.pb-c.h"
#include "vsp/end.h"

#define DEADLINE_MS 20000u /* more than the worker's longest pause before the next start */

int vsp_end_tell(struct loop *loop, const char *path, const char *name, const struct vsp_end *end, struct err *err)
{
	static const Bulkhead__Vsp__End hows[] = {
		[VSP_END_UNKNOWN] = BULKHEAD__VSP__END__END_UNKNOWN,
		[VSP_END_EXITED] = BULKHEAD__VSP__END__END_EXITED,
		[VSP_END_KILLED] = BULKHEAD__VSP__END__END_KILLED,
	};
	static const struct rpc_method methods[] = {{0}};
	static const struct rpc_service service = {
		.name = TELLER_SERVICE, .version = TELLER_SERVICE_VERSION, .methods = methods};
	Bulkhead__Vsp__EndedRequest req = BULKHEAD__VSP__ENDED_REQUEST__INIT;
	struct rpc_conn *conn = NULL;
	int r;

	req.version = VSP_ENDED_VERSION;
	req.name = (char *)name;
	req.invocation = (char *)end->invocation;
	req.how = hows[end->how];
	req.status = end->status;
	req.result = (char *)end->result;
	r = rpc_conn_connect(loop, path, WORKER_SERVICE, WORKER_SERVICE_VERSION, &service, NULL, NULL, &conn);
	if (r < 0)
		return err_set(err, r, "worker %s: cannot connect: %s", path, err_name(r));
	r = rpc_call_wait(conn, WORKER_VSP_ENDED, &req.base, &bulkhead__empty__descriptor, NULL, 0, DEADLINE_MS, err,
			  NULL, NULL, NULL);
	rpc_conn_free(conn);
	return r;
}
