/* SPDX-License-Identifier: Apache-2.0 */
#include "sections.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guest/buffer.h"

#define BUCKETS	      1024u
#define CHANNEL_SHIFT 48u
#define FLAGS	      (SECTION_CONTROL | SECTION_FURTHER)
#define KEY	      (~FLAGS) /* channel and number */

static void set_owner(struct netvsp_sections *sections, uint16_t section, uint64_t word)
{
	atomic_store_explicit(&sections->owner[section], word, memory_order_release);
}

static uint64_t get_owner(const struct netvsp_sections *sections, uint16_t section)
{
	return atomic_load_explicit(&sections->owner[section], memory_order_relaxed);
}

static uint64_t key_of(unsigned int channel, uint64_t id)
{
	return (uint64_t)channel << CHANNEL_SHIFT | id;
}

static uint16_t *bucket_of(const struct netvsp_sections *sections, uint64_t key)
{
	return &sections->bucket[(key ^ (key >> CHANNEL_SHIFT) * 61) % BUCKETS];
}

/* Where the packet of @key is linked, or would be. */
static uint16_t *find(const struct netvsp_sections *sections, uint64_t key)
{
	uint16_t *at = bucket_of(sections, key);

	while (*at != SECTION_NONE && (get_owner(sections, *at) & KEY) != key)
		at = &sections->other[*at];
	return at;
}

int sections_init(struct netvsp_sections *sections, struct vsp_buffer *buffer, uint32_t count, uint32_t bytes,
		  _Atomic uint64_t *owner)
{
	assert(count > 0 && count <= NETVSP_SECTIONS_MAX);
	*sections = (struct netvsp_sections){.bytes = bytes, .count = count, .owner = owner};
	sections->stack = calloc(count, sizeof(uint16_t));
	sections->next = calloc(count, sizeof(uint16_t));
	sections->other = calloc(count, sizeof(uint16_t));
	sections->bucket = calloc(BUCKETS, sizeof(uint16_t));
	if (!sections->stack || !sections->next || !sections->other || !sections->bucket) {
		sections_done(sections);
		return -ENOMEM;
	}
	sections->buffer = buffer;
	sections->memory = vsp_buffer_memory(buffer);
	memset(sections->bucket, 0xff, BUCKETS * sizeof(uint16_t));
	/* Last in, first out: an idle NIC touches few of them. */
	for (uint32_t i = count; i > 0; i--)
		sections->stack[sections->free++] = (uint16_t)(i - 1);
	return 0;
}

void sections_done(struct netvsp_sections *sections)
{
	vsp_buffer_release(sections->buffer);
	free(sections->stack);
	free(sections->next);
	free(sections->other);
	free(sections->bucket);
	memset(sections, 0, sizeof(*sections));
}

/* ---- recovery ---- */

/* As it was: into the packet that it is in. */
static void adopt(struct netvsp_sections *sections, uint16_t section, uint64_t word)
{
	uint16_t *at = find(sections, word & KEY);

	/* the order within a packet does not matter any more */
	sections->next[section] = *at == SECTION_NONE ? SECTION_NONE : sections->next[*at];
	if (*at == SECTION_NONE) {
		sections->other[section] = SECTION_NONE;
		*at = section;
	} else {
		sections->next[*at] = section;
	}
}

static uint64_t id_of(uint64_t word)
{
	return word & KEY & (key_of(1, 0) - 1);
}

/* Whether the section with this word is in a packet that was given to a ring. */
static bool was_given(uint64_t word)
{
	return word && word >> CHANNEL_SHIFT < NETVSP_CHANNELS_MAX && id_of(word) != SECTION_RECEIVED;
}

/* Whether it is the guest's. */
static bool is_out(uint64_t word, const uint64_t sent[NETVSP_CHANNELS_MAX])
{
	return was_given(word) && id_of(word) <= sent[word >> CHANNEL_SHIFT];
}

uint64_t sections_lost(const struct netvsp_sections *sections, const uint64_t sent[NETVSP_CHANNELS_MAX])
{
	uint64_t lost = 0;

	for (uint32_t i = 0; i < sections->count; i++) {
		uint64_t word = get_owner(sections, (uint16_t)i);

		lost += word && !(word & FLAGS) && !is_out(word, sent);
	}
	return lost;
}

