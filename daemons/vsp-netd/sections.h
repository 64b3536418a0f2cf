/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections of a receive buffer, and whose they are.
 *
 * Theory of operation: a section is free; or ours, being filled; or the guest's, from the packet that names it to its
 * completion. The word of each stands in the state block (a table that each process finds as the last one left it):
 *
 *   0          free
 *   RECEIVED   ours, and a frame is in it, or is being taken from the back end
 *   else       the channel and the number of the packet that it is in; stored before the packet is published
 *
 * A successor compares the number with the last one that was published on that channel: what is larger never left, and
 * is free. So every section has exactly one owner, whoever dies when. A number that a guest completes and that no
 * section has is of no effect. The packets under way are found by a hash of channel and number, and hold their sections
 * in a chain.
 *
 * Limits: NETVSP_SECTIONS_MAX sections; NETVSP_CHANNELS_MAX channels.
 */
#ifndef NETD_SECTIONS_H
#define NETD_SECTIONS_H

#include "netvsp.h"

#define SECTION_NONE 0xffffu

/* Beside channel and number. */
#define SECTION_CONTROL	 (UINT64_C(1) << 47)	   /* no frame is in it */
#define SECTION_FURTHER	 (UINT64_C(1) << 46)	   /* of a frame that began in another one */
#define SECTION_RECEIVED ((UINT64_C(1) << 46) - 1) /* a number that is never reached */

/**
 * sections_init - @memory: of @buffer, which is taken over. @count sections of @bytes each, which is whole pages; all
 * of them lie in @memory. @owner: NETVSP_SECTIONS_MAX words. All are free, whatever the words say, until
 * sections_recover(); those are not changed.
 * Return: 0 or -ENOMEM.
 */
int sections_init(struct netvsp_sections *sections, struct vsp_buffer *buffer, uint32_t count, uint32_t bytes,
		  _Atomic uint64_t *owner);
/** sections_done - the memory is the guest's again. A zeroed one is allowed. */
void sections_done(struct netvsp_sections *sections);

/** sections_lost - how many frames are in sections that never left. @sent: as in sections_recover(). */
uint64_t sections_lost(const struct netvsp_sections *sections, const uint64_t sent[NETVSP_CHANNELS_MAX]);
/**
 * sections_recover - what a predecessor left.
 * @sent: of each channel, the number of the last packet that was published; UINT64_MAX: what is out there stays there.
 */
void sections_recover(struct netvsp_sections *sections, const uint64_t sent[NETVSP_CHANNELS_MAX]);

/** sections_take - a free one; SECTION_NONE: there is none. It is ours, but no word says so. */
uint16_t sections_take(struct netvsp_sections *sections);
/** sections_put - a section that was taken is free again. */
void sections_put(struct netvsp_sections *sections, uint16_t section);
/** sections_expect - into the section, which is taken, a frame is about to be received: whoever dies with it counts it.
 * sections_expect_end - none came. */
void sections_expect(struct netvsp_sections *sections, uint16_t section);
void sections_expect_end(struct netvsp_sections *sections, uint16_t section);
/** sections_hold - it is filled, and follows @last in a packet; SECTION_NONE: it begins one. @flags: SECTION_CONTROL,
 * SECTION_FURTHER. */
void sections_hold(struct netvsp_sections *sections, uint16_t section, uint16_t last, uint64_t flags);
/** sections_send - the packet that begins with @first goes out on @channel as number @id. */
void sections_send(struct netvsp_sections *sections, uint16_t first, unsigned int channel, uint64_t id);
/** sections_put_all - those of a packet that does not go out are free again. Return: how many frames were in them. */
uint32_t sections_put_all(struct netvsp_sections *sections, uint16_t first);
/** sections_completed - the guest has given back those of the packet. Return: how many; 0: there is no such packet. */
uint32_t sections_completed(struct netvsp_sections *sections, unsigned int channel, uint64_t id);
/** sections_forget - the guest has closed @channel: what it had on it is free. */
void sections_forget(struct netvsp_sections *sections, unsigned int channel);

/** sections_out - how many the guest has on the channels whose bits are in @channels. */
uint32_t sections_out(const struct netvsp_sections *sections, unsigned int channels);

/** sections_ptr - a section's first page. */
uint8_t *sections_ptr(const struct netvsp_sections *sections, uint16_t section);

#endif
