/* SPDX-License-Identifier: Apache-2.0 */
/* What the guests with a disk share: its controller found and opened, patterns, and much I/O at once. */
#ifndef GUEST_DISK_H
#define GUEST_DISK_H

#include "storvsc.h"
#include "vmbus.h"

#define DISK_DEPTH_MAX 32u
#define DISK_BLOCK     512u
#define DISK_SUBS_MAX  3u

/** disk_connect - contact at @version on vCPU 0, find the SCSI controller, open it with interrupts to @cpu, start
 * storvsc. */
void disk_connect(struct vmbus_channel *channel, uint32_t version, uint32_t cpu);

/** disk_connect_ring - the same with rings of @pages / 2 pages each (4..32), header included. */
void disk_connect_ring(struct vmbus_channel *channel, uint32_t version, uint32_t cpu, uint32_t pages);

/** disk_open_subs - ask for @count sub-channels of the open @channels[0], and open them as @channels[1] and up, with
 * interrupts to vCPU 0 and rings as above. */
void disk_open_subs(struct vmbus_channel *channels, uint32_t count, uint32_t pages);

/** disk_close_subs - close and release them, before the primary channel is closed. */
void disk_close_subs(struct vmbus_channel *channels, uint32_t count);

/** disk_check_pattern - write, flush, read back and compare in several sizes and alignments; @seed makes the data
 * differ. */
void disk_check_pattern(struct vmbus_channel *channel, uint32_t seed);

/**
 * disk_busy - @count reads of @bytes each, @depth of them under way at any time.
 * @between: called after each round of completions with how many are done so far; NULL: none.
 */
void disk_busy(struct vmbus_channel *channel, uint32_t count, uint32_t depth, uint32_t bytes,
	       void (*between)(struct vmbus_channel *channel, uint32_t done));

#endif