void sections_recover(struct netvsp_sections *sections, const uint64_t sent[NETVSP_CHANNELS_MAX])
{
	sections->free = 0;
	for (uint32_t i = sections->count; i > 0; i--) {
		uint16_t section = (uint16_t)(i - 1);
		uint64_t word = get_owner(sections, section);

		if (is_out(word, sent)) {
			adopt(sections, section, word);
			continue;
		}
		set_owner(sections, section, 0);
		sections->stack[sections->free++] = section;
	}
}

/* ---- while it serves ---- */

uint16_t sections_take(struct netvsp_sections *sections)
{
	return sections->free > 0 ? sections->stack[--sections->free] : SECTION_NONE;
}

void sections_put(struct netvsp_sections *sections, uint16_t section)
{
	assert(sections->free < sections->count);
	sections->stack[sections->free++] = section;
}

void sections_expect(struct netvsp_sections *sections, uint16_t section)
{
	set_owner(sections, section, SECTION_RECEIVED);
}

void sections_expect_end(struct netvsp_sections *sections, uint16_t section)
{
	set_owner(sections, section, 0);
}

void sections_hold(struct netvsp_sections *sections, uint16_t section, uint16_t last, uint64_t flags)
{
	set_owner(sections, section, SECTION_RECEIVED | flags);
	sections->next[section] = SECTION_NONE;
	if (last != SECTION_NONE)
		sections->next[last] = section;
}

void sections_send(struct netvsp_sections *sections, uint16_t first, unsigned int channel, uint64_t id)
{
	uint16_t *at = bucket_of(sections, key_of(channel, id));

	for (uint16_t i = first; i != SECTION_NONE; i = sections->next[i])
		set_owner(sections, i, key_of(channel, id) | (get_owner(sections, i) & FLAGS));
	sections->other[first] = *at;
	*at = first;
}

static void put_owned(struct netvsp_sections *sections, uint16_t section)
{
	set_owner(sections, section, 0);
	sections_put(sections, section);
}

uint32_t sections_put_all(struct netvsp_sections *sections, uint16_t first)
{
	uint32_t frames = 0;

	while (first != SECTION_NONE) {
		uint16_t next = sections->next[first];

		frames += !(get_owner(sections, first) & FLAGS);
		put_owned(sections, first);
		first = next;
	}
	return frames;
}

/* Return: how many. */
static uint32_t end_packet(struct netvsp_sections *sections, uint16_t *at)
{
	uint16_t first = *at;
	uint32_t count = 0;

	*at = sections->other[first];
	for (uint16_t i = first; i != SECTION_NONE; i = sections->next[i])
		count++;
	(void)sections_put_all(sections, first);
	return count;
}

uint32_t sections_completed(struct netvsp_sections *sections, unsigned int channel, uint64_t id)
{
	uint16_t *at;

	/* What a guest makes up must not look like another channel's, or one of ours. */
	if (!sections->memory || id == 0 || id >= SECTION_RECEIVED)
		return 0;
	at = find(sections, key_of(channel, id));
	return *at == SECTION_NONE ? 0 : end_packet(sections, at);
}

void sections_forget(struct netvsp_sections *sections, unsigned int channel)
{
	for (uint32_t i = 0; sections->memory && i < BUCKETS; i++) {
		uint16_t *at = &sections->bucket[i];

		while (*at != SECTION_NONE) {
			if (get_owner(sections, *at) >> CHANNEL_SHIFT == channel)
				(void)end_packet(sections, at);
			else
				at = &sections->other[*at];
		}
	}
}

uint32_t sections_out(const struct netvsp_sections *sections, unsigned int channels)
{
	uint32_t out = 0;

	for (uint32_t i = 0; i < sections->count; i++) {
		uint64_t word = get_owner(sections, (uint16_t)i);

		out += was_given(word) && channels & 1u << (word >> CHANNEL_SHIFT);
	}
	return out;
}

uint8_t *sections_ptr(const struct netvsp_sections *sections, uint16_t section)
{
	return sections->memory->page[(size_t)section * (sections->bytes / GUEST_PAGE_SIZE)];
}
