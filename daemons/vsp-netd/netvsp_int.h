/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the network VSP know of each other. */
#ifndef NETD_NETVSP_INT_H
#define NETD_NETVSP_INT_H

#include "abi/nvsp.h"
#include "netvsp.h"
#include "rndis_parse.h"

#define NETVSP_SLOTS		  128u
#define NETVSP_ANSWER_MAX	  (OID_REPLY_MAX + 64u)
#define NETVSP_SEND_SECTION_BYTES 6144u /* as guests expect it */
#define NETVSP_HEAD_LEN		  128u	/* before a frame in a section of the receive buffer */
#define NETVSP_PAGE		  4096u
#define NETVSP_SECTIONS_MIN	  (2u * NETVSP_LANDING_MAX)
#define NETVSP_SEND_SECTIONS_MAX  65536u

/*
 * What a successor must know: in the primary channel's state block. Words that change by themselves come first:
 *
 * link     what the guest was told of it last: the number of the packet << 1 | up; the number is 0 if it has asked.
 * answer   where the answer is: 0: it is still to be sent; else the number of its packet.
 * dropped  frames in flight when a process died, or when where they were to go was taken away.
 */
struct netvsp_state {
	uint64_t link, answer, dropped;
	uint32_t version; /* NVSP_VERSION_*; 0: none yet */
	uint32_t ndis_major, ndis_minor;
	uint32_t frame_bytes; /* of NDIS_CONFIG */
	uint64_t capabilities;
	uint32_t receive_gpadl, section_bytes, sections; /* 0 sections: none */
	uint32_t send_gpadl, send_sections;
	uint16_t receive_id, send_id;
	uint32_t sub_channels; /* that the guest was given */
	uint32_t initialized;  /* RNDIS */
	uint32_t answer_len;   /* 0: there is none */
	uint32_t mtu;	       /* when the receive buffer came */
	struct oid_settings settings;
	uint8_t answer_bytes[NETVSP_ANSWER_MAX];
};

/* Of each packet, from packet() to its completion. */
struct netvsp_request {
	struct vsp_request *vsp;
	struct nvsp_message message;
	struct netvsp_request *next; /* in a list */
	uint32_t frames;	     /* of a transmit: that are done */
	size_t offset;		     /* of the next one */
	uint32_t skip;		     /* a predecessor has done so many */
	uint32_t status;	     /* enum nvsp_status */
	uint32_t bytes;		     /* of frames */
};

struct netvsp_channel {
	unsigned int index;	    /* 0: the primary one */
	struct netvsp_list waiting; /* transmits, for the port */
	bool transmitted;	    /* in this batch */
	/* frames for the guest, not sent yet */
	struct vsp_page_range range[VSP_PAGE_RANGES_MAX];
	uint32_t ranges;
	uint16_t first, last; /* their sections */
	bool stuck;	      /* there was no room in the ring */
};

/* ---- netvsp.c ---- */

static inline struct netvsp *netvsp_of(struct vsp_channel *channel)
{
	return (struct netvsp *)vsp_channel_device(channel);
}

/** netvsp_state - of a NIC that is open. */
const struct netvsp_state *netvsp_state(const struct netvsp *netvsp);
/** netvsp_answer - complete @request with @message. @next: what the state becomes; NULL: it stays. */
void netvsp_answer(struct netvsp_request *request, const struct nvsp_message *message, const struct netvsp_state *next);
/** netvsp_complete - @status: enum nvsp_status; of SEND_RNDIS_PACKET. @next: what the state becomes; NULL: it stays. */
void netvsp_complete(struct netvsp_request *request, uint32_t status, const struct netvsp_state *next);
/** netvsp_complain - what the guest has sent, in the log. */
void netvsp_complain(struct netvsp *netvsp, const char *what);
void netvsp_list_add(struct netvsp_list *list, struct netvsp_request *request);
struct netvsp_request *netvsp_list_take(struct netvsp_list *list);
/** netvsp_count_dropped - frames of either way that have perhaps come to nobody. */
void netvsp_count_dropped(struct netvsp *netvsp, uint64_t frames);
/** netvsp_count_lost - what the port has lost, by a death or with what it was plugged into. */
void netvsp_count_lost(struct netvsp *netvsp);
/** netvsp_link - as the guest is told. */
bool netvsp_link(const struct netvsp *netvsp);
/** netvsp_coalesces - whether frames may be longer than the MTU. */
bool netvsp_coalesces(const struct netvsp *netvsp);

