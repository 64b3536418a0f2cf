/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of a vsp-netd in this process, with NICs over stream sockets; the manager's and a guest's side of it. */
#ifndef NETD_FIXTURE_H
#define NETD_FIXTURE_H

#include "daemons/vsp-netd/netd_int.h"
#include "fake_netvsc.h"
#include "proto/network.pb-c.h"

#define TEXT(s)	   ((char *)(s)) /* generated structs have no const */
#define ND_CALL_ID 1000u

extern struct loop *loop;
extern struct fake_guest guest;
extern struct fake_channel peer; /* of the NIC that the guest has opened last */
extern struct fake_worker *worker;
extern struct vsp *vsp;
extern struct netd *netd;
extern struct fake_nic nic;
extern int wire; /* the other end of the NIC that was attached last */

void nd_set_up(void);
void nd_tear_down(void);
/** nd_start - a process that serves. @fds: @settings'. */
void nd_start(const struct settings *settings, int *fds, size_t nfds);

/* ---- the manager ---- */

/** nd_change, nd_attach, nd_detach - Return: what came of it. @number: of the NIC's instance. */
int nd_change(Bulkhead__Network__Change *msg, const int *fds, size_t nfds);
void nd_describe(Bulkhead__Network__Nic *msg, const char *alias, uint8_t number);
int nd_attach(const char *alias, uint8_t number);
int nd_detach(uint8_t number, uint32_t timeout_ms);
/** nd_begin_detach - the same without waiting: as fake_worker_change_begin(). */
void nd_begin_detach(uint8_t number, uint32_t timeout_ms, int *outcome);
/** nd_is_over - of the outcome at @arg; the guest takes what there is meanwhile. */
bool nd_is_over(void *arg);

/* ---- the wire ---- */

bool nd_wire_closed(void);
/** nd_wire_has - a frame of nd_send_frame(). */
bool nd_wire_has(void *arg);

/* ---- the guest ---- */

extern uint32_t heard;			/* status of the last control message */
extern unsigned int completed, refused; /* transmits; those of them that failed */

/** nd_take_all - the guest takes what there is. nd_wait - until @event. */
void nd_take_all(void);
void nd_wait(enum fake_nic_event event);
/** nd_open - the guest sets the NIC up whose primary channel is @offer: nd_begin(), as far as its buffers, for which it
 * may take long, then nd_go_on(). */
void nd_open(size_t offer);
void nd_begin(size_t offer);
void nd_go_on(void);
void nd_send_frame(void);
/** nd_has_heard - the uint32_t at @arg; nd_has_frames - so many as the unsigned int at @arg says. */
bool nd_has_heard(void *arg);
bool nd_has_frames(void *arg);

#endif
