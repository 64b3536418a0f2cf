/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, versions and method numbers of the services, as they stand on the wire. Numbers are never reused.
 */
#ifndef PROTO_METHODS_H
#define PROTO_METHODS_H

/*
 * The worker's socket. Who calls: M the manager, V a VSP, T who tells of the end of one. "Notify" rows have no reply.
 */
#define WORKER_SERVICE	       "worker"
#define WORKER_SERVICE_VERSION 1u

enum worker_method {
	WORKER_CREATE = 1,    /* M  CreateRequest -> CreateReply */
	WORKER_START = 2,     /* M  Empty -> Empty: waits for the providers, then runs the vCPUs */
	WORKER_PAUSE = 3,     /* M  Empty -> Empty: once every vCPU stands still */
	WORKER_RESUME = 4,    /* M  Empty -> Empty */
	WORKER_RESET = 5,     /* M  Empty -> Empty */
	WORKER_STOP = 6,      /* M  Empty -> Empty: power off at once; the process ends after its last notification */
	WORKER_GET_STATE = 7, /* M  Empty -> StateReply */
	WORKER_SUBSCRIBE = 8, /* M  Empty -> StateReply, then MANAGER_STATE_CHANGED notifications on this connection */
	WORKER_OPEN_CONSOLE = 9,  /* M  OpenConsoleRequest -> Empty + one SOCK_STREAM descriptor, both directions */
	WORKER_UPGRADE = 10,	  /* M  UpgradeRequest [+ the program] -> Empty once its process serves */
	WORKER_ASK = 11,	  /* M  AskRequest -> Empty once the guest has done it, or agreed to */
	WORKER_CHANGE = 12,	  /* M  ChangeRequest [+ descriptors] -> Empty once the provider has changed */
	WORKER_GET_PROVIDER = 13, /* M  ProviderRequest -> Provider, once no change is under way */
	WORKER_GET_STATISTICS = 14, /* M  Empty -> StatisticsReply + a descriptor for each name */

	WORKER_VSP_ATTACH = 32, /* V  vsp.AttachRequest -> vsp.AttachReply + descriptors */
	WORKER_VSP_OFFER = 33,	/* V  vsp.OfferRequest -> vsp.OfferReply */
	WORKER_VSP_READY = 34,	/* V  vsp.ReadyRequest -> Empty: everything is offered; what was open is opened again */
	WORKER_VSP_KEEP = 35,	/* V  vsp.KeepRequest + a descriptor -> Empty */
	WORKER_VSP_WITHDRAW = 36,    /* V  vsp.WithdrawRequest -> Empty: the guest is told to let go of the channel */
	WORKER_VSP_SUBCHANNELS = 37, /* V  vsp.SubchannelsRequest -> Empty: the guest sees them now */
	WORKER_VSP_STATUS = 38,	     /* V  vsp.StatusRequest -> Empty: the manager is told */
	WORKER_VSP_LEND = 39,	     /* V  vsp.LentRequest -> vsp.LentReply + a descriptor: until Revoke is answered */

	WORKER_VSP_ENDED = 64, /* T  vsp.EndedRequest -> Empty once the next process may start */
};

/* Served by the manager on its connections to workers. */
#define MANAGER_SERVICE		"manager"
#define MANAGER_SERVICE_VERSION 1u

enum manager_method {
	MANAGER_STATE_CHANGED = 1, /* notify: worker.StateReply */
};

/* Served by a VSP on its connection to the worker. */
#define VSP_SERVICE	    "vsp"
#define VSP_SERVICE_VERSION 1u

enum vsp_method {
	VSP_OPEN = 1,	   /* vsp.OpenRequest + 3 descriptors -> vsp.OpenReply once the channel runs */
	VSP_CLOSE = 2,	   /* vsp.ChannelRequest -> Empty once it is drained and nothing touches its memory any more */
	VSP_RETARGET = 3,  /* vsp.RetargetRequest -> Empty once signals go to the new vCPU */
	VSP_QUIESCE = 4,   /* Empty -> Empty once every channel is drained and closed (unload, reset) */
	VSP_HAND_OVER = 5, /* Empty -> Empty once nothing is in flight and no memory is touched: a successor follows */
	VSP_END = 7,	   /* Empty -> Empty: it ends in order, as at SIGTERM: another one is started */
	VSP_PING = 6,	   /* Empty -> vsp.PingReply at once, by the loop that also drives the rings */
	VSP_CHANGE = 8,	   /* vsp.ChangeRequest [+ descriptors] -> Empty once it has changed what it serves */
	VSP_RESUMED = 9,   /* Empty -> Empty: what was open, if anything, has been asked for */
	VSP_REVOKE = 10,   /* vsp.LentRequest -> Empty once nothing touches that memory any more */
};

/* What a connection to the worker serves whose peer only tells of ends: no methods. */
#define TELLER_SERVICE	       "teller"
#define TELLER_SERVICE_VERSION 1u

/* WORKER_VSP_ENDED: both sides refuse another version, and what is longer. */
#define VSP_ENDED_VERSION  1u
#define VSP_INVOCATION_LEN 32u /* lower-case hexadecimal digits */
#define VSP_RESULT_MAX	   31u /* letters and '-' */

/* WORKER_CHANGE, VSP_CHANGE: descriptors that come with one, and that go with one: a NIC has one for each queue */
#define VSP_CHANGE_FDS_MAX 16u

/* Keepsakes: what a VSP leaves with the worker for its successors (WORKER_VSP_KEEP). Both sides refuse more. */
#define VSP_KEEPSAKES_MAX 8u	/* of one provider */
#define VSP_KEY_MAX	  31u	/* bytes of a key; at least 1 */
#define VSP_KEEPSAKE_MAX  4096u /* bytes of data */

#define VSP_STATUS_MAX 8192u /* bytes of what a provider tells of what it serves (WORKER_VSP_STATUS); more is refused */

#endif
