/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a fuzzed NIC: the whole of netvsp and lib/vsp, without a worker (its RPC is function calls here),
 * and the port over a back end in memory. Functions without a result abort if they fail.
 */
#ifndef FUZZ_NETVSP_HOST_H
#define FUZZ_NETVSP_HOST_H

#include "daemons/vsp-netd/net.h"
#include "daemons/vsp-netd/netvsp.h"
#include "fake_guest.h"
#include "vsp/internal.h"

#define HOST_SUBS     2u
#define HOST_CHANNELS (1u + HOST_SUBS)
#define HOST_LENDS    4u /* GPADLs that the guest has made */

enum { HOST_LEND_RECEIVE, HOST_LEND_SEND, HOST_LEND_SMALL, HOST_LEND_WILD };
#define HOST_GPADL(lend) (0xe1e10u + (lend))

#define HOST_RECEIVE_PAGES 112u
#define HOST_SEND_PAGES	   10u
#define HOST_DATA_PAGES	   20u
#define HOST_CONTROL_PAGES 32u

extern struct host {
	struct loop *loop;
	struct fake_guest guest;
	struct fake_channel channel[HOST_CHANNELS];
	uint64_t receive_gpa, send_gpa, data_gpa, control_gpa;
	uint64_t other_gpa[2]; /* a page before and behind the receive buffer */
	bool open[HOST_CHANNELS], failed_open;
	struct vsp *vsp;
	struct port *port;
	struct netvsp netvsp;
	struct nic_settings settings;
	bool gone[HOST_LENDS]; /* GPADLs that the guest has torn down */
	bool hold;	       /* lends are not answered */
	/* the back end */
	bool full; /* takes nothing */
	uint8_t in[70000];
	size_t in_len;
	unsigned int in_count;
	struct virtio_net_hdr in_hdr;
	uint64_t sent;
} host;

/** host_begin - a fresh NIC, its channels closed. The first time everything is made that lasts. */
void host_begin(const struct nic_settings *settings);
void host_end(void);
/** host_run - until nothing is to be done. */
void host_run(void);
/** host_open - the guest has opened channel @index, whose rings are fresh. */
void host_open(size_t index);
/** host_close - Return: whether it was open; it is closed now. */
bool host_close(size_t index);
/** host_kill - another process takes over all that is open. @spoil: called with each block in between; may be NULL. */
void host_kill(void (*spoil)(uint8_t *block, size_t len));
/** host_channel - NULL: it is not open. */
struct vsp_channel *host_channel(size_t index);
/** host_revoke - the guest wants a GPADL back. */
void host_revoke(unsigned int lend);
/** host_readable, host_writable, host_set - what the back end and the manager do. */
void host_readable(unsigned int queue);
void host_writable(void);
void host_set(const struct nic_settings *settings);

#endif
