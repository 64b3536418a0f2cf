/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes a port, as pcapng (draft-ietf-opsawg-pcapng) to a descriptor: who reads slowly, or not at all, does not
 * hold up the NIC.
 *
 * Theory of operation: blocks are put into a buffer, whole or not at all, and written from there as the descriptor
 * takes them. A frame for which there is no room is counted: the next one that is written says how many are missing
 * (epb_dropcount), and the statistics at the end say all (ISB). A descriptor that fails ends the capture.
 *
 * Limits: CAPTURE_FRAME_MAX bytes of a frame; a filter sees as many. A regular file is written at once.
 */
#ifndef NETD_CAPTURE_H
#define NETD_CAPTURE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "ipc/loop.h"

#define CAPTURE_FRAME_MAX (65535u + 22u)

struct capture;

enum capture_way { CAPTURE_IN = 1, CAPTURE_OUT = 2 }; /* to the guest, from the guest; as in epb_flags */

/**
 * capture_new - @fd: taken over (-1), also on failure. @name: of the interface. @filter: copied; 0: everything.
 * @snap_len: bytes of each frame; 0: all.
 * Return: 0; -EINVAL: not a filter that can be run; a negative errno; with a line.
 */
int capture_new(struct loop *loop, int *fd, const char *name, const struct sock_filter *filter, size_t filter_len,
		uint32_t snap_len, struct capture **ret_capture, struct err *err);
/** capture_free - what is in the buffer, and the statistics, are written if the descriptor takes them at once. NULL is
 * allowed. */
void capture_free(struct capture *capture);

/** capture_over - whether nobody reads any more. */
bool capture_over(const struct capture *capture);

/** capture_frame - @piece: the frame, @len bytes. */
void capture_frame(struct capture *capture, enum capture_way way, const struct iovec *piece, unsigned int pieces,
		   size_t len);

#endif
