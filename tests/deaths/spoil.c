/* SPDX-License-Identifier: Apache-2.0 */
#include "spoil.h"

#include <stdio.h>
#include <string.h>

#include "vsp/block.h"

static struct block_slot *slot(struct block_header *header, uint32_t n)
{
	return block_slot(&(struct block){.header = header}, n);
}

static void spoil_magic(struct block_header *header)
{
	header->magic ^= 1;
}

/* As if it had never been formatted. */
static void spoil_empty(struct block_header *header)
{
	header->magic = 0;
}

static void spoil_version(struct block_header *header)
{
	header->version = BLOCK_VERSION + 1;
}

static void spoil_truncated(struct block_header *header)
{
	/* More slots than the memory holds: sealed as it is, nobody can make the memory itself shorter. */
	header->slots *= 2;
}

static void spoil_read_cursor(struct block_header *header)
{
	header->accepted |= 0xfffffff8u;
}

static void spoil_write_cursor(struct block_header *header)
{
	header->out_write = header->out_data_len;
}

static void spoil_trial(struct block_header *header)
{
	header->trial = header->slots + 1;
}

static void spoil_slot_state(struct block_header *header)
{
	slot(header, header->slots - 1)->state = BLOCK_SLOT_DONE + 1;
}

static void spoil_slot_packet(struct block_header *header)
{
	slot(header, 0)->packet_len = header->packet_max + 8;
	slot(header, 0)->state = BLOCK_SLOT_ACCEPTED;
}

static void spoil_slot_ranges(struct block_header *header)
{
	*slot(header, 0) = (struct block_slot){
		.state = BLOCK_SLOT_ACCEPTED,
		.packet_len = 64,
		.payload_offset = 16,
		.ranges = BLOCK_RANGES_MAX + 1,
		.accepted = header->accepted,
	};
}

static void spoil_twice(struct block_header *header)
{
	for (uint32_t n = 0; n < 2; n++)
		*slot(header, n) = (struct block_slot){
			.state = BLOCK_SLOT_ACCEPTED,
			.packet_len = 64,
			.payload_offset = 16,
			.accepted = header->accepted,
		};
}

static void spoil_commit(struct block_header *header)
{
	header->commit.slots[BLOCK_SLOTS_MAX / 64 - 1] = UINT64_C(1) << 63;
}

static void spoil_device(struct block_header *header)
{
	memset(block_state(&(struct block){.header = header}), 0xff, header->state_len);
}

static const struct {
	const char *name;
	const char *said;
	void (*fn)(struct block_header *header);
} rows[] = {
	{"magic", "it is no state block", spoil_magic},
	{"empty", "it is empty", spoil_empty},
	{"version", "it is of a version that this program does not know", spoil_version},
	{"truncated", "its layout is not one of ours", spoil_truncated},
	{"read-cursor", "a cursor is outside its ring", spoil_read_cursor},
	{"write-cursor", "a cursor is outside its ring", spoil_write_cursor},
	{"trial", "a mark is out of range", spoil_trial},
	{"slot-state", "a slot's state is out of range", spoil_slot_state},
	{"slot-packet", "a slot's packet is out of bounds", spoil_slot_packet},
	{"slot-ranges", "a slot's page list is out of bounds", spoil_slot_ranges},
	{"twice", "two slots have one sequence", spoil_twice},
	{"commit", "its commit names a slot that is not executed", spoil_commit},
	{"device", "the device's own state is not one that it can be in", spoil_device},
};

bool spoil(struct block_header *header, const char *what)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].name, what) == 0) {
			rows[i].fn(header);
			return true;
		}
	return false;
}

void spoil_list(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		printf("%s %s\n", rows[i].name, rows[i].said);
}
