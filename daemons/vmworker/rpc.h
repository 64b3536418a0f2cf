/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's socket: what the manager and the VSPs call. Generated types stop in rpc.c (manager) and rpc_vsp.c.
 */
#ifndef VMWORKER_RPC_H
#define VMWORKER_RPC_H

#include "base/err.h"
#include "ipc/loop.h"

struct rpc;
struct spawner;

/** rpc_new - listen on @path. @uuid: the only VM that may be created here. @spawner: starts VSPs; kept by reference.
 * @last_fd: a file, taken over, that gets the VM's last state ("off" or "crashed") and its reason, a line each, when it
 * ends: for a manager that was not there. -1: none. Return: 0 or a negative errno with a line.
 */
int rpc_new(struct loop *loop, const char *path, const char *uuid, struct spawner *spawner, int last_fd,
	    struct err *err, struct rpc **ret_rpc);
/** rpc_free - end the VM, if there is one, and all connections. NULL is allowed. */
void rpc_free(struct rpc *rpc);

/** rpc_terminate - stop the VM in order (@reason), then let the worker end. */
void rpc_terminate(struct rpc *rpc, const char *reason);

/** rpc_result - for the process's exit code and last line. Return: the state's name; *@ret_crashed. */
const char *rpc_result(const struct rpc *rpc, bool *ret_crashed);

#endif
