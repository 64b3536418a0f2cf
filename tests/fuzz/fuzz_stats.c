/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics blocks of a hostile VSP: the input is a list of (offset, value), 4 and 8 bytes, that are stored in a sound
 * one with a disk and a channel. Whatever comes of it, a reader stays within its limits, and a successor goes on or
 * refuses.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "vsp/stats.h"
#include "vsp/stats_read.h"

#define ROW 12u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct stats *stats)
{
	static const uint8_t place[STATS_PLACE_LEN];
	struct stats_channel *channel = stats_channel(stats, "scsi0", 0);
	struct stats_account account = {.unit = stats_unit(stats, STATS_DISK, "sda", place, false)};

	if (channel)
		stats_channel_recover(stats, channel);
	if (channel && account.unit)
		stats_count(stats, channel, 1, 1, &account);
	stats_sweep(stats);
}

static void read_it(int fd)
{
	struct stats_copy copy = {0};

	if (stats_read(fd, &copy) < 0)
		return;
	assert(copy.units <= STATS_UNITS_MAX && copy.channels <= STATS_CHANNELS_MAX);
	for (size_t i = 0; i < copy.units; i++)
		assert(strlen(copy.unit[i].name) <= STATS_NAME_LEN);
	for (size_t i = 0; i < copy.channels; i++)
		assert(strlen(copy.channel[i].name) <= STATS_NAME_LEN);
	stats_copy_done(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stats *stats, *next;
	const char *why;

	assert(stats_new(&stats) == 0);
	use(stats);
	for (; size >= ROW; size -= ROW, data += ROW) {
		uint32_t offset = get_le32(data);

		if (offset <= sizeof(*stats->block) - 8)
			memcpy((uint8_t *)stats->block + offset, data + 4, 8);
	}
	read_it(stats->fd);
	if (stats_continue(stats->fd, &next, &why) == 0) {
		use(next);
		read_it(next->fd);
		stats_free(next);
	}
	stats_free(stats);
	return 0;
}