/** netvsp_init_channel - of what is open now. */
void netvsp_init_channel(struct vsp_channel *channel);
/** netvsp_connect - the primary channel is open, and the port hears so. */
void netvsp_connect(struct netvsp *netvsp, struct vsp_channel *channel);

/* ---- netvsp_packet.c ---- */

void netvsp_packet(struct vsp_channel *channel, struct vsp_request *vsp);
void netvsp_fail(struct vsp_channel *channel, struct vsp_request *vsp);

/* ---- netvsp_buffers.c ---- */

/** netvsp_section_bytes - of a section that holds a frame of a NIC with this MTU. */
uint32_t netvsp_section_bytes(uint32_t mtu);
/** netvsp_op_* - messages about buffers; they may wait for the worker. */
void netvsp_op_receive_buffer(struct netvsp *netvsp, struct netvsp_request *request);
void netvsp_op_send_buffer(struct netvsp *netvsp, struct netvsp_request *request);
void netvsp_op_revoke_receive_buffer(struct netvsp *netvsp, struct netvsp_request *request);
void netvsp_op_revoke_send_buffer(struct netvsp *netvsp, struct netvsp_request *request);
void netvsp_drop_receive_buffer(struct netvsp *netvsp);
void netvsp_drop_send_buffer(struct netvsp *netvsp);
void netvsp_revoked(struct vsp_channel *channel, struct vsp_buffer *buffer);
/** netvsp_map_again - those that the state says the guest has lent. Return: 0 or a negative errno. */
int netvsp_map_again(struct netvsp *netvsp);

/* ---- netvsp_recover.c ---- */

int netvsp_recover(struct vsp_channel *channel);
int netvsp_sub_recover(struct vsp_channel *channel);
/** netvsp_settle - what a predecessor gave to the rings, and what of that the guest has: known once all channels are
 * taken over; once. */
void netvsp_settle(struct netvsp *netvsp);

/* ---- netvsp_tx.c ---- */

/** netvsp_transmit - SEND_RNDIS_PACKET with frames. It may wait for the port. */
void netvsp_transmit(struct netvsp *netvsp, struct netvsp_request *request);
/** netvsp_transmit_go_all - what waits, on any channel, goes on, or fails. */
void netvsp_transmit_go_all(struct netvsp *netvsp);
/** netvsp_take_mark - of a request that a predecessor had begun. */
void netvsp_take_mark(struct netvsp *netvsp, struct netvsp_request *request);
/** netvsp_copy - [offset, offset + len) of the transfer. Return: 0 or -EFAULT: it is not all there. */
int netvsp_copy(struct netvsp *netvsp, const struct netvsp_request *request, size_t offset, void *ret, size_t len);
/** netvsp_transfer_len - bytes of the transfer; a negative errno: it is not one. */
ssize_t netvsp_transfer_len(struct netvsp *netvsp, const struct netvsp_request *request);

/* ---- netvsp_rx.c ---- */

/** netvsp_receive - frames from the port's @queue. */
void netvsp_receive(struct netvsp *netvsp, unsigned int queue);
/** netvsp_listen - listen to the port, if there is where to put what comes, else not. */
void netvsp_listen(struct netvsp *netvsp);
/** netvsp_receive_again - there is room in the channel's ring. */
void netvsp_receive_again(struct netvsp *netvsp, struct vsp_channel *channel);
/** netvsp_receive_drop - what waits for room is not sent any more. */
void netvsp_receive_drop(struct netvsp *netvsp, struct vsp_channel *channel);

/* ---- rndis.c ---- */

/** rndis_control - a control message. It may wait. */
void rndis_control(struct netvsp *netvsp, struct netvsp_request *request);
/** rndis_go - send what is to be told to the guest, and take up what waits. */
void rndis_go(struct netvsp *netvsp);
/** rndis_describe - the NIC as the guest is told of it. */
void rndis_describe(struct netvsp *netvsp, struct oid_nic *ret_nic);
/** rndis_apply - port and RSS do as the guest has set. */
void rndis_apply(struct netvsp *netvsp);

#endif
