/* SPDX-License-Identifier: Apache-2.0 */
/* A port over a stream, whose other end is here. */
#ifndef PORT_FIXTURE_H
#define PORT_FIXTURE_H

#include "base/fd.h"
#include "daemons/vsp-netd/checksum.h"
#include "daemons/vsp-netd/port.h"

#define FRAME_LEN 600u
#define ROOM	  70000u
#define SEGMENT	  16000u /* that passt may send */

extern struct loop *loop;
extern struct port *port;
extern struct nic_settings settings;
extern struct oid_settings guest;
extern int peer, worker_fd; /* of the socket, as the worker keeps it */
extern void *memory;
extern uint32_t process; /* of the one who comes next */
extern uint8_t room[ROOM], wire[1 << 20];
extern struct port_received received;
extern unsigned int readable, writable, links;
extern bool link_is;
extern const uint8_t mac[6], other_mac[6];
extern const struct port_client client; /* whose calls are counted */

/** pf_plug_in - a port as @settings say, over a new stream to @peer. */
void pf_plug_in(void);
void pf_init(void);
void pf_done(void);
/** pf_put - a frame of @len bytes comes from @peer. */
void pf_put(const uint8_t *to, size_t len);
/** pf_get - the guest takes what has come, into room and received. Return: as port_receive(). */
int pf_get(void);
/** pf_take - what the port sends, without its length, into wire. Return: how long it is. */
size_t pf_take(void);
bool pf_nothing_sent(void);
/** pf_tcp4 - a frame of the guest's: TCP over IPv4, with @payload bytes. Valid until the next one. */
struct port_frame *pf_tcp4(size_t payload);
/** pf_sum - @sum, and the bytes at @at, folded. */
uint16_t pf_sum(const uint8_t *at, size_t len, struct checksum sum);
/** pf_check_wire - the checksums of what is in wire; its IPv4 begins at @network. */
void pf_check_wire(size_t len, size_t network);
/** pf_plug_into_passt - the same port as of a passt. */
void pf_plug_into_passt(void);
/** pf_put_long - passt sends a segment as long as it may. Return: its payload. */
const uint8_t *pf_put_long(void);
/** pf_die - the process is killed; another one follows. pf_die_alone - the guest's NIC is not connected yet. */
void pf_die(void);
void pf_die_alone(void);

#endif
