/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sender left to others: checksums of TCP and UDP, segments of TCP (LSO). The head of the frame is made what a
 * virtio_net_hdr means by it, or the work is done here. Pure functions; any thread.
 */
#ifndef NETD_OFFLOAD_H
#define NETD_OFFLOAD_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "headers.h"

#define OFFLOAD_MSS_MIN 48u /* as Linux has it */

/**
 * offload_prepare - lengths, IPv4's checksum and the pseudo-header's sum are put into the head, places into @ret.
 * @head: the first @head_len bytes of a frame of @len, private; @headers: of it.
 * @asked: of a guest: its flags, type and gso_size are looked at, the rest is not.
 * Return: 0: *@ret is what is left to do, perhaps nothing; -EPROTO: it cannot be done for this frame.
 */
int offload_prepare(uint8_t *head, size_t head_len, size_t len, const struct headers *headers,
		    const struct virtio_net_hdr *asked, struct virtio_net_hdr *ret);

/** offload_checksum - fill in the checksum that @hdr names, whose field is in piece[0] of the frame of @len bytes that
 * @piece holds. */
void offload_checksum(const struct iovec *piece, unsigned int pieces, size_t len, const struct virtio_net_hdr *hdr);

/**
 * offload_raise_mss - if the frame is a TCP SYN that says that its sender takes segments of @from bytes, it says @to.
 * @head: the first @head_len bytes, private; @headers: of it. @partial: its checksum is filled in later.
 */
void offload_raise_mss(uint8_t *head, size_t head_len, const struct headers *headers, uint16_t from, uint16_t to,
		       bool partial);

/* A frame to be cut. */
struct offload_cut {
	const uint8_t *head;	   /* its first bytes, private; all headers are in there */
	size_t head_len;	   /* of the headers only: piece[0] begins with them */
	struct headers headers;	   /* of head */
	uint8_t gso_type;	   /* as asked; TCP */
	const struct iovec *piece; /* the whole frame */
	unsigned int pieces;
	size_t len;
	size_t step; /* bytes of payload of each but the last */
};

#define OFFLOAD_HEAD_MAX HEADERS_MAX

/** offload_segments - how many there will be. */
size_t offload_segments(const struct offload_cut *cut);

/**
 * offload_segment - segment number @i, with all its checksums.
 * @head: OFFLOAD_HEAD_MAX bytes for its headers. @ret: pieces, head first, at most @max. @ret_len: its bytes.
 * Return: how many pieces; -E2BIG.
 */
int offload_segment(const struct offload_cut *cut, size_t i, uint8_t *head, struct iovec *ret, unsigned int max,
		    size_t *ret_len);

#endif
