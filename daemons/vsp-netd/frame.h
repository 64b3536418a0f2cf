/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said beside a frame: per-packet info of RNDIS, and what a virtio_net_hdr says of the same. Pure functions.
 */
#ifndef NETD_FRAME_H
#define NETD_FRAME_H

#include "port.h"
#include "rndis_parse.h"

/**
 * frame_take_info - a guest's frame: what is to be filled in, cut and tagged.
 * @message: its per-packet info. @frame: head, head_len and len are set; hdr, tagged and tag become so; the checksum of
 * an IPv4 header is filled in, in head, if that is asked for.
 * Return: 0; -EINVAL: it asks for what is not in such a frame. Context: any thread.
 */
int frame_take_info(const struct rndis_frame *message, struct port_frame *frame);

#define FRAME_INFO_MAX 112u /* bytes of a PACKET message before its frame */

/* What a guest is told of a frame. */
struct frame_info {
	uint32_t checksum; /* RNDIS_RX_*; 0: nothing */
	bool tagged;
	uint16_t tag;
	bool hashed;
	uint32_t hash;
	uint8_t part; /* RNDIS_PACKET_ID_*; 0: it is whole */
};

/**
 * frame_put_head - a PACKET message's head, for a frame, or a part of one, of @len bytes that begins @offset bytes
 * behind the message's start.
 * @offset: at least FRAME_INFO_MAX. @ret: as many bytes; what is between the head and the frame is zeroed.
 */
void frame_put_head(const struct frame_info *info, uint32_t offset, uint32_t len, uint8_t *ret);

/**
 * frame_checksums - what is known of a received frame's TCP or UDP checksum.
 * Return: RNDIS_RX_*: it is good, or need not be looked at; 0: nothing.
 */
uint32_t frame_checksums(const struct port_received *received);

/**
 * frame_fill_checksum - fill in the checksum that received->hdr says is missing, in the frame itself.
 * @iov: @iovs pieces of the guest's memory in which the frame lies. Return: 0; -EINVAL: not within the frame.
 */
int frame_fill_checksum(const struct port_received *received, const struct iovec *iov, unsigned int iovs);

#endif
