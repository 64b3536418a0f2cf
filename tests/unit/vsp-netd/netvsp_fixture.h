/* SPDX-License-Identifier: Apache-2.0 */
/* The network VSP over a fake guest, a fake worker and a fake port; and a guest's side of it. */
#ifndef NETVSP_FIXTURE_H
#define NETVSP_FIXTURE_H

#include <limits.h>

#include "daemons/vsp-netd/netvsp.h"
#include "fake_netvsc.h"

#define NV_SUBS 2u

extern struct loop *loop;
extern struct fake_guest guest;
extern struct fake_channel peer, subs[NV_SUBS];
extern struct fake_worker *worker;
extern struct vsp *vsp;
extern struct netvsp netvsp;
extern struct fake_nic nic;

/* The port: what it was told, and what it is to do. */
extern struct nv_port {
	struct port_client client;
	bool connected, up, listening, held;
	bool empty, began_empty; /* all that was there is dropped; was it when the last client came? */
	unsigned int full;	 /* the next so many transmits have no room */
	struct oid_settings settings, settings_then; /* when it was connected */
	/* the last frame of the guest's, whole; how many there were */
	struct port_frame frame;
	uint8_t bytes[70000];
	unsigned int sent, ends, queue;
	/* the next frames for the guest */
	struct port_received received;
	uint8_t in[70000];
	size_t in_len;
	unsigned int in_count;
	uint64_t lost; /* by a predecessor */
} nv_port;

void nv_init(void);
void nv_done(void);
/** nv_restart_begin - another process takes over the primary channel and @open_subs others; fake_worker_resumed()
 * follows. NV_NOTHING: no channel at all. */
#define NV_NOTHING UINT_MAX
void nv_restart_begin(unsigned int open_subs);
/** nv_is_over - @arg: int, an outcome. */
bool nv_is_over(void *arg);
/** nv_restart - another process takes over all that is open. */
void nv_restart(unsigned int open_subs);

/** nv_wait - until the guest has taken such an event. */
void nv_wait(enum fake_nic_event event);
/** nv_idle - nothing comes. */
void nv_idle(void);
uint32_t nv_call(struct nvsp_message message);
void nv_negotiate(uint32_t version);
/** nv_control - the answer's status; it is in nic.message. */
uint32_t nv_initialize(void);
uint32_t nv_query(uint32_t oid);
uint32_t nv_set(uint32_t oid, const void *info, uint32_t len);
void nv_ready(uint32_t version);
/** nv_open_subs - sub-channels; RSS gives all to the second one. */
void nv_open_subs(void);
/** nv_set_rss - a table that names one channel only. Return: the answer's status. */
uint32_t nv_set_rss(uint32_t channel);
/** nv_make_frame - IPv4, TCP. */
void nv_make_frame(uint8_t *frame, size_t len);
/** nv_send - the guest sends one, of 60 bytes, in a section of the send buffer. */
void nv_send(struct fake_channel *channel, uint64_t id, uint32_t section);
/** nv_deliver - a frame from the port: nv_port.received, in. */
void nv_deliver(unsigned int count);

#endif
