/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the RPC share. */
#ifndef VMWORKER_RPC_INT_H
#define VMWORKER_RPC_INT_H

#include "ipc/rpc.h"
#include "vm.h"

#define ROLE_MANAGER 1u
#define ROLE_VSP     2u
#define ROLE_TELLER  8u /* says how a VSP has ended */
#define ROLE_DROPPED 4u /* may call nothing, and ends soon */

struct vsp_link;

/* A peer. Owner: the list in struct rpc, which ends it when its connection closes. */
struct peer {
	struct peer *next;
	struct rpc *rpc;
	struct rpc_conn *conn;
	bool subscribed;
	struct vsp_link *link; /* a VSP that has attached */
};

/** peer_vm - the VM, or NULL after the call was failed because there is none. */
struct vm *peer_vm(struct peer *peer, struct rpc_call *call);

/** peer_drop - end a connection soon, from the loop. */
void peer_drop(struct peer *peer);

/* rpc_vsp.c */
void vsp_handle_attach(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		       void *arg);
void vsp_handle_offer(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		      void *arg);
void vsp_handle_ready(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		      void *arg);
void vsp_handle_keep(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		     void *arg);
void vsp_handle_lend(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		     void *arg);
void vsp_handle_status(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		       void *arg);
void vsp_handle_withdraw(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			 size_t nfds, void *arg);
void vsp_handle_subchannels(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds,
			    size_t nfds, void *arg);
/** vsp_link_end - the peer is gone: its provider is detached. */
void vsp_link_end(struct peer *peer);

/* rpc_create.c */
/** rpc_read_create - what CREATE says of a VM; all but the spawner. What comes out refers to @msg, @fds and
 * @ret_providers. @uuid: of the VM that this worker is for. Return: 0; -EINVAL with a line. */
int rpc_read_create(const ProtobufCMessage *msg, const char *uuid, const int *fds, size_t nfds,
		    struct vm_config *ret_config, struct provider_config ret_providers[PROVIDERS_MAX], struct err *err);

/* rpc_end.c */
/** rpc_read_end - check what is told of an end. Return: 0; -EPROTONOSUPPORT (of another version), -EINVAL, with a
 * line. */
int rpc_read_end(const ProtobufCMessage *msg, struct service_end *ret, struct err *err);
void vsp_handle_ended(struct rpc_conn *conn, struct rpc_call *call, const ProtobufCMessage *msg, int *fds, size_t nfds,
		      void *arg);

#endif
